from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.linalg import hilbert

from ntk1bit.errors import InputError
from ntk1bit.kernels import alignment, spectrum
from ntk1bit.kernels.spectra import Spectrum

EXTENDED = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps


def second_difference(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The matrix (-1, 2, -1), exact in floats, and its eigenvalues 4 sin^2(k pi / (2(n+1))), largest first."""
    matrix = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    return matrix, 4 * np.sin(np.arange(n, 0, -1) * np.pi / (2 * (n + 1))) ** 2


@pytest.mark.parametrize("n", [1, 2, 7, 64, 300])
def test_known_eigenvalues(n):
    matrix, exact = second_difference(n)
    found = spectrum(matrix)
    # LAPACK is backward stable: absolute error of a few n eps norm(H), norm(H) <= 4
    np.testing.assert_allclose(found.eigenvalues, exact, atol=4 * n * 2.3e-16)
    rebuilt = (found.eigenvectors * found.eigenvalues) @ found.eigenvectors.T
    np.testing.assert_allclose(rebuilt, matrix, atol=20 * n * 2.3e-16)


@pytest.mark.skipif(not EXTENDED, reason="this platform has no extended precision")
def test_ends_are_accurate_relatively():
    n = 400
    matrix, exact = second_difference(n)
    found = spectrum(matrix).eigenvalues
    # lambda_min = 6e-5: LAPACK alone is off by about eps norm(H)/lambda_min = 1e-11 relatively; refined ends are good
    # to the rounding of the result and of `exact` (a few eps)
    np.testing.assert_allclose(found[[0, 1, -2, -1]], exact[[0, 1, -2, -1]], rtol=2e-15)


@pytest.mark.skipif(not EXTENDED, reason="this platform has no extended precision")
def test_small_eigenvalue_of_an_ill_conditioned_matrix():
    """Pascal matrices have integer entries and eigenvalues in pairs (lambda, 1/lambda)."""
    pascal = np.array([[math.comb(i + j, i) for j in range(8)] for i in range(8)], dtype=np.float64)
    found = spectrum(pascal).eigenvalues
    # condition number 2e7: unrefined, 1/lambda_max would be off by eps * 2e7 = 4e-9 relatively
    np.testing.assert_allclose(found[-1] * found[0], 1.0, rtol=1e-13)


def test_quantities_of_simple_kernels():
    identity = spectrum(np.eye(5))
    assert identity.effective_rank == pytest.approx(5, rel=1e-14)
    assert identity.condition_number == pytest.approx(1, rel=1e-14)
    one = spectrum(np.ones((4, 4)))
    assert one.effective_rank == pytest.approx(1, abs=1e-12)  # eigenvalues of size eps add -eps log eps each
    assert one.condition_number > 1e12
    # lambda = 3, 1: entropy of (3/4, 1/4)
    two = spectrum(np.diag([1.0, 3.0]))
    assert two.effective_rank == pytest.approx(4 / 3**0.75, rel=1e-14)
    assert spectrum(np.zeros((3, 3))).effective_rank == 0
    assert spectrum(np.diag([1.0, 0.0])).condition_number == float("inf")


def test_decay_of_an_exact_power_law():
    k = np.arange(1, 41.0)
    law = Spectrum(3.0 * k**-1.7, np.eye(40))
    fit = law.decay()
    assert fit.exponent == pytest.approx(1.7, rel=1e-12)
    assert fit.amplitude == pytest.approx(3.0, rel=1e-12)
    assert fit.standard_error < 1e-12
    assert (fit.first, fit.last) == (2, 20)
    rng = np.random.default_rng(0)
    noisy = Spectrum(np.sort(law.eigenvalues * np.exp(0.1 * rng.standard_normal(40)))[::-1], np.eye(40))
    fit = noisy.decay(first=1, last=40)
    assert 0 < fit.standard_error < 0.05  # 0.1 / sqrt(sum of squared log ranks, 31) = 0.018
    assert abs(fit.exponent - 1.7) < 4 * fit.standard_error


@pytest.mark.parametrize(("first", "last"), [(0, 5), (2, 3), (1, 11), (8, 11)])
def test_decay_ranges_are_checked(first, last):
    with pytest.raises(InputError, match="at least 3 ranks"):
        Spectrum(np.ones(10), np.eye(10)).decay(first=first, last=last)


def test_decay_needs_positive_eigenvalues():
    with pytest.raises(InputError, match="not positive"):
        Spectrum(np.array([1.0, 0.5, 0.1, 0.0]), np.eye(4)).decay(first=1, last=4)


def test_alignment_by_hand():
    y = np.array([1.0, -1.0, 2.0])
    assert alignment(np.outer(y, y), y) == pytest.approx(1, rel=1e-14)
    assert alignment(np.eye(3), y) == pytest.approx(1 / np.sqrt(3), rel=1e-14)
    assert alignment(-np.outer(y, y), y) == pytest.approx(-1, rel=1e-14)


def test_several_outputs():
    rng = np.random.default_rng(0)
    a, y = rng.standard_normal((6, 9)), rng.standard_normal((6, 3))
    h = a @ a.T
    # <H, Y Y^T>_F over the norms, entry by entry
    expected = (h * (y @ y.T)).sum() / np.sqrt((h**2).sum() * ((y @ y.T) ** 2).sum())
    assert alignment(h, y) == pytest.approx(expected, rel=1e-13)
    assert alignment(h.tolist(), y.tolist()) == alignment(h, y)
    assert alignment(h, [1, 2, 3, 4, 5, 6]) == alignment(h, np.arange(1.0, 7.0))


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_sizes_at_the_ends_of_the_range(size):
    """Everything but eigenvalues is free of units; squares of these sizes are not floats."""
    h, y = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([1.0, 3.0])
    found = spectrum(size * h)
    np.testing.assert_allclose(found.eigenvalues, [3 * size, size], rtol=1e-14)
    assert found.effective_rank == pytest.approx(4 / 3**0.75, rel=1e-13)
    assert found.condition_number == pytest.approx(3, rel=1e-13)
    assert alignment(size * h, size * y) == pytest.approx(alignment(h, y), rel=1e-14)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("value", [0.5, np.nan, None, "2", True, -1])
def test_ranks_that_are_none(value):
    with pytest.raises(InputError, match=r"rank|at least 3 ranks"):
        Spectrum(np.ones(10), np.eye(10)).decay(first=value)


def test_float32_kernels_are_symmetric_to_their_own_precision():
    h = np.array([[1.0, 0.5], [0.5, 1.0]], dtype=np.float32)
    h[0, 1] += np.float32(1e-7)
    np.testing.assert_allclose(spectrum(h).eigenvalues, [1.5, 0.5], atol=2e-7)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (np.ones((2, 3)), "square"),
        (np.ones((0, 0)), "at least one row"),
        (np.array([[np.nan]]), "NaN or infinity"),
        (np.array([[1.0, 0.5], [0.4, 1.0]]), "not symmetric.*symmetric_part"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "not positive semi-definite: lambda_min = -1,"),
    ],
)
def test_kernels_that_are_none_are_refused(kernel, message):
    with pytest.raises(InputError, match=message):
        spectrum(kernel)


@pytest.mark.usefixtures("untyped")
def test_vectors_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="do not match a kernel of 2 points"):
        alignment(np.eye(2), np.ones(3))
    with pytest.raises(InputError, match="zero"):
        alignment(np.eye(2), np.zeros(2))
    for y in (1.0, np.ones((2, 1, 1)), np.ones((2, 2, 2))):
        with pytest.raises(InputError, match="do not match"):
            alignment(np.eye(2), y)
    for y, message in ((np.ones(2) * 1j, "complex"), (["a", "b"], "not numbers"), ([1.0, np.nan], "NaN")):
        with pytest.raises(InputError, match=message):
            alignment(np.eye(2), y)


def test_hilbert_matrix_is_accepted_though_nearly_singular():
    found = spectrum(
        hilbert(12)
    )  # lambda_min = 3e-17, below rounding: it may come out negative but must not be refused
    assert found.condition_number > 1e12
