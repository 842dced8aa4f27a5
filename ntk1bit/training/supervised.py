"""Supervised training of any network of real outputs: many seeds at once, recorded, resumable.

The loss is the mean square L = (1/n) sum_i (f(x_i) - y_i)^2; D25 writes half the sum, n/2 times as much. Seeds are
independent networks on the same data, trained side by side: seed s decides the start and the order of the mini-batches,
and nothing else does. A seed whose loss is not finite is marked with the step at which that happened; its records are
NaN from there on, and the others continue.

**Mini-batches.** Each epoch is a new permutation of the points, cut into n // batch batches; what is left over waits
for the next epoch. The batch of a step is a function of (seed, step) alone, which is why a resumed training is the
same to the last bit, and why networks of two kinds with the same seeds see the same batches.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from ntk1bit.errors import InputError
from ntk1bit.printing import record
from ntk1bit.training.checkpoints import Checkpoint, identity_digest
from ntk1bit.training.descent import NEVER, Descent, descend
from ntk1bit.training.oscillation import Oscillation
from ntk1bit.training.schedules import Training

_STREAM = 0x7A  # keeps the batches apart from the weights of the same seed


class Trained(NamedTuple):
    """Networks of several seeds, and what was recorded of them.

    Attributes
    ----------
    seeds, steps
        (seeds,) and (records,), step 0 being the start.
    loss, test_loss
        (seeds, records): mean square over all training points, and over the test points (NaN without any).
    least
        (seeds,): the least training loss; over all steps in full batches, over the records in mini-batches.
    diverged_at
        (seeds,): the first step whose loss was not finite, or `NEVER`.
    predictions
        (seeds, records, points) at the points to watch; no points without any.
    params
        The networks after the last step, a leading axis for seeds.
    """

    seeds: Integer[np.ndarray, " seeds"]
    steps: Integer[np.ndarray, " records"]
    loss: Float[np.ndarray, "seeds records"]
    test_loss: Float[np.ndarray, "seeds records"]
    least: Float[np.ndarray, " seeds"]
    diverged_at: Integer[np.ndarray, " seeds"]
    predictions: Float[np.ndarray, "seeds records points"]
    params: Any

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)


def train(
    init: Callable[[Any], Any],
    apply: Callable[[Any, Any], Any],
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, " n"],
    training: Training,
    *,
    seeds: tuple[int, ...],
    x_test: Float[np.ndarray, "n_test d"] | None = None,
    y_test: Float[np.ndarray, " n_test"] | None = None,
    watch: Float[np.ndarray, "points d"] | None = None,
    stops: Sequence[int] | None = None,
    look: Callable[[int, Any], None] | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Trained:
    """Train networks of several seeds on one data set.

    Parameters
    ----------
    init, apply
        `init(seed)` draws parameters, any pytree of arrays, for a traced seed; `apply(params, x)` gives (n,) outputs.
        Compiled code is kept by their identity: pass the same objects again, not new lambdas.
    x, y
        Training points.
    training
        Optimiser, rate, schedule and what is recorded.
    seeds
        Non-negative and distinct, one at least.
    x_test, y_test
        Points whose loss is recorded too.
    watch
        Points whose outputs are recorded.
    stops
        The steps that are recorded, in place of `training.recorded`; as in `descend`.
    look
        Called with the step and the parameters wherever something is recorded, as in `descend`: `following` makes one
        that feeds monitors. The parameters are used again by the next step: what is kept of them must be a copy. Steps
        that a checkpoint has seen are not shown again.
    checkpoint
        Where to resume from and to keep the state. Its identity says which network `init` and `apply` are (such as the
        `repr` of its specification); settings, seeds and data are added to it here.
    progress
        Called after every record with its step and the share of the steps that are done.

    Returns
    -------
    Trained
        As NumPy arrays in float64; `params` as JAX arrays.

    Raises
    ------
    InputError
        If shapes do not match, data or seeds cannot be used, the batch is larger than the data, or the checkpoint
        belongs to another training or is damaged.
    """
    data = _checked(x, y, x_test, y_test, watch, training, seeds)
    evaluate = _evaluating(apply)
    if checkpoint is not None:
        chosen = () if stops is None else (tuple(stops),)
        identity = identity_digest(training, tuple(map(int, seeds)), checkpoint.identity, *data, *chosen)
        checkpoint = dataclasses.replace(checkpoint, identity=identity)
    batch = training.batch
    ended = descend(
        _mean_square(apply),
        _starting(init)(jnp.asarray(seeds)),
        training,
        data=data[:2],
        batches=None if batch is None else lambda steps: batches(seeds, steps, count=len(x), batch=batch),
        networks=len(seeds),
        stops=stops,
        look=look,
        observe=lambda params: evaluate(params, *data),
        checkpoint=checkpoint,
        progress=progress,
    )
    return _trained(ended, training, training.recorded if stops is None else stops, seeds)


def following(
    monitors: Sequence[Oscillation],
    apply: Callable[[Any, Any], Any],
    x: Float[np.ndarray, "points d"],
    *,
    weights: Callable[[Any], Any] | None = None,
) -> Callable[[int, Any], None]:
    """Return a `look` for `train` that feeds monitors: record every step (`Training.every` = 1, or `stops`).

    Parameters
    ----------
    monitors
        One for each seed, in their order.
    apply
        As in `train`.
    x
        The probe points, whose targets the monitors have.
    weights
        From parameters to the quantised weights, a list of arrays: `functools.partial(mlp.quantised_weights, network)`
        of an MLP. Without it flips are not counted.

    Raises
    ------
    InputError
        From the function returned, if there is not one monitor for each network.
    """
    see = _seeing(apply, weights)
    points = jnp.asarray(x, dtype=float)

    def look(step: int, params: Any) -> None:
        outputs, held = see(params, points)
        if len(outputs) != len(monitors):
            raise InputError(
                f"there are {len(outputs)} networks side by side and {len(monitors)} monitors; give each its own"
            )
        held = [np.asarray(one) for one in held]
        for place, (monitor, found) in enumerate(zip(monitors, np.asarray(outputs), strict=True)):
            monitor.update(found, [one[place] for one in held] if held else None, step=step)

    return look


def _trained(ended: Descent, training: Training, recorded: Sequence[int], seeds: tuple[int, ...]) -> Trained:
    """Put the records in order; those of a network that has diverged are NaN."""
    steps = np.asarray(recorded)
    loss, test_loss, predictions = (np.asarray(one, dtype=np.float64).swapaxes(0, 1) for one in ended.records)
    diverged_at = ended.diverged_at[:, None]
    well = np.isfinite(loss) & ((diverged_at == NEVER) | (steps <= diverged_at))
    loss, test_loss = np.where(well, loss, np.nan), np.where(well, test_loss, np.nan)
    seen = loss if training.batch is not None else np.concatenate([ended.losses.astype(np.float64), loss], axis=1)
    return Trained(
        np.asarray(seeds),
        steps,
        loss,
        test_loss,
        np.fmin.reduce(seen, axis=1, initial=np.inf),
        ended.diverged_at,
        np.where(well[:, :, None], predictions, np.nan),
        ended.params,
    )


def batch_of(seed: int, step: int, *, count: int, batch: int) -> Integer[np.ndarray, " batch"]:
    """Return the places of the points in the mini-batch of a step (counted from 0), out of `count` points."""
    epoch, place = divmod(step, count // batch)
    order = np.random.default_rng([seed, _STREAM, epoch]).permutation(count)
    return order[place * batch : (place + 1) * batch]


def batches(
    seeds: tuple[int, ...], steps: range, *, count: int, batch: int
) -> Integer[np.ndarray, "seeds steps batch"]:
    """Return the mini-batches of all seeds and steps."""
    return np.stack([[batch_of(seed, step, count=count, batch=batch) for step in steps] for seed in seeds])


@functools.lru_cache(maxsize=8)
def _starting(init: Callable[[Any], Any]) -> Callable[..., Any]:
    return jax.jit(jax.vmap(init))


@functools.lru_cache(maxsize=8)
def _mean_square(apply: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Return the loss of a network on the points of a batch, or on all of them where the batch is None."""

    def loss(params: Any, chosen: Array | None, x: Array, y: Array) -> Array:
        xs, ys = (x, y) if chosen is None else (x[chosen], y[chosen])
        return jnp.mean((apply(params, xs) - ys) ** 2)

    return loss


@functools.lru_cache(maxsize=8)
def _seeing(apply: Callable[[Any, Any], Any], weights: Callable[[Any], Any] | None) -> Callable[..., Any]:
    """Return a function from the networks and points to outputs and quantised weights."""

    def one(params: Any, x: Array) -> tuple[Array, list[Array]]:
        return apply(params, x), [] if weights is None else list(weights(params))

    return jax.jit(jax.vmap(one, in_axes=(0, None)))


@functools.lru_cache(maxsize=8)
def _evaluating(apply: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Return a function from the networks and all data to training losses, test losses and watched outputs."""

    def one(params: Any, x: Array, y: Array, x_test: Array, y_test: Array, watch: Array) -> tuple[Array, ...]:
        loss, test_loss = (jnp.mean((apply(params, xs) - ys) ** 2) for xs, ys in ((x, y), (x_test, y_test)))
        return loss, test_loss, apply(params, watch)

    return jax.jit(jax.vmap(one, in_axes=(0, *(None,) * 5)))


def _checked(
    x: np.ndarray,
    y: np.ndarray,
    x_test: np.ndarray | None,
    y_test: np.ndarray | None,
    watch: np.ndarray | None,
    training: Training,
    seeds: tuple[int, ...],
) -> tuple[Array, ...]:
    """Return x, y, x_test, y_test and watch in JAX's float; what was not given is empty."""
    nothing = np.empty((0, x.shape[-1]))
    given = {
        "x": x,
        "y": y,
        "x_test": nothing if x_test is None else x_test,
        "y_test": np.empty(0) if y_test is None else y_test,
        "watch": nothing if watch is None else watch,
    }
    for name, one in given.items():
        if not np.isfinite(one).all():
            raise InputError(f"{name} has entries that are not finite; remove those points")
    for points, targets in (("x", "y"), ("x_test", "y_test")):
        if given[points].ndim != 2 or given[targets].shape != given[points].shape[:1]:
            raise InputError(
                f"{points} must be (n, d) and {targets} (n,), got {given[points].shape} and {given[targets].shape}"
            )
    if len(x) == 0 or any(given[name].shape[1] != x.shape[1] for name in ("x_test", "watch")):
        raise InputError(
            f"training needs one point or more, and all points of one dimension, got x {x.shape}, "
            f"x_test {given['x_test'].shape}, watch {given['watch'].shape}"
        )
    if training.batch is not None and training.batch > len(x):
        raise InputError(f"a batch of {training.batch} is larger than the {len(x)} training points; take a smaller one")
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise InputError(f"seeds must be distinct non-negative integers, one at least, got {seeds}")
    return tuple(jnp.asarray(one, dtype=float) for one in given.values())
