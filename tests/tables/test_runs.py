from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.estimators.sweep_losses import select_losses
from ntk1bit.plots.scaling import summary_figure
from ntk1bit.scaling import FitRequest, get_law
from ntk1bit.scaling.analysis import analyse, final_rows
from ntk1bit.tables.rows import load_rows

X = {"N": "N", "D": "D"}


def arms(names: tuple[str, ...] = ("a", "b"), sizes: int = 8) -> pd.DataFrame:
    """Arms that number their runs from 0, with three steps per run; the arms end at different D."""
    rows = [
        (arm, run, 1e6 * 2.0**run, (1 + i) * 10.0 ** (9 + step), 5.0 - step - 0.1 * run + i)
        for i, arm in enumerate(names)
        for run in range(sizes)
        for step in range(3)
    ]
    return pd.DataFrame(rows, columns=["arm", "run", "N", "D", "loss"])


def request(**options) -> FitRequest:
    return FitRequest(**{"law": get_law("chinchilla"), "x": X, "bootstrap": 0, **options})


def test_runs_numbered_anew_in_two_arms_are_runs_of_their_own() -> None:
    table = final_rows(arms(), request(group="arm", run="run")).rows
    assert table.groupby("arm").size().to_dict() == {"a": 8, "b": 8}
    assert set(table.loc[table["arm"] == "a", "D"]) == {1e11}
    assert set(table.loc[table["arm"] == "b", "D"]) == {2e11}


@pytest.mark.parametrize("seed", range(5))
def test_the_ends_of_several_arms_are_those_of_each_arm_alone(seed: int) -> None:
    frame = arms(("a", "None", "NA", "")).sample(frac=1, random_state=seed)
    together = final_rows(frame, request(group="arm", run="run")).rows
    alone = [final_rows(part, request(run="run")).rows for _, part in frame.groupby("arm")]
    pd.testing.assert_frame_equal(together.sort_index(), pd.concat(alone).sort_index())


def test_ends_are_counted_and_named() -> None:
    selected = final_rows(arms(), request(group="arm", run="run"))
    assert selected.left_out == ("32 of 48 rows, steps before the last D of 16 runs",)
    assert final_rows(selected.rows, request(group="arm", run="run")).left_out == ()


def test_steps_that_come_twice_in_a_run_are_reported() -> None:
    """Two arms in one file without a column of arms: the longer run of each name is taken, and that is said."""
    frame = pd.concat([arms(("a",)), arms(("a",)).query("D < 1e11").assign(loss=lambda t: t["loss"] + 1)])
    selected = final_rows(frame, request(run="run"))
    assert len(selected.rows) == 8
    (line,) = selected.left_out
    assert "32 of 40 rows, steps before the last D of 8 runs; in 8 of them the loss at one D is given more" in line
    assert "as the group" in line


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            arms().assign(D=arms()["D"].round(-9).clip(upper=1e10)),
            r"run = 0 has several losses at its last D",
        ),
        (
            arms().assign(N=lambda t: t["N"] * (1 + (t["arm"] == "b"))),
            r"run = 0 has rows of several N \(1e\+06 .. 2e\+06\)",
        ),
        (arms(("a",)).assign(D=[*[1e9] * 23, np.nan]), "column 'D' has missing values"),
        (arms(("a",)).assign(D=1e9), "nothing grows along 'run'"),
        (arms(("a",)).assign(D="far"), "'D' is not numeric"),
    ],
)
def test_runs_whose_ends_cannot_be_told_are_refused(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        final_rows(frame, request(run="run"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("column", ["tokens", "flops", "step", "Iteration"])
def test_without_a_law_of_d_the_end_is_where_something_else_grows(column: str) -> None:
    """The last step stands first in the table, so that neither the order nor N can give it away."""
    frame = arms(("a",)).iloc[::-1].rename(columns={"D": column})
    ends = final_rows(frame, request(run="run", law=get_law("power"), x={"x": "N"})).rows
    assert len(ends) == 8
    assert set(ends[column]) == {1e11}


def test_numbers_written_as_text_are_ordered_as_numbers() -> None:
    frame = arms(("a",)).assign(D=lambda t: t["D"].map(lambda d: f"{d:g}" if d < 1e10 else f"{d:.0f}"))
    assert set(final_rows(frame, request(run="run")).rows["D"]) == {"100000000000"}


def test_the_report_and_the_figure_tell_what_was_left_out() -> None:
    asked = FitRequest(get_law("power"), {"x": "N"}, "loss", group="arm", run="run", bootstrap=0)
    report = analyse(arms(), asked, left_out=["3 rows (lost): a $_x$"], remarks=["D may be meant"])
    assert report.left_out == ("3 rows (lost): a $_x$", "32 of 48 rows, steps before the last D of 16 runs")
    for line in ("- left out: 3 rows (lost): a", "- left out: 32 of 48 rows, st", "- note: D may be meant"):
        assert line in report.markdown()
    assert report.as_dict()["left_out"] == list(report.left_out)
    assert report.as_dict()["remarks"] == ["D may be meant"]
    figure = summary_figure(report.fits, left_out=report.left_out)
    assert figure.get_supxlabel() == "left out: 3 rows (lost); 32 of 48 rows, steps before the last D of 16 runs"
    assert summary_figure(report.fits).get_supxlabel() == ""


def test_rows_not_asked_for_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    arms().to_csv(path, index=False)
    assert load_rows(path, None).left_out == ()
    selected = load_rows(path, "arm=a")
    assert len(selected.rows) == 24
    assert selected.left_out == ("24 of 48 rows, which --where arm=a does not ask for",)


def test_cells_of_a_sweep_that_are_not_there_are_counted_and_named(sweep) -> None:
    frame = sweep()
    frame.loc[(frame["width"] == 64) & (frame["seed"] == 0), "diverged"] = True
    whole = frame.loc[frame["width"] < 2048]
    absent = frame.loc[frame["width"] == 2048].drop_duplicates(["precision", "seed"]).drop(columns="step")
    absent["state"] = ["damaged", "unfinished", "unfinished", "failed", "unfinished", "unfinished"]
    options = {"at": "last", "loss": "train", "group": None}
    selected = select_losses(whole, absent, where=None, **options)
    assert len(selected.rows) == 28
    assert selected.left_out == (
        "1 of 36 cells (damaged): width 2048 precision full seed 0",
        "1 of 36 cells (failed): width 2048 precision one_bit seed 0",
        "4 of 36 cells (unfinished): width 2048 precision full seed 1; width 2048 precision full seed 2; "
        "width 2048 precision one_bit seed 1; width 2048 precision one_bit seed 2",
        "2 of 30 cells (diverged): width 64 precision full seed 0; width 64 precision one_bit seed 0",
    )
    only = select_losses(whole, absent, where="precision=one_bit,step=256", **options)
    assert [line.split(":")[0] for line in only.left_out] == [
        "1 of 18 cells (failed)",
        "2 of 18 cells (unfinished)",
        "1 of 15 cells (diverged)",
    ]


def test_a_run_on_disk_with_damaged_failed_and_unfinished_cells(tmp_path: Path) -> None:
    """The command itself, on a sweep of eight small networks of which three cannot be read."""
    from typer.testing import CliRunner

    from ntk1bit.cli.main import app
    from ntk1bit.experiments import Store, SweepSpec, open_run

    spec = SweepSpec(widths=(8, 16, 32, 64), seeds=(0, 1), precisions=("full",), steps=12, n_train=(10,), n_test=6)
    store, cells = Store(tmp_path / "run"), spec.networks
    store.open(spec)
    for cell in cells[2:]:
        store.write(cell, cell.run(tmp_path), seconds=1.0)
    store.record_failure(cells[0], "MemoryError: none left")
    store.path(cells[2].key).write_bytes(b"not a cell")
    absent = open_run(store.folder).absent
    assert dict(zip(absent["state"], absent["width"], strict=True)) == {
        "failed": cells[0].width,
        "unfinished": cells[1].width,
        "damaged": cells[2].width,
    }
    out = tmp_path / "fit.json"
    options = ["--law", "power", "--bootstrap", "0", "--out", str(out)]
    shown = CliRunner().invoke(app, ["fit", str(store.folder), *options], catch_exceptions=False)
    assert shown.exit_code == 0
    for state in ("damaged", "failed", "unfinished"):
        assert f"- left out: 1 of 8 cells ({state}): width" in shown.output
    *counted, named = json.loads(out.read_text())["left_out"]
    assert len(counted) == 3
    assert named.startswith(f"{cells[2].key}.parquet: not a readable result")
    assert json.loads(out.read_text())["fits"]["all"]["points"] == 5
