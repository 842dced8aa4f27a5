"""C4: whether the loss of 1-bit networks is a power law in parameters, data and compute.

**Statement.** The training loss of networks trained to their end is a single power law in N = m d, L ~ N^-1.

**Derivation.** The floor law (`c2_floor`) gives N^-1: the loss is a variance that averages over m d signs, the
variance-limited regime of Bahri et al. (2021), not the N^-0.25 of Proposition 4.3. In compute C = N n t the best
width at each C is the one whose floor is just being reached: the time to reach a floor grows only like log(1/L), so the
frontier is C^-1 up to a logarithm in 1-bit precision. A full-precision network has no floor, and its frontier is
exponential.

**Experiment.** The exponent and its bend (the quadratic coefficient of log L in log m: a power law has none) on the
sphere and on digits, networks level; the same exponent by `ntk1bit.scaling.fit`, with robust residuals and its own
bootstrap over networks; the frontier in compute; the test loss against the number of points n for both precisions.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ntk1bit import scaling
from ntk1bit.claims import Claim, Estimate, Evidence, Inside
from ntk1bit.claims.measures import against, estimated, exponent, seeds_interval, select, span
from ntk1bit.estimators import loss_at_end
from ntk1bit.estimators.against_width import AgainstWidth
from ntk1bit.estimators.against_width import recorded_steps
from proofs_numeric.data import Data, cells, grouped, rows

_BUDGETS = 12  # budgets of compute at which the frontier is read

CLAIM = Claim(
    id="C4",
    title="the loss is a power law in parameters",
    statement="The training loss of 1-bit networks trained until level is a power law in N = m d, with exponent -1.",
    source="ours, against D25, Prop 4.3",
    assumptions="paired start, two data sets, fixed d.",
    refuted_by="an exponent outside [-1.1, -0.9], or a bend above 0.03 per unit of ln m",
    criteria=(
        Inside("exponent in N, sphere", -1.1, -0.9),
        Inside("exponent in N, digits", -1.1, -0.9),
        Inside("bend in N, sphere", -0.03, 0.03),
        Inside("bend in N, digits", -0.03, 0.03),
    ),
    context=(
        Inside("exponent in N by scaling.fit, sphere", -1.1, -0.9),
        Inside("exponent of the frontier in compute, 1-bit", -1.2, -0.8),
        Inside("exponent of the test loss in n, 1-bit", high=0.0),
        Inside("exponent of the test loss in n, full precision", high=0.0),
    ),
)
STUDIES = ("floor", "floor-digits", "points")


def evidence(data: Data) -> Evidence:
    """Fit the laws."""
    measures: list[Estimate] = []
    tables = []
    for study, name in (("floor", "sphere"), ("floor-digits", "digits")):
        frame = data.frame(study)
        one = select(loss_at_end(frame), precision="one_bit")
        measures += [exponent(one, f"exponent in N, {name}", study, x="N = m d; m"), _bend(one, name, study)]
        tables.append(rows(one.table, task=name))
    frame = data.frame("floor")
    ends = cells(frame.loc[frame["precision"] == "one_bit"]).reset_index()
    ends["N"] = ends["width"] * ends["dim"]
    fitted = scaling.fit(ends, law="power", x="N", loss="loss_end", bootstrap=1000, seed=0)
    low, high = (float(fitted.interval(0.95).loc["alpha", end]) for end in ("low", "high"))
    measures.append(
        estimated(
            "exponent in N by scaling.fit, sphere",
            "-alpha of L = A N^-alpha, Huber residuals in logarithms, bootstrap over networks",
            -fitted.params["alpha"],
            -high,
            -low,
            int(np.min(np.asarray(ends.groupby("width")["seed"].nunique()))),
            span(select(loss_at_end(frame), precision="one_bit")),
            "floor",
        )
    )
    band = _band(fitted, ends, "sphere")
    frontier = _frontier(frame.loc[frame["precision"] == "one_bit"])
    slopes = [np.polyfit(np.log(part["compute"]), np.log(part["loss"]), 1)[0] for _, part in frontier.groupby("seed")]
    measures.append(
        seeds_interval(
            np.array(slopes),
            "exponent of the frontier in compute, 1-bit",
            "slope of log(best loss over widths) in log C, C = N n t",
            f"C = {frontier['compute'].min():.2g}..{frontier['compute'].max():.2g}",
            "floor",
        )
    )
    tested = recorded_steps(data.frame("points"))
    tested = tested.loc[tested["step"] == tested["step"].max()]
    by_points = []
    for precision, word in (("one_bit", "1-bit"), ("full", "full precision")):
        one = against(tested.loc[tested["precision"] == precision], "n_train", "test_loss", meaning="test loss")
        measures.append(exponent(one, f"exponent of the test loss in n, {word}", "points", x="n"))
        by_points.append(rows(one.table.rename(columns={"width": "n"}), precision=precision))
    best = grouped(frontier, ["compute"], ["loss", "width"])
    return Evidence(
        tuple(measures),
        {
            "loss against width": pd.concat(tables, ignore_index=True),
            "fit band": band,
            "frontier": best,
            "test loss against n": pd.concat(by_points, ignore_index=True),
        },
    )


def _bend(one: AgainstWidth, name: str, study: str) -> Estimate:
    fit = one.power
    return estimated(
        f"bend in N, {name}",
        "quadratic coefficient of log L in ln m: 0 for a power law",
        fit.bend,
        fit.bend_low,
        fit.bend_high,
        int(one.table["seeds"].to_numpy().min()),
        span(one),
        study,
    )


def _band(fitted: scaling.Fit, ends: pd.DataFrame, task: str) -> pd.DataFrame:
    """Evaluate a fit with its 95 % band over the range of N it was made on."""
    grid = pd.DataFrame({"N": np.geomspace(ends["N"].min(), ends["N"].max(), 25)})
    return rows(pd.concat([grid, fitted.band(grid).rename(columns={"loss": "estimate"})], axis=1), task=task)


def _frontier(frame: pd.DataFrame) -> pd.DataFrame:
    """Return, for each seed and budget C, the least loss any width reaches with N n t <= C, and that width."""
    curves: dict[int, list[tuple[int, np.ndarray, np.ndarray]]] = {}
    for (width, seed), cell in _by_cell(frame):
        cell = cell.sort_values("step")
        cost = width * cell["dim"].iloc[0] * cell["n_train"].iloc[0]
        best = np.minimum.accumulate(cell["loss"].to_numpy())
        curves.setdefault(seed, []).append((width, cost * cell["step"].to_numpy(), best))
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


def _by_cell(frame: pd.DataFrame) -> Iterator[tuple[tuple[int, int], pd.DataFrame]]:
    for _, cell in frame.groupby("key"):
        yield (int(cell["width"].iloc[0]), int(cell["seed"].iloc[0])), cell
