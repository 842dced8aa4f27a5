"""The page's section on what an independent derivation of every claim changed: points, verdicts before and now.

The points are in ``texts/what_changed.toml``; the verdicts before them in ``results/standard/earlier.csv``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ntk1bit.claims.results import Results

EARLIER = "earlier.csv"  # columns claim, outcome: the verdicts before these points
_POINTS = Path(__file__).parent / "texts" / "what_changed.toml"


def read_points() -> list[dict[str, str | list[str]]]:
    """Return the points, each with item, says, changed and claims, in their order."""
    with open(_POINTS, "rb") as file:
        return tomllib.load(file)["point"]


def read_earlier(folder: Path) -> dict[str, str]:
    """Return the earlier outcome of each claim, from the file beside the verdicts of a folder; empty without it."""
    path = folder / EARLIER
    return dict(pd.read_csv(path).itertuples(index=False, name=None)) if path.is_file() else {}


def section(results: Results, earlier: Mapping[str, str]) -> str:
    """Return the section: a table of the points, with the verdicts of the claims concerned before and now."""
    words = {entry.id: entry.words for entry in results.claims}
    lines = [
        "## What changed\n",
        "Every claim of an earlier form of this page was derived and measured anew, independently. These are the",
        "points that this raised, and what each changed: a rule, words, or a claim. Rules of changed claims were",
        "committed before their data were made.\n",
        "| point | what it says | what changed | verdicts, before and now |",
        "|---|---|---|---|",
    ]
    for point in read_points():
        verdicts = "; ".join(
            f"{claim}: {earlier.get(claim, 'new')}, now {words[claim]}" for claim in point["claims"] if claim in words
        )
        cells = [str(point[name]).replace("<", "&lt;").replace("|", "\\|") for name in ("item", "says", "changed")]
        lines.append(f"| {' | '.join([*cells, verdicts])} |")
    return "\n".join(lines) + "\n"
