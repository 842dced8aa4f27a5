"""Figures of training: the terms of a step, the kernel's drift, predictions, the floor."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from figures.axes import LOOKS, interval_text, legend, log_axes, plot_points, plot_slope
from figures.evidence import Evidences
from ntk1bit.styles import BLUE, GREY, ORANGE

_TERMS = {"c1": "C1", "c2": "C2", "c3": "C3", "c4": "C4"}


def terms(figure: Figure, evidence: Evidences) -> None:
    """Draw C1..C4 against width, by step, and C3 against d."""
    left, middle, right = figure.subplots(1, 3)
    table = evidence.table("C1b", "terms against width")
    for look, (term, word) in enumerate(_TERMS.items()):
        part = table.loc[table["term"] == term]
        one_bit = part.loc[part["precision"] == "one_bit"]
        plot_points(one_bit, ax=left, label=word, look=look)
        full = part.loc[(part["precision"] == "full") & (part["width"] >= one_bit["width"].max() / 16)]
        plot_points(full, ax=left, look=look, hollow=True)
    left.axhline(0, color=GREY, linewidth=0.6)
    ticks = sorted(set(table["width"]))[::4]
    left.set(xscale="log", xlabel="width m", ylabel=r"term / ($\eta\, r^T H r$)")
    left.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    left.minorticks_off()
    left.set_ylim(-1.15, 1.15)
    left.set_title("C3 stays, whatever m" if evidence.refuted("C1b") else "the terms of a step")
    legend(left, loc="center right", ncols=2)

    steps = evidence.table("C1b", "terms by step")
    steps = steps.loc[steps["width"] == steps["width"].max()].sort_values("step")
    for look, (term, word) in enumerate(_TERMS.items()):
        colour, marker, line = LOOKS[look]
        middle.plot(
            steps["step"] + 1, steps[term], color=colour, marker=marker, linestyle=line, linewidth=0.8, label=word
        )
    middle.axhline(0, color=GREY, linewidth=0.6)
    middle.set(xscale="log", xlabel="step + 1", title=f"step by step, m = {steps['width'].max():g}")

    dims = evidence.table("C1b", "C3 at the first step")
    for look, width in enumerate(sorted(w for w in set(dims["width"]) if w >= 1024)):
        part = dims.loc[dims["width"] == width].sort_values("dim")
        plot_points(part, ax=right, x="dim", label=f"m = {width:g}", look=look)
    last = dims.loc[dims["width"] == dims["width"].max()].sort_values("dim")
    right.plot(last["dim"], last["predicted"], color="black", linewidth=1.4, label="predicted", zorder=0)
    ticks = sorted(set(dims["dim"]))[::2]
    right.set(xscale="log", xlabel="dimension d", ylabel=r"C3 / ($\eta\, r^T H r$), first step")
    right.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    right.minorticks_off()
    right.set_title("C3 is what $K_{eff}$ predicts")
    legend(right, loc="lower right")


def drift(figure: Figure, evidence: Evidences) -> None:
    """Draw the drift against width for both precisions, one panel an init."""
    table = evidence.table("C1", "drift")
    left, right = figure.subplots(1, 2, sharey=True)
    for ax, init, words in ((left, "paired", "start at 0 (paired)"), (right, "iid", "random start (iid)")):
        for look, (precision, word) in enumerate((("one_bit", "1-bit"), ("full", "full precision"))):
            part = table.loc[(table["init"] == init) & (table["precision"] == precision)]
            fit = evidence.measure("C1", f"exponent of drift, {word}, {init}")
            plot_points(part, ax=ax, label=f"{word}: {interval_text(fit)}", look=look, hollow=look == 1)
        plot_slope(table.loc[table["init"] == init], ax=ax, power=-0.5, text="$m^{-1/2}$: D25's rate", above=2.2)
        log_axes(ax, x="width m", y=r"max$_t$ ‖H(t) - H(0)‖ / ‖H(0)‖", title=words, ticks=table["width"])
        legend(ax, loc="lower left")
    right.set_ylabel("")
    settles = "The kernel settles as the network widens, faster than $m^{-1/2}$"
    figure.suptitle(settles if evidence.supported("C1") else "Kernel drift against width", fontsize=8.5)


def convergence(figure: Figure, evidence: Evidences) -> None:
    """Draw the loss with both predictions, and the distance to both against width."""
    left, right = figure.subplots(1, 2)
    curve = evidence.table("C1-K", "convergence")
    until = curve.loc[curve["loss"] > 0.02 * curve["loss"].iloc[0], "step"].max()
    curve = curve.loc[(curve["step"] > 0) & (curve["step"] <= until)]
    left.fill_between(curve["step"], curve["loss_low"], curve["loss_high"], color=ORANGE, alpha=0.3, linewidth=0)
    for column, word, colour, line in (
        ("loss", "1-bit network", ORANGE, "-"),
        ("loss_k_eff", "predicted by $K_{eff}$", "black", (0, (1, 1))),
        ("loss_h", "predicted by H", GREY, "--"),
        ("full_loss", "full precision", BLUE, "-."),
    ):
        left.plot(curve["step"], curve[column], color=colour, linestyle=line, label=word, linewidth=1.3)
    left.set(xscale="log", yscale="log", xlabel="step", ylabel="training loss L", title="digits, widest networks")
    legend(left, loc="lower left")

    distance = evidence.table("C1-H", "distance")
    for look, (part, name, measure) in enumerate(
        (
            (
                evidence.table("C1-K", "distance"),
                "1-bit, to $K_{eff}$",
                "exponent of the distance to K_eff, all widths",
            ),
            (distance.loc[distance["precision"] == "full"], "full precision, to H", ""),
            (distance.loc[distance["precision"] == "one_bit"], "1-bit, to H", ""),
        )
    ):
        fit = f": {interval_text(evidence.measure('C1-K', measure))}" if measure else ""
        plot_points(part, ax=right, label=name + fit, look=look, hollow=look == 2)
    plot_slope(evidence.table("C1-K", "distance"), ax=right, power=-0.25, text="$m^{-1/4}$", above=0.6)
    log_axes(
        right,
        x="width m",
        y="RMS distance of outputs,\nwhile L > L(0)/10",
        title="distance to the predictions",
        ticks=distance["width"],
    )
    legend(right, loc="lower left")
    follows = evidence.supported("C1-K") and evidence.refuted("C1-H")
    title = "A 1-bit network follows $K_{eff}$, not its own kernel H" if follows else "Training against predictions"
    figure.suptitle(title, fontsize=8.5)


def floor(figure: Figure, evidence: Evidences) -> None:
    """Draw the floor against width and against the four other variables."""
    grid = figure.add_gridspec(1, 3, width_ratios=(1.25, 1, 1))
    left, middle, right = (figure.add_subplot(grid[0, k]) for k in range(3))
    table = evidence.table("C2", "floor against width")
    for look, task in enumerate(("sphere", "digits")):
        fit = evidence.measure("C2", f"exponent of the floor in m, {task}")
        plot_points(
            table.loc[table["task"] == task], ax=left, label=f"1-bit, {task}: {interval_text(fit)}", look=2 * look
        )
    plot_points(evidence.table("C2", "full precision"), ax=left, label="full precision, sphere", look=1, hollow=True)
    plot_slope(table, ax=left, power=-1.0, text="$m^{-1}$", above=4.0)
    log_axes(left, x="width m", y="loss at the end, L", title="full precision has no floor", ticks=table["width"])
    legend(left, loc="center left", bbox_to_anchor=(0.0, 0.45))

    rest = evidence.table("C2-law", "floor against the rest")
    for ax, pair in (
        (middle, (("n", "n", 2), ("d", "d", -1))),
        (right, (("kappa", r"\kappa", 2), ("eta", r"\eta", 0))),
    ):
        for look, (x, symbol, power) in enumerate(pair):
            part = _relative(rest.loc[rest["against"] == x])
            fit = evidence.measure("C2-law", f"exponent of the floor in {x}")
            plot_points(part, ax=ax, x="x", label=interval_text(fit, symbol), look=2 * look)
            ends = part["x"].to_numpy(dtype=np.float64)[[0, -1]]
            ax.plot(ends, (ends / ends[0]) ** power, color=GREY, linestyle="--", linewidth=0.8)
        ax.set(xscale="log", yscale="log", ylabel="floor, relative to the first")
        legend(ax, loc="upper left" if ax is middle else "lower right")
    middle.set(xlabel="points n, dimension d", title="dashed: $n^2$ and $d^{-1}$")
    right.set(xlabel=r"$\kappa$, $\eta_{rel}$", title=r"dashed: $\kappa^2$ and $\eta^0$")


def _relative(table: pd.DataFrame) -> pd.DataFrame:
    """Divide values by the first, so that curves of different sizes share an axis."""
    table = table.sort_values("x")
    first = float(table["value"].iloc[0])
    return table.assign(**{name: table[name] / first for name in ("value", "low", "high")})
