"""QuIP (Chee et al. 2023, arXiv 2307.13304): weights and Hessian turned to random axes, then rounded by LDLQ.

Pre-processing (U, V random orthogonal):

    H <- H + 0.01 mean(diag H) I
    D = (diag(H)/diag(W^T W))^(1/4)        W <- U W D V^T,   H <- V D^-1 H D^-1 V^T
    s = 2.4 |W|_F/sqrt(m d)                grid: 2^bits points from -s to s, and W clamped to [-s, s]

LDLQ: with H = (A + I) L (A + I)^T, L diagonal, A strictly upper triangular, columns in their order,

    W'_k = Q( W_k + (W - W')_{1:k-1} A_{1:k-1,k} )

which is optimal among all ways of feeding errors linearly into later columns and, as the paper proves, what GPTQ (there
OPTQ) computes in another way. Post-processing turns the result back: U^T W' V D^-1.

Each orthogonal matrix is a Kronecker product of two Haar-distributed ones, of sizes as near to the square root as
factors allow, after a random permutation: it costs far less to apply than a dense one. A dimension that is a prime
number has one dense factor. The authors' code differs in that it damps after the rescaling too, permutes a second time,
and rounds from the last column to the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ntk1bit.arguments import number, whole
from ntk1bit.networks.post_training.gptq import upper_factor
from ntk1bit.networks.post_training.grids import Grid, GridQuantized, nearest, points, range_grid, weight_bits
from ntk1bit.networks.post_training.hessians import DAMPING, checked_layer, damped

RANGE = 2.4  # rho: half the range of the grid in root mean squares of the weights, as in the authors' code
_LEAST_COLUMN = 1e-8  # of the largest diag(W^T W): a column of zeros would be divided by zero


class KroneckerOrthogonal(NamedTuple):
    """The orthogonal matrix (left kron right) P, P the permutation that takes entry `order[i]` to place i."""

    left: Float[np.ndarray, "p p"]
    right: Float[np.ndarray, "q q"]
    order: Int[np.ndarray, " pq"]

    def apply(self, rows: Float[np.ndarray, "n pq"]) -> Float[np.ndarray, "n pq"]:
        """Multiply every row, as a vector, from the left: rows @ matrix.T."""
        parts = rows[:, self.order].reshape(-1, len(self.left), len(self.right))
        return (self.left @ parts @ self.right.T).reshape(rows.shape)

    def invert(self, rows: Float[np.ndarray, "n pq"]) -> Float[np.ndarray, "n pq"]:
        """Undo `apply`, by the transpose: rows @ matrix."""
        parts = rows.reshape(-1, len(self.left), len(self.right))
        result = np.empty_like(rows)
        result[:, self.order] = (self.left.T @ parts @ self.right).reshape(rows.shape)
        return result


@dataclass(frozen=True)
class Incoherent:
    """A layer on random axes.

    Attributes
    ----------
    weight, hessian
        U W D V^T and V D^-1 H D^-1 V^T, H damped.
    outputs, inputs
        U and V.
    rescale
        The diagonal of D, (d,).
    """

    weight: Float[np.ndarray, "m d"]
    hessian: Float[np.ndarray, "d d"]
    outputs: KroneckerOrthogonal
    inputs: KroneckerOrthogonal
    rescale: Float[np.ndarray, " d"]

    def restored(self, weight: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m d"]:
        """Turn a matrix on the random axes back to those of the layer: U^T W V D^-1."""
        return self.inputs.invert(self.outputs.invert(weight.T).T) / self.rescale


class IncoherentQuantized(NamedTuple):
    """A quantised layer: integers on random axes, and the weights that they stand for on the layer's own."""

    quantized: GridQuantized
    layer: Incoherent

    @property
    def values(self) -> Float[np.ndarray, "m d"]:
        """Return the weights, float64."""
        return self.layer.restored(self.quantized.values)


def quip(
    weight: Float[np.ndarray, "m d"],
    hessian: Float[np.ndarray, "d d"],
    *,
    bits: int,
    seed: int | tuple[int, ...] = 0,
    damping: float = DAMPING,
    rho: float = RANGE,
) -> IncoherentQuantized:
    """Quantise the weights of a layer so that its outputs change little on the inputs that the Hessian is of.

    Parameters
    ----------
    weight
        W, (m, d), any floats; a row for each output.
    hessian
        H of `hessians.input_hessian`, not damped, (d, d).
    bits
        From 1 to 8.
    seed
        Of the orthogonal matrices, which follow from it and the shape: they need not be stored.
    damping
        Times the mean diagonal of H, added to the diagonal.
    rho
        Half the range of the grid, in root mean squares of the weights.

    Returns
    -------
    Integers on the random axes, and what turns them back; `.values` are the weights.

    Raises
    ------
    InputError
        If an array is not finite or of another shape, or a number is out of range.
    """
    weight_bits(bits)
    number("rho", rho, allowed="a number above 0", above=0.0)
    layer = incoherent(weight, hessian, seed=seed, damping=damping)
    half = rho * float(np.sqrt((layer.weight**2).mean()))
    grid = range_grid(half if half > 0 else 1.0, rows=len(layer.weight), bits=bits)
    clamped = np.clip(layer.weight, -half, half)
    q = ldlq(clamped, layer.hessian, grid)
    if half == 0:  # no grid of an even number of points has zero on it
        grid = Grid(np.zeros_like(grid.scale), grid.zero, grid.top)
    return IncoherentQuantized(GridQuantized(q.astype(np.uint8), grid.scale, grid.zero, q.shape[1]), layer)


def incoherent(
    weight: Float[np.ndarray, "m d"],
    hessian: Float[np.ndarray, "d d"],
    *,
    seed: int | tuple[int, ...] = 0,
    damping: float = DAMPING,
) -> Incoherent:
    """Turn a layer to random axes; nothing is rounded. See the module for the formulas.

    Raises
    ------
    InputError
        As `quip`.
    """
    w, h = checked_layer(weight, hessian)
    h = damped(h, damping)
    rng = np.random.default_rng(seed)
    outputs, inputs = random_orthogonal(w.shape[0], rng), random_orthogonal(w.shape[1], rng)
    columns = (w**2).sum(axis=0)
    floor = _LEAST_COLUMN * columns.max()
    rescale = (np.diag(h) / np.maximum(columns, floor)) ** 0.25 if floor > 0 else np.ones(len(h))
    turned = outputs.apply(inputs.apply(w * rescale).T).T
    return Incoherent(turned, inputs.apply(inputs.apply(h / np.outer(rescale, rescale)).T), outputs, inputs, rescale)


def ldlq(weight: Float[np.ndarray, "m d"], hessian: Float[np.ndarray, "d d"], grid: Grid) -> Float[np.ndarray, "m d"]:
    """Round the columns of W to a grid in their order, each with what the errors so far feed back; return integers.

    Parameters
    ----------
    weight
        W, (m, d), float64.
    hessian
        Positive definite, (d, d).
    grid
        A row each, or one for all.
    """
    factor = upper_factor(hessian)
    feedback = factor / np.diag(factor)  # A + I
    q, errors = np.zeros_like(weight), np.zeros_like(weight)
    for k in range(weight.shape[1]):
        target = weight[:, k : k + 1] + errors[:, :k] @ feedback[:k, k : k + 1]
        q[:, k : k + 1] = nearest(target, grid)
        errors[:, k : k + 1] = weight[:, k : k + 1] - points(q[:, k : k + 1], grid)
    return q


def random_orthogonal(size: int, rng: np.random.Generator) -> KroneckerOrthogonal:
    """Draw an orthogonal matrix that is a permutation followed by a Kronecker product of two Haar-distributed ones.

    Raises
    ------
    InputError
        If `size` is below 1.
    """
    size = whole("size", size, allowed="a whole number of at least 1", least=1)
    small = max(factor for factor in range(1, int(size**0.5) + 1) if size % factor == 0)
    return KroneckerOrthogonal(_haar(small, rng), _haar(size // small, rng), rng.permutation(size))


def _haar(size: int, rng: np.random.Generator) -> Float[np.ndarray, "size size"]:
    """Draw from the Haar measure of O(size): QR of a Gaussian matrix with the signs of R's diagonal taken into Q."""
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    return q * np.where(np.diag(r) < 0, -1.0, 1.0)
