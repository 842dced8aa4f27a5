"""What a run folder was asked for: settings that yield experiments, written to spec.toml."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import pandas as pd

from ntk1bit.errors import InputError
from ntk1bit.experiments.experiment import Experiment, experiment_of
from ntk1bit.experiments.plain_fields import PlainFields
from ntk1bit.files import read_toml


class Stage(NamedTuple):
    """Experiments that can run side by side, and what they are for."""

    name: str
    experiments: tuple[Experiment, ...]


Reader = Callable[[], pd.DataFrame]
Stages = Generator[Stage, Reader, None]

S = TypeVar("S", bound="Specification")
_SPECIFICATIONS: dict[str, type[Specification]] = {}  # every class with a NAME that has been imported


@dataclass(frozen=True)
class Specification(PlainFields, ABC):
    """A frozen dataclass of plain fields that yields experiments.

    Class constants
    ---------------
    NAME
        The table of spec.toml that holds the fields.
    COMMAND
        The command that makes such a run.
    AXES
        Fields that are tuples and may grow: a run folder takes more values of them. All others are fixed for a folder.
    """

    NAME: ClassVar[str]
    COMMAND: ClassVar[str]
    AXES: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **more: Any) -> None:
        """Make the class known by the name of its table."""
        super().__init_subclass__(**more)
        if "NAME" in vars(cls):
            _SPECIFICATIONS[cls.NAME] = cls

    @abstractmethod
    def stages(self) -> Stages:
        """Yield stages of experiments, one after the other.

        What `yield` returns is a function that reads the results of that stage as one frame (see `Store.frame`), for a
        stage whose experiments depend on earlier results::

            read = yield Stage("search for rates", tried)
            best = read().groupby("rate")["loss"].mean().idxmin()
            yield Stage("seeds", tuple(...))

        The same results must yield the same experiments, in whatever order and on whatever day they were computed.

        Raises
        ------
        InputError
            If the data it needs cannot be loaded.
        """

    def walk(self, reader: Callable[[Stage], Reader]) -> Iterator[Stage]:
        """Yield the stages, each before the next is asked for; `reader` gives what reads the results of one."""
        stages = self.stages()
        stage = next(stages, None)
        while stage is not None:
            yield stage
            try:
                stage = stages.send(reader(stage))
            except StopIteration:
                return

    def supposed(self, stage: Stage) -> pd.DataFrame:
        """Return results of a stage as a plan supposes them, on which later stages depend, before there are any."""
        return pd.DataFrame([one.as_dict() for one in stage.experiments])

    @property
    def first_stage(self) -> Stage:
        """The experiments that are known before anything has run."""
        return next(self.stages())

    @property
    def seconds(self) -> float:
        """Rough seconds of one processor for all stages; a specification with later stages estimates them."""
        return float(sum(one.cost for one in self.first_stage.experiments))

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks about the data, for the user."""
        return ()

    @property
    def summary(self) -> dict[str, Any]:
        """The settings as documents show them."""
        return self.as_dict()

    @property
    def mark(self) -> str:
        """Six digits that tell it from other settings, for the name of a folder."""
        settings = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.telling)
        return hashlib.sha256(f"{type(self).__qualname__}({settings})".encode()).hexdigest()[:6]

    @classmethod
    def read(cls: type[S], path: Path | str) -> S:
        """Read a specification of this kind from its table of a TOML file.

        Raises
        ------
        InputError
            As `read_specification`, and if the file is of another kind of run.
        """
        path = Path(path)
        document = read_toml(path)
        if isinstance(document.get(cls.NAME), dict):
            return _make(cls, document[cls.NAME], path)
        for name, kind in _SPECIFICATIONS.items():
            if isinstance(document.get(name), dict):
                raise InputError(
                    f"{path} is of a run of {kind.COMMAND}, not of {cls.COMMAND}; see it with: "
                    f"ntk1bit summary {path.parent}"
                )
        raise InputError(f"{path} has no [{cls.NAME}] table; put the settings under a line [{cls.NAME}]")

    @classmethod
    def look_beside(cls, folder: Path | str) -> None:
        """Make known what lies beside the spec.toml of a folder and experiments need; nothing by default."""

    def keep_beside(self, folder: Path | str) -> None:
        """Store what experiments need besides their settings in the run's folder; nothing by default.

        Raises
        ------
        InputError
            If it is not here.
        OSError
            If the folder cannot be written.
        """

    def differences(self, asked: Any) -> list[str]:
        """Name the settings in which another specification contradicts this one, a phrase each.

        Axes contradict nothing: a folder may hold more values of them.
        """
        mine, theirs = self.as_dict(), asked.as_dict()
        names = [name for name in mine if name not in self.AXES and mine[name] != theirs[name]]
        return [f"{name}: {mine[name]} there, {theirs[name]} asked for" for name in names]

    def united(self: S, asked: Any) -> S:
        """Return the specification with the axes of both, its own values first."""
        axes = {name: tuple(dict.fromkeys((*getattr(self, name), *getattr(asked, name)))) for name in self.AXES}
        return replace(self, **axes)


@dataclass(frozen=True)
class ExperimentList(Specification):
    """A list of experiments of any kinds, as the studies without training are.

    Attributes
    ----------
    experiments
        What to run; the order is that of the frame.
    """

    NAME: ClassVar[str] = "experiments"
    COMMAND: ClassVar[str] = "ntk1bit verify"

    experiments: tuple[Experiment, ...]

    @classmethod
    def typed(cls, name: str, value: object, kind: str) -> Any:  # noqa: ARG003 - there is one field, of one type
        """Return the list as experiments, which spec.toml holds as dicts of their fields and `kind`.

        Raises
        ------
        InputError
            If it is no such list, or an experiment is not sound (see `experiment_of`).
        """
        made: list[Experiment] = []
        for entry in value if isinstance(value, tuple | list) else [value]:
            if isinstance(entry, Experiment):
                made.append(entry)
            elif isinstance(entry, dict) and "kind" in entry:
                settings = {str(field): setting for field, setting in entry.items() if field != "kind"}
                made.append(experiment_of(str(entry["kind"]), settings))
            else:
                raise InputError(f"{name} must be a list of tables, each with a kind")
        return tuple(made)

    def stages(self) -> Stages:
        """Yield all experiments at once."""
        yield Stage("measuring", self.experiments)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of every experiment, with its kind."""
        return {"experiments": [{"kind": one.KIND} | one.as_dict() for one in self.experiments]}

    @property
    def summary(self) -> dict[str, Any]:
        """The kinds, and the values that every field takes over the list."""
        axes: dict[str, list[Any]] = {}
        for one in self.experiments:
            for name, value in ({"kind": one.KIND} | one.as_dict()).items():
                if value not in axes.setdefault(name, []):
                    axes[name].append(value)
        return {name: values[0] if len(values) == 1 else values for name, values in axes.items()}

    def differences(self, asked: Any) -> list[str]:
        """Say whether neither list contains the other: then their settings differ in more than number."""
        mine, theirs = set(self.experiments), set(asked.experiments)
        if mine <= theirs or theirs <= mine:
            return []
        here, there = self.summary, asked.summary
        names = [name for name in here | there if here.get(name) != there.get(name)]
        return [f"{name}: {here.get(name)} there, {there.get(name)} asked for" for name in names] or ["other pairings"]

    def united(self, asked: Any) -> Any:
        """Return the longer list."""
        return asked if set(self.experiments) < set(asked.experiments) else self


def read_specification(path: Path | str) -> Specification:
    """Read the specification that a TOML file holds, of whatever kind.

    Raises
    ------
    InputError
        If the file cannot be read, is not TOML, has no table of a specification, or holds a bad value; the message
        names the file.
    """
    return specification_in(read_toml(path), path)


def specification_in(document: Mapping[str, Any], path: Path | str) -> Specification:
    """Return the specification that the document of a TOML file holds; raises as `read_specification`."""
    for name, kind in _SPECIFICATIONS.items():
        if isinstance(document.get(name), dict):
            return _make(kind, document[name], path)
    names = ", ".join(f"[{name}]" for name in _SPECIFICATIONS)
    raise InputError(f"{path} has no table of settings; put them under one of the lines {names}")


def _make(kind: type[S], settings: Mapping[str, Any], path: Path | str) -> S:
    kind.look_beside(Path(path).parent)
    try:
        return kind.from_dict(settings)
    except InputError as problem:
        raise InputError(f"{path}: {problem}") from None
