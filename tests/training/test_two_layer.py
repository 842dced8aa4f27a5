"""Training side by side in JAX against the reference, which trains one network at a time in NumPy."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks import two_layer
from ntk1bit.networks.two_layer import Trajectory, Weights
from ntk1bit.training.two_layer import train_side_by_side

COUNTED = ("drift", "kernel_norm", "lambda_min", "lambda_max", "flipped", "activation_change", "max_activation_change")
EPSILON = float(np.finfo(np.float32).eps)


def unit(n: int, dim: int, *, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def signs(n: int) -> np.ndarray:
    return np.where(np.arange(n) % 2, 1, -1).astype(np.float32)


def same(one: Trajectory, other: Trajectory, *, kappa: float, dim: int) -> None:
    """Compare while no sign and no activation has fallen on the other side of its threshold.

    Then everything that is counted is the same, and float32 sums differ by rounding. An output is kappa/sqrt(m) times
    a sum over m neurons of sums over d inputs, of sizes up to sqrt(d): one epsilon in each term, all of one sign, would
    move it by kappa sqrt(m d) epsilon, and signs at random by kappa sqrt(d) epsilon. Weights are of order 1 and move by
    less. The bound is that of random signs with sqrt(d) to spare, and 16 for the six passes that are compared.
    """
    rounding = 16 * EPSILON * max(kappa, 1) * dim
    assert one.steps.tolist() == other.steps.tolist()
    for name in COUNTED:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.eta == other.eta
    np.testing.assert_allclose(one.outputs, other.outputs, rtol=0, atol=rounding)
    np.testing.assert_allclose(one.test_outputs, other.test_outputs, rtol=0, atol=rounding)
    # dL = residual df, and norm(residual) is at most its start here
    slack = rounding * np.sqrt(2 * len(one.outputs[0]) * other.loss[0])
    np.testing.assert_allclose(one.loss, other.loss, rtol=16 * EPSILON, atol=slack)
    np.testing.assert_allclose(one.final.w, other.final.w, rtol=0, atol=rounding)
    np.testing.assert_allclose(one.radius, other.radius, rtol=0, atol=rounding)
    np.testing.assert_array_equal(one.final.a, other.final.a)


@pytest.mark.parametrize(
    ("width", "dim", "n", "precision", "scale", "inits"),
    [
        (64, 7, 5, "one_bit", "std", ("paired", "iid", "paired")),
        (131, 17, 33, "one_bit", "absmean", ("iid", "iid", "iid")),
        (130, 9, 11, "full", "std", ("iid", "paired", "iid")),
    ],
)
def test_first_steps_are_those_of_the_reference_and_of_the_cores(width, dim, n, precision, scale, inits):
    x, y, kappas = unit(n, dim, seed=3), signs(n), (1.0, 0.3, 2.0)
    starts = [two_layer.init(width, dim, seed=seed, init=init) for seed, init in enumerate(inits)]
    kept = [one.w.copy() for one in starts]
    shared: dict[str, Any] = {"precision": precision, "scale": scale, "eta_rel": 0.7, "steps": 5, "record": [2]}
    shared["x_test"] = unit(4, dim, seed=4)
    found = train_side_by_side(x, y, starts, kappas=kappas, **shared)
    for start, w, kappa, init, one in zip(starts, kept, kappas, inits, found, strict=True):
        np.testing.assert_array_equal(start.w, w)
        for reference in (True, False):
            same(one, two_layer.train(x, y, start, kappa=kappa, reference=reference, **shared), kappa=kappa, dim=dim)
        if init == "paired":
            assert not one.outputs[0].any()
            assert not one.test_outputs[0].any()
        assert not one.diverged
        assert one.final.w.dtype == np.float32
        for name in (*COUNTED, "radius", "outputs", "test_outputs", "loss"):
            assert getattr(one, name).dtype == np.float64


@pytest.mark.parametrize("activity", two_layer.ACTIVITIES)
@pytest.mark.parametrize(
    ("width", "dim", "n", "precision", "scale"),
    [(64, 7, 5, "one_bit", "std"), (131, 17, 33, "one_bit", "absmean"), (130, 9, 11, "full", "std")],
)
def test_first_steps_by_other_activities(width, dim, n, precision, scale, activity):
    x, y, kappas = unit(n, dim, seed=3), signs(n), (1.0, 0.3)
    starts = [two_layer.init(width, dim, seed=seed) for seed in range(2)]
    shared: dict[str, Any] = {"precision": precision, "scale": scale, "activity": activity, "eta_rel": 0.7, "steps": 5}
    shared |= {"record": [2], "x_test": unit(4, dim, seed=4)}
    for start, kappa, one in zip(
        starts, kappas, train_side_by_side(x, y, starts, kappas=kappas, **shared), strict=True
    ):
        for reference in (True, False):
            same(one, two_layer.train(x, y, start, kappa=kappa, reference=reference, **shared), kappa=kappa, dim=dim)
        if (precision, activity) != (
            "full",
            "latent",
        ) and activity != "straight_through":  # steps that can be told apart
            others: dict[str, Any] = shared | {"activity": "straight_through"}
            other = two_layer.train(x, y, start, kappa=kappa, **others)
            assert np.abs(one.final.w - other.final.w).max() > 100 * 16 * EPSILON * dim


def test_latent_is_straight_through_in_full_precision_to_the_bit():
    x, y, starts = unit(9, 6, seed=0), signs(9), [two_layer.init(32, 6, seed=0)]
    one, other = (
        train_side_by_side(x, y, starts, precision="full", activity=activity, steps=9)[0]
        for activity in ("straight_through", "latent")
    )
    np.testing.assert_array_equal(one.final.w, other.final.w)


def test_late_in_training_it_agrees_in_distribution():
    """Means over 24 seeds at the end of 300 steps, the seeds of one side being others than those of the other.

    Differences of independent means are compared with four of their standard errors; of a normal variable 1 in 16,000
    is beyond, and of four comparisons 1 in 4,000. The seeds are fixed, so it either happens always or never.
    """
    x, y, width, seeds = unit(12, 8, seed=0), signs(12), 64, 24
    shared: dict[str, Any] = {"steps": 300, "record": 2, "eta_rel": 0.5, "x_test": unit(16, 8, seed=1)}
    ours = train_side_by_side(x, y, [two_layer.init(width, 8, seed=seed) for seed in range(seeds)], **shared)
    theirs = [two_layer.train(x, y, two_layer.init(width, 8, seed=100 + seed), **shared) for seed in range(seeds)]

    def ends(runs: list[Trajectory]) -> np.ndarray:
        return np.array([[r.loss[-100:].mean(), r.drift[-1], r.flipped[-1], r.radius[-1]] for r in runs])

    mine, others = ends(ours), ends(theirs)
    error = np.sqrt((mine.var(axis=0, ddof=1) + others.var(axis=0, ddof=1)) / seeds)
    assert (np.abs(mine.mean(axis=0) - others.mean(axis=0)) <= 4 * error).all()
    assert (error <= 0.2 * others.mean(axis=0)).all()  # a comparison that could fail


def test_a_network_is_the_same_alone_and_beside_others_and_in_a_program_with_x64():
    x, y = unit(9, 6, seed=0), signs(9)
    starts = [two_layer.init(32, 6, seed=seed) for seed in range(3)]
    shared: dict[str, Any] = {"steps": 4, "record": 3, "x_test": x[:2]}
    beside = train_side_by_side(x, y, starts, **shared)
    same(train_side_by_side(x, y, starts[1:2], **shared)[0], beside[1], kappa=1, dim=6)
    with jax.enable_x64(True):
        wide = train_side_by_side(x, y, starts, **shared)
    for one, other in zip(beside, wide, strict=True):
        for name in ("loss", "outputs", "test_outputs", "radius"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        np.testing.assert_array_equal(one.final.w, other.final.w)


def test_divergence_ends_one_trajectory_and_the_others_go_on():
    """A full-precision network of a few neurons with a rate far beyond 2 diverges; one without residual stays."""
    x, start = unit(6, 5, seed=0), two_layer.init(64, 5, seed=0, init="paired")
    y = np.zeros(6, np.float32)  # what a paired network gives at its start
    other = two_layer.init(64, 5, seed=1)
    shared: dict[str, Any] = {"precision": "full", "eta_rel": 100.0, "steps": 60, "record": 61}
    resting, lost = train_side_by_side(x, y, [start, other], **shared)
    assert not resting.diverged
    assert resting.steps_done == 60
    assert resting.loss.max() == 0
    reference = two_layer.train(x, y, other, reference=True, **shared)
    assert lost.diverged
    assert reference.diverged
    assert lost.steps_done == reference.steps_done < 60
    assert lost.steps.tolist() == list(range(lost.steps_done))  # nothing is recorded of the step that diverged
    np.testing.assert_allclose(lost.loss, reference.loss, rtol=1e-3)  # rounding, amplified with the loss


def test_signs_and_activations_on_a_threshold_fall_as_in_the_reference():
    """Sign(0) = +1 where weights equal their mean, and z = 0 is active, of an input of zeros above all."""
    w = np.array([[1, 1, 1], [1, -1, 0], [-2, -2, -2], [0, 0, 0]], np.float32)
    start = Weights(w, np.array([1, -1, 1, -1], np.float32))
    x = np.array([[0, 0, 0], [1, 0, 0], [0.5, 0.5, 0]], np.float32)
    shared: dict[str, Any] = {"steps": 2, "record": 3, "x_test": x, "eta_rel": 0.5}
    found = train_side_by_side(x, [1.0, -1.0, 0.5], [start], **shared)[0]
    reference = two_layer.train(x, [1.0, -1.0, 0.5], start, reference=True, **shared)
    for name in ("kernel_norm", "activation_change", "flipped"):
        np.testing.assert_array_equal(getattr(found, name), getattr(reference, name))
    np.testing.assert_allclose(found.outputs, reference.outputs, rtol=0, atol=16 * EPSILON)


def test_losses_beyond_the_squares_of_float32_are_measured():
    x, y = unit(3, 4, seed=0), np.full(3, 1e25)
    shared: dict[str, Any] = {"steps": 1, "precision": "full"}
    start = two_layer.init(16, 4, seed=0)
    found = train_side_by_side(x, y, [start], **shared)[0]
    np.testing.assert_allclose(found.loss, two_layer.train(x, y, start, **shared).loss, rtol=16 * EPSILON, atol=0)


@pytest.mark.usefixtures("untyped")
def test_what_cannot_be_trained_is_refused_in_a_line():
    x, y, start = unit(4, 3, seed=0), signs(4), two_layer.init(8, 3, seed=0)
    wide = Weights(start.w.astype(np.float64), start.a.astype(np.float64))
    dead = Weights(np.full((1, 3), -1, np.float32), np.ones(1, np.float32))
    refused: list[tuple[list[Weights], dict[str, Any], str]] = [
        ([start, wide], {}, "float32 weights of one shape"),
        ([start, two_layer.init(6, 3, seed=0)], {}, "of one shape"),
        ([start], {"kappas": [1.0, 2.0]}, "1 networks but 2 kappas"),
        ([start], {"steps": 0}, "1 or more"),
        ([start], {"eta_rel": 0.0}, "positive"),
        ([start], {"activity": "forward"}, "unknown activity 'forward'"),
        ([dead], {"precision": "full"}, "no neuron of this network"),
    ]
    for weights, more, message in refused:
        with pytest.raises(InputError, match=message) as caught:
            train_side_by_side(np.abs(x), y, weights, **more)
        assert "\n" not in str(caught.value)
    assert train_side_by_side(x, y, []) == []
