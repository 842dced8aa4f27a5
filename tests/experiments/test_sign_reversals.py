from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from ntk1bit.data import tasks
from ntk1bit.errors import InputError
from ntk1bit.experiments.sign_reversals import (
    WITHIN,
    FlipHistory,
    SignReversals,
    between,
    from_smallest,
    with_signs,
)
from ntk1bit.networks import two_layer
from ntk1bit.networks.quantizers import centred_scale

SCRATCH = Path("not used")
_FROZEN = (False, True)


def plain(seed, *, steps, frozen=False, width=48, dim=7, n=9, eta_rel=0.5):
    """The same training in plain NumPy in float32: losses, outputs and signs after every step, and the weights."""
    task = tasks.load("sphere-random", n_train=n, n_test=0, seed=seed, dim=dim)
    w, a = two_layer.init(width, dim, seed=seed, init="paired")
    x, y, w = task.x, task.y, w.copy()

    def forward():
        c, s, mu = centred_scale(w)
        z = s[:, None] * (np.where(c >= 0, 1, -1).astype(np.float32) @ x.T) + mu[:, None] * x.sum(axis=1)
        return z >= 0, a @ np.maximum(z, 0) / np.sqrt(np.float32(width)), c >= 0

    active, f, q = forward()
    first = active
    kernel = (x @ x.T).astype(np.float64) * (active.astype(float).T @ active) / width
    eta = np.float32(eta_rel / np.linalg.eigvalsh(kernel)[-1])
    losses, outputs, signs, weights = [0.5 * float(((f - y) ** 2).sum())], [f], [q], [w.copy()]
    for _ in range(steps):
        used = first if frozen else active
        w -= eta / np.sqrt(np.float32(width)) * a[:, None] * ((used * (f - y)) @ x)
        active, f, q = forward()
        losses.append(0.5 * float(((f - y) ** 2).sum()))
        outputs.append(f)
        signs.append(q)
        weights.append(w.copy())
    return np.array(losses), outputs, signs, weights


@pytest.mark.parametrize("frozen", _FROZEN)
def test_what_is_counted_is_what_a_plain_training_shows(frozen):
    steps = 60
    found = SignReversals("sphere-random", 7, 9, 48, (21, 22), steps=steps, frozen=frozen).run(SCRATCH)
    losses, outputs, signs, weights = plain(22, steps=steps, frozen=frozen)
    row = found.iloc[1]
    assert row["loss_start"] == pytest.approx(losses[0], rel=1e-6)
    assert row["loss_end"] == pytest.approx(
        losses[-1], rel=1e-3
    )  # float32 over 60 steps, while no flip is rounded away
    flipped = np.array([before != after for before, after in itertools.pairwise(signs)])

    def share(window, within):
        undone = sum(
            (flipped[t] & flipped[max(t - within, 0) : t].any(axis=0)).sum() for t in range(*window.indices(steps))
        )
        return undone / flipped[window].sum()

    end, down = slice(54, 60), between(losses)
    assert row["end"] == pytest.approx(share(end, WITHIN))
    assert row["end_next"] == pytest.approx(share(end, 1))
    assert row["down"] == pytest.approx(share(down, WITHIN))
    assert row["end_rate"] == pytest.approx(flipped[end].mean())
    assert row["down_rate"] == pytest.approx(flipped[down].mean())
    assert row["twice"] == pytest.approx((flipped[end].sum(axis=0) >= 2).mean())
    second = flipped[30:].any(axis=0)
    magnitude = np.abs(weights[30] - weights[30].mean(axis=1, keepdims=True))
    assert row["inertia"] == pytest.approx(np.mean(magnitude[second] <= np.quantile(magnitude, 0.1)))
    assert row["data_seed"] == 22
    assert not row["diverged"]
    whole = outputs[-1] - outputs[0]
    _, s, mu = centred_scale(weights[0])
    x = tasks.load("sphere-random", n_train=9, n_test=0, seed=22, dim=7).x
    z = s[:, None] * (np.where(signs[-1], 1, -1) @ x.T) + mu[:, None] * x.sum(axis=1)
    alone = two_layer.init(48, 7, seed=22, init="paired").a @ np.maximum(z, 0) / np.sqrt(48)
    assert row["through_flips"] == pytest.approx(float(alone @ whole / (whole @ whole)), rel=1e-4)


def test_frozen_activations_are_another_training():
    free, held = (SignReversals("sphere-random", 7, 9, 48, (22,), steps=60, frozen=one).run(SCRATCH) for one in _FROZEN)
    assert free["loss_start"].tolist() == held["loss_start"].tolist()
    assert free["loss_end"].tolist() != held["loss_end"].tolist()


def test_a_flip_undoes_the_one_before_if_it_is_near_enough():
    signs = np.zeros((1, 3), dtype=bool)
    history = FlipHistory(signs, 30, marks=(0, 2))
    for step in range(30):
        signs = signs.copy()
        signs[0, 0] = step % 2 == 0  # flips at every step
        if step in (0, WITHIN, 2 * WITHIN + 1):  # flips WITHIN steps apart, then one step more
            signs[0, 1] = not signs[0, 1]
        history.add(signs)
    # 29 of the 30 flips of the first undo, and one of the three of the second; the third never flips
    assert history.share_undone(slice(0, 30)) == pytest.approx(30 / 33)
    assert history.share_undone(slice(0, 30), within=1) == pytest.approx(29 / 33)
    assert history.share_undone(slice(1, 2)) == 1
    assert history.rate(slice(0, 30)) == pytest.approx(33 / 90)
    assert history.since[0].tolist() == [[30, 3, 0]]
    assert history.since[2].tolist() == [[28, 2, 0]]
    assert np.isnan(history.share_undone(slice(5, 5)))
    assert np.isnan(history.rate(slice(5, 5)))


def test_the_way_down_is_between_half_and_a_tenth_for_the_first_time():
    loss = np.array([10.0, 6.0, 5.0, 7.0, 3.0, 0.9, 2.0, 0.5])
    assert between(loss) == slice(2, 5)
    assert between(loss[:5]) == slice(0, 0)


def test_outputs_with_the_signs_they_have_are_the_outputs():
    start = two_layer.init(33, 6, seed=0)
    x = tasks.load("sphere-random", n_train=8, n_test=0, seed=1, dim=6).x
    # float32 against float64 over sums of 33 x 6 terms
    np.testing.assert_allclose(
        with_signs(x, start, centred_scale(start.w)[0] >= 0), two_layer.outputs(x, start), atol=1e-5
    )


def test_the_smallest_tenth_is_of_all_weights():
    w = np.arange(-50.0, 50.0).reshape(1, 100) + 0.5  # mean 0, magnitudes 0.5, 0.5, 1.5, ...
    flipped = np.zeros((1, 100), dtype=bool)
    flipped[0, [50, 49, 55, 99]] = True  # magnitudes 0.5, 0.5, 5.5, 49.5; the tenth ends below 5
    assert from_smallest(w, flipped) == 0.5
    assert np.isnan(from_smallest(w, np.zeros((1, 100), dtype=bool)))


def test_mistakes_are_told():
    with pytest.raises(InputError, match="steps must be at least 20"):
        SignReversals("digits", 0, 8, 16, (0,), steps=19)
