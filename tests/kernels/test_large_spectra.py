from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from ntk1bit.errors import InputError
from ntk1bit.kernels import (
    Kernel,
    alignment,
    estimated_alignment,
    lanczos_ends,
    refined_eigenvalues,
    spectrum,
    stochastic_trace,
)

N = 150


def kernel_of(values: np.ndarray) -> np.ndarray:
    """Return a kernel with these eigenvalues in random directions."""
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((len(values), len(values))))[0]
    kernel = (basis * values) @ basis.T
    return (kernel + kernel.T) / 2


@pytest.fixture(scope="module")
def decaying():
    """A kernel with eigenvalues k^-1.5, and these eigenvalues."""
    values = np.arange(1.0, N + 1) ** -1.5
    return kernel_of(values), values


@pytest.fixture(scope="module")
def large():
    """The same beyond the size up to which all entries are multiplied out, with a gap at the small end."""
    values = 0.2 + np.arange(1.0, 601) ** -1.5
    values[-3:] = 0.1, 0.05, 0.01
    return kernel_of(values), values


def test_ends_are_those_of_the_spectrum(large):
    kernel, values = large
    found = lanczos_ends(aslinearoperator(kernel), count=3)
    reference = spectrum(kernel).eigenvalues
    # eigenvalues of a symmetric matrix err by no more than residual and rounding; gaps between them are larger
    assert (np.abs(found.largest - reference[:3]) <= found.largest_residuals + 1e-14).all()
    assert (np.abs(found.smallest - reference[-3:]) <= found.smallest_residuals + 1e-14).all()
    assert max(found.largest_residuals.max(), found.smallest_residuals.max()) < 1e-5  # tolerance 1e-6, norms of 1
    np.testing.assert_allclose(found.largest, values[:3], rtol=1e-4)
    assert found.note == ""
    assert found.rounding < 1e-14
    assert found.products < 600
    for part in (kernel, kernel[:9, :9]):  # one end alone
        both = lanczos_ends(part, count=2)
        above, below = lanczos_ends(part, count=2, end="largest"), lanczos_ends(part, count=2, end="smallest")
        np.testing.assert_allclose(above.largest, both.largest, rtol=1e-9)
        np.testing.assert_allclose(below.smallest, both.smallest, rtol=1e-6)
        assert len(above.smallest) == len(below.largest) == 0
        assert "smallest" not in repr(above)


def test_ends_that_are_out_of_reach_are_refused():
    """Eigenvalues 1e-13 apart, to a tolerance of 1e-14, are beyond the steps that Lanczos takes."""
    values = np.concatenate([np.linspace(1, 2, 600), 3 + 1e-13 * np.arange(5), np.linspace(0, 1e-7, 400)])
    kernel = kernel_of(values)
    with pytest.raises(InputError, match=r"found none of 3 eigenvalues .* give a larger tolerance"):
        lanczos_ends(kernel, count=3, tolerance=1e-14)
    assert lanczos_ends(kernel, count=3, tolerance=1e-5).largest[0] == pytest.approx(3, abs=1e-9)


def test_ends_of_small_kernels_and_of_other_forms(decaying):
    kernel, values = decaying
    small = lanczos_ends(np.diag([3.0, 1.0, 2.0]), count=5)
    np.testing.assert_allclose(small.largest, [3, 2, 1])
    np.testing.assert_allclose(small.smallest, [3, 2, 1])
    factor = np.linalg.cholesky(kernel + 1e-12 * np.eye(N))
    for form in (Kernel(matrix=kernel), Kernel(factor=factor), Kernel(operator=aslinearoperator(kernel)), kernel):
        np.testing.assert_allclose(lanczos_ends(form, count=2).largest, values[:2], rtol=1e-6)
    for size in (100, 600):
        np.testing.assert_array_equal(lanczos_ends(np.zeros((size, size))).largest, 0)


def test_rounding_of_coarse_products_is_seen(large):
    kernel, values = large
    noise = 1e-3 * np.random.default_rng(1).standard_normal(kernel.shape) / np.sqrt(len(kernel))  # not symmetric
    found = lanczos_ends(aslinearoperator(kernel + noise), count=3)
    assert found.rounding > 1e-5
    assert np.abs(found.largest - values[:3]).max() <= 2e-3  # norm of the noise


def test_traces_are_within_their_errors(decaying):
    kernel, values = decaying
    exact = np.array([values.sum(), (values**2).sum(), values.sum() ** 2 / (values**2).sum()])
    off = []
    for seed in range(40):
        found = stochastic_trace(kernel, probes=24, seed=seed)
        estimates = np.array([found.trace, found.square, found.participation])
        off.append((estimates - exact) / [found.trace_error, found.square_error, found.participation_error])
    # t with 23 degrees of freedom and a skewed sum: root mean squares near 1 over 40 seeds
    assert (np.sqrt(np.mean(np.square(off), axis=0)) < 1.6).all()
    assert (np.sqrt(np.mean(np.square(off), axis=0)) > 0.6).all()
    one, other = (stochastic_trace(form, probes=24, seed=3) for form in (kernel, aslinearoperator(kernel)))
    np.testing.assert_allclose(one, other, rtol=1e-12)  # the same probes


def test_traces_of_the_identity_are_exact():
    found = stochastic_trace(np.eye(9), probes=3)
    assert (found.trace, found.trace_error, found.square, found.participation) == (9, 0, 9, 9)


def test_alignment_without_entries(decaying):
    kernel, _ = decaying
    rng = np.random.default_rng(2)
    for y in (rng.standard_normal(N), rng.standard_normal((N, 3))):
        found = estimated_alignment(aslinearoperator(kernel), y, probes=200)
        assert abs(found.value - alignment(kernel, y)) < 4 * found.standard_error
    joint = estimated_alignment(kernel, np.ones((N // 3, 3)), probes=50)
    assert joint == estimated_alignment(kernel, np.ones(N), probes=50)


def test_refined_eigenvalues_are_far_better_than_the_sketch(decaying):
    kernel, values = decaying
    rng = np.random.default_rng(3)
    root = np.linalg.cholesky(kernel)
    sketch = Kernel(factor=root @ rng.standard_normal((N, 60)) / np.sqrt(60))
    rough = lanczos_ends(sketch, count=4).largest
    found = refined_eigenvalues(kernel, sketch, count=4)
    assert np.abs(rough / values[:4] - 1).max() > 0.05  # sqrt(2/60) = 0.18 each
    np.testing.assert_allclose(found.values, values[:4], rtol=0.02)  # the fourth of 8 Ritz values errs most, by 1 %
    assert (found.values <= values[:4] + 1e-14).all()  # Ritz values lie below
    with pytest.raises(InputError, match="sketch has 10 rows and the kernel 150"):
        refined_eigenvalues(kernel, Kernel(factor=np.ones((10, 2))))


@pytest.mark.usefixtures("untyped")
def test_mistakes_are_named():
    bad = LinearOperator((4, 4), matvec=lambda v: np.full(4, np.nan), dtype=np.float64)  # pyright: ignore
    for call, message in (
        (lambda: lanczos_ends(np.ones((2, 3))), "square"),
        (lambda: lanczos_ends(aslinearoperator(np.ones((2, 3)))), "square operator"),
        (lambda: lanczos_ends(np.eye(3), count=0), "count must be"),
        (lambda: lanczos_ends(np.eye(3), seed=-1), "seed must be"),
        (lambda: lanczos_ends(np.eye(3), tolerance=2), "tolerance must be"),
        (lambda: stochastic_trace(bad), "NaN or infinity"),
        (lambda: stochastic_trace(np.eye(3), probes=1), "probes must be"),
        (lambda: estimated_alignment(np.eye(3), np.ones(4)), "do not match"),
        (lambda: estimated_alignment(np.eye(3), np.zeros(3)), "not defined"),
    ):
        with pytest.raises(InputError, match=message):
            call()
