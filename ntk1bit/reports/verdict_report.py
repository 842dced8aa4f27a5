"""The page of a verification: which claims fell, which stand, and the numbers that decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from markupsafe import Markup, escape

from ntk1bit.claims import OUTCOMES, STANDINGS
from ntk1bit.claims.results import (
    ClaimEntry,
    CountEntry,
    EstimateEntry,
    NumberEntry,
    Results,
    StudyEntry,
    read_results,
    worst_first,
)
from ntk1bit.claims.verification import OWN
from ntk1bit.errors import InputError
from ntk1bit.plots.claims import claim_figures
from ntk1bit.plots.recipes import Drawn, draw
from ntk1bit.reports.figures import data_uri
from ntk1bit.reports.formats import anchor, duration, estimate, formula, number
from ntk1bit.reports.page import render

_SIGNS = {
    "refuted": "✕",
    "inconclusive": "?",
    "assumptions unmet": "△",
    "vacuous here": "▽",
    "holds, not sharp": "○",
    "identity": "≡",
    "supported": "✓",
}
_MACHINE = {"processor": "Processor", "cores": "Processors used", "memory_gb": "Memory, GB"}


def figures_of(results: Results) -> Sequence[Drawn]:
    """Draw the figures of a verification: those of the documents, or a panel for each criterion of a claim file."""
    return claim_figures(results) if results.preset == OWN else draw(results)


def verdict_page(folder: Path | str, *, draw: Callable[[Results], Sequence[Drawn]] = figures_of) -> str:
    """Return the page of a verification.

    Parameters
    ----------
    folder
        Where `ntk1bit verify` wrote.
    draw
        Draws its figures.

    Raises
    ------
    InputError
        If verdicts.json is missing or damaged.
    """
    folder = Path(folder)
    results = read_results(folder)
    remark = ""
    try:
        drawn = draw(results)
        if not drawn:
            remark = "There are no figures for these claims."
    except InputError as problem:  # the page is still worth having
        drawn, remark = [], f"Figures are left out: {problem}."
    ids = {claim.id for claim in results.claims}
    figures = [
        {
            "name": figure.name,
            "caption": figure.caption,
            "claims": figure.claims,
            "source": data_uri(figure.figure),
            "home": next((name for name in figure.claims if name in ids), None),  # the claim whose section shows it
        }
        for figure in drawn
    ]
    preset = "claim files" if results.preset == OWN else f"preset {results.preset}"
    count = len(results.claims)
    title = f"Verdict{'s' * (count != 1)} on {count} claim{'s' * (count != 1)}"
    order, counts = list(STANDINGS), Counter(claim.standing for claim in results.claims)
    return render(
        "verdicts.html",
        title=f"{title} ({preset.removeprefix('preset ')})",
        own=results.preset == OWN,
        heading=f"{title} about 1-bit networks",
        results=results,
        claims=worst_first(results.claims),
        byline=[
            preset,
            f"{len(results.studies)} stud{'ies' if len(results.studies) != 1 else 'y'}",
            results.made,
            str(results.machine.get("processor", "")),
        ],
        order=[one for one in order if counts[one] or one in OUTCOMES],
        counts=counts,
        meanings=STANDINGS,
        signs=_SIGNS,
        slugs={one: one.replace(",", "").replace(" ", "-") for one in order},  # names of classes
        figures=figures,
        remark=remark,
        measures=lambda claim: _measures(claim, results.studies),
        circumstances=_circumstances(results),
    )


def _measures(claim: ClaimEntry, studies: Mapping[str, StudyEntry]) -> list[list[object]]:
    """Return a row for each measure: what it is, value, seeds, range, study and, where any has one, a note."""
    rows = [_measure(measure, studies) for measure in claim.measures]
    return rows if any(row[-1] for row in rows) else [row[:-1] for row in rows]


def _measure(measure: EstimateEntry | CountEntry | NumberEntry, studies: Mapping[str, StudyEntry]) -> list[object]:
    what = formula(measure.label)
    if measure.meaning:
        what += Markup('<span class="meaning">{}</span>').format(formula(measure.meaning))
    seeds: object = ""
    if isinstance(measure, EstimateEntry):
        value, seeds = estimate(measure.value, measure.low, measure.high), measure.seeds
    elif isinstance(measure, CountEntry):
        value = escape(f"{measure.failures:,} failures of {measure.trials:,}")
    else:
        value = escape(number(measure.value))
    study = escape(measure.study)
    if measure.study in studies:
        study = Markup('<a href="#{}">{}</a>').format(anchor("study", measure.study), measure.study)
    note = "" if isinstance(measure, NumberEntry) else measure.note
    return [what, value, seeds, formula(measure.span), study, formula(note)]


def _circumstances(results: Results) -> list[tuple[str, str]]:
    machine = [
        (_MACHINE.get(name, name), value if isinstance(value, str) else number(value))
        for name, value in results.machine.items()
    ]
    return [("Made", results.made), ("Time of one processor", duration(results.seconds)), *machine]
