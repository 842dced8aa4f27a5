from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import ntk, ntk_diagonal
from ntk1bit.errors import InputError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((11, 4)).astype(np.float32)
PARAMS = {"a": RNG.standard_normal((4, 6)).astype(np.float32), "b": RNG.standard_normal((6, 2)).astype(np.float32)}


def mlp(params, x):
    return jnp.tanh(x @ params["a"]) @ params["b"]


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("budget", [1 << 30, 3_000])
def test_it_is_the_diagonal_of_the_kernel(trace, budget):
    kernel = ntk(mlp, PARAMS, X, trace_outputs=trace)
    calls = []
    found = ntk_diagonal(
        mlp,
        PARAMS,
        X,
        trace_outputs=trace,
        memory_budget=budget,
        progress=lambda what, share: calls.append((what, share)),
    )
    at = np.arange(len(X))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, kernel[at, at], rtol=1e-5, atol=1e-5)
    assert calls[-1] == ("inputs to 11 of 11", 1.0)
    assert (len(calls) > 1) == (budget == 3_000)


def test_one_output_and_chosen_parameters():
    def f(params, x):
        return mlp(params, x)[:, 0]

    chosen: dict[str, Any] = {"parameters": lambda path: path == "a", "trace_outputs": False}
    np.testing.assert_allclose(ntk_diagonal(f, PARAMS, X, **chosen), np.diag(ntk(f, PARAMS, X, **chosen)), rtol=1e-5)


def test_budgets_and_mistakes():
    with pytest.warns(UserWarning, match="the Jacobian of one input needs"):
        ntk_diagonal(mlp, PARAMS, X, memory_budget=1)
    with pytest.raises(InputError, match="memory_budget must be"):
        ntk_diagonal(mlp, PARAMS, X, memory_budget=-1)
    with pytest.raises(InputError, match="input 1 with itself contains NaN or infinity"):
        ntk_diagonal(lambda p, x: jnp.sqrt(jnp.abs(x @ p)), np.zeros(4, np.float32) + 1, np.eye(2, 4) * [[1], [0]])
