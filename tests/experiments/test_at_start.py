from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ntk1bit import kernels
from ntk1bit.data import tasks
from ntk1bit.experiments.at_start import (
    AtStart,
    FlipProbability,
    LimitDistances,
    LimitsInDim,
    StepNoise,
    flip_noise,
)
from ntk1bit.networks import two_layer
from proofs_numeric import c2_floor, lemma_5_1, lemma_d7

SCRATCH = Path("not used")


def test_counts_of_flips_enclose_the_truth_and_repeat():
    one, two = (FlipProbability(dim=8, radius=0.02, seed=3, neurons=3001).run(SCRATCH) for _ in range(2))
    assert one.equals(two)
    reached, possible, missed = one[["reached", "possible", "missed"]].to_numpy()[0]
    assert 0 < reached <= possible <= 3001
    assert missed == 0


def test_what_is_measured_at_the_start_is_what_the_library_computes():
    row = AtStart(dim=8, width=33, n_train=16, draws=2).run(SCRATCH).iloc[1]
    weights = two_layer.init(33, 8, seed=1)
    assert row["largest_weight"] == pytest.approx(np.abs(weights.w).max())
    assert row["largest_norm"] == pytest.approx(np.linalg.norm(weights.w, axis=1).max())
    assert row["largest_u"] >= row["rms_u"] > 0
    assert row["largest_gap"] >= row["gap"] > 0


def test_distances_to_the_limit_shrink_with_width():
    found = LimitDistances(task="digits", precision="full", widths=(64, 4096), draws=3, samples=1000).run(SCRATCH)
    narrow, wide = (found.loc[found["width"] == m, "distance"].to_numpy().mean() for m in (64, 4096))
    # eight times smaller in the mean, and each mean of three is known to about 15 %
    assert 4 < narrow / wide < 16


def test_distances_are_measured_on_the_data_of_their_seed():
    def measured(**settings):
        one = LimitDistances("sphere-linear", "one_bit", widths=(16, 64), draws=2, samples=500, **settings)
        return one.key, one.run(SCRATCH).set_index(["width", "seed"])["distance"]

    (key, usual), (same_key, same), (other_key, other) = measured(), measured(data_seed=0), measured(data_seed=3)
    assert key == same_key != other_key
    assert usual.equals(same)
    assert (usual.to_numpy() != other.to_numpy()).all()
    x = tasks.load("sphere-linear", n_train=64, n_test=0, seed=3).x
    limit = kernels.limit_ntk(x, precision="one_bit", samples=500).value
    start = two_layer.init(64, x.shape[1], seed=1)  # the same networks on all data
    by_hand = np.linalg.norm(kernels.empirical_ntk(x, start, precision="one_bit") - limit) / np.linalg.norm(limit)
    assert other.loc[(64, 1)] == pytest.approx(by_hand)


def test_limits_differ_less_in_higher_dimension_and_carry_their_noise():
    low, high = (LimitsInDim(dim=dim, scale="std", samples=200_000).run(SCRATCH).iloc[0] for dim in (4, 32))
    assert low["distance"] > 3 * high["distance"]
    assert high["noise"] < high["distance"]
    assert 0.7 < high["ratio"] < 0.8


def test_the_scatter_of_a_step_follows_its_law():
    found = StepNoise(dim=64, width=4096, seed=0, networks=40).run(SCRATCH).set_index("precision")
    # a standard deviation from 40 networks and 32 correlated inputs is known to about 5 %; the law is for large d
    assert found.loc["one_bit", "scatter"] / found.loc["one_bit", "predicted"] == pytest.approx(1, abs=0.2)
    assert found.loc["full", "scatter"] < 0.1 * found.loc["one_bit", "scatter"]
    assert found.loc["full", "speed"] == pytest.approx(1, abs=0.05)
    assert found.loc["one_bit", "predicted_speed"] == pytest.approx(0.75, abs=0.05)


def test_the_law_of_flip_noise_scales_as_derived():
    x = np.eye(8) - 1 / 8 + 0.01
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = np.linspace(-1, 1, 8)
    base = flip_noise(x, y, eta=0.1, width=100, seed=0)
    assert flip_noise(x, y, eta=0.4, width=100, seed=0) == pytest.approx(2 * base)
    assert flip_noise(x, y, eta=0.1, width=1600, seed=0) == pytest.approx(base / 2)
    assert flip_noise(x, 4 * y, eta=0.1, width=100, seed=0) == pytest.approx(2 * base)


def test_checks_of_proofs_hold_and_the_constants_are_those_of_the_text():
    identity, beyond = lemma_d7.checks()
    assert identity.value <= 1e-12
    assert beyond.failures == 0
    linear, paired = lemma_5_1.checks()
    assert linear.value <= 1e-12
    assert paired.value == 0
    assert pytest.approx(1 / (2 * np.pi), rel=1e-12) == c2_floor.CONSTANT
    assert pytest.approx(0.636, abs=5e-4) == lemma_d7.TYPICAL
