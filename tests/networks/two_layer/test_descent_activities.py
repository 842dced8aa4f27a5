"""By which activations a step goes: those of the forward pass, of the latent weights, or of the start."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from ntk1bit import cores, kernels
from ntk1bit.errors import InputError
from ntk1bit.networks import two_layer
from ntk1bit.networks.two_layer import Activity, Precision, TrainingMemory, Trajectory, Weights
from ntk1bit.networks.two_layer.engines import PackedEngine, ReferenceEngine

from .test_network import unit

RECORDED = [name for name in Trajectory.__dataclass_fields__ if name not in ("final", "eta", "diverged")]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
ACTIVITIES: tuple[Activity, ...] = get_args(Activity)
OTHERS = [one for one in ACTIVITIES if one != "straight_through"]


def targets(n: int) -> np.ndarray:
    return np.linspace(-1, 1, n).astype(np.float32) if n > 1 else np.ones(1, np.float32)


def preactivation(w: np.ndarray, x: np.ndarray, precision: str, scale: str) -> np.ndarray:
    if precision == "full":
        return w @ x.T
    mu = w.mean(axis=1, keepdims=True)
    s = (w - mu).std(axis=1, keepdims=True) if scale == "std" else np.abs(w - mu).mean(axis=1, keepdims=True)
    return (s * np.where(w >= mu, 1.0, -1.0) + mu) @ x.T


def plainly(
    x: np.ndarray, y: np.ndarray, start: Weights, *, precision: str, kappa: float, scale: str, activity: str,
    eta: float, steps: int,
) -> tuple[np.ndarray, list[np.ndarray]]:  # fmt: skip
    """Train by the formulas in float64; return the weights after the last step, and f before each step and after it."""
    w, factor, outputs = start.w.copy(), kappa / np.sqrt(start.width), []
    at_start = preactivation(w, x, precision, scale) >= 0
    for _ in range(steps):
        z = preactivation(w, x, precision, scale)
        outputs.append(factor * start.a @ np.maximum(z, 0))
        active = {"straight_through": z >= 0, "latent": w @ x.T >= 0, "frozen": at_start}[activity]
        w -= eta * factor * start.a[:, None] * ((active * (outputs[-1] - y)) @ x)
    return w, [*outputs, factor * start.a @ np.maximum(preactivation(w, x, precision, scale), 0)]


def assert_same(found: Trajectory, expected: Trajectory) -> None:
    for name in RECORDED:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert (found.eta, found.diverged) == (expected.eta, expected.diverged)
    np.testing.assert_array_equal(found.final.w, expected.final.w)


@pytest.mark.parametrize("activity", ACTIVITIES)
@pytest.mark.parametrize("precision", ["one_bit", "full"])
@pytest.mark.parametrize("scale", ["std", "absmean"])
@pytest.mark.parametrize(("width", "dim", "n", "init"), [(6, 3, 4, "paired"), (7, 5, 3, "iid"), (2, 2, 1, "iid")])
def test_the_reference_is_the_formula(width, dim, n, init, scale, precision, activity):
    start = two_layer.init(width, dim, seed=3, init=init)
    start = Weights(start.w.astype(np.float64), start.a.astype(np.float64))
    x, y = unit(n, dim, seed=1, dtype=np.float64), np.linspace(-1, 1, n) if n > 1 else np.ones(1)
    options: dict[str, Any] = {"precision": precision, "kappa": 0.8, "scale": scale}
    eta = 0.5 / np.linalg.eigvalsh(kernels.empirical_ntk(x, start, **options))[-1]  # H(0) of z for every activity
    w, outputs = plainly(x, y, start, activity=activity, eta=eta, steps=12, **options)
    run = two_layer.train(x, y, start, activity=activity, eta_rel=0.5, steps=12, **options)
    assert run.eta == pytest.approx(eta, rel=1e-12)
    # 12 steps of float64 sums in another order; an activation that falls otherwise is an error of order 1
    np.testing.assert_allclose(run.final.w, w, rtol=0, atol=1e-12)
    np.testing.assert_allclose(run.outputs, outputs, rtol=0, atol=1e-12)


def test_a_step_by_hand():
    """One neuron and two inputs, on which z and <w, x> are on the same side of 0: one step for all activities.

    w = (3, -1, 1): mu = 1, c = (2, -2, 0), s = sqrt(8/3), q = (1, -1, 1) as Sign(0) = 1, so the rounded weights are
    1 + s (1, -1, 1), and eta kappa/sqrt(m) = 1/2 below.
    """
    w, a = np.array([[3.0, -1.0, 1.0]]), np.array([1.0])
    x, y = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), np.array([0.5, 0.5])
    s = np.sqrt(8 / 3)
    f = 1 + s  # of the second input; on the first z = 1 - s < 0 and <w, x> = -1
    for precision in PRECISIONS:
        for activity in ACTIVITIES:
            engine = ReferenceEngine(x, Weights(w.copy(), a), precision, 1.0, "std", activity)
            out = engine.forward()
            expected = [0.0, f] if precision == "one_bit" else [0.0, 1.0]
            np.testing.assert_allclose(out, expected, atol=1e-15)
            engine.descend(out - y, 0.5)
            moved = 1 - 0.5 * (expected[1] - 0.5)
            np.testing.assert_allclose(engine.weights.w, [[3.0, -1.0, moved]], atol=1e-15)


def test_activities_part_where_patterns_do():
    """w = (3, 0.9, -0.9): mu = 1, and on x = (0, 1, 0) z = mu - s = 1 - 1.59 < 0, while <w, x> = 0.9.

    So ``latent`` moves the second weight, and the others do not.
    """
    w, a = np.array([[3.0, 0.9, -0.9]]), np.array([1.0])
    x, y = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]), np.array([0.5, 0.5])
    s = np.sqrt(((w - 1) ** 2).mean())
    residual = np.array([-0.5, 1 + s - 0.5])
    for activity in ACTIVITIES:
        engine = ReferenceEngine(x, Weights(w.copy(), a), "one_bit", 1.0, "std", activity)
        out = engine.forward()
        np.testing.assert_allclose(out - y, residual, atol=1e-15)
        engine.descend(residual, 0.1)
        second = 0.9 + 0.1 * 0.5 * (activity == "latent")
        np.testing.assert_allclose(engine.weights.w, [[3 - 0.1 * residual[1], second, -0.9]], atol=1e-15)


@pytest.mark.parametrize("engine", [PackedEngine, ReferenceEngine])
@pytest.mark.parametrize("precision", ["one_bit", "full"])
def test_frozen_steps_go_by_the_start_however_far_activations_have_moved(engine, precision):
    """A step is linear in the residual with the patterns of the start, whatever the patterns are by now."""
    x, start = unit(9, 6, seed=1), two_layer.init(128, 6, seed=0)
    trained = engine(x, Weights(start.w.copy(), start.a), precision, 1.0, "std", "frozen")
    residual = np.linspace(-1, 1, 9).astype(np.float32)
    at_start = two_layer.activation_patterns(x, start, precision=precision)
    trained.forward()
    trained.mark_start()
    sum_of_residuals = np.zeros(9)
    for step in range(6):
        trained.descend(residual * (step + 1), 2.0)
        trained.forward()
        sum_of_residuals += residual.astype(float) * (step + 1)
    assert trained.activation_changes().sum() > 20  # so another activity would have gone elsewhere
    pull = (at_start * sum_of_residuals) @ x.astype(float)
    expected = start.w - 2.0 / np.sqrt(128) * start.a[:, None] * pull
    np.testing.assert_allclose(trained.weights.w, expected, atol=1e-5)  # six steps of float32 of sizes up to 10


@pytest.mark.parametrize("activity", OTHERS)
@pytest.mark.parametrize("precision", ["one_bit", "full"])
@pytest.mark.parametrize(("scale", "init"), [("std", "iid"), ("absmean", "paired")])
@pytest.mark.parametrize(("width", "dim", "n"), [(6, 1, 3), (64, 7, 5), (1026, 65, 63), (2049, 17, 100)])
def test_the_cores_against_plain_numpy(width, dim, n, init, scale, precision, activity):
    """As `test_descent` does for straight-through steps: but for neurons on a threshold there is rounding only."""
    start = two_layer.init(width + (width % 2 and init == "paired"), dim, seed=2, init=init)
    x, y = unit(n, dim, seed=3), targets(n)
    options: dict[str, Any] = {"precision": precision, "scale": scale, "activity": activity, "kappa": 0.9, "steps": 8}
    fast = two_layer.train(x, y, start, x_test=x[:2], **options)
    slow = two_layer.train(x, y, start, x_test=x[:2], reference=True, **options)
    assert fast.eta == pytest.approx(slow.eta, rel=1e-6)
    rounding, others = 1e-5, 2  # float32 epsilon 1.2e-7, sums of up to 2050 terms, 8 steps; neurons on a threshold
    apart = np.abs(fast.final.w - slow.final.w).max(axis=1)
    assert np.count_nonzero(apart > rounding) <= others
    share = rounding + others * apart.max() * np.sqrt(dim) / np.sqrt(width)
    np.testing.assert_allclose(fast.test_outputs, slow.test_outputs, atol=share)
    for name in ("flipped", "activation_change"):
        np.testing.assert_allclose(getattr(fast, name), getattr(slow, name), atol=others / width)
    np.testing.assert_allclose(fast.loss[:3], slow.loss[:3], rtol=rounding)


@pytest.mark.parametrize("activity", ACTIVITIES)
@pytest.mark.parametrize("precision", ["one_bit", "full"])
@pytest.mark.parametrize(("width", "dim", "n"), [(9001, 33, 70), (3075, 7, 33), (20_002, 1, 1)])
def test_neither_threads_nor_a_file_nor_a_repetition_change_a_bit(width, dim, n, precision, activity, tmp_path):
    x, y, start = unit(n, dim, seed=3), targets(n), two_layer.DrawnWeights(width, dim, seed=0)
    options: dict[str, Any] = {"precision": precision, "activity": activity, "steps": 6, "x_test": x}
    expected = two_layer.train(x, y, start.weights(), **options)
    sizes = TrainingMemory(width, dim, n, n, 6, 7, activity)
    for threads in (1, 2, 3):
        for limit in (None, sizes.least, (sizes.least + sizes.whole) // 2):
            with cores.using(threads=threads):
                found = two_layer.train(x, y, start, memory=limit, scratch=tmp_path / "key", **options)
            assert isinstance(found.final.w, np.memmap) == (limit is not None)
            assert_same(found, expected)


@pytest.mark.parametrize("reference", [False, True])
def test_in_full_precision_latent_is_straight_through_and_frozen_is_another(reference):
    x, y, start = unit(20, 5, seed=0), targets(20), two_layer.init(64, 5, seed=0)
    options: dict[str, Any] = {"precision": "full", "steps": 30, "reference": reference}
    one, latent, frozen = (two_layer.train(x, y, start, activity=activity, **options) for activity in ACTIVITIES)
    assert_same(latent, one)
    np.testing.assert_array_equal(frozen.loss[:2], one.loss[:2])
    assert frozen.loss[-1] != one.loss[-1]


@pytest.mark.parametrize("reference", [False, True])
def test_one_step_is_the_same_where_patterns_agree(reference):
    """The start's patterns are those of z: frozen always agrees at first, latent for neurons chosen so."""
    x, y, drawn = unit(6, 8, seed=0), targets(6), two_layer.init(4096, 8, seed=0)
    agree = (two_layer.activation_patterns(x, drawn) == (drawn.w @ x.T >= 0)).all(axis=1)
    assert 100 < agree.sum() < 4000
    for start, same in ((Weights(drawn.w[agree], drawn.a[agree]), True), (drawn, False)):
        through, latent, frozen = (
            two_layer.train(x, y, start, activity=activity, steps=1, reference=reference) for activity in ACTIVITIES
        )
        assert_same(frozen, through)
        assert np.array_equal(latent.final.w, through.final.w) == same
        assert latent.eta == through.eta  # of H(0), which is of z


@pytest.mark.usefixtures("untyped")
def test_another_activity_is_refused_in_a_line():
    unknown: Any = "latents"
    with pytest.raises(InputError, match=r"unknown activity 'latents'.*latent") as told:
        two_layer.train(unit(3, 4), targets(3), two_layer.init(8, 4, seed=0), activity=unknown)
    assert "\n" not in str(told.value)
