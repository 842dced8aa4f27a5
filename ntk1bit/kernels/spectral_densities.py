"""Where the eigenvalues of a large kernel lie, from products K v alone: stochastic Lanczos quadrature.

s steps of Lanczos from a probe z of independent signs give nodes theta_j and weights w_j with

    sum_j w_j g(theta_j) = z^T g(K) z/n

exactly for polynomials g of degree below 2 s, so means over probes estimate trace g(K)/n, the mean of g over all
eigenvalues (Golub and Meurant 2010; Ubaru, Chen and Saad 2017). Standard errors are those of means over probes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import LinearOperator

from ntk1bit.arguments import number as checked_number
from ntk1bit.arguments import whole
from ntk1bit.kernels.kernel_forms import (
    Kernel,
    Multiplier,
    checked_probes,
    checked_seed,
    multiplier,
    random_signs,
    standard_error,
)
from ntk1bit.kernels.precision import finite
from ntk1bit.printing import record


@dataclass(frozen=True, eq=False)
class SpectralDensity:
    """Where the eigenvalues of a kernel lie, as estimated from several probes.

    Attributes
    ----------
    nodes, weights
        (probes, steps): of each probe, points and the shares of eigenvalues at them, which sum to 1.
    size
        Number of eigenvalues n.
    seed
        Of the probes.
    """

    nodes: Float[np.ndarray, "probes steps"]
    weights: Float[np.ndarray, "probes steps"]
    size: int
    seed: int

    def trace_of(self, function: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
        """Return trace g(K), the sum of g over all eigenvalues, and its standard error.

        Parameters
        ----------
        function
            g, from an array of eigenvalues to one of the same shape.
        """
        sums = (self.weights * function(self.nodes)).sum(axis=1)
        return self.size * float(sums.mean()), self.size * standard_error(sums)

    def share_below(self, at: ArrayLike) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
        """Return the share of eigenvalues up to each point, and its standard error.

        Only jumps of the estimate between nodes are seen, so a share is uncertain by the weight of a node as well.
        """
        points = np.atleast_1d(finite("at", at))
        shares = np.stack([(self.weights * (self.nodes <= point)).sum(axis=1) for point in points], axis=1)
        return shares.mean(axis=0), shares.std(axis=0, ddof=1) / np.sqrt(len(shares))

    def density(
        self, at: ArrayLike, *, width: float
    ) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
        """Return the density of eigenvalues, smoothed by a Gaussian of standard deviation `width`, and its error."""
        width = checked_number("width", width, allowed="a positive number", above=0.0)
        points = np.atleast_1d(finite("at", at))
        z = (points[:, None, None] - self.nodes) / width
        values = (self.weights * np.exp(-(z**2) / 2)).sum(axis=2) / (width * np.sqrt(2 * np.pi))
        return values.mean(axis=1), values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])

    @property
    def effective_rank(self) -> float:
        """Exponential of the entropy of lambda_k/trace, as `Spectrum.effective_rank`."""
        trace = self.trace_of(lambda values: np.clip(values, 0.0, None))[0]
        if not trace > 0:
            return 0.0

        def entropy(values: np.ndarray) -> np.ndarray:
            share = np.clip(values, 0.0, None) / trace
            return -share * np.log(np.where(share > 0, share, 1.0))

        return float(np.exp(self.trace_of(entropy)[0]))

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)


def spectral_density(
    kernel: Kernel | LinearOperator | ArrayLike, *, probes: int = 16, steps: int = 50, seed: int = 0
) -> SpectralDensity:
    """Estimate where the eigenvalues of a symmetric kernel lie, by stochastic Lanczos quadrature.

    Parameters
    ----------
    kernel
        Any form.
    probes
        Starts of random signs, at least 2; their scatter gives standard errors.
    steps
        Products for each; as many points represent the spectrum. All vectors of one probe are kept, 8 n steps bytes.
    seed
        Of the signs.

    Raises
    ------
    InputError
        If the kernel is no real square matrix, or products are not finite.
    """
    k = multiplier(kernel)
    probes = checked_probes(probes)
    steps = min(whole("steps", steps, allowed="a whole number of at least 1", least=1), k.size)
    nodes, weights = np.zeros((probes, steps)), np.zeros((probes, steps))
    signs = random_signs(k.size, probes, checked_seed(seed))
    for row in range(probes):
        diagonal, beside = _lanczos(k, signs[:, row] / np.sqrt(k.size), steps)
        values, vectors = eigh_tridiagonal(diagonal, beside)
        nodes[row, : len(values)], weights[row, : len(values)] = values, vectors[0] ** 2
    return SpectralDensity(nodes, weights, k.size, checked_seed(seed))


def _lanczos(
    k: Multiplier, start: Float[np.ndarray, " n"], steps: int
) -> tuple[Float[np.ndarray, " s"], Float[np.ndarray, " s_less_1"]]:
    """Return the tridiagonal matrix of up to `steps` steps from a unit vector, kept orthogonal to all before."""
    basis = np.zeros((steps, len(start)))
    basis[0] = start
    diagonal, beside = [], []
    for step in range(steps):
        image = k @ basis[step]
        diagonal.append(float(basis[step] @ image))
        for _ in range(2):  # twice is enough (Parlett 1998, section 6.9)
            image = image - basis[: step + 1].T @ (basis[: step + 1] @ image)
        size = float(np.linalg.norm(image))
        # what is left of a space that K does not leave is rounding
        if step + 1 == steps or size <= 16 * k.eps * max(map(abs, diagonal)) * np.sqrt(step + 1):
            break
        beside.append(size)
        basis[step + 1] = image / size
    return np.array(diagonal), np.array(beside)
