"""The experiment against the pieces that it is made of; the least loss by hand."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from ntk1bit.data import text as texts
from ntk1bit.errors import InputError
from ntk1bit.experiments import LanguageOscillation
from ntk1bit.experiments.language_oscillation import REMEDIES, _functions, _loss, least_loss, mean_cross_entropy
from ntk1bit.networks.transformer import losses, transformer
from ntk1bit.networks.transformer_shape import Shape
from ntk1bit.training.descent import descend
from ntk1bit.training.freezing import FreezingTraining
from ntk1bit.training.oscillation import oscillation_reference

SMALL = LanguageOscillation("bitnet", 8, "sgd", 0.1, 12, 5, (3, 4), layers=1, windows=3, context=6, tests=4)
EPSILON = float(np.finfo(np.float32).eps)


def test_losses_are_those_of_the_logits_of_the_window(tmp_path):
    found = SMALL.run(tmp_path / "key")
    assert found["seed"].tolist() == [3, 4]
    corpus = texts.load("pydoc")
    windows = np.asarray(texts.training_batch(corpus.train, seed=4, step=0, batch=3, context=6), np.int32)
    tests = np.asarray(texts.validation_windows(corpus.validation, context=6, count=4), np.int32)
    model = transformer(Shape(1, 8, heads=1, vocabulary=corpus.vocabulary, context=6), arm="bitnet", seed=4)
    learned = jnp.asarray(windows)
    step = jax.jit(
        lambda m: jax.tree.map(lambda a, g: a - 0.1 * g, m, jax.grad(lambda m: losses(m, learned).mean())(m))
    )
    logits, of_tests, signs = [], [], []
    _, levels = _functions("bitnet")
    assert found["loss_start"].iloc[1] == pytest.approx(float(losses(model, learned).mean()), rel=100 * EPSILON)
    for _ in range(12):
        model = step(model)
        logits.append(np.asarray(model(windows[:, :-1]), np.float64))
        of_tests.append(np.asarray(model(tests[:, :-1]), np.float64))
        signs.append(np.concatenate([np.asarray(one).ravel() for one in levels(model)]))
    row = found.iloc[1]
    for name, f, of in (("", logits, windows), ("test_", of_tests, tests)):
        kept = f[-5:]
        singles = [mean_cross_entropy(one, of[:, 1:]) for one in kept]
        twos = [mean_cross_entropy((a + b) / 2, of[:, 1:]) for a, b in itertools.pairwise(kept)]
        # two programs of one network: roundings of float32, which descent of 12 steps may double at each step
        close = functools.partial(pytest.approx, rel=2**12 * EPSILON)
        assert row[f"{name}loss"] == close(np.mean(singles))
        assert row[f"{name}averaged"] == close(np.mean(twos))
        assert row[f"{name}averaged_last"] == close(mean_cross_entropy(np.mean(kept, axis=0), of[:, 1:]))
    seen = oscillation_reference(
        np.array(logits[-5:]), np.zeros(logits[0].shape), np.array(signs[-5:]), window=5, last=5
    ).iloc[0]
    assert row["autocorrelation"] == pytest.approx(seen["autocorrelation"], abs=0.01)
    assert row["flips"] == pytest.approx(
        seen["flips"], abs=2 / signs[0].size
    )  # a weight at its threshold may go either way
    assert set(np.unique(signs)) <= {-1, 1}


MOVING = dataclasses.replace(SMALL, rate=0.5, steps=40, window=10)


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, pd.DataFrame]:
    """With each remedy, of the same starts."""
    scratch = tmp_path_factory.mktemp("cells") / "key"
    return {one: dataclasses.replace(MOVING, remedy=one).run(scratch) for one in REMEDIES}


@pytest.mark.parametrize("name", ["latents", "decay"])
def test_averaged_latents_are_those_of_a_plain_loop(name, results):
    corpus = texts.load("pydoc")
    windows = np.asarray(texts.training_batch(corpus.train, seed=4, step=0, batch=3, context=6), np.int32)
    tests = np.asarray(texts.validation_windows(corpus.validation, context=6, count=4), np.int32)
    model: Any = transformer(Shape(1, 8, heads=1, vocabulary=corpus.vocabulary, context=6), arm="bitnet", seed=4)
    seen: list[Any] = []
    one = dataclasses.replace(MOVING, remedy=name)
    descend(_loss, model, one.training, data=(jnp.asarray(windows),), stops=tuple(range(41)), look=lambda step, model: (
        seen.append(jax.tree.map(np.array, model)) if step > 30 else None
    ))  # fmt: skip
    assert len(seen) == 10
    mean = jax.tree.map(lambda *of: jnp.asarray(np.mean(np.asarray(of, np.float64), axis=0), jnp.float32), *seen)
    for column, of in (("latents", windows), ("test_latents", tests)):
        expected = float(losses(mean, jnp.asarray(of)).mean())
        # sums of ten float32 in another order; a weight of the mean at its threshold might go either way, none does
        assert results[name][column].iloc[1] == pytest.approx(expected, rel=1000 * EPSILON)


def test_every_remedy_does_something_and_averaging_changes_no_training(results):
    plain, averaged = results["none"], results["latents"]
    assert "latents" not in plain  # results of before had none
    pd.testing.assert_frame_equal(averaged[list(plain)], plain)
    assert (averaged["latents"] != averaged["loss"]).all()
    for name in ("freezing", "decay"):
        assert np.isfinite(results[name][["loss", "latents", "test_loss", "test_latents"]].to_numpy()).all()
        assert (results[name]["loss"] != plain["loss"]).all()
        starts = results[name]["loss_start"].to_numpy()  # another program of the same networks
        assert starts == pytest.approx(plain["loss_start"].to_numpy(), rel=100 * EPSILON)


def test_without_a_remedy_keys_are_those_of_before_there_were_any():
    assert SMALL.key == "f3b90cae7c4268779105"
    assert len({dataclasses.replace(SMALL, remedy=one).key for one in REMEDIES}) == len(REMEDIES)


def test_remedies_are_in_the_training():
    for remedy, schedule in (
        ("none", "constant"),
        ("latents", "constant"),
        ("freezing", "constant"),
        ("decay", "linear"),
    ):
        training = dataclasses.replace(SMALL, remedy=remedy).training
        assert training.schedule == schedule
        assert isinstance(training, FreezingTraining) == (remedy == "freezing")


def test_a_network_that_diverges_before_the_window_is_said_to(tmp_path):
    found = LanguageOscillation(
        "full", 8, "sgd", 1e30, 9, 3, (1,), layers=1, windows=2, context=4, tests=2, remedy="latents"
    ).run(tmp_path / "a")
    assert found["diverged"].to_numpy().all()
    assert found[["loss", "test_loss", "latents", "test_latents"]].isna().to_numpy().all()


def test_full_precision_has_no_flips_and_ternary_weights_have_zeros(tmp_path):
    found = LanguageOscillation("full", 8, "adam", 0.01, 4, 3, (1,), layers=1, windows=2, context=4, tests=2).run(
        tmp_path / "a"
    )
    assert np.isnan(found[["flips", "flipped", "returned"]].to_numpy()).all()
    _, levels = _functions("b158")
    model = transformer(Shape(1, 8, heads=1, vocabulary=9, context=4), arm="b158", seed=0)
    assert set(np.unique(np.concatenate([np.asarray(one).ravel() for one in levels(model)]))) == {-1, 0, 1}


def test_the_least_loss_is_the_entropy_after_equal_beginnings():
    """Of four windows two begin with 1 and two with 2; after 1 come 3 and 4, after 2 always 5."""
    windows = np.array([[1, 3, 7], [1, 4, 7], [2, 5, 8], [2, 5, 9]])
    # second character: log 2 for the first two windows, 0 for the others; third: 0, 0, and log 2 for 8 and 9
    assert least_loss(windows) == pytest.approx(4 * np.log(2) / 8)
    assert least_loss(np.array([[1, 2, 3]] * 5)) == 0


def test_cross_entropy_is_that_of_the_network():
    model = transformer(Shape(1, 8, heads=1, vocabulary=9, context=4), arm="full", seed=0)
    windows = np.random.default_rng(0).integers(9, size=(3, 5))
    logits = np.asarray(model(jnp.asarray(windows[:, :-1])), np.float64)
    expected = float(losses(model, jnp.asarray(windows)).mean())
    assert mean_cross_entropy(logits, windows[:, 1:]) == pytest.approx(expected, rel=100 * EPSILON)


def test_mistakes_are_told():
    with pytest.raises(InputError, match="arm"):
        LanguageOscillation("sign", 8, "sgd", 0.1, 4, 2, (0,))
    with pytest.raises(InputError, match="from 2 to the 4 steps"):
        LanguageOscillation("full", 8, "sgd", 0.1, 4, 5, (0,))
    with pytest.raises(InputError, match="remedy"):
        dataclasses.replace(SMALL, remedy="latent")
    for arm in ("full", "b158"):
        with pytest.raises(InputError, match=f"freezing is of signs, not of {arm} weights"):
            dataclasses.replace(SMALL, arm=arm, remedy="freezing")
    assert dataclasses.replace(SMALL, arm="bitnet-preln", remedy="freezing").remedy == "freezing"
    assert SMALL.training.rate == 0.1
    assert LanguageOscillation("full", 128, "adam", 0.1, 4, 2, (0,)).training.rate == pytest.approx(0.05)
