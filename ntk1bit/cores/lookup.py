"""Bit products by table lookup: the loop structure of every backend with explicit vectors.

    acc[r, :] = sum_k S[r, k] C[k, :]   (S = +-1)      or      sum_k A[r, k] C[k, :]   (A = 0/1)

For a vector of columns (16 inputs in float32, 32 in int16, 64 in bytes; or 16 features) and 32 rows k of C, all sums of
5 or 6 neighbouring rows are tabulated: six tables with 32 + 32 + 32 + 32 + 64 + 64 = 256 entries, 16 KB. A row of 32
bits then costs six loads and additions for 16 x 32 products. The tables of two words fill 32 KB of the first-level
cache, and 4096 rows use them before they are rebuilt; sums pass through the second-level cache between pairs of words,
which was measured to cost nothing. The limit are the loads of table entries: 1.5 a cycle on Zen 5, where loads in order
reach 2.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Shaped

from ntk1bit.compiling import inlined
from ntk1bit.cores.bits import WORD
from ntk1bit.cores.simd import BYTES, add, lanes, load, read, store, subtract, write, zeros
from ntk1bit.cores.tiles import transpose

ROWS = 4096  # rows (neurons) a piece: their sums take 256 KB, a quarter of a second-level cache
ENTRIES = 256  # table entries per word
CHUNK = 128  # words after which float32 sums are put aside, so that rounding grows with sqrt(d / 4096) at most

_PIECE_NS = 100_000
_STREAMED = 8 << 20  # bytes


def columns_of(array: Shaped[np.ndarray, "n d"], dtype: type[np.generic]) -> Shaped[np.ndarray, "groups depth lanes"]:
    """Lay a matrix out for lookup: groups of 16 (float32) or 32 (int16) columns of a (depth, columns) matrix.

    Both the depth (to whole words) and the columns (to whole groups) are padded with zeros.

    Parameters
    ----------
    array
        (depth, columns); pass a transposed view to have inputs as columns.
    dtype
        float32 or int16.
    """
    depth, columns = array.shape
    width = BYTES // np.dtype(dtype).itemsize
    groups = -(-columns // width)
    laid = np.zeros((groups, -(-depth // WORD) * WORD, width), dtype=dtype)
    whole = columns // width
    laid[:whole, :depth] = array[:, : whole * width].reshape(depth, whole, width).transpose(1, 0, 2)
    if whole < groups:
        laid[whole, :depth, : columns - whole * width] = array[:, whole * width :]
    return laid


def streams(out: Shaped[np.ndarray, "n m"]) -> bool:
    """Say whether an output is better written past the caches: too large for them, and all its rows aligned."""
    return out.nbytes > _STREAMED and out.ctypes.data % BYTES == 0 and out.strides[0] % BYTES == 0


def split_groups(groups: int, rows: int, words: int) -> int:
    """Return how many groups a piece takes, so that pieces last about 100 us whatever the shape."""
    group_ns = max(1, min(rows, ROWS) * words * 1.3)
    return int(max(1, min(groups, _PIECE_NS // group_ns)))


@inlined()
@no_type_check
def sum_rows(columns, group, words, start, stop, tables, acc, signed):
    """Write the sums of rows start..stop over all words to `acc`, one vector a row; float32.

    Parameters
    ----------
    columns
        (groups, depth, lanes) from `columns_of`; `group` says which.
    words
        Packed bits, (words per row, padded rows).
    tables
        Scratch for the tables of two words.
    acc
        Room for 2 (stop - start) vectors; the second half is scratch.
    signed
        Whether a 0 bit means -1 or 0.
    """
    size = (stop - start) * lanes(acc)
    part = acc[size:]
    if len(words) == 0:
        acc[:size] = 0
    accumulate(columns, group, words, 0, min(CHUNK, len(words)), start, stop, tables, acc, signed)
    for chunk in range(CHUNK, len(words), CHUNK):
        accumulate(columns, group, words, chunk, min(chunk + CHUNK, len(words)), start, stop, tables, part, signed)
        for at in range(0, size, lanes(acc)):
            store(acc, at, add(load(acc, at), load(part, at)))


@inlined()
@no_type_check
def accumulate(columns, group, words, from_word, to_word, start, stop, tables, acc, signed):
    """Write the sums of rows start..stop over words from_word..to_word to `acc`; see `sum_rows`."""
    width = lanes(columns)
    count, stride = stop - start, words.shape[1]
    index = from_word
    while index < to_word:
        at = (group * len(words) + index) * 32 * width
        first, second = index * stride + start, (index + 1) * stride + start
        _tabulate_word(columns, at, tables, 0, signed)
        if index + 1 == to_word:
            for row in range(count):
                found = _sum_word(tables, 0, read(words, first + row))
                if index > from_word:
                    found = add(load(acc, row * width), found)
                store(acc, row * width, found)
        else:
            _tabulate_word(columns, at + 32 * width, tables, ENTRIES * width, signed)
            if index == from_word:
                for row in range(count):
                    found = _sum_two_words(tables, read(words, first + row), read(words, second + row))
                    store(acc, row * width, found)
            else:
                for row in range(count):
                    found = _sum_two_words(tables, read(words, first + row), read(words, second + row))
                    store(acc, row * width, add(load(acc, row * width), found))
        index += 2


@inlined()
@no_type_check
def _sum_two_words(tables, first, second):
    return add(_sum_word(tables, 0, first), _sum_word(tables, ENTRIES * lanes(tables), second))


@inlined()
@no_type_check
def _sum_word(tables, base, word):
    width = lanes(tables)
    low = add(
        load(tables, base + (word & 31) * width),
        load(tables, base + (32 + ((word >> 5) & 31)) * width),
    )
    middle = add(
        load(tables, base + (64 + ((word >> 10) & 31)) * width),
        load(tables, base + (96 + ((word >> 15) & 31)) * width),
    )
    high = add(
        load(tables, base + (128 + ((word >> 20) & 63)) * width),
        load(tables, base + (192 + (word >> 26)) * width),
    )
    return add(add(low, middle), high)


@inlined()
@no_type_check
def _tabulate_word(columns, at, tables, base, signed):
    width = lanes(columns)
    for table in range(4):
        _tabulate(columns, at + 5 * table * width, 5, tables, base + 32 * table * width, signed)
    for table in range(2):
        _tabulate(columns, at + (20 + 6 * table) * width, 6, tables, base + (128 + 64 * table) * width, signed)


@inlined()
@no_type_check
def _tabulate(columns, at, count, tables, base, signed):
    """Tabulate all sums of `count` vectors by doubling: adding never cancels, so infinities stay infinities."""
    width = lanes(columns)
    value = load(columns, at)
    store(tables, base, subtract(zeros(columns), value) if signed else zeros(columns))
    store(tables, base + width, value)
    size = 2 * width
    for k in range(1, count):
        value = load(columns, at + k * width)
        for entry in range(base, base + size, width):
            known = load(tables, entry)
            store(tables, entry + size, add(known, value))
            if signed:
                store(tables, entry, subtract(known, value))
        size *= 2


@inlined()
@no_type_check
def write_turned(acc, count, out, first_row, first_column, streaming):
    """Write `acc`, one vector of 16 elements for each of `count` columns, to out[first_row:, first_column:]."""
    stride = out.shape[1]
    rows = min(16, out.shape[0] - first_row)
    whole = count // 16 * 16 if rows == 16 else 0
    if streaming:
        for column in range(0, whole, 16):
            transpose(acc, column * 16, 16, out, first_row * stride + first_column + column, stride, 1)
    else:
        for column in range(0, whole, 16):
            transpose(acc, column * 16, 16, out, first_row * stride + first_column + column, stride, 0)
    for column in range(whole, count):
        for row in range(rows):
            write(out, (first_row + row) * stride + first_column + column, acc[column * 16 + row])
