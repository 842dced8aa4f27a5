"""Axes-level drawing: series with intervals, reference slopes, and axes whose ticks can be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.container import ErrorbarContainer
from matplotlib.markers import CARETDOWN, CARETUP
from matplotlib.ticker import (
    FixedLocator,
    LogFormatterMathtext,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    StrMethodFormatter,
)

from ntk1bit.claims.results import EstimateEntry
from ntk1bit.plots.looks import GREY, Formula, Look, points
from ntk1bit.plots.tables import values

Place = Literal["upper left", "upper right", "lower left", "lower right", "center left"]

_NOTE_SIZE = 6.8
_STEPS = ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7), np.arange(10, 100) / 10, np.arange(100, 1000) / 100)  # of ticks
_MOST_LABELS = 6
CUT = "cut"  # marks of intervals that a panel cuts
_DASHES = (0, (4, 2.5))


def draw_series(
    frame: pd.DataFrame,
    *,
    ax: Axes,
    look: Look,
    x: str = "width",
    y: str = "value",
    label: str = "",
    band: bool = False,
) -> Axes:
    """Draw a table as points joined by a line, with 95 % intervals where it has the columns low and high.

    Rows without a finite value are left out; a bootstrap interval that leaves its own value out is drawn to the end
    that there is. Intervals are bars, or a `band`.
    """
    table = frame.loc[np.isfinite(values(frame, y))].sort_values(x)
    at, value = values(table, x), values(table, y)
    if {"low", "high"} <= set(table.columns):
        low, high = values(table, "low"), values(table, "high")
        if band:
            known: Any = np.isfinite(low)
            ax.fill_between(at, low, high, where=known, color=look.colour, alpha=0.15, linewidth=0)
        else:
            bars: dict[str, Any] = {
                "linestyle": "none",
                "capsize": points(1.8),
                "elinewidth": points(0.8),
                "capthick": points(0.8),
            }
            ax.errorbar(at, value, yerr=error_bars(value, low, high), color=look.colour, **bars)
    shape: dict[str, Any] = {"marker": look.marker, "markerfacecolor": look.face, "markeredgewidth": points(0.9)}
    ax.plot(
        at, value, color=look.colour, linestyle=look.line, linewidth=points(1.0), label=label or "_nolegend_", **shape
    )
    return ax


def error_bars(value: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the lengths (2, n) of bars from (n,) values down to `low` and up to `high`; 0 where there is no end."""
    return np.nan_to_num(np.clip([value - low, high - value], 0.0, None))


def draw_slope(
    ax: Axes,
    *,
    x: tuple[float, float],
    anchor: tuple[float, float],
    exponent: float,
    text: str,
    share: float = 0.5,
    below: bool = False,
) -> Axes:
    """Draw a reference slope y ~ x^exponent through `anchor`, thin and dashed, with its text on the free side.

    Parameters
    ----------
    x
        Its two ends.
    anchor
        A point on it.
    text
        Written above the line, or below it, starting where the line leads away.
    share
        Where along the line, from 0 to 1, the text starts.
    """
    ends = np.array(x, dtype=float)
    heights = anchor[1] * (ends / anchor[0]) ** exponent
    ax.plot(ends, heights, color=GREY, linestyle=_DASHES, linewidth=points(0.8), zorder=1.5)
    place = ends[0] * (ends[1] / ends[0]) ** share
    height = anchor[1] * (place / anchor[0]) ** exponent
    rightwards = (exponent <= 0) != below
    ha, va = "left" if rightwards else "right", "top" if below else "bottom"
    note(ax, place, height, text, xytext=(1 if rightwards else -1, -1 if below else 1), ha=ha, va=va)
    return ax


def draw_level(ax: Axes, y: float, text: str) -> Axes:
    """Draw a level as a thin dashed line across the panel, with its text above the right end."""
    ax.axhline(y, color=GREY, linestyle=_DASHES, linewidth=points(0.8), zorder=1.5)
    across = ("axes fraction", "data")
    note(ax, 0.98, y, text, xycoords=across, xytext=(0, 2), ha="right", va="bottom", in_layout=True)
    return ax


def note(ax: Axes, x: float, y: float, text: str, *, colour: str = GREY, **options: Any) -> None:
    """Write a label beside data, by default a little to its right; it may reach into the margin."""
    usual: dict[str, Any] = {"in_layout": False, "fontsize": points(_NOTE_SIZE), "xytext": (4, 0), "va": "center"}
    how = usual | options
    right, up = how.pop("xytext")
    ax.annotate(text, (x, y), textcoords="offset points", color=colour, xytext=(points(right), points(up)), **how)


def corner_text(ax: Axes, text: str, *, right: bool = False, top: bool = False, **options: Any) -> None:
    """Write a text into a corner of a panel."""
    place = 0.97 if right else 0.03, 0.95 if top else 0.03
    usual: dict[str, Any] = {
        "fontsize": points(_NOTE_SIZE),
        "ha": "right" if right else "left",
        "va": "top" if top else "bottom",
    }
    ax.text(*place, text, transform=ax.transAxes, **(usual | options))


def power_text(exponent: EstimateEntry, symbol: str = "m") -> str:
    """Write a measured exponent with its 95 % interval as a power of `symbol`; empty where there is none."""
    value, low, high = exponent.value, exponent.low, exponent.high
    if value is None or not np.isfinite(value):
        return ""
    text = f"${symbol}^{{{_rounded(value)}}}$"
    if low is None or high is None:
        return text
    bounds = f"[{_rounded(low)}, {_rounded(high)}]".replace("-", "\N{MINUS SIGN}")
    return f"{text} {bounds}"


def with_power(name: str, exponent: EstimateEntry, symbol: str = "m") -> Formula:
    """Write a name with its measured exponent, for a legend."""
    return Formula(f"{name} {power_text(exponent, symbol)}".rstrip())


def log_axes(ax: Axes, x: Sequence[float] | np.ndarray, *, most: int = 5, y: bool = True) -> None:
    """Make axes logarithmic, with ticks at no more than about `most` of the values that occur on x.

    Call it when everything is drawn: a y-axis of a short range gets ticks at 1, 2 and 5 instead of powers of ten.
    """
    ax.set_xscale("log")
    present = np.unique(np.asarray(x, dtype=float))
    every = int(np.ceil(len(present) / most))
    if (len(present) - 1) % every:  # prefer ticks that reach the last value
        every = next((k for k in (every + 1, every + 2) if (len(present) - 1) % k == 0), every)
    ticks = present[::every]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.xaxis.set_minor_locator(FixedLocator(present.tolist()))
    ax.xaxis.set_minor_formatter(NullFormatter())
    if not y:
        return
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    powers = np.floor(np.log10(high)) - np.ceil(np.log10(low)) + 1
    small = high < 0.01  # labels such as 0.0002 would be wide
    if powers < 1 or (powers < 2 and not small):  # too few powers of ten to tell the range
        ticks_at_1_2_5(ax)
        if small:
            every = LogFormatterMathtext(labelOnlyBase=False, minor_thresholds=(np.inf, np.inf))
            ax.yaxis.set_major_formatter(every)
    label_logs(ax)


def ticks_at_1_2_5(ax: Axes) -> None:
    """Tick a logarithmic y-axis of a short range with plain numbers at 1, 2 and 5 times powers of ten."""
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def label_logs(ax: Axes) -> Axes:
    """See to it that each logarithmic axis has two labels or more; call it when everything is drawn."""
    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() != "log" or len(labels_in_view(axis)) > 1:
            continue
        low, high = sorted(axis.get_view_interval())
        decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
        ticks: list[float] = []
        for steps in _STEPS:
            ticks = [float(one) for one in np.outer(decades, steps).ravel() if low <= one <= high]
            if len(ticks) > 1:
                break
        else:  # less than one in a hundred from end to end
            ticks = [float(one) for one in MaxNLocator(4).tick_values(low, high) if low <= one <= high]
        ticks = ticks[:: -(-len(ticks) // _MOST_LABELS)]
        plain = all(1e-3 <= one < 1e5 for one in ticks)
        axis.set_ticks(ticks, [f"{one:.5g}" if plain else short_number(one) for one in ticks])
        axis.set_minor_formatter(NullFormatter())
    return ax


def labels_in_view(axis: Axis) -> list[str]:
    """Return the labels that an axis shows."""
    low, high = sorted(axis.get_view_interval())
    found: list[str] = []
    for places, words in (
        (axis.get_majorticklocs(), axis.get_major_formatter()),
        (axis.get_minorticklocs(), axis.get_minor_formatter()),
    ):
        labels = zip(places, words.format_ticks(list(places)), strict=True)
        found += [label for place, label in labels if label and low <= place <= high]
    return found


def short_number(value: float) -> str:
    """Write a number in four digits at most, large and small ones with a power of ten."""
    if 1e-3 <= value < 1e4:
        return f"{value:.4g}"
    mantissa, exponent = f"{value:.3e}".split("e")
    power = f"10^{{{int(exponent)}}}"
    return f"${power}$" if float(mantissa) == 1 else f"${float(mantissa):g}\\times{power}$"


def mark_cut_bars(ax: Axes) -> None:
    """Mark with a caret at the edge of the panel where an interval goes on beyond it; call it when limits are final."""
    for old in [line for line in ax.lines if line.get_gid() == CUT]:
        old.remove()
    low, high = sorted(ax.get_ylim())
    across = ax.get_xaxis_transform()
    for container in (one for one in ax.containers if isinstance(one, ErrorbarContainer)):
        for bars in container.lines[2]:
            colour = bars.get_color()
            for (x, bottom), (_, top) in (segment for segment in bars.get_segments() if len(segment) == 2):
                for cut, place, marker in ((bottom < low, 0.0, CARETDOWN), (top > high, 1.0, CARETUP)):
                    if cut and np.isfinite(x) and bottom < top:
                        (mark,) = ax.plot([x], [place], marker=marker, color=colour[0], transform=across, clip_on=False)
                        mark.set(gid=CUT, markersize=points(4.5), zorder=4, linestyle="none")


def stretch(ax: Axes, *, below: float = 0.0, above: float = 0.0) -> None:
    """Make room for a legend: extend the y-axis by shares of its range, in the units of its scale (logarithms, ...)."""
    scale = ax.yaxis.get_transform()
    low, high = scale.transform(np.array(ax.get_ylim()))
    ends = scale.inverted().transform(np.array([low - below * (high - low), high + above * (high - low)]))
    ax.set_ylim(float(ends[0]), float(ends[1]))


def _rounded(value: float) -> str:
    """Write two decimals, and nothing as -0.00."""
    return f"{round(value, 2) + 0.0:.2f}"
