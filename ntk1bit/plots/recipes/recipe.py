"""A recipe, and what it draws from: tables, measures and outcomes of stored verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ntk1bit.claims.results import measure, table
from ntk1bit.errors import InputError


class MissingError(InputError):
    """The results lack a claim, a table or a measure that a figure needs."""


class Results:
    """Reads one verdicts.json for recipes.

    Parameters
    ----------
    document
        What verdicts.json holds.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self._entries = {entry["id"]: entry for entry in document["claims"]}

    def entry(self, claim: str) -> dict[str, Any]:
        """Return the entry of a claim.

        Raises
        ------
        MissingError
            If the results lack it.
        """
        if claim not in self._entries:
            raise MissingError(f"the results lack claim {claim}; run: ntk1bit verify {claim}")
        return self._entries[claim]

    def table(self, claim: str, name: str) -> pd.DataFrame:
        """Return a table of a claim; nulls are NaN.

        Raises
        ------
        MissingError
            If the results lack it, or it is empty.
        """
        entry = self.entry(claim)
        try:
            found = table(entry, name)
        except InputError as problem:
            raise MissingError(str(problem)) from None
        if found.empty:
            raise MissingError(f"table {name!r} of claim {claim} is empty")
        for column in found.columns:  # a column of nulls alone has no type of its own
            if found[column].dtype == object and not any(isinstance(value, str) for value in found[column]):
                found[column] = found[column].astype(float)
        return found

    def measure(self, claim: str, name: str) -> dict[str, Any]:
        """Return a measure of a claim.

        Raises
        ------
        MissingError
            If the results lack it.
        """
        entry = self.entry(claim)
        try:
            return measure(entry, name)
        except InputError as problem:
            raise MissingError(str(problem)) from None

    def outcome(self, claim: str) -> str:
        """Return the outcome of a claim."""
        return self.entry(claim)["outcome"]

    def sentence(self, claim: str, *, supported: str, refuted: str, otherwise: str) -> str:
        """Choose the sentence that the outcome of a claim allows: a title must not say more than was found."""
        return {"supported": supported, "refuted": refuted}.get(self.outcome(claim), otherwise)


@dataclass(frozen=True)
class Recipe:
    """How one figure is made.

    Attributes
    ----------
    name
        Name of the figure and of its files.
    claims
        Ids of the claims it draws from, the main one first; empty for a figure of all claims.
    caption
        What is drawn and how, without results: those are in the figure.
    draw
        Draws it.
    """

    name: str
    claims: tuple[str, ...]
    caption: str
    draw: Callable[[Results], Figure]
