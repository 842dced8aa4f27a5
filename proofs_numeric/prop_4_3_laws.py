"""D25, Proposition 4.3 and the abstract, law by law: 4.3-branch, 4.3-decay, 4.3-data, 4.3-compute.

**Statement.** The loss is max(D_n^3 d^2.25/(lambda^2 N^0.25), alpha exp(-eta lambda C)) with N = m d parameters, D_n =
n points and compute C = N D_n T; the training loss is a power law in the size of the data set and in compute.

**What can be tested.** *The branch, as printed* (4.3-branch). It governs early training, where the loss is far above
its floor. With C = N n T it says that log L falls in each step by eta lambda N n: the pace, -d(log L)/dt in units of
eta lambda, grows as N and as n. *With steps in place of compute* (4.3-decay): Theorem 4.2, from which the proposition
comes, needs (eta lambda)^-1 log(1/eps) steps, whatever N and n. Then the pace is at least 1 and does not change with N
or n. In both the rate is proportional to lambda.

**Derivation.** Descent with K_eff multiplies a residual along lambda_min by 1 - c eta lambda a step (`c1b_terms`), so
the pace is 2 c, about 1.6 for c = sqrt(2/pi), without N or n. The branch as printed should fail in N and n.

*Power laws* (4.3-data, 4.3-compute). A power law is a straight line on logarithmic axes: the quadratic coefficient of
log L is 0. It may not change the local exponent by more than 0.33 over the range, which is what `c4_power_law` allows.
The floor law says n^2 at fixed m, and a frontier of compute of C^-1 up to a logarithm.

**Experiment.** Pairs of inputs at an angle, which sets lambda alone (`experiments.input_pairs`), paired start, so that
the residual starts along lambda_min: the pace down to L(0)/10. And 1-bit networks from an iid start on random labels on
the sphere and on digits, against n at one width, and the least loss over widths for each budget C = N n t.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.claims import Claim, Evidence, IntervalWithin
from ntk1bit.claims.evidence import Measure
from ntk1bit.claims.measures import against, estimated, exponent, fewest_seeds, seeds_interval, span
from ntk1bit.statistics import log_slope
from proofs_numeric.c4_power_law import compute_frontier
from proofs_numeric.data import Data, cells, grouped, highest, rows, span_of
from proofs_numeric.proof import Proof
from proofs_numeric.small_studies import BASE_ANGLE, BASE_POINTS

_TASKS = ("sphere-random", "digits")
_BEND = 0.33  # allowed change of a local exponent over the range
_POINTS_BEND = 0.5 * _BEND / math.log(256 / 8)
_COMPUTE_BEND = 0.5 * _BEND / math.log(4096 / 64)  # budgets run over as large a factor as widths

_PACE = {
    "pace.size": "exponent of the pace in N",
    "pace.n": "exponent of the pace in n",
    "rate.lambda": "exponent in lambda of the rate of decay in eta t",
    "pace.lowest": "lowest pace over angles",
}
BRANCH = Claim(
    id="4.3-branch",
    title="early loss falls exponentially in compute",
    statement="While compute limits, the loss falls as exp(-eta lambda N n T): its rate per step is proportional to "
    "eta lambda, N and n.",
    source="D25, Prop 4.3, as printed",
    assumptions="paired start, pairs of inputs, N, n and lambda each varied alone; from L(0) to L(0)/10.",
    refuted_by="an exponent of the rate in N or n outside [0.75, 1.25], or in lambda outside [0.9, 1.1]",
    criteria=(
        IntervalWithin("pace.size", 0.75, 1.25),
        IntervalWithin("pace.n", 0.75, 1.25),
        IntervalWithin("rate.lambda", 0.9, 1.1),
    ),
    labels=_PACE,
    ranges="the statement's own powers, with a quarter or a tenth of room",
)
DECAY = Claim(
    id="4.3-decay",
    title="early loss falls exponentially in steps",
    statement="While steps limit, the loss falls as exp(-c eta lambda T), c >= 1, whatever N and n.",
    source="D25, Prop 4.3 with steps in place of compute (Thm 4.2)",
    assumptions=BRANCH.assumptions,
    refuted_by="a pace below 1 at some lambda, one that changes with N or n, or an exponent in lambda off 1 by a tenth",
    criteria=(
        IntervalWithin("pace.lowest", low=1.0),
        IntervalWithin("pace.size", -0.1, 0.1),
        IntervalWithin("pace.n", -0.1, 0.1),
        IntervalWithin("rate.lambda", 0.9, 1.1),
    ),
    labels=_PACE,
    ranges="the statement's own powers, with a tenth of room",
)
DATA = Claim(
    id="4.3-data",
    title="the loss is a power law in the number of points",
    statement="At one width the training loss of 1-bit networks is a power law in n.",
    source="D25, abstract",
    assumptions="iid start, two data sets, a fixed number of steps at eta_rel = 0.5.",
    refuted_by="on one of the data sets, a local exponent that changes by more than 0.33 over the range of n",
    criteria=tuple(IntervalWithin(f"curvature.{task}", -_POINTS_BEND, _POINTS_BEND) for task in _TASKS),
    context=tuple(IntervalWithin(f"loss.n.{task}", 1.7, 2.3) for task in _TASKS),
    labels={
        **{f"curvature.{task}": f"curvature of log L in ln n, {task}" for task in _TASKS},
        **{f"loss.n.{task}": f"exponent of the loss in n, {task}" for task in _TASKS},
    },
    ranges="a curvature that would change the exponent by less than a tenth over the range of n",
)
COMPUTE = Claim(
    id="4.3-compute",
    title="the least loss is a power law in compute",
    statement="The least training loss of 1-bit networks for a budget of compute C = N n t is a power law in C.",
    source="D25, abstract",
    assumptions="iid start, two data sets, widths the best for each budget.",
    refuted_by="on one of the data sets, no fall with C, or a local exponent that changes by more than 0.33",
    criteria=(
        *(IntervalWithin(f"frontier.{task}", high=-0.1) for task in _TASKS),
        *(IntervalWithin(f"frontier.curvature.{task}", -_COMPUTE_BEND, _COMPUTE_BEND) for task in _TASKS),
    ),
    labels={
        **{f"frontier.{task}": f"exponent of the frontier in C, {task}" for task in _TASKS},
        **{f"frontier.curvature.{task}": f"curvature of the frontier in ln C, {task}" for task in _TASKS},
    },
    ranges="a curvature that would change the exponent by less than a tenth over the range of C; -0.1 is "
    "our reading of 'falls'",
)


def decay_evidence(data: Data) -> Evidence:
    """Measure the pace against lambda, N and n."""
    frame = data.frame("pairs-decay")
    rate = math.log(10) / frame["tenth"] / frame["learning_rate"]
    frame = frame.assign(rate=rate, pace=rate / frame["lambda_min"], size=frame["width"] * frame["dim"])
    here = {
        "angle": np.isclose(frame["angle"], BASE_ANGLE),
        "n_train": (frame["n_train"] == BASE_POINTS).to_numpy(),
        "width": (frame["width"] == highest(frame["width"])).to_numpy(),
    }
    by_angle, by_points, by_width = (
        frame.loc[np.logical_and(*(here[name] for name in here if name != axis))]
        for axis in ("angle", "n_train", "width")
    )
    in_lambda = against(by_angle, "lambda_min", "rate", meaning="rate of decay of log L in eta t, down to L(0)/10")
    in_n, in_size = (
        against(part, x, "pace", meaning="rate of decay of log L a step over eta lambda")
        for part, x in ((by_points, "n_train"), (by_width, "size"))
    )
    lowest = by_angle.groupby("seed")["pace"].min()
    return Evidence(
        (
            exponent(in_size, "pace.size", "pairs-decay"),
            exponent(in_n, "pace.n", "pairs-decay"),
            exponent(in_lambda, "rate.lambda", "pairs-decay"),
            seeds_interval(
                lowest,
                "pace.lowest",
                "rate of decay a step over eta lambda, the lowest over angles, seed by seed",
                span_of(by_angle, **{"lambda": "lambda_min"}),
                "pairs-decay",
            ),
        ),
        {
            "pace": pd.concat(
                [
                    rows(grouped(part.rename(columns={x: "x"}), ["x"], ["pace"]), against=name)
                    for part, x, name in (
                        (by_angle, "lambda_min", "lambda"),
                        (by_points, "n_train", "n"),
                        (by_width, "size", "N"),
                    )
                ],
                ignore_index=True,
            )
        },
    )


def data_evidence(data: Data) -> Evidence:
    """Fit the loss against n, and its curvature."""
    every = cells(data.frame("loss-points"))
    measures: list[Measure] = []
    tables = []
    for task in _TASKS:
        one = against(every.loc[every["task"] == task], "n_train", "loss_end", meaning="loss reached")
        fit = one.power
        curvature = (fit.curvature, fit.curvature_low, fit.curvature_high)
        meaning = "quadratic coefficient of log L in ln n: 0 for a power law"
        measures += [
            estimated(f"curvature.{task}", meaning, curvature, fewest_seeds(one), span(one), "loss-points"),
            exponent(one, f"loss.n.{task}", "loss-points"),
        ]
        tables.append(rows(one.table.rename(columns={"n_train": "n"}), task=task))
    return Evidence(tuple(measures), {"loss against n": pd.concat(tables, ignore_index=True)})


def compute_evidence(data: Data) -> Evidence:
    """Fit the frontier of every seed by a parabola in logarithms."""
    frame = data.frame("loss-widths")
    measures: list[Measure] = []
    tables = []
    for task in _TASKS:
        found = compute_frontier(frame.loc[frame["task"] == task])
        curves = [part[["compute", "loss"]].to_numpy(np.float64) for _, part in found.groupby("seed")]
        where = f"C = {found['compute'].min():.2g}..{found['compute'].max():.2g}"
        for name, meaning, values in (
            (f"frontier.{task}", "slope of log(least loss) in log C", [float(log_slope(*one.T)) for one in curves]),
            (
                f"frontier.curvature.{task}",
                "quadratic coefficient of log(least loss) in ln C: 0 for a power law",
                [curvature(one) for one in curves],
            ),
        ):
            measures.append(seeds_interval(values, name, f"{meaning}, seed by seed", where, "loss-widths"))
        tables.append(rows(grouped(found, ["compute"], ["loss", "width"]), task=task))
    return Evidence(tuple(measures), {"frontier": pd.concat(tables, ignore_index=True)})


def curvature(curve: Float[np.ndarray, "k 2"]) -> float:
    """Return the quadratic coefficient of log y in log x of rows (x, y), by least squares."""
    x, y = np.log(curve).T
    return float(np.polyfit(x - x.mean(), y, 2)[0])


PROOFS = (
    Proof(BRANCH, ("pairs-decay",), decay_evidence),
    Proof(DECAY, ("pairs-decay",), decay_evidence),
    Proof(DATA, ("loss-points",), data_evidence),
    Proof(COMPUTE, ("loss-widths",), compute_evidence),
)
