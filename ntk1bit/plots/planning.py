"""The figure of a plan: time against workers, and the schedule on a chosen number of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from ntk1bit.experiments.planning import Limit, Schedule
from ntk1bit.plots.axes import draw_level, draw_series, draw_slope, log_axes
from ntk1bit.plots.figures import write_figure
from ntk1bit.plots.layout import PLAIN, Sheet, panel
from ntk1bit.plots.legends import legend, settle
from ntk1bit.plots.looks import GREY, Look, literal, points
from ntk1bit.plots.palettes import Colours, read_palette

_UNITS = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
_MOST_NAMED = 4  # stages in a legend
_STARTING = "#bbbbbb"


def draw_plan(
    schedules: Sequence[Schedule], ended: Limit, chosen: Schedule, path: Path | str, *, sheet: Sheet = PLAIN
) -> Path:
    """Draw a plan into a file, and return where.

    Parameters
    ----------
    schedules
        On more and more workers.
    ended
        Where the run stops scaling.
    chosen
        The schedule to show worker by worker.
    path
        The figure.
    sheet
        How large it is.
    """
    with sheet.drawing():
        figure, axes = sheet.figure([["time", "schedule"]], (6.75, 2.6))
        plot_times(schedules, ended, ax=axes["time"], palette=sheet.palette)
        panel(axes["time"], f"scales up to {ended.workers} workers")
        plot_schedule(chosen, ax=axes["schedule"], palette=sheet.palette)
        panel(axes["schedule"], f"{chosen.workers} workers, {chosen.busy:.0%} busy".replace("%", " %"))
        settle(figure)
        return write_figure(figure, path)


def plot_times(schedules: Sequence[Schedule], ended: Limit, *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw time against the number of workers, with the time of perfect scaling and the least there is."""
    unit, name = _unit(schedules[0].wall)
    table = pd.DataFrame(
        {"workers": [one.workers for one in schedules], "time": [one.wall / unit for one in schedules]}
    )
    if schedules[0].wall <= 0:
        ax.set(xlabel="workers", ylabel=f"time ({name})")
        return ax
    draw_series(table, ax=ax, look=Look(read_palette(palette).nth(0), "o", "-"), x="workers", y="time")
    least, most = float(table["workers"].iloc[0]), float(table["workers"].iloc[-1])
    if most > least:
        whole = float(table["time"].iloc[0])
        draw_slope(ax, x=(least, most), anchor=(least, whole), exponent=-1, text="ideal", share=0.45, below=True)
    draw_level(ax, ended.least / unit, "a worker for every cell")
    ax.axvline(ended.workers, color=GREY, linewidth=points(0.8), linestyle=":")
    ax.set(xlabel="workers", ylabel=f"time ({name})")
    log_axes(ax, table["workers"].to_numpy())
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    return ax


def plot_schedule(schedule: Schedule, *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw what every worker does and when: a bar for each cell, in the colour of its stage."""
    unit, name = _unit(schedule.wall)
    stages = list(dict.fromkeys(one.stage for one in schedule.events if one.cell is not None))
    colours = read_palette(palette, also=stages)
    for number, stage in enumerate(stages):
        colour = colours.nth(number, stage)
        bars = [one for one in schedule.events if one.stage == stage and one.cell is not None]
        _bars(ax, [(one.begins / unit, one.ends / unit, one.worker) for one in bars], colour)
        if number < _MOST_NAMED and len(stages) > 1:
            ax.plot([], [], "s", color=colour, label=literal(stage))
    starts = [(one.begins / unit, one.ends / unit, one.worker) for one in schedule.events if one.cell is None]
    _bars(ax, starts, _STARTING)
    if starts:
        ax.plot([], [], "s", color=_STARTING, label="starting")
    ax.set(xlim=(0, schedule.wall / unit or 1), ylim=(-0.6, schedule.workers - 0.4))
    ax.set(xlabel=f"time ({name})", ylabel="worker")
    ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.grid(visible=False)
    if starts or len(stages) > 1:
        legend(ax, "upper right")
    return ax


def _bars(ax: Axes, bars: Sequence[tuple[float, float, int]], colour: str) -> None:
    shapes = [Rectangle((left, worker - 0.4), right - left, 0.8) for left, right, worker in bars]
    edge = points(0.3) if len(bars) < 1000 else 0.0
    ax.add_collection(PatchCollection(shapes, facecolor=colour, edgecolor="white", linewidth=edge))


def _unit(seconds: float) -> tuple[float, str]:
    """Return the unit in which a time is at least 2, in seconds, and its name."""
    return next(((unit, name) for unit, name in _UNITS if seconds >= 2 * unit), _UNITS[-1])
