"""BitNet against a full-precision Transformer: L(N), the gap, loss against energy, and large learning rates."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ntk1bit.claims.results import NumberEntry, Results
from ntk1bit.plots.axes import corner_text, power_text
from ntk1bit.plots.figures import PAGE
from ntk1bit.plots.language import plot_energy, plot_excess, plot_gap, plot_losses
from ntk1bit.plots.layout import PLAIN, Sheet, panel
from ntk1bit.plots.legends import legend
from ntk1bit.plots.recipes.recipe import TEXTS, figure_title, stored_measure, stored_table
from ntk1bit.plots.tables import values

_TRAINED = ("full", "bitnet", "b158")


def draw_bitnet(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw the four panels."""
    losses = stored_table(results, "C6", "losses")
    laws = stored_table(results, "C6", "laws")
    excess = stored_table(results, "C6-stable", "excess")
    figure, axes = sheet.figure(TEXTS["bitnet"]["panels"], (PAGE, 4.6), figure_title(results, "bitnet"))
    palette = sheet.palette

    trigram = stored_measure(results, "C6", "trigram.loss", NumberEntry).value
    shown = pd.DataFrame(losses.loc[losses["arm"].isin(_TRAINED)])
    plot_losses(shown, laws, ax=axes["losses"], trigram=trigram, palette=palette)
    legend(axes["losses"], "lower left")
    panel(axes["losses"], "validation loss, with fitted laws")

    plot_gap(stored_table(results, "C6", "gap"), ax=axes["gap"], palette=palette)
    exponent = stored_measure(results, "C6", "gap.size")
    if exponent.low is not None:
        corner_text(axes["gap"], power_text(exponent, "N"), right=True, top=True)
    panel(axes["gap"], "loss of 1-bit minus full precision")

    spent = stored_table(results, "C6-energy", "loss against energy")
    counted = pd.DataFrame(spent.loc[spent["arm"].isin(_TRAINED)])
    plot_energy(counted, ax=axes["energy"], column="joules_exact", faint=True, palette=palette)
    plot_energy(counted, ax=axes["energy"], palette=palette)
    panel(axes["energy"], "loss against inference energy (7 nm)")

    plot_excess(excess, ax=axes["excess"], palette=palette)
    if values(excess, "diverged").sum() > 0:
        corner_text(axes["excess"], "diverged networks at $\\ln V$", top=True)
    panel(axes["excess"], "loss at large learning rates")
    return figure
