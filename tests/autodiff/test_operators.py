from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import ntk, ntk_operator
from ntk1bit.errors import InputError
from ntk1bit.kernels import joint_matrix, lanczos_ends, nystrom_factor
from tests.autodiff.tanh_networks import mlp, straight_through

N, D, K = 23, 5, 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D)).astype(np.float32)
PARAMS = {
    "a": jnp.asarray(RNG.standard_normal((D, 16)), jnp.float32),
    "b": jnp.asarray(RNG.standard_normal((16, K)) / 4, jnp.float32),
}


def single(params, x):
    return mlp(params, x)[:, 0]


@pytest.mark.filterwarnings("ignore:f uses jax.custom_vjp")
@pytest.mark.parametrize("f", [mlp, straight_through, single])
@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("budget", [1 << 30, 20_000, 4_000])
def test_products_are_those_of_the_entries(f, trace, budget):
    entries = ntk(f, PARAMS, X, trace_outputs=trace)
    matrix = (joint_matrix(entries) if entries.ndim == 4 else entries).astype(np.float64)
    operator = ntk_operator(f, PARAMS, X, trace_outputs=trace, memory_budget=budget)
    assert operator.shape == matrix.shape
    assert operator.dtype == np.float64
    assert operator.computed_in == np.float32
    vectors = np.random.default_rng(1).standard_normal((len(matrix), 4))
    # float32: sums of some hundred terms of the size of norm(K) norm(v)
    within = 1e-5 * float(np.linalg.norm(matrix, 2))
    np.testing.assert_allclose(np.asarray(operator @ vectors), matrix @ vectors, atol=within)
    np.testing.assert_allclose(np.asarray(operator @ vectors[:, 0]), matrix @ vectors[:, 0], atol=within)
    np.testing.assert_allclose(operator.T @ vectors[:, 1], matrix @ vectors[:, 1], atol=within)
    np.testing.assert_allclose(operator.diagonal(), np.diag(matrix), rtol=1e-5)


def test_a_function_without_forward_mode_says_so():
    with pytest.warns(UserWarning, match="no forward mode"):
        operator = ntk_operator(straight_through, PARAMS, X)
    assert operator.about["push_forward"] == "transpose of the pull-back"
    assert ntk_operator(mlp, PARAMS, X).about["push_forward"] == "forward mode"


def test_inputs_that_are_trees_and_chosen_parameters():
    def f(params, x):
        return mlp(params, x["left"]) + x["right"]

    x = {"left": X, "right": np.ones((N, K), np.float32)}
    chosen: dict[str, Any] = {"parameters": lambda path: path == "b"}
    operator = ntk_operator(f, PARAMS, x, memory_budget=20_000, **chosen)
    v = np.ones(N)
    np.testing.assert_allclose(np.asarray(operator @ v), ntk(f, PARAMS, x, **chosen) @ v, rtol=1e-5)
    assert operator.about["parameters"] == "b"
    assert operator.about["parameter_count"] == 48


def test_it_serves_spectra_and_factors():
    entries = ntk(mlp, PARAMS, X, trace_outputs=False)
    values = np.linalg.eigvalsh(joint_matrix(entries).astype(np.float64))[::-1]
    operator = ntk_operator(mlp, PARAMS, X, trace_outputs=False)
    found = lanczos_ends(operator, count=2)
    np.testing.assert_allclose(found.largest, values[:2], rtol=1e-5)
    assert np.abs(found.smallest - values[-2:]).max() < 1e-5 * values[0]
    factor = nystrom_factor(operator, 20)
    left = factor.quality["residual_trace"]
    assert np.linalg.norm(joint_matrix(entries) - factor.dense(), 2) <= left + factor.quality["rounding"]
    assert factor.about["outputs"] == K


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_budget_too_small_for_one_vector_is_taken_with_a_warning():
    with pytest.warns(UserWarning, match="memory_budget is 0.0 MiB, but one vector"):
        _ = ntk_operator(mlp, PARAMS, X, memory_budget=10) @ np.ones(N)


def test_mistakes_are_named():
    with pytest.raises(InputError, match="memory_budget must be"):
        ntk_operator(mlp, PARAMS, X, memory_budget=0)
    with pytest.raises(InputError, match="NaN or infinity"):
        ntk_operator(mlp, PARAMS, np.full((2, D), np.nan))
    with pytest.raises(InputError, match="mixes the rows"):
        ntk_operator(lambda p, x: mlp(p, x - x.mean(axis=0)), PARAMS, X)

    def breaks(params, x):  # finite values, infinite derivatives
        return jnp.sqrt(jnp.abs(x @ (0.0 * params["a"])))

    with pytest.raises(InputError, match="K v contains NaN or infinity"):
        _ = ntk_operator(breaks, PARAMS, X) @ np.ones(N)
