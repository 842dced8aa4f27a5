"""Ternary weights as codes -1, 0, +1 with scales, and the forms in which checkpoints of BitNet b1.58 hold them.

Packed (`pack_weights` of `transformers.integrations.bitnet`): codes plus 1, two bits each, four rows to a byte: of R
packed rows, row i holds rows i, R + i, 2R + i and 3R + i, the first in the lowest bits. Masters: the weights that
training moves, of which W = clip(round(W/s), -1, 1) s with s = mean |W| is used (`WeightQuant` there; Ma et al. 2024,
Eqs. 1 to 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int8, UInt8

from ntk1bit.errors import InputError

_SMALLEST_MEAN = 1e-5


@dataclass(frozen=True)
class TernaryTensor:
    """Weights -1, 0 and +1 with their scales.

    Attributes
    ----------
    codes
        int8 entries in {-1, 0, 1}.
    scale
        float32, without axes for the whole matrix, or with a column for each block of equally many entries of a row.
    """

    codes: Int8[np.ndarray, "rows columns"]
    scale: Float32[np.ndarray, ""] | Float32[np.ndarray, "rows blocks"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows (outputs) and columns (inputs)."""
        return self.codes.shape

    @property
    def zeros(self) -> float:
        """Share of weights that are zero."""
        return 1.0 - np.count_nonzero(self.codes) / max(self.codes.size, 1)

    def dequantised(self) -> Float32[np.ndarray, "rows columns"]:
        """Return scale times code in float32, one rounding per entry (none where the scale has one per block)."""
        codes = self.codes.astype(np.float32)
        if self.scale.ndim == 0:
            return self.scale * codes
        blocks = codes.reshape(*self.scale.shape, -1)
        return (self.scale[..., None] * blocks).reshape(codes.shape)

    def with_one_scale(self) -> TernaryTensor:
        """Return the same weights with one scale, where all blocks that are not zero throughout have the same."""
        if self.scale.ndim == 0:
            return self
        used = self.codes.reshape(*self.scale.shape, -1).any(axis=-1)
        found = np.unique(self.scale[used])
        if len(found) > 1:
            return self
        return TernaryTensor(self.codes, np.array(found[0] if len(found) else 0, np.float32))


def unpack_rows(packed: UInt8[np.ndarray, "packed_rows columns"]) -> Int8[np.ndarray, "rows columns"]:
    """Return the codes of rows packed four to a byte, bit for bit those of `unpack_weights` of transformers.

    Raises
    ------
    InputError
        If a byte holds the code 3, which means no weight.
    """
    rows = len(packed)
    codes = np.empty((4 * rows, *packed.shape[1:]), np.uint8)
    for part in range(4):
        codes[part * rows : (part + 1) * rows] = packed >> np.uint8(2 * part) & np.uint8(3)
    if codes.size and codes.max() > 2:
        raise InputError("packed weights hold the code 3, which means no weight; fetch the file again")
    codes -= 1
    return codes.view(np.int8)


def unpack_rows_reference(packed: UInt8[np.ndarray, "packed_rows columns"]) -> Int8[np.ndarray, "rows columns"]:
    """Return what `unpack_rows` does, an entry at a time."""
    rows, columns = packed.shape
    codes = np.empty((4 * rows, columns), np.int8)
    for row in range(4 * rows):
        for column in range(columns):
            codes[row, column] = int(packed[row % rows, column]) // 4 ** (row // rows) % 4 - 1
    return codes


def quantise_masters(weights: Float[np.ndarray, "rows columns"]) -> TernaryTensor:
    """Return the codes of masters with s = mean |W| (at least 1e-5) as their scale; halves are rounded to even.

    The mean is taken in float64 and rounded to float32, where PyTorch adds up in float32: the scale may differ in its
    last bits.
    """
    wide = weights.astype(np.float32, copy=False)
    inverse = np.float32(1) / np.float32(max(float(np.abs(wide).mean(dtype=np.float64)), _SMALLEST_MEAN))
    codes = np.clip(np.rint(wide * inverse), -1, 1).astype(np.int8)
    return TernaryTensor(codes, np.array(np.float32(1) / inverse, np.float32))


def as_ternary(weights: Float[np.ndarray, "rows columns"]) -> TernaryTensor | None:
    """Return numbers that are -s, 0 and s for one s as codes and scale, exactly; None if they are not."""
    largest = np.abs(weights).max(initial=0)
    codes = np.sign(weights)
    if not np.isfinite(largest) or not ((weights == codes * largest) | (weights == 0)).all():
        return None
    return TernaryTensor(codes.astype(np.int8), np.array(largest, np.float32))
