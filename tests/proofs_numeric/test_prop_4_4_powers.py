"""The rules of 4.4-powers on layers whose width needed is known."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from proofs_numeric import prop_4_4_powers
from proofs_numeric.data import Data
from tests.proofs_numeric.values import value

FLOOR_LAW = {"sequences": 2.0, "positions": 2.0, "dim": -1.0, "lambda_min": 0.0}


def layers(powers, *, slope=-1.0):
    rng = np.random.default_rng(0)
    base = {"sequences": 4, "positions": 4, "dim": 16}
    settings = {tuple((base | {x: value * k}).items()) for x, value in base.items() for k in (1, 2, 4)}
    rows = []
    for setting, seed in itertools.product(sorted(settings), range(16)):
        one = dict(setting)
        lowest = 0.05 * np.exp(0.5 * rng.standard_normal())
        needed = 30 * (lowest / 0.05) ** powers["lambda_min"]
        needed *= np.prod([(one[x] / base[x]) ** powers[x] for x in base])
        for width in (64, 256, 1024):
            level = 0.1 * (width / needed) ** slope * (1 + 0.05 * rng.standard_normal())
            about = {"width": width, "seed": seed, "level": level, "lambda_min": lowest, "diverged": False}
            rows += [one | about | {"step": step} for step in (0, 1)]
    return Data(Path("nowhere"), frames={"feed-forward-powers": pd.DataFrame(rows)})


def test_the_floor_law_lies_within_the_proposition():
    found = prop_4_4_powers.evidence(layers(FLOOR_LAW))
    assert prop_4_4_powers.CLAIM.judge(found).outcome == "supported"
    # losses within 5 %, fitted over a factor 16 of width and 4 of the variable, 16 draws
    for name, expected in {"n": 2, "k": 2, "d": -1, "lambda": 0}.items():
        assert value(found, f"width.{name}") == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(
    ("x", "power", "measure"),
    [
        ("sequences", 20.0, "scaled.n"),
        ("positions", 20.0, "scaled.k"),
        ("dim", 30.0, "scaled.d"),
        ("lambda_min", -12.0, "width.lambda"),
    ],
)
def test_a_width_that_grows_faster_than_the_propositions_refutes_it(x, power, measure):
    judged = prop_4_4_powers.CLAIM.judge(prop_4_4_powers.evidence(layers(FLOOR_LAW | {x: power})))
    assert measure in [one.measure for one in judged.findings if one.outcome == "refuted"]


def test_losses_that_rise_with_width_refute_it():
    judged = prop_4_4_powers.CLAIM.judge(prop_4_4_powers.evidence(layers(FLOOR_LAW, slope=0.2)))
    assert "slope" in [one.measure for one in judged.findings if one.outcome == "refuted"]
