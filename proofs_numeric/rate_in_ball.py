"""I.2-rate: whether the loss contracts at every step at the rate of D25's Lemma I.2 itself.

**Statement.** For R <= O(lambda delta/(kappa^2 n^2 d D)), m >= Omega(lambda^-4 kappa^4 R^8 n^6 d^2/(delta eps)^4) and
norm(r) >= c eps, with probability at least 1 - delta: L(t+1) <= (1 - eta lambda/2) L(t). Theorem I.1 has eta <=
O(lambda delta/(kappa^2 n^2 d D)), the same expression as R.

**Derivation: it does not, where d is large.** The lemma adds the bounds on C1 to C4, of which that on C3 does not
hold (`step_in_ball`). At so small a step hardly any sign flips: about m d eta/sqrt(m) of all m d. Without flips the
output moves through s and mu only,

    Delta z_r(x) = <Delta w_r, A c_r/(d s_r) + B 1/d>,   A = <q_r, x>, B = <1, x>,

that is by -eta K_s r with a kernel K_s of order H/d. The loss falls by eta r^T K_s r, where the lemma asks for eta
lambda norm(r)^2/4: it contracts as it should if r^T K_s r/norm(r)^2 > lambda/4, which fails for large d as lambda
stays of order one for n < d. A flip, when there is one, moves L by order 1/sqrt(m), which is far more than eta lambda
L, to either side. Averaged over many networks or steps the flips make up for what is missing (K_eff, `c1b_terms`); a
single step contracts reliably only when there are many, that is for eta sqrt(m) large. Smaller rates, which the lemma
allows, make it worse.

**Experiment.** The steps of `step_in_ball`, one from the start at every width and four at one width, all of whose
weights stay within R. Networks with a step that contracts by less are counted at eta = R = 1 and 10^3 units
(constants 1/64 and 16); at 10^6 units, an ordinary rate, as context. The premise on m is met with room: R^8 is tiny.
"""

from __future__ import annotations

from ntk1bit.claims import Claim, Evidence, FailureRateBelow, IntervalWithin, Number
from proofs_numeric.ball_experiments import STEP_MULTIPLES, STEPS, count_failures, median
from proofs_numeric.data import DELTA, Data, grouped, highest
from proofs_numeric.proof import Proof
from proofs_numeric.step_in_ball import ASSUMED, mean_at_widest, span, steps_of

_MET = STEP_MULTIPLES[:2]  # the lemma's R and eta, with constants 1/64 and 16
_WORDS = {1.0: "the lemma's rate", 1e3: "10^3 times the lemma's rate", 1e6: "10^6 times the lemma's rate"}

CLAIM = Claim(
    id="I.2-rate",
    title="the loss contracts at every step at the lemma's rate",
    statement="With probability 1 - delta, L(t+1) <= (1 - eta lambda/2) L(t) at every step from the start, for eta = R "
    "= lambda delta/(64 n^2 d D), and for a thousand times that.",
    source="D25, Lemma I.2 and Theorem I.1",
    assumptions=f"{ASSUMED}; one step or four from the start, none of which takes a weight out of the ball; "
    "eps = norm(r).",
    refuted_by="a share of networks with a step that contracts less above delta at one of the settings (d, m, steps)",
    criteria=tuple(FailureRateBelow(f"outside.{multiple:.0f}", DELTA) for multiple in _MET),
    context=(FailureRateBelow("outside.1000000", DELTA), IntervalWithin("mean", low=0.5)),
    labels={
        **{
            f"outside.{m:.0f}": f"networks with a step above (1 - eta lambda/2), {words}" for m, words in _WORDS.items()
        },
        "steps": "share of all steps that contract less, lemma's rate",
        "median": "median fall of the loss over eta lambda/2, lemma's rate, largest d",
        "mean": "mean fall of the loss over eta lambda L, 10^6 times the lemma's rate, widest",
        "premise.width": "largest width that the lemma's premise on m asks for",
    },
    ranges="delta, and 1/2, the statement's own",
)


def evidence(data: Data) -> Evidence:
    """Count networks with a step that contracts by less than the lemma says."""
    frame = steps_of(data)
    frame = frame.loc[frame["moved"] <= frame["rate"]]
    frame = frame.assign(
        fails=frame["change"] > -frame["slope"] / 2,
        fall=-frame["change"] / frame["slope"],
        alone=-frame["c1"] / frame["slope"],
    )
    keys = ["dim", "width", "multiple", "steps"]
    networks = grouped(frame, [*keys, "seed"], ["fails"], "max")
    meaning = "networks with L(t+1) > (1 - eta lambda/2) L(t) at one of their steps within R"
    counts = []
    for multiple in STEP_MULTIPLES:
        one = networks.loc[networks["multiple"] == multiple]
        counts.append(count_failures(f"outside.{multiple:.0f}", meaning, one, "fails", keys, span(one), STEPS))
    lemma = frame.loc[frame["multiple"] == 1]
    last = lemma.loc[lemma["dim"] == highest(lemma["dim"])]
    one_step = frame.loc[frame["steps"] == 1]
    return Evidence(
        (
            *counts,
            Number("steps", "share", float(lemma["fails"].to_numpy().mean()), span(lemma), STEPS),
            Number("median", "over steps", 2 * median(last["fall"]), span(last), STEPS),
            mean_at_widest(one_step, "fall", 1e6, "mean", CLAIM),
            Number("premise.width", "constant 1, eps = norm(r)", highest(lemma["premise"]), span(lemma), STEPS),
        ),
        {"fall of the loss": grouped(frame, keys, ["fails", "fall", "alone"])},
        (
            f"At the lemma's rate the median step lowers the loss by {median(last['fall']):.2g} eta lambda L at d = "
            f"{highest(last['dim']):g}, where the lemma has 1/2 and C1 alone would give {median(last['alone']):.2g}: "
            "without flipped signs C3 takes the rest.",
        ),
    )


PROOFS = (Proof(CLAIM, (STEPS,), evidence),)
