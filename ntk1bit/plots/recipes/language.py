"""BitNet against full-precision Transformers: L(N), the gap, loss against energy, and large learning rates.

And BitNet as W23 writes it, also against networks that are quantised after training.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ntk1bit.claims.results import NumberEntry, Results
from ntk1bit.plots.axes import corner_text, power_text
from ntk1bit.plots.comparisons import plot_contrasts, plot_differences, plot_rates
from ntk1bit.plots.figures import PAGE
from ntk1bit.plots.language import plot_energy, plot_excess, plot_gap, plot_losses
from ntk1bit.plots.layout import PLAIN, Sheet, panel
from ntk1bit.plots.legends import legend
from ntk1bit.plots.looks import literal
from ntk1bit.plots.recipes.recipe import TEXTS, figure_title, stored_measure, stored_table
from ntk1bit.plots.tables import pick, values

_TRAINED = ("full", "bitnet", "b158")
_AS_WRITTEN = ("fp16-preln", "bitnet")
_AFTERWARDS = {bits: f"{bits}-bit PTQ" for bits in (8, 4, 2, 1)}  # arms of the best method of so many bits
_NORMS = {  # measures of C10-table4, and their names in a narrow panel
    "elastic_minus_absmax.subln": "elastic − absmax, SubLN",
    "elastic_minus_absmax.preln": "elastic − absmax, Pre-LN",
    "preln_minus_subln.absmax": "Pre-LN − SubLN, absmax",
    "preln_minus_subln.elastic": "Pre-LN − SubLN, elastic",
    "preln_minus_subln.full": "Pre-LN − SubLN, 32 bits",
    "preln_minus_subln.fp16": "Pre-LN − SubLN, 16 bits",
    "fp16_minus_full.preln": "16 − 32 bits, Pre-LN",
}
_FORMS = {
    "form.8bit": "inputs rounded",
    "form.unshifted": "no Eq. 6",
    "form.rounded": "inputs rounded, no Eq. 6",
    "form.full-range": "\N{GREEK SMALL LETTER GAMMA} = max(x \N{MINUS SIGN} \N{GREEK SMALL LETTER ETA}) in Eq. 6",
    **{f"groups.{count}": f"{count} groups" for count in (2, 4, 8)},
}


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


def draw_as_written(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw the six panels of BitNet as W23 writes it."""
    losses, laws = (stored_table(results, "C9", name) for name in ("losses", "laws"))
    title = figure_title(results, "bitnet-as-written")
    figure, axes = sheet.figure(TEXTS["bitnet-as-written"]["panels"], (PAGE, 7.2), title)
    palette = sheet.palette

    shown = pd.DataFrame(losses.loc[losses["arm"].isin(_AS_WRITTEN)])
    plot_losses(shown, laws, ax=axes["losses"], palette=palette)
    legend(axes["losses"], "lower left")
    if exponent := power_text(stored_measure(results, "C9", "gap.size"), "N"):
        corner_text(axes["losses"], f"gap {exponent}", right=True, top=True)
    panel(axes["losses"], "validation loss, with fitted laws")

    plot_energy(_spent(results), ax=axes["energy"], palette=palette)
    legend(axes["energy"], "lower left")
    panel(axes["energy"], "loss against inference energy (7 nm)")

    plot_differences(_afterwards(results), ax=axes["afterwards"], palette=palette)
    legend(axes["afterwards"], "lower left", ncols=2)
    panel(axes["afterwards"], "best method after training minus bitnet")

    against_rate = stored_table(results, "C10-rate", "losses against rate").sort_values("parameters")
    sizes = list(dict.fromkeys(against_rate["size"]))
    middle = sizes[len(sizes) // 2]
    plot_rates(pick(against_rate, size=middle), ax=axes["rates"], palette=palette)
    legend(axes["rates"], "lower left")
    panel(axes["rates"], f"loss against learning rate, size {literal(middle)}")

    for name, measures, words in (
        ("norms", _NORMS, "scales and norms of W23's Table 4"),
        ("forms", _FORMS, "other forms of the layer minus W23's"),
    ):
        plot_contrasts(_contrasts(results, measures), ax=axes[name], palette=palette)
        panel(axes[name], words)
    return figure


def _spent(results: Results) -> pd.DataFrame:
    """Return loss and energy of both arms, and of the better 8-bit method of each size as an arm of its own."""
    trained = stored_table(results, "C9-cost", "loss against energy")
    quantised = stored_table(results, "C9-int8", "loss against energy")
    better = stored_table(results, "C9-int8", "better 8-bit method").rename(columns={"method": "arm"})
    best = quantised.merge(better, on=["size", "arm"]).assign(arm=_AFTERWARDS[8])
    return pd.concat([trained.loc[trained["arm"].isin(_AS_WRITTEN)], best], ignore_index=True)


def _afterwards(results: Results) -> pd.DataFrame:
    """Return the loss of the best method of each number of bits minus that of bitnet, with N."""
    table = stored_table(results, "C9-ptq", "best method minus bitnet")
    sizes = stored_table(results, "C9", "losses")[["size", "parameters"]].drop_duplicates()
    return table.merge(sizes, on="size").assign(arm=lambda known: known["bits"].map(_AFTERWARDS))


def _contrasts(results: Results, names: dict[str, str]) -> pd.DataFrame:
    found = [stored_measure(results, "C10-table4", measure) for measure in names]
    rows = [(name, one.value, one.low, one.high) for name, one in zip(names.values(), found, strict=True)]
    table = pd.DataFrame(rows, columns=pd.Index(["name", "value", "low", "high"]))
    return table.astype({"value": float, "low": float, "high": float})
