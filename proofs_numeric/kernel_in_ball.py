"""G.5-ball: the kernel of an initial network over the ball of radius R (D25, Lemma G.5), every weight in it.

**Statement.** If R <= O(lambda delta/(kappa^2 n^2 d D)), then with probability at least 1 - delta, for weights with
norm(w_r - w_r(0)) <= R: norm_F(H - H(0)) <= O(n^2 d R D/delta) and lambda_min(H) >= lambda/2.

**Derivation, with constants.** Let S_i' be the neurons whose activation on x_i can change within R (Def. E.1 and
E.2). For every W in the balls |H_ij(W) - H_ij(0)| <= kappa^2 |<x_i, x_j>| |S_i' or S_j'|/m =: kappa^2 M_ij, with no
probability in it. A neuron is in S_i' with probability at most P = sqrt(2/pi)(d + 4) R (`eq_5`), so

    E norm_F(kappa^2 M) <= 2 kappa^2 n sqrt(P^2 + P/m)        (ours: Minkowski and Jensen, as in `lemma_g5`)
    E sum_ij M_ij <= 2 n^2 P <= 8 n^2 d R,                    (D25's: over all pairs, 2 sqrt(2/pi)(d + 4) <= 8 d)

and Markov's inequality gives D25's bound with the constant 8 (D >= 1; (d + 4) <= 5 d). With R = lambda delta/(64
kappa^2 n^2 d D), a multiple of one as the lemma has it, it says norm_F <= lambda/8, so that lambda_min >= (7/8)
lambda by Weyl's inequality. The R of the lemma depends on the network through lambda; but R <= delta/(64 n^2 d D), as
lambda <= kappa^2, and S_i' only grows with R: the proportion of neurons that can change is bounded at that R.

**Experiment.** Every pair of neuron and input is decided by going through the signs that can flip
(`ntk1bit.networks.two_layer.pattern_changes`), so kappa^2 M is a bound for *all* W in the balls, not for those tried.
It is held against D25's bound and against lambda/2, on networks and data sets drawn anew, at the lemma's R and at
multiples of it. From below, an adversary lowers lambda_min with the moves found, neuron by neuron, and random moves
are made. The multiples show how far R can grow before the conclusion fails; the radius that Claim I.5 allows in
training shows how far from the lemma's R it is.
"""

from __future__ import annotations

import numpy as np

from ntk1bit.claims import Claim, Evidence, FailureRateBelow, IntervalWithin, NoFailures, Number, Reach
from ntk1bit.claims.measures import against, exponent, seeds_interval
from ntk1bit.experiments.within_ball import SHARE
from proofs_numeric.ball_experiments import KERNELS, count_failures, lowest, median
from proofs_numeric.data import DELTA, VACUITY, Data, grouped, highest, log_factor, span_of, vacuity
from proofs_numeric.proof import Proof

CONSTANT = 8.0  # of norm_F <= 8 n^2 d R D/delta
_LARGE = 1e6  # the multiple at which means are judged: there many activations can change
_SETTINGS = ["dim", "width", "multiple"]

CLAIM = Claim(
    id="G.5-ball",
    title="the kernel stays near its start within R",
    statement="For R = lambda delta/(64 n^2 d D), with probability 1 - delta and for all W within R of the start: "
    "norm_F(H(W) - H(0)) <= 8 n^2 d R D/delta and lambda_min(H(W)) >= lambda_min(H(0))/2; the first at every R.",
    source="D25, Lemmas 4.1 and G.5",
    assumptions="kappa = 1; iid start; n = 8 points of the sphere, drawn anew for each network; delta = 0.05.",
    refuted_by="a failure rate above delta at one of the settings, a change where none is possible, a mean above our "
    "bound on it, or a largest change that does not vanish with R",
    criteria=(
        FailureRateBelow("frobenius", DELTA),
        FailureRateBelow("lambda", DELTA),
        NoFailures("excluded", 100),
        IntervalWithin("mean", high=1.0),
        IntervalWithin("radius", low=0.8),
    ),
    labels={
        "frobenius": "networks with a norm_F within R that may exceed 8 n^2 d R D/delta",
        "lambda": "networks whose lambda_min may fall below half within the lemma's R",
        "excluded": "networks where tried moves change H by more than the bound for all W",
        "mean": "mean of the bound for all W over 2 n sqrt(P^2 + P/m), R = 10^6 times the lemma's",
        "radius": "exponent in R of the bound for all W",
        "looseness": "looseness of 8 n^2 d R D/delta",
        "kept": "lambda_min/lambda that an adversary leaves at 3 10^6 times the lemma's R",
        "premise.ratio": "R of Claim I.5 over lambda delta/(n^2 d D)",
        "premise.width": "width at which Claim I.5 would give the lemma's R",
        "premise.vacuity": VACUITY,
    },
    reach=Reach(looseness="looseness", width="premise.vacuity"),
    ranges="delta, the statement's own; the constant is our proof's",
)


def evidence(data: Data) -> Evidence:
    """Hold what all weights within R can do to the kernel against the lemma."""
    drawn = data.frame(KERNELS)
    n, dim, width, radius, most, lambda_min = (
        drawn[name].to_numpy(dtype=np.float64) for name in ("n_train", "dim", "width", "radius", "most", "lambda_min")
    )
    chance = np.sqrt(2 / np.pi) * (dim + 4) * radius
    bound = CONSTANT * n**2 * dim * radius * log_factor(drawn) / DELTA
    tried = np.maximum(drawn["reached"].to_numpy(), drawn["random"].to_numpy())
    farther = drawn["claimed"].to_numpy() * drawn["multiple"].to_numpy() / (SHARE * radius)
    drawn = drawn.assign(
        bound=bound,
        above=most > bound,
        halves=most > lambda_min / 2,
        excluded=tried > most + 1e-12,  # rounding of H, whose entries are below 1
        ratio=most / (2 * n * np.sqrt(chance**2 + chance / width)),
        kept=drawn["lambda_reached"].to_numpy() / lambda_min,
        farther=farther,
        wide=width * farther**2,
    )
    span = span_of(drawn, d="dim", m="width")
    lemma = drawn.loc[drawn["multiple"] == 1]
    widest = drawn.loc[drawn["width"] == highest(drawn["width"])]
    large = widest.loc[widest["multiple"] == _LARGE]
    at = highest(widest["dim"])
    # radii differ a little from network to network; the multiple stands for R
    rising = widest.loc[(widest["dim"] == at) & widest["multiple"].between(2, _LARGE)]
    in_radius = against(rising, "multiple", "most", meaning=f"bound for all W, d = {at:g}")
    columns = ["radius", "share", "undecided", "random", "reached", "most", "bound", "kept"]
    table = grouped(drawn, _SETTINGS, columns)
    kept = lowest(table.loc[table["multiple"] == highest(table["multiple"]), "kept"])
    loose = bound[most > 0] / most[most > 0]
    wide = lowest(lemma["wide"])
    meanings = CLAIM.labels
    return Evidence(
        (
            count_failures("frobenius", meanings["frobenius"], drawn, "above", _SETTINGS, span, KERNELS),
            count_failures("lambda", meanings["lambda"], lemma, "halves", _SETTINGS, span, KERNELS),
            count_failures("excluded", meanings["excluded"], drawn, "excluded", _SETTINGS, span, KERNELS),
            seeds_interval(
                grouped(large, ["seed"], ["ratio"])["ratio"].to_numpy(),
                "mean",
                "bound for all W over 2 n sqrt(P^2 + P/m)",
                span_of(large, d="dim", m="width"),
                KERNELS,
            ),
            exponent(in_radius, "radius", KERNELS),
            *(
                (Number("looseness", "median over networks and radii", median(loose), span, KERNELS),)
                if len(loose)
                else ()
            ),
            Number("kept", "mean over networks, lowest over settings", kept, span, KERNELS),
            Number("premise.ratio", "smallest over networks, constants 1", lowest(lemma["farther"]), span, KERNELS),
            Number("premise.width", "smallest over networks, R ~ m^-1/2, constants 1", wide, span, KERNELS),
            vacuity("premise.vacuity", float(np.log10(wide)), highest(drawn["width"]), span, KERNELS),
        ),
        {"over the ball": table},
        (
            f"Claim I.5 allows weights to move {lowest(lemma['farther']):.1g} times as far as Lemma G.5 lets them, or "
            f"more: together they need a width of about 10^{np.log10(wide):.0f}.",
        ),
    )


PROOFS = (Proof(CLAIM, (KERNELS,), evidence),)
