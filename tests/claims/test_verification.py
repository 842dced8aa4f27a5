from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ntk1bit.claims.claim_files import read_claim_file
from ntk1bit.claims.results import FILE, read_results
from ntk1bit.claims.verification import OWN, earlier_results, plan_files, verify_files
from ntk1bit.errors import InputError

from ..reports.documents import small_run, verification
from .test_claim_files import CLAIM, EXPONENT, WHERE, written

SWEEP = '[sweep]\ntasks = "sphere-linear"\nwidths = [16, 32, 64]\nsteps = 10\nn_train = 8\nn_test = 4\n'


def files(folder: Path, *texts: str):
    folder.mkdir(exist_ok=True)
    named = [text.replace('"mine"', f'"mine {place}"') for place, text in enumerate(texts)]
    return [read_claim_file(written(folder, text, f"{place}.toml")) for place, text in enumerate(named)]


def run(folder: Path, studies, notes=None):
    with ThreadPoolExecutor(2) as executor:
        return verify_files(studies, folder, executor=executor, note=None if notes is None else notes.append)


def test_claims_on_one_run_are_stored_with_it_and_the_run_is_only_read(tmp_path, sweep):
    before = {path: path.stat().st_mtime_ns for path in Path(sweep[0]).rglob("*")}
    level = EXPONENT.replace("exponent", "level") + WHERE
    studies, remarks = plan_files(
        files(tmp_path, CLAIM + EXPONENT + WHERE, CLAIM + level), tmp_path / "v", run=sweep[0]
    )
    assert ([one.to_run for one in studies], remarks) == ([False], [])
    results = run(tmp_path / "v", studies)
    assert read_results(tmp_path / "v") == results
    assert {one.id for one in results.claims} == {"mine 0", "mine 1"}
    assert set(results.studies) == {sweep[0]}
    assert results.preset == OWN
    assert {path: path.stat().st_mtime_ns for path in Path(sweep[0]).rglob("*")} == before


def test_a_sweep_that_claims_ask_for_is_trained_once_and_resumed(tmp_path):
    text = CLAIM + EXPONENT + WHERE.replace(', init = "iid"', "") + SWEEP
    studies, remarks = plan_files(files(tmp_path, text, text), tmp_path / "v")
    assert [one.name for one in studies] == ["mine-0"]
    assert "mine 0 cannot be supported: the sweep has 3 seeds, and a finding needs 5" in remarks
    results = run(tmp_path / "v", studies)
    assert {one.outcome for one in results.claims} == {"inconclusive"}
    folder = tmp_path / "v" / "studies" / "mine-0"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
    assert len(before) == 18
    more, remarks = plan_files(files(tmp_path, text, text), tmp_path / "v", seeds=(0, 1, 2, 3, 4))
    assert remarks == []
    assert run(tmp_path / "v", more).studies["mine-0"].cells == 30
    assert {path: path.stat().st_mtime_ns for path in before} == before
    # fewer seeds asked for: those that are there count
    assert plan_files(files(tmp_path, text), tmp_path / "v")[1] == []


def test_verdicts_that_are_there_are_kept_and_said(tmp_path, sweep):
    notes: list[str] = []
    first, second = files(tmp_path, CLAIM + EXPONENT + WHERE, CLAIM + EXPONENT + WHERE)
    for one in (first, second, second):
        results = run(tmp_path / "v", plan_files([one], tmp_path / "v", run=sweep[0])[0], notes)
    assert {one.id for one in results.claims} == {"mine 0", "mine 1"}
    assert [note for note in notes if "also keeps the verdicts on mine 0" in note] == notes[:2]


def test_what_cannot_be_judged_is_refused_in_a_line_before_anything_runs(tmp_path, sweep):
    small_run(tmp_path / "begun", finish=False, tasks=("sphere-linear",))
    good, asks = CLAIM + EXPONENT + WHERE, CLAIM + EXPONENT + WHERE + SWEEP
    for texts, options, told in (
        ([good], {}, "names no run"),
        ([good], {"run": tmp_path / "none"}, "is not a run folder"),
        ([good], {"run": tmp_path / "begun"}, "is not finished"),
        ([good], {"run": sweep[0], "seeds": (0,)}, "--seeds is for a sweep"),
        ([good.replace("one_bit", "onebit")], {"run": sweep[0]}, "did you mean 'one_bit'"),
        ([asks + "precisions = 'full'\n"], {}, "criterion 1"),
    ):
        with pytest.raises(InputError, match=told) as problem:
            plan_files(files(tmp_path, *texts), tmp_path / "v", **options)
        assert "\n" not in str(problem.value)
    with pytest.raises(InputError, match="claims of one id"):
        plan_files(files(tmp_path, good) * 2, tmp_path / "v", run=sweep[0])
    assert not (tmp_path / "v").exists()


def test_a_sweep_gives_way_to_a_run_and_this_is_said(tmp_path, sweep):
    studies, remarks = plan_files(files(tmp_path, CLAIM + EXPONENT + WHERE + SWEEP), tmp_path / "v", run=sweep[0])
    assert not studies[0].to_run
    assert "the sweep that" in remarks[0]


def test_folders_that_hold_something_else_are_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    verification(tmp_path / "standard")
    for place, preset, told in (
        (tmp_path / "mine", OWN, "not a verification"),
        (tmp_path / "mine" / "thesis.txt", OWN, "is a file"),
        (tmp_path / "standard", OWN, "holds a standard verification, not verdicts on claim files"),
        (tmp_path / "standard", "quick", "holds a standard verification, not a quick verification"),
    ):
        with pytest.raises(InputError, match=told):
            earlier_results(place, preset)
    assert earlier_results(tmp_path / "nowhere", OWN) is None
    found = earlier_results(tmp_path / "standard", "standard")
    assert found is not None
    assert (tmp_path / "standard" / FILE).exists()
