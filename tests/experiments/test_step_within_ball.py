from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.experiments.step_within_ball import StepInBall, ball_terms
from ntk1bit.experiments.within_ball import difference, sphere, unit
from ntk1bit.networks import two_layer
from ntk1bit.networks.two_layer.pattern_changes import pattern_changes

SCRATCH = Path("not used")


def step(width=40, dim=6, n=5, eta=0.3, seed=0):
    x, y = sphere(n, dim, seed)
    drawn = two_layer.init(width, dim, seed=seed)
    weights = two_layer.Weights(drawn.w.astype(np.float64), drawn.a.astype(np.float64))
    on = two_layer.activation_patterns(x, weights)
    r = two_layer.outputs(x, weights) - y
    moved = weights.w - eta / np.sqrt(width) * weights.a[:, None] * (on @ (r[:, None] * x))
    return x, y, weights, moved


def test_terms_are_the_sums_of_the_definition():
    x, y, weights, moved = step()
    possible = pattern_changes(weights.w, x, 0.1).possible
    found = ball_terms(x, y, weights, moved, possible, 0.3)
    r = two_layer.outputs(x, weights) - y
    c1 = c2 = c3 = outside = 0.0
    u, u_moved = difference(weights.w), difference(moved)
    for i in range(len(x)):
        for j in range(weights.width):
            before = float((weights.w + u)[j] @ x[i] >= 0)
            after = float((moved + u_moved)[j] @ x[i] >= 0)
            factor = weights.a[j] / np.sqrt(weights.width) * r[i]
            change = factor * (after * (moved[j] @ x[i]) - before * (weights.w[j] @ x[i]))
            c1, c2 = (c1, c2 + change) if possible[j, i] else (c1 + change, c2)
            c3 += factor * (after * (u_moved[j] @ x[i]) - before * (u[j] @ x[i]))
            if possible[j, i] and before:
                active = (weights.w + u)[j] @ x.T >= 0
                outside += 0.3 * r[i] * (active * (x @ x[i]) * r).sum() / weights.width
    after_loss = 0.5 * np.sum((two_layer.outputs(x, two_layer.Weights(moved, weights.a)) - y) ** 2)
    # sums of 200 products in float64
    assert found.c1 == pytest.approx(c1, rel=1e-10)
    assert found.c2 == pytest.approx(c2, rel=1e-10)
    assert found.c3 == pytest.approx(c3, rel=1e-10)
    assert found.outside == pytest.approx(outside, rel=1e-10)
    assert 0.5 * r @ r + sum(found[:4]) == pytest.approx(after_loss, rel=1e-12)


def test_the_terms_are_another_split_of_what_the_library_takes_apart():
    x, y, weights, moved = step(seed=3)
    nobody = np.zeros((weights.width, len(x)), dtype=bool)
    found = ball_terms(x, y, weights, moved, nobody, 0.3)
    other = two_layer.step_terms(x, y, weights, eta=0.3)
    assert found.c1 + found.c2 + found.c3 == pytest.approx(other.c1 + other.c2 + other.c3, rel=1e-10)
    assert found.c4 == pytest.approx(other.c4, rel=1e-10)
    assert found.unit == pytest.approx(other.unit, rel=1e-10)
    assert found.c2 == found.outside == 0


def test_steps_follow_each_other_and_keep_to_the_ball():
    frame = StepInBall(8, 64, 6, (1.0, 1e5), 3, 2).run(SCRATCH)
    assert frame.equals(StepInBall(8, 64, 6, (1.0, 1e5), 3, 2).run(SCRATCH))
    assert len(frame) == 2 * 2 * 3
    assert (frame["leaked"].to_numpy() == 0).all()
    # the loss of a step is the loss after the one before, evaluated by the same code
    for _, run in frame.groupby(["seed", "multiple"]):
        assert run["loss"].to_numpy()[1:].tolist() == run["loss_after"].to_numpy()[:-1].tolist()
    row = frame.iloc[0]
    assert row["rate"] == pytest.approx(unit(row["lambda_min"], n=6, width=64, dim=8))
    change = row[["c1", "c2", "c3", "c4"]].sum()
    # losses of order 1 in float64 beside a change of 1e-7
    assert change == pytest.approx(row["loss_after"] - row["loss"], rel=1e-6)
    assert row["c1"] == pytest.approx(-row["unit"], rel=1e-6)


def test_no_steps_are_refused():
    with pytest.raises(InputError, match="steps must be at least 1"):
        StepInBall(8, 64, 6, (1.0,), 0, 2)
