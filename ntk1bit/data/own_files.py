"""Tasks from files that people have: tables with a column of targets, and .npz files of arrays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from ntk1bit.arguments import require_spare
from ntk1bit.array_files import ArrayFileError, open_arrays
from ntk1bit.data.own_data import ARRAYS, FOLDER, REPAIR, feature_columns, from_arrays
from ntk1bit.data.regression_task import SPLIT, Normalise, Task
from ntk1bit.errors import InputError, require_choice
from ntk1bit.tables.columns import one_column, shown
from ntk1bit.tables.reading import NUMBER, TABLES, read_table

_SIDES = {"train": False, "training": False, "test": True, "testing": True}
_DOMINATES = 0.8  # of the squared norm of inputs: a column with more leaves little to the others
_STRAY = 0.5  # of the targets are numbers: then the others are strays and no classes
_LISTED = 6
_COPIES = 4  # in float64 while rows are read, put in order, split and centred


def from_file(
    path: Path | str,
    *,
    target: str | None = None,
    features: Sequence[str] | None = None,
    split: float | str = SPLIT,
    normalise: Normalise = "sphere",
    seed: int = 0,
) -> list[Task]:
    """Make tasks of a file: one, or one for each class that is set against the rest.

    Parameters
    ----------
    path
        A table (.csv, .tsv, .jsonl, .parquet; text may be packed with gzip), or an .npz file with arrays ``x`` (rows,
        d), ``y`` (rows,) and, if test points are apart, ``x_test`` and ``y_test``.
    target
        Of a table: the column of targets. ``column=class`` sets one class (+1) against all others (-1), ``column=*``
        each class in turn.
    features
        Of a table: the columns of inputs; all others by default.
    split
        Share of the rows that train; or, of a table, the column that says ``train`` or ``test`` of each row.
    normalise, seed
        As in `from_arrays`.

    Raises
    ------
    InputError
        If the file cannot be read, or holds no such data; the message names the file.
    """
    path = Path(path)
    name = _word(path.name.partition(".")[0]) or FOLDER
    try:
        kinds = [end.lower() for end in path.suffixes[-2:]]
        if not any(end in (*TABLES, ".npz") for end in kinds):
            raise InputError(f"cannot be read as data; give a table ({', '.join(TABLES)}) or an .npz file with x and y")
        if not path.is_file():
            raise InputError(f"there is no file {str(path)!r}")
        if kinds[-1] == ".npz":
            if target is not None or features is not None or isinstance(split, str):
                raise InputError("an .npz file has its inputs in x and its targets in y; leave out target and features")
            held: dict[str, Any] = {**_arrays(path)}
            task = from_arrays(name, **held, split=split, normalise=normalise, seed=seed)
            return [replace(task, notes=(_read_from(path, "y", [], split, seed, task), *task.notes))]
        frame = read_table(path)
        column, classes = _target(frame, target)
        tested = _tested(frame, split) if isinstance(split, str) else None
        taken = [column, *([split] if isinstance(split, str) else [])]
        rows, labels = feature_columns(frame, features, taken), one_column(frame, column)
        if (missing := labels.isna().to_numpy(dtype=bool)).any():
            raise InputError(f"column {column!r} has no target in {missing.sum()} of {len(frame)} rows; {REPAIR}")
        if classes is None:
            _require_no_strays(column, labels)
        chosen = _classes(column, labels, classes)
        names = list(features) if features is not None else [str(one) for one in frame.columns if str(one) not in taken]
        remarks = _remarks(names, rows, normalise)
        made = []
        for positive in chosen:
            sides: dict[str, Any] = {"x": rows, "y": labels}
            if tested is not None:
                sides = {"x": rows[~tested], "y": labels[~tested], "x_test": rows[tested], "y_test": labels[tested]}
            word = name if positive is None else f"{name}.{_word(str(positive))}"
            share = SPLIT if isinstance(split, str) else split
            options: dict[str, Any] = {"split": share, "normalise": normalise, "positive": positive, "seed": seed}
            task = from_arrays(word, **sides, **options)
            where = column if positive is None else f"{column}={positive}"
            made.append(replace(task, notes=(_read_from(path, where, names, split, seed, task), *remarks, *task.notes)))
        return made
    except InputError as problem:
        text = str(problem)
        raise InputError(text if path.name in text else f"{path.name}: {text}") from None


def _read_from(path: Path, target: str, names: Sequence[str], split: float | str, seed: int, task: Task) -> str:
    """Say what a task was made of, so that a run tells it when the file is long gone."""
    inputs = ", ".join(map(shown, names[:_LISTED])) + (", ..." if len(names) > _LISTED else "") or "x"
    how = f"split by {shown(split)}" if isinstance(split, str) else f"{split:g} of the rows to train on"
    return (
        f"read from {path.name}: target {shown(target)}; {task.dim} inputs: {inputs}; {how}, data seed {seed}, "
        f"normalise {task.normalise}"
    )


def _remarks(names: Sequence[str], rows: Float[np.ndarray, "n d"], normalise: Normalise) -> tuple[str, ...]:
    """Report columns that count rows, and one that outweighs all others where columns keep their sizes."""
    found = []
    for name, column in zip(names, rows.T, strict=True):
        if len(column) > 2 and (np.diff(column) == 1).all():
            found.append(f"column {shown(name)} counts the rows, and is an input; name the others with --features")
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large is refused later
        squares = ((rows - rows.mean(axis=0) * (normalise == "sphere")) ** 2).sum(axis=0)
        shares = squares / squares.sum()
    if normalise != "standard" and len(names) > 1 and np.nanmax(shares, initial=0.0) > _DOMINATES:
        first = int(np.nanargmax(shares))
        found.append(
            f"column {shown(names[first])} has {shares[first]:.0%} of the squared norm of all inputs; --normalise "
            "standard gives all columns the same weight"
        )
    return tuple(found)


def _require_no_strays(column: str, labels: pd.Series) -> None:
    """Refuse a column of numbers with a few words among them, which would be read as many classes."""
    if labels.dtype.kind in "iufb":
        return
    strays = [(row, word) for row, word in enumerate(labels) if not NUMBER.fullmatch(str(word).strip())]
    if 0 < len(strays) < _STRAY * len(labels):
        row, word = strays[0]
        raise InputError(
            f"{len(strays)} of {len(labels)} targets in column {column!r} are no numbers, first {str(word)!r} in row "
            f"{row}; {REPAIR}"
        )


def _word(text: str) -> str:
    """Return a text as part of a name: letters and digits of any script, points and hyphens."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-")


def looks_like_file(entry: str) -> bool:
    """Say whether an entry of a list of tasks is the path of a file: by its ending, or because it has folders."""
    names = Path(entry).suffixes
    return "/" in entry or "\\" in entry or any(end.lower() in (*TABLES, ".npz", ".npy", ".xlsx") for end in names[-2:])


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with open_arrays(path, compressed=True) as file:
            names = file.names
            if missing := [array for array in ("x", "y") if array not in names]:
                listed = ", ".join(map(shown, names[:_LISTED])) + (", ..." if len(names) > _LISTED else "")
                raise InputError(
                    f"lacks the array {' and '.join(missing)}; it has {listed or 'none'}: save it "
                    "with np.savez(path, x=..., y=...)"
                )
            taken = [array for array in ARRAYS if array in names]
            size = sum(_COPIES * max(8, header.dtype.itemsize) * header.entries for header in map(file.header, taken))
            require_spare("its data", size, instead="give fewer rows")
            return {array: file.take(array) for array in taken}
    except OSError as problem:
        raise InputError(f"cannot read {path}: {problem.strerror or problem}") from None
    except ArrayFileError as problem:
        raise InputError(
            f"is no .npz file of plain arrays ({problem}); save it with np.savez(path, x=..., y=...)"
        ) from None


def _target(frame: pd.DataFrame, target: str | None) -> tuple[str, str | None]:
    """Return the column of targets and, if one is set against the others, the class."""
    if target is None:
        columns = ", ".join(shown(column) for column in frame.columns[:12]) + (", ..." if frame.shape[1] > 12 else "")
        raise InputError(f"which column is the target? Name it with --target; the table has {columns}")
    column, equals, word = target.rpartition("=")
    if target in frame.columns or not equals:
        one_column(frame, target)
        return target, None
    one_column(frame, column)
    return column, word


def _classes(column: str, labels: pd.Series, word: str | None) -> list[object]:
    """Return the classes that are set against the rest, each as it stands in the column; [None] for none."""
    if word is None:
        return [None]
    known = sorted(pd.unique(labels), key=str)
    if word == "*":
        if len(known) > _MOST_CLASSES:
            raise InputError(
                f"column {column!r} has {len(known)} classes; name one of them: --target {column}={known[0]}"
            )
        return known[1:] if len(known) == 2 else known
    found = [one for one in known if str(one) == word]
    return found or [require_choice(f"class of column {column!r}", word, [str(one) for one in known])]


_MOST_CLASSES = 100  # that get a task each: beyond it, numbers that were taken for classes


def _tested(frame: pd.DataFrame, column: str) -> Bool[np.ndarray, " rows"]:
    words = [str(word).strip().lower() for word in one_column(frame, column)]
    others = sorted({word for word in words if word not in _SIDES})
    if others:
        raise InputError(
            f"column {column!r} must say train or test of every row, but says {', '.join(map(shown, others[:3]))}"
        )
    tested = np.array([_SIDES[word] for word in words], dtype=bool)
    if tested.all():
        raise InputError(f"column {column!r} says test of every row; some must train")
    return tested
