from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ntk1bit.experiments.within_ball import (
    KernelInBall,
    WeightsInBall,
    active,
    ascend,
    difference,
    log_factor,
    lowering,
    moments,
    sphere,
    unit,
)
from ntk1bit.networks import two_layer
from ntk1bit.networks.quantizers import effective_weights

SCRATCH = Path("not used")


def test_the_unit_is_the_radius_of_the_lemma():
    assert log_factor(1, 1) == pytest.approx(np.sqrt(np.log(20)))
    assert unit(0.5, n=8, width=64, dim=4) == pytest.approx(
        0.5 * 0.05 / (64 * 8**2 * 4 * np.sqrt(np.log(64 * 4 / 0.05)))
    )


def test_weights_in_the_ball_have_the_moments_of_the_closed_forms():
    frame = WeightsInBall(dim=8, width=64, radii=(0.5, 4.0), draws=3).run(SCRATCH)
    assert frame.equals(WeightsInBall(dim=8, width=64, radii=(0.5, 4.0), draws=3).run(SCRATCH))
    assert len(frame) == 6
    assert (frame["beyond"].to_numpy() == 0).all()
    row = frame.iloc[3]
    w = two_layer.init(64, 8, seed=1).w.astype(np.float64)
    assert row["start_norm"] == pytest.approx(np.linalg.norm(w, axis=1).max())
    # the three moves reach their bounds: exact but for rounding
    assert row["norm"] == pytest.approx(row["start_norm"] + 4.0)
    assert row["mean"] == pytest.approx(row["start_mean"] + 4.0 / np.sqrt(8))
    assert row["std"] == pytest.approx(row["start_std"] + 4.0 / np.sqrt(8))
    assert row["u"] <= np.sqrt(16) * row["start_std"] + np.sqrt(2) * 4.0


def test_the_ascent_stays_in_the_ball_and_climbs():
    rng = np.random.default_rng(0)
    centre = rng.standard_normal((20, 6))
    start = centre + 0.1 * rng.standard_normal((20, 6))
    found = ascend(start, centre, 1.0)
    assert np.linalg.norm(found - centre, axis=1).max() <= 1 + 1e-12
    assert (moments(found)[3] >= moments(start)[3]).all()
    assert moments(found)[3].mean() > 1.2 * moments(start)[3].mean()
    # as many random moves of the same length do not find larger differences
    for _ in range(100):
        move = rng.standard_normal((20, 6))
        move /= np.linalg.norm(move, axis=1, keepdims=True)
        assert (np.linalg.norm(difference(centre + move), axis=1) <= moments(found)[3] * (1 + 1e-9)).mean() > 0.9


def test_the_kernel_is_enclosed_and_nothing_moves_at_a_tiny_radius():
    frame = KernelInBall(dim=8, width=128, n_train=6, multiples=(1.0, 1e6), draws=4).run(SCRATCH)
    tiny, large = (frame.loc[frame["multiple"] == one] for one in (1.0, 1e6))
    assert (tiny["most"] == 0).all()
    # two routines for the eigenvalues of one matrix, in float64
    assert tiny["lambda_reached"].to_numpy() == pytest.approx(tiny["lambda_min"].to_numpy(), rel=1e-12)
    assert (large["reached"] > 0).all()
    assert (large[["reached", "random"]].max(axis=1) <= large["most"]).all()
    assert (large["lambda_reached"] < large["lambda_min"]).all()
    row = frame.iloc[2]
    x, y = sphere(6, 8, seed=1)
    drawn = two_layer.init(128, 8, seed=1)
    z = effective_weights(drawn.w.astype(np.float64)) @ x.T
    on = (z >= 0).astype(np.float64)
    # sums of 128 terms in float64
    assert row["lambda_min"] == pytest.approx(np.linalg.eigvalsh(x @ x.T * (on.T @ on) / 128)[0], rel=1e-10)
    residual = np.linalg.norm(drawn.a @ np.maximum(z, 0) / np.sqrt(128) - y)
    assert row["claimed"] == pytest.approx(4 * np.sqrt(6 / 128) * residual / row["lambda_min"], rel=1e-10)


def test_each_neuron_takes_its_lowest_move_if_that_lowers_the_form():
    x = np.eye(3)
    on = np.array([[True, True, False], [False, True, False]])
    w = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    moves = np.array([[2.0, -1.0, -1.0], [-1.0, -1.0, 2.0], [2.0, 2.0, -1.0]])
    vector = np.array([2.0, 1.0, 0.5])
    patterns = active(moves, x)
    found = lowering(on, w, x, np.array([0, 0, 1]), moves, vector)
    assert found[0].tolist() == patterns[1].tolist()  # v'Hv: 0.25 where the others have 4 and 5
    assert found[1].tolist() == on[1].tolist()  # 1 before, 5 after
    assert lowering(on, w, x, np.array([], dtype=int), np.zeros((0, 3)), vector).tolist() == on.tolist()
