"""Matrices of bits: the one packed layout that every core reads and writes.

Element (r, k) of a matrix with `rows` rows and `columns` columns is bit `k % 32` of the 32-bit word

    words[k // 32, r],        words.shape = (ceil(columns / 32), 16 ceil(rows / 16)), C order:

kernels take 32 columns at a time through all rows, so they read memory in order, and one 512-bit register holds 32
columns of 16 rows. Padding bits are 0.

The rows are neurons in both uses: signs of weights have the input dimensions as columns (1 = +1, 0 = -1), activation
patterns have the inputs as columns (1 = active). Forward passes read the first and write the second; the descent step
reads the second and writes the first; the Gram matrix transposes blocks of 64 neurons on its way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int8, Int64, Shaped, UInt32

from ntk1bit.errors import InputError
from ntk1bit.printing import record

PANEL = 16  # rows are padded to whole panels, one vector of words
WORD = 32  # columns per word


@dataclass(frozen=True, eq=False)
class PackedBits:
    """A 0/1 matrix, 32 entries per word; the layout is described at the top of this module.

    Attributes
    ----------
    words
        (ceil(columns/32), 16 ceil(rows/16)) uint32, C-contiguous; padding bits are 0.
    rows, columns
        The shape of the matrix that was packed.
    """

    words: UInt32[np.ndarray, "words_a_row padded_rows"]
    rows: int
    columns: int

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    def __post_init__(self) -> None:
        """Refuse words that cannot be a matrix of this shape."""
        expected = packed_shape(self.rows, self.columns)
        if self.words.shape != expected or self.words.dtype != np.uint32 or not self.words.flags.c_contiguous:
            raise InputError(
                f"a packed {self.rows} x {self.columns} matrix needs C-contiguous uint32 words of shape {expected}, "
                f"got {self.words.dtype} of shape {self.words.shape}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.rows, self.columns

    @property
    def nbytes(self) -> int:
        """Bytes of the words: rows x columns / 8 when both are whole panels and words."""
        return self.words.nbytes

    def __eq__(self, other: object) -> bool:
        """Compare kind, shape and every bit."""
        if not isinstance(other, PackedBits) or type(self) is not type(other):
            return NotImplemented
        return self.shape == other.shape and bool(np.array_equal(self.words, other.words))

    __hash__ = None  # pyright: ignore[reportAssignmentType] (arrays inside: compares by value, cannot be a key)


@dataclass(frozen=True, eq=False)
class PackedSigns(PackedBits):
    """A -1/+1 matrix (m, d): the same bits, read as 1 = +1 and 0 = -1. Float32 takes 32 times its memory."""


def packed_shape(rows: int, columns: int) -> tuple[int, int]:
    """Return the shape of the words of a packed (rows, columns) matrix."""
    return -(-columns // WORD), -(-rows // PANEL) * PANEL


def pack_bits(bits: Bool[np.ndarray, "rows columns"]) -> PackedBits:
    """Pack a boolean matrix.

    Raises
    ------
    InputError
        If `bits` is not a boolean matrix.
    """
    if bits.ndim != 2 or bits.dtype != np.bool_:
        raise InputError(f"bits must be a boolean matrix, got {bits.dtype} of shape {bits.shape}; use `values != 0`")
    return PackedBits(_pack(bits), *bits.shape)


def unpack_bits(packed: PackedBits) -> Bool[np.ndarray, "rows columns"]:
    """Return the (rows, columns) boolean matrix that was packed."""
    return unpack_rows(packed, 0, packed.rows)


def unpack_rows(packed: PackedBits, start: int, stop: int) -> Bool[np.ndarray, "block columns"]:
    """Return rows start..stop of the matrix that was packed."""
    row_words = np.ascontiguousarray(packed.words[:, start:stop].T).astype("<u4", copy=False)
    octets = row_words.view(np.uint8).reshape(row_words.shape[0], 4 * row_words.shape[1])
    return np.unpackbits(octets, axis=1, count=packed.columns, bitorder="little").view(np.bool_)


def pack_signs(s: Shaped[np.ndarray, "m d"]) -> PackedSigns:
    """Pack a matrix of signs, one bit each (1 = +1, 0 = -1).

    Parameters
    ----------
    s
        (m, d): boolean (True = +1), or any real dtype with entries -1 and +1 only. Zero and NaN are not signs.

    Returns
    -------
    PackedSigns

    Raises
    ------
    InputError
        If `s` is not a matrix or has an entry other than -1 and +1.
    """
    if s.ndim != 2:
        raise InputError(f"signs must be a matrix (m, d), got shape {s.shape}")
    if s.dtype == np.bool_:
        return PackedSigns(_pack(s), *s.shape)
    if s.dtype.kind not in "iuf":
        raise InputError(f"signs must be numbers -1 and +1 or booleans, got dtype {s.dtype}")
    positive = s == 1
    if not (positive | (s == -1)).all():
        raise InputError("signs must all be -1 or +1; quantise first, for example with `np.where(w >= 0, 1, -1)`")
    return PackedSigns(_pack(positive), *s.shape)


def unpack_signs(p: PackedSigns) -> Int8[np.ndarray, "m d"]:
    """Return the (m, d) matrix of -1 and +1 that was packed, int8."""
    return np.where(unpack_bits(p), np.int8(1), np.int8(-1))


def pad_columns(array: Shaped[np.ndarray, "rows columns"], columns: int) -> Shaped[np.ndarray, "rows more"]:
    """Return a C-contiguous matrix with zeros behind its columns, `columns` in all; itself if it is one."""
    if array.shape[1] == columns:
        return np.ascontiguousarray(array)
    padded = np.zeros((len(array), columns), dtype=array.dtype)
    padded[:, : array.shape[1]] = array
    return padded


def count_differences(left: PackedBits, right: PackedBits) -> int:
    """Count the entries in which two packed matrices of one shape differ.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    _require_same_shape(left, right)
    return int(np.bitwise_count(left.words ^ right.words).sum(dtype=np.int64))


def count_differences_by_column(left: PackedBits, right: PackedBits) -> Int64[np.ndarray, " columns"]:
    """Count, for each column, the rows in which two packed matrices of one shape differ.

    With activation patterns of a network at two times this is the number of neurons that changed on each input.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    _require_same_shape(left, right)
    differing = left.words ^ right.words
    counts = np.empty((left.words.shape[0], WORD), dtype=np.int64)
    for bit in range(WORD):
        counts[:, bit] = np.count_nonzero(differing & np.uint32(1 << bit), axis=1)
    return counts.reshape(-1)[: left.columns]


def _pack(bits: Bool[np.ndarray, "rows columns"]) -> UInt32[np.ndarray, "words padded_rows"]:
    words, rows = packed_shape(*bits.shape)
    padded = np.zeros((rows, 4 * words), dtype=np.uint8)
    packed = np.packbits(bits, axis=1, bitorder="little")
    padded[: packed.shape[0], : packed.shape[1]] = packed
    row_words = padded.view("<u4").reshape(rows, words).astype(np.uint32, copy=False)
    return np.ascontiguousarray(row_words.T)


def _require_same_shape(left: PackedBits, right: PackedBits) -> None:
    if left.shape != right.shape:
        raise InputError(f"cannot compare packed matrices of shapes {left.shape} and {right.shape}")
