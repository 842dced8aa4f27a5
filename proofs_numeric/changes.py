"""What judging anew changed: `python -m proofs_numeric.changes OLD NEW` compares two folders of verdicts.

The table goes to changes.csv beside the verdicts of NEW; the page shows it. Both verdicts may come from networks that
were trained anew: then the last digits differ for that reason too.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ntk1bit.claims.criteria import number
from ntk1bit.claims.results import ClaimEntry, CountEntry, EstimateEntry, NumberEntry, Results, read_results
from ntk1bit.errors import InputError
from ntk1bit.files import write_whole

FILE = "changes.csv"
_COLUMNS = ("claim", "what", "before", "now")
_NOT_MADE = "not measured"


def changes(before: Results, now: Results) -> pd.DataFrame:
    """Return a row for each verdict, finding and interval that differs in the digits that the page prints.

    Parameters
    ----------
    before, now
        Verdicts of the same claims.

    Returns
    -------
    Columns claim, what, before, now, as text; a claim's verdict first, then its findings, then its measures.
    """
    rows = []
    old = {entry.id: entry for entry in before.claims}
    for entry in now.claims:
        if entry.id not in old:
            continue
        one, other = _shown(old[entry.id]), _shown(entry)
        for name in [*other, *(name for name in one if name not in other)]:
            pair = (one.get(name, _NOT_MADE), other.get(name, _NOT_MADE))
            if pair[0] != pair[1]:
                rows.append((entry.id, name, *pair))
    return pd.DataFrame(rows, columns=pd.Index(_COLUMNS))


def _shown(entry: ClaimEntry) -> dict[str, str]:
    """Return what the page prints of a claim, by what it is."""
    shown = {"verdict": entry.outcome}
    for kind, findings in (("rule", entry.findings), ("context", entry.context)):
        for finding in findings:
            shown[f"{kind} on {finding.measure}"] = finding.outcome
    for measure in entry.measures:
        if not isinstance(measure, NumberEntry):
            shown[f"{measure.id} ({measure.label})"] = numbers(measure)
    return shown


def numbers(measure: EstimateEntry | CountEntry | NumberEntry) -> str:
    """Write the numbers of a measure as the page prints them."""
    if isinstance(measure, NumberEntry):
        return number_or_none(measure.value)
    if isinstance(measure, CountEntry):
        return f"{measure.failures:,} of {measure.trials:,}"
    value, low, high = (number_or_none(one) for one in (measure.value, measure.low, measure.high))
    return f"{value} [{low}, {high}]"


def number_or_none(value: float | None) -> str:
    """Write a number, or say that there is none."""
    return "none" if value is None or not math.isfinite(value) else number(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m proofs_numeric.changes", description=__doc__)
    parser.add_argument("old", type=Path, help="folder of the earlier verdicts.json")
    parser.add_argument("new", type=Path, help="folder of the later one")
    given = parser.parse_args(arguments)
    try:
        table = changes(read_results(given.old), read_results(given.new))
    except InputError as problem:
        print(f"proofs_numeric.changes: {problem}", file=sys.stderr)
        return 2
    write_whole(given.new / FILE, table.to_csv(index=False, lineterminator="\n").encode())
    print(f"{given.new / FILE}: {len(table)} changes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
