"""No number comes out of a file that was not written for it: every kind of run, with every kind of damage to its files.

Whatever is done to a file of a run, what is read of the run is what was computed, or the file is named and left out (or
the whole run is refused in one line), and reading changes nothing. What runs again sets aside or leaves what is there.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ntk1bit.data import tasks
from ntk1bit.errors import InputError
from ntk1bit.experiments import Experiment, ExperimentList, Run, Store, SweepSpec, open_run, run_all
from ntk1bit.experiments import store as store_module
from ntk1bit.experiments.at_start import FlipProbability, LimitsInDim, StepNoise
from ntk1bit.experiments.deep_spec import DeepScalingSpec, DeepSimilaritySpec
from ntk1bit.experiments.language_run import read_network
from ntk1bit.experiments.specification import Specification
from ntk1bit.experiments.stability_spec import StabilitySpec

from ..tiny_language import TINY

SWEEP = SweepSpec(widths=(8, 16), seeds=(0, 1), steps=5, n_train=(8,), n_test=4)


def _own_data() -> SweepSpec:
    rng = np.random.default_rng(0)
    own = tasks.from_arrays("mine", rng.standard_normal((20, 3)), rng.standard_normal(20))
    return SweepSpec(tasks=(own,), widths=(8,), seeds=(0, 1), steps=5)


KINDS: dict[str, Callable[[], Specification]] = {
    "sweep": lambda: SWEEP,
    "own-data": _own_data,
    "accelerator": lambda: SweepSpec(backend="jax", widths=(8,), seeds=(0, 1), steps=3, n_train=(8,), n_test=4),
    "train-lm": lambda: TINY,
    "stability": lambda: StabilitySpec(
        text="pydoc", sizes=("1x8",), arms=("bitnet",), tokens=640, batch=4, context=16, seeds=(0, 1), windows=32,
        lowest=0, most=1, stability=(),
    ),
    "deep-scaling": lambda: DeepScalingSpec((64,), 4, ("f2",), seeds=(0, 1)),
    "deep-similarity": lambda: DeepSimilaritySpec((1,), 2, seeds=(0, 1)),
    "studies": lambda: ExperimentList(
        (
            LimitsInDim(dim=2, scale="std", samples=512),
            LimitsInDim(dim=2, scale="std", samples=1024),
            FlipProbability(dim=4, radius=0.1, seed=0, neurons=100),
            StepNoise(dim=8, width=64, seed=0, networks=3),
        )
    ),
}  # fmt: skip
QUICK_TO_RUN = ("sweep", "own-data", "accelerator", "studies")


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Return a function that gives the folder of a whole run of a kind, computed once for all workers of the tests."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def whole(kind: str) -> Path:
        if kind == "train-lm":
            return request.getfixturevalue("finished")[0]
        folder = shared / f"faults-{kind}"
        with filelock.FileLock(f"{folder}.lock"):
            if run_all(KINDS[kind](), folder).failed:
                raise AssertionError((folder / "failures.jsonl").read_text())
        return folder

    return whole


# --- what is done to a result, given its file, that of another cell, and one of another run


def flipped(path: Path, other: Path, foreign: Path) -> None:
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 8, len(data) - 8, 100):  # one alone may lie where it changes nothing
        data[place] ^= 0x10
    path.write_bytes(data)


def cut(path: Path, other: Path, foreign: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def emptied(path: Path, other: Path, foreign: Path) -> None:
    path.write_bytes(b"")


def swapped(path: Path, other: Path, foreign: Path) -> None:
    mine, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(mine)


def replaced(path: Path, other: Path, foreign: Path) -> None:
    shutil.copy(foreign, path)


def _rewritten(path: Path, change: Callable[[pa.Table], pa.Table], about: Callable[[dict], dict] = dict) -> None:
    """Write another table under the same metadata, as an editor of Parquet files would."""
    table = pq.read_table(path)
    said = json.loads(table.schema.metadata[b"ntk1bit"])
    pq.write_table(change(table).replace_schema_metadata({"ntk1bit": json.dumps(about(said))}), path)


def _numeric(table: pa.Table) -> int:
    kinds = (pa.types.is_floating, pa.types.is_integer)
    return next(i for is_kind in kinds for i, field in enumerate(table.schema) if is_kind(field.type))


def edited(path: Path, other: Path, foreign: Path) -> None:
    def change(table: pa.Table) -> pa.Table:
        place = _numeric(table)
        values = pa.array(table.column(place).to_numpy(zero_copy_only=False) + 1)
        return table.set_column(place, table.column_names[place], values)

    _rewritten(path, change)


def without_a_column(path: Path, other: Path, foreign: Path) -> None:
    _rewritten(path, lambda table: table.remove_column(_numeric(table)))


def without_rows(path: Path, other: Path, foreign: Path) -> None:
    _rewritten(path, lambda table: table.slice(0, 0))


def of_other_settings(path: Path, other: Path, foreign: Path) -> None:
    def change(about: dict[str, Any]) -> dict[str, Any]:
        name = next(name for name, value in about["settings"].items() if isinstance(value, int))
        return about | {"settings": about["settings"] | {name: about["settings"][name] + 1}}

    _rewritten(path, lambda table: table, change)


def of_a_newer_version(path: Path, other: Path, foreign: Path) -> None:
    _rewritten(path, lambda table: table, lambda about: about | {"version": about["version"] + 1})


def faster(path: Path, other: Path, foreign: Path) -> None:
    _rewritten(path, lambda table: table, lambda about: about | {"seconds": about["seconds"] + 1000.0})


def of_another_program(path: Path, other: Path, foreign: Path) -> None:
    pq.write_table(pa.table({"loss": [0.0]}), path)


def made_a_folder(path: Path, other: Path, foreign: Path) -> None:
    path.unlink()
    path.mkdir()


def removed(path: Path, other: Path, foreign: Path) -> None:
    path.unlink()


DAMAGES = (
    flipped, cut, emptied, swapped, replaced, edited, without_a_column, without_rows, of_other_settings,
    of_a_newer_version, faster, of_another_program, made_a_folder, removed,
)  # fmt: skip
Damage = Callable[[Path, Path, Path], None]


def contents(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if path.name != ".lock"}


def foreign_cell(tmp_path: Path) -> Path:
    """Return a whole result of another run."""
    one = SweepSpec(widths=(8,), seeds=(7,), steps=4, n_train=(8,), n_test=4).networks[0]
    store = Store(tmp_path / "foreign")
    store.cells.mkdir(parents=True)
    store.write(one, one.run(tmp_path), seconds=1.0)
    return store.path(one.key)


@functools.cache
def _sound(whole: Path) -> Run:
    return open_run(whole)


@functools.lru_cache(maxsize=100)
def _frame(whole: Path, experiments: tuple[Experiment, ...]) -> pd.DataFrame:
    return Store(whole).frame(experiments)


def require_true(folder: Path, whole: Path) -> set[Experiment]:
    """Require that what is read of a damaged run is what was computed; return the experiments that are left out."""
    before = contents(folder)
    run, sound = open_run(folder), _sound(whole)
    keys = {one.key for one in run.experiments if one.key in run.about}
    assert keys <= sound.about.keys()
    there = [one for one in run.experiments if one.key in keys]
    pd.testing.assert_frame_equal(run.frame(), _frame(whole, tuple(there)), check_exact=True)
    missing = {one for one in sound.experiments if one.key not in keys}
    unknown = {one for one in missing if one not in run.states}  # of later stages, which depend on what is left out
    assert run.complete or unknown == missing - run.states.keys()
    for one in missing - unknown:
        path = Store(folder).path(one.key)
        assert (run.states[one] == "damaged") == path.exists()
        assert any(path.stem in problem for problem in run.problems) == path.exists()
        assert run.left_out
    with pytest.raises(InputError) if run.left_out else contextlib.nullcontext():
        run.require_nothing_left_out()
    assert contents(folder) == before
    return missing


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_result_is_named_and_left_out(
    runs: Callable[[str], Path], kind: str, damage: Damage, tmp_path: Path
) -> None:
    whole = runs(kind)
    folder = shutil.copytree(whole, tmp_path / "run")
    store, experiments = Store(folder), open_run(whole).experiments
    first, second = experiments[len(experiments) // 2], experiments[-1]
    damage(store.path(first.key), store.path(second.key), foreign_cell(tmp_path))
    missing = require_true(folder, whole)
    assert first in missing
    assert (second in missing) == (damage is swapped) or kind in ("train-lm", "stability")  # stages are unknown there
    # a run that goes on sets it aside, whole, and takes nothing else away
    before = contents(folder)
    path = store.path(first.key)
    found = store.find(experiments)
    after = contents(folder)
    if damage is removed:
        assert found.notes == []
        return
    assert f"{path.name} " in found.notes[0]
    assert "set aside as set_aside/" in found.notes[0]
    assert first.key not in found.finished
    assert sorted(before.values()) == sorted(after.values())
    moved = {store.path(one.key) for one in ((first, second) if damage is swapped else (first,))}
    assert not any(one.exists() for one in moved)
    assert {folder / name for name in before if name not in after} == (set() if damage is made_a_folder else moved)


@pytest.mark.parametrize("kind", KINDS)
def test_cells_of_other_runs_are_named_and_not_counted(runs: Callable[[str], Path], kind: str, tmp_path: Path) -> None:
    whole = runs(kind)
    folder = shutil.copytree(whole, tmp_path / "run")
    strange = foreign_cell(tmp_path)
    shutil.copy(strange, folder / "cells")
    run = open_run(folder)
    assert require_true(folder, whole) == set()
    (problem,) = run.problems
    assert problem == f"{strange.name} left out: is of no experiment of this run"
    assert run.left_out == [problem]


@pytest.mark.parametrize("kind", KINDS)
def test_results_of_somebody_else_are_left_as_they_are(
    runs: Callable[[str], Path], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result that the system refuses to read may be whole: it is named, and neither moved nor computed again."""
    whole = runs(kind)
    folder = shutil.copytree(whole, tmp_path / "run")
    experiments = open_run(whole).experiments
    path = Store(folder).path(experiments[-1].key)

    def refused(name: Any, *arguments: Any, **options: Any) -> Any:
        if name == path:
            raise PermissionError(13, "Permission denied", str(name))
        return open(name, *arguments, **options)

    monkeypatch.setattr(store_module, "open", refused, raising=False)
    before = contents(folder)
    assert require_true(folder, whole) == {experiments[-1]}
    outcome = run_all(open_run(whole).spec, folder)
    assert (outcome.unreadable, outcome.computed, outcome.failed) == (1, 0, 0)
    assert "cannot be read (Permission denied); it was left as it is" in str(outcome.notes)
    assert contents(folder) == before


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in QUICK_TO_RUN else pytest.mark.slow) for kind in KINDS]
)
def test_a_run_with_damaged_files_is_made_whole_again(runs: Callable[[str], Path], kind: str, tmp_path: Path) -> None:
    """Every third result is damaged, each in another way; the run that goes on has the bits of the undisturbed one."""
    whole = runs(kind)
    folder, foreign = shutil.copytree(whole, tmp_path / "run"), foreign_cell(tmp_path)
    experiments = open_run(whole).experiments
    damages = [one for one in DAMAGES if one is not swapped]
    for place, one in enumerate(experiments[::3]):
        damages[(5 * place) % len(damages)](Store(folder).path(one.key), Store(folder).path(one.key), foreign)
    for path in (folder / "cells").glob("*.weights"):
        path.write_bytes(path.read_bytes()[:-1])
    outcome = run_all(open_run(whole).spec, folder)
    assert (outcome.computed, outcome.failed) == (len(experiments[::3]), 0)
    pd.testing.assert_frame_equal(open_run(folder).frame(), open_run(whole).frame(), check_exact=True)
    assert open_run(folder).left_out == []


def other_settings(text: str) -> str:
    """Change a number of the specification: the results beside it are then of no experiment of it."""
    if "samples = " in text:  # studies are a list of experiments
        return re.sub(r"samples = \d+", "samples = 2048", text, count=1)
    lines = text.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith(("steps = ", "tokens = ", "epochs = ")))
    name, _, value = lines[place].partition(" = ")
    lines[place] = f"{name} = {int(value) + 64}"
    return "\n".join(lines)


@pytest.mark.parametrize("kind", KINDS)
def test_results_beside_another_specification_are_not_taken_for_its(
    runs: Callable[[str], Path], kind: str, tmp_path: Path
) -> None:
    """A report said 5,000 steps of networks that had been trained for 50."""
    whole = runs(kind)
    folder = shutil.copytree(whole, tmp_path / "run")
    path = folder / "spec.toml"
    path.write_text(other_settings(path.read_text()))
    run = open_run(folder)
    same = {one for one in run.experiments if one.key in run.about}
    assert len(same) < len(open_run(whole).about)
    assert same <= set(open_run(whole).experiments)
    assert run.left_out


@pytest.mark.parametrize("damage", [b"", b"\x00\xff", b"[sweep]", b"[sweep]\nwidths = 'a'", b"[other]", b"=" * 10_000])
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_specification_is_refused_in_one_line(
    runs: Callable[[str], Path], kind: str, damage: bytes, tmp_path: Path
) -> None:
    folder = shutil.copytree(runs(kind), tmp_path / "run")
    (folder / "spec.toml").write_bytes(damage)
    before = contents(folder)
    for refused in (lambda: open_run(folder), lambda: run_all(KINDS[kind](), folder)):
        with pytest.raises(InputError) as told:
            refused()
        assert "\n" not in str(told.value)
        assert "spec.toml" in str(told.value) or str(folder) in str(told.value)
    assert contents(folder) == before | {"spec.toml": damage}


def test_failures_that_cannot_be_read_cost_nothing(runs: Callable[[str], Path], tmp_path: Path) -> None:
    """A line that a full disk has cut does not take the next one with it."""
    whole = runs("sweep")
    store = Store(shutil.copytree(whole, tmp_path / "run"))
    first, second = SWEEP.networks[:2]
    path = store.folder / "failures.jsonl"
    store.record_failure(first, "one")
    path.write_bytes(path.read_bytes()[:-40])
    store.record_failure(second, "two")
    path.write_bytes(b'\xff\x00{}\n"x"\n' + b"[" * 100_000 + b"\n" + path.read_bytes())
    assert store.failures() == {second.key: "two"}
    require_true(store.folder, whole)


@pytest.mark.parametrize("damage", [flipped, cut, emptied, replaced, made_a_folder, swapped, removed])
def test_weights_that_are_not_those_of_the_network_are_refused(
    finished: tuple[Path, Any], damage: Damage, tmp_path: Path
) -> None:
    """A flipped bit, or another network's weights, were exported without a word."""
    copy = shutil.copytree(finished[0], tmp_path / "run")
    read_network(copy)
    (seeds,) = (stage.experiments for stage in open_run(copy).stages if stage.name == "seeds")
    two = [one for one in seeds if (vars(one)["arm"], vars(one)["width"]) == ("bitnet", 16)]
    first, second = (Store(copy).scratch(one.key).with_suffix(".weights") for one in two)
    damage(first, second, second)
    with pytest.raises(InputError, match="cannot use the weights") as told:
        read_network(copy)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("damage", [flipped, cut, emptied, replaced, made_a_folder])
def test_own_data_that_are_not_those_of_the_run_are_refused(
    runs: Callable[[str], Path], damage: Damage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ntk1bit.data import own_data

    monkeypatch.setattr(own_data, "_held", {})
    whole = runs("own-data")
    copy = shutil.copytree(whole, tmp_path / "run")
    (path,) = (copy / "data").iterdir()
    rng = np.random.default_rng(1)
    other = tasks.from_arrays("mine", rng.standard_normal((20, 3)), rng.standard_normal(20))
    own_data.save(own_data.keep(other), tmp_path)
    monkeypatch.setattr(own_data, "_held", {})
    (strange,) = (tmp_path / "data").iterdir()
    next((copy / "cells").glob("*.parquet")).unlink()
    damage(path, strange, strange)
    with pytest.raises(InputError, match="give the data again") as told:
        run_all(open_run(copy).spec, copy)
    assert "\n" not in str(told.value)
    assert len(open_run(copy).about) == len(open_run(whole).about) - 1


# --- at random


def at_random(folder: Path, rng: np.random.Generator) -> Path:
    """Damage one file of a run somehow; return which."""
    every = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    path, other = (every[int(rng.integers(len(every)))] for _ in range(2))
    data = bytearray(path.read_bytes())
    size = max(len(data), 1)
    low, high = sorted(int(place) for place in rng.integers(0, size + 1, 2))
    match int(rng.integers(9)):
        case 0:
            for place in rng.integers(0, size, int(rng.integers(1, 9))):
                if data:
                    data[place] ^= 1 << int(rng.integers(8))
        case 1:
            del data[low:]
        case 2:
            del data[low:high]
        case 3:
            data[low:high] = bytes(high - low)
        case 4:
            data[low:high] = rng.bytes(high - low)
        case 5:
            data[low:low] = rng.bytes(int(rng.integers(1, 200)))
        case 6:
            data[low:low] = data[low:high]
        case 7:
            theirs = other.read_bytes()
            other.write_bytes(data)
            data = bytearray(theirs)
        case _:
            data[low:high] = other.read_bytes()[low:high]
    path.write_bytes(data)
    return path


def damage_at_random(runs: Callable[[str], Path], part: int, times: int, tmp_path: Path) -> None:
    """No wrong number, no traceback: what can be opened is what was computed, and the rest is refused in one line."""
    rng = np.random.default_rng(part)
    held = {kind: (runs(kind), shutil.copytree(runs(kind), tmp_path / kind)) for kind in KINDS}
    left_out, harmless, messages = 0, 0, list[str]()
    for number in range(times):
        whole, folder = held[list(KINDS)[number % len(KINDS)]]
        before = contents(folder)
        for _ in range(int(rng.integers(1, 3))):
            at_random(folder, rng)
        try:
            missing = require_true(folder, whole)
            harmless, left_out = harmless + (not missing), left_out + bool(missing)
        except InputError as problem:
            messages.append(str(problem))
        for name, content in before.items():
            if (folder / name).read_bytes() != content:
                (folder / name).write_bytes(content)
    assert not any("\n" in message for message in messages)
    assert min(len(messages), left_out, harmless) >= times / 100


@pytest.mark.slow
def test_three_hundred_random_damages(runs: Callable[[str], Path], tmp_path: Path) -> None:
    damage_at_random(runs, 99, 300, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("part", range(4))
def test_three_thousand_random_damages(runs: Callable[[str], Path], part: int, tmp_path: Path) -> None:
    damage_at_random(runs, part, 750, tmp_path)
