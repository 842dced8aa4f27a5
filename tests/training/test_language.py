from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest

from ntk1bit.data import text
from ntk1bit.errors import InputError
from ntk1bit.experiments.language import LanguageModel
from ntk1bit.experiments.language_spec import LanguageSpec
from ntk1bit.networks.bitlinear_form import W23
from ntk1bit.networks.transformer import Transformer, as_form, losses, transformer
from ntk1bit.networks.transformer_shape import Shape
from ntk1bit.training import checkpoints
from ntk1bit.training import language as module
from ntk1bit.training.checkpoints import Checkpoint
from ntk1bit.training.language import evaluate, language_training, load_weights

SETTINGS: dict[str, Any] = {
    "text": "pydoc", "layers": 1, "width": 8, "heads": 1, "arm": "bitnet", "rate": 0.01, "tokens": 19_200, "batch": 4,
    "context": 16, "seed": 3, "windows": 16,
}  # fmt: skip


KEY = LanguageModel(**SETTINGS).key


def key_of(**changed: Any) -> str:
    settings: dict[str, Any] = SETTINGS | changed
    return LanguageModel(**settings).key


def train(scratch: Path, **changed: Any) -> pd.DataFrame:
    settings: dict[str, Any] = SETTINGS | changed
    return LanguageModel(**settings).run(scratch)


def test_the_loss_falls_and_is_measured_on_the_validation_text(tmp_path):
    found = train(tmp_path / "one")
    (row,) = found.to_dict("records")
    assert row["evaluated"] == "bitnet"
    assert row["steps"] == 300
    assert row["parameters"] == 12 * 8**2
    assert len(row["curve"]) == 3
    assert row["curve"][-1] < row["curve"][0] - 0.3
    assert not row["diverged"]
    shape = Shape(1, 8, 1, text.load("pydoc").vocabulary, 16)
    model = as_form(load_weights(tmp_path / "one.weights", KEY, shape, arm="bitnet"), W23.at_inference())
    windows = text.validation_windows(text.load("pydoc").validation, context=16, count=16)
    plain = np.asarray(losses(model, jnp.asarray(windows, jnp.int32)), np.float64)
    # the same network on the same windows; compiled code adds up in another order, by float32 rounding of a mean
    assert row["loss"] == pytest.approx(plain.mean(), abs=1e-5)
    assert row["window_losses"] == pytest.approx(plain.mean(axis=1), abs=1e-5)
    assert row["bits"] == pytest.approx(row["loss"] / np.log(2))
    assert [path.name for path in tmp_path.iterdir()] == ["one.weights"]


@pytest.mark.parametrize("steps", [99, 101])
def test_tokens_told_are_tokens_trained(monkeypatch, tmp_path, steps):
    """Every step that the tokens are enough for is made, whether or not the looks at the loss divide them."""
    seen = []
    plain = module.texts.training_batches

    def recorded(*args, **kwargs):
        seen.append(plain(*args, **kwargs))
        return seen[-1]

    monkeypatch.setattr(module.texts, "training_batches", recorded)
    spec = LanguageSpec(text="pydoc", sizes=("1x8",), tokens=steps * 64 + 63, batch=4, context=16, windows=16)
    network = spec.network(spec.shapes[0], "bitnet", 0.01, 3)
    (row,) = network.run(tmp_path / "one").to_dict("records")
    drawn = np.concatenate(seen)
    assert row["steps"] == spec.steps == steps
    assert drawn[..., 1:].size == network.tokens == spec.trained_tokens == steps * 64
    assert len({one.tobytes() for one in drawn}) == steps  # each step has a batch of its own
    assert len(row["curve"]) == -(-steps // 100)
    assert np.isfinite(row["curve"]).all()


def test_less_than_one_step_is_told(tmp_path):
    with pytest.raises(InputError, match="less than one step of 4 x 16"):
        train(tmp_path / "one", tokens=63)


def test_one_step_is_adams(tmp_path):
    """The first step of Adam by hand: m/(1 - b1), v/(1 - b2), so each weight moves by rate * g/(|g| + eps)."""
    train(tmp_path / "one", tokens=64, arm="full")  # one step, at the first rate of the schedule
    shape = Shape(1, 8, 1, text.load("pydoc").vocabulary, 16)
    key = key_of(tokens=64, arm="full")
    start, end = transformer(shape, arm="full", seed=3), load_weights(tmp_path / "one.weights", key, shape, arm="full")
    np.testing.assert_array_equal(start.embedding, end.embedding)  # the schedule starts at 0
    training = language_training(300 * 64, rate=0.5, batch=4, context=16)
    assert np.array([training.lr_schedule(step) for step in (0, 15, 300)]) == pytest.approx([0, 1, 0.05])
    by_optax = optax.adam(0.5, b2=0.98)
    gradient = jnp.array([1.0, -2.0, 0.0])
    moves, _ = by_optax.update(gradient, by_optax.init(gradient))
    adam = training.gradient_transform
    own, _ = adam.update(gradient, adam.init(gradient))
    np.testing.assert_allclose(-0.5 * np.asarray(own), np.asarray(moves), rtol=1e-6)  # one product, rounded


def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    whole = train(tmp_path / "whole")
    at_once = functools.partial(Checkpoint, seconds=0.0)  # a checkpoint after every chunk
    monkeypatch.setattr(checkpoints, "Checkpoint", at_once)
    calls = 0
    plain = module.texts.training_batches

    def until_stopped(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return plain(*args, **kwargs)

    monkeypatch.setattr(module.texts, "training_batches", until_stopped)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped")
    assert (tmp_path / "stopped.checkpoint").exists()
    again = train(tmp_path / "stopped")
    assert calls == 4  # one more chunk, not three
    pd.testing.assert_frame_equal(again, whole)
    assert (tmp_path / "stopped.weights").read_bytes() == (tmp_path / "whole.weights").read_bytes()
    assert not (tmp_path / "stopped.checkpoint").exists()


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_checkpoint_is_not_trusted(tmp_path, damage):
    whole = train(tmp_path / "whole")
    weights = (tmp_path / "whole.weights").read_bytes()
    (tmp_path / "one.checkpoint").write_bytes(weights if damage is None else damage)
    pd.testing.assert_frame_equal(train(tmp_path / "one"), whole)


def test_divergence_is_a_result(tmp_path):
    found = train(tmp_path / "one", rate=1e30, arm="full")
    assert np.all(found["diverged"].to_numpy())
    assert np.isnan(found["loss"].to_numpy()).all()
    assert list(found["evaluated"]) == ["full"]


def test_infinite_logits_give_no_number():
    model = transformer(Shape(1, 8, 1, 5, 4), arm="full")
    broken = Transformer(model.embedding * np.inf, model.blocks, model.norm, model.head)
    found = evaluate(broken, np.zeros((3, 5), np.uint8))
    assert np.isnan(found["loss"])
    assert np.isnan(found["window_losses"]).all()


def test_weights_of_another_shape_are_refused(tmp_path):
    train(tmp_path / "one")
    path, own = tmp_path / "one.weights", Shape(1, 8, 1, text.load("pydoc").vocabulary, 16)
    with pytest.raises(InputError, match="cannot use the weights"):
        load_weights(path, KEY, Shape(1, 12, 1, 94, 16), arm="bitnet")
    with pytest.raises(InputError, match="cannot use the weights"):
        load_weights(tmp_path / "none.weights", KEY, own, arm="bitnet")
    with pytest.raises(InputError, match="belongs to another training"):
        load_weights(path, key_of(seed=4), own, arm="bitnet")


def test_a_flipped_bit_of_weights_is_noticed(tmp_path):
    """It was exported without a word: nothing in the file could tell."""
    train(tmp_path / "one")
    path, shape = tmp_path / "one.weights", Shape(1, 8, 1, text.load("pydoc").vocabulary, 16)
    whole = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, 8 * len(whole), 100):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="cannot use the weights"):
            load_weights(path, KEY, shape, arm="bitnet")


def test_the_recipe_of_the_paper():
    """W23, Tables 5 and 6: 750 of 40,000 steps to the top, then straight down to 0, with weight decay."""
    training = language_training(40_000 * 64, rate=2.4e-3, batch=4, context=16, recipe="w23")
    assert (training.steps, training.warm_up, training.beta1, training.beta2) == (40_000, 750, 0.9, 0.98)
    assert (training.weight_decay, training.schedule, training.last) == (0.01, "linear", 0.0)
    short = language_training(100 * 64, rate=1.0, batch=4, context=16, recipe="w23")
    shares = [np.asarray(short.lr_schedule(step)).item() for step in range(short.steps)]
    assert short.warm_up == 2
    assert max(shares) == shares[2] == 1.0
    assert np.allclose(np.diff(shares[2:]), -1 / 98, atol=1e-6)  # float32 numbers of size 1
    with pytest.raises(InputError, match="unknown recipe"):
        language_training(6400, rate=1.0, batch=4, context=16, recipe="paper")
