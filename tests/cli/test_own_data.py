"""Own data from the command line: a table gives what the same arrays give, and a run keeps what it was trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntk1bit.cli.main import main
from ntk1bit.data import own_data, tasks
from ntk1bit.experiments import SweepSpec, open_run, run_all
from ntk1bit.experiments.two_layer import load_task

SMALL = ("--widths", "8,16", "--seeds", "2", "--steps", "5", "--checkpoints", "3", "--jobs", "1")


def table(rows=40):
    x = np.random.default_rng(0).standard_normal((rows, 4))
    return pd.DataFrame(x, columns=list("abcd")).assign(y=2 * x[:, 0] - x[:, 2])  # a target that is known to be linear


def ntk1bit(capsys, *words, code=0):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    out, err = capsys.readouterr()
    err = "".join(line for line in err.splitlines(keepends=True) if not line.startswith("["))  # without progress
    assert ended.value.code == code, err
    return out, err


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "mine.csv"
    table().to_csv(path, index=False)
    return path


def forget(monkeypatch):
    """As a new process begins."""
    monkeypatch.setattr(own_data, "_held", {})
    monkeypatch.setattr(own_data, "_places", {})
    load_task.cache_clear()


def test_a_table_gives_the_bits_of_its_arrays(tmp_path, csv, capsys):
    ntk1bit(capsys, "sweep", "--task", csv, "--target", "y", *SMALL, "--out", tmp_path / "a")
    x, y = table()[list("abcd")].to_numpy(), table()["y"].to_numpy()
    task = tasks.from_arrays("mine", x, y)
    spec = SweepSpec(tasks=(task,), widths=(8, 16), seeds=(0, 1), steps=5, checkpoints=3)
    assert (spec.n_train, spec.n_test) == ((30,), 10)
    run_all(spec, tmp_path / "b")
    first, second = (open_run(tmp_path / name) for name in ("a", "b"))
    assert first.spec == second.spec
    pd.testing.assert_frame_equal(first.frame(), second.frame(), check_exact=True)
    assert len(first.about) == 8


def test_everything_that_reads_a_sweep_reads_this_one_without_the_file(tmp_path, csv, capsys, monkeypatch):
    out = tmp_path / "run"
    _, err = ntk1bit(capsys, "sweep", "--task", csv, "--target", "y", *SMALL, "--out", out)
    assert "mine: targets divided by" in err
    csv.unlink()
    forget(monkeypatch)
    summary = json.loads(ntk1bit(capsys, "summary", out, "--json")[0])
    name = f"mine@{open_run(out).spec.as_dict()['tasks'][0].partition('@')[2]}"
    assert {entry["task"] for entry in summary["values"]} == {name}
    for words in (("summary", out), ("plot", out), ("report", out), ("fit", out, "--law", "power", "--x", "N")):
        ntk1bit(capsys, *words)
    assert "targets divided by" in (out / "report.html").read_text(encoding="utf-8")
    assert (out / "overview.png").stat().st_size > 10_000
    ntk1bit(capsys, "sweep", "--spec", out / "spec.toml", "--seeds", "3", "--jobs", "1", "--out", out)
    assert len(open_run(out).about) == 12


def test_a_run_is_not_resumed_on_changed_data(tmp_path, csv, capsys, monkeypatch):
    out = tmp_path / "run"
    command = ("sweep", "--task", csv, "--target", "y", *SMALL, "--out", out)
    ntk1bit(capsys, *command)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    changed = table()
    changed.loc[7, "b"] += 1e-3
    changed.to_csv(csv, index=False)
    forget(monkeypatch)
    _, err = ntk1bit(capsys, *command, code=2)
    assert err.count("\n") == 1
    assert "data of mine: digest" in err
    for options in (("--split", "0.5"), ("--normalise", "standard"), ("--data-seed", "1")):
        table().to_csv(csv, index=False)
        _, err = ntk1bit(capsys, *command, *options, code=2)
        assert err.count("\n") == 1
        assert "data" in err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert "8 were there" in ntk1bit(capsys, *command)[0]


def test_data_that_a_run_has_lost_are_given_again_by_its_command(tmp_path, csv, capsys, monkeypatch):
    out = tmp_path / "run"
    command = ("sweep", "--task", csv, "--target", "y", *SMALL, "--out", out)
    ntk1bit(capsys, *command)
    (kept,) = (out / "data").iterdir()
    whole = kept.read_bytes()
    kept.unlink()
    forget(monkeypatch)
    _, err = ntk1bit(capsys, "summary", out, code=2)
    assert "give their file again, as in --task mine.csv" in err
    ntk1bit(capsys, *command)
    assert kept.read_bytes() == whole
    kept.write_bytes(whole[:-100])
    forget(monkeypatch)
    _, err = ntk1bit(capsys, "summary", out, code=2)
    assert err.count("\n") == 1
    assert "is damaged" in err


def test_worker_processes_find_the_data(tmp_path, csv, capsys):
    ntk1bit(capsys, "sweep", "--task", csv, "--target", "y", *SMALL, "--out", tmp_path / "a")
    ntk1bit(capsys, "sweep", "--task", csv, "--target", "y", *SMALL[:-1], "2", "--out", tmp_path / "b")
    first, second = (open_run(tmp_path / name).frame() for name in ("a", "b"))
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_points_that_are_not_used_are_counted(tmp_path, csv, capsys):
    _, err = ntk1bit(
        capsys,
        "sweep",
        "--task",
        csv,
        "--target",
        "y",
        *SMALL,
        "--n-train",
        "5,10",
        "--n-test",
        "3",
        "--out",
        tmp_path / "r",
    )
    assert "mine: 10 of its 30 points to train on are used; more with --n-train" in err
    assert "mine: 3 of its 10 points to test on are used; more with --n-test" in err


def test_classes_side_by_side_and_beside_a_task_of_ours(tmp_path, capsys):
    path = tmp_path / "kinds.csv"
    table().assign(y=np.array(["a", "b", "c"])[np.arange(40) % 3]).to_csv(path, index=False)
    out = tmp_path / "run"
    ntk1bit(capsys, "sweep", "--tasks", f"{path},sphere-linear", "--target", "y=*", *SMALL, "--out", out)
    names = [name.partition("@")[0] for name in open_run(out).spec.as_dict()["tasks"]]
    assert names == ["kinds.a", "kinds.b", "kinds.c", "sphere-linear"]


def test_the_kernel_of_own_data(csv, capsys):
    out, err = ntk1bit(capsys, "ntk", "--task", csv, "--target", "y", "--width", "16", "--spectrum")
    assert "lambda_min" in out
    assert "targets divided by" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sweep", "--task", "digits", "--target", "y"), "--target is for your own data"),
        (("sweep", "--normalise", "none"), "--normalise is for your own data"),
        (("ntk", "--split", "0.5"), "--split is for your own data"),
        (("sweep", "--task", "CSV", "--dims", "3", "--target", "y"), "leave out --dims"),
        (("sweep", "--task", "CSV", "--n-train", "31", "--target", "y"), "has 30 points to train on"),
        (("sweep", "--task", "CSV"), "Name it with --target; the table has a, b, c, d, y"),
        (("sweep", "--task", "absent.csv", "--target", "y"), "there is no file"),
        (("sweep", "--task", "mine@0123456789ab"), "are not here"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(tmp_path, csv, capsys, words, message):
    given = [str(csv) if word == "CSV" else word for word in words]
    extra = ["--out", str(tmp_path / "out")] if words[0] == "sweep" else []
    _, err = ntk1bit(capsys, *given, *extra, code=2)
    assert err.count("\n") == 1
    assert message in err
    assert not Path(tmp_path / "out").exists()
