"""D25, Lemma D.7: the quantisation difference is bounded.

**Statement.** For norm(x) = 1 and weights within R of the start, u(w) = s q + mu 1 - w satisfies
|<u(w), x>| <= O(d (D + R)).

**Proof, and a better bound.** Since s q + mu 1 - w = s q - c and sum_k q_k c_k = sum_k |c_k|,

    norm(u)^2 = d s^2 - 2 s sum_k |c_k| + norm(c)^2 = 2 d s (s - mean_k |c_k|) <= 2 d s^2   ("std": norm(c)^2 = d s^2).

So |<u, x>| <= sqrt(2 d) s <= sqrt(2 d) (max_k |w_k(0)| + R): the power of d is 1/2, not 1. And for an x that does not
know w the size has no d at all: norm(u)^2 -> 2 d (1 - sqrt(2/pi)), spread over d coordinates, gives a root mean
square of sqrt(2 (1 - sqrt(2/pi))) = 0.635.

**Experiment.** The identity to rounding on heavy-tailed weights; |<u, x>| against sqrt(2 d) s for x = u/norm(u), the
worst input there is; on networks as drawn, the largest and the root mean square |<u, x_i>| against D25's bound, whose
constant is fitted on the smaller widths and tested on the larger ones; the exponent of the root mean square in d.
"""

from __future__ import annotations

import numpy as np

from ntk1bit.claims import AtMost, Claim, Count, Evidence, IntervalWithin, NoFailures, Number
from ntk1bit.claims.measures import (
    BOUND_RANGES,
    against,
    at,
    bound_criteria,
    bound_labels,
    bound_reach,
    exponent,
    held_out_bound,
)
from ntk1bit.networks.quantizers import centred_scale, effective_weights
from proofs_numeric.data import Data, grouped, log_factor, span_of
from proofs_numeric.proof import Proof

TYPICAL = float(np.sqrt(2 * (1 - np.sqrt(2 / np.pi))))  # 0.635

_GROWS = ("dim",)

CLAIM = Claim(
    id="D.7",
    title="the quantisation difference is bounded",
    statement="|<u(w), x>| <= O(d (D + R)) for norm(x) = 1; in fact |<u, x>| <= sqrt(2 d) s(w).",
    source="D25, Lemma D.7",
    assumptions="std scale; the statement at the start, R = 0.",
    refuted_by="an input beyond sqrt(2 d) s, a held-out network beyond the fitted constant, or a "
    "size that grows faster with m than the bound",
    criteria=(
        AtMost("identity", 1e-12),
        NoFailures("worst_input", 1000),
        *bound_criteria("bound", 100),
    ),
    context=(IntervalWithin("typical.largest_d", 0.98 * TYPICAL, 1.02 * TYPICAL),),
    labels=bound_labels("bound", "largest |<u, x>| against C d D", _GROWS)
    | {
        "identity": "error of norm(u)^2 = 2 d s (s - mean|c|)",
        "worst_input": "worst inputs beyond sqrt(2 d) s",
        "typical.d": "exponent in d of the typical |<u, x>|",
        "typical.largest_d": "typical |<u, x>| at the largest d",
    },
    reach=bound_reach("bound", _GROWS),
    ranges=BOUND_RANGES,
)


def checks() -> tuple[Number, Count]:
    """Check the identity and the bound on heavy-tailed weights, with the worst input for each neuron."""
    rng = np.random.default_rng(7)
    worst, beyond, trials = 0.0, 0, 0
    for dim in (2, 3, 8, 65, 512):
        for draw in (rng.standard_normal, rng.standard_cauchy):
            w = draw((200, dim))
            c, s, _ = centred_scale(w)
            u = effective_weights(w) - w
            square = np.einsum("rk,rk->r", u, u)
            expected = 2 * dim * s * (s - np.abs(c).mean(axis=1))
            worst = max(worst, float((np.abs(square - expected) / (2 * dim * s**2)).max()))
            norms = np.sqrt(square)  # = |<u, u/norm(u)>|
            beyond += int((norms > np.sqrt(2 * dim) * s * (1 + 1e-12)).sum())
            trials += len(w)
    span = "d = 2..512, Gaussian and Cauchy weights"
    return (
        Number("identity", "largest, relative to 2 d s^2", worst, span, "checks"),
        Count("worst_input", "neurons with norm(u) > sqrt(2 d) s", beyond, trials, span, "checks"),
    )


def evidence(data: Data) -> Evidence:
    """Check the proof, then hold D25's form against networks as drawn."""
    drawn = data.frame("start")
    drawn = drawn.loc[drawn["n_train"] == 64]
    settings = grouped(drawn, ["dim", "width"], ["largest_u", "rms_u"])
    drawn = drawn.assign(bound=drawn["dim"] * log_factor(drawn))
    span = span_of(drawn, m="width", d="dim")
    bound = held_out_bound(
        drawn,
        measured="largest_u",
        bound="bound",
        measure="bound",
        meaning="the largest |<u, x_i>|",
        span=span,
        study="start",
        settings=("dim",),
        grows=_GROWS,
    )
    widest = drawn.loc[drawn["width"] == drawn["width"].max()]
    typical = against(widest, "dim", "rms_u", meaning="root mean square over neurons and inputs of <u, x>")
    return Evidence(
        (
            *checks(),
            *bound,
            exponent(typical, "typical.d", "start"),
            at(typical, "typical.largest_d", "start"),
        ),
        {"typical size": typical.table, "largest": settings},
        (f"Independent inputs see {TYPICAL:.3f} = sqrt(2 (1 - sqrt(2/pi))) for large d, without any power of d.",),
    )


PROOFS = (Proof(CLAIM, ("start",), evidence),)
