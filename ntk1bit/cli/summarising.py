"""What `ntk1bit summary` shows: aligned tables for people, CSV and JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ntk1bit.cli.tables import print_table, say
from ntk1bit.estimators import Overview, overview
from ntk1bit.estimators.captions import group_caption
from ntk1bit.estimators.columns import SETTINGS
from ntk1bit.estimators.overview import COLUMNS
from ntk1bit.experiments import Run, load_run, make_plan
from ntk1bit.experiments.states import CellStates, cell_states, damaged

_PRECISION_IN_SHORT = {"one_bit": "1-bit", "full": "full", "one_bit - full": ""}
_TABLES = {
    "Convergence": ("loss", "floor", "rate"),
    "Steps until the loss is a share of its start": ("steps to 0.1", "steps to 0.01", "steps to 0.001"),
    "Kernel and weights": ("drift", "lambda ratio", "radius R", "flips", "changed"),
    "Training outputs against the predictions of fixed kernels": ("from H", "from K_eff"),
    "Outputs on test inputs": ("gap (start)", "gap (end)", "gap (largest)", "spread"),
}
_GROUP = tuple(name for name in SETTINGS if name not in ("precision", "scale"))


def show(folder: Path, *, as_csv: bool, as_json: bool, with_settings: bool) -> None:
    """Print the overview of a run in the form asked for."""
    run = load_run(folder)
    found = overview(run.frame(COLUMNS))
    states = cell_states(run, make_plan(run.spec).cells)
    cells = len(states.of)
    notes = [*states.sentences(), *damaged(run), *found.notes]
    if len(run.about) < cells:
        notes.insert(0, f"{len(run.about)} of {cells} cells are finished; go on with: ntk1bit sweep --resume ...")
    if as_json:
        _print_json(run, found, notes, states)
    elif as_csv:
        _print_csv(found, notes)
    else:
        _print_tables(run, found, notes, cells, with_settings=with_settings)


def _print_tables(run: Run, found: Overview, notes: list[str], cells: int, *, with_settings: bool) -> None:
    print(f"{run.folder}: {len(run.about)} of {cells} cells, {run.spec.steps} steps, seeds {_listed(run.spec.seeds)}")
    if with_settings:
        print()
        print_table(["setting", "value"], [[name, value] for name, value in run.spec.as_dict().items()])
    for note in notes:
        print(f"note: {note}")
    values, exponents = found.values(), found.exponents()
    if values.empty:
        return
    for key, group in values.groupby(list(_GROUP), dropna=False):
        settings = dict(zip(_GROUP, key if isinstance(key, tuple) else (key,), strict=True))
        print(f"\n== {group_caption(settings)}")
        for title, quantities in _TABLES.items():
            _print_against_width(title, quantities, group)
        _print_exponents(_of_group(exponents, settings))
        for needed in found.needed:
            if all(needed.settings[name] == value for name, value in settings.items()) and len(needed.table):
                print(f"\nWidth needed for a loss, {_PRECISION_IN_SHORT[needed.settings['precision']]}\n")
                entries = needed.table.to_dict("records")
                rows = [[_short(r["loss"]), _short(r["width"]), _between(r["low"], r["high"])] for r in entries]
                print_table(["loss", "width", "95 %"], rows)
    print("\nWhat they mean")
    meanings = {one.quantity: one.meaning for one in found.quantities}
    print_table(["quantity", "meaning"], list(meanings.items()))
    print()
    for one in found.quantities:
        for note in one.notes:
            precision = _PRECISION_IN_SHORT[one.settings["precision"]]
            print(f"note: {one.quantity} {precision}{' ' if precision else ''}({one.settings['init']}): {note}")


def _print_against_width(title: str, quantities: Sequence[str], group: pd.DataFrame) -> None:
    part = group.loc[group["quantity"].isin(quantities)]
    columns = []
    for quantity in quantities:
        of_quantity = part.loc[part["quantity"] == quantity]
        for precision, scale in sorted(set(zip(of_quantity["precision"], of_quantity["scale"], strict=True)))[::-1]:
            column = of_quantity.loc[(of_quantity["precision"] == precision) & (of_quantity["scale"] == scale)]
            words = [quantity, _PRECISION_IN_SHORT[precision], "" if scale in ("none", "std") else scale]
            columns.append((" ".join(word for word in words if word), column.set_index("width")))
    if not columns:
        return
    rows = []
    for width in sorted(set(part["width"])):
        row: list[str] = [str(width)]
        for _, column in columns:
            entry = column.loc[width] if width in column.index else None
            row.append("" if entry is None else f"{_short(entry['value'])} {_between(entry['low'], entry['high'])}")
        rows.append(row)
    print(f"\n{title}: value [95 % over seeds]\n")
    print_table(["width", *(name for name, _ in columns)], rows)


def _print_exponents(exponents: pd.DataFrame) -> None:
    print("\nExponents in the width\n")
    rows = []
    for row in exponents.to_dict("records"):
        words = [row["quantity"], _PRECISION_IN_SHORT[row["precision"]], row["scale"] * (row["scale"] == "absmean")]
        name = " ".join(word for word in words if word)
        if not row["warranted"]:
            rows.append([name, row["form"], "-", "", "", "", row["note"]])
            continue
        floor = f"{_short(row['floor'])} {_between(row['floor_low'], row['floor_high'])}" if row["floor"] else ""
        span = f"{_short(row['smallest'])}..{_short(row['largest'])}, {row['widths']} widths"
        interval = _between(row["exponent_low"], row["exponent_high"], digits=3)
        rows.append([name, row["form"], f"{row['exponent']:.3f}", interval, floor, span, row["note"]])
    print_table(["quantity", "law", "p", "95 %", "c [95 %]", "over", "remark"], rows)


def _print_csv(found: Overview, notes: list[str]) -> None:
    values = found.values().assign(kind="value")
    exponents = found.exponents()
    if len(exponents):
        exponents = exponents.rename(
            columns={"exponent": "value", "exponent_low": "low", "exponent_high": "high", "form": "law"}
        ).assign(kind="exponent")
    columns = ["kind", "quantity", *SETTINGS, "width", "law", "value", "low", "high", "seeds"]
    columns += ["floor", "floor_low", "floor_high", "bend", "bend_low", "bend_high", "warranted", "note"]
    pd.concat([values, exponents], ignore_index=True).reindex(columns=columns).to_csv(sys.stdout, index=False)
    for note in notes:
        say(note)


def _print_json(run: Run, found: Overview, notes: list[str], states: CellStates) -> None:
    document = {
        "run": str(run.folder),
        "spec": run.spec.as_dict(),
        "cells": {"asked": len(states.of), "finished": len(run.about)},
        "lacking": {name: states.counts[name] for name in ("diverged", "failed", "unfinished")}
        | {"unreadable": len(run.problems)},
        "notes": notes,
        "values": records(found.values()),
        "exponents": records(found.exponents()),
        "width_needed": [
            {"settings": needed.settings, "table": records(needed.table), "notes": list(needed.notes)}
            for needed in found.needed
        ],
        "left_out": [
            {"quantity": one.quantity, "settings": one.settings, "notes": list(one.notes)}
            for one in found.quantities
            if one.notes
        ],
    }
    json.dump(document, sys.stdout, indent=1, allow_nan=False)
    print()


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as plain values for JSON; NaN becomes null."""
    return json.loads(table.to_json(orient="records", double_precision=15) or "[]")


def _of_group(exponents: pd.DataFrame, settings: dict[str, Any]) -> pd.DataFrame:
    keep = np.ones(len(exponents), dtype=bool)
    for name, value in settings.items():
        keep &= (exponents[name] == value).to_numpy()
    return exponents.loc[keep]


def _short(value: float) -> str:
    return "-" if not np.isfinite(value) else f"{value:.3g}" if abs(value) < 1e4 else f"{value:.0f}"


def _between(low: float, high: float, digits: int | None = None) -> str:
    if not np.isfinite(low):
        return "[?]"
    if digits is not None:
        return f"[{low:.{digits}f}, {high:.{digits}f}]"
    return f"[{_short(low)}, {_short(high)}]"


def _listed(seeds: tuple[int, ...]) -> str:
    return (
        f"0..{len(seeds) - 1}" if len(seeds) > 2 and seeds == tuple(range(len(seeds))) else ", ".join(map(str, seeds))
    )
