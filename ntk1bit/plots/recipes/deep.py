"""Figures of deep networks: D25's Fig. 1 to 3, with what their rules found."""

from __future__ import annotations

from matplotlib.figure import Figure

from ntk1bit.claims.results import Results
from ntk1bit.plots.axes import with_power
from ntk1bit.plots.deep import POINTS, fill_functions, fill_scaling, fill_similarity, short
from ntk1bit.plots.figures import PAGE, titled_figure
from ntk1bit.plots.looks import PRECISION_NAME
from ntk1bit.plots.recipes.recipe import sentence, stored_measure, stored_table
from ntk1bit.plots.tables import ends

_LOSS = {"one_bit": "the 1-bit loss", "full": "the full-precision loss"}


def draw_scaling_law(results: Results) -> Figure:
    """Draw D25's Fig. 1: the least training loss of each function against parameters."""
    title = sentence(
        results,
        "C5",
        supported="The loss of deep 1-bit networks falls with size, and so does its distance to full precision",
        refuted="The loss of deep 1-bit networks, or its distance to full precision, does not fall with size at every "
        "depth",
        otherwise="Whether the loss of deep 1-bit networks and its distance to full precision fall with size is open",
    ) + sentence(
        results,
        "C5-ratio",
        supported="; on logarithmic axes the curves approach each other",
        refuted="; on logarithmic axes the curves do not approach each other",
        otherwise="; whether the curves approach each other on logarithmic axes is open",
    )
    table = stored_table(results, "C5", "loss against parameters")
    labels: dict[tuple[str, int], str] = {}
    for depth in sorted({int(depth) for depth in table["depth"]}):
        for precision, word in _LOSS.items():
            found = stored_measure(results, "C5", f"exponent in N of {word}, depth {depth}")
            labels[precision, depth] = with_power(f"{PRECISION_NAME[precision]}, depth {depth}:", found, "N")
    figure = titled_figure(PAGE, 4.5, title)
    fill_scaling(figure, table, labels)
    return figure


def draw_functions(results: Results) -> Figure:
    """Draw D25's Fig. 2: three functions of one variable, and what both networks made of them."""
    table = stored_table(results, "C5-similar", "functions")
    title = f"Functions as networks of {short(ends(table, 'N')[1])} parameters learn them; " + sentence(
        results,
        "C5-similar",
        supported="with size both precisions approach each other",
        refuted="with size both precisions do not approach each other",
        otherwise="whether both precisions approach each other with size is open",
    )
    figure = titled_figure(PAGE, 4.6, title)
    fill_functions(figure, table)
    return figure


def draw_similarity(results: Results) -> Figure:
    """Draw D25's Fig. 3: losses and differences of the outputs epoch by epoch, and the last difference against N."""
    title = sentence(
        results,
        "C5-similar",
        supported="The outputs of 1-bit and full precision approach each other as networks grow",
        refuted="The outputs of 1-bit and full precision do not approach each other as networks grow",
        otherwise="Whether the outputs of 1-bit and full precision approach each other as networks grow is open",
    )
    epochs, after = (
        stored_table(results, "C5-similar", "against epochs"),
        stored_table(results, "C5-similar", "after training"),
    )
    labels: dict[tuple[str, str], str] = {}
    for task in {str(task) for task in epochs["task"]}:
        for points in POINTS:
            found = stored_measure(results, "C5-similar", f"exponent in N of the difference, {task}, {points} points")
            labels[task, points] = with_power(f"{points}:", found, "N")
    figure = titled_figure(PAGE, 5.6, title)
    fill_similarity(figure, epochs, after, labels)
    return figure
