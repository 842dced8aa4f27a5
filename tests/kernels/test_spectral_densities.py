from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.kernels import spectral_density, spectrum

N = 150


def kernel_of(values: np.ndarray) -> np.ndarray:
    """Return a kernel with these eigenvalues in random directions."""
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((len(values), len(values))))[0]
    kernel = (basis * values) @ basis.T
    return (kernel + kernel.T) / 2


def test_density_counts_eigenvalues():
    values = np.arange(1.0, N + 1) ** -1.5
    kernel = kernel_of(values)
    found = spectral_density(kernel, probes=30, steps=40)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, rtol=1e-12)
    total, error = found.trace_of(lambda v: v)
    assert abs(total - values.sum()) < 4 * error
    logarithms, error = found.trace_of(lambda v: np.log(1 + 100 * np.clip(v, 0, None)))
    assert abs(logarithms - np.log(1 + 100 * values).sum()) < 4 * error
    share, error = found.share_below([0.5 * (values[9] + values[10]), 2.0])
    assert abs(share[0] - (N - 10) / N) < 4 * error[0] + 1 / N  # and a node's weight
    assert share[1] == pytest.approx(1)
    rank = spectrum(kernel).effective_rank
    assert abs(found.effective_rank / rank - 1) < 0.25  # by trace and entropy, each of a few per cent over 30 probes
    at = np.linspace(-1, 2, 3001)
    density, _ = found.density(at, width=0.05)
    assert np.trapezoid(density, at) == pytest.approx(1, abs=1e-3)


def test_density_of_few_distinct_eigenvalues_is_exact():
    """Lanczos finds two distinct eigenvalues in two steps, and stops."""
    values = np.repeat([1.0, 3.0], [30, 10])
    found = spectral_density(np.diag(values), probes=4, steps=20)
    assert np.count_nonzero(found.weights > 1e-12, axis=1).max() == 2
    np.testing.assert_allclose(found.share_below(2.0)[0], 0.75, atol=1e-12)


@pytest.mark.usefixtures("untyped")
def test_mistakes_are_named():
    with pytest.raises(InputError, match="steps must be"):
        spectral_density(np.eye(3), steps=0)
    with pytest.raises(InputError, match="probes must be"):
        spectral_density(np.eye(3), probes=1)
    with pytest.raises(InputError, match="width must be"):
        spectral_density(np.eye(3)).density(0.0, width=0)
