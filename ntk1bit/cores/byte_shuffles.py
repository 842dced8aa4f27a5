"""q S^T and q T^T for a few int8 inputs: neurons in the lanes, 16 sums looked up by byte shuffles (AVX2, NEON).

With bits B, y[i, r] = 2 sum_k B[r, k] q[i, k] - sum_k q[i, k]. Four bits are half a byte, and 4 inputs have 16 sums. A
byte shuffle (`vpshufb`, `tbl`) looks 16 such halves up in a table of 16 bytes, so a table of the lowest 6 bits of the
sums and one of what is above give the sums of 4 inputs for as many neurons as a register has bytes. Both are added as
bytes for as long as they fit (4 and 16 look-ups), then in 16 bits, those in even and in odd places apart. Of ternary
weights the tables, built once, are looked up for both planes, and the sums subtracted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import no_type_check

import numpy as np
from jaxtyping import Int8, Int32
from llvmlite import ir
from numba import types

from ntk1bit.compiling import compiled, inlined
from ntk1bit.cores.backends import cpu_features, settings
from ntk1bit.cores.bits import PANEL, WORD, PackedSigns, pad_columns
from ntk1bit.cores.simd import Vector, add, call_llvm, load, operation, pointer_to, store, subtract, widen, zeros
from ntk1bit.cores.ternary import PackedTernary
from ntk1bit.cores.threads import aligned_empty, run_pieces

_ROWS = 4096  # neurons per piece; their sums stay in the first-level cache
_TOGETHER = 64  # neurons whose bytes fill a vector
_CHUNK = 4  # words whose sums fit int16: 4 x 32 x 128 = 16384
_PAIR = 2  # words whose upper parts, from -8 to 7 for 4 inputs, fit a byte: 16 x -8 = -128
_BYTES = Vector(types.int8)
_SHORTS = Vector(types.int16)
_I8, _I32 = ir.IntType(8), ir.IntType(32)


def _order() -> np.ndarray:
    """Return which of 64 neurons each sum belongs to: even places before odd ones, places as `byte_of` deals them."""
    sums = np.arange(_TOGETHER)
    place = 2 * (sums % 32) + sums // 32
    return 16 * (place % 16 // 4) + 4 * (place // 16) + place % 4


_ORDER = _order()


def multiply_by_shuffles(q: Int8[np.ndarray, "n d"], p: PackedSigns, out: Int32[np.ndarray, "n m"]) -> None:
    """Write `q @ S.T` to `out`, exactly, for d < 2^24, one input at a time."""
    totals = q.sum(axis=1, dtype=np.int32)
    tables = _tables(q, len(p.words))
    whole = p.rows // _TOGETHER * _TOGETHER
    rest = pad_columns(p.words[:, whole:], _TOGETHER)

    def multiply(row: int, start: int, stop: int) -> None:
        acc = aligned_empty(_ROWS, np.int32)
        if start < whole:
            _multiply(tables, row, p.words, start, stop, _ORDER, acc, totals, out, start)
        else:
            _multiply(tables, row, rest, 0, stop - whole, _ORDER, acc, totals, out, whole)

    _by_pieces(multiply, len(q), p.rows, work_ns=len(q) * p.words.size * 0.5)


def multiply_ternary_by_shuffles(q: Int8[np.ndarray, "n d"], p: PackedTernary, out: Int32[np.ndarray, "n m"]) -> None:
    """Write `q @ T.T` to `out`, exactly, for d < 2^24, one input at a time."""
    words = len(p.planes)
    tables = _tables(q, words)
    whole = p.rows // _TOGETHER * _TOGETHER
    rest = np.zeros((words, _TOGETHER // PANEL, 2, PANEL), dtype=np.uint32)
    rest[:, : p.planes.shape[1] - whole // PANEL] = p.planes[:, whole // PANEL :]

    def multiply(row: int, start: int, stop: int) -> None:
        acc = aligned_empty(_ROWS, np.int32)
        if start < whole:
            _multiply_ternary(tables, row, p.planes, start, stop, _ORDER, acc, out, start)
        else:
            _multiply_ternary(tables, row, rest, 0, stop - whole, _ORDER, acc, out, whole)

    _by_pieces(multiply, len(q), p.rows, work_ns=len(q) * p.planes.size * 0.5)


def _tables(q: Int8[np.ndarray, "n d"], row_words: int) -> Int8[np.ndarray, "n groups 32"]:
    tables = np.empty((len(q), row_words * 8, 32), dtype=np.int8)
    _tabulate(pad_columns(q, row_words * WORD), tables)
    return tables


def _by_pieces(multiply: Callable[[int, int, int], None], n: int, m: int, *, work_ns: float) -> None:
    """Call `multiply(input, start, stop)` for blocks of neurons and, if the last do not fill a vector, for these."""
    whole = m // _TOGETHER * _TOGETHER
    blocks = [(start, min(start + _ROWS, whole)) for start in range(0, whole, _ROWS)]
    blocks += [(whole, m)] if whole < m else []

    def piece(index: int) -> None:
        block, row = divmod(index, n)
        multiply(row, *blocks[block])

    run_pieces(piece, len(blocks) * n, threads=settings().threads, work_ns=work_ns)


@compiled
@no_type_check
def _tabulate(q, tables):
    """Write the tables of every 4 inputs, q (n, 4 groups) padded with zeros."""
    for group in range(q.size >> 2):
        tabulate(q, 4 * group, tables, 32 * group)


@compiled
@no_type_check
def _multiply(tables, row, words, start, stop, order, acc, totals, out, first):
    stride = words.shape[1]
    padded = (stop - start + 63) >> 6 << 6
    for at in range(0, padded, 16):
        store(acc, at, zeros(acc))
    for chunk in range(0, len(words), _CHUNK):
        until = min(chunk + _CHUNK, len(words))
        for at in range(0, padded, 64):
            even, odd = _sum_words(tables, row, words, chunk, until, start + at, stride, 16)
            _add_widened(acc, at, even, odd)
    for at in range(0, padded, 64):
        for index in range(64):
            neuron = at + order[index]
            if neuron < stop - start:
                out[row, first + neuron] = 2 * acc[at + index] - totals[row]


@compiled
@no_type_check
def _multiply_ternary(tables, row, planes, start, stop, order, acc, out, first):
    stride = planes.shape[1] * 32
    padded = (stop - start + 63) >> 6 << 6
    for at in range(0, padded, 16):
        store(acc, at, zeros(acc))
    for chunk in range(0, len(planes), _CHUNK):
        until = min(chunk + _CHUNK, len(planes))
        for at in range(0, padded, 64):
            even, odd = _sum_words(tables, row, planes, chunk, until, 2 * (start + at), stride, 32)
            less_even, less_odd = _sum_words(tables, row, planes, chunk, until, 2 * (start + at) + 16, stride, 32)
            _add_widened(acc, at, subtract(even, less_even), subtract(odd, less_odd))
    for at in range(0, padded, 64):
        for index in range(64):
            neuron = at + order[index]
            if neuron < stop - start:
                out[row, first + neuron] = acc[at + index]


@inlined()
@no_type_check
def _sum_words(tables, row, words, chunk, until, at, stride, apart):
    """Return the sums of 64 neurons over some words, in even and in odd places; panels are `apart` words apart."""
    even = odd = widen(zeros(tables), 0)
    for pair in range(chunk, until, _PAIR):
        high = zeros(tables)
        for index in range(pair, min(pair + _PAIR, until)):
            here = index * stride + at
            table = (row * tables.shape[1] + 8 * index) * 32
            a, b = load(words, here), load(words, here + apart)
            c, d = load(words, here + 2 * apart), load(words, here + 3 * apart)
            low, high = _look_up(tables, table, byte_of(a, b, c, d, 0), byte_of(a, b, c, d, 1), high)
            even, odd = add(even, places(low, 0, 0)), add(odd, places(low, 1, 0))
            low, high = _look_up(tables, table + 128, byte_of(a, b, c, d, 2), byte_of(a, b, c, d, 3), high)
            even, odd = add(even, places(low, 0, 0)), add(odd, places(low, 1, 0))
        even, odd = add(even, places(high, 0, 6)), add(odd, places(high, 1, 6))
    return even, odd


@inlined()
@no_type_check
def _add_widened(acc, at, even, odd):
    store(acc, at, add(load(acc, at), widen(even, 0)))
    store(acc, at + 16, add(load(acc, at + 16), widen(even, 1)))
    store(acc, at + 32, add(load(acc, at + 32), widen(odd, 0)))
    store(acc, at + 48, add(load(acc, at + 48), widen(odd, 1)))


@inlined()
@no_type_check
def _look_up(tables, at, first, second, high):
    """Return the lower parts of the sums of 16 inputs for 64 neurons, and `high` with the upper parts added."""
    half = half_bytes(first, 0)
    low = shuffle(tables, at, half)
    high = add(high, shuffle(tables, at + 16, half))
    half = half_bytes(first, 4)
    low = add(low, shuffle(tables, at + 32, half))
    high = add(high, shuffle(tables, at + 48, half))
    half = half_bytes(second, 0)
    other = shuffle(tables, at + 64, half)
    high = add(high, shuffle(tables, at + 80, half))
    half = half_bytes(second, 4)
    other = add(other, shuffle(tables, at + 96, half))
    return add(low, other), add(high, shuffle(tables, at + 112, half))


@operation
@no_type_check
def tabulate(_typing, q, _at, tables, _to):
    """Write the 16 sums of some of q[at : at + 4] to tables[to:]: the lowest 6 bits, then what is above."""
    sixteen = ir.VectorType(ir.IntType(16), 16)
    single = ir.VectorType(_I8, 16)

    def codegen(context, builder, _signature, args):
        array, at, target, to = args
        sums = ir.Constant(sixteen, None)
        for j in range(4):
            index = builder.add(at, ir.Constant(at.type, j))
            value = builder.load(pointer_to(context, builder, q, array, index, _I8))
            first = builder.insert_element(
                ir.Constant(sixteen, ir.Undefined), builder.sext(value, ir.IntType(16)), ir.Constant(_I32, 0)
            )
            repeated = builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(_I32, 16), [0] * 16))
            counted = [-(entry >> j & 1) for entry in range(16)]
            sums = builder.add(sums, builder.and_(repeated, ir.Constant(sixteen, counted)))
        low = builder.and_(sums, ir.Constant(sixteen, [63] * 16))
        for part, place in ((low, 0), (builder.ashr(sums, ir.Constant(sixteen, [6] * 16)), 16)):
            index = builder.add(to, ir.Constant(to.type, place))
            pointer = pointer_to(context, builder, tables, target, index, single)
            builder.store(builder.trunc(part, single), pointer, align=1)
        return context.get_dummy_value()

    return types.void(q, types.int64, tables, types.int64), codegen


@operation
@no_type_check
def byte_of(_typing, first, _second, _third, _fourth, byte):
    """Return byte `byte` (a literal) of the words of 64 neurons, dealt within 16 bytes; `_order` says how."""
    if not isinstance(byte, types.IntegerLiteral):
        return None
    number = byte.literal_value

    def picks(builder, left, right, places):
        return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(_I32, len(places)), places))

    def codegen(_context, builder, _signature, args):
        # Within 16 bytes: the same byte of 4 words side by side, then a 4 x 4 transpose of these fours over 4 vectors.
        together = [16 * (lane // 16) + 4 * (lane % 4) + lane % 16 // 4 for lane in range(64)]
        singles = [builder.bitcast(vector, _BYTES.llvm) for vector in args[:4]]
        a, b, c, d = (builder.bitcast(picks(builder, each, each, together), first.llvm) for each in singles)
        low = [4 * (lane // 4) + number // 2 * 2 + lane % 4 // 2 + 16 * (lane % 2) for lane in range(16)]
        # A pair holds, in 4 words, byte 2h of both vectors and byte 2h + 1 of both.
        left, right = picks(builder, a, b, low), picks(builder, c, d, low)
        take = [4 * (lane // 4) + number % 2 * 2 + lane % 2 + 16 * (lane % 4 // 2) for lane in range(16)]
        return builder.bitcast(picks(builder, left, right, take), _BYTES.llvm)

    return _BYTES(first, first, first, first, byte), codegen


@operation
@no_type_check
def half_bytes(_typing, signs, shift):
    """Return the lower (`shift` 0) or upper (4) half of every byte."""
    if not isinstance(shift, types.IntegerLiteral):
        return None

    def codegen(_context, builder, _signature, args):
        # As 16-bit numbers, since x86 shifts no bytes; what comes over from the neighbour is masked away.
        shorts = builder.bitcast(args[0], _SHORTS.llvm)
        shorts = builder.lshr(shorts, ir.Constant(_SHORTS.llvm, [shift.literal_value] * 32))
        return builder.bitcast(builder.and_(shorts, ir.Constant(_SHORTS.llvm, [0x0F0F] * 32)), _BYTES.llvm)

    return signs(signs, shift), codegen


@operation
@no_type_check
def places(_typing, found, odd, shift):
    """Return the bytes in even (`odd` 0) or odd (1) places as 32 int16: 0 to 255 (`shift` 0), 2^6 times signed (6)."""
    if not (isinstance(odd, types.IntegerLiteral) and isinstance(shift, types.IntegerLiteral)):
        return None

    def codegen(_context, builder, _signature, args):
        def repeated(value):
            return ir.Constant(_SHORTS.llvm, [value] * 32)

        shorts = builder.bitcast(args[0], _SHORTS.llvm)
        if shift.literal_value:
            upper = builder.and_(shorts, repeated(0xFF00)) if odd.literal_value else builder.shl(shorts, repeated(8))
            return builder.ashr(upper, repeated(8 - shift.literal_value))
        return builder.lshr(shorts, repeated(8)) if odd.literal_value else builder.and_(shorts, repeated(0x00FF))

    return _SHORTS(found, odd, shift), codegen


@operation
@no_type_check
def shuffle(_typing, tables, _at, half):
    """Look 64 half bytes up in the 16 bytes of `tables[at:]`."""

    def codegen(context, builder, _signature, args):
        sixteen = ir.VectorType(_I8, 16)
        table = builder.load(pointer_to(context, builder, tables, args[0], args[1], sixteen), align=1)
        on_arm = "neon" in cpu_features()
        name, width = ("llvm.aarch64.neon.tbl1.v16i8", 16) if on_arm else ("llvm.x86.avx2.pshuf.b", 32)
        wide = ir.VectorType(_I8, width)

        def part(vector, first, count, modulus):
            places = [(first + lane) % modulus for lane in range(count)]
            return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(_I32, count), places))

        repeated = part(table, 0, width, 16)
        found = [
            call_llvm(builder, name, wide, [repeated, part(args[2], first, width, 64)]) for first in range(0, 64, width)
        ]
        while len(found) > 1:
            size = found[0].type.count
            everything = ir.Constant(ir.VectorType(_I32, 2 * size), list(range(2 * size)))
            found = [builder.shuffle_vector(*pair, everything) for pair in zip(found[::2], found[1::2], strict=True)]
        return found[0]

    return half(tables, types.int64, half), codegen
