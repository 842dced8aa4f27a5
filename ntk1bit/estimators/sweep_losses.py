"""Losses of a sweep of two-layer networks as a table of N, n and C, one row a cell, that laws are fitted to.

N = m d counts the latent parameters, n the training examples, and C the operations of training: each step of
full-batch descent multiplies X by the weights and the residuals by the activation patterns, n d m multiply-adds each,
and updates m d weights; measuring the loss takes one more forward product. Counting a multiply-add as two operations,

    C(t) = t (4 n d m + 2 m d) + 2 n d m.

Both precisions are counted alike, so that their losses share an axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from ntk1bit.errors import InputError, require_choice
from ntk1bit.estimators.columns import with_activity
from ntk1bit.tables.columns import one_column, parts
from ntk1bit.tables.rows import Selection, holds, read_conditions, select_rows

CELL = ("task", "dim", "n_train", "width", "precision", "init", "scale", "activity", "kappa", "seed")
_SETTINGS = ("task", "dim", "init", "scale", "activity", "kappa")
_LOSSES = {"train": "loss", "test": "test_loss"}


def operations(
    width: Float[np.ndarray, " r"],
    dim: Float[np.ndarray, " r"],
    n: Float[np.ndarray, " r"],
    steps: Float[np.ndarray, " r"],
) -> Float[np.ndarray, " r"]:
    """Count the operations of training up to a step and measuring the loss there: see the module's formula."""
    product = 2.0 * n * dim * width
    return steps * (2.0 * product + 2.0 * dim * width) + product


def select_losses(
    frame: pd.DataFrame, absent: pd.DataFrame, *, where: str | None, at: str | int, loss: str, group: str | None
) -> Selection:
    """Reduce a sweep to one row a cell, keep those asked for, and account for the others.

    Parameters
    ----------
    frame
        The rows of the cells that are there; see `losses_from_sweep`.
    absent
        A row for each cell that is not, with the cell's settings and `state`, why it is not ("unfinished", "failed",
        "damaged").
    where
        See `select_rows`.
    at, loss
        See `losses_from_sweep`.
    group
        A column that is fitted apart, so that it may vary.

    Raises
    ------
    InputError
        For what cannot be selected, or put on one curve.
    """
    frame, asked = with_activity(frame), with_activity(absent)
    chosen = select_rows(frame, where) if len(frame) else frame
    for name, value in read_conditions(where):
        if name in asked.columns:  # what only finished cells have, such as a step, tells nothing of the others
            asked = asked.loc[holds(one_column(asked, name), value)]
    cells = pd.concat([chosen.drop_duplicates(list(CELL)) if len(chosen) else chosen, asked])
    states = asked.groupby("state", sort=True) if len(asked) else ()
    left_out = _account(cells, *((lost, str(state)) for state, lost in states))
    table = losses_from_sweep(chosen, at=at, loss=loss)
    require_one_setting(table.rows, apart_from=[group] if group else [])
    return Selection(table.rows, (*left_out, *table.left_out))


def losses_from_sweep(frame: pd.DataFrame, *, at: str | int = "last", loss: str = "train") -> Selection:
    """Reduce a sweep to one loss a cell.

    Parameters
    ----------
    frame
        One row for each cell and training step, with the columns task, dim, n_train, width, precision, init, scale,
        kappa, seed, step, loss, test_loss, diverged, and activity, without which all steps are straight-through.
    at
        "last" step with this loss, the step of "best" loss, or a step's number.
    loss
        "train" or "test" (known at checkpoints only).

    Returns
    -------
    Selection
        One row a cell: its settings, `step`, `N`, `n`, `C` and `loss`. Cells that diverged, or that have no positive
        loss there, are left out, with a sentence for each reason that names them.

    Raises
    ------
    InputError
        For missing columns, a step no cell has, or if no cell is left.
    """
    frame = with_activity(frame)
    rows, keys = _measured(frame, loss), list(CELL)
    diverged = _cells(frame.loc[np.asarray(frame["diverged"], dtype=bool)])
    rows = rows.loc[~np.asarray(rows["diverged"], dtype=bool)]
    if isinstance(at, int):
        picked = rows.loc[np.asarray(rows["step"]) == at]
        if len(picked) == 0:
            known = np.unique(rows["step"])
            span = f"{known[0]}..{known[-1]}" if len(known) else "nowhere"
            raise InputError(f"no cell has a {loss} loss at step {at}; steps run {span}; use one of them, last or best")
    elif require_choice("step", at, ["last", "best", "a step's number"]) == "last":
        picked = rows.loc[rows.groupby(keys, dropna=False)["step"].idxmax()]
    else:
        picked = rows.loc[rows.groupby(keys, dropna=False)["measured"].idxmin()]
    width, dim, n, step = (picked[name].to_numpy(np.float64) for name in ("width", "dim", "n_train", "step"))
    table = picked[[*keys, "step"]].assign(
        N=width * dim, n=n, C=operations(width, dim, n, step), loss=picked["measured"]
    )
    positive = np.asarray(table["loss"]) > 0
    spent, table = table.loc[~positive, keys], table.loc[positive].reset_index(drop=True)
    if len(table) == 0:
        raise InputError(
            "no cell is left: all diverged or have no positive loss; check the sweep or choose another step"
        )
    cells = _cells(frame)
    unmeasured = cells.loc[~_same_cells(cells, pd.concat([table[keys], diverged, spent]))]
    reasons = (
        (diverged, "diverged"),
        (spent, f"a {loss} loss that is not positive"),
        (unmeasured, f"no {loss} loss {f'at step {at}' if isinstance(at, int) else 'at any step'}"),
    )
    return Selection(table, _account(cells, *reasons))


def require_one_setting(frame: pd.DataFrame, *, apart_from: Sequence[str] = ()) -> None:
    """Refuse a sweep that varies, within a precision, what is neither width, seed nor number of examples.

    Losses of different tasks, initialisations or kappa do not lie on one curve.
    """
    frame = with_activity(frame)
    for name in (each for each in _SETTINGS if each not in apart_from):
        for part in parts(frame, "precision", "precision").values():
            values = sorted(map(str, set(part[name])))
            if len(values) > 1:
                raise InputError(
                    f"the sweep varies {name} ({', '.join(values)}), whose losses do not lie on one curve; "
                    f"choose one with --where {name}={values[0]}, or in Python frame.query(...)"
                )


def _measured(frame: pd.DataFrame, loss: str) -> pd.DataFrame:
    """Return the rows that have this loss, as column `measured`."""
    column = _LOSSES[require_choice("loss", loss, _LOSSES)]
    if frame.columns.empty:
        raise InputError("the sweep has no finished cells to fit; finish it with: ntk1bit sweep --resume ...")
    if missing := [name for name in (*CELL, "step", "diverged", column) if name not in frame.columns]:
        raise InputError(f"this is not the table of a sweep: it lacks the column(s) {', '.join(missing)}")
    rows = frame.assign(measured=frame[column]).reset_index(drop=True)
    rows = rows.loc[np.isfinite(np.asarray(rows["measured"], dtype=np.float64))]
    if len(rows) == 0:
        raise InputError(f"the sweep has no {loss} losses; run it with test inputs or fit the other loss")
    return rows


def _cells(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop_duplicates(list(CELL)).loc[:, list(CELL)]


def _account(cells: pd.DataFrame, *reasons: tuple[pd.DataFrame, str]) -> tuple[str, ...]:
    """Count and name the cells of each reason, by the settings in which all cells differ, the first five of many."""
    telling = [name for name in CELL if name in cells.columns and len(set(map(str, cells[name]))) > 1]
    lines = []
    for those, why in reasons:
        if len(those):
            names = [" ".join(f"{name} {row[name]}" for name in telling) for row in those.head(5).to_dict("records")]
            more = f"; and {len(those) - len(names)} more" if len(those) > len(names) else ""
            lines.append(f"{len(those)} of {len(cells)} cells ({why}): {'; '.join(names) or 'the only one'}{more}")
    return tuple(lines)


def _same_cells(cells: pd.DataFrame, others: pd.DataFrame) -> Bool[np.ndarray, " cells"]:
    known = {tuple(map(str, row)) for row in others.itertuples(index=False)}
    return np.array([tuple(map(str, row)) in known for row in cells.itertuples(index=False)], dtype=bool)
