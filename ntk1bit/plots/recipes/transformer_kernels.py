"""The figure of the kernel of Transformers: how far it moves, against width, and what a step does in its matrices."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntk1bit.claims.results import Results
from ntk1bit.plots.axes import draw_series, log_axes
from ntk1bit.plots.figures import PAGE
from ntk1bit.plots.layout import PLAIN, Sheet, panel
from ntk1bit.plots.legends import legend
from ntk1bit.plots.looks import BLUE, GREEN, ORANGE, Look
from ntk1bit.plots.palettes import Colours, read_palette
from ntk1bit.plots.recipes.recipe import TEXTS, figure_title, stored_table, with_exponent
from ntk1bit.plots.tables import pick, values

_ARMS = {
    "full": ("full", Look(BLUE, "s", "--")),
    "bitnet": ("BitLinear", Look(ORANGE, "o")),
    "b158": ("ternary", Look(GREEN, "D", ":")),
}


def draw_transformer_kernels(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw the drift after the last step, the factor by which a step does more, and the part of the matrices."""
    title = figure_title(results, "transformer-kernels")
    figure, axes = sheet.figure(TEXTS["transformer-kernels"]["panels"], (PAGE, 2.5), title)
    drift = stored_table(results, "C13", "drift against width")
    at_start = stored_table(results, "C13-steps", "at the start")
    names = {arm: with_exponent(words, results, "C13", f"drift.m.{arm}") for arm, (words, _) in _ARMS.items()}
    _plot(drift, names, "drift of the kernel", ax=axes["drift"], palette=sheet.palette)
    panel(axes["drift"], "kernel after 100 steps")
    plain = {arm: words for arm, (words, _) in _ARMS.items()}
    for name, measure, label, words in (
        ("factor", "ratio", "change over the gradient's", "what a step does"),
        ("part", "share", "part of the trace of the kernel", "matrices in the kernel"),
    ):
        _plot(pick(at_start, measure=measure), plain, label, ax=axes[name], palette=sheet.palette)
        panel(axes[name], words)
    return figure


def _plot(table: pd.DataFrame, names: Mapping[str, str], label: str, *, ax: Axes, palette: Colours) -> None:
    """Draw a series for each kind of weights against width."""
    colours = read_palette(palette)
    for arm, (_, look) in _ARMS.items():
        draw_series(pick(table, arm=arm), ax=ax, look=colours.look(arm, look), label=names[arm])
    log_axes(ax, values(table, "width"))
    ax.set(xlabel="width $m$", ylabel=label)
    legend(ax, "lower left", size=6.4)
