"""The rule of C1 on drifts and changed activations that fall by known exponents."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest

from proofs_numeric import c1_kernel
from tests.proofs_numeric.planted import (
    BOTH,
    SEEDS,
    WIDTHS,
    context,
    networks,
    outcomes,
    slope_error,
    stored,
    sweep,
)
from tests.proofs_numeric.values import value

NOISE = 0.02
INITS = ("paired", "iid")
GROUPS = tuple(itertools.product(BOTH, INITS))
DRIFTS = {("one_bit", "paired"): -0.65, ("one_bit", "iid"): -0.6, ("full", "paired"): -0.72, ("full", "iid"): -0.8}
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
    return c1_kernel.evidence(stored({"digits": digits, "functions": functions}))


@functools.cache
def usual():
    return moved()


def test_every_exponent_is_that_of_its_group():
    found = usual()
    error = 3 * slope_error(WIDTHS, len(SEEDS), NOISE)
    assert outcomes(c1_kernel.CLAIM, found) == {f"drift.m.one_bit.{init}": "supported" for init in INITS}
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
    assert outcomes(c1_kernel.CLAIM, found) == {f"drift.m.one_bit.{init}": one for init, one in expected.items()}


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
