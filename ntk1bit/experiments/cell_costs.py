"""What the cells of a run cost, from cells that have been measured: time, memory and storage.

Among experiments that are alike (`Experiment.alike`), time and storage are linear in their length: a + b L, from two
lengths. From one length, storage is taken as fixed, and of the time as much as `Experiment.cost` says, or nothing where
the fixed part of the cost is mostly compiling. Experiments like which none was measured lie between measured ones of
their kind, of the same precision or arm if there are any, on a power law in `Experiment.cost` without its fixed part;
beyond them in proportion. Kinds of which none was measured keep their rough cost.

What a process spends once is told apart by what it is spent on: a kind (its libraries), and each sort (programs to be
compiled) or, of kinds that compile nothing, each precision or arm.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ntk1bit.experiments.experiment import Experiment
from ntk1bit.experiments.planning import Cell, Once
from ntk1bit.experiments.runner import WORKER_BYTES

STARTUP = 2.0  # seconds until a worker can begin, where it was not measured


class Measured(NamedTuple):
    """What an experiment cost.

    Attributes
    ----------
    experiment
        Which.
    seconds
        Its time.
    stored
        Bytes of its files.
    memory
        Peak of the resident bytes of its process; 0 where unknown.
    grown
        How much of it the process grew by.
    new
        Whether it was the first of those alike in its process, and so includes what these share.
    variant_new
        Whether it was the first of its `variant` there.
    kind_new
        Whether it was the first of its kind there, and so includes what a process loads once.
    compiles
        Whether each sort has programs to be compiled, as those of JAX.
    """

    experiment: Experiment
    seconds: float
    stored: float
    memory: float = 0.0
    grown: float = 0.0
    new: bool = False
    variant_new: bool = False
    kind_new: bool = False
    compiles: bool = True


class Line(NamedTuple):
    """fixed + slope L."""

    fixed: float
    slope: float

    def at(self, length: float) -> float:
        """Return its value, never below 0."""
        return max(self.fixed + self.slope * length, 0.0)


@dataclass(frozen=True)
class _Fit:
    """What was found of experiments that are alike."""

    experiment: Experiment
    seconds: Line
    first: float  # how much longer the first of them took; its process may have spent more on it than on others
    stored: Line
    compiles: bool
    kind_new: bool
    variant_new: bool
    told_apart: bool  # whether `seconds` and `first` are by measurement; by the cost otherwise

    @property
    def shared(self) -> object:
        """What `first` is spent on."""
        return self.experiment.alike if self.compiles else variant(self.experiment)

    @property
    def tells(self) -> bool:
        """Say whether `first` was spent on `shared` at all: another of the same variant may have done so before."""
        return self.compiles or self.variant_new


class _OfKind(NamedTuple):
    """What processes of one kind of experiment take."""

    loading: float  # seconds, once
    memory: float  # bytes beside the arrays, while one sort has been computed
    kept: float  # bytes more for each other sort


class CellCosts:
    """Predicts what experiments cost.

    Parameters
    ----------
    measured
        What is known.
    startup
        Seconds until a new worker can begin.
    source
        Where `measured` comes from, in words.
    """

    def __init__(self, measured: Iterable[Measured] = (), *, startup: float = STARTUP, source: str = "") -> None:
        self.source, self.startup = source, startup
        sorts, kinds = dict[object, list[Measured]](), dict[str, list[Measured]]()
        for one in measured:
            sorts.setdefault(_without_length(one.experiment), []).append(one)
            kinds.setdefault(one.experiment.KIND, []).append(one)
        self._fits = {key: _fit(group) for key, group in sorts.items()}
        for key, fit in self._fits.items():
            if not fit.told_apart and any(one.told_apart for one in self._like(fit.experiment)):
                length, between = length_of(fit.experiment), self._between(fit.experiment)
                first = max(fit.seconds.at(length) + fit.first - between.seconds.at(length), 0.0)
                self._fits[key] = replace(fit, seconds=between.seconds, first=first)
        self._kinds = {kind: _of_kind(ones, self._of(kind)) for kind, ones in kinds.items()}

    def knows(self, experiment: Experiment) -> bool:
        """Say whether any of its kind was measured."""
        return experiment.KIND in self._kinds

    def cell(self, experiment: Experiment) -> Cell:
        """Return what an experiment will cost."""
        if not self.knows(experiment):
            return Cell(experiment.label, experiment.cost, memory=WORKER_BYTES + experiment.memory)
        fit = self._fits.get(_without_length(experiment)) or self._between(experiment)
        kind, length = self._kinds[experiment.KIND], length_of(experiment)
        shared = experiment.alike if fit.compiles else variant(experiment)
        return Cell(
            experiment.label,
            fit.seconds.at(length),
            (Once(experiment.KIND, kind.loading), Once(shared, self._first(fit), kind.kept)),
            max(kind.memory + experiment.memory, WORKER_BYTES),
            fit.stored.at(length),
        )

    def _of(self, kind: str) -> list[_Fit]:
        return [fit for fit in self._fits.values() if kind == fit.experiment.KIND]

    def _like(self, experiment: Experiment) -> list[_Fit]:
        """Return what was found of the same variant, or else of the same kind."""
        same = self._of(experiment.KIND)
        return [fit for fit in same if variant(fit.experiment) == variant(experiment)] or same

    def _first(self, fit: _Fit) -> float:
        """Return what the first of a sort takes longer in a process that has computed others of its kind."""
        telling = [one for one in self._of(fit.experiment.KIND) if one.shared == fit.shared and one.tells]
        if later := [one.first for one in telling if not one.kind_new]:
            return max(later)
        loading = self._kinds[fit.experiment.KIND].loading
        return max([one.first - loading for one in telling] + [0.0])

    def _between(self, experiment: Experiment) -> _Fit:
        """Return what lies between the nearest by cost of its kind and variant, or beyond the nearest in proportion."""
        same = self._like(experiment)
        same = [fit for fit in same if fit.told_apart] or same
        length, mine = length_of(experiment), cost_line(experiment)
        far = {id(fit): math.log(_ratio(mine.slope, cost_line(fit.experiment).slope)) for fit in same}
        nearest = min(same, key=lambda fit: abs(far[id(fit)]))
        other = [fit for fit in same if far[id(fit)] * far[id(nearest)] < 0]
        theirs = cost_line(nearest.experiment)
        if not other or nearest.seconds.at(length) <= 0:
            fixed = nearest.seconds.fixed * (mine.fixed / theirs.fixed if theirs.fixed > 0 else 1.0)
            slope = nearest.seconds.slope * (mine.slope / theirs.slope if theirs.slope > 0 else 1.0)
            return replace(nearest, seconds=Line(fixed, slope))
        beyond = min(other, key=lambda fit: abs(far[id(fit)]))
        share = far[id(nearest)] / (far[id(nearest)] - far[id(beyond)])
        times = _ratio(beyond.seconds.at(length), nearest.seconds.at(length)) ** share
        return replace(nearest, seconds=Line(nearest.seconds.fixed * times, nearest.seconds.slope * times))


def variant(experiment: Experiment) -> tuple[object, ...]:
    """Return its kind and what it does, such as its precision or arm, without sizes: settings that are no numbers."""
    settings = {name: value for name, value in vars(experiment).items() if name not in experiment.TIMELESS}
    return (experiment.KIND, *(value for value in settings.values() if isinstance(value, str | bool)))


def length_of(experiment: Experiment) -> float:
    """Return how long it trains, in the unit of its field `LENGTH`; 1 where there is none."""
    return float(getattr(experiment, experiment.LENGTH)) if experiment.LENGTH else 1.0


def with_length(experiment: Experiment, length: float) -> Experiment:
    """Return the same experiment of another length, no shorter than it can be."""
    if not experiment.LENGTH:
        return experiment
    longest = int(length_of(experiment))
    chosen = min(max(round(length), experiment.shortest), longest)
    return replace(experiment, **{experiment.LENGTH: chosen})


def cost_line(experiment: Experiment) -> Line:
    """Return `Experiment.cost` as a line in the length."""
    length = length_of(experiment)
    half = with_length(experiment, length / 2)
    run = length - length_of(half)
    if not experiment.LENGTH or run <= 0:
        return Line(0.0, experiment.cost / length)
    slope = (experiment.cost - half.cost) / run
    return Line(max(experiment.cost - slope * length, 0.0), slope)


def _without_length(experiment: Experiment) -> object:
    """Return what experiments have in common that differ in length alone (and in what takes no time)."""
    one = replace(experiment, **{experiment.LENGTH: experiment.shortest}) if experiment.LENGTH else experiment
    return one.alike


def _fit(group: Sequence[Measured]) -> _Fit:
    """Fit the lines of experiments that are alike but for their length."""
    again: dict[float, list[Measured]] = {}
    for one in group:
        if not one.new:
            again.setdefault(length_of(one.experiment), []).append(one)
    longest = max(group, key=lambda one: length_of(one.experiment))
    length = length_of(longest.experiment)
    line = cost_line(longest.experiment)
    stored = _line({key: [one.stored for one in ones] for key, ones in _by_length(group).items()}, share=1.0)
    first = 0.0
    if again:
        share = 0.0 if any(one.compiles for one in group) else line.fixed / max(line.at(length), 1e-30)
        seconds = _line({key: [one.seconds for one in ones] for key, ones in again.items()}, share=share)
        extra = [one.seconds - seconds.at(length_of(one.experiment)) for one in group if one.new]
        first = max(extra[0], 0.0) if extra else 0.0  # later ones of another length compile only a part
    else:  # what is shared cannot be told from the rest: the cost says how much that is
        rest = min(line.at(length) - line.fixed, longest.seconds)
        seconds, first = Line(0.0, rest / length), longest.seconds - rest
    return _Fit(
        longest.experiment,
        seconds,
        first,
        stored,
        compiles=any(one.compiles for one in group),
        kind_new=any(one.kind_new for one in group),
        variant_new=any(one.variant_new for one in group),
        told_apart=bool(again),
    )


def _of_kind(measured: Sequence[Measured], fits: Sequence[_Fit]) -> _OfKind:
    """Find what processes take once.

    Loading is what the first of its kind took longer than the first of the same sort in another process, or, where
    there are none, than other sorts of its variant, or else of its kind. Where all sorts were the first in their
    process, this is unknown: then all is spent on the sort.
    """
    later = [fit for fit in fits if fit.tells and not fit.kind_new]
    first = [fit for fit in fits if fit.kind_new]
    loading = 0.0
    for near in (
        lambda one, other: one.shared == other.shared,
        lambda one, other: variant(one.experiment) == variant(other.experiment),
        lambda _, __: True,
    ):
        pairs = [(one, [other.first for other in later if near(one, other)]) for one in first]
        if extra := [one.first - statistics.median(others) for one, others in pairs if others]:
            loading = max(*extra, 0.0)
            break
    known = [one for one in measured if one.memory]
    alone = [one for one in known if one.kind_new] or known
    memory = max((one.memory - one.experiment.memory for one in alone), default=WORKER_BYTES)
    grown = [one.grown for one in known if one.new and not one.kind_new and one.compiles]
    return _OfKind(loading, memory, sum(grown) / len(grown) if grown else 0.0)


def _ratio(over: float, under: float) -> float:
    """Return a ratio of costs or times, of which either may be 0."""
    return max(over, 1e-30) / max(under, 1e-30)


def _by_length(group: Sequence[Measured]) -> dict[float, list[Measured]]:
    found: dict[float, list[Measured]] = {}
    for one in group:
        found.setdefault(length_of(one.experiment), []).append(one)
    return found


def _line(values: dict[float, list[float]], *, share: float) -> Line:
    """Return the line through the means at the shortest and the longest length; of one length, with a fixed `share`."""
    short, long = min(values), max(values)
    low, high = (sum(values[at]) / len(values[at]) for at in (short, long))
    if long == short:
        return Line(share * high, (1 - share) * high / long)
    slope = max((high - low) / (long - short), 0.0)
    return Line(high - slope * long, slope)
