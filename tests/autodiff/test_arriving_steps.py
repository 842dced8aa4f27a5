"""How much of a straight-through step arrives: on smooth functions, on kernels that are known, and layer by layer."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import expected_ratio, programs, step_ratios
from ntk1bit.autodiff.arriving_steps import PASSED
from ntk1bit.errors import InputError
from ntk1bit.networks.straight_through import neuron_wise, tensor_wise, ternary

X = jax.random.normal(jax.random.key(0), (6, 400))
R = jnp.array([1.0, -1.0, 1.0, 1.0, -1.0, 1.0])
W = jax.random.normal(jax.random.key(1), (300, 400)) / 20
QUANTISE = {
    "std": neuron_wise,
    "absmean": lambda w: neuron_wise(w, scale="absmean"),
    "tensor": tensor_wise,
    "ternary": ternary,
}


def test_a_smooth_array_learns_what_its_gradient_says():
    def f(params, x):
        return jnp.tanh(x @ params["w"].T / 20).mean(axis=1) + params["b"]

    found = step_ratios(f, {"w": W, "b": jnp.zeros(())}, X, R, move=0.003)
    # a central difference is off by the square of what the move changes in tanh, sqrt(400) 0.003/20 in units of 1, and
    # by rounding: 1e-7 of <r, f> over its change, which is about 0.003 of it
    assert found["w"] == pytest.approx(1.0, abs=2e-3)
    assert found["b"] == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("quantiser", PASSED)
def test_a_quantised_linear_layer_learns_by_jump_times_density(quantiser):
    """Nothing but the quantiser bends this f: c is that of the layer's own gradient, up to the noise of flips."""

    def f(w, x):
        return (QUANTISE[quantiser](w) @ x.T).sum(axis=0)

    found = step_ratios(f, W, X, R, move=0.02)[""]
    gradient = jax.grad(lambda w: R @ f(w, X))(W)
    # of 120,000 weights about 0.02 0.8 flip, for either side; each adds a jump to a sum of one sign: 1/sqrt(1900) each
    assert found == pytest.approx(expected_ratio(quantiser, gradient), abs=3 / math.sqrt(1900))


def test_shifts_pass_as_they_are_in_rows_and_not_at_all_in_a_matrix():
    shift = jnp.ones((5, 8))
    assert expected_ratio("std", shift) == pytest.approx(1.0)
    assert expected_ratio("absmean", shift) == pytest.approx(1.0)
    assert expected_ratio("tensor", shift) == pytest.approx(0.0, abs=1e-6)
    centred = jnp.tile(jnp.array([1.0, -1.0]), (5, 4))
    assert expected_ratio("std", centred) == pytest.approx(math.sqrt(2 / math.pi))
    assert expected_ratio("absmean", centred) == pytest.approx(2 / math.pi)
    assert expected_ratio("tensor", centred) == pytest.approx(2 / math.pi)
    # by quadrature: E of the change of a rounded normal over its shift, with beta = E|w|
    b, step = math.sqrt(2 / math.pi), 1e-3
    w = np.linspace(-8, 8, 2_000_001)
    density = np.exp(-(w**2) / 2) / math.sqrt(2 * math.pi)
    change = np.clip(np.round((w + step) / b), -1, 1) - np.clip(np.round((w - step) / b), -1, 1)
    expected = b * float((change * density).sum()) * (w[1] - w[0]) / (2 * step)
    assert expected_ratio("ternary", centred) == pytest.approx(expected, rel=0.01)  # of 250 points within a step


def test_rows_of_a_two_layer_network_have_the_ratio_of_the_effective_kernel():
    """r^T K_eff r over r^T H r, by `effective_ntk`, of d = 24, where it is not yet the limit."""
    from ntk1bit.kernels import effective_ntk, limit_ntk

    m, dim = 65536, 24
    x = np.asarray(X[:, :dim] / jnp.linalg.norm(X[:, :dim], axis=1, keepdims=True))
    w = jax.random.normal(jax.random.key(3), (m, dim))
    a = jnp.where(jax.random.bernoulli(jax.random.key(4), shape=(m,)), 1.0, -1.0)

    def f(w, x):
        return jax.nn.relu(x @ neuron_wise(w).T) @ a / math.sqrt(m)

    r = np.asarray(R, np.float64)
    found = step_ratios(f, w, x, R, move=0.004)[""]
    k = effective_ntk(x, samples=400_000).value
    h = limit_ntk(x, precision="one_bit", samples=400_000).value
    # about 0.004 0.8 of 1.6 million weights flip, within 0.014 of one; both kernels are known to less
    assert found == pytest.approx(float(r @ k @ r / (r @ h @ r)), abs=0.045)
    assert abs(found - math.sqrt(2 / math.pi)) < 0.15


def test_arrays_are_chosen_by_their_path_and_those_without_gradient_have_none():
    def f(params, x):
        return x @ params["used"] + 0.0 * params["unused"].sum()

    params = {"used": jnp.ones(400), "unused": jnp.ones(3)}
    found = step_ratios(f, params, X, R)
    assert set(found) == {"used", "unused"}
    assert math.isnan(found["unused"])
    assert set(step_ratios(f, params, X, R, parameters=lambda path: path == "used")) == {"used"}


def test_parameters_may_hold_functions_beside_arrays():
    def f(params, x):
        return params["activation"](x @ params["w"])

    found = step_ratios(f, {"w": jnp.ones(400) / 400, "activation": jnp.tanh}, X, R)
    assert set(found) == {"w"}
    assert found["w"] == pytest.approx(1.0, abs=2e-3)  # as above


def test_what_cannot_be_measured_is_refused():
    def f(w, x):
        return x @ w

    with pytest.raises(InputError, match="r must have the shape of the outputs"):
        step_ratios(f, jnp.ones(400), X, R[:3])
    for r in ("ab", [1.0, 1.0, 1.0, 1.0, 1.0, math.nan]):
        with pytest.raises(InputError, match=r"^r "):
            step_ratios(f, jnp.ones(400), X, r)
    with pytest.raises(InputError, match="move"):
        step_ratios(f, jnp.ones(400), X, R, move=0.0)
    with pytest.raises(InputError, match="no quantiser is called 'half'"):
        expected_ratio("half", jnp.ones((2, 2)))


def test_a_second_network_of_the_same_program_compiles_nothing():
    def f(params, x):
        return (x @ neuron_wise(params["w"]).T).mean(axis=1)

    first = step_ratios(f, {"w": W}, X, R)
    made = list(programs._kept)
    second = step_ratios(lambda params, x: f(params, x), {"w": 2 * W}, X + 1.0, R)
    assert list(programs._kept) == made
    assert first != second  # arrays are arguments of what was compiled, not part of it
