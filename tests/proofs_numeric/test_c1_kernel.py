"""The rule of C1 on drifts and changed activations that fall by known exponents."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest

from ntk1bit.statistics.jackknife import CROSSED
from proofs_numeric import c1_kernel
from proofs_numeric.studies import DATA_SETS
from tests.proofs_numeric.planted import (
    BOTH,
    SEEDS,
    WIDTHS,
    context,
    networks,
    on_data_set,
    outcomes,
    slope_error,
    stored,
    sweep,
)
from tests.proofs_numeric.values import units, value

NOISE = 0.02
INITS = ("paired", "iid")
GROUPS = tuple(itertools.product(BOTH, INITS))
DRIFTS = {("one_bit", "paired"): -0.65, ("one_bit", "iid"): -0.6, ("full", "paired"): -0.72, ("full", "iid"): -0.8}
DRAWN = {**DRIFTS, ("one_bit", "paired"): -0.7, ("full", "paired"): -0.75}
DECISIVE = [f"drift.m.one_bit.{init}{where}" for where in ("", ".draws") for init in INITS]
CHANGES = {("one_bit", "paired"): -0.4, ("one_bit", "iid"): -0.1, ("full", "paired"): -0.5, ("full", "iid"): -0.2}
IN_TASKS = {("f1", "one_bit"): -0.5, ("f1", "full"): -0.9, ("f3", "one_bit"): -0.3, ("f3", "full"): -0.7}


def of_groups(exponents, names):
    """The law of a power of m with an exponent for each combination of these settings."""

    def law(frame):
        chosen = [exponents[tuple(key)] for key in frame[list(names)].to_numpy().tolist()]
        return (frame["width"] / 64.0) ** np.array(chosen)

    return law


def peak(law, noise=NOISE):
    """A law that has its largest value at step 1 of 2, within a factor exp(noise)."""
    return lambda f: law(f) * np.exp(noise * f["noise"]) * np.array([0.0, 1.0, 0.5])[f["step"]]


def moved(drifts=None, changes=None):
    digits = sweep(
        networks(init=INITS),
        1.0,
        drift=peak(of_groups({**DRIFTS, **(drifts or {})}, ("precision", "init"))),
        activation_change=peak(of_groups({**CHANGES, **(changes or {})}, ("precision", "init")), noise=0.0),
    )
    # a drift from an iid start, which the table leaves out, that does not fall
    paired = of_groups(IN_TASKS, ("task", "precision"))
    law = peak(lambda f: np.where(f["init"] == "paired", paired(f), 1.0))
    functions = sweep(networks(task=("f3", "f1"), init=INITS, seed=(0, 1)), 1.0, drift=law)
    return c1_kernel.evidence(stored({"digits": digits, "functions": functions, **drawn_anew(drifts, changes)}))


def drawn_anew(drifts=None, changes=None):
    """The studies of the same networks on eight data sets, which differ by factors that have nothing to do with m."""
    frames = {}
    for place, name in enumerate(DATA_SETS):
        drift = of_groups({**DRAWN, **(drifts or {})}, ("precision", "init"))
        change = of_groups({**CHANGES, **(changes or {})}, ("precision", "init"))
        study = sweep(
            networks(init=INITS),
            1.0,
            drift=peak(lambda f, place=place, drift=drift: drift(f) * 1.05**place),
            activation_change=peak(change, noise=0.0),
        )
        frames[name] = on_data_set(study, place)
    return frames


@functools.cache
def usual():
    return moved()


def test_every_exponent_is_that_of_its_group():
    found = usual()
    error = 3 * slope_error(WIDTHS, len(SEEDS), NOISE)
    assert outcomes(c1_kernel.CLAIM, found) == dict.fromkeys(DECISIVE, "supported")
    for group in GROUPS:
        assert value(found, f"drift.m.{'.'.join(group)}") == pytest.approx(DRIFTS[group], abs=error)
    for precision in BOTH:
        group = (precision, "paired")
        assert value(found, f"changed.m.{precision}.paired") == pytest.approx(CHANGES[group])
        ratio = DRIFTS[group] - (CHANGES[group] - 1) / 2  # drift over sqrt(p/m)
        assert value(found, f"ratio.m.{precision}.paired") == pytest.approx(ratio, abs=error)


@pytest.mark.parametrize(("paired", "iid"), [(-0.4, -0.55), (-0.55, 0.3)])
def test_a_drift_that_falls_too_slowly_from_either_start_refutes_it(paired, iid):
    found = moved({("one_bit", "paired"): paired, ("one_bit", "iid"): iid})
    expected = {"paired": "refuted", "iid": "supported"} if paired > iid else {"paired": "supported", "iid": "refuted"}
    judged = outcomes(c1_kernel.CLAIM, found)
    for where in ("", ".draws"):
        assert {init: judged[f"drift.m.one_bit.{init}{where}"] for init in INITS} == expected


def test_full_precision_and_activations_are_told_beside_the_verdict():
    told = context(c1_kernel.CLAIM, moved({("one_bit", "paired"): -0.7, ("full", "paired"): -0.75}))
    assert set(told.values()) == {"supported"}
    others = {(one, "paired"): -0.6 for one in BOTH}  # of activations; a ratio is off by 0.1 then
    drifts = {("full", "paired"): -0.4, ("full", "iid"): -0.4}
    told = context(c1_kernel.CLAIM, moved({("one_bit", "paired"): -0.7, **drifts}, others))
    assert set(told.values()) == {"refuted"}


def test_the_functions_come_in_their_order_from_a_paired_start():
    table = usual().tables["exponents by task, paired"]
    assert table["task"].tolist() == ["f1", "f1", "f3", "f3"]
    found = table.set_index(["task", "precision"])["exponent"].to_dict()
    assert found == pytest.approx(IN_TASKS, abs=3 * slope_error(WIDTHS, 2, NOISE))


def noise_of(drifts=None, changes=None):
    return c1_kernel.evidence_noise(stored(drawn_anew(drifts, changes)))


NOISY = ("ratio.m.one_bit.paired.draws", "ratio.m.full.paired.draws")
NOISY += ("drift.m.one_bit.paired.draws", "drift.m.full.paired.draws")


def test_drifts_as_the_square_root_of_what_changes_support_the_claim_on_noise():
    found = noise_of()
    assert outcomes(c1_kernel.CLAIM_NOISE, found) == dict.fromkeys(NOISY, "supported")
    error = 3 * slope_error(WIDTHS, len(SEEDS), NOISE)  # the noise of a network is the same on all data sets
    for precision, change in (("one_bit", -0.4), ("full", -0.5)):
        drift = DRAWN[precision, "paired"]
        assert value(found, f"drift.m.{precision}.paired.draws") == pytest.approx(drift, abs=error)
        ratio = drift - (change - 1) / 2
        assert value(found, f"ratio.m.{precision}.paired.draws") == pytest.approx(ratio, abs=error)
    assert {units(found, name) for name in NOISY} == {CROSSED}


@pytest.mark.parametrize(
    ("drifts", "changes", "refuted"),
    [
        ({("one_bit", "paired"): -0.85}, {}, {NOISY[0], NOISY[2]}),
        ({("full", "paired"): -0.5}, {}, {NOISY[1], NOISY[3]}),
        ({}, {("one_bit", "paired"): -0.2}, {NOISY[0]}),
        ({}, {("full", "paired"): -0.8}, {NOISY[1]}),
    ],
)
def test_other_drifts_or_changes_refute_it(drifts, changes, refuted):
    judged = outcomes(c1_kernel.CLAIM_NOISE, noise_of(drifts, changes))
    assert {name for name, outcome in judged.items() if outcome == "refuted"} == refuted
    assert set(judged.values()) <= {"refuted", "supported"}
