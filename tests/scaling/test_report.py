from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.scaling import Fit, FitRequest, fit
from ntk1bit.scaling.analysis import analyse
from ntk1bit.scaling.laws import get_law
from ntk1bit.scaling.report import Report, markdown_table


@pytest.fixture(scope="module")
def full(runs: pd.DataFrame) -> Report:
    request = FitRequest(
        law=get_law("chinchilla"),
        x={"N": "N", "D": "D"},
        loss="loss",
        bootstrap=100,
        rivals=("kaplan",),
        holdout=0.3,
        frontier=True,
    )
    return analyse(runs, request)


def test_json_holds_everything_as_plain_numbers(full: Report, tmp_path: Path) -> None:
    full.write(tmp_path / "fit.json")
    content = json.loads((tmp_path / "fit.json").read_text())
    found = content["fits"]["all"]
    assert found["points"] == 240
    assert found["starts"] >= 500
    assert {row["parameter"] for row in found["parameters"]} == {"E", "A", "B", "alpha", "beta"}
    assert found["ranges"].keys() == {"N", "D"}
    assert content["laws"][0]["law"] == "chinchilla"
    assert {row["law"] for row in content["extrapolation"]} == {"chinchilla", "kaplan"}
    assert content["frontier"][0]["route"] == "parametric"


def test_csv_has_a_row_a_parameter(full: Report, tmp_path: Path) -> None:
    full.write(tmp_path / "fit.csv")
    table = pd.read_csv(tmp_path / "fit.csv")
    assert len(table) == 5
    assert {"group", "parameter", "estimate", "low", "high", "points"} <= set(table.columns)


def test_markdown_names_intervals_ranges_and_points(full: Report) -> None:
    text = full.markdown()
    for part in (
        "95 % percentile",
        "95 % BCa",
        "240 points",
        "Laws by AICc",
        "Held-out",
        "Compute-optimal",
        "B and beta",
    ):
        assert part in text


def test_fits_without_replicates_are_reported_too(widths: pd.DataFrame, tmp_path: Path) -> None:
    report = Report({"all": fit(widths, "power+floor", bootstrap=0)})
    assert "percentile" not in report.markdown()
    report.write(tmp_path / "a.json")
    assert "low" not in json.loads((tmp_path / "a.json").read_text())["fits"]["all"]["parameters"][0]


def test_infinities_become_null(floored: Fit, tmp_path: Path) -> None:
    report = Report({"all": floored}, laws=pd.DataFrame({"law": ["a"], "aicc": [np.inf]}))
    report.write(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["laws"][0]["aicc"] is None


def test_markdown_tables_are_aligned() -> None:
    text = markdown_table(pd.DataFrame({"a": [1.0, float("nan")], "long name": ["x", "yy"]}))
    assert text.splitlines() == ["| a | long name |", "| - | --------- |", "| 1 | x         |", "|   | yy        |"]


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("one_bit", "one_bit"),
        ("_full", "\\_full"),
        ("a|b", "a\\|b"),
        ("*x*", "\\*x\\*"),
        ("two\nlines", "two\\\\nlines"),
    ],
)
def test_labels_are_shown_letter_by_letter_on_one_line(label: str, shown: str) -> None:
    text = markdown_table(pd.DataFrame({"group": [label], "n": [1.0]}))
    assert len(text.splitlines()) == 3
    assert f"| {shown} |" in text.splitlines()[2].replace("  ", " ")


def test_other_forms_and_places_are_refused(full: Report, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.json, \.csv, \.md"):
        full.write(tmp_path / "fit.xlsx")
    with pytest.raises(InputError, match="choose another place"):
        full.write(tmp_path / "none" / "fit.md")


def test_groups_are_compared(widths: pd.DataFrame) -> None:
    frame = pd.concat([widths.assign(p="a"), widths.assign(p="b", loss=2 * widths["loss"])])
    request = FitRequest(law=get_law("power+floor"), x={"x": "x"}, loss="loss", group="p", bootstrap=50)
    report = analyse(frame, request)
    assert report.differences is not None
    assert report.differences.loc["E", "p_value"] < 0.1  # pyright: ignore[reportOperatorIssue]
    assert "Difference of the groups" in report.markdown()
    with pytest.raises(InputError, match="leave out the groups"):
        analyse(frame, FitRequest(law=request.law, x=request.x, loss="loss", group="p", rivals=("power",), bootstrap=0))


def test_steps_of_runs_are_reduced_to_their_ends_and_enveloped(make_curves: Callable[..., pd.DataFrame]) -> None:
    curves = make_curves(0.002)
    request = FitRequest(
        law=get_law("chinchilla"), x={"N": "N", "D": "D"}, loss="loss", run="run", frontier=True, bootstrap=50
    )
    report = analyse(curves.loc[curves["D"] < curves["N"] * 100], request)
    assert report.fits["all"].observations.points == 40
    assert [each.route for each in report.frontiers][-1] == "envelope"
    whole = analyse(curves, replace(request, cluster="run", frontier=False))
    assert whole.fits["all"].observations.points == len(curves)
    assert whole.fits["all"].observations.clusters == 40


def test_rivals_share_variables() -> None:
    with pytest.raises(InputError, match="different variables"):
        FitRequest(get_law("chinchilla"), rivals=("power",))
