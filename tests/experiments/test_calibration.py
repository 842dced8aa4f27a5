from __future__ import annotations

import subprocess
import sys
import time
import types
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.experiments import Experiment, ExperimentList, Specification, Stage, run_all
from ntk1bit.experiments import calibration as module
from ntk1bit.experiments.calibration import calibrate, plan_run
from ntk1bit.experiments.language_spec import PRESETS
from ntk1bit.experiments.planning import schedule
from ntk1bit.experiments.specification import Stages
from ntk1bit.experiments.stability_spec import StabilitySpec
from ntk1bit.experiments.store import Store

CLOCK = [0.0]
COMPILED: set[int] = set()


@dataclass(frozen=True)
class Ticking(Experiment):
    """Takes 0.5 s + 0.01 s a step and width, and 2 s more the first time that a width is met, on a clock of its own."""

    KIND: ClassVar[str] = "test-ticking"
    LENGTH: ClassVar[str] = "steps"

    width: int
    steps: int
    seed: int = 0

    @property
    def cost(self) -> float:
        return 1.0 + 0.001 * self.width * self.steps  # a tenth of what it takes

    def run(self, scratch: Path) -> pd.DataFrame:
        CLOCK[0] += 0.5 + 0.01 * self.width * self.steps + (0.0 if self.width in COMPILED else 2.0)
        COMPILED.add(self.width)
        scratch.with_suffix(".weights").write_bytes(bytes(100_000 + 1_000 * self.steps))
        return pd.DataFrame({"loss": [0.0]})


@dataclass(frozen=True)
class SearchSpec(Specification):
    """A second stage that depends on the first."""

    NAME: ClassVar[str] = "test-search"
    COMMAND: ClassVar[str] = "test"

    width: int = 3

    def stages(self) -> Stages:
        read = yield Stage("search", tuple(Ticking(self.width, 10, seed) for seed in (0, 1)))
        best = max(read()["seed"].tolist())
        yield Stage("seeds", tuple(Ticking(self.width, 20, seed) for seed in range(best + 2)))


class InPlace(Executor):
    """Runs every call at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as problem:
            future.set_exception(problem)
        return future

    def stop(self):
        pass


@pytest.fixture
def in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    CLOCK[0] = 0.0
    COMPILED.clear()
    module._measured_here.clear()
    monkeypatch.setattr(module, "LocalProcesses", lambda jobs: InPlace())
    monkeypatch.setattr(time, "perf_counter", lambda: CLOCK[0])
    compiler = sys.modules.get("jax", types.ModuleType("jax"))  # by which it is known that sorts are compiled
    monkeypatch.setitem(sys.modules, "jax", compiler)


SPEC = ExperimentList(tuple(Ticking(width, 1000, seed) for width in (1, 4) for seed in (0, 1, 2)))


@pytest.mark.usefixtures("in_place")
def test_known_costs_are_found(tmp_path):
    planned = plan_run(SPEC, tmp_path / "run")
    costs = calibrate([planned], jobs=2, seconds=10.0)
    for width in (1, 4):
        cell = costs.cell(Ticking(width, 1000, 9))
        assert cell.seconds == pytest.approx(0.5 + 10 * width)
        assert cell.alone == pytest.approx(cell.seconds + 2.0)
        assert cell.stored == pytest.approx(1_100_000, rel=0.01)  # and the frame
    # costliest first: a worker each for the two sorts would be best; here 42.5, 40.5 | 40.5, 12.5, 10.5, 10.5
    wall = schedule(planned.planned(costs), 1).wall
    assert wall == pytest.approx(3 * 40.5 + 3 * 10.5 + 2 * 2.0)
    assert not (tmp_path / "run").exists()
    assert costs.source == f"measured here with {min(2, module.usable_processors())} processes at once"


@pytest.mark.usefixtures("in_place")
def test_cells_that_are_there_are_not_measured_again(tmp_path):
    run_all(SPEC, tmp_path, executor=InPlace())
    spent, whole = CLOCK[0], plan_run(SPEC, tmp_path)
    assert (len(whole.there), whole.missing) == (6, ())
    costs = calibrate([whole], jobs=2)
    assert (CLOCK[0], costs.source) == (spent, "from cells that are there")
    assert schedule(whole.planned(costs), 2).wall == 0.0
    anew = schedule(whole.planned(costs, anew=True), 1)
    assert anew.wall == pytest.approx(spent)
    more = ExperimentList((*SPEC.experiments, Ticking(2, 1000)))
    extended = plan_run(more, tmp_path)
    assert [one.label for one in extended.missing] == ["test-ticking"]
    assert schedule(extended.planned(calibrate([extended], jobs=2)), 4).wall > 10.0
    assert CLOCK[0] == spent


@pytest.mark.usefixtures("in_place")
def test_a_damaged_cell_is_missing_and_left_where_it_is(tmp_path):
    run_all(SPEC, tmp_path, executor=InPlace())
    path = Store(tmp_path).path(SPEC.experiments[0].key)
    path.write_bytes(path.read_bytes()[:-20])
    planned = plan_run(SPEC, tmp_path)
    assert planned.missing == (SPEC.experiments[0],)
    assert path.exists()


@pytest.mark.usefixtures("in_place")
def test_stages_that_depend_on_results_are_as_supposed_until_those_are_there(tmp_path):
    spec = SearchSpec()
    assert [len(stage.experiments) for stage in plan_run(spec, tmp_path).stages] == [2, 3]
    run_all(spec, tmp_path, executor=InPlace())
    assert [len(stage.experiments) for stage in plan_run(spec, tmp_path).stages] == [2, 3]
    assert plan_run(spec, tmp_path).missing == ()


def test_the_search_for_rates_is_supposed_to_need_its_three_neighbours():
    spec = PRESETS["smoke"]
    stages = plan_run(spec).stages
    assert [stage.name for stage in stages] == ["search 1", "seeds", "seeds quantised", "stability"]
    count = len(spec.sizes) * len(spec.trained_arms)
    assert [len(stage.experiments) for stage in stages][:2] == [3 * count, count * (len(spec.seeds) - 1)]
    rough = sum(one.cost for stage in stages for one in stage.experiments)
    assert rough == pytest.approx(spec.seconds, rel=0.05)


def test_rates_are_supposed_to_be_tried_half_way_to_the_last():
    spec = StabilitySpec(text="pydoc", sizes=("1x16",), arms=("full",), seeds=(0,), lowest=-1, most=6, windows=64)
    rates = {one.rate for stage in plan_run(spec).stages for one in stage.experiments}  # pyright: ignore[reportAttributeAccessIssue]
    assert rates == {spec.rate_at(exponent) for exponent in range(-1, 4)}


def test_costs_are_rough_where_there_is_no_time_to_measure(tmp_path):
    costs = calibrate([plan_run(SPEC, tmp_path)], jobs=2, seconds=0)
    assert costs.source == ""
    assert costs.cell(SPEC.experiments[0]).seconds == SPEC.experiments[0].cost


def test_nothing_to_run_is_not_measured():
    assert calibrate([plan_run(ExperimentList(()))], jobs=2, seconds=60).source == ""
    assert calibrate([], jobs=2, seconds=60).source == ""


def test_a_folder_of_other_settings_is_refused(tmp_path):
    run_all(SearchSpec(), tmp_path, executor=InPlace())
    with pytest.raises(InputError, match="holds a run with other settings"):
        plan_run(replace(SearchSpec(), width=4), tmp_path)


@pytest.mark.usefixtures("in_place")
def test_a_sort_that_fails_leaves_the_others(tmp_path, monkeypatch):
    usual = Ticking.run

    def run(self: Ticking, scratch: Path) -> pd.DataFrame:
        if self.width == 4:
            raise ValueError("no")
        return usual(self, scratch)

    monkeypatch.setattr(Ticking, "run", run)
    costs = calibrate([plan_run(SPEC, tmp_path / "run")], jobs=1, seconds=10.0)
    assert costs.cell(Ticking(1, 1000)).seconds == pytest.approx(10.5)
    assert costs.cell(Ticking(4, 1000)).seconds == pytest.approx(40.5, rel=0.05)  # in proportion to the cost


def test_the_peak_is_of_this_process_not_of_the_one_that_started_it():
    """A process of calibration is started by a program that may be large; Linux hands the largest so far down."""
    large = np.ones(10**8)  # 800 MB
    code = "from ntk1bit.experiments import calibration; print(calibration._peak())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 5e7 < float(done.stdout) < large.nbytes
