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

from ntk1bit.claims import Claim, Evidence, Exact, Inside, Never, Number
from ntk1bit.claims.measures import against, at, exponent, held_out_bound
from ntk1bit.data import tasks
from ntk1bit.estimators.against_width import root_mean_square_of
from ntk1bit.networks import two_layer
from ntk1bit.networks.two_layer import Precision
from proofs_numeric.data import Data, grouped, log_factor, span_of

CLAIM = Claim(
    id="5.1",
    title="outputs differ little at the start",
    statement="At the start |f - f'| <= O(kappa sqrt(d) D^2) on every test input, same W(0) and a.",
    source="D25, Lemma 5.1 (K.4)",
    assumptions="iid start; shown at kappa = 1, as the gap is exactly linear in kappa.",
    refuted_by="a gap that is not linear in kappa, or held-out configurations beyond the fitted constant",
    criteria=(Exact("deviation from linearity in kappa", 1e-12), Never("gap against C sqrt(d) D^2", 10)),
    context=(
        Inside("exponent in m of the gap at the start", -0.03, 0.03),
        Inside("exponent in d of the gap at the start", high=0.5),
        Exact("gap of paired networks at the start", 0.0),
    ),
)
STUDIES = ("start",)
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
        Number(
            "deviation from linearity in kappa",
            "largest |gap(kappa)/kappa - gap(1)| / max gap(1)",
            worst,
            span,
            "checks",
        ),
        Number("gap of paired networks at the start", "largest |f - f'|", paired, span, "checks"),
    )


def evidence(data: Data) -> Evidence:
    """Hold the gap of drawn networks against the bound."""
    drawn = data.frame("start")
    drawn = drawn.loc[drawn["n_train"] == 64]
    settings = grouped(drawn, ["dim", "width"], ["largest_gap"], "max")
    settings["bound"] = np.sqrt(settings["dim"]) * log_factor(settings) ** 2
    span = span_of(settings, m="width", d="dim")
    failures, constant, looseness = held_out_bound(
        settings,
        measured="largest_gap",
        bound="bound",
        split="width",
        name="gap against C sqrt(d) D^2",
        meaning="the largest |f - f'| over draws and 256 test inputs",
        span=span,
        study="start",
    )
    meaning = "root mean square over test inputs and draws of f - f' at the start, kappa = 1"
    in_m = against(drawn.loc[drawn["dim"] == 32], "width", "gap", meaning=meaning, statistic=root_mean_square_of)
    in_d = against(
        drawn.loc[drawn["width"] == drawn["width"].max()], "dim", "gap", meaning=meaning, statistic=root_mean_square_of
    )
    return Evidence(
        (
            *checks(),
            failures,
            constant,
            looseness,
            exponent(in_m, "exponent in m of the gap at the start", "start"),
            exponent(in_d, "exponent in d of the gap at the start", "start", x="d"),
            at(in_m, "gap at the start, d = 32", "start"),
        ),
        {"gap against m": in_m.table, "gap against d": in_d.table.rename(columns={"width": "dim"})},
        ("Lemma 5.1 bounds the gap by kappa alone: no width makes it smaller.",),
    )
