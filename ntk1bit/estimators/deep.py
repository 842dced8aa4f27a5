"""Tables of D25's Fig. 1 to 3 from the frames of their measurements: means over seeds with 95 % intervals.

Losses and differences of outputs are positive and spread over decades, so means are geometric, and intervals are
Student-t intervals of the logarithms.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from ntk1bit.data.cubes_and_curves import GRID, curve_targets
from ntk1bit.experiments.rate_search import at_best_rate

ROUNDING = 1e-12  # a mean square below this is rounding: outputs of size 1 in float32, over up to five layers
CURVES_OF = {  # (precision, what) -> column of `experiments.deep.DeepSimilarity`
    ("one_bit", "train loss"): "loss_one_bit",
    ("full", "train loss"): "loss_full",
    ("one_bit", "test loss"): "test_loss_one_bit",
    ("full", "test loss"): "test_loss_full",
    ("one_bit - full", "train difference"): "apart_train",
    ("one_bit - full", "test difference"): "apart_test",
}


def rates_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise Fig. 1 at every rate that was tried, best or not.

    Returns
    -------
    A row a (depth, precision, N, rate): `value`, the geometric mean over functions and seeds of the least training
    loss, and `test` of the test loss at the end; `best`, whether it is the rate of `at_best_rate`.
    """
    kept = at_best_rate(frame).to_dict("records")
    best = {(row["depth"], row["precision"], row["parameters"]): row["rate"] for row in kept}
    found = []
    for (depth, precision, size, rate), part in groups(frame, ["depth", "precision", "parameters", "rate"]):
        row = {"depth": depth, "precision": precision, "N": size, "rate": rate}
        means = {"value": summary(part["least_loss"])["value"], "test": summary(part["test_loss"])["value"]}
        found.append(row | means | {"best": best[depth, precision, size] == rate})
    return pd.DataFrame(found)


def losses_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise Fig. 1.

    Returns
    -------
    A row a (task, depth, precision, N), at the best rate: `value`, `low`, `high` of the least training loss, `test`
    (mean test loss at the end), `rate`, `seeds`.
    """
    found = []
    for setting, part in groups(at_best_rate(frame), ["task", "depth", "precision", "parameters"]):
        row = dict(zip(("task", "depth", "precision", "N"), setting, strict=True))
        test = summary(part["test_loss"])
        found.append(
            row
            | summary(part["least_loss"])
            | {"test": test["value"], "rate": part["rate"].iloc[0], "seeds": len(part)}
        )
    return pd.DataFrame(found)


def epochs_table(frame: pd.DataFrame, *, epochs: int = 12) -> pd.DataFrame:
    """Summarise Fig. 3 at about so many epochs after the start.

    Returns
    -------
    A row a (task, N, epoch, precision, what): `value`, `low`, `high`; `what` is one of the names in `CURVES_OF`.
    """
    last = int(np.max(frame["epoch"].to_numpy()))
    shown = sorted({round(float(at)) for at in np.linspace(0, last, epochs + 1)})
    found = []
    for (task, size, epoch), part in groups(frame.loc[frame["epoch"].isin(shown)], ["task", "N", "epoch"]):
        for (precision, what), column in CURVES_OF.items():
            row = {"task": task, "N": size, "epoch": epoch, "precision": precision, "what": what}
            found.append(row | summary(part[column]))
    return pd.DataFrame(found)


def ends_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise the difference of the outputs after the last epoch.

    Returns
    -------
    A row a (task, points, N), task ``"all"`` being the geometric mean over functions: `value`, `low`, `high`.
    """
    ends = last_epoch(frame)
    found = []
    for points in ("train", "test"):
        for size, of_size in ends.groupby("N"):
            logs = pd.DataFrame(of_size.assign(value=logarithms(of_size[f"apart_{points}"])))
            every = np.exp(np.asarray(logs.groupby("seed")["value"].mean()))
            by_task = {str(task): np.exp(np.asarray(part["value"])) for task, part in logs.groupby("task")}
            for task, values in (by_task | {"all": every}).items():
                found.append({"task": task, "points": points, "N": size} | summary(values))
    return pd.DataFrame(found)


def functions_table(frame: pd.DataFrame, *, every: int = 1) -> pd.DataFrame:
    """Return Fig. 2: targets and both outputs at every so many points of the grid.

    Returns
    -------
    Columns task, N, x, target, one_bit, full: the first seed at the largest size.
    """
    ends = last_epoch(frame)
    chosen = ends.loc[(ends["N"] == ends["N"].max()) & (ends["seed"] == ends["seed"].min())]
    x = np.linspace(-np.pi, np.pi, GRID)
    found = []
    for task, part in chosen.groupby("task"):
        outputs = {name: np.asarray(part[f"grid_{name}"].iloc[0], dtype=np.float64) for name in ("one_bit", "full")}
        table = pd.DataFrame({"x": x, "target": curve_targets(str(task), x)} | outputs)
        about = pd.DataFrame({"task": [str(task)] * len(x), "N": int(part["N"].iloc[0])})
        found.append(pd.concat([about, table], axis=1).iloc[::every])
    return pd.concat(found, ignore_index=True)


def last_epoch(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the last epoch."""
    return pd.DataFrame(frame.loc[frame["epoch"] == frame["epoch"].max()])


def groups(frame: pd.DataFrame, keys: list[str]) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Go through the groups of a frame by two keys or more."""
    for setting, part in frame.groupby(keys):
        if isinstance(setting, tuple):
            yield setting, part


def logarithms(values: object) -> Float[np.ndarray, " k"]:
    """Return logarithms; -inf for 0, which makes a geometric mean 0: networks all of whose units are dead agree."""
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(values, dtype=np.float64))


def summary(values: object) -> dict[str, float]:
    """Return `value`, the geometric mean, and its interval `low`, `high`; no interval (NaN) for one seed or a zero."""
    logs = logarithms(values)
    half = np.nan
    if len(logs) > 1 and np.isfinite(logs).all():
        half = float(stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs)))
    middle = float(logs.mean())
    ends = {"value": middle, "low": middle - half, "high": middle + half}
    return {name: float(np.exp(end)) for name, end in ends.items()}
