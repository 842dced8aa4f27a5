from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.kernels import alignment, certified_lambda_min, kernel_regression, predict, spectrum, symmetric_part
from ntk1bit.kernels.precision import spacing, unresolved

EPS32, EPS64 = 2.0**-23, 2.0**-52
BFLOAT16 = ml_dtypes.bfloat16


def made_in(dtype: type, n: int = 6, rank: int = 4, seed: int = 0) -> np.ndarray:
    """The kernel of a linear network, rounded in a dtype."""
    features = np.random.default_rng(seed).standard_normal((n, rank)).astype(dtype)
    return np.asarray(features.astype(np.float64) @ features.T.astype(np.float64)).astype(dtype)


@pytest.mark.parametrize(
    ("kernel", "computed_in", "expected"),
    [
        (made_in(np.float64), None, EPS64),
        (made_in(np.float32), None, EPS32),
        (made_in(np.float32).astype(np.float64), None, EPS32),  # converted: nothing came back
        (made_in(np.float32).astype(np.longdouble), None, EPS32),
        (made_in(np.float64).astype(np.longdouble), None, EPS64),
        (made_in(np.float64), np.float32, EPS32),
        (made_in(np.float32), np.float64, EPS32),  # held in float32, so it has been rounded to it
        (made_in(np.float64), "float16", 2.0**-10),
        (made_in(np.float16), None, 2.0**-10),
        (made_in(BFLOAT16), None, 2.0**-7),
        (made_in(np.float64), BFLOAT16, 2.0**-7),
        (np.eye(3), None, EPS64),  # exact, however few bits it takes
        (np.array([[2.0, 1.0], [1.0, 3432.0]]), None, EPS64),
        (np.eye(3, dtype=np.float32), None, EPS32),
        (np.eye(3, dtype=np.int64), None, EPS64),
        (np.eye(3, dtype=bool), None, EPS64),
        (np.zeros((2, 2)), None, EPS64),
        (np.empty((0, 0)), None, EPS64),
    ],
)
def test_the_precision_a_kernel_was_made_in(kernel, computed_in, expected):
    assert spacing(kernel, computed_in) == expected


@pytest.mark.parametrize("computed_in", [np.int32, "no such", complex, bool, object, 3.5])
def test_other_dtypes_are_none_to_compute_in(computed_in):
    with pytest.raises(InputError, match="computed_in must be a floating-point dtype"):
        spacing(np.eye(2), computed_in)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shift", [0.0, 10.0])
def test_what_rounding_makes_of_zero_is_below_the_bound(dtype, shift):
    """Products summed in the dtype itself: eigenvalues that are 0 in truth, for 1 to 300 points."""
    rng = np.random.default_rng(0)
    for n in (2, 9, 60, 300):
        for rank in {1, n // 3 or 1, n - 1}:
            features = (rng.standard_normal((n, rank)) + shift).astype(dtype)
            values = np.linalg.eigvalsh((features @ features.T).astype(np.float64))
            bound = unresolved(values, float(np.finfo(dtype).eps))
            assert np.abs(values[: n - rank]).max() < bound / (8 if dtype is np.float32 else 2)
            # and the bound is no larger than float arithmetic calls for: n eps lambda_max, a few times over
            assert bound <= 4 * max(n, 4) * np.finfo(dtype).eps * values[-1]


def test_the_most_negative_eigenvalue_shows_a_noise_that_the_dtype_does_not():
    # 1e-6 lambda_max below 0 is rounding to a kernel of 60 points made in float32 (8 n eps = 6e-5); a spurious positive
    # eigenvalue of that size is as likely
    values = np.concatenate([[-1e-6], np.zeros(58), [1.0]])
    assert unresolved(values, EPS32) == 2e-6
    indefinite = np.concatenate([[-0.5], np.zeros(58), [1.0]])
    assert unresolved(indefinite, EPS32) < 1e-5


FUNCTIONS = {
    "spectrum": lambda k, **more: spectrum(k, **more).eigenvalues,
    "alignment": lambda k, **more: alignment(k, np.arange(1.0, len(k) + 1), **more),
    "certified_lambda_min": lambda k, **more: certified_lambda_min(k, **more).estimate,
    "predict": lambda k, **more: predict(k, np.ones(len(k)), eta=0.05, steps=[40], kernel_test=k, **more).test,
    "kernel_regression": lambda k, **more: kernel_regression(k, np.ones(len(k)), kernel_test=k, **more).test,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [BFLOAT16, np.float16, np.float32, np.longdouble, np.int64, np.uint8, bool, list])
def test_kernels_of_every_dtype_give_what_float64_gives(name, dtype):
    """Entries that all of these hold, a kernel far from singular: the same numbers, to float64's rounding."""
    exact = np.eye(4) if dtype is bool else np.array([[4.0, 1, 0, 1], [1, 5, 1, 0], [0, 1, 3, 1], [1, 0, 1, 6]])
    given = exact.tolist() if dtype is list else exact.astype(dtype)
    np.testing.assert_allclose(FUNCTIONS[name](given), FUNCTIONS[name](exact), rtol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (np.array([[1, 2j], [-2j, 1]]), "is complex"),  # Hermitian, with eigenvalues -1 and 3
        (np.eye(2, dtype=np.complex64), r"is complex \(complex64\)"),
        (np.array([["a", "b"], ["b", "a"]]), "not numbers"),
        (np.array([[1, None], [None, 1]], dtype=object), "object entries"),
        (np.array([[1.0, np.inf], [np.inf, 1.0]]), "NaN or infinity"),
        (np.full((2, 2), np.nan, dtype=np.float32), "NaN or infinity"),
        (np.ones((2, 2, 1, 1, 1)), "must be a matrix"),
        (np.ones(2), "must be a matrix"),
        ([[1.0], [1.0, 2.0]], "cannot be read"),
    ],
)
def test_what_is_no_real_matrix_is_refused_everywhere(name, kernel, message):
    with pytest.raises(InputError, match=message):
        FUNCTIONS[name](kernel)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_rounding_is_taken_for_what_the_caller_says(name):
    """Entries (i, j) and (j, i) 1e-5 apart: too much for float64, nothing for float16."""
    kernel = np.array([[2.0, 0.3], [0.3 + 1e-5, 1.0]])
    told = FUNCTIONS[name](kernel, computed_in=np.float16)
    np.testing.assert_allclose(told, FUNCTIONS[name](symmetric_part(kernel)), rtol=1e-3)
    if name not in ("predict", "kernel_regression"):  # these take kernels that are not symmetric
        with pytest.raises(InputError, match=r"not symmetric.*give computed_in"):
            FUNCTIONS[name](kernel)


def test_a_kernel_that_is_psd_to_the_rounding_of_its_dtype():
    kernel = made_in(np.float32, n=40, rank=3)
    found = spectrum(kernel.astype(np.float64))
    assert found.eigenvalues[-1] < 0
    assert found.rounding > -found.eigenvalues[-1]
    assert found.condition_number == np.inf  # lambda_min cannot be told from 0
    with pytest.raises(InputError, match=r"not positive semi-definite.*computed_in"):
        # the same noise, seen as that of a kernel made in float64
        spectrum(np.diag([1.0, 1.0, -1e-7 / 3]), computed_in=np.float64)
    assert spectrum(np.diag([1.0, 1.0, -1e-7 / 3]), computed_in=np.float32).rounding >= 2e-7 / 3


def test_the_symmetric_part_keeps_its_dtype():
    kernel = made_in(np.float32)
    kernel[0, 1] += np.float32(0.5)
    assert symmetric_part(kernel).dtype == np.float32
    assert spacing(symmetric_part(kernel)) == EPS32
