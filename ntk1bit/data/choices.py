"""A downstream task for character-level models: which of four continuations is the true one (W23, section 3.3).

W23 measures 0-shot and 4-shot accuracy on Winograd, Winogrande, Hellaswag and Storycloze, which networks as small as
ours cannot read. This is the same kind of question at their size, made of a corpus's own held-out text:

    0 examples    prefix | four options
    4 examples    example, example, example, example, prefix | the same four options

The held-out text is cut into pieces of a p-character prefix and the q characters that follow it. A piece is cut where
a word begins, and no two pieces overlap. A question is a piece whose q characters are to be told from those of three
others; examples are whole pieces, each followed by a line break (a space where the alphabet has none).

A model answers with the option of the largest sum of log probabilities, given all that stands before, and with the
first of equal ones. The order of the options is drawn, so a model that finds all alike is right by chance: 1 in 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, Shaped, UInt8

from ntk1bit.arguments import whole
from ntk1bit.data.text import require_tokens
from ntk1bit.errors import InputError

EXAMPLES = 4
OPTIONS = 4
CHANCE = 1 / OPTIONS
SHOTS = (0, EXAMPLES)  # examples in the context, in the names of the columns
SHORTEST_CONTEXT = 5 * 3 + EXAMPLES  # a prefix of two characters and one that follows, five times
_STREAM = 0x4C  # keeps these draws apart from others at the same seed

# Windows of characters' numbers in, ln p of each character but the first out: `ngram.log_probabilities` is one.
LogProbabilities = Callable[[UInt8[np.ndarray, "k t"]], Shaped[np.ndarray, "k t-1"]]


@dataclass(frozen=True, eq=False)
class Questions:
    """Questions as characters' numbers; made by `questions`.

    Attributes
    ----------
    examples
        Of each question: pieces of the text, p + q characters and what separates them from what follows.
    prefixes
        p characters, the last of which is a space.
    options
        Four continuations of q characters, all different.
    answers
        Which of them follows the prefix in the text, 0 to 3.
    """

    examples: UInt8[np.ndarray, "count 4 piece_and_separator"]
    prefixes: UInt8[np.ndarray, "count p"]
    options: UInt8[np.ndarray, "count 4 q"]
    answers: Int64[np.ndarray, " count"]

    def windows(self, examples: int) -> UInt8[np.ndarray, "count 4 t"]:
        """Return what a model reads, for each question and option: `examples` examples, prefix, option.

        t = examples (p + q + 1) + p + q.

        Raises
        ------
        InputError
            If there are not so many examples.
        """
        examples = whole("examples", examples, allowed=f"0 to {EXAMPLES}", least=0, most=EXAMPLES)
        count, _, length = self.options.shape
        before = np.concatenate([self.examples[:, :examples].reshape(count, -1), self.prefixes], axis=1)
        t = before.shape[1] + length
        found = np.empty((count, OPTIONS, t), np.uint8)
        found[..., :-length] = before[:, None]
        found[..., -length:] = self.options
        return found


def questions(
    validation: UInt8[np.ndarray, " characters"], alphabet: str, *, context: int, count: int, seed: int = 0
) -> Questions:
    """Make questions of a held-out text: the same for every model, and of many the first are those of few.

    Parameters
    ----------
    validation
        Characters' numbers, as in `data.text.Corpus`.
    alphabet
        Its characters.
    context
        C, the longest that a model reads: with 4 examples it is at most C characters. p + q = (C - 4) // 5, of which q
        are a third, rounded down.
    count
        How many questions.
    seed
        Of the draws: which pieces are asked, shown and offered, and the place of the true one.

    Raises
    ------
    InputError
        If a number is out of range, the alphabet has no space, or the text too few words or too few that differ.
    """
    context = whole(
        "context", context, allowed=f"at least {SHORTEST_CONTEXT}, for four examples", least=SHORTEST_CONTEXT
    )
    count = whole("count", count, allowed="at least 1", least=1)
    seed = whole("seed", seed, allowed="a whole number of at least 0", least=0)
    require_tokens(validation, len(alphabet))
    if " " not in alphabet:
        raise InputError("the text has no spaces, so no words begin in it; give one with words, or ask no questions")
    text = np.asarray(validation)
    piece = (context - EXAMPLES) // 5
    length = piece // 3
    places = _places(text, alphabet, before=piece - length, after=length)
    needed = max(count, EXAMPLES + OPTIONS)
    if places.size < needed:
        raise InputError(
            f"{count} questions need {needed} separate pieces of {piece} characters, in each of which a word begins; a "
            f"text of {text.size} characters has {places.size}: ask for fewer, or give a longer text"
        )
    pieces = text[places[:, None] + np.arange(length - piece, length)]
    endings = pieces[:, -length:]
    separator = alphabet.index("\n" if "\n" in alphabet else " ")

    rng = np.random.default_rng([seed, _STREAM])
    asked = rng.permutation(places.size)[:count]
    shown, offered = np.empty((count, EXAMPLES), np.int64), np.empty((count, OPTIONS), np.int64)
    answers = np.empty(count, np.int64)
    for row, one in enumerate(asked.tolist()):
        others = rng.permutation(places.size)
        others = others[others != one]
        shown[row] = others[:EXAMPLES]
        answers[row] = rng.integers(OPTIONS)
        offered[row] = np.insert(_different(endings, one, others[EXAMPLES:]), answers[row], one)
    separators = np.full((count, EXAMPLES, 1), separator, np.uint8)
    return Questions(
        np.concatenate([pieces[shown], separators], axis=-1), pieces[asked, :-length], endings[offered], answers
    )


def option_scores(
    log_probabilities: LogProbabilities, questions: Questions, *, examples: int
) -> Float[np.ndarray, "count 4"]:
    """Return ln p of each option, given the examples and the prefix: the sum over its q characters, float64.

    Raises
    ------
    InputError
        If there are not so many examples.
    """
    windows = questions.windows(examples)
    count, length = len(windows), questions.options.shape[-1]
    found = log_probabilities(windows.reshape(count * OPTIONS, -1))
    return found[:, -length:].sum(axis=1, dtype=np.float64).reshape(count, OPTIONS)


def answer_columns(log_probabilities: LogProbabilities, questions: Questions) -> dict[str, Any]:
    """Return how many questions a model answers rightly, as columns of a row.

    Returns
    -------
    `accuracy_0`, `accuracy_4`: the share answered rightly with 0 and 4 examples; `right_0`, `right_4`: 1 or 0 for each
    question. All are NaN where any score is not finite: what a broken network can still answer says nothing.
    """
    scores = np.stack([option_scores(log_probabilities, questions, examples=examples) for examples in SHOTS])
    right = (scores.argmax(axis=-1) == questions.answers).astype(int)
    if not np.isfinite(scores).all():
        right = np.full(right.shape, np.nan)
    columns = dict(zip(SHOTS, right, strict=True))
    return {f"accuracy_{examples}": float(one.mean()) for examples, one in columns.items()} | {
        f"right_{examples}": one.tolist() for examples, one in columns.items()
    }


def _places(text: np.ndarray, alphabet: str, *, before: int, after: int) -> Int64[np.ndarray, " places"]:
    """Return where words begin, `before` characters from the start and more from each other, `after` from the end."""
    blank = np.isin(text, [token for token, character in enumerate(alphabet) if character.isspace()])
    begins = np.flatnonzero((text[:-1] == alphabet.index(" ")) & ~blank[1:]) + 1
    found, free = list[int](), before
    for place in begins.tolist():
        if free <= place <= text.size - after:
            found.append(place)
            free = place + after + before
    return np.array(found, np.int64)


def _different(endings: np.ndarray, one: int, others: np.ndarray) -> list[int]:
    """Return the first three of `others` whose endings differ from that of `one` and from each other.

    Raises
    ------
    InputError
        If there are no such three.
    """
    seen, found = {endings[one].tobytes()}, list[int]()
    for other in map(int, others):
        if (ending := endings[other].tobytes()) not in seen:
            seen.add(ending)
            found.append(other)
            if len(found) == OPTIONS - 1:
                return found
    raise InputError(
        f"the text is too uniform: it has no {OPTIONS} different continuations of {endings.shape[1]} characters; give "
        "another text, or a longer context"
    )
