"""The rules of 4.2-powers, 4.2-steps and 4.2-any on losses whose exponents are known."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from proofs_numeric import thm_4_2_powers
from proofs_numeric.data import Data
from tests.proofs_numeric.values import value

WIDTHS = (64, 256, 1024)
STUDIES = {
    "pairs-lambda": ("lambda_min", (0.02, 0.1, 0.5)),
    "pairs-dims": ("dim", (8, 32, 128)),
    "pairs-points": ("n_train", (2, 8, 32)),
}


def pairs(powers, *, slope=-1.0, late=0, time=-1.0, delta=-0.5):
    """Losses (width needed/m)^-slope, with m needed ~ x^power in each variable; blocks that scatter as delta asks."""
    rng = np.random.default_rng(0)
    frames = {}
    for study, (x, values) in STUDIES.items():
        found = []
        for place, width, seed in itertools.product(values, WIDTHS, range(6)):
            needed = 100 * (place / values[1]) ** powers[x]
            row: dict[str, Any] = {"lambda_min": 0.1, "dim": 32, "n_train": 8} | {x: place}
            row |= {"angle": 0.8 if place == values[1] else 1.0, "width": width, "seed": seed, "eps": 0.01}
            row |= {"level": 0.01 * (width / needed) ** slope * (1 + 0.02 * rng.standard_normal()), "loss_start": 4.0}
            row |= {"learning_rate": 0.1, "hundredth": 50 * row["lambda_min"] ** time * (1 + rng.normal(0, 0.01))}
            found.append(row)
        frames[study] = pd.DataFrame(found)
    # L = (1/m) u^power with u uniform, the same for a seed at every width: the (1 - delta)-quantile is delta^power/m
    many = list(itertools.product(WIDTHS, range(160)))
    uniform = rng.random(160)
    levels = [uniform[seed] ** delta / width for width, seed in many]
    frames["pairs-delta"] = pd.DataFrame({"width": [m for m, _ in many], "seed": [s for _, s in many], "level": levels})
    ends = np.where(np.arange(48) < late, 0.02, 0.001)
    about = {"eps": 0.01, "delta": 0.1, "steps_taken": 1000, "width": 256, "n_train": 2, "dim": 8}
    frames["pairs-rate"] = pd.DataFrame({"seed": range(48), "loss_end": ends}).assign(**about)
    return Data(Path("nowhere"), frames=frames)


FLOOR_LAW = {"lambda_min": 0.0, "dim": -1.0, "n_train": 2.0}


def test_the_floor_law_lies_within_the_theorem_and_its_exponents_are_found():
    found = thm_4_2_powers.evidence(pairs(FLOOR_LAW))
    assert thm_4_2_powers.CLAIM.judge(found).outcome == "supported"
    # 2 % of noise in each loss, over factors of 16 and more in the variable
    for name, expected in {"lambda": 0, "n": 2, "d": -1, "eps": -1}.items():
        assert value(found, f"width.{name}") == pytest.approx(expected, abs=0.05)
    # quantiles of blocks of 20 scatter by a quarter
    assert value(found, "width.delta") == pytest.approx(-0.5, abs=0.25)


@pytest.mark.parametrize(("x", "power"), [("lambda_min", -9.0), ("dim", 9.0), ("n_train", 13.0)])
def test_a_width_that_grows_faster_than_the_theorems_refutes_it(x, power):
    judged = thm_4_2_powers.CLAIM.judge(thm_4_2_powers.evidence(pairs(FLOOR_LAW | {x: power})))
    assert judged.outcome == "refuted"
    assert [one.measure for one in judged.findings if one.outcome == "refuted"] == [f"width.{thm_4_2_powers._NAMES[x]}"]


def test_tails_heavier_than_the_theorem_allows_and_slow_falls_refute_it():
    heavy = thm_4_2_powers.CLAIM.judge(thm_4_2_powers.evidence(pairs(FLOOR_LAW, delta=-8.0)))
    assert "width.delta" in [one.measure for one in heavy.findings if one.outcome == "refuted"]
    slow = thm_4_2_powers.CLAIM.judge(thm_4_2_powers.evidence(pairs(FLOOR_LAW, slope=-0.1)))
    assert "width.eps" in [one.measure for one in slow.findings if one.outcome == "refuted"]
    rising = thm_4_2_powers.CLAIM.judge(thm_4_2_powers.evidence(pairs(FLOOR_LAW, slope=0.3)))
    assert "slope" in [one.measure for one in rising.findings if one.outcome == "refuted"]


def test_late_networks_and_slow_ones_refute_the_steps():
    def outcomes(**settings):
        judged = thm_4_2_powers.STEPS.judge(thm_4_2_powers.steps_evidence(pairs(FLOOR_LAW, **settings)))
        return [one.outcome for one in judged.findings]

    assert outcomes() == ["supported", "supported"]
    assert outcomes(late=15) == ["refuted", "supported"]  # 31 % against 10 %
    assert outcomes(late=4) == ["inconclusive", "supported"]
    assert outcomes(time=-1.5) == ["supported", "refuted"]


def sweep(exponents):
    rng = np.random.default_rng(1)
    rows = []
    for task, width, seed in itertools.product(exponents, WIDTHS, range(5)):
        power = exponents[task]
        end = 1e-2 * (width / 64) ** power * (1 + 0.02 * rng.standard_normal())
        about: dict[str, Any] = {
            "task": task,
            "dim": 32,
            "n_train": 32,
            "width": width,
            "precision": "one_bit",
            "init": "iid",
        }
        about |= {"scale": "std", "kappa": 1.0, "seed": seed, "eta": 0.5, "eta_rel": 0.5, "diverged": False}
        for step, loss in enumerate((16.0, 1.0, end)):
            rows.append(about | {"key": f"{task} {width} {seed}", "step": step, "loss": loss})
    return Data(Path("nowhere"), frames={"loss-widths": pd.DataFrame(rows)})


def test_one_data_set_whose_loss_hardly_falls_refutes_any_loss():
    every = dict.fromkeys(thm_4_2_powers._TASKS, -1.0)
    assert thm_4_2_powers.ANY.judge(thm_4_2_powers.any_evidence(sweep(every))).outcome == "supported"
    judged = thm_4_2_powers.ANY.judge(thm_4_2_powers.any_evidence(sweep(every | {"digits": -0.1})))
    assert [one.measure for one in judged.findings if one.outcome == "refuted"] == ["loss.m.digits"]
