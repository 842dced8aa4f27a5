"""The rule of 5.2 on pairs of networks whose largest difference is a known multiple of the bound."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from proofs_numeric import thm_5_2
from tests.proofs_numeric.planted import (
    WIDTHS,
    Law,
    apart,
    context,
    evaluate,
    networks,
    outcomes,
    power,
    slope_error,
    stored,
    sweep,
    where,
)
from tests.proofs_numeric.values import failures, value

SEEDS = tuple(range(10))
STUDIES = {
    "digits": {"n_train": 32, "seed": SEEDS},
    "gap-dims": {"dim": (8, 32), "seed": SEEDS},
    "gap-points": {"n_train": (16, 36), "width": 256, "seed": SEEDS},
    "gap-kappas": {"kappa": (0.1, 0.3), "seed": SEEDS},
}
HELD_OUT = 2 * 5 * len(SEEDS)  # pairs from an iid start at two widths
NOISE = 0.02
PEAK = np.array([0.2, 1.0, 0.5])  # of what is largest at step 1 of 2


def radius(frame):
    """The farthest a neuron gets: of even seeds in the 1-bit network, of odd ones in full precision."""
    farther = (frame["precision"] == "one_bit") == (frame["seed"] % 2 == 0)
    return np.where(farther, 3.0, 0.5)


def bound(frame):
    """The theorem's, kappa sqrt(log(m/delta)) d (D + R)."""
    log = np.sqrt(np.log(frame["width"] * frame["dim"] / 0.05))
    return frame["kappa"] * np.sqrt(np.log(frame["width"] / 0.05)) * frame["dim"] * (log + 3.0)


def pairs(share: Law = 1e-3, *, paired: Law = 1.0, without="dim < 0"):
    """All studies: the largest difference is a share of the bound, or a law of it, for an iid start, `paired` beside.

    They lack the networks that they are `without`.
    """

    def size(frame):
        away = where(paired, evaluate(share, frame) * bound(frame), init="paired")(frame)
        return away * np.exp(NOISE * frame["shared"]) * PEAK[frame["step"]]

    return stored(
        {
            name: sweep(
                networks(init="iid" if name == "gap-kappas" else ("iid", "paired"), **settings),
                1.0,
                test_outputs=apart(size),
                radius=lambda f: radius(f) * PEAK[f["step"]],
            ).query(f"not ({without})")
            for name, settings in STUDIES.items()
        }
    )


def test_differences_that_are_a_share_of_the_bound_support_the_theorem():
    found = thm_5_2.evidence(pairs())
    assert set(outcomes(thm_5_2.CLAIM, found).values()) == {"supported"}
    # twice the largest of 100 pairs, which lies 1.5 to 4 standard deviations up
    assert 2e-3 * np.exp(1.5 * NOISE) < value(found, "bound.constant") < 2e-3 * np.exp(4 * NOISE)
    assert 2 * np.exp(1.5 * NOISE) < value(found, "bound.looseness") < 2 * np.exp(4 * NOISE)
    assert failures(found, "bound") == (0, HELD_OUT)


@pytest.mark.parametrize(("growth", "outcome"), [(-0.3, "supported"), (0.1, "refuted")])
def test_growth_beside_the_bound_is_found_out(growth, outcome):
    # settings have sizes of their own, and those that lack the smallest width are not to bend the law
    law = power(growth)
    for one in ({"dim": 8}, {"kappa": 0.1}):
        law = where(lambda f, law=law: 3.0 * law(f), law, **one)
    found = thm_5_2.evidence(pairs(law, without="width == 64 and (dim == 8 or kappa == 0.1)"))
    assert value(found, "bound.shape") == pytest.approx(growth, abs=3 * slope_error(WIDTHS, 30, NOISE))
    assert outcomes(thm_5_2.CLAIM, found)["bound.shape"] == outcome


def test_how_the_looseness_goes_with_n_and_d_is_that_of_the_studies_that_vary_them():
    found = thm_5_2.evidence(pairs(lambda f: 1e-3 * (f["n_train"] / 16) ** 0.4 * (f["dim"] / 8) ** -1.2))
    error = 3 * slope_error((16, 36), len(SEEDS), NOISE)
    assert value(found, "bound.shape.n") == pytest.approx(0.4, abs=error)
    assert value(found, "bound.shape.d") == pytest.approx(-1.2, abs=3 * slope_error((8, 32), 4 * len(SEEDS), NOISE))


def test_single_pairs_beyond_twice_what_was_seen_refute_it():
    share: Law = 1e-3
    for one in ({"n_train": 32}, {"dim": 8}, {"kappa": 0.1}):
        share = where(3e-3, share, width=1024, seed=3, **one)
    found = thm_5_2.evidence(pairs(share))
    assert failures(found, "bound") == (3, HELD_OUT)
    assert outcomes(thm_5_2.CLAIM, found)["bound"] == "refuted"


def test_pairs_from_a_paired_start_do_not_count():
    found = thm_5_2.evidence(pairs(paired=power(3.0, size=1e3)))
    assert set(outcomes(thm_5_2.CLAIM, found).values()) == {"supported"}


@pytest.mark.parametrize(("exponent", "outcome"), [(-0.2, "supported"), (0.0, "refuted")])
def test_the_exponent_of_the_gap_is_that_on_digits(exponent, outcome):
    law = where(lambda f: (f["width"] / 64) ** exponent / bound(f), 1e-3, n_train=32)
    found = thm_5_2.evidence(pairs(law))
    error = 3 * slope_error(WIDTHS, len(SEEDS), NOISE)
    assert value(found, "gap.m.digits.iid") == pytest.approx(exponent, abs=error)
    assert context(thm_5_2.CLAIM, found) == {"gap.m.digits.iid": outcome}
    table = found.tables["largest gap, digits, iid"].set_index("width")["value"]
    assert table.to_dict() == pytest.approx(
        {m: (m / 64) ** exponent for m in WIDTHS}, rel=3 * NOISE / len(SEEDS) ** 0.5
    )


def test_both_networks_of_a_pair_have_one_setting_seed_and_step():
    frame = pairs().frame("gap-dims")
    found = thm_5_2.pairs(pd.DataFrame(frame.sample(frac=1.0, random_state=0)))
    assert len(found) == 2 * 2 * 4 * 10  # starts, d, m, seeds
    assert found["radius"].to_numpy() == pytest.approx(3.0)
    alone = frame.loc[(frame["precision"] == "one_bit") | (frame["seed"] > 0)]
    assert len(thm_5_2.pairs(alone)) == 2 * 2 * 4 * 9
