r"""C11-averaged: how much of the training loss, and of the gap to full precision, is oscillation.

In mid-training the outputs of a straight-through 1-bit network alternate (C11-swing). What alternates is gone from the
mean of two successive outputs, which costs a second evaluation and no training: how much smaller are then the training
loss, the difference to full precision on test inputs, and the test loss? A part of a gap that seems not to close with
width may be an oscillation that it does not shrink.

**Experiment.** 128 digits, ``paired`` start, eta_rel = 0.5, 1-bit beside full precision of the same start, outputs at
all steps; means over steps 81 to 120 of single outputs and of means of 2 and of 8 successive ones, full precision's
averaged alike. The gap is the root mean square of f - f' over 256 test inputs and these steps; losses are mean squares.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view

from ntk1bit.claims import Claim, Evidence, IntervalWithin
from ntk1bit.claims.measures import against, exponent, seeds_interval
from proofs_numeric.data import Data, highest
from proofs_numeric.proof import Proof

STUDY = "averaged-digits"
_FIRST, _LAST = 81, 120  # steps of mid-training
_OVER = (1, 2, 8)

CLAIM = Claim(
    id="C11-averaged",
    title="averaged outputs lose the oscillation",
    statement="In mid-training the mean of two successive outputs of a wide 1-bit network has less than half of the "
    "training loss of single ones, and is nearer to full precision on test inputs by a tenth or more.",
    source="ours",
    assumptions="128 digits, paired start, eta_rel = 0.5, steps 81 to 120; the widest networks.",
    refuted_by="a mean of two outputs that leaves more than half of the training loss, or more than 0.9 of the gap",
    criteria=(IntervalWithin("loss.share.2", high=0.5), IntervalWithin("gap.share.2", high=0.9)),
    context=(IntervalWithin("test.share.2", high=1.0),),
    labels={
        **{f"loss.share.{k}": f"training loss of means of {k} outputs over that of one" for k in _OVER[1:]},
        **{f"gap.share.{k}": f"gap of means of {k} outputs over that of one" for k in _OVER[1:]},
        **{f"test.share.{k}": f"test loss of means of {k} outputs over that of one" for k in _OVER[1:]},
        **{f"gap.m.{k}": f"exponent in m of the gap of means of {k} outputs" for k in _OVER},
    },
    ranges="a half, our reading of 'most of the loss is oscillation'; 0.9, a tenth that a reader of a gap would notice",
)


def evidence(data: Data) -> Evidence:
    """Compare single outputs with means of successive ones."""
    every = averages(data.frame(STUDY, also=("outputs",)))
    widest = every.loc[every["width"] == highest(every["width"])].sort_values("seed")
    of = {k: widest.loc[widest["over"] == k] for k in _OVER}
    where = f"m = {highest(every['width']):g}, steps {_FIRST} to {_LAST}"
    found = []
    for k in _OVER[1:]:
        for name in ("loss", "gap", "test"):
            share = of[k][name].to_numpy(np.float64) / of[1][name].to_numpy(np.float64)
            found.append(seeds_interval(share, f"{name}.share.{k}", "of a network", where, STUDY))
    gaps = {k: against(every.loc[every["over"] == k], "width", "gap", meaning=f"gap of means of {k}") for k in _OVER}
    found += [exponent(one, f"gap.m.{k}", STUDY) for k, one in gaps.items()]
    table = pd.concat([one.table.assign(over=k) for k, one in gaps.items()], ignore_index=True)
    return Evidence(tuple(found), {"gap of averaged outputs": table})


def averages(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each width, seed and number k of outputs that are averaged: training loss, gap and test loss.

    All are means over the steps at which the k outputs can begin. Pairs of which a network diverged are left out.
    """
    frame = frame.loc[(frame["step"] >= _FIRST) & (frame["step"] <= _LAST)].sort_values("step")
    found = []
    for _, cell in frame.groupby(["width", "seed"]):
        width, seed = cell["width"].iloc[0], cell["seed"].iloc[0]
        one_bit, full = (cell.loc[cell["precision"] == one] for one in ("one_bit", "full"))
        if cell["diverged"].to_numpy().any() or len(one_bit) != len(full):
            continue
        f, g, g_full = (
            np.stack([np.asarray(one, np.float64) for one in column])
            for column in (one_bit["outputs"], one_bit["test_outputs"], full["test_outputs"])
        )
        for k in _OVER:
            gap = np.sqrt(np.mean((_means(g, k) - _means(g_full, k)) ** 2))
            losses = [
                averaged_losses(values, one_bit[name].to_numpy(np.float64), k)
                for name, values in (("loss", f), ("test_loss", g))
            ]
            found.append((width, seed, k, *(float(one.mean()) for one in losses), float(gap)))
    return pd.DataFrame(found, columns=["width", "seed", "over", "loss", "test", "gap"])


def averaged_losses(
    outputs: Float[np.ndarray, "t n"], losses: Float[np.ndarray, " t"], k: int
) -> Float[np.ndarray, " u"]:
    """Return the losses of means of k successive outputs from those of each, without the targets, u = t - k + 1.

    The loss of a mean is the mean of the losses less half of the mean squared distance to the mean: 1/2 |mean f_t -
    y|^2 = mean 1/2 |f_t - y|^2 - 1/2 mean |f_t - mean f_t|^2.
    """
    windows = sliding_window_view(outputs, k, axis=0)
    scatter = ((windows - windows.mean(axis=-1, keepdims=True)) ** 2).mean(axis=-1).sum(axis=1)
    return _means(losses, k) - scatter / 2


def _means(values: Float[np.ndarray, "t ..."], k: int) -> Float[np.ndarray, "u ..."]:
    return sliding_window_view(values, k, axis=0).mean(axis=-1)


PROOFS = (Proof(CLAIM, (STUDY,), evidence),)
