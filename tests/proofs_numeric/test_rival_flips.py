"""The rules of RIVAL-flips and RIVAL-inertia on trainings whose flips are known."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntk1bit.claims import IntervalEstimate
from ntk1bit.experiments.sign_reversals import WITHIN
from proofs_numeric.data import Data
from proofs_numeric.rival_flips import CLAIM, CLAIM_INERTIA, SETTINGS, evidence, evidence_inertia
from tests.proofs_numeric.values import value

WIDTHS = (256, 512, 1024, 2048, 4096)
TASKS = {"sphere16": ("sphere-random", 16), "sphere64": ("sphere-random", 64), "digits": ("digits", 0)}
GOOD = {"down": 0.4, "end": 0.8, "inertia": 0.9, "through_flips": 0.97}


def trainings(*, only="", narrow=None, power=0.0, frozen=0.3, lost=False, **means):
    """Eight data sets at each width, every share off by 0.01; the widest has these means, and `power` is theirs in m.

    With frozen activations all are `frozen` of it; only one setting differs from GOOD where `only` names it;
    the narrowest width has the means `narrow`.
    """
    rng = np.random.default_rng(0)
    rows = []
    for setting, width, held, seed in itertools.product(SETTINGS, WIDTHS, (False, True), range(8)):
        task, dim = TASKS[setting]
        chosen = GOOD | (means if only in ("", setting) else {}) | (narrow or {} if width == WIDTHS[0] else {})
        row = {"task": task, "dim": dim, "n_train": 32, "width": width, "seed": seed, "data_seed": seed, "frozen": held}
        for name, mean in chosen.items():
            factor = frozen if held else 1.0
            factor *= (width / WIDTHS[-1]) ** power if name in ("down", "end") else 1.0
            row[name] = mean * factor + 0.01 * rng.standard_normal()
        row |= {"end_next": row["end"] / 2, "down_rate": 1e-3, "end_rate": 1e-3, "twice": 1e-3, "loss_end": 1e-3}
        if lost and seed == 0 and width == WIDTHS[-1]:
            row |= dict.fromkeys(GOOD, np.nan)
        rows.append(row)
    return Data(Path("nowhere"), frames={"sign-reversals": pd.DataFrame(rows)})


def refuted(judged):
    return [one.measure for one in (*judged.findings, *judged.context) if one.outcome == "refuted"]


def estimate(found, measure):
    one = found.get(measure)
    assert isinstance(one, IntervalEstimate)
    return one


def test_most_flips_undone_support_and_few_refute():
    found = evidence(trainings())
    judged = CLAIM.judge(found)
    assert judged.outcome == "supported"
    assert [one.outcome for one in judged.context] == ["supported"] * 9
    for setting in SETTINGS:
        # means of 32 with noise 0.01: off by five standard errors, 0.009, once in a million
        assert value(found, f"end.{setting}") == pytest.approx(0.8, abs=0.009)
        assert value(found, f"next.{setting}") == pytest.approx(0.4, abs=0.009)
        assert value(found, f"down.{setting}") == pytest.approx(0.4, abs=0.009)
        assert value(found, f"end_less_frozen.{setting}") == pytest.approx(0.56, abs=0.013)
        assert value(found, f"down_less_frozen.{setting}") == pytest.approx(0.28, abs=0.013)
        assert value(found, f"end.m.{setting}") == pytest.approx(0, abs=0.02)
    assert CLAIM.judge(evidence(trainings(end=0.3))).outcome == "refuted"
    assert CLAIM.judge(evidence(trainings(end=0.5))).outcome == "inconclusive"


def test_one_kind_of_data_refutes_and_is_named():
    judged = CLAIM.judge(evidence(trainings(only="sphere64", end=0.4)))
    assert judged.outcome == "refuted"
    assert refuted(judged) == ["end.sphere64"]


def test_narrow_networks_decide_nothing():
    found = evidence(trainings(narrow={"end": 0.0}))
    assert CLAIM.judge(found).outcome == "supported"
    assert estimate(found, "end.digits").span == "m = 512..4096"


def test_context_says_how_shares_go_with_width_and_with_frozen_activations():
    judged = CLAIM.judge(evidence(trainings(power=-0.1)))
    assert judged.outcome == "supported"
    assert refuted(judged) == [f"end.m.{setting}" for setting in SETTINGS]
    judged = CLAIM.judge(evidence(trainings(frozen=1.2)))
    assert refuted(judged) == [f"{name}_less_frozen.{setting}" for name in ("down", "end") for setting in SETTINGS]


@pytest.mark.parametrize(
    ("means", "measure"),
    [({"inertia": 0.4}, "inertia"), ({"through_flips": 0.8}, "through"), ({"through_flips": 1.2}, "through")],
)
def test_inertia_needs_small_latents_and_a_change_through_flips(means, measure):
    assert CLAIM_INERTIA.judge(evidence_inertia(trainings())).outcome == "supported"
    judged = CLAIM_INERTIA.judge(evidence_inertia(trainings(only="digits", **means)))
    assert judged.outcome == "refuted"
    assert refuted(judged) == [f"{measure}.digits"]


def test_a_training_that_diverged_leaves_its_data_set_out():
    found = evidence(trainings(lost=True))
    one = estimate(found, "end.digits")
    assert one.seeds == 7
    assert "1 of 8" in one.note
    assert one.units == "data sets, each with its networks"


def test_the_statement_says_what_is_counted():
    assert WITHIN == 10
    assert "ten steps" in CLAIM.statement


def test_the_table_says_what_flips_without_memory_would_do():
    table = evidence(trainings()).tables["flips"]
    assert len(table) == 3 * 2 * len(WIDTHS)
    assert table["end_without_memory"].to_numpy() == pytest.approx(1 - 0.999**10)
