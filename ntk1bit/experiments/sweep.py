"""What a sweep of two-layer networks is asked for: all combinations of its axes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from ntk1bit.arguments import kappa
from ntk1bit.data import tasks
from ntk1bit.errors import InputError, require_choice
from ntk1bit.experiments.specification import Specification, Stage, Stages
from ntk1bit.experiments.two_layer import NO_SCALE, TwoLayer, load_task
from ntk1bit.networks.quantizers import SCALES
from ntk1bit.networks.two_layer import INITS, PRECISIONS

ORDER = ("task", "dim", "n_train", "init", "kappa", "precision", "scale", "width", "seed")  # in which results are read
_LARGEST_SCALE = 2.0**40  # of steps, so that they stay far within float32's range of 2^-126 to 2^127
_LARGEST_INTEGER = 2**53  # beyond it an integer is a typing mistake, and float arithmetic on it is no longer exact


@dataclass(frozen=True)
class SweepSpec(Specification):
    """All combinations of these settings are trained; the tuples are the axes of the sweep.

    Attributes
    ----------
    widths
        Numbers of neurons m.
    tasks
        Names from `ntk1bit.data.names()`.
    precisions
        Of ``"one_bit"`` and ``"full"``. Both see the same data, W(0) and a at a given seed.
    seeds
        Seeds of W(0) and a.
    steps
        Descent steps.
    n_train
        Numbers of training points n.
    n_test
        Number of test points.
    dims
        Input dimensions, for tasks that have a choice; empty for the task's own.
    inits
        Of ``"iid"`` and ``"paired"``.
    scales
        Of ``"std"`` and ``"absmean"``; full precision has no scale and runs once.
    kappas
        Output scales.
    eta_rel
        Learning rate in units of 1/lambda_max(H(0)).
    checkpoints
        How many steps are recorded in full, spread evenly in log(step).
    data_seed
        Seed of the data: one draw of points (or one split) serves the whole sweep.
    predictions
        Also record how far outputs are from the predictions of H(0) and of K_eff (see `experiments.predictions`).
    terms
        Also decompose each recorded step into the four terms of D25's Claim H.2 (see `networks.two_layer.terms`).

    Raises
    ------
    InputError
        For values out of range, unknown names, repeated entries or an empty axis.
    """

    NAME: ClassVar[str] = "sweep"
    COMMAND: ClassVar[str] = "ntk1bit sweep"
    AXES: ClassVar[tuple[str, ...]] = (
        "widths", "tasks", "precisions", "seeds", "n_train", "dims", "inits", "scales", "kappas",
    )  # fmt: skip

    widths: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
    tasks: tuple[str, ...] = ("digits",)
    precisions: tuple[str, ...] = ("one_bit", "full")
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 1000
    n_train: tuple[int, ...] = (256,)
    n_test: int = 512
    dims: tuple[int, ...] = ()
    inits: tuple[str, ...] = ("iid",)
    scales: tuple[str, ...] = ("std",)
    kappas: tuple[float, ...] = (1.0,)
    eta_rel: float = 1.0
    checkpoints: int = 40
    data_seed: int = 0
    predictions: bool = False
    terms: bool = False

    def __post_init__(self) -> None:
        """Refuse a specification that could not run; numbers become Python's own."""
        super().__post_init__()
        for axis in self.AXES:
            values = getattr(self, axis)
            if not values and axis != "dims":
                raise InputError(f"{axis} is empty; give at least one value")
            if len(set(values)) < len(values):
                raise InputError(f"{axis} has repeated values: {', '.join(map(str, values))}")
        for name, known in (
            ("task", tasks.names()),
            ("precision", PRECISIONS),
            ("init", INITS),
            ("scale", SCALES),
        ):
            for value in getattr(self, f"{name}s"):
                require_choice(name, value, known)
        for name, lowest, values in (
            ("widths", 1, self.widths),
            ("seeds", 0, self.seeds),
            ("n_train", 1, self.n_train),
            ("dims", 1, self.dims),
            ("steps", 1, (self.steps,)),
            ("n_test", 0, (self.n_test,)),
            ("checkpoints", 2, (self.checkpoints,)),
            ("data_seed", 0, (self.data_seed,)),
        ):
            for value in values:
                if not lowest <= value <= _LARGEST_INTEGER:
                    raise InputError(f"{name} must be {lowest} or more (and at most 2^53), got {value}")
        for value in self.kappas:
            kappa(value)
        if not (math.isfinite(self.eta_rel) and self.eta_rel > 0):
            raise InputError(f"eta_rel must be positive and finite, got {self.eta_rel}")
        if not 1 / _LARGEST_SCALE <= self.eta_rel <= _LARGEST_SCALE:
            raise InputError(f"eta_rel must be between 2^-40 and 2^40, so that float32 holds it, got {self.eta_rel}")
        odd = [width for width in self.widths if width % 2]
        if "paired" in self.inits and odd:
            raise InputError(f"a paired network needs an even width, got {odd[0]}; leave it out or use init 'iid'")

    @property
    def networks(self) -> tuple[TwoLayer, ...]:
        """All networks, in the order in which results are read: by data, init and scales, then width and seed.

        Raises
        ------
        InputError
            If a task cannot be loaded in the sizes given.
        """
        every = dict.fromkeys(one for task in self._tasks() for one in self._networks(task))
        return tuple(sorted(every, key=lambda one: tuple(getattr(one, name) for name in ORDER)))

    def stages(self) -> Stages:
        """Yield all networks; raises as `networks`."""
        yield Stage("training", self.networks)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is remarkable about the data of each task."""
        remarks = (f"{task.name}: {note}" for task in self._tasks() for note in task.notes)
        return tuple(dict.fromkeys(remarks))

    def differences(self, asked: Any) -> list[str]:
        """Name the settings that contradict these; a task's own dimension cannot be united with chosen ones."""
        own = [f"dims: {list(self.dims)} there, {list(asked.dims)} asked for"]
        return super().differences(asked) + (own if bool(self.dims) != bool(asked.dims) else [])

    def _tasks(self) -> Iterator[tasks.Task]:
        """Load each of the data sets."""
        for name, n_train, dim in itertools.product(self.tasks, self.n_train, self.dims or (None,)):
            task = load_task(name, n_train, self.n_test, self.data_seed, dim)
            if dim is not None and task.dim != dim:
                raise InputError(f"task {name!r} has d = {task.dim}; --dims works with sphere-* and curve tasks only")
            yield task

    def _networks(self, task: tasks.Task) -> Iterator[TwoLayer]:
        """Give the networks of one data set; full precision has no scale and so comes once for each."""
        for width, precision, init, scale, output_scale, seed in itertools.product(
            self.widths, self.precisions, self.inits, self.scales, self.kappas, self.seeds
        ):
            yield TwoLayer(
                task=task.name,
                dim=task.dim,
                n_train=task.n_train,
                n_test=self.n_test,
                data_seed=self.data_seed,
                width=width,
                precision=precision,
                init=init,
                scale=scale if precision == "one_bit" else NO_SCALE,
                kappa=output_scale,
                eta_rel=self.eta_rel,
                steps=self.steps,
                checkpoints=self.checkpoints,
                seed=seed,
                predictions=self.predictions,
                terms=self.terms,
            )
