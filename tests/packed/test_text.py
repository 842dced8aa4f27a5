"""Text from a packed model: the same for the same seed, drawn as it says, and past the end of the context."""

from __future__ import annotations

import dataclasses
from typing import cast

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks.transformer import transformer
from ntk1bit.networks.transformer_shape import Shape
from ntk1bit.packed.export import export, pack
from ntk1bit.packed.file_format import load
from ntk1bit.packed.text import draw, generate

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
        (lambda: generate(model, "a", length=-1), "length must be 0 or more, got -1"),
        (lambda: generate(model, "a", length=cast(int, 2.5)), "length must be an integer, got 2.5"),
        (lambda: generate(model, "a", length=3, seed=-1), "seed must be 0 or more, got -1"),
        (lambda: generate(model, "a", length=3, seed=cast(int, "7")), "seed must be an integer, got '7'"),
        (lambda: generate(model, "a", length=3, temperature=-0.5), "temperature"),
        (lambda: generate(model, "a", length=3, temperature=float("nan")), "temperature"),
        (lambda: generate(model, "a", length=3, temperature=float("inf")), "temperature"),
    ]
    for call, message in cases:
        with pytest.raises(InputError, match=message) as refusal:
            call()
        assert "\n" not in str(refusal.value)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("temperature", [5e-324, 1e-310, 1e-300, 1e-40, 1e-5])
def test_tiny_temperatures_draw_the_most_probable_without_a_warning(model, temperature):
    rng = np.random.default_rng(0)
    for logits in ([0.0, 1.0, -2.0, 2.5, -np.inf], [3e38, -3e38, 0.0, 1.0, 2.0], [-5.0, -5.001, -6.0, -7.0, -8.0]):
        row = np.array(logits, np.float32)
        assert {draw(row, temperature=temperature, rng=rng) for _ in range(20)} == {int(row.argmax())}
    assert generate(model, "abc", length=30, temperature=temperature) == generate(
        model, "abc", length=30, temperature=0.0
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("temperature", [1e20, 1e300, 1.7e308])
def test_at_huge_temperatures_all_characters_are_equally_likely(temperature):
    rng, count = np.random.default_rng(0), 8_000
    logits = np.array([0.0, 1.0, -2.0, 2.5], np.float32)
    shares = np.bincount([draw(logits, temperature=temperature, rng=rng) for _ in range(count)], minlength=4) / count
    assert (np.abs(shares - 0.25) <= 5 * (0.25 * 0.75 / count) ** 0.5).all()  # five standard errors


def test_an_alphabet_of_more_than_256_characters_can_be_spoken(tmp_path):
    """Tokens of a text are bytes in a corpus, but not in a model."""
    alphabet = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
    shape = Shape(1, 32, 2, len(alphabet), 8)
    export(transformer(shape, seed=2), shape, tmp_path / "m.npz", alphabet=alphabet)
    text = generate(load(tmp_path / "m.npz"), alphabet[-3:], length=200, temperature=3.0)
    assert set(text) <= set(alphabet)
    assert set(text) & set(alphabet[256:])  # 44 of 300 characters, nearly equally likely: missed with (256/300)^200
    with pytest.raises(InputError, match="'a' at position 1 is not in the model's alphabet of 300"):
        generate(load(tmp_path / "m.npz"), alphabet[0] + "a", length=3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda m: {"embedding": np.full_like(m.embedding, 3e38)}, "embedding of up to 3e\\+38"),
        (lambda m: {"head": m.head / np.abs(m.head).max() * np.float32(3e38)}, "head of up to"),
        (lambda m: {"norm": np.full_like(m.norm, 3e38)}, "gains of up to 3e\\+38"),
        (
            lambda m: {"blocks": tuple(dataclasses.replace(b, output=b.output._replace(beta=1e30)) for b in m.blocks)},
            "projections of up to 1e\\+30",
        ),
    ],
)
def test_finite_weights_that_are_too_large_are_told_as_such(model, change, named):
    huge = dataclasses.replace(model, **change(model))
    for temperature in (0.0, 0.8):
        with pytest.raises(InputError, match=f"logits after 2 characters are not finite.*{named}") as refusal:
            generate(huge, "ab", length=3, temperature=temperature)
        assert "\n" not in str(refusal.value)
