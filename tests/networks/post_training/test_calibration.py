from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks.post_training import calibration
from ntk1bit.networks.post_training.calibration import PROJECTIONS, advance, embedded, record_inputs
from ntk1bit.networks.transformer import activate, transformer
from ntk1bit.networks.transformer_shape import Shape

EPS = float(np.finfo(np.float32).eps)
SHAPE = Shape(layers=2, width=12, heads=3, vocabulary=7, context=9)


def windows(count=5, time=10, seed=0):
    return np.random.default_rng(seed).integers(0, 7, (count, time)).astype(np.uint8)


@eqx.filter_jit
def by_hand(block, h):
    """What each projection reads, by the formula at the head of `networks.transformer`."""
    x = block.attention_norm(h)
    o = block.attention_sub_norm(block.attend(x))
    u = block.feed_norm(h + block.output(o))
    d = block.feed_sub_norm(activate(block.up(u), block.activation))
    return {"query": x, "key": x, "value": x, "output": o, "up": u, "down": d}


@pytest.mark.parametrize("activation", ["gelu", "squared-relu"])
def test_records_are_of_what_the_projections_read(activation):
    model = transformer(Shape(2, 12, 3, 7, 9, activation), arm="full", seed=1)
    streams = embedded(model, windows())
    block = model.blocks[0]
    records = record_inputs(block, streams)
    assert set(records) == set(PROJECTIONS)
    for name, x in by_hand(block, jnp.asarray(np.concatenate(streams))).items():
        rows = np.asarray(x, np.float64).reshape(-1, x.shape[-1])
        # the same block compiled and not: a few float32 roundings of normalised numbers, squared and averaged
        size = (rows**2).mean(axis=0).max()
        np.testing.assert_allclose(records[name].hessian, 2 * rows.T @ rows / len(rows), rtol=0, atol=256 * EPS * size)
        np.testing.assert_allclose(records[name].largest, np.abs(rows).max(axis=0), rtol=64 * EPS, atol=64 * EPS)
        assert records[name].count == len(rows) == 5 * 9


def test_the_last_character_is_not_read_and_blocks_follow_each_other():
    model = transformer(SHAPE, arm="full", seed=2)
    given = windows()
    (stream,) = embedded(model, given)
    np.testing.assert_array_equal(stream, np.asarray(model.embedding)[given[:, :-1]])
    for block in model.blocks:
        (stream,) = advance(block, [stream])
    found = model.norm(jnp.asarray(stream)) @ model.embedding.T
    expected = model(jnp.asarray(given[:, :-1].astype(np.int32)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=256 * EPS * np.abs(np.asarray(expected)).max())


def test_batches_are_added_up(monkeypatch):
    model = transformer(SHAPE, arm="full", seed=3)
    whole = record_inputs(model.blocks[0], embedded(model, windows()))
    monkeypatch.setattr(calibration, "AT_ONCE", 2)  # 2, 2 and 1 of 5
    streams = embedded(model, windows())
    assert [len(one) for one in streams] == [2, 2, 1]
    parts = record_inputs(model.blocks[0], streams)
    for name in PROJECTIONS:
        assert parts[name].count == whole[name].count
        size = np.abs(whole[name].hessian).max()
        # programs for batches of other sizes may round differently
        np.testing.assert_allclose(parts[name].hessian, whole[name].hessian, rtol=0, atol=64 * EPS * size)
        np.testing.assert_allclose(parts[name].largest, whole[name].largest, rtol=64 * EPS)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((0, 5), np.uint8), "at least one window"),
        (np.zeros((3, 1), np.uint8), "at least 2 characters"),
        (np.zeros(5, np.uint8), r"got windows of shape \(5,\)"),
        (np.full((2, 5), 7, np.uint8), "outside the network's vocabulary of 7"),
        (np.full((2, 5), -1), "outside the network's vocabulary of 7"),
    ],
)
def test_windows_that_do_not_fit_are_refused_in_one_line(given, words, untyped):
    with pytest.raises(InputError, match=words) as raised:
        embedded(transformer(SHAPE, arm="full"), given)
    assert "\n" not in str(raised.value)


def test_inputs_that_are_not_finite_are_refused():
    model = transformer(SHAPE, arm="full")
    with pytest.raises(InputError, match="inputs must be finite"):
        record_inputs(model.blocks[0], [np.full((1, 3, 12), np.nan, np.float32)])
