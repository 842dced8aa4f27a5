from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from ntk1bit.claims.results import ClaimEntry, read_results
from ntk1bit.claims.run_claim import CRITERIA_TABLE
from ntk1bit.plots.claims import claim_figure, claim_figures, plot_criterion

from ..reports.documents import claim, verification

WIDTHS = (64, 128, 256)


def rows(*values: float | None) -> list[dict[str, Any]]:
    return [
        {"width": w, "value": v, "low": None if v is None else v - 0.1, "high": None if v is None else v + 0.1}
        for w, v in zip(WIDTHS, values, strict=True)
    ]


def counted(*values: float | None) -> list[dict[str, Any]]:
    pairs = zip(WIDTHS, values, strict=True)
    return [{"width": w, "seed": 0, "value": v, "failed": v is None or v > 1, "diverged": v is None} for w, v in pairs]


def about(kind: str, **more: Any) -> dict[str, Any]:
    row = {"criterion": f"x.{kind}", "kind": kind, "measure": "drift", "what": "drift (end)", "precision": "one_bit"}
    return row | {"signed": False, "low": None, "high": 0.5} | more


def stored(tmp_path, *criteria: tuple[dict[str, Any], list[dict[str, Any]]]) -> ClaimEntry:
    tables = {CRITERIA_TABLE: [row for row, _ in criteria]} | {row["criterion"]: table for row, table in criteria}
    return read_results(verification(tmp_path, claim("mine", "supported", tables=tables))).claims[0]


def texts(figure: Figure) -> str:
    """Return every text of a figure: drawn, in a legend or a title."""
    figure.draw_without_rendering()
    return " ".join(one.get_text() for one in figure.findobj(Text) if isinstance(one, Text))


def test_each_kind_of_criterion_has_a_panel(tmp_path):
    law = {"exponent": -0.5, "exponent_low": -0.6, "exponent_high": -0.4, "amplitude": 8.0}
    law |= {"smallest": 64.0, "largest": 256.0}
    entry = stored(
        tmp_path,
        (about("exponent", high=-0.4, **law), rows(1.0, 0.7, 0.5)),
        (about("level", width=256, **law), rows(1.0, 0.7, 0.5)),
        (about("ratio", precision="one_bit - full", low=0.2), rows(1.0, 0.7, 0.5)),
        (about("count", high=1.0), counted(0.5, 2.0, None)),
    )
    figure = claim_figure(entry)
    assert figure is not None
    assert sum(ax.axison for ax in figure.axes) == 4
    shown = texts(figure)
    for words in (
        "mine: supported",
        "m^{-0.5",
        "high 0.5",
        "low 0.2",
        "ratio of drift",
        "fails (1)",
        "1 networks div",
    ):
        assert words in shown, words


def test_what_has_no_logarithm_and_what_was_not_measured_are_drawn_too(tmp_path):
    figure = claim_figure(
        stored(
            tmp_path,
            (about("level", signed=True, high=0.1), rows(-0.3, 0.1, -0.2)),
            (about("level", high=None, criterion="b"), rows(None, None, None)),
            (about("exponent"), rows(0.0, 0.0, 0.0)),
            (about("count", high=1.0), counted(None, None, None)),
            (about("count", high=1.0, criterion="e"), []),
        )
    )
    assert figure is not None
    assert figure.axes[0].get_yscale() == "linear"
    assert texts(figure).count("nothing was measured") == 3


def test_tables_of_a_claim_with_evidence_of_its_own_are_drawn(tmp_path):
    tables = {"drift": rows(1.0, 0.7, 0.5), "other": [{"x": 1}], "none": []}
    results = read_results(verification(tmp_path, claim("a", "refuted", tables=tables), claim("b", "supported")))
    drawn = claim_figures(results)
    assert [one.claims for one in drawn] == [("a",)]
    assert len(drawn[0].figure.axes) == 1
    assert claim_figure(results.claim("b")) is None


def test_a_name_is_shown_letter_by_letter(tmp_path):
    entry = stored(tmp_path, (about("level", what="$x$ (_end)"), rows(1.0, 0.7, 0.5)))
    figure = claim_figure(entry)
    assert figure is not None
    assert r"\$x\$" in texts(figure)


@pytest.mark.parametrize("kind", ["exponent", "level", "ratio"])
def test_points_stand_where_the_table_says(kind):
    ax = Figure().subplots()
    frame = pd.DataFrame(rows(1.0, 0.7, 0.5))
    plot_criterion(frame, about(kind, high=math.inf), ax=ax)
    drawn = [line.get_xydata() for line in ax.lines if len(np.atleast_1d(line.get_xdata())) == len(WIDTHS)]
    assert any(np.array_equal(np.asarray(one), frame[["width", "value"]].to_numpy(float)) for one in drawn)
