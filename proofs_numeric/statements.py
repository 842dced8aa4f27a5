"""Write docs/coverage.md: which statement of both papers is checked, and how: `python -m proofs_numeric.statements`.

The statements are in `texts/statements.toml`; the outcomes of the claims that judge them come from results/standard.
With `--check` nothing is written, and the exit code shows whether the page is current.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntk1bit.claims.results import Results, read_results
from ntk1bit.errors import InputError, require_choice
from ntk1bit.files import write_whole
from proofs_numeric.catalogue import MODULES
from proofs_numeric.page import RESULTS, ROOT

PAGE = ROOT / "docs" / "coverage.md"
STATUSES = ("as written", "smaller scale", "in part", "not")
_TABLE = Path(__file__).parent / "texts" / "statements.toml"
_TITLES = {
    "D25": 'D25: Daliri, Song and Yang, "Unlocking the Theory Behind Scaling 1-Bit Neural Networks"',
    "W23": 'W23: Wang et al., "BitNet"',
}


@dataclass(frozen=True)
class Statement:
    """One statement of a paper.

    Attributes
    ----------
    paper
        ``"D25"`` or ``"W23"``.
    place, says
        Where it stands, and what it says, in our words.
    status
        One of `STATUSES`.
    claims
        Ids of the claims that judge it.
    where
        Files that implement it, as tests check.
    why
        What is missing; empty only for "as written".

    Raises
    ------
    InputError
        For an unknown status or claim, or a statement that nothing here answers and no reason excuses.
    """

    paper: str
    place: str
    says: str
    status: str
    claims: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    why: str = ""

    def __post_init__(self) -> None:
        """Refuse what a reader could not follow up."""
        name = f"{self.paper}, {self.place}"
        require_choice(f"status of {name}", self.status, STATUSES)
        for claim in self.claims:
            require_choice(f"claim of {name}", claim, MODULES)
        if self.status != "as written" and not self.why:
            raise InputError(f"{name} is {self.status!r}, so it needs a reason")
        if self.status != "not" and not (self.claims or self.where):
            raise InputError(
                f"{name} is {self.status!r}, so it needs the claims that judge it or the files that have it"
            )


def statements() -> tuple[Statement, ...]:
    """Read all statements, paper by paper, in the order of the table."""
    with open(_TABLE, "rb") as file:
        papers = tomllib.load(file)
    found = []
    for paper, entries in papers.items():
        for entry in entries:
            fields: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in entry.items()}
            found.append(Statement(paper, **fields))
    return tuple(found)


def render(results: Results) -> str:
    """Return the page, with the outcomes of these results."""
    outcomes = {claim.id: claim.words for claim in results.claims}
    every = statements()
    parts = [
        "# What of both papers is checked",
        "This page is written by `python -m proofs_numeric.statements` from\n"
        "`proofs_numeric/texts/statements.toml` and the verdicts in `results/standard`. *As written*: the statement\n"
        "itself is judged or implemented; *smaller scale*: the same on smaller networks or less data; *in part*: a\n"
        "part of it, or otherwise than written; *not*: with the reason.",
    ]
    for paper in _TITLES:
        chosen = [one for one in every if one.paper == paper]
        counts = Counter(one.status for one in chosen)
        listed = ", ".join(f"{counts[status]} {status}" for status in STATUSES)
        rows = [_row(one, outcomes) for one in chosen]
        parts += [
            f"## {_TITLES[paper]}",
            f"{len(chosen)} statements: {listed}.",
            "\n".join(["| place | statement | status | judged by | what is missing |", "|---|---|---|---|---|", *rows]),
        ]
    return "\n\n".join(parts) + "\n"


def _row(one: Statement, outcomes: dict[str, Any]) -> str:
    judged = [f"{claim} ({outcomes[claim]})" if claim in outcomes else claim for claim in one.claims]
    cells = (one.place, one.says, one.status, "; ".join([*judged, *(f"`{file}`" for file in one.where)]), one.why)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or check it; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m proofs_numeric.statements", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if the page is out of date")
    options = parser.parse_args(arguments)
    text = render(read_results(RESULTS))
    if options.check:
        current = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text
        print(
            f"{PAGE.name} is {'current' if current else 'out of date: python -m proofs_numeric.statements writes it'}"
        )
        return 0 if current else 1
    write_whole(PAGE, text.encode())
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
