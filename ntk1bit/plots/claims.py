"""Figures of claim files: a panel for each criterion, with what was measured and what the claim allows.

They are drawn from the tables of verdicts.json and from nothing else, as the figures of the documents are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntk1bit.claims import results as stored
from ntk1bit.claims.results import ClaimEntry, Results
from ntk1bit.claims.run_claim import CRITERIA_TABLE
from ntk1bit.errors import InputError, require_choice
from ntk1bit.estimators import AgainstWidth
from ntk1bit.plots.axes import Place, corner_text, draw_level, draw_series, draw_slope, log_axes
from ntk1bit.plots.figures import PAGE
from ntk1bit.plots.layout import Panels, StyleName, panel, read_sheet
from ntk1bit.plots.legends import legend, settle
from ntk1bit.plots.looks import GREY, ORANGE, Formula, literal, points
from ntk1bit.plots.palettes import Colours, Palette, precision_look, read_palette
from ntk1bit.plots.recipes import Drawn
from ntk1bit.plots.recipes.catalogue import write_all
from ntk1bit.plots.sweep import plot_against_width
from ntk1bit.plots.tables import values
from ntk1bit.statistics import PowerFit

_BESIDE_BOUNDS: Place = "lower left"  # the words of a bound stand at the right
_PANEL_HEIGHT = 2.6  # inches
_NAME, _WHOLE = 34, 10**6  # letters in a line; titles are broken when panels have their sizes
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


def claim_figure(
    entry: ClaimEntry,
    *,
    panels: Panels = None,
    palette: Colours = None,
    style: StyleName = "paper",
    columns: int | None = None,
) -> Figure | None:
    """Draw a claim: a panel for each criterion; of a claim with evidence of its own, for each table against width.

    Parameters
    ----------
    entry
        Of stored verdicts.
    panels, palette, style, columns
        As `layout.read_sheet`; panels are called by the measure of their criterion, or by their table.

    Returns
    -------
    None where there is nothing to draw.
    """
    sheet = read_sheet(panels=panels, palette=palette, style=style, columns=columns)
    made: dict[str, tuple[str, dict[str, Any], pd.DataFrame]] = {}
    if CRITERIA_TABLE in entry.tables:
        outcomes = {finding.measure: finding.outcome for finding in entry.findings}
        for about in entry.tables[CRITERIA_TABLE]:
            name = str(about["criterion"])
            title = f"{about['kind']} of {about['what']}: {outcomes.get(name, 'not judged')}"
            made[name] = (title, about, _numbers(stored.table(entry, name)))
    else:
        for name in entry.tables:
            table = stored.table(entry, name)
            if {"width", "value"} <= set(table.columns) and len(table):
                made[name] = (name, {}, _numbers(table))
    if not made:
        return None
    beside = min(len(made), 2)
    names = [*made, *"." * (-len(made) % beside)]
    rows = [names[at : at + beside] for at in range(0, len(names), beside)]
    with sheet.drawing():
        heading = literal(f"{entry.id}: {entry.words}: {entry.title}", letters=_WHOLE)
        size = (PAGE if beside == 2 else 0.62 * PAGE, 0.5 + _PANEL_HEIGHT * len(rows))
        figure, axes = sheet.figure(rows, size, heading, row_height=_PANEL_HEIGHT)
        for name in sheet.chosen(made):
            title, about, table = made[name]
            panel(plot_criterion(table, about, ax=axes[name], palette=sheet.palette), literal(title, letters=_WHOLE))
        settle(figure)
    return figure


def write_claim_figures(
    results: Results,
    out: Path | str,
    names: Sequence[str] = (),
    *,
    panels: Panels = None,
    palette: Colours = None,
    style: StyleName = "paper",
    columns: int | None = None,
) -> tuple[list[Path], list[str]]:
    """Draw the figure of each claim, or of those named, and write them as `recipes.write_figures` does.

    Raises
    ------
    InputError
        For an unknown claim, a claim that is named and has nothing to draw, or as `recipes.write_figures`.
    """
    wanted = [require_choice("figure", name, [one.id for one in results.claims]) for name in names]
    wanted = wanted or [one.id for one in results.claims]
    if len(wanted) > 1 and panels is not None:
        raise InputError("panels are those of one figure, and there are several; choose one with --figures")
    asked: dict[str, Any] = {"panels": panels, "palette": palette, "style": style, "columns": columns}
    drawn = {name: claim_figure(results.claim(name), **asked) for name in wanted}
    nothing = [name for name, figure in drawn.items() if figure is None]
    if nothing and (names or len(nothing) == len(wanted)):
        raise InputError(f"claim {nothing[0]} has no table to draw")
    figures = {name: figure for name, figure in drawn.items() if figure is not None}
    return write_all(figures, out), [f"left out {name}: it has no table to draw" for name in nothing]


def plot_criterion(frame: pd.DataFrame, about: dict[str, Any], *, ax: Axes, palette: Colours = None) -> Axes:
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
    palette
        As `palettes.read_palette`.
    """
    colours = read_palette(palette)
    if not about:
        draw_series(frame, ax=ax, look=precision_look("one_bit", palette=colours))
        log_axes(ax, values(frame, "width"), y=bool(len(frame)) and bool((values(frame, "value") > 0).all()))
        ax.set_xlabel("width m")
        return ax
    if frame.empty or not np.isfinite(values(frame, "value")).any():
        ax.text(0.5, 0.5, "nothing was measured", transform=ax.transAxes, ha="center", color=GREY)
        ax.set_axis_off()
        return ax
    _draw_count(frame, about, ax, colours) if about["kind"] == "count" else _draw_values(frame, about, ax, colours)
    ratio = "ratio of " if about["kind"] == "ratio" else ""
    ax.set(xlabel="width m", ylabel=literal(f"{ratio}{about['measure']}", letters=_NAME))
    return ax


def _draw_values(table: pd.DataFrame, about: dict[str, Any], ax: Axes, colours: Palette) -> None:
    precision = str(about["precision"])
    logarithmic = not about["signed"] and bool((values(table, "value") > 0).any())
    if about["kind"] != "exponent":
        _draw_bounds(about, ax, logarithmic=logarithmic)
    if not logarithmic:
        draw_series(table, ax=ax, look=precision_look(precision, palette=colours))
        log_axes(ax, values(table, "width"), y=False)
        return
    law = _law(about)
    one = AgainstWidth(str(about["measure"]), "", {"precision": precision}, table, law)
    plot_against_width([one], ax=ax, names=[_name(precision, about)], palette=colours)
    if about["kind"] != "exponent":
        legend(ax, _BESIDE_BOUNDS)
    if about["kind"] == "exponent" and law.warranted:
        middle = math.sqrt(law.smallest * law.largest)
        height = float(law.predict(np.array([middle]))[0])
        for end, below in (("low", True), ("high", False)):
            bound = about.get(end)
            if bound is not None:
                text = f"$m^{{{bound:g}}}$ ({end})"
                place = 0.02 if below else 0.6
                draw_slope(
                    ax, x=(law.smallest, law.largest), anchor=(middle, height), exponent=bound, text=text, share=place
                )


def _draw_bounds(about: dict[str, Any], ax: Axes, *, logarithmic: bool) -> None:
    for end in ("low", "high"):
        bound = about.get(end)
        if bound is not None and (bound > 0 or not logarithmic):
            draw_level(ax, bound, f"{end} {bound:g}")
    if about.get("width") is not None:
        ax.axvline(about["width"], color=GREY, linewidth=points(4), alpha=0.15, zorder=0.5)


def _draw_count(table: pd.DataFrame, about: dict[str, Any], ax: Axes, colours: Palette) -> None:
    known = pd.DataFrame(table.loc[table["value"].notna()])
    failed = known["failed"].to_numpy(dtype=bool)
    logarithmic = not about["signed"] and bool((values(known, "value") > 0).all())
    _draw_bounds(about, ax, logarithmic=logarithmic)
    place = known.groupby("width").cumcount().to_numpy()
    most = max(int(place.max()), 1)
    at = values(known, "width") * 2.0 ** (0.3 * (place / most - 0.5))  # side by side, within a third of a doubling
    look = precision_look(str(about["precision"]), palette=colours)
    marks: dict[str, Any] = {"linestyle": "none", "markersize": points(3.5)}
    shown = values(known, "value")
    kept = f"as claimed ({int((~failed).sum())})"
    ax.plot(at[~failed], shown[~failed], color=look.colour, marker=look.marker, alpha=0.7, label=kept, **marks)
    if failed.any():
        ax.plot(at[failed], shown[failed], color="black", marker="x", label=f"fails ({int(failed.sum())})", **marks)
    log_axes(ax, values(known, "width"), y=logarithmic)
    legend(ax, _BESIDE_BOUNDS)
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
