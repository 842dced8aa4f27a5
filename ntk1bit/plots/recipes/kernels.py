"""Figures of kernels: their drift, their limits, and how often a move changes an activation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntk1bit.claims.results import Results
from ntk1bit.plots.axes import draw_level, draw_series, draw_slope, log_axes, stretch
from ntk1bit.plots.figures import COLUMN, PAGE
from ntk1bit.plots.layout import PLAIN, Sheet, panel
from ntk1bit.plots.legends import legend
from ntk1bit.plots.looks import BLUE, GREY, ORANGE, PRECISION_NAME, Look, points
from ntk1bit.plots.palettes import Colours, shade_look
from ntk1bit.plots.recipes.recipe import (
    SHORT_PRECISION,
    TEXTS,
    figure_title,
    plot_by_precision,
    stored_table,
    with_exponent,
)
from ntk1bit.plots.tables import ends, pick, values

_DIMS = 3  # dimensions drawn in one panel
_SCALES = {"std": Look(ORANGE, "o", "-"), "absmean": Look(BLUE, "s", "--", hollow=True)}
_K = r"$K_{\mathrm{eff}}$"


def draw_drift(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw the largest relative drift of the kernel against width."""
    table = stored_table(results, "C1", "drift")
    figure, axes = sheet.figure(TEXTS["drift"]["panels"], (COLUMN, 2.9), figure_title(results, "drift"))
    ax = axes["drift"]

    def label(precision: str, init: str) -> str:
        name = f"{PRECISION_NAME[precision]}, {init}"
        return with_exponent(name, results, "C1", f"drift.m.{precision}.{init}")

    plot_by_precision(table, "init", {"iid": True, "paired": False}, ax=ax, label=label, palette=sheet.palette)
    _half_slope(table, ax=ax, above=1.5)
    log_axes(ax, values(table, "width"))
    stretch(ax, below=0.42)
    ax.set(xlabel="width $m$", ylabel=r"drift  max$_t$ ‖$H(t)-H(0)$‖ / ‖$H(0)$‖")
    legend(ax, "lower left", size=6.8)
    return figure


def draw_limits(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw the distance of H(0) to its limit against width, and how limits and K_eff compare against d."""
    distance, limits = stored_table(results, "C0", "distance"), stored_table(results, "C0", "limits against d")
    title = figure_title(results, "limits")
    if values(limits, "ratio").max() < 1:
        title += f"; the effective kernel {_K} stays below $H$"
    figure, axes = sheet.figure(TEXTS["limits"]["panels"], (PAGE, 2.7), title)
    left, middle, right = axes["distance"], axes["limits"], axes["effective"]

    def name_of(precision: str, task: str) -> str:
        name = f"{SHORT_PRECISION[precision]}, {task.partition('-')[0]}"
        return with_exponent(name, results, "C0", f"distance.m.{task}.{precision}")

    plot_by_precision(
        distance, "task", {"digits": False, "sphere-linear": True}, ax=left, label=name_of, palette=sheet.palette
    )
    _half_slope(distance, ax=left, above=1.6)
    log_axes(left, values(distance, "width"), most=3)
    stretch(left, below=0.5)
    left.set(xlabel="width $m$", ylabel=r"‖$H(0)-H_\infty$‖ / ‖$H_\infty$‖")
    legend(left, "lower left", size=6.0)
    panel(left, "distance to its own limit")

    for scale, usual in _SCALES.items():
        part, look = pick(limits, scale=scale), sheet.palette.look(scale, usual)
        draw_series(part, ax=middle, x="dim", y="distance", look=look, label=f"1-bit, scale {scale}")
        error = 1.96 * values(part, "ratio_error")
        part = part.assign(low=values(part, "ratio") - error, high=values(part, "ratio") + error)
        draw_series(part, ax=right, x="dim", y="ratio", look=look, label=f"scale {scale}")
    noise = pd.DataFrame(limits.groupby("dim", as_index=False)["noise"].max())
    middle.plot(
        noise["dim"], noise["noise"], color=GREY, linestyle=":", linewidth=points(1.0), label="Monte Carlo error"
    )
    log_axes(middle, values(limits, "dim"), most=4)
    stretch(middle, above=0.3)
    middle.set(xlabel="input dimension $d$", ylabel=r"‖$H_\infty-H'_\infty$‖ / ‖$H'_\infty$‖")
    legend(middle, "upper right")
    panel(middle, "1-bit against full limit")

    draw_level(right, float(np.sqrt(2 / np.pi)), r"$\sqrt{2/\pi}$")
    draw_level(right, 2 / np.pi, r"$2/\pi$")
    log_axes(right, values(limits, "dim"), most=4, y=False)
    right.set(xlabel="input dimension $d$", ylabel=f"factor $c$ in {_K} ≈ $c\\,H_\\infty$")
    right.set_ylim(0.5, 1.05)
    legend(right, "upper right")
    panel(right, f"{_K} against $H_\\infty$")
    return figure


def draw_flip_probability(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw bounds of the probability that a move of length R changes an activation."""
    rates = stored_table(results, "Eq.5", "rates")
    title = figure_title(results, "flip-probability")
    figure, axes = sheet.figure(TEXTS["flip-probability"]["panels"], (COLUMN, 3.0), title)
    ax = plot_rates(rates, ax=axes["rates"], palette=sheet.palette)
    ax.set(xscale="log", yscale="log", xlabel="radius $R$ of the move", ylabel="probability that an activation changes")
    stretch(ax, below=0.45)
    legend(ax, "lower right", ncols=2, columnspacing=1.0)
    return figure


def plot_rates(rates: pd.DataFrame, *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw adversary, necessary condition and bound against R for the smallest, a middle and the largest d."""
    every = sorted({int(dim) for dim in values(rates, "dim")})
    dims = [every[k] for k in sorted({0, len(every) // 2, len(every) - 1})]
    for place, dim in enumerate(dims):
        part = pick(rates, dim=dim).sort_values("radius")
        seen = pd.DataFrame(part.loc[values(part, "adversary") > 0])
        shade = shade_look(place, _DIMS + 1, palette=palette)
        look = Look(shade.colour, shade.marker, "-")
        draw_series(seen, ax=ax, x="radius", y="adversary", look=look, label=f"$d$ = {dim}")
        look = Look(shade.colour, shade.marker, "--", hollow=True)
        draw_series(part, ax=ax, x="radius", y="condition", look=look)
        ax.plot(part["radius"], part["bound"], color=shade.colour, linestyle=":", linewidth=points(1.1))
    for line, marker, face, words in (
        (":", "", "white", r"bound $\sqrt{2/\pi}\,(d+4)\,R$"),
        ("--", "o", "white", "it may change"),
        ("-", "o", GREY, "an adversary changes it"),
    ):
        ax.plot(
            [], [], color=GREY, linestyle=line, marker=marker, markerfacecolor=face, linewidth=points(1.0), label=words
        )
    return ax


def _half_slope(table: pd.DataFrame, *, ax: Axes, above: float) -> None:
    """Draw the slope -1/2 above the highest of several series."""
    widths = ends(table, "width")
    top = above * values(pick(table, width=widths[0]), "value").max()
    draw_slope(ax, x=widths, anchor=(widths[0], top), exponent=-0.5, text="slope $-1/2$")
