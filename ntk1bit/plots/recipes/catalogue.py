"""All recipes, in the order of a paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from ntk1bit.claims.results import MissingError, Results
from ntk1bit.errors import InputError, require_choice
from ntk1bit.plots.figures import write_pdf_and_png
from ntk1bit.plots.looks import drawing, paper
from ntk1bit.plots.recipes.deep import draw_functions, draw_scaling_law, draw_similarity
from ntk1bit.plots.recipes.descent import draw_convergence, draw_terms
from ntk1bit.plots.recipes.energy import draw_energy
from ntk1bit.plots.recipes.feed_forward import draw_feed_forward
from ntk1bit.plots.recipes.kernels import draw_drift, draw_flip_probability, draw_limits
from ntk1bit.plots.recipes.language import draw_bitnet
from ntk1bit.plots.recipes.losses import draw_floor, draw_scaling
from ntk1bit.plots.recipes.outputs import draw_flip_noise, draw_gap
from ntk1bit.plots.recipes.recipe import TEXTS, Drawn, Recipe
from ntk1bit.plots.recipes.verdicts import draw_verdicts

_DRAW = {
    "verdicts": draw_verdicts,
    "limits": draw_limits,
    "flip-probability": draw_flip_probability,
    "drift": draw_drift,
    "convergence": draw_convergence,
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
    "energy": draw_energy,
}
RECIPES = {
    name: Recipe(name, tuple(TEXTS[name]["claims"]), " ".join(TEXTS[name]["caption"].split()), draw)
    for name, draw in _DRAW.items()
}


def draw_one(recipe: Recipe, results: Results) -> Figure:
    """Draw one figure in the style of a paper.

    Raises
    ------
    MissingError
        If the results lack a claim, a table or a measure that it needs.
    """
    with drawing(paper()):
        return recipe.draw(results)


def draw(results: Results) -> list[Drawn]:
    """Draw every figure that the results are enough for, in the order of a paper; the others are left out."""
    drawn = []
    for recipe in RECIPES.values():
        try:
            drawn.append(Drawn(recipe.name, recipe.claims, recipe.caption, draw_one(recipe, results)))
        except MissingError:
            continue
    return drawn


def write_figures(results: Results, folder: Path | str, names: Sequence[str] = ()) -> tuple[list[Path], list[str]]:
    """Draw figures, then write each into a folder as NAME.pdf and NAME.png.

    Parameters
    ----------
    results
        Stored verdicts.
    folder
        Made if it is not there.
    names
        Which; by default all that the results are enough for.

    Returns
    -------
    paths, left_out
        The files, and a sentence for each figure that could not be drawn.

    Raises
    ------
    InputError
        For an unknown name, or if the results are not enough for a figure that is named, or for any; nothing is
        written then.
    """
    figures, left_out = {}, []
    for recipe in [RECIPES[require_choice("figure", name, RECIPES)] for name in names] or RECIPES.values():
        try:
            figures[recipe.name] = draw_one(recipe, results)
        except MissingError as problem:
            if names:
                raise InputError(f"cannot draw {recipe.name}: {problem}") from None
            left_out.append(f"left out {recipe.name}: {problem}")
    if not figures:
        raise InputError("these results are not enough for any figure; run: ntk1bit verify")
    written = [path for name, figure in figures.items() for path in write_pdf_and_png(figure, Path(folder) / name)]
    return written, left_out
