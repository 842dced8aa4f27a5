"""Theorem 3's checks: they agree with the package's networks, and refute planted constants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ntk1bit.claims import IntervalEstimate
from ntk1bit.networks import two_layer
from proofs_numeric import frozen_activity as checks
from proofs_numeric.data import Data
from proofs_numeric.frozen_bounds import FrozenBounds

NO_DATA = Data(Path())


def outcomes(claim, evidence) -> dict[str, str]:
    return {one.measure: one.outcome for one in claim.judge(evidence).findings}


@pytest.fixture
def fewer(monkeypatch):
    """So few draws that a test takes a second."""
    for name, value in {"_DRAWS": 4000, "_WIDTHS": (64, 128, 256), "_SEEDS": 5, "_CHUNKS": 1, "_CHUNK": 20_000}.items():
        monkeypatch.setattr(checks, name, value)


def test_outputs_are_those_of_the_package():
    x = checks._inputs()
    w, a = checks.paired_start(64, x.shape[1], 3)
    found = np.maximum(checks.pre_activations(w, x), 0).T @ np.abs(a) / 8
    weights = two_layer.Weights(w, np.ones(64))
    assert found == pytest.approx(two_layer.outputs(x, weights), abs=1e-12)  # sums of 64 numbers of size 1


def test_all_steps_lie_on_the_map():
    assert checks.map_distance(7) < 1


def test_a_step_off_the_map_shows(monkeypatch):
    whole = checks.outputs_at
    monkeypatch.setattr(checks, "outputs_at", lambda total, *rest: whole(1.001 * total, *rest))
    assert checks.map_distance(7) > 1


def test_the_search_finds_what_random_directions_miss():
    x, kernel = checks._inputs(), checks._kernel()
    short, long = (checks.largest_deviation(x, kernel, 64, 5, tries=tries) for tries in (3, 60))
    assert long > short > 0


def test_a_bound_that_is_too_small_is_refuted(monkeypatch, fewer):
    monkeypatch.setattr(FrozenBounds, "deviation", property(lambda _: 0.05))
    found = outcomes(checks.CLAIM, checks.evidence(NO_DATA))
    assert found["outside"] == "refuted"
    assert found["map.off"] == "supported"


def test_a_wrong_kernel_shows_in_the_exponent(monkeypatch, fewer):
    """What is left of K_eff does not fall with width."""
    kernel = checks._kernel()
    monkeypatch.setattr(checks, "_kernel", lambda: 20 * kernel)
    assert outcomes(checks.CLAIM, checks.evidence(NO_DATA))["deviation.m"] == "refuted"


@pytest.mark.parametrize(
    ("name", "wrong", "lemma"),
    [
        ("largest_move", lambda s, flipped, x, move: 2 * s[:, None] * (flipped @ np.abs(x.T)), "lemma.a"),
        ("largest_change", lambda dim, rho: 0.1 * rho**0.5, "lemma.b"),
        ("window_probability", lambda dim, n, u, reach: 0.5 * u, "lemma.c"),
    ],
)
def test_planted_constants_are_refuted(monkeypatch, fewer, name, wrong, lemma):
    monkeypatch.setattr(checks, name, wrong)
    found = outcomes(checks.CLAIM_LEMMAS, checks.evidence_lemmas(NO_DATA))
    assert [one for one, outcome in found.items() if outcome != "supported"] == [lemma]
    assert found[lemma] == "refuted"


@pytest.mark.slow
def test_a_kernel_wrong_by_its_own_size_shows_in_lemma_d(monkeypatch):
    whole = checks.effective_ntk

    def doubled(*args, **kwargs):
        found = whole(*args, **kwargs)
        return type(found)(2 * found.value, found.standard_error)

    assert checks.mean_setting(0.002, spiked=False, seed=0)["fails"] == 0
    monkeypatch.setattr(checks, "effective_ntk", doubled)
    assert checks.mean_setting(0.002, spiked=False, seed=0)["fails"] == 1


def test_the_last_loss_is_judged_by_its_powers(monkeypatch):
    def made_up(power_m: float, power_eta: float):
        def loss(width: int, eta_rel: float, seed: int) -> float:
            noise = np.random.default_rng([seed, width, round(100 * eta_rel)]).normal(0, 0.1)
            return float(width**power_m * eta_rel**power_eta * np.exp(noise))

        return loss

    for powers, expected in (((-1, 0.0), set()), ((-0.4, 0.0), {"late.m"}), ((-1, -1.0), {"late.eta"})):
        monkeypatch.setattr(checks, "late_loss", made_up(*powers))
        found = outcomes(checks.CLAIM_FLOOR, checks.evidence_floor(NO_DATA))
        refuted = {name for name, outcome in found.items() if outcome == "refuted"}
        assert {name[: name.index(".", 5)] if name.count(".") > 1 else name for name in refuted} == expected
        assert len(refuted) + sum(outcome == "supported" for outcome in found.values()) == len(found)


def test_late_losses_are_small_and_differ_by_seed():
    found = [checks.late_loss(256, 1.0, seed) for seed in range(3)]
    assert max(found) < 0.2  # the start's is 1.5
    assert len(set(found)) == 3


def test_exponents_are_estimates(fewer):
    found = checks.evidence(NO_DATA).get("deviation.m")
    assert isinstance(found, IntervalEstimate)
    assert found.seeds == 5
