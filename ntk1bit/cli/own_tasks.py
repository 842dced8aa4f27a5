"""Tasks that options name: ours by name, and files of the user's own data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from ntk1bit.cli.lists import read_list
from ntk1bit.cli.tables import say
from ntk1bit.data import Task, from_file, tasks
from ntk1bit.data.own_files import looks_like_file
from ntk1bit.data.regression_task import SPLIT, Normalise
from ntk1bit.errors import InputError
from ntk1bit.experiments.sweep import N_TRAIN

_LARGE = 10_000_000  # bytes of a file that takes long to read


def read_own_tasks(
    entries: Sequence[str],
    *,
    seed: int,
    target: str | None,
    features: str | None,
    split: str | None,
    normalise: str | None,
) -> list[str | Task]:
    """Return the entries with files read as tasks; none if there is no file among them.

    Raises
    ------
    InputError
        As `from_file`, and if options for files are given without one.
    """
    options = {"--target": target, "--features": features, "--split": split, "--normalise": normalise}
    if not any(map(looks_like_file, entries)):
        if given := [name for name, value in options.items() if value is not None]:
            raise InputError(f"{given[0]} is for your own data: give their file with --task, as in --task data.csv")
        return []
    share: float | str = SPLIT
    if split is not None:
        try:
            share = float(split)
        except ValueError:  # a column
            share = split
    found: list[str | Task] = []
    for entry in entries:
        if not looks_like_file(entry):
            found.append(entry)
            continue
        if (size := Path(entry).stat().st_size if Path(entry).is_file() else 0) > _LARGE:
            say(f"reading {entry}, {size / 1e6:.0f} MB")
        chosen = None if features is None else read_list(features, option="--features", kind=str)
        how = cast(Normalise, normalise or "sphere")
        found += from_file(entry, target=target, features=chosen, split=share, normalise=how, seed=seed)
    return found


def task_of(
    name: str,
    n_train: int | None,
    seed: int,
    *,
    target: str | None,
    features: str | None,
    split: str | None,
    normalise: str | None,
) -> Task:
    """Return the training points of one task, ours by name or a file; what was done to a file's rows is printed.

    Raises
    ------
    InputError
        As `read_own_tasks`, and if there are several tasks or too few points.
    """
    found = read_own_tasks([name], seed=seed, target=target, features=features, split=split, normalise=normalise)
    if not found:
        return tasks.load(name, n_train=N_TRAIN if n_train is None else n_train, n_test=0, seed=seed)
    own = found[0]
    if len(found) > 1 or not isinstance(own, Task):
        raise InputError(f"--target {target} makes {len(found)} tasks; name one class")
    say(*own.notes)
    if n_train is None and own.n_train > N_TRAIN:
        say(f"{N_TRAIN} of {own.n_train} points are used; more with --n-train")
    return own.part(min(N_TRAIN, own.n_train) if n_train is None else n_train, 0)
