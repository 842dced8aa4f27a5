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
   is the kernel of D25, Def. G.1; for o != o' signs are independent of activities and it is O(1/sqrt m). So descent is,
   up to that, p two-layer networks which share their neurons, and the argument of Theorem 4.2 applies with n -> n K.
2. *Flip noise* (`c2_floor`, steps 1 to 3). Neuron r sees the residual sum_o a_ro r_io, whose sum of squares over i is
   rho^2 = norm(r)^2 in the mean; so its signs flip as often as with one output of that residual. A flip moves all p
   outputs, each as it would move the one: Sigma = A eta kappa rho/sqrt(m d) H x I_p. The stationary covariance is
   A kappa rho/(2 c sqrt(m d)) I of N p dimensions instead of n, hence

       L_inf = (n K p)^2 kappa^2/(2 pi m d):

   the loss reached falls as 1/m, four times faster in log m than the proposition needs. The constant is for
   spread-out features; features of real text are correlated, which raises it. Widths at which this is not small against
   the loss at the start are not described.

**Experiment.** 8 windows of a real text, the last 8 of 16 tokens of each, features from one causal 1-bit attention
block of 32 dimensions with random weights; targets are a fixed random unit code in R^4 of the next character. Paired
start, eta_rel = 0.5, a fixed number of steps; 1-bit and full precision from the same W(0), a and block, against width.
A seed draws windows, block and layer; windows and block are the same at every width, so intervals of exponents,
which take widths as independent, are if anything too wide. Exponents in n, K, d and lambda are not measured here.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ntk1bit.claims import Claim, Evidence, Inside, Number
from ntk1bit.claims.measures import against, at, exponent, seeds_interval
from proofs_numeric.c2_floor import CONSTANT
from proofs_numeric.data import DELTA, Data, highest, rows

CLAIM = Claim(
    id="4.4",
    title="a 1-bit Transformer's loss is minimised through one feed-forward layer",
    statement="Any loss is reached by training one wide feed-forward layer of a 1-bit Transformer, with a width that "
    "grows no faster than eps^-4: the loss reached falls at least as m^-1/4.",
    source="D25, Prop 4.4",
    assumptions="one block, frozen below the layer; paired start, fixed steps of straight-through descent; the "
    "proposition's width is out of reach, so its conclusion is tested at widths far below.",
    refuted_by="a loss that falls more slowly than m^-1/4, or stays above a tenth of its start at the widest layer",
    criteria=(
        Inside("exponent of the loss reached in m, 1-bit", high=-0.25),
        Inside("loss reached over its start at the widest, 1-bit", high=0.1),
    ),
    context=(
        Inside("exponent of the loss reached in m, 1-bit", -1.2, -0.8),
        Inside("loss reached over (n K p)^2 kappa^2/(2 pi m d), widest", 0.5, 2.0),
        Inside("loss reached at the widest, full precision over 1-bit", high=0.1),
    ),
)
STUDIES = ("feed-forward",)
_STUDY = "feed-forward"
_FALLING = 1.15  # mean loss half-way over mean loss at the end: a slope of -0.2 in log L against log t, as in `floor`


def evidence(data: Data) -> Evidence:
    """Fit the loss reached against width, and compare it with its start, the floor law and full precision."""
    frame = data.measured(_STUDY)
    cells = pd.DataFrame(frame.groupby(["precision", "width", "seed"]).first()).reset_index()
    cells["share"] = cells["level"] / cells["loss_start"]
    remarks = []
    kept = cells.loc[~cells["width"].isin(sorted(set(cells.loc[cells["diverged"], "width"])))]
    if len(kept) < len(cells):  # a mean over the seeds that did not diverge would flatter the layer
        remarks.append(f"Some networks diverged; their widths are left out: {_list(cells.loc[cells['diverged']])}.")
    one_bit, full = (kept.loc[kept["precision"] == precision] for precision in ("one_bit", "full"))
    meaning = "training loss, mean over the last tenth of the steps"
    reached = {name: against(part, "width", "level", meaning=meaning) for name, part in _named(one_bit, full)}
    share = against(one_bit, "width", "share", meaning=f"{meaning}, over the loss at the start")
    widest = one_bit.loc[one_bit["width"] == one_bit["width"].max()].sort_values("seed")
    twins = full.loc[full["width"] == one_bit["width"].max()].sort_values("seed")
    tokens, outputs, dim = (highest(widest[name]) for name in ("tokens", "outputs", "dim"))
    width = highest(widest["width"])
    where = f"m = {width:g}, n K = {tokens:g}, p = {outputs:g}, d = {dim:g}"
    law = CONSTANT * (tokens * outputs) ** 2 * highest(widest["kappa"]) ** 2 / (width * dim)
    level = widest["level"].to_numpy(np.float64)
    half_way = one_bit.groupby("width")[["level_half", "level"]].mean()
    falling = half_way.loc[half_way["level_half"] > _FALLING * half_way["level"]]
    if len(falling):
        remarks.append(f"Still falling at the end, 1-bit, at widths {', '.join(map(str, falling.index))}.")
    lowest, smallest = float(widest["lambda_min"].min()), float(level.mean())
    asked = (
        -8 * np.log10(lowest) + 12 * np.log10(tokens) + 20 * np.log10(dim) - 4 * np.log10(DELTA * smallest)
    )  # fmt: skip
    remarks.append(
        f"For L = {smallest:.1e} the proposition asks for a width of 10^{asked:.0f} (constant 1, delta = {DELTA:g}); "
        f"a width of {width:g} suffices."
    )
    return Evidence(
        (
            exponent(reached["one_bit"], "exponent of the loss reached in m, 1-bit", _STUDY),
            at(share, "loss reached over its start at the widest, 1-bit", _STUDY),
            seeds_interval(
                level / law,
                "loss reached over (n K p)^2 kappa^2/(2 pi m d), widest",
                "measured loss over the large-d law, which has no fitted constant",
                where,
                _STUDY,
            ),
            seeds_interval(
                twins["level"].to_numpy(np.float64) / level,
                "loss reached at the widest, full precision over 1-bit",
                "ratio at the same seed: same block, same W(0) and a",
                where,
                _STUDY,
            ),
            Number(
                "log10 of the proposition's width", f"for the loss {smallest:.2g}, constant 1", asked, where, _STUDY
            ),
            Number("smallest lambda_min(H(0))", "over networks of both precisions", *_lambda(kept)),
            Number("largest |<h_i, h_j>|", "over pairs of tokens: 1 for two tokens alike", *_closest(kept)),
        ),
        {
            "loss against width": pd.concat(
                [rows(one.table, precision=name) for name, one in reached.items()], ignore_index=True
            ),
            "loss by step": _curves(frame.loc[frame["width"].isin(set(kept["width"]))]),
        },
        tuple(remarks),
    )


def _named(one_bit: pd.DataFrame, full: pd.DataFrame) -> tuple[tuple[str, pd.DataFrame], ...]:
    return ("one_bit", one_bit), ("full", full)


def _list(cells: pd.DataFrame) -> str:
    return ", ".join(f"{width}" for width in sorted(set(cells["width"])))


def _lambda(cells: pd.DataFrame) -> tuple[float, str, str]:
    return float(cells["lambda_min"].min()), f"{len(cells)} networks", _STUDY


def _closest(cells: pd.DataFrame) -> tuple[float, str, str]:
    return highest(cells["closest"]), f"{cells['seed'].nunique()} seeds", _STUDY


def _curves(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the mean loss over seeds by precision, step and width, for the narrowest, middle and widest layers."""
    widths = sorted(set(frame["width"]))
    chosen = frame.loc[frame["width"].isin({widths[0], widths[len(widths) // 2], widths[-1]})]
    grouped = chosen.groupby(["precision", "width", "step"])["loss"].mean()
    return pd.DataFrame(grouped).reset_index()
