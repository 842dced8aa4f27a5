r"""D25, Theorem 4.2 (I.1) in each of its variables: 4.2-powers, 4.2-steps, 4.2-any.

**Statement.** With m >= Omega(lambda^-8 n^12 d^8/(delta eps)^4), eta <= O(lambda delta/(kappa^2 n^2 d D)) and
T >= Omega((eta lambda)^-1 log(n d D^2/eps)) the loss is at most eps, with probability at least 1 - delta.

**What can be tested.** The width is a sufficient one, so the theorem is wrong about a variable if the width that is
needed grows faster in it than the theorem's: as m ~ lambda^p with p < -8, d^p with p > 8, and so on. These ranges are
the theorem's own, with no tolerance. They are wide: by the floor law (`c2_floor`) the width needed is about n^2
kappa^2/(2 pi d eps), with exponents 0, -1, 2 and -1 in lambda, d, n and eps. The constants in Omega and O are free;
steps and rate are taken with the constant 1.

**Derivation of the data.** On most data lambda changes with n and d. Inputs in orthogonal pairs at an angle theta have
lambda_min = kappa^2 (1/2 - cos(theta)(pi - theta)/(2 pi)) in the limit, whatever n and d (`experiments.input_pairs`),
so each variable is set alone.

**Experiment.** Networks from an iid start, as in the theorem, for its T steps. For each seed a power law in m is fitted
to the loss reached (mean over the last tenth of T) and solved for eps, which is one number for all values of a
variable: the geometric mean of the highest loss at the widest networks and the lowest at the narrowest. For delta, the
(1 - delta)-quantile of the losses of a block of networks takes the place of the loss. 4.2-steps: networks on two
orthogonal inputs at the theorem's own rate, and the time (eta times steps) until L <= L(0)/100 against lambda, which
may grow as 1/lambda. 4.2-any: on three data sets the loss has to fall at least as m^-1/4, which m ~ eps^-4 says, and to
get below a hundredth of its start.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.claims import Claim, Count, Evidence, FailureRateBelow, IntervalWithin, NoFailures, Number, Reach
from ntk1bit.claims.evidence import IntervalEstimate, Measure
from ntk1bit.claims.measures import against, estimated, exponent, seeds_interval
from ntk1bit.statistics import cluster_slope, log_slope
from proofs_numeric.data import Data, cells, grouped, highest, rows, span_of
from proofs_numeric.proof import Proof
from proofs_numeric.small_studies import BASE_ANGLE, RATE_DELTA, RATE_EPS

_STUDY_OF = {"lambda_min": "pairs-lambda", "dim": "pairs-dims", "n_train": "pairs-points"}
_NAMES = {"lambda_min": "lambda", "dim": "d", "n_train": "n"}
_DELTAS = (0.5, 0.25, 0.1)
_BLOCK = 20  # networks of a quantile
_TASKS = ("sphere-random", "sphere-quadratic", "digits")

CLAIM = Claim(
    id="4.2-powers",
    title="the width needed grows no faster than stated",
    statement="The width needed for a loss eps grows no faster than lambda^-8 n^12 d^8/(delta eps)^4 in each of the "
    "five variables.",
    source="D25, Thm 4.2 (I.1)",
    assumptions="iid start, pairs of inputs, the theorem's steps; each variable alone; widths far below the theorem's.",
    refuted_by="an exponent of the width needed beyond the theorem's, or a loss that does not fall with width",
    criteria=(
        IntervalWithin("width.lambda", low=-8.0),
        IntervalWithin("width.n", high=12.0),
        IntervalWithin("width.d", high=8.0),
        IntervalWithin("width.delta", low=-4.0),
        IntervalWithin("width.eps", low=-4.0),
        IntervalWithin("slope", high=0.0),
    ),
    context=(
        IntervalWithin("width.lambda", -0.5, 0.5),
        IntervalWithin("width.n", 1.5, 2.5),
        IntervalWithin("width.d", -1.5, -0.5),
        IntervalWithin("width.eps", -1.15, -0.85),
    ),
    labels={
        **{f"width.{x}": f"exponent of the width needed in {x}" for x in ("lambda", "n", "d", "delta", "eps")},
        "slope": "exponent of the loss in m, mean over all settings",
        "rising": "networks whose fitted loss does not fall with width, and which have no width needed",
        **{f"eps.{x}": f"eps at which the width is read, against {x}" for x in ("lambda", "n", "d", "delta")},
    },
    ranges="the statement's own",
)
STEPS = Claim(
    id="4.2-steps",
    title="the theorem's rate and steps reach the loss",
    statement="At eta = lambda delta/(kappa^2 n^2 d D) the loss is at most eps after T = log(n d D^2/eps)/(eta lambda) "
    "steps, with probability at least 1 - delta; the time needed grows no faster than 1/lambda.",
    source="D25, Thm 4.2 (I.1)",
    assumptions=f"constants 1, eps = {RATE_EPS:g}, delta = {RATE_DELTA:g}, two orthogonal inputs, iid start; widths "
    "far below the theorem's. A tenth of tolerance for the exponent, over which the theorem has a logarithm.",
    refuted_by="more than a share delta of networks above eps, or a time that grows faster than lambda^-1.1",
    criteria=(FailureRateBelow("late", RATE_DELTA), IntervalWithin("time.lambda", low=-1.1)),
    context=(NoFailures("late.pairs", 20),),
    labels={
        "late": "networks above eps after T steps",
        "time.lambda": "exponent in lambda of the time to L(0)/100",
        "late.pairs": "networks above eps L(0) after T steps, all angles, widest",
        "steps": "steps T taken",
    },
    ranges="the statement's own",
)
ANY = Claim(
    id="4.2-any",
    title="on three data sets the loss falls with width",
    statement="On each of three data sets the loss reached falls at least as m^-1/4, and at the widest it is below a "
    "hundredth of its start.",
    source="D25, abstract and Thm 4.2",
    assumptions="iid start, 32 points, a fixed number of steps at eta_rel = 0.5; arbitrarily small is tested down to "
    "the loss of the widest networks.",
    refuted_by="on one of the data sets, an exponent above -1/4 or a loss that stays above a hundredth of its start",
    criteria=(
        *(IntervalWithin(f"loss.m.{task}", high=-0.25) for task in _TASKS),
        *(IntervalWithin(f"loss.widest.{task}", high=0.01) for task in _TASKS),
    ),
    labels={
        **{f"loss.m.{task}": f"exponent of the loss reached in m, {task}" for task in _TASKS},
        **{f"loss.widest.{task}": f"loss reached over L(0) at the widest, {task}" for task in _TASKS},
    },
    reach=Reach(sizes="widths to 4096, three data sets, losses down to 10^-4 of the start"),
    ranges="-1/4 is the power of N in Proposition 4.3; a hundredth of the start is our reading of 'any loss'",
)


def widths_needed(frame: pd.DataFrame, x: str, value: str = "level") -> tuple[pd.DataFrame, float]:
    """Return the width at which the loss of each (x, seed) is eps, and eps, the same for all.

    Parameters
    ----------
    frame
        Columns `x`, ``seed``, ``width`` and `value`, above 0.
    x, value
        The variable, and the loss.

    Returns
    -------
    table, eps
        Columns `x`, ``seed``, ``slope`` (of log loss against log width) and ``needed``; NaN where the loss does not
        fall with width.
    """
    means = frame.pivot_table(index=x, columns="width", values=value).to_numpy(np.float64)
    eps = math.sqrt(float(np.nanmax(means[:, -1])) * float(np.nanmin(means[:, 0])))
    found = []
    for key, part in frame.groupby([x, "seed"]):
        at, seed = key if isinstance(key, tuple) else (key, None)
        width, loss = part["width"].to_numpy(np.float64), part[value].to_numpy(np.float64)
        slope = float(log_slope(width, loss))
        middle = np.log(width).mean() + (math.log(eps) - np.log(loss).mean()) / slope if slope < 0 else math.nan
        found.append({x: at, "seed": seed, "slope": slope, "needed": math.exp(middle)})
    return pd.DataFrame(found), eps


def needed_exponent(
    table: pd.DataFrame,
    x: str,
    *,
    measure: str,
    meaning: str,
    study: str,
    symbol: str,
    value: str = "needed",
    within: bool = True,
) -> IntervalEstimate:
    """Return the exponent of a column of `widths_needed` in another, a slope of logarithms, seed by seed or over seeds.

    Parameters
    ----------
    table
        Columns `x`, ``seed`` and `value`; rows without a positive value are left out, and the note counts them.
    x, value
        Names of the columns.
    measure, meaning, study
        Fields of the estimate.
    symbol
        Of `x`.
    within
        Whether each seed has an amplitude of its own; if not, x varies over seeds.
    """
    kept = table.loc[(table[value] > 0) & (table[x] > 0)]
    seeds = kept["seed"].tolist()
    interval, count = (math.nan, math.nan, math.nan), 0
    if seeds:
        interval, count = cluster_slope(
            np.log(kept[x].to_numpy(np.float64)),
            np.log(kept[value].to_numpy(np.float64)),
            cluster=seeds,
            group=seeds if within else [()] * len(seeds),
        )
    lost = len(table) - len(kept)
    note = f"{lost} of {len(table)} have no width needed and are left out" if lost else ""
    return estimated(measure, meaning, interval, count, span_of(table, **{symbol: x}), study, note)


def mean_slopes(tables: list[pd.DataFrame]) -> Float[np.ndarray, " seeds"]:
    """Return the mean slope of each seed over all values of all variables, of tables of `widths_needed`."""
    return np.asarray(pd.concat(tables).groupby("seed")["slope"].mean(), dtype=np.float64)


def quantiles(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the (1 - delta)-quantiles of the losses of blocks of networks: columns delta, seed (block), width, level.

    Blocks are of 20 seeds that follow each other, or of what is there if that is less.
    """
    seeds = sorted(set(frame["seed"]))
    size = min(_BLOCK, max(len(seeds) // 5, 1))
    block = {seed: place // size for place, seed in enumerate(seeds)}
    parts = frame.assign(block=[block[seed] for seed in frame["seed"]]).groupby(["block", "width"])["level"]
    return pd.concat(
        [
            parts.quantile(1 - delta).reset_index().rename(columns={"block": "seed"}).assign(delta=delta)
            for delta in _DELTAS
        ],
        ignore_index=True,
    )


def evidence(data: Data) -> Evidence:
    """Fit the exponents of the width needed."""
    measures: list[Measure] = []
    tables: list[pd.DataFrame] = []
    slopes: list[pd.DataFrame] = []
    for x, study in _STUDY_OF.items():
        frame = data.frame(study)
        measures += _needed(frame, x, _NAMES[x], study, tables, slopes)
        if x == "lambda_min":
            base = frame.loc[np.isclose(frame["angle"], BASE_ANGLE)]
            inverse = 1 / widths_needed(base, x)[0]["slope"].to_numpy()
            meaning = "1/p of L ~ m^p, trained for the theorem's steps, at one angle"
            measures.append(seeds_interval(inverse, "width.eps", meaning, span_of(base, m="width"), study))
    measures += _needed(quantiles(data.frame("pairs-delta")), "delta", "delta", "pairs-delta", tables, slopes)
    every = np.concatenate([one["slope"].to_numpy(np.float64) for one in slopes])
    meaning = "slope of log loss in log m, mean over the values of lambda, n and d, seed by seed"
    measures.append(seeds_interval(mean_slopes(slopes[:-1]), "slope", meaning, "all studies", "pairs-*"))
    measures.append(
        Count(
            "rising",
            "networks (a variable's value and a seed, or a block of seeds) whose loss does not fall with width",
            int(np.sum(~(every < 0))),  # a NaN is a network that diverged
            len(every),
            "all studies",
            "pairs-*",
        )
    )
    return Evidence(tuple(measures), {"width needed": pd.concat(tables, ignore_index=True)})


def steps_evidence(data: Data) -> Evidence:
    """Count the networks that are late, and fit the time needed."""
    at_rate, frame = data.frame("pairs-rate"), data.frame("pairs-lambda")
    eps = float(at_rate["eps"].iloc[0])
    late = int(np.sum(~(at_rate["loss_end"].to_numpy() <= eps)))  # a NaN is late
    taken = int(at_rate["steps_taken"].iloc[0])
    where = (
        f"m = {at_rate['width'].iloc[0]}, n = {at_rate['n_train'].iloc[0]}, d = {at_rate['dim'].iloc[0]}, "
        f"delta = {at_rate['delta'].iloc[0]:g}, {taken:,} steps"
    )
    widest = frame.loc[frame["width"] == highest(frame["width"])]
    widest = widest.assign(time=widest["hundredth"] * widest["learning_rate"])
    time = against(widest, "lambda_min", "time", meaning="eta times the steps to L(0)/100, widest")
    level, start = (widest[name].to_numpy(np.float64) for name in ("level", "loss_start"))
    over = int(np.sum(~(level <= widest["eps"].to_numpy() * start)))
    span = span_of(widest, m="width", **{"lambda": "lambda_min"})
    return Evidence(
        (
            Count("late", f"networks with L(T) above eps = {eps:g}", late, len(at_rate), where, "pairs-rate"),
            exponent(time, "time.lambda", "pairs-lambda"),
            Count("late.pairs", "networks with a mean loss above", over, len(widest), span, "pairs-lambda"),
            Number("steps", "T, constant 1", taken, where, "pairs-rate"),
        ),
        {"time against lambda": time.table.rename(columns={"lambda_min": "lambda"})},
    )


def any_evidence(data: Data) -> Evidence:
    """Fit the loss reached against width on every data set."""
    every = cells(data.frame("loss-widths"))
    every = every.assign(share=every["loss_end"] / every["loss_start"])
    measures: list[Measure] = []
    tables = []
    for task in _TASKS:
        part = every.loc[every["task"] == task]
        reached = against(part, "width", "loss_end", meaning="loss, mean over the last tenth of the steps")
        widest = part.loc[part["width"] == highest(part["width"])]
        measures += [
            exponent(reached, f"loss.m.{task}", "loss-widths"),
            seeds_interval(
                widest["share"],
                f"loss.widest.{task}",
                "loss reached over the loss at the start",
                span_of(widest, m="width"),
                "loss-widths",
            ),
        ]
        tables.append(rows(reached.table, task=task))
    return Evidence(tuple(measures), {"loss against width": pd.concat(tables, ignore_index=True)})


PROOFS = (
    Proof(CLAIM, (*_STUDY_OF.values(), "pairs-delta"), evidence),
    Proof(STEPS, ("pairs-rate", "pairs-lambda"), steps_evidence),
    Proof(ANY, ("loss-widths",), any_evidence),
)


def _needed(
    frame: pd.DataFrame, x: str, name: str, study: str, tables: list[pd.DataFrame], slopes: list[pd.DataFrame]
) -> list[Measure]:
    """Measure the exponent of the width needed in one variable; add to the tables and slopes of all of them."""
    table, eps = widths_needed(frame, x)
    slopes.append(table)
    logs = table.assign(needed=np.log(table["needed"].to_numpy(np.float64)))
    means = grouped(logs, [x], ["needed"]).rename(columns={x: "x"})
    tables.append(rows(means.assign(needed=np.exp(means["needed"].to_numpy(np.float64))), against=name))
    meaning = f"exponent in {name} of the width needed for a loss of {eps:.2g}"
    return [
        needed_exponent(table, x, measure=f"width.{name}", meaning=meaning, study=study, symbol=name),
        Number(f"eps.{name}", "chosen by the losses", eps, span_of(table, **{name: x}), study),
    ]
