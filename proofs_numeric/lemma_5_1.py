"""D25, Lemma 5.1 (K.4): the outputs differ little at the start, if kappa is small.

**Statement.** At the start |f(x) - f'(x)| <= eps if kappa <= O(eps/(sqrt(d) D^2)): the gap is at most O(kappa sqrt(d)
D^2).

**Derivation.** With the same W(0) and a, f - f' = kappa/sqrt(m) sum_r a_r [relu(z_r) - relu(<w_r, x>)] is *exactly*
linear in kappa, and, with a independent of W(0), has mean 0 and variance kappa^2 E[(relu(z) - relu(<w, x>))^2] <=
kappa^2 E <u, x>^2 = O(kappa^2): no power of d, none of m. So the lemma holds, and what it bounds is a random function
of fixed size: **widening the network does not close this gap.** A `paired` start makes it exactly 0.

**Experiment.** Linearity in kappa to rounding; the bound with its constant fitted on the smaller widths; exponents in m
and d.
"""

from __future__ import annotations

import numpy as np

from ntk1bit.claims import AtMost, Claim, Evidence, IntervalWithin, Number
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
from ntk1bit.data import tasks
from ntk1bit.networks import two_layer
from ntk1bit.networks.two_layer import Precision
from ntk1bit.statistics import RootMeanSquareOf
from proofs_numeric.data import Data, log_factor, span_of
from proofs_numeric.proof import Proof

_GROWS = ("dim",)

CLAIM = Claim(
    id="5.1",
    title="outputs differ little at the start",
    statement="At the start |f - f'| <= O(kappa sqrt(d) D^2) on every test input, same W(0) and a.",
    source="D25, Lemma 5.1 (K.4)",
    assumptions="iid start; shown at kappa = 1, as the gap is exactly linear in kappa.",
    refuted_by="a gap that is not linear in kappa, held-out networks beyond the fitted constant, or a gap "
    "that grows faster with m than the bound",
    criteria=(AtMost("linearity", 1e-12), *bound_criteria("bound", 100)),
    context=(
        IntervalWithin("gap.m", -0.03, 0.03),
        IntervalWithin("gap.d", high=0.5),
        AtMost("gap.paired", 0.0),
    ),
    labels=bound_labels("bound", "gap against C sqrt(d) D^2", _GROWS)
    | {
        "linearity": "deviation from linearity in kappa",
        "gap.m": "exponent in m of the gap at the start",
        "gap.d": "exponent in d of the gap at the start",
        "gap.paired": "gap of paired networks at the start",
        "gap.widest": "gap at the start, d = 32",
    },
    reach=bound_reach("bound", _GROWS),
    ranges=BOUND_RANGES,
)
_PRECISIONS: tuple[Precision, Precision] = ("one_bit", "full")


def checks() -> tuple[Number, Number]:
    """Check linearity in kappa in float64, and that a paired start has no gap."""
    task = tasks.load("digits", n_train=64, n_test=64, seed=0)
    worst = paired = 0.0
    for width, seed in ((7, 0), (64, 1), (1023, 2)):
        drawn = two_layer.init(width, task.dim, seed=seed)
        weights = two_layer.Weights(drawn.w.astype(np.float64), drawn.a.astype(np.float64))
        both = two_layer.init(2 * width, task.dim, seed=seed, init="paired")

        def gap(kappa: float, network: two_layer.Weights) -> np.ndarray:
            f, f_full = (two_layer.outputs(task.x, network, precision=p, kappa=kappa) for p in _PRECISIONS)
            return f - f_full

        one = gap(1.0, weights)
        for kappa in (0.01, 0.3, 0.7):
            worst = max(worst, float(np.abs(gap(kappa, weights) / kappa - one).max() / np.abs(one).max()))
        paired = max(paired, float(np.abs(gap(1.0, both)).max()))
    span = "m = 7, 64, 1023; kappa = 0.01..1"
    return (
        Number("linearity", "largest |gap(kappa)/kappa - gap(1)| / max gap(1)", worst, span, "checks"),
        Number("gap.paired", "largest |f - f'|", paired, span, "checks"),
    )


def evidence(data: Data) -> Evidence:
    """Hold the gap of drawn networks against the bound."""
    drawn = data.frame("start")
    drawn = drawn.loc[drawn["n_train"] == 64]
    drawn = drawn.assign(bound=np.sqrt(drawn["dim"]) * log_factor(drawn) ** 2)
    span = span_of(drawn, m="width", d="dim")
    bound = held_out_bound(
        drawn,
        measured="largest_gap",
        bound="bound",
        measure="bound",
        meaning="the largest |f - f'| over 256 test inputs",
        span=span,
        study="start",
        settings=("dim",),
        grows=_GROWS,
    )
    meaning = "root mean square over test inputs and draws of f - f' at the start, kappa = 1"
    in_m = against(drawn.loc[drawn["dim"] == 32], "width", "gap", meaning=meaning, statistic=RootMeanSquareOf)
    in_d = against(
        drawn.loc[drawn["width"] == drawn["width"].max()], "dim", "gap", meaning=meaning, statistic=RootMeanSquareOf
    )
    return Evidence(
        (
            *checks(),
            *bound,
            exponent(in_m, "gap.m", "start"),
            exponent(in_d, "gap.d", "start"),
            at(in_m, "gap.widest", "start"),
        ),
        {"gap against m": in_m.table, "gap against d": in_d.table},
        ("Lemma 5.1 bounds the gap by kappa alone: no width makes it smaller.",),
    )


PROOFS = (Proof(CLAIM, ("start",), evidence),)
