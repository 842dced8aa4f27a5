"""C3 and C3-paired: whether the gap between both networks closes with width.

**C3, D25's text.** The gap f - f' on test inputs tends to 0 as the width grows (iid start).

**C3-paired, ours.** Without the random start (`paired`) the gap falls as m^-1/4 down to what the two limits differ by,
which shrinks with d.

**Derivation.** At the start f - f' is a random function of size kappa, flat in m (`lemma_5_1`): the average of m
terms of size 1 and random sign, times sqrt(m). Training pulls both functions to the same targets at the training
inputs, and leaves the rest of the random start on test inputs. So with an iid start the gap is flat in m. With a
paired start f - f' has three parts: the flip noise of the 1-bit network, m^-1/4 (`c3b_spread`); the finite-width
scatter of both kernels, m^-1/2; and the difference of the two mean functions, which depends on d and the data only:
K_eff against H.

**Experiment.** Digits against width; a linear function on the sphere against width and d; digits against kappa; D25's
functions. A gap that vanishes has an exponent below -0.1, judged over the four widest widths, where a floor shows.
"""

from __future__ import annotations

import pandas as pd

from ntk1bit.claims import Claim, Estimate, Evidence, Inside
from ntk1bit.claims.measures import against, at, exponent, select
from ntk1bit.estimators import gap
from ntk1bit.estimators.against_width import AgainstWidth
from proofs_numeric.data import Data, highest, rows, widest

CLAIM_IID = Claim(
    id="C3",
    title="the gap between both networks closes with width",
    statement="The root mean square of f - f' on test inputs after training tends to 0 as m grows, from an iid start.",
    source="D25, text around Thm 5.2",
    assumptions="iid start, kappa = 1, same data, W(0) and a.",
    refuted_by="an exponent in m above -0.1",
    criteria=(
        Inside("exponent in m, digits, iid, widest widths", high=-0.1),
        Inside("exponent in m, sphere at the largest d, iid", high=-0.1),
    ),
    context=(Inside("exponent in kappa, digits, iid", 0.9, 1.1),),
)
CLAIM_PAIRED = Claim(
    id="C3-paired",
    title="without the random start the gap falls as m^-1/4",
    statement="From a paired start the gap after training falls as m^-1/4 at large d, and its value at the largest "
    "width falls with d.",
    source="ours",
    assumptions="paired start; 300 steps at eta_rel = 1 on a linear function (sphere).",
    refuted_by="an exponent in m outside [-0.35, -0.15] at the largest d, or a gap that does not fall with d",
    criteria=(
        Inside("exponent in m, sphere at the largest d, paired", -0.35, -0.15),
        Inside("exponent in d at the largest m, paired", high=-0.1),
    ),
    context=(Inside("exponent in m, digits, paired", -0.35, -0.15),),
)
STUDIES = ("digits", "gap-dims", "gap-kappas", "functions")


def evidence_iid(data: Data) -> Evidence:
    """Measure the gap from an iid start."""
    return _evidence(data, "iid")


def evidence_paired(data: Data) -> Evidence:
    """Measure the gap from a paired start."""
    return _evidence(data, "paired")


def _evidence(data: Data, init: str) -> Evidence:
    frame = data.frame("digits")
    digits = select(gap(frame), init=init)
    last = select(gap(widest(frame)), init=init)
    by_dim = {int(one.settings["dim"]): one for one in gap(data.frame("gap-dims")) if one.settings["init"] == init}
    largest = max(by_dim)
    dims = pd.concat([rows(one.table, dim=dim) for dim, one in sorted(by_dim.items())], ignore_index=True)
    kappas = [one for one in gap(data.frame("gap-kappas")) if one.settings["init"] == init]
    at_kappa = pd.concat([rows(one.table, kappa=one.settings["kappa"]) for one in kappas], ignore_index=True)
    functions = [
        {"task": one.settings["task"]}
        | {"exponent": one.power.exponent, "low": one.power.exponent_low, "high": one.power.exponent_high}
        | {"gap at the widest": one.table["value"].iloc[-1]}
        for one in gap(data.frame("functions"))
        if one.settings["init"] == init
    ]
    measures = [
        exponent(digits, f"exponent in m, digits, {init}", "digits"),
        exponent(last, f"exponent in m, digits, {init}, widest widths", "digits"),
        exponent(by_dim[largest], f"exponent in m, sphere at the largest d, {init}", "gap-dims"),
        _exponent_in_dim(data, init),
        _exponent_in_kappa(data, init),
        at(digits, f"gap at the widest, digits, {init}", "digits"),
    ]
    return Evidence(
        tuple(measures),
        {
            "digits": digits.table,
            "sphere by dimension": dims,
            "digits by kappa": at_kappa,
            "exponents by task": pd.DataFrame(functions),
            "exponents by dimension": pd.DataFrame(
                [
                    {"dim": dim, "exponent": one.power.exponent, "low": one.power.exponent_low}
                    | {"high": one.power.exponent_high}
                    for dim, one in sorted(by_dim.items())
                ]
            ),
        },
    )


def _exponent_in_dim(data: Data, init: str) -> Estimate:
    table = _per_seed(data.frame("gap-dims"), init)
    table = table.loc[table["width"] == highest(table["width"])]
    found = against(table, "dim", "gap", meaning="gap after training at the largest width")
    return exponent(found, f"exponent in d at the largest m, {init}", "gap-dims", x="d")


def _exponent_in_kappa(data: Data, init: str) -> Estimate:
    table = _per_seed(data.frame("gap-kappas"), init)
    table = table.loc[table["width"] == highest(table["width"])]
    found: AgainstWidth = against(table, "kappa", "gap", unit=0.001, meaning="gap after training")
    return exponent(found, f"exponent in kappa, digits, {init}", "gap-kappas", x="kappa (0.001)")


def _per_seed(frame: pd.DataFrame, init: str) -> pd.DataFrame:
    """Return the gap after training, a row a pair of networks."""
    parts = []
    for seed, part in frame.loc[frame["init"] == init].groupby("seed"):
        for one in gap(part):
            about = {name: one.settings[name] for name in ("dim", "kappa")}
            parts.append(
                rows(pd.DataFrame(one.table[["width", "value"]]), seed=seed, **about).rename(columns={"value": "gap"})
            )
    return pd.concat(parts, ignore_index=True)
