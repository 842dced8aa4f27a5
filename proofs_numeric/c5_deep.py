"""C5, C5-ratio, C5-similar: whether deep 1-bit networks approach full precision with size (D25, Fig. 1 to 3).

**C5.** On f1..f6 the training loss of deep 1-bit networks falls with the number of parameters N, and so does its
difference from that of full-precision ones.

**C5-ratio.** On the logarithmic axes of Fig. 1 the two curves approach each other: L_1bit/L_full falls with N.

**C5-similar.** The outputs of both networks on three functions of one variable approach each other with N.

**Derivation.** A full-precision network with more parameters than points interpolates: given enough steps its loss
falls as long as it is trained, exponentially, down to rounding, whatever the width. A 1-bit network cannot move its
effective weights by less than a flip, so its loss stops at a floor: in the two-layer network the variance of an average
over m d signs, which falls as 1/(m d) (`c2_floor`). So the loss of 1-bit networks should fall about as a power of N,
and with it the difference L_1bit - L_full, which is the floor itself once full precision has interpolated. The *ratio*
is another matter: a floor over something that goes to zero does not fall, and on logarithmic axes the curves should
part. Outputs differ on training points by about the root of the floor, and on test points by what the quantiser changes
in the kernel as well (`c3_gap`).

**Experiment.** D25 gives sizes, numbers of points and of steps, and no optimiser, rate, batch, start or number of
seeds. Ours: the first and the last layer in full precision, since inputs have one to five coordinates and the
parameters lie in the hidden layers; neuron-wise quantiser and straight-through estimator in these; Adam, its rate
falling along a cosine to 0. Fig. 1: full batches, biases everywhere, the points of [-1, 1]^k as they are, rates from a
search for each precision and depth (`deep_spec.pilot_rates`), for 1-bit networks the best of three at each
size; the least loss over all steps. Fig. 2 and 3: 50
epochs in batches of 10, one rate, one start and the same batches for both precisions; networks that 50 epochs do not
fit are reported as they are. The loss is the mean square over n points, targets within [-1, 1]; D25's sum is n/2 times
as much, which changes no exponent and no ratio. Seeds are starts; the points are the same for all.

**Rounding.** A mean square below 1e-12 is rounding: outputs of size 1 in float32, over up to five layers. Sizes at
which a tenth or more of the full-precision networks get there say nothing about a ratio and are left out of C5-ratio.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from ntk1bit.claims import Claim, Count, Evidence, IntervalWithin, Number, Reach
from ntk1bit.claims.evidence import Measure
from ntk1bit.claims.measures import against, at, exponent
from ntk1bit.data.cubes_and_curves import CUBES, CURVES
from ntk1bit.estimators.against_width import AgainstWidth
from ntk1bit.estimators.deep import (
    ROUNDING,
    at_best_rate,
    ends_table,
    epochs_table,
    functions_table,
    last_epoch,
    logarithms,
    losses_table,
)
from ntk1bit.experiments.deep_spec import DEPTHS
from proofs_numeric.data import PRECISIONS, Data, rows, span_of
from proofs_numeric.proof import Proof

_SCALING, _SIMILARITY = "deep-scaling", "deep-similarity"
_KINDS = {"one_bit": "1-bit", "full": "full-precision"}
_POINTS = ("train", "test")
_TOO_MANY = 0.1  # of the networks at rounding
_EVERY = 2  # points of the grid in the tables: every second
_SMALLER = Reach(sizes="2^12 to 2^17 parameters and 5,000 steps, where D25 has 2^17 to 2^21 and 100,000")

CLAIM = Claim(
    id="C5",
    title="1-bit MLPs approach full precision as they grow",
    statement="On f1..f6 the least training loss of 1-bit MLPs of depth 3 and 5, and its difference from that of "
    "full-precision ones, fall as powers of the number of parameters N.",
    source="D25, Fig. 1",
    assumptions="Adam, its rate chosen for each precision and depth, for 1-bit networks at each size; full batches; "
    "first and last layer in full precision.",
    refuted_by="an exponent in N above -0.1 of the loss or of the difference, at either depth",
    criteria=tuple(
        IntervalWithin(f"{what}.size.depth{depth}", high=-0.1)
        for depth in DEPTHS
        for what in ("loss.one_bit", "difference")
    ),
    context=(
        *(IntervalWithin(f"loss.{task}.size.depth{depth}", high=-0.1) for depth in DEPTHS for task in CUBES),
        *(IntervalWithin(f"loss.full.size.depth{depth}", high=-0.1) for depth in DEPTHS),
    ),
    labels={
        f"{name}.depth{depth}": f"{words}, depth {depth}"
        for depth in DEPTHS
        for name, words in {
            **{f"loss.{one}.size": f"exponent in N of the {words} loss" for one, words in _KINDS.items()},
            "difference.size": "exponent in N of the difference",
            **{f"loss.{task}.size": f"exponent in N, {task}" for task in CUBES},
            "above": "1-bit above full precision",
        }.items()
    },
    reach=_SMALLER,
    ranges="-0.1, our reading of 'falls' over a factor of 32 in N",
)
CLAIM_RATIO = Claim(
    id="C5-ratio",
    title="on logarithmic axes their losses approach too",
    statement="On f1..f6 the ratio of the least training losses, 1-bit to full precision, falls with the number of "
    "parameters N.",
    source="D25, Fig. 1, as it is drawn",
    assumptions="As C5; sizes at which full precision is at rounding say nothing.",
    refuted_by="an exponent in N of the ratio above -0.02 at either depth",
    criteria=tuple(IntervalWithin(f"ratio.size.depth{depth}", high=-0.02) for depth in DEPTHS),
    labels={
        **{f"ratio.size.depth{depth}": f"exponent in N of the ratio, depth {depth}" for depth in DEPTHS},
        **{f"rounding.depth{depth}": f"sizes at rounding, depth {depth}" for depth in DEPTHS},
    },
    reach=_SMALLER,
    ranges="-0.02, our reading of 'approach' over a factor of 32 in N",
)
CLAIM_SIMILAR = Claim(
    id="C5-similar",
    title="outputs of both precisions approach with size",
    statement="On three functions of one variable the root mean square difference of the outputs after training falls "
    "with the number of parameters N, on training and on test points.",
    source="D25, Fig. 2 and 3",
    assumptions="Hidden sizes 20 k and k; 50 epochs in batches of 10, one start, one rate, the same batches.",
    refuted_by="an exponent in N above -0.05 on training or on test points",
    criteria=tuple(IntervalWithin(f"apart.size.{points}", high=-0.05) for points in _POINTS),
    context=tuple(
        IntervalWithin(f"apart.size.{points}.{task}", high=-0.05) for task, points in itertools.product(CURVES, _POINTS)
    ),
    labels={
        name: f"{words} points"
        for points in _POINTS
        for name, words in {
            f"apart.size.{points}": f"exponent in N of the difference, {points}",
            f"apart.largest.{points}": f"difference at the largest N, {points}",
            **{f"apart.size.{points}.{task}": f"exponent in N of the difference, {task}, {points}" for task in CURVES},
        }.items()
    },
    reach=Reach(sizes="2.0 million parameters at most, where D25 has 20 million"),
    ranges="-0.05, our reading of 'approach' over a factor of 1,000 in N",
)


def evidence(data: Data) -> Evidence:
    """Fit exponents of the 1-bit loss and of its difference from full precision."""
    frame, notes = _whole(at_best_rate(data.frame(_SCALING)), ["depth", "parameters"], "diverged_at")
    measures: list[Measure] = []
    for depth in sorted(set(frame["depth"])):
        part = frame.loc[frame["depth"] == depth]
        sides = {precision: part.loc[part["precision"] == precision] for precision in PRECISIONS}
        both = _both(part)

        def fitted(name: str, one: AgainstWidth, depth: int = depth) -> None:
            measures.append(exponent(one, f"{name}.size.depth{depth}", _SCALING))

        meaning = "least training loss, geometric mean over functions"
        for precision, side in sides.items():
            fitted(f"loss.{precision}", _over_tasks(side, "least_loss", meaning))
        apart = against(both, "parameters", "difference", meaning="L_1bit - L_full, mean over functions", signed=True)
        fitted("difference", apart)
        for task, chosen in sides["one_bit"].groupby("task"):
            meaning = f"least training loss of 1-bit networks on {task}"
            fitted(f"loss.{task}", _over_tasks(chosen, "least_loss", meaning))
        measures.append(
            Count(
                f"above.depth{depth}",
                "pairs of networks (function, size, seed) whose 1-bit loss is the larger",
                int(np.sum(both["difference"].to_numpy() > 0)),
                len(both),
                span_of(part, N="parameters"),
                _SCALING,
            )
        )
    return Evidence(tuple(measures), {"loss against parameters": losses_table(frame)}, notes)


def evidence_ratio(data: Data) -> Evidence:
    """Fit the exponent of the ratio of both losses, at the sizes where full precision is above rounding."""
    frame, notes = _whole(at_best_rate(data.frame(_SCALING)), ["depth", "parameters"], "diverged_at")
    measures: list[Measure] = []
    tables = []
    for depth in sorted(set(frame["depth"])):
        part = frame.loc[frame["depth"] == depth]
        full = part.loc[part["precision"] == "full"]
        share = pd.Series((full["least_loss"] < ROUNDING).groupby(full["parameters"]).mean())
        kept = [size for size, at_rounding in share.items() if at_rounding < _TOO_MANY]
        both = _both(part)
        every = _over_tasks(both, "ratio", "L_1bit/L_full, geometric mean over functions")
        found = _over_tasks(both.loc[both["parameters"].isin(kept)], "ratio", every.meaning)
        left_out = float(len(share) - len(kept))
        meaning = (
            f"sizes at which {_TOO_MANY:.0%} or more of the full-precision networks have a loss below {ROUNDING:g}"
        )
        measures += [
            exponent(found, f"ratio.size.depth{depth}", _SCALING),
            Number(f"rounding.depth{depth}", meaning, left_out, span_of(part, N="parameters"), _SCALING),
        ]
        table = every.table.rename(columns={"parameters": "N"})
        tables.append(rows(table, depth=depth).assign(at_rounding=share.reindex(table["N"]).to_numpy()))
    return Evidence(tuple(measures), {"ratio against parameters": pd.concat(tables, ignore_index=True)}, notes)


def evidence_similar(data: Data) -> Evidence:
    """Fit exponents of the difference of the outputs after the last epoch."""
    frame, notes = _whole(data.frame(_SIMILARITY), ["N"], "diverged")
    ends = last_epoch(frame)
    measures: list[Measure] = []
    for points in _POINTS:
        meaning, column = (
            f"root mean square difference of the outputs on {points} points after the last epoch",
            f"apart_{points}",
        )
        every = _over_tasks(ends, column, f"{meaning}, geometric mean over functions", x="N")
        measures.append(exponent(every, f"apart.size.{points}", _SIMILARITY))
        measures.append(at(every, f"apart.largest.{points}", _SIMILARITY))
        for task, part in ends.groupby("task"):
            one = _over_tasks(part, column, meaning, x="N")
            measures.append(exponent(one, f"apart.size.{points}.{task}", _SIMILARITY))
    return Evidence(
        tuple(measures),
        {
            "against epochs": epochs_table(frame),
            "after training": ends_table(frame),
            "functions": functions_table(frame, every=_EVERY),
        },
        notes,
    )


PROOFS = (
    Proof(CLAIM, (_SCALING,), evidence),
    Proof(CLAIM_RATIO, (_SCALING,), evidence_ratio),
    Proof(CLAIM_SIMILAR, (_SIMILARITY,), evidence_similar),
)


def _whole(frame: pd.DataFrame, keys: list[str], column: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Leave out settings (all functions and both precisions of them) at which a network diverged, and say so."""
    lost = np.asarray(frame[column] >= 0 if column == "diverged_at" else frame[column], dtype=bool)
    if not lost.any():
        return frame, ()
    settings = frame.set_index(keys).index
    bad = settings[lost].unique()
    where = ", ".join(str(one) for one in sorted(bad))
    kept = pd.DataFrame(frame.loc[~settings.isin(bad)])
    return kept, (f"networks diverged at {' and '.join(keys)} {where}: left out",)


def _both(part: pd.DataFrame) -> pd.DataFrame:
    """Return a row a (function, size, seed) with both precisions' losses, their difference and their ratio."""
    wide = part.pivot(index=["task", "parameters", "seed"], columns="precision", values="least_loss").reset_index()
    return wide.assign(difference=wide["one_bit"] - wide["full"], ratio=wide["one_bit"] / wide["full"])


def _over_tasks(frame: pd.DataFrame, column: str, meaning: str, *, x: str = "parameters") -> AgainstWidth:
    """Estimate a positive quantity against size: the geometric mean over functions, a value per seed."""
    logs = pd.DataFrame({x: frame[x], "seed": frame["seed"], column: logarithms(frame[column])})
    table = pd.DataFrame(logs.groupby([x, "seed"])[[column]].mean()).reset_index()
    table[column] = np.exp(np.asarray(table[column], dtype=np.float64))
    return against(table, x, column, meaning=meaning)
