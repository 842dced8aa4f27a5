"""Figures of deep networks: D25's Fig. 1 to 3, with what their rules found."""

from __future__ import annotations

from matplotlib.figure import Figure

from ntk1bit.claims.results import Results
from ntk1bit.plots.deep import POINTS, functions_figure, scaling_figure, short, similarity_figure
from ntk1bit.plots.layout import PLAIN, Sheet
from ntk1bit.plots.looks import PRECISION_NAME
from ntk1bit.plots.recipes.recipe import figure_title, stored_table, with_exponent
from ntk1bit.plots.tables import ends


def draw_scaling_law(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw D25's Fig. 1: the least training loss of each function against parameters."""
    table = stored_table(results, "C5", "loss against parameters")
    labels: dict[tuple[str, int], str] = {}
    for depth in sorted({int(depth) for depth in table["depth"]}):
        for precision in ("one_bit", "full"):
            name, measure = f"{PRECISION_NAME[precision]}, depth {depth}:", f"loss.{precision}.size.depth{depth}"
            labels[precision, depth] = with_exponent(name, results, "C5", measure, "N")
    return scaling_figure(table, labels, title=figure_title(results, "deep-scaling"), sheet=sheet)


def draw_functions(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw D25's Fig. 2: three functions of one variable, and what both networks made of them."""
    table = stored_table(results, "C5-similar", "functions")
    title = figure_title(results, "deep-functions", size=short(ends(table, "N")[1]))
    return functions_figure(table, title=title, sheet=sheet)


def draw_similarity(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw D25's Fig. 3: losses and differences of the outputs epoch by epoch, and the last difference against N."""
    title = figure_title(results, "deep-similarity")
    epochs, after = (
        stored_table(results, "C5-similar", "against epochs"),
        stored_table(results, "C5-similar", "after training"),
    )
    labels: dict[tuple[str, str], str] = {}
    for task in {str(task) for task in epochs["task"]}:
        for points in POINTS:
            measure = f"apart.size.{points}.{task}"
            labels[task, points] = with_exponent(f"{points}:", results, "C5-similar", measure, "N")
    return similarity_figure(epochs, after, labels, title=title, sheet=sheet)
