"""C1-H and C1-K: as it widens, a 1-bit network follows the dynamics of K_eff, not those of its own kernel.

**C1-H, D25's reading.** Training aligns with the kernel H: f_t approaches f_0 - eta sum_s H(0) r_s as m grows.

**C1-K, ours.** It approaches the dynamics of the effective kernel K_eff instead.

**Derivation.** One straight-through step moves f by -eta K_eff r on average, not by -eta H r
(`ntk1bit.kernels.effective`), and K_eff does not approach H with width. So the distance of f_t to H's prediction cannot
vanish: it tends to the distance between the two predictions. The distance to K_eff's is the flip noise, whose standard
deviation falls as m^-1/4 (`c3b_spread`). In full precision K_eff = H, and the distance falls as the drift does, m^-1/2.

**Experiment.** Root mean square distance over training inputs, mean over recorded steps while L > L(0)/10, on digits,
`paired`; its exponent over the four widest widths, where a floor shows. A distance that vanishes falls there at least
like the flip noise; -0.2 is the line, drawn between m^-1/4 and a floor.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ntk1bit import kernels
from ntk1bit.claims import Claim, Evidence, IntervalEstimate, IntervalWithin
from ntk1bit.claims.measures import at, estimated, exponent, select
from ntk1bit.data import tasks
from ntk1bit.estimators import distance_to_predictions
from ntk1bit.estimators.against_width import AgainstWidth
from ntk1bit.statistics import geometric_interval
from proofs_numeric.data import Data, rows, widest
from proofs_numeric.proof import Proof

_SAMPLES = 400_000  # neurons for the predictions drawn beside the curves
_COLUMNS = ("from_h", "from_k_eff")

CLAIM_H = Claim(
    id="C1-H",
    title="training follows the dynamics of H",
    statement="The distance of a 1-bit network's outputs in training to the prediction of its own kernel H(0) vanishes "
    "with width.",
    source="D25, section 4 (training aligns with the kernel)",
    assumptions="paired start, eta_rel = 1, while L > L(0)/10.",
    refuted_by="a distance that plateaus: exponent above -0.2 over the four widest widths",
    criteria=(IntervalWithin("from_h.m.widest", high=-0.2),),
    context=(IntervalWithin("from_h.m.full", high=-0.2),),
    labels={
        "from_h.m.widest": "exponent of the distance to H, widest widths",
        "from_h.m.full": "exponent of the distance to H, full precision",
        "from_h.widest": "distance to H at the widest",
    },
)
CLAIM_K = Claim(
    id="C1-K",
    title="training follows the dynamics of K_eff",
    statement="The distance of a 1-bit network's outputs in training to the prediction of K_eff vanishes with "
    "width, as m^-1/4 (flip noise).",
    source="ours",
    assumptions="paired start, eta_rel = 1, while L > L(0)/10; K_eff of infinite width, by Monte Carlo.",
    refuted_by="an exponent above -0.2 over the four widest widths, or a distance not smaller than to H",
    criteria=(IntervalWithin("from_k.m.widest", high=-0.2), IntervalWithin("from_h_over_k.widest", low=1.0)),
    context=(IntervalWithin("from_k.m", -0.3, -0.2),),
    labels={
        "from_k.m.widest": "exponent of the distance to K_eff, widest widths",
        "from_k.m": "exponent of the distance to K_eff, all widths",
        "from_k.widest": "distance to K_eff at the widest",
        "from_h_over_k.widest": "distance to H over distance to K_eff, at the widest",
    },
)


def evidence_h(data: Data) -> Evidence:
    """Measure the distance to H's prediction."""
    frame = _frame(data)
    every, last = (_distance(part, "from H") for part in (frame, widest(frame)))
    full = _distance(frame, "from H", precision="full")
    tables = [rows(one.table, precision=p, kernel="H") for one, p in ((every, "one_bit"), (full, "full"))]
    return Evidence(
        (
            exponent(last, "from_h.m.widest", "digits"),
            exponent(full, "from_h.m.full", "digits"),
            at(every, "from_h.widest", "digits"),
        ),
        {"distance": pd.concat(tables, ignore_index=True), "curves": _curves(frame)},
    )


def evidence_k(data: Data) -> Evidence:
    """Measure the distance to K_eff's prediction, and how much closer it is."""
    frame = _frame(data)
    every, last = (_distance(part, "from K_eff") for part in (frame, widest(frame)))
    return Evidence(
        (
            exponent(last, "from_k.m.widest", "digits"),
            exponent(every, "from_k.m", "digits"),
            at(every, "from_k.widest", "digits"),
            _closer(frame),
        ),
        {
            "distance": rows(every.table, precision="one_bit", kernel="K_eff"),
            "convergence": _convergence(frame),
        },
    )


PROOFS = (Proof(CLAIM_H, ("digits",), evidence_h), Proof(CLAIM_K, ("digits",), evidence_k))


def _frame(data: Data) -> pd.DataFrame:
    frame = data.frame("digits")
    return frame.loc[frame["init"] == "paired"]


def _distance(frame: pd.DataFrame, quantity: str, precision: str = "one_bit") -> AgainstWidth:
    found = [one for one in distance_to_predictions(frame) if one.quantity == quantity]
    return select(found, precision=precision)


def _closer(frame: pd.DataFrame) -> IntervalEstimate:
    """Ratio of the two distances at the widest, seed by seed, in logarithms."""
    last = frame.loc[(frame["width"] == frame["width"].max()) & (frame["precision"] == "one_bit")]
    ratios = []
    for _, cell in last.groupby("seed"):
        one = {o.quantity: o.table["value"].iloc[0] for o in distance_to_predictions(cell)}
        ratios.append(one["from H"] / one["from K_eff"])
    meaning = "geometric mean over seeds of the ratio of root mean square distances"
    span = f"m = {last['width'].max()}"
    return estimated("from_h_over_k.widest", meaning, geometric_interval(ratios), len(ratios), span, "digits")


def _convergence(frame: pd.DataFrame) -> pd.DataFrame:
    """Loss at recorded steps of the widest networks, and what H and K_eff of infinite width predict for it."""
    curves = _curves(frame).set_index(["precision", "step"])
    one_bit = curves.loc["one_bit"]
    first = frame.loc[(frame["width"] == frame["width"].max()) & (frame["precision"] == "one_bit")].iloc[0]
    task = tasks.load(str(first["task"]), n_train=int(first["n_train"]), n_test=int(first["n_test"]), seed=0)
    y = task.y.astype(np.float64)
    kernel = {
        "loss_h": kernels.limit_ntk(task.x, samples=_SAMPLES).value,
        "loss_k_eff": kernels.effective_ntk(task.x, samples=_SAMPLES).value,
    }
    predicted = {}
    for name, one in kernel.items():
        found = kernels.predict(one, y, eta=float(first["eta"]), steps=one_bit.index.tolist())
        predicted[name] = 0.5 * ((found.train - y) ** 2).sum(axis=1)
    columns = one_bit[["loss", "loss_low", "loss_high"]].assign(**predicted)
    return columns.assign(full_loss=curves.loc["full"]["loss"]).reset_index()


def _curves(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds of loss and both distances at recorded steps of the widest networks."""
    last = frame.loc[(frame["width"] == frame["width"].max()) & frame["from_h"].notna()]
    by_step = last.groupby(["precision", "step"])
    mean, low, high = by_step[["loss", *_COLUMNS]].mean(), by_step["loss"].min(), by_step["loss"].max()
    return mean.assign(loss_low=low, loss_high=high).reset_index()
