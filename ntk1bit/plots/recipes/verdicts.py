"""All verdicts at one glance."""

from __future__ import annotations

import re
from textwrap import shorten
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ntk1bit.claims import NOT_TESTED
from ntk1bit.claims.verdict_file import ORDER
from ntk1bit.plots.looks import BLUE, GREY, ORANGE, literal
from ntk1bit.plots.recipes.axes import Look
from ntk1bit.plots.recipes.canvas import PAGE, new_figure
from ntk1bit.plots.recipes.recipe import Results
from proofs_numeric.catalogue import proofs

_MARKS = {
    "refuted": Look(ORANGE, "X"),
    "inconclusive": Look(GREY, "D", hollow=True),
    "supported": Look(BLUE, "o"),
    NOT_TESTED: Look("#b0b0b0", "_"),
}
_ROW = 0.165  # inches
_LONGEST = 52  # letters of a title


def draw_verdicts(results: Results) -> Figure:
    """Draw a row a claim: those of D25 in one column; W23's, ours, and what is not tested yet, in the other."""
    entries = results.document["claims"]
    counts = {outcome: sum(entry["outcome"] == outcome for entry in entries) for outcome in ORDER}
    tested = [entry for entry in entries if entry["outcome"] != NOT_TESTED]
    told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in reversed(ORDER) if outcome != NOT_TESTED)
    waiting = f"; {counts[NOT_TESTED]} more not tested yet" if counts[NOT_TESTED] else ""
    groups = {
        "claims of D25": [entry for entry in tested if entry["source"].startswith("D25")],
        "claims of W23": [entry for entry in tested if entry["source"].startswith("W23")],
        "claims of our own": [entry for entry in tested if not entry["source"].startswith(("D25", "W23"))],
        "not tested yet": [entry for entry in entries if entry["outcome"] == NOT_TESTED],
    }
    first, *others = ((heading, members) for heading, members in groups.items() if members)
    rows = max(len(first[1]) + 1, sum(len(members) + 2 for _, members in others) - 1)
    figure = new_figure(PAGE, 0.4 + _ROW * rows, f"{len(tested)} claims tested by numbers: {told}{waiting}")
    left, right = figure.subplots(1, 2)
    for ax, chosen in ((left, [first]), (right, others)):
        ax.set(xlim=(0, 1), ylim=(rows - 0.5, -0.5))
        ax.set_axis_off()
        row = 0
        for heading, members in chosen:
            plot_verdicts(members, ax=ax, heading=heading, first=row)
            row += len(members) + 2
    shown = [outcome for outcome in ORDER if counts[outcome]]
    handles = [
        Line2D(
            [], [], color=look.colour, marker=look.marker, markerfacecolor=look.face, linestyle="none", markersize=5.5
        )
        for look in (_MARKS[outcome] for outcome in shown)
    ]
    right.legend(handles, shown, loc="lower right", fontsize=6.8, handletextpad=0.3)
    return figure


def plot_verdicts(entries: list[dict[str, Any]], *, ax: Axes, heading: str, first: int = 0) -> Axes:
    """Draw claims as rows from `first` on: a mark for the outcome, the id, and the title."""
    place = {name: k for k, name in enumerate(proofs())}
    order = sorted(entries, key=lambda e: (ORDER.index(e["outcome"]), place.get(e["id"], len(place))))

    titles = 0.07 + 0.0165 * max(len(entry["id"]) for entry in order)

    def write(x: float, row: int, text: str, *, fontsize: float = 6.2, **how: Any) -> None:
        ax.text(x, row, text, va="center", fontsize=fontsize, **how).set_in_layout(False)

    write(0.0, first, heading, fontsize=7.5, style="italic", color=GREY)
    for row, entry in enumerate(order, start=first + 1):
        look = _MARKS[entry["outcome"]]
        faint = entry["outcome"] == NOT_TESTED
        ax.plot([0.014], [row], color=look.colour, marker=look.marker, markerfacecolor=look.face, markersize=5.5)
        write(0.045, row, literal(entry["id"]), fontweight="bold", color=GREY if faint else "black")
        write(
            titles,
            row,
            as_formulas(literal(shorten(entry["title"], _LONGEST, placeholder=" ..."), letters=_LONGEST)),
            color=GREY if faint else "black",
        )
    return ax


def as_formulas(text: str) -> str:
    """Write the powers and symbols of a claim's title as formulas."""
    text = re.sub(r"n\^2 kappa\^2/\(m d\)", r"$n^2\\kappa^2/(m\\,d)$", text)
    text = re.sub(r"(?<!\$)\b([mnd])\^(-?[\d/]+)", r"$\1^{\2}$", text)
    text = re.sub(r"\bK_eff\b", r"$K_{\\mathrm{eff}}$", text)
    return re.sub(r"\beta\b", r"$\\eta$", text)
