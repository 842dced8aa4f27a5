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
from ntk1bit.plots.recipes.recipe import Drawn, Recipe
from ntk1bit.plots.recipes.verdicts import draw_verdicts

_INTERVALS = "Error bars and brackets are 95 % intervals over seeds"

_RECIPES = (
    Recipe(
        "verdicts",
        (),
        "All claims with their outcomes by rules that were fixed before the data was seen. A claim is refuted when any "
        "criterion of its rule is, supported when all are, and inconclusive otherwise.",
        draw_verdicts,
    ),
    Recipe(
        "limits",
        ("C0",),
        "(a) Relative Frobenius distance of the kernel H(0) of a random network to its infinite-width limit, on 64 "
        "points of two tasks. (b) Distance between the limits of both precisions against d, with the Monte Carlo error "
        "of the 1-bit one. (c) The factor c that brings c H closest to the effective kernel K_eff, for both scales of "
        f"the quantiser, with its values at large d. {_INTERVALS}; in (c) they are Monte Carlo errors.",
        draw_limits,
    ),
    Recipe(
        "flip-probability",
        ("Eq.5",),
        "Probability that the activity of a neuron on a random input can change when its weights move by at most R. It "
        "lies between the success rate of a greedy adversary (filled) and the rate of a necessary condition (hollow); "
        "dotted: the bound proved for the latter.",
        draw_flip_probability,
    ),
    Recipe(
        "drift",
        ("C1",),
        "Largest relative drift of the kernel in 1000 steps on 256 digits against width, for both precisions and both "
        f"starts. {_INTERVALS}.",
        draw_drift,
    ),
    Recipe(
        "convergence",
        ("C1-K", "C1-H"),
        "(a) Training loss of the widest networks on 256 digits from a paired start: mean over seeds, and their range "
        "for 1-bit ones, beside what descent with the limit of the kernel H and with the effective kernel K_eff "
        "predicts. (b) Root mean square distance of the outputs on training inputs to the prediction of H(0) and of "
        f"K_eff; exponents of 1-bit networks over the four widest widths. Late in training flip noise holds the 1-bit "
        f"loss up (figure floor). {_INTERVALS}.",
        draw_convergence,
    ),
    Recipe(
        "terms",
        ("C1b",),
        "The terms of D25's Claim H.2, L(t+1) - L(t) = C1 + C2 + C3 + C4, in units of eta r^T H r; shaded: what the "
        "rule calls negligible. (a) Ratios of sums over recorded steps on digits at eta_rel = 0.25. (b) C3 of the "
        "first step, with its prediction from K_eff, in which nothing is fitted. (c) Means over seeds step by step, "
        "marks as in (a), cut off at the panel's edge. "
        f"{_INTERVALS}.",
        draw_terms,
    ),
    Recipe(
        "floor",
        ("C2", "C2-law"),
        "Training loss of networks trained until level, random labels on the sphere (d = 64, n = 32) and 32 digits. "
        "(a) Against width, with full precision at the same steps; widths where the loss is not level are "
        "left out. (b) to (e) Against the number of points, the input dimension, the output scale and the learning "
        "rate, at one width. Dashed: the law n^2 kappa^2/(m d). "
        f"{_INTERVALS}.",
        draw_floor,
    ),
    Recipe(
        "gap",
        ("C3", "C3-paired"),
        "Root mean square of f - f' on test inputs after training, from the same weights and data: from an iid start, "
        "and from a paired one, where both outputs start at 0. (a) A linear function on the sphere at the largest d. "
        f"(b) Digits. (c) The sphere against d. (d) Digits against kappa. {_INTERVALS}.",
        draw_gap,
    ),
    Recipe(
        "flip-noise",
        ("C3b",),
        "(a) Standard deviation over seeds of the trained function on test inputs, paired start. (b) Share of weights "
        "whose sign differs from the start, when the loss first falls to a tenth and at the end. (c) Standard "
        "deviation over independent networks of the change of f over one step from f = 0, and the flip-noise law. "
        f"{_INTERVALS}.",
        draw_flip_noise,
    ),
    Recipe(
        "scaling",
        ("C4", "4.3"),
        "(a) Training loss of 1-bit networks trained until level against the number of parameters, with a power law "
        "fitted to the sphere and its 95 % band; dashed: the exponent of D25's Proposition 4.3. (b) Least loss any "
        "width reaches with C = N n t operations, mean over seeds, and that width. (c) Test loss on digits against the "
        f"number of training points. {_INTERVALS}.",
        draw_scaling,
    ),
    Recipe(
        "feed-forward",
        ("4.4",),
        "One feed-forward layer of width m trains in a 1-bit Transformer block whose other weights are frozen, on real "
        "text. (a) Training loss against step for several widths. (b) Loss reached, mean over the last tenth of the "
        f"steps, against m; dotted: the slope that D25's Proposition 4.4 needs. {_INTERVALS}.",
        draw_feed_forward,
    ),
    Recipe(
        "deep-scaling",
        ("C5", "C5-ratio"),
        "D25's Fig. 1 again: least training loss (mean square over 100 points) of MLPs with 3 and 5 layers of weights "
        "against their number of parameters. Bands are 95 % intervals over seeds.",
        draw_scaling_law,
    ),
    Recipe(
        "deep-functions",
        ("C5-similar",),
        "D25's Fig. 2 again: three functions of one variable and what networks of both precisions make of them after "
        "50 epochs, at the largest size, for one seed.",
        draw_functions,
    ),
    Recipe(
        "deep-similarity",
        ("C5-similar",),
        "D25's Fig. 3 again: training and test loss of both precisions, and root mean square difference of their "
        "outputs on training and test points, against the epoch. Bands are 95 % intervals over seeds.",
        draw_similarity,
    ),
    Recipe(
        "bitnet",
        ("C6", "C6-stable", "C6-energy"),
        "Character-level Transformers on State of the Union addresses, the same characters for every network. (a) "
        "Validation loss against non-embedding parameters N, with L(N) = a N^b + c and its 95 % band, and the trigram "
        "model. (b) Difference of the two losses, paired by seed. (c) Loss against the energy of a forward pass by "
        "W23's counting, full precision as FP16; dotted: everything counted. (d) Loss above that at full precision's "
        f"best rate, at multiples of it, with a quarter of the characters. {_INTERVALS}.",
        draw_bitnet,
    ),
    Recipe(
        "energy",
        ("C7", "C7-table"),
        "(a) Energy of a forward pass of 512 tokens at 7 nm by W23's counting; black: sums of MUL and ADD that W23 "
        "prints, hollow where one of them does not follow from its costs. (b) FP16's energy over BitNet's by three "
        "countings, and W23's reductions. (c) Bytes of the linear maps; circles: a whole 1-bit model with FP16 "
        "embedding. Nothing is random.",
        draw_energy,
    ),
)

RECIPES: dict[str, Recipe] = {one.name: one for one in _RECIPES}


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
    for one in RECIPES.values():
        try:
            drawn.append(Drawn(one.name, one.claims, one.caption, draw_one(one, results)))
        except MissingError:
            continue
    return drawn


def write_figures(results: Results, folder: Path, names: Sequence[str] = ()) -> tuple[list[Path], list[str]]:
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
    written = [path for name, figure in figures.items() for path in write_pdf_and_png(figure, folder / name)]
    return written, left_out
