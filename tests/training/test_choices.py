from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.data import text
from ntk1bit.data.choices import CHANCE, questions
from ntk1bit.errors import InputError
from ntk1bit.networks.bitlinear_form import W23
from ntk1bit.networks.transformer import Transformer, transformer
from ntk1bit.networks.transformer_shape import Arm, Shape
from ntk1bit.training.choices import choice_columns


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return text.load("pydoc", cache=tmp_path_factory.mktemp("cache"))


def network(corpus, arm: Arm = "full", **settings):
    return transformer(Shape(1, 16, 2, corpus.vocabulary, 64), arm=arm, seed=1, **settings)


@pytest.mark.parametrize("arm", ["full", "bitnet"])
def test_against_one_option_at_a_time(corpus, arm):
    asked = questions(corpus.validation, corpus.alphabet, context=64, count=21)  # 84 windows fill no whole calls
    model = network(corpus, arm, form=W23.at_inference())
    columns = choice_columns(model, asked)
    logits_of = eqx.filter_jit(model)
    for examples in (0, 4):
        scores = np.zeros((21, 4))
        for row in range(21):
            for place, option in enumerate(asked.options[row]):
                before = np.concatenate([*asked.examples[row][:examples], asked.prefixes[row]])
                read = np.concatenate([before, option])
                logits = np.asarray(logits_of(jnp.asarray(read[None], jnp.int32)))[0].astype(np.float64)
                for at in range(before.size, read.size):
                    of_next = logits[at - 1]
                    scores[row, place] += of_next[read[at]] - np.log(np.exp(of_next).sum())
        best = np.sort(scores, axis=1)
        # a batch of another size adds up in another order: a few epsilon of float32, 1e-7, in logits of size 1.
        # Questions decided by less than 1e-4 say nothing here; most are decided by far more.
        decided = best[:, 3] - best[:, 2] > 1e-4
        assert decided.sum() >= 18
        right = (scores.argmax(axis=1) == asked.answers).astype(int)
        found = np.array(columns[f"right_{examples}"])
        np.testing.assert_array_equal(found[decided], right[decided])
        assert columns[f"accuracy_{examples}"] == found.mean()
        assert 0 < right.sum() < 21


def test_an_untrained_network_answers_by_chance(corpus):
    asked = questions(corpus.validation, corpus.alphabet, context=64, count=400)
    columns = choice_columns(network(corpus), asked)
    four_errors = 4 * (CHANCE * (1 - CHANCE) / 400) ** 0.5  # of a share of 400 independent answers
    assert columns["accuracy_0"] == pytest.approx(CHANCE, abs=four_errors)
    assert columns["accuracy_4"] == pytest.approx(CHANCE, abs=four_errors)
    assert set(columns["right_0"]) == set(columns["right_4"]) == {0, 1}


def test_a_network_that_finds_all_alike_takes_the_first(corpus):
    asked = questions(corpus.validation, corpus.alphabet, context=64, count=30)
    model = network(corpus)
    columns = choice_columns(eqx.tree_at(lambda one: one.embedding, model, jnp.zeros_like(model.embedding)), asked)
    assert columns["right_0"] == columns["right_4"] == (asked.answers == 0).astype(int).tolist()


def test_infinite_logits_give_no_number(corpus):
    asked = questions(corpus.validation, corpus.alphabet, context=64, count=3)
    model = network(corpus)
    broken = Transformer(model.embedding * np.inf, model.blocks, model.norm, model.head)
    columns = choice_columns(broken, asked)
    assert np.isnan([columns["accuracy_0"], columns["accuracy_4"], *columns["right_0"], *columns["right_4"]]).all()


def test_a_network_that_sees_what_it_is_to_predict_is_refused(corpus):
    asked = questions(corpus.validation, corpus.alphabet, context=64, count=3)
    with pytest.raises(InputError, match="as at inference"):
        choice_columns(network(corpus, "bitnet", form=W23), asked)


def test_characters_that_a_network_does_not_know(corpus):
    asked = questions(corpus.validation, corpus.alphabet, context=64, count=3)
    with pytest.raises(InputError, match="outside a vocabulary of 5"):
        choice_columns(transformer(Shape(1, 8, 1, 5, 64), arm="full"), asked)
