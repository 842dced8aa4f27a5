"""Gradient descent with optax: one loop for all networks of JAX.

A step is params <- params - rate lr_schedule(step) transform(gradient of the loss). Steps run in compiled chunks from
one record to the next; the rate is an argument, so that all rates share the compiled code. Networks may be trained side
by side by `jax.vmap`: then parameters, batches and losses have a leading axis, and networks do not see each other.

**Divergence is a result.** A loss that is not finite stays among the losses; the loop ends when every network has one.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jaxtyping import Float, Integer

from ntk1bit.printing import record
from ntk1bit.training.checkpoints import Checkpoint
from ntk1bit.training.schedules import Training

NEVER = -1  # the step of divergence of a network that did not diverge
_PIECE = 32  # steps compiled as one between records at uneven distances; what is left goes step by step


class Descent(NamedTuple):
    """Networks that have been trained.

    Attributes
    ----------
    losses
        (*networks, steps) float32: of each step's batch, before the step; NaN for steps not made because of divergence.
        The leading axis is that of networks side by side, and absent for a single one.
    records
        What was observed, a leading axis for the recorded steps; NaN for those not reached.
    params
        After the last step.
    """

    losses: Float[np.ndarray, "*networks steps"]
    records: Any
    params: Any

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    @property
    def diverged_at(self) -> Integer[np.ndarray, " *networks"]:
        """The first step whose loss was not finite, or `NEVER`."""
        lost = ~np.isfinite(self.losses)
        return np.where(lost.any(axis=-1), lost.argmax(axis=-1), NEVER)


class _Progress(NamedTuple):
    """Where a descent stands: what a checkpoint holds."""

    step: Integer[np.ndarray, ""]
    params: Any
    state: Any
    losses: Float[np.ndarray, "*networks steps"]
    records: Any


def descend(
    loss: Callable[..., Any],
    params: Any,
    training: Training,
    *,
    data: tuple[Any, ...] = (),
    own: tuple[Any, ...] = (),
    batches: Callable[[range], Any] | None = None,
    networks: int | None = None,
    stops: Sequence[int] | None = None,
    observe: Callable[[Any], Any] | None = None,
    look: Callable[[int, Any], None] | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Descent:
    """Train one network, or several side by side.

    Parameters
    ----------
    loss
        `loss(params, batch, *data, *own)` of one network. Compiled code is kept by its identity: pass the same object
        again, not a new lambda.
    params
        The start, any pytree of arrays; its buffers may be reused.
    training
        Optimiser, rate, schedule, and the steps between which a chunk runs.
    data
        Arrays that all steps and networks share.
    own
        Arrays that all steps share, with a leading axis of the networks side by side.
    batches
        From a range of steps to their batches: a pytree of arrays whose axis of steps comes first, or second after that
        of the networks. Without it every batch is None.
    networks
        How many are side by side; None for a single one without a leading axis.
    stops
        The steps that are recorded, 0 first and the last one last, in place of `training.recorded`. They may lie at
        any distances, which share their compiled code.
    observe
        From parameters to a pytree of arrays that is recorded at the start and after every chunk.
    look
        Called with the step and the parameters wherever `observe` is, but for what a checkpoint has seen: for what is
        not to be recorded here, or not computed by JAX.
    checkpoint
        Where to resume from, if a file is there, and where to keep the state while training.
    progress
        Called after every chunk with its last step and mean loss, and the share of the steps that are done.

    Raises
    ------
    InputError
        If the checkpoint cannot be used.
    """
    uneven = stops is not None
    stops = tuple(stops) if uneven else training.recorded
    transform = training.gradient_transform
    state = (transform.init if networks is None else jax.vmap(transform.init))(params)
    losses = np.full((training.steps,) if networks is None else (networks, training.steps), np.nan, np.float32)
    observe = observe or _nothing
    records = jax.tree.map(
        lambda one: np.full((len(stops), *one.shape), np.nan, one.dtype), jax.eval_shape(observe, params)
    )
    at = _Progress(np.zeros((), np.int64), params, state, losses, records)
    stored = None if checkpoint is None else checkpoint.read(at)
    if stored is None:
        _record(at, 0, observe)
        if look is not None:
            look(0, at.params)
    else:
        at = stored
    chunk = _chunk(loss, training.lr_schedule, transform, networks is not None)
    saved = time.monotonic()
    for place in range(stops.index(int(at.step)) + 1, len(stops)):
        if not np.isfinite(at.losses[..., : stops[place - 1]]).all(axis=-1).any():
            break
        whole = range(stops[place - 1], stops[place])
        for steps in _pieces(whole) if uneven else (whole,):
            numbers, batch = np.arange(steps.start, steps.stop), None if batches is None else batches(steps)
            params, state, found = chunk(at.params, at.state, numbers, batch, training.rate, data, own)
            at = at._replace(step=np.asarray(steps.stop), params=params, state=state)
            at.losses[..., steps.start : steps.stop] = found
        _record(at, place, observe)
        if look is not None:
            look(whole.stop, at.params)
        if progress is not None:
            mean = _mean(at.losses[..., whole.start : whole.stop])
            progress(f"step {whole.stop:,} of {training.steps:,}, loss {mean:.3g}", whole.stop / training.steps)
        if checkpoint is not None and place + 1 < len(stops) and time.monotonic() - saved >= checkpoint.seconds:
            checkpoint.write(at)
            saved = time.monotonic()
    if checkpoint is not None:
        checkpoint.remove()
    return Descent(at.losses, at.records, at.params)


@functools.lru_cache(maxsize=16)
def _chunk(
    loss: Callable[..., Any], lr_schedule: optax.Schedule, transform: optax.GradientTransformation, side_by_side: bool
) -> Callable[..., Any]:
    """Return a compiled function that takes the numbered steps; the rate is an argument, not compiled in."""

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def chunk(
        params: Any, state: Any, numbers: Any, batch: Any, rate: Any, data: tuple[Any, ...], own: tuple[Any, ...]
    ) -> Any:
        def one(params: Any, state: Any, batch: Any, own: tuple[Any, ...]) -> tuple[Any, Any, Any]:
            def step(carry: Any, now: Any) -> tuple[Any, Any]:
                (params, state), (number, chosen) = carry, now
                value, gradient = jax.value_and_grad(loss)(params, chosen, *data, *own)
                updates, state = transform.update(gradient, state, params)
                factor = -rate * lr_schedule(number)
                return (jax.tree.map(lambda p, u: p + factor * u, params, updates), state), value

            (params, state), values = jax.lax.scan(step, (params, state), (numbers, batch))
            return params, state, values

        return (jax.vmap(one) if side_by_side else one)(params, state, batch, own)

    return chunk


def _pieces(steps: range) -> Iterator[range]:
    """Cut steps into pieces of two lengths, each of which is compiled once."""
    at = steps.start
    while at < steps.stop:
        length = _PIECE if steps.stop - at >= _PIECE else 1
        yield range(at, at + length)
        at += length


def _mean(losses: Any) -> float:
    """Return the mean of the losses that are finite; NaN if none is."""
    finite = np.asarray(losses)[np.isfinite(losses)]
    return float(finite.mean()) if finite.size else float("nan")


def _nothing(params: Any) -> tuple[()]:
    del params
    return ()


def _record(at: _Progress, place: int, observe: Callable[[Any], Any]) -> None:
    def put(rows: np.ndarray, found: Any) -> None:
        rows[place] = found

    jax.tree.map(put, at.records, observe(at.params))
