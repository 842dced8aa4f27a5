"""The rule of I.3 on residuals that are a known multiple of the bound, or a power law of their own."""

from __future__ import annotations

import numpy as np
import pytest

from proofs_numeric import lemma_i3
from tests.proofs_numeric.planted import WIDTHS, context, drawn, outcomes, slope_error, stored
from tests.proofs_numeric.values import failures, value

NOISE, DRAWS = 0.02, 40
HELD_OUT = DRAWS * 2 * 5  # draws at the two larger widths and five settings of d and n


def bound(frame):
    """The lemma's, sqrt(n) d D^2."""
    return np.sqrt(frame["n_train"]) * frame["dim"] * np.log(frame["width"] * frame["dim"] / 0.05)


def residuals(law, *, without="dim < 0"):
    """Draws with this law of the residual, within 2 %, but for those `without` which the study is."""
    frame = drawn(draws=DRAWS, residual=lambda frame: law(frame) * np.exp(NOISE * frame["noise"]))
    return lemma_i3.evidence(stored({"start": frame.query(f"not ({without})")}))


@pytest.mark.parametrize(("growth", "outcome"), [(0.0, "supported"), (-0.3, "supported"), (0.1, "refuted")])
def test_growth_beside_the_bound_is_found_out(growth, outcome):
    found = residuals(lambda frame: 0.3 * bound(frame) * (frame["width"] / 256) ** growth)
    assert value(found, "bound.shape") == pytest.approx(growth, abs=3 * slope_error(WIDTHS, 5 * DRAWS, NOISE))
    assert outcomes(lemma_i3.CLAIM, found)["bound.shape"] == outcome


@pytest.mark.parametrize("axis", ["dim", "n_train"])
def test_settings_that_lack_some_widths_lend_no_growth(axis):
    narrow_alone = f"{axis} < 30 and width > 100"
    found = residuals(lambda frame: bound(frame) / frame[axis] ** 2, without=narrow_alone)
    assert value(found, "bound.shape") == pytest.approx(0.0, abs=3 * slope_error(WIDTHS, 3 * DRAWS, NOISE))


def test_the_constant_is_that_of_the_bound_whatever_d_and_n():
    found = residuals(lambda frame: 0.3 * bound(frame))
    # twice the largest of 400 draws, which lies 2 to 4.5 standard deviations up
    assert 2 * 0.3 * np.exp(2 * NOISE) < value(found, "bound.constant") < 2 * 0.3 * np.exp(4.5 * NOISE)
    assert 2 * np.exp(2 * NOISE) < value(found, "bound.looseness") < 2 * np.exp(4.5 * NOISE)
    assert failures(found, "bound") == (0, HELD_OUT)
    assert set(outcomes(lemma_i3.CLAIM, found).values()) == {"supported"}


def test_single_draws_beyond_twice_what_was_seen_refute_it():
    def one_of_eight_high(frame):
        high = (frame["width"] == 4096) & (frame["seed"] % 8 == 0)
        return 0.3 * bound(frame) * np.where(high, 2.5, 1.0)

    found = residuals(one_of_eight_high)
    assert failures(found, "bound") == (DRAWS // 8 * 5, HELD_OUT)
    assert outcomes(lemma_i3.CLAIM, found)["bound"] == "refuted"


def test_exponents_are_those_along_each_axis():
    def law(frame):
        """n^0.5 d^0.04 m^-0.02 on the lines that are looked at, other powers beside them."""
        n, d, m = frame["n_train"], frame["dim"], frame["width"]
        along_d = np.where((m == 4096) & (n == 64), 0.04, 0.7)
        along_m = np.where((d == 32) & (n == 64), -0.02, 0.5)
        return (n / 64) ** np.where(m == 4096, 0.5, 0.9) * (d / 32) ** along_d * (m / 4096) ** along_m

    found = residuals(law)
    for axis, exponent, along in (("d", 0.04, (8, 32, 128)), ("m", -0.02, WIDTHS), ("n", 0.5, (16, 64, 256))):
        assert value(found, f"residual.{axis}") == pytest.approx(exponent, abs=3 * slope_error(along, DRAWS, NOISE))
    assert set(context(lemma_i3.CLAIM, found).values()) == {"supported"}
    steep = context(lemma_i3.CLAIM, residuals(lambda f: (f["n_train"] / f["dim"]) ** 0.8 * f["width"] ** 0.2))
    assert set(steep.values()) == {"refuted"}
    table = found.tables["largest residual"].set_index(["dim", "width", "n_train"])["residual"]
    assert table.loc[32, 4096, 256] == pytest.approx(2.0 * np.exp(2.3 * NOISE), rel=0.04)  # the largest of 40
