"""D25, Theorem 5.2 (K.1): the outputs of both networks stay close.

**Statement.** For all t and all training and test inputs |f - f'| <= kappa sqrt(log(m/delta)) O(d (D + R)).

**What it says and what it does not.** The bound has kappa in it and, but for logarithms, no m: it does not shrink with
width. The text around it says that the gap tends to 0 with m; that is a claim of its own (`c3_gap`).

**The gap in the proof.** It bounds f - f' = kappa/sqrt(m) sum_r a_r (...) by Hoeffding's inequality over the signs
a_r, as if they were independent of W(t). They are at t = 0, but W(t) has been trained with them: every w_r has moved
along -a_r times a gradient, so the summands have a common sign on average. The crude bound kappa sqrt(m) max_r|<u,
x>| is all that is left, and it grows with m. The conclusion survives in experiments because neurons move by only
O(1/sqrt m) (Claim I.5), so the common part is sqrt(m) O(1/sqrt m) = O(1).

**Experiment.** The largest |f - f'| over test inputs and recorded steps for every pair of networks; the constant is
fitted on the smaller widths and tested on the larger ones; R is the larger of the two networks'. How the looseness
goes with n and d beside m is measured as well.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ntk1bit.claims import Claim, Evidence, IntervalWithin
from ntk1bit.claims.measures import (
    BOUND_RANGES,
    against,
    bound_criteria,
    bound_labels,
    bound_reach,
    exponent,
    held_out_bound,
)
from ntk1bit.estimators.against_width import recorded_steps
from proofs_numeric.data import DELTA, Data, grouped, log_factor
from proofs_numeric.proof import Proof

_GROWS = ("n_train", "dim")
CLAIM = Claim(
    id="5.2",
    title="the outputs of both networks stay close",
    statement="At all recorded steps and test inputs |f - f'| <= C kappa sqrt(log(m/delta)) d (D + R).",
    source="D25, Thm 5.2 (K.1)",
    assumptions="iid start as in the theorem; kappa = 0.1..1, d = 8..512, n = 16..256, digits.",
    refuted_by="held-out pairs of networks beyond the fitted constant, or a gap that outgrows the bound",
    criteria=bound_criteria("bound", 100),
    context=(IntervalWithin("gap.m.digits.iid", high=-0.1),),
    labels=bound_labels("bound", "largest gap against the bound", _GROWS)
    | {"gap.m.digits.iid": "exponent in m of the largest gap, digits, iid"},
    reach=bound_reach("bound", _GROWS),
    ranges=BOUND_RANGES,
)
_STUDIES = ("digits", "gap-dims", "gap-points", "gap-kappas")


def evidence(data: Data) -> Evidence:
    """Hold every pair of networks against the bound."""
    every = pd.concat([pairs(data.frame(study)).assign(study=study) for study in _STUDIES])
    every["bound"] = (
        every["kappa"] * np.sqrt(np.log(every["width"] / DELTA)) * every["dim"] * (log_factor(every) + every["radius"])
    )
    iid = every.loc[every["init"] == "iid"]
    span = f"{len(iid):,} pairs, m = {iid['width'].min()}..{iid['width'].max()}"
    measures = held_out_bound(
        iid,
        measured="largest_gap",
        bound="bound",
        measure="bound",
        meaning="the largest |f - f'|",
        span=span,
        study="all",
        settings=("study", "task", "dim", "n_train", "kappa"),
        grows=_GROWS,
    )
    digits = iid.loc[iid["study"] == "digits"]
    in_m = against(digits, "width", "largest_gap", meaning="largest |f - f'| over test inputs and steps")
    return Evidence(
        (*measures, exponent(in_m, "gap.m.digits.iid", "digits")),
        {"largest gap, digits, iid": in_m.table},
    )


PROOFS = (Proof(CLAIM, _STUDIES, evidence),)


def pairs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row a pair of networks, 1-bit and full: the largest |f - f'| over test inputs and steps, and R."""
    taken = recorded_steps(frame)
    index = ["task", "dim", "n_train", "init", "kappa", "width", "seed", "step"]
    one_bit, full = (
        taken.loc[taken["precision"] == p].set_index(index)[["test_outputs", "radius"]] for p in ("one_bit", "full")
    )
    both = one_bit.join(full.add_suffix("_full"), how="inner")
    apart = [
        float(np.abs(np.subtract(f, f_full)).max())
        for f, f_full in zip(both["test_outputs"], both["test_outputs_full"], strict=True)
    ]
    found = pd.DataFrame(
        {"largest_gap": apart, "radius": both[["radius", "radius_full"]].max(axis=1).to_numpy()}, index=both.index
    )
    return grouped(found.reset_index(), index[:-1], ["largest_gap", "radius"], "max")
