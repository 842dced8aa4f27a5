"""D25, Proposition 4.3: the loss as a scaling law in parameters, data and compute.

**Statement.** With N = m d parameters, D_n = n points and compute C = N n T the loss is
max(D_n^3 d^2.25/(lambda^2 N^0.25), alpha exp(-eta lambda C)).

**What can be tested.** Read as a law, it predicts exponents: -0.25 in N, +3 in n, +2 in d at fixed m, and exponential
decay in compute. Read as a bound, the loss only has to fall at least as fast as N^-0.25. The two readings are judged
apart: the law by its exponents, which decide, and the bound as context. The floor law (`c2_floor`) says -1 in m, +2
in n, -1 in d.

**Experiment.** Networks trained for 10,000 steps (4,000 against d), so that the second branch is out of the way; the
exponent in N over the four widest widths, after half of the steps and after all (`floors`). lambda changes with n and
d too; the exponents in n and d are held against the law with the measured lambda divided out. And jointly: how far
log10 L of all these networks scatters around D25's form, and around n^2/(m d), each with one fitted constant.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.claims import Claim, Evidence, IntervalEstimate, IntervalWithin, Number
from ntk1bit.claims.measures import against, exponent
from proofs_numeric.data import Data, cells, span_of, widest
from proofs_numeric.floors import against_width, ends, exponents, labels, ranges
from proofs_numeric.proof import Proof

_BOUND = -0.25  # exponent in N

CLAIM = Claim(
    id="4.3",
    title="the loss follows D25's scaling law",
    statement="The loss of a trained 1-bit network follows D_n^3 d^2.25/(lambda^2 N^0.25) when compute does not limit.",
    source="D25, Prop 4.3",
    assumptions="paired start, random labels on the sphere, trained to convergence; each exponent within 0.1 (N) or "
    "0.5.",
    refuted_by="an exponent outside its range",
    criteria=(
        *ranges("loss.size", -0.35, -0.15),
        IntervalWithin("scaled.n", 2.5, 3.5),
        IntervalWithin("scaled.d", 1.5, 2.5),
    ),
    context=ranges("loss.size", -math.inf, _BOUND),
    labels={
        **labels({"loss.size": "exponent of the loss in N at fixed d"}),
        "scaled.n": "exponent of lambda^2 x loss in n",
        "scaled.d": "exponent of lambda^2 x loss in d at fixed m",
        "scatter.d25": "scatter around D25's form",
        "scatter.floor": "scatter around n^2/(m d)",
    },
    ranges="the statement's own powers, with 0.1 (N) or 0.5 of room",
)


def evidence(data: Data) -> Evidence:
    """Fit the three exponents."""
    frame = data.frame("floor")
    points, dims = (cells(data.frame(study)) for study in ("floor-points", "floor-dims"))
    points, dims = (t.assign(scaled=t["loss_end"] * t["lambda_min"] ** 2) for t in (points, dims))
    in_size = ends(frame)
    every = pd.concat([in_size, points, dims])
    n, m, d, lowest = (every[name].to_numpy(np.float64) for name in ("n_train", "width", "dim", "lambda_min"))
    theirs, ours = n**3 * d**2.25 / lowest**2 / (m * d) ** 0.25, n**2 / (m * d)
    span = f"{len(every)} networks, {span_of(every, m='width', n='n_train', d='dim')}"
    in_n, in_d = against(points, "n_train", "scaled"), against(dims, "dim", "scaled")
    size, earlier = exponents(widest(in_size), "width", "loss.size", "floor")
    return Evidence(
        (
            size,
            earlier,
            exponent(in_n, "scaled.n", "floor-points"),
            exponent(in_d, "scaled.d", "floor-dims"),
            *(
                Number(f"scatter.{name}", "standard deviation of log10(L/law), constant fitted", value, span, "all")
                for name, value in (("d25", _scatter(every, theirs)), ("floor", _scatter(every, ours)))
            ),
        ),
        {
            "loss against width": against_width(frame).table,
            "lambda^2 x loss against n": in_n.table.rename(columns={"n_train": "n"}),
            "lambda^2 x loss against d": in_d.table.rename(columns={"dim": "d"}),
        },
        _room(size),
    )


PROOFS = (Proof(CLAIM, ("floor", "floor-points", "floor-dims"), evidence),)


def _room(size: IntervalEstimate) -> tuple[str, ...]:
    """Say how much faster the loss falls than the proposition needs as a bound, where it is seen to."""
    if not size.high < _BOUND:
        return ()
    faster = f"the loss falls {size.value / _BOUND:.2g} times as fast in log N as it says"
    return (f"As a bound the proposition holds with room: {faster}.",)


def _scatter(every: pd.DataFrame, law: Float[np.ndarray, " k"]) -> float:
    """Return the standard deviation of log10(loss / law): 0 for a law that holds up to its constant."""
    return float(np.log10(every["loss_end"].to_numpy() / law).std())
