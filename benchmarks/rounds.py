"""Measure one race: the contestants take turns in one process, and medians over rounds are compared.

Taking turns puts all of them under the same disturbances (clock changes, other programs), and each starts with caches
that the others have filled.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import threadpoolctl

from benchmarks.contest import Contest, Pair, Sizes
from ntk1bit import cores

SHORTEST_S = 0.02  # a contestant is repeated within a round until it has taken this long, or only once
OURS = ""


@dataclass(frozen=True)
class Result:
    """One row of the table.

    Attributes
    ----------
    product, sizes
        As declared.
    goal
        The ratio to reach, if there is one for this backend and number of threads.
    threads
        Threads allowed to each contestant.
    ours_ms, rival_ms, rival
        Median times, and the name of the fastest rival.
    ratio, ratio_low, ratio_high
        Median of the rival's time over ours, and the quartiles over rounds.
    ours_bytes, rival_bytes
        Memory of weights or bits.
    """

    product: str
    sizes: Sizes
    goal: float | None
    threads: int
    ours_ms: float
    rival_ms: float
    rival: str
    ratio: float
    ratio_low: float
    ratio_high: float
    ours_bytes: int
    rival_bytes: int


def measure(
    pair: Pair, *, threads: int, rounds: int, seed: int = 0, clock: Callable[[], float] = time.perf_counter
) -> Result:
    """Run one race.

    Parameters
    ----------
    pair
        The race.
    threads
        Threads for our cores and for BLAS.
    rounds
        Rounds after a first one that does not count; 7 or more give a median worth printing.
    seed
        Of the data.
    clock
        Seconds, from anywhere.
    """
    with all_on(threads):
        contest = pair.prepare(pair.sizes, np.random.default_rng(seed))
        times = race(contest, rounds, clock)
    return result(pair, contest, times, list(contest.rivals), threads=threads)


@contextlib.contextmanager
def all_on(threads: int) -> Iterator[None]:
    """Give our cores and BLAS this many threads."""
    with cores.using(threads=threads), threadpoolctl.threadpool_limits(limits=threads):
        yield


def result(
    pair: Pair, contest: Contest, times: Mapping[str, np.ndarray], rivals: Sequence[str], *, threads: int
) -> Result:
    """Compare ours with the fastest of some rivals."""
    ours = times[OURS]
    rival = min(rivals, key=lambda name: float(np.median(times[name])))
    low, middle, high = np.quantile(times[rival] / ours, (0.25, 0.5, 0.75))
    return Result(
        pair.product,
        pair.sizes,
        pair.goals.get((cores.settings().backend, threads)),
        threads,
        1e3 * float(np.median(ours)),
        1e3 * float(np.median(times[rival])),
        rival,
        float(middle),
        float(low),
        float(high),
        contest.ours_bytes,
        contest.rival_bytes,
    )


def race(contest: Contest, rounds: int, clock: Callable[[], float] = time.perf_counter) -> dict[str, np.ndarray]:
    """Return seconds per call, (rounds,) for each contestant, by a clock; ours under the name `OURS`."""
    contestants = {OURS: contest.ours, **contest.rivals}
    repeats = {}
    for name, run in contestants.items():
        run()
        start = clock()
        run()
        repeats[name] = max(1, round(SHORTEST_S / max(clock() - start, 1e-6)))
    times = {name: np.empty(rounds) for name in contestants}
    for index in range(rounds):
        for name, run in contestants.items():
            run()  # brings back the caches this contestant uses when it runs again and again
            start = clock()
            for _ in range(repeats[name]):
                run()
            times[name][index] = (clock() - start) / repeats[name]
    return times
