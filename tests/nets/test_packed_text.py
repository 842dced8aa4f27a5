"""Text from a packed model: the same for the same seed, drawn as it says, and past the end of the context."""

from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.nets.packed_export import pack
from ntk1bit.nets.packed_text import draw, generate
from ntk1bit.nets.transformer import Shape, transformer

ALPHABET = "\n abcdefgh."
SHAPE = Shape(2, 32, 2, len(ALPHABET), 12)


@pytest.fixture(scope="module")
def model():
    return pack(transformer(SHAPE, seed=1), SHAPE, alphabet=ALPHABET)


def greedily(model, prompt, length):
    """Continue with whole forward passes, by the rule of `generate`: half a context when it is full."""
    context = model.shape.context
    start, text = max(0, len(prompt) - context // 2) if len(prompt) > context else 0, prompt
    for _ in range(length):
        if len(text) - start > context:
            start = len(text) - context // 2
        tokens = np.array([[ALPHABET.index(c) for c in text[start:]]])
        text += ALPHABET[int(model.logits(tokens)[0, -1].argmax())]
    return text[len(prompt) :]


@pytest.mark.parametrize("prompt", ["a", "bad cab", "a" * 12, "b" * 13, "abcdefgh." * 4])
def test_at_temperature_zero_it_is_the_most_probable_text_across_full_contexts(model, prompt):
    text = generate(model, prompt, length=40, temperature=0.0)
    assert len(text) == 40
    assert text == greedily(model, prompt, 40)


def test_a_context_of_one_character():
    shape = Shape(1, 32, 2, len(ALPHABET), 1)
    model = pack(transformer(shape), shape, alphabet=ALPHABET)
    assert generate(model, "ab", length=9, temperature=0.0) == greedily_with_one(model, "b", 9)


def greedily_with_one(model, last, length):
    text = ""
    for _ in range(length):
        last = ALPHABET[int(model.logits(np.array([[ALPHABET.index(last)]]))[0, -1].argmax())]
        text += last
    return text


def test_the_seed_decides(model):
    texts = [generate(model, "abc", length=60, seed=seed) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]
    assert set(texts[0]) <= set(ALPHABET)
    assert texts[0].startswith(generate(model, "abc", length=20, seed=0))
    assert generate(model, "abc", length=0) == ""


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_draws_follow_the_softmax(temperature):
    rng = np.random.default_rng(0)
    logits = np.array([0.0, 1.0, -2.0, 2.5, -np.inf], np.float32)
    shares = np.exp(logits.astype(float) / temperature)
    shares /= shares.sum()
    count = 20_000
    drawn = np.bincount([draw(logits, temperature=temperature, rng=rng) for _ in range(count)], minlength=5)
    # Five standard errors of a binomial share.
    assert (np.abs(drawn / count - shares) <= 5 * np.sqrt(shares * (1 - shares) / count)).all()
    assert drawn[4] == 0


@pytest.mark.usefixtures("untyped")
def test_what_cannot_be_continued_is_refused(model):
    silent = pack(transformer(SHAPE, seed=1), SHAPE)
    cases = [
        (lambda: generate(silent, "a", length=3), "without its alphabet"),
        (lambda: generate(model, "", length=3), "prompt is empty"),
        (lambda: generate(model, "abz", length=3), "'z' at position 2"),
        (lambda: generate(model, "a", length=-1), "0 or more, got length -1"),
        (lambda: generate(model, "a", length=3, seed=-1), "seed -1"),
        (lambda: generate(model, "a", length=3, temperature=-0.5), "temperature"),
        (lambda: generate(model, "a", length=3, temperature=float("nan")), "temperature"),
        (lambda: generate(model, "a", length=3, temperature=float("inf")), "temperature"),
    ]
    for call, message in cases:
        with pytest.raises(InputError, match=message) as refusal:
            call()
        assert "\n" not in str(refusal.value)
