"""D25, Theorem 4.2 (I.1): any loss is reached, if the network is wide enough.

**Statement.** With m >= Omega(lambda^-8 n^12 d^8/(delta eps)^4), eta <= O(lambda delta/(kappa^2 n^2 d D)) and
T >= Omega((eta lambda)^-1 log(n d D^2/eps)) the loss is at most eps.

**What can be tested.** The theorem names a sufficient width. It is wrong if some loss cannot be reached at any width,
or if the width needed grows faster than eps^-4. By the floor law (`c2_floor`) the width needed is about n^2
kappa^2/(2 pi d eps): eps^-1, n^2, *falling* with d, and free of lambda; the theorem's is larger by dozens of orders of
magnitude at every setting run, which a remark shows.

**The gap in the proof.** The proof needs C3 negligible; it is not (`c1b_terms`). The conclusion survives: the loss
contracts at rate 2 eta r^T K_eff r instead of 2 eta r^T H r, so T grows by a constant factor. Its size is measured
here as the ratio of steps a 1-bit and a full-precision network need for L <= L(0)/10.

**Experiment.** Networks trained to convergence: the width at which the loss reaches each of several values, and its
exponent; the loss against width; and, from networks of one width, the exponent in n of the width needed.
"""

from __future__ import annotations

import math

import numpy as np

from ntk1bit.claims import Claim, Evidence, IntervalEstimate, IntervalWithin, Number, Reach
from ntk1bit.claims.measures import against, estimated, fewest_seeds, seeds_interval, span
from ntk1bit.estimators import first_below, width_needed
from ntk1bit.estimators.against_width import AgainstWidth
from proofs_numeric.data import DELTA, VACUITY, Data, cells, highest, theorem_width, vacuity, widest
from proofs_numeric.floors import against_width, ends, exponents, labels, ranges
from proofs_numeric.proof import Proof

_STUDY_OF = {"sphere": "floor", "digits": "digits"}

CLAIM = Claim(
    id="4.2",
    title="any loss is reached, if the network is wide enough",
    statement="The loss falls at least as m^-1/4, and the width needed for L <= eps grows no faster than eps^-4.",
    source="D25, Thm 4.2 (I.1)",
    assumptions="paired start, trained to convergence; the theorem's width and rate are out of reach, so its "
    "conclusion is tested at widths far below.",
    refuted_by="a loss that falls more slowly with width, over the four widest widths and at either time, or a width "
    "needed that grows faster than eps^-4",
    criteria=(
        *ranges("loss.m", -math.inf, -0.25),
        IntervalWithin("width.eps", low=-4.0),
    ),
    context=(
        IntervalWithin("width.eps", -1.15, -0.85),
        IntervalWithin("width.n", high=12.0),
        *(IntervalWithin(f"slower.{task}", low=1.0) for task in _STUDY_OF),
    ),
    labels={
        **labels({"loss.m": "exponent of the loss in m, widest widths"}),
        "width.eps": "exponent of the width needed in eps",
        "width.n": "exponent of the width needed in n",
        **{f"slower.{task}": f"steps to L(0)/10, 1-bit over full precision, {task}" for task in _STUDY_OF},
        "theorem.log10": "log10 of the theorem's width",
        "theorem.vacuity": VACUITY,
    },
    reach=Reach(width="theorem.vacuity"),
    ranges="-4 is the statement's own, and -1/4 its inverse: a loss that a width of eps^-4 reaches falls as m^-1/4",
)


def evidence(data: Data) -> Evidence:
    """Fit the width needed, and compare times."""
    frame = data.frame("floor")
    one_bit = frame.loc[frame["precision"] == "one_bit"]
    loss = against_width(frame)
    size, earlier = exponents(widest(ends(frame)), "width", "loss.m", "floor")
    (needed,) = width_needed(one_bit)
    fit = needed.power
    least = loss.table.iloc[int(np.argmin(loss.table["value"]))]
    width, smallest = int(least["width"]), float(least["value"])
    reached = cells(one_bit.loc[one_bit["width"] == width])
    n, dim = (int(reached[name].iloc[0]) for name in ("n_train", "dim"))
    asked = theorem_width(float(np.mean(reached["lambda_min"].to_numpy())), n, dim, smallest, dim_power=8)
    return Evidence(
        (
            size,
            earlier,
            estimated(
                "width.eps",
                "exponent p of m ~ eps^p, m being the width at which the mean loss reaches eps",
                fit.exponent_interval,
                fewest_seeds(loss),
                f"eps = {fit.smallest:.2g}..{fit.largest:.2g}",
                "floor",
                fit.note,
            ),
            _in_points(data, loss),
            *(_slower(data, study, task) for task, study in _STUDY_OF.items()),
            Number(
                "theorem.log10",
                f"for the loss {smallest:.2g} that m = {width} reaches, with the constant 1",
                asked,
                f"sphere, n = {n}, d = {dim}",
                "floor",
            ),
            vacuity("theorem.vacuity", asked, highest(frame["width"]), f"sphere, n = {n}, d = {dim}", "floor"),
        ),
        {"width needed": needed.table, "loss against width": loss.table},
        (
            f"For L = {smallest:.1e} the theorem requires a width of 10^{asked:.0f} (constant 1, delta = {DELTA:g}); "
            f"a width of {width} suffices.",
        ),
    )


PROOFS = (Proof(CLAIM, ("floor", "floor-points", "digits"), evidence),)


def _in_points(data: Data, loss: AgainstWidth) -> IntervalEstimate:
    """Exponent in n of the width at which the loss reaches a given value: L ~ n^p m^-q gives m ~ n^(p/q)."""
    in_n = against(cells(data.frame("floor-points")), "n_train", "loss_end", meaning="the loss")
    p, q = in_n.power, loss.power
    return estimated(
        "width.n",
        "p/q of L ~ n^p m^-q, trained to convergence; the interval takes both ends of p and of q",
        (-p.exponent / q.exponent, -p.exponent_low / q.exponent_low, -p.exponent_high / q.exponent_high),
        fewest_seeds(in_n),
        span(in_n),
        "floor-points",
        p.note,
    )


def _slower(data: Data, study: str, task: str) -> IntervalEstimate:
    """Ratio of the steps needed for L <= L(0)/10, in time eta, seed by seed at the widest, both precisions."""
    frame = data.frame(study)
    frame = frame.loc[(frame["width"] == frame["width"].max()) & (frame["init"] == "paired")]
    times: dict[tuple[str, int], float] = {}
    for (precision, seed), cell in frame.groupby(["precision", "seed"]):
        loss = cell.sort_values("step")["loss"].to_numpy()
        times[str(precision), int(str(seed))] = first_below(loss, 0.1) * cell["eta"].iloc[0]
    ratios = [times["one_bit", seed] / times["full", seed] for seed in sorted({seed for _, seed in times})]
    return seeds_interval(
        ratios,
        f"slower.{task}",
        "ratio of eta x steps at the same seed",
        f"m = {frame['width'].max()}",
        study,
    )
