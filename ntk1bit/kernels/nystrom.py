"""A factor of a large kernel by Nystrom's method, with an exact bound on what it leaves out.

For an orthonormal random basis Omega (n, r) and Y = K Omega the kernel

    K_r = Y (Omega^T Y)^+ Y^T = F F^T

has rank r, and K - K_r is positive semi-definite. So its norm is at most its trace, trace K - norm_F(F)^2, which is
known exactly where the diagonal of K is, and each eigenvalue obeys

    lambda_i(K_r) <= lambda_i(K) <= lambda_i(K_r) + trace(K - K_r).

Computed with a small shift, as Tropp, Yurtsever, Udell and Cevher 2017 (algorithm 3) have it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.sparse.linalg import LinearOperator

from ntk1bit.arguments import require_memory, whole
from ntk1bit.errors import InputError
from ntk1bit.kernels.kernel_forms import Kernel, checked_seed, exact_diagonal, multiplier
from ntk1bit.kernels.precision import finite

_TOGETHER = 64  # columns multiplied at once


def nystrom_factor(
    kernel: Kernel | LinearOperator | ArrayLike,
    rank: int,
    *,
    diagonal: Float[np.ndarray, " n"] | ArrayLike | None = None,
    seed: int = 0,
) -> Kernel:
    """Approximate a positive semi-definite kernel by F F^T from `rank` products.

    Parameters
    ----------
    kernel
        Any form.
    rank
        Columns of F; more than n count as n.
    diagonal
        (n,), exact; by default the kernel's own, which entries and the operators of `ntk1bit.autodiff.ntk_operator`
        know.
    seed
        Of the Gaussian basis.

    Returns
    -------
    Kernel
        Its factor F, (n, rank) float64, columns orthogonal and largest first, so that their squared norms are the
        eigenvalues of F F^T; `quality` has `trace`, `residual_trace` (an upper bound on norm(K - F F^T)),
        `residual_share` and `rounding`, what the products' own rounding may add to the bound.

    Raises
    ------
    InputError
        If the kernel is no real square matrix or not positive semi-definite, or its diagonal is neither known nor
        given.
    """
    k, seed = multiplier(kernel), checked_seed(seed)
    rank = min(whole("rank", rank, allowed="a whole number of at least 1", least=1), k.size)
    require_memory(f"a factor of {rank} columns", 32.0 * k.size * rank, instead="take a smaller rank")
    known = exact_diagonal(kernel) if diagonal is None else finite("diagonal", diagonal)
    if known is None:
        raise InputError("the diagonal of this operator is not known, and without it no error: give diagonal=...")
    if known.shape != (k.size,):
        raise InputError(f"diagonal has shape {known.shape}, but the kernel has {k.size} rows")
    basis = np.linalg.qr(np.random.default_rng(seed).standard_normal((k.size, rank)))[0]
    image = np.concatenate(
        [k @ basis[:, at : at + _TOGETHER] for at in range(0, rank, _TOGETHER)],
        axis=1,
    )
    size = float(np.linalg.norm(image))
    factor, shift = _shifted_factor(basis, image, k.eps * size) if size > 0 else (np.zeros_like(image), 0.0)
    trace, captured = float(known.sum()), float(np.square(factor).sum())
    rounding = k.eps * trace + shift * rank
    if captured - trace > max(100 * rounding, 1e-3 * abs(trace)):
        raise InputError(
            f"a factor of the kernel has the trace {captured:.4g}, but the diagonal sums to {trace:.4g}: the kernel is "
            "not positive semi-definite, or the diagonal another's"
        )
    left = max(trace - captured, 0.0)
    about = {**dict(getattr(kernel, "about", {})), "approximation": "Nystrom", "rank": rank, "seed": seed}
    quality = {
        "trace": trace,
        "residual_trace": left,
        "residual_share": left / trace if trace > 0 else 0.0,
        "rounding": rounding,
    }
    return Kernel(factor=factor, about=about, quality=quality, diagonal=known)


def _shifted_factor(
    basis: Float[np.ndarray, "n r"], image: Float[np.ndarray, "n r"], shift: float
) -> tuple[Float[np.ndarray, "n r"], float]:
    """Return F, and the shift of the spectrum that made Omega^T K Omega definite in spite of rounding."""
    for _ in range(6):
        shifted = image + shift * basis
        core = basis.T @ shifted
        try:
            upper = cholesky((core + core.T) / 2)
        except LinAlgError:
            shift *= 10
            continue
        whitened = solve_triangular(upper.T, shifted.T, lower=True).T
        vectors, sizes, _ = np.linalg.svd(whitened, full_matrices=False)
        return vectors * np.sqrt(np.clip(sizes**2 - shift, 0.0, None)), shift
    raise InputError("the kernel is not positive semi-definite, so it has no such factor; an NTK cannot be")
