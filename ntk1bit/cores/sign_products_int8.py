"""q S^T for int8 inputs and packed signs, exact: what a 1-bit layer with 8-bit activations computes (W23).

y[i, r] = sum_k S[r, k] q[i, k],    S in {-1, +1}, in int32 (|y| <= 128 d needs d < 2^24)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int8, Int32

from ntk1bit.compiling import compiled, inlined
from ntk1bit.cores.backends import settings, ways
from ntk1bit.cores.bits import WORD, PackedSigns, unpack_signs
from ntk1bit.cores.byte_dots import multiply_bytes, suits_byte_dots
from ntk1bit.cores.byte_shuffles import multiply_by_shuffles
from ntk1bit.cores.checks import require_array, result_array
from ntk1bit.cores.lookup import ENTRIES, accumulate, columns_of, split_groups, streams, write_turned
from ntk1bit.cores.lookup import ROWS as LOOKUP_ROWS
from ntk1bit.cores.sign_products import sign_matmul
from ntk1bit.cores.simd import add, load, store, widen
from ntk1bit.cores.threads import aligned_empty, run_pieces, single_threaded_blas
from ntk1bit.cores.unpacking import ROWS, unpacked_rows
from ntk1bit.errors import InputError

EXACT = 1 << 16  # columns whose float32 sums of int8 stay below 2^23 and are exact
_INT16_WORDS = 8  # words whose sums fit int16: 8 x 32 x 127 = 32512
_INT16_WORDS_WITH_128 = 6  # where -128 occurs: 8 x 32 x 128 would not fit, and tables go two words at a time
_LARGEST_DIM = 1 << 24  # beyond it 128 d does not fit int32


def sign_matmul_int8(
    q: Int8[np.ndarray, "n d"], p: PackedSigns, *, out: Int32[np.ndarray, "n m"] | None = None
) -> Int32[np.ndarray, "n m"]:
    """Multiply int8 inputs with packed signs exactly, `q @ S.T` in int32.

    Parameters
    ----------
    q
        Inputs (n, d), int8 (-128 included), any strides.
    p
        Signs (m, d), d < 2^24.
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
        multiply_exactly_by_blocks(q, lambda start, stop: unpacked_rows(p, start, stop, low=-1.0, high=1.0), out)
    elif way.byte_dots and suits_byte_dots(*shape):
        multiply_bytes(q, p, out)
    elif len(q) <= way.few_bytes:
        multiply_by_shuffles(q, p, out)
    elif len(q) <= way.bytes_as_floats and p.columns <= EXACT:
        out[...] = sign_matmul(q.astype(np.float32), p)
    else:
        _by_lookup(q, p, out)
    return out


def sign_matmul_int8_reference(q: Int8[np.ndarray, "n d"], p: PackedSigns) -> Int32[np.ndarray, "n m"]:
    """Compute `sign_matmul_int8` plainly: unpack everything and multiply as int32."""
    return q.astype(np.int32) @ unpack_signs(p).astype(np.int32).T


def _by_lookup(q: Int8[np.ndarray, "n d"], p: PackedSigns, out: Int32[np.ndarray, "n m"]) -> None:
    columns = columns_of(q.T, np.int16)
    groups, depth, lanes = columns.shape
    row_words = depth // WORD
    rows = min(LOOKUP_ROWS, p.rows)
    streaming = streams(out)
    flush = words_in_int16(q)
    together = split_groups(groups, rows, row_words)
    splits = -(-groups // together)

    def piece(index: int) -> None:
        block, split = divmod(index, splits)
        start = block * LOOKUP_ROWS
        stop = min(start + LOOKUP_ROWS, p.rows)
        groups_here = (split * together, min((split + 1) * together, groups))
        tables = aligned_empty(2 * ENTRIES * lanes, np.int16)
        acc = aligned_empty(rows * lanes, np.int16)
        sums = aligned_empty(rows * lanes, np.int32)
        _multiply(columns, p.words, start, stop, *groups_here, flush, tables, acc, sums, out, streaming)

    work = groups * p.rows * row_words * 1.3
    run_pieces(piece, splits * -(-p.rows // LOOKUP_ROWS), threads=settings().threads, work_ns=work)


@compiled
@no_type_check
def _multiply(columns, words, start, stop, from_group, to_group, flush, tables, acc, sums, out, streaming):
    count = stop - start
    for group in range(from_group, to_group):
        for chunk in range(0, len(words), flush):
            until = min(chunk + flush, len(words))
            accumulate(columns, group, words, chunk, until, start, stop, tables, acc, True)
            add_widened(acc, count, sums, chunk == 0)
        write_turned(sums, count, out, group * 32, start, streaming)
        if group * 32 + 16 < out.shape[0]:
            write_turned(sums[count * 16 :], count, out, group * 32 + 16, start, streaming)


@inlined()
@no_type_check
def add_widened(acc, count, sums, first):
    """Add int16 sums of `count` rows and 32 inputs to int32 ones, or write them if they are the first."""
    for row in range(count):
        found = load(acc, row * 32)
        low, high = row * 16, (count + row) * 16
        if first:
            store(sums, low, widen(found, 0))
            store(sums, high, widen(found, 1))
        else:
            store(sums, low, add(load(sums, low), widen(found, 0)))
            store(sums, high, add(load(sums, high), widen(found, 1)))


def require_sums_in_int32(columns: int) -> None:
    """Refuse products whose sums may not fit int32."""
    if columns >= _LARGEST_DIM:
        raise InputError(f"sums of {columns} int8 values do not fit int32; split the columns into parts below 2^24")


def words_in_int16(q: Int8[np.ndarray, "n d"]) -> int:
    """Return how many words of weights -1, 0 and +1 have sums that fit int16."""
    return _INT16_WORDS_WITH_128 if q.min() == -128 else _INT16_WORDS


def multiply_exactly_by_blocks(
    q: Int8[np.ndarray, "n d"],
    rows_of: Callable[[int, int], Float32[np.ndarray, "block d"]],
    out: Int32[np.ndarray, "n m"],
) -> None:
    """Write `q @ W.T` to `out` by BLAS, `rows_of(start, stop)` being rows of W; exact for entries -1, 0 and +1."""
    x = q.astype(np.float32)

    def piece(index: int) -> None:
        start = index * ROWS
        stop = min(start + ROWS, out.shape[1])
        weights = rows_of(start, stop)
        out[:, start:stop] = x[:, :EXACT] @ weights[:, :EXACT].T
        for first in range(EXACT, q.shape[1], EXACT):
            part = slice(first, first + EXACT)
            out[:, start:stop] += (x[:, part] @ weights[:, part].T).astype(np.int32)

    work = out.size * q.shape[1] / 30
    with single_threaded_blas():
        run_pieces(piece, -(-out.shape[1] // ROWS), threads=settings().threads, work_ns=work)
