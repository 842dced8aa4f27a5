from __future__ import annotations

import csv
import io
import shutil

import pytest

from ntk1bit.cli.main import main
from ntk1bit.experiments import SweepSpec, run_all
from ntk1bit.experiments.store import Store

SPEC = SweepSpec(widths=(16, 32), seeds=(0, 1), steps=20, n_train=(16,), n_test=8)
TOML = "[sweep]\nwidths = [16, 32]\nseeds = [0, 1, 2]\nsteps = 20\nn_train = [16]\nn_test = 8\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plans") / "run"
    run_all(SPEC, folder)
    return folder


def call(capsys, *words: object):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_a_finished_run_is_replayed_from_its_cells(capsys, run):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    code, out, err = call(capsys, "plan", run, "--workers", "6")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[2:6]] == ["1", "2", "4", "6"]
    assert "8, 8 of them there; from cells that are there" in out
    assert "scales      up to" in out
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_the_table_is_printed_as_csv_and_the_figure_drawn(capsys, run, tmp_path):
    code, out, err = call(capsys, "plan", run, "--workers", "4", "--csv", "--plot", tmp_path / "plan.png")
    rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(io.StringIO(out))]
    assert (code, err.strip()) == (0, str(tmp_path / "plan.png"))
    assert (tmp_path / "plan.png").stat().st_size > 1000
    assert [row["workers"] for row in rows] == [1, 2, 4]
    for row in rows:
        assert row["processor_hours"] == pytest.approx(row["workers"] * row["seconds"] / 3600)
    assert rows[0]["seconds"] >= rows[1]["seconds"] >= rows[2]["seconds"]


def test_a_file_is_planned_from_the_times_of_another_run(capsys, run, tmp_path):
    (tmp_path / "my.toml").write_text(TOML)
    code, out, _ = call(capsys, "plan", tmp_path / "my.toml", "--timed", run, "--workers", "2")
    assert (code, "12, 0 of them there; from cells that are there" in out) == (0, True)


def test_without_times_a_plan_is_rough(capsys, tmp_path):
    (tmp_path / "my.toml").write_text(TOML)
    code, out, _ = call(capsys, "plan", tmp_path / "my.toml")
    assert (code, "12, 0 of them there; rough" in out) == (0, True)
    assert len(list(tmp_path.iterdir())) == 1


def test_damaged_cells_are_planned_like_the_others(capsys, run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "damaged")
    Store(folder).path(SPEC.networks[0].key).write_bytes(b"not Parquet")
    code, out, _ = call(capsys, "plan", folder)
    assert (code, "8, 7 of them there; from cells that are there" in out) == (0, True)


def test_a_dry_run_of_a_finished_run_has_nothing_to_do(capsys, run):
    words = ("--widths", "16,32", "--seeds", "2", "--steps", "20", "--n-train", "16", "--n-test", "8", "--out", run)
    code, out, _ = call(capsys, "sweep", *words, "--dry-run")
    assert (code, "time        about 0:00" in out) == (0, True)
    code, _, err = call(capsys, "sweep", *words, "--steps", "21", "--dry-run")
    assert (code, err.count("\n"), "steps: 20 there, 21 asked for" in err) == (2, 1, True)


def test_a_verification_is_planned_study_by_study(capsys, run, tmp_path):
    (tmp_path / "studies").mkdir()
    for name in ("one", "two"):
        (tmp_path / "studies" / name).symlink_to(run)
    code, out, _ = call(capsys, "plan", tmp_path)
    assert (code, "16, 16 of them there" in out) == (0, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["RUN", "--workers", "0"], "--workers must be from 1 to 100,000, got 0"),
        (["RUN", "--workers", "x"], "valid integer"),
        (["RUN", "--plot", "plan.txt"], "--plot"),
        (["RUN", "--timed", "missing"], "missing"),
        (["missing"], "is no run folder, verification or specification file"),
        (["EMPTY"], "is no run folder, verification or specification file"),
        (["bad.toml"], "has no table of settings"),
        ([], "Missing argument"),
    ],
)
def test_mistakes_end_in_one_line(capsys, run, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text("[other]\n")
    (tmp_path / "empty").mkdir()
    places = {"RUN": str(run), "EMPTY": "empty"}
    code, out, err = call(capsys, "plan", *(places.get(word, word) for word in words))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err


def test_times_of_a_run_without_cells_are_refused(capsys, run, tmp_path):
    Store(tmp_path / "empty").open(SPEC)
    code, _, err = call(capsys, "plan", run, "--timed", tmp_path / "empty")
    assert (code, err.count("\n"), "has no finished cells to take times from" in err) == (2, 1, True)
