from __future__ import annotations

from typing import Any

import pytest

from ntk1bit.claims import Exponent, FailureCount, IntervalWithin, Level, RunClaim
from ntk1bit.claims.run_claim import CRITERIA_TABLE
from ntk1bit.errors import InputError
from ntk1bit.experiments import SweepSpec, open_run

IID = {"precision": "one_bit", "init": "iid"}


def claim(*criteria, **fields: Any) -> RunClaim:
    return RunClaim(**({"id": "mine", "title": "t", "statement": "s", "criteria": criteria} | fields))


def test_a_run_gives_a_verdict_with_tables_for_its_figure(sweep):
    folder, spec = sweep
    mine = claim(
        Exponent("drift", at="largest", where=IID, high=5.0),
        Level("drift", at="largest", where=IID, high=100.0),
        Level("drift", at="largest", where=IID, high=200.0, width=16),
        FailureCount("loss", at="start", where=IID, above=1e-9),
    )
    run = open_run(folder)
    verdict = mine.judge(run)
    assert [one.outcome for one in verdict.findings] == ["supported", "supported", "supported", "refuted"]
    assert verdict.outcome == "refuted"
    evidence = mine.evidence(run.frame(mine.columns), spec, "run")
    assert list(evidence.tables) == [CRITERIA_TABLE, *mine.names]
    assert len(set(mine.names)) == 4
    assert mine.names[2] == "drift.largest.level.2"
    assert list(evidence.tables[CRITERIA_TABLE]["criterion"]) == [*mine.names]
    assert "sphere-linear" in verdict.claim.assumptions
    assert "a single network with loss above 1e-09" in verdict.claim.refuted_by


def test_words_of_the_claim_are_kept():
    mine = claim(Exponent("drift", where=IID, high=0, label="p"), assumptions="none", refuted_by="a flat curve")
    made = mine.on(SweepSpec())
    assert (made.assumptions, made.refuted_by, made.rule) == ("none", "a flat curve", "p is at most 0")
    assert mine.on(None).rule == made.rule


def test_one_criterion_needs_no_tuple():
    one = Exponent("drift", high=0)
    assert RunClaim("a", "t", "s", one).criteria == (one,)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"id": " "}, "needs an id"),
        ({"id": "a\nb"}, "one line"),
        ({"title": 3}, "title of a claim must be text"),
        ({"criteria": ()}, "no criteria"),
        ({"criteria": (IntervalWithin("x", high=0),)}, "evidence\\(frame\\)"),
        ({"criteria": "drift"}, "got str"),
    ],
)
def test_a_claim_without_a_rule_is_refused(fields, told):
    with pytest.raises(InputError, match=told):
        claim(Exponent("drift", high=0), **fields)


def test_other_kinds_of_runs_and_unfinished_ones_are_refused(sweep, tmp_path):
    from ntk1bit.experiments import ExperimentList

    from ..reports.documents import small_run

    mine = claim(Exponent("drift", high=0))
    with pytest.raises(InputError, match="ntk1bit sweep"):
        mine.require_answerable(ExperimentList(()))
    with pytest.raises(InputError, match="criterion 1: 'where' must leave one group"):
        mine.require_answerable(sweep[1])
    small_run(tmp_path / "begun", finish=False, tasks=("sphere-linear",))
    with pytest.raises(InputError, match="is not finished"):
        claim(Exponent("drift", where=IID, high=0)).judge(open_run(tmp_path / "begun"))
