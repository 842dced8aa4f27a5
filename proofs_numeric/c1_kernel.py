"""C1: the kernel of a 1-bit network settles as it widens.

**Statement.** max_t norm_F(H(t) - H(0))/norm_F(H(0)) falls at least as fast as m^-1/2, at fixed eta_rel and steps.

**Derivation.** The drift is at most 2 kappa^2 n/m times the largest number of changed activities (Lemma G.5's first
step). An activity changes when |z| is below what training moves it by. In full precision z moves by O(1/sqrt m) and
has a bounded density at 0, so a share O(1/sqrt m) changes. In 1-bit precision the mean of z moves by O(1/sqrt m) too,
and the signs that flip on the way, a share O(1/sqrt m) of d, scatter it by O(sqrt(1/(d sqrt m)) sqrt d) = O(m^-1/4),
a change that has no preferred side: to H_ij, an average over neurons, it contributes at second order, again
O(m^-1/2). So -1/2 is what to expect for both, up to the logarithms in how long the network trains.

**Experiment.** Digits, 256 points, both inits; and D25's functions.
"""

from __future__ import annotations

import pandas as pd

from ntk1bit.claims import Claim, Evidence, Inside
from ntk1bit.claims.measures import exponent, select
from ntk1bit.estimators import drift
from proofs_numeric.data import Data, rows
from proofs_numeric.studies import FUNCTIONS

CLAIM = Claim(
    id="C1",
    title="the kernel of a 1-bit network settles as it widens",
    statement="The largest relative kernel drift in training falls with width at least as fast as m^-1/2.",
    source="D25, Lemma 4.1 with Claim I.5",
    assumptions="1000 steps at eta_rel = 1.",
    refuted_by="an exponent above -1/2 in either init",
    criteria=(
        Inside("exponent of drift, 1-bit, paired", high=-0.5),
        Inside("exponent of drift, 1-bit, iid", high=-0.5),
    ),
    context=(
        Inside("exponent of drift, full precision, paired", high=-0.5),
        Inside("exponent of drift, full precision, iid", high=-0.5),
    ),
)
STUDIES = ("digits", "functions")


def evidence(data: Data) -> Evidence:
    """Fit the exponents."""
    found = drift(data.frame("digits"))
    measures, tables = [], []
    for precision, word in (("one_bit", "1-bit"), ("full", "full precision")):
        for init in ("paired", "iid"):
            one = select(found, init=init, precision=precision)
            measures.append(exponent(one, f"exponent of drift, {word}, {init}", "digits"))
            tables.append(rows(one.table, init=init, precision=precision))
    by_task = [
        {name: one.settings[name] for name in ("task", "precision")}
        | {"exponent": one.power.exponent, "low": one.power.exponent_low, "high": one.power.exponent_high}
        for one in drift(data.frame("functions"))
        if one.settings["init"] == "paired"
    ]
    order = {name: place for place, name in enumerate((*FUNCTIONS, "sphere-linear"))}
    functions = pd.DataFrame(by_task).sort_values("task", key=lambda names: names.map(order))
    return Evidence(
        tuple(measures), {"drift": pd.concat(tables, ignore_index=True), "exponents by task, paired": functions}
    )
