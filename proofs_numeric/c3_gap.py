"""C3 and C3-paired: whether the generalisation difference between both networks closes with width.

**C3, D25's text.** The generalisation difference f - f' on test inputs, below the gap, tends to 0 as the width grows
(iid start).

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

from ntk1bit.claims import Claim, Evidence, IntervalWithin
from ntk1bit.claims.measures import against, at, exponent, select
from ntk1bit.estimators import gap
from proofs_numeric.data import Data, fitted_exponent, highest, rows, widest
from proofs_numeric.proof import Proof


def _labels(init: str) -> dict[str, str]:
    return {
        f"gap.m.digits.{init}": f"exponent in m, digits, {init}",
        f"gap.m.digits.{init}.widest": f"exponent in m, digits, {init}, widest widths",
        f"gap.m.sphere.{init}": f"exponent in m, sphere at the largest d, {init}",
        f"gap.d.sphere.{init}": f"exponent in d at the largest m, {init}",
        f"gap.kappa.digits.{init}": f"exponent in kappa, digits, {init}",
        f"gap.widest.digits.{init}": f"gap at the widest, digits, {init}",
    }


CLAIM_IID = Claim(
    id="C3",
    title="the generalisation difference closes with width",
    statement="The generalisation difference (gap), the root mean square of f - f' on test inputs after training, "
    "tends to 0 as m grows, from an iid start.",
    source="D25, text around Thm 5.2",
    assumptions="iid start, kappa = 1, same data, W(0) and a.",
    refuted_by="an exponent in m above -0.1",
    criteria=(
        IntervalWithin("gap.m.digits.iid.widest", high=-0.1),
        IntervalWithin("gap.m.sphere.iid", high=-0.1),
    ),
    context=(IntervalWithin("gap.kappa.digits.iid", 0.9, 1.1),),
    labels=_labels("iid"),
)
CLAIM_PAIRED = Claim(
    id="C3-paired",
    title="paired starts: the gap falls as m^-1/4",
    statement="From a paired start the generalisation difference (gap) after training falls as m^-1/4 at large d, and "
    "its value at the largest width falls with d.",
    source="ours",
    assumptions="paired start; a linear function (sphere) at eta_rel = 1.",
    refuted_by="an exponent in m outside [-0.35, -0.15] at the largest d, or a gap that does not fall with d",
    criteria=(
        IntervalWithin("gap.m.sphere.paired", -0.35, -0.15),
        IntervalWithin("gap.d.sphere.paired", high=-0.1),
    ),
    context=(IntervalWithin("gap.m.digits.paired", -0.35, -0.15),),
    labels=_labels("paired"),
)


def evidence_iid(data: Data) -> Evidence:
    """Measure the gap from an iid start."""
    return _evidence(data, "iid")


def evidence_paired(data: Data) -> Evidence:
    """Measure the gap from a paired start."""
    return _evidence(data, "paired")


_STUDIES = ("digits", "gap-dims", "gap-kappas", "functions")
PROOFS = (Proof(CLAIM_IID, _STUDIES, evidence_iid), Proof(CLAIM_PAIRED, _STUDIES, evidence_paired))


def _evidence(data: Data, init: str) -> Evidence:
    frame = data.frame("digits")
    digits, last = (select(gap(part), init=init) for part in (frame, widest(frame)))
    found = {
        study: [one for one in gap(data.frame(study)) if one.settings["init"] == init]
        for study in ("gap-dims", "gap-kappas", "functions")
    }
    dims = {int(one.settings["dim"]): one for one in found["gap-dims"]}
    in_d, in_kappa = (
        against(
            _at_widest(data.frame(study), init),
            column,
            "gap",
            meaning=f"gap after training{where}",
        )
        for study, column, where in (("gap-dims", "dim", " at the largest width"), ("gap-kappas", "kappa", ""))
    )
    functions = [
        {"task": one.settings["task"]} | fitted_exponent(one) | {"gap at the widest": one.table["value"].iloc[-1]}
        for one in found["functions"]
    ]
    return Evidence(
        (
            exponent(digits, f"gap.m.digits.{init}", "digits"),
            exponent(last, f"gap.m.digits.{init}.widest", "digits"),
            exponent(dims[max(dims)], f"gap.m.sphere.{init}", "gap-dims"),
            exponent(in_d, f"gap.d.sphere.{init}", "gap-dims"),
            exponent(in_kappa, f"gap.kappa.digits.{init}", "gap-kappas"),
            at(digits, f"gap.widest.digits.{init}", "digits"),
        ),
        {
            "digits": digits.table,
            "sphere by dimension": pd.concat([rows(dims[d].table, dim=d) for d in sorted(dims)], ignore_index=True),
            "digits by kappa": pd.concat(
                [rows(one.table, kappa=one.settings["kappa"]) for one in found["gap-kappas"]], ignore_index=True
            ),
            "exponents by task": pd.DataFrame(functions),
            "exponents by dimension": pd.DataFrame([{"dim": d} | fitted_exponent(dims[d]) for d in sorted(dims)]),
        },
    )


def _at_widest(frame: pd.DataFrame, init: str) -> pd.DataFrame:
    """Return the gap after training of each pair of networks of the largest width."""
    parts = [
        rows(one.table, seed=seed, **{name: one.settings[name] for name in ("dim", "kappa")})
        for seed, part in frame.loc[frame["init"] == init].groupby("seed")
        for one in gap(part)
    ]
    table = pd.concat(parts, ignore_index=True).rename(columns={"value": "gap"})
    return table.loc[table["width"] == highest(table["width"])]
