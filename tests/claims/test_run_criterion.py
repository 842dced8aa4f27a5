from __future__ import annotations

import pytest

from ntk1bit.claims import Exponent, Level
from ntk1bit.errors import InputError
from ntk1bit.experiments import SweepSpec

SPEC = SweepSpec(
    tasks=("sphere-linear",),
    widths=(64, 128, 256),
    seeds=(0, 1),
    inits=("iid", "paired"),
    scales=("std", "absmean"),
    kappas=(1.0, 2.0),
    steps=100,
)
ONE = {"precision": "one_bit", "init": "iid", "scale": "std", "kappa": 1}


def test_settings_that_leave_one_group_answer():
    Exponent("drift", where=ONE, high=0).require_answerable(SPEC)
    Level("drift", where={"precision": "full", "init": "iid", "kappa": 2.0}, high=1, width=64).require_answerable(SPEC)
    Level("gap", where={"init": "iid", "kappa": 2, "scale": "absmean"}, high=1).require_answerable(SPEC)


@pytest.mark.parametrize(
    ("criterion", "told"),
    [
        (Exponent("drift", where={"init": "iid", "kappa": 1}, high=0), "precision takes several values"),
        (Exponent("drift", where={**ONE, "scale": "none"}, high=0), "together"),
        (Exponent("drift", where={**ONE, "init": "pared"}, high=0), "did you mean 'paired'"),
        (Exponent("drift", where={**ONE, "kappa": 3}, high=0), "kappa = 3; it has: 1.0, 2.0"),
        (Exponent("drift", where={"precision": "one_bit", "init": "iid", "kappa": 1}, high=0), "scale takes several"),
        (Level("drift", where=ONE, high=1, width=100), "at width 100; this sweep has: 64, 128, 256"),
        (Level("drift", where=ONE, high=1, at="step 70"), "recorded steps nearby"),
        (Level("loss", where=ONE, high=1, at="step 700"), "after the last step, 100"),
        (Level("gap", where={"init": "iid", "kappa": 1}, high=1), "scale takes several values"),
        (Level("from_h", where=ONE, high=1), "predictions = true"),
    ],
)
def test_a_sweep_that_cannot_answer_is_refused_before_it_runs(criterion, told):
    with pytest.raises(InputError, match=told) as problem:
        criterion.require_answerable(SPEC)
    assert "\n" not in str(problem.value)


def test_a_loss_is_there_at_every_step():
    Level("loss", where=ONE, high=1, at="step 70").require_answerable(SPEC)


def test_networks_are_counted_as_trials():
    assert Exponent("drift", where=ONE, high=0).networks(SPEC) == 6
    assert Level("gap", where={"init": "iid", "kappa": 2, "scale": "std"}, high=1).networks(SPEC) == 6


def test_ids_and_words_say_what_is_measured():
    criterion = Exponent("drift", at="step 64", where={"precision": "one_bit", "kappa": 2.0}, high=0)
    assert criterion.name == "drift.step_64.exponent"
    assert criterion.sentence == "exponent in m of drift (step 64, 1-bit, kappa = 2)"
    assert Exponent("drift", high=0, label="p").sentence == "p"
