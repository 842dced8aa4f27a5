"""A^T A for activation bits: on how many neurons two inputs are both active, exactly.

    C[i, j] = sum_r A[r, i] A2[r, j],    A, A2 in {0, 1}

With it the empirical NTK is `kappa^2 <x_i, x_j> C[i, j] / m` (D25, Def. G.1).
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Int32, UInt64

from ntk1bit.compiling import compiled
from ntk1bit.cores.backends import settings
from ntk1bit.cores.bits import PackedBits, unpack_bits
from ntk1bit.cores.simd import bit_of_lanes, load, write
from ntk1bit.cores.threads import run_pieces
from ntk1bit.cores.tiles import count_tile, popcount64, transpose
from ntk1bit.errors import InputError

_STRIP = 16  # inputs i per piece: their neurons' words stay in the first-level cache


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
    left = _by_column(bits)
    right = left if other is None else _by_column(other)
    count = _count_pairs_in_tiles if settings().backend == "avx512" else _count_pairs

    def piece(index: int) -> None:
        start = index * _STRIP
        count(left, right, start, min(start + _STRIP, bits.columns), symmetric, counts)

    work = counts.size * bits.rows / (256 if symmetric else 128)
    run_pieces(piece, -(-bits.columns // _STRIP), threads=settings().threads, work_ns=work)
    if symmetric:
        (_mirror_tiles if settings().backend == "avx512" else _mirror)(counts)
    return counts


def bit_gram_reference(bits: PackedBits, other: PackedBits | None = None) -> Int32[np.ndarray, "n n2"]:
    """Compute `bit_gram` plainly: unpack everything and multiply as int32."""
    left = unpack_bits(bits).astype(np.int32)
    right = left if other is None else unpack_bits(other).astype(np.int32)
    return left.T @ right


def _by_column(bits: PackedBits) -> UInt64[np.ndarray, "columns words"]:
    """Transpose to one row of 64-neuron words for each column, padded with zeros.

    Rows are an odd number of cache lines long: a power of two would put the 32 rows written together on the same few
    places of the first-level cache.
    """
    lines = -(-bits.rows // 512) | 1
    turned = np.zeros((bits.columns, 8 * lines), dtype=np.uint64)
    turn = _transpose_vectors if settings().backend == "avx512" else _transpose
    words = bits.words.shape[0]

    def piece(index: int) -> None:
        turn(bits.words, turned.view(np.uint16), index)

    run_pieces(piece, words, threads=settings().threads, work_ns=bits.nbytes / 2)
    return turned


@compiled
@no_type_check
def _transpose(words, turned, index):
    first = index * 32
    for panel in range(words.shape[1] // 16):
        for bit in range(min(32, turned.shape[0] - first)):
            column = np.uint32(0)
            for lane in range(16):
                column |= ((words[index, 16 * panel + lane] >> np.uint32(bit)) & np.uint32(1)) << np.uint32(lane)
            turned[first + bit, panel] = column


@compiled
@no_type_check
def _transpose_vectors(words, turned, index):
    flat, sink = words.reshape(-1), turned.reshape(-1)
    first, stride = index * 32, turned.shape[1]
    for panel in range(words.shape[1] // 16):
        lines = load(flat, index * words.shape[1] + 16 * panel)
        for bit in range(min(32, turned.shape[0] - first)):
            write(sink, (first + bit) * stride + panel, bit_of_lanes(lines, bit))


@compiled
@no_type_check
def _count_pairs(left, right, start, stop, symmetric, counts):
    for i in range(start, stop):
        for j in range(i if symmetric else 0, right.shape[0]):
            total = np.int64(0)
            for word in range(left.shape[1]):
                total += popcount64(left[i, word] & right[j, word])
            counts[i, j] = total


@compiled
@no_type_check
def _count_pairs_in_tiles(left, right, start, stop, symmetric, counts):
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
    tile = 32  # both a tile and its mirror image fit the first-level cache
    for top in range(0, counts.shape[0], tile):
        for left in range(0, top + 1, tile):
            for i in range(top, min(top + tile, counts.shape[0])):
                for j in range(left, min(left + tile, i)):
                    counts[i, j] = counts[j, i]


@compiled
@no_type_check
def _mirror_tiles(counts):
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
