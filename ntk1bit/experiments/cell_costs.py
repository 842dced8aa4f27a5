"""What the cells of a run cost, from cells that have been measured: time, memory and storage.

Among experiments that are alike (`Experiment.alike`), time and storage are linear in their length: a + b L, from two
lengths. From one length, storage is taken as fixed, and of the time as much as `Experiment.cost` says, or nothing where
the fixed part of the cost is mostly compiling. Experiments like which none was measured take the nearest measured ones
of their kind by `Experiment.cost`, of the same precision or arm if there are any, with a and b in proportion to those
of the cost. Kinds of which none was measured keep their rough cost.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ntk1bit.experiments.experiment import Experiment
from ntk1bit.experiments.planning import Cell
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
    new
        Whether it was the first of those alike in its process, and so includes what these share.
    fresh
        Whether it was the first of all in its process, and so includes what a worker loads once.
    compiles
        Whether each sort has programs to be compiled, as those of JAX.
    """

    experiment: Experiment
    seconds: float
    stored: float
    memory: float = 0.0
    new: bool = False
    fresh: bool = False
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
    first: float
    stored: Line
    memory: float  # beyond what the experiment predicts
    fresh: bool  # whether `first` includes what a worker loads once
    compiles: bool


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
        self.source = source
        groups: dict[object, list[Measured]] = {}
        for one in measured:
            groups.setdefault(_without_length(one.experiment), []).append(one)
        fits = {key: _fit(group) for key, group in groups.items()}
        self._fits, loading = _without_loading(fits)
        self.startup = startup + loading

    def knows(self, experiment: Experiment) -> bool:
        """Say whether any of its kind was measured."""
        return any(fit.experiment.KIND == experiment.KIND for fit in self._fits.values())

    def cell(self, experiment: Experiment) -> Cell:
        """Return what an experiment will cost."""
        fit = self._fits.get(_without_length(experiment)) or self._nearest(experiment)
        if fit is None:
            memory = WORKER_BYTES + experiment.memory
            return Cell(experiment.label, experiment.cost, 0.0, experiment.alike, memory)
        length = length_of(experiment)
        memory = max(fit.memory + experiment.memory, WORKER_BYTES)
        seconds, stored = fit.seconds.at(length), fit.stored.at(length)
        return Cell(experiment.label, seconds, fit.first, experiment.alike, memory, stored)

    def _nearest(self, experiment: Experiment) -> _Fit | None:
        """Return the fit of the nearest by cost of its kind, in proportion to its own."""
        same = [fit for fit in self._fits.values() if fit.experiment.KIND == experiment.KIND]
        if not same:
            return None
        mine = cost_line(experiment)

        def apart(fit: _Fit) -> tuple[bool, float]:
            theirs = cost_line(fit.experiment)
            ratio = max(mine.slope, 1e-30) / max(theirs.slope, 1e-30)
            return variant(fit.experiment) != variant(experiment), abs(math.log(ratio))

        fit = min(same, key=apart)
        theirs = cost_line(fit.experiment)
        fixed = fit.seconds.fixed * (mine.fixed / theirs.fixed if theirs.fixed > 0 else 1.0)
        slope = fit.seconds.slope * (mine.slope / theirs.slope if theirs.slope > 0 else 1.0)
        return replace(fit, seconds=Line(fixed, slope))


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
    known = [one.memory - one.experiment.memory for one in group if one.memory]
    memory = max(known) if known else WORKER_BYTES
    return _Fit(
        longest.experiment,
        seconds,
        first,
        stored,
        memory,
        any(one.fresh for one in group),
        any(one.compiles for one in group),
    )


def _without_loading(fits: dict[object, _Fit]) -> tuple[dict[object, _Fit], float]:
    """Tell what a worker loads once from what each sort shares: by the sorts that were not the first in their process.

    Returns
    -------
    The fits, and the seconds that a worker takes to load. Where all sorts were the first in their process this is
    unknown: then it is all of `first` if nothing is compiled, and 0 otherwise.
    """
    kinds: dict[str, list[_Fit]] = {}
    for fit in fits.values():
        kinds.setdefault(fit.experiment.KIND, []).append(fit)
    usual: dict[str, float] = {}
    for kind, same in kinds.items():
        if later := [fit.first for fit in same if not fit.fresh]:
            usual[kind] = statistics.median(later)
        elif not any(fit.compiles for fit in same):
            usual[kind] = 0.0
    loading = 0.0
    for key, fit in fits.items():
        kind = fit.experiment.KIND
        if fit.fresh and kind in usual:
            loading = max(loading, fit.first - usual[kind])
            fits[key] = replace(fit, first=min(fit.first, usual[kind]))
    return fits, loading


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
