"""Cells that a run was asked for and does not hold."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from ntk1bit.sweeps.plan import make_plan
from ntk1bit.sweeps.store import Run, Store


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
