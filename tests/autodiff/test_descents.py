"""Predicted descent of any loss, beside `kernels.predict`; what a network's own steps do is in test_forecasts.py."""

from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.autodiff.descents import kernel_matrix, largest_eigenvalue, predicted_outputs, read_rate, recursion
from ntk1bit.errors import InputError

RNG = np.random.default_rng(0)
N, K, TEST = 6, 2, 3
J, J_TEST = RNG.standard_normal((N, K, 40)), RNG.standard_normal((TEST, K, 40))
THETA = np.einsum("iop,jqp->ijoq", J, J)
THETA_TEST = np.einsum("iop,jqp->ijoq", J_TEST, J)
Y, F0, F0_TEST = (RNG.standard_normal((n, K)) for n in (N, N, TEST))


def test_descent_on_squares_is_that_of_kernels_predict():
    eta = 0.5 / np.linalg.eigvalsh(kernel_matrix(THETA))[-1]
    found = predicted_outputs("squared", THETA, THETA_TEST, Y, F0, F0_TEST, eta, 12)
    response = np.concatenate([kernel_matrix(THETA), kernel_matrix(THETA_TEST)])
    plain = recursion("squared", response, Y, np.concatenate([F0, F0_TEST]), eta, 12)
    np.testing.assert_allclose(found, plain, rtol=0, atol=1e-12)  # float64: sums of some hundred products of size 1
    alone = predicted_outputs("squared", THETA, None, Y, F0, F0_TEST[:0], eta, 12)
    np.testing.assert_allclose(alone, plain[:, :N], rtol=0, atol=1e-12)


def test_one_number_for_each_input_is_predicted_too():
    kernel, y, start = THETA[:, :, 0, 0], (Y[:, 0] > 0).astype(np.float64), F0[:, 0]
    found = predicted_outputs("logistic", kernel, None, y, start, start[:0], 0.01, 3)
    f = start
    for _ in range(3):
        f = f - 0.01 * kernel @ (1 / (1 + np.exp(-f)) - y)
    np.testing.assert_allclose(found[-1], f, rtol=1e-12)


def test_cross_entropy_ends_where_classes_are_right():
    y = np.eye(K)[np.arange(N) % K]
    eta = 0.5 / np.linalg.eigvalsh(kernel_matrix(THETA))[-1]
    end = predicted_outputs("cross_entropy", THETA, None, y, F0, F0[:0], eta, 4000)[-1]
    assert (end.argmax(axis=1) == y.argmax(axis=1)).all()
    assert end.shape == (N, K)


@pytest.mark.parametrize("loss", ["squared", "cross_entropy", "logistic"])
def test_a_prediction_that_diverges_ends_without_an_error(loss):
    y = np.eye(K)[np.arange(N) % K]
    found = predicted_outputs(loss, THETA, None, y, F0, F0[:0], 1e6, 60)
    assert np.abs(found[-1]).max() > 1e6


def test_rates_are_in_units_of_the_largest_eigenvalue_of_all_outputs():
    largest = np.linalg.eigvalsh(kernel_matrix(THETA))[-1]
    assert largest_eigenvalue(THETA) == pytest.approx(largest)
    assert read_rate(None, 0.2).absolute(largest) == pytest.approx(0.2 / largest)
    assert read_rate(None, None).absolute(largest) == pytest.approx(0.5 / largest)
    assert read_rate(0.3, None).absolute(0.0) == 0.3
    with pytest.raises(InputError, match="the kernel at the start is zero"):  # below the smallest float, say
        read_rate(None, 0.2).absolute(0.0)
