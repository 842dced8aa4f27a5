"""SIMD in numba: 512-bit vectors as numba types, and the few operations the kernels need on them.

Plain numba loops lose to BLAS on bit products, because a table lookup a lane and bits of comparisons are not what a
loop vectoriser finds. So kernels are written with explicit vectors. A vector is always 64 bytes, which LLVM splits into
what the processor has (two of AVX2, four of NEON), and its element type comes from the array it is loaded from: 16
float32, int32 or uint32, 32 int16, 64 bytes, 8 uint64.

Operations take whole C-contiguous arrays and a flat element index, never addresses, so an array lives as long as it is
used. Nothing here checks bounds. All of it is generic LLVM vector code, which runs on any processor; what only some
instruction sets have stands with the product that uses it: `few_inputs` (look-ups in registers), `byte_shuffles`,
`byte_dots`.

    lanes(array)                                             elements a vector has
    load(array, i), store(array, i, v), broadcast(scalar)    whole vectors
    stream(array, i, v)                                      store past the caches, 64-byte aligned
    zeros(array)                                             a vector of 0
    read(array, i), write(array, i, value)                   one element
    add(v, w), subtract(v, w), multiply_add(a, b, c)         lane by lane; a b + c may round once or twice
    relu(v)                                                  max(v, 0); NaN stays NaN
    not_negative(v)                                          bit l = 1[v_l >= 0]; NaN gives 0
    bit_of_lanes(v, k)                                       bit l = bit k of lane l
    widen(v, half)                                           bytes to int16, int16 to int32; lower or upper half
    spread(array, i, bits)                                   64 bits to 64 bytes 0 or 1
    magnitude(v), total(v)                                   |v| lane by lane; the sum of the lanes, by halves
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, no_type_check

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

BYTES = 64

_LLVM = {
    types.float32: ir.FloatType(),
    types.float64: ir.DoubleType(),
    types.int8: ir.IntType(8),
    types.uint8: ir.IntType(8),
    types.int16: ir.IntType(16),
    types.uint16: ir.IntType(16),
    types.int32: ir.IntType(32),
    types.uint32: ir.IntType(32),
    types.uint64: ir.IntType(64),
}
_I32 = ir.IntType(32)


class Vector(types.Type):
    """64 bytes of one element type, as numba sees them."""

    def __init__(self, element: Any) -> None:
        self.element = element
        self.lanes = BYTES * 8 // element.bitwidth
        super().__init__(name=f"Vector({element} x {self.lanes})")

    @property
    def llvm(self) -> ir.VectorType:
        """The type as LLVM sees it."""
        return ir.VectorType(_LLVM[self.element], self.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector: Vector) -> None:
        super().__init__(manager, vector, vector.llvm)


def operation(make: Callable[..., Any]) -> Any:
    """Make a function that kernels can call from one that writes its LLVM code."""
    return intrinsic(make)


def pointer_to(context, builder, array_type, array, index, target):
    """Return the address of element `index`, as a pointer to `target`."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), target.as_pointer())


def constant(vector: Vector, values):
    """Return a vector that is known while compiling."""
    return ir.Constant(vector.llvm, values)


def call_llvm(builder, name, result, args):
    """Call one of LLVM's own functions on vectors or numbers."""
    kind = ir.FunctionType(result, [value.type for value in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


@operation
@no_type_check
def lanes(_typing, array):
    """Return how many elements of an array one vector holds; a constant to the compiler."""
    count = Vector(array.dtype).lanes

    def codegen(_context, _builder, _signature, _args):
        return ir.Constant(ir.IntType(64), count)

    return types.int64(array), codegen


@operation
@no_type_check
def load(_typing, array, _index):
    """Read one vector from `array[index:]`."""
    vector = Vector(array.dtype)

    def codegen(context, builder, signature, args):
        pointer = pointer_to(context, builder, signature.args[0], args[0], args[1], vector.llvm)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return vector(array, types.int64), codegen


@operation
@no_type_check
def read(_typing, array, _index):
    """Read one element as int64 or as the float it is, without numba's care for negative indices."""
    element = array.dtype

    def codegen(context, builder, signature, args):
        pointer = pointer_to(context, builder, signature.args[0], args[0], args[1], _LLVM[element])
        value = builder.load(pointer)
        if isinstance(element, types.Float):
            return value
        return (builder.sext if element.signed else builder.zext)(value, ir.IntType(64))

    return (element if isinstance(element, types.Float) else types.int64)(array, types.int64), codegen


@operation
@no_type_check
def write(_typing, array, _index, value):
    """Write one element without numba's care for negative indices; integers are cut to the element's bits."""
    element = array.dtype

    def codegen(context, builder, signature, args):
        target, index, given = args
        pointer = pointer_to(context, builder, signature.args[0], target, index, _LLVM[element])
        if isinstance(element, types.Integer) and given.type.width != _LLVM[element].width:
            shorten = given.type.width > _LLVM[element].width
            given = (builder.trunc if shorten else builder.zext)(given, _LLVM[element])
        builder.store(given, pointer)
        return context.get_dummy_value()

    return types.void(array, types.int64, value), codegen


@operation
@no_type_check
def store(_typing, array, _index, vector):
    """Write one vector to `array[index:]`."""

    def codegen(context, builder, signature, args):
        target, index, value = args
        pointer = pointer_to(context, builder, signature.args[0], target, index, vector.llvm)
        builder.store(value, pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.int64, vector), codegen


@operation
@no_type_check
def stream(_typing, array, _index, vector):
    """Write one vector to `array[index:]`, 64-byte aligned, past the caches: what is there is not read before."""

    def codegen(context, builder, signature, args):
        target, index, value = args
        pointer = pointer_to(context, builder, signature.args[0], target, index, vector.llvm)
        past_the_caches(builder, builder.store(value, pointer, align=BYTES))
        return context.get_dummy_value()

    return types.void(array, types.int64, vector), codegen


def past_the_caches(builder, written):
    """Mark a store as one whose place is not read soon."""
    written.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(_I32, 1)]))


@operation
@no_type_check
def zeros(_typing, array):
    """Return a vector of zeros for an array's element type."""
    vector = Vector(array.dtype)

    def codegen(_context, _builder, _signature, _args):
        return ir.Constant(vector.llvm, None)

    return vector(array), codegen


@operation
@no_type_check
def broadcast(_typing, scalar):
    """Put one number into every lane."""
    vector = Vector(scalar)

    def codegen(_context, builder, _signature, args):
        return splat(builder, vector, args[0])

    return vector(scalar), codegen


def splat(builder, vector, value):
    """Put one value into every lane."""
    first = builder.insert_element(ir.Constant(vector.llvm, ir.Undefined), value, ir.Constant(_I32, 0))
    everywhere = ir.Constant(ir.VectorType(_I32, vector.lanes), [0] * vector.lanes)
    return builder.shuffle_vector(first, ir.Constant(vector.llvm, ir.Undefined), everywhere)


@operation
@no_type_check
def add(_typing, left, right):
    """Add lane by lane."""

    def codegen(_context, builder, _signature, args):
        return (builder.fadd if isinstance(left.element, types.Float) else builder.add)(*args)

    return left(left, right), codegen


@operation
@no_type_check
def subtract(_typing, left, right):
    """Subtract lane by lane."""

    def codegen(_context, builder, _signature, args):
        return (builder.fsub if isinstance(left.element, types.Float) else builder.sub)(*args)

    return left(left, right), codegen


@operation
@no_type_check
def multiply_add(_typing, a, b, c):
    """Compute a b + c lane by lane, float32."""

    def codegen(_context, builder, _signature, args):
        return call_llvm(builder, f"llvm.fmuladd.v{a.lanes}f32", a.llvm, args)

    return a(a, b, c), codegen


@operation
@no_type_check
def relu(_typing, vector):
    """Replace negative lanes by 0; NaN stays NaN, so that a diverged network shows."""

    def codegen(_context, builder, _signature, args):
        zero = constant(vector, [0.0] * vector.lanes)
        return builder.select(builder.fcmp_ordered("<", args[0], zero), zero, args[0])

    return vector(vector), codegen


@operation
@no_type_check
def not_negative(_typing, vector):
    """Return the bits 1[v_l >= 0] as an integer, lane 0 lowest; NaN gives 0."""

    def codegen(_context, builder, _signature, args):
        zero = constant(vector, [0.0] * vector.lanes)
        mask = builder.fcmp_ordered(">=", args[0], zero)
        return builder.bitcast(mask, ir.IntType(vector.lanes))

    return types.uint16(vector), codegen


@operation
@no_type_check
def bit_of_lanes(_typing, vector, _bit):
    """Return bit `bit` of every uint32 lane as one integer, lane 0 lowest."""

    def codegen(_context, builder, _signature, args):
        value, bit = args
        one = builder.shl(ir.Constant(_I32, 1), builder.trunc(bit, _I32))
        picked = builder.and_(value, splat(builder, vector, one))
        mask = builder.icmp_unsigned("!=", picked, constant(vector, [0] * vector.lanes))
        return builder.bitcast(mask, ir.IntType(vector.lanes))

    return types.uint16(vector, types.int64), codegen


@operation
@no_type_check
def widen(_typing, vector, half):
    """Return the lower (half = 0) or upper (1) half of the lanes as integers twice as long, int16 or int32."""
    if not isinstance(half, types.IntegerLiteral):
        return None
    wide = Vector(types.int32 if vector.element.bitwidth == 16 else types.int16)
    first = half.literal_value * wide.lanes

    def codegen(_context, builder, _signature, args):
        picks = ir.Constant(ir.VectorType(_I32, wide.lanes), list(range(first, first + wide.lanes)))
        part = builder.shuffle_vector(args[0], ir.Constant(vector.llvm, ir.Undefined), picks)
        return (builder.sext if vector.element.signed else builder.zext)(part, wide.llvm)

    return wide(vector, half), codegen


@operation
@no_type_check
def spread(_typing, target, _index, _bits):
    """Write 64 bits to `target[index:]` as 64 bytes 0 or 1, lane 0 from the lowest bit."""
    kind = ir.VectorType(ir.IntType(8), BYTES)

    def codegen(context, builder, _signature, args):
        single = builder.bitcast(args[2], ir.VectorType(ir.IntType(1), BYTES))
        pointer = pointer_to(context, builder, target, args[0], args[1], kind)
        builder.store(builder.zext(single, kind), pointer, align=1)
        return context.get_dummy_value()

    return types.void(target, types.int64, types.uint64), codegen


@operation
@no_type_check
def magnitude(_typing, vector):
    """Return |v| lane by lane, float32."""

    def codegen(_context, builder, _signature, args):
        return call_llvm(builder, f"llvm.fabs.v{vector.lanes}f32", vector.llvm, args)

    return vector(vector), codegen


@operation
@no_type_check
def total(_typing, vector):
    """Add the lanes of a float32 vector: halves to halves, four times."""

    def codegen(_context, builder, _signature, args):
        (value,) = args
        size = vector.lanes
        while size > 1:
            half = size // 2
            undefined = ir.Constant(value.type, ir.Undefined)
            low, high = (
                builder.shuffle_vector(value, undefined, ir.Constant(ir.VectorType(_I32, half), picks))
                for picks in (list(range(half)), list(range(half, size)))
            )
            value = builder.fadd(low, high)
            size = half
        return builder.extract_element(value, ir.Constant(_I32, 0))

    return vector.element(vector), codegen
