from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from ntk1bit.cli.deep import deep
from ntk1bit.cli.main import main
from ntk1bit.errors import InputError
from ntk1bit.experiments import deep_spec as specs
from ntk1bit.experiments.deep_spec import RATES, DeepScalingSpec, DeepSimilaritySpec

FIG_1 = DeepScalingSpec((100,), 20, ("f3",), seeds=(0, 1))
FIG_3 = DeepSimilaritySpec((2,), 2, ("sine-step",), seeds=(0, 1))


@pytest.fixture
def call(monkeypatch, tmp_path):
    """Run the command in this process, on experiments of a second; return its exit code and what it printed."""
    monkeypatch.setitem(specs.SCALING_PRESETS, "smoke", FIG_1)
    monkeypatch.setitem(specs.SIMILARITY_PRESETS, "smoke", FIG_3)
    monkeypatch.setattr(specs, "DEPTHS", (3,))
    app = typer.Typer()
    app.command()(deep)

    def run(*arguments: str):
        return CliRunner().invoke(app, ["--preset", "smoke", "--jobs", "1", "--out", str(tmp_path / "run"), *arguments])

    return run


def test_figure_1_is_trained_printed_written_and_drawn_and_found_again(call, tmp_path):
    ended = call("--figure", "1")
    assert ended.exit_code == 0, ended.stdout
    assert "least training loss" in ended.stdout
    starred = [line for line in ended.stdout.splitlines() if "*" in line and not line.startswith("*")]
    assert len(starred) == 2  # a best rate for each precision
    table = pd.read_csv(tmp_path / "run" / "figure-1.csv")
    assert set(table["N"]) == {100}
    assert set(table["precision"]) == {"one_bit", "full"}
    assert (tmp_path / "run" / "figure-1.png").stat().st_size > 1000
    stored = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "cells").glob("*.parquet")}
    assert len(stored) == len(RATES["one_bit", 3]) + len(RATES["full", 3])
    again = call("--figure", "1")
    assert again.stdout == ended.stdout
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "cells").glob("*.parquet")} == stored


def test_figures_2_and_3_share_their_networks(call, tmp_path):
    third = call("--figure", "3")
    assert third.exit_code == 0, third.stdout
    assert "after 2 epochs" in third.stdout
    stored = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "cells").glob("*.parquet")}
    second = call("--figure", "2")
    assert second.exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "cells").glob("*.parquet")} == stored
    for name in ("figure-2.png", "figure-3.png", "figure-2.csv", "figure-3.csv", "spec.toml"):
        assert (tmp_path / "run" / name).exists()
    first = call("--figure", "1")
    assert "holds a run of ntk1bit deep --figure 3, not of ntk1bit deep --figure 1" in str(first.exception)


def test_summary_and_plot_know_the_run(call, tmp_path, capsys):
    printed = call("--figure", "1").stdout.split("\n\n")[0]
    with pytest.raises(SystemExit):
        main(["summary", str(tmp_path / "run")])
    assert printed in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["plot", str(tmp_path / "run")])
    drawn = capsys.readouterr().out.split()
    assert drawn
    assert all(Path(one).stat().st_size > 1000 for one in drawn)


def test_the_plan_trains_nothing(call, tmp_path):
    ended = call("--dry-run", "--figure", "3")
    assert ended.exit_code == 0
    # one function, one size k = 2, two seeds, two precisions
    assert [line.split()[:2] for line in ended.stdout.splitlines()][2] == ["2", "4"]
    assert str(tmp_path / "run") in ended.stdout.replace("\n", "")
    assert not (tmp_path / "run").exists()


def test_mistakes_are_one_line(call):
    for arguments, words in (
        (("--figure", "4"), "unknown figure 4; choose one of: 1, 2, 3"),
        (("--jobs", "0"), "--jobs must be from 1"),
    ):
        ended = call(*arguments)
        assert isinstance(ended.exception, InputError)
        assert words in str(ended.exception)
