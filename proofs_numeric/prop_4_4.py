r"""D25, Proposition 4.4: a 1-bit Transformer's loss is minimised through one feed-forward layer.

**Statement.** Some first-order method brings the loss of a 1-bit Transformer, of which one feed-forward layer trains,
to at most eps if the layer is wide enough: m >= Omega(lambda^-8 n^12 K^12 d^20/(delta eps)^4) for n sequences of K
tokens.

**What can be tested.** The proposition names a sufficient width. It is wrong if some loss cannot be reached at any
width, or if the width needed grows faster than eps^-4; so the loss reached has to fall at least as fast as m^-1/4. Both
are tested on one block with one method, straight-through gradient descent. One method that failed would not refute
"some first-order method"; one that succeeds is an instance of it.

**Derivation.** Everything below the layer is frozen, so each of the N = n K token features h_i, scaled to norm 1, is a
fixed point of the sphere, and the layer is a two-layer network on N points. What differs from Theorem 4.2 is that its
outputs are vectors: neuron r adds a_r in {-1,+1}^p times its activation, p outputs.

1. *Kernel.* H_(io)(jo') = kappa^2 <h_i,h_j> (1/m) sum_r a_ro a_ro' 1[z_r(h_i) >= 0] 1[z_r(h_j) >= 0]. For o = o' this
   is the kernel of D25, Def. G.1; for o != o' signs are independent of activation patterns and it is O(1/sqrt m). So
   descent is, up to that, p two-layer networks which share their neurons, and the argument of Theorem 4.2 applies with
   n -> n K.
2. *Flip noise* (`c2_floor`, steps 1 to 3). Neuron r sees the residual sum_o a_ro r_io, whose sum of squares over i is
   rho^2 = norm(r)^2 in the mean; so its signs flip as often as with one output of that residual. A flip moves all p
   outputs, each as it would move the one: Sigma = A eta kappa rho/sqrt(m d) H x I_p. The stationary covariance is A
   kappa rho/(2 c sqrt(m d)) I of N p dimensions instead of n, hence

       L_inf = (n K p)^2 kappa^2/(2 pi m d):

   the loss reached falls as 1/m, four times faster in log m than the proposition needs. The constant is for
   spread-out features; features of real text are correlated, which raises it. Widths at which this is not small against
   the loss at the start are not described.

**Experiment.** Windows of a real text, the later half of the tokens of each, features from one causal 1-bit attention
block of 32 dimensions with random weights; targets are a fixed random unit code in R^4 of the next character. Paired
start, eta_rel = 1, a fixed number of steps; 1-bit and full precision from the same W(0), a and block, against width.
A seed draws windows, block and layer; windows and block are the same at every width, so intervals of exponents,
which take widths as independent, are if anything too wide. The loss reached is the mean over the last tenth of the
steps. In long training flip noise makes latent weights wander, and the loss of narrow layers can rise again; so the
lowest mean over any tenth of the steps is reported beside it. Exponents in n, K, d and lambda are not measured here.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ntk1bit.claims import Claim, Evidence, IntervalEstimate, IntervalWithin, Number, Reach
from ntk1bit.claims.measures import against, at, exponent, seeds_interval
from proofs_numeric.c2_floor import CONSTANT
from proofs_numeric.data import DELTA, VACUITY, Data, grouped, highest, rows, span_of, theorem_width, vacuity
from proofs_numeric.data import widest as widest_widths
from proofs_numeric.proof import Proof

CLAIM = Claim(
    id="4.4",
    title="one feed-forward layer minimises the loss",
    statement="Any loss is reached by training one wide feed-forward layer of a 1-bit Transformer, with a width that "
    "grows no faster than eps^-4: the loss reached falls at least as m^-1/4.",
    source="D25, Prop 4.4",
    assumptions="one block, frozen below the layer; paired start, fixed steps of straight-through descent; the "
    "proposition's width is out of reach, so its conclusion is tested at widths far below.",
    refuted_by="a loss that falls more slowly than m^-1/4, or stays above a tenth of its start at the widest layer",
    criteria=(
        IntervalWithin("loss.m", high=-0.25),
        IntervalWithin("loss.over_start.widest", high=0.1),
    ),
    context=(
        IntervalWithin("loss.lowest.m", high=-0.25),
        IntervalWithin("loss.m.widest", -1.2, -0.8),
        IntervalWithin("loss.over_law.widest", 0.5, 2.0),
        IntervalWithin("loss.full_over_one_bit.widest", high=0.1),
    ),
    labels={
        "loss.m": "exponent of the loss reached in m, 1-bit",
        "loss.lowest.m": "exponent of the lowest loss in m, 1-bit",
        "loss.m.widest": "exponent of the loss reached in m, 1-bit, widest widths",
        "loss.over_start.widest": "loss reached over its start at the widest, 1-bit",
        "loss.over_law.widest": "loss reached over (n K p)^2 kappa^2/(2 pi m d), widest",
        "loss.full_over_one_bit.widest": "loss reached at the widest, full precision over 1-bit",
        "proposition.log10": "log10 of the proposition's width",
        "proposition.vacuity": VACUITY,
        "lambda_min": "smallest lambda_min(H(0))",
        "closest": "largest |<h_i, h_j>|",
    },
    reach=Reach(width="proposition.vacuity", sizes="one block, p = 4 outputs, where the proposition has p = d"),
    ranges="-1/4 is the power of N in Proposition 4.3; a tenth of the start is our reading of 'minimises'",
)
_STUDY = "feed-forward"
_REACHED = "training loss, mean over the last tenth of the steps"
_MOVING = 2**0.2  # loss half-way over loss at the end, or its inverse: a slope of 0.2 in log L against log t


def evidence(data: Data) -> Evidence:
    """Fit the loss reached against width, and compare it with its start, the floor law and full precision."""
    frame = data.frame(_STUDY)
    cells = pd.DataFrame(frame.groupby(["precision", "width", "seed"]).first()).reset_index()
    cells["share"] = cells["level"] / cells["loss_start"]
    diverged = sorted(cells.loc[cells["diverged"], "width"].unique())  # a mean over the other seeds would flatter
    kept = cells.loc[~cells["width"].isin(diverged)]
    one_bit, full = (kept.loc[kept["precision"] == precision] for precision in ("one_bit", "full"))
    reached, reached_full = (against(part, "width", "level", meaning=_REACHED) for part in (one_bit, full))
    wide = against(widest_widths(one_bit), "width", "level", meaning=_REACHED)
    lowest = against(one_bit, "width", "level_lowest", meaning="lowest mean training loss over a tenth of the steps")
    share = against(one_bit, "width", "share", meaning=f"{_REACHED}, over the loss at the start")
    at_widest, remark = _at_widest(one_bit, full)
    tables = [rows(reached.table, precision="one_bit"), rows(reached_full.table, precision="full")]
    return Evidence(
        (
            exponent(reached, "loss.m", _STUDY),
            exponent(lowest, "loss.lowest.m", _STUDY),
            exponent(wide, "loss.m.widest", _STUDY),
            at(share, "loss.over_start.widest", _STUDY),
            *at_widest,
            Number(
                "lambda_min",
                "over networks of both precisions, kernel of all outputs",
                float(kept["lambda_min"].min()),
                span_of(kept, m="width"),
                _STUDY,
            ),
            Number(
                "closest",
                "over pairs of tokens: 1 for two tokens alike",
                highest(kept["closest"]),
                f"{kept['seed'].nunique()} seeds",
                _STUDY,
            ),
        ),
        {
            "loss against width": pd.concat(tables, ignore_index=True),
            "loss by step": _curves(frame.loc[~frame["width"].isin(diverged)]),
        },
        (*_left_out(diverged), *_moving(one_bit), remark),
    )


PROOFS = (Proof(CLAIM, (_STUDY,), evidence),)


def _at_widest(one_bit: pd.DataFrame, full: pd.DataFrame) -> tuple[tuple[IntervalEstimate | Number, ...], str]:
    """Compare the loss at the widest layers with the floor law, full precision and the proposition's width."""
    width = highest(one_bit["width"])
    ours, twins = (part.loc[part["width"] == width].set_index("seed").sort_index() for part in (one_bit, full))
    tokens, outputs, dim, kappa = (highest(ours[name]) for name in ("tokens", "outputs", "dim", "kappa"))
    where = f"m = {width:g}, n K = {tokens:g}, p = {outputs:g}, d = {dim:g}"
    law = CONSTANT * (tokens * outputs * kappa) ** 2 / (width * dim)
    loss = float(ours["level"].mean())
    asked = theorem_width(float(ours["lambda_min"].min()), tokens, dim, loss, dim_power=20)
    measures = (
        seeds_interval(
            ours["level"] / law,
            "loss.over_law.widest",
            "measured loss over the large-d law, which has no fitted constant",
            where,
            _STUDY,
        ),
        seeds_interval(
            twins["level"] / ours["level"],
            "loss.full_over_one_bit.widest",
            "ratio at the same seed: same block, same W(0) and a",
            where,
            _STUDY,
        ),
        Number("proposition.log10", f"for the loss {loss:.2g}, constant 1", asked, where, _STUDY),
        vacuity("proposition.vacuity", asked, width, where, _STUDY),
    )
    remark = (
        f"For L = {loss:.1e} the proposition requires a width of 10^{asked:.0f} (constant 1, delta = {DELTA:g}); "
        f"a width of {width:g} suffices."
    )
    return measures, remark


def _moving(one_bit: pd.DataFrame) -> list[str]:
    """Name the widths at which the mean loss has not converged at the end."""
    means = grouped(one_bit, ["width"], ["level_half", "level"])
    change = means["level_half"].to_numpy(np.float64) / means["level"].to_numpy(np.float64)
    remarks = []
    for what, places in (("decreasing", change > _MOVING), ("increasing", change < 1 / _MOVING)):
        widths = means["width"].to_numpy()[places]
        if len(widths):
            remarks.append(f"1-bit losses still {what} at the end: widths {', '.join(map(str, widths))}.")
    return remarks


def _left_out(diverged: list[int]) -> list[str]:
    if not diverged:
        return []
    return [f"Some networks diverged; their widths are left out: {', '.join(map(str, diverged))}."]


def _curves(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the mean loss over seeds by precision, step and width, for the narrowest, middle and widest layers."""
    widths = sorted(set(frame["width"]))
    chosen = frame.loc[frame["width"].isin([widths[0], widths[len(widths) // 2], widths[-1]])]
    return grouped(chosen, ["precision", "width", "step"], ["loss"])
