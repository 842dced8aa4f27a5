r"""C13, C13-precision, C13-steps: whether the kernel of a 1-bit Transformer settles as it widens.

**C13.** D25's C1 is of a two-layer network: the wider, the less its kernel moves in training. The same holds of
Transformers, in full precision, with BitLinear and with ternary weights.

**Derivation.** None for the network that is run; a heuristic one. In the standard parameterisation with a rate in units
of 1/lambda_max(K), a step changes the outputs by what it does at any width, by moves of weights that are each smaller,
the more there are: the features that a layer sees change by O(m^-1/2) over a training of fixed length, and with them
the kernel, in full precision. The sign of a weight jumps, but a layer's product adds up m of them: in two-layer
networks the same drift comes with noise of flips, m^-1/4 (C1). How many flips a Transformer needs is not derived.

**C13-precision.** Whether 1 bit is different: the drift of 1-bit and ternary Transformers over that of full-precision
ones of the same seed, windows and targets, at the same loss, goes as no power of the width.

**C13-steps.** What the kernel of the surrogate says of a step is not what a step does: in the matrices of BitLinear, as
W23 writes its gradient, a step changes the outputs by sqrt(2/pi)/sigma times as much, sigma being the deviation of
their weights, m^-1/2 in the standard parameterisation; with ternary weights 0.588 times as much. **Derivation**:
`ntk1bit.experiments.transformer_kernels`. W23's own gradient makes the part that these matrices have in the kernel
small, as 1/m: `share`.

**Experiment.** Character-level Transformers of two layers (`ntk1bit.experiments.transformer_kernels`), m = 32 to 512,
32 windows of 16 characters with random targets, eta_rel = 0.5, 100 steps; kernels after 1 to 100 steps. "At the same
loss": at a quarter of the loss at the start, the drift between two records interpolated in the logarithm of the loss.
A first run, of five networks a width, supported C13 and could tell neither C13-precision nor the exponent of C13-steps;
these are fifteen others.
Trial runs of two networks each at m = 32, 64 and 128 (seeds 900 and 901, not among these) had drifts after 100 steps
of 0.6 to 1.3, 0.5 to 0.8 and 0.3 to 0.4 in full precision, 0.7 to 1.0, 0.4 and 0.2 with BitLinear. Step ratios of two
more (901 and 902) were 0.9 to 1.02 (BitLinear) and 1.0 to 1.08 (ternary) times what is expected, for moves of 0.05
m^-1/2 of the weights' size; here moves are 0.02 m^-1/2.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from ntk1bit.claims import Claim, Evidence, IntervalWithin
from ntk1bit.claims.evidence import Measure
from ntk1bit.claims.measures import against, exponent, seeds_interval
from proofs_numeric.data import Data, grouped, highest, rows
from proofs_numeric.deep_oscillation_studies import ARMS
from proofs_numeric.proof import Proof

STUDY = "transformer-kernels"
_QUANTISED = ARMS[1:]
_QUARTER = 0.25

CLAIM = Claim(
    id="C13",
    title="the kernel of Transformers settles with width",
    statement="The wider a Transformer, in full precision, with BitLinear or ternary weights, the less its kernel has "
    "moved after 100 steps.",
    source="ours",
    assumptions="Two layers, random targets on 32 windows of text, standard parameterisation, eta_rel = 0.5.",
    refuted_by="an exponent of the drift in width above -0.25",
    criteria=tuple(IntervalWithin(f"drift.m.{arm}", high=-0.25) for arm in ARMS),
    labels={
        **{f"drift.m.{arm}": f"exponent of the drift in m, {arm}" for arm in ARMS},
        **{f"drift.{arm}": f"drift of the widest, {arm}" for arm in ARMS},
        **{f"alignment.{arm}": f"alignment with the targets, end over start, {arm}" for arm in ARMS},
    },
    ranges="-0.25, that of flip noise in two-layer networks, half of the -0.5 of smooth ones",
)
CLAIM_PRECISION = Claim(
    id="C13-precision",
    title="it settles in 1 bit as in full precision",
    statement="At a quarter of its loss the kernel of a 1-bit or ternary Transformer has moved, over that of one in "
    "full precision, by a factor that does not change with width.",
    source="ours",
    assumptions="As C13; networks of one seed, windows and targets.",
    refuted_by="an exponent of the factor in width outside [-0.2, 0.2]",
    criteria=tuple(IntervalWithin(f"factor.m.{arm}", -0.2, 0.2) for arm in _QUANTISED),
    labels={
        **{f"factor.m.{arm}": f"exponent of the factor in m, {arm}" for arm in _QUANTISED},
        **{f"factor.{arm}": f"factor of the widest, {arm}" for arm in _QUANTISED},
    },
    ranges="0.2, less than half of the distance between -1/4 and -1/2, of noise of flips and of smooth networks",
)
CLAIM_STEPS = Claim(
    id="C13-steps",
    title="BitLinear learns faster than its gradient says",
    statement="In the matrices of a BitLinear Transformer, with W23's gradient, a step changes the outputs by "
    "sqrt(2/pi)/sigma times what the gradient says, a factor that grows as the root of the width; with ternary weights "
    "by 0.588 times.",
    source="ours",
    assumptions="Weights as drawn, standard parameterisation, two layers; means over all matrices.",
    refuted_by="a mean factor off that by more than 15 %, at the widest, or an exponent of BitLinear's in width "
    "outside [0.4, 0.6]",
    criteria=(
        *(IntervalWithin(f"arriving.{arm}", 0.85, 1.15) for arm in _QUANTISED),
        IntervalWithin("ratio.m.bitnet", 0.4, 0.6),
    ),
    labels={
        **{f"arriving.{arm}": f"factor over expected, {arm}" for arm in ARMS},
        **{f"ratio.{arm}": f"factor, mean over matrices, {arm}" for arm in ARMS},
        "ratio.m.bitnet": "exponent of BitLinear's factor in m",
        **{f"share.{arm}": f"part of the matrices in the kernel, {arm}" for arm in ARMS},
        "share.m.bitnet": "exponent of that part in m, BitLinear",
    },
    ranges="0.1 around the 1/2 that is expected; 15 %: a tenth, and what the correlations of attention may add",
)


def evidence(data: Data) -> Evidence:
    """Measure the drift after the last step against width."""
    frame = data.frame(STUDY)
    ends = frame.loc[frame["step"] == highest(frame["step"])]
    starts = frame.loc[frame["step"] == 0]
    measures: list[Measure] = []
    tables = []
    for arm in ARMS:
        of_arm = ends.loc[ends["arm"] == arm]
        one = against(of_arm, "width", "drift", meaning=f"drift of the kernel after {highest(frame['step']):g} steps")
        last, first = (_widest(part.loc[part["arm"] == arm]) for part in (ends, starts))
        where = f"m = {highest(frame['width']):g}"
        turned = last["alignment"] / first["alignment"]
        tables.append(rows(one.table, arm=arm))
        measures += [
            exponent(one, f"drift.m.{arm}", STUDY),
            seeds_interval(last["drift"], f"drift.{arm}", "relative Frobenius distance", where, STUDY),
            seeds_interval(turned, f"alignment.{arm}", "y'Ky/(n norm(K)), after over before", where, STUDY),
        ]
    columns = ["loss", "drift", "alignment", "lambda_max", "lambda_min", "share", "ratio", "arriving"]
    return Evidence(
        tuple(measures),
        {
            "drift against width": pd.concat(tables, ignore_index=True),
            "kernels of Transformers": grouped(frame, ["arm", "width", "step"], columns),
        },
    )


def evidence_precision(data: Data) -> Evidence:
    """Hold the drift at a quarter of the loss against that in full precision."""
    frame = data.frame(STUDY)
    found = [
        {**cell.iloc[0][["arm", "width", "seed"]].to_dict(), "drift": drift_at(cell)}
        for _, cell in frame.groupby(["arm", "width", "seed"])
    ]
    wide = pd.DataFrame(found).pivot(index=["width", "seed"], columns="arm", values="drift")
    measures: list[Measure] = []
    tables = []
    for arm in _QUANTISED:
        factors = wide.assign(factor=wide[arm] / wide[ARMS[0]]).reset_index()
        one = against(factors, "width", "factor", meaning="drift over that in full precision, at a quarter of the loss")
        last = _widest(factors)
        where = f"m = {highest(frame['width']):g}"
        measures += [
            exponent(one, f"factor.m.{arm}", STUDY),
            seeds_interval(last["factor"], f"factor.{arm}", "networks of one seed", where, STUDY),
        ]
        tables.append(rows(one.table, arm=arm))
    return Evidence(tuple(measures), {"at a quarter of the loss": pd.concat(tables, ignore_index=True)})


def evidence_steps(data: Data) -> Evidence:
    """Hold what a step does, as networks are drawn, against what is expected."""
    frame = data.frame(STUDY)
    starts = frame.loc[frame["step"] == 0]
    measures: list[Measure] = []
    for arm in ARMS:
        last = _widest(starts.loc[starts["arm"] == arm])
        where = f"m = {highest(starts['width']):g}"
        for column, words in (
            ("arriving", "mean over matrices of measured over expected"),
            ("ratio", "mean over matrices"),
            ("share", "of the trace"),
        ):
            measures.append(seeds_interval(last[column], f"{column}.{arm}", words, where, STUDY))
    tables = []
    words = {"ratio": "mean factor of the matrices", "share": "part of the matrices in the trace"}
    for arm, column in itertools.product(ARMS, words):
        one = against(starts.loc[starts["arm"] == arm], "width", column, meaning=words[column])
        tables.append(rows(one.table, arm=arm, measure=column))
        if arm == "bitnet":
            measures.append(exponent(one, f"{column}.m.bitnet", STUDY))
    return Evidence(tuple(measures), {"at the start": pd.concat(tables, ignore_index=True)})


def drift_at(cell: pd.DataFrame, share: float = _QUARTER) -> float:
    """Return the drift when the loss first is at a share of that at the start, NaN if it never is."""
    cell = cell.sort_values("step")
    log_loss = np.log(cell["loss"].to_numpy(np.float64))
    drift = cell["drift"].to_numpy(np.float64)
    target = log_loss[0] + np.log(share)
    for before, after in itertools.pairwise(range(len(cell))):
        if log_loss[after] <= target:
            way = (target - log_loss[before]) / (log_loss[after] - log_loss[before])
            return float(drift[before] + way * (drift[after] - drift[before]))
    return float("nan")


PROOFS = (
    Proof(CLAIM, (STUDY,), evidence),
    Proof(CLAIM_PRECISION, (STUDY,), evidence_precision),
    Proof(CLAIM_STEPS, (STUDY,), evidence_steps),
)


def _widest(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.loc[frame["width"] == highest(frame["width"])].sort_values("seed").reset_index(drop=True)
