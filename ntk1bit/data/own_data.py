"""Tasks of people's own data: from arrays, from a table or .npz file, and kept beside the run that trains on them.

A task of one's own is called NAME@DIGEST where runs refer to it: the digest is that of its prepared arrays, so the keys
of cells change with the data, and what is read back is checked against the name. A run folder holds the arrays in
data/NAME@DIGEST.npz, and needs the user's file no more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from ntk1bit.arguments import real_array
from ntk1bit.array_files import open_arrays, write_arrays
from ntk1bit.data.regression_task import NORMALISE, SPLIT, Normalise, Task, check_raw, prepare
from ntk1bit.data.targets import encoded
from ntk1bit.errors import InputError, require_choice
from ntk1bit.tables.columns import read_numbers, shown

FOLDER = "data"  # of a run, in which its own data are
_OWN = re.compile(r"[^@/\\]+@[0-9a-f]{12}")
ARRAYS = ("x", "y", "x_test", "y_test")  # of a task, and of an .npz file
_held: dict[str, Task] = {}  # tasks of one's own by NAME@DIGEST, which says what is in them
_places: dict[str, Path] = {}  # files in which tasks are that have not been read yet, by NAME@DIGEST


def from_arrays(
    name: str,
    x: Any,
    y: ArrayLike | pd.Series,
    *,
    x_test: Any = None,
    y_test: ArrayLike | pd.Series | None = None,
    n_train: int | None = None,
    n_test: int | None = None,
    split: float = SPLIT,
    normalise: Normalise = "sphere",
    centre_inputs: bool = True,
    positive: object = None,
    seed: int = 0,
) -> Task:
    """Make a task of one's own data: rows shuffled by `seed`, split, and prepared like every other task.

    D25's theory assumes inputs of unit norm and targets within [-1, 1]. Targets of two values, and words, are classes,
    which become -1 and +1; numbers beyond [-1, 1] are scaled (see `targets.encoded`). The task's notes say what was
    done.

    Parameters
    ----------
    name
        What to call it.
    x, y
        Inputs (rows, d) and targets (rows,): arrays, lists, frames, columns of a data set.
    x_test, y_test
        Test points, where they are given apart; by default some of the rows are.
    n_train, n_test
        Numbers of points; by default all rows are used, of which the share `split` trains.
    split
        Share of the rows that train, between 0 and 1.
    normalise
        ``"sphere"``: the mean of the training inputs is subtracted (see `centre_inputs`), and rows are scaled to unit
        norm. ``"standard"``: each feature gets mean 0 and variance 1/d over the training inputs, so that rows have
        norms about 1. ``"none"``: inputs stay as they are. Rows that are not of unit norm are reported in the notes.
    centre_inputs
        For ``"sphere"``: subtract the mean of the training inputs first.
    positive
        The class that becomes +1 against all others, for targets of more than two classes.
    seed
        Non-negative; decides order and split of the rows.

    Raises
    ------
    InputError
        For NaN, zero inputs, constant targets, mismatched shapes, more than two classes, or too few rows.
    """
    require_choice("normalise", normalise, NORMALISE)
    if not (isinstance(split, int | float) and 0 < split <= 1):
        raise InputError(f"split must be a share above 0 and at most 1 of the rows, got {split}; 0.75 is usual")
    if seed < 0:
        raise InputError(f"the data seed must be a non-negative integer, got {seed}")
    if (x_test is None) != (y_test is None):
        raise InputError(f"task {name!r} has only one of x_test and y_test; give both or neither")
    rows, labels = _inputs(name, "x", x), _labels(name, "y", y)
    testing: Bool[np.ndarray, " rows"] | None = None
    if len(labels) != len(rows):
        raise InputError(f"task {name!r} needs inputs (n, d) and targets (n,), got {rows.shape} and {labels.shape}")
    if x_test is not None and y_test is not None:
        others, apart = _inputs(name, "x_test", x_test), _labels(name, "y_test", y_test)
        if others.shape != (len(apart), rows.shape[1]):
            raise InputError(
                f"task {name!r} needs test inputs (n_test, {rows.shape[1]}) and targets (n_test,), "
                f"got {others.shape} and {apart.shape}"
            )
        testing = np.arange(len(rows) + len(others)) < len(others)
        rows, labels = np.concatenate([others, rows]), np.concatenate([apart, labels])
    targets, notes = encoded(name, labels, positive)
    check_raw(name, rows, targets, n_train=n_train, n_test=n_test)
    order = np.random.default_rng(seed).permutation(len(rows))
    return prepare(
        name,
        rows[order],
        targets[order],
        n_train=n_train,
        n_test=n_test,
        split=split,
        testing=None if testing is None else testing[order],
        seed=seed,
        normalise=normalise,
        centre_inputs=centre_inputs,
        notes=notes,
    )


def is_own(name: str) -> bool:
    """Say whether a name is one that `keep` gives."""
    return _OWN.fullmatch(name) is not None


def keep(task: Task) -> str:
    """Keep a task for this process, and return the name by which specifications and `tasks.load` know it.

    Raises
    ------
    InputError
        If its own name cannot stand in the name of a file.
    """
    if not re.fullmatch(r"[^@/\\,=\s\x00-\x1f]{1,100}", task.name):
        raise InputError(f"a task's name must be 1 to 100 letters without blanks and @ / \\ , =, got {task.name!r}")
    name = f"{task.name}@{task.digest}"
    _held[name] = task
    return name


def fetch(name: str) -> Task:
    """Return the task that `keep` gave this name, from this process or from a folder that it has looked in.

    Raises
    ------
    InputError
        If it is nowhere to be found, or its file is damaged or holds other data.
    """
    if name not in _held:
        if name not in _places:
            short, _, digest = name.partition("@")
            raise InputError(
                f"the data of task {short!r} (digest {digest}) are not here; give their file again, as in "
                f"--task {short}.csv, or the folder of the run that has them"
            )
        _held[name] = _stored(_places[name], name)
    return _held[name]


def look_in(folder: Path | str) -> None:
    """Make tasks known that the run in this folder keeps; they are read when they are needed."""
    for path in sorted(Path(folder, FOLDER).glob("*@*.npz")):
        if is_own(path.stem):
            _places[path.stem] = path


def kept(name: str, folder: Path | str) -> Path:
    """Return where a run's folder keeps a task of one's own."""
    return Path(folder, FOLDER, f"{name}.npz")


def save(name: str, folder: Path | str) -> None:
    """Store a task of one's own in a run's folder, unless it is there; raises as `fetch`, and `OSError`."""
    path, task = kept(name, folder), fetch(name)
    if path.exists():
        return
    path.parent.mkdir(exist_ok=True)
    about = {"seed": task.seed, "notes": np.array(task.notes, dtype=str), "normalise": task.normalise}
    arrays = {array: getattr(task, array) for array in ARRAYS}
    write_arrays(path, arrays | {name: np.asarray(one) for name, one in about.items()})


def _stored(path: Path, name: str) -> Task:
    """Read a task that a run keeps, and check that it is the one that its name says."""
    again = "give the data again, by the command that began the run"
    try:
        with open_arrays(path) as file:
            arrays = {array: file.take(array) for array in ARRAYS}
            seed, notes = int(file.take("seed")), tuple(map(str, file.take("notes")))
            normalise = cast(Normalise, require_choice("normalise", str(file.take("normalise")), NORMALISE))
        task = Task(name.partition("@")[0], **arrays, seed=seed, notes=notes, normalise=normalise)
    except OSError as problem:
        raise InputError(f"cannot read {path}: {problem.strerror or problem}; {again}") from None
    except Exception as problem:  # what a damaged archive raises is the affair of three libraries
        raise InputError(f"{path} is damaged ({' '.join(str(problem).split())[:100]}); {again}") from None
    if task.digest != name.partition("@")[2]:
        raise InputError(f"{path} holds other data than its name says; {again}")
    return task


REPAIR = "remove these rows or fill them in"


def _inputs(name: str, what: str, given: Any) -> Float[np.ndarray, "rows d"]:
    """Return inputs as float64 rows."""
    if isinstance(given, pd.DataFrame):
        return feature_columns(given, None, ())
    x = real_array(f"{what} of task {name!r}", given).astype(np.float64)
    if x.ndim != 2:
        raise InputError(
            f"task {name!r} needs inputs (n, d), got {what} of shape {x.shape}; "
            "flatten images to rows, and write x[:, None] for one feature"
        )
    return x


def _labels(name: str, what: str, given: Any) -> np.ndarray:
    """Return targets (n,): numbers, truth values or words."""
    if isinstance(given, pd.DataFrame | pd.Series):
        given = given.to_numpy()
    try:
        y = np.asarray(given)
    except ValueError:
        raise InputError(
            f"{what} of task {name!r} has rows of different lengths; give one target for each input"
        ) from None
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        one_hot = y.ndim == 2 and y.dtype.kind in "biuf" and bool(np.all(y.sum(axis=1) == 1))
        advice = "undo the one-hot coding with y.argmax(axis=1)" if one_hot else "give one target for each input"
        raise InputError(f"task {name!r} needs targets (n,), got {what} of shape {y.shape}; {advice}")
    return y


def feature_columns(
    frame: pd.DataFrame, features: Sequence[str] | None, taken: Sequence[str]
) -> Float[np.ndarray, "n d"]:
    """Return columns of a table as inputs in float64.

    Parameters
    ----------
    frame
        The table.
    features
        The columns; by default all but those in `taken`.
    taken
        Columns that are something else.

    Raises
    ------
    InputError
        If one is absent, no number or lacks numbers: all such columns in one message.
    """
    if both := [name for name in features or () if name in taken]:
        raise InputError(f"column {both[0]!r} cannot be both a feature and the target or the split")
    names = list(features) if features is not None else [str(name) for name in frame.columns if str(name) not in taken]
    if not names:
        raise InputError("there is no column of inputs beside the target")
    columns, words, gaps = [], [], []
    by_name = frame.rename(columns=str)
    for name in names:
        column, wrong = read_numbers(by_name, name)
        if wrong:
            words.append((name, wrong))
        elif np.isnan(column).any():
            gaps.append(name)
        columns.append(column)
    if words:
        listed = ", ".join(shown(name) for name, _ in words[:5]) + (", ..." if len(words) > 5 else "")
        raise InputError(
            f"{len(words)} of {len(names)} columns of inputs are not numbers: {listed} ({words[0][1]}); write plain "
            "numbers with a decimal point, or name the columns to use with --features"
        )
    rows = np.stack(columns, axis=1)
    if gaps:
        listed = ", ".join(map(shown, gaps[:5])) + (", ..." if len(gaps) > 5 else "")
        empty = int(np.isnan(rows).any(axis=1).sum())
        raise InputError(f"{empty} of {len(frame)} rows have no number in some column ({listed}); {REPAIR}")
    return rows
