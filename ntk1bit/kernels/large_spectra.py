"""What products K v alone say of a kernel's spectrum: its ends, its trace, its alignment with targets.

For kernels of thousands of points, as operators or factors (`ntk1bit.kernels.kernel_forms`); each function has its
plain reference in `ntk1bit.kernels.spectra`, which decomposes entries.

- *Ends*: Lanczos (ARPACK, `scipy.sparse.linalg.eigsh`). For a unit vector v and theta = v^T K v some eigenvalue lies
  within norm(K v - theta v) of theta (Parlett 1998, theorem 4.5.1), and theta lies between the ends of the spectrum.
- *Traces*: for probes z of independent signs E[z^T K z] = trace K and E[norm(K z)^2] = trace K^2 (Hutchinson 1990).

Standard errors are those of means over probes; a spectrum with one dominant eigenvalue makes them large for trace K^2,
of relative size sqrt(2/probes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from ntk1bit.arguments import number as checked_number
from ntk1bit.arguments import whole
from ntk1bit.errors import InputError, require_choice
from ntk1bit.kernels.kernel_forms import (
    Kernel,
    Multiplier,
    SymmetricOperator,
    checked_probes,
    checked_seed,
    multiplier,
    random_signs,
    standard_error,
)
from ntk1bit.kernels.precision import finite, power_of_four
from ntk1bit.printing import number, record, short_lines

End = Literal["both", "largest", "smallest"]
ENDS: tuple[str, ...] = get_args(End)
_SMALL = 500  # rows up to which all entries are multiplied out: Lanczos takes more products than that
_PROBES = 16  # vectors multiplied at once


@dataclass(frozen=True, eq=False)
class SpectrumEnds:
    """Eigenvalues at both ends of a spectrum, with what bounds their errors.

    Attributes
    ----------
    largest, smallest
        Descending; `largest[0]` estimates lambda_max from below, `smallest[-1]` lambda_min from above.
    largest_residuals, smallest_residuals
        norm(K v - theta v) of each: some eigenvalue of the kernel lies this near. That none lies further out is likely,
        since the start is random, but not proved.
    rounding
        What the products' own rounding may add: by how much v^T K w and w^T K v differ at most between the vectors
        found, and eps lambda_max.
    products
        Vectors multiplied.
    note
        Says if fewer were found than asked for; empty otherwise.
    """

    largest: Float[np.ndarray, " a"]
    smallest: Float[np.ndarray, " b"]
    largest_residuals: Float[np.ndarray, " a"]
    smallest_residuals: Float[np.ndarray, " b"]
    rounding: float
    products: int
    note: str = ""

    def __repr__(self) -> str:
        """Say both ends in a few lines, with their residuals."""
        lines = [
            f"{end}: {', '.join(f'{number(v, 5)} +- {number(r, 1)}' for v, r in zip(values, residuals, strict=True))}"
            for end, values, residuals in (
                ("largest", self.largest, self.largest_residuals),
                ("smallest", self.smallest, self.smallest_residuals),
            )
            if len(values)
        ]
        return short_lines([f"SpectrumEnds, rounding {number(self.rounding, 2)}", *lines, *filter(None, [self.note])])


class RefinedEigenvalues(NamedTuple):
    """Ritz values of a kernel, descending, each no larger than the eigenvalue of its rank, and their residuals.

    Some eigenvalue of the kernel lies within the residual norm(K v - theta v) of each.
    """

    values: Float[np.ndarray, " count"]
    residuals: Float[np.ndarray, " count"]

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)


class TraceEstimate(NamedTuple):
    """Traces of a kernel and its square, each with its standard error.

    Attributes
    ----------
    trace, trace_error
        Of K.
    square, square_error
        Of K^2: the square of the Frobenius norm.
    participation, participation_error
        (trace K)^2/trace K^2, the number of eigenvalues that take part: n for the identity, 1 for rank one; its error
        by the jackknife over probes. `Spectrum.effective_rank` is another such number, by entropy:
        `SpectralDensity.effective_rank`.
    probes, seed
        How it was estimated.
    """

    trace: float
    trace_error: float
    square: float
    square_error: float
    participation: float
    participation_error: float
    probes: int
    seed: int

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines."""
        return record(self)


class AlignmentEstimate(NamedTuple):
    """A kernel-target alignment, whose norm of K is estimated, with its standard error."""

    value: float
    standard_error: float


def lanczos_ends(
    kernel: Kernel | LinearOperator | ArrayLike,
    *,
    count: int = 4,
    end: End = "both",
    tolerance: float = 1e-6,
    seed: int = 0,
) -> SpectrumEnds:
    """Compute the largest and the smallest eigenvalues of a symmetric kernel from products.

    Parameters
    ----------
    kernel
        Any form; products of a `LinearOperator` are taken to be rounded as its `computed_in` says, float64 by default.
    count
        Eigenvalues at each end.
    end
        ``"largest"`` or ``"smallest"`` for one of them, the other is then empty.
    tolerance
        Residual to iterate to, in units of lambda_max, for *both* ends: the small end is computed as the large one of
        lambda_max - K, so an eigenvalue below `tolerance` lambda_max is known to be that small, and no better. It is
        never less than 16 eps of the products.
    seed
        Of the start.

    Returns
    -------
    SpectrumEnds
        Kernels of up to 500 rows are decomposed whole.

    Raises
    ------
    InputError
        If the kernel is no real square matrix, or products are not finite.

    References
    ----------
    Lehoucq, Sorensen and Yang 1998 (ARPACK).
    """
    k, seed = multiplier(kernel), checked_seed(seed)
    require_choice("end", end, ENDS)
    count = min(whole("count", count, allowed="a whole number of at least 1", least=1), k.size)
    tolerance = checked_number("tolerance", tolerance, allowed="a number from 0 to 0.1", least=0.0, most=0.1)
    if k.size <= max(_SMALL, 2 * count + 2):
        return _all_at_once(k, count, end)
    counted = _Counted(k)
    tolerance = max(tolerance, 16 * k.eps)
    start = np.random.default_rng(seed).standard_normal(k.size)
    if not np.any(counted(start)):  # ARPACK refuses a start that K sends to 0
        above, below = (np.zeros(count if end in (one, "both") else 0) for one in ("largest", "smallest"))
        return SpectrumEnds(above, below, above, below, 0.0, counted.products)
    # lambda_max is needed for the small end as well
    top, notes = _outermost(counted, count if end != "smallest" else 1, tolerance, start, shift=None)
    scale = float(np.abs(top[0]).max())
    vectors, more = [top[1] if end != "smallest" else top[1][:, :0], top[1][:, :0]], ""
    if end != "largest":
        (_, vectors[1]), more = _outermost(counted, count, tolerance, start, shift=scale)
    basis = np.concatenate(vectors, axis=1)
    image = counted.several(basis)
    gram = basis.T @ image
    theta = np.diag(gram)
    residuals = np.linalg.norm(image - basis * theta, axis=0)
    rounding = max(float(np.abs(gram - gram.T).max()), k.eps * scale)
    ends = []
    for part in (slice(0, vectors[0].shape[1]), slice(vectors[0].shape[1], None)):
        order = np.argsort(theta[part])[::-1]
        ends.append((theta[part][order], residuals[part][order]))
    (largest, above), (smallest, below) = ends
    note = "; ".join(filter(None, [notes and f"largest: {notes}", more and f"smallest: {more}"]))
    return SpectrumEnds(largest, smallest, above, below, rounding, counted.products, note)


def refined_eigenvalues(
    kernel: Kernel | LinearOperator | ArrayLike, sketch: Kernel, *, count: int = 20, seed: int = 0
) -> RefinedEigenvalues:
    """Correct the largest eigenvalues of a sketch by products with the kernel that it stands for (Rayleigh and Ritz).

    A projection onto D random directions has eigenvalues with relative errors of sqrt(2/D), but its eigenvectors span
    nearly the right space, and in a space Ritz values err by the square of its angle to the right one. So 4 `count`
    products with the kernel, half of them to turn the space further, do what many times more directions would.

    Parameters
    ----------
    kernel
        The kernel, in any form.
    sketch
        An approximation of it, of the same size: from `ntk1bit.autodiff.gradient_features` or `nystrom_factor`.
    count
        Eigenvalues wanted.
    seed
        Of the start of Lanczos on the sketch.

    Raises
    ------
    InputError
        If the sizes differ.
    """
    k, s, seed = multiplier(kernel), multiplier(sketch), checked_seed(seed)
    if k.size != s.size:
        raise InputError(f"the sketch has {s.size} rows and the kernel {k.size}; they must be of the same inputs")
    count = min(whole("count", count, allowed="a whole number of at least 1", least=1), k.size)
    wanted = min(2 * count, k.size)
    if k.size <= max(_SMALL, 2 * wanted + 2):
        vectors = np.linalg.eigh(s @ np.eye(k.size))[1][:, -wanted:]
    else:
        start = np.random.default_rng(seed).standard_normal(k.size)
        (_, vectors), _ = _outermost(_Counted(s), wanted, max(1e-4, 16 * s.eps), start, shift=None)
    basis = np.linalg.qr(k @ vectors)[0]  # a step nearer to the leading space
    image = k @ basis
    core = basis.T @ image
    values, mixed = np.linalg.eigh((core + core.T) / 2)
    residuals = np.linalg.norm(image @ mixed - (basis @ mixed) * values, axis=0)
    return RefinedEigenvalues(values[::-1][:count], residuals[::-1][:count])


def stochastic_trace(kernel: Kernel | LinearOperator | ArrayLike, *, probes: int = 32, seed: int = 0) -> TraceEstimate:
    """Estimate trace K and trace K^2 from products with random signs.

    Parameters
    ----------
    kernel
        Any form.
    probes
        Vectors, at least 2.
    seed
        Of the signs.

    Raises
    ------
    InputError
        If the kernel is no real square matrix, or products are not finite.
    """
    forms, squares = _probed(multiplier(kernel), probes, seed)
    total, square = float(forms.mean()), float(squares.mean())
    left_out = [(np.delete(forms, i).mean() ** 2, np.delete(squares, i).mean()) for i in range(len(forms))]
    ratios = np.array([a / b if b > 0 else 0.0 for a, b in left_out])
    spread = float(np.sqrt((len(ratios) - 1) / len(ratios) * ((ratios - ratios.mean()) ** 2).sum()))
    ratio = total**2 / square if square > 0 else 0.0
    errors = standard_error(forms), standard_error(squares)
    return TraceEstimate(total, errors[0], square, errors[1], ratio, spread, len(forms), checked_seed(seed))


def estimated_alignment(
    kernel: Kernel | LinearOperator | ArrayLike,
    y: Float[np.ndarray, "n ..."] | ArrayLike,
    *,
    probes: int = 32,
    seed: int = 0,
) -> AlignmentEstimate:
    """Estimate the kernel-target alignment <K, y y^T>_F/(norm_F(K) norm_F(y y^T)) from products.

    The numerator is exact, a product for each column of y; norm_F(K) comes from trace K^2.

    Parameters
    ----------
    kernel
        Any form.
    y
        (n,) or (n, outputs) targets; (n, k) with a kernel of n k rows count as one vector of n k.
    probes, seed
        As for `stochastic_trace`.

    Raises
    ------
    InputError
        If targets do not match the kernel, or either is zero.
    """
    k = multiplier(kernel)
    targets = finite("targets", y)
    if targets.ndim == 2 and targets.shape[0] != k.size and targets.size == k.size:
        targets = targets.reshape(-1)
    if targets.ndim not in (1, 2) or targets.shape[0] != k.size:
        raise InputError(f"targets of shape {targets.shape} do not match a kernel of {k.size} rows")
    targets = targets.reshape(k.size, -1)
    targets = targets / power_of_four(float(np.abs(targets).max()))  # exact; squares stay in range
    forms = float((targets * (k @ targets)).sum())
    _, squares = _probed(k, probes, seed)
    square, size = float(squares.mean()), float(np.linalg.norm(targets.T @ targets))
    if not (square > 0 and size > 0):
        raise InputError("the alignment of a zero kernel or of zero targets is not defined")
    value = forms / (np.sqrt(square) * size)
    return AlignmentEstimate(value, abs(value) * standard_error(squares) / (2 * square))


class _Counted:
    """Products of single vectors, counted."""

    def __init__(self, k: Multiplier) -> None:
        self.k, self.products = k, 0

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        self.products += 1
        return self.k @ vector.reshape(-1)

    def several(self, vectors: np.ndarray) -> np.ndarray:
        self.products += vectors.shape[1]
        return self.k @ vectors


def _outermost(
    k: _Counted, count: int, tolerance: float, start: Float[np.ndarray, " n"], *, shift: float | None
) -> tuple[tuple[Float[np.ndarray, " found"], Float[np.ndarray, "n found"]], str]:
    """Return the largest eigenvalues of K, or those of shift - K, with orthonormal vectors; and what went wrong."""

    def product(v: np.ndarray) -> np.ndarray:
        return k(v) if shift is None else shift * v.reshape(-1) - k(v)

    size = len(start)
    kept = min(size - 1, max(2 * count + 1, 32))
    settings: dict[str, Any] = {"v0": start, "tol": tolerance, "ncv": kept, "maxiter": 100}
    try:
        values, vectors = eigsh(SymmetricOperator(size, product), count, which="LA", **settings)
    except ArpackNoConvergence as stopped:
        values, vectors = stopped.eigenvalues, stopped.eigenvectors
        if not len(values):
            raise InputError(
                f"Lanczos found none of {count} eigenvalues to {tolerance:.1g} of the largest in {k.products} "
                "products; give a larger tolerance"
            ) from None
        note = f"{len(values)} of {count} eigenvalues reached the tolerance {tolerance:.1g}, the others are left out"
        return (values, np.linalg.qr(vectors)[0]), note
    return (values, vectors), ""


def _all_at_once(k: Multiplier, count: int, end: str) -> SpectrumEnds:
    entries = k @ np.eye(k.size)
    values, vectors = np.linalg.eigh((entries + entries.T) / 2)
    residuals = np.linalg.norm(entries @ vectors - vectors * values, axis=0)
    rounding = max(float(np.abs(entries - entries.T).max()), k.eps * float(np.abs(values).max()))
    values, residuals = values[::-1], residuals[::-1]
    above = slice(count if end != "smallest" else 0)
    below = slice(k.size - (count if end != "largest" else 0), None)
    return SpectrumEnds(values[above], values[below], residuals[above], residuals[below], rounding, k.size)


def _probed(k: Multiplier, probes: int, seed: int) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Return z^T K z and norm(K z)^2 of every probe."""
    signs = random_signs(k.size, checked_probes(probes), checked_seed(seed))
    forms, squares = [], []
    for start in range(0, signs.shape[1], _PROBES):
        some = signs[:, start : start + _PROBES]
        image = k @ some
        forms.append((some * image).sum(axis=0))
        squares.append((image * image).sum(axis=0))
    return np.concatenate(forms), np.concatenate(squares)
