"""RIVAL-flips, RIVAL-inertia: weights that oscillate, and latent weights as inertia, in the two-layer network.

**RIVAL-flips, Nagel et al. 2022** (arXiv 2203.11086). Under the straight-through estimator quantised weights oscillate
between two grid points; freezing or dampening them helps. Their code counts an oscillation where a weight's integer
changes against the direction of its last change. (Read: the abstract, and that code.) With two levels every change but
the first is one, however late; so here it counts only if it undoes a flip of the ten steps before. Carried over: at the
end of training most flips do.

**RIVAL-inertia, Helwegen et al. 2019** (arXiv 1906.02107). Latent weights are not weights; their main role is to give
inertia: the larger, the longer a sign stays. (Read: the abstract and the beginning of the introduction.) Carried over:
weights that flip late are those of small |w - mu|, and what moves the outputs is flips, not the sizes of latents. In
D25's network sizes do enter, through s and mu of each neuron, so the second half of this can fail.

**Derivation.** Let c = w - mu and let V+ and V- be the motion of c_k for q_k = +1 and -1, other signs as they are. A
flip of q_k changes which inputs the neuron is active on, and with them V. Where V+ < 0 < V- a latent that has come to
its threshold stays there and crosses back and forth: such flips undo each other, as Nagel et al. describe, at any
width, since latents within reach are as many as the flips that a run needs. With activations frozen at those of the
start V+ = V-, and a latent crosses once, while the residual keeps its direction; later the residual alternates from
step to step, at the floor of `c2_floor`, and drags latents at their thresholds back and forth with it. So flips that
undo are to be expected at the end of both, and on the way down of the true estimator alone.

Latents move by O(1/sqrt m) in a run (`claim_i5`), so only those with |c| of that order can flip, a share that falls
below a tenth as m grows: inertia in this sense should hold. A move of w_rk changes s by c_rk/(d s) and mu by 1/d, so
that smooth changes of f are smaller than those through flips by a factor of order d, up to coherence: the share through
flips should be near 1 at large d, and how near is what is measured.

**The rules**, written before any of these trainings was looked at beyond tests of the code. *Flips*: of the flips of
the last tenth of the steps at least one half undoes one of the ten steps before, on each kind of data: "most". If flips
had no memory the share would be ten times the rate of flips, which the table gives. *Inertia*: of the weights that flip
in the second half, at least one half is of the tenth with the smallest |c| at half-time; and the outputs' change
through flips alone, s and mu held, is the whole change but for a tenth, along it ("negligible" is a tenth throughout
these claims). All are averaged over the four widest widths and judged over data sets. *Context*: how the share at the
end goes with width, and how both shares compare with frozen activations.

**Experiment.** Random labels on the sphere at two d and digits, 32 points, paired start, 300 steps at eta_rel = 0.5;
each data set with its network, trained as it is and with activations frozen in the backward pass.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ntk1bit.claims import Claim, Evidence, IntervalWithin
from ntk1bit.claims.evidence import IntervalEstimate, Measure
from ntk1bit.claims.measures import against, exponent, seeds_interval
from ntk1bit.experiments.sign_reversals import WITHIN
from ntk1bit.statistics.jackknife import NESTED
from proofs_numeric.data import Data, grouped, labels_by_setting, span_of, widest, with_setting
from proofs_numeric.proof import Proof

STUDY = "sign-reversals"
SETTINGS = {"sphere16": "sphere, d = 16", "sphere64": "sphere, d = 64", "digits": "digits"}
_MOST = 0.5
_COLUMNS = ["down", "end", "end_next", "down_rate", "end_rate", "twice", "inertia", "through_flips", "loss_end"]


def _criteria(name: str, low: float, high: float = np.inf) -> tuple[IntervalWithin, ...]:
    return tuple(IntervalWithin(f"{name}.{one}", low, high) for one in SETTINGS)


CLAIM = Claim(
    id="RIVAL-flips",
    title="late in training most flips undo a recent one",
    statement="In the last tenth of a 1-bit training at least half of the sign flips undo a flip of the ten steps "
    "before.",
    source="Nagel et al. 2022 (arXiv 2203.11086), abstract and code; carried over by us",
    assumptions="the two-layer network, full batches, no momentum; theirs are convolutional networks of 3 and 4 bits, "
    "where grid points have neighbours on both sides.",
    refuted_by="on one kind of data, a share below a half",
    criteria=_criteria("end", _MOST),
    context=(*_criteria("end.m", -0.05), *_criteria("down_less_frozen", 0.0), *_criteria("end_less_frozen", 0.0)),
    labels=labels_by_setting(
        {
            "end": "share of late flips that undo a recent one",
            "next": "share of late flips that undo one of the very step before",
            "end.m": "exponent of that share in m",
            "down": "share of flips that undo a recent one, on the way down",
            "end_less_frozen": "late share, less that with frozen activations",
            "down_less_frozen": "share on the way down, less that with frozen activations",
            "twice": "share of the weights that flip twice or more at the end",
        },
        SETTINGS,
    ),
    ranges="a half is 'most', the theory's word",
)
CLAIM_INERTIA = Claim(
    id="RIVAL-inertia",
    title="latent weights are inertia, not weights",
    statement="Of the weights that flip in the second half of a training at least half were of the tenth with the "
    "smallest |w - mu|, and the change of the outputs is that through flips, but for a tenth.",
    source="Helwegen et al. 2019 (arXiv 1906.02107), abstract; carried over by us",
    assumptions="the two-layer network, whose neurons have an s and a mu of their own that depend on latents.",
    refuted_by="on one kind of data, less than half from the smallest tenth, or a tenth of the change by other ways",
    criteria=(*_criteria("inertia", _MOST), *_criteria("through", 0.9, 1.1)),
    labels=labels_by_setting(
        {
            "inertia": "share of late flips from the smallest tenth",
            "through": "change of the outputs through flips over the whole",
        },
        SETTINGS,
    ),
    ranges="a half is 'most'; a tenth of the change is our reading of 'alone'",
)


def evidence(data: Data) -> Evidence:
    """Count the flips that undo one, against width, and with frozen activations."""
    every = with_setting(data.frame(STUDY))
    measures: list[Measure] = []
    for setting, part in every.groupby("setting"):
        wide = widest(part)
        free, frozen = (wide.loc[wide["frozen"].astype(bool) == held] for held in (False, True))
        of = "flips that undo one of the ten steps before"
        measures += [
            _mean(free, "end", f"end.{setting}", f"{of}, last tenth of the steps"),
            _mean(free, "end_next", f"next.{setting}", "last tenth of the steps"),
            exponent(against(free, "width", "end", meaning=f"{of}, last tenth"), f"end.m.{setting}", STUDY),
            _mean(free, "down", f"down.{setting}", f"{of}, loss between a half and a tenth of its start"),
            _mean(free, "twice", f"twice.{setting}", "last tenth of the steps"),
        ]
        both = free.merge(frozen, on=["width", "seed"], suffixes=("", "_frozen"))
        for name in ("end", "down"):
            apart = both.assign(apart=both[name] - both[f"{name}_frozen"])
            measures.append(_mean(apart, "apart", f"{name}_less_frozen.{setting}", f"{of}; the same data and start"))
    return Evidence(tuple(measures), {"flips": _table(every)})


def evidence_inertia(data: Data) -> Evidence:
    """Tell which weights flip late, and what flips alone do to the outputs."""
    every = with_setting(data.frame(STUDY))
    every = every.loc[~every["frozen"].astype(bool)]
    measures: list[Measure] = []
    for setting, part in every.groupby("setting"):
        wide = widest(part)
        measures += [
            _mean(wide, "inertia", f"inertia.{setting}", "weights that flip in the second half of the steps"),
            _mean(wide, "through_flips", f"through.{setting}", "<f_q - f(0), f(T) - f(0)>/norm(f(T) - f(0))^2"),
        ]
    return Evidence(tuple(measures), {"flips": _table(every)})


PROOFS = (Proof(CLAIM, (STUDY,), evidence), Proof(CLAIM_INERTIA, (STUDY,), evidence_inertia))


def _mean(wide: pd.DataFrame, column: str, measure: str, meaning: str) -> IntervalEstimate:
    """Return the mean over widths of a column, over data sets; NaN at one width leaves its data set out."""
    means = wide.groupby("seed")[column].agg(lambda values: values.to_numpy(np.float64).mean())
    where = span_of(wide, m="width")
    return seeds_interval(np.asarray(means), measure, f"{meaning}, mean over widths", where, STUDY, units=NESTED)


def _table(every: pd.DataFrame) -> pd.DataFrame:
    """Return the means over data sets at each width, with the share to be expected if flips had no memory."""
    table = grouped(every, ["setting", "frozen", "width"], _COLUMNS)
    return table.assign(end_without_memory=1 - (1 - table["end_rate"]) ** WITHIN)
