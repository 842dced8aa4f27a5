"""The rule of 5.1 on gaps at the start of a known size, and its checks on networks that are not linear in kappa."""

from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.networks import two_layer
from proofs_numeric import lemma_5_1
from tests.proofs_numeric.planted import WIDTHS, context, drawn, outcomes, slope_error, stored
from tests.proofs_numeric.values import failures, value

NOISE, DRAWS, DIMS = 0.02, 40, (8, 32, 128)


def bound(frame):
    """The lemma's at kappa = 1, sqrt(d) D^2."""
    return np.sqrt(frame["dim"]) * np.log(frame["width"] * frame["dim"] / 0.05)


def gaps(largest=lambda frame: 0.05 * bound(frame), typical=lambda frame: 0.3, without="dim < 0"):
    """The largest gap and its root mean square by laws, within 2 %; those for n = 16 and 256 tenfold.

    The study lacks what it is `without`.
    """

    def noisy(law):
        return lambda f: law(f) * np.exp(NOISE * f["noise"]) * np.where(f["n_train"] == 64, 1.0, 10.0)

    frame = drawn(DIMS, DRAWS, largest_gap=noisy(largest), gap=noisy(typical))
    return lemma_5_1.evidence(stored({"start": frame.query(f"not ({without})")}))


def test_the_constant_is_that_of_the_bound_whatever_d():
    found = gaps()
    # twice the largest of 240 draws, which lies 2 to 4.5 standard deviations up
    assert 0.1 * np.exp(2 * NOISE) < value(found, "bound.constant") < 0.1 * np.exp(4.5 * NOISE)
    assert failures(found, "bound") == (0, len(DIMS) * DRAWS * 2)
    assert set(outcomes(lemma_5_1.CLAIM, found).values()) == {"supported"}
    assert set(context(lemma_5_1.CLAIM, found).values()) == {"supported"}
    assert value(found, "linearity") < 1e-12
    assert value(found, "gap.paired") == 0.0


@pytest.mark.parametrize(("growth", "outcome"), [(-0.2, "supported"), (0.1, "refuted")])
def test_growth_beside_the_bound_is_found_out(growth, outcome):
    found = gaps(lambda frame: 0.05 * bound(frame) * (frame["width"] / 256) ** growth)
    error = slope_error(WIDTHS, len(DIMS) * DRAWS, NOISE)
    assert value(found, "bound.shape") == pytest.approx(growth, abs=3 * error)
    assert outcomes(lemma_5_1.CLAIM, found)["bound.shape"] == outcome


def test_settings_that_lack_some_widths_lend_no_growth():
    found = gaps(lambda frame: bound(frame) / frame["dim"] ** 2, without="dim < 30 and width > 100")
    error = slope_error(WIDTHS, (len(DIMS) - 1) * DRAWS, NOISE)
    assert value(found, "bound.shape") == pytest.approx(0.0, abs=3 * error)


def test_single_draws_beyond_twice_what_was_seen_refute_it():
    found = gaps(lambda f: 0.05 * bound(f) * np.where((f["width"] == 4096) & (f["seed"] == 3), 2.5, 1.0))
    assert failures(found, "bound") == (len(DIMS), len(DIMS) * DRAWS * 2)
    assert outcomes(lemma_5_1.CLAIM, found)["bound"] == "refuted"


def test_exponents_are_those_at_d_32_and_at_the_widest():
    def typical(frame):
        d, m = frame["dim"], frame["width"]
        return 0.3 * (m / 4096) ** np.where(d == 32, -0.25, 0.4) * (d / 32) ** np.where(m == 4096, 0.7, -0.3)

    found = gaps(typical=typical)
    assert value(found, "gap.m") == pytest.approx(-0.25, abs=3 * slope_error(WIDTHS, DRAWS, NOISE))
    assert value(found, "gap.d") == pytest.approx(0.7, abs=3 * slope_error(DIMS, DRAWS, NOISE))
    assert value(found, "gap.widest") == pytest.approx(0.3, rel=3 * NOISE / DRAWS**0.5)
    told = context(lemma_5_1.CLAIM, found)
    assert (told["gap.m"], told["gap.d"]) == ("refuted", "refuted")


def test_the_gap_is_a_root_mean_square_over_draws():
    found = gaps(typical=lambda f: np.where(f["seed"] == 0, 3.0, 0.1))
    assert value(found, "gap.widest") == pytest.approx((9 / DRAWS + 0.01) ** 0.5, rel=3 * NOISE)


def test_outputs_that_are_not_linear_in_kappa_or_not_paired_are_found_out(monkeypatch):
    true_outputs = two_layer.outputs

    def crooked(x, network, *, precision, kappa):
        return true_outputs(x, network, precision=precision, kappa=kappa ** (1.001 if precision == "one_bit" else 1.0))

    with monkeypatch.context() as patched:
        patched.setattr(two_layer, "outputs", crooked)
        linearity, paired = lemma_5_1.checks()
        assert linearity.value > 1e-4
        assert paired.value == 0.0

    for shifts, gap in (({"full": 1e-6, "one_bit": 0.0}, 1e-6), ({"full": 1e-6, "one_bit": 1e-6}, 0.0)):

        def shifted(x, network, *, precision, kappa, shifts=shifts):
            return true_outputs(x, network, precision=precision, kappa=kappa) + shifts[precision]

        with monkeypatch.context() as patched:
            patched.setattr(two_layer, "outputs", shifted)
            assert lemma_5_1.checks()[1].value == pytest.approx(gap, abs=1e-12)  # of 0s in float32
