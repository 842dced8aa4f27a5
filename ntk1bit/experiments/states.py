"""What became of every cell that a sweep was asked for, and what is left out of whatever is made of the run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from ntk1bit.experiments.cells import Cell
from ntk1bit.experiments.plan import make_plan
from ntk1bit.experiments.store import Run, Store

State = Literal["finished", "diverged", "failed", "unfinished"]
ORDER = ("task", "dim", "n_train", "init", "kappa", "scale", "precision", "width", "seed")  # in which cells are listed
_MOST_FILES = 3  # of the damaged ones that are named


@dataclass(frozen=True)
class CellStates:
    """The state of every cell.

    Attributes
    ----------
    of
        The state of each cell that was asked for, in the order of `ORDER`. ``"failed"``: not there, and failures.jsonl
        says why; ``"unfinished"``: not there; ``"diverged"`` is a result.
    failures
        Why cells failed, by key.
    """

    of: dict[Cell, State]
    failures: dict[str, str]

    @property
    def counts(self) -> Counter[str]:
        """Number of cells in each state."""
        return Counter(self.of.values())

    @property
    def there(self) -> int:
        """Number of cells that are stored."""
        return self.counts["finished"] + self.counts["diverged"]

    def sentences(self) -> list[str]:
        """Say how many cells are missing or diverged, a sentence for each reason; none for a run that is whole."""
        told = []
        if self.counts["unfinished"]:
            todo = f"Unfinished cells: {self.counts['unfinished']} of {len(self.of)}"
            told.append(f"{todo}; go on with the command that began the sweep and --resume.")
        if self.counts["failed"]:
            told.append(f"Failed cells: {self.counts['failed']}, failures.jsonl says why.")
        if self.counts["diverged"]:
            widths = sorted({cell.width for cell, state in self.of.items() if state == "diverged"})
            listed = ", ".join(map(str, widths))
            told.append(f"Diverged cells: {self.counts['diverged']}; their widths are left out of estimates: {listed}.")
        return told


def cell_states(run: Run, asked: Sequence[Cell]) -> CellStates:
    """Find the state of every cell that was asked for (`make_plan` lists them)."""
    failures = read_failures(run.folder)
    states: dict[Cell, State] = {}
    for cell in sorted(asked, key=lambda one: tuple(getattr(one, name) for name in ORDER)):
        if cell.key in run.about:
            states[cell] = "diverged" if run.about[cell.key]["diverged"] else "finished"
        else:
            states[cell] = "failed" if cell.key in failures else "unfinished"
    return CellStates(states, failures)


def left_out(run: Run) -> list[str]:
    """Say in sentences what a figure or a table made of this run does not contain; none for a run that is whole.

    Raises
    ------
    InputError
        If the data of the run cannot be loaded.
    """
    return [*cell_states(run, make_plan(run.spec).cells).sentences(), *damaged(run)]


def absent_cells(run: Run) -> pd.DataFrame:
    """Return one row for each cell of the plan that cannot be read.

    Returns
    -------
    Columns of the cell's settings, and `state`: "damaged" if its file cannot be trusted, "failed" if training it ended
    in an error, "unfinished" otherwise. Empty if the run is whole.
    """
    store, failures = Store(run.folder), read_failures(run.folder)
    rows = []
    for cell in make_plan(run.spec).cells:
        if cell.key not in run.about:
            state = "damaged" if store.path(cell.key).exists() else "failed" if cell.key in failures else "unfinished"
            rows.append({**asdict(cell), "state": state})
    return pd.DataFrame(rows)


def damaged(run: Run) -> list[str]:
    """Name the files that could not be read, the first of many."""
    more = len(run.problems) - _MOST_FILES
    return [*run.problems[:_MOST_FILES], *([f"and {more} more files like these"] if more > 0 else [])]


def read_failures(folder: Path) -> dict[str, str]:
    """Read why cells failed, the last reason of each; lines that are cut short are passed over."""
    path = folder / "failures.jsonl"
    found: dict[str, str] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
                found[str(entry["key"])] = str(entry["why"])
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
    return found
