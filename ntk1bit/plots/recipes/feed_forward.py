"""Figure of a 1-bit Transformer block of which one feed-forward layer trains: its loss against steps and width."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntk1bit.claims.results import Results
from ntk1bit.plots.axes import draw_level, draw_series, draw_slope, log_axes, note, with_power
from ntk1bit.plots.figures import PAGE
from ntk1bit.plots.layout import PLAIN, Sheet, panel
from ntk1bit.plots.legends import legend
from ntk1bit.plots.looks import points
from ntk1bit.plots.palettes import Colours, precision_look
from ntk1bit.plots.recipes.recipe import TEXTS, figure_title, stored_measure, stored_table
from ntk1bit.plots.tables import ends, pick, value_at, values

_STRENGTH = (0.35, 0.65, 1.0)  # opacity of curves from the narrowest to the widest
_LEAST_SHARE = 1e-3  # of the lowest 1-bit loss: how far down full precision is followed, lest 1-bit losses look flat
_TENTH = 0.1  # of the loss at the start: the rule of 4.4


def draw_feed_forward(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw the loss against step at some widths, and the loss reached against width, for both precisions."""
    curves, reached = stored_table(results, "4.4", "loss by step"), stored_table(results, "4.4", "loss against width")
    exponent = stored_measure(results, "4.4", "loss.m")
    title = figure_title(results, "feed-forward")
    if exponent.high is not None and exponent.high < -0.25:
        title += ", faster in width than the $m^{-1/4}$ of D25"
    figure, axes = sheet.figure(TEXTS["feed-forward"]["panels"], (PAGE, 2.9), title)
    left, right = axes["loss"], axes["width"]
    plot_curves(curves, ax=left, palette=sheet.palette)
    panel(left, "training loss while one layer trains")
    start = value_at(pick(curves, precision="one_bit"), "step", 0, "loss")
    plot_reached(reached, ax=right, start=start, palette=sheet.palette)
    one_bit = pick(reached, precision="one_bit")
    for line in right.get_lines():
        if line.get_label() == "1-bit":
            line.set_label(with_power("1-bit:", exponent))
    low, high = ends(one_bit, "width")
    anchor = (low, 1.6 * value_at(one_bit, "width", 0))
    draw_slope(right, x=(low, high), anchor=anchor, exponent=-0.25, text="D25: slope $-1/4$", share=0.45)
    log_axes(right, values(reached, "width"), most=7)
    legend(right, "center left", size=6.8, bbox_to_anchor=(0.08, 0.3))
    panel(right, "loss reached against width")
    return figure


def plot_curves(curves: pd.DataFrame, *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw mean losses against step + 1; 1-bit curves are labelled with their width."""
    one_bit = pick(curves, precision="one_bit")
    bottom = _LEAST_SHARE * float(values(one_bit, "loss").min())
    widths = np.unique(values(one_bit, "width"))
    for precision, name in (("full", "full precision"), ("one_bit", "1-bit")):
        look = precision_look(precision, palette=palette)
        part = pick(curves, precision=precision)
        for place, width in enumerate(widths):
            curve = pick(part, width=width).sort_values("step")
            step, loss = values(curve, "step") + 1, values(curve, "loss")
            strength = _STRENGTH[max(place + len(_STRENGTH) - len(widths), 0)]
            label = name if place == len(widths) - 1 else "_nolegend_"
            ax.plot(
                step, loss, color=look.colour, linestyle=look.line, linewidth=points(1.1), alpha=strength, label=label
            )
            if precision == "one_bit":
                note(ax, step[-1], loss[-1], f"$m=${width:g}", colour=look.colour)
    ax.set(xscale="log", yscale="log", xlabel="step + 1", ylabel="training loss $L$")
    ax.set_ylim(bottom, 2 * float(values(curves, "loss").max()))
    low, high = ax.get_xlim()
    ax.set_xlim(low, high * (high / low) ** 0.17)  # room for the widths at the ends of curves
    legend(ax, "lower left", size=6.8)
    return ax


def plot_reached(reached: pd.DataFrame, *, ax: Axes, start: float, palette: Colours = None) -> Axes:
    """Draw the loss reached against width, with a tenth of the start; much lower losses are given in words."""
    for precision, name in (("one_bit", "1-bit"), ("full", "full precision")):
        part = pick(reached, precision=precision)
        if len(part):
            draw_series(part, ax=ax, look=precision_look(precision, palette=palette), label=name)
    one_bit, full = pick(reached, precision="one_bit"), pick(reached, precision="full")
    lowest = float(values(one_bit, "value").min())
    ax.set(yscale="log", xlabel="width $m$", ylabel="training loss $L$ at the end")
    ax.set_ylim(_LEAST_SHARE * lowest, 4 * float(values(one_bit, "high").max()))
    draw_level(ax, _TENTH * start, "")
    note(ax, ends(one_bit, "width")[1], _TENTH * start, "a tenth of the start", xytext=(0, -2), ha="right", va="top")
    below = len(full) and float(values(full, "value").min())
    if 0 < below < _LEAST_SHARE * lowest:
        words = f"full precision: down to $10^{{{np.log10(below):.0f}}}$"
        at, look = (0.98, 0.02), precision_look("full", palette=palette)
        ax.text(*at, words, transform=ax.transAxes, fontsize=points(6.8), color=look.colour, ha="right", va="bottom")
    return ax
