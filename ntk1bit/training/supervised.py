"""Supervised training of any network of real outputs: many seeds at once, recorded, stoppable and resumable.

The loss is the mean square L = (1/n) sum_i (f(x_i) - y_i)^2; D25 writes half the sum, n/2 times as much. Seeds are
independent networks on the same data, trained side by side by `jax.vmap`: seed s decides the start and the order of the
mini-batches, and nothing else does.

**Divergence is a result.** A seed whose loss is not finite is marked with the step at which that happened; its records
are NaN from there on, and the other seeds go on.
"""

from __future__ import annotations

import functools
import hashlib
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, Integer

from ntk1bit.errors import InputError
from ntk1bit.files import write_whole
from ntk1bit.training.schedules import Training, batches, moves_of, share_of

NEVER = -1  # the step of divergence of a seed that did not diverge
_SECONDS = 60.0  # between two checkpoints
_MARK = b"ntk1bit training 1 "


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

    def frame(self) -> pd.DataFrame:
        """Return a row a seed and recorded step: seed, step, loss, test_loss, least_loss, diverged_at."""
        records = len(self.steps)
        return pd.DataFrame(
            {
                "seed": np.repeat(self.seeds, records),
                "step": np.tile(self.steps, len(self.seeds)),
                "loss": self.loss.ravel(),
                "test_loss": self.test_loss.ravel(),
                "least_loss": np.repeat(self.least, records),
                "diverged_at": np.repeat(self.diverged_at, records),
            }
        )


class _Progress(NamedTuple):
    """Where a training stands: what a checkpoint holds."""

    done: np.ndarray
    params: Any
    state: Any
    loss: np.ndarray
    test_loss: np.ndarray
    least: np.ndarray
    diverged_at: np.ndarray
    predictions: np.ndarray


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
    checkpoint: Path | None = None,
    identity: str = "",
    save_seconds: float = _SECONDS,
    progress: Callable[[float], None] | None = None,
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
    checkpoint
        A file to go on from, if it is there, and to write now and then; it is deleted at the end. Its folder must
        exist.
    identity
        Says which network `init` and `apply` are (such as the `repr` of its specification), so that the checkpoint of
        another is refused.
    save_seconds
        Least time between two checkpoints; 0 writes one after every record.
    progress
        Called with the share of the steps done, after every record.

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
    steps = training.recorded
    scalars, vectors = (len(seeds), len(steps)), (len(seeds), len(steps), len(data[4]))
    draw, start = _starting(init, training.optimiser)
    params = draw(jnp.asarray(seeds))
    at = _Progress(
        np.zeros((), np.int64),
        params,
        start(params),
        np.full(scalars, np.nan),
        np.full(scalars, np.nan),
        np.full(len(seeds), np.inf),
        np.full(len(seeds), NEVER, np.int64),
        np.full(vectors, np.nan),
    )
    digest = _digest(training, seeds, data, identity)
    if checkpoint is not None and checkpoint.exists():
        at = _resumed(checkpoint, at, digest)
    evaluate = _evaluating(apply)
    if int(at.done) == 0:
        _record(at, 0, evaluate(at.params, *data))
        at = at._replace(done=np.ones((), np.int64))
    advance = _advancing(apply, training.optimiser, training.schedule, training.steps, training.warm_up, training.last)
    saved = time.monotonic()
    for place in range(int(at.done), len(steps)):
        if (at.diverged_at != NEVER).all():
            break
        first, count = steps[place - 1], steps[place] - steps[place - 1]
        params, state, losses = advance(
            at.params,
            at.state,
            np.arange(first, first + count),
            batches(seeds, range(first, first + count), count=len(x), batch=training.batch),
            data[0],
            data[1],
            training.rate,
        )
        at = at._replace(done=np.asarray(place + 1), params=params, state=state)
        found = np.asarray(losses, dtype=np.float64)
        _mark_divergence(at, found, first)
        if training.batch is None:
            at.least[:] = np.fmin(at.least, np.fmin.reduce(found, axis=1))
        _record(at, place, evaluate(params, *data))
        if progress is not None:
            progress(steps[place] / training.steps)
        if checkpoint is not None and place + 1 < len(steps) and time.monotonic() - saved >= save_seconds:
            write_whole(checkpoint, _MARK + digest + serialised(at))
            saved = time.monotonic()
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return Trained(
        np.asarray(seeds), np.asarray(steps), at.loss, at.test_loss, at.least, at.diverged_at, at.predictions, at.params
    )


@functools.lru_cache(maxsize=8)
def _starting(init: Callable[[Any], Any], optimiser: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    return jax.jit(jax.vmap(init)), jax.jit(jax.vmap(moves_of(optimiser).init))


@functools.lru_cache(maxsize=8)
def _evaluating(apply: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Return a function from the networks and all data to training losses, test losses and watched outputs."""

    def one(params: Any, x: Array, y: Array, x_test: Array, y_test: Array, watch: Array) -> tuple[Array, ...]:
        loss, test_loss = (jnp.mean((apply(params, xs) - ys) ** 2) for xs, ys in ((x, y), (x_test, y_test)))
        return loss, test_loss, apply(params, watch)

    return jax.jit(jax.vmap(one, in_axes=(0, *(None,) * 5)))


@functools.lru_cache(maxsize=8)
def _advancing(
    apply: Callable[[Any, Any], Any], optimiser: str, schedule: str, steps: int, warm_up: float, last: float
) -> Callable[..., Any]:
    """Return a function that takes the steps numbered; the rate is an argument, not compiled in."""
    share, moves = share_of(schedule, steps, warm_up, last), moves_of(optimiser)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def chunk(
        params: Any, state: Any, numbers: Array, batches: Array, x: Array, y: Array, rate: Array
    ) -> tuple[Any, Any, Array]:
        def step(carry: Any, now: tuple[Array, Array]) -> tuple[Any, Array]:
            (params, state), (number, chosen) = carry, now
            xs, ys = (x[chosen], y[chosen]) if chosen.size else (x, y)
            loss, gradient = jax.value_and_grad(lambda p: jnp.mean((apply(p, xs) - ys) ** 2))(params)
            updates, state = moves.update(gradient, state)
            move = -rate * share(number)
            return (jax.tree.map(lambda p, u: p + move * u, params, updates), state), loss

        def one(params: Any, state: Any, batches: Array) -> tuple[Any, Any, Array]:
            (params, state), losses = jax.lax.scan(step, (params, state), (numbers, batches))
            return params, state, losses

        return jax.vmap(one)(params, state, batches)

    return chunk


def _record(at: _Progress, place: int, found: tuple[Array, ...]) -> None:
    """Write one record of all seeds; those that have diverged, or do so here, get NaN."""
    loss, test_loss, predictions = (np.asarray(one, dtype=np.float64) for one in found)
    well = (at.diverged_at == NEVER) & np.isfinite(loss)
    at.loss[:, place] = np.where(well, loss, np.nan)
    at.test_loss[:, place] = np.where(well, test_loss, np.nan)
    at.predictions[:, place] = np.where(well[:, None], predictions, np.nan)
    at.least[:] = np.fmin(at.least, at.loss[:, place])


def _mark_divergence(at: _Progress, losses: np.ndarray, first: int) -> None:
    bad = ~np.isfinite(losses)
    new = bad.any(axis=1) & (at.diverged_at == NEVER)
    at.diverged_at[new] = first + bad[new].argmax(axis=1)


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


def _digest(training: Training, seeds: tuple[int, ...], data: tuple[Array, ...], identity: str) -> bytes:
    told = hashlib.sha256(repr((training, tuple(map(int, seeds)), identity)).encode())
    for one in data:
        told.update(repr(one.shape).encode() + np.asarray(one).tobytes())
    return told.hexdigest().encode()


def serialised(tree: Any) -> bytes:
    """Return the arrays of a pytree as bytes, in NumPy's format; `equinox.tree_deserialise_leaves` reads them."""
    sink = io.BytesIO()
    eqx.tree_serialise_leaves(sink, tree)
    return sink.getvalue()


def _resumed(checkpoint: Path, start: _Progress, digest: bytes) -> _Progress:
    """Read a checkpoint.

    Raises
    ------
    InputError
        If it is of another training, or cannot be read.
    """
    try:
        stored = checkpoint.read_bytes()
    except OSError as problem:
        raise InputError(f"cannot read the checkpoint {checkpoint}: {problem.strerror or problem}") from None
    head = _MARK + digest
    if not stored.startswith(_MARK):
        raise InputError(f"{checkpoint} is not a checkpoint of a training; delete it or give another place")
    if not stored.startswith(head):
        raise InputError(
            f"{checkpoint} belongs to another training (its settings, data or seeds differ); delete it or give another "
            "place"
        )
    try:
        return cast(_Progress, eqx.tree_deserialise_leaves(io.BytesIO(stored[len(head) :]), start))
    except (OSError, ValueError, RuntimeError, EOFError):
        raise InputError(f"the checkpoint {checkpoint} is damaged; delete it and train again") from None
