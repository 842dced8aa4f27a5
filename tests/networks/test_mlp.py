from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit import autodiff, kernels
from ntk1bit.errors import InputError
from ntk1bit.networks import mlp, quantizers, two_layer
from ntk1bit.networks.mlp import MLP, apply, hidden_width, init, one_bit_share, parameters

EPSILON = float(np.finfo(np.float32).eps)
outputs = jax.jit(apply, static_argnums=0)  # one program, where apply by itself compiles every operation
drawn = jax.jit(init, static_argnums=0)


def points(n: int, d: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def plain(spec: MLP, params, x: np.ndarray) -> np.ndarray:
    """The module's formula with the NumPy quantiser, a layer at a time, in float64."""
    h = x.astype(np.float64)
    for place, layer in enumerate(params):
        w = np.asarray(layer["w"], dtype=np.float64)
        c = spec.gain / np.sqrt(w.shape[1]) if spec.parameterisation == "ntk" else 1.0
        if spec.one_bit_layers[place]:
            w = quantizers.effective_weights(w, scale=spec.scale)
        h = c * h @ w.T + (np.asarray(layer["b"]) if spec.biases else 0.0)
        h = h if place == len(params) - 1 else np.maximum(h, 0.0)
    return h[:, 0]


@pytest.mark.parametrize("precision", ["one_bit", "full"])
@pytest.mark.parametrize("parameterisation", ["standard", "ntk"])
@pytest.mark.parametrize(
    ("hidden", "first", "last", "scale"),
    [((7,), "one_bit", "full", "std"), ((13, 5), "full", "one_bit", "absmean"), ((9, 8, 7, 6), "full", "full", "std")],
)
def test_outputs_are_those_of_the_formula_in_float64(precision, parameterisation, hidden, first, last, scale):
    spec = MLP(
        3, hidden, precision=precision, first=first, last=last, scale=scale, parameterisation=parameterisation,
        bias_deviation=0.3,
    )  # fmt: skip
    params, x = drawn(spec, 4), points(11, 3)
    expected = plain(spec, params, x)
    # a product of fan-in 13 loses at most that many epsilon; outputs and activities here are of size 1, layers 5
    assert np.abs(outputs(spec, params, x) - expected).max() < 5 * 13 * EPSILON * max(1.0, np.abs(expected).max())


def test_both_precisions_start_from_the_same_latent_weights_and_seeds_differ():
    one, full = (init(MLP(4, (6, 5), precision=p), 3) for p in ("one_bit", "full"))
    assert all(np.array_equal(a["w"], b["w"]) for a, b in zip(one, full, strict=True))
    other = init(MLP(4, (6, 5)), 4)
    assert not any(np.allclose(a["w"], b["w"]) for a, b in zip(one, other, strict=True))
    vmapped = jax.vmap(functools.partial(init, MLP(4, (6, 5))))(jnp.arange(5))
    assert all(np.array_equal(a["w"], b["w"][3]) for a, b in zip(one, vmapped, strict=True))


def test_both_parameterisations_are_one_function_at_the_start():
    x = points(9, 5)
    made = [MLP(5, (31, 17), parameterisation=p, biases=False) for p in ("standard", "ntk")]
    standard, ntk = (np.asarray(outputs(spec, drawn(spec, 2), x)) for spec in made)
    # the factor gain/sqrt(fan_in) is multiplied in before or after the sums: 31 roundings in each of three layers
    assert np.abs(standard - ntk).max() < 3 * 31 * EPSILON * np.abs(standard).max()


def test_layers_are_one_bit_as_the_policy_says():
    assert MLP(2, (3, 3, 3)).one_bit_layers == (False, True, True, False)
    assert MLP(2, (3, 3), first="one_bit", last="one_bit").one_bit_layers == (True, True, True)
    assert MLP(2, (3, 3), precision="full", first="one_bit").one_bit_layers == (False, False, False)
    assert MLP(2, (3,), last="one_bit").one_bit_layers == (False, True)
    spec = MLP(2, (30, 40), biases=False)
    assert one_bit_share(spec) == pytest.approx(30 * 40 / (2 * 30 + 30 * 40 + 40))


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("depth", [2, 3, 5])
def test_parameters_are_counted_and_the_width_is_the_nearest(biases, depth):
    for wanted in (100, 2**12, 2**17 + 1):
        width = hidden_width(5, depth, wanted, biases=biases)
        distances = {
            h: abs(parameters(MLP(5, (h,) * (depth - 1), biases=biases)) - wanted)
            for h in range(max(width - 3, 1), width + 4)
        }
        assert distances[width] == min(distances.values())
        spec = MLP(5, (width,) * (depth - 1), biases=biases)
        leaves = jax.tree.leaves(jax.eval_shape(functools.partial(init, spec), 0))
        assert sum(leaf.size for leaf in leaves) == parameters(spec)


@pytest.mark.parametrize("precision", ["one_bit", "full"])
def test_a_two_layer_network_is_the_one_of_the_two_layer_room(precision):
    d, m, kappa = 12, 65, 0.7
    weights, x = two_layer.init(m, d, seed=5), points(10, d, seed=1)
    # f = gain^2/sqrt(d m) sum_r a_r relu(z_r): D25's kappa/sqrt(m) for gain^2 = kappa sqrt(d)
    spec = MLP(
        d, (m,), precision=precision, first="one_bit", parameterisation="ntk", gain=(kappa * d**0.5) ** 0.5,
        biases=False,
    )  # fmt: skip
    params = [{"w": jnp.asarray(weights.w)}, {"w": jnp.asarray(weights.a)[None, :]}]
    expected = two_layer.outputs(x, weights, precision=precision, kappa=kappa)
    # a sum of m products after one of d; no activity of these networks is within rounding of 0
    assert np.abs(np.asarray(outputs(spec, params, x)) - expected).max() < (m + d) * EPSILON * np.abs(expected).max()

    found = autodiff.ntk(functools.partial(apply, spec), params, x, parameters=lambda path: path.startswith("0/"))
    h = kernels.empirical_ntk(x, weights, precision=precision, kappa=kappa)
    assert np.abs(found - h).max() < (m + d) * EPSILON * np.abs(h).max()


@pytest.mark.parametrize("precision", ["one_bit", "full"])
def test_the_ntk_of_a_deep_network_is_that_of_its_jacobian(precision):
    spec = MLP(3, (16, 15, 14), precision=precision, parameterisation="ntk", bias_deviation=0.2)
    params, x = drawn(spec, 0), points(6, 3)
    f = functools.partial(apply, spec)
    by_vectors = autodiff.ntk(f, params, x, method="vector_products")
    jacobian = jax.jit(jax.jacrev(lambda p: f(p, x)))(params)
    rows = np.concatenate([np.reshape(leaf, (len(x), -1)) for leaf in jax.tree.leaves(jacobian)], axis=1)
    expected = rows.astype(np.float64) @ rows.T
    # sums over all parameters of products of derivatives
    assert np.abs(by_vectors - expected).max() < parameters(spec) * EPSILON * np.abs(expected).max()
    assert np.linalg.eigvalsh(expected)[0] > 0


def test_a_one_bit_layer_passes_its_gradient_straight_through():
    spec = MLP(3, (8, 7), biases=False)
    params, x = drawn(spec, 1), points(5, 3)
    gradient = jax.jit(jax.grad(lambda p: apply(spec, p, x).sum()))(params)
    # the same network with the quantised values as plain weights has the same derivative at them (Lemma F.3)
    values = [dict(layer) for layer in params]
    values[1]["w"] = jnp.asarray(quantizers.effective_weights(np.asarray(params[1]["w"])), jnp.float32)
    full = MLP(3, (8, 7), precision="full", biases=False)
    expected = jax.jit(jax.grad(lambda p: apply(full, p, x).sum()))(values)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True):
        # sums over 5 points, 8 and 7 neurons, of numbers of size 1
        assert np.abs(a - b).max() < 5 * 8 * 7 * EPSILON
    assert np.abs(gradient[1]["w"]).max() > 0.01


def wrong(option: str, value: object) -> Any:
    return {option: value}


def test_mistakes_are_told(untyped):
    with pytest.raises(InputError, match="at least one input"):
        MLP(0, (3,))
    with pytest.raises(InputError, match="hidden"):
        MLP(2, ())
    with pytest.raises(InputError, match="did you mean 'one_bit'"):
        MLP(2, (3,), **wrong("precision", "one-bit"))
    with pytest.raises(InputError, match="unknown first"):
        MLP(2, (3,), **wrong("first", "half"))
    with pytest.raises(InputError, match="unknown parameterisation"):
        MLP(2, (3,), **wrong("parameterisation", "mup"))
    with pytest.raises(InputError, match="gain"):
        MLP(2, (3,), gain=float("nan"))
    with pytest.raises(InputError, match="bias_deviation"):
        MLP(2, (3,), bias_deviation=-1.0)
    with pytest.raises(InputError, match="non-negative"):
        init(MLP(2, (3,)), -1)
    with pytest.raises(InputError, match=r"2 coordinates and 2 layers.*\(4, 3\)"):
        apply(MLP(2, (3,)), init(MLP(2, (3,)), 0), np.zeros((4, 3), np.float32))
    with pytest.raises(InputError, match="or more"):
        hidden_width(5, 3, 4)
    with pytest.raises(InputError, match="depth"):
        hidden_width(5, 1, 400)


@pytest.mark.parametrize("levels", ["signs", "ternary"])
def test_quantised_weights_are_the_levels_of_the_layers_in_the_middle(levels):
    spec = MLP(3, (6, 5, 4), levels=levels)
    params = init(spec, 2)
    found = mlp.quantised_weights(spec, params)
    assert [one.shape for one in found] == [(5, 6), (4, 5)]
    for one, layer in zip(found, params[1:3], strict=True):
        w = np.asarray(layer["w"])
        if levels == "signs":
            expected = np.where(w >= w.mean(axis=1, keepdims=True), 1, -1)
        else:
            expected = np.clip(np.rint(w / np.abs(w).mean()), -1, 1)
        assert np.array_equal(np.asarray(one), expected)


def test_with_ternary_levels_the_network_has_one_scale_for_a_layer():
    spec = MLP(3, (6, 5), biases=False, levels="ternary")
    params = init(spec, 2)
    x = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
    w = [np.asarray(layer["w"], np.float64) for layer in params]
    beta = np.abs(w[1]).mean()
    h = np.maximum(x @ w[0].T, 0)
    h = np.maximum(h @ (beta * np.clip(np.rint(w[1] / beta), -1, 1)).T, 0)
    # sums of up to six products of numbers of size 1 in float32
    assert np.asarray(apply(spec, params, x)) == pytest.approx((h @ w[2].T)[:, 0], abs=1e-5)


def test_latent_activity_changes_the_gradient_alone_and_by_the_patterns_of_latent_weights():
    one, other = (MLP(3, (16, 9), biases=False, activity=a) for a in ("straight_through", "latent"))
    params = init(one, 1)
    x = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
    assert np.array_equal(apply(one, params, x), apply(other, params, x))
    gradient: Any = jax.grad(lambda p: apply(other, p, x).sum())(params)
    w = [np.asarray(layer["w"], np.float64) for layer in params]
    h = np.maximum(x @ w[0].T, 0)
    active = h @ w[1].T >= 0
    z = h @ quantizers.effective_weights(w[1]).T
    assert (active != (z >= 0)).any()
    # d f/d W_2 = sum over inputs of w_3 1[latent active] h: float32 sums of seven products
    assert np.asarray(gradient[1]["w"]) == pytest.approx((active * w[2]).T @ h, abs=1e-4)
    assert np.asarray(gradient[2]["w"])[0] == pytest.approx(np.maximum(z, 0).sum(axis=0), abs=1e-4)
