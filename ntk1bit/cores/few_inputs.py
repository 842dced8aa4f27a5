"""x S^T for a handful of inputs: neurons in the lanes, lookup tables in registers (AVX-512, AVX2).

With one input a table in memory would be used too seldom to be worth filling. Here tables are registers that all
neurons use before the next 32 inputs are tabulated. With AVX-512 a pair of registers holds the 32 sums of 5 inputs
under all signs and `vpermi2ps` looks 16 neurons up at once; with AVX2 one register holds the 8 sums of 3 inputs and
`vpermps` looks 8 neurons up. The limit is one permutation a cycle.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float32
from llvmlite import ir
from numba import types

from ntk1bit.compiling import compiled, inlined
from ntk1bit.cores.backends import settings
from ntk1bit.cores.bits import WORD, PackedSigns, pad_columns
from ntk1bit.cores.lookup import CHUNK
from ntk1bit.cores.simd import add, broadcast, call_llvm, load, operation, read, splat, store, subtract, zeros
from ntk1bit.cores.threads import aligned_empty, run_pieces

_ROWS = 4096  # neurons per piece; their sums stay in the first-level cache
_I32 = ir.IntType(32)


def multiply_few(x: Float32[np.ndarray, "n d"], p: PackedSigns, out: Float32[np.ndarray, "n m"]) -> None:
    """Write `x @ S.T` to `out`, one input at a time."""
    padded = pad_columns(x, len(p.words) * WORD)
    blocks = -(-p.rows // _ROWS)
    words = len(p.words)
    add_words = _add_fives if settings().backend == "avx512" else _add_threes

    def piece(index: int) -> None:
        row, block = divmod(index, blocks)
        start = block * _ROWS
        stop = min(start + _ROWS, p.rows)
        sums, part = aligned_empty(2 * _ROWS, np.float32).reshape(2, _ROWS)
        add_words(padded, row, p.words, 0, min(CHUNK, words), start, stop, sums)
        for chunk in range(CHUNK, words, CHUNK):
            add_words(padded, row, p.words, chunk, min(chunk + CHUNK, words), start, stop, part)
            with np.errstate(all="ignore"):  # as quiet as the kernels; what lies beyond the rows is anything
                sums += part
        out[row, start:stop] = sums[: stop - start]

    run_pieces(piece, blocks * len(x), threads=settings().threads, work_ns=len(x) * p.words.size * 0.13)


@compiled
@no_type_check
def _add_fives(x, row, words, from_word, to_word, start, stop, acc):
    """Write the sums of rows start..stop over words from_word..to_word to `acc`, 5 inputs a look-up."""
    padded = (stop - start + 15) >> 4 << 4
    for at in range(0, padded, 16):
        store(acc, at, zeros(acc))
    for index in range(from_word, to_word):
        k = row * x.shape[1] + index * 32
        a0, b0, c0 = _minus(x, k), _minus(x, k + 5), _minus(x, k + 10)
        d0, e0, f0 = _minus(x, k + 15), _minus(x, k + 20), _minus(x, k + 25)
        a1, b1, c1 = _plus(x, k), _plus(x, k + 5), _plus(x, k + 10)
        d1, e1, f1 = _plus(x, k + 15), _plus(x, k + 20), _plus(x, k + 25)
        g = add(flip_signs(broadcast(read(x, k + 30)), 0), flip_signs(broadcast(read(x, k + 31)), 1))
        for at in range(0, padded, 16):
            bits = load(words, index * words.shape[1] + start + at)
            low = add(
                add(lookup32(a0, bits, a1), lookup32(b0, shift_right(bits, 5), b1)),
                add(lookup32(c0, shift_right(bits, 10), c1), lookup32(d0, shift_right(bits, 15), d1)),
            )
            high = add(
                add(lookup32(e0, shift_right(bits, 20), e1), lookup32(f0, shift_right(bits, 25), f1)),
                lookup16(g, shift_right(bits, 30)),
            )
            store(acc, at, add(load(acc, at), add(low, high)))


@compiled
@no_type_check
def _add_threes(x, row, words, from_word, to_word, start, stop, acc):
    """Do as `_add_fives` does, 3 inputs a look-up."""
    padded = (stop - start + 15) >> 4 << 4
    for at in range(0, padded, 16):
        store(acc, at, zeros(acc))
    for index in range(from_word, to_word):
        k = row * x.shape[1] + index * 32
        a, b, c, d = _three(x, k), _three(x, k + 3), _three(x, k + 6), _three(x, k + 9)
        e, f, g, h = _three(x, k + 12), _three(x, k + 15), _three(x, k + 18), _three(x, k + 21)
        i, j = _three(x, k + 24), _three(x, k + 27)
        last = add(flip_signs(broadcast(read(x, k + 30)), 0), flip_signs(broadcast(read(x, k + 31)), 1))
        for at in range(0, padded, 16):
            bits = load(words, index * words.shape[1] + start + at)
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
            store(acc, at, add(load(acc, at), add(add(low, middle), high)))


@inlined()
@no_type_check
def _three(x, k):
    """Return the 8 sums of x[k : k + 3] with all signs, twice; bit j of the place is the sign of term j."""
    low = add(flip_signs(broadcast(read(x, k)), 0), flip_signs(broadcast(read(x, k + 1)), 1))
    return add(low, flip_signs(broadcast(read(x, k + 2)), 2))


@inlined()
@no_type_check
def _four(x, k):
    """Return the 16 sums of x[k : k + 4] with all signs; bit j of the place is the sign of term j."""
    low = add(flip_signs(broadcast(read(x, k)), 0), flip_signs(broadcast(read(x, k + 1)), 1))
    high = add(flip_signs(broadcast(read(x, k + 2)), 2), flip_signs(broadcast(read(x, k + 3)), 3))
    return add(low, high)


@inlined()
@no_type_check
def _minus(x, k):
    """Return the half of the table of x[k : k + 5] whose last sign is -1."""
    return subtract(_four(x, k), broadcast(read(x, k + 4)))


@inlined()
@no_type_check
def _plus(x, k):
    """Return the half of the table of x[k : k + 5] whose last sign is +1."""
    return add(_four(x, k), broadcast(read(x, k + 4)))


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
def flip_signs(_typing, vector, bit):
    """Change the sign of the float32 lanes whose number has a 0 in binary place `bit`, a literal."""
    if not isinstance(bit, types.IntegerLiteral):
        return None
    masks = [0 if lane >> bit.literal_value & 1 else 1 << 31 for lane in range(vector.lanes)]

    def codegen(_context, builder, _signature, args):
        integers = ir.VectorType(_I32, vector.lanes)
        flipped = builder.xor(builder.bitcast(args[0], integers), ir.Constant(integers, masks))
        return builder.bitcast(flipped, vector.llvm)

    return vector(vector, bit), codegen
