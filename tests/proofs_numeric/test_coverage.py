from __future__ import annotations

import re

import numpy as np
import pytest

from proofs_numeric import coverage
from proofs_numeric.coverage import Case, Outcome, cases, judged, line, main, rows, simulate
from proofs_numeric.page import ROOT

SLOW = ("floor exponent", "fit,", "width needed")  # tenths of a second a study


def test_an_interval_is_held_against_the_truth():
    assert judged((0.0, -1.0, 1.0), 0.5) == Outcome(True, False, False)
    assert judged((0.0, -1.0, 1.0), 2.0) == Outcome(True, True, False)
    assert judged((0.0, -1.0, 1.0), -2.0) == Outcome(True, False, True)
    assert judged((0.0, np.nan, np.nan), 0.0) == Outcome(False, False, False)


def test_shares_are_of_intervals_given_and_those_of_a_rule_of_all_studies():
    kinds = [Outcome(True, True, False), Outcome(True, False, False), Outcome(False, False, False)]

    def study(rng):
        return kinds[int(rng.integers(3))]

    found = simulate(Case("made", 3, study), 300)
    ruled = simulate(Case("made", 3, study, rule=True), 300)
    assert found["coverage"] == pytest.approx(1 - found["low"])
    assert found["given"] == ruled["given"]
    assert ruled["low"] == pytest.approx(found["low"] * found["given"])
    assert np.isnan(ruled["coverage"])
    assert simulate(Case("made", 3, study), 300) == found  # the same draws every time


@pytest.mark.parametrize("case", [c for c in cases() if not c.name.startswith(SLOW)], ids=lambda c: f"{c.name} {c.k}")
def test_every_row_can_be_simulated(case):
    outcome = case.study(np.random.default_rng(0))
    assert not (outcome.below and outcome.above)
    assert outcome.given or not (outcome.below or outcome.above) or case.rule


def test_one_seed_and_two_widths_have_no_interval():
    rng = np.random.default_rng(0)
    assert not coverage.power(rng, k=1, noise=0.2).given
    assert not coverage.few_widths(rng, 5, (0, 8)).given


def test_the_documented_table_has_every_row():
    text = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*?) \| (\d+) \| [\d.]*", text.partition("<!-- coverage -->")[2], flags=re.MULTILINE)
    assert rows == [(case.name, str(case.k)) for case in cases()]


@pytest.mark.slow
def test_the_command_simulates_in_processes():
    chosen = [case for case in cases() if case.name.startswith("mean difference")]
    found = list(rows(chosen, 20, jobs=2))
    assert [row["k"] for row in found] == [2, 3, 5, 8]
    assert found == [simulate(case, 20) for case in chosen]
    assert all(line(row).count("|") == 7 for row in found)


@pytest.mark.parametrize("wrong", [["--only", "no such row"], ["--studies", "0"], ["--jobs", "0"]])
def test_what_cannot_be_simulated_is_refused_in_one_line(wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(wrong)
    assert "error: " in capsys.readouterr().err.splitlines()[-1]
