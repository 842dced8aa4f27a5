"""Figures of outputs: the gap between precisions, flip noise, scaling."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from figures.axes import LOOKS, interval_text, legend, log_axes, plot_points, plot_slope
from figures.evidence import Evidences
from ntk1bit.styles import GREY, ORANGE

_GAP = "RMS of f - f' on test inputs"


def gap(figure: Figure, evidence: Evidences) -> None:
    """Draw the gap on digits, by d and by kappa, from both starts."""
    (digits, dims_iid, dims_paired), (by_dim, kappa_iid, kappa_paired) = figure.subplots(2, 3)
    for look, (claim, init, word) in enumerate((("C3", "iid", "random start"), ("C3-paired", "paired", "start at 0"))):
        table = evidence.table(claim, "digits")
        fit = evidence.measure(claim, f"exponent in m, digits, {init}")
        plot_points(table, ax=digits, label=f"{word}: {interval_text(fit)}", look=look, hollow=look == 1)
        dims = evidence.table(claim, "sphere by dimension")
        every = sorted(set(dims["dim"]))
        chosen = [every[0], every[len(every) // 2], every[-1]]
        ax = (dims_iid, dims_paired)[look]
        for place, dim in enumerate(chosen):
            plot_points(dims.loc[dims["dim"] == dim], ax=ax, label=f"d = {dim:g}", look=place)
        if init == "paired":
            plot_slope(dims.loc[dims["dim"] == chosen[-1]], ax=ax, power=-0.25, text="$m^{-1/4}$", above=0.75)
        log_axes(ax, x="width m", y=_GAP, title=f"sphere, {word}", ticks=dims["width"])
        legend(ax, loc="lower left")
        widest = dims.loc[dims["width"] == dims["width"].max()]
        fit = evidence.measure(claim, f"exponent in d at the largest m, {init}")
        plot_points(widest, ax=by_dim, x="dim", label=f"{word}: {interval_text(fit, 'd')}", look=look, hollow=look == 1)
        kappas = evidence.table(claim, "digits by kappa")
        ax = (kappa_iid, kappa_paired)[look]
        for place, kappa in enumerate(sorted(set(kappas["kappa"]))):
            part = kappas.loc[kappas["kappa"] == kappa]
            plot_points(part, ax=ax, label=rf"$\kappa$ = {kappa:g}", look=place)
        log_axes(ax, x="width m", y=_GAP, title=f"digits, {word}", ticks=kappas["width"])
        legend(ax, loc="lower left")
    log_axes(digits, x="width m", y=_GAP, title="digits", ticks=evidence.table("C3", "digits")["width"])
    legend(digits, loc="lower left")
    log_axes(
        by_dim,
        x="dimension d",
        y=_GAP,
        title="sphere, widest networks",
        ticks=evidence.table("C3", "sphere by dimension")["dim"],
    )
    legend(by_dim, loc="lower left")
    for row in ((dims_iid, dims_paired), (kappa_iid, kappa_paired)):
        low = min(ax.get_ylim()[0] for ax in row)
        high = max(ax.get_ylim()[1] for ax in row)
        for ax in row:
            ax.set_ylim(low * 0.6, high)
    open_ = evidence.refuted("C3")
    title = "From a random start the gap does not close with width; from a start at 0 it shrinks with m and d"
    figure.suptitle(title if open_ else "Difference between 1-bit and full-precision outputs", fontsize=8.5)


def flip_noise(figure: Figure, evidence: Evidences) -> None:
    """Draw the spread between seeds, the share of flipped signs, and the scatter of one step."""
    left, middle, right = figure.subplots(1, 3)
    table = evidence.table("C3b", "spread")
    for look, (precision, word) in enumerate((("one_bit", "1-bit"), ("full", "full precision"))):
        part = table.loc[(table["task"] == "sphere") & (table["precision"] == precision)]
        fit = evidence.measure("C3b", f"exponent of the spread, {word}, sphere")
        plot_points(part, ax=left, label=f"{word}: {interval_text(fit)}", look=look, hollow=look == 1)
        power, text = ((-0.25, "$m^{-1/4}$"), (-0.5, "$m^{-1/2}$"))[look]
        plot_slope(part, ax=left, power=power, text=text, above=(1.5, 0.6)[look])
    log_axes(left, x="width m", y="spread of f between seeds", title="trained networks", ticks=table["width"])
    legend(left, loc="lower left")

    flips = evidence.table("C3b", "flipped signs")
    for look, (when, word) in enumerate((("way down", "until L(0)/10"), ("end", "at the end"))):
        name = "on the way down" if when == "way down" else "at the end"
        fit = evidence.measure("C3b", f"exponent of the share of signs flipped {name}")
        part = flips.loc[flips["when"] == when]
        plot_points(part, ax=middle, label=f"{word}: {interval_text(fit)}", look=2 * look, hollow=look == 1)
    log_axes(middle, x="width m", y="share of signs flipped", title="signs that flip", ticks=flips["width"])
    legend(middle, loc="lower left")

    scatter = evidence.table("C3b", "one-step scatter")
    scatter = scatter.loc[scatter["precision"] == "one_bit"]
    dims = sorted(set(scatter["dim"]))
    for look, dim in enumerate((dims[0], dims[len(dims) // 2], dims[-1])):
        part = scatter.loc[scatter["dim"] == dim].sort_values("width")
        colour, marker, _ = LOOKS[look]
        right.plot(part["width"], part["scatter"], color=colour, marker=marker, linestyle="none", label=f"d = {dim:g}")
        right.plot(part["width"], part["predicted"], color=colour, linewidth=0.9)
    log_axes(
        right,
        x="width m",
        y="scatter of one step",
        title="points: measured, lines: law",
        ticks=scatter["width"],
    )
    legend(right, loc="lower left")


def scaling(figure: Figure, evidence: Evidences) -> None:
    """Draw loss against N with the fit, the frontier in compute, and test loss against n."""
    left, middle, right = figure.subplots(1, 3)
    band = evidence.table("C4", "fit band").sort_values("N")
    table = evidence.table("C4", "loss against width")
    table = table.loc[table["task"] == "sphere"].sort_values("width")
    dim = float(band["N"].min() / table["width"].min())
    points = table.assign(N=table["width"] * dim)
    left.fill_between(band["N"], band["low"], band["high"], color=ORANGE, alpha=0.3, linewidth=0)
    fit = evidence.measure("C4", "exponent in N by scaling.fit, sphere")
    left.plot(band["N"], band["estimate"], color=ORANGE, linewidth=0.9, label=f"fit: {interval_text(fit, 'N')}")
    plot_points(points.assign(value=points["value"]), ax=left, x="N", label="1-bit networks", look=4)
    ends = np.array([band["N"].min(), band["N"].max()])
    start = float(table["value"].iloc[0])
    left.plot(
        ends, start * (ends / ends[0]) ** -0.25, color=GREY, linestyle="--", linewidth=0.9, label="D25: $N^{-1/4}$"
    )
    left.set(
        xscale="log", yscale="log", xlabel="parameters N = m d", ylabel="training loss, level", title="loss against N"
    )
    legend(left, loc="lower left")

    frontier = evidence.table("C4", "frontier").sort_values("compute")
    fit = evidence.measure("C4", "exponent of the frontier in compute, 1-bit")
    colour, marker, line = LOOKS[0]
    middle.plot(
        frontier["compute"],
        frontier["loss"],
        color=colour,
        marker=marker,
        linestyle=line,
        linewidth=0.8,
        label=interval_text(fit, "C"),
    )
    middle.set(
        xscale="log", yscale="log", xlabel="compute C = N n t", ylabel="best training loss", title="1-bit frontier"
    )
    legend(middle, loc="upper right")

    tested = evidence.table("C4", "test loss against n")
    for look, (precision, word) in enumerate((("one_bit", "1-bit"), ("full", "full precision"))):
        fit = evidence.measure("C4", f"exponent of the test loss in n, {word}")
        part = tested.loc[tested["precision"] == precision]
        plot_points(part, ax=right, x="n", label=f"{word}: {interval_text(fit, 'n')}", look=look, hollow=look == 1)
    log_axes(right, x="training points n", y="test loss", title="digits, m = 1024", ticks=tested["n"])
    legend(right, loc="upper right")
