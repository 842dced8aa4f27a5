"""The evidence of C10-flips on made-up counts of signs, so that each rule is seen to hold and to fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from proofs_numeric import c10_flips
from proofs_numeric.data import Data

SEEDS = range(5)


def judged(data: Data) -> Any:
    evidence = c10_flips.evidence(data)
    return c10_flips.CLAIM.judge(evidence), evidence


def flips(*, most: float = 0.005, early: float = 0.5, power: float = 0.8, lost: bool = False) -> Data:
    """Return counts of signs: `most` of the weights at the full rate 0.004, `early` of that per rate at first.

    A run of 200 steps: the rate rises over 10 steps from 0, then falls to 0.
    """
    rng = np.random.default_rng(0)
    steps = np.arange(200)
    schedule = np.minimum(steps / 10, (200 - steps) / 190)
    rows = []
    for rate in (0.001, 0.004, 0.016):
        for seed in SEEDS:
            level = most * (rate / 0.004) ** power * np.exp(1e-3 * rng.standard_normal())
            share = level * schedule * np.where(steps < 20, early, 1.0)
            if lost and rate == 0.004 and seed == 1:
                share = np.where(steps > 100, np.nan, share)
            about = {"step": steps, "rate": rate, "seed": seed, "share": share, "learning_rate": rate * schedule}
            rows.append(pd.DataFrame(about))
    return Data(Path("nowhere"), frames={"bitnet-flips": pd.concat(rows, ignore_index=True)})


def test_few_signs_change_and_fewer_early_support():
    verdict, evidence = judged(flips())
    assert verdict.outcome == "supported"
    steps = np.arange(200)
    schedule = np.minimum(steps / 10, (200 - steps) / 190)
    mean = 0.005 * float((schedule * np.where(steps < 20, 0.5, 1.0)).mean())
    # five seeds with noise of 1e-3: their mean is off by five standard errors, 2.2e-3, once in a million
    assert evidence.get("share").value == pytest.approx(mean, rel=2.5e-3)
    assert evidence.get("early_minus_rest").value == pytest.approx(-0.5 * 0.005 / 0.004, rel=2.5e-3)
    found = evidence.get("share.rate")
    assert found.low <= 0.8 <= found.high or found.value == pytest.approx(0.8, abs=2e-3)  # likewise, over 4 octaves
    table = evidence.tables["shares by tenth of the run"]
    assert len(table) == 3 * 10
    first = table.loc[(table["rate"] == 0.004) & (table["tenth"] == 1)]
    assert float(first["learning_rate"].iloc[0]) == pytest.approx(0.004 * float(schedule[:20].mean()))


@pytest.mark.parametrize(
    ("settings", "label"),
    [
        ({"most": 0.03}, "share of the 1-bit weights"),
        ({"early": 2.0}, "share for each unit of learning rate"),
    ],
)
def test_many_signs_or_more_of_them_early_refute(settings, label):
    verdict, _ = judged(flips(**settings))
    assert verdict.outcome == "refuted"
    assert verdict.reason.startswith(label)
    assert ";" not in verdict.reason.split("]")[1]  # by this finding alone


def test_a_network_that_diverged_has_no_share():
    verdict, evidence = judged(flips(lost=True))
    assert verdict.outcome == "inconclusive"
    assert evidence.get("share").seeds == 4
