"""C0: the kernel at the start reaches its infinite-width limit.

**Statement.** norm_F(H(0) - limit)/norm_F(limit) falls as m^-1/2, for both precisions, with probability one over the
draw.

**Derivation.** H_ij(0) = kappa^2 <x_i, x_j> (1/m) #{r active on both} is an average of m independent indicators, with
mean limit_ij and variance kappa^4 <x_i, x_j>^2 p (1 - p)/m: the law of large numbers, with Hoeffding's inequality for a
bound at finite m (tests/properties). For full precision p = (pi - theta)/(2 pi) (Cho & Saul 2009); in 1-bit precision p
has no closed form and is counted over many neurons.

**Experiment.** Two tasks, exponents over all widths; and eight data sets on the sphere, each with the same networks,
over widths from 256. The limits themselves against d in a table: the 1-bit
limit is not the full-precision one, and K_eff = c H with c near sqrt(2/pi) (std) or 2/pi (absmean) at large d.
"""

from __future__ import annotations

import itertools

import pandas as pd

from ntk1bit.claims import Claim, Evidence, IntervalWithin, Number
from ntk1bit.claims.measures import against, exponent
from proofs_numeric.data import PRECISIONS, Data, highest, rows
from proofs_numeric.proof import Proof

_CASES = tuple(itertools.product(("digits", "sphere-linear"), PRECISIONS))

CLAIM = Claim(
    id="C0",
    title="the kernel at the start reaches its limit",
    statement="The relative Frobenius distance of H(0) to its limit falls as m^-1/2, in both precisions.",
    source="standard (law of large numbers); theory of D25's H* = H(0)",
    assumptions="iid start; the 1-bit limit by Monte Carlo at the task's d.",
    refuted_by="an exponent away from -1/2",
    criteria=tuple(
        IntervalWithin(f"distance.m.{task}.{precision}", -0.55, -0.45)
        for task, precision in (*_CASES, *itertools.product(("draws",), PRECISIONS))
    ),
    labels={
        **{f"distance.m.{task}.{one}": f"exponent in m, {task}, {PRECISIONS[one]}" for task, one in _CASES},
        **{f"distance.m.draws.{one}": f"exponent in m, data sets drawn anew, {PRECISIONS[one]}" for one in PRECISIONS},
        "limit.error": "error of the 1-bit limit",
    },
    ranges="-1/2 is concentration; 0.05 leaves room for a tenth of it",
)


def evidence(data: Data) -> Evidence:
    """Fit the exponent for each task and precision."""
    drawn = data.frame("limits")
    measures, tables = [], []
    for task, precision in _CASES:
        part = drawn.loc[(drawn["task"] == task) & (drawn["precision"] == precision)]
        found = against(part, "width", "distance", meaning="relative Frobenius distance of H(0) to its limit")
        measures.append(exponent(found, f"distance.m.{task}.{precision}", "limits"))
        tables.append(rows(found.table, task=task, precision=precision))
    anew = data.frame("limits-draws")
    for precision in PRECISIONS:
        part = anew.loc[anew["precision"] == precision]
        found = against(part, "width", "distance", meaning="relative Frobenius distance of H(0) to its limit")
        measures.append(exponent(found, f"distance.m.draws.{precision}", "limits-draws"))
        tables.append(rows(found.table, task="draws", precision=precision))
    in_dim = data.frame("limits-dims")
    error = highest(drawn["limit_error"])
    return Evidence(
        (*measures, Number("limit.error", "relative Frobenius norm of its standard errors", error, "", "limits")),
        {
            "distance": pd.concat(tables, ignore_index=True),
            "limits against d": pd.DataFrame(in_dim[["dim", "scale", "distance", "noise", "ratio", "ratio_error"]]),
        },
        ("The limits of both precisions differ at fixed d; see the table of limits against d.",),
    )


PROOFS = (Proof(CLAIM, ("limits", "limits-draws", "limits-dims"), evidence),)
