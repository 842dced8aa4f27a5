"""Matrices of -1, 0 and +1: two planes of bits, 2 bits an entry, and what kernels make of them.

Plane 0 has a 1 where the entry is +1, plane 1 where it is -1, so t = plus - minus and padding is 0. Each has the layout
of `bits`, with the planes of a panel of 16 rows side by side: entry (r, k) is bit `k % 32` of the 32-bit words

    planes[k // 32, r // 16, plane, r % 16],        planes.shape = (ceil(d / 32), ceil(m / 16), 2, 16), C order:

so that kernels of a few rows read one run of memory for 32 columns; a product with one input is bound by reading.

Two other forms of 32 columns are made in registers, from 16 rows at a time:

- codes of 2 bits, t + 1 in {0, 1, 2}: those of the even columns in one word, of the odd columns in another. Byte b of
  the word shifted right by 2 j and masked with 3 is column 8 b + 2 j (+ 1), as `byte_dots` wants bytes;
- codes of 4 entries, a number of base 3 from 0 to 80 in each byte: byte b stands for columns 8 b + {0, 2, 4, 6} (+ 1),
  with the last of them in the highest place. Tables of 81 sums are looked up by them (`ternary_lookup`).

1.6 bits an entry (5 in a byte) would save a fifth of the memory, but unpacking to bytes would cost more operations than
the product with one input has, and five entries have 243 sums, four tables of which do not fit the first-level cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Int8, Shaped, UInt32
from llvmlite import ir
from numba import types

from ntk1bit.cores.bits import PANEL, PackedBits, pack_bits, packed_shape, unpack_rows
from ntk1bit.cores.simd import Vector, operation
from ntk1bit.errors import InputError
from ntk1bit.printing import record


@dataclass(frozen=True, eq=False)
class PackedTernary:
    """A matrix (m, d) of -1, 0 and +1, 2 bits an entry. Float32 takes 16 times its memory.

    Attributes
    ----------
    planes
        (ceil(d/32), ceil(m/16), 2, 16) uint32, C-contiguous; the layout is described at the top of this module. No bit
        is 1 in both planes; padding bits are 0.
    rows, columns
        m and d.
    """

    planes: UInt32[np.ndarray, "words_a_row panels 2 16"]
    rows: int
    columns: int

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    def __post_init__(self) -> None:
        """Refuse planes that cannot be a matrix of this shape."""
        words, padded = packed_shape(self.rows, self.columns)
        expected = (words, padded // PANEL, 2, PANEL)
        planes = self.planes
        if planes.shape != expected or planes.dtype != np.uint32 or not planes.flags.c_contiguous:
            raise InputError(
                f"a packed ternary {self.rows} x {self.columns} matrix needs C-contiguous uint32 planes of shape "
                f"{expected}, got {planes.dtype} of shape {planes.shape}"
            )
        if (planes[:, :, 0] & planes[:, :, 1]).any():
            raise InputError("planes of a ternary matrix must not both be 1 in a place: an entry would be +1 and -1")

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.rows, self.columns

    @property
    def nbytes(self) -> int:
        """Bytes of the planes: rows x columns / 4 when both are whole panels and words."""
        return self.planes.nbytes

    @property
    def sparsity(self) -> float:
        """Share of entries that are 0, from 0 to 1; 0 of a matrix without entries."""
        entries = self.rows * self.columns
        return 1 - int(np.bitwise_count(self.planes).sum(dtype=np.int64)) / entries if entries else 0.0

    def __eq__(self, other: object) -> bool:
        """Compare shape and every entry."""
        if not isinstance(other, PackedTernary):
            return NotImplemented
        return self.shape == other.shape and bool(np.array_equal(self.planes, other.planes))

    __hash__ = None  # pyright: ignore[reportAssignmentType] (arrays inside: compares by value, cannot be a key)


def pack_ternary(t: Shaped[np.ndarray, "m d"]) -> PackedTernary:
    """Pack a matrix of -1, 0 and +1, two bits each.

    Parameters
    ----------
    t
        (m, d): any real dtype with entries -1, 0 and +1 only.

    Returns
    -------
    PackedTernary

    Raises
    ------
    InputError
        If `t` is not a matrix or has any other entry, NaN included.
    """
    if t.ndim != 2:
        raise InputError(f"ternary entries must be a matrix (m, d), got shape {t.shape}")
    if t.dtype.kind not in "iuf":
        raise InputError(f"ternary entries must be numbers -1, 0 and +1, got dtype {t.dtype}")
    plus, minus = t == 1, t == -1
    if not (plus | minus | (t == 0)).all():
        raise InputError("ternary entries must all be -1, 0 or +1; quantise first, as `networks.quantize_ternary` does")
    words, rows = packed_shape(*t.shape)
    both = [pack_bits(plane).words.reshape(words, rows // PANEL, PANEL) for plane in (plus, minus)]
    return PackedTernary(np.stack(both, axis=2), *t.shape)


def unpack_ternary(p: PackedTernary) -> Int8[np.ndarray, "m d"]:
    """Return the (m, d) matrix of -1, 0 and +1 that was packed, int8."""
    return unpack_ternary_rows(p, 0, p.rows)


def unpack_ternary_rows(p: PackedTernary, start: int, stop: int) -> Int8[np.ndarray, "block d"]:
    """Return rows start..stop of the matrix that was packed, int8."""
    first, last = start // PANEL, -(-stop // PANEL)
    rows = (last - first) * PANEL
    both = np.ascontiguousarray(np.moveaxis(p.planes[:, first:last], 2, 0)).reshape(2, len(p.planes), rows)
    plus, minus = (
        unpack_rows(PackedBits(words, rows, p.columns), start - first * PANEL, stop - first * PANEL) for words in both
    )
    return plus.view(np.int8) - minus.view(np.int8)


def two_bit_codes(builder, vector, plus, minus):
    """Write the code that turns words of both planes into codes of 2 bits: of even columns, and of odd columns."""

    def repeated(value):
        return ir.Constant(vector.llvm, [value] * vector.lanes)

    low, high, one = repeated(0x55555555), repeated(0xAAAAAAAA), repeated(1)
    neither = builder.not_(builder.or_(plus, minus))
    even = builder.or_(builder.and_(neither, low), builder.and_(builder.shl(plus, one), high))
    odd = builder.or_(builder.and_(builder.lshr(neither, one), low), builder.and_(plus, high))
    return even, odd


@operation
@no_type_check
def base_three_codes(_typing, plus, minus, half):
    """Return codes of 4 entries, a byte each: of the lower (`half` 0) or upper (1) 8 of 16 rows, even columns first."""
    if not isinstance(half, types.IntegerLiteral):
        return None
    long = Vector(types.uint64)

    def codegen(_context, builder, _signature, args):
        def repeated(value):
            return ir.Constant(plus.llvm, [value] * plus.lanes)

        rows = range(8 * half.literal_value, 8 * half.literal_value + 8)
        order = [row + at for row in rows for at in (0, 16)]
        order = ir.Constant(ir.VectorType(ir.IntType(32), 16), order)
        pairs = builder.shuffle_vector(*two_bit_codes(builder, plus, args[0], args[1]), order)
        # Fields of base 4 become base 3: a + 4 b less b, in each half byte, and c + 16 d less 7 d in each byte.
        second = builder.and_(builder.lshr(pairs, repeated(2)), repeated(0x33333333))
        halves = builder.sub(pairs, second)
        upper = builder.and_(builder.lshr(halves, repeated(4)), repeated(0x0F0F0F0F))
        codes = builder.add(builder.sub(halves, builder.shl(upper, repeated(3))), upper)
        return builder.bitcast(codes, long.llvm)

    return long(plus, minus, half), codegen
