from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks.post_training.hessians import checked_layer, damped, dead_inputs, input_hessian, layer_error

from .layers import drawn

EPS = float(np.finfo(np.float64).eps)


def test_the_error_is_the_mean_squared_change_of_the_outputs():
    w, x = drawn(4, 6)
    values = w + np.random.default_rng(1).standard_normal(w.shape)
    change = x @ (values - w).T
    # sums of 200 x 6 products each, in another order
    assert layer_error(w, values, input_hessian(x)) == pytest.approx((change**2).sum(axis=1).mean(), rel=1e4 * EPS)


def test_the_hessian_is_the_second_derivative_of_the_error():
    w, x = drawn(1, 3)
    hessian = input_hessian(x)
    steps = np.eye(3)
    for i in range(3):
        for j in range(3):
            corners = [
                layer_error(w, w + s * steps[[i]] + t * steps[[j]], hessian)
                for s, t in ((1, 1), (1, -1), (-1, 1), (-1, -1))
            ]
            second = (corners[0] - corners[1] - corners[2] + corners[3]) / 4  # exact of a quadratic
            assert second == pytest.approx(hessian[i, j], rel=1e3 * EPS, abs=1e3 * EPS)


def test_damping_ignores_dead_inputs_and_scales_with_the_hessian():
    hessian = np.diag([1.0, 0.0, 3.0])
    np.testing.assert_array_equal(dead_inputs(hessian), [False, True, False])
    np.testing.assert_allclose(np.diag(damped(hessian)), [1.02, 2.02, 3.02], rtol=2 * EPS)
    np.testing.assert_allclose(damped(2.0**-40 * hessian), 2.0**-40 * damped(hessian), rtol=2 * EPS)
    np.testing.assert_allclose(damped(np.zeros((2, 2))), 1.01 * np.eye(2), rtol=2 * EPS)


def test_a_singular_hessian_needs_damping():
    hessian = np.ones((2, 2))
    assert np.linalg.eigvalsh(damped(hessian)).min() > 0
    with pytest.raises(InputError, match="not positive definite with damping 0"):
        damped(hessian, 0.0)


@pytest.mark.parametrize("damping", [-0.1, float("nan"), float("inf")])
def test_impossible_damping_is_refused(damping):
    with pytest.raises(InputError, match="damping must be a number of at least 0"):
        damped(np.eye(2), damping)


def test_mistakes_are_told_in_one_line(untyped):
    good, hessian = np.ones((3, 2)), np.eye(2)
    broken, crooked = np.full((2, 2), np.nan), np.array([[1.0, 0.5], [0.0, 1.0]])
    for weight, matrix, words in [
        (np.full((3, 2), np.nan), hessian, "weights must be finite"),
        (np.full((3, 2), np.inf), hessian, "weights must be finite"),
        (np.ones(3), hessian, "weights must be a matrix"),
        (np.ones((0, 2)), hessian, "at least one entry"),
        (good, broken, "the Hessian must be finite"),
        (good, np.eye(3), r"must have shape \(2, 2\)"),
        (good, crooked, "must be symmetric"),
        (good, -hessian, "diagonal of at least 0"),
    ]:
        with pytest.raises(InputError, match=words) as raised:
            checked_layer(weight, matrix)
        assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="inputs must be finite"):
        input_hessian(broken)
    with pytest.raises(InputError, match="inputs must be a matrix with at least one entry"):
        input_hessian(np.ones((0, 2)))


def test_arrays_of_the_caller_are_not_changed():
    w, x = drawn(3, 4)
    hessian = input_hessian(x)
    before = w.copy(), hessian.copy()
    one, two = checked_layer(w, hessian)
    one[:], two[:] = 0, 0
    damped(hessian)
    np.testing.assert_array_equal(w, before[0])
    np.testing.assert_array_equal(hessian, before[1])
