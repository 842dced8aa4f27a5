"""All verdicts at one glance."""

from __future__ import annotations

import re
from textwrap import shorten
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ntk1bit.claims import OUTCOMES
from ntk1bit.plots.looks import BLUE, GREY, ORANGE, literal
from ntk1bit.plots.recipes.axes import Look
from ntk1bit.plots.recipes.canvas import PAGE, new_figure
from ntk1bit.plots.recipes.recipe import Results
from proofs_numeric.catalogue import MODULES

_MARKS = {
    "refuted": Look(ORANGE, "X"),
    "inconclusive": Look(GREY, "D", hollow=True),
    "supported": Look(BLUE, "o"),
}
_ROW = 0.165  # inches
_LONGEST = 52  # letters of a title


def draw_verdicts(results: Results) -> Figure:
    """Draw a row per claim: those of D25 in one column, W23's and ours in the other."""
    entries = results.document["claims"]
    counts = {outcome: sum(entry["outcome"] == outcome for entry in entries) for outcome in OUTCOMES}
    told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in reversed(OUTCOMES))
    groups = {
        "claims of D25": [entry for entry in entries if entry["source"].startswith("D25")],
        "claims of W23": [entry for entry in entries if entry["source"].startswith("W23")],
        "claims of our own": [entry for entry in entries if not entry["source"].startswith(("D25", "W23"))],
    }
    first, *others = ((heading, members) for heading, members in groups.items() if members)
    rows = max(len(first[1]) + 1, sum(len(members) + 2 for _, members in others) - 1)
    figure = new_figure(PAGE, 0.4 + _ROW * rows, f"{len(entries)} claims tested by numbers: {told}")
    left, right = figure.subplots(1, 2)
    for ax, chosen in ((left, [first]), (right, others)):
        ax.set(xlim=(0, 1), ylim=(rows - 0.5, -0.5))
        ax.set_axis_off()
        row = 0
        for heading, members in chosen:
            plot_verdicts(members, ax=ax, heading=heading, first=row)
            row += len(members) + 2
    shown = [outcome for outcome in OUTCOMES if counts[outcome]]
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
    place = {name: k for k, name in enumerate(MODULES)}
    order = sorted(entries, key=lambda e: (OUTCOMES.index(e["outcome"]), place.get(e["id"], len(place))))

    titles = 0.07 + 0.0165 * max(len(entry["id"]) for entry in order)

    def write(x: float, row: int, text: str, *, fontsize: float = 6.2, **how: Any) -> None:
        ax.text(x, row, text, va="center", fontsize=fontsize, **how).set_in_layout(False)

    write(0.0, first, heading, fontsize=7.5, style="italic", color=GREY)
    for row, entry in enumerate(order, start=first + 1):
        look = _MARKS[entry["outcome"]]
        ax.plot([0.014], [row], color=look.colour, marker=look.marker, markerfacecolor=look.face, markersize=5.5)
        write(0.045, row, literal(entry["id"]), fontweight="bold")
        write(
            titles,
            row,
            as_formulas(literal(shorten(entry["title"], _LONGEST, placeholder=" ..."), letters=_LONGEST)),
        )
    return ax


def as_formulas(text: str) -> str:
    """Write the powers and symbols of a claim's title as formulas."""
    text = re.sub(r"n\^2 kappa\^2/\(m d\)", r"$n^2\\kappa^2/(m\\,d)$", text)
    text = re.sub(r"(?<!\$)\b([mnd])\^(-?[\d/]+)", r"$\1^{\2}$", text)
    text = re.sub(r"\bK_eff\b", r"$K_{\\mathrm{eff}}$", text)
    return re.sub(r"\beta\b", r"$\\eta$", text)
