"""Figures of descent: whose prediction a network follows, and the four terms of a step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from ntk1bit.claims.results import Results
from ntk1bit.plots.axes import draw_series, draw_slope, log_axes, note, stretch, with_power
from ntk1bit.plots.figures import PAGE
from ntk1bit.plots.layout import PLAIN, Sheet, panel
from ntk1bit.plots.legends import legend
from ntk1bit.plots.looks import GREEN, GREY, ORANGE, PURPLE, Look, points
from ntk1bit.plots.palettes import Colours, precision_look, read_palette, shade_look
from ntk1bit.plots.recipes.recipe import TEXTS, figure_title, stored_measure, stored_table
from ntk1bit.plots.tables import ends, pick, value_at, values

_TERMS = {
    "c1": Look(GREY, "^", "-"),
    "c2": Look(PURPLE, "v", "-"),
    "c3": Look(ORANGE, "o", "-"),
    "c4": Look(GREEN, "D", "-"),
}
_NEGLIGIBLE = 0.1  # the rule of C1b
_CLOSE = 0.12  # values whose words would lie on each other
_UNTIL = 0.1  # of the starting loss: the part of training that C1b speaks about
_K = r"$K_{\mathrm{eff}}$"
_TERM_LABEL = r"term / ($\eta\, r^{\mathsf{T}} H r$)"


def draw_convergence(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw the loss of the widest networks beside its predictions, and the distance to these against width."""
    curves = stored_table(results, "C1-K", "convergence")
    h, k = stored_table(results, "C1-H", "distance"), stored_table(results, "C1-K", "distance")
    not_h = ", not its own kernel $H$" if results.claim("C1-K").outcome == "supported" else "; it does not follow $H$"
    title = figure_title(results, "convergence", not_H=not_h)
    figure, axes = sheet.figure(TEXTS["convergence"]["panels"], (PAGE, 2.9), title)
    left, right, palette = axes["loss"], axes["distance"], sheet.palette
    plot_predicted_loss(curves, ax=left, palette=palette)
    panel(left, f"training loss of the widest networks, $m$ = {ends(k, 'width')[1]:g}")

    to_h = stored_measure(results, "C1-H", "from_h.m.widest")
    to_k = stored_measure(results, "C1-K", "from_k.m.widest")
    full = stored_measure(results, "C1-H", "from_h.m.full")
    for table, look, name, exponent in (
        (pick(h, precision="one_bit"), precision_look("one_bit", hollow=True, palette=palette), "1-bit to $H$:", to_h),
        (k, precision_look("one_bit", palette=palette), f"1-bit to {_K}:", to_k),
        (pick(h, precision="full"), precision_look("full", palette=palette), "full precision to $H$:", full),
    ):
        if len(table):
            draw_series(table, ax=right, look=look, label=with_power(name, exponent))
    low, high = ends(k, "width")
    anchor = (high, value_at(k, "width", -1) / 1.6)
    draw_slope(right, x=(low, high), anchor=anchor, exponent=-0.25, text="slope $-1/4$", share=0.6, below=True)
    log_axes(right, values(k, "width"))
    stretch(right, below=0.3)
    right.set(xlabel="width $m$", ylabel="distance of $f_t$ to prediction (RMS)")
    legend(right, "lower left", size=6.8)
    panel(right, "distance to predictions, while $L > L(0)/10$")
    return figure


def plot_predicted_loss(curves: pd.DataFrame, *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw the loss of 1-bit and full-precision networks with the predictions of H and of K_eff, against step + 1."""
    step = values(curves, "step") + 1
    loss, full = values(curves, "loss"), values(curves, "full_loss")
    colours = [precision_look(one, palette=palette).colour for one in ("one_bit", "full")]
    low, high = values(curves, "loss_low"), values(curves, "loss_high")
    ax.fill_between(step, low, high, color=colours[0], alpha=0.2, linewidth=0)
    ax.plot(step, loss, color=colours[0], linewidth=points(1.8), label="1-bit, measured")
    ax.plot(step, full, color=colours[1], linewidth=points(1.8), alpha=0.75, label="full precision, measured")
    ax.plot(
        step,
        values(curves, "loss_k_eff"),
        color="black",
        linestyle="--",
        linewidth=points(1.0),
        label=f"predicted by {_K}",
    )
    ax.plot(
        step, values(curves, "loss_h"), color="black", linestyle=":", linewidth=points(1.2), label="predicted by $H$"
    )
    ax.set(xscale="log", yscale="log", xlabel="step + 1", ylabel="training loss $L$")
    # predictions fall without end; below the least 1-bit loss they have nothing to be compared with
    ax.set_ylim(bottom=max(loss.min() / 20, full.min() / 3))
    legend(ax, "lower left", size=6.8)
    return ax


def draw_oscillation(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw the loss against time at several widths and in the limit, and the two-cycle of opposite inputs."""
    title = figure_title(results, "oscillation")
    figure, axes = sheet.figure(TEXTS["oscillation"]["panels"], (PAGE, 2.9), title)
    left, right, palette = axes["loss"], axes["pair"], sheet.palette
    curves = stored_table(results, "C11-swing", "loss against time")
    widths = sorted(set(values(pick(curves, which="networks"), "width")))
    for place, width in enumerate(widths):
        part = pick(curves, which="networks", width=width).sort_values("step")
        look = shade_look(place, len(widths), palette=palette)
        label = f"1-bit, $m$ = {width:g}"
        left.plot(part["step"] + 1, part["loss"], color=look.colour, linewidth=points(1.2), label=label)
    for which, words, colour, line in (("limit", r"$m = \infty$", "black", "--"), ("frozen", "frozen", GREY, "-.")):
        part = pick(curves, which=which).sort_values("step")
        left.plot(part["step"] + 1, part["loss"], color=colour, linestyle=line, linewidth=points(1.4), label=words)
    left.set(xscale="log", yscale="log", xlabel="step + 1", ylabel="training loss")
    legend(left, "lower left", size=6.4)
    panel(left, "random labels on the sphere")

    amplitudes = stored_table(results, "C11-pair", "amplitude")
    last = pick(amplitudes, width=ends(amplitudes, "width")[1])
    colours = (precision_look("one_bit", palette=palette).colour, PURPLE)
    for rate, colour, shape in zip(sorted(set(values(last, "eta_rel"))), colours, ("o", "^"), strict=False):
        part = pick(last, eta_rel=rate).sort_values("dim")
        right.plot(part["dim"], part["amplitude"], color="black", linewidth=points(0.9))
        measured = part["ratio"] * part["amplitude"]
        label = rf"1-bit, $\eta_{{\mathrm{{rel}}}}$ = {rate:g}"
        right.plot(part["dim"], measured, shape, color=colour, markersize=points(5), label=label)
    right.plot([], [], color="black", linewidth=points(0.9), label="closed form, nothing fitted")
    log_axes(right, values(last, "dim"))
    stretch(right, above=0.2, below=0.3)
    right.set(xlabel="input dimension $d$", ylabel="$|r_1 - r_2|$ of the two-cycle")
    legend(right, "lower left", size=6.4)
    panel(right, f"two opposite inputs, $m$ = {ends(amplitudes, 'width')[1]:g}")
    return figure


def draw_phases(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw which training oscillates: over n and d, and against the ratio of extreme eigenvalues of the kernel."""
    figure, axes = sheet.figure(TEXTS["phases"]["panels"], (PAGE, 2.9), figure_title(results, "phases"))
    left, right = axes["map"], axes["eigenvalues"]
    table = stored_table(results, "C11-phases", "alternating part").sort_values("lambda_ratio")
    limit, network = (np.array(values(table, name)) for name in ("limit", "network"))
    norm_ends = min(limit.min(), network.min()), max(limit.max(), network.max())
    norm = LogNorm(*norm_ends)
    how: dict[str, Any] = {"norm": norm, "cmap": "viridis", "lw": 0}
    shades = left.scatter(table["dim"], table["n_train"], c=limit, s=points(15) ** 2, marker="s", **how)
    left.scatter(
        table["dim"], table["n_train"], c=network, s=points(6) ** 2, **how | {"lw": 0.4, "edgecolors": "white"}
    )
    log_axes(left, values(table, "dim"), y=False)
    heights = sorted(set(values(table, "n_train")))
    left.set_yscale("log")
    left.set_yticks(heights, [f"{height:g}" for height in heights])
    left.minorticks_off()
    left.margins(0.12)
    left.set(xlabel="input dimension $d$", ylabel="training points $n$")
    low, high = (int(np.log10(end)) for end in norm_ends)
    for power in range(high, low, -2):
        colour = shades.cmap(norm(10.0**power))
        left.plot([], [], "s", color=colour, markersize=points(7), label=f"$10^{{{power}}}$")
    stretch(left, above=0.25)
    legend(left, "upper left", size=6.4, ncol=4)
    panel(left, "squares: the limit, dots: networks")
    colour = precision_look("one_bit", palette=sheet.palette).colour
    squares: dict[str, Any] = {"color": "black", "markerfacecolor": "none", "markersize": points(6)}
    right.plot(table["lambda_ratio"], limit, "s", label=r"$m = \infty$", **squares)
    right.plot(table["lambda_ratio"], network, "o", color=colour, markersize=points(4), label="1-bit networks")
    right.set(xscale="log", yscale="log", ylabel="alternating part of the loss / ($n$/2)")
    right.set_xlabel(r"$\lambda_{\min}/\lambda_{\max}$ of the kernel at infinite width")
    legend(right, "lower left", size=6.8)
    panel(right, "the same against eigenvalues")
    return figure


def draw_terms(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw the four terms of a step against width, C3 of the first step against d, and the terms by step."""
    findings = results.claim("C1b").findings
    refuted = [finding.measure.partition(".")[0] for finding in findings if finding.outcome == "refuted"]
    verb = "is" if len(refuted) == 1 else "are"
    title = figure_title(results, "terms", terms=" and ".join(map(_symbol, refuted)), verb=verb)
    table, steps = stored_table(results, "C1b", "terms against width"), stored_table(results, "C1b", "terms by step")
    figure, axes = sheet.figure(TEXTS["terms"]["panels"], (PAGE, 2.75), title)
    left, middle, right = axes["width"], axes["first-step"], axes["steps"]
    plot_terms(table, ax=left, palette=sheet.palette)
    panel(left, "digits, while $L > L(0)/10$")
    plot_first_step(stored_table(results, "C1b", "C3 at the first step"), ax=middle, palette=sheet.palette)
    panel(middle, "$C_3$ of the first step, sphere")
    widest = ends(steps, "width")[1]
    plot_terms_by_step(pick(steps, width=widest), ax=right, palette=sheet.palette)
    panel(right, f"step by step, $m$ = {widest:g}")
    return figure


def plot_terms(table: pd.DataFrame, *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw C1 to C4 in units of eta r^T H r against width: 1-bit solid, full precision with open markers."""
    _mark_negligible(ax)
    looks, last = _terms(palette), dict[str, float]()
    for term, look in looks.items():
        one_bit, full = (pick(table, term=term, precision=precision) for precision in ("one_bit", "full"))
        draw_series(full, ax=ax, look=Look(look.colour, look.marker, "--", hollow=True))
        draw_series(one_bit, ax=ax, look=look)
        last[term] = value_at(one_bit, "width", -1)
    for term, height in last.items():
        away = [other - height for other in last.values() if 0 < abs(other - height) < _CLOSE]
        va = "center" if not away else "bottom" if min(away) < 0 else "top"
        how: dict[str, Any] = {"colour": looks[term].colour, "va": va, "fontsize": points(8), "in_layout": True}
        note(ax, ends(table, "width")[1], height, _symbol(term), **how)
    log_axes(ax, values(table, "width"), most=3, y=False)
    ax.plot([], [], color=GREY, marker="o", linewidth=points(1), label="1-bit")
    ax.plot(
        [],
        [],
        color=GREY,
        marker="o",
        markerfacecolor="white",
        linestyle="--",
        linewidth=points(1),
        label="full precision",
    )
    legend(ax, "center left", bbox_to_anchor=(0.0, 0.38))
    ax.set(xlabel="width $m$", ylabel=_TERM_LABEL)
    return ax


def plot_first_step(table: pd.DataFrame, *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw C3 of the first step in units of eta r^T H r against d, for each width, with its prediction."""
    widths = sorted({int(width) for width in values(table, "width")})
    spread = np.linspace(-1, 1, len(widths)) if len(widths) > 1 else np.zeros(1)
    for place, width in enumerate(widths):
        part = pick(table, width=width)
        part = part.assign(
            dim=values(part, "dim") * 1.08 ** spread[place]
        )  # side by side, or intervals hide each other
        shade = shade_look(place, len(widths), palette=palette)
        look = Look(shade.colour, shade.marker, "none")
        draw_series(part, ax=ax, x="dim", look=look, label=f"$m$ = {width}")
    law = pd.DataFrame(table.groupby("dim", as_index=False)["predicted"].mean())
    ax.plot(
        law["dim"], law["predicted"], color="black", linewidth=points(1.0), label="predicted from $K_{\\mathrm{eff}}$"
    )
    level = 1 - float(np.sqrt(2 / np.pi))
    ax.axhline(level, color=GREY, linestyle=(0, (4, 2.5)), linewidth=points(0.8), label=r"large $d$: $1-\sqrt{2/\pi}$")
    log_axes(ax, values(law, "dim"), most=4, y=False)
    ax.set_ylim(bottom=-0.16)
    ax.set(xlabel="input dimension $d$", ylabel=r"$C_3$ / ($\eta\, r^{\mathsf{T}} H r$)")
    legend(ax, "lower right", ncols=2, size=6.0, columnspacing=0.6, handlelength=1.4)
    return ax


def plot_terms_by_step(table: pd.DataFrame, *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw the terms of each recorded step; where the loss is below L(0)/10 they may leave the panel."""
    table = table.sort_values("step")
    _mark_negligible(ax)
    step, loss = values(table, "step") + 1, values(table, "loss")
    for term, look in _terms(palette).items():
        ax.plot(
            step,
            values(table, term),
            color=look.colour,
            marker=look.marker,
            markersize=points(3.2),
            linewidth=points(1),
        )
    ax.set(xscale="log", xlabel="step + 1", ylabel=_TERM_LABEL)
    ax.set_ylim(-1.15, 1.15)
    low = np.flatnonzero(loss <= _UNTIL * loss[0])
    if len(low):
        start = float(step[low[0]])
        ax.axvline(start, color=GREY, linestyle=":", linewidth=points(1.0))
        ax.annotate(
            "$L(0)/10$ reached →",
            (start, -0.75),
            xytext=(points(-12), 0),
            textcoords="offset points",
            fontsize=points(6.6),
            color=GREY,
            ha="right",
            va="center",
        )
    return ax


def _mark_negligible(ax: Axes) -> None:
    ax.axhspan(-_NEGLIGIBLE, _NEGLIGIBLE, color="#e8e8e8", zorder=0)
    ax.annotate(
        f"negligible: within {_NEGLIGIBLE:g}",
        (0.02, -_NEGLIGIBLE),
        xycoords=("axes fraction", "data"),
        xytext=(0, -2),
        textcoords="offset points",
        va="top",
        fontsize=points(6.2),
        color=GREY,
    )


def _terms(palette: Colours) -> dict[str, Look]:
    colours = read_palette(palette)
    return {term: colours.look(term, look) for term, look in _TERMS.items()}


def _symbol(term: str) -> str:
    return f"${term[0].upper()}_{term[1]}$"
