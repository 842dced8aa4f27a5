from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ntk1bit.data import tasks
from ntk1bit.experiments.kernel_spectra import KERNELS, KernelSpectra
from ntk1bit.kernels import empirical_ntk
from ntk1bit.kernels.stochastic import rounded_ntk
from ntk1bit.networks import two_layer

SCRATCH = Path("not used")


def test_eigenvalues_are_those_of_the_kernels_over_their_sum():
    found = KernelSpectra("sphere-linear", 5, 12, 64, (3, 4)).run(SCRATCH)
    assert found["kernel"].tolist() == 2 * list(KERNELS)
    x = tasks.load("sphere-linear", n_train=12, n_test=0, seed=4, dim=5).x
    weights = two_layer.init(64, 5, seed=4)
    kernels = {
        "one_bit": empirical_ntk(x, weights),
        "full": empirical_ntk(x, weights, precision="full"),
        "rounded": rounded_ntk(x, weights),
    }
    for name, kernel in kernels.items():
        row = found.loc[(found["seed"] == 4) & (found["kernel"] == name)].iloc[0]
        plain = np.linalg.eigvalsh(kernel)[::-1] / np.trace(kernel)
        np.testing.assert_allclose(row["eigenvalues"], plain, rtol=0, atol=1e-14)  # of float64 matrices of trace 1
        assert 0 < row["rounding"] < 1e-14
        assert row["data_seed"] == row["seed"]


def test_the_mean_over_points_of_each_degree_is_that_of_full_precision():
    """Every neuron of either network is active on a half-space, and half-spaces differ by a rotation only.

    Means of t K(x, x') against Legendre polynomials, t = <x, x'> in R^3, over many pairs of random points: degree by
    degree the traces of both kernels are those of <x, x'> (pi - theta)/(2 pi), whatever the weights.
    """
    rng = np.random.default_rng(0)
    x, other = (rng.standard_normal((20_000, 3)) for _ in range(2))
    x, other = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (x, other))
    weights = two_layer.init(50, 3, seed=1)
    t = (x * other).sum(axis=1)
    limit = t * (np.pi - np.arccos(t)) / (2 * np.pi)
    for precision in ("one_bit", "full"):
        active = [two_layer.activation_patterns(one, weights, precision=precision) for one in (x, other)]
        kernel = t * (active[0] & active[1]).mean(axis=0)
        for degree in range(7):
            legendre = np.polynomial.legendre.Legendre.basis(degree)(t)
            apart = (kernel - limit) * legendre
            assert abs(apart.mean()) < 5 * apart.std() / np.sqrt(len(t))  # five standard errors


def test_runs_repeat_and_digits_have_a_dimension_of_their_own():
    one, two = (KernelSpectra("digits", 0, 16, 32, (20,)).run(SCRATCH) for _ in range(2))
    for left, right in zip(one["eigenvalues"], two["eigenvalues"], strict=True):
        np.testing.assert_array_equal(left, right)
    assert [len(values) for values in one["eigenvalues"]] == 3 * [16]
    assert [sum(values) for values in one["eigenvalues"]] == pytest.approx(3 * [1.0])
