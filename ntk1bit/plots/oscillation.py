"""What a monitor of oscillations saw (`training.Oscillation`): losses of single and averaged outputs, and flips."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ntk1bit.errors import InputError
from ntk1bit.estimators.columns import require_columns
from ntk1bit.plots.axes import draw_series, label_logs
from ntk1bit.plots.figures import PAGE, write_figure
from ntk1bit.plots.layout import Panels, StyleName, panel, read_sheet
from ntk1bit.plots.legends import legend, settle
from ntk1bit.plots.looks import AMBER, BLUE, GREEN, GREY, Look, points
from ntk1bit.plots.palettes import Colours, Palette
from ntk1bit.plots.tables import values
from ntk1bit.training.oscillation import COLUMNS

PANELS = ("losses", "autocorrelation", "flips")
_LOSSES = {
    "loss": ("one output", Look(AMBER, "o")),
    "averaged": ("mean of two", Look(BLUE, "s", "--")),
    "averaged_last": ("mean of the last", Look(GREEN, "D", ":")),
}
_FLIPS = {
    "flips": ("in a step", Look(AMBER, "o")),
    "flipped": ("in a window", Look(BLUE, "s", "--")),
    "returned": ("and back", Look(GREEN, "D", ":")),
}


def draw_oscillation(
    frame: pd.DataFrame,
    path: Path | str,
    *,
    panels: Panels = None,
    palette: Colours = None,
    style: StyleName = "paper",
    columns: int | None = None,
) -> Path:
    """Draw what a monitor saw into a file, and return where.

    Parameters
    ----------
    frame
        Of `training.Oscillation.frame`: a row for each window of steps.
    path
        The figure; the ending decides the format.
    panels, palette, style, columns
        As `layout.read_sheet`; panels are `PANELS`, and series of the palette the columns of the frame.

    Raises
    ------
    InputError
        If a column is missing or there is no window.
    """
    sheet = read_sheet(
        panels=panels, palette=palette, style=style, columns=columns, also=(*_LOSSES, *_FLIPS, "autocorrelation")
    )
    require_columns(frame, COLUMNS, for_what="a figure of an oscillation", advice="give monitor.frame()")
    if frame.empty:
        raise InputError("the frame has no window of steps; call the monitor's update after each step first")
    colours = sheet.palette
    with sheet.drawing():
        figure, axes = sheet.figure([PANELS], (PAGE, 2.3))
        _lines(frame, _LOSSES, axes["losses"], colours, "loss")
        panel(axes["losses"], "loss")
        _lines(frame, _FLIPS, axes["flips"], colours, "share of weights")
        panel(axes["flips"], "weights that flip")
        ax = axes["autocorrelation"]
        draw_series(
            frame, ax=ax, look=colours.look("autocorrelation", Look(AMBER, "o")), x="last_step", y="autocorrelation"
        )
        ax.axhline(0.0, color=GREY, linewidth=points(0.6), zorder=0)
        ax.set(xlabel="step", ylabel="autocorrelation at lag 1", ylim=(-1.05, 1.05))
        panel(ax, "-1: an oscillation of period two")
        settle(figure)
        return write_figure(figure, path)


def _lines(
    frame: pd.DataFrame, series: Mapping[str, tuple[str, Look]], ax: Axes, palette: Palette, y_label: str
) -> None:
    """Draw columns against the last step of their windows, on a logarithmic axis; what is 0 is named in the legend."""
    for column, (words, look) in series.items():
        found = values(frame, column)
        zeros = int(np.count_nonzero(found == 0))
        label = f"{words} ({zeros} at 0)" if zeros else words
        if np.isfinite(found).any():
            table = frame.loc[found > 0]
            draw_series(table, ax=ax, look=palette.look(column, look), x="last_step", y=column, label=label)
    if ax.lines:
        ax.set_yscale("log")
        legend(ax, "lower left", size=7)
    else:
        ax.text(0.5, 0.5, "not counted", transform=ax.transAxes, ha="center", va="center", fontsize=points(7))
    ax.set(xlabel="step", ylabel=y_label)
    label_logs(ax)
