"""The figure of all verdicts."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.evidence import Evidences
from ntk1bit.styles import BLUE, GREEN, GREY, ORANGE

_MARKS = {
    "refuted": ("X", ORANGE),
    "inconclusive": ("o", GREY),
    "supported": ("s", GREEN),
    "not yet tested": ("_", BLUE),
}


def verdicts(figure: Figure, evidence: Evidences) -> None:
    """Draw a row a claim: mark, verdict, id, what it says, where it is made."""
    ax = figure.subplots()
    ax.axis("off")
    entries = evidence.claims
    figure.set_figheight(0.19 * len(entries) + 0.45)
    for row, entry in enumerate(entries):
        y = -row
        marker, colour = _MARKS[entry["outcome"]]
        ax.plot(0.0, y, marker=marker, color=colour, markersize=6, linestyle="none", clip_on=False)
        weight = "bold" if entry["outcome"] == "refuted" else "normal"
        ax.text(0.025, y, entry["outcome"], va="center", fontsize=7, color=colour, weight="bold")
        ax.text(0.17, y, entry["id"], va="center", fontsize=7, weight=weight)
        ax.text(0.27, y, entry["title"], va="center", fontsize=7, weight=weight)
        ax.text(0.80, y, entry["source"].split(";")[0][:38], va="center", fontsize=7, color=GREY)
    ax.set(xlim=(-0.02, 1.06), ylim=(-len(entries) + 0.4, 0.8))
    told = {name: sum(entry["outcome"] == name for entry in entries) for name in _MARKS}
    counts = ", ".join(f"{count} {name}" for name, count in told.items() if count)
    ax.set_title(f"{len(entries)} claims about 1-bit networks ({evidence.preset} preset): {counts}", fontsize=8.5)
