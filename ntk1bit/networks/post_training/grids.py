"""Uniform grids: the integers that weights are rounded to, and what they stand for.

Every quantiser of this package writes a weight as `scale (q - zero)`, with q a whole number from 0 to 2^bits - 1 and
one scale and one zero for each row, or for each group of neighbouring columns of a row:

    min-max     scale = (max - min)/(2^bits - 1),  zero = round(-min/scale)          GPTQ; 0 is on the grid
    symmetric   scale = 2 max|w|/(2^bits - 1),     zero = 2^(bits - 1)               GPTQ, as an option
    absmax      scale = max|w|/(2^(bits-1) - 1),   zero = 2^(bits-1) - 1             round-to-nearest, SmoothQuant
    range       scale = 2 s/(2^bits - 1),          zero = (2^bits - 1)/2             QuIP; s is one number for a matrix

The first two are those of the code of Frantar et al. (2023), which takes the first where nothing else is said.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from ntk1bit.arguments import whole

MOST_BITS = 8


class Grid(NamedTuple):
    """A uniform grid for each row of a matrix: the numbers `scale (q - zero)`, q = 0 to `top`."""

    scale: Float[np.ndarray, "m 1"]
    zero: Float[np.ndarray, "m 1"]
    top: int


class GridQuantized(NamedTuple):
    """A matrix on uniform grids: entry (r, k) stands for `scale[r, g] (q[r, k] - zero[r, g])`, g = k // group.

    The last group may have fewer columns than the others.
    """

    q: UInt8[np.ndarray, "m d"]
    scale: Float[np.ndarray, "m groups"]
    zero: Float[np.ndarray, "m groups"]
    group: int

    @property
    def values(self) -> Float[np.ndarray, "m d"]:
        """Return the numbers that the integers stand for, float64."""
        group_of = np.arange(self.q.shape[1]) // self.group
        return self.scale[:, group_of] * (self.q - self.zero[:, group_of])


def min_max_grid(w: Float[np.ndarray, "m d"], *, bits: int, symmetric: bool = False) -> Grid:
    """Return the grid that reaches from the least to the largest weight of each row, and has 0 on it.

    `scale = (max - min)/(2^bits - 1)` and `zero = round(-min/scale)`, with min <= 0 <= max. `symmetric`: the same with
    max = -min = max|w|, and zero = 2^(bits-1), which puts the grid half a step further down: max|w| lies half a step
    above its highest point. A row of zeros has the grid of [-1, 1], on which it stays zero.

    Parameters
    ----------
    w
        Weights, (m, d), finite.
    bits
        From 2 to 8: of a single bit, one level would be 0 and the other one end.

    Raises
    ------
    InputError
        If `bits` is out of range.
    """
    top = 2 ** weight_bits(bits, least=2) - 1
    low, high = w.min(axis=1, initial=0.0, keepdims=True), w.max(axis=1, initial=0.0, keepdims=True)
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    empty = low == high
    low, high = np.where(empty, -1.0, low), np.where(empty, 1.0, high)
    scale = high / top - low / top
    zero = np.full_like(scale, (top + 1) / 2) if symmetric else np.rint(-low / scale)
    return Grid(scale, zero, top)


def range_grid(half: float, *, rows: int, bits: int) -> Grid:
    """Return the grid of 2^bits points from -half to half, both on it, the same for all rows (QuIP's).

    Raises
    ------
    InputError
        If `bits` is not in 1..8.
    """
    top = 2 ** weight_bits(bits) - 1
    return Grid(np.full((rows, 1), 2 * half / top), np.full((rows, 1), top / 2), top)


def nearest(w: Float[np.ndarray, "m d"], grid: Grid) -> Float[np.ndarray, "m d"]:
    """Return the integers of the nearest points of a grid, as float64: clip(round(w/scale) + zero, 0, top).

    Halves go to even before a whole `zero` is added, as in the code of GPTQ's authors.
    """
    whole_part = np.floor(grid.zero)
    return np.clip(np.rint(w / grid.scale + (grid.zero - whole_part)) + whole_part, 0, grid.top)


def points(q: Float[np.ndarray, "m d"], grid: Grid) -> Float[np.ndarray, "m d"]:
    """Return the numbers that integers of a grid stand for."""
    return grid.scale * (q - grid.zero)


def weight_bits(bits: int, *, least: int = 1) -> int:
    """Return a number of bits for weights, checked.

    Raises
    ------
    InputError
        If it is not a whole number from `least` to 8.
    """
    return whole("bits", bits, allowed=f"a whole number from {least} to {MOST_BITS}", least=least, most=MOST_BITS)
