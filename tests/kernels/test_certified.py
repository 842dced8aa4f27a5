from __future__ import annotations

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from scipy.linalg import hilbert

from ntk1bit.errors import InputError
from ntk1bit.kernels import certified_lambda_min, empirical_ntk, limit_ntk
from ntk1bit.networks.two_layer import init


def positive_definite_exactly(matrix: np.ndarray, shift: float) -> bool:
    """Whether H - shift I is positive definite, decided in rational arithmetic (all pivots positive)."""
    n = len(matrix)
    a = [[Fraction(float(matrix[i, j])) - (Fraction(shift) if i == j else 0) for j in range(n)] for i in range(n)]
    for k in range(n):
        if a[k][k] <= 0:
            return False
        for i in range(k + 1, n):
            factor = a[i][k] / a[k][k]
            a[i] = [x - factor * y for x, y in zip(a[i], a[k], strict=True)]
    return True


def sphere(n: int, d: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("n", [1, 2, 5, 12])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_bound_is_true_in_exact_arithmetic(n, seed):
    x = sphere(n, 4, seed)
    h = empirical_ntk(x, init(64, 4, seed=seed))
    bound = certified_lambda_min(h)
    assert positive_definite_exactly(h, float(np.nextafter(bound.lower_bound, -np.inf)))
    # and it is tight: a little more, and the matrix is not positive definite any more
    assert not positive_definite_exactly(h, bound.lower_bound + 1e-12)


@pytest.mark.parametrize("n", [3, 6, 9])
def test_ill_conditioned_matrices_get_true_bounds(n):
    h = hilbert(n)
    bound = certified_lambda_min(h)
    assert positive_definite_exactly(h, float(np.nextafter(bound.lower_bound, -np.inf)))
    assert bound.positive == (n < 9 or bound.lower_bound > 0)


def test_tight_to_a_millionth_at_a_thousand_points():
    h = limit_ntk(sphere(1000, 64), precision="full").value
    bound = certified_lambda_min(h)
    assert bound.positive
    assert 0 <= bound.estimate - bound.lower_bound < 1e-6 * bound.estimate
    assert "certified" in str(bound)


def test_known_smallest_eigenvalue():
    n = 200
    matrix = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    exact = 4 * np.sin(np.pi / (2 * (n + 1))) ** 2  # 2.4e-4
    bound = certified_lambda_min(matrix)
    assert exact * (1 - 1e-6) < bound.lower_bound < exact


def test_a_singular_matrix_cannot_be_certified():
    bound = certified_lambda_min(np.ones((5, 5)))
    assert not bound.positive
    assert -1e-12 < bound.lower_bound <= 0
    assert str(bound).startswith("cannot certify lambda_min > 0")


def test_an_indefinite_matrix_gets_a_true_negative_bound():
    bound = certified_lambda_min(np.array([[1.0, 2.0], [2.0, 1.0]]))
    assert -1 - 1e-12 < bound.lower_bound <= -1
    assert not bound.positive


def test_extreme_scales():
    for size in (1e-290, 1e-150, 1e150, 1e300):
        bound = certified_lambda_min(size * np.array([[2.0, 1.0], [1.0, 2.0]]))
        assert size * (1 - 1e-12) < bound.lower_bound <= size


def test_zero_matrix():
    bound = certified_lambda_min(np.zeros((3, 3)))
    assert not bound.positive
    assert bound.lower_bound <= 0


def test_a_rounded_asymmetry_is_paid_for():
    h = np.array([[1.0, 0.5], [0.5, 1.0]], dtype=np.float32)
    h[0, 1] = np.nextafter(h[0, 1], np.float32(1))
    bound = certified_lambda_min(h)
    exact = 1 - (0.5 + float(h[0, 1])) / 2
    assert exact - 1e-14 < bound.lower_bound <= exact


@pytest.mark.parametrize("dtype", [np.longdouble, np.int64, np.uint64])
def test_entries_that_float64_cannot_hold_are_paid_for(dtype):
    """2^60 + 1 and 2^60 - 63 are rounded to multiples of 256; the bound is one on the matrix before that."""
    diagonal, off = 2**60 + 1, 2**60 - 63
    matrix = np.array([[diagonal, off], [off, diagonal]], dtype=dtype)
    if int(matrix[0, 0]) != diagonal:
        pytest.skip("this platform has no extended precision")
    bound = certified_lambda_min(matrix)
    assert bound.lower_bound <= diagonal - off  # 64, the smallest eigenvalue
    assert bound.lower_bound > -(2.0**60) * 1e-14


@pytest.mark.parametrize("seed", range(20))
def test_the_bound_is_true_of_rounded_kernels_of_any_dtype(seed):
    rng = np.random.default_rng(seed)
    dtype = [np.float16, np.float32, ml_dtypes.bfloat16, np.int16][seed % 4]
    features = 5 * rng.standard_normal((5, 7))
    matrix = (features @ features.T).astype(dtype)
    bound = certified_lambda_min(matrix, computed_in=None if seed % 2 else np.float16)
    assert positive_definite_exactly(matrix.astype(np.float64), float(np.nextafter(bound.lower_bound, -np.inf)))


def test_a_wrong_factor_never_gives_a_wrong_bound(monkeypatch):
    """The proof uses only the residual: spoil the factor, and the bound gets worse but stays true."""
    from ntk1bit.kernels import certified

    h = empirical_ntk(sphere(6, 3), init(64, 3, seed=0))
    good = certified_lambda_min(h).lower_bound
    honest = certified._cholesky

    def spoilt(matrix: np.ndarray, shift: float) -> np.ndarray | None:
        factor = honest(matrix, shift)
        return None if factor is None else factor * 1.001

    monkeypatch.setattr(certified, "_cholesky", spoilt)
    assert certified_lambda_min(h).lower_bound < good - 1e-4
    monkeypatch.setattr(certified, "_cholesky", lambda *_: None)
    assert certified_lambda_min(h).lower_bound == -np.inf


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (np.ones((2, 3)), "square"),
        (np.array([[np.inf]]), "NaN or infinity"),
        (np.array([[1.0, 0.5], [0.4, 1.0]]), "not symmetric"),
    ],
)
def test_kernels_that_are_none_are_refused(kernel, message):
    with pytest.raises(InputError, match=message):
        certified_lambda_min(kernel)
