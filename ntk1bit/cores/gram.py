"""A^T A for activation bits: on how many neurons two inputs are both active, exactly.

    C[i, j] = sum_r A[r, i] A2[r, j],    A, A2 in {0, 1}

With it the empirical NTK is `kappa^2 <x_i, x_j> C[i, j] / m` (D25, Def. G.1).
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Int32, UInt16, UInt32, UInt64

from ntk1bit.compiling import compiled
from ntk1bit.cores.backends import settings, ways
from ntk1bit.cores.bits import PackedBits, packed_shape, unpack_bits
from ntk1bit.cores.lookup import ENTRIES, accumulate
from ntk1bit.cores.simd import add, bit_of_lanes, load, spread, store, widen, write
from ntk1bit.cores.threads import aligned_empty, run_pieces, single_threaded_blas
from ntk1bit.cores.tiles import count_tile, transpose
from ntk1bit.cores.unpacking import ROWS, unpacked_rows
from ntk1bit.errors import InputError

_STRIP = 16  # inputs i per piece: their neurons' words stay in the first-level cache
_LANES = 64  # inputs j whose sums of bytes fill a vector
_ROWS = 1024  # inputs i per piece of look-ups: enough to repay the tables
_CHUNK = 6  # words whose sums fit a byte: 6 x 32 = 192, and tables go two words at a time
_FLUSH = 170 * _CHUNK  # words whose sums fit int16: 170 x 192 = 32640


def bit_gram(bits: PackedBits, other: PackedBits | None = None) -> Int32[np.ndarray, "n n2"]:
    """Count, for each pair of columns, the rows in which both are 1: `A.T @ A2`.

    Parameters
    ----------
    bits
        Activation patterns A, (m neurons, n inputs), m < 2^31.
    other
        Activation patterns A2 of the same neurons on n2 other inputs; `bits` itself by default, which makes the result
        symmetric.

    Returns
    -------
    (n, n2) int32, exact.

    Raises
    ------
    InputError
        If the two have different numbers of neurons.
    """
    if other is not None and other.rows != bits.rows:
        raise InputError(f"both sets of bits need the same neurons, got {bits.rows} and {other.rows}")
    symmetric = other is None
    counts = np.zeros((bits.columns, bits.columns if other is None else other.columns), dtype=np.int32)
    if 0 in counts.shape or bits.rows == 0:
        return counts
    right = bits if other is None else other
    if settings().backend == "blas":
        _by_blas(bits, right, counts)
        return counts
    by_tables = bits.columns >= ways(settings().backend).gram_tables
    (_by_lookup if by_tables else _by_counting)(bits, right, symmetric, counts)
    if symmetric:
        _mirror(counts)
    return counts


def bit_gram_reference(bits: PackedBits, other: PackedBits | None = None) -> Int32[np.ndarray, "n n2"]:
    """Compute `bit_gram` plainly: unpack everything and multiply as int32."""
    left = unpack_bits(bits).astype(np.int32)
    right = left if other is None else unpack_bits(other).astype(np.int32)
    return left.T @ right


def _by_blas(bits: PackedBits, other: PackedBits, counts: Int32[np.ndarray, "n n2"]) -> None:
    with single_threaded_blas():
        for start in range(0, bits.rows, ROWS):  # float32 sums of a block are exact
            left, right = (
                unpacked_rows(each, start, min(start + ROWS, bits.rows), low=0.0, high=1.0) for each in (bits, other)
            )
            counts += (left.T @ right).astype(np.int32)


def _by_counting(bits: PackedBits, other: PackedBits, symmetric: bool, counts: Int32[np.ndarray, "n n2"]) -> None:
    """Count the ones of `a_i & a_j` for every pair; of a symmetric result, what lies below the diagonal is left."""
    left = _by_column(bits)
    right = left if symmetric else _by_column(other)

    def piece(index: int) -> None:
        start = index * _STRIP
        _count_pairs(left, right, start, min(start + _STRIP, bits.columns), symmetric, counts)

    work = counts.size * bits.rows / (256 if symmetric else 128)
    run_pieces(piece, -(-bits.columns // _STRIP), threads=settings().threads, work_ns=work)


def _by_lookup(bits: PackedBits, other: PackedBits, symmetric: bool, counts: Int32[np.ndarray, "n n2"]) -> None:
    """Look up sums over 5 or 6 neurons of the bits of 64 inputs j as bytes (see `lookup`); i are the rows."""
    left = _by_neuron(bits)
    groups, blocks = -(-other.columns // _LANES), -(-bits.columns // _ROWS)

    def piece(index: int) -> None:
        group, block = divmod(index, blocks)
        group = groups - 1 - group  # of a symmetric result the last groups have the most rows
        start = block * _ROWS
        stop = min(start + _ROWS, bits.columns, (group + 1) * _LANES if symmetric else bits.columns)
        if start >= stop:
            return
        tables = aligned_empty(2 * ENTRIES * _LANES, np.uint8)
        columns = aligned_empty(_CHUNK * 32 * _LANES, np.uint8).reshape(1, _CHUNK * 32, _LANES)
        acc = aligned_empty((stop - start) * _LANES, np.uint8)
        sums = aligned_empty((stop - start) * _LANES, np.int16)
        _look_up(left, other.words, group, start, stop, columns, tables, acc, sums, counts)

    work = counts.size * bits.rows / (256 if symmetric else 128)
    run_pieces(piece, groups * blocks, threads=settings().threads, work_ns=work)


@compiled
@no_type_check
def _look_up(left, right, group, start, stop, columns, tables, acc, sums, counts):
    rows, first, bytes_of = stop - start, group * 64, columns.reshape(-1)
    paired = 2 * group + 1 < len(right)
    for chunk in range(0, len(left), _CHUNK):
        until = min(chunk + _CHUNK, len(left))
        for k in range((until - chunk) * 32):
            neuron, active = chunk * 32 + k, np.uint64(0)
            if neuron < right.shape[1]:
                active = np.uint64(right[2 * group, neuron])
                if paired:
                    active |= np.uint64(right[2 * group + 1, neuron]) << np.uint64(32)
            spread(bytes_of, k * 64, active)
        accumulate(columns, 0, left[chunk:until], 0, until - chunk, start, stop, tables, acc, False)
        for at in range(0, rows * 64, 64):
            found = load(acc, at)
            low, high = widen(found, 0), widen(found, 1)
            if chunk % _FLUSH > 0:
                low, high = add(load(sums, at), low), add(load(sums, at + 32), high)
            store(sums, at, low)
            store(sums, at + 32, high)
        if until == len(left) or until % _FLUSH == 0:
            for row in range(rows):
                for lane in range(min(64, counts.shape[1] - first)):
                    counts[start + row, first + lane] += sums[row * 64 + lane]


def _by_neuron(bits: PackedBits) -> UInt32[np.ndarray, "words padded_columns"]:
    """Transpose to the words that `bits` would have with neurons as columns and inputs as rows."""
    turned = np.zeros(packed_shape(bits.columns, bits.rows), dtype=np.uint32)
    _transpose(bits, turned.view(np.uint16), column_step=2, pair_step=2 * turned.shape[1])
    return turned


def _by_column(bits: PackedBits) -> UInt64[np.ndarray, "columns words"]:
    """Transpose to one row of 64-neuron words for each column, padded with zeros.

    Rows are an odd number of cache lines long: a power of two would put the 32 rows written together on the same few
    places of the first-level cache.
    """
    lines = -(-bits.rows // 512) | 1
    turned = np.zeros((bits.columns, 8 * lines), dtype=np.uint64)
    _transpose(bits, turned.view(np.uint16), column_step=32 * lines, pair_step=2)
    return turned


def _transpose(bits: PackedBits, halves: UInt16[np.ndarray, ...], *, column_step: int, pair_step: int) -> None:
    """Write the bits of 16 neurons and one column as a half word, two of them side by side, then a step further."""

    def piece(index: int) -> None:
        _transpose_words(bits.words, index, bits.columns, halves.reshape(-1), column_step, pair_step)

    run_pieces(piece, bits.words.shape[0], threads=settings().threads, work_ns=bits.nbytes / 2)


@compiled
@no_type_check
def _transpose_words(words, index, columns, halves, column_step, pair_step):
    flat, first = words.reshape(-1), index * 32
    for panel in range(words.shape[1] // 16):
        lines = load(flat, index * words.shape[1] + 16 * panel)
        at = first * column_step + (panel >> 1) * pair_step + (panel & 1)
        for bit in range(min(32, columns - first)):
            write(halves, at + bit * column_step, bit_of_lanes(lines, bit))


@compiled
@no_type_check
def _count_pairs(left, right, start, stop, symmetric, counts):
    first, second, sink = left.reshape(-1), right.reshape(-1), counts.reshape(-1)
    stride, width = left.shape[1], counts.shape[1]
    whole_rows = start + (stop - start) // 4 * 4
    begin = start if symmetric else 0
    whole_columns = begin + (width - begin) // 4 * 4
    # Pairs below the diagonal of a symmetric strip are counted too: cheaper than tiles of many shapes.
    for j in range(begin, whole_columns, 4):
        for i in range(start, whole_rows, 4):
            count_tile(first, i * stride, second, j * stride, stride, sink, i * width + j, width, 4, 4)
    for i in range(start, stop):
        for j in range(begin if i >= whole_rows else whole_columns, width):
            count_tile(first, i * stride, second, j * stride, stride, sink, i * width + j, width, 1, 1)


@compiled
@no_type_check
def _mirror(counts):
    width = counts.shape[1]
    whole = width // 16 * 16
    for top in range(0, whole, 64):  # four tiles side by side share the cache lines of 64 rows
        for left in range(0, top + 64, 16):
            for row in range(max(top, left + 16), min(top + 64, whole), 16):
                transpose(counts, left * width + row, width, counts, row * width + left, width, 0)
    for i in range(width):
        for j in range(whole if i >= whole else i // 16 * 16, i):
            counts[i, j] = counts[j, i]
        if i >= whole:
            for j in range(whole):
                counts[i, j] = counts[j, i]
