"""BitNet against a full-precision Transformer: L(N), the gap, loss against energy, and large learning rates."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ntk1bit.plots.language import plot_energy, plot_excess, plot_gap, plot_losses
from ntk1bit.plots.recipes.axes import legend, power_text
from ntk1bit.plots.recipes.canvas import PAGE, new_figure, panel
from ntk1bit.plots.recipes.recipe import Results
from ntk1bit.plots.recipes.tables import values

_TRAINED = ("full", "bitnet", "b158")


def draw_bitnet(results: Results) -> Figure:
    """Draw the four panels."""
    title = results.sentence(
        "C6",
        supported="Both losses follow $aN^b+c$, and the gap between 1-bit and full precision shrinks with $N$",
        refuted="1-bit and full precision do not both follow $aN^b+c$ with a gap that shrinks with $N$",
        otherwise="Whether both losses follow $aN^b+c$ with a gap that shrinks with $N$ is open",
    ) + results.sentence(
        "C6-energy",
        supported="; at equal energy, as W23 counts it, the 1-bit network is ahead",
        refuted="; at equal energy, as W23 counts it, the 1-bit network is behind",
        otherwise="; which is ahead at equal energy, as W23 counts it, is open",
    )
    losses = results.table("C6", "losses")
    laws = results.table("C6", "laws")
    excess = results.table("C6-stable", "excess")
    figure = new_figure(PAGE, 4.6, title)
    axes = figure.subplot_mosaic([["loss", "gap"], ["energy", "excess"]])

    shown = pd.DataFrame(losses.loc[losses["arm"].isin(_TRAINED)])
    plot_losses(shown, laws, ax=axes["loss"], trigram=results.measure("C6", "trigram.loss")["value"])
    legend(axes["loss"], "lower left")
    panel(axes["loss"], "a", "validation loss, with fitted laws")

    plot_gap(results.table("C6", "gap"), ax=axes["gap"])
    found = results.measure("C6", "gap.size")
    if found["value"] is not None and found["low"] is not None:
        words = power_text(found, "N")
        axes["gap"].text(0.97, 0.95, words, transform=axes["gap"].transAxes, ha="right", va="top", fontsize=6.8)
    panel(axes["gap"], "b", "loss of 1-bit minus full precision")

    spent = results.table("C6-energy", "loss against energy")
    counted = pd.DataFrame(spent.loc[spent["arm"].isin(_TRAINED)])
    plot_energy(counted, ax=axes["energy"], column="joules_exact", faint=True)
    plot_energy(counted, ax=axes["energy"])
    panel(axes["energy"], "c", "loss against inference energy (7 nm)")

    plot_excess(excess, ax=axes["excess"])
    if values(excess, "diverged").sum() > 0:
        axes["excess"].text(
            0.03, 0.95, "diverged networks at $\\ln V$", transform=axes["excess"].transAxes, va="top", fontsize=6.8
        )
    panel(axes["excess"], "d", "loss at large learning rates")
    return figure
