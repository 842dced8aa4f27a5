"""Guess which column of a table is which, from what people call them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ntk1bit.errors import InputError
from ntk1bit.tables.columns import move_together, number_column, one_column, require_column, shown

_ALIASES: dict[str, tuple[str, ...]] = {
    "N": ("N", "params", "parameters", "n_params", "num_params", "non_embedding_params", "model_size", "model size"),
    "D": ("D", "tokens", "n_tokens", "training_tokens", "training tokens", "samples", "examples", "n_train", "data"),
    "C": ("C", "flops", "training_flops", "training flop", "compute", "ops", "operations"),
    "x": ("x", "N", "params", "parameters", "n_params", "model_size", "width", "D", "tokens", "n_train", "C", "flops"),
    "loss": ("loss", "val_loss", "test_loss", "final_loss", "eval_loss", "validation_loss", "train_loss"),
    "step": ("step", "steps", "iteration", "iterations", "global_step", "epoch"),
}
_NUMERAL = re.compile(r"\s*[-+~<>$€£]*\s*\.?\d", re.ASCII)
_LAST_RESORT = {"loss": ("L",)}  # L may as well count layers


@dataclass(frozen=True)
class Roles:
    """Which column plays which part in a fit.

    Attributes
    ----------
    x, loss
        Column of each variable of the law, and of the loss.
    remarks
        Sentences about columns that might have been meant as well, and about variables that the law does not use.
    """

    x: dict[str, str]
    loss: str
    remarks: tuple[str, ...]


def choose_roles(
    frame: pd.DataFrame,
    variables: Sequence[str],
    given: Mapping[str, str | None],
    loss: str | None = None,
    labels: Collection[str] = (),
) -> Roles:
    """Find the columns of a table for the variables of a law: those named, and a guess for the others.

    Parameters
    ----------
    frame
        The table. Text that begins like a number ("125M") counts as a number here, so that it is refused later by name
        instead of being passed over.
    variables
        Those of the law; a single one is called x.
    given, loss
        Columns the user named (None for those to be guessed).
    labels
        Columns that name groups, runs or clusters, or weigh; none of these is guessed.

    Raises
    ------
    InputError
        If a named column does not exist, or one cannot be guessed.
    """
    columns = [str(name) for name in frame.columns]
    free = number_columns(frame, labels)
    x, found = guess_columns(variables, free, given, loss, known=columns)
    remarks = []
    unused = [name for name in free if name not in {*x.values(), found}]
    for role, chosen, named in (("loss", found, loss), *((each, x[each], given.get(each)) for each in variables)):
        others = [] if named is not None or role == "x" else candidates(role, unused)
        if others and others[0] not in _LAST_RESORT.get(role, ()):
            listed = ", ".join(map(repr, others))
            remarks.append(f"{role} is taken to be {chosen!r}; {listed} might be meant too: choose with --{role}")
    return Roles(x, found, (*remarks, *_unused_variables(frame, x, unused)))


def number_columns(frame: pd.DataFrame, labels: Collection[str] = ()) -> list[str]:
    """Return the columns that hold numbers, or text that begins like one ("125M"), without those that are labels."""
    columns = [str(name) for name in frame.columns]
    return [name for name in columns if name not in labels and _like_numbers(one_column(frame, name))]


def candidates(role: str, columns: Sequence[str]) -> list[str]:
    """Return the columns that may play a role ("N", "D", "C", "x", "loss", "step"), the most likely first.

    Names are compared without case, spaces, hyphens and underscores; exact spelling goes first.
    """
    known = (role, *_ALIASES.get(role, ()))
    exact = [alias for alias in known if alias in columns]
    plain = [_plain(alias) for alias in known if len(alias) > 1]
    alike = sorted((name for name in columns if _plain(name) in plain), key=lambda name: plain.index(_plain(name)))
    return list(dict.fromkeys([*exact, *alike])) or [name for name in _LAST_RESORT.get(role, ()) if name in columns]


def guess_column(role: str, columns: Sequence[str]) -> str | None:
    """Return the column most likely to play a role, the first of `candidates`, or None."""
    return next(iter(candidates(role, columns)), None)


def guess_columns(
    variables: Sequence[str],
    columns: Sequence[str],
    given: Mapping[str, str | None],
    loss: str | None = None,
    *,
    known: Sequence[str] | None = None,
) -> tuple[dict[str, str], str]:
    """Return the column of each variable and that of losses: as given (None for a guess), none of them used twice.

    Guesses are made among `columns`; a user may name any of the `known` ones, by default the same.

    Raises
    ------
    InputError
        If a named column does not exist, or one cannot be guessed.
    """
    every = list(columns if known is None else known)
    roles: dict[str, str | None] = {"loss": loss, **{variable: given.get(variable) for variable in variables}}
    taken = {name for name in (*given.values(), loss) if name is not None}
    for name in taken:
        require_column(name, every)
    chosen: dict[str, str] = {}
    for role, named in roles.items():
        chosen[role] = named or _require(role, [name for name in columns if name not in taken], every)
        taken.add(chosen[role])
    return {variable: chosen[variable] for variable in variables}, chosen["loss"]


def _require(role: str, free: Sequence[str], every: Sequence[str]) -> str:
    guess = guess_column(role, free)
    if guess is not None:
        return guess
    hint = ""
    if role in ("N", "D"):
        other, compute = guess_column("D" if role == "N" else "N", every), guess_column("C", every)
        if other is not None and compute is not None:
            hint = f"; if {compute} is 6 N D, add a column {role} = {compute} / (6 {other})"
    table = ", ".join(map(shown, every))
    raise InputError(f"cannot tell which column is {role}; name it with --{role}{hint} (the table has {table})")


def _unused_variables(frame: pd.DataFrame, x: Mapping[str, str], unused: Sequence[str]) -> list[str]:
    """Say which columns look like variables of the loss, vary, and are not in the law."""
    used = {role: name for role in ("N", "D", "C") for name in x.values() if name in candidates(role, [name])}
    used |= {variable: name for variable, name in x.items() if variable != "x"}
    found: dict[str, str] = {}
    for role in ("N", "D", "C"):
        name = None if role in used else guess_column(role, unused)
        if name is not None and len(np.unique(_numbers(frame, name))) > 1:
            found[role] = name
    both = {**found, **used}
    if {"N", "D"} <= set(both):
        found.pop("C", None)  # a product of the others
    remarks = []
    for role, name in found.items():
        together = [other for other in x.values() if move_together(_numbers(frame, name), _numbers(frame, other))]
        if together:
            if role != "C":
                remarks.append(f"column {name!r} grows with {together[0]!r}: what is fitted is the effect of both")
            continue
        if {"N", "D"} <= set(both) and list(x) == ["x"]:
            advice = f"--law chinchilla --N {shlex.quote(both['N'])} --D {shlex.quote(both['D'])} is a law of both"
        else:
            advice = f"hold it with --where, or fit its values apart with --group {shlex.quote(name)}"
        remarks.append(f"column {name!r} looks like a variable ({role}) and the law ignores it: {advice}")
    return remarks


def _numbers(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column's numbers, or NaN alone where it holds anything else."""
    try:
        return number_column(frame, name)
    except InputError:
        return np.full(len(frame), np.nan)


def _like_numbers(column: pd.Series) -> bool:
    """Say whether a column holds numbers, or text some of which begins like one."""
    if column.dtype.kind in "iuf":
        return True
    if column.dtype.kind in "bmMc":
        return False
    return any(_NUMERAL.match(str(each)) for each in column if each is not None)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
