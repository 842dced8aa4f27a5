"""q T^T for int8 inputs and packed ternary weights, exact: what a layer of BitNet b1.58 computes.

y[i, r] = sum_k T[r, k] q[i, k],    T in {-1, 0, +1}, in int32 (|y| <= 128 d needs d < 2^24)
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Int8, Int32

from ntk1bit.compiling import compiled
from ntk1bit.cores.backends import settings, ways
from ntk1bit.cores.bits import WORD
from ntk1bit.cores.byte_dots import multiply_bytes
from ntk1bit.cores.byte_shuffles import multiply_ternary_by_shuffles
from ntk1bit.cores.checks import require_array, result_array
from ntk1bit.cores.lookup import ROWS, columns_of, split_groups, streams, write_turned
from ntk1bit.cores.sign_products_int8 import (
    EXACT,
    add_widened,
    multiply_exactly_by_blocks,
    require_sums_in_int32,
    words_in_int16,
)
from ntk1bit.cores.ternary import PANEL, PackedTernary, unpack_ternary
from ntk1bit.cores.ternary_lookup import ENTRIES, accumulate_ternary
from ntk1bit.cores.ternary_products import WORD_NS, ternary_matmul
from ntk1bit.cores.threads import aligned_empty, run_pieces
from ntk1bit.cores.unpacking import unpacked_ternary_rows


def ternary_matmul_int8(
    q: Int8[np.ndarray, "n d"], p: PackedTernary, *, out: Int32[np.ndarray, "n m"] | None = None
) -> Int32[np.ndarray, "n m"]:
    """Multiply int8 inputs with packed ternary weights exactly, `q @ T.T` in int32.

    Parameters
    ----------
    q
        Inputs (n, d), int8 (-128 included), any strides.
    p
        Weights (m, d), d < 2^24.
    out
        Where to write, (n, m) int32, C-contiguous; a new array by default.

    Returns
    -------
    (n, m) int32, exact.

    Raises
    ------
    InputError
        If dtypes or shapes do not match or d is too large for int32.
    """
    q = require_array("q", q, np.int8, ("n", p.columns))
    require_sums_in_int32(p.columns)
    shape = (q.shape[0], p.rows)
    out = result_array(out, np.int32, shape)
    if 0 in shape or p.columns == 0:
        out[...] = 0
        return out
    backend = settings().backend
    way = ways(backend)
    if backend == "blas":
        multiply_exactly_by_blocks(q, lambda start, stop: unpacked_ternary_rows(p, start, stop), out)
    elif way.byte_dots:
        multiply_bytes(q, p, out)
    elif len(q) <= way.few_bytes:
        multiply_ternary_by_shuffles(q, p, out)
    elif len(q) <= way.bytes_as_floats and p.columns <= EXACT:
        out[...] = ternary_matmul(q.astype(np.float32), p)
    else:
        _by_lookup(q, p, out)
    return out


def ternary_matmul_int8_reference(q: Int8[np.ndarray, "n d"], p: PackedTernary) -> Int32[np.ndarray, "n m"]:
    """Compute `ternary_matmul_int8` plainly: unpack everything and multiply as int32."""
    return q.astype(np.int32) @ unpack_ternary(p).astype(np.int32).T


def _by_lookup(q: Int8[np.ndarray, "n d"], p: PackedTernary, out: Int32[np.ndarray, "n m"]) -> None:
    columns = columns_of(q.T, np.int16)
    groups, depth, lanes = columns.shape
    rows = min(ROWS, p.rows)
    streaming = streams(out)
    flush = words_in_int16(q)
    together = split_groups(groups, rows, depth // WORD)
    splits = -(-groups // together)

    def piece(index: int) -> None:
        block, split = divmod(index, splits)
        start = block * ROWS
        stop = min(start + ROWS, p.rows)
        groups_here = (split * together, min((split + 1) * together, groups))
        codes = aligned_empty(-(-rows // PANEL) * PANEL, np.uint64)
        tables = aligned_empty(ENTRIES * lanes, np.int16)
        acc = aligned_empty(rows * lanes, np.int16)
        sums = aligned_empty(rows * lanes, np.int32)
        _multiply(columns, p.planes, start, stop, *groups_here, flush, codes, tables, acc, sums, out, streaming)

    work = groups * p.rows * depth // WORD * WORD_NS
    run_pieces(piece, splits * -(-p.rows // ROWS), threads=settings().threads, work_ns=work)


@compiled
@no_type_check
def _multiply(columns, planes, start, stop, from_group, to_group, flush, codes, tables, acc, sums, out, streaming):
    count = stop - start
    for group in range(from_group, to_group):
        for chunk in range(0, len(planes), flush):
            until = min(chunk + flush, len(planes))
            accumulate_ternary(columns, group, planes, chunk, until, start, stop, codes, tables, acc)
            add_widened(acc, count, sums, chunk == 0)
        write_turned(sums, count, out, group * 32, start, streaming)
        if group * 32 + 16 < out.shape[0]:
            write_turned(sums[count * 16 :], count, out, group * 32 + 16, start, streaming)
