"""A proved lower bound on the smallest eigenvalue of a kernel, by a Cholesky factor and a rigorous residual.

Eigenvalues from LAPACK come without proof. The idea (Rump 2006, "Verification of positive definiteness"): for *any*
real matrix R, R^T R is positive semi-definite, so for every shift sigma (Weyl)

    lambda_min(H) >= sigma - norm_2(H - sigma I - R^T R).

R is the floating-point Cholesky factor of H - sigma I with sigma just below the computed lambda_min. Rump bounds the
norm in advance from how Cholesky factorisation rounds; here it is bounded afterwards from the factor itself, so nothing
about the LAPACK in use is assumed. With u = 2^-53 and gamma_k = k u/(1 - k u) (Higham 2002, sections 2.2, 3.1):

- E = fl(H - sigma I - R^T R): its Frobenius norm, computed, bounds norm_2(E);
- each entry of fl(R^T R) is an inner product of n terms, off by at most gamma_n <|r_i|, |r_j|> <= gamma_n |r_i| |r_j|
  in any order of summation, with or without fused multiply-adds; the matrix |r_i| |r_j| has 2-norm norm_F(R)^2;
- the two subtractions add u |E_ij| and u |h_ii - sigma|;
- an underflow adds less than 2^-1022 per entry and product.

What is assumed: IEEE binary64 rounding to nearest, and products that sum inner products (no Strassen-like algorithm).
The matrix's entries are taken as exact: the bound says nothing about how they were computed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from ntk1bit.kernels.precision import Dtype, finite, power_of_four
from ntk1bit.kernels.spectra import require_symmetric
from ntk1bit.printing import record

_UNIT = 2.0**-53
_SAFETY = 1 + 2.0**-10  # covers the rounding of the bound's own few sums and products many times over
_ATTEMPTS = 12


class CertifiedBound(NamedTuple):
    """A proved statement about lambda_min.

    Attributes
    ----------
    lower_bound
        lambda_min(H) >= lower_bound, proved; -infinity if no bound was found.
    estimate
        The floating-point lambda_min, for comparison; not proved.
    """

    lower_bound: float
    estimate: float

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    @property
    def positive(self) -> bool:
        """Whether lambda_min(H) > 0 is proved."""
        return self.lower_bound > 0

    def __str__(self) -> str:
        """Say what is proved, or that it cannot be."""
        if self.positive:
            return f"lambda_min >= {self.lower_bound:.9g} (certified; floating point says {self.estimate:.9g})"
        return (
            f"cannot certify lambda_min > 0: floating point says {self.estimate:.3g}, "
            f"and all that is proved is lambda_min >= {self.lower_bound:.3g}"
        )


def certified_lambda_min(
    kernel: Float[np.ndarray, "n n"] | ArrayLike, *, computed_in: Dtype | None = None
) -> CertifiedBound:
    """Prove a lower bound on lambda_min of a symmetric matrix of floats.

    The bound lies below the truth by about n^2 eps mean(diagonal): for n = 1,000 and a diagonal of 1/2, by 1e-10.
    A matrix that is symmetric only to rounding is bounded through its symmetric part, and the difference is paid for.

    Parameters
    ----------
    kernel
        (n, n), any type of real numbers; entries taken as exact.
    computed_in
        As for `spectrum`. It decides by how much (i, j) and (j, i) may differ, and nothing else: the bound is one on
        the matrix that is given, not on the kernel that this matrix is a rounded form of.

    Raises
    ------
    InputError
        If the kernel is not square, empty, complex, not finite or not symmetric.
    """
    h, _ = require_symmetric(kernel, computed_in)
    n = h.shape[0]
    given = np.asarray(kernel)
    held = finite("the kernel", given)
    # What is longer than float64 is rounded to it, and (H + H^T)/2 again, by at most u times the entries each. For a
    # matrix of float64 numbers that is exactly symmetric both are exact.
    with np.errstate(invalid="ignore"):
        exact = bool((held == h).all() and (held.astype(given.dtype) == given).all())
    size = power_of_four(float(np.abs(h).max()))
    h, held = h / size, held / size  # exact, so that squares stay in range
    averaging = 0.0 if exact else 2 * _UNIT * float(np.linalg.norm(held)) * _SAFETY
    estimate = float(np.linalg.eigvalsh(h)[0])
    slack = n * _UNIT * float(np.abs(np.diagonal(h)).sum()) + 4 * _UNIT * float(np.abs(h).max())
    best = -np.inf
    for _ in range(_ATTEMPTS):
        shift = estimate - slack
        factor = _cholesky(h, shift)
        if factor is not None:
            best = shift - (_residual_bound(h, shift, factor) + averaging) * _SAFETY
            break
        slack *= 4
    return CertifiedBound(float(np.nextafter(best * size, -np.inf)), estimate * size)


def _cholesky(h: Float[np.ndarray, "n n"], shift: float) -> Float[np.ndarray, "n n"] | None:
    """Return R with R^T R near H - shift I, or None when the factorisation breaks down."""
    try:
        return np.linalg.cholesky(_shifted(h, shift)).T
    except np.linalg.LinAlgError:
        return None


def _residual_bound(h: Float[np.ndarray, "n n"], shift: float, factor: Float[np.ndarray, "n n"]) -> float:
    """Bound norm_2(H - shift I - R^T R) from above, every rounding included."""
    n = h.shape[0]
    gamma = n * _UNIT / (1 - n * _UNIT)
    shifted = _shifted(h, shift)
    residual = float(np.linalg.norm(shifted - factor.T @ factor))
    rounding = gamma * float(np.vdot(factor, factor)) + _UNIT * (residual + float(np.abs(np.diagonal(shifted)).max()))
    underflow = float(n) ** 3 * np.finfo(np.float64).tiny
    return (residual + rounding + underflow) * _SAFETY


def _shifted(h: Float[np.ndarray, "n n"], shift: float) -> Float[np.ndarray, "n n"]:
    shifted = h.copy()
    shifted[np.diag_indices_from(shifted)] -= shift
    return shifted
