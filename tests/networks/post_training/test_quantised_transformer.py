from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.data import text
from ntk1bit.errors import InputError
from ntk1bit.networks.post_training.calibration import PROJECTIONS, advance, embedded, record_inputs
from ntk1bit.networks.post_training.gptq import gptq
from ntk1bit.networks.post_training.methods import METHODS, PostTrainingMethod
from ntk1bit.networks.post_training.quantised_transformer import (
    READERS,
    QuantisedProjection,
    quantise_transformer,
    smoothed_transformer,
)
from ntk1bit.networks.post_training.quip import quip
from ntk1bit.networks.post_training.round_to_nearest import round_activations, round_weights
from ntk1bit.networks.transformer import Transformer, as_arm, transformer
from ntk1bit.networks.transformer_shape import Shape
from ntk1bit.training.checkpoints import deserialised, serialised
from ntk1bit.training.language import evaluate, language_training, train_on_text

EPS = float(np.finfo(np.float32).eps)
CONTEXT = 16


@pytest.fixture(scope="module")
def trained():
    """A Transformer trained for 200 steps, windows to calibrate on, and windows to measure its loss on."""
    return trained_in("full")


@pytest.fixture(scope="module")
def without_sub_norms():
    """The same of a Transformer with Pre-LN."""
    return trained_in("full-preln")


def trained_in(arm):
    corpus = text.load("pydoc")
    shape = Shape(2, 16, 1, corpus.vocabulary, CONTEXT)
    training = language_training(200 * 8 * CONTEXT, rate=0.01, batch=8, context=CONTEXT)
    model = train_on_text(transformer(shape, arm=arm), corpus.train, training, context=CONTEXT, seed=0).params
    windows = text.training_batch(corpus.train, batch=64, context=CONTEXT, step=0, seed=1)
    return model, windows, text.validation_windows(corpus.validation, context=CONTEXT, count=64)


@pytest.fixture(scope="module")
def quantised(trained):
    model, windows, _ = trained
    return {name: quantise_transformer(model, name, windows) for name in METHODS}


def projections(model):
    return [(block, name, getattr(block, name)) for block in model.blocks for name in PROJECTIONS]


def changed(model, change):
    """Return a network with every projection changed."""
    blocks = [replace(one, **{name: change(getattr(one, name)) for name in PROJECTIONS}) for one in model.blocks]
    return replace(model, blocks=tuple(blocks))


@pytest.mark.parametrize("name", METHODS)
def test_what_is_quantised_and_what_is_not(name, trained, quantised):
    model, method = trained[0], METHODS[name]
    found = quantised[name]
    assert isinstance(found, Transformer)
    np.testing.assert_array_equal(found.embedding, model.embedding)
    np.testing.assert_array_equal(found.norm.gain, model.norm.gain)
    assert found.head is None
    for (after, at, projection), (before, _, original) in zip(projections(found), projections(model), strict=True):
        assert isinstance(projection, QuantisedProjection)
        assert projection.activation_bits == method.activation_bits
        assert projection.weight.shape == original.weight.shape
        assert projection.weight.dtype == original.weight.dtype
        if method.algorithm != "quip":  # whose integers are on other axes
            most = max(len(np.unique(row)) for row in np.asarray(projection.weight))
            assert most <= 2**method.weight_bits, at
        for norm in READERS:
            same = np.array_equal(getattr(after, norm).gain, getattr(before, norm).gain)
            assert same == (method.algorithm != "smoothquant")


@pytest.mark.parametrize("name", METHODS)
def test_it_is_evaluated_pickled_and_stored(name, trained, quantised):
    model, windows, held_out = trained
    found = quantised[name]
    loss = evaluate(found, held_out)["loss"]
    assert np.isfinite(loss)
    assert evaluate(pickle.loads(pickle.dumps(found)), held_out)["loss"] == loss
    empty = jax.tree.map(jnp.zeros_like, found)
    assert evaluate(deserialised(serialised(found), empty), held_out)["loss"] == loss
    again = quantise_transformer(model, METHODS[name], windows)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(one, other)


def test_round_to_nearest_is_round_to_nearest(trained, quantised):
    for name in ("absmax-w8a8", "absmax-w4a4", "absmax-w1a8", "absmean-w1a8"):
        method = METHODS[name]
        scale: Any = "absmean" if method.algorithm == "absmean" else "absmax"
        x = jnp.asarray(np.random.default_rng(0).standard_normal((3, 16)).astype(np.float32))
        for (_, _, found), (_, _, original) in zip(projections(quantised[name]), projections(trained[0]), strict=True):
            values = round_weights(np.asarray(original.weight), bits=method.weight_bits, sign_scale=scale).values
            np.testing.assert_array_equal(found.weight, values.astype(np.float32))
            if found.weight.shape[1] == 16:
                expected = round_activations(x, bits=method.activation_bits or 8) @ found.weight.T
                np.testing.assert_array_equal(found(x), expected)


def test_smoothing_changes_no_function_and_evens_out_the_inputs(trained):
    model, windows, held_out = trained
    # Gains of the norms that make two channels a hundred times larger, weights that undo it: outliers, same function.
    factors = np.ones(16, np.float32)
    factors[[3, 8]] = 100
    block = model.blocks[0]
    outliers = replace(
        block,
        attention_norm=replace(block.attention_norm, gain=block.attention_norm.gain * factors),
        **{
            name: replace(getattr(block, name), weight=getattr(block, name).weight / factors)
            for name in ("query", "key", "value")
        },
    )
    uneven = replace(model, blocks=(outliers, *model.blocks[1:]))
    smooth = smoothed_transformer(uneven, windows)
    given = jnp.asarray(held_out[:, :-1].astype(np.int32))
    expected = np.asarray(uneven(given))
    # each gain and weight is rounded once more: as many roundings as two layers have products, none amplified
    np.testing.assert_allclose(smooth(given), expected, rtol=0, atol=512 * EPS * np.abs(expected).max())
    before, after = (record_inputs(one.blocks[0], embedded(one, windows))["query"].largest for one in (uneven, smooth))
    assert after.max() / after.min() < before.max() / before.min() / 5

    loss = evaluate(model, held_out)["loss"]
    rounded, smoothed = (
        evaluate(quantise_transformer(uneven, name, windows), held_out)["loss"] - loss
        for name in ("absmax-w4a4", "smoothquant-w4a4")
    )
    assert 0 < smoothed < rounded / 2


@pytest.mark.parametrize("network", ["trained", "without_sub_norms"])
def test_the_factors_of_a_norm_count_all_that_read_it(network, request):
    """Of the first block, whose inputs smoothing has not changed: s from queries, keys and values together."""
    model, windows, _ = request.getfixturevalue(network)
    block, smooth = model.blocks[0], smoothed_transformer(model, windows).blocks[0]
    records = record_inputs(block, embedded(model, windows))
    for norm, readers in READERS.items():
        if getattr(block, norm) is None:
            continue
        weights = np.concatenate([np.asarray(getattr(block, name).weight, np.float64) for name in readers])
        expected = np.sqrt(records[readers[0]].largest / np.abs(weights).max(axis=0))
        found = np.asarray(getattr(block, norm).gain, np.float64) / getattr(smooth, norm).gain
        np.testing.assert_allclose(found, expected, rtol=4 * EPS)  # the gain is rounded to float32 once
        for name in readers:
            ratio = np.asarray(getattr(smooth, name).weight, np.float64) / getattr(block, name).weight
            np.testing.assert_allclose(ratio, np.broadcast_to(expected, ratio.shape), rtol=4 * EPS)


def test_without_sub_norms_what_follows_a_norm_is_smoothed_and_nothing_else(without_sub_norms):
    model, windows, held_out = without_sub_norms
    smooth = smoothed_transformer(model, windows)
    given = jnp.asarray(held_out[:, :-1].astype(np.int32))
    expected = np.asarray(model(given))
    # as with SubLN: one more rounding of each gain and weight
    np.testing.assert_allclose(smooth(given), expected, rtol=0, atol=512 * EPS * np.abs(expected).max())
    rounded = quantise_transformer(model, "smoothquant-w4a4", windows)
    for before, after, last in zip(model.blocks, smooth.blocks, rounded.blocks, strict=True):
        assert before.attention_sub_norm is after.attention_sub_norm is after.feed_sub_norm is None
        for norm in ("attention_norm", "feed_norm"):
            assert (np.asarray(getattr(after, norm).gain) != getattr(before, norm).gain).all()
            assert all((getattr(after, one).weight != getattr(before, one).weight).any() for one in READERS[norm])
        for name in ("output", "down"):
            weight = np.asarray(getattr(before, name).weight)
            np.testing.assert_array_equal(getattr(after, name).weight, weight)
            values = round_weights(weight, bits=4).values.astype(np.float32)
            np.testing.assert_array_equal(getattr(last, name).weight, values)
            assert getattr(last, name).activation_bits == 4


@pytest.mark.parametrize("name", METHODS)
def test_networks_without_sub_norms_are_quantised(name, without_sub_norms):
    model, windows, held_out = without_sub_norms
    found = quantise_transformer(model, name, windows)
    assert all(isinstance(one, QuantisedProjection) and one.arm == "full" for _, _, one in projections(found))
    cost = evaluate(found, held_out)["loss"] - evaluate(model, held_out)["loss"]
    # rounding to 8 bits moves nothing by more than 1/254 of the largest of its row; one or two bits cost far more
    assert abs(cost) < 0.01 if METHODS[name].weight_bits == 8 else cost > 0


@pytest.mark.parametrize("network", ["trained", "without_sub_norms"])
@pytest.mark.parametrize("name", ["absmax-w8a8", "smoothquant-w4a4", "gptq-w4", "quip-w2"])
def test_of_16_bit_networks_the_weights_of_16_bits_are_quantised(name, network, request, untyped):
    """Bit for bit as in full precision after rounding by hand, and not as the latent weights."""
    model, windows, _ = request.getfixturevalue(network)
    sixteen = changed(model, lambda one: replace(one, arm="fp16"))
    by_hand = changed(
        model, lambda one: replace(one, weight=jnp.asarray(np.asarray(one.weight).astype(np.float16), jnp.float32))
    )
    found, expected, latent = (quantise_transformer(one, name, windows) for one in (sixteen, by_hand, model))
    for (_, _, one), (_, _, other) in zip(projections(found), projections(expected), strict=True):
        assert one.arm == "full"
        assert one.weight.dtype == jnp.float32
        np.testing.assert_array_equal(one.weight, other.weight)
    same = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    assert all(np.array_equal(one, other) for one, other in same)
    pairs = zip(projections(found), projections(latent), strict=True)
    assert not any(np.array_equal(one.weight, other.weight) for (_, _, one), (_, _, other) in pairs)


@pytest.mark.parametrize("method", ["gptq-w2", "quip-w2"])
def test_later_blocks_are_calibrated_on_quantised_earlier_ones(method, trained, quantised):
    model, windows, _ = trained
    streams = embedded(model, windows)
    after = record_inputs(model.blocks[1], advance(quantised[method].blocks[0], streams))
    for place, name in enumerate(PROJECTIONS):
        weight = np.asarray(getattr(model.blocks[1], name).weight, np.float64)
        hessian, draws = after[name].hessian, (0, 23, 1, place)  # seed, stream, block, projection
        rounded = quip(weight, hessian, bits=2, seed=draws) if method == "quip-w2" else gptq(weight, hessian, bits=2)
        expected = rounded.values.astype(np.float32)
        np.testing.assert_array_equal(getattr(quantised[method].blocks[1], name).weight, expected)
    plain = record_inputs(model.blocks[1], advance(model.blocks[0], streams))["query"].hessian
    assert not np.array_equal(plain, after["query"].hessian)


def test_eight_bits_cost_little_and_fewer_cost_more(trained, quantised):
    """The increase of the loss with 8 bits is below that with 4, with 4 below that with 2, whatever the method."""
    model, windows, held_out = trained
    full = evaluate(model, held_out)["loss"]
    cost = {name: evaluate(one, held_out)["loss"] - full for name, one in quantised.items()}
    for one in ("absmax", "smoothquant"):
        assert abs(cost[f"{one}-w8a8"]) < cost[f"{one}-w4a4"] < cost[f"{one}-w1a8"]
        # roundings are at most 1/254 of the largest of a row, 18 times less than with 4 bits
        assert abs(cost[f"{one}-w8a8"]) < 0.01
    for one in ("absmax", "gptq", "quip"):
        assert abs(cost[f"{one}-w4"]) < cost[f"{one}-w2"]
    assert cost["gptq-w2"] < cost["absmax-w2"]
    gentle = evaluate(quantise_transformer(model, PostTrainingMethod("gptq", 8), windows), held_out)["loss"]
    assert abs(gentle - full) < 0.01


def test_only_quip_draws_from_the_seed(trained):
    model, windows, _ = trained
    for name, same in (("quip-w2", False), ("gptq-w2", True), ("smoothquant-w4a4", True)):
        one, other = (quantise_transformer(model, name, windows, seed=seed) for seed in (0, 1))
        found = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
        assert all(np.array_equal(a, b) for a, b in found) == same


def test_methods_without_calibration_do_not_look_at_windows(trained):
    model = trained[0]
    quantise_transformer(model, "absmax-w4a4", np.zeros((0, 2), np.uint8))
    with pytest.raises(InputError, match="calibration needs at least one window"):
        quantise_transformer(model, "gptq-w4", np.zeros((0, 2), np.uint8))


def test_mistakes_are_told_in_one_line(trained, quantised, untyped):
    model, windows, _ = trained
    block = model.blocks[0]
    broken = replace(block, up=replace(block.up, weight=block.up.weight * np.nan))
    large = replace(block, up=replace(block.up, weight=block.up.weight + 1e5, arm="fp16"))  # 16 bits end at 65504
    for given, method, words in [
        (as_arm(model, "bitnet"), "gptq-w4", "query of block 0 is arm 'bitnet'; give one of arm full, full-preln"),
        (quantised["gptq-w4"], "absmax-w4", "quantised already"),
        (replace(model, blocks=(broken, *model.blocks[1:])), "absmax-w4", "weights of up in block 0 contain NaN"),
        (replace(model, blocks=(large, *model.blocks[1:])), "absmax-w4", "contain NaN or infinity in 16 bits"),
        (model, "gptq-w5", "unknown method 'gptq-w5'"),
    ]:
        with pytest.raises(InputError, match=words) as raised:
            quantise_transformer(given, method, windows)
        assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="seed must be a whole number of at least 0"):
        quantise_transformer(model, "quip-w2", windows, seed=-1)
    with pytest.raises(InputError, match="alpha must be"):
        smoothed_transformer(model, windows, alpha=2.0)
