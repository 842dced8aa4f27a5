"""Networks of Equinox, Flax and Haiku that were written for training: what is wrong, and what to do, in one line."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ntk1bit.autodiff import ntk
from ntk1bit.errors import InputError

pytestmark = pytest.mark.usefixtures("untyped")
X = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
KEY = jax.random.key(0)


class Linen(nn.Module):
    """Batch normalisation and dropout, in Flax linen."""

    train: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        h = nn.BatchNorm(use_running_average=not self.train)(nn.Dense(3)(x))
        return nn.Dense(2)(jnp.tanh(h))


class LinenDropout(nn.Module):
    """Dropout, in Flax linen."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dropout(0.5, deterministic=False)(nn.Dense(3)(x))


class Nnx(nnx.Module):
    """Batch normalisation and dropout, in Flax nnx."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Linear(4, 3, rngs=rngs)
        self.norm = nnx.BatchNorm(3, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.dropout(jnp.tanh(self.norm(self.first(x))))


def refused(f: Any, params: Any) -> str:
    with pytest.raises(InputError) as found:
        ntk(f, params, X)
    assert "\n" not in str(found.value)
    return str(found.value)


@pytest.fixture(scope="module")
def linen() -> Any:
    return Linen().init(KEY, X)


def test_statistics_of_flax_linen_are_no_parameters(linen):
    said = refused(Linen().apply, linen)
    assert "batch statistics, which are no parameters: batch_stats/BatchNorm_0/mean" in said
    assert "model.apply({'params': p, 'batch_stats': statistics}, x)" in said
    statistics = linen["batch_stats"]
    told = ntk(lambda p, x: Linen().apply({"params": p, "batch_stats": statistics}, x), linen["params"], X)
    chosen = ntk(Linen().apply, linen, X, parameters=lambda path: path.startswith("params/"))
    np.testing.assert_allclose(told, chosen, rtol=1e-5)  # float32 sums in another order


def test_a_collection_that_is_not_there(linen):
    said = refused(lambda p, x: Linen().apply({"params": p}, x), linen["params"])
    assert "a collection that params lacks" in said
    assert "close over it" in said


def test_flax_linen_in_training_mode(linen):
    statistics = linen["batch_stats"]

    def training(p: Any, x: Any, mutable: Any) -> Any:
        return Linen(train=True).apply({"params": p, "batch_stats": statistics}, x, mutable=mutable)

    assert "evaluation mode (in Flax use_running_average=True)" in refused(
        lambda p, x: training(p, x, False), linen["params"]
    )
    told = refused(lambda p, x: training(p, x, ["batch_stats"]), linen["params"])
    assert "tuple of 2, which looks like (outputs, state)" in told
    assert "evaluation mode" in told
    assert "f(params, x)[:1] is not f(params, x[:1])" in refused(
        lambda p, x: training(p, x, ["batch_stats"])[0], linen["params"]
    )


def test_dropout_in_flax_linen():
    params = LinenDropout().init({"params": KEY, "dropout": KEY}, X)
    assert "deterministic=True" in refused(LinenDropout().apply, params)
    said = refused(lambda p, x: LinenDropout().apply(p, x, rngs={"dropout": KEY}), params)
    assert "at another place in the batch" in said


def test_flax_nnx():
    model = Nnx(nnx.Rngs(0))
    graph, state = nnx.split(model)
    said = refused(lambda s, x: nnx.merge(graph, s)(x), state)
    assert "norm/mean" in said
    assert "first/kernel" not in said
    assert "nnx.split(model, nnx.Param, ...)" in said
    assert "norm/mean" in refused(lambda m, x: m(x), model)
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    assert "model.eval() before nnx.split" in refused(lambda p, x: nnx.merge(graph, p, rest)(x), params)
    model.eval()
    graph, params, rest = nnx.split(model, nnx.Param, ...)  # keys and statistics are in the rest
    assert ntk(lambda p, x: nnx.merge(graph, p, rest)(x), params, X).shape == (5, 5)


def test_haiku():
    network: Any = hk.transform(lambda x: hk.Linear(2)(x))
    params = network.init(KEY, X)
    assert "hk.without_apply_rng(network).apply" in refused(network.apply, params)
    assert ntk(hk.without_apply_rng(network).apply, params, X).shape == (5, 5)


def test_haiku_with_state():
    network: Any = hk.transform_with_state(lambda x, train: hk.BatchNorm(True, True, 0.9)(hk.Linear(2)(x), train))
    params, state = network.init(KEY, X, True)
    said = refused(lambda p, x: network.apply(p, state, None, x, False), params)
    assert "f(p, x)[0]" in said
    assert "freeze the batch statistics" in refused(lambda p, x: network.apply(p, state, None, x, True)[0], params)
    assert ntk(lambda p, x: network.apply(p, state, None, x, False)[0], params, X).shape == (5, 5)


class EquinoxNorm(eqx.Module):
    """Batch normalisation, in Equinox."""

    linear: eqx.nn.Linear
    norm: eqx.nn.BatchNorm

    def __call__(self, x: jax.Array, state: eqx.nn.State) -> Any:
        return self.norm(self.linear(x), state)


def test_equinox_in_training_mode():
    model, state = eqx.nn.make_with_state(EquinoxNorm)(
        eqx.nn.Linear(4, 2, key=KEY), eqx.nn.BatchNorm(2, "batch", mode="ema")
    )
    still = eqx.nn.inference_mode(model)
    assert ntk(lambda m, x: jax.vmap(lambda one: m(one, state)[0])(x), still, X).shape == (5, 5)
    assert "eqx.nn.inference_mode(model)" in refused(lambda m, x: jax.vmap(lambda one: m(one, state)[0])(x), model)
    dropping = eqx.nn.Sequential([eqx.nn.Linear(4, 2, key=KEY), eqx.nn.Dropout(0.5)])
    assert "eqx.nn.inference_mode(model)" in refused(lambda m, x: jax.vmap(m)(x), dropping)
