from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks import mlp
from ntk1bit.networks.mlp import MLP
from ntk1bit.training.checkpoints import Checkpoint
from ntk1bit.training.descent import NEVER
from ntk1bit.training.oscillation import Oscillation, oscillation_reference
from ntk1bit.training.schedules import Training
from ntk1bit.training.supervised import Trained, batch_of, following, train

EPSILON = float(np.finfo(np.float32).eps)
SPEC = MLP(2, (7, 5), bias_deviation=0.2)
INIT, APPLY = functools.partial(mlp.init, SPEC), functools.partial(mlp.apply, SPEC)
X = np.random.default_rng(0).uniform(-1, 1, (23, 2))
Y = X[:, 0] * X[:, 1]
SEEDS = (3, 0, 11)
SETTINGS = Training(40, 0.01, batch=5, every=10, warm_up=4)


def run(training: Training = SETTINGS, seeds: tuple[int, ...] = SEEDS, **options: Any) -> Trained:
    return train(INIT, APPLY, X, Y, training, seeds=seeds, **options)


def plain(training: Training, seed: int) -> tuple[list[float], list[float]]:
    """One network, one step at a time, with optax's complete optimisers: (loss of the batch, of all points)."""
    momentum = {"momentum": training.beta1} if training.optimiser == "momentum" else {}
    make = optax.adam if training.optimiser == "adam" else functools.partial(optax.sgd, **momentum)
    optimiser = make(lambda step: training.rate * training.lr_schedule(step))
    x, y = X.astype(np.float32), Y.astype(np.float32)
    params: Any = INIT(seed)
    state = optimiser.init(params)
    loss_of = jax.jit(lambda p, xs, ys: ((APPLY(p, xs) - ys) ** 2).mean())
    gradient_of = jax.jit(jax.grad(lambda p, xs, ys: ((APPLY(p, xs) - ys) ** 2).mean()))
    losses, every = [], [float(loss_of(params, x, y))]
    for step in range(training.steps):
        chosen = slice(None) if training.batch is None else batch_of(seed, step, count=len(x), batch=training.batch)
        losses.append(float(loss_of(params, x[chosen], y[chosen])))
        updates, state = optimiser.update(gradient_of(params, x[chosen], y[chosen]), state)
        params = optax.apply_updates(params, updates)
        every.append(float(loss_of(params, x, y)))
    return losses, every


@pytest.mark.parametrize(
    "training",
    [
        SETTINGS,
        Training(23, 0.02, every=10),
        Training(21, 0.1, optimiser="sgd", schedule="linear", last=0.1, every=7),
        Training(21, 0.02, batch=5, optimiser="momentum", beta1=0.8, schedule="constant", every=7),
    ],
)
def test_many_seeds_at_once_are_the_plain_loop(training):
    found = run(training)
    assert found.steps.tolist() == list(training.recorded)
    for place, seed in enumerate(SEEDS):
        losses, every = plain(training, seed)
        # compiled and plain steps round differently by float epsilon, and Adam's first steps, gradient over its own
        # size, pass that on: 1e3 epsilon of the loss after up to 40 steps
        expected = np.asarray(every)[found.steps]
        assert np.abs(found.loss[place] - expected).max() < 1e3 * EPSILON
        least = min(losses + every[-1:]) if training.batch is None else found.loss[place].min()
        assert found.least[place] == pytest.approx(least, abs=1e3 * EPSILON)
    assert (found.loss[:, -1] < found.loss[:, 0]).all()
    assert (found.diverged_at == NEVER).all()


def test_the_least_loss_is_over_all_steps_not_the_recorded_ones():
    # so large a rate that the loss rises again
    training = Training(12, 0.6, schedule="constant")
    found = run(training)
    for place, seed in enumerate(SEEDS):
        losses, _ = plain(training, seed)
        assert found.least[place] == pytest.approx(min(losses), rel=1e-3)  # few steps: as in the test above
    assert (found.least < found.loss.min(axis=1)).any()


def test_a_seed_does_not_depend_on_its_company():
    together, alone = run(), run(seeds=(11,))
    # vmapped products of another shape may round differently
    assert np.abs(together.loss[2] - alone.loss[0]).max() < 1e3 * EPSILON
    assert abs(together.loss[0, -1] - together.loss[1, -1]) > 1e3 * EPSILON


def test_batches_are_permutations_and_depend_on_seed_and_step_alone():
    epoch = [batch_of(2, step, count=23, batch=5) for step in range(4, 8)]
    assert len(set(np.concatenate(epoch))) == 20
    again = batch_of(2, 5, count=23, batch=5)
    assert np.array_equal(epoch[1], again)
    assert not np.array_equal(batch_of(3, 5, count=23, batch=5), again)
    assert not np.array_equal(batch_of(2, 1, count=23, batch=5), again)


def test_test_losses_and_watched_outputs_are_recorded():
    found = run(x_test=X[:4] + 0.1, y_test=Y[:4], watch=X[:6])
    assert found.predictions.shape == (3, 5, 6)
    params = jax.tree.map(lambda leaf: leaf[1], found.params)
    # outputs of size 1, compiled with and without a leading axis
    assert np.abs(found.predictions[1, -1] - APPLY(params, X[:6].astype(np.float32))).max() < 100 * EPSILON
    outputs = APPLY(params, (X[:4] + 0.1).astype(np.float32))
    assert found.test_loss[1, -1] == pytest.approx(float(np.mean((outputs - Y[:4]) ** 2)), rel=1e-4)
    assert np.isnan(run().test_loss).all()


def test_a_resumed_training_is_the_same_to_the_last_bit(tmp_path: Path):
    whole = run(watch=X[:2])
    for stop_after in (0.25, 0.75):
        at = tmp_path / "one.checkpoint"

        def stop(_: str, share: float, when: float = stop_after) -> None:
            if share > when:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(watch=X[:2], checkpoint=Checkpoint(at, "a", seconds=0.0), progress=stop)
        assert at.exists()
        seen: list[float] = []

        def see(_: str, share: float, seen: list[float] = seen) -> None:
            seen.append(share)

        resumed = run(watch=X[:2], checkpoint=Checkpoint(at, "a", seconds=0.0), progress=see)
        assert seen[0] == stop_after + 0.25  # it continued after the last checkpoint and did not begin anew
        assert not at.exists()
        for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(resumed), strict=True):
            assert np.array_equal(a, b, equal_nan=True)


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_refused(tmp_path: Path):
    at = tmp_path / "one.checkpoint"

    def stop(_: str, share: float) -> None:
        if share > 0.25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=Checkpoint(at, "a", seconds=0.0), progress=stop)
    kept = at.read_bytes()
    own = Checkpoint(at, "a")
    others: list[dict[str, Any]] = [
        {"checkpoint": Checkpoint(at, "b")},
        {"checkpoint": own, "seeds": (3, 0, 12)},
        {"checkpoint": own, "training": dataclasses.replace(SETTINGS, rate=0.02)},
        {"checkpoint": own, "watch": X[:2]},
    ]
    for other in others:
        with pytest.raises(InputError, match="another training"):
            run(**other)
    assert at.read_bytes() == kept
    at.write_bytes(kept[: len(kept) // 2])
    with pytest.raises(InputError, match="damaged"):
        run(checkpoint=own)
    at.write_bytes(b"something else")
    with pytest.raises(InputError, match="not a whole file"):
        run(checkpoint=own)
    replaced = run(checkpoint=dataclasses.replace(own, replace=True))
    assert np.array_equal(replaced.loss, run().loss)
    assert not at.exists()


def _exploding(seed):
    params = INIT(seed)
    # seed 0 starts with an output weight that overflows float32 once squared
    big = jax.numpy.where(seed == 0, 1e25, 1.0)
    return [*params[:-1], params[-1] | {"w": params[-1]["w"] * big}]


def test_divergence_is_recorded_and_the_other_seeds_go_on():
    found = train(_exploding, APPLY, X, Y, SETTINGS, seeds=SEEDS)
    assert found.diverged_at.tolist() == [NEVER, 0, NEVER]
    assert np.isnan(found.loss[1]).all()
    well = run()
    # the same networks in the same compiled program
    assert np.array_equal(found.loss[[0, 2]], well.loss[[0, 2]])
    alone = train(_exploding, APPLY, X, Y, SETTINGS, seeds=(0,))
    assert alone.loss.shape == (1, 5)
    assert alone.diverged_at[0] == 0
    late = run(Training(60, 50.0, optimiser="sgd", schedule="constant", every=10), seeds=(3,))
    assert 0 < late.diverged_at[0] < 60
    assert np.isfinite(late.loss[0, 0])
    assert np.isnan(late.loss[0, -1])
    assert np.isfinite(late.least[0])


def test_schedules_by_name():
    constant, cosine, linear = (
        np.asarray([Training(100, 1.0, schedule=name, warm_up=10, last=0.2).lr_schedule(step) for step in range(100)])
        for name in ("constant", "cosine", "linear")
    )
    for one in (constant, cosine, linear):
        # float32 numbers of size 1
        assert np.abs(one[:10] - np.arange(10) / 10).max() < 10 * EPSILON
        assert one[10] == pytest.approx(1.0)
    share = np.arange(90) / 90
    assert (constant[10:] == 1).all()
    assert np.abs(cosine[10:] - (0.2 + 0.8 * (1 + np.cos(np.pi * share)) / 2)).max() < 10 * EPSILON
    assert np.abs(linear[10:] - (1 - 0.8 * share)).max() < 10 * EPSILON


def test_mistakes_are_told(untyped):
    well: dict[str, Any] = {"steps": 3, "rate": 0.1}
    for settings, words in (
        ({"steps": 0}, "steps"),
        ({"rate": float("nan")}, "learning rate"),
        ({"batch": 0}, "batch"),
        ({"optimiser": "adan"}, "did you mean 'adam'"),
        ({"schedule": "step"}, "unknown schedule"),
        ({"warm_up": 4}, "warm_up"),
        ({"beta1": 1.0}, "beta1"),
        ({"beta2": 1.0}, "beta2"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"last": 2.0}, "last"),
        ({"every": 0}, "every"),
    ):
        with pytest.raises(InputError, match=words):
            Training(**dict(well, **settings))
    with pytest.raises(InputError, match="larger than the 23"):
        run(Training(3, 0.1, batch=24))
    with pytest.raises(InputError, match="seeds"):
        run(seeds=(1, 1))
    with pytest.raises(InputError, match="seeds"):
        run(seeds=())
    with pytest.raises(InputError, match="not finite"):
        train(INIT, APPLY, X, np.where(Y > 0, Y, np.nan), SETTINGS, seeds=(0,))
    with pytest.raises(InputError, match=r"y \(n,\)"):
        train(INIT, APPLY, X, Y[:-1], SETTINGS, seeds=(0,))
    with pytest.raises(InputError, match="of one dimension"):
        run(watch=np.zeros((3, 4)))


def test_monitors_are_fed_after_every_recorded_step_and_change_nothing():
    weights = functools.partial(mlp.quantised_weights, SPEC)
    stops = (0, *range(30, 41))
    monitors = [Oscillation(Y, window=11, last=3) for _ in SEEDS]
    followed = run(stops=stops, watch=X, look=following(monitors, APPLY, X, weights=weights))
    alone = run(stops=stops, watch=X)
    assert np.array_equal(followed.predictions, alone.predictions)
    assert followed.steps.tolist() == list(stops)
    for place, monitor in enumerate(monitors):
        frame = monitor.frame()
        assert frame[["first_step", "last_step"]].to_numpy().tolist() == [[0, 0], [30, 40]]
        reference = oscillation_reference(alone.predictions[place, 1:], Y, window=11, last=3).iloc[0]
        # outputs are float32, evaluated by another compiled program: a few roundings of numbers of size 1
        for column in ("loss", "averaged", "averaged_last"):
            assert frame[column].iloc[1] == pytest.approx(reference[column], abs=10 * EPSILON)


def test_signs_of_monitors_are_those_of_the_networks():
    every = [stacked_signs(run(dataclasses.replace(SETTINGS, steps=40), stops=(0, 40)).params)]
    seen: list[np.ndarray] = []
    run(stops=(0, 40), look=lambda _, params: seen.append(stacked_signs(params)))
    assert len(seen) == 2
    assert np.array_equal(seen[1], every[0])
    monitors = [Oscillation(Y, window=2) for _ in SEEDS]
    look = following(monitors, APPLY, X, weights=functools.partial(mlp.quantised_weights, SPEC))
    run(Training(1, 0.5, optimiser="sgd", schedule="constant"), look=look)
    run_signs: list[np.ndarray] = []
    run(
        Training(1, 0.5, optimiser="sgd", schedule="constant"),
        look=lambda _, params: run_signs.append(stacked_signs(params)),
    )
    share = (run_signs[0] != run_signs[1]).mean(axis=1)
    assert share.max() > 0
    assert [monitor.frame()["flips"].iloc[0] for monitor in monitors] == pytest.approx(share)


def test_there_is_one_monitor_for_each_network():
    with pytest.raises(InputError, match="3 networks side by side and 1 monitors"):
        run(look=following([Oscillation(Y)], APPLY, X))


def stacked_signs(params: Any) -> np.ndarray:
    """The signs of the layer in the middle, whose rows are held against their means: (networks, weights)."""
    w = np.asarray(params[1]["w"])
    return np.where(w >= w.mean(axis=2, keepdims=True), 1, -1).reshape(len(w), -1)
