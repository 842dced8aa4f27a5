"""The rules of C1-surrogates and C1-surrogates-size on distances that are known."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from ntk1bit.claims import IntervalEstimate
from ntk1bit.experiments.surrogate_kernels import PAIRS
from ntk1bit.kernels.surrogates import SLOPES
from proofs_numeric import c1_surrogates
from proofs_numeric.c1_surrogates import CLAIM, CLAIM_SIZE, SETTINGS, evidence, evidence_size
from proofs_numeric.data import Data
from tests.proofs_numeric.values import value

WIDTHS = (64, 256, 1024, 2048, 4096, 8192)
TASKS = {"sphere8": ("sphere-linear", 8), "sphere32": ("sphere-linear", 32), "sphere128": ("sphere-linear", 128)}


def kernels(*, largest="identity-tanh", share=0.7, only="", narrow=1.0, limit=-0.1, column="shape", steep=2.0):
    """Eight data sets; 1-bit to full precision is m^-1/2, the largest of three `share` of it, the others half of that.

    Every distance varies by 2 %; only one setting has that share where `only` names it, and the others 0.7; below
    m = 512 it is `narrow` times as much. In the limit, squares differ by `limit`. The other column is nonsense.
    """
    rng = np.random.default_rng(0)
    rows = []
    for setting, width, seed in itertools.product(SETTINGS, WIDTHS, range(8)):
        task, dim = TASKS.get(setting, ("digits", 0))
        for pair in ("-".join(one) for one in PAIRS):
            size = {"identity-full": 1.0, "identity-steep": steep, largest: share if only in ("", setting) else 0.7}
            factor = size.get(pair, share / 2) * (narrow if width < 512 and pair == largest else 1.0)
            there = factor * width**-0.5 * (1 + 0.02 * rng.standard_normal())
            limits = (0.2 if pair == "identity-full" else 0.2 + limit) + 0.01 * rng.standard_normal()
            other = "distance" if column == "shape" else "shape"
            rows.append(
                {"task": task, "dim": dim, "width": width, "seed": seed, "data_seed": seed, "pair": pair}
                | {column: there, f"limit_{column}": limits, other: math.nan, f"limit_{other}": math.nan}
            )
    return Data(Path("nowhere"), frames={"surrogates": pd.DataFrame(rows)})


def estimate(found, measure):
    one = found.get(measure)
    assert isinstance(one, IntervalEstimate)
    return one


def context(found):
    """Outcomes of the context findings on digits, in order: half as much, the limit, a steeper surrogate."""
    return [one.outcome for one in CLAIM.judge(found).context if one.measure.endswith("digits")]


@pytest.mark.parametrize(
    ("claim", "measure", "column"), [(CLAIM, evidence, "shape"), (CLAIM_SIZE, evidence_size, "distance")]
)
def test_smaller_distances_support_and_larger_ones_refute(claim, measure, column):
    found = measure(kernels(column=column))
    assert claim.judge(found).outcome == "supported"
    for setting in SETTINGS:
        # 32 logarithms with noise of 2.8 %: off by five standard errors, 2.5 %, once in a million
        assert value(found, f"ratio.{setting}") == pytest.approx(math.log(0.7), abs=0.025)
        assert value(found, f"limit.{setting}") == pytest.approx(-0.1, abs=0.03)  # 8 of noise 1.4 %
        assert value(found, f"steep.{setting}") == pytest.approx(math.log(2), abs=0.025)
        for name in ("choice", "quantising"):
            assert value(found, f"{name}.m.{setting}") == pytest.approx(-0.5, abs=0.05)
    assert claim.judge(measure(kernels(column=column, share=1.1))).outcome == "refuted"
    assert claim.judge(measure(kernels(column=column, share=1.0))).outcome == "inconclusive"


def test_one_kind_of_data_refutes_and_is_named():
    judged = CLAIM.judge(evidence(kernels(share=1.2, only="sphere32")))
    assert [one.measure for one in judged.findings if one.outcome == "refuted"] == ["ratio.sphere32"]
    assert judged.outcome == "refuted"


@pytest.mark.parametrize("pair", c1_surrogates._CHOICES)
def test_whichever_pair_lies_furthest_apart_counts(pair):
    assert CLAIM.judge(evidence(kernels(largest=pair, share=1.2))).outcome == "refuted"


def test_narrow_networks_decide_nothing():
    found = evidence(kernels(narrow=3.0))
    assert CLAIM.judge(found).outcome == "supported"
    assert estimate(found, "ratio.digits").span == "m = 1024..8192"


def test_context_says_whether_it_is_half_and_what_the_limit_and_a_steeper_surrogate_do():
    assert context(evidence(kernels(share=0.3, limit=0.1))) == ["supported", "refuted", "refuted"]
    assert context(evidence(kernels(share=0.7, steep=0.8))) == ["refuted", "supported", "supported"]


def test_seeds_are_data_sets_and_a_missing_width_is_not_made_up():
    found = evidence(kernels())
    one = estimate(found, "ratio.sphere8")
    assert (one.seeds, one.units) == (8, "data sets, each with its networks")
    assert estimate(found, "choice.m.sphere8").units == one.units
    few = kernels().frame("surrogates")
    few = Data(Path("nowhere"), frames={"surrogates": few.loc[few["seed"] < 4]})
    assert CLAIM.judge(evidence(few)).outcome == "inconclusive"


def mean(function):
    return integrate.quad(lambda u: function(u) * stats.norm.pdf(u), -12, 12, points=(-1, 1), limit=200)[0]


def slope(name, u):
    return float(SLOPES[name](np.array([[u]]))[0, 0])


def test_numbers_of_the_derivation():
    squares = {name: mean(lambda u, name=name: slope(name, u) ** 2) for name in SLOPES}
    assert squares["clipped"] == pytest.approx(0.683, abs=5e-4)
    assert squares["tanh"] == pytest.approx(0.464, abs=5e-4)
    assert (1 - squares["clipped"]) / squares["clipped"] ** 0.5 == pytest.approx(0.38, abs=5e-3)
    assert (1 - squares["tanh"]) / squares["tanh"] ** 0.5 == pytest.approx(0.79, abs=5e-3)
    changed = math.acos(math.sqrt(2 / math.pi)) / math.pi
    assert changed == pytest.approx(0.206, abs=5e-4)

    def ratio(one, other, d, n=64):
        v = mean(lambda u: (slope(one, u) ** 2 / squares[one] - slope(other, u) ** 2 / squares[other]) ** 2)
        between = v * (n**2 / (4 * d) + 3 * n / (2 * (d + 2)))
        return v, math.sqrt(between / ((1 - (1 - changed) ** 2) * n**2 / (2 * d) + changed * n))

    for pair, v in ((("identity", "clipped"), 0.47), (("identity", "tanh"), 0.58), (("clipped", "tanh"), 0.24)):
        assert ratio(*pair, 8)[0] == pytest.approx(v, abs=6e-3)
    for d, mild, steep in ((8, 0.86, 2.3), (32, 0.74, 2.0), (128, 0.52, 1.4)):
        assert ratio("identity", "tanh", d)[1] == pytest.approx(mild, abs=6e-3)
        assert ratio("identity", "steep", d)[1] == pytest.approx(steep, abs=6e-2)
