from __future__ import annotations

import math

import numpy as np
import pytest

from ntk1bit.claims import Count, Evidence, Exponent, FailureCount, IntervalEstimate, Level, Ratio
from ntk1bit.claims.run_criterion import PAIR
from ntk1bit.errors import InputError
from ntk1bit.estimators import drift
from ntk1bit.estimators.network_values import at_moment
from ntk1bit.experiments import SweepSpec, open_run
from ntk1bit.statistics import geometric_interval

from ..estimators.frames import run_frame

IID = {"precision": "one_bit", "init": "iid"}
SPEC = SweepSpec(tasks=("sphere-linear",), widths=(64, 128, 256, 512, 1024, 2048), seeds=(0, 1, 2, 3, 4), steps=100)


def answer(criterion, frame, spec=SPEC):
    found = criterion.answer(frame, "x", "run", spec)
    evidence = Evidence(() if found.measure is None else (found.measure,))
    return found, criterion.criterion("x", spec).judge(evidence, criterion.sentence)


def of_size(power: float, noise: float = 0.05):
    """Return the cell of networks whose loss is m^power with noise of this size in its logarithm."""

    def cell(width, seed, precision, rng):
        factor = 2.0 if precision == "one_bit" else 1.0
        return {"loss": factor * width**power * np.exp(noise * rng.standard_normal()) * np.ones(101)}

    return cell


def test_an_exponent_is_the_estimators(sweep):
    folder, spec = sweep
    frame = open_run(folder).frame()
    found = Exponent("drift", at="largest", where=IID, high=-0.1).answer(frame, "x", "run", spec)
    expected = next(o for o in drift(frame) if o.settings["init"] == "iid" and o.settings["precision"] == "one_bit")
    assert isinstance(found.measure, IntervalEstimate)
    assert (found.measure.value, found.measure.low, found.measure.high) == expected.power.exponent_interval
    assert found.law["amplitude"] == expected.power.amplitude
    assert found.precision == "one_bit"


@pytest.mark.parametrize(("high", "outcome"), [(-0.3, "supported"), (-0.7, "refuted"), (-0.5, "inconclusive")])
def test_a_known_exponent_is_judged_as_it_is(high, outcome):
    # six widths over a factor of 32 and five seeds: an interval of about +-0.01
    criterion = Exponent("loss", at="end", where={"precision": "full"}, high=high)
    assert answer(criterion, run_frame(of_size(-0.5)))[1].outcome == outcome


def test_a_level_is_that_of_its_width_and_by_default_of_the_largest():
    frame = run_frame(of_size(-0.5))
    for width, expected in ((0, 2048), (128, 128)):
        found, finding = answer(Level("loss", where={"precision": "full"}, high=1.0, width=width), frame)
        assert isinstance(found.measure, IntervalEstimate)
        assert found.measure.value == pytest.approx(expected**-0.5, rel=0.1)  # noise of 0.05/sqrt(5)
        assert found.measure.span == f"m = {expected}"
        assert finding.outcome == "supported"


def test_a_width_that_was_left_out_is_not_replaced_by_another():
    def cell(width, seed, precision, rng):
        count = 41 if (width, seed) == (2048, 0) else 101
        return {"loss": np.ones(count)}

    found, finding = answer(Level("loss", where={"precision": "full"}, high=2.0), run_frame(cell))
    assert isinstance(found.measure, IntervalEstimate)
    assert math.isnan(found.measure.value)
    assert finding.outcome == "inconclusive"
    assert "no value at m = 2048" in finding.why
    assert "diverged" in finding.why


def test_a_ratio_is_over_pairs_of_seeds():
    frame = run_frame(of_size(-0.5))
    criterion = Ratio("loss", of={"precision": "one_bit"}, over={"precision": "full"}, low=1.5, high=2.5)
    found, finding = answer(criterion, frame)
    sides = {one.settings["precision"]: np.asarray(one.values[2048]) for one in at_moment(frame, "loss", "end")}
    assert isinstance(found.measure, IntervalEstimate)
    expected = geometric_interval(sides["one_bit"] / sides["full"])
    assert (found.measure.value, found.measure.low, found.measure.high) == pytest.approx(expected, rel=1e-12)
    assert (finding.outcome, found.precision) == ("supported", PAIR)


def test_failures_are_counted_at_every_width_and_networks_that_diverged_fail():
    def cell(width, seed, precision, rng):
        count = 41 if (width, seed) == (64, 0) else 101
        return {"loss": np.full(count, 2.0 if (width, seed) in ((128, 1), (128, 2), (256, 3)) else 1.0)}

    frame = run_frame(cell, precisions=("full",))
    full = SweepSpec(**{**SPEC.as_dict(), "precisions": ("full",)})
    none, finding = answer(FailureCount("loss", above=1.5), frame, full)
    assert isinstance(none.measure, Count)
    assert (none.measure.failures, none.measure.trials) == (4, 30)
    assert none.measure.settings == ((1, 5), (2, 5), (1, 5), (0, 5), (0, 5), (0, 5))
    assert "1 of the failures are networks that diverged" in none.measure.note
    assert finding.outcome == "refuted"
    others = answer(FailureCount("loss", below=1.5), frame, full)[0].measure
    assert isinstance(others, Count)
    assert others.failures == 30 - 3
    rate = answer(FailureCount("loss", above=1.5, rate=0.9), frame, full)[1]
    assert rate.outcome == "supported" or "too few trials" in rate.why


def test_networks_that_never_get_there_are_no_trials():
    def cell(width, seed, precision, rng):
        return {"loss": np.exp(-(0.001 if seed == 0 else 0.1) * np.arange(101))}

    frame = run_frame(cell, precisions=("full",))
    full = SweepSpec(**{**SPEC.as_dict(), "precisions": ("full",)})
    found, finding = answer(FailureCount("step", at="loss 0.1", above=50.0), frame, full)
    assert isinstance(found.measure, Count)
    assert (found.measure.failures, found.measure.trials) == (0, 24)
    assert "6 of 30 networks have no value" in found.measure.note
    assert (finding.outcome, "needs 30 trials" in finding.why) == ("inconclusive", True)
    nothing, finding = answer(FailureCount("step", at="loss 1e-9", above=50.0), frame, full)
    assert (nothing.measure, finding.outcome) == (None, "inconclusive")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Exponent("drfit", high=0), "did you mean 'drift'"),
        (lambda: Exponent("drift", at="always", high=0), "write one of"),
        (lambda: Exponent("drift", where={"precison": "full"}, high=0), "did you mean 'precision'"),
        (lambda: Exponent("drift", where={"precision": ["full"]}, high=0), "must be one value"),
        (lambda: Exponent("drift", where="full", high=0), "must be a table"),  # pyright: ignore[reportArgumentType]
        (lambda: Exponent("drift"), "give low, high or both"),
        (lambda: Exponent("drift", low=1, high=0), "low < high"),
        (lambda: Exponent("drift", high="1"), "high must be a number"),  # pyright: ignore[reportArgumentType]
        (lambda: Exponent("drift", high=0, seeds=0), "seeds"),
        (lambda: Exponent("c3", high=0), "either sign"),
        (lambda: Ratio("c3", of={"init": "iid"}, over={"init": "paired"}, high=1), "either sign"),
        (lambda: Ratio("drift", high=1), "'of' and 'over'"),
        (lambda: Level("gap", where={"precision": "full"}, high=1), "compares both precisions"),
        (lambda: FailureCount("drift"), "above, below or both"),
        (lambda: FailureCount("drift", above=1, below=2), "above > below"),
        (lambda: FailureCount("drift", above=1, rate=1), "rate from 0"),
    ],
)
def test_criteria_that_make_no_sense_are_refused_in_a_line(make, told):
    with pytest.raises(InputError, match=told) as problem:
        make()
    assert "\n" not in str(problem.value)


def test_what_a_finding_lacks_is_told_before_the_run():
    few = SweepSpec(tasks=("sphere-linear",), widths=(64, 128), seeds=(0, 1, 2))
    assert Exponent("drift", where=IID, high=0).short_of(few) == [
        "3 seeds, and a finding needs 5",
        "2 widths, and an exponent needs 3",
    ]
    assert Level("drift", where=IID, high=0, seeds=3).short_of(few) == []
    # without a failure in n trials the Clopper-Pearson interval ends at 1 - 0.025^(1/n): 0.1 takes 36 of them
    assert FailureCount("drift", where=IID, above=1, rate=0.1).short_of(few) == [
        "3 networks a width, and a rate of 0.1 needs 36"
    ]
    assert FailureCount("drift", where=IID, above=1).short_of(few) == []
