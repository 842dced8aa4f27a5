"""W23's own losses, energies and scores, and what our estimators make of them.

`published_results.csv` beside this module holds every number with its figure or table and how it was read. W23 gives
one network a size and no seeds. So intervals are over sizes: rows of a fit are drawn anew from the sizes, and say how
far a law depends on which of them there are, if their distances to it are independent. How far another network of the
same size would lie they do not say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import cast

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.energy.counting import Arm, Model, count_operations, joules
from ntk1bit.energy.published import SIZES
from ntk1bit.errors import InputError
from ntk1bit.scaling import Fit, FitRequest, get_law
from ntk1bit.scaling.fitting import fit_one

ARMS = ("bitnet", "full")
SHARED = ("125M", "350M", "760M", "1.3B", "2.7B", "6.7B")  # sizes of which W23 draws both arms
WEIGHT_BITS = 16  # of full precision in W23
_MODELS = {"bitnet": "BitNet", "full": "FP16"}
_COUNTED: dict[str, Arm] = {"bitnet": "bitnet", "full": "full16"}
_FILE = "published_results.csv"


def read_results(source: str | None = None) -> pd.DataFrame:
    """Return what W23 reports.

    Parameters
    ----------
    source
        A figure or table, as ``"Table 3"``; by default all of them.

    Returns
    -------
    One row a number. Columns source, model, weights and inputs (bits), size, rate (NaN where none is given), what,
    value, read (``"printed"`` or ``"curve"``) and half (half a unit of its last digit: how far off it may be).

    Raises
    ------
    InputError
        For a source that is not there.
    """
    with resources.files("ntk1bit.estimators").joinpath(_FILE).open(encoding="utf-8") as file:
        table = pd.read_csv(file, comment="#", dtype={"value": str})
    texts = table["value"].tolist()
    table["value"] = [float(text) for text in texts]
    table["half"] = [half_unit(text) for text in texts]
    if source is None:
        return table
    found = table.loc[table["source"] == source].reset_index(drop=True)
    if found.empty:
        raise InputError(f"there is no {source!r} in {_FILE}; it has {', '.join(table['source'].unique())}")
    return found


def half_unit(text: str) -> float:
    """Return half a unit of the last digit of a printed number: 0.05 of `4.1`, 500 of `4.8e4`."""
    mantissa, _, exponent = text.partition("e")
    return 0.5 * 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def losses() -> pd.DataFrame:
    """Return the points of W23's Fig. 3.

    Returns
    -------
    One row for each arm (of `ARMS`) and size. Columns arm, size, parameters (N = 12 layers d^2 of Table 5: embeddings
    left out), billions (N/10^9), loss (bits per token) and joules (7 nm, 512 tokens, as drawn).
    """
    found = read_results("Fig. 3")
    rows = []
    for arm in ARMS:
        own = found.loc[found["model"] == _MODELS[arm]]
        for size in own["size"].unique():
            what = own.loc[own["size"] == size].set_index("what")["value"]
            n = SIZES[size].parameters
            rows.append((arm, size, n, n / 1e9, float(what["loss"]), float(what["joules"])))
    return pd.DataFrame(rows, columns=pd.Index(["arm", "size", "parameters", "billions", "loss", "joules"]))


def arm_points(points: pd.DataFrame, arm: str, sizes: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the rows of one arm, smallest size first; of these sizes alone if some are given.

    Raises
    ------
    InputError
        If nothing is left.
    """
    own = points.loc[(points["arm"] == arm) & (points["size"].isin(sizes) if sizes is not None else True)]
    if own.empty:
        raise InputError(f"there are no points of {arm!r}; arms are {', '.join(points['arm'].unique())}")
    return own.sort_values("parameters", ignore_index=True)


def fit_law(points: pd.DataFrame, *, law: str = "power+floor", x: str = "billions", seed: int = 0) -> Fit:
    """Fit a law of N to the points of one arm, with replicates that draw sizes anew.

    Parameters
    ----------
    points
        Columns `x` and loss.
    law
        ``"power+floor"``, W23's Eq. 19 with b = -alpha, c = E and a = A, the loss above the floor at x = 1; or another
        law of one variable.
    seed
        Of the replicates: different ones make those of two arms independent.
    """
    return fit_one(points, FitRequest(get_law(law), x, cluster=(), seed=seed))


def gaps(points: pd.DataFrame) -> pd.DataFrame:
    """Return the gap between the arms at the sizes that both have.

    Returns
    -------
    Columns size, parameters, billions, bitnet and full (losses in bits), gap (their difference) and relative (over the
    loss of full precision).
    """
    sides = [arm_points(points, arm).set_index("size") for arm in ARMS]
    one, full = (side.loc[sides[0].index.intersection(sides[1].index)] for side in sides)
    table = pd.DataFrame({name: one[name] for name in ("parameters", "billions")})
    table["bitnet"], table["full"] = one["loss"], full["loss"]
    table["gap"] = table["bitnet"] - table["full"]
    table["relative"] = table["gap"] / table["full"]
    return table.reset_index()


def counted_joules(points: pd.DataFrame, *, model: Model = "w23", wide: bool = False) -> Float[np.ndarray, " n"]:
    """Return each point's energy at 7 nm by counting instead of as drawn (`ntk1bit.energy.counting`), in J."""
    pairs = zip(points["size"].tolist(), points["arm"].tolist(), strict=True)
    spent = [count_operations(SIZES[size], _COUNTED[arm], model=model, wide=wide) for size, arm in pairs]
    return np.array([joules(counts, "7nm").total for counts in spent])


def at_equal_loss(points: pd.DataFrame, cost: str = "joules") -> pd.DataFrame:
    """Compare what both arms spend for the loss of each full-precision network.

    The logarithm of BitNet's cost is interpolated linearly in the loss between its sizes. Losses of full precision
    that lie outside those of BitNet have no counterpart and are left out.

    Parameters
    ----------
    points
        As of `losses`.
    cost
        A positive column: joules, or parameters.

    Returns
    -------
    Columns size (of the full-precision network), loss, full, bitnet (costs) and ratio (bitnet over full).
    """
    one, full = (arm_points(points, arm) for arm in ARMS)
    at, logs = one["loss"].to_numpy()[::-1], np.log(one[cost].to_numpy())[::-1]
    kept = full.loc[full["loss"].between(at.min(), at.max())]
    spent = np.exp(np.interp(kept["loss"], at, logs))
    table = pd.DataFrame({"size": kept["size"], "loss": kept["loss"], "full": kept[cost], "bitnet": spent})
    return table.assign(ratio=table["bitnet"] / table["full"]).reset_index(drop=True)


def at_equal_cost(points: pd.DataFrame, cost: str = "joules") -> pd.DataFrame:
    """Compare the losses of both arms at the cost of each full-precision network.

    BitNet's loss is interpolated linearly in the logarithm of the cost between its sizes; costs outside its range are
    left out.

    Returns
    -------
    Columns size (of the full-precision network), cost, full and bitnet (losses in bits), difference (bitnet - full).
    """
    one, full = (arm_points(points, arm) for arm in ARMS)
    logs = np.log(one[cost].to_numpy())
    kept = full.loc[full[cost].between(one[cost].min(), one[cost].max())]
    found = np.interp(np.log(kept[cost]), logs, one["loss"])
    table = pd.DataFrame({"size": kept["size"], "cost": kept[cost], "full": kept["loss"], "bitnet": found})
    return table.assign(difference=table["bitnet"] - table["full"]).reset_index(drop=True)


def bits_equivalent(points: pd.DataFrame, full: Fit) -> pd.DataFrame:
    """Return how many bits of a full-precision network each weight of BitNet is worth.

    At a loss L of BitNet with N weights, full precision needs N_full(L) weights of 16 bits: 16 N_full(L)/N. More than 1
    says that 1-bit weights hold the same loss in less memory. N_full is interpolated, its logarithm linearly in the
    loss, between the sizes of full precision; and is that of its law, with the law's interval. Losses outside those of
    full precision have none.

    Parameters
    ----------
    points
        As of `losses`.
    full
        The law of full precision, ``"power+floor"`` in billions.

    Returns
    -------
    Columns size, billions, loss (of BitNet), bits (interpolated), law, low, high.
    """
    one, other = (arm_points(points, arm) for arm in ARMS)
    at, logs = other["loss"].to_numpy()[::-1], np.log(other["billions"].to_numpy())[::-1]
    kept = one.loc[one["loss"].between(at.min(), at.max())]
    n, loss = kept["billions"].to_numpy(), kept["loss"].to_numpy()
    bits = WEIGHT_BITS * np.exp(np.interp(loss, at, logs)) / n
    law = WEIGHT_BITS * _invert(full, full.estimate[None, :], loss)[0] / n
    ends = np.quantile(WEIGHT_BITS * _invert(full, full.replicates, loss) / n, [0.025, 0.975], axis=0)
    table = {
        "size": kept["size"],
        "billions": n,
        "loss": loss,
        "bits": bits,
        "law": law,
        "low": ends[0],
        "high": ends[1],
    }
    return pd.DataFrame(table).reset_index(drop=True)


def _invert(fitted: Fit, natural: Float[np.ndarray, "b p"], loss: Float[np.ndarray, " n"]) -> Float[np.ndarray, "b n"]:
    """Return the x of each loss on E + A x^-alpha, by each row of parameters; infinite where it never falls so far."""
    place = {name: k for k, name in enumerate(fitted.law.parameter_names)}
    floor, scale, alpha = (natural[:, [place[name]]] for name in ("E", "A", "alpha"))
    above = loss[None, :] - floor
    with np.errstate(all="ignore"):  # a replicate of few distinct sizes may have any parameters
        found = (np.maximum(above, 0.0) / scale) ** (-1.0 / alpha)
    return np.where((above > 0) & np.isfinite(found), found, math.inf)


def compare_scores(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, bool]:
    """Say of each score that both have whether the first is better: a lower perplexity, otherwise more per cent."""
    return {
        name: one[name] < other[name] if name == "perplexity" else one[name] > other[name]
        for name in one
        if name in other
    }


def scores(source: str) -> dict[tuple[str, int], dict[str, float]]:
    """Return the scores of a table by model and bits of its weights."""
    found: dict[tuple[str, int], dict[str, float]] = {}
    for row in read_results(source).to_dict("records"):
        found.setdefault((row["model"], int(row["weights"])), {})[row["what"]] = float(row["value"])
    return found


def rates(source: str) -> dict[str, float]:
    """Return the peak learning rate of each model of a table or figure that gives one for it."""
    given = read_results(source).dropna(subset=["rate"])
    return {cast(str, row["model"]): float(row["rate"]) for row in given.to_dict("records")}
