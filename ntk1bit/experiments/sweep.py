"""What a sweep of two-layer networks is asked for: all combinations of its axes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ntk1bit.arguments import kappa
from ntk1bit.data import Task, own_data, tasks
from ntk1bit.data.own_data import fetch, is_own
from ntk1bit.errors import InputError, require_choice
from ntk1bit.experiments.specification import Specification, Stage, Stages
from ntk1bit.experiments.two_layer import NO_SCALE, TwoLayer, load_task
from ntk1bit.experiments.two_layer_jax import TwoLayerJax
from ntk1bit.networks.quantizers import SCALES
from ntk1bit.networks.two_layer import ACTIVITIES, INITS, PRECISIONS
from ntk1bit.networks.two_layer.network import STRAIGHT_THROUGH

ORDER = (  # in which results are read
    "task", "dim", "n_train", "init", "kappa", "precision", "scale", "activity", "width", "seed",
)  # fmt: skip
N_TRAIN, N_TEST = 256, 512  # points of a sweep that does not say how many
_KINDS: dict[str, type[TwoLayer]] = {"cores": TwoLayer, "jax": TwoLayerJax}
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
        Names from `ntk1bit.data.names()`, or `Task` objects of one's own data, which become names with the digest of
        their arrays (see `ntk1bit.data.own_data`).
    precisions
        Of ``"one_bit"`` and ``"full"``. Both see the same data, W(0) and a at a given seed.
    seeds
        Seeds of W(0) and a.
    steps
        Descent steps.
    n_train
        Numbers of training points n; none for 256, or for all that each of one's own tasks has if that is fewer.
    n_test
        Number of test points; -1 for 512, or for all that each of one's own tasks has if that is fewer.
    dims
        Input dimensions, for tasks that have a choice; empty for the task's own.
    inits
        Of ``"iid"`` and ``"paired"``.
    scales
        Of ``"std"`` and ``"absmean"``; full precision has no scale and runs once.
    activities
        Of ``"straight_through"``, ``"latent"`` and ``"frozen"``: which neurons a step of a 1-bit network moves (see
        `two_layer.train`); full precision runs once, with its own.
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
        Also decompose each recorded step into the four terms of D25's Claim H.2 (see `networks.two_layer.terms`), which
        are those of a straight-through step.
    backend
        What trains: ``"cores"``, or ``"jax"`` for accelerators (see `ntk1bit.training.two_layer`). Their results differ
        in the last bits and are never taken for each other's.

    Raises
    ------
    InputError
        For values out of range, unknown names, repeated entries or an empty axis.
    """

    NAME: ClassVar[str] = "sweep"
    COMMAND: ClassVar[str] = "ntk1bit sweep"
    LATER: ClassVar[tuple[str, ...]] = ("activities",)
    AXES: ClassVar[tuple[str, ...]] = (
        "widths", "tasks", "precisions", "seeds", "n_train", "dims", "inits", "scales", "activities", "kappas",
    )  # fmt: skip

    widths: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
    tasks: tuple[str | Task, ...] = ("digits",)
    precisions: tuple[str, ...] = ("one_bit", "full")
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 1000
    n_train: tuple[int, ...] = ()
    n_test: int = -1
    dims: tuple[int, ...] = ()
    inits: tuple[str, ...] = ("iid",)
    scales: tuple[str, ...] = ("std",)
    kappas: tuple[float, ...] = (1.0,)
    eta_rel: float = 1.0
    checkpoints: int = 40
    data_seed: int = 0
    predictions: bool = False
    terms: bool = False
    backend: str = "cores"
    activities: tuple[str, ...] = (STRAIGHT_THROUGH,)

    def __post_init__(self) -> None:
        """Refuse a specification that could not run; numbers become Python's own."""
        super().__post_init__()
        short = [name.partition("@")[0] for name in self.task_names]
        if len(set(self.task_names)) == len(short) and (twice := [one for one in short if short.count(one) > 1]):
            raise InputError(f"two tasks of your own data are called {twice[0]!r}; rename one of the files")
        own = [fetch(name) for name in self.task_names if is_own(name)] if not self.n_train or self.n_test == -1 else []
        if not self.n_train:
            object.__setattr__(self, "n_train", (min([N_TRAIN, *(task.n_train for task in own)]),))
        if self.n_test == -1:
            object.__setattr__(self, "n_test", min([N_TEST, *(task.n_test for task in own)]))
        for axis in self.AXES:
            values = getattr(self, axis)
            if not values and axis != "dims":
                raise InputError(f"{axis} is empty; give at least one value")
            if len(set(values)) < len(values):
                raise InputError(f"{axis} has repeated values: {', '.join(map(str, values))}")
        for name, axis, known in (
            ("task", "tasks", tasks.names()),
            ("precision", "precisions", PRECISIONS),
            ("init", "inits", INITS),
            ("scale", "scales", SCALES),
            ("activity", "activities", ACTIVITIES),
        ):
            for value in getattr(self, axis):
                if not (name == "task" and is_own(value)):
                    require_choice(name, value, known)
        require_choice("backend", self.backend, _KINDS)
        if self.terms and self.backend != "cores":
            raise InputError("terms are recorded by the backend 'cores' alone; leave out --terms or --backend")
        if self.terms and (other := [one for one in self.activities if one != STRAIGHT_THROUGH]):
            raise InputError(
                f"terms decompose the straight-through step, and activity {other[0]!r} makes another; leave out "
                "--terms or that activity"
            )
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
        every = dict.fromkeys(one for name, task in self._tasks() for one in self._networks(name, task))
        return tuple(sorted(every, key=lambda one: tuple(getattr(one, name) for name in ORDER)))

    def stages(self) -> Stages:
        """Yield all networks; raises as `networks`."""
        yield Stage("training", self.networks)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is remarkable about the data of each task."""
        remarks = [f"{task.name}: {note}" for _, task in self._tasks() for note in task.notes]
        for task in (fetch(name) for name in self.task_names if is_own(name)):
            for use, option, there, used in (
                ("train on", "--n-train", task.n_train, max(self.n_train)),
                ("test on", "--n-test", task.n_test, self.n_test),
            ):
                if used < there:
                    remarks.append(f"{task.name}: {used} of its {there} points to {use} are used; more with {option}")
        return tuple(dict.fromkeys(remarks))

    def differences(self, asked: Any) -> list[str]:
        """Name the settings that contradict these; a task's own dimension cannot be united with chosen ones."""
        own = [f"dims: {list(self.dims)} there, {list(asked.dims)} asked for"]
        found = super().differences(asked) + (own if bool(self.dims) != bool(asked.dims) else [])
        there, wanted = (
            {name.partition("@")[0]: name for name in one.task_names if is_own(name)} for one in (self, asked)
        )
        return found + [
            f"data of {name}: digest {there[name][-12:]} there, {wanted[name][-12:]} now, so its rows, their split or "
            "their preparation changed"
            for name in there
            if wanted.get(name, there[name]) != there[name]
        ]

    @classmethod
    def typed(cls, name: str, value: object, kind: str) -> Any:
        """Return the value of a field as its type; `Task` objects are kept for this process and become names."""
        if name == "tasks":
            entries = value if isinstance(value, tuple | list) else (value,)
            value, kind = (
                tuple(own_data.keep(one) if isinstance(one, Task) else one for one in entries),
                "tuple[str, ...]",
            )
        return super().typed(name, value, kind)

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks by name, those of one's own data as NAME@DIGEST."""
        return tuple(map(str, self.tasks))

    @classmethod
    def look_beside(cls, folder: Path | str) -> None:
        """Make the tasks of one's own data known that a run keeps."""
        own_data.look_in(folder)

    def keep_beside(self, folder: Path | str) -> None:
        """Store the tasks of one's own data in the run's folder."""
        for name in filter(is_own, self.task_names):
            own_data.save(name, folder)

    def _tasks(self) -> Iterator[tuple[str, Task]]:
        """Load each of the data sets, with the name that runs know it by."""
        if self.dims and (own := next(filter(is_own, self.task_names), None)):
            raise InputError(f"task {own!r} is of one's own data, whose dimension is theirs; leave out --dims")
        for name, n_train, dim in itertools.product(self.task_names, self.n_train, self.dims or (None,)):
            task = load_task(name, n_train, self.n_test, self.data_seed, dim)
            if dim is not None and task.dim != dim:
                raise InputError(f"task {name!r} has d = {task.dim}; --dims works with sphere-* and curve tasks only")
            yield name, task

    def _networks(self, name: str, task: Task) -> Iterator[TwoLayer]:
        """Give the networks of one data set; full precision has no scale and one activity: these come once for each."""
        for width, precision, init, scale, activity, output_scale, seed in itertools.product(
            self.widths, self.precisions, self.inits, self.scales, self.activities, self.kappas, self.seeds
        ):
            yield _KINDS[self.backend](
                task=name,
                dim=task.dim,
                n_train=task.n_train,
                n_test=self.n_test,
                data_seed=task.seed,
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
                activity=activity if precision == "one_bit" else STRAIGHT_THROUGH,
            )
