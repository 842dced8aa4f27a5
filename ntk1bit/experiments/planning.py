"""How long a run takes with so many workers: its schedule, replayed event by event from what every cell costs.

The rules are those of `runner`: stages run one after the other, the cells of a stage begin in their order, the
costliest first, each on the worker that is free first (Graham's list scheduling: in a stage without compiling, never
longer than 2 - 1/workers times the shortest schedule there is). A worker imports its libraries once, and once compiles
what cells that are alike share.
"""

from __future__ import annotations

import heapq
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ntk1bit.errors import InputError

WITHIN = 1.1  # of the least wall time: a run scales up to the fewest workers that are this close to it
MOST_WORKERS = 100_000


class Once(NamedTuple):
    """What a worker spends once, on what cells share: libraries that are loaded, programs that are compiled.

    Attributes
    ----------
    what
        Equal for cells that share it.
    seconds
        How long it takes.
    kept
        Bytes that it leaves in memory, if it is not the first of these.
    """

    what: object
    seconds: float
    kept: float = 0.0


class Cell(NamedTuple):
    """What one experiment costs.

    Attributes
    ----------
    label
        For a person.
    seconds
        On a worker that has run one like it.
    once
        What more is spent on a worker that has not done so.
    memory
        Bytes of the process that runs it.
    stored
        Bytes that it leaves on disk.
    """

    label: str
    seconds: float
    once: tuple[Once, ...] = ()
    memory: float = 0.0
    stored: float = 0.0

    @property
    def alone(self) -> float:
        """Seconds on a worker that has done nothing before."""
        return self.after(())

    def after(self, done: Container[object]) -> float:
        """Return seconds on a worker that has spent what it does once on `done`."""
        return self.seconds + sum(one.seconds for one in self.once if one.what not in done)


class PlannedStage(NamedTuple):
    """Cells that can run side by side, in the order in which they begin, and the run that they belong to.

    Each run has workers of its own, which begin when its first stage does.
    """

    name: str
    cells: tuple[Cell, ...]
    run: str = ""


class Event(NamedTuple):
    """One cell on one worker, in seconds from the start; `cell` is none while the worker starts."""

    worker: int
    begins: float
    ends: float
    cell: Cell | None
    stage: str


@dataclass(frozen=True)
class Schedule:
    """A run on so many workers.

    Attributes
    ----------
    workers
        How many there are; those without work count, as they are paid for.
    events
        In the order in which they begin.
    """

    workers: int
    events: tuple[Event, ...]

    @cached_property
    def wall(self) -> float:
        """Seconds from start to end."""
        return max((one.ends for one in self.events), default=0.0)

    @property
    def busy(self) -> float:
        """The share of the workers' time that is spent on cells; 0 for an empty run."""
        spent = sum(one.ends - one.begins for one in self.events if one.cell is not None)
        return spent / self.processor_seconds if self.wall else 0.0

    @property
    def processor_seconds(self) -> float:
        """What it costs: all workers from start to end, as a cluster counts it."""
        return self.workers * self.wall

    @property
    def memory(self) -> float:
        """Bytes of the worst moment, if on each worker its largest cell ran last."""
        cells: dict[int, list[Cell]] = {}
        for one in self.events:
            if one.cell is not None:
                cells.setdefault(one.worker, []).append(one.cell)
        total = 0.0
        for mine in cells.values():
            kept = {one.what: one.kept for cell in mine for one in cell.once}
            total += max(one.memory for one in mine) + sum(kept.values()) - max(kept.values(), default=0.0)
        return total


def schedule(stages: Sequence[PlannedStage], workers: int, *, startup: float = 0.0) -> Schedule:
    """Replay a run.

    Parameters
    ----------
    stages
        What is to be computed.
    workers
        How many there are.
    startup
        Seconds until a new worker can begin.

    Raises
    ------
    InputError
        If there is no worker, or more than 100,000.
    """
    if not 1 <= workers <= MOST_WORKERS:
        raise InputError(f"workers must be from 1 to {MOST_WORKERS:,}, got {workers}")
    events: list[Event] = []
    now, run = 0.0, None
    started, seen = 0, [set[object]()]
    for stage in stages:
        if not stage.cells:
            continue
        if stage.run != run:
            run, started, seen = stage.run, 0, [set[object]() for _ in range(workers)]
        needed = min(workers, len(stage.cells))
        free = [(now, worker) for worker in range(started)]
        for worker in range(started, needed):  # workers begin when there is work for them
            events += [Event(worker, now, now + startup, None, stage.name)] if startup else []
            free.append((now + startup, worker))
        started = max(started, needed)
        heapq.heapify(free)
        end = now
        for cell in stage.cells:
            begins, worker = heapq.heappop(free)
            ends = begins + cell.after(seen[worker])
            seen[worker].update(one.what for one in cell.once)
            events.append(Event(worker, begins, ends, cell, stage.name))
            heapq.heappush(free, (ends, worker))
            end = max(end, ends)
        now = end
    return Schedule(workers, tuple(sorted(events, key=lambda one: (one.begins, one.worker))))


def counts_up_to(workers: int) -> tuple[int, ...]:
    """Return 1, 2, 4, ... and the number itself."""
    return (*(2**k for k in range(max(workers - 1, 0).bit_length())), workers)


class Limit(NamedTuple):
    """Where a run stops scaling.

    Attributes
    ----------
    workers
        The fewest whose wall time is within 10 % of `least`.
    least
        Seconds with a worker for every cell.
    why
        What takes this long: the stages, and the longest cell of the longest of them.
    """

    workers: int
    least: float
    why: str


def limit(stages: Sequence[PlannedStage], *, startup: float = 0.0) -> Limit:
    """Find where a run stops scaling; see `Limit`."""
    kept = [stage for stage in stages if stage.cells]
    if not kept:
        return Limit(1, 0.0, "there is nothing to compute")
    most = min(max(len(stage.cells) for stage in kept), MOST_WORKERS)
    every = schedule(kept, most, startup=startup)
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        if schedule(kept, middle, startup=startup).wall <= WITHIN * every.wall:
            high = middle
        else:
            low = middle + 1
    longest = max((one for one in every.events if one.cell is not None), key=lambda one: one.ends - one.begins)
    assert longest.cell is not None
    share = (longest.ends - longest.begins) / every.wall if every.wall else 1.0
    stages_ = f"{len(kept)} stages one after the other; " if len(kept) > 1 else ""
    return Limit(low, every.wall, f"{stages_}the longest cell, {longest.cell.label}, takes {share:.0%} of it")
