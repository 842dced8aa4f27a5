"""C1-H, C1-K, C1-means, C1-K-late: a wide 1-bit network begins with the dynamics of K_eff, not of its own kernel.

**C1-H, D25's reading.** Training aligns with the kernel H: f_t approaches f_0 - eta sum_s H(0) r_s as m grows.

**C1-K, ours.** It approaches the dynamics of the effective kernel K_eff instead, while L > L(0)/10.

**Derivation.** One straight-through step moves f by -eta K_eff r on average, not by -eta H r
(`ntk1bit.kernels.effective`), and K_eff does not approach H with width. So the distance of f_t to H's prediction cannot
vanish: it tends to the distance between the two predictions. The distance to K_eff's is the flip noise, whose standard
deviation falls as m^-1/4 (`c3b_spread`). In full precision K_eff = H, and the distance falls as the drift does, m^-1/2.

**C1-means, ours.** The mean over many networks, from which the noise of single ones is gone, is K_eff's prediction, not
H's.

**C1-K-late, ours.** The same later, once the loss has fallen: is what is left of it the loss of K_eff's descent?

**Why it may not be.** The derivation averages over where the latent weights lie beside their thresholds as if a flip
had no history. But a flip changes which inputs its neuron sees, and so the force on the weight that flipped: where the
forces before and after have opposite signs the weight is driven back and forth across its threshold, and such weights
gather there. Their moves need not average out, since all react to the same residual. No width enters: if the loss then
is above K_eff's, a wider network's is too.

**Experiment.** Root mean square distance over training inputs, mean over recorded steps while L > L(0)/10, on digits,
`paired`; its exponent over the four widest widths, where a floor shows. A distance that vanishes falls there at least
like the flip noise; -0.2 is the line, drawn between m^-1/4 and a floor. The same on eight data sets on the sphere,
crossed with networks. Of C1-means: outputs on training inputs after ten steps of many networks a width, n = 16, d = 64,
eta_rel = 0.5; with f_H and f_K the predictions of both kernels of infinite width, each network's share of the way from
one to the other, s = <f - f_H, f_K - f_H>/|f_K - f_H|^2, whose mean is 0 or 1; and how far the mean over networks is
from f_K in any direction, |E f - f_K|^2/|f_K - f_H|^2, from products of different networks, which have no bias. Of
C1-K-late: random labels on the sphere, n =
32, d = 16, eta_rel = 0.5, `paired`, eight seeds, widths to 65536; the loss, averaged over steps 81 to 120, over that of
K_eff's descent of infinite width at the same steps, and the exponent in m of what is above it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit import kernels
from ntk1bit.claims import Claim, Evidence, IntervalEstimate, IntervalWithin
from ntk1bit.claims.measures import against, at, estimated, exponent, seeds_interval, select
from ntk1bit.data import tasks
from ntk1bit.estimators import distance_to_predictions
from ntk1bit.estimators.against_width import AgainstWidth
from ntk1bit.statistics import geometric_interval
from proofs_numeric.data import Data, grouped, highest, over_data_sets, rows, widest
from proofs_numeric.proof import Proof
from proofs_numeric.studies import DATA_SETS

_SAMPLES = 400_000  # neurons for the predictions drawn beside the curves
_COLUMNS = ("from_h", "from_k_eff")
_LATE, _LATE_STEPS = "mid-training", range(81, 121)
_FIRST, _FIRST_TASKS = "first-steps", ("sphere", "digits")
_BLOCK = 20  # networks among which products are taken; the unit of their mean's interval is such a block
_BLOCKS = f"blocks of {_BLOCK} networks on one data set"
_DRAWS = "draws-*"  # how the studies on data sets drawn anew are named together

CLAIM_H = Claim(
    id="C1-H",
    title="training follows the dynamics of H",
    statement="The distance of a 1-bit network's outputs in training to the prediction of its own kernel H(0) vanishes "
    "with width.",
    source="D25, section 4 (training aligns with the kernel)",
    assumptions="paired start, eta_rel = 1, while L > L(0)/10.",
    refuted_by="a distance that plateaus: exponent above -0.2 over the four widest widths",
    criteria=(IntervalWithin("from_h.m.widest", high=-0.2), IntervalWithin("from_h.m.draws", high=-0.2)),
    context=(IntervalWithin("from_h.m.full", high=-0.2),),
    labels={
        "from_h.m.widest": "exponent of the distance to H, widest widths",
        "from_h.m.draws": "exponent of the distance to H, data sets drawn anew",
        "from_h.m.full": "exponent of the distance to H, full precision",
        "from_h.widest": "distance to H at the widest",
    },
    ranges="-0.2, four fifths of the -1/4 of flip noise",
)
CLAIM_K = Claim(
    id="C1-K",
    title="training follows the dynamics of K_eff",
    statement="The distance of a 1-bit network's outputs in training to the prediction of K_eff vanishes with "
    "width, as m^-1/4 (flip noise).",
    source="ours",
    assumptions="paired start, eta_rel = 1, while L > L(0)/10; K_eff of infinite width, by Monte Carlo.",
    refuted_by="an exponent above -0.2 over the four widest widths, or a distance not smaller than to H",
    criteria=(
        IntervalWithin("from_k.m.widest", high=-0.2),
        IntervalWithin("from_k.m.draws", high=-0.2),
        IntervalWithin("from_h_over_k.widest", low=1.0),
    ),
    context=(IntervalWithin("from_k.m", -0.3, -0.2),),
    labels={
        "from_k.m.widest": "exponent of the distance to K_eff, widest widths",
        "from_k.m.draws": "exponent of the distance to K_eff, data sets drawn anew",
        "from_k.m": "exponent of the distance to K_eff, all widths",
        "from_k.widest": "distance to K_eff at the widest",
        "from_h_over_k.widest": "distance to H over distance to K_eff, at the widest",
    },
    ranges="-0.2, four fifths of the -1/4 of flip noise; 1 is no difference",
)
CLAIM_MEANS = Claim(
    id="C1-means",
    title="the mean of many networks follows K_eff, not H",
    statement="After ten steps the mean over 1-bit networks of their outputs on training inputs tends, as m grows, to "
    "the prediction of K_eff, which is not that of H.",
    source="ours",
    assumptions="paired start, eta_rel = 0.5, n = 16, d = 64, random labels on the sphere and digits; both kernels of "
    "infinite width, by Monte Carlo.",
    refuted_by="at the widest, a share of the way from H's prediction to K_eff's outside [0.9, 1.1], or a mean farther "
    "from K_eff's prediction than a fifth of that way, in any direction",
    criteria=tuple(
        one
        for task in _FIRST_TASKS
        for one in (IntervalWithin(f"way.{task}.widest", 0.9, 1.1), IntervalWithin(f"off.{task}.widest", high=0.04))
    ),
    context=tuple(IntervalWithin(f"way.{task}.narrowest", 0.9, 1.1) for task in _FIRST_TASKS),
    labels={
        f"{name}.{task}.{where}": f"{said}, {where}, {task}"
        for task in _FIRST_TASKS
        for where in ("widest", "narrowest")
        for name, said in (
            ("way", "share of the way from H to K_eff"),
            ("off", "squared distance of the mean to K_eff over that way"),
        )
    },
    ranges="0 is H and 1 is K_eff; a tenth and a fifth (squared) of the way between them, our reading of 'tends to'",
)
CLAIM_LATE = Claim(
    id="C1-K-late",
    title="later training follows the dynamics of K_eff",
    statement="Averaged over steps 81 to 120 the loss of a 1-bit network tends, as m grows, to that of K_eff's descent "
    "at the same steps.",
    source="ours, against C1-K read for all of training",
    assumptions="paired start, random labels on the sphere, n = 32, d = 16, eta_rel = 0.5; K_eff of infinite width, by "
    "Monte Carlo.",
    refuted_by="an excess over K_eff's loss that does not fall with width, or a loss above twice K_eff's at the widest",
    criteria=(IntervalWithin("excess.m.widest", high=-0.2), IntervalWithin("over_k.widest", high=2.0)),
    labels={
        "excess.m.widest": "exponent of the mean loss above K_eff's, widest widths",
        "over_k.widest": "mean loss over K_eff's at the widest",
    },
    ranges="-0.2, two fifths of the m^-1/2 of flip noise in the loss; a factor of two, our reading of 'tends to': "
    "trial runs on another draw of the data had 20 to 40",
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
            exponent(_distance(_drawn(data), "from H"), "from_h.m.draws", _DRAWS),
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
            exponent(_distance(_drawn(data), "from K_eff"), "from_k.m.draws", _DRAWS),
            exponent(every, "from_k.m", "digits"),
            at(every, "from_k.widest", "digits"),
            _closer(frame),
        ),
        {
            "distance": rows(every.table, precision="one_bit", kernel="K_eff"),
            "convergence": _convergence(frame),
        },
    )


def evidence_means(data: Data) -> Evidence:
    """Say how far the way from H's prediction to K_eff's the mean over networks has gone, and how far off it is."""
    frame = data.frame(_FIRST, also=("outputs",))
    last = frame.loc[frame["step"] == highest(frame["step"])]
    measures, tables = [], []
    for task in _FIRST_TASKS:
        part = last.loc[last["task"].str.startswith(task)]
        widths = sorted(set(part["width"]))
        on_the_way = _on_the_way(part)
        for where, width in (("narrowest", widths[0]), ("widest", widths[-1])):
            one = on_the_way.loc[on_the_way["width"] == width]
            span, count = f"m = {width}", f"mean of {_BLOCK} networks' products"
            measures += [
                seeds_interval(one["way"], f"way.{task}.{where}", "share of the way from f_H to f_K", span, _FIRST),
                seeds_interval(one["off"].dropna(), f"off.{task}.{where}", count, span, _FIRST, units=_BLOCKS),
            ]
        for name in ("way", "off"):
            found = against(on_the_way, "width", name, signed=True)
            tables.append(rows(found.table.drop(columns="seeds"), task=task, measure=name))
    return Evidence(tuple(measures), {"mean of many networks": pd.concat(tables, ignore_index=True)})


def evidence_late(data: Data) -> Evidence:
    """Compare the loss in mid-training with that of K_eff's descent."""
    frame = data.frame(_LATE)
    kept = frame.loc[frame["step"].isin(_LATE_STEPS)]
    every = grouped(kept, ["width", "seed"], ["loss", "eta"])
    descent = _descent(frame)
    every["of_k_eff"] = [np.mean(descent(eta, list(_LATE_STEPS))) for eta in every["eta"]]
    every["excess"] = every["loss"] - every["of_k_eff"]
    of = "mean training loss over steps 81 to 120"
    beyond = against(widest(every), "width", "excess", meaning=f"{of}, above that of K_eff's descent", signed=True)
    last = every.loc[every["width"] == every["width"].max()]
    of_k_eff = grouped(every, ["width"], ["of_k_eff"])["of_k_eff"].to_numpy()
    table = against(every, "width", "loss", meaning=of).table.assign(of_k_eff=of_k_eff)
    where = f"m = {last['width'].max()}"
    return Evidence(
        (
            exponent(beyond, "excess.m.widest", _LATE),
            seeds_interval(last["loss"] / last["of_k_eff"], "over_k.widest", f"{of}, over K_eff's", where, _LATE),
        ),
        {"loss in mid-training": table},
    )


PROOFS = (
    Proof(CLAIM_H, ("digits", *DATA_SETS), evidence_h),
    Proof(CLAIM_K, ("digits", *DATA_SETS), evidence_k),
    Proof(CLAIM_MEANS, (_FIRST,), evidence_means),
    Proof(CLAIM_LATE, (_LATE,), evidence_late),
)


def _on_the_way(frame: pd.DataFrame) -> pd.DataFrame:
    """Place each network's outputs f beside the predictions f_H and f_K of both kernels at the same step.

    Returns
    -------
    Columns width, seed, `way` = <f - f_H, f_K - f_H>/|f_K - f_H|^2, and, once for each block of networks, `off` = the
    mean over pairs of different networks of <u_i, u_j>, u = (f - f_K)/|f_K - f_H|, an estimate of |E u|^2 without bias.
    Each network's predictions are those at its own learning rate.
    """
    task = _task(frame)
    y = task.y.astype(np.float64)
    limits = [kernel(task.x, samples=_SAMPLES).value for kernel in (kernels.limit_ntk, kernels.effective_ntk)]
    way, away = [], []
    frame = frame.sort_values(["width", "seed"], ignore_index=True)
    for step, eta, outputs in zip(frame["step"], frame["eta"], frame["outputs"], strict=True):
        f_h, f_k = (y + _residual(limit, -y, float(eta), int(step)) for limit in limits)
        f, apart = np.asarray(outputs, np.float64), f_k - f_h
        way.append((f - f_h) @ apart / (apart @ apart))
        away.append((f - f_k) / np.linalg.norm(apart))
    off = np.full(len(frame), np.nan)
    for _, cell in frame.groupby("width"):
        for first in range(0, len(cell) - _BLOCK + 1, _BLOCK):
            places = cell.index[first : first + _BLOCK]
            block = np.stack([away[place] for place in places])
            whole = block.sum(axis=0)
            off[places[0]] = (float(whole @ whole) - float(np.sum(block**2))) / (_BLOCK * (_BLOCK - 1))
    return frame.filter(["width", "seed"]).assign(way=way, off=off)


def _drawn(data: Data) -> pd.DataFrame:
    """Return paired networks crossed with data sets drawn anew, over the four widest widths."""
    frame = over_data_sets(data, DATA_SETS)
    return widest(frame.loc[frame["init"] == "paired"])


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
    last = frame.loc[(frame["width"] == frame["width"].max()) & (frame["precision"] == "one_bit")]
    at_steps = float(last["eta"].iloc[0]), one_bit.index.tolist()
    predicted = {
        "loss_h": _descent(last, kernels.limit_ntk)(*at_steps),
        "loss_k_eff": _descent(last)(*at_steps),
    }
    columns = one_bit[["loss", "loss_low", "loss_high"]].assign(**predicted)
    return columns.assign(full_loss=curves.loc["full"]["loss"]).reset_index()


def _descent(
    frame: pd.DataFrame, kernel: Callable[..., kernels.KernelEstimate] = kernels.effective_ntk
) -> Callable[[float, list[int]], Float[np.ndarray, " steps"]]:
    """Return what gives the loss of a kernel of infinite width at a rate and steps, on the task of a frame."""
    task = _task(frame)
    y = task.y.astype(np.float64)
    of_width_infinity = kernel(task.x, samples=_SAMPLES).value

    def loss(eta: float, steps: list[int]) -> Float[np.ndarray, " steps"]:
        found = kernels.predict(of_width_infinity, y, eta=eta, steps=steps)
        return 0.5 * ((found.train - y) ** 2).sum(axis=1)

    return loss


def _residual(
    kernel: Float[np.ndarray, "n n"], residual: Float[np.ndarray, " n"], eta: float, steps: int
) -> Float[np.ndarray, " n"]:
    """Return (1 - eta K)^steps r: a few steps of thousands of networks, each at a rate of its own."""
    for _ in range(steps):
        residual = residual - eta * (kernel @ residual)
    return residual


def _task(frame: pd.DataFrame) -> tasks.Task:
    """Load the task of a frame's networks."""
    first = frame.iloc[0]
    dim = int(first["dim"]) if str(first["task"]).startswith("sphere") else None
    return tasks.load(str(first["task"]), n_train=int(first["n_train"]), n_test=int(first["n_test"]), seed=0, dim=dim)


def _curves(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds of loss and both distances at recorded steps of the widest networks."""
    last = frame.loc[(frame["width"] == frame["width"].max()) & frame["from_h"].notna()]
    by_step = last.groupby(["precision", "step"])
    mean, low, high = by_step[["loss", *_COLUMNS]].mean(), by_step["loss"].min(), by_step["loss"].max()
    return mean.assign(loss_low=low, loss_high=high).reset_index()
