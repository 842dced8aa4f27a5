"""Figures of deep networks: D25's Fig. 1 to 3, with what their rules found."""

from __future__ import annotations

from matplotlib.figure import Figure

from ntk1bit.claims.results import Results
from ntk1bit.plots.deep import POINTS, fill_functions, fill_scaling, fill_similarity, short
from ntk1bit.plots.figures import PAGE, titled_figure
from ntk1bit.plots.looks import PRECISION_NAME
from ntk1bit.plots.recipes.recipe import figure_title, stored_table, with_exponent
from ntk1bit.plots.tables import ends


def draw_scaling_law(results: Results) -> Figure:
    """Draw D25's Fig. 1: the least training loss of each function against parameters."""
    table = stored_table(results, "C5", "loss against parameters")
    labels: dict[tuple[str, int], str] = {}
    for depth in sorted({int(depth) for depth in table["depth"]}):
        for precision in ("one_bit", "full"):
            name, measure = f"{PRECISION_NAME[precision]}, depth {depth}:", f"loss.{precision}.size.depth{depth}"
            labels[precision, depth] = with_exponent(name, results, "C5", measure, "N")
    figure = titled_figure(PAGE, 4.5, figure_title(results, "deep-scaling"))
    fill_scaling(figure, table, labels)
    return figure


def draw_functions(results: Results) -> Figure:
    """Draw D25's Fig. 2: three functions of one variable, and what both networks made of them."""
    table = stored_table(results, "C5-similar", "functions")
    title = figure_title(results, "deep-functions", size=short(ends(table, "N")[1]))
    figure = titled_figure(PAGE, 4.6, title)
    fill_functions(figure, table)
    return figure


def draw_similarity(results: Results) -> Figure:
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
    figure = titled_figure(PAGE, 5.6, title)
    fill_similarity(figure, epochs, after, labels)
    return figure
