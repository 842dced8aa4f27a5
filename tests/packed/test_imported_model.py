from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.packed import imported_model
from ntk1bit.packed.imported_model import perplexity
from ntk1bit.packed.model_folders import read_model

from .published_models import FORMS, plain_logits, published, write_folder
from .transformers_reference import DATA, SEEDS, tokens_of, transformers_logits

# Logits are of size 1 to 10. float32 has 24 bits, and the published code is in float32, or rounds to it, a few hundred
# times on the way: an error of 1e-5 is usual, 1e-4 is what is asked for.
TOLERANCE = 1e-4


def rounded(x: np.ndarray) -> np.ndarray:
    """Return inputs in steps of their row before they are rounded to whole numbers."""
    narrow = x.astype(np.float32)
    return narrow * (1 / np.maximum(np.abs(narrow).max(axis=1, keepdims=True), np.float32(1e-5)) * np.float32(127))


@pytest.mark.parametrize("form", FORMS)
def test_logits_are_those_of_the_plain_forward_pass(form, tmp_path):
    for seed in range(8):
        model = published(seed, form)
        tokens = tokens_of(seed, model.config["vocab_size"])
        read = read_model(write_folder(model, tmp_path / str(seed)))
        # both in float64, in another order of sums; what is rounded to float32 on the way is equal but for ties
        np.testing.assert_allclose(read.model.logits(tokens), plain_logits(model, tokens), rtol=0, atol=1e-6)
        assert read.notes == []


@pytest.mark.parametrize(("seed", "form"), list(zip(SEEDS, FORMS, strict=True)))
def test_logits_are_those_that_transformers_gave(seed, form, tmp_path):
    model = published(seed, form)
    tokens = tokens_of(seed, model.config["vocab_size"])
    logits = read_model(write_folder(model, tmp_path)).model.logits(tokens)
    with np.load(DATA) as stored:
        np.testing.assert_allclose(logits, stored[form], rtol=0, atol=TOLERANCE)


def test_logits_are_those_of_transformers_for_forty_networks(tmp_path, monkeypatch):
    """Where an input lies on the edge between two whole numbers, the last bit decides, and all that follows differs."""
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    agree, project = 0, imported_model._project
    for seed in range(40):
        model = published(seed, FORMS[seed % 4])
        tokens = tokens_of(seed, model.config["vocab_size"])
        theirs, inputs = transformers_logits(write_folder(model, tmp_path / str(seed)), tokens)
        ours: list[np.ndarray] = []

        def recorded(x: Any, weights: Any, ours: list[np.ndarray] = ours) -> Any:
            ours.append(x)
            return project(x, weights)

        monkeypatch.setattr(imported_model, "_project", recorded)
        apart = np.abs(read_model(tmp_path / str(seed)).model.logits(tokens) - theirs).max()
        monkeypatch.undo()
        agree += apart < TOLERANCE
        if apart >= TOLERANCE:
            pairs = [(rounded(a), rounded(b)) for a, b in zip(ours, inputs, strict=True)]
            first = next((pair for pair in pairs if (np.rint(pair[0]) != np.rint(pair[1])).any()), None)
            assert first is not None, f"network {seed}: apart by {apart} with equal whole numbers"
            flipped = np.rint(first[0]) != np.rint(first[1])
            assert np.abs(np.abs(first[0][flipped]) % 1 - 0.5).max() < 1e-3  # 127 times a few hundred float32 roundings
    assert agree >= 36


def test_a_token_does_not_see_later_ones(tmp_path):
    model = read_model(write_folder(published(3, FORMS[0]), tmp_path)).model
    tokens = np.array([1, 2, 3, 4, 5])
    np.testing.assert_allclose(model.logits(tokens)[:3], model.logits(tokens[:3]), atol=1e-12)


def test_perplexity_is_the_exponential_of_the_mean_cross_entropy(tmp_path):
    model = read_model(write_folder(published(1, FORMS[0]), tmp_path)).model
    tokens = np.array([3, 1, 4, 1, 5])
    logits = model.logits(tokens)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = np.prod([chances[at, tokens[at + 1]] for at in range(4)]) ** (-1 / 4)
    assert perplexity(model, tokens) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("tokens", [[], [-1], [10**6], [[1, 2]], [1.5], list(range(10)) * 7])
def test_tokens_that_the_network_does_not_know_are_refused(tokens, tmp_path):
    model = read_model(write_folder(published(1, FORMS[0]), tmp_path)).model
    with pytest.raises(InputError, match="tokens must be"):
        model.logits(tokens)
