"""The rule of C0 on distances that fall by a known exponent."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ntk1bit.statistics.jackknife import CROSSED
from proofs_numeric import c0_limit
from tests.proofs_numeric.planted import BOTH, WIDTHS, combinations, outcomes, power, slope_error, stored, where
from tests.proofs_numeric.values import units, value

TASKS, DRAWS, NOISE = ("digits", "sphere-linear"), 10, 0.05
FOUR, DATA_SETS, NETWORKS = (2048, 4096, 8192, 16384), tuple(range(1, 9)), 5
CASES = {f"distance.m.{task}.{precision}": (task, precision) for task in (*TASKS, "draws") for precision in BOTH}
LIMITS = pd.DataFrame({"dim": [4, 8], "scale": "std", "distance": [0.2, 0.1], "noise": 1e-4, "ratio": [0.9, 0.85],
                       "ratio_error": 1e-3, "samples": 10})  # fmt: skip


def distances(*, at="", exponent=-0.5):
    """All cases fall as m^-1/2, but for one; `exponent` of data sets may be one for each of them."""
    task, precision = CASES.get(at, ("", ""))
    law = where(power(exponent, noise=NOISE), power(-0.5, noise=NOISE), task=task, precision=precision)
    drawn = combinations(task=TASKS, precision=BOTH, width=WIDTHS, seed=tuple(range(DRAWS))).assign(
        distance=power(-0.5, noise=NOISE) if task == "draws" else law, limit_error=lambda f: 1e-4 * (1 + f["seed"])
    )
    of_data = dict(zip(DATA_SETS, np.broadcast_to(exponent, len(DATA_SETS)), strict=True))

    def on_data_sets(frame):
        """Data sets have sizes of their own; the exponents of one precision are -1/2 but in its case."""
        chosen = (task == "draws") & (frame["precision"] == precision)
        exponents = np.where(chosen, [of_data[one] for one in frame["data_seed"]], -0.5)
        size = 0.1 * 1.2 ** (frame["data_seed"] % 2)
        return size * (frame["width"] / 4096) ** exponents * np.exp(NOISE * frame["noise"])

    anew = combinations(precision=BOTH, width=FOUR, data_seed=DATA_SETS, seed=tuple(range(NETWORKS)))
    frames = {"limits": drawn, "limits-draws": anew.assign(distance=on_data_sets), "limits-dims": LIMITS}
    return c0_limit.evidence(stored(frames))


def error_of(case):
    """Three standard errors of an exponent; each network of each data set has noise of its own."""
    if "draws" in case:
        return 3 * slope_error(FOUR, NETWORKS * len(DATA_SETS), NOISE)
    return 3 * slope_error(WIDTHS, DRAWS, NOISE)


def test_distances_that_fall_as_the_square_root_support_the_claim():
    found = distances()
    assert outcomes(c0_limit.CLAIM, found) == dict.fromkeys(CASES, "supported")
    assert value(found, "limit.error") == pytest.approx(1e-4 * DRAWS)  # the largest
    assert found.tables["limits against d"].to_dict("list") == LIMITS.drop(columns="samples").to_dict("list")
    assert {units(found, case) for case in CASES if "draws" in case} == {CROSSED}
    of_case = found.tables["distance"].groupby(["task", "precision"])["width"].agg(list).to_dict()
    assert of_case == {case: list(FOUR if case[0] == "draws" else WIDTHS) for case in CASES.values()}


@pytest.mark.parametrize("at", CASES)
@pytest.mark.parametrize("exponent", [-0.65, -0.35])
def test_another_exponent_refutes_the_claim_in_its_case_alone(at, exponent):
    found = distances(at=at, exponent=exponent)
    assert outcomes(c0_limit.CLAIM, found) == dict.fromkeys(CASES, "supported") | {at: "refuted"}
    for case in CASES:
        expected = exponent if case == at else -0.5
        assert value(found, case) == pytest.approx(expected, abs=error_of(case))


@pytest.mark.parametrize(("mean", "apart", "outcome"), [
    (-0.5, 0.02, "supported"), (-0.65, 0.02, "refuted"), (-0.5, 0.2, "inconclusive"),
])  # fmt: skip
def test_data_sets_have_exponents_of_their_own_and_it_is_their_mean_that_counts(mean, apart, outcome):
    """Symmetric about the mean; with five networks t is 2.78, and the interval +-2.78 x 0.70 `apart`/sqrt(8)."""
    case = "distance.m.draws.one_bit"
    found = distances(at=case, exponent=mean + apart * np.linspace(-1, 1, len(DATA_SETS)))
    assert outcomes(c0_limit.CLAIM, found) == dict.fromkeys(CASES, "supported") | {case: outcome}
    # distances are averaged, not exponents: a mean of exponentials bends by half the variance of the exponents
    assert value(found, case) == pytest.approx(mean, abs=error_of(case) + 0.5 * apart**2)
