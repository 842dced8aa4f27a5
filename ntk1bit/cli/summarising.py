"""What `ntk1bit summary` shows: aligned tables for people, CSV and JSON for programs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ntk1bit.cli import deep_runs
from ntk1bit.cli.progress import progress_bar
from ntk1bit.cli.tables import print_table, say
from ntk1bit.estimators import Overview, overview
from ntk1bit.estimators.captions import group_caption
from ntk1bit.estimators.columns import ONLY_ACTIVITY, SETTINGS
from ntk1bit.estimators.run_overview import COLUMNS
from ntk1bit.experiments import Run, SweepSpec
from ntk1bit.experiments.deep_spec import DeepScalingSpec, DeepSimilaritySpec
from ntk1bit.printing import NO_INTERVAL, NOTHING, interval, number, plain, unheard

_PRECISION_IN_SHORT = {"one_bit": "1-bit", "full": "full", "one_bit - full": ""}
_TABLES = {
    "Convergence": ("loss", "floor", "rate"),
    "Steps until the loss is a share of its start": ("steps to 0.1", "steps to 0.01", "steps to 0.001"),
    "Kernel and weights": ("drift", "lambda ratio", "radius R", "flips", "changed"),
    "Training outputs against the predictions of fixed kernels": ("from H", "from K_eff"),
    "Outputs on test inputs": ("gap (start)", "gap (end)", "gap (largest)", "spread"),
}
_NO_VALUE = {  # why a quantity that begins so may have no value at some width
    "rate": "the loss of some seed does not fall to a tenth of its start",
    "steps to": "the loss of some seed does not get there within the steps that were run",
    "from ": "no step was recorded while the loss falls to a tenth of its start",
    "spread": "a spread needs two seeds",
    "floor": "the loss of some seed is still falling",
}
_WITHIN = ("precision", "scale", "activity")  # settings that share a table, a column each
_GROUP = tuple(name for name in SETTINGS if name not in _WITHIN)


def show(run: Run, *, as_csv: bool, as_json: bool, with_settings: bool) -> None:
    """Print what a run shows in the form asked for."""
    if not isinstance(run.spec, SweepSpec):
        _show_frame(run, as_csv=as_csv, as_json=as_json, with_settings=with_settings)
        return
    with progress_bar() as bar:
        report = bar or unheard
        report("reading the run", 0.0)
        frame = run.frame(COLUMNS)
        report("estimating", 0.5)
        found = overview(frame)
    notes = [*run.left_out, *found.notes]
    if as_json:
        _print_json(run, found, notes)
    elif as_csv:
        _print_csv(found, notes)
    else:
        _print_head(run, f"{run.spec.steps} steps, seeds {_listed(run.spec.seeds)}", notes, with_settings)
        _print_tables(found)


def _show_frame(run: Run, *, as_csv: bool, as_json: bool, with_settings: bool) -> None:
    """Print the results of a run that has no tables of its own: each column over all rows, or all rows."""
    frame = run.frame()
    if as_csv:
        frame.to_csv(sys.stdout, index=False)
        say(*run.left_out)
    elif as_json:
        print(json.dumps(_head(run, run.left_out) | {"results": records(frame)}, indent=1, allow_nan=False))
    else:
        _print_head(run, f"{len(frame)} rows", run.left_out, with_settings)
        if isinstance(run.spec, DeepScalingSpec | DeepSimilaritySpec) and run.complete and len(run.about):
            print()
            deep_runs.print_tables(run)
            return
        numbers = frame.select_dtypes("number")
        spans = {name: (column.min(), column.median(), column.max()) for name, column in numbers.items()}
        rows = [[name, *(number(float(value)) for value in span)] for name, span in spans.items()]
        print()
        print_table(["column", "least", "median", "largest"], rows)


def _print_head(run: Run, size: str, notes: list[str], with_settings: bool) -> None:
    print(plain(f"{run.folder}: {len(run.about)} of {len(run.states)} cells, {size}"))
    if with_settings:
        print()
        print_table(["setting", "value"], [[name, value] for name, value in run.spec.summary.items()])
    for note in notes:
        print(plain(f"note: {note}"))


def _head(run: Run, notes: list[str]) -> dict[str, Any]:
    """Return what the JSON of every kind of run begins with."""
    return {
        "run": str(run.folder),
        "spec": run.spec.summary,
        "cells": {"asked": len(run.states), "finished": len(run.about)},
        "lacking": {name: run.counts[name] for name in ("diverged", "failed", "unfinished")}
        | {"unreadable": len(run.problems)},
        "notes": notes,
    }


def _print_tables(found: Overview) -> None:
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
                print(f"\nWidth needed for a loss, {_side(needed.settings)}\n")
                entries = needed.table.to_dict("records")
                rows = [[number(r["loss"]), number(r["width"]), interval(r["low"], r["high"])] for r in entries]
                print_table(["loss", "width", "95 %"], rows)
                if needed.table[["low", "high"]].isna().to_numpy().any():
                    print(f"{NOTHING} in an interval, {NO_INTERVAL}: that end lies beyond the widths that were run")
    print("\nWhat they mean")
    meanings = {one.quantity: one.meaning for one in found.quantities}
    print_table(["quantity", "meaning"], list(meanings.items()))
    print()
    for one in found.quantities:
        for note in one.notes:
            side = _side(one.settings)
            print(f"note: {one.quantity} {side}{' ' if side else ''}({one.settings['init']}): {note}")


def _print_against_width(title: str, quantities: Sequence[str], group: pd.DataFrame) -> None:
    part = group.loc[group["quantity"].isin(quantities)]
    columns = []
    for quantity in quantities:
        of_quantity = part.loc[part["quantity"] == quantity]
        names = list(_WITHIN)
        for _, first in of_quantity.drop_duplicates(names).sort_values(names, ascending=False).iterrows():
            column = of_quantity.loc[(of_quantity[names] == first[names]).all(axis=1)]
            columns.append((" ".join(filter(None, (quantity, _side(first)))), column.set_index("width")))
    if not columns:
        return
    rows = []
    for width in sorted(set(part["width"])):
        row: list[str] = [str(width)]
        for _, column in columns:
            entry = column.loc[width] if width in column.index else None
            row.append("" if entry is None else _estimate(entry))
        rows.append(row)
    print(f"\n{title}: value [95 % over seeds]\n")
    print_table(["width", *(name for name, _ in columns)], rows)
    _explain_gaps(part)


def _estimate(entry: pd.Series) -> str:
    value, low, high = entry.reindex(["value", "low", "high"]).to_numpy(dtype=np.float64).tolist()
    return number(value) if math.isnan(value) else f"{number(value)} {interval(low, high)}"


def _explain_gaps(part: pd.DataFrame) -> None:
    """Say under a table why a value, or an interval, is missing from it."""
    missing = part["value"].isna()
    reasons = dict[str, list[str]]()
    for quantity in dict.fromkeys(part.loc[missing, "quantity"]):
        why = next((words for begin, words in _NO_VALUE.items() if quantity.startswith(begin)), "it was not recorded")
        reasons.setdefault(why, []).append(quantity)
    for why, quantities in reasons.items():
        print(f"{NOTHING} no value ({', '.join(quantities)}): {why}")
    without = part.loc[~missing & part["low"].isna() & part["high"].isna()]
    if len(without):
        few = "too few seeds: without one of them no value above 0 is left"
        why = "one seed; two or more give one" if (without["seeds"] < 2).to_numpy().all() else few
        print(f"{NO_INTERVAL} no interval: {why}")


def _print_exponents(exponents: pd.DataFrame) -> None:
    print("\nExponents in the width\n")
    rows = []
    for row in exponents.to_dict("records"):
        name = " ".join(filter(None, (row["quantity"], _side(row))))
        if not row["warranted"]:
            rows.append([name, row["form"], "-", "", "", "", row["note"]])
            continue
        floored = row["form"].startswith("c")
        floor = f"{number(row['floor'])} {interval(row['floor_low'], row['floor_high'])}" if floored else ""
        span = f"{number(row['smallest'])}..{number(row['largest'])}, {row['widths']} widths"
        ends = _fixed(row["exponent_low"], row["exponent_high"])
        rows.append([name, row["form"], f"{row['exponent']:.3f}", ends, floor, span, row["note"]])
    print_table(["quantity", "law", "p", "95 %", "c [95 %]", "over", "remark"], rows)
    if any(NO_INTERVAL in row[3:5] for row in rows):
        print(f"{NO_INTERVAL} no interval: one seed at some width; two or more give one")


def _side(settings: Mapping[str, Any]) -> str:
    """Name the precision, and scale and activity where they are not the usual ones."""
    scale, activity = settings["scale"], settings.get("activity", ONLY_ACTIVITY)
    words = (
        _PRECISION_IN_SHORT[settings["precision"]],
        "" if scale in ("none", "std") else scale,
        "" if activity == ONLY_ACTIVITY else activity,
    )
    return " ".join(filter(None, words))


def _fixed(low: float, high: float) -> str:
    """Write the interval of an exponent, whose decimals stand below each other."""
    return NO_INTERVAL if math.isnan(low) else f"[{low:.3f}, {high:.3f}]"


def _print_csv(found: Overview, notes: list[str]) -> None:
    values = found.values().assign(kind="value")
    exponents = found.exponents()
    if len(exponents):
        exponents = exponents.rename(
            columns={"exponent": "value", "exponent_low": "low", "exponent_high": "high", "form": "law"}
        ).assign(kind="exponent")
    columns = ["kind", "quantity", *SETTINGS, "width", "law", "value", "low", "high", "seeds"]
    columns += ["floor", "floor_low", "floor_high", "curvature", "curvature_low", "curvature_high", "warranted", "note"]
    pd.concat([values, exponents], ignore_index=True).reindex(columns=columns).to_csv(sys.stdout, index=False)
    say(*notes)


def _print_json(run: Run, found: Overview, notes: list[str]) -> None:
    document = _head(run, notes) | {
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


def _listed(seeds: tuple[int, ...]) -> str:
    return (
        f"0..{len(seeds) - 1}" if len(seeds) > 2 and seeds == tuple(range(len(seeds))) else ", ".join(map(str, seeds))
    )
