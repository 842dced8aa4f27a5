"""What `ntk1bit measures` shows: the table of measures, the moments of training, the kinds of criteria."""

from __future__ import annotations

import csv
import json
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import MISSING, fields

from ntk1bit.claims.run_criteria import KINDS
from ntk1bit.cli.tables import print_table
from ntk1bit.estimators.columns import SETTINGS
from ntk1bit.estimators.measured import MEASURES
from ntk1bit.estimators.moments import MOMENTS

_WIDEST = 100  # columns of every table
_SWEEPS = {"": "every sweep", "--n-test": "a sweep with test inputs, which is the default (--n-test)"}


def show(*, as_csv: bool, as_json: bool) -> None:
    """Print the tables in the form asked for."""
    every = [one.as_dict() for one in MEASURES.values()]
    if as_json:
        print(json.dumps({"measures": every, "moments": MOMENTS, "criteria": _kinds()}, indent=1))
        return
    if as_csv:
        writer = csv.DictWriter(sys.stdout, list(every[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(every)
        return
    rows = []
    for option in dict.fromkeys(one.option for one in MEASURES.values()):
        rows += [["", f"-- of {_SWEEPS.get(option, f'a sweep with {option}')} --", "", ""]]
        rows += [
            [one.name, one.meaning, "*" if one.every_step else "", one.source]
            for one in MEASURES.values()
            if one.option == option
        ]
    _print_wrapped(["measure", "meaning", "*", "source"], rows)
    print("\n* at every step; the others at the recorded ones, which --checkpoints of the sweep makes more of")
    print("  one number per network; gap: per pair of networks of both precisions with the same seed\n")
    _print_wrapped(["at", "when in training"], [[name, what] for name, what in MOMENTS.items()])
    print()
    _print_wrapped(["kind", "settings"], [[name, ", ".join(settings)] for name, settings in _kinds().items()])
    print(f"\nwhere, of, over: tables of {', '.join(SETTINGS)}")
    print("An example of a claim file, and all of these in words: docs/claims.md")


def _kinds() -> dict[str, list[str]]:
    """Return the settings of each kind of criterion, those that must be given first."""
    return {
        name: sorted(
            (one.name for one in fields(kind)),
            key=lambda setting, kind=kind: _optional(kind, setting),
        )
        for name, kind in KINDS.items()
    }


def _optional(kind: type, setting: str) -> bool:
    found = next(one for one in fields(kind) if one.name == setting)
    return not (found.default is MISSING and found.default_factory is MISSING)


def _print_wrapped(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose second column is wrapped so that no line is wider than the page."""
    taken = sum(max(len(name), *(len(row[i]) for row in rows)) + 2 for i, name in enumerate(head) if i != 1)
    shown: list[list[str]] = []
    for row in rows:
        lines = textwrap.wrap(row[1], _WIDEST - taken, break_on_hyphens=False) or [""]
        shown.append([row[0], lines[0], *row[2:]])
        shown += [["", line, *([""] * len(row[2:]))] for line in lines[1:]]
    print_table(head, shown)
