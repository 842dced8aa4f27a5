"""What a frame must hold before anything is estimated from it: its columns, known keys, and one network a key."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd

from ntk1bit.errors import InputError

SETTINGS = ("task", "dim", "n_train", "init", "kappa", "eta_rel", "scale", "activity", "precision")
ONLY_ACTIVITY = "straight_through"  # of frames that were made before there was a choice, which lack the column
OF_EVERY_RUN = ("width", "seed", "precision", "step", "loss", "drift", "diverged", "key")  # whatever was asked for
_CELL = (*SETTINGS, "width", "seed")  # what tells networks apart
_KEYS = (*_CELL, "data_seed", "key", "step")  # what rows are grouped by

Estimator = TypeVar("Estimator", bound=Callable[..., Any])


def with_activity(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with the column `activity`, which is that of a straight-through step where it is lacking."""
    return frame if "activity" in frame or not len(frame.columns) else frame.assign(activity=ONLY_ACTIVITY)


def require_columns(
    frame: pd.DataFrame, names: Sequence[str], *, for_what: str, known: Sequence[str] = (), advice: str = ""
) -> None:
    """Refuse a frame without some columns, or with gaps in those that rows are grouped by.

    Parameters
    ----------
    frame
        The table.
    names
        The columns that are read.
    for_what
        What needs them, for the message.
    known
        Those of them that may have no gap: a row without a key would be in no group, and vanish.
    advice
        How to get what is missing.

    Raises
    ------
    InputError
        Naming every column that is missing, or the first with gaps and how many.
    """
    lacking = [name for name in names if name not in frame]
    if lacking:
        word = "column" if len(lacking) == 1 else "columns"
        named = ", ".join(map(repr, lacking))
        raise InputError(f"{for_what} needs the {word} {named}, which the frame lacks{advice and f'; {advice}'}")
    for name in known:
        gaps = int(np.sum(frame[name].isna().to_numpy())) if name in frame else 0
        if gaps:
            raise InputError(
                f"{for_what} needs {name!r} in every row, and {gaps} of {len(frame)} rows have none; "
                "fill them in or leave these rows out"
            )


def reads(*names: str) -> Callable[[Estimator], Estimator]:
    """Make an estimator check its frame, its first argument: these columns besides those that every run has.

    A frame without any row and column is that of a run without finished cells, and passes: nothing is to be estimated.
    """
    needed = tuple(dict.fromkeys((*OF_EVERY_RUN, *names)))
    advice = f"read the run with run.frame({[*names]})"

    def checked(estimator: Estimator) -> Estimator:
        @functools.wraps(estimator)
        def run(frame: pd.DataFrame, *args: Any, **options: Any) -> Any:
            if len(frame) or len(frame.columns):
                require_columns(frame, needed, for_what=estimator.__name__, known=_KEYS, advice=advice)
                require_single_cells(frame, for_what=estimator.__name__)
            return estimator(frame, *args, **options)

        return cast(Estimator, run)

    return checked


def require_single_cells(frame: pd.DataFrame, *, for_what: str) -> None:
    """Refuse two networks where one is taken for the network of its settings, width and seed.

    Frames of several runs put together have them: the same cell twice, or cells that differ in something that is no
    setting of a group (the seed of the data, the number of steps). Their rows would be read as one network's. Looked
    for at the first step, which every network has.

    Raises
    ------
    InputError
        Naming the first such network.
    """
    names = [name for name in (*_CELL, "data_seed") if name in frame]
    starts = frame.loc[frame["step"] == frame["step"].min()]
    twice = starts.duplicated(names)
    if twice.any():
        first = starts.loc[twice].iloc[0]
        which = f"width {first['width']}, seed {first['seed']}, {first['precision']}"
        raise InputError(
            f"{for_what}: there are two networks of {which}, with the same settings; "
            "estimate one run at a time, or leave one of them out"
        )
