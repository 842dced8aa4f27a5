"""D25, Claim I.5 (J.4): no neuron moves far.

**Statement.** R = max_t max_r norm(w_r(t) - w_r(0)) <= 4 sqrt(n) norm(F(0) - y)/(lambda sqrt m), lambda =
lambda_min(H(0)).

**Derivation.** A step moves w_r by eta kappa/sqrt(m) norm(sum_i r_i 1[..] x_i) <= eta kappa sqrt(n)/sqrt(m)
norm(r_t). So

    R <= eta kappa sqrt(n/m) sum_t norm(r_t),                                                         (*)

deterministically. If the loss contracts by (1 - eta lambda/2) per step (Lemma I.2), norm(r_t) <= (1 - eta lambda/4)^t
norm(r_0), the sum is at most 4 norm(r_0)/(eta lambda), and the claim follows for kappa <= 1. It stands or falls with
the contraction, which a 1-bit network keeps only down to its floor: later its neurons go on wandering.

**Experiment.** (*) and the claim at every network of five studies; the exponent of R in m on digits; how the looseness
of the claim's bound goes with m, n and d.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ntk1bit.claims import Claim, Count, Evidence, IntervalWithin, NoFailures, Number, Reach
from ntk1bit.claims.evidence import Measure
from ntk1bit.claims.measures import exponent, ratio_exponents, ratio_growth, ratio_labels, select
from ntk1bit.estimators import movement
from proofs_numeric.data import PRECISIONS, Data, networks_of
from proofs_numeric.proof import Proof

_GROWS = ("n_train", "dim")
CLAIM = Claim(
    id="I.5",
    title="no neuron moves far",
    statement="max_t max_r norm(w_r(t) - w_r(0)) <= 4 sqrt(n) norm(F(0) - y)/(lambda_min(H(0)) sqrt m).",
    source="D25, Claim I.5 (J.4)",
    assumptions="kappa <= 1, eta_rel <= 1; networks that diverged count as failures.",
    refuted_by="a network beyond the bound with the constant 4",
    criteria=(NoFailures("beyond.steps", 100), NoFailures("beyond.claim.one_bit", 100)),
    context=(
        NoFailures("beyond.claim.full", 100),
        IntervalWithin("radius.m.one_bit", high=-0.45),
        IntervalWithin("radius.m.full", -0.55, -0.45),
    ),
    labels={
        "beyond.steps": "networks beyond eta kappa sqrt(n/m) sum norm(r)",
        "beyond.claim.one_bit": "1-bit networks beyond the bound",
        "beyond.claim.full": "full-precision networks beyond the bound",
        **{f"radius.m.{one}": f"exponent in m of R, {words}" for one, words in PRECISIONS.items()},
        "looseness": "looseness of the bound",
        **ratio_labels("shape", _GROWS),
    },
    reach=Reach(looseness="looseness", growth=ratio_growth("shape", _GROWS)),
    ranges="the constant 4 is the statement's own",
)
_STUDIES = ("digits", "floor", "functions", "gap-dims", "gap-points")
_SETTINGS = ("study", "task", "dim", "n_train", "init", "kappa", "precision")


def evidence(data: Data) -> Evidence:
    """Compare every network with both bounds, and say how far neurons move."""
    moved = movement(data.frame("digits"))
    radii = {one: select(moved, init="paired", precision=one) for one in PRECISIONS}
    every = networks_of(data, _STUDIES)
    bounded = every.loc[every["lambda_min"] > 0].copy()  # otherwise the claim says nothing
    measures, tables = _against_bounds(bounded) if len(bounded) else ((), {})
    table = pd.concat([one.table.assign(precision=p) for p, one in radii.items()], ignore_index=True)
    return Evidence(
        (*measures, *(exponent(radius, f"radius.m.{one}", "digits") for one, radius in radii.items())),
        {"R against width": table, **tables},
    )


def _against_bounds(every: pd.DataFrame) -> tuple[tuple[Measure, ...], dict[str, pd.DataFrame]]:
    """Compare networks of positive lambda with both bounds; of a precision without any, nothing is said."""
    root = np.sqrt(every["n_train"] / every["width"])
    every["claim"] = 4 * root * np.sqrt(2 * every["loss_start"]) / every["lambda_min"]
    every["exact"] = every["eta"] * every["kappa"] * root * every["residual_sum"]
    # float32 weights: a step below 6e-8 of a weight of size about 3 is rounded, a thousand steps add up to 1e-4
    inexact = (every["radius"] > every["exact"] * (1 + 1e-3) + 1e-4).to_numpy()
    beyond = ((every["radius"] > every["claim"]) | every["diverged"]).to_numpy()
    precision = every["precision"].to_numpy()
    span = f"{len(every):,} networks, m = {every['width'].min()}..{every['width'].max()}"
    measures: list[Measure] = [
        Count("beyond.steps", "networks whose R is above (*)", int(inexact.sum()), len(every), span, "all"),
        *(
            Count(
                f"beyond.claim.{one}",
                "networks whose R is above the claim's bound",
                int(beyond[precision == one].sum()),
                int((precision == one).sum()),
                span,
                "all",
            )
            for one in PRECISIONS
            if (precision == one).any()
        ),
    ]
    loose = every.assign(ratio=every["claim"] / every["radius"]).groupby(["study", "precision"], as_index=False)
    looseness = loose.agg({"ratio": "median"})
    ratio = every.assign(ratio=every["radius"] / every["claim"]).loc[~every["diverged"]]
    measures += ratio_exponents(ratio, "width", _SETTINGS, _GROWS, "shape", span, "all")
    digits = (looseness["study"] == "digits") & (looseness["precision"] == "one_bit")
    for one in looseness.loc[digits, "ratio"]:
        measures.append(Number("looseness", "median of bound / R, 1-bit on digits", float(one), span, "digits"))
    return tuple(measures), {"looseness": looseness}


PROOFS = (Proof(CLAIM, _STUDIES, evidence),)
