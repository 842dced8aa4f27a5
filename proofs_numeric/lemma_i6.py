"""D25, Lemma I.6: the weights at the start are bounded.

**Statement.** With probability at least 1 - delta over w_r ~ N(0, I_d), r = 1..m: all |w_rk|, |mu(w_r)| and s(w_r) are
at most O(D), and norm(w_r) <= O(sqrt(d) D), with D = max(C sqrt(log(m d/delta)), 1).

**Proof, with its constant.** P[|w_rk| > t] <= exp(-t^2/2) (a Gaussian tail), so by a union bound over m d
entries max|w_rk| <= B = sqrt(2 log(m d/delta)) fails with probability at most delta. The rest is deterministic:
|mu_r| <= max_k |w_rk|; s_r^2 = mean_k (w_rk - mu_r)^2 <= mean_k w_rk^2 <= max_k w_rk^2; norm(w_r)^2 <= d max_k w_rk^2.
So C = sqrt(2) serves for all four, and the four statements fail together.

**Experiment.** Draw networks at every width and dimension; count the draws in which any of the four exceeds its bound,
and how far below the bound the largest weight stays.
"""

from __future__ import annotations

import numpy as np

from ntk1bit.claims import Claim, Count, Evidence, FailureRateBelow, Number
from proofs_numeric.data import DELTA, Data, span_of
from proofs_numeric.proof import Proof

CLAIM = Claim(
    id="I.6",
    title="weights at the start are bounded",
    statement="With probability 1 - delta: max|w_rk|, max|mu_r|, max s_r <= C D and max norm(w_r) <= C sqrt(d) D, "
    "D = sqrt(log(m d/delta)); C = sqrt(2) by our proof.",
    source="D25, Lemma I.6",
    assumptions="w_r(0) ~ N(0, I_d); delta = 0.05.",
    refuted_by="a failure rate above delta at one of the settings, by exact binomial tests",
    criteria=(FailureRateBelow("outside", DELTA),),
    labels={"outside": "draws outside the bounds", "weight.largest": "largest weight over its bound"},
    ranges="delta, the statement's own",
)


def evidence(data: Data) -> Evidence:
    """Count draws outside the four bounds."""
    drawn = data.frame("start")
    drawn = drawn.loc[drawn["n_train"] == 64]
    bound = np.sqrt(2 * np.log(drawn["width"] * drawn["dim"] / DELTA))
    outside = (drawn[["largest_weight", "largest_mean", "largest_std"]].gt(bound, axis=0)).any(axis=1)
    outside |= drawn["largest_norm"] > np.sqrt(drawn["dim"]) * bound
    span = span_of(drawn, m="width", d="dim")
    tightest = (drawn["largest_weight"] / bound).groupby([drawn["dim"], drawn["width"]]).mean()
    return Evidence(
        (
            Count(
                "outside",
                "draws in which one of the four bounds with C = sqrt(2) fails",
                int(outside.sum()),
                len(drawn),
                span,
                "start",
                settings=tuple(
                    (int(np.sum(part)), len(part)) for _, part in outside.groupby([drawn["dim"], drawn["width"]])
                ),
            ),
            Number("weight.largest", "mean over draws, at the worst setting", tightest.max(), span, "start"),
        ),
        {"largest weight over bound": tightest.rename("ratio").reset_index()},
    )


PROOFS = (Proof(CLAIM, ("start",), evidence),)
