"""D25, Claim I.5 (J.4): no neuron moves far.

**Statement.** R = max_t max_r norm(w_r(t) - w_r(0)) <= 4 sqrt(n) norm(F(0) - y)/(lambda sqrt m), lambda =
lambda_min(H(0)).

**Derivation.** A step moves w_r by eta kappa/sqrt(m) norm(sum_i r_i 1[..] x_i) <= eta kappa sqrt(n)/sqrt(m)
norm(r_t). So

    R <= eta kappa sqrt(n/m) sum_t norm(r_t),                                                         (*)

deterministically. If the loss contracts by (1 - eta lambda/2) a step (Lemma I.2), norm(r_t) <= (1 - eta lambda/4)^t
norm(r_0), the sum is at most 4 norm(r_0)/(eta lambda), and the claim follows for kappa <= 1. It stands or falls with
the contraction, which a 1-bit network keeps only down to its floor: later its neurons go on wandering.

**Experiment.** (*) and the claim at every network of four studies; the exponent of R in m on digits.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ntk1bit.claims import Claim, Count, Estimate, Evidence, Inside, Never, Number
from ntk1bit.claims.measures import exponent, select
from ntk1bit.estimators import movement
from proofs_numeric.data import Data, cells

CLAIM = Claim(
    id="I.5",
    title="no neuron moves far",
    statement="max_t max_r norm(w_r(t) - w_r(0)) <= 4 sqrt(n) norm(F(0) - y)/(lambda_min(H(0)) sqrt m).",
    source="D25, Claim I.5 (J.4)",
    assumptions="kappa <= 1, eta_rel <= 1; networks that diverged count as failures.",
    refuted_by="a network beyond the bound with the constant 4",
    criteria=(
        Never("networks beyond eta kappa sqrt(n/m) sum norm(r)", 100),
        Never("1-bit networks beyond the bound", 100),
    ),
    context=(
        Never("full-precision networks beyond the bound", 100),
        Inside("exponent in m of R, 1-bit", high=-0.45),
        Inside("exponent in m of R, full precision", -0.55, -0.45),
    ),
)
STUDIES = ("digits", "floor", "functions", "gap-dims")


def evidence(data: Data) -> Evidence:
    """Compare every network with both bounds."""
    parts = []
    for study in STUDIES:
        found = cells(data.frame(study))
        start = np.sqrt(2 * found["loss_start"])
        root = np.sqrt(found["n_train"] / found["width"])
        found["claim"] = 4 * root * start / found["lambda_min"]
        found["exact"] = found["eta"] * found["kappa"] * root * found["residual_sum"]
        parts.append(found.assign(study=study))
    every = pd.concat(parts)
    every = every.loc[every["lambda_min"] > 0]  # otherwise the claim says nothing
    # float32 weights: a step below 6e-8 of a weight of size about 3 is rounded, a thousand steps add up to 1e-4
    inexact = every["radius"] > every["exact"] * (1 + 1e-3) + 1e-4
    beyond = (every["radius"] > every["claim"]) | every["diverged"]
    one_bit = every["precision"] == "one_bit"
    span = f"{len(every):,} networks, m = {every['width'].min()}..{every['width'].max()}"
    moved = movement(data.frame("digits"))
    measures: list[Count | Estimate] = [
        Count(
            "networks beyond eta kappa sqrt(n/m) sum norm(r)",
            "networks whose R is above (*)",
            int(inexact.sum()),
            len(every),
            span,
            "all",
        )
    ]
    for side, name in ((one_bit, "1-bit"), (~one_bit, "full-precision")):
        measures.append(
            Count(
                f"{name} networks beyond the bound",
                "networks whose R is above the claim's bound",
                int(beyond[side].sum()),
                int(side.sum()),
                span,
                "all",
            )
        )
    tables = []
    for precision, name in (("one_bit", "1-bit"), ("full", "full precision")):
        one = select(moved, init="paired", precision=precision)
        tables.append(one.table.assign(precision=precision))
        measures.append(exponent(one, f"exponent in m of R, {name}", "digits"))
    loose = (every["claim"] / every["radius"]).groupby([every["study"], every["precision"]]).median()
    return Evidence(
        (
            *measures,
            Number(
                "looseness of the bound",
                "median of bound / R, 1-bit on digits",
                loose["digits", "one_bit"],
                span,
                "digits",
            ),
        ),
        {"R against width": pd.concat(tables, ignore_index=True), "looseness": loose.rename("ratio").reset_index()},
    )
