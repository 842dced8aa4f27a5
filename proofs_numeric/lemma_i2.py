"""D25, Lemma I.2: the loss contracts at every step until it is small.

**Statement.** L(t+1) <= (1 - eta lambda/2) L(t), lambda = lambda_min(H(0)), while norm(F - y) >= c eps.

**Derivation.** With C1 alone L(t+1) = L(t) - eta r^T H r + ... <= (1 - 2 eta lambda) L(t). The lemma leaves a factor
4 for the other terms. C3 takes (1 - c) = 0.2 of it along the leading directions (`c1b_terms`), so room is left; but
*every* step has to contract, and the flip noise of a step does not know that: near the floor steps go up.

**Experiment.** The slowest decay of log L over ten stretches of equal fall between L(0) and L(0)/10, in units of
eta lambda per step, against 1/2; and the share of single steps in that phase that contract by less than the lemma says.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ntk1bit.claims import Claim, Evidence, IntervalWithin, Reach
from ntk1bit.claims.measures import at, seeds_interval, select
from ntk1bit.estimators import decay_rate, first_below
from proofs_numeric.data import PRECISIONS, Data
from proofs_numeric.proof import Proof

_UNTIL = 0.1

_STUDY_OF = {"sphere": "floor", "digits": "digits"}

CLAIM = Claim(
    id="I.2",
    title="the loss contracts until it is small",
    statement="L(t+1) <= (1 - eta lambda/2) L(t) at every step while the residual is large; here: while L > L(0)/10.",
    source="D25, Lemma I.2",
    assumptions="eta_rel = 0.5 (sphere) and 1 (digits), far above the lemma's rate; paired start, widest networks.",
    refuted_by="a slowest rate below 1/2, or more than 5 % of steps that contract less",
    criteria=(
        *(IntervalWithin(f"rate.{task}.one_bit", low=0.5) for task in _STUDY_OF),
        *(IntervalWithin(f"share.{task}", high=0.05) for task in _STUDY_OF),
    ),
    context=(IntervalWithin("rate.digits.full", low=0.5),),
    labels={
        **{
            f"rate.{task}.{one}": f"slowest rate, {words}, {task}"
            for task in _STUDY_OF
            for one, words in PRECISIONS.items()
        },
        **{f"share.{task}": f"share of steps above (1 - eta lambda/2), 1-bit, {task}" for task in _STUDY_OF},
    },
    reach=Reach(unmet="the lemma's rate, at which no network could be trained to its end; I.2-rate judges it there"),
    ranges="1/2, the statement's own; 5 % of steps for the noise of single ones",
)


def shares(frame: pd.DataFrame) -> pd.DataFrame:
    """Return, a row per cell, the share of steps while L > L(0)/10 that contract by less than (1 - eta lambda/2)."""
    found = []
    for _, cell in frame.groupby("key"):
        cell = cell.sort_values("step")
        loss = cell["loss"].to_numpy()
        rate = cell["eta"].iloc[0] * cell["lambda_min"].iloc[0]
        reached = first_below(loss, _UNTIL)
        last = len(loss) - 1 if np.isnan(reached) else int(reached)
        before, after = loss[:last], loss[1 : last + 1]
        settings = {name: cell[name].iloc[0] for name in ("width", "precision", "seed")}
        found.append(settings | {"share": float(np.mean(after > (1 - rate / 2) * before)), "steps": last})
    return pd.DataFrame(found)


def evidence(data: Data) -> Evidence:
    """Measure rates and shares at the widest networks of both studies."""
    measures, tables = [], []
    for task, study in _STUDY_OF.items():
        frame = data.frame(study)
        frame = frame.loc[frame["init"] == "paired"]
        rates = decay_rate(frame)
        for precision in PRECISIONS:
            one = select(rates, precision=precision)
            measures.append(at(one, f"rate.{task}.{precision}", study))
            tables.append(one.table.assign(precision=precision, task=task))
        counted = shares(frame.loc[frame["precision"] == "one_bit"])
        widest = counted.loc[counted["width"] == counted["width"].max()]
        measures.append(
            seeds_interval(
                widest["share"],
                f"share.{task}",
                "share of the steps while L > L(0)/10",
                f"m = {widest['width'].max()}, {int(widest['steps'].mean())} steps per network",
                study,
            )
        )
    return Evidence(tuple(measures), {"slowest rate": pd.concat(tables, ignore_index=True)})


PROOFS = (Proof(CLAIM, tuple(_STUDY_OF.values()), evidence),)
