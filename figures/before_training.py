"""Figures of networks as they are drawn: limits of kernels, and how easily an activity changes."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.axes import LOOKS, interval_text, legend, log_axes, plot_points, plot_slope
from figures.evidence import Evidences
from ntk1bit.kernels import SLOWDOWN
from ntk1bit.styles import GREY


def limits(figure: Figure, evidence: Evidences) -> None:
    """Draw the approach of H(0) to its limit, and the limits against d."""
    left, middle, right = figure.subplots(1, 3)
    table = evidence.table("C0", "distance")
    for look, precision in enumerate(("one_bit", "full")):
        part = table.loc[(table["task"] == "digits") & (table["precision"] == precision)]
        word = "1-bit" if precision == "one_bit" else "full precision"
        fit = evidence.measure("C0", f"exponent in m, digits, {word}")
        plot_points(part, ax=left, label=f"{word}: {interval_text(fit)}", look=look, hollow=look == 1)
    plot_slope(table.loc[table["task"] == "digits"], ax=left, power=-0.5, text="$m^{-1/2}$", above=0.5)
    log_axes(left, x="width m", y="‖H(0) - limit‖ / ‖limit‖", title="H(0) reaches its limit", ticks=table["width"])
    legend(left, loc="upper right")

    dims = evidence.table("C0", "limits against d")
    for look, scale in enumerate(("std", "absmean")):
        part = dims.loc[dims["scale"] == scale].sort_values("dim")
        colour, marker, line = LOOKS[look]
        style = {"color": colour, "marker": marker, "linestyle": line, "linewidth": 0.8}
        middle.plot(part["dim"], part["distance"], label=scale, **style)
        right.errorbar(part["dim"], part["ratio"], yerr=1.96 * part["ratio_error"], capsize=1.5, label=scale, **style)
        right.axhline(SLOWDOWN[scale], color=colour, linestyle=":", linewidth=0.8)
        word = r"$\sqrt{2/\pi}$" if scale == "std" else r"$2/\pi$"
        right.text(part["dim"].min(), SLOWDOWN[scale] + 0.004, word, color=colour, fontsize=7, va="bottom")
    noise = dims.loc[dims["scale"] == "std"].sort_values("dim")
    middle.plot(noise["dim"], noise["noise"], color=GREY, linewidth=0.8, linestyle=":", label="Monte Carlo noise")
    log_axes(
        middle,
        x="dimension d",
        y="‖H - H'‖ / ‖H'‖",
        title="1-bit and full limits differ at small d",
        ticks=dims["dim"],
    )
    legend(middle)
    right.set(xscale="log", xlabel="dimension d", ylabel="c: $K_{eff}$ over H", title="a step moves f by c, not by 1")
    right.set_xticks(sorted(set(dims["dim"]))[::2], [f"{d:g}" for d in sorted(set(dims["dim"]))[::2]])
    right.minorticks_off()
    right.set_ylim(0.55, 0.85)
    legend(right, loc="lower right")


def flip_probability(figure: Figure, evidence: Evidences) -> None:
    """Draw adversary, necessary condition and bound against R for three dimensions."""
    table = evidence.table("Eq.5", "rates")
    dims = sorted(set(table["dim"]))
    chosen = [dims[0], dims[len(dims) // 2], dims[-1]]
    for ax, dim in zip(figure.subplots(1, 3, sharey=True), chosen, strict=True):
        part = table.loc[table["dim"] == dim].sort_values("radius")
        for look, (column, word) in enumerate(
            (("adversary", "adversary succeeds"), ("condition", "condition allows"), ("bound", "bound, proved"))
        ):
            colour, marker, line = LOOKS[look]
            known = part.loc[part[column] > 0]
            ax.plot(
                known["radius"],
                known[column],
                color=colour,
                marker="" if column == "bound" else marker,
                linestyle=line,
                linewidth=0.9,
                label=word,
            )
        ax.set(xscale="log", yscale="log", xlabel="radius R", title=f"d = {dim}")
        if dim == chosen[0]:
            ax.set_ylabel("share of neurons whose\nactivity can change")
            legend(ax, loc="lower right")
    figure.suptitle(
        f"Small moves rarely change an activity: the share falls as R, adversary "
        f"{interval_text(evidence.measure('Eq.5', _NAME), 'R')}",
        fontsize=8.5,
    )


_NAME = "exponent in R of the adversary's success"
