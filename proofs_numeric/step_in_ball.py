"""H.2-ball to H.6-ball: a step at the rate of D25's lemmas, with the four terms as D25 defines them.

**Definitions (D25, p. 34).** Write f_i = sum_r g_ir + h_ir with g_ir = kappa/sqrt(m) a_r 1[z_r >= 0] <w_r, x_i> and
h_ir the same with u(w_r) for w_r. S_i holds the neurons whose activation on x_i no w within R of w_r(0) changes (Def.
E.1, E.2). Over a step, with r = F(t) - y,

    C1 = sum_i r_i sum_{r in S_i} (change of g_ir)      C2 = the same over the other neurons
    C3 = sum_i r_i sum_r (change of h_ir)               C4 = 1/2 norm(F(t+1) - F(t))^2.

(`ntk1bit.networks.two_layer.terms` splits otherwise: there C2 belongs to neurons that do switch, C3 to all that the
straight-through estimator does not see.)

**Statements.** H.2: L(t+1) = L(t) + C1 + C2 + C3 + C4. With probability at least 1 - delta: H.3: C1 <= (-eta kappa
lambda + O(eta kappa n^2 d R D/delta)) L. H.4: |C2| <= O(eta kappa n^1.5 d R D/delta) L. H.5: C3 <= O(eta kappa R^2
n^1.5 sqrt(d) D/(delta eps sqrt m)) L. H.6: |C4| <= O(eta^2 kappa^2 R^4 n^2 d D^2/(delta^2 eps^2 m)) L; in the last
two norm(r) >= c eps.

**Derivation: H.3 holds.** A neuron of S_i keeps its activation, so its g changes by <Delta w, x_i> or not at all: C1
= -eta r^T (H - H_perp) r exactly, H_perp summing over the others (Def. G.3). norm_F(H_perp) <= kappa^2 (n/m) sum_i
|others of i|, whose mean is at most kappa^2 n^2 sqrt(2/pi)(d + 4) R <= 4 kappa^2 n^2 d R; by Markov's inequality the
constant is 8, and R = lambda delta/(64 kappa^2 n^2 d D), our unit, gives C1 <= -(7/8) eta lambda L.

**H.4: a step of the proof that does not hold.** The change of 1[z >= 0] <w, x_i> is taken to be at most |<Delta w,
x_i>|, relu being 1-Lipschitz. But the indicator is that of z = <w, x> + <u, x>, not of <w, x>: where z changes sign
<w, x> = -<u, x> jumps in or out, by about 0.6, however small the step. For neurons that do not switch the constant is
8, by the same count as above. For one that does, C2/(eta L) is of order 1/(eta sqrt m) beside a bound of order eta =
R: about sqrt(m) d n^1.5 eta switches are to be expected, so with sqrt(m) growing like 1/eta the lemma fails in a
constant share of networks, by a factor that grows like 1/eta, whatever its constant.

**H.5: two steps that do not hold.** E C3 = 0 'by the symmetry of a' forgets that w(t+1) depends on a. And the bound
on the change of u keeps the term of flipped signs, of order R^2/(delta eps), and drops those of s, mu and w itself,
which are larger unless R^2 D >= delta eps. At a small step hardly any sign flips (about m d eta/sqrt(m) are to be
expected): then u moves by -Delta w but for s and mu, the output moves through s and mu only, by a kernel of order
H/d, and C3 = +eta r^T H r (1 - O(1/d)) *cancels C1*. The mean over many networks, in which the few flips count, is (1
- c) eta r^T H r (`c1b_terms`). Neither falls with R or m.

**Experiment.** Steps from the iid start at kappa = 1, in float64, on networks and data sets drawn anew, with eta = R
= 1, 10^3 and 10^6 units: the lemmas' with the constants 1/64, 16 and 16,000. S is decided for every pair of neuron
and input (`ntk1bit.networks.two_layer.pattern_changes`). H.3 and H.4 are held against their bounds with the constant
8 of their own steps; for H.5 and H.6, whose steps give none, constants are fitted on the smaller widths and tested on
the larger ones, with eps = norm(r) and the part of C3 above 0.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ntk1bit.claims import AtMost, Claim, Count, Evidence, FailureRateBelow, IntervalWithin, NoFailures, Number, Reach
from ntk1bit.claims.evidence import IntervalEstimate
from ntk1bit.claims.measures import BOUND_RANGES, bound_criteria, bound_labels, held_out_bound, seeds_interval
from proofs_numeric.ball_experiments import STEPS, count_failures, lowest, median
from proofs_numeric.data import DELTA, Data, grouped, highest, log_factor, span_of
from proofs_numeric.proof import Proof

CONSTANT = 8.0  # of the bounds of H.3 and H.4
_SETTINGS = ["dim", "width", "multiple"]
ASSUMED = "kappa = 1, iid start, n = 8 points of the sphere drawn anew for each network; delta = 0.05; eta = R"

IDENTITY = Claim(
    id="H.2-ball",
    title="D25's own four terms of a step add up",
    statement="L(t+1) = L(t) + C1 + C2 + C3 + C4 with C1 over S_i, C2 over its complement and C3 the change of the "
    "part of u; and C1 = -eta r^T (H - H_perp) r while no weight has left the ball.",
    source="D25, Claim H.2 and the first steps of Lemma H.3",
    assumptions=f"{ASSUMED}; float64, whose rounding is up to 10^-7 of eta r^T H r at the smallest rate.",
    refuted_by="a relative error above 10^-5 of eta r^T H r, or a neuron of S_i that the step switches on or off",
    criteria=(AtMost("sum.error", 1e-5), AtMost("c1.error", 1e-5), NoFailures("leaked", 1_000_000)),
    labels={
        "sum.error": "error of the sum, over eta r'Hr",
        "c1.error": "error of C1 = -eta r'(H - H_perp)r, over eta r'Hr",
        "leaked": "pairs in S whose activation a step within R changed",
    },
    reach=Reach(identity=True),
    ranges="rounding of float64 at the smallest rate",
)

C1 = Claim(
    id="H.3-ball",
    title="C1 lowers the loss at the rate of the lemma",
    statement="With probability 1 - delta, C1 <= (-eta lambda + 8 eta n^2 d R D/delta) L; so C1 <= -(7/8) eta lambda L "
    "at R = lambda delta/(64 n^2 d D).",
    source="D25, Lemma H.3",
    assumptions=ASSUMED,
    refuted_by="a failure rate above delta at one of the settings (d, m, R)",
    criteria=(FailureRateBelow("outside", DELTA),),
    context=(IntervalWithin("h", -1.05, -0.95),),
    labels={
        "outside": "networks with C1 above its bound",
        "h": "C1 / (eta r'Hr) at the lemma's R, widest",
        "looseness": "-C1 over (7/8) eta lambda L at the lemma's R",
    },
    reach=Reach(looseness="looseness"),
    ranges="delta, the statement's own; the constant is our proof's",
)

C2 = Claim(
    id="H.4-ball",
    title="C2 is small in each step",
    statement="With probability 1 - delta, |C2| <= 8 eta n^1.5 d R D/delta L.",
    source="D25, Lemma H.4",
    assumptions=f"{ASSUMED}; the lemma sets no condition on eta, R or m.",
    refuted_by="a failure rate above delta at one of the settings (d, m, R)",
    criteria=(FailureRateBelow("outside", DELTA),),
    context=(IntervalWithin("mean", -0.1, 0.1),),
    labels={
        "outside": "networks with |C2| above its bound",
        "mean": "mean of C2 / (eta r'Hr) at 10^6 times the lemma's rate, widest",
        "constant": "constant that 1 - delta of networks need at the worst setting",
        "switched": "of networks beyond the bound, share with a switched activation",
    },
    ranges="delta, the statement's own; the constant is that of neurons that do not switch",
)

C3 = Claim(
    id="H.5-ball",
    title="C3 is small in each step",
    statement="With probability 1 - delta, C3 <= O(eta R^2 n^1.5 sqrt(d) D/(delta eps sqrt m)) L, norm(r) >= eps.",
    source="D25, Lemma H.5",
    assumptions=f"{ASSUMED}; eps = norm(r), for which the bound is tightest but for the lemma's free c.",
    refuted_by="held-out networks beyond the fitted constant, or a C3 that grows faster with m than the bound",
    criteria=bound_criteria("bound", 100),
    context=(AtMost("share", 0.1),),
    labels=bound_labels("bound", "C3 against C eta R^2 n^1.5 sqrt(d) D/(delta eps sqrt m) L")
    | {
        "share": "C3 / (eta r'Hr) at the lemma's rate, widest, median over networks",
        "needed": "smallest constant at the lemma's rate",
    },
    ranges=BOUND_RANGES,
)

C4 = Claim(
    id="H.6-ball",
    title="C4 is small in each step",
    statement="With probability 1 - delta, |C4| <= O(eta^2 R^4 n^2 d D^2/(delta^2 eps^2 m)) L, norm(r) >= eps.",
    source="D25, Lemma H.6",
    assumptions=C3.assumptions,
    refuted_by="held-out networks beyond the fitted constant, or a C4 that grows faster with m than the bound",
    criteria=bound_criteria("bound", 100),
    context=(AtMost("share", 0.1),),
    labels=bound_labels("bound", "C4 against C eta^2 R^4 n^2 d D^2/(delta^2 eps^2 m) L")
    | {
        "share": "C4 / (eta r'Hr) at the lemma's rate, widest, median over networks",
        "needed": "smallest constant at the lemma's rate",
    },
    ranges=BOUND_RANGES,
)


def steps_of(data: Data) -> pd.DataFrame:
    """Return the study's rows with `change` C1 + ... + C4, `slope` eta lambda L, and the bounds with the constant 1."""
    frame = data.frame(STEPS)
    n, dim, m, rate, loss, eps, lowest_of = (
        frame[name].to_numpy(dtype=np.float64)
        for name in ("n_train", "dim", "width", "rate", "loss", "residual", "lambda_min")
    )
    log = log_factor(frame)
    return frame.assign(
        change=frame[["c1", "c2", "c3", "c4"]].to_numpy().sum(axis=1),
        slope=rate * lowest_of * loss,
        bound1=rate * n**2 * dim * rate * log / DELTA * loss,
        bound2=rate * n**1.5 * dim * rate * log / DELTA * loss,
        bound3=rate * rate**2 * n**1.5 * np.sqrt(dim) * log / (DELTA * eps * np.sqrt(m)) * loss,
        bound4=rate**2 * rate**4 * n**2 * dim * log**2 / (DELTA**2 * eps**2 * m) * loss,
        premise=rate**8 * n**6 * dim**2 / (lowest_of * DELTA * eps) ** 4,
    )


def first_steps(data: Data) -> pd.DataFrame:
    """Return the steps of the networks that took one, at every width, with each term over eta r^T H r."""
    frame = steps_of(data)
    frame = frame.loc[frame["steps"] == 1]
    return frame.assign(**{f"share{k}": frame[f"c{k}"] / frame["unit"] for k in (1, 2, 3, 4)})


def identity_evidence(data: Data) -> Evidence:
    """Find the largest errors, and the pairs in S that a step changed all the same."""
    frame = steps_of(data)
    inside = frame.loc[frame["moved"] <= frame["rate"]]
    first = inside.loc[inside["step"] == 0]
    total = (frame["loss_after"] - frame["loss"] - frame["change"]) / frame["unit"]
    apart = (first["c1"] + first["unit"] - first["outside"]) / first["unit"]
    pairs = ((1 - inside["share"]) * inside["n_train"] * inside["width"]).to_numpy()
    where = f"{len(frame):,} steps, {span(frame)}"
    return Evidence(
        (
            Number("sum.error", "largest |L(t+1) - L(t) - C1 - C2 - C3 - C4|", highest(total.abs()), where, STEPS),
            Number("c1.error", "largest |C1 + eta r'(H - H_perp)r|, first steps", highest(apart.abs()), where, STEPS),
            Count(
                "leaked",
                "pairs (neuron, input) of S that a step within R switched",
                int(inside["leaked"].to_numpy().sum()),
                round(float(pairs.sum())),
                where,
                STEPS,
            ),
        ),
        {"outside S": grouped(frame, _SETTINGS, ["rate", "share", "switched", "moved"])},
    )


def c1_evidence(data: Data) -> Evidence:
    """Hold C1 against its bound."""
    frame = first_steps(data)
    frame = frame.assign(
        beyond=frame["c1"] > CONSTANT * frame["bound1"] - frame["slope"],
        fall=-frame["c1"] / (frame["slope"] * 7 / 8),
    )
    meaning = "networks with C1 above its bound with the constant 8"
    lemma = frame.loc[frame["multiple"] == 1]
    return Evidence(
        (
            count_failures("outside", meaning, frame, "beyond", _SETTINGS, span(frame), STEPS),
            mean_at_widest(frame, "share1", 1.0, "h", C1),
            Number("looseness", "median", median(lemma["fall"]), span(lemma), STEPS),
        ),
        {"C1": grouped(frame, _SETTINGS, ["share1", "fall", "beyond"])},
    )


def c2_evidence(data: Data) -> Evidence:
    """Hold C2 against its bound, and find the constant that would be needed."""
    frame = first_steps(data)
    frame = frame.assign(needed=frame["c2"].abs() / frame["bound2"])
    frame = frame.assign(beyond=frame["needed"] > CONSTANT, any_switched=frame["switched"] > 0)
    table = grouped(frame, _SETTINGS, ["beyond", "any_switched", "switched"])
    table["needed"] = frame.groupby(_SETTINGS)["needed"].quantile(1 - DELTA).to_numpy()
    beyond = frame.loc[frame["beyond"], "any_switched"].to_numpy()
    meaning = "networks with |C2| above its bound with the constant 8"
    return Evidence(
        (
            count_failures("outside", meaning, frame, "beyond", _SETTINGS, span(frame), STEPS),
            mean_at_widest(frame, "share2", 1e6, "mean", C2),
            Number("constant", "largest over settings", highest(table["needed"]), span(frame), STEPS),
            *((Number("switched", "share", float(beyond.mean()), span(frame), STEPS),) if len(beyond) else ()),
        ),
        {"C2": table},
    )


def c3_evidence(data: Data) -> Evidence:
    """Fit the constant of the bound on C3 at small widths and test it at larger ones."""
    return _fitted(first_steps(data), 3)


def c4_evidence(data: Data) -> Evidence:
    """Fit the constant of the bound on C4 at small widths and test it at larger ones."""
    return _fitted(first_steps(data), 4)


def _fitted(frame: pd.DataFrame, term: int) -> Evidence:
    """Return the evidence on a bound without a constant of its own, on the part of the term above 0."""
    bound, share = f"bound{term}", f"share{term}"
    frame = frame.assign(measured=frame[f"c{term}"].clip(lower=0.0))
    frame = frame.assign(needed=frame["measured"] / frame[bound])
    lemma = frame.loc[frame["multiple"] == 1]
    last = at_widest(lemma)
    made = held_out_bound(
        frame,
        measured="measured",
        bound=bound,
        measure="bound",
        meaning=f"C{term}",
        span=span(frame),
        study=STEPS,
        settings=("dim", "multiple"),
    )
    constant = lowest(lemma.groupby(["dim", "width"])["needed"].quantile(1 - DELTA))
    meaning = "for 1 - delta of networks at the mildest (d, m)"
    return Evidence(
        (
            *made,
            Number("share", "median over networks", median(last[share]), span(last), STEPS),
            Number("needed", meaning, constant, span(lemma), STEPS),
        ),
        {f"C{term}": grouped(frame, _SETTINGS, [share, "needed"], "median")},
        (f"For C{term} to keep to its bound at the lemma's rate the constant must be {constant:.0e} or more.",),
    )


def at_widest(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the largest width."""
    return frame.loc[frame["width"] == highest(frame["width"])]


def mean_at_widest(frame: pd.DataFrame, column: str, multiple: float, measure: str, claim: Claim) -> IntervalEstimate:
    """Return the mean of a column over networks at the largest width."""
    at = at_widest(frame.loc[frame["multiple"] == multiple])
    values = grouped(at, ["seed"], [column])[column].to_numpy()
    return seeds_interval(values, measure, claim.label(measure), span(at), STEPS)


def span(frame: pd.DataFrame) -> str:
    """Write the ranges of d and m."""
    return span_of(frame, d="dim", m="width")


PROOFS = (
    Proof(IDENTITY, (STEPS,), identity_evidence),
    Proof(C1, (STEPS,), c1_evidence),
    Proof(C2, (STEPS,), c2_evidence),
    Proof(C3, (STEPS,), c3_evidence),
    Proof(C4, (STEPS,), c4_evidence),
)
