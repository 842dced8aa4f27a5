from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.data import tasks
from ntk1bit.data.regression_task import PARALLEL_WITHIN, parallel_rows
from ntk1bit.errors import InputError


def unit(rows, dim, seed=0):
    x = np.random.default_rng(seed).standard_normal((rows, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_parallel_rows_against_every_pair():
    x = unit(40, 3)
    x[[7, 20]] = x[2]
    x[30] = -x[4]
    x[31] = x[5] + 0.4 * PARALLEL_WITHIN * unit(1, 3, seed=1)[0]
    x[32] = x[6] + 4.0 * PARALLEL_WITHIN * unit(1, 3, seed=2)[0]
    slow = [
        j
        for j in range(len(x))
        if any(min(np.linalg.norm(x[i] - x[j]), np.linalg.norm(x[i] + x[j])) <= PARALLEL_WITHIN for i in range(j))
    ]
    assert slow == [7, 20, 30, 31]
    assert parallel_rows(x).tolist() == slow


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_parallel_rows_of_few(rows):
    assert parallel_rows(unit(rows, 4)).tolist() == []


def test_duplicates_are_dropped_and_reported_and_replaced():
    x, y = unit(12, 5), np.linspace(-1, 1, 12)
    x = np.concatenate([x, 3.0 * x[:4], -x[5:6]])
    y = np.concatenate([y, np.zeros(5)])
    task = tasks.from_arrays("mine", x, y, n_train=8, n_test=4, centre_inputs=False)
    assert (task.n_train, task.n_test) == (8, 4)
    together = np.concatenate([task.x, task.x_test]).astype(np.float64)
    inner = np.abs(together @ together.T) - np.eye(12)
    assert inner.max() < 1 - PARALLEL_WITHIN**2 / 4
    assert any("parallel" in note for note in task.notes)
    with pytest.raises(InputError, match="ask for at most"):
        tasks.from_arrays("mine", x, y, n_train=10, n_test=4, centre_inputs=False)


def test_centring_uses_the_training_mean_only():
    x, y = unit(30, 6) + 2.0, np.linspace(-1, 1, 30)
    task = tasks.from_arrays("mine", x, y, n_train=20, n_test=10)
    order = np.random.default_rng(0).permutation(30)
    raw = x[order][10:] - x[order][10:].mean(axis=0)
    expected = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    np.testing.assert_allclose(task.x, expected, atol=1e-6)  # float32 coordinates of unit vectors


def test_large_targets_are_scaled_and_that_is_said():
    task = tasks.from_arrays("mine", unit(10, 3), np.arange(10.0), n_train=6, n_test=4)
    assert max(np.abs(task.y).max(), np.abs(task.y_test).max()) <= 1
    assert any("divided by 9" in note for note in task.notes)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.full((10, 2), np.nan), np.arange(10.0), "NaN"),
        (unit(10, 2), np.full(10, np.nan), "NaN"),
        (unit(10, 2), np.ones(10), "nothing to learn"),
        (np.concatenate([unit(9, 2), np.zeros((1, 2))]), np.arange(10.0), "zero vector"),
        (unit(10, 2), np.arange(9.0), r"\(n, d\)"),
        (np.empty((10, 0)), np.arange(10.0), "d >= 1"),
        (np.ones((10, 2)), np.arange(10.0), "usable points"),
    ],
)
@pytest.mark.usefixtures("untyped")
def test_unusable_data_is_refused(x, y, message):
    with pytest.raises(InputError, match=message) as caught:
        tasks.from_arrays("mine", x, y, n_train=6, n_test=4, centre_inputs=False)
    assert "\n" not in str(caught.value)


def test_a_task_checks_what_it_promises():
    x, y = unit(4, 3).astype(np.float32), np.array([0, 1, 0, 1], np.float32)
    tasks.Task("ok", x, y, x[:0], y[:0])
    for bad_x, bad_y, message in [
        (2 * x, y, "unit norm"),
        (x, 2 * y, r"\[-1, 1\]"),
        (x, 0 * y, "nothing to learn"),
        (x, np.full(4, np.nan, np.float32), "NaN"),
    ]:
        with pytest.raises(InputError, match=message):
            tasks.Task("bad", bad_x, bad_y, x[:0], y[:0])
