"""D25, Lemma I.3 (J.5): the residual at the start is bounded.

**Statement.** norm(F(0) - y) <= O(sqrt(n) d D^2).

**Derivation.** f(x) = kappa/sqrt(m) sum_r a_r relu(z_r(x)) with a_r = +-1 independent of z: its variance is
kappa^2 E relu(z)^2 <= kappa^2 E z^2, and E z(x)^2 = E[s^2] (1 - rho) norm(x)^2 + O(<1,x>^2/d) = O(1) (the covariance in
`ntk1bit.kernels.limits`). So norm(F(0) - y) = O(sqrt(n)) with no d and no D: the bound holds, with a factor d D^2 to
spare.

**Experiment.** iid networks at kappa = 1: the constant is fitted on the smaller widths and tested on the larger ones;
exponents in n (1/2), d (0) and m (0).
"""

from __future__ import annotations

import numpy as np

from ntk1bit.claims import Claim, Evidence, IntervalWithin
from ntk1bit.claims.measures import (
    BOUND_RANGES,
    against,
    bound_criteria,
    bound_labels,
    bound_reach,
    exponent,
    held_out_bound,
)
from proofs_numeric.data import Data, grouped, log_factor, span_of
from proofs_numeric.proof import Proof

_GROWS = ("dim", "n_train")

CLAIM = Claim(
    id="I.3",
    title="the residual at the start is bounded",
    statement="norm(F(0) - y) <= O(sqrt(n) d D^2).",
    source="D25, Lemma I.3 (J.5)",
    assumptions="iid start, kappa = 1, |y| <= 1.",
    refuted_by="held-out networks beyond the fitted constant, or a residual that grows faster with m than the bound",
    criteria=bound_criteria("bound", 100),
    context=(
        IntervalWithin("residual.d", -0.1, 0.1),
        IntervalWithin("residual.m", -0.05, 0.05),
        IntervalWithin("residual.n", 0.4, 0.6),
    ),
    labels=bound_labels("bound", "residual against C sqrt(n) d D^2", _GROWS)
    | {f"residual.{x}": f"exponent in {x}" for x in ("d", "m", "n")},
    reach=bound_reach("bound", _GROWS),
    ranges=BOUND_RANGES,
)


def evidence(data: Data) -> Evidence:
    """Hold the residual of drawn networks against the bound."""
    drawn = data.frame("start")
    settings = grouped(drawn, ["dim", "width", "n_train"], ["residual"], "max")
    drawn = drawn.assign(bound=np.sqrt(drawn["n_train"]) * drawn["dim"] * log_factor(drawn) ** 2)
    span = span_of(drawn, m="width", d="dim")
    bound = held_out_bound(
        drawn,
        measured="residual",
        bound="bound",
        measure="bound",
        meaning="norm(F(0) - y)",
        span=span,
        study="start",
        settings=("dim", "n_train"),
        grows=_GROWS,
    )
    plain = drawn.loc[(drawn["n_train"] == 64)]
    widest, middle = plain.loc[plain["width"] == plain["width"].max()], plain.loc[plain["dim"] == 32]
    in_n = drawn.loc[(drawn["dim"] == 32) & (drawn["width"] == drawn["width"].max())]
    return Evidence(
        (
            *bound,
            exponent(against(widest, "dim", "residual"), "residual.d", "start"),
            exponent(against(middle, "width", "residual"), "residual.m", "start"),
            exponent(against(in_n, "n_train", "residual"), "residual.n", "start"),
        ),
        {"largest residual": settings},
    )


PROOFS = (Proof(CLAIM, ("start",), evidence),)
