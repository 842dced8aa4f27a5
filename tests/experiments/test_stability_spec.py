from __future__ import annotations

import math
from dataclasses import fields, replace

import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.experiments import open_run, run_all
from ntk1bit.experiments.language import LanguageModel
from ntk1bit.experiments.language_run import language_run, ngram_losses
from ntk1bit.experiments.specification import read_specification
from ntk1bit.experiments.stability_spec import StabilitySpec, lost
from ntk1bit.experiments.store import Store

from ..stability_runs import MOST, SMALL, breaking_at, store_run

NETWORKS = [(arm, size, seed) for arm in SMALL.arms for size in SMALL.sizes for seed in SMALL.seeds]


def test_a_network_is_lost_above_the_unigram_model():
    assert not lost(2.0, 3.0)
    assert not lost(3.0, 3.0)
    assert all(lost(loss, 3.0) for loss in (math.nextafter(3.0, 4.0), math.nan, math.inf))


def test_rates_rise_until_every_seed_is_lost(tmp_path):
    """Each arm and size by itself: one seed that holds keeps the others in; no rate beyond the largest is tried."""
    tops = {
        ("full", "1x8", 0): -2, ("full", "1x8", 1): 1,
        ("full", "1x12", 0): 3, ("full", "1x12", 1): 2,
        ("bitnet", "1x8", 0): 2, ("bitnet", "1x8", 1): 2,
        ("bitnet", "1x12", 0): 9, ("bitnet", "1x12", 1): 1,
    }  # fmt: skip
    store_run(tmp_path / "run", SMALL, breaking_at({key: SMALL.rate_at(k) for key, k in tops.items()}))
    run = open_run(tmp_path / "run")
    run.require_whole()
    tried = {}
    for stage in run.stages:
        networks = [one for one in stage.experiments if isinstance(one, LanguageModel)]
        assert len(networks) == len(stage.experiments)
        tried[stage.name] = [(one.arm, f"{one.layers}x{one.width}", one.seed, one.rate) for one in networks]
    first = [(*one, SMALL.rate_at(k)) for one in NETWORKS for k in (-2, -1, 0, 1)]
    assert sorted(tried["stability 1"]) == sorted(first)
    goes_on = {2: {("full", "1x12"), ("bitnet", "1x8"), ("bitnet", "1x12")}, 3: {("full", "1x12"), ("bitnet", "1x12")}}
    goes_on[4] = {("bitnet", "1x12")}
    for k, pairs in goes_on.items():
        expected = [(arm, size, seed, SMALL.rate_at(k)) for arm, size, seed in NETWORKS if (arm, size) in pairs]
        assert sorted(tried[f"stability {k}"]) == sorted(expected)
    assert len(tried) == 4


def test_the_rule_is_that_of_the_unigram_model_of_the_text(tmp_path):
    spec = replace(SMALL, sizes=("1x8",), arms=("full",), seeds=(0,))
    unigram = ngram_losses(spec)["unigram"]
    for loss, stages in ((unigram, 4), (unigram + 1e-9, 1), (math.nan, 1)):
        store_run(tmp_path / str(loss), spec, lambda *_, loss=loss: loss)
        assert len(open_run(tmp_path / str(loss)).stages) == stages


def test_the_last_results_decide_nothing():
    """A failed network at the largest rate leaves the rest of the run complete."""
    stages = SMALL.stages()
    stage = next(stages)
    while stage.name != f"stability {SMALL.most}":
        frame = pd.DataFrame([one.as_dict() for one in stage.experiments]).assign(train_loss=1.0)
        stage = stages.send(lambda frame=frame: frame)

    def unread():
        raise AssertionError

    with pytest.raises(StopIteration):
        stages.send(unread)


def test_more_seeds_extend_a_run(tmp_path):
    """The rates follow from the losses of all seeds, old and new."""
    folder = tmp_path / "run"
    spec = replace(SMALL, sizes=("1x8",), arms=("full",))
    store_run(folder, spec, breaking_at({("full", "1x8", 0): 0.0, ("full", "1x8", 1): 0.0}))
    assert len(open_run(folder).stages) == 1
    more = replace(spec, seeds=(2,))
    both = Store(folder).check(more)
    assert both == replace(spec, seeds=(0, 1, 2))
    assert isinstance(both, StabilitySpec)
    at = {("full", "1x8", seed): rate for seed, rate in ((0, 0.0), (1, 0.0), (2, spec.rate_at(2)))}
    store_run(folder, both, breaking_at(at))
    assert [len(stage.experiments) for stage in open_run(folder).stages] == [3 * 4, 3]


def test_trained_networks_are_tried_and_read_back(tmp_path):
    """What was tried of real networks follows from their losses, and is not trained again."""
    spec = replace(SMALL, sizes=("1x8",), arms=("bitnet",), rate=0.01, rate_factor=100.0, lowest=0, most=3)
    outcome = run_all(spec, tmp_path / "run")
    assert (outcome.failed, outcome.notes) == (0, ())
    found = language_run(open_run(tmp_path / "run"))
    assert found.spec == spec
    assert set(found.frame["stage"]) == {"stability"}
    assert found.rates == {}
    parts = [(rate, part["train_loss"]) for rate, part in found.frame.groupby("rate")]
    assert [(rate, len(losses)) for rate, losses in parts] == [(spec.rate_at(k), 2) for k in range(len(parts))]
    unigram = ngram_losses(spec)["unigram"]
    holding = [not all(lost(loss, unigram) for loss in losses) for _, losses in parts]
    assert all(holding[1:-1])  # the first two rates are tried in any case
    assert len(parts) == 4 or not holding[-1]
    assert run_all(spec, tmp_path / "run").computed == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lowest": 2}, "lowest must be -64 to 1"),
        ({"most": 0}, "most 1 to 64"),
        ({"most": 10**400}, "most 1 to 64"),
        ({"lowest": -(2**80)}, "lowest must be -64 to 1"),
        ({"rate": 1e301, "rate_factor": 100.0}, "rates must be positive, finite"),
        ({"rate": 1e-300, "rate_factor": 100.0, "lowest": -60}, "rates must be positive, finite"),
        ({"rate_factor": 1 + 1e-9}, "differ in six digits"),
        ({"stability": (4.0,)}, "stability must be empty here"),
        ({"arms": ("full", "sign-ptq")}, "'sign-ptq' is not trained"),
        ({"sizes": ()}, "sizes is empty"),
    ],
)
def test_mistakes_are_told(settings, words):
    with pytest.raises(InputError, match=words) as told:
        replace(SMALL, **settings)
    assert "\n" not in str(told.value)


def test_a_specification_comes_back_from_its_file(tmp_path):
    Store(tmp_path).open(SMALL)
    assert read_specification(tmp_path / "spec.toml") == SMALL
    assert StabilitySpec.read(tmp_path / "spec.toml") == SMALL
    assert SMALL.differences(replace(SMALL, arms=("bitnet",), seeds=(7,), sizes=("1x16",))) == []
    assert SMALL.differences(replace(SMALL, most=7)) == ["most: 4 there, 7 asked for"]
    assert set(SMALL.summary) == {field.name for field in fields(SMALL)}
    assert SMALL.united(replace(SMALL, seeds=(7,))) == replace(SMALL, seeds=(0, 1, 7))


def test_seconds_are_those_of_the_rates_that_are_expected():
    cost = sum(SMALL.network(size, arm, 0.1, 0).cost for size in SMALL.shapes for arm in SMALL.arms)
    assert SMALL.seconds == pytest.approx(cost * 2 * 5)  # exponents -2 to 2
    assert replace(SMALL, most=1).seconds == pytest.approx(cost * 2 * 4)  # those of the first stage at least
    assert max(ngram_losses(SMALL).values()) < MOST  # of the made-up losses above
