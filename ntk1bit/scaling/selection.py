"""The rows a fit is given, and an account of those it is not: by the user's choice, ends of runs, cells of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.errors import InputError
from ntk1bit.estimators.sweep_losses import CELL, losses_from_sweep, name_cells, require_one_setting
from ntk1bit.scaling.columns import guess_column
from ntk1bit.scaling.labels import Labels, one_column, read_labels, shown
from ntk1bit.scaling.observations import number_column
from ntk1bit.scaling.tables import holds, read_conditions, read_table, select_rows

_MOMENTS = ("D", "C", "step")


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows of a table.

    Attributes
    ----------
    rows
        Those that were kept.
    left_out
        A sentence for each reason why others were not, with their number and names; empty if none were.
    """

    rows: pd.DataFrame
    left_out: tuple[str, ...] = ()


def load_rows(
    file: Path,
    *,
    where: str | None,
    at: Literal["last", "best"] | int,
    measured: Literal["train", "test"],
    group: str | None,
    load_sweep: Callable[[Path], tuple[pd.DataFrame, pd.DataFrame]],
) -> Selection:
    """Read a file of losses, or a sweep's folder as one row a cell, and keep the rows asked for.

    Parameters
    ----------
    file
        A table's file, or the folder of a sweep.
    where
        See `select_rows`.
    at, measured
        Which loss of a sweep's cells is taken; see `losses_from_sweep`.
    group
        A column that is fitted apart, so that it may vary in a sweep.
    load_sweep
        Reads a sweep's folder: its rows, and a row for each cell that is not there, with the cell's settings and
        `state`, why it is not ("unfinished", "failed", "damaged").

    Raises
    ------
    InputError
        For what cannot be read, selected, or put on one curve.
    """
    if not file.is_dir():
        table = read_table(file)
        rows = select_rows(table, where)
        return Selection(rows, _not_asked_for(len(table) - len(rows), len(table), where))
    frame, absent = load_sweep(file)
    chosen = select_rows(frame, where) if len(frame) else frame
    asked = _asked_for(absent, where)
    cells = pd.concat([chosen.drop_duplicates(list(CELL)) if len(chosen) else chosen, asked])
    left_out = [
        f"{len(lost)} of {len(cells)} cells ({state}): {name_cells(lost, among=cells)}"
        for state, lost in (asked.groupby("state", sort=True) if len(asked) else ())
    ]
    table = losses_from_sweep(chosen, at=at, loss=measured)
    require_one_setting(table, apart_from=[group] if group else [])
    return Selection(table, (*left_out, *table.attrs["why_left_out"]))


def run_ends(frame: pd.DataFrame, *, run: str, group: str | None, x: Mapping[str, str], loss: str) -> Selection:
    """Keep the last row of each run; a run is known by its name and its group.

    The last row is the one with the most of whatever grows along the runs: D, C or steps, by the law's columns or
    another of the table that is called so, or the law's only variable.

    Parameters
    ----------
    frame
        One row for each run and moment.
    run, group
        Columns of runs' names, and of the groups within which they are unique (None for one group).
    x, loss
        Column of each variable of the law, and of the loss.

    Raises
    ------
    InputError
        If a row has no run or group, a name stands for several runs (rows of several sizes, or several losses at the
        last moment), or nothing tells which row is the last.
    """
    runs = read_labels(frame, run if group is None or group == run else [group, run], "run")
    if len(runs.keys) == len(frame):
        return Selection(frame)
    _require_one_size(frame, runs, x)
    name, moment = _moment(frame, runs, x)
    table = pd.DataFrame({"run": runs.codes, "moment": moment, "loss": number_column(frame, loss)})
    end = table.groupby("run")["moment"].transform("max").to_numpy()
    distinct = table.assign(last=moment == end).drop_duplicates()
    twice = distinct.loc[distinct.duplicated(["run", "moment"], keep=False)]
    if twice["last"].any():
        tied = twice.loc[twice["last"]].iloc[0]
        raise InputError(
            f"{runs.describe(runs.keys[int(tied['run'])])} has several losses at its last {name} = {tied['moment']:g}; "
            f"{_reused(group)}"
        )
    last = table.loc[moment == end]
    kept = last.loc[~last.duplicated("run", keep="last")].index
    ends = f"{len(frame) - len(kept)} of {len(frame)} rows, moments before the last {name} of {len(runs.keys)} runs"
    if len(twice):
        ends += (
            f"; in {twice['run'].nunique()} of them the loss at one {name} is given more than once: {_reused(group)}"
        )
    return Selection(frame.iloc[kept], (ends,))


def _require_one_size(frame: pd.DataFrame, runs: Labels, x: Mapping[str, str]) -> None:
    size = x.get("N", guess_column("N", list(x.values())))
    if size is None:
        return
    values = number_column(frame, size)
    for key, rows in runs.rows():
        if np.ptp(values[rows]) > 0:
            raise InputError(
                f"{runs.describe(key)} has rows of several {size} ({values[rows].min():g} .. {values[rows].max():g}); "
                f"{_reused(runs.names[0] if len(runs.names) > 1 else None)}"
            )


def _reused(group: str | None) -> str:
    told = "a column that tells them apart" if group is None else f"more than {group!r} to tell them apart"
    return f"where several runs share a name, give {told} as the group, choose rows with --where, or rename the runs"


def _moment(frame: pd.DataFrame, runs: Labels, x: Mapping[str, str]) -> tuple[str, Float[np.ndarray, " n"]]:
    """Find the column that grows along the runs."""
    others = [str(name) for name in frame.columns if str(name) not in {*x.values(), *runs.names}]
    named = [x[variable] for variable in _MOMENTS if variable in x]
    guessed = [guess_column(role, others) for role in _MOMENTS]
    for name in dict.fromkeys([*named, *guessed, *x.values()]):
        if name is None:
            continue
        try:
            values = number_column(frame, name)
        except InputError:
            if name in x.values():
                raise
            continue  # a guess: "data" may name what was seen as well as how much of it
        if np.isnan(values).any() and name in x.values():
            raise InputError(
                f"column {name!r} has missing values, so the last rows of runs cannot be told; drop these rows"
            )
        if not np.isnan(values).any() and any(np.ptp(values[rows]) > 0 for _, rows in runs.rows()):
            return name, values
    raise InputError(
        f"cannot tell which row of a run is its last: nothing grows along {runs.names[-1]!r}; add a column of tokens, "
        "compute or steps, or keep one row a run"
    )


def _not_asked_for(without: int, rows: int, where: str | None) -> tuple[str, ...]:
    return (f"{without} of {rows} rows, which --where {shown(where)} does not ask for",) if without else ()


def _asked_for(cells: pd.DataFrame, where: str | None) -> pd.DataFrame:
    """Keep the cells that have the values asked for; what only finished cells have, such as a step, tells nothing."""
    for name, value in read_conditions(where):
        if name in cells.columns:
            cells = cells.loc[holds(one_column(cells, name), value)]
    return cells
