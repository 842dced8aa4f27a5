"""C4: whether the loss of 1-bit networks is a power law in parameters, data and compute.

**Statement.** The training loss of networks trained to their end is a single power law in N = m d, L ~ N^-1.

**Derivation.** The floor law (`c2_floor`) gives N^-1: the loss is a variance that averages over m d signs, the
variance-limited regime of Bahri et al. (2021), not the N^-0.25 of Proposition 4.3. In compute C = N n t the best
width at each C is the one whose floor is just being reached: the time to reach a floor grows only like log(1/L), so the
frontier is C^-1 up to a logarithm in 1-bit precision. A full-precision network has no floor, and its frontier is
exponential.

**Experiment.** The exponent over the four widest widths, after half of the steps and after all, and its curvature over
all widths (the quadratic coefficient of log L in log m: a power law has none), on the sphere and on digits; the
exponent over all widths by `ntk1bit.scaling.fit`, with robust
residuals and its own bootstrap over seeds; the frontier in compute; the test loss against the number of points n for
both precisions.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ntk1bit import scaling
from ntk1bit.claims import Claim, Evidence, IntervalEstimate, IntervalWithin
from ntk1bit.claims.measures import against, estimated, exponent, fewest_seeds, seeds_interval, span
from ntk1bit.estimators.against_width import AgainstWidth, recorded_steps
from ntk1bit.scaling.fitting import fit_one
from ntk1bit.statistics import log_slope
from proofs_numeric.data import PRECISIONS, Data, grouped, rows, widest
from proofs_numeric.floors import against_width, ends, exponents, labels, ranges
from proofs_numeric.proof import Proof

_BUDGETS = 12  # budgets of compute at which the frontier is read
_STUDY_OF = {"sphere": "floor", "digits": "floor-digits"}

CLAIM = Claim(
    id="C4",
    title="the loss is a power law in parameters",
    statement="The training loss of 1-bit networks trained to convergence is a power law in N = m d, with exponent -1.",
    source="ours, against D25, Prop 4.3",
    assumptions="paired start, two data sets, fixed d; 10,000 steps, judged after half of them and after all.",
    refuted_by="at either time an exponent outside [-1.1, -0.9] over the four widest widths, or a curvature above 0.03 "
    "per unit of ln m over all",
    criteria=(
        *(one for task in _STUDY_OF for one in ranges(f"loss.size.{task}", -1.1, -0.9)),
        *(IntervalWithin(f"loss.size.{task}.curvature", -0.03, 0.03) for task in _STUDY_OF),
    ),
    context=(
        IntervalWithin("loss.size.sphere.robust", -1.1, -0.9),
        IntervalWithin("frontier.compute", -1.2, -0.8),
        *(IntervalWithin(f"test_loss.n.{precision}", high=0.0) for precision in PRECISIONS),
    ),
    labels={
        **labels({f"loss.size.{task}": f"exponent in N, {task}" for task in _STUDY_OF}),
        **{f"loss.size.{task}.curvature": f"curvature in N, {task}" for task in _STUDY_OF},
        "loss.size.sphere.robust": "exponent in N by scaling.fit, all widths, sphere",
        "frontier.compute": "exponent of the frontier in compute, 1-bit",
        **{f"test_loss.n.{one}": f"exponent of the test loss in n, {words}" for one, words in PRECISIONS.items()},
    },
    ranges="-1 is derived; with 0.1 a loss carried tenfold in size is off by a quarter; 0.03 changes the exponent by a "
    "third over all widths",
)


def evidence(data: Data) -> Evidence:
    """Fit the laws."""
    measures: list[IntervalEstimate] = []
    tables = []
    losses = {task: against_width(data.frame(study)) for task, study in _STUDY_OF.items()}
    reached = {task: ends(data.frame(study)) for task, study in _STUDY_OF.items()}
    for task, study in _STUDY_OF.items():
        measures += exponents(widest(reached[task]), "width", f"loss.size.{task}", study)
        measures.append(_curvature(losses[task], task, study))
        tables.append(rows(losses[task].table, task=task))
    one_bit = data.frame("floor").query("precision == 'one_bit'")
    sizes = reached["sphere"].reset_index()
    sizes["N"] = sizes["width"] * sizes["dim"]
    request = scaling.FitRequest(scaling.get_law("power"), x="N", loss="loss_end", cluster="seed")
    fitted = fit_one(sizes, request)  # its warnings are in the note
    alpha = fitted.interval().loc["alpha"]
    measures.append(
        estimated(
            "loss.size.sphere.robust",
            "-alpha of L = A N^-alpha, Huber residuals in logarithms, bootstrap over seeds",
            (-float(alpha["estimate"]), -float(alpha["high"]), -float(alpha["low"])),
            fewest_seeds(losses["sphere"]),
            span(losses["sphere"]),
            "floor",
            "; ".join(fitted.warnings),
        )
    )
    frontier = compute_frontier(one_bit)
    slopes = [float(log_slope(*part[["compute", "loss"]].to_numpy().T)) for _, part in frontier.groupby("seed")]
    measures.append(
        seeds_interval(
            slopes,
            "frontier.compute",
            "slope of log(best loss over widths) in log C, C = N n t",
            f"C = {frontier['compute'].min():.2g}..{frontier['compute'].max():.2g}",
            "floor",
        )
    )
    tested = recorded_steps(data.frame("points"))
    tested = tested.loc[tested["step"] == tested["step"].max()]
    by_points = []
    for precision in PRECISIONS:
        one = against(tested.loc[tested["precision"] == precision], "n_train", "test_loss", meaning="test loss")
        measures.append(exponent(one, f"test_loss.n.{precision}", "points"))
        by_points.append(rows(one.table.rename(columns={"n_train": "n"}), precision=precision))
    return Evidence(
        tuple(measures),
        {
            "loss against width": pd.concat(tables, ignore_index=True),
            "fit band": _band(fitted, sizes, "sphere"),
            "frontier": grouped(frontier, ["compute"], ["loss", "width"]),
            "test loss against n": pd.concat(by_points, ignore_index=True),
        },
    )


PROOFS = (Proof(CLAIM, (*_STUDY_OF.values(), "points"), evidence),)


def _curvature(one: AgainstWidth, task: str, study: str) -> IntervalEstimate:
    fit, meaning = one.power, "quadratic coefficient of log L in ln m: 0 for a power law"
    interval = (fit.curvature, fit.curvature_low, fit.curvature_high)
    return estimated(f"loss.size.{task}.curvature", meaning, interval, fewest_seeds(one), span(one), study)


def _band(fitted: scaling.Fit, sizes: pd.DataFrame, task: str) -> pd.DataFrame:
    """Evaluate a fit with its 95 % band over the range of N it was made on."""
    grid = pd.DataFrame({"N": np.geomspace(sizes["N"].min(), sizes["N"].max(), 25)})
    return rows(pd.concat([grid, fitted.band(grid).rename(columns={"loss": "estimate"})], axis=1), task=task)


def compute_frontier(frame: pd.DataFrame) -> pd.DataFrame:
    """Return, for each seed and budget C, the least loss any width reaches with N n t <= C, and that width."""
    curves: dict[int, list[tuple[int, np.ndarray, np.ndarray]]] = {}
    for _, cell in frame.groupby("key"):
        cell = cell.sort_values("step")
        width, dim, n, seed = (int(cell[name].iloc[0]) for name in ("width", "dim", "n_train", "seed"))
        best = np.minimum.accumulate(cell["loss"].to_numpy())
        curves.setdefault(seed, []).append((width, width * dim * n * cell["step"].to_numpy(), best))
    every = [compute for parts in curves.values() for _, compute, _ in parts]
    # from where the narrowest network has taken 100 steps to where the widest has
    budgets = np.geomspace(min(c[100] for c in every), max(c[100] for c in every), _BUDGETS)
    found = []
    for seed, parts in sorted(curves.items()):
        for budget in budgets:
            options = [
                (best[np.searchsorted(compute, budget, side="right") - 1], width) for width, compute, best in parts
            ]
            loss, width = min(options)
            found.append({"seed": seed, "compute": budget, "loss": loss, "width": width})
    return pd.DataFrame(found)
