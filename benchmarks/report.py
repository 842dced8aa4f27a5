"""Results as a table for the terminal, a CSV file and a figure."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from benchmarks.rounds import Result

_HEADER = (
    f"{'product':<22}{'n, d, m':>19} {'threads':>7} {'ours ms':>9} {'rival ms':>9} {'ratio':>7} {'quartiles':>13} "
)
_HEADER += f"{'goal':>5} {'bytes':>12}  fastest rival"
_COLOURS = {1: "#0072B2", 2: "#D55E00"}  # Okabe and Ito's blue and vermilion


def header() -> str:
    """Return the first line of the table."""
    return _HEADER


def row(result: Result) -> str:
    """Return one line of the table; a missed goal is marked."""
    missed = result.goal is not None and result.ratio < result.goal
    goal = "" if result.goal is None else f"{result.goal:.3g}"
    size = ", ".join(map(str, result.sizes))
    share = f"1/{result.rival_bytes / result.ours_bytes:.1f}"
    spread = f"{result.ratio_low:.2f}-{result.ratio_high:.2f}"
    return (
        f"{result.product:<22}{size:>19} {result.threads:>7} {result.ours_ms:>9.3f} {result.rival_ms:>9.3f} "
        f"{result.ratio:>7.2f} {spread:>13} {goal:>5} {share:>12}  {result.rival}{'  MISSED' if missed else ''}"
    )


def table(results: Sequence[Result]) -> str:
    """Return the whole table."""
    return "\n".join([header(), *map(row, results)])


def write_csv(results: Sequence[Result], path: Path, *, machine: str) -> None:
    """Write one line a result; `machine` (processor and BLAS kernels) is repeated in each."""
    with path.open("w", newline="") as file:
        writer = None
        for result in results:
            fields = asdict(result)
            n, d, m = fields.pop("sizes")
            fields = {"product": fields.pop("product"), "n": n, "d": d, "m": m, **fields, "machine": machine}
            if writer is None:
                writer = csv.DictWriter(file, fieldnames=list(fields))
                writer.writeheader()
            writer.writerow(fields)


def plot_ratios(results: Sequence[Result], *, ax: Axes) -> Axes:
    """Draw the ratio of every race, a row for each product and sizes, with its quartiles and goal.

    Parameters
    ----------
    results
        From `measure`.
    ax
        Where to draw; the horizontal axis becomes logarithmic.
    """
    rows = list(dict.fromkeys((result.product, result.sizes) for result in results))
    for threads in sorted({result.threads for result in results}):
        ours = [result for result in results if result.threads == threads]
        heights = [rows.index((result.product, result.sizes)) + 0.16 * (threads - 1.5) for result in ours]
        middles = [result.ratio for result in ours]
        spread = [
            [result.ratio - result.ratio_low for result in ours],
            [result.ratio_high - result.ratio for result in ours],
        ]
        marker = "o" if threads == 1 else "s"
        label = f"{threads} thread{'s' if threads > 1 else ''}"
        colour = _COLOURS.get(threads, "#009E73")
        ax.errorbar(middles, heights, xerr=spread, fmt=marker, color=colour, markersize=5, label=label)
    goals = {(result.product, result.sizes): result.goal for result in results if result.goal is not None}
    if goals:
        ax.plot(list(goals.values()), [rows.index(key) for key in goals], "k|", markersize=13, label="goal")
    ax.axvline(1, color="0.6", linewidth=1)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_yticks(range(len(rows)), [f"{product}  {sizes.n}, {sizes.d}, {sizes.m}" for product, sizes in rows])
    ax.invert_yaxis()
    ax.set_xlabel("time of the fastest rival / our time")
    ax.grid(axis="x", color="0.9")
    ax.legend(loc="lower right")
    return ax
