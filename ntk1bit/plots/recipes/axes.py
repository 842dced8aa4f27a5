"""Axes-level drawing: series with intervals, reference slopes, and axes whose ticks can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, LogFormatterMathtext, LogLocator, NullFormatter, StrMethodFormatter

from ntk1bit.plots.looks import GREY, PRECISION_COLOUR, PRECISION_LINE, PRECISION_MARKER, Formula
from ntk1bit.plots.recipes.tables import values

Line = Literal["-", "--", ":", "-.", "none"]
Place = Literal["upper left", "upper right", "lower left", "lower right", "center left"]

MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<")
SHADES = ("#1b2a49", "#275f8e", "#2e9c8f", "#8cbf4d", "#d9b31e")  # dark to light, in grey too
_NOTE_SIZE = 6.8
_DASHES = (0, (4, 2.5))


@dataclass(frozen=True)
class Look:
    """How a series looks: never by colour alone.

    Attributes
    ----------
    colour, marker, line
        As matplotlib takes them.
    hollow
        Whether markers are empty.
    """

    colour: str
    marker: str
    line: Line = "-"
    hollow: bool = False

    @property
    def face(self) -> str:
        """The colour that markers are filled with."""
        return "white" if self.hollow else self.colour


def precision_look(precision: str, *, hollow: bool = False) -> Look:
    """Return the look of a precision."""
    return Look(PRECISION_COLOUR[precision], PRECISION_MARKER[precision], PRECISION_LINE[precision], hollow)


def shade_look(place: int, of: int, *, hollow: bool = False) -> Look:
    """Return one of up to `of` looks in order, dark to light."""
    shade = SHADES[round(place * (len(SHADES) - 1) / max(of - 1, 1))]
    return Look(shade, MARKERS[place % len(MARKERS)], ("-", "--", "-.", ":")[place % 4], hollow)


def plot_series(
    frame: pd.DataFrame,
    *,
    ax: Axes,
    look: Look,
    x: str = "width",
    y: str = "value",
    label: str = "",
) -> Axes:
    """Draw a table as points joined by a line, with 95 % intervals where it has the columns low and high.

    Rows without a finite value are left out; a bootstrap interval that leaves its own value out is drawn to the end
    that there is.
    """
    table = frame.loc[np.isfinite(values(frame, y))].sort_values(x)
    at, value = values(table, x), values(table, y)
    if {"low", "high"} <= set(table.columns):
        reach = np.clip([value - values(table, "low"), values(table, "high") - value], 0.0, None)
        ax.errorbar(
            at,
            value,
            yerr=np.nan_to_num(reach),
            color=look.colour,
            linestyle="none",
            capsize=1.8,
            elinewidth=0.8,
            capthick=0.8,
        )
    ax.plot(
        at,
        value,
        color=look.colour,
        marker=look.marker,
        markerfacecolor=look.face,
        markeredgewidth=0.9,
        linestyle=look.line,
        linewidth=1.0,
        label=label or "_nolegend_",
    )
    return ax


def plot_slope(
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
    ax.plot(ends, heights, color=GREY, linestyle=_DASHES, linewidth=0.8, zorder=1.5)
    place = ends[0] * (ends[1] / ends[0]) ** share
    rightwards = (exponent <= 0) != below
    ax.annotate(
        text,
        (place, anchor[1] * (place / anchor[0]) ** exponent),
        xytext=(1 if rightwards else -1, -1 if below else 1),
        textcoords="offset points",
        ha="left" if rightwards else "right",
        va="top" if below else "bottom",
        fontsize=_NOTE_SIZE,
        color=GREY,
        in_layout=False,
    )
    return ax


def plot_level(ax: Axes, y: float, text: str) -> Axes:
    """Draw a level as a thin dashed line across the panel, with its text above the right end."""
    ax.axhline(y, color=GREY, linestyle=_DASHES, linewidth=0.8, zorder=1.5)
    ax.annotate(
        text,
        (0.98, y),
        xycoords=("axes fraction", "data"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=_NOTE_SIZE,
        color=GREY,
    )
    return ax


def note(ax: Axes, x: float, y: float, text: str, *, colour: str = GREY, **options: Any) -> None:
    """Write a label beside data; it may reach into the margin."""
    chosen: dict[str, Any] = {
        "in_layout": False,
        "fontsize": _NOTE_SIZE,
        "color": colour,
        "xytext": (4, 0),
        "va": "center",
    } | options
    ax.annotate(text, (x, y), textcoords="offset points", **chosen)


def power_text(measure: dict[str, Any], symbol: str = "m") -> str:
    """Write a measured exponent with its 95 % interval as a power of `symbol`; empty where there is none."""
    value, low, high = (measure[name] for name in ("value", "low", "high"))
    if value is None or not np.isfinite(value):
        return ""
    text = f"${symbol}^{{{_rounded(value)}}}$"
    if low is None or high is None:
        return text
    bounds = f"[{_rounded(low)}, {_rounded(high)}]".replace("-", "\N{MINUS SIGN}")
    return f"{text} {bounds}"


def with_power(name: str, measure: dict[str, Any], symbol: str = "m") -> Formula:
    """Write a name with its measured exponent, for a legend."""
    return Formula(f"{name} {power_text(measure, symbol)}".rstrip())


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
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        every = LogFormatterMathtext(labelOnlyBase=False, minor_thresholds=(np.inf, np.inf))
        ax.yaxis.set_major_formatter(every if small else StrMethodFormatter("{x:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())


def legend(ax: Axes, where: Place, *, size: float = 6.4, **options: Any) -> None:
    """Add a compact legend that does not push panels apart: keep its words short enough for the panel."""
    chosen: dict[str, Any] = {
        "fontsize": size,
        "handlelength": 1.7,
        "handletextpad": 0.4,
        "borderaxespad": 0.25,
        "labelspacing": 0.35,
    }
    ax.legend(loc=where, **(chosen | options)).set_in_layout(False)


def stretch(ax: Axes, *, below: float = 0.0, above: float = 0.0) -> None:
    """Make room for a legend: extend the y-axis by shares of its range, in logarithms if it is logarithmic."""
    low, high = ax.get_ylim()
    if ax.get_yscale() == "log":
        decades = np.log(high / low)
        ax.set_ylim(low * np.exp(-below * decades), high * np.exp(above * decades))
    else:
        ax.set_ylim(low - below * (high - low), high + above * (high - low))


def _rounded(value: float) -> str:
    """Write two decimals, and nothing as -0.00."""
    return f"{round(value, 2) + 0.0:.2f}"
