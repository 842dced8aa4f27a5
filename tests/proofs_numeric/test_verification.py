from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from ntk1bit.claims import Number
from ntk1bit.claims.results import FILE, evidence_of, read_results
from ntk1bit.cli.main import main
from ntk1bit.errors import InputError
from ntk1bit.experiments import ExperimentList
from proofs_numeric import verification
from proofs_numeric.catalogue import choose


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    out, err = capsys.readouterr()
    return ended.value.code, out, err


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("verify") / "run"
    for names in (["I.6"], ["D.7", "5.1"]):
        chosen = choose(names)
        work = verification.plan_work(chosen, "quick")
        verification.verify(chosen, work, preset="quick", folder=place, jobs=1)
    return place


def test_verdicts_are_kept_refuted_first_with_their_evidence(folder):
    found = read_results(folder)
    assert {entry.id for entry in found.claims} == {"I.6", "D.7", "5.1"}
    # within an outcome in the order of the catalogue, whichever was judged last
    same = [entry.id for entry in found.claims if entry.outcome == found.claims[0].outcome]
    assert same == [name for name in choose([]) if name in same]
    assert set(found.studies) == {"start"}
    assert found.claim("5.1").measures
    assert found.claim("5.1").tables["gap against m"]
    text = (folder / FILE).read_text()
    assert "NaN" not in text
    assert "Infinity" not in text


def test_stored_evidence_is_judged_as_it_was(folder):
    for entry in read_results(folder).claims:
        assert choose([entry.id, "I.6"])[entry.id].claim.judge(evidence_of(entry)).outcome == entry.outcome


def test_the_command_goes_on_from_what_is_there_and_prints_a_table(folder, capsys):
    before = {path: path.stat().st_mtime_ns for path in (folder / "studies").rglob("*.parquet")}
    code, out, err = call(capsys, "verify", "i.6", "--out", str(folder), "--jobs", "1")
    assert code == 0
    assert out.splitlines()[0].split()[:2] == ["claim", "verdict"]
    assert "I.6" in out
    assert "5.1" not in out
    assert "standard" in err  # quick says what it is not
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(read_results(folder).claims) == 3


def test_sweeps_run_through_the_command(tmp_path, capsys):
    code, out, _ = call(capsys, "verify", "H.2", "--seeds", "1", "--jobs", "2", "--out", str(tmp_path / "v"))
    assert code == 0
    assert "identity" in out
    (entry,) = read_results(tmp_path / "v").claims
    values = [one.value for one in evidence_of(entry).measures if isinstance(one, Number)]
    assert len(values) == len(entry.measures)
    assert max(values) <= 1e-10
    assert (tmp_path / "v" / "studies" / "terms" / "spec.toml").exists()


def _less(specification):
    """Keep two experiments of a list."""
    return ExperimentList(specification.experiments[:2]) if isinstance(specification, ExperimentList) else specification


def test_any_executor_serves(tmp_path):
    chosen = choose(["Eq.5", "H.2"])
    work = [
        replace(one, study=replace(one.study, specification=_less(one.study.specification)))
        for one in verification.plan_work(chosen, "quick", seeds=(0,))
        if one.study.name in ("flips", "terms-rate-1")
    ]
    with ThreadPoolExecutor(2) as executor:
        executor.submit(int).result()
        with pytest.raises(InputError):  # not every study that the claims need was run
            verification.verify(chosen, work, preset="quick", folder=tmp_path / "v", executor=executor)
        executor.submit(int).result()  # it was not shut down
    for name, count in (("flips", 2), ("terms-rate-1", 1)):
        assert len(list((tmp_path / "v" / "studies" / name / "cells").glob("*.parquet"))) == count


def test_verdicts_are_printed_as_json_and_nothing_else(folder, capsys):
    code, out, _ = call(capsys, "verify", "I.6", "--out", str(folder), "--jobs", "1", "--json")
    found = json.loads(out)
    assert (code, [one["id"] for one in found], bool(found[0]["measures"])) == (0, ["I.6"], True)


@pytest.mark.slow
def test_a_stopped_verification_goes_on_where_it_was(tmp_path):
    folder = tmp_path / "v"
    command = [sys.executable, "-m", "ntk1bit", "verify", "H.2", "--seeds", "2", "--jobs", "2", "--out", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while len(list(folder.rglob("cells/*.parquet"))) < 3:
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "To resume: ntk1bit verify H.2" in errors
    assert "Traceback" not in errors
    assert not (folder / FILE).exists()
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("cells/*.parquet")}
    assert len(kept) >= 3
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "identity" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_listing_and_planning_run_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ntk1bit.experiments.calibration.SECONDS", 0.0)  # a plan without its calibration
    code, out, _ = call(capsys, "verify", "--list")
    assert code == 0
    assert "rule:" in out
    code, out, _ = call(capsys, "verify", "C1", "--dry-run", "--preset", "standard")
    assert (code, "digits" in out, "runs/verify-standard" in out) == (0, True, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["C99"], "did you mean 'C9'"),
        (["C1", "--preset", "huge"], "huge"),
        (["C1", "--seeds", "0"], "gives no seed"),
        (["C1", "--jobs", "0"], "--jobs"),
        (["C1", "--seeds", "x"], "--seeds"),
    ],
)
def test_mistakes_end_in_one_line(tmp_path, capsys, arguments, told):
    code, _, err = call(capsys, "verify", *arguments, "--out", str(tmp_path / "v"))
    assert (code, err.count("\n")) == (2, 1)
    assert told in err
    assert not (tmp_path / "v").exists()


def test_a_verification_of_the_first_version_is_refused_in_a_line(tmp_path, capsys):
    (tmp_path / "measured" / "start").mkdir(parents=True)
    code, _, err = call(capsys, "verify", "I.6", "--out", str(tmp_path))
    assert (code, err.count("\n"), "0.1.0" in err) == (2, 1, True)


def test_studies_are_run_folders_that_every_view_opens(folder, capsys):
    code, out, _ = call(capsys, "summary", str(folder / "studies" / "start"))
    assert (code, "24 of 24 cells" in out, "largest_weight" in out) == (0, True, True)
    for command in ("plot", "report"):
        code, _, err = call(capsys, command, str(folder / "studies" / "start"))
        assert (code, err.count("\n")) == (2, 1)


def test_folders_that_hold_something_else_are_refused(folder, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    for place, preset, told in (
        (tmp_path / "mine", "quick", "not a verification"),
        (folder, "standard", "holds a quick"),
        (tmp_path / "mine" / "thesis.txt", "quick", "is a file"),
    ):
        code, _, err = call(capsys, "verify", "I.6", "--preset", preset, "--out", str(place))
        assert (code, told in err, err.count("\n")) == (2, True, 1)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1}', "\udcff"])
def test_damaged_results_are_told_in_a_line(tmp_path, text):
    (tmp_path / FILE).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=r"verdicts\.json"):
        read_results(tmp_path)


def test_results_of_another_format_are_refused(folder, tmp_path):
    found = json.loads((folder / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(found | {"format": 99}))
    with pytest.raises(InputError, match="format 99"):
        read_results(tmp_path)
    with pytest.raises(InputError, match="ntk1bit verify"):
        read_results(tmp_path / "nowhere")
