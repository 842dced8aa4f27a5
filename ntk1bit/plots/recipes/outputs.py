"""Figures of trained functions: the gap between both networks, and how far networks of different seeds lie apart."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntk1bit.claims.results import Results
from ntk1bit.plots.axes import draw_series, draw_slope, log_axes, stretch
from ntk1bit.plots.figures import PAGE
from ntk1bit.plots.layout import PLAIN, Sheet, panel
from ntk1bit.plots.legends import legend
from ntk1bit.plots.looks import GREEN, PURPLE, Look, points
from ntk1bit.plots.palettes import Colours, precision_look
from ntk1bit.plots.recipes.recipe import (
    SHORT_PRECISION,
    TEXTS,
    figure_title,
    plot_by_precision,
    stored_table,
    with_exponent,
)
from ntk1bit.plots.tables import ends, pick, value_at, values

_CLAIM = {"iid": "C3", "paired": "C3-paired"}
_INIT = {"iid": Look(PURPLE, "v", "--", hollow=True), "paired": Look(GREEN, "D", "-")}
_GAP = "gap: RMS of $f-f'$ over $f'$"


def draw_gap(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw the gap between both precisions after training against width, d and kappa, for both starts."""
    figure, axes = sheet.figure(TEXTS["gap"]["panels"], (PAGE, 4.4), figure_title(results, "gap"))
    for init, usual in _INIT.items():
        claim, name, look = _CLAIM[init], f"{init} start:", sheet.palette.look(init, usual)
        dims, kappas = (stored_table(results, claim, table) for table in ("sphere by dimension", "digits by kappa"))
        label = with_exponent(name, results, claim, f"gap.m.sphere.{init}.widest")
        draw_series(pick(dims, dim=ends(dims, "dim")[1]), ax=axes["sphere"], look=look, label=label)
        label = with_exponent(name, results, claim, f"gap.m.digits.{init}.widest")
        draw_series(stored_table(results, claim, "digits"), ax=axes["digits"], look=look, label=label)
        label = with_exponent(name, results, claim, f"gap.d.sphere.{init}", "d")
        draw_at_widths(dims, ax=axes["dim"], x="dim", look=look, label=label)
        label = with_exponent(name, results, claim, f"gap.kappa.digits.{init}", r"\kappa")
        draw_at_widths(kappas, ax=axes["kappa"], x="kappa", look=look, label=label)
    dims, kappas = (stored_table(results, "C3-paired", table) for table in ("sphere by dimension", "digits by kappa"))
    panel(axes["sphere"], f"sphere, largest dimension, $d$ = {ends(dims, 'dim')[1]:g}")
    panel(axes["digits"], "digits (exponents of (a), (b): four widest)")
    panel(axes["dim"], f"sphere, {_width_range(dims)}")
    panel(axes["kappa"], f"digits, {_width_range(kappas)}")
    sphere, digits = pick(dims, dim=ends(dims, "dim")[1]), stored_table(results, "C3-paired", "digits")
    anchor = (ends(sphere, "width")[1], 0.62 * value_at(sphere, "width", -1))
    x, words = ends(sphere, "width"), "slope $-1/4$"
    draw_slope(axes["sphere"], x=x, anchor=anchor, exponent=-0.25, text=words, share=0.4, below=True)
    for name, table in (("sphere", sphere), ("digits", digits)):
        log_axes(axes[name], values(table, "width"))
        axes[name].set_xlabel("width $m$")
    log_axes(axes["dim"], values(dims, "dim"), most=7)
    log_axes(axes["kappa"], values(kappas, "kappa"))
    axes["dim"].set_xlabel("input dimension $d$")
    axes["kappa"].set_xlabel(r"output scale $\kappa$")
    for ax in axes.values():
        stretch(ax, above=0.3)
        ax.set_ylabel(_GAP)
        legend(ax, "upper left", size=6.8)
    return figure


def draw_at_widths(table: pd.DataFrame, *, ax: Axes, x: str, look: Look, label: str) -> Axes:
    """Draw a table against `x` at its largest width, and its smallest width pale."""
    low, high = ends(table, "width")
    if low < high:
        narrow = pick(table, width=low).sort_values(x)
        ax.plot(narrow[x], narrow["value"], color=look.colour, linestyle=look.line, linewidth=points(0.9), alpha=0.5)
    return draw_series(pick(table, width=high), ax=ax, x=x, look=look, label=label)


def draw_flip_noise(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw the spread over seeds, the share of flipped signs, and the scatter of one step with its law."""
    spread, flipped = stored_table(results, "C3b", "spread"), stored_table(results, "C3b", "flipped signs")
    figure, axes = sheet.figure(TEXTS["flip-noise"]["panels"], (PAGE, 2.75), figure_title(results, "flip-noise"))
    left, middle, right, palette = axes["spread"], axes["flips"], axes["scatter"], sheet.palette

    def name_of(precision: str, task: str) -> str:
        return with_exponent(f"{SHORT_PRECISION[precision]}, {task}", results, "C3b", f"spread.m.{task}.{precision}")

    plot_by_precision(spread, "task", {"sphere": False, "digits": True}, ax=left, label=name_of, palette=palette)
    log_axes(left, values(spread, "width"), most=3)
    stretch(left, below=0.55)
    left.set(xlabel="width $m$", ylabel="spread over seeds, test inputs")
    legend(left, "lower left", size=6.0)
    panel(left, "trained functions")

    for when, words, measure in (("way down", "$L(0)/10$", "down"), ("end", "end", "end")):
        label = with_exponent(words, results, "C3b", f"flips.m.{measure}")
        look = precision_look("one_bit", hollow=when == "end", palette=palette)
        look = replace(look, line="--" if when == "end" else "-")
        draw_series(pick(flipped, when=when), ax=middle, look=look, label=label)
    down = pick(flipped, when="way down")
    anchor = (ends(down, "width")[0], 0.62 * value_at(down, "width", 0))
    draw_slope(middle, x=ends(down, "width"), anchor=anchor, exponent=-0.5, text="slope $-1/2$", below=True)
    log_axes(middle, values(down, "width"), most=3)
    stretch(middle, above=0.25)
    middle.set(xlabel="width $m$", ylabel="share of signs unlike the start's")
    legend(middle, "upper right", size=6.2)
    panel(middle, "flipped signs")

    plot_scatter(stored_table(results, "C3b", "one-step scatter"), ax=right, palette=palette)
    panel(right, "one step from $f=0$")
    return figure


def plot_scatter(table: pd.DataFrame, *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw the scatter of one step against width at the smallest and the largest d, and the law as lines."""
    one_bit = pick(table, precision="one_bit")
    dims = sorted(set(ends(one_bit, "dim")))
    for place, dim in enumerate(dims):
        part = pick(one_bit, dim=dim).sort_values("width")
        ax.plot(part["width"], part["predicted"], color="black", linewidth=points(0.9))
        colour = precision_look("one_bit", palette=palette).colour
        look = Look(colour, ("o", "^")[place], "none", hollow=place == 1)
        draw_series(part, ax=ax, y="scatter", look=look, label=f"1-bit, $d$ = {dim:g}")
    full = pick(table, precision="full", dim=dims[-1])
    draw_series(
        full,
        ax=ax,
        y="scatter",
        look=precision_look("full", palette=palette),
        label=f"full precision, $d$ = {dims[-1]:g}",
    )
    ax.plot([], [], color="black", linewidth=points(0.9), label="flip-noise law, nothing fitted")
    log_axes(ax, values(table, "width"), most=4)
    stretch(ax, above=0.4)
    ax.set(xlabel="width $m$", ylabel=r"scatter of $\Delta f$ over networks")
    legend(ax, "upper right", size=6.2)
    return ax


def _width_range(table: pd.DataFrame) -> str:
    low, high = ends(table, "width")
    return f"$m$ = {high:g} (pale: {low:g})" if low < high else f"$m$ = {high:g}"
