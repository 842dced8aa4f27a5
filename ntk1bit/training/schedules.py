"""How a network is trained: optimiser, learning rate of each step, mini-batch of each step.

**Mini-batches.** Each epoch is a new permutation of the points, cut into n // batch batches; what is left over waits
for the next epoch. The batch of a step is a function of (seed, step) alone, which is why a resumed training is the
same to the last bit, and why networks of two kinds with the same seeds see the same batches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import optax
from jaxtyping import Float, Integer

from ntk1bit.errors import InputError, require_choice

Optimiser = Literal["adam", "sgd"]
Schedule = Literal["constant", "cosine", "linear"]
OPTIMISERS: tuple[str, ...] = get_args(Optimiser)
SCHEDULES: tuple[str, ...] = get_args(Schedule)
_STREAM = 0x7A  # keeps the batches apart from the weights of the same seed


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes
    ----------
    steps
        Number of updates.
    rate
        The largest learning rate.
    batch
        Points in a mini-batch; None takes all points at every step.
    optimiser
        ``"adam"`` (beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8) or ``"sgd"`` (no momentum).
    schedule
        What follows the warm-up: ``"constant"``, or down to `last` along a ``"cosine"`` or a straight line.
    warm_up
        Share of the steps in which the rate rises from 0 along a straight line, below 1.
    last
        The rate at the end as a share of the largest.
    every
        Steps between two records; None records the start and the end only. The end is always recorded.

    Raises
    ------
    InputError
        If a number is out of range or a name unknown.
    """

    steps: int
    rate: float
    batch: int | None = None
    optimiser: Optimiser = "adam"
    schedule: Schedule = "cosine"
    warm_up: float = 0.0
    last: float = 0.0
    every: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        for what, given in (("steps", self.steps), ("batch", self.batch), ("every", self.every)):
            if given is not None and given < 1:
                raise InputError(f"{what} of a training must be at least 1, got {given}")
        if not (self.rate > 0 and math.isfinite(self.rate)):
            raise InputError(f"the learning rate must be positive and finite, got {self.rate}")
        require_choice("optimiser", self.optimiser, OPTIMISERS)
        require_choice("schedule", self.schedule, SCHEDULES)
        if not (0 <= self.warm_up < 1 and 0 <= self.last <= 1):
            raise InputError(
                f"warm_up must be in [0, 1) and last in [0, 1], shares of steps and of the rate, got {self.warm_up} "
                f"and {self.last}"
            )

    @property
    def recorded(self) -> tuple[int, ...]:
        """The steps that are recorded: 0, every so many, and the last."""
        return (*range(0, self.steps, self.every or self.steps), self.steps)


def rate_shares(training: Training) -> Float[np.ndarray, " steps"]:
    """Return the learning rate of each step as a share of the largest."""
    share = share_of(training.schedule, training.steps, training.warm_up, training.last)
    return np.asarray([share(step) for step in range(training.steps)], dtype=np.float64)


def batch_of(seed: int, step: int, *, count: int, batch: int) -> Integer[np.ndarray, " batch"]:
    """Return the places of the points in the mini-batch of a step (counted from 0), out of `count` points."""
    epoch, place = divmod(step, count // batch)
    order = np.random.default_rng([seed, _STREAM, epoch]).permutation(count)
    return order[place * batch : (place + 1) * batch]


def batches(
    seeds: tuple[int, ...], steps: range, *, count: int, batch: int | None
) -> Integer[np.ndarray, "seeds steps batch"]:
    """Return the mini-batches of all seeds and steps; without mini-batches, empty ones."""
    if batch is None:
        return np.empty((len(seeds), len(steps), 0), dtype=np.int64)
    return np.stack([[batch_of(seed, step, count=count, batch=batch) for step in steps] for seed in seeds])


def share_of(schedule: str, steps: int, warm_up: float, last: float) -> optax.Schedule:
    """Return the learning rate as a share of the largest, a function of the step; arguments as in `Training`."""
    warm = round(warm_up * steps)
    after = {
        "constant": lambda: optax.constant_schedule(1.0),
        "cosine": lambda: optax.cosine_decay_schedule(1.0, max(steps - warm, 1), last),
        "linear": lambda: optax.linear_schedule(1.0, last, max(steps - warm, 1)),
    }[schedule]()
    return optax.join_schedules([optax.linear_schedule(0.0, 1.0, warm), after], [warm]) if warm else after


def moves_of(optimiser: str) -> optax.GradientTransformation:
    """Return what turns gradients into moves, which the rate multiplies."""
    return optax.scale_by_adam() if optimiser == "adam" else optax.identity()
