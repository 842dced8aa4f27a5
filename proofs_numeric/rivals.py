"""The section on other theories: their predictions beside what the same runs show, filled in from the verdicts.

The text is in `texts/rivals.md`. There ``{{C3b}}`` stands for a claim, its verdict with a link, and
``{{C3b:spread.m.sphere.one_bit}}`` for one of its measures, with its interval. What is in ``[[C3b=supported: ...]]`` is
said only while that verdict stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ntk1bit.claims.results import ClaimEntry, MissingError, Results
from proofs_numeric.changes import numbers

_TEXT = Path(__file__).parent / "texts" / "rivals.md"
_PLACE = re.compile(r"\{\{([^{}:]+)(?::([^{}]+))?\}\}")
_SAID_IF = re.compile(r" ?\[\[([^\[\]=]+)=(\w+): ([^\[\]]+)\]\]")


def section(results: Results, link: Callable[[ClaimEntry], str], text: str | None = None) -> str:
    """Return the section in Markdown.

    Parameters
    ----------
    results
        What verdicts.json holds.
    link
        Writes a claim as a link to its section.
    text
        The text to fill; by default that of `texts/rivals.md`.

    Raises
    ------
    MissingError
        If the results lack a claim or a measure that the text names.
    """

    def said(sentence: re.Match[str]) -> str:
        return f" {sentence[3]}" if results.claim(sentence[1]).outcome == sentence[2] else ""

    def filled(place: re.Match[str]) -> str:
        entry = results.claim(place[1])
        return told(entry, place[2]) if place[2] else f"{link(entry)} is {entry.words}"

    text = _TEXT.read_text(encoding="utf-8") if text is None else text
    return _PLACE.sub(filled, _SAID_IF.sub(said, text))


def told(entry: ClaimEntry, measure: str) -> str:
    """Return a measure of a claim as the page prints it.

    Raises
    ------
    MissingError
        If the claim has no such measure.
    """
    for one in entry.measures:
        if one.id == measure:
            return numbers(one)
    raise MissingError(f"the results of claim {entry.id} lack {measure}; run: ntk1bit verify {entry.id}")
