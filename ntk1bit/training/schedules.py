"""How a network is trained: its optimiser, the learning rate of each step, and which steps are recorded."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal, get_args

import optax

from ntk1bit.errors import InputError, require_choice

Optimiser = Literal["adam", "sgd", "momentum"]
Schedule = Literal["constant", "cosine", "linear"]
OPTIMISERS: tuple[str, ...] = get_args(Optimiser)
SCHEDULES: tuple[str, ...] = get_args(Schedule)


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
        Examples per mini-batch; None takes all examples at every step.
    optimiser
        ``"adam"`` (epsilon = 1e-8), ``"sgd"`` (no momentum), or ``"momentum"``, whose update is v <- beta1 v + gradient
        (Polyak's heavy ball; where gradients are constant it is 1/(1 - beta1) times that of ``"sgd"``).
    beta1, beta2
        Of Adam; beta1 of momentum too.
    weight_decay
        Times the rate and the parameters, subtracted from all parameters at every step beside the optimiser's update
        (decoupled, Loshchilov and Hutter 2019).
    schedule
        What follows the warm-up: ``"constant"``, or down to `last` along a ``"cosine"`` or a straight line.
    warm_up
        Number of steps, below `steps`, in which the rate rises from 0 along a straight line.
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
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 0.0
    schedule: Schedule = "cosine"
    warm_up: int = 0
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
        if not 0 <= self.beta1 < 1:
            raise InputError(f"beta1 of Adam or momentum must be at least 0 and below 1, got {self.beta1}")
        if not 0 < self.beta2 < 1:
            raise InputError(f"beta2 of Adam must be between 0 and 1, got {self.beta2}")
        if not (self.weight_decay >= 0 and math.isfinite(self.weight_decay)):
            raise InputError(f"weight_decay must be 0 or more and finite, got {self.weight_decay}")
        if not 0 <= self.warm_up <= self.steps:
            raise InputError(f"warm_up must be from 0 to the {self.steps} steps of the training, got {self.warm_up}")
        if not 0 <= self.last <= 1:
            raise InputError(f"last must be in [0, 1], a share of the rate, got {self.last}")

    @property
    def recorded(self) -> tuple[int, ...]:
        """The steps that are recorded: 0, every so many, and the last."""
        return (*range(0, self.steps, self.every or self.steps), self.steps)

    @property
    def lr_schedule(self) -> optax.Schedule:
        """The learning rate as a share of the largest, a function of the step; the same object for equal settings."""
        return lr_schedule(self.schedule, steps=self.steps, warm_up=self.warm_up, last=self.last)

    @property
    def gradient_transform(self) -> optax.GradientTransformation:
        """What turns gradients into the updates that the rate multiplies; the same object for equal settings."""
        return gradient_transform(self.optimiser, beta1=self.beta1, beta2=self.beta2, weight_decay=self.weight_decay)


@functools.lru_cache(maxsize=64)
def lr_schedule(schedule: Schedule, *, steps: int, warm_up: int, last: float) -> optax.Schedule:
    """Return the learning rate as a share of the largest, a function of the step; arguments as in `Training`."""
    rest = max(steps - warm_up, 1)
    if schedule == "constant":
        after = optax.constant_schedule(1.0)
    elif schedule == "cosine":
        after = optax.cosine_decay_schedule(1.0, rest, last)
    else:
        after = optax.linear_schedule(1.0, last, rest)
    return optax.join_schedules([optax.linear_schedule(0.0, 1.0, warm_up), after], [warm_up]) if warm_up else after


@functools.lru_cache(maxsize=16)
def gradient_transform(
    optimiser: Optimiser, *, beta1: float, beta2: float, weight_decay: float
) -> optax.GradientTransformation:
    """Return what turns gradients into the updates that the rate multiplies; arguments as in `Training`."""
    if optimiser == "adam":
        update = optax.scale_by_adam(b1=beta1, b2=beta2)
    else:
        update = optax.trace(beta1) if optimiser == "momentum" else optax.identity()
    return optax.chain(update, optax.add_decayed_weights(weight_decay)) if weight_decay else update
