"""I.6-ball, D.7-ball: weights within R of the start keep the bounds of the start (D25, Lemmas I.6 and D.7 at R > 0).

**Statements.** With probability at least 1 - delta, for all weights with norm(w_r - w_r(0)) <= R: norm(w_r) <=
O(sqrt(d) D + R), mu(w_r) <= O(D + R) and s(w_r) <= O(D + R) (I.6, parts 3, 6 and 7; parts 1, 2, 4 and 5 are the same
at the start); and <u(w_r), x> <= O(d (D + R)) for norm(x) = 1 (D.7).

**Proof, with constants.** Let B = sqrt(2 log(m d/delta)), above all |w_rk(0)| but with probability delta
(`lemma_i6`). mu is the projection on 1/d, so |mu(w) - mu(w(0))| <= R/sqrt(d); sqrt(d) s is the length of the
projection on the complement of 1, so |s(w) - s(w(0))| <= R/sqrt(d); and norm(w) <= norm(w(0)) + R. All three are
reached, by moves along 1, along c = w - mu and along w. So C = sqrt(2) serves for I.6 at every R. For D.7, norm(u)^2
= 2 d s (s - mean|c|) <= 2 d s^2 (`lemma_d7`) gives

    |<u(w), x>| <= sqrt(2 d) s(w) <= sqrt(2 d) s(w(0)) + sqrt(2) R,

without a power of d before R, where D25 has d R. For d >= 2 and s(w(0)) <= sqrt(d/2) D it is below d (D + R): D25's
bound with the constant 1.

**Experiment.** Networks as drawn, balls of radius 0.01 to 10 around each neuron's weights. On the neurons with the
most extreme norms, means, scales and differences the moves named above, random ones, and gradient ascent on norm(u)
are made, and the moved weights are evaluated; the worst x is u/norm(u). No one of them may exceed the closed forms.
Draws in which D25's bounds fail with these constants are counted at each (d, m, R). The constant of D.7 is also
fitted on the smaller widths and tested on the larger ones.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ntk1bit.claims import Claim, Count, Evidence, FailureRateBelow, NoFailures, Number, Reach
from ntk1bit.claims.measures import BOUND_RANGES, bound_criteria, bound_labels, bound_reach, held_out_bound
from proofs_numeric.ball_experiments import WEIGHTS, count_failures, lowest
from proofs_numeric.data import DELTA, Data, grouped, highest, log_factor, span_of
from proofs_numeric.proof import Proof

_SETTINGS = ["dim", "width", "radius"]
_LOOSE = "smallest over settings of the bound over the mean of the largest"

_GROWS = ("dim", "radius")

MOMENTS = Claim(
    id="I.6-ball",
    title="weights near the start are bounded",
    statement="With probability 1 - delta, for all weights within R of the start: norm(w_r) <= C (sqrt(d) D + R), "
    "|mu(w_r)| <= C (D + R) and s(w_r) <= C (D + R), and at the start max|w_rk| <= C D; C = sqrt(2) by our proof.",
    source="D25, Lemma I.6, parts 1 to 7",
    assumptions="w_r(0) ~ N(0, I_d); delta = 0.05; R = 0.01 to 10.",
    refuted_by="a failure rate above delta at one of the settings (d, m, R), by exact binomial tests, or weights in a "
    "ball beyond the closed forms",
    criteria=(FailureRateBelow("outside", DELTA), NoFailures("beyond", 100_000)),
    labels={
        "outside": "draws in which a bound fails within R",
        "beyond": "weights in a ball beyond norm + R, |mu| + R/sqrt d, s + R/sqrt d or sqrt(2 d) s + sqrt(2) R",
        "looseness.norm": "looseness of the bound on norm(w)",
        "looseness.mean": "looseness of the bound on |mu(w)|",
        "looseness.std": "looseness of the bound on s(w)",
    },
    reach=Reach(looseness="looseness.norm"),
    ranges="delta, the statement's own; the constant is our proof's",
)

DIFFERENCE = Claim(
    id="D.7-ball",
    title="u is bounded near the start as well",
    statement="With probability 1 - delta, |<u(w), x>| <= d (D + R) for norm(x) = 1 and all w within R of the start; "
    "in fact |<u(w), x>| <= sqrt(2 d) s(w(0)) + sqrt(2) R.",
    source="D25, Lemma D.7",
    assumptions="std scale; w_r(0) ~ N(0, I_d); delta = 0.05; R = 0.01 to 10; the largest is searched for by ascent.",
    refuted_by="a failure rate above delta at one of the settings (d, m, R), weights beyond the closed form, a "
    "held-out network beyond the fitted constant, or a largest difference that grows faster with m than the bound",
    criteria=(
        FailureRateBelow("outside", DELTA),
        NoFailures("beyond", 100_000),
        *bound_criteria("bound", 100),
    ),
    labels=bound_labels("bound", "largest |<u, x>| within R against C d (D + R)", _GROWS)
    | {
        "outside": "draws with |<u, x>| above d (D + R) within R",
        "beyond": MOMENTS.labels["beyond"],
        "looseness": "looseness of d (D + R)",
        "reach": "largest found over sqrt(2 d) s + sqrt(2) R, at the largest d",
    },
    reach=bound_reach("bound", _GROWS),
    ranges=f"delta, the statement's own; {BOUND_RANGES}",
)


def moments_evidence(data: Data) -> Evidence:
    """Count draws in which a bound of Lemma I.6 fails within R."""
    drawn = data.frame(WEIGHTS)
    root = np.sqrt(drawn["dim"].to_numpy(dtype=np.float64))
    largest = np.sqrt(2) * log_factor(drawn)
    room = np.sqrt(2) * drawn["radius"].to_numpy()
    limits = {"norm": root * largest, "mean": largest, "std": largest}
    outside = drawn["start_weight"].to_numpy() > largest
    loose = {}
    for name, limit in limits.items():
        outside |= drawn[f"start_{name}"].to_numpy() > limit
        outside |= drawn[name].to_numpy() > limit + room
        loose[name] = (limit + room) / drawn[name].to_numpy()
    drawn = drawn.assign(outside=outside, **{f"loose_{name}": one for name, one in loose.items()})
    span = span_of(drawn, d="dim", m="width", R="radius")
    table = grouped(drawn, _SETTINGS, [f"loose_{name}" for name in limits])
    meaning = "draws in which one of the bounds with C = sqrt(2) fails"
    return Evidence(
        (
            count_failures("outside", meaning, drawn, "outside", _SETTINGS, span, WEIGHTS),
            _beyond(drawn, span),
            *(Number(f"looseness.{name}", _LOOSE, lowest(table[f"loose_{name}"]), span, WEIGHTS) for name in limits),
        ),
        {"looseness": table},
    )


def difference_evidence(data: Data) -> Evidence:
    """Hold the largest |<u(w), x>| found within R against D25's bound and against ours."""
    drawn = data.frame(WEIGHTS)
    dim = drawn["dim"].to_numpy(dtype=np.float64)
    drawn = drawn.assign(
        bound=dim * (log_factor(drawn) + drawn["radius"].to_numpy()),
        ours=np.sqrt(2 * dim) * drawn["start_std"].to_numpy() + np.sqrt(2) * drawn["radius"].to_numpy(),
    )
    drawn["outside"] = drawn["u"] > drawn["bound"]
    span = span_of(drawn, d="dim", m="width", R="radius")
    bound = held_out_bound(
        drawn,
        measured="u",
        bound="bound",
        measure="bound",
        meaning="the largest norm(u(w)) within R",
        span=span,
        study=WEIGHTS,
        settings=("dim", "radius"),
        grows=_GROWS,
    )
    table = grouped(drawn, _SETTINGS, ["u", "ours", "bound"])
    table["looseness"] = table["bound"] / table["u"]
    last = table.loc[table["dim"] == highest(table["dim"])]
    meaning = "draws with norm(u(w)) > d (D + R) for a w within R"
    return Evidence(
        (
            count_failures("outside", meaning, drawn, "outside", _SETTINGS, span, WEIGHTS),
            _beyond(drawn, span),
            *bound,
            Number("looseness", _LOOSE, lowest(table["looseness"]), span, WEIGHTS),
            Number(
                "reach",
                "smallest over settings of the largest found over our bound",
                lowest(last["u"] / last["ours"]),
                span_of(last, d="dim", m="width", R="radius"),
                WEIGHTS,
            ),
        ),
        {"largest within R": table},
        (
            f"At d = {highest(table['dim']):g} D25's bound is {lowest(last['looseness']):.0f} to "
            f"{highest(last['looseness']):.0f} times the largest found: R enters without a power of d.",
        ),
    )


def _beyond(drawn: pd.DataFrame, span: str) -> Count:
    """Count searched weights beyond the closed forms."""
    failures, trials = (int(np.sum(drawn[name].to_numpy())) for name in ("beyond", "searched"))
    return Count("beyond", "weights searched", failures, trials, span, WEIGHTS)


PROOFS = (Proof(MOMENTS, (WEIGHTS,), moments_evidence), Proof(DIFFERENCE, (WEIGHTS,), difference_evidence))
