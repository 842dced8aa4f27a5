"""All verdicts at one glance."""

from __future__ import annotations

import re
from collections import Counter
from textwrap import shorten
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ntk1bit.claims import STANDINGS
from ntk1bit.claims.results import ClaimEntry, Results, worst_first
from ntk1bit.claims.standing import AT_THESE_SIZES, outcome_of
from ntk1bit.plots.figures import PAGE
from ntk1bit.plots.layout import PLAIN, Sheet
from ntk1bit.plots.looks import BLUE, GREY, ORANGE, Look, literal, points
from ntk1bit.plots.palettes import Colours, read_palette
from ntk1bit.plots.recipes.recipe import TEXTS

_MARKS: dict[str, Look] = {  # in the colour of the outcome
    "refuted": Look(ORANGE, "X"),
    "inconclusive": Look(GREY, "D", hollow=True),
    "assumptions unmet": Look(BLUE, "^", hollow=True),
    "vacuous here": Look(BLUE, "v", hollow=True),
    "holds, not sharp": Look(BLUE, "o", hollow=True),
    "identity": Look(BLUE, "s"),
    "supported": Look(BLUE, "o"),
}
_HERE = "*"  # after the title of a claim whose verdict is one at these sizes
_SOURCES = ("D25", "W23")
_ROW = 0.165  # inches
_LONGEST = 52  # letters of a title


def draw_verdicts(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw a row for each claim: those of D25 in one column, W23's and ours in the other."""
    counts = Counter(claim.standing for claim in results.claims)
    there = [standing for standing in reversed(STANDINGS) if counts[standing]]
    summary = ", ".join(f"{counts[standing]} {standing}".replace(", ", " but ") for standing in there)
    groups = {f"claims of {source}": [c for c in results.claims if c.source.startswith(source)] for source in _SOURCES}
    groups["claims of our own"] = [claim for claim in results.claims if not claim.source.startswith(_SOURCES)]
    first, *others = ((heading, members) for heading, members in groups.items() if members)
    beside = (len(first[1]) + 1, sum(len(members) + 2 for _, members in others) - 1)
    rows = max(*beside, min(beside) + len(there) + 2)  # the legend stands below the shorter column
    title, size = f"{len(results.claims)} claims tested by numbers: {summary}", (PAGE, 0.4 + _ROW * rows)
    figure, axes = sheet.figure(TEXTS["verdicts"]["panels"], size, title, row_height=_ROW * (rows + 1))
    for ax, chosen in ((axes["D25"], [first]), (axes["others"], others)):
        ax.set(xlim=(0, 1), ylim=(rows - 0.5, -0.5))
        ax.set_axis_off()
        row = 0
        for heading, members in chosen:
            plot_verdicts(members, ax=ax, heading=heading, first=row, palette=sheet.palette)
            row += len(members) + 2
    labels: list[str] = list(there)
    handles = [Line2D([], [], linestyle="none", **_mark(standing, sheet.palette)) for standing in there]
    if any(claim.here for claim in results.claims):
        handles.append(Line2D([], [], linestyle="none", marker=f"${_HERE}$", color="black", markersize=points(4)))
        labels.append(AT_THESE_SIZES)
    below = axes["D25" if beside[0] <= beside[1] else "others"]
    below.legend(handles, labels, loc="lower left", fontsize=points(6.8), handletextpad=0.3)
    return figure


def plot_verdicts(claims: list[ClaimEntry], *, ax: Axes, heading: str, first: int = 0, palette: Colours = None) -> Axes:
    """Draw claims as rows from `first` on, refuted ones first: a mark for the outcome, the id, and the title."""
    titles = 0.06 + 0.0165 * max(len(claim.id) for claim in claims)

    def write(x: float, row: int, text: str, *, fontsize: float = 6.2, **how: Any) -> None:
        ax.text(x, row, text, va="center", fontsize=points(fontsize), **how).set_in_layout(False)

    write(0.0, first, heading, fontsize=7.5, style="italic", color=GREY)
    for row, claim in enumerate(worst_first(claims), start=first + 1):
        ax.plot([0.014], [row], **_mark(claim.standing, palette))
        write(0.045, row, literal(claim.id), fontweight="bold", color="black")
        title = shorten(claim.title, _LONGEST, placeholder=" ...") + _HERE * claim.here
        write(titles, row, as_formulas(literal(title, letters=_LONGEST + 1)), color="black")
    return ax


def as_formulas(text: str) -> str:
    """Write the powers and symbols of a claim's title as formulas."""
    text = re.sub(r"n\^2 kappa\^2/\(m d\)", r"$n^2\\kappa^2/(m\\,d)$", text)
    text = re.sub(r"(?<!\$)\b([mnd])\^(-?[\d/]+)", r"$\1^{\2}$", text)
    text = re.sub(r"\bK_eff\b", r"$K_{\\mathrm{eff}}$", text)
    return re.sub(r"\beta\b", r"$\\eta$", text)


def _mark(standing: str, palette: Colours) -> dict[str, Any]:
    look = read_palette(palette).look(outcome_of(standing), _MARKS[standing])
    return {"color": look.colour, "marker": look.marker, "markerfacecolor": look.face, "markersize": points(5.5)}
