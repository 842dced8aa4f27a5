"""Which law the columns of a table ask for: N and D, one variable, or none that is known.

Losses are not looked at: a law chosen because it fits would make its own fit look better than it is. Laws are held
against each other by AICc and by held-out losses (`compare_laws`, `extrapolate`; `ntk1bit fit --against`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ntk1bit.errors import InputError
from ntk1bit.printing import short_lines
from ntk1bit.scaling.laws import Law, get_law, law_names
from ntk1bit.tables.columns import move_together, number_column, one_column, shown
from ntk1bit.tables.roles import guess_column, number_columns

_FLOOR_NEEDS = 5  # distinct sizes: three parameters, and two degrees of freedom to see whether they fit
_PREFERRED = {("N", "D"): ("chinchilla",), ("N", "D", "C"): ("max",)}
_NO_SIZES = ("run", "seed", "id", "index")  # numbers that name rows


@dataclass(frozen=True)
class Proposal:
    """A law for a table.

    Attributes
    ----------
    law
        The law.
    x, loss
        The column of each of its variables, and of losses.
    reason
        Why this one, in words; it begins with the columns.
    others
        Names of the other laws of the same variables.
    """

    law: Law
    x: dict[str, str]
    loss: str
    reason: str
    others: tuple[str, ...]

    def __repr__(self) -> str:
        """Say which law it is, why, and which others there are."""
        lines = [f"Proposal: {self.law.name}, for {self.reason}", f"loss = {self.law.formula}"]
        return short_lines([*lines, f"others of these columns: {', '.join(self.others) or 'none'}"])


def propose(
    frame: pd.DataFrame,
    *,
    x: Mapping[str, str | None] | None = None,
    loss: str | None = None,
    labels: Collection[str] = (),
    rivals: Collection[str] = (),
) -> Proposal:
    """Choose a law from the columns that a table has, without looking at how well any law fits.

    With N (parameters) and D (tokens or examples) that both vary, and not together, it is ``chinchilla``, or ``max`` if
    the column of C is named as well. With one variable it is ``power+floor`` from five distinct values on, else
    ``power``.

    Parameters
    ----------
    frame
        One row an observation.
    x
        Columns that are known, by variable: x, N, D or C. Others are guessed by what they are called
        (`tables.roles.candidates`); a table whose only other column of numbers is called otherwise is of that variable.
    loss
        The column of losses; by default guessed.
    labels
        Columns that name groups, runs or clusters, or weigh: they are no variables.
    rivals
        Laws that the proposed one is to be compared with, so that it is none of them.

    Returns
    -------
    Proposal
        Its fit is ``fit(frame, found.law, x=found.x, loss=found.loss)``.

    Raises
    ------
    InputError
        If a named column does not exist, the losses cannot be told, or no law has the table's variables; the line then
        says what each law needs.
    """
    named = {variable: column for variable, column in (x or {}).items() if column is not None}
    for name in (*named.values(), *((loss,) if loss else ())):
        one_column(frame, name)
    numbers = [name for name in number_columns(frame, labels) if name not in named.values()]
    found = loss or guess_column("loss", numbers)
    if found is None:
        raise InputError(
            f"cannot tell which column is loss; name it with --loss (the table has {_listed(frame.columns)})"
        )
    numbers = [name for name in numbers if name != found]
    columns, reason = _variables(frame, named, numbers)
    variables = tuple(columns)
    fitting = [name for name in law_names() if get_law(name).variables == variables and name not in rivals]
    if not fitting:
        raise InputError(f"no law is of {_listed(variables)} alone{_instead(rivals)}; {what_laws_need()}")
    if variables == ("x",):
        sizes = _distinct(frame, columns["x"])
        reason += f" of {sizes} distinct value{'' if sizes == 1 else 's'}"
        preferred = ("power+floor", "power") if sizes >= _FLOOR_NEEDS else ("power",)
        if preferred[0] == "power":
            reason += f" (a floor needs {_FLOOR_NEEDS})"
    else:
        preferred = _PREFERRED.get(variables, ())
    chosen = next((name for name in preferred if name in fitting), fitting[0])
    others = tuple(name for name in fitting if name != chosen)
    return Proposal(get_law(chosen), columns, found, reason, others)


def what_laws_need() -> str:
    """Say which variables each registered law has, and how their columns are named."""
    needs: dict[tuple[str, ...], list[str]] = {}
    for name in law_names():
        needs.setdefault(get_law(name).variables, []).append(name)
    parts = [
        f"{', '.join(laws)} need{'s' if len(laws) == 1 else ''} {' '.join(f'--{each}' for each in variables)}"
        for variables, laws in needs.items()
    ]
    return f"name the columns: {'; '.join(parts)}"


def _variables(frame: pd.DataFrame, named: dict[str, str], numbers: list[str]) -> tuple[dict[str, str], str]:
    """Return the column of each variable that the table has, and what was seen, in words."""
    if "x" in named:
        return named, f"one variable, x = {shown(named['x'])}"
    role = dict(named)
    if set(named) != {"C"}:  # who names C alone asks for a law of it
        for variable in ("N", "D"):
            guess = guess_column(variable, [name for name in numbers if name not in role.values()])
            if variable not in role and guess is not None and _distinct(frame, guess) > 1:
                role[variable] = guess
    why = ""
    if {"N", "D"} <= set(role):
        if {"N", "D"} <= set(named) or not move_together(_numbers(frame, role["N"]), _numbers(frame, role["D"])):
            wanted = ("N", "D", "C") if "C" in named else ("N", "D")
            words = ", ".join(f"{variable} = {shown(role[variable])}" for variable in wanted)
            return {variable: role[variable] for variable in wanted}, words
        why = f" ({shown(role['N'])} and {shown(role['D'])} grow together)"
    if len(named) > 1:
        return named, ""
    column = next(iter(role.values()), None) or _only(frame, numbers)
    return {"x": column}, f"one variable, x = {shown(column)}{why}"


def _only(frame: pd.DataFrame, numbers: list[str]) -> str:
    """Return the variable of a table without N and D: called like one, or the only other column that varies."""
    varying = [name for name in numbers if _distinct(frame, name) > 1]
    guess = guess_column("x", varying)
    if guess is not None:
        return guess
    free = [name for name in varying if name.lower() not in _NO_SIZES]
    if len(free) == 1:
        return free[0]
    why = f"x may be any of {_listed(free)}" if free else "beside the losses no column of numbers varies"
    raise InputError(f"cannot tell which law these columns ask for: {why}; {what_laws_need()}")


def _distinct(frame: pd.DataFrame, name: str) -> int:
    return int(one_column(frame, name).nunique())


def _numbers(frame: pd.DataFrame, name: str) -> np.ndarray:
    try:
        return number_column(frame, name)
    except InputError:  # said by name when it is fitted
        return np.full(len(frame), np.nan)


def _listed(names: Collection[object]) -> str:
    return ", ".join(shown(str(name)) for name in names)


def _instead(rivals: Collection[str]) -> str:
    return f" beside {', '.join(rivals)}" if rivals else ""
