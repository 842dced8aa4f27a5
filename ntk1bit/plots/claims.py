"""Figures of claim files: a panel for each criterion, with what was measured and what the claim allows.

They are drawn from the tables of verdicts.json and from nothing else, as the figures of the documents are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntk1bit.claims import results as stored
from ntk1bit.claims.results import ClaimEntry, Results
from ntk1bit.claims.run_claim import CRITERIA_TABLE
from ntk1bit.estimators import AgainstWidth
from ntk1bit.plots.axes import corner_text, log_axes, plot_level, plot_series, plot_slope, stretch
from ntk1bit.plots.figures import PAGE, empty_figure
from ntk1bit.plots.looks import BLUE, GREY, ORANGE, Formula, Look, drawing, literal, paper, precision_look
from ntk1bit.plots.recipes import Drawn
from ntk1bit.plots.sweep import plot_against_width
from ntk1bit.plots.tables import values
from ntk1bit.statistics import PowerFit

_PANEL_HEIGHT = 2.6  # inches
_TITLE, _HEADING, _NAME = 56, 96, 34  # letters in a line
_ROOM = 0.18  # of the range, above what is drawn, for the legend
_CAPTION = (
    "A panel for each criterion of the claim. Markers: averages over seeds with 95 % intervals (of a count: each "
    "network, crosses where it fails). Line: fitted power law. Dashed: the ends of what the claim allows."
)
_CAPTION_OF_TABLES = "Tables of the evidence against width, with 95 % intervals over seeds where there are any."


def claim_figures(results: Results) -> list[Drawn]:
    """Draw a figure for each claim that has tables to draw; others are left out."""
    drawn = []
    for entry in results.claims:
        figure = claim_figure(entry)
        if figure is not None:
            caption = _CAPTION if CRITERIA_TABLE in entry.tables else _CAPTION_OF_TABLES
            drawn.append(Drawn(entry.id, (entry.id,), caption, figure))
    return drawn


def claim_figure(entry: ClaimEntry) -> Figure | None:
    """Draw a claim: a panel for each criterion; of a claim with evidence of its own, for each table against width.

    Returns
    -------
    None where there is nothing to draw.
    """
    panels: list[tuple[str, dict[str, Any], pd.DataFrame]] = []
    if CRITERIA_TABLE in entry.tables:
        outcomes = {finding.measure: finding.outcome for finding in entry.findings}
        for about in entry.tables[CRITERIA_TABLE]:
            name = str(about["criterion"])
            title = f"{about['kind']} of {about['what']}: {outcomes.get(name, 'not judged')}"
            panels.append((title, about, _numbers(stored.table(entry, name))))
    else:
        for name in entry.tables:
            table = stored.table(entry, name)
            if {"width", "value"} <= set(table.columns) and len(table):
                panels.append((name, {}, _numbers(table)))
    if not panels:
        return None
    columns = min(len(panels), 2)
    rows = math.ceil(len(panels) / columns)
    with drawing(paper()):
        figure = empty_figure(PAGE if columns == 2 else 0.62 * PAGE, 0.5 + _PANEL_HEIGHT * rows)
        axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
        for letter, ax, (title, about, table) in zip("abcdefghijklmnopqrstuvwxyz", axes, panels, strict=False):
            plot_criterion(table, about, ax=ax)
            ax.set_title(literal(f"({letter}) {title}", letters=_TITLE), fontsize=8)
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
        heading = literal(f"{entry.id} is {entry.outcome}: {entry.title}", letters=_HEADING if columns == 2 else _TITLE)
        figure.suptitle(heading, x=0.01, ha="left", fontsize=8.8, fontweight="bold")
    return figure


def plot_criterion(frame: pd.DataFrame, about: dict[str, Any], *, ax: Axes) -> Axes:
    """Draw what one criterion is about.

    Parameters
    ----------
    frame
        Columns width, value, low, high; of a count: width, value, failed, diverged.
    about
        Its row in the table of criteria: kind, measure, precision, signed, low, high, and a fitted law; empty for a
        table of nothing but values.
    ax
        Where to draw.
    """
    if not about:
        plot_series(frame, ax=ax, look=Look(BLUE, "o"))
        log_axes(ax, values(frame, "width"), y=bool(len(frame)) and bool((values(frame, "value") > 0).all()))
        ax.set_xlabel("width m")
        return ax
    if frame.empty or not np.isfinite(values(frame, "value")).any():
        ax.text(0.5, 0.5, "nothing was measured", transform=ax.transAxes, ha="center", color=GREY)
        ax.set_axis_off()
        return ax
    _plot_count(frame, about, ax) if about["kind"] == "count" else _plot_values(frame, about, ax)
    ratio = "ratio of " if about["kind"] == "ratio" else ""
    ax.set(xlabel="width m", ylabel=literal(f"{ratio}{about['measure']}", letters=_NAME))
    return ax


def _plot_values(table: pd.DataFrame, about: dict[str, Any], ax: Axes) -> None:
    precision = str(about["precision"])
    logarithmic = not about["signed"] and bool((values(table, "value") > 0).any())
    if about["kind"] != "exponent":
        _plot_bounds(about, ax, logarithmic=logarithmic)
    if not logarithmic:
        plot_series(table, ax=ax, look=precision_look(precision))
        log_axes(ax, values(table, "width"), y=False)
        return
    law = _law(about)
    one = AgainstWidth(str(about["measure"]), "", {"precision": precision}, table, law)
    plot_against_width([one], ax=ax, names=[_name(precision, about)])
    stretch(ax, above=_ROOM)
    if about["kind"] == "exponent" and law.warranted:
        middle = math.sqrt(law.smallest * law.largest)
        height = float(law.predict(np.array([middle]))[0])
        for end, below in (("low", True), ("high", False)):
            bound = about.get(end)
            if bound is not None:
                text = f"$m^{{{bound:g}}}$ ({end})"
                place = 0.02 if below else 0.6
                plot_slope(
                    ax, x=(law.smallest, law.largest), anchor=(middle, height), exponent=bound, text=text, share=place
                )


def _plot_bounds(about: dict[str, Any], ax: Axes, *, logarithmic: bool) -> None:
    for end in ("low", "high"):
        bound = about.get(end)
        if bound is not None and (bound > 0 or not logarithmic):
            plot_level(ax, bound, f"{end} {bound:g}")
    if about.get("width") is not None:
        ax.axvline(about["width"], color=GREY, linewidth=4, alpha=0.15, zorder=0.5)


def _plot_count(table: pd.DataFrame, about: dict[str, Any], ax: Axes) -> None:
    known = pd.DataFrame(table.loc[table["value"].notna()])
    failed = known["failed"].to_numpy(dtype=bool)
    logarithmic = not about["signed"] and bool((values(known, "value") > 0).all())
    _plot_bounds(about, ax, logarithmic=logarithmic)
    place = known.groupby("width").cumcount().to_numpy()
    most = max(int(place.max()), 1)
    at = values(known, "width") * 2.0 ** (0.3 * (place / most - 0.5))  # side by side, within a third of a doubling
    look = precision_look(str(about["precision"]))
    marks: dict[str, Any] = {"linestyle": "none", "markersize": 3.5}
    shown = values(known, "value")
    kept = f"as claimed ({int((~failed).sum())})"
    ax.plot(at[~failed], shown[~failed], color=look.colour, marker=look.marker, alpha=0.7, label=kept, **marks)
    if failed.any():
        ax.plot(at[failed], shown[failed], color="black", marker="x", label=f"fails ({int(failed.sum())})", **marks)
    log_axes(ax, values(known, "width"), y=logarithmic)
    stretch(ax, above=_ROOM)
    ax.legend(loc="upper right")
    gone = int(table["diverged"].to_numpy(dtype=bool).sum())
    if gone:
        corner_text(ax, f"{gone} networks diverged, which fail", top=True, color=ORANGE)


def _law(about: dict[str, Any]) -> PowerFit:
    names = ("exponent", "exponent_low", "exponent_high", "amplitude", "smallest", "largest")
    if about.get("exponent") is None:
        return PowerFit(False, "")
    numbers: Any = {name: math.nan if about.get(name) is None else float(about[name]) for name in names}
    return PowerFit(True, "", **numbers)


def _name(precision: str, about: dict[str, Any]) -> Formula:
    names = {"one_bit": "1-bit", "full": "full precision"}
    return Formula("ratio" if about["kind"] == "ratio" else names.get(precision, "1-bit minus full"))


def _numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Return a stored table with nulls as NaN in its columns of numbers, some of which may be nulls alone."""
    for column in ("value", "low", "high"):
        if column in table:
            table[column] = pd.to_numeric(table[column], errors="coerce")
    return table
