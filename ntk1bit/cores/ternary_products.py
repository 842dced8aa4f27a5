"""x T^T for float32 inputs and packed ternary weights: the pre-activations of BitNet b1.58.

y[i, r] = sum_k T[r, k] x[i, k],    T in {-1, 0, +1}
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float32

from ntk1bit.compiling import compiled
from ntk1bit.cores.backends import settings, ways
from ntk1bit.cores.bits import WORD
from ntk1bit.cores.checks import require_array, result_array
from ntk1bit.cores.few_inputs import multiply_few_ternary
from ntk1bit.cores.lookup import ROWS, columns_of, split_groups, streams, write_turned
from ntk1bit.cores.ternary import PANEL, PackedTernary, unpack_ternary
from ntk1bit.cores.ternary_lookup import ENTRIES, sum_ternary_rows
from ntk1bit.cores.threads import aligned_empty, run_pieces
from ntk1bit.cores.unpacking import multiply_by_blocks, unpacked_ternary_rows

WORD_NS = 2.0  # of 32 columns, one row and 16 float32 or 32 int16 inputs, roughly


def ternary_matmul(
    x: Float32[np.ndarray, "n d"], p: PackedTernary, *, out: Float32[np.ndarray, "n m"] | None = None
) -> Float32[np.ndarray, "n m"]:
    """Multiply float32 inputs with packed ternary weights, `x @ T.T`.

    Parameters
    ----------
    x
        Inputs (n, d), float32, any strides. A row with NaN or infinity gives non-finite outputs in that row only.
    p
        Weights (m, d).
    out
        Where to write, (n, m) float32, C-contiguous; a new array by default.

    Returns
    -------
    (n, m) float32. Only float32 rounding of the additions of inputs whose weight is not 0 separates it from the exact
    product: relative root-mean-square error below 5e-7. The same bits for any number of threads.

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
        multiply_by_blocks(x, lambda start, stop: unpacked_ternary_rows(p, start, stop), out)
    elif len(x) <= ways(backend).few_floats:
        multiply_few_ternary(x, p, out)
    else:
        _by_lookup(x, p, out)
    return out


def ternary_matmul_reference(x: Float32[np.ndarray, "n d"], p: PackedTernary) -> Float32[np.ndarray, "n m"]:
    """Compute `ternary_matmul` plainly: unpack everything and multiply in float32."""
    return x @ unpack_ternary(p).astype(np.float32).T


def _by_lookup(x: Float32[np.ndarray, "n d"], p: PackedTernary, out: Float32[np.ndarray, "n m"]) -> None:
    columns = columns_of(x.T, np.float32)
    groups, depth, width = columns.shape
    together = split_groups(groups, p.rows, depth // WORD)
    splits = -(-groups // together)
    rows = min(ROWS, p.rows)
    streaming = streams(out)

    def piece(index: int) -> None:
        block, split = divmod(index, splits)
        start = block * ROWS
        codes = aligned_empty(-(-rows // PANEL) * PANEL, np.uint64)
        tables = aligned_empty(ENTRIES * width, np.float32)
        acc = aligned_empty(2 * rows * width, np.float32)
        groups_here = (split * together, min((split + 1) * together, groups))
        stop = min(start + ROWS, p.rows)
        _multiply(columns, p.planes, start, stop, *groups_here, codes, tables, acc, out, streaming)

    work = groups * p.rows * depth // WORD * WORD_NS
    run_pieces(piece, splits * -(-p.rows // ROWS), threads=settings().threads, work_ns=work)


@compiled
@no_type_check
def _multiply(columns, planes, start, stop, from_group, to_group, codes, tables, acc, out, streaming):
    for group in range(from_group, to_group):
        sum_ternary_rows(columns, group, planes, start, stop, codes, tables, acc)
        write_turned(acc, stop - start, out, group * 16, start, streaming)
