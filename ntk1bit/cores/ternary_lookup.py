"""Ternary products by table lookup, for many inputs: as `lookup` does it for bits, with tables of 4 entries.

    acc[r, :] = sum_k T[r, k] C[k, :],    T in {-1, 0, +1}

All 81 sums of 4 rows of C are tabulated; eight such tables, 41 KB, serve 32 columns with eight look-ups, where two
planes of bits would need twelve. Sums are those of the entries that are not 0, in float32 without cancellation, and a
number that is not finite shows in all sums of its input, as in the plain product. Half as many tables, 21 KB, for half
as many columns at a time were measured to take a sixth longer with a first-level cache of 48 KB.
"""

from __future__ import annotations

from typing import no_type_check

from llvmlite import ir
from numba import types

from ntk1bit.compiling import inlined
from ntk1bit.cores.lookup import CHUNK
from ntk1bit.cores.simd import add, lanes, load, operation, read, store, subtract, zeros
from ntk1bit.cores.ternary import base_three_codes

ENTRIES = 648  # table entries for 32 columns: 8 x 3^4


@inlined()
@no_type_check
def sum_ternary_rows(columns, group, planes, start, stop, codes, tables, acc):
    """Write the sums of rows start..stop over all words to `acc`, one vector a row; float32.

    Parameters
    ----------
    columns
        (groups, depth, lanes) from `lookup.columns_of`; `group` says which.
    planes
        `PackedTernary.planes`.
    codes
        Scratch for a uint64 a row, rows padded to 16.
    tables
        Scratch for `ENTRIES` vectors.
    acc
        Room for 2 (stop - start) vectors; the second half is scratch.
    """
    size = (stop - start) * lanes(acc)
    part = acc[size:]
    words = len(planes)
    accumulate_ternary(columns, group, planes, 0, min(CHUNK, words), start, stop, codes, tables, acc)
    for chunk in range(CHUNK, words, CHUNK):
        until = min(chunk + CHUNK, words)
        accumulate_ternary(columns, group, planes, chunk, until, start, stop, codes, tables, part)
        for at in range(0, size, lanes(acc)):
            store(acc, at, add(load(acc, at), load(part, at)))


@inlined()
@no_type_check
def accumulate_ternary(columns, group, planes, from_word, to_word, start, stop, codes, tables, acc):
    """Write the sums of rows start..stop over words from_word..to_word to `acc`; see `sum_ternary_rows`."""
    width = lanes(columns)
    count = stop - start
    for index in range(from_word, to_word):
        first = 2 * (index * planes.shape[1] * 16 + start)
        for row in range(0, count, 16):
            plus, minus = load(planes, first + 2 * row), load(planes, first + 2 * row + 16)
            store(codes, row, base_three_codes(plus, minus, 0))
            store(codes, row + 8, base_three_codes(plus, minus, 1))
        at = (group * len(planes) + index) * 32 * width
        for byte in range(4):
            _tabulate(columns, at + 8 * byte * width, tables, 81 * byte * width)
            _tabulate(columns, at + (8 * byte + 1) * width, tables, 81 * (byte + 4) * width)
        if index == from_word:
            for row in range(count):
                store(acc, row * width, _look_up(tables, read(codes, row)))
        else:
            for row in range(count):
                found = _look_up(tables, read(codes, row))
                store(acc, row * width, add(load(acc, row * width), found))


@inlined()
@no_type_check
def _look_up(tables, code):
    return add(_sum_four(tables, 0, code), _sum_four(tables, 4 * 81 * lanes(tables), code >> 32))


@inlined()
@no_type_check
def _sum_four(tables, base, code):
    width = lanes(tables)
    low = add(
        load(tables, base + (code & 255) * width),
        load(tables, base + (81 + ((code >> 8) & 255)) * width),
    )
    high = add(
        load(tables, base + (162 + ((code >> 16) & 255)) * width),
        load(tables, base + (243 + ((code >> 24) & 255)) * width),
    )
    return add(low, high)


@inlined()
@no_type_check
def _tabulate(columns, at, tables, base):
    """Tabulate all sums of every second of 8 vectors, with weights -1, 0 and +1; the last has the highest place."""
    width = lanes(columns)
    store(tables, base, zeros(columns))
    size = width
    for k in range(4):
        value = load(columns, at + 2 * k * width)
        nothing = times_zero(value)
        for entry in range(base, base + size, width):
            known = load(tables, entry)
            store(tables, entry, subtract(known, value))
            store(tables, entry + size, add(known, nothing))
            store(tables, entry + 2 * size, add(known, value))
        size *= 3


@operation
@no_type_check
def times_zero(_typing, vector):
    """Return 0 times every lane: NaN where a float is not finite."""

    def codegen(_context, builder, _signature, args):
        zero = ir.Constant(vector.llvm, None)
        return builder.fmul(args[0], zero) if isinstance(vector.element, types.Float) else zero

    return vector(vector), codegen
