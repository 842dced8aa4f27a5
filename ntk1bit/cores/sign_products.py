"""x S^T for float32 inputs and packed signs: the pre-activations of 1-bit neurons.

y[i, r] = sum_k S[r, k] x[i, k],    S in {-1, +1}
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float32

from ntk1bit.compiling import compiled
from ntk1bit.cores.backends import settings, ways
from ntk1bit.cores.bits import WORD, PackedSigns, unpack_signs
from ntk1bit.cores.checks import require_array, result_array
from ntk1bit.cores.few_inputs import multiply_few
from ntk1bit.cores.lookup import ENTRIES, columns_of, split_groups, streams, sum_rows, write_turned
from ntk1bit.cores.lookup import ROWS as LOOKUP_ROWS
from ntk1bit.cores.threads import aligned_empty, run_pieces
from ntk1bit.cores.unpacking import multiply_by_blocks, unpacked_rows


def sign_matmul(
    x: Float32[np.ndarray, "n d"], p: PackedSigns, *, out: Float32[np.ndarray, "n m"] | None = None
) -> Float32[np.ndarray, "n m"]:
    """Multiply float32 inputs with packed signs, `x @ S.T`.

    Parameters
    ----------
    x
        Inputs (n, d), float32, any strides. A row with NaN or infinity gives non-finite outputs in that row only.
    p
        Signs (m, d).
    out
        Where to write, (n, m) float32, C-contiguous; a new array by default.

    Returns
    -------
    (n, m) float32. Only float32 rounding of the additions separates it from the exact product: relative
    root-mean-square error below 5e-7. The same bits for any number of threads.

    Raises
    ------
    InputError
        If dtypes or shapes do not match.
    """
    x = require_array("x", x, np.float32, ("n", p.columns))
    shape = (x.shape[0], p.rows)
    out = result_array(out, np.float32, shape)
    if 0 in shape or p.columns == 0:
        out[...] = 0
        return out
    backend = settings().backend
    if backend == "blas":
        multiply_by_blocks(x, lambda start, stop: unpacked_rows(p, start, stop, low=-1.0, high=1.0), out)
    elif len(x) <= ways(backend).few_floats:
        multiply_few(x, p, out)
    else:
        _by_lookup(x, p, out)
    return out


def sign_matmul_reference(x: Float32[np.ndarray, "n d"], p: PackedSigns) -> Float32[np.ndarray, "n m"]:
    """Compute `sign_matmul` plainly: unpack everything and multiply in float32."""
    return x @ unpack_signs(p).astype(np.float32).T


def _by_lookup(x: Float32[np.ndarray, "n d"], p: PackedSigns, out: Float32[np.ndarray, "n m"]) -> None:
    columns = columns_of(x.T, np.float32)
    groups, depth, width = columns.shape
    row_words = depth // WORD
    together = split_groups(groups, p.rows, row_words)
    splits = -(-groups // together)
    rows = min(LOOKUP_ROWS, p.rows)
    streaming = streams(out)

    def piece(index: int) -> None:
        block, split = divmod(index, splits)
        start = block * LOOKUP_ROWS
        tables = aligned_empty(2 * ENTRIES * width, np.float32)
        acc = aligned_empty(2 * rows * width, np.float32)
        groups_here = (split * together, min((split + 1) * together, groups))
        _multiply(columns, p.words, start, min(start + LOOKUP_ROWS, p.rows), *groups_here, tables, acc, out, streaming)

    run_pieces(
        piece, splits * -(-p.rows // LOOKUP_ROWS), threads=settings().threads, work_ns=groups * p.rows * row_words * 1.3
    )


@compiled
@no_type_check
def _multiply(columns, words, start, stop, from_group, to_group, tables, acc, out, streaming):
    for group in range(from_group, to_group):
        sum_rows(columns, group, words, start, stop, tables, acc, True)
        write_turned(acc, stop - start, out, group * 16, start, streaming)
