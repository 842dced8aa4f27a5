"""Ratios of deep networks by layer: those of the measurement on the same network, written out."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from ntk1bit.autodiff import expected_ratio, step_ratios
from ntk1bit.errors import InputError
from ntk1bit.experiments.layer_ratios import QUANTISERS, LayerRatios, network
from ntk1bit.networks.bitlinear import LayerNorm, projection
from ntk1bit.networks.straight_through import neuron_wise

SCRATCH = Path("not used")


def drawn(seed, width, n):
    for_x, for_r, *for_weights = jax.random.split(jax.random.key(seed), 6)
    sizes = (width, width, width, 1)
    params = [
        math.sqrt(2 / width) * jax.random.normal(key, (size, width))
        for key, size in zip(for_weights, sizes, strict=True)
    ]
    x = jax.random.normal(for_x, (n, width))
    return params, x, jax.random.rademacher(for_r, (n,), dtype=jnp.float32)


@pytest.mark.parametrize("quantiser", QUANTISERS)
def test_rows_are_the_ratios_of_each_network_and_layer(quantiser):
    found = LayerRatios(quantiser, 16, 5, 0.05, (3, 8)).run(SCRATCH)
    assert list(zip(found["seed"], found["layer"], strict=True)) == [*itertools.product((3, 8), (1, 2, 3))]
    f = network(quantiser)
    for seed, part in found.groupby("seed"):
        params, x, r = drawn(int(str(seed)), 16, 5)
        ratios = step_ratios(f, params, x, r, move=0.05)
        assert part["ratio"].to_numpy() == pytest.approx([ratios[name] for name in "012"], rel=1e-6)
        gradient = jax.grad(lambda params, x=x, r=r: jnp.vdot(r, f(params, x)))(params)
        expected = [expected_ratio(QUANTISERS[quantiser], g) for g in gradient[:3]]
        assert part["expected"].to_numpy() == pytest.approx(expected, rel=1e-5)
        assert ratios["3"] == pytest.approx(1.0, abs=1e-3)  # the readout is linear and not quantised


def test_layers_are_those_of_the_networks():
    params, x, _ = drawn(1, 16, 5)
    h = jax.nn.relu(x @ neuron_wise(params[0]).T)
    h = jax.nn.relu(jax.nn.relu(h @ neuron_wise(params[1]).T) @ neuron_wise(params[2]).T)
    assert jnp.allclose(network("std")(params, x), (h @ params[3].T)[:, 0], rtol=1e-5)
    h = x
    for w in params[:3]:
        layer = projection(16, 16, key=jax.random.key(0), arm="b158")
        layer = type(layer)(w, layer.arm, layer.surrogate, layer.form)
        h = jax.nn.relu(layer(LayerNorm(jnp.ones(16))(h)))
    assert jnp.allclose(network("b158")(params, x), (h @ params[3].T)[:, 0], rtol=1e-5)


def test_an_unknown_quantiser_or_a_single_weight_is_refused():
    with pytest.raises(InputError, match="quantiser"):
        LayerRatios("half", 16, 5, 0.05, (0,))
    with pytest.raises(InputError, match="width must be 2 or more"):
        LayerRatios("std", 1, 5, 0.05, (0,))
