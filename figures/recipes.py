"""The recipes: a name, the claims whose evidence is drawn, a caption and a plot call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from figures import before_training, outputs, overview, training
from figures.evidence import Evidences
from ntk1bit.errors import InputError
from ntk1bit.styles import paper

FULL_WIDTH = 6.75  # inches: two columns of the usual conference styles


@dataclass(frozen=True)
class Recipe:
    """A figure.

    Attributes
    ----------
    name
        File name without ending.
    claims
        Ids of the claims whose evidence it draws; their studies are the experiment.
    caption
        What is to be seen, in a sentence or two.
    height
        Inches; every figure is `FULL_WIDTH` wide.
    plot
        Draws into an empty figure.
    """

    name: str
    claims: tuple[str, ...]
    caption: str
    height: float
    plot: Callable[[Figure, Evidences], None]


_EVERY = (
    Recipe(
        "verdicts",
        (),
        "Every claim with its verdict; refuted first.",
        5.2,
        overview.verdicts,
    ),
    Recipe(
        "limits",
        ("C0",),
        "Left: distance of H(0) to its infinite-width limit. Middle: distance of the 1-bit limit to the full-precision "
        "limit against d. Right: the ratio c of K_eff to H against d, with its large-d values.",
        2.2,
        before_training.limits,
    ),
    Recipe(
        "flip-probability",
        ("Eq.5",),
        "Share of neurons whose activity can change within radius R: found by an adversary, allowed by the necessary "
        "condition, and the proved bound.",
        2.2,
        before_training.flip_probability,
    ),
    Recipe(
        "terms",
        ("C1b",),
        "The four terms of a descent step in units of eta r'Hr. Left: against width on digits (hollow: full precision)."
        " Middle: step by step at the largest width. Right: C3 of the first step against d, with its prediction.",
        2.3,
        training.terms,
    ),
    Recipe(
        "drift",
        ("C1",),
        "Largest relative drift of the kernel in training against width.",
        2.6,
        training.drift,
    ),
    Recipe(
        "convergence",
        ("C1-H", "C1-K"),
        "Left: loss of the widest 1-bit networks (band: all seeds) against what H and K_eff predict. Right: distance "
        "of the outputs to both predictions against width.",
        2.5,
        training.convergence,
    ),
    Recipe(
        "floor",
        ("C2", "C2-law"),
        "Loss at which 1-bit networks stop, against width, n, d, kappa and eta_rel; full precision is far below.",
        2.3,
        training.floor,
    ),
    Recipe(
        "gap",
        ("C3", "C3-paired"),
        "Difference of 1-bit and full-precision outputs on test inputs after training, from random (iid) and from zero "
        "(paired) starts: against width on digits, against width for several d and kappa.",
        4.2,
        outputs.gap,
    ),
    Recipe(
        "flip-noise",
        ("C3b",),
        "Left: seed-to-seed spread of the trained function. Middle: share of signs flipped. Right: scatter of one step "
        "over networks, with the flip-noise law (lines, no fitted constant).",
        2.3,
        outputs.flip_noise,
    ),
    Recipe(
        "scaling",
        ("C4",),
        "Left: training loss against parameters with the fitted law, its 95 % band and D25's N^-1/4. Middle: best loss "
        "for a budget of compute. Right: test loss against the number of points.",
        2.3,
        outputs.scaling,
    ),
)
RECIPES: dict[str, Recipe] = {one.name: one for one in _EVERY}


def make(recipe: Recipe, results: dict[str, Any]) -> Figure:
    """Draw one figure from results (what `proofs_numeric.results.read_results` returns).

    Raises
    ------
    InputError
        If the results lack a claim or a table that it draws.
    """
    with mpl.rc_context(rc=paper()):
        figure = Figure(figsize=(FULL_WIDTH, recipe.height))
        FigureCanvasAgg(figure)
        recipe.plot(figure, Evidences(results))
    return figure


def draw(results: dict[str, Any]) -> dict[str, tuple[Figure, str, tuple[str, ...]]]:
    """Draw every figure that these results have the evidence for.

    Returns
    -------
    For each name the figure, its caption and the ids of its claims.
    """
    made = {}
    for name, recipe in RECIPES.items():
        try:
            made[name] = (make(recipe, results), recipe.caption, recipe.claims)
        except InputError:  # these results lack a claim that this figure draws
            continue
    return made
