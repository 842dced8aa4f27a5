"""Stages that depend on results, folders that grow, and lists of experiments of several kinds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, make_dataclass, replace
from typing import ClassVar

import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.experiments import Experiment, ExperimentList, Specification, Stage, SweepSpec, open_run, run_all
from ntk1bit.experiments.at_start import FlipProbability, LimitsInDim
from ntk1bit.experiments.plain_fields import PlainFields


@dataclass(frozen=True)
class Parabola(Experiment):
    """A loss with its least at rate 3."""

    KIND: ClassVar[str] = "parabola"

    rate: float
    seed: int

    @property
    def cost(self) -> float:
        return 1.0

    def run(self, scratch):
        if self.rate == 13.0:
            raise ZeroDivisionError("as a test")
        scratch.with_suffix(".weights").write_text(str(self.rate))
        return pd.DataFrame({"loss": [(self.rate - 3) ** 2]})


@dataclass(frozen=True)
class Search(Specification):
    """Tries rates with the first seed, then trains every seed at the best."""

    NAME: ClassVar[str] = "search"
    COMMAND: ClassVar[str] = "ntk1bit search"
    AXES: ClassVar[tuple[str, ...]] = ("seeds",)

    rates: tuple[float, ...] = (1.0, 2.5, 4.0)
    seeds: tuple[int, ...] = (0, 1)

    def stages(self):
        read = yield Stage("search", tuple(Parabola(rate, self.seeds[0]) for rate in self.rates))
        frame = read()
        best = frame["rate"].to_numpy()[frame["loss"].argmin()]
        yield Stage("seeds", tuple(Parabola(best, seed) for seed in self.seeds))


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as threads:
        yield threads


def test_later_stages_follow_from_results_and_shared_experiments_run_once(tmp_path, pool):
    shares = []
    outcome = run_all(Search(), tmp_path / "run", executor=pool, progress=lambda *told: shares.append(told))
    assert (outcome.cells, outcome.computed) == (4, 4)  # three rates, and one seed more at the best
    assert [what for what, _ in shares if what in ("search", "seeds")] == ["search", "seeds"]
    run = open_run(tmp_path / "run")
    assert run.complete
    assert run.problems == ()  # an experiment's own files are no strangers
    assert list(run.frame(stage="seeds")["rate"]) == [2.5, 2.5]
    assert list(run.frame()["seed"]) == [0, 0, 0, 1]
    assert run_all(Search(), tmp_path / "run", executor=pool).found == 4


def test_fields_annotated_with_types_and_with_text_are_read_alike():
    """The latter is what `from __future__ import annotations` makes of them."""
    small = make_dataclass("Small", [("numbers", tuple[float, ...]), ("count", int)], bases=(PlainFields,), frozen=True)
    assert small([1, 2.5], 3) == small.from_dict({"numbers": (1.0, 2.5), "count": 3})
    with pytest.raises(InputError, match="count must be a whole number"):
        small((1.0,), 0.5)


def test_a_stage_without_its_results_stops_the_run_and_says_so(tmp_path, pool):
    outcome = run_all(Search(rates=(1.0, 13.0)), tmp_path / "run", executor=pool)
    assert (outcome.cells, outcome.computed, outcome.failed) == (2, 1, 1)
    assert "1 of 2 results of 'search' are missing" in outcome.notes[-1]
    run = open_run(tmp_path / "run")
    assert not run.complete
    assert list(run.states.values()) == ["finished", "failed"]
    with pytest.raises(InputError, match="not finished"):
        run.require_whole()


def test_a_folder_is_extended_and_never_contradicted(tmp_path, pool):
    run_all(Search(), tmp_path / "run", executor=pool)
    outcome = run_all(Search(seeds=(7,)), tmp_path / "run", executor=pool)
    assert (outcome.found, outcome.computed) == (4, 1)
    assert open_run(tmp_path / "run").spec == Search(seeds=(0, 1, 7))
    assert run_all(Search(), tmp_path / "run", executor=pool).cells == 5  # what the folder holds stays asked for
    before = (tmp_path / "run" / "spec.toml").read_bytes()
    with pytest.raises(InputError, match=r"other settings \(rates: \[1.0, 2.5, 4.0\] there, \[1.0\] asked for\)"):
        run_all(Search(rates=(1.0,)), tmp_path / "run", executor=pool)
    with pytest.raises(InputError, match="holds a run of ntk1bit search, not of ntk1bit sweep"):
        run_all(SweepSpec(), tmp_path / "run")
    assert (tmp_path / "run" / "spec.toml").read_bytes() == before


def test_a_sweep_grows_to_the_bits_of_one_made_at_once(tmp_path, pool):
    spec = SweepSpec(widths=(8,), seeds=(0,), steps=4, n_train=(8,), n_test=2)
    run_all(spec, tmp_path / "grown", executor=pool)
    run_all(replace(spec, widths=(4, 8), seeds=(1,)), tmp_path / "grown", executor=pool)
    run_all(replace(spec, widths=(8, 4), seeds=(0, 1)), tmp_path / "once", executor=pool)
    grown, once = (open_run(tmp_path / name).frame() for name in ("grown", "once"))
    pd.testing.assert_frame_equal(grown, once, check_exact=True)
    own = replace(spec, tasks=("sphere-linear",))
    run_all(own, tmp_path / "own", executor=pool)
    with pytest.raises(InputError, match=r"dims: \[\] there, \[4\] asked for"):
        run_all(replace(own, dims=(4,)), tmp_path / "own")


def test_a_list_of_several_kinds_is_read_back_and_grows(tmp_path, pool):
    flips = tuple(FlipProbability(dim=4, radius=0.1, seed=seed, neurons=50) for seed in (0, 1))
    mixed = ExperimentList((*flips[:1], LimitsInDim(dim=4, scale="std", samples=1000)))
    run_all(mixed, tmp_path / "run", executor=pool)
    run = open_run(tmp_path / "run")
    assert run.spec == mixed
    assert run.experiments == mixed.experiments
    assert run.spec.summary["kind"] == ["flip-probability", "limits-in-dim"]
    assert run_all(ExperimentList((*mixed.experiments, flips[1])), tmp_path / "run", executor=pool).computed == 1
    assert run_all(mixed, tmp_path / "run", executor=pool).cells == 3
    other = ExperimentList((replace(flips[0], neurons=60),))
    with pytest.raises(InputError, match=r"neurons: 50 there, 60 asked for"):
        run_all(other, tmp_path / "run", executor=pool)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[experiments]\nexperiments = [{kind = 'flips'}]", "unknown kind of experiment"),
        ("[experiments]\nexperiments = [{kind = 'flip-probability', dim = 4}]", "'radius' is missing"),
        ("[experiments]\nexperiments = [{kind = 'flip-probability', dims = 4}]", "did you mean 'dim'"),
        ("[experiments]\nexperiments = 3", "a list of tables"),
        ("[experiments]\n", "'experiments' is missing"),
        ("[experiments]\nother = 3", "unknown setting"),
        ("[versions]\nnumpy = '1'", "no table of settings"),
    ],
)
def test_bad_lists_are_told_by_the_name_of_the_file(tmp_path, text, message):
    (tmp_path / "spec.toml").write_text(text)
    with pytest.raises(InputError, match=message) as told:
        open_run(tmp_path)
    assert "spec.toml" in str(told.value)
    assert "\n" not in str(told.value)
