"""The ends of training runs: which row of a table is the last of its run, and how many before it are left out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.errors import InputError
from ntk1bit.tables.columns import Labels, number_column, read_labels
from ntk1bit.tables.roles import guess_column
from ntk1bit.tables.rows import Selection

_GROWING = ("D", "C", "step")  # what may order the rows of a run


def run_ends(frame: pd.DataFrame, *, run: str, group: str | None, x: Mapping[str, str], loss: str) -> Selection:
    """Keep the last row of each run; a run is known by its name and its group.

    The last row is the one with the most of whatever grows along the runs: D, C or steps, by the columns `x` of a law's
    variables or another of the table that is called so, or the law's only variable.

    Raises
    ------
    InputError
        If a row has no run or group, a name stands for several runs (rows of several sizes, or several losses at the
        last step), or nothing tells which row is the last.
    """
    runs = read_labels(frame, run if group is None or group == run else [group, run], "run")
    if len(runs.keys) == len(frame):
        return Selection(frame)
    _require_one_size(frame, runs, x)
    name, growing = _growing_column(frame, runs, x)
    table = pd.DataFrame({"run": runs.codes, "at": growing, "loss": number_column(frame, loss)})
    end = table.groupby("run")["at"].transform("max").to_numpy()
    distinct = table.assign(last=growing == end).drop_duplicates()
    twice = distinct.loc[distinct.duplicated(["run", "at"], keep=False)]
    if twice["last"].any():
        tied = twice.loc[twice["last"]].iloc[0]
        raise InputError(
            f"{runs.describe(runs.keys[int(tied['run'])])} has several losses at its last {name} = {tied['at']:g}; "
            f"{_reused(runs)}"
        )
    last = table.loc[growing == end]
    kept = last.loc[~last.duplicated("run", keep="last")].index
    account = f"{len(frame) - len(kept)} of {len(frame)} rows, steps before the last {name} of {len(runs.keys)} runs"
    if len(twice):
        account += (
            f"; in {twice['run'].nunique()} of them the loss at one {name} is given more than once: {_reused(runs)}"
        )
    return Selection(frame.iloc[kept], (account,))


def _require_one_size(frame: pd.DataFrame, runs: Labels, x: Mapping[str, str]) -> None:
    size = x.get("N", guess_column("N", list(x.values())))
    if size is None:
        return
    values = number_column(frame, size)
    for key, rows in runs.rows():
        if np.ptp(values[rows]) > 0:
            raise InputError(
                f"{runs.describe(key)} has rows of several {size} ({values[rows].min():g} .. {values[rows].max():g}); "
                f"{_reused(runs)}"
            )


def _reused(runs: Labels) -> str:
    grouped = len(runs.names) > 1
    needed = f"more than {runs.names[0]!r} to tell them apart" if grouped else "a column that tells them apart"
    return f"where several runs share a name, give {needed} as the group, choose rows with --where, or rename the runs"


def _growing_column(frame: pd.DataFrame, runs: Labels, x: Mapping[str, str]) -> tuple[str, Float[np.ndarray, " n"]]:
    """Find the column that grows along the runs."""
    others = [str(name) for name in frame.columns if str(name) not in {*x.values(), *runs.names}]
    named = [x[variable] for variable in _GROWING if variable in x]
    guessed = [guess_column(role, others) for role in _GROWING]
    for name in dict.fromkeys([*named, *guessed, *x.values()]):
        if name is None:
            continue
        try:
            values = number_column(frame, name)
        except InputError:
            if name in x.values():
                raise
            continue  # a guess: "data" may name what was seen as well as how much of it
        if np.isnan(values).any():
            if name in x.values():
                raise InputError(
                    f"column {name!r} has missing values, so the last rows of runs cannot be found; drop these rows"
                )
        elif any(np.ptp(values[rows]) > 0 for _, rows in runs.rows()):
            return name, values
    raise InputError(
        f"cannot tell which row of a run is its last: nothing grows along {runs.names[-1]!r}; add a column of tokens, "
        "compute or steps, or keep one row a run"
    )
