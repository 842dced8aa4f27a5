"""All recipes, in the order of a paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from ntk1bit.claims.results import MissingError, Results
from ntk1bit.errors import InputError, require_choice
from ntk1bit.plots.figures import is_figure_file, write_figure, write_together
from ntk1bit.plots.layout import Panels, Sheet, StyleName, read_sheet
from ntk1bit.plots.legends import settle
from ntk1bit.plots.palettes import Colours
from ntk1bit.plots.recipes.deep import draw_functions, draw_scaling_law, draw_similarity
from ntk1bit.plots.recipes.deep_oscillation import draw_deep_oscillation
from ntk1bit.plots.recipes.descent import draw_convergence, draw_oscillation, draw_phases, draw_terms
from ntk1bit.plots.recipes.energy import draw_energy
from ntk1bit.plots.recipes.feed_forward import draw_feed_forward
from ntk1bit.plots.recipes.kernels import draw_drift, draw_flip_probability, draw_limits
from ntk1bit.plots.recipes.language import draw_as_written, draw_bitnet
from ntk1bit.plots.recipes.losses import draw_floor, draw_scaling
from ntk1bit.plots.recipes.outputs import draw_flip_noise, draw_gap
from ntk1bit.plots.recipes.recipe import TEXTS, Drawn, Recipe
from ntk1bit.plots.recipes.transformer_kernels import draw_transformer_kernels
from ntk1bit.plots.recipes.verdicts import draw_verdicts

_DRAW = {
    "verdicts": draw_verdicts,
    "limits": draw_limits,
    "flip-probability": draw_flip_probability,
    "drift": draw_drift,
    "convergence": draw_convergence,
    "oscillation": draw_oscillation,
    "phases": draw_phases,
    "oscillation-deep": draw_deep_oscillation,
    "terms": draw_terms,
    "floor": draw_floor,
    "gap": draw_gap,
    "flip-noise": draw_flip_noise,
    "scaling": draw_scaling,
    "feed-forward": draw_feed_forward,
    "deep-scaling": draw_scaling_law,
    "deep-functions": draw_functions,
    "deep-similarity": draw_similarity,
    "bitnet": draw_bitnet,
    "bitnet-as-written": draw_as_written,
    "transformer-kernels": draw_transformer_kernels,
    "energy": draw_energy,
}
RECIPES = {
    name: Recipe(
        name,
        tuple(TEXTS[name]["claims"]),
        " ".join(TEXTS[name]["caption"].split()),
        tuple(dict.fromkeys(panel for row in TEXTS[name]["panels"] for panel in row)),
        draw,
    )
    for name, draw in _DRAW.items()
}


def draw_one(
    recipe: Recipe,
    results: Results,
    *,
    panels: Panels = None,
    palette: Colours = None,
    style: StyleName = "paper",
    columns: int | None = None,
) -> Figure:
    """Draw one figure.

    Parameters
    ----------
    recipe
        One of `RECIPES`.
    results
        Stored verdicts.
    panels, palette, style, columns
        As `layout.read_sheet`; `recipe.panels` are the panels there are.

    Raises
    ------
    MissingError
        If the results lack a claim, a table or a measure that it needs.
    InputError
        If a panel, colour, style or number of columns is unknown.
    """
    return _draw(recipe, results, read_sheet(panels=panels, palette=palette, style=style, columns=columns))


def draw(results: Results) -> list[Drawn]:
    """Draw every figure that the results are enough for, in the order of a paper; the others are left out."""
    drawn = []
    for recipe in RECIPES.values():
        try:
            drawn.append(Drawn(recipe.name, recipe.claims, recipe.caption, draw_one(recipe, results)))
        except MissingError:
            continue
    return drawn


def write_figures(
    results: Results,
    out: Path | str,
    names: Sequence[str] = (),
    *,
    panels: Panels = None,
    palette: Colours = None,
    style: StyleName = "paper",
    columns: int | None = None,
) -> tuple[list[Path], list[str]]:
    """Draw figures, then write each into a folder as NAME.pdf and NAME.png, or the only one to a file.

    Parameters
    ----------
    results
        Stored verdicts.
    out
        A folder, made if it is not there; or, for one figure, a file whose ending says the format.
    names
        Which; by default all that the results are enough for.
    panels, palette, style, columns
        As `draw_one`; panels are those of one figure.

    Returns
    -------
    paths, left_out
        The files, and a sentence for each figure that could not be drawn.

    Raises
    ------
    InputError
        For an unknown name, if a file or panels are given for several figures, or if the results are not enough for a
        figure that is named, or for any; nothing is written then.
    """
    wanted = [RECIPES[require_choice("figure", name, RECIPES)] for name in names] or list(RECIPES.values())
    _require_room(Path(out), len(wanted))
    if panels is not None and len(wanted) > 1:
        raise InputError("panels are those of one figure, and there are several; choose one with --figures")
    sheet = read_sheet(panels=panels, palette=palette, style=style, columns=columns)
    figures, left_out = {}, []
    for recipe in wanted:
        try:
            figures[recipe.name] = _draw(recipe, results, sheet)
        except MissingError as problem:
            if names:
                raise InputError(f"cannot draw {recipe.name}: {problem}") from None
            left_out.append(f"left out {recipe.name}: {problem}")
    if not figures:
        raise InputError("these results are not enough for any figure; run: ntk1bit verify")
    return write_all(figures, out), left_out


def write_all(figures: Mapping[str, Figure], out: Path | str) -> list[Path]:
    """Write figures into a folder as NAME.pdf and NAME.png, or the only one to a file.

    Raises
    ------
    InputError
        If a file is given for several.
    """
    out = Path(out)
    _require_room(out, len(figures))
    if is_figure_file(out):
        return [write_figure(figure, out) for figure in figures.values()]
    return write_together((out / f"{name}.{kind}", one) for name, one in figures.items() for kind in ("pdf", "png"))


def _require_room(out: Path, figures: int) -> None:
    if is_figure_file(out) and figures > 1:
        raise InputError(
            f"{out} is one file, and there are {figures} figures; give a folder, or choose one with --figures"
        )


def _draw(recipe: Recipe, results: Results, sheet: Sheet) -> Figure:
    sheet.chosen(recipe.panels)
    with sheet.drawing():
        figure = recipe.draw(results, sheet)
        settle(figure)
    return figure
