r"""D25-steps: steps of D25's proofs that do not hold as printed (appendix H and the proof of Theorem I.1).

**Statement.** Each of these steps is used for every network, input and step of training.

1. *Lemma H.4, second step, and Eq. (12): "relu is 1-Lipschitz".* The change of 1[z >= 0] <w, x> is bounded by that of
   <w, x>, and the change of 1[z >= 0] <u, x> by that of <u, x>. But relu is 1-Lipschitz in *its* argument, and the
   indicator is that of z = <w, x> + <u, x>: where a neuron switches, all of <w, x>, or of <u, x>, jumps in or out,
   however small the step. (For the sum of both, as in Lemma H.6, the step is right.)
2. *Eq. (11): Markov.* |q_k(t) - q_k(t+1)| is 0 or 2. From its mean, which is of the order of the step, the proof
   passes to a bound of that order divided by delta "with probability 1 - delta", and uses it for all m d signs at once.
   A sign that flips, and in every step some do, moves by 2.
3. *Lemma H.5: "E[C3] = 0 by the symmetry of a".* Changing the sign of a_r changes that of the move of w_r as well:
   a_r times the change of 1[z_r >= 0] <u_r, x> does not change its sign. This is why C3 survives (`c1b_terms`).
4. *Proof of Theorem I.1, choice of T.* L(0) is replaced by the bound of Lemma I.3, which is one of norm(F(0) - y) =
   sqrt(2 L(0)). It costs a factor below 2 in T, since only its logarithm enters.

None of these is the end of its lemma's conclusion: H.4 to H.6 are judged by themselves (`step_in_ball`, `c1b_terms`).

**Experiment.** One step of twenty networks of D25's start in float64, with the four terms as D25 defines them.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntk1bit.claims import AtMost, Claim, Count, Evidence, IntervalWithin, NoFailures, Number
from ntk1bit.claims.measures import seeds_interval
from ntk1bit.data import tasks
from ntk1bit.networks.quantizers import effective_weights, quantize_neurons
from proofs_numeric.data import DELTA, Data
from proofs_numeric.proof import Proof

_NETWORKS, _WIDTH, _DIM, _POINTS, _RATE = 20, 2048, 32, 32, 0.25
_ROUNDING = 1e-12  # of products of float64 numbers of size 1

CLAIM = Claim(
    id="D25-steps",
    title="four steps of the proofs hold as printed",
    statement="A step changes 1[z >= 0] <w, x> by at most |<Delta w, x>|, and 1[z >= 0] <u, x> by at most that of "
    "<u, x>; no sign moves by more than 1/delta times the mean move; E C3 = 0; L(0) <= norm(F(0) - y).",
    source="D25, Lemma H.4 (second step), Eqs. (11) and (12), Lemma H.5, proof of Theorem I.1",
    assumptions=f"iid start, random labels on the sphere, n = {_POINTS}, d = {_DIM}, m = {_WIDTH}, eta_rel = "
    f"{_RATE:g}, delta = {DELTA:g}.",
    refuted_by="a pair of neuron and input that changes by more, a sign that moves by more, a mean of C3 beyond a "
    "tenth of eta r^T H r, or a start with L(0) above norm(F(0) - y)",
    criteria=(
        NoFailures("lipschitz.w", 1_000_000),
        NoFailures("lipschitz.u", 1_000_000),
        NoFailures("markov", _NETWORKS),
        IntervalWithin("c3.mean", -0.1, 0.1),
        AtMost("start", 1.0),
    ),
    labels={
        "lipschitz.w": "pairs whose 1[z >= 0] <w, x> changes by more than <w, x>",
        "lipschitz.u": "pairs whose 1[z >= 0] <u, x> changes by more than <u, x>",
        "lipschitz.w.largest": "largest change of 1[z >= 0] <w, x> over that of <w, x>",
        "lipschitz.u.largest": "largest change of 1[z >= 0] <u, x> over that of <u, x>",
        "markov": "networks with a sign that moves by more than 1/delta times the mean",
        "markov.allowed": "1/delta times the mean move of a sign",
        "flips": "signs that flip in the step, of each network",
        "c3.mean": "C3 / (eta r'Hr)",
        "start": "L(0) / norm(F(0) - y)",
    },
    ranges="the steps' own; of C3, a tenth, our reading of 'negligible'",
)


def evidence(data: Data) -> Evidence:  # noqa: ARG001 - drawn here: it takes seconds
    """Take one step of each network and look at every neuron and input."""
    found = [_one_step(seed) for seed in range(_NETWORKS)]
    of = f"{_NETWORKS} networks, m = {_WIDTH}, n = {_POINTS}, d = {_DIM}"
    pairs = _NETWORKS * _WIDTH * _POINTS
    totals = {name: [one[name] for one in found] for name in found[0]}
    flips = np.array(totals["flips"])
    allowed = 2 * flips / (_WIDTH * _DIM) / DELTA
    return Evidence(
        (
            *(
                Count(f"lipschitz.{part}", "pairs of neuron and input", int(sum(totals[part])), pairs, of, "checks")
                for part in ("w", "u")
            ),
            *(
                Number(f"lipschitz.{part}.largest", "over pairs", float(max(totals[f"{part} largest"])), of, "checks")
                for part in ("w", "u")
            ),
            Count("markov", "networks", int(np.sum((flips > 0) & (allowed < 2))), _NETWORKS, of, "checks"),
            Number(
                "markov.allowed", "largest over networks; a sign that flips moves by 2", allowed.max(), of, "checks"
            ),
            Number("flips", "fewest over networks", float(flips.min()), f"{of}: {_WIDTH * _DIM:,} signs", "checks"),
            seeds_interval(totals["c3"], "c3.mean", "with C3 as in Lemma H.5, mean over networks", of, "checks"),
            Number("start", "smallest over networks", float(min(totals["start"])), of, "checks"),
        )
    )


PROOFS = (Proof(CLAIM, (), evidence),)


def _one_step(seed: int) -> dict[str, float]:
    """Take one step of a network and return what each step of the proofs says of it."""
    task = tasks.load("sphere-random", n_train=_POINTS, n_test=0, seed=seed, dim=_DIM)
    x, y = task.x.astype(np.float64), task.y.astype(np.float64)
    rng = np.random.default_rng([seed, 46])
    w, a = rng.standard_normal((_WIDTH, _DIM)), rng.choice([-1.0, 1.0], _WIDTH)
    before = _parts(w, x)
    residual = a @ np.maximum(before["w"] + before["u"], 0) / np.sqrt(_WIDTH) - y
    active = before["active"]
    kernel = (x @ x.T) * (active.T.astype(np.float64) @ active) / _WIDTH
    eta = _RATE / float(np.linalg.eigvalsh(kernel)[-1])
    moved = w - eta / np.sqrt(_WIDTH) * a[:, None] * ((active * residual) @ x)
    after = _parts(moved, x)
    found: dict[str, float] = {}
    for part in ("w", "u"):
        gated = np.abs(after["active"] * after[part] - active * before[part])
        plain = np.abs(after[part] - before[part])
        found[part] = float(np.sum(gated > plain + _ROUNDING))
        found[f"{part} largest"] = float((gated / np.maximum(plain, _ROUNDING)).max())
    change = a @ (after["active"] * after["u"] - active * before["u"]) / np.sqrt(_WIDTH)
    found["flips"] = float(np.sum(_signs(w) != _signs(moved)))
    found["c3"] = float(residual @ change) / float(eta * residual @ kernel @ residual)
    found["start"] = float(0.5 * residual @ residual / np.linalg.norm(residual))
    return found


def _parts(w: Float[np.ndarray, "m d"], x: Float[np.ndarray, "n d"]) -> dict[str, Float[np.ndarray, "m n"]]:
    """Return <w_r, x_i>, <u(w_r), x_i>, and whether their sum is at least 0."""
    own, whole = w @ x.T, effective_weights(w) @ x.T
    return {"w": own, "u": whole - own, "active": whole >= 0}


def _signs(w: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m d"]:
    return np.asarray(quantize_neurons(w)[0], np.float64)
