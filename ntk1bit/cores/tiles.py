"""Three inner loops that hold a tile of numbers in registers, written directly as LLVM code.

numba cannot index a group of vectors that must stay in registers, so a tile's accumulators are unrolled while its code
is made: `dot_tile` for full-precision pre-activations, `count_tile` for the bit Gram matrix, `transpose` for outputs.
"""

from __future__ import annotations

from typing import no_type_check

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ntk1bit.cores.simd import Vector, operation, past_the_caches, pointer_to, splat

_I32 = ir.IntType(32)
_I64 = ir.IntType(64)


def _times(builder, value, factor):
    return builder.mul(value, ir.Constant(_I64, factor))


def _accumulators(builder, vector, count):
    """Return `count` registers set to zero."""
    registers = [cgutils.alloca_once(builder, vector.llvm) for _ in range(count)]
    for register in registers:
        builder.store(ir.Constant(vector.llvm, None), register)
    return registers


@operation
@no_type_check
def dot_tile(_typing, columns, _at, _group_stride, weights, _row_at, _depth, acc, _acc_at, _acc_stride, rows, groups):
    """Compute `sum_k w[r, k] C[g, k, :]` for `rows` rows and `groups` groups of 16 columns (literal numbers).

    `columns[at + g group_stride + 16 k:]` holds C, `weights[row_at + r depth + k]` the rows, and the sum of row r and
    group g goes to `acc[acc_at + g acc_stride + 16 r:]`. One multiply-add after the other in the order of k.
    """
    if not (isinstance(rows, types.IntegerLiteral) and isinstance(groups, types.IntegerLiteral)):
        return None
    vector = Vector(types.float32)
    tile = [(row, group) for row in range(rows.literal_value) for group in range(groups.literal_value)]

    def codegen(context, builder, signature, args):
        source, at, group_stride, w, row_at, length, sums, acc_at, acc_stride, _, _ = args
        source_type, weights_type, acc_type = (signature.args[i] for i in (0, 3, 6))
        registers = dict(zip(tile, _accumulators(builder, vector, len(tile)), strict=True))
        fma_type = ir.FunctionType(vector.llvm, [vector.llvm] * 3)
        fma = cgutils.get_or_insert_function(builder.module, fma_type, "llvm.fmuladd.v16f32")
        with cgutils.for_range(builder, length) as loop:
            here = builder.add(at, _times(builder, loop.index, vector.lanes))
            inputs = []
            for group in range(groups.literal_value):
                index = builder.add(here, _times(builder, group_stride, group))
                pointer = pointer_to(context, builder, source_type, source, index, vector.llvm)
                inputs.append(builder.load(pointer, align=4))
            for row in range(rows.literal_value):
                index = builder.add(builder.add(row_at, loop.index), _times(builder, length, row))
                weight = builder.load(pointer_to(context, builder, weights_type, w, index, ir.FloatType()))
                repeated = splat(builder, vector, weight)
                for group in range(groups.literal_value):
                    register = registers[row, group]
                    builder.store(builder.call(fma, [repeated, inputs[group], builder.load(register)]), register)
        for (row, group), register in registers.items():
            index = builder.add(acc_at, _times(builder, acc_stride, group))
            index = builder.add(index, ir.Constant(_I64, row * vector.lanes))
            pointer = pointer_to(context, builder, acc_type, sums, index, vector.llvm)
            builder.store(builder.load(register), pointer, align=4)
        return context.get_dummy_value()

    i64 = types.int64
    return types.void(columns, i64, i64, weights, i64, i64, acc, i64, i64, rows, groups), codegen


def _totals(builder, vectors):
    """Return the sums of the lanes of eight vectors of eight, as one vector: 7 additions and 14 shuffles."""
    picks_type = ir.VectorType(_I32, 8)
    for size in (1, 2, 4):  # a vector holds sums of `size` inputs, in runs of `size` lanes
        low = [lane if not lane & size else lane - size + 8 for lane in range(8)]
        high = [lane + size if not lane & size else lane + 8 for lane in range(8)]
        vectors = [
            builder.add(
                builder.shuffle_vector(left, right, ir.Constant(picks_type, low)),
                builder.shuffle_vector(left, right, ir.Constant(picks_type, high)),
            )
            for left, right in zip(vectors[::2], vectors[1::2], strict=True)
        ]
    return vectors[0]


@operation
@no_type_check
def count_tile(_typing, left, _left_at, right, _right_at, _stride, counts, _counts_at, _counts_stride, rows, columns):
    """Count the common ones of `rows` rows of `left` and `columns` rows of `right` (literal numbers).

    Tiles are 4 x 4 or 1 x 1. Rows are `stride` uint64 words long, a multiple of 8, one after the other. The count of
    left row r and right row c goes to `counts[counts_at + r counts_stride + c]`, int32.
    """
    if not (isinstance(rows, types.IntegerLiteral) and isinstance(columns, types.IntegerLiteral)):
        return None
    if (rows.literal_value, columns.literal_value) not in ((4, 4), (1, 1)):
        return None
    vector = Vector(types.uint64)
    tile = [(row, column) for row in range(rows.literal_value) for column in range(columns.literal_value)]

    def codegen(context, builder, signature, args):
        first, first_at, second, second_at, stride, result, result_at, result_stride, _, _ = args
        array_type, result_type = signature.args[0], signature.args[5]
        registers = dict(zip(tile, _accumulators(builder, vector, len(tile)), strict=True))
        ctpop_type = ir.FunctionType(vector.llvm, [vector.llvm])
        ctpop = cgutils.get_or_insert_function(builder.module, ctpop_type, "llvm.ctpop.v8i64")
        reduce_type = ir.FunctionType(_I64, [vector.llvm])
        reduce = cgutils.get_or_insert_function(builder.module, reduce_type, "llvm.vector.reduce.add.v8i64")

        def words(array, at, row, step):
            index = builder.add(builder.add(at, step), _times(builder, stride, row))
            return builder.load(pointer_to(context, builder, array_type, array, index, vector.llvm), align=8)

        with cgutils.for_range(builder, builder.udiv(stride, ir.Constant(_I64, vector.lanes))) as loop:
            step = _times(builder, loop.index, vector.lanes)
            ours = [words(first, first_at, row, step) for row in range(rows.literal_value)]
            for column in range(columns.literal_value):
                theirs = words(second, second_at, column, step)
                for row in range(rows.literal_value):
                    register = registers[row, column]
                    ones = builder.call(ctpop, [builder.and_(ours[row], theirs)])
                    builder.store(builder.add(builder.load(register), ones), register)

        def place(row, column, target):
            index = builder.add(result_at, _times(builder, result_stride, row))
            index = builder.add(index, ir.Constant(_I64, column))
            return pointer_to(context, builder, result_type, result, index, target)

        found = [builder.load(register) for register in registers.values()]
        if len(tile) == 1:
            total = builder.call(reduce, found)
            builder.store(builder.trunc(total, _I32), place(0, 0, _I32))
        else:
            for row in range(0, rows.literal_value, 2):  # two rows of four counts fill one vector
                totals = builder.trunc(_totals(builder, found[4 * row : 4 * row + 8]), ir.VectorType(_I32, 8))
                for half in range(2):
                    picks = ir.Constant(ir.VectorType(_I32, 4), list(range(4 * half, 4 * half + 4)))
                    four = builder.shuffle_vector(totals, totals, picks)
                    builder.store(four, place(row + half, 0, four.type), align=4)
        return context.get_dummy_value()

    i64 = types.int64
    return types.void(left, i64, right, i64, i64, counts, i64, i64, rows, columns), codegen


@operation
@no_type_check
def transpose(_typing, array, _index, _stride, target, _target_index, _target_stride, streaming):
    """Write 16 rows of 16 elements, `stride` apart, as 16 columns, `target_stride` apart.

    With `streaming` (a literal 0 or 1) stores go past the caches to 64-byte aligned places: a result larger than the
    caches is then not read before it is written.
    """
    if not isinstance(streaming, types.IntegerLiteral):
        return None
    vector = Vector(array.dtype)
    lanes = 16

    def codegen(context, builder, signature, args):
        source, index, stride, sink, sink_index, sink_stride, _ = args
        rows = []
        for row in range(lanes):
            at = builder.add(index, builder.mul(stride, ir.Constant(stride.type, row)))
            pointer = pointer_to(context, builder, signature.args[0], source, at, vector.llvm)
            rows.append(builder.load(pointer, align=4))
        # Four rounds of exchanging blocks of 8, 4, 2 and 1 between rows that far apart.
        for half in (8, 4, 2, 1):
            low = [column if not column & half else column - half + lanes for column in range(lanes)]
            high = [column + half if not column & half else column + lanes for column in range(lanes)]
            mixed = list(rows)
            for row in range(lanes):
                if not row & half:
                    pair = (rows[row], rows[row + half])
                    for place, picks in ((row, low), (row + half, high)):
                        mixed[place] = builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(_I32, lanes), picks))
            rows = mixed
        for row in range(lanes):
            at = builder.add(sink_index, builder.mul(sink_stride, ir.Constant(stride.type, row)))
            pointer = pointer_to(context, builder, signature.args[3], sink, at, vector.llvm)
            written = builder.store(rows[row], pointer, align=64 if streaming.literal_value else 4)
            if streaming.literal_value:
                past_the_caches(builder, written)
        return context.get_dummy_value()

    i64 = types.int64
    return types.void(array, i64, i64, target, i64, i64, streaming), codegen
