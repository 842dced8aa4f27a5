"""The rival of character-level networks: an interpolated n-gram model with Witten-Bell smoothing.

With h the preceding characters, h' the same without the first, N(h c) how often c followed h in the training text,
N(h) = sum_c N(h c) and T(h) the number of distinct characters that followed h,

    p(c | h) = (N(h c) + T(h) p(c | h')) / (N(h) + T(h))          p(c | h') for an h that was never followed by anything
    p(c | nothing left to drop) = 1 / vocabulary

(Bell, Cleary & Witten 1990, method C; Witten & Bell 1991; the interpolated form is that of Chen & Goodman 1998, section
2.6). T(h)/(N(h) + T(h)) is the chance that h is followed by something new, so no parameter is to be tuned. Every
distribution sums to one over the alphabet.

Tables are sparse: the n-grams that occur, as integers in base `vocabulary`, sorted. A lookup is a binary search.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64, UInt8

from ntk1bit.data.text import require_tokens
from ntk1bit.errors import InputError

_LARGEST_CODE = 2**63 - 1
_DENSE_CODES = 1 << 22  # below this many codes, counting into a table beats sorting the text's


class Grams(NamedTuple):
    """What was counted for one length n of n-grams.

    Attributes
    ----------
    codes, counts
        N-grams that occur, as sorted integers whose base-`vocabulary` digits are their tokens; how often.
    contexts, totals, kinds
        Their first n - 1 tokens, sorted; N(h) and T(h) of each.
    """

    codes: Int64[np.ndarray, " grams"]
    counts: Int64[np.ndarray, " grams"]
    contexts: Int64[np.ndarray, " contexts"]
    totals: Int64[np.ndarray, " contexts"]
    kinds: Int64[np.ndarray, " contexts"]


class NGram(NamedTuple):
    """A fitted model: the size of its alphabet, and counts for n = 1, ..., order."""

    vocabulary: int
    grams: tuple[Grams, ...]

    @property
    def order(self) -> int:
        """Return the longest n-gram counted: order - 1 characters predict the next."""
        return len(self.grams)


def fit_ngram(tokens: UInt8[np.ndarray, " characters"], *, vocabulary: int, order: int = 3) -> NGram:
    """Count the n-grams of a text, n = 1, ..., order.

    Parameters
    ----------
    tokens
        The training text, at least `order` long.
    vocabulary
        Size of the alphabet, 1 to 256; characters that do not occur are given probability too.
    order
        1 is a unigram model, 3 a trigram one. Memory grows with the number of distinct n-grams.

    Raises
    ------
    InputError
        If a token is outside the vocabulary, the text is shorter than `order`, or a number is out of range (codes of
        n-grams must fit 63 bits: vocabulary^order < 2^63).
    """
    if not 1 <= vocabulary <= 256:
        raise InputError(f"vocabulary must be 1 to 256, got {vocabulary}")
    if order < 1 or vocabulary**order > _LARGEST_CODE:
        raise InputError(f"order must be at least 1 and {vocabulary}^order below 2^63, got order {order}")
    if tokens.size < order:
        raise InputError(f"a text of {tokens.size} characters has no {order}-gram; give a longer one or a lower order")
    require_tokens(tokens, vocabulary)
    return NGram(vocabulary, tuple(_count(tokens, vocabulary, length) for length in range(1, order + 1)))


def log_probabilities(model: NGram, windows: UInt8[np.ndarray, "k window"]) -> Float[np.ndarray, "k window-1"]:
    """Return ln p of each character but the first, given up to order - 1 characters before it in its window.

    The second character has one character of context, the third two, as for a network that sees the same window; so the
    first order - 2 predictions of each window are those of shorter n-grams.

    Parameters
    ----------
    model
        From `fit_ngram`.
    windows
        (k, context + 1) tokens.

    Returns
    -------
    (k, context), float64, natural logarithms; all finite.

    Raises
    ------
    InputError
        If a token is outside the model's vocabulary, or windows have fewer than two characters.
    """
    if windows.shape[1] < 2:
        raise InputError(f"windows need at least 2 characters, one to predict from, got {windows.shape[1]}")
    require_tokens(windows, model.vocabulary)
    probabilities = np.full((windows.shape[0], windows.shape[1] - 1), 1 / model.vocabulary)
    for length, grams in enumerate(model.grams[: windows.shape[1]], start=1):
        first = max(length - 1, 1)  # position in the window of the first character with a context this long
        codes = _codes(windows[:, first - (length - 1) :], model.vocabulary, length)
        counts = _look_up(codes, grams.codes, grams.counts)
        contexts = codes // model.vocabulary
        totals = _look_up(contexts, grams.contexts, grams.totals)
        kinds = _look_up(contexts, grams.contexts, grams.kinds)
        shorter = probabilities[:, first - 1 :]
        longer = (counts + kinds * shorter) / np.maximum(totals + kinds, 1)
        probabilities[:, first - 1 :] = np.where(totals > 0, longer, shorter)
    return np.log(probabilities)


def log_probability_reference(
    tokens: UInt8[np.ndarray, " characters"],
    history: UInt8[np.ndarray, " history"],
    following: int,
    *,
    vocabulary: int,
    order: int,
) -> float:
    """Return ln p(following | last order - 1 characters of history) by reading through the training text; slow.

    Parameters
    ----------
    tokens, vocabulary, order
        As in `fit_ngram`.
    history, following
        The characters before, possibly none, and the one to predict.
    """
    text = tokens.tolist()
    probability = 1 / vocabulary
    for length in range(min(order - 1, history.size) + 1):
        context = history[history.size - length :].tolist()
        seen = [text[i + length] for i in range(len(text) - length) if text[i : i + length] == context]
        if seen:
            kinds = len(set(seen))
            probability = (seen.count(following) + kinds * probability) / (len(seen) + kinds)
    return float(np.log(probability))


def _count(tokens: np.ndarray, vocabulary: int, length: int) -> Grams:
    codes = _codes(tokens, vocabulary, length)
    if vocabulary**length <= _DENSE_CODES:
        table = np.bincount(codes)
        occurring = np.flatnonzero(table)
        counts = table[occurring]
    else:
        occurring, counts = np.unique(codes, return_counts=True)
    contexts, starts, kinds = np.unique(occurring // vocabulary, return_index=True, return_counts=True)
    return Grams(
        *(part.astype(np.int64) for part in (occurring, counts, contexts, np.add.reduceat(counts, starts), kinds))
    )


def _codes(tokens: np.ndarray, vocabulary: int, length: int) -> np.ndarray:
    """Return the integer of every run of `length` tokens along the last axis: its digits in base `vocabulary`."""
    runs = tokens.shape[-1] - length + 1
    codes = np.zeros((*tokens.shape[:-1], runs), dtype=np.int64)
    for place in range(length):
        codes = codes * vocabulary + tokens[..., place : place + runs]
    return codes


def _look_up(wanted: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the value of each key wanted, 0 where it is none; keys are sorted."""
    places = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
    return np.where(keys[places] == wanted, values[places], 0)
