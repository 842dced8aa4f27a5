"""x S^T and x T^T for a handful of inputs: neurons in the lanes, lookup tables in registers (AVX-512, AVX2).

With one input a table in memory would be used too seldom to be worth filling. Here tables are registers that all
neurons use before the next 32 inputs are tabulated. With AVX-512 a pair of registers holds the 32 sums of 5 inputs
under all signs and `vpermi2ps` looks 16 neurons up at once; with AVX2 one register holds the 8 sums of 3 inputs and
`vpermps` looks 8 neurons up. The limit is one permutation a cycle. Ternary weights look the sums of some inputs up
twice: where they are +1, and where they are -1. 0 times an input that is not finite is part of them, so it shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import no_type_check

import numpy as np
from jaxtyping import Float32, UInt32
from llvmlite import ir
from numba import types

from ntk1bit.compiling import compiled, inlined
from ntk1bit.cores.backends import settings
from ntk1bit.cores.bits import WORD, PackedSigns, pad_columns
from ntk1bit.cores.lookup import CHUNK
from ntk1bit.cores.simd import add, broadcast, call_llvm, load, operation, read, splat, store, subtract, zeros
from ntk1bit.cores.ternary import PackedTernary
from ntk1bit.cores.threads import aligned_empty, run_pieces

_ROWS = 4096  # neurons per piece; their sums stay in the first-level cache
_I32 = ir.IntType(32)


def multiply_few(x: Float32[np.ndarray, "n d"], p: PackedSigns, out: Float32[np.ndarray, "n m"]) -> None:
    """Write `x @ S.T` to `out`, one input at a time."""
    fives = settings().backend == "avx512"
    _by_pieces(x, p.words, p.rows, out, _add_fives if fives else _add_threes)


def multiply_few_ternary(x: Float32[np.ndarray, "n d"], p: PackedTernary, out: Float32[np.ndarray, "n m"]) -> None:
    """Write `x @ T.T` to `out`, one input at a time."""
    fives = settings().backend == "avx512"
    _by_pieces(x, p.planes, p.rows, out, _add_ternary_fives if fives else _add_ternary_threes)


def _by_pieces(
    x: Float32[np.ndarray, "n d"],
    words: UInt32[np.ndarray, "words ..."],
    rows: int,
    out: Float32[np.ndarray, "n m"],
    add_words: Callable[..., None],
) -> None:
    count = len(words)
    padded = pad_columns(x, count * WORD)
    blocks = -(-rows // _ROWS)

    def piece(index: int) -> None:
        row, block = divmod(index, blocks)
        start = block * _ROWS
        stop = min(start + _ROWS, rows)
        sums, part = aligned_empty(2 * _ROWS, np.float32).reshape(2, _ROWS)
        add_words(padded, row, words, 0, min(CHUNK, count), start, stop, sums)
        for chunk in range(CHUNK, count, CHUNK):
            add_words(padded, row, words, chunk, min(chunk + CHUNK, count), start, stop, part)
            with np.errstate(all="ignore"):  # as quiet as the kernels; what lies beyond the rows is anything
                sums += part
        out[row, start:stop] = sums[: stop - start]

    run_pieces(piece, blocks * len(x), threads=settings().threads, work_ns=len(x) * words.size * 0.13)


@compiled
@no_type_check
def _add_fives(x, row, words, from_word, to_word, start, stop, acc):
    """Write the sums of rows start..stop over words from_word..to_word to `acc`, 5 inputs a look-up."""
    padded = (stop - start + 15) >> 4 << 4
    for at in range(0, padded, 16):
        store(acc, at, zeros(acc))
    for index in range(from_word, to_word):
        tables = _fives(x, row * x.shape[1] + index * 32, np.float32(-1))
        for at in range(0, padded, 16):
            found = _look_fives_up(tables, load(words, index * words.shape[1] + start + at))
            store(acc, at, add(load(acc, at), found))


@compiled
@no_type_check
def _add_ternary_fives(x, row, planes, from_word, to_word, start, stop, acc):
    """Do as `_add_fives` does for ternary weights: sums where they are +1, less sums where they are -1."""
    padded = (stop - start + 15) >> 4 << 4
    for at in range(0, padded, 16):
        store(acc, at, zeros(acc))
    for index in range(from_word, to_word):
        tables = _fives(x, row * x.shape[1] + index * 32, np.float32(0))
        for at in range(0, padded, 16):
            here = 2 * (index * planes.shape[1] * 16 + start + at)
            plus, minus = _look_fives_up(tables, load(planes, here)), _look_fives_up(tables, load(planes, here + 16))
            store(acc, at, add(load(acc, at), subtract(plus, minus)))


@compiled
@no_type_check
def _add_threes(x, row, words, from_word, to_word, start, stop, acc):
    """Do as `_add_fives` does, 3 inputs a look-up."""
    padded = (stop - start + 15) >> 4 << 4
    for at in range(0, padded, 16):
        store(acc, at, zeros(acc))
    for index in range(from_word, to_word):
        tables = _threes(x, row * x.shape[1] + index * 32, np.float32(-1))
        for at in range(0, padded, 16):
            found = _look_threes_up(tables, load(words, index * words.shape[1] + start + at))
            store(acc, at, add(load(acc, at), found))


@compiled
@no_type_check
def _add_ternary_threes(x, row, planes, from_word, to_word, start, stop, acc):
    """Do as `_add_ternary_fives` does, 3 inputs a look-up."""
    padded = (stop - start + 15) >> 4 << 4
    for at in range(0, padded, 16):
        store(acc, at, zeros(acc))
    for index in range(from_word, to_word):
        tables = _threes(x, row * x.shape[1] + index * 32, np.float32(0))
        for at in range(0, padded, 16):
            here = 2 * (index * planes.shape[1] * 16 + start + at)
            plus, minus = _look_threes_up(tables, load(planes, here)), _look_threes_up(tables, load(planes, here + 16))
            store(acc, at, add(load(acc, at), subtract(plus, minus)))


@inlined()
@no_type_check
def _fives(x, k, low):
    """Return the tables of x[k : k + 32] by fives, in two halves, and of the last two; a bit 0 weighs `low`."""
    last = add(weighted(broadcast(read(x, k + 30)), 0, low), weighted(broadcast(read(x, k + 31)), 1, low))
    return (
        *(_lower(x, k, low), _upper(x, k, low)),
        *(_lower(x, k + 5, low), _upper(x, k + 5, low)),
        *(_lower(x, k + 10, low), _upper(x, k + 10, low)),
        *(_lower(x, k + 15, low), _upper(x, k + 15, low)),
        *(_lower(x, k + 20, low), _upper(x, k + 20, low)),
        *(_lower(x, k + 25, low), _upper(x, k + 25, low)),
        last,
    )


@inlined()
@no_type_check
def _look_fives_up(tables, bits):
    a0, a1, b0, b1, c0, c1, d0, d1, e0, e1, f0, f1, last = tables
    low = add(
        add(lookup32(a0, bits, a1), lookup32(b0, shift_right(bits, 5), b1)),
        add(lookup32(c0, shift_right(bits, 10), c1), lookup32(d0, shift_right(bits, 15), d1)),
    )
    high = add(
        add(lookup32(e0, shift_right(bits, 20), e1), lookup32(f0, shift_right(bits, 25), f1)),
        lookup16(last, shift_right(bits, 30)),
    )
    return add(low, high)


@inlined()
@no_type_check
def _threes(x, k, low):
    """Return the tables of x[k : k + 32] by threes, and of the last two; a bit 0 weighs `low`."""
    last = add(weighted(broadcast(read(x, k + 30)), 0, low), weighted(broadcast(read(x, k + 31)), 1, low))
    return (
        *(_three(x, k, low), _three(x, k + 3, low), _three(x, k + 6, low), _three(x, k + 9, low)),
        *(_three(x, k + 12, low), _three(x, k + 15, low), _three(x, k + 18, low), _three(x, k + 21, low)),
        *(_three(x, k + 24, low), _three(x, k + 27, low), last),
    )


@inlined()
@no_type_check
def _look_threes_up(tables, bits):
    a, b, c, d, e, f, g, h, i, j, last = tables
    low = add(
        add(lookup8(a, bits), lookup8(b, shift_right(bits, 3))),
        add(lookup8(c, shift_right(bits, 6)), lookup8(d, shift_right(bits, 9))),
    )
    middle = add(
        add(lookup8(e, shift_right(bits, 12)), lookup8(f, shift_right(bits, 15))),
        add(lookup8(g, shift_right(bits, 18)), lookup8(h, shift_right(bits, 21))),
    )
    high = add(
        add(lookup8(i, shift_right(bits, 24)), lookup8(j, shift_right(bits, 27))),
        lookup8(last, shift_right(bits, 30)),
    )
    return add(add(low, middle), high)


@inlined()
@no_type_check
def _three(x, k, low):
    """Return the 8 sums of x[k : k + 3], twice; bit j of the place says whether term j weighs 1 or `low`."""
    two = add(weighted(broadcast(read(x, k)), 0, low), weighted(broadcast(read(x, k + 1)), 1, low))
    return add(two, weighted(broadcast(read(x, k + 2)), 2, low))


@inlined()
@no_type_check
def _four(x, k, low):
    """Return the 16 sums of x[k : k + 4]; bit j of the place says whether term j weighs 1 or `low`."""
    first = add(weighted(broadcast(read(x, k)), 0, low), weighted(broadcast(read(x, k + 1)), 1, low))
    second = add(weighted(broadcast(read(x, k + 2)), 2, low), weighted(broadcast(read(x, k + 3)), 3, low))
    return add(first, second)


@inlined()
@no_type_check
def _lower(x, k, low):
    """Return the half of the table of x[k : k + 5] whose last term weighs `low`."""
    return add(_four(x, k, low), weighted(broadcast(read(x, k + 4)), 4, low))


@inlined()
@no_type_check
def _upper(x, k, low):
    """Return the half of the table of x[k : k + 5] whose last term weighs 1."""
    return add(_four(x, k, low), broadcast(read(x, k + 4)))


@operation
@no_type_check
def lookup32(_typing, low, indices, _high):
    """Look the low 5 bits of each index up in 32 float32, the first 16 of them in `low`."""

    def codegen(_context, builder, _signature, args):
        return call_llvm(builder, "llvm.x86.avx512.vpermi2var.ps.512", low.llvm, args)

    return low(low, indices, low), codegen


@operation
@no_type_check
def lookup16(_typing, table, indices):
    """Look the low 4 bits of each index up in a table of 16 float32 (`vpermps`; needs AVX-512)."""

    def codegen(_context, builder, _signature, args):
        return call_llvm(builder, "llvm.x86.avx512.permvar.sf.512", table.llvm, args)

    return table(table, indices), codegen


@operation
@no_type_check
def lookup8(_typing, table, indices):
    """Look the low 3 bits of each index up in the first 8 float32 of a table (`vpermps`; needs AVX2)."""
    half = ir.VectorType(ir.FloatType(), 8)

    def codegen(_context, builder, _signature, args):
        def lanes(vector, first):
            return builder.shuffle_vector(
                vector, vector, ir.Constant(ir.VectorType(_I32, 8), list(range(first, first + 8)))
            )

        entries = lanes(args[0], 0)
        found = [call_llvm(builder, "llvm.x86.avx2.permps", half, [entries, lanes(args[1], at)]) for at in (0, 8)]
        return builder.shuffle_vector(*found, ir.Constant(ir.VectorType(_I32, 16), list(range(16))))

    return table(table, indices), codegen


@operation
@no_type_check
def shift_right(_typing, vector, _count):
    """Shift every uint32 lane right by `count` bits."""

    def codegen(_context, builder, _signature, args):
        return builder.lshr(args[0], splat(builder, vector, builder.trunc(args[1], _I32)))

    return vector(vector, types.int64), codegen


@operation
@no_type_check
def weighted(_typing, vector, bit, _low):
    """Multiply the float32 lanes whose number has a 0 in binary place `bit`, a literal, by `low`."""
    if not isinstance(bit, types.IntegerLiteral):
        return None
    kept = [lane >> bit.literal_value & 1 for lane in range(vector.lanes)]

    def codegen(_context, builder, _signature, args):
        mask = ir.Constant(ir.VectorType(ir.IntType(1), vector.lanes), kept)
        return builder.select(mask, args[0], builder.fmul(args[0], splat(builder, vector, args[2])))

    return vector(vector, bit, types.float32), codegen
