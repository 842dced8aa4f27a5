"""q S^T and q T^T for int8 inputs by dot products of bytes (AVX-512 VNNI), where the processor has them.

`vpdpbusd` adds four products of an unsigned and a signed byte to each of 16 int32. Shifted right by k and masked with
0x01010101, a vector of 16 packed words is the bytes 0 or 1 of columns k, 8 + k, 16 + k and 24 + k of 16 rows. So two
operations expand 64 weights for all inputs of a tile, and one more multiplies them with an input. With bits B,

    y[i, r] = 2 sum_k B[r, k] q[i, k] - sum_k q[i, k].

Of ternary weights T both planes are first joined to codes T + 1 of 2 bits, half of the columns in a word, which are
expanded to bytes 0, 1 or 2 in the same way: five more operations for 512 weights, and

    y[i, r] = sum_k (T[r, k] + 1) q[i, k] - sum_k q[i, k].

The bytes of q are dealt into that order once (`_deal`), so that one broadcast reads the four that belong together.
"""

from __future__ import annotations

import functools
from typing import no_type_check

import numpy as np
from jaxtyping import Int8, Int32, UInt32
from llvmlite import ir
from numba import types

from ntk1bit.compiling import compiled
from ntk1bit.cores.backends import settings
from ntk1bit.cores.bits import WORD, PackedSigns
from ntk1bit.cores.simd import Vector, call_llvm, operation, pointer_to, splat
from ntk1bit.cores.ternary import PackedTernary, two_bit_codes
from ntk1bit.cores.threads import run_pieces

_NS = 1 / 400  # of one product of a byte and a bit, roughly
_PIECE_NS = 100_000  # time of a piece: long against the call of a kernel, short against a product worth two threads
_MOST_ROWS, _FEWEST_ROWS = 4096, 256
_LONGEST = 1 << 13  # words whose sums fit int32 where weights are up to 64 times as large
_AHEAD = 16  # lines asked for in advance: they lie pages apart, so the processor does not guess them
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)


def suits_byte_dots(n: int, rows: int) -> bool:
    """Tell whether byte products are the faster way, lookup tables being the other.

    Tables serve 32 inputs, however many there are, and filling them costs as much as looking up some 1,000 rows; where
    both are made good use of, they need 5/7 of the time.
    """
    lanes = -(-n // 32) * 32
    return 7 * n * rows <= 5 * lanes * (rows + 1000)


def multiply_bytes(q: Int8[np.ndarray, "n d"], p: PackedSigns | PackedTernary, out: Int32[np.ndarray, "n m"]) -> None:
    """Write `q @ S.T` or `q @ T.T` to `out`, exactly, for d < 2^24."""
    words = p.words if isinstance(p, PackedSigns) else p.planes
    _multiply_words(q, words[:_LONGEST], p.rows, out)
    for first in range(_LONGEST, len(words), _LONGEST):
        part = np.empty_like(out)
        _multiply_words(q[:, first * WORD :], words[first : first + _LONGEST], p.rows, part)
        out += part


def _multiply_words(
    q: Int8[np.ndarray, "n more"], words: UInt32[np.ndarray, "words ..."], m: int, out: Int32[np.ndarray, "n m"]
) -> None:
    """Write the products with some words to `out`, of as many of the columns of `q` as they have."""
    n, depth = len(q), len(words) * WORD
    dealt = np.empty((n, depth), dtype=np.int8)
    totals = np.empty(n, dtype=np.int32)
    _deal(np.ascontiguousarray(q[:, :depth]), dealt, totals)
    groups = dealt.view(np.int32)

    rows = int(min(max(_PIECE_NS / (n * depth * _NS), _FEWEST_ROWS), _MOST_ROWS)) // 128 * 128

    def piece(index: int) -> None:
        start = index * rows
        _multiply(groups, totals, words, start, min(start + rows, m), out)

    run_pieces(piece, -(-m // rows), threads=settings().threads, work_ns=n * depth * m * _NS)


@compiled
@no_type_check
def _deal(q, dealt, totals):
    """Copy the bytes of every 32 columns in the order 0, 8, 16, 24, 1, 9, ..., padded with 0, and add each row up."""
    n, d = q.shape
    for i in range(n):
        total = np.int32(0)
        for k in range(d):
            total += np.int32(q[i, k])
        totals[i] = total
        whole = d // 32
        for index in range(whole):
            deal(q, i * d + index * 32, dealt, i * dealt.shape[1] + index * 32)
        if whole * 32 < d:
            for k in range(32):
                column = whole * 32 + (k & 3) * 8 + (k >> 2)
                dealt[i, whole * 32 + k] = q[i, column] if column < d else np.int8(0)


@compiled
@no_type_check
def _multiply(q, totals, words, start, stop, out):
    n = len(q)
    i = 0
    while i + 8 <= n:
        row = start
        while row + 16 < stop:
            dot_tile(q, i, totals, words, row, stop, out, 2, 8)
            row += 32
        if row < stop:
            dot_tile(q, i, totals, words, row, stop, out, 1, 8)
        i += 8
    if i + 4 <= n:
        row = start
        while row + 48 < stop:
            dot_tile(q, i, totals, words, row, stop, out, 4, 4)
            row += 64
        while row < stop:
            dot_tile(q, i, totals, words, row, stop, out, 1, 4)
            row += 16
        i += 4
    while i < n:
        row = start
        while row + 48 < stop:
            dot_tile(q, i, totals, words, row, stop, out, 4, 1)
            row += 64
        while row < stop:
            dot_tile(q, i, totals, words, row, stop, out, 1, 1)
            row += 16
        i += 1


@operation
@no_type_check
def deal(_typing, source, _at, target, _to):
    """Copy 32 bytes, taking every eighth: 0, 8, 16, 24, 1, 9, ..."""
    kind = ir.VectorType(ir.IntType(8), 32)
    picks = [8 * (k & 3) + (k >> 2) for k in range(32)]

    def codegen(context, builder, _signature, args):
        value = builder.load(pointer_to(context, builder, source, args[0], args[1], kind), align=1)
        dealt = builder.shuffle_vector(
            value, ir.Constant(kind, ir.Undefined), ir.Constant(ir.VectorType(_I32, 32), picks)
        )
        builder.store(dealt, pointer_to(context, builder, target, args[2], args[3], kind), align=1)
        return context.get_dummy_value()

    return types.void(source, types.int64, target, types.int64), codegen


def _codes(builder, vector, loaded):
    """Return what weights are cut from: two words, with fields of one bit in half bytes or of two in bytes."""
    if len(loaded) == 2:
        return two_bit_codes(builder, vector, *loaded)
    return loaded[0], builder.lshr(loaded[0], ir.Constant(vector.llvm, [4] * vector.lanes))


@operation
@no_type_check
def dot_tile(_typing, q, _first, totals, words, _row, _stop, out, panels, inputs):
    """Write y of inputs first.. and rows row.. below stop to `out`: `panels` panels of 16 rows, `inputs` inputs.

    Parameters
    ----------
    q
        (n, 8 words per row) int32: the bytes of `_deal`.
    totals
        (n,) sums of the inputs.
    words
        (words per row, padded rows) of signs or (words per row, panels, 2, 16) of a ternary matrix; at most `_LONGEST`.
    out
        (n, m).
    panels, inputs
        Literal numbers. Their product, four times it for one input, is the number of registers that hold sums.
    """
    if not (isinstance(panels, types.IntegerLiteral) and isinstance(inputs, types.IntegerLiteral)):
        return None
    vector = Vector(types.int32)
    bits = 1 if words.ndim == 2 else 2
    # With one input, weights stay at their place in the byte, up to 64 times as large, and each place has its own sums.
    fields = range(4 if inputs.literal_value == 1 else 1)
    outputs = [(panel, i) for i in range(inputs.literal_value) for panel in range(panels.literal_value)]
    tile = [(*place, field) for place in outputs for field in fields]

    def codegen(context, builder, _signature, args):
        q_array, first, totals_array, words_array, row, stop, out_array, _, _ = args
        i64 = functools.partial(ir.Constant, _I64)

        def repeated(value):
            return ir.Constant(vector.llvm, [value] * vector.lanes)

        def shape(kind, array, axis):
            return builder.extract_value(context.make_array(kind)(context, builder, array).shape, axis)

        q_stride, columns = shape(q, q_array, 1), shape(out, out_array, 1)
        depth, size = shape(words, words_array, 0), shape(words, words_array, 1)
        size = builder.mul(size, i64(1 if bits == 1 else 2 * vector.lanes))
        before = builder.block
        body, after = builder.append_basic_block("tile"), builder.append_basic_block("tile.end")
        builder.branch(body)
        builder.position_at_end(body)
        index = builder.phi(_I64)
        index.add_incoming(i64(0), before)
        sums = {}
        for place in tile:
            sums[place] = builder.phi(vector.llvm)
            sums[place].add_incoming(ir.Constant(vector.llvm, None), before)
        here = builder.add(builder.mul(index, size), builder.mul(row, i64(bits)))
        ahead = builder.add(here, builder.mul(size, i64(_AHEAD // panels.literal_value)))
        loaded = []
        for line in range(bits * panels.literal_value):
            at = builder.add(here, i64(vector.lanes * line))
            loaded.append(builder.load(pointer_to(context, builder, words, words_array, at, vector.llvm), align=4))
            at = builder.add(ahead, i64(vector.lanes * line))
            pointer = pointer_to(context, builder, words, words_array, at, ir.IntType(8))
            flags = [ir.Constant(_I32, flag) for flag in (0, 3, 1)]  # to read, into all caches, data
            call_llvm(builder, "llvm.prefetch.p0", ir.VoidType(), [pointer, *flags])
        found = [
            _codes(builder, vector, loaded[bits * panel : bits * (panel + 1)]) for panel in range(panels.literal_value)
        ]
        now = dict(sums)
        for k in range(8):
            code, field = (k // 4, k % 4) if bits == 1 else (k % 2, k // 2)
            shift, mask = bits * field, (2**bits - 1) * 0x01010101
            weights = []
            for codes in found:
                if len(fields) == 1:
                    weights.append(builder.and_(builder.lshr(codes[code], repeated(shift)), repeated(mask)))
                else:
                    weights.append(builder.and_(codes[code], repeated(mask << shift)))
            for i in range(inputs.literal_value):
                at = builder.add(builder.mul(builder.add(first, i64(i)), q_stride), builder.mul(index, i64(8)))
                at = builder.add(at, i64(k))
                four = builder.load(pointer_to(context, builder, q, q_array, at, _I32), align=4)
                inputs_here = splat(builder, vector, four)
                for panel in range(panels.literal_value):
                    place = panel, i, field % len(fields)
                    operands = [now[place], weights[panel], inputs_here]
                    now[place] = call_llvm(builder, "llvm.x86.avx512.vpdpbusd.512", vector.llvm, operands)
        following = builder.add(index, i64(1))
        index.add_incoming(following, body)
        for place in tile:
            sums[place].add_incoming(now[place], body)
        builder.cbranch(builder.icmp_signed("<", following, depth), body, after)
        builder.position_at_end(after)
        lane = ir.Constant(vector.llvm, list(range(vector.lanes)))
        for panel, i in outputs:
            at_row = builder.add(row, i64(vector.lanes * panel))
            left = splat(builder, vector, builder.trunc(builder.sub(stop, at_row), _I32))
            mask = builder.icmp_signed("<", lane, left)
            number = builder.add(first, i64(i))
            total = builder.load(pointer_to(context, builder, totals, totals_array, number, _I32))
            scaled = [builder.ashr(now[panel, i, field], repeated(bits * field)) for field in fields]
            value = builder.shl(functools.reduce(builder.add, scaled), repeated(2 - bits))
            value = builder.sub(value, splat(builder, vector, total))
            at = builder.add(builder.mul(number, columns), at_row)
            pointer = pointer_to(context, builder, out, out_array, at, vector.llvm)
            call_llvm(
                builder,
                "llvm.masked.store.v16i32.p0",
                ir.VoidType(),
                [value, pointer, ir.Constant(_I32, 4), mask],
            )
        return context.get_dummy_value()

    i64 = types.int64
    return types.void(q, i64, totals, words, i64, i64, out, panels, inputs), codegen
