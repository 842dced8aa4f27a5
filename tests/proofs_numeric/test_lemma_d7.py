"""The rule of D.7 on quantisation differences of a known size, and its checks on a quantiser that is another one."""

from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.networks.quantizers import effective_weights
from proofs_numeric import lemma_d7
from tests.proofs_numeric.planted import WIDTHS, context, drawn, outcomes, slope_error, stored
from tests.proofs_numeric.values import failures, value

NOISE, DRAWS, DIMS = 0.02, 40, (8, 32, 128)
TYPICAL = 0.6358  # sqrt(2 (1 - sqrt(2/pi)))


def differences(largest=lambda frame: 0.1 * bound(frame), typical=lambda frame: TYPICAL, without="dim < 0"):
    """The largest <u, x> and its root mean square by laws, within 2 %; those for n = 16 and 256 tenfold.

    The study lacks what it is `without`.
    """

    def noisy(law):
        return lambda f: law(f) * np.exp(NOISE * f["noise"]) * np.where(f["n_train"] == 64, 1.0, 10.0)

    frame = drawn(DIMS, DRAWS, largest_u=noisy(largest), rms_u=noisy(typical))
    return lemma_d7.evidence(stored({"start": frame.query(f"not ({without})")}))


def bound(frame):
    """The lemma's at the start, d D."""
    return frame["dim"] * np.sqrt(np.log(frame["width"] * frame["dim"] / 0.05))


@pytest.mark.parametrize(("growth", "outcome"), [(0.0, "supported"), (-0.3, "supported"), (0.1, "refuted")])
def test_growth_beside_the_bound_is_found_out(growth, outcome):
    found = differences(lambda frame: 0.1 * bound(frame) * (frame["width"] / 256) ** growth)
    error = slope_error(WIDTHS, len(DIMS) * DRAWS, NOISE)
    assert value(found, "bound.shape") == pytest.approx(growth, abs=3 * error)
    judged = outcomes(lemma_d7.CLAIM, found)
    assert judged["bound.shape"] == outcome
    assert judged["identity"] == judged["worst_input"] == "supported"


def test_the_constant_is_that_of_the_bound_whatever_d():
    found = differences()
    # twice the largest of 240 draws, which lies 2 to 4.5 standard deviations up
    assert 0.2 * np.exp(2 * NOISE) < value(found, "bound.constant") < 0.2 * np.exp(4.5 * NOISE)
    assert 2 * np.exp(2 * NOISE) < value(found, "bound.looseness") < 2 * np.exp(4.5 * NOISE)
    assert failures(found, "bound") == (0, len(DIMS) * DRAWS * 2)
    assert set(outcomes(lemma_d7.CLAIM, found).values()) == {"supported"}


def test_settings_that_lack_some_widths_lend_no_growth():
    found = differences(lambda frame: bound(frame) / frame["dim"] ** 2, without="dim < 30 and width > 100")
    error = slope_error(WIDTHS, (len(DIMS) - 1) * DRAWS, NOISE)
    assert value(found, "bound.shape") == pytest.approx(0.0, abs=3 * error)


def test_single_draws_beyond_twice_what_was_seen_refute_it():
    high = differences(lambda f: 0.1 * bound(f) * np.where((f["width"] == 4096) & (f["seed"] == 3), 2.5, 1.0))
    assert failures(high, "bound") == (len(DIMS), len(DIMS) * DRAWS * 2)
    assert outcomes(lemma_d7.CLAIM, high)["bound"] == "refuted"


@pytest.mark.parametrize(("factor", "outcome"), [(1.0, "supported"), (1.05, "refuted")])
def test_the_typical_size_is_that_of_the_widest_networks_at_the_largest_d(factor, outcome):
    def typical(frame):
        at_widest = factor * TYPICAL * (frame["dim"] / 128) ** -0.2
        return np.where(frame["width"] == 4096, at_widest, 3.0 * frame["dim"])

    found = differences(typical=typical)
    assert value(found, "typical.d") == pytest.approx(-0.2, abs=3 * slope_error(DIMS, DRAWS, NOISE))
    expected = pytest.approx(factor * TYPICAL, rel=3 * NOISE / DRAWS**0.5)
    assert value(found, "typical.largest_d") == expected
    assert context(lemma_d7.CLAIM, found) == {"typical.largest_d": outcome}
    assert found.tables["largest"].set_index(["dim", "width"]).loc[(128, 4096), "rms_u"] == expected


def test_another_scale_breaks_the_identity_and_a_larger_one_the_bound(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(lemma_d7, "effective_weights", lambda w: effective_weights(w, scale="absmean"))
        number, count = lemma_d7.checks()
        # norm(u)^2 with s' = mean|c| in place of s is smaller by d (s - s')^2, and s' = 0.8 s for a Gaussian
        assert number.value > 0.01
        assert count.failures == 0
    with monkeypatch.context() as patched:
        patched.setattr(lemma_d7, "effective_weights", lambda w: w + 1.1 * (effective_weights(w) - w))
        number, count = lemma_d7.checks()
        # norm(u)^2/(2 d s^2) = 1 - mean|c|/s comes to 0.9 in tails so heavy that one of 512 weights is all of s
        assert number.value == pytest.approx(0.21 * 0.91, rel=0.03)
        assert 0 < count.failures < 1000
    with monkeypatch.context() as patched:
        patched.setattr(lemma_d7, "effective_weights", lambda w: w + 10 * (effective_weights(w) - w))
        _, count = lemma_d7.checks()
        assert count.failures == 1600  # all but those at d = 2, where nothing is lost
    number, count = lemma_d7.checks()
    assert number.value < 1e-12
    assert (count.failures, count.trials) == (0, 2000)
