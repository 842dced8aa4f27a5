from __future__ import annotations

import itertools
import math

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from ntk1bit.errors import InputError
from ntk1bit.experiments.planning import Cell, Once, PlannedStage, counts_up_to, limit, schedule


def stage(*seconds: float, name: str = "training", run: str = "") -> PlannedStage:
    return PlannedStage(name, tuple(Cell(f"cell {k}", one) for k, one in enumerate(seconds)), run)


def shortest(seconds: list[int], workers: int) -> int:
    """The shortest schedule there is, by trying all."""
    every = itertools.product(range(workers), repeat=len(seconds))
    return min(
        max(sum(t for t, at in zip(seconds, places, strict=True) if at == w) for w in range(workers))
        for places in every
    )


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 12), st.floats(0.1, 100), st.floats(0, 10))
def test_equal_cells_take_as_many_rounds_as_there_are_cells_a_worker(count, workers, seconds, startup):
    replayed = schedule([stage(*[seconds] * count)], workers, startup=startup)
    assert replayed.wall == pytest.approx(startup + math.ceil(count / workers) * seconds)
    assert replayed.busy == pytest.approx(count * seconds / (workers * replayed.wall))
    assert replayed.processor_seconds == pytest.approx(workers * replayed.wall)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 3))
def test_a_schedule_keeps_the_bounds_of_list_scheduling(seconds, workers):
    best = shortest(seconds, workers)
    anyhow = schedule([stage(*seconds)], workers).wall
    sorted_first = schedule([stage(*sorted(seconds, reverse=True))], workers).wall
    assert best <= anyhow <= (2 - 1 / workers) * best  # Graham 1966
    assert best <= sorted_first <= (4 / 3 - 1 / (3 * workers)) * best + 1e-9  # Graham 1969: the longest first


@settings(max_examples=40)
@given(st.lists(st.lists(st.floats(0, 9), max_size=8), max_size=3), st.integers(1, 5), st.floats(0, 3))
def test_events_are_in_order_and_a_worker_does_one_thing_at_a_time(stages, workers, startup):
    replayed = schedule([stage(*one, name=str(k)) for k, one in enumerate(stages)], workers, startup=startup)
    begins = [one.begins for one in replayed.events]
    assert begins == sorted(begins)
    for worker in range(workers):
        mine = [one for one in replayed.events if one.worker == worker]
        assert all(a.ends <= b.begins for a, b in itertools.pairwise(mine))
    for a, b in itertools.pairwise(map(str, range(len(stages)))):
        before = [one.ends for one in replayed.events if one.stage == a]
        after = [one.begins for one in replayed.events if one.stage == b]
        assert max(before, default=0) <= min(after, default=math.inf)
    assert sum(one.cell is not None for one in replayed.events) == sum(map(len, stages))


def test_cells_begin_in_their_order_on_the_worker_that_is_free_first():
    replayed = schedule([stage(5, 2, 2, 1)], 2, startup=1)
    cells = [(one.worker, one.begins, one.ends) for one in replayed.events if one.cell is not None]
    assert cells == [(0, 1, 6), (1, 1, 3), (1, 3, 5), (1, 5, 6)]


def test_what_is_compiled_is_paid_once_a_worker():
    cells = tuple(Cell("", 1, (Once("a", 10.0),)) for _ in range(4))
    assert schedule([PlannedStage("", cells)], 1).wall == 14
    assert schedule([PlannedStage("", cells)], 2).wall == 12
    both = (Cell("", 1, (Once("kind", 5.0), Once("a", 10.0))), Cell("", 1, (Once("kind", 5.0), Once("b", 10.0))))
    assert schedule([PlannedStage("", both)], 1).wall == 27
    assert [one.alone for one in both] == [16, 16]
    later = [PlannedStage("", cells[:2]), PlannedStage("", cells[:2])]
    assert schedule(later, 2).wall == 12
    anew = [PlannedStage("", cells[:2], "one"), PlannedStage("", cells[:2], "another")]  # with workers of its own
    assert schedule(anew, 2, startup=3).wall == 2 * (3 + 11)


def test_workers_start_when_there_is_work_for_them():
    replayed = schedule([stage(1), stage(1, 1, name="seeds")], 8, startup=2)
    assert replayed.wall == 2 + 1 + 1 + 1  # the first worker does both of the second stage before another has started
    assert schedule([stage(1), stage(1, 1)], 1, startup=2).wall == 5


def test_the_memory_is_that_of_the_largest_cell_of_each_worker():
    cells = (Cell("", 2, memory=5), Cell("", 1, memory=7), Cell("", 1, memory=1))
    assert schedule([PlannedStage("", cells)], 2).memory == 12
    assert schedule([PlannedStage("", cells)], 1).memory == 7


def test_programs_compiled_for_others_stay_in_memory():
    cells = tuple(Cell("", 1, (Once("kind", 1.0), Once(sort, 1.0, kept=2)), memory=9) for sort in "aabc")
    assert schedule([PlannedStage("", cells)], 1).memory == 9 + 2 * 2
    assert schedule([PlannedStage("", cells[:2])], 1).memory == 9


def test_an_empty_plan_takes_no_time():
    for nothing in ([], [stage()], [stage(), stage(name="seeds")]):
        replayed = schedule(nothing, 4, startup=2)
        assert (replayed.wall, replayed.busy, replayed.events, replayed.memory) == (0, 0, (), 0)
        assert limit(nothing)[:2] == (1, 0.0)


def test_a_run_scales_up_to_its_longest_cell():
    found = limit([stage(10, *[1.0] * 30)])
    assert found.least == 10
    assert found.workers == 4  # 40 seconds of work in at most 11
    assert "the longest cell, cell 0, takes 100% of it" in found.why
    two = limit([stage(6), stage(6, 6, name="seeds")])
    assert (two.workers, two.least) == (2, 12)
    assert two.why.startswith("2 stages one after the other")


@settings(max_examples=40)
@given(st.lists(st.floats(0.1, 9), min_size=1, max_size=30))
def test_fewer_workers_than_the_limit_are_not_within_ten_per_cent(seconds):
    found, stages = limit([stage(*seconds)]), [stage(*seconds)]
    assert schedule(stages, found.workers).wall <= 1.1 * found.least
    if found.workers > 1:
        assert schedule(stages, found.workers - 1).wall > 1.1 * found.least


def test_counts_double_up_to_the_number_itself():
    assert counts_up_to(1) == (1,)
    assert counts_up_to(8) == (1, 2, 4, 8)
    assert counts_up_to(9) == (1, 2, 4, 8, 9)


@pytest.mark.parametrize("workers", [0, -1, 100_001])
def test_impossible_numbers_of_workers_are_refused(workers):
    with pytest.raises(InputError, match="workers must be from 1 to 100,000"):
        schedule([stage(1)], workers)
