"""Steps of D25's proofs, counted by loops and with made-up counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ntk1bit.claims import Count, IntervalEstimate, Number
from proofs_numeric import proof_steps
from proofs_numeric.data import Data
from proofs_numeric.proof_steps import CLAIM, evidence

HOLDS = {"w": 0.0, "u": 0.0, "w largest": 1.0, "u largest": 1.0, "flips": 0.0, "c3": 0.01, "start": 0.9}
NO_DATA = Data(Path())


def judged(monkeypatch, **changes: float) -> dict[str, str]:
    """Return the outcome of each criterion when each network is found to be so; C3 has some noise."""
    noise = np.random.default_rng(3).standard_normal(20) / 100

    def one_step(seed: int) -> dict[str, float]:
        found = HOLDS | changes
        return found | {"c3": found["c3"] + float(noise[seed])}

    monkeypatch.setattr(proof_steps, "_one_step", one_step)
    return {one.measure: one.outcome for one in CLAIM.judge(evidence(NO_DATA)).findings}


def test_steps_that_hold_are_supported(monkeypatch):
    assert set(judged(monkeypatch).values()) == {"supported"}


@pytest.mark.parametrize(
    ("changes", "measure"),
    [
        ({"w": 1.0}, "lipschitz.w"),
        ({"u": 1.0}, "lipschitz.u"),
        ({"flips": 1.0}, "markov"),
        ({"c3": 0.2}, "c3.mean"),
        ({"c3": -0.2}, "c3.mean"),
        ({"start": 1.1}, "start"),
    ],
)
def test_each_step_fails_by_itself(monkeypatch, changes, measure):
    found = judged(monkeypatch, **changes)
    assert [name for name, outcome in found.items() if outcome != "supported"] == [measure]
    assert found[measure] == "refuted"


def test_so_many_flips_that_the_mean_is_large_do_not_count_against_markov(monkeypatch):
    share = 0.05  # of signs: 1/delta times the mean move is 2 at 0.05
    flips = share * proof_steps._WIDTH * proof_steps._DIM
    assert judged(monkeypatch, flips=flips)["markov"] == "supported"
    assert judged(monkeypatch, flips=0.9 * flips)["markov"] == "refuted"


def test_counts_are_those_of_loops(monkeypatch):
    monkeypatch.setattr(proof_steps, "_WIDTH", 40)
    monkeypatch.setattr(proof_steps, "_DIM", 5)
    monkeypatch.setattr(proof_steps, "_POINTS", 6)
    monkeypatch.setattr(proof_steps, "_RATE", 1.5)  # so that some neurons switch
    taken: list[np.ndarray] = []
    parts = proof_steps._parts

    def watched(w, x):
        taken.extend((w, x))
        return parts(w, x)

    monkeypatch.setattr(proof_steps, "_parts", watched)
    found = proof_steps._one_step(4)
    before, x, after, _ = taken
    expected = {"w": 0, "u": 0}
    for one, other in zip(before, after, strict=True):
        for point in x:
            values = {}
            for name, w in (("before", one), ("after", other)):
                c = w - w.mean()
                signs = np.where(c >= 0, 1.0, -1.0)
                z = np.sqrt((c**2).mean()) * (signs @ point) + w.mean() * point.sum()
                values[name] = {"w": w @ point, "u": z - w @ point, "active": z >= 0}
            for part in expected:
                gated = abs(
                    values["after"]["active"] * values["after"][part]
                    - values["before"]["active"] * values["before"][part]
                )
                expected[part] += gated > abs(values["after"][part] - values["before"][part]) + 1e-12
    assert {part: found[part] for part in expected} == expected
    assert expected["w"] > 0
    assert found["flips"] > 0


def test_d25s_steps_do_not_hold():
    """The verdict of the page; C3 is near 1 - c = 0.2 (`c1b_terms`)."""
    found = evidence(NO_DATA)
    outcomes = {one.measure: one.outcome for one in CLAIM.judge(found).findings}
    assert {outcomes[name] for name in ("lipschitz.w", "lipschitz.u", "markov", "c3.mean", "start")} == {"refuted"}
    mean, count, largest = (found.get(name) for name in ("c3.mean", "lipschitz.w", "lipschitz.w.largest"))
    assert isinstance(mean, IntervalEstimate)
    assert mean.low < 0.25 < mean.high
    assert isinstance(count, Count)
    assert 0 < count.failures < 0.02 * count.trials  # those that switch
    assert isinstance(largest, Number)
    assert largest.value > 100
