"""Axes-level plots of what W23 compares BitNet with, from plain tables: quantisers, rates, and changes of the layer."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from ntk1bit.plots.axes import draw_series, error_bars, label_logs, stretch
from ntk1bit.plots.language import arm_look, readable, shown_arms
from ntk1bit.plots.looks import GREY, literal, points
from ntk1bit.plots.palettes import Colours, read_palette
from ntk1bit.plots.tables import pick, values

_LINEAR = 0.1  # nats: differences are drawn linearly up to here, logarithmically beyond
_MARGIN = 0.06  # of the axis of differences
_NAMES = 0.95  # room for the names of rows, over that for their values
_ROOM = 1 / 3  # of the range of losses without divergence, above and below it


def plot_differences(differences: pd.DataFrame, *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw differences of losses against N: linear up to 0.1 nats on both sides of 0, and logarithmic beyond.

    Parameters
    ----------
    differences
        Columns arm, parameters, difference, low, high; rows without a finite difference are left out.
    ax
        Where to draw.
    palette
        As `palettes.read_palette`.
    """
    colours = read_palette(palette, also=list(differences["arm"]))
    ax.axhline(0, color=GREY, linewidth=points(0.6))
    for arm in shown_arms(differences):
        part, look = pick(differences, arm=arm), arm_look(arm, palette=colours)
        draw_series(part, ax=ax, look=look, x="parameters", y="difference", label=literal(arm))
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=_LINEAR)
    ends = np.concatenate([*(values(differences, name) for name in ("difference", "low", "high")), [-_LINEAR, _LINEAR]])
    ends = ends[np.isfinite(ends)]
    ax.set_ylim(float(ends.min()), float(ends.max()))
    stretch(ax, below=_MARGIN, above=_MARGIN)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "\N{MINUS SIGN}")))
    ax.set(xlabel="non-embedding parameters $N$", ylabel="difference (nats a character)")
    return readable(ax)


def plot_rates(losses: pd.DataFrame, *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw the loss of every arm against the learning rate; markers are hollow where a network has diverged.

    Losses above a third beyond the range of those without divergence, or not finite, are drawn at the upper edge.

    Parameters
    ----------
    losses
        Columns arm, rate, loss, and lost: the share of the networks that have diverged.
    ax
        Where to draw.
    palette
        As `palettes.read_palette`.
    """
    colours = read_palette(palette, also=list(losses["arm"]))
    every, lost = values(losses, "loss"), values(losses, "lost")
    finite = np.isfinite(every)
    within = every[finite & (lost == 0)] if (finite & (lost == 0)).any() else every[finite]
    least, most = (float(within.min()), float(within.max())) if len(within) else (0.0, 1.0)
    room = _ROOM * max(most - least, 1e-3)
    bottom, top = least - room, most + room
    some = False
    for arm in shown_arms(pd.DataFrame(losses[["arm"]])):
        part = pick(losses, arm=arm).sort_values("rate")
        rate, loss, look = values(part, "rate"), values(part, "loss"), arm_look(arm, palette=colours)
        height = np.where(loss <= top, loss, top)
        shape = {"marker": look.marker, "color": look.colour, "markersize": points(4)}
        ax.plot(rate, height, linestyle=look.line, linewidth=points(1.0), label=literal(arm), clip_on=False, **shape)
        gone = values(part, "lost") > 0
        if gone.any():  # an empty line that is not clipped would count as one at the corner of the figure
            some = True
            ax.plot(rate[gone], height[gone], linestyle="none", mfc="white", clip_on=False, zorder=3, **shape)
    if some:
        ax.plot([], [], "o", color=GREY, mfc="white", markersize=points(4), label="diverged")
    ax.set(xscale="log", ylim=(bottom, top), xlabel="learning rate", ylabel="loss (nats a character)")
    return label_logs(ax)


def plot_contrasts(contrasts: pd.DataFrame, *, ax: Axes, arm: str = "bitnet", palette: Colours = None) -> Axes:
    """Draw differences of losses as rows from top to bottom, with their names at the left, and a line at 0.

    Parameters
    ----------
    contrasts
        Columns name, value, low, high; a row without a finite value is left empty.
    ax
        Where to draw.
    arm
        Whose look they have.
    palette
        As `palettes.read_palette`.
    """
    look = arm_look(arm, palette=palette)
    rows, value = np.arange(len(contrasts)), values(contrasts, "value")
    bars = error_bars(value, values(contrasts, "low"), values(contrasts, "high"))
    ax.axvline(0, color=GREY, linewidth=points(0.6))
    ax.errorbar(
        value,
        rows,
        xerr=bars,
        fmt=look.marker,
        color=look.colour,
        capsize=points(2),
        elinewidth=points(1),
        markersize=points(4),
    )
    low, high = ax.get_xlim()
    ticks = [float(tick) for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.set_xlim(low - _NAMES * (high - low), high)
    for row, name in zip(rows, contrasts["name"], strict=True):
        ax.text(0.02, float(row), literal(name), transform=ax.get_yaxis_transform(), va="center", fontsize=points(6.8))
    ax.set_yticks([])
    ax.set(ylim=(len(rows) - 0.4, -0.6), xlabel="difference of losses (nats a character)")
    return ax
