"""The figure of the oscillation in deep networks: autocorrelation against width, and the loss that remedies leave."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntk1bit.claims.results import Results
from ntk1bit.plots.axes import draw_series, error_bars, log_axes, stretch
from ntk1bit.plots.figures import PAGE
from ntk1bit.plots.layout import PLAIN, Sheet, panel
from ntk1bit.plots.legends import legend
from ntk1bit.plots.looks import GREEN, GREY, ORANGE, PURPLE, Look, points
from ntk1bit.plots.palettes import Colours, read_palette
from ntk1bit.plots.recipes.recipe import TEXTS, figure_title, stored_table
from ntk1bit.plots.tables import pick, values

_KINDS = {
    "sgd": ("full batches", Look(PURPLE, "o", "-")),
    "batches": ("mini-batches", Look(ORANGE, "^", "-")),
    "momentum": ("momentum", Look(GREEN, "s", "-")),
    "adam": ("Adam", Look(GREY, "D", "-")),
}
_REMEDIES = {
    "averaged_last": "outputs\naveraged",
    "latents": "latents\naveraged",
    "freezing": "freezing",
    "decay": "rate\nto 0",
    "latent": "latent\npatterns",
}
_BESIDE = 0.09  # places between the markers of one remedy


def draw_deep_oscillation(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw the autocorrelation of each way of training against width, and the loss that remedies leave."""
    title = figure_title(results, "oscillation-deep")
    figure, axes = sheet.figure(TEXTS["oscillation-deep"]["panels"], (PAGE, 2.75), title)
    left, right, palette = axes["autocorrelation"], axes["remedies"], sheet.palette
    plot_autocorrelation(stored_table(results, "C12", "against width"), ax=left, palette=palette)
    panel(left, "autocorrelation of outputs, late in training")
    plot_remedies(stored_table(results, "C12-remedies", "remedies"), ax=right, palette=palette)
    panel(right, "loss left by remedies, at the largest width")
    return figure


def plot_autocorrelation(table: pd.DataFrame, *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw the lag-one autocorrelation against width, a series for each way of training and its lower rate dashed."""
    table = pick(table, measure="autocorrelation")
    for kind, (words, look) in _looks(palette).items():
        rates = sorted(set(values(pick(table, kind=kind), "rate")), reverse=True)
        for place, rate in enumerate(rates):
            own = look if place == 0 else Look(look.colour, look.marker, "--", hollow=True)
            draw_series(pick(table, kind=kind, rate=rate), ax=ax, look=own, label="" if place else words)
    ax.axhline(0.0, color=GREY, linewidth=points(0.8))
    log_axes(ax, values(table, "width"), y=False)
    ax.set(xlabel="width $m$", ylabel="lag-one autocorrelation", ylim=(-1.05, 1.55), yticks=(-1, -0.5, 0, 0.5, 1))
    legend(ax, "upper left", size=6.4, ncols=2)
    return ax


def plot_remedies(table: pd.DataFrame, *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw the loss with each remedy over that without, on training points and, with open markers, on test points."""
    looks = _looks(palette)
    kinds = [kind for kind in looks if not pick(table, kind=kind).empty]
    series = [(kind, which) for kind in kinds for which in ("train", "test")]
    names = list(_REMEDIES)
    for place, (kind, which) in enumerate(series):
        part = pick(table, kind=kind, points=which)
        words, look = looks[kind]
        at = np.array([names.index(one) for one in part["remedy"]]) + _BESIDE * (2 * place - len(series) + 1)
        value, low, high = (values(part, name) for name in ("value", "low", "high"))
        shape: dict[str, Any] = {"linestyle": "none", "capsize": points(1.8), "elinewidth": points(0.8)}
        ax.errorbar(
            at,
            value,
            yerr=error_bars(value, low, high),
            color=look.colour,
            marker=look.marker,
            markersize=points(4.5),
            markerfacecolor="white" if which == "test" else look.colour,
            label=f"{words}, {'training' if which == 'train' else 'test'}",
            **shape,
        )
    ax.axhline(1.0, color=GREY, linewidth=points(0.8))
    ax.set(yscale="log", ylabel="loss over that without")
    ax.set_xticks(range(len(names)), list(_REMEDIES.values()), fontsize=points(7))
    ax.set_xlabel("remedy")
    stretch(ax, below=0.25)
    legend(ax, "lower right", size=6.4, ncols=2)
    return ax


def _looks(palette: Colours) -> dict[str, tuple[str, Look]]:
    colours = read_palette(palette)
    return {kind: (words, colours.look(kind, look)) for kind, (words, look) in _KINDS.items()}
