"""Axes-level plots of tables of evidence: `plot_x(table, *, ax, ...) -> ax`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ntk1bit.styles import BLUE, GREEN, GREY, ORANGE, PURPLE

# Colour, marker and line change together, so that a grey print can still be read.
LOOKS: tuple[tuple[str, str, str], ...] = (
    (ORANGE, "o", "-"),
    (BLUE, "s", "--"),
    (GREEN, "D", "-."),
    (PURPLE, "^", ":"),
    ("black", "v", "-"),
    (GREY, "P", "--"),
    ("#56B4E9", "X", "-."),
)


def plot_points(
    table: pd.DataFrame, *, ax: Axes, x: str = "width", label: str = "", look: int = 0, hollow: bool = False
) -> Axes:
    """Draw values with 95 % intervals against x, joined by a thin line.

    Parameters
    ----------
    table
        Columns `x`, value, low, high; rows without a value are left out.
    ax
        Where to draw.
    x, label, look, hollow
        The column on the axis; the legend's words; which of `LOOKS`; whether markers are hollow.
    """
    known = table.loc[table["value"].notna()].sort_values(x)
    at, value, low, high = (known[name].to_numpy(dtype=np.float64) for name in (x, "value", "low", "high"))
    colour, marker, line = LOOKS[look % len(LOOKS)]
    around = np.nan_to_num(np.abs(np.stack([value - low, high - value])))
    ax.errorbar(
        at,
        value,
        yerr=around,
        color=colour,
        marker=marker,
        markerfacecolor="white" if hollow else colour,
        linestyle=line,
        linewidth=0.8,
        elinewidth=0.8,
        capsize=1.5,
        label=label,
    )
    return ax


def plot_slope(
    table: pd.DataFrame, *, ax: Axes, power: float, x: str = "width", text: str = "", above: float = 1.6
) -> Axes:
    """Draw a thin dashed line of a given power through the middle of a table's values, `above` times higher."""
    known = table.loc[table["value"] > 0]
    at, value = (known[name].to_numpy(dtype=np.float64) for name in (x, "value"))
    ends = np.array([at.min(), at.max()])
    middle = np.exp(np.log(at).mean())
    line = above * np.exp(np.log(value).mean()) * (ends / middle) ** power
    ax.plot(ends, line, color=GREY, linestyle=(0, (4, 2)), linewidth=0.8)
    place = np.exp(0.5 * np.log(ends).sum())
    height = np.exp(0.5 * np.log(line).sum())
    ax.annotate(
        text,
        (place, height),
        xytext=(0, 3 if above >= 1 else -3),
        textcoords="offset points",
        ha="center",
        va="bottom" if above >= 1 else "top",
        color=GREY,
        fontsize=6.5,
    )
    return ax


def log_axes(ax: Axes, *, x: str, y: str, title: str = "", ticks: object = ()) -> Axes:
    """Make both axes logarithmic and label them; mark the given values of x."""
    ax.set(xscale="log", yscale="log", xlabel=x, ylabel=y, title=title)
    every = np.unique(np.asarray(ticks, dtype=np.float64))
    if len(every):
        step = -(-len(every) // 6)
        ax.set_xticks(every[::step], [f"{tick:g}" for tick in every[::step]])
        ax.minorticks_off()
        ax.tick_params(axis="y", which="minor", left=True)
    return ax


def legend(ax: Axes, **where: Any) -> None:
    """Add a small legend, and room above the data for it when it is to stand at the top."""
    place = str(where.get("loc", "best"))
    if place.startswith("upper") and ax.get_yscale() == "log":
        low, high = ax.get_ylim()
        entries = len(ax.get_legend_handles_labels()[0]) / int(where.get("ncols", 1))
        ax.set_ylim(low, high * (high / low) ** (0.09 * entries))
    ax.legend(**({"fontsize": 6.2, "handlelength": 2.2, "labelspacing": 0.3} | where))


def interval_text(measure: dict[str, Any], symbol: str = "m") -> str:
    """Write an exponent with its interval: `m^-0.68 [-0.69, -0.67]`."""
    value, low, high = measure["value"], measure["low"], measure["high"]
    if value is None:
        return "no exponent"
    bounds = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    return f"${symbol}^{{{value:.2f}}}${bounds}"
