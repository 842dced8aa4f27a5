"""The page of a sweep: its figures, every quantity against width, the fitted laws, and what did not finish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ntk1bit.errors import InputError
from ntk1bit.estimators import AgainstWidth, Overview, overview
from ntk1bit.estimators.against_width import groups
from ntk1bit.estimators.convergence import WidthNeeded
from ntk1bit.estimators.overview import COLUMNS
from ntk1bit.experiments import Run, SweepSpec, TwoLayer, open_run
from ntk1bit.experiments.sweep import ORDER
from ntk1bit.files import read_toml
from ntk1bit.plots.looks import PRECISION_NAME
from ntk1bit.plots.sweep import group_title, overview_figure
from ntk1bit.reports.figures import embedded
from ntk1bit.reports.page import (
    LEVEL,
    SHORT_TABLE,
    Html,
    bullets,
    element,
    estimate,
    fold,
    formula,
    interval,
    join,
    link,
    number,
    page,
    pairs,
    section,
    table,
)

_STATES = ("finished", "diverged", "damaged", "failed", "unfinished")
_WITHIN = ("precision", "scale")  # settings that share a page's section; the others make a section of their own


def sweep_page(folder: Path) -> str:
    """Return the page of a sweep, finished or not.

    Parameters
    ----------
    folder
        Where `ntk1bit sweep` wrote.

    Raises
    ------
    InputError
        If there is no run, or its specification cannot be read or planned.
    """
    run = open_run(folder)
    if not isinstance(run.spec, SweepSpec):
        raise InputError(f"{folder} is of {run.spec.COMMAND}, and only sweeps and verifications have a report")
    frame = run.frame(COLUMNS)
    found = overview(frame)
    cells = _Cells(run, frame)
    name = folder.resolve().name
    parts = [(settings, part) for settings, part in groups(frame, without=_WITHIN)]
    body = [
        _header(name, run.spec, cells),
        _notes([*cells.notes(), *run.spec.notes, *run.problems, *(found.notes if len(frame) else ())]),
        _contents([settings for settings, _ in parts]),
        *(_group(i, settings, part, found) for i, (settings, part) in enumerate(parts, start=1)),
        cells.section(),
        _specification(run),
    ]
    return page(f"Sweep {name}", *body)


class _Cells:
    """Which cells of a run are finished, diverged, failed or missing."""

    def __init__(self, run: Run, frame: pd.DataFrame) -> None:
        self.run = run
        self.steps = {} if frame.empty else dict(pd.Series(frame.groupby("key")["step"].max()))
        self.states = {one: state for one, state in run.states.items() if isinstance(one, TwoLayer)}

    def notes(self) -> list[str]:
        """Return what a reader has to know about missing cells and mixed versions."""
        notes = []
        if not self.run.about:
            notes.append("The run has no finished cells yet, so there is nothing to show but what was asked for.")
        notes += self.run.lacking
        started = _stored(self.run.folder, "versions")
        others = Counter(
            f"{name} {version} in place of {started[name]}"
            for one in self.run.about.values()
            for name, version in one.get("versions", {}).items()
            if name in started and started[name] != version
        )
        notes += [f"Cells trained with {change}: {count}." for change, count in others.items()]
        return notes

    def section(self) -> Html:
        """Return the counts at each width, and the cells that are not simply finished."""
        states = [name for name in _STATES if self.run.counts[name]]
        by_width = Counter((cell.width, state) for cell, state in self.states.items())
        widths = sorted({cell.width for cell in self.states})
        rows = [[width, *(by_width[width, state] for state in states)] for width in widths]
        parts = [table(["width", *states], rows, caption="Cells at each width")]
        for state in _STATES[1:]:
            chosen = [cell for cell, its in self.states.items() if its == state]
            if chosen:
                parts += [
                    element(
                        "h3", f"Cells that are {state}" if state in ("damaged", "unfinished") else f"Cells that {state}"
                    )
                ]
                parts += [self._listed(chosen, state)]
        return section("Cells", *parts, anchor="cells")

    def _listed(self, cells: Sequence[TwoLayer], state: str) -> Html:
        last = {"diverged": "steps reached", "failed": "why"}.get(state)
        rows: list[list[object]] = []
        for cell in cells:
            row: list[object] = [_word(getattr(cell, name)) for name in ORDER]
            if state == "diverged":
                row.append(self.steps[cell.key])
            elif state == "failed":
                row.append(self.run.failures[cell.key])
            rows.append(row)
        made = table([*ORDER, *([last] if last else [])], rows)
        return fold(f"{len(cells)} cells", made) if len(rows) > SHORT_TABLE else made


def _stored(folder: Path, name: str) -> dict[str, str]:
    """Return what spec.toml records besides the settings; nothing if somebody has put something else there."""
    found = read_toml(folder / "spec.toml").get(name, {})
    return {key: str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _header(name: str, spec: SweepSpec, cells: _Cells) -> Html:
    smallest, largest = min(spec.widths), max(spec.widths)
    widths = f"{smallest} to {largest}" if smallest < largest else str(largest)
    seeds = f"{len(spec.seeds)} seed{'s' if len(spec.seeds) > 1 else ''}"
    byline = [", ".join(spec.tasks), f"widths {widths}", seeds, f"{spec.steps} steps"]
    return element(
        "header",
        element("h1", f"Sweep {name}"),
        element("p", " · ".join(byline), class_="byline"),
        element(
            "p",
            f"{len(cells.run.about)} of {len(cells.states)} networks are trained. Values are estimates over seeds with "
            f"{LEVEL} intervals; an exponent is given only where the data warrant one.",
        ),
    )


def _notes(notes: Sequence[str]) -> Html:
    return bullets(map(_sentence, notes), class_="notes")


def _contents(every: Sequence[Mapping[str, Any]]) -> Html:
    entries = [link(f"group-{i}", describe(settings)) for i, settings in enumerate(every, start=1)]
    entries += [link("cells", "Cells"), link("specification", "Specification and versions")]
    return element("nav", bullets(entries), aria_label="Contents")


def describe(settings: Mapping[str, Any]) -> Html:
    """Describe a group of cells in a line."""
    task = f"{settings['task']}, d = {settings['dim']}, n = {settings['n_train']}, init {settings['init']}"
    return join([task, f", κ = {settings['kappa']:g}, η", element("sub", "rel"), f" = {settings['eta_rel']:g}"])


def _group(i: int, settings: dict[str, Any], frame: pd.DataFrame, found: Overview) -> Html:
    caption = "Loss against step; kernel drift, loss at the end and gap against width, "
    caption += f"with {LEVEL} intervals and fitted laws."
    says = f"{caption} The numbers are in the tables below."
    here = [one for one in found.quantities if _belongs(one.settings, settings)]
    needed = [one for one in found.needed if _belongs(one.settings, settings)]
    names = list(dict.fromkeys(one.quantity for one in here))
    cards = [_quantity([one for one in here if one.quantity == name]) for name in names]
    parts = [
        embedded(overview_figure(frame, group_title(settings)), caption, says=says, anchor=f"figure-{i}"),
        element("h3", "Fitted laws"),
        _exponents(found.exponents(), settings),
        element("h3", "Quantities against width"),
        element("div", *cards, *map(_needed, needed), class_="cards"),
    ]
    return section(describe(settings), *parts, anchor=f"group-{i}")


def _quantity(series: Sequence[AgainstWidth]) -> Html:
    """Return one quantity: a row a width, a column for each precision and scale."""
    columns = [(_side(one.settings), one.table.set_index("width")) for one in series]
    widths = sorted({int(width) for _, column in columns for width in column.index})
    rows: list[list[object]] = []
    for width in widths:
        row: list[object] = [width]
        seeds = []
        for _, column in columns:
            if width in column.index:
                entry = column.loc[width]
                row.append(estimate(float(entry["value"]), float(entry["low"]), float(entry["high"])))
                seeds.append(str(int(entry["seeds"])))
            else:
                row.append("")
        rows.append([*row, "/".join(dict.fromkeys(seeds))])
    head = ["width", *(name for name, _ in columns), "seeds"]
    notes = dict.fromkeys(note for one in series for note in one.notes)
    content = table(head, rows, right=range(1, len(head))) if rows else element("p", "No values.", class_="aside")
    return element(
        "section",
        element("h3", series[0].quantity),
        element("p", _sentence(series[0].meaning), class_="aside"),
        content,
        *(element("p", _sentence(note), class_="aside") for note in notes),
    )


def _needed(one: WidthNeeded) -> Html:
    records = one.table.to_dict("records")
    rows = [[number(row["loss"]), estimate(row["width"], row["low"], row["high"])] for row in records]
    content = (
        table(["loss", "width needed"], rows, right=(0, 1)) if rows else element("p", "No values.", class_="aside")
    )
    return element(
        "section",
        element("h3", f"width needed, {_side(one.settings)}"),
        element("p", "Width at which the loss at the end is reached.", class_="aside"),
        content,
        *(element("p", _sentence(note), class_="aside") for note in one.notes),
    )


def _exponents(exponents: pd.DataFrame, settings: Mapping[str, Any]) -> Html:
    rows: list[list[object]] = []
    for row in exponents.to_dict("records"):
        if not _belongs(row, settings):
            continue
        name = join([row["quantity"], ", ", _side(row)])
        if not row["warranted"]:
            rows.append([name, formula(row["form"]), "", "", "", _sentence(row["note"])])
            continue
        exponent = estimate(row["exponent"], row["exponent_low"], row["exponent_high"])
        level = estimate(row["floor"], row["floor_low"], row["floor_high"]) if row["floor"] else ""
        bend = interval(row["bend_low"], row["bend_high"])
        remark = join([_sentence(row["note"]), f" Its bend lies in {bend}." if row["note"].startswith("bends") else ""])
        span = f"{number(row['smallest'])} to {number(row['largest'])}, {row['widths']} widths"
        rows.append([name, formula(row["form"]), exponent, level, span, remark])
    if not rows:
        return element("p", "Nothing was fitted.", class_="aside")
    head = [
        "quantity",
        "law",
        f"exponent p [{LEVEL}]",
        f"floor c [{LEVEL}]",
        "over",
        "remark",
    ]
    made = element("div", table(head, rows, right=(2, 3), whole=(0, 1, 4)), class_="wide")
    refused = sum(1 for row in rows if not row[2])
    return fold(f"{len(rows)} laws, {refused} of them not warranted", made, opened=True)


def _specification(run: Run) -> Html:
    def shown(value: object) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    settings = pairs((name, shown(value) or "each task's own") for name, value in run.spec.as_dict().items())
    versions = table(["Package", "Version"], list(_stored(run.folder, "versions").items()))
    begun = _stored(run.folder, "made").get("at", "at an unknown time")
    return section(
        "Specification and versions",
        settings,
        element("p", f"Begun {begun}. The cells took {number(run.seconds)} s of one processor in all.", class_="aside"),
        versions,
        anchor="specification",
    )


def _belongs(settings: Mapping[str, Any], group: Mapping[str, Any]) -> bool:
    return all(settings[name] == value for name, value in group.items())


def _side(settings: Mapping[str, Any]) -> str:
    """Name the precision, and the scale where it is not the usual one."""
    name = PRECISION_NAME[settings["precision"]]
    return name if settings["scale"] in ("none", "std") else f"{name}, {settings['scale']}"


def _sentence(words: str) -> Html:
    """Return a remark as a sentence of its own."""
    shown = words[:1].upper() + words[1:] if words[:2].islower() else words
    return formula(shown if not shown or shown.endswith((".", "?", "!")) else f"{shown}.")


def _word(value: object) -> object:
    return f"{value:g}" if isinstance(value, float) else value
