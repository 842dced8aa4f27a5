"""The rule of Eq. (5) on counts of neurons that are known parts of the bound."""

from __future__ import annotations

import numpy as np
import pytest

from proofs_numeric import eq_5
from tests.proofs_numeric.planted import combinations, context, outcomes, slope_error, stored
from tests.proofs_numeric.values import failures, value

DIMS, RADII, SEEDS, NEURONS = (8, 32, 128), (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2), (0, 1, 2, 3, 4), 10**9
NOISE = 0.02
SETTINGS = len(DIMS) * len(RADII)


def bound(frame):
    """The proof's, sqrt(2/pi) (d + 4) R, here below 1 only up to d = 64 and R = 0.016."""
    return np.minimum(np.sqrt(2 / np.pi) * (frame["dim"] + 4) * frame["radius"], 1.0)


def counted(reached=lambda frame: 0.1 * bound(frame), possible=lambda frame: 0.9 * bound(frame), missed=0):
    """So many neurons in 10^9 that rounding to whole ones does not matter; the adversary's within 2 % over seeds."""
    frame = combinations(dim=DIMS, radius=RADII, seed=SEEDS).assign(
        neurons=NEURONS,
        reached=lambda f: np.rint(NEURONS * reached(f) * np.exp(NOISE * f["noise"])),
        possible=lambda f: np.rint(NEURONS * possible(f)),
        missed=lambda f: np.where((f["dim"] == 128) & (f["radius"] == 1e-3) & (f["seed"] == 4), missed, 0),
    )
    return eq_5.evidence(stored({"flips": frame}))


def test_an_adversary_that_succeeds_in_proportion_to_the_radius_supports_it():
    found = counted()
    assert set(outcomes(eq_5.CLAIM, found).values()) == {"supported"}
    assert failures(found, "excluded") == (0, SETTINGS * len(SEEDS) * NEURONS)
    assert failures(found, "above_bound") == (0, SETTINGS)
    # the mean of five within 2 %, and the median over settings of what is alike in all
    assert value(found, "looseness") == pytest.approx(10, rel=3 * NOISE / len(SEEDS) ** 0.5)


def test_one_change_that_the_proof_excludes_refutes_it():
    found = counted(missed=1)
    assert failures(found, "excluded")[0] == 1
    assert outcomes(eq_5.CLAIM, found)["excluded"] == "refuted"


@pytest.mark.parametrize(("errors", "refuting"), [(2.5, False), (3.5, True)])
def test_a_condition_more_frequent_than_its_bound_by_three_standard_errors_refutes_it(errors, refuting):
    def possible(frame):
        error = np.sqrt(bound(frame) * (1 - bound(frame)) / (NEURONS * len(SEEDS)))
        return bound(frame) + errors * error

    found = counted(possible=possible)
    certain = 1  # at d = 128 and R = 0.016 the bound is 1, and nothing is above it
    assert failures(found, "above_bound") == ((SETTINGS - certain) * refuting, SETTINGS)
    assert np.max(found.tables["rates"]["bound"].to_numpy()) == 1.0
    assert outcomes(eq_5.CLAIM, found)["above_bound"] == ("refuted" if refuting else "supported")


@pytest.mark.parametrize(("exponent", "outcome"), [(1.0, "supported"), (0.9, "supported"), (0.5, "refuted")])
def test_the_exponent_in_the_radius_is_that_at_the_middle_dimension(exponent, outcome):
    found = counted(lambda f: 0.5 * f["radius"] ** np.where(f["dim"] == 32, exponent, 0.7))
    error = slope_error(RADII, len(SEEDS), NOISE)
    assert value(found, "success.radius") == pytest.approx(exponent, abs=3 * error)
    assert outcomes(eq_5.CLAIM, found)["success.radius"] == outcome


@pytest.mark.parametrize(("exponent", "outcome"), [(0.5, "supported"), (1.2, "refuted")])
def test_the_exponent_in_the_dimension_is_that_at_the_middle_radius(exponent, outcome):
    found = counted(lambda f: 1e-4 * f["dim"] ** np.where(f["radius"] == 4e-3, exponent, 0.8))
    assert value(found, "success.d") == pytest.approx(exponent, abs=3 * slope_error(DIMS, len(SEEDS), NOISE))
    assert context(eq_5.CLAIM, found) == {"success.d": outcome}


def test_settings_in_which_nothing_was_changed_have_no_looseness():
    found = counted(lambda f: np.where(f["radius"] > 5e-3, 0.1 * bound(f), 0.0))
    assert value(found, "looseness") == pytest.approx(10, rel=3 * NOISE / len(SEEDS) ** 0.5)
