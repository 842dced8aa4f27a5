"""The spectrum of a kernel and what it says about learning: rank, conditioning, decay, alignment.

Eigenvalues of a symmetric matrix from LAPACK are good to about eps norm(H) *absolutely*, so the small ones, which
decide how long training takes, are the worst relatively. The ends of the spectrum are therefore refined by Rayleigh
quotients in extended precision (where the platform has it): their error is quadratic in that of the eigenvectors.
For a lower bound that is proved rather than computed see `ntk1bit.kernels.certified`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import ArrayLike

from ntk1bit.arguments import whole
from ntk1bit.errors import InputError
from ntk1bit.kernels.joint import as_matrix, separated
from ntk1bit.kernels.precision import (
    Dtype,
    finite,
    kernel_entries,
    negative_within,
    power_of_four,
    symmetric_within,
    unresolved,
)
from ntk1bit.printing import number, record, short_lines

_REFINED = 4  # eigenvalues refined at each end


class Decay(NamedTuple):
    """A power law lambda_k = A k^-exponent fitted to part of a spectrum, by least squares in logarithms.

    Attributes
    ----------
    exponent, amplitude
        The law.
    standard_error
        Of the exponent, from the residuals of the fit; neighbouring eigenvalues are not independent, so it is a
        measure of how straight the line is rather than a confidence interval.
    first, last
        The ranks fitted, 1 being the largest eigenvalue; `last - first + 1` points.
    """

    exponent: float
    amplitude: float
    standard_error: float
    first: int
    last: int

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues and eigenvectors of a positive semi-definite kernel, largest first.

    Attributes
    ----------
    eigenvalues
        (n,) float64, descending. Rounding may leave the smallest ones slightly below 0.
    eigenvectors
        (n, n); column k belongs to `eigenvalues[k]`.
    rounding
        The size up to which an eigenvalue cannot be told from 0, given the dtype in which the kernel was made.
    """

    eigenvalues: Float[np.ndarray, " n"]
    eigenvectors: Float[np.ndarray, "n n"]
    rounding: float = 0.0

    def __repr__(self) -> str:
        """Say in a few lines how large the kernel is, the ends of its spectrum, its rank and its decay."""
        values, n = self.eigenvalues, len(self.eigenvalues)
        lines = [
            f"Spectrum of a kernel on {n} points",
            f"lambda_max {number(values[0], 4)}, lambda_min {number(values[-1], 4)}, "
            f"told from 0 above {number(self.rounding, 2)}",
            f"condition number {number(self.condition_number, 4)}, effective rank {number(self.effective_rank, 4)}",
        ]
        if n >= 8 and values[n // 2 - 1] > 0:
            law = self.decay()
            lines.append(
                f"decay k^-{number(law.exponent)} +- {number(law.standard_error, 2)}, ranks {law.first} to {law.last}"
            )
        return short_lines(lines)

    @property
    def effective_rank(self) -> float:
        """Exponential of the entropy of lambda_k / trace (Roy & Vetterli 2007): n for the identity, 1 for rank one."""
        share = np.clip(self.eigenvalues, 0.0, None)
        share = share[share > 0] / share.sum()
        return float(np.exp(-(share * np.log(share)).sum())) if share.size else 0.0

    @property
    def condition_number(self) -> float:
        """lambda_max / lambda_min; infinite when lambda_min is not above 0, or not above `rounding`."""
        smallest = float(self.eigenvalues[-1])
        return float(self.eigenvalues[0]) / smallest if smallest > self.rounding else float("inf")

    def decay(self, *, first: int = 2, last: int | None = None) -> Decay:
        """Fit lambda_k = A k^-exponent to the ranks `first`..`last` (by default 2 to n/2, away from both ends).

        Raises
        ------
        InputError
            If the range holds fewer than 3 eigenvalues, leaves 1..n, or contains one that is not positive.
        """
        n = len(self.eigenvalues)
        first = whole("first", first, allowed="a rank", least=0)
        last = max(n // 2, first + 2) if last is None else whole("last", last, allowed="a rank", least=0)
        if first < 1 or last > n or last - first < 2:
            raise InputError(f"a decay needs at least 3 ranks within 1..{n}, got {first}..{last}")
        values = self.eigenvalues[first - 1 : last]
        if not values[-1] > 0:
            raise InputError(f"eigenvalue {last} is {values[-1]:.3g}, not positive; choose a smaller `last`")
        rank, size = np.log(np.arange(first, last + 1)), np.log(values)
        centred = rank - rank.mean()
        slope = float(centred @ size / (centred @ centred))
        residual = size - size.mean() - slope * centred
        error = float(np.sqrt(residual @ residual / max(len(rank) - 2, 1) / (centred @ centred)))
        return Decay(-slope, float(np.exp(size.mean() - slope * rank.mean())), error, first, last)


def spectrum(kernel: Float[np.ndarray, "n n ..."] | ArrayLike, *, computed_in: Dtype | None = None) -> Spectrum:
    """Decompose a symmetric positive semi-definite kernel.

    Parameters
    ----------
    kernel
        (n, n), any type of real numbers; or (n, n, k, k) of k outputs, which counts as the matrix (n k, n k) of all of
        them, output o of input i at i k + o (`ntk1bit.kernels.joint`).
    computed_in
        The dtype in which the kernel was made, to whose rounding it is symmetric and positive semi-definite; by default
        its own, and float32 for a float64 array that holds float32 numbers only (see `ntk1bit.kernels.precision`).

    Raises
    ------
    InputError
        If the kernel is not square, empty, complex, not finite, not symmetric, or has an eigenvalue below
        -8 n eps lambda_max.
    """
    h, eps = require_symmetric(kernel, computed_in)
    values, vectors = np.linalg.eigh(h)
    for k in {*range(min(_REFINED, len(values))), *range(max(len(values) - _REFINED, 0), len(values))}:
        values[k] = _rayleigh(h, vectors[:, k])
    order = np.argsort(values)[::-1]
    values, vectors = values[order], vectors[:, order]
    if values[-1] < -negative_within(values, eps):
        raise InputError(
            f"the kernel is not positive semi-definite: lambda_min = {values[-1]:.3g}, lambda_max = {values[0]:.3g}; "
            "an NTK cannot be, so check where it comes from (a noisy estimate needs more samples; if it was made in "
            "lower precision than it is held in, give computed_in)"
        )
    return Spectrum(values, vectors, unresolved(values, eps))


def alignment(
    kernel: Float[np.ndarray, "n n ..."] | ArrayLike,
    y: Float[np.ndarray, "n ..."] | ArrayLike,
    *,
    computed_in: Dtype | None = None,
) -> float:
    """Return the kernel-target alignment <H, y y^T>_F / (norm_F(H) norm_F(y y^T)), in [-1, 1] (Cristianini 2001).

    Parameters
    ----------
    kernel, computed_in
        As for `spectrum`; it need not be positive semi-definite.
    y
        (n,) targets, or (n, outputs): for a kernel of several outputs the two, as one vector, belong together.

    Raises
    ------
    InputError
        If the kernel is not symmetric and finite, the targets do not match it, or either is zero.
    """
    several = separated(kernel, y, None, None, None)
    if several.each:
        raise InputError("the alignment of a kernel for each output is that of each: give kernel[..., o] and y[:, o]")
    matrix, targets, *_ = several.problems[0]
    h, _ = require_symmetric(matrix, computed_in)
    y64 = _targets("targets", targets, h.shape[0])
    # scaled by powers of four, which is exact: squares stay in range
    h = h / power_of_four(float(np.abs(h).max()))
    y64 = y64 / power_of_four(float(np.abs(y64).max(initial=0.0)))
    size = float(np.linalg.norm(h) * np.linalg.norm(y64.T @ y64))
    if not size > 0:
        raise InputError("the alignment of a zero kernel or of zero targets is not defined")
    return float((y64 * (h @ y64)).sum()) / size


def require_symmetric(
    kernel: Float[np.ndarray, "n n ..."] | ArrayLike, computed_in: Dtype | None = None
) -> tuple[Float[np.ndarray, "m m"], float]:
    """Return the symmetric part, in float64, of a kernel that is symmetric up to rounding, and that rounding's eps.

    Parameters
    ----------
    kernel, computed_in
        As for `spectrum`.

    Raises
    ------
    InputError
        If it is not square, empty, complex or not finite, or if entries differ by more than 64 eps of the largest one.
    """
    h, eps = kernel_entries("the kernel", as_matrix(kernel), computed_in)
    if h.shape[0] != h.shape[1] or h.shape[0] == 0:
        raise InputError(f"a square kernel with at least one row is needed, got shape {h.shape}")
    gap = asymmetry_of(h)
    if gap > symmetric_within(eps) * float(np.abs(h).max()):
        raise InputError(
            f"the kernel is not symmetric: entries (i,j) and (j,i) differ by up to {gap:.3g}; "
            "for an effective kernel take symmetric_part(K) first, and for one made in lower precision than it is held "
            "in, give computed_in"
        )
    return halved_sum(h), eps


def asymmetry_of(h: Float[np.ndarray, "n n"]) -> float:
    """Return by how much entries (i, j) and (j, i) differ at most."""
    with np.errstate(over="ignore"):
        return float(np.abs(h - h.T).max(initial=0.0))


def halved_sum(h: Shaped[np.ndarray, "n n"]) -> Shaped[np.ndarray, "n n"]:
    """Return (H + H^T)/2, for entries up to the largest float."""
    return h / 2 + h.T / 2


def _rayleigh(h: Float[np.ndarray, "n n"], vector: Float[np.ndarray, " n"]) -> float:
    v = vector.astype(np.longdouble)
    return float((v @ (h.astype(np.longdouble) @ v)) / (v @ v))


def _targets(name: str, values: object, length: int) -> Float[np.ndarray, "n ..."]:
    """Return targets, (n,) or (n, outputs), in float64."""
    vectors = finite(name, values)
    if vectors.ndim not in (1, 2) or vectors.shape[0] != length:
        raise InputError(f"{name} of shape {vectors.shape} do not match a kernel of {length} points")
    return vectors
