"""Freezing of oscillating weights: against a plain loop in NumPy, and what it must leave alone."""

from __future__ import annotations

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks import mlp
from ntk1bit.networks.bitlinear import projection
from ntk1bit.networks.bitlinear_form import BitLinearForm
from ntk1bit.networks.mlp import MLP
from ntk1bit.networks.transformer import transformer
from ntk1bit.networks.transformer_shape import Shape
from ntk1bit.training.freezing import FreezingTraining, freezing
from ntk1bit.training.schedules import Training
from ntk1bit.training.supervised import train

EPSILON = float(np.finfo(np.float32).eps)
LAYERS = (False, True)


def steps_of(
    updates: list[np.ndarray], w: np.ndarray, shared: np.ndarray, *, decay: float, threshold: float
) -> tuple[list[np.ndarray], np.ndarray]:
    """The weights after each step and what is frozen in the end, by the definitions, weight by weight.

    Weights with the same number in `shared` have a mean in common.
    """

    def signs(w: np.ndarray) -> np.ndarray:
        means = np.array([w[shared == one].mean() for one in range(shared.max() + 1)])
        return w >= means[shared]

    before, often, frozen = signs(w), np.zeros_like(w), np.zeros(w.shape, bool)
    found = []
    for update in updates:
        now = signs(w)
        often = decay * often + (1 - decay) * (now != before)
        frozen = frozen | (often > threshold)
        w = w.copy()
        for place in np.ndindex(w.shape):
            free = update[(shared == shared[place]) & ~frozen]
            w[place] -= (free.mean() if free.size else 0.0) if frozen[place] else update[place]
        before = now
        found.append(w)
    return found, frozen


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.6])
def test_it_is_the_plain_loop(threshold):
    rng = np.random.default_rng(0)
    w = rng.standard_normal((4, 6))
    turns = [np.sign(w) * (-1.0) ** t * 1.5 + 0.3 * rng.standard_normal(w.shape) for t in range(30)]
    neurons = np.repeat(np.arange(4), 6).reshape(4, 6)
    expected, held = steps_of(turns, w, neurons, decay=0.8, threshold=threshold)
    transform = freezing(LAYERS, decay=0.8, threshold=threshold)
    params: Any = [{"w": jnp.ones((2, 2))}, {"w": jnp.asarray(w, jnp.float32), "b": jnp.zeros(4)}]
    state: Any = transform.init(params)
    updates: Any
    for turn, wanted in zip(turns, expected, strict=True):
        first = {"w": jnp.full((2, 2), 0.1)}
        given: Any = [first, {"w": jnp.asarray(turn, jnp.float32), "b": jnp.full(4, 0.2)}]
        updates, state = transform.update(given, state, params)
        assert np.array_equal(updates[0]["w"], first["w"])
        assert np.array_equal(updates[1]["b"], given[1]["b"])
        params = jax.tree.map(lambda p, u: p - u, params, updates)
        # thirty steps of numbers of size 2 in float32
        assert np.abs(np.asarray(params[1]["w"]) - wanted).max() < 30 * 4 * EPSILON
    assert np.array_equal(np.asarray(state.frozen[0]), held)
    assert 0 < held.sum() < held.size


@pytest.mark.parametrize("arm", ["bitnet", "elastic"])
@pytest.mark.parametrize("groups", [1, 3])
def test_of_bit_linear_it_is_the_plain_loop_with_a_mean_for_each_group_of_inputs(groups, arm):
    made = projection(6, 4, key=jax.random.key(0), arm=arm, form=BitLinearForm(groups=groups))
    ternary = projection(6, 4, key=jax.random.key(1), arm="b158")
    w = np.asarray(made.weight, np.float64)
    rng = np.random.default_rng(0)
    turns = [np.sign(w) * (-1.0) ** t * 1.5 + 0.3 * rng.standard_normal(w.shape) for t in range(30)]
    inputs = np.zeros((4, 6), int) if arm == "elastic" else np.tile(np.repeat(np.arange(groups), 6 // groups), (4, 1))
    expected, held = steps_of(turns, w, inputs, decay=0.8, threshold=0.3)
    transform = freezing(None, decay=0.8, threshold=0.3)
    params: Any = {"first": made, "second": [ternary, jnp.ones(3)]}
    state: Any = transform.init(params)
    updates: Any
    for turn, wanted in zip(turns, expected, strict=True):
        given: Any = jax.tree.map(lambda a: jnp.full_like(a, 0.1), params)
        given = eqx.tree_at(lambda one: one["first"].weight, given, jnp.asarray(turn, jnp.float32))
        updates, state = transform.update(given, state, params)
        for a, b in zip(jax.tree.leaves(updates["second"]), jax.tree.leaves(given["second"]), strict=True):
            assert np.array_equal(a, b)  # thresholds of ternary weights are no shift: they do not freeze
        params = jax.tree.map(lambda p, u: p - u, params, updates)
        # thirty steps of numbers of size 2 in float32
        assert np.abs(np.asarray(params["first"].weight) - wanted).max() < 30 * 4 * EPSILON
    assert held.sum() == np.sum(state.frozen[0])
    assert 0 < held.sum() < held.size


def test_frozen_weights_of_a_transformer_keep_their_signs():
    model: Any = transformer(Shape(1, 8, heads=1, vocabulary=5, context=4), seed=0)
    transform = freezing(None, decay=0.5, threshold=0.4)  # frozen with the first flip
    state: Any = transform.init(model)
    rng = np.random.default_rng(0)
    kept: list[Any] = []
    for _ in range(30):
        noise = jax.tree.map(lambda a: jnp.asarray(0.1 * rng.standard_normal(a.shape), a.dtype), model)
        updates, state = transform.update(noise, state, model)
        for (frozen, signs), now in zip(kept, state.signs, strict=False):
            assert np.array_equal(np.asarray(now)[frozen], signs[frozen])
        kept = [(np.asarray(f), np.asarray(s)) for f, s in zip(state.frozen, state.signs, strict=True)]
        model = jax.tree.map(lambda p, u: p - u, model, updates)
    assert len(kept) == 6  # all projections of the one block
    assert all(frozen.any() for frozen, _ in kept)


def test_a_transformer_without_signs_has_nothing_to_freeze():
    training = FreezingTraining(5, 0.1, one_bit_layers=None)
    for arm in ("full", "b158"):
        model: Any = transformer(Shape(1, 8, heads=1, vocabulary=5, context=4), arm=arm, seed=0)
        with pytest.raises(InputError, match="no 1-bit layer"):
            training.gradient_transform.init(model)


SPEC = MLP(3, (24, 24), parameterisation="ntk", biases=False)
X = np.random.default_rng(1).standard_normal((20, 3))
Y = np.sign(X[:, 0] * X[:, 1])


def trained(training: Training, steps: range) -> list[np.ndarray]:
    """The signs of one network after each of some steps."""
    seen: list[np.ndarray] = []

    def look(step: int, params: Any) -> None:
        if step in steps:
            seen.append(np.asarray(mlp.quantised_weights(SPEC, jax.tree.map(lambda a: a[0], params))[0]))

    init, apply = functools.partial(mlp.init, SPEC), functools.partial(mlp.apply, SPEC)
    train(init, apply, X, Y, training, seeds=(0,), look=look)
    return seen


def test_frozen_weights_flip_no_more_and_no_weight_keeps_crossing():
    settings: dict[str, Any] = {"steps": 300, "rate": 0.5, "optimiser": "sgd", "schedule": "constant", "every": 1}
    plain = np.stack(trained(Training(**settings), range(200, 301)))
    held = np.stack(trained(FreezingTraining(**settings, one_bit_layers=SPEC.one_bit_layers), range(200, 301)))
    often = (plain[1:] != plain[:-1]).mean(axis=0)
    assert often.max() > 0.5  # there is something to freeze
    # the average of a weight that crosses at every second step has a mean of 1/2 and would pass 0.2 within 20 steps
    assert (held[1:] != held[:-1]).mean(axis=0).max() < 1 / 3


def test_a_threshold_never_reached_changes_nothing():
    settings: dict[str, Any] = {"steps": 40, "rate": 0.5, "optimiser": "sgd", "schedule": "constant", "every": 1}
    plain = trained(Training(**settings), range(41))
    # of 40 steps the average comes to 1 - 0.999^40 = 0.04 at most
    never = FreezingTraining(**settings, one_bit_layers=SPEC.one_bit_layers, decay=0.999, threshold=0.5)
    assert all(np.array_equal(a, b) for a, b in zip(plain, trained(never, range(41)), strict=True))


def test_equal_settings_share_their_compiled_code():
    one, other = (FreezingTraining(5, rate, one_bit_layers=(True,)) for rate in (0.1, 0.2))
    assert one.gradient_transform is other.gradient_transform
    assert isinstance(one.gradient_transform, optax.GradientTransformation)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(("options", "message"), [
    ({"one_bit_layers": (False, False)}, "no 1-bit layer"),
    ({"decay": 1.0}, "decay must be"),
    ({"decay": -0.1}, "decay must be"),
    ({"threshold": 0.0}, "threshold must be"),
    ({"threshold": 1.0}, "threshold must be"),
    ({"rate": -1.0}, "learning rate"),
])  # fmt: skip
def test_settings_out_of_range_are_refused(options, message):
    settings = {"steps": 5, "rate": 0.1, "one_bit_layers": (True,)} | options
    with pytest.raises(InputError, match=message):
        FreezingTraining(**settings)
