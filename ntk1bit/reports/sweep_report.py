"""The page of a sweep: its figures, every quantity against width, the fitted laws, and what did not finish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from ntk1bit.errors import InputError
from ntk1bit.estimators import AgainstWidth, Overview, overview
from ntk1bit.estimators.against_width import groups_of_both
from ntk1bit.estimators.captions import group_caption
from ntk1bit.estimators.convergence import WidthNeeded
from ntk1bit.estimators.run_overview import COLUMNS
from ntk1bit.experiments import Run, SweepSpec, TwoLayer, open_run
from ntk1bit.experiments.store import recorded
from ntk1bit.experiments.sweep import ORDER
from ntk1bit.files import read_toml
from ntk1bit.plots.looks import PRECISION_NAME
from ntk1bit.plots.sweep import group_title, overview_figure
from ntk1bit.printing import unheard
from ntk1bit.reports.figures import data_uri
from ntk1bit.reports.formats import estimate, formula, interval, number, sentence
from ntk1bit.reports.page import render

_STATES = ("finished", "diverged", "damaged", "failed", "unfinished")


def sweep_page(folder: Path | str, *, progress: Callable[[str, float], None] | None = None) -> str:
    """Return the page of a sweep, finished or not.

    Parameters
    ----------
    folder
        Where `ntk1bit sweep` wrote.
    progress
        Called as progress(what, share): the run is read, estimated, and each group of settings drawn.

    Raises
    ------
    InputError
        If there is no run, or its specification cannot be read or planned.
    """
    folder = Path(folder)
    report = progress or unheard
    report("reading the run", 0.05)
    run = open_run(folder)
    if not isinstance(run.spec, SweepSpec):
        raise InputError(f"{folder} is of {run.spec.COMMAND}, and only sweeps and verifications have a report")
    frame = run.frame(COLUMNS)
    report("estimating", 0.2)
    estimates = overview(frame)
    parts = groups_of_both(frame)
    drawn = []
    for i, (settings, part) in enumerate(parts):
        report(f"drawing group {i + 1} of {len(parts)}", 0.4 + 0.6 * i / len(parts))
        drawn.append(_group(settings, part, estimates))
    states = {one: state for one, state in run.states.items() if isinstance(one, TwoLayer)}
    document = read_toml(folder / "spec.toml")
    versions, made = (_words(recorded(document, name)) for name in ("versions", "made"))
    present = [name for name in _STATES if run.counts[name]]
    by_width = Counter((cell.width, state) for cell, state in states.items())
    return render(
        "sweep.html",
        title=f"Sweep {folder.resolve().name}",
        byline=_byline(run.spec),
        there=len(run.about),
        asked=len(states),
        notes=[*_notes(run, versions), *run.spec.notes, *run.problems, *(estimates.notes if len(frame) else ())],
        groups=drawn,
        present=present,
        by_width=[
            [width, *(by_width[width, state] for state in present)] for width in sorted({cell.width for cell in states})
        ],
        lists=[_listed(state, run, states, frame) for state in present if state != "finished"],
        settings=[(name, _setting(value) or "each task's own") for name, value in run.spec.as_dict().items()],
        begun=made.get("at", "at an unknown time"),
        seconds=run.seconds,
        versions=list(versions.items()),
    )


def _byline(spec: SweepSpec) -> list[str]:
    smallest, largest = min(spec.widths), max(spec.widths)
    widths = f"{smallest} to {largest}" if smallest < largest else str(largest)
    seeds = f"{len(spec.seeds)} seed{'s' if len(spec.seeds) > 1 else ''}"
    return [", ".join(spec.task_names), f"widths {widths}", seeds, f"{spec.steps} steps"]


def _notes(run: Run, versions: Mapping[str, str]) -> list[str]:
    """Return what a reader has to know about missing cells and mixed versions."""
    notes = [] if run.about else ["The run has no finished cells yet: only its settings are shown."]
    others = Counter(
        f"{name} {version} in place of {versions[name]}"
        for about in run.about.values()
        for name, version in about.get("versions", {}).items()
        if name in versions and versions[name] != version
    )
    return [
        *notes,
        *run.lacking,
        *(f"Cells trained with {change}: {count}." for change, count in others.items()),
    ]


def _listed(
    state: str, run: Run, states: Mapping[TwoLayer, str], frame: pd.DataFrame
) -> tuple[str, list[str], list[list[object]]]:
    """Return the title, the head and the rows of the table of cells in a state."""
    steps = {} if frame.empty else dict(pd.Series(frame.groupby("key")["step"].max()))
    last: dict[str, tuple[str, Mapping[str, object]]]
    last = {"diverged": ("steps reached", steps), "failed": ("why", run.failures)}
    name, values = last.get(state, ("", {}))
    rows = []
    for cell in (cell for cell, its in states.items() if its == state):
        settings: list[object] = [_word(getattr(cell, setting)) for setting in ORDER]
        rows.append([*settings, values[cell.key]] if name else settings)
    title = f"Cells that are {state}" if state in ("damaged", "unfinished") else f"Cells that {state}"
    return title, [*ORDER, *([name] if name else [])], rows


def _words(stored: Mapping[str, object]) -> dict[str, str]:
    return {key: str(value) for key, value in stored.items()}


def _group(settings: dict[str, Any], frame: pd.DataFrame, estimates: Overview) -> dict[str, object]:
    here = [quantity for quantity in estimates.quantities if _belongs(quantity.settings, settings)]
    names = dict.fromkeys(each.quantity for each in here)
    cards = [_quantity([each for each in here if each.quantity == name]) for name in names]
    caption = group_caption(settings, kappa="κ", eta_rel="η<sub>rel</sub>", escape=escape)
    return {
        "caption": Markup(caption),
        "figure": data_uri(overview_figure(frame, group_title(settings))),
        "laws": [_law(row) for row in estimates.exponents().to_dict("records") if _belongs(row, settings)],
        "cards": [*cards, *(_needed(needed) for needed in estimates.needed if _belongs(needed.settings, settings))],
    }


def _quantity(series: Sequence[AgainstWidth]) -> dict[str, object]:
    """Return one quantity: a row for each width, a column for each precision and scale."""
    columns = [each.table.set_index("width") for each in series]
    rows: list[list[object]] = []
    for width in sorted({int(width) for column in columns for width in column.index}):
        entries = [column.loc[width] if width in column.index else None for column in columns]
        seeds = dict.fromkeys(str(int(entry["seeds"])) for entry in entries if entry is not None)
        values = (
            "" if entry is None else estimate(float(entry["value"]), float(entry["low"]), float(entry["high"]))
            for entry in entries
        )
        rows.append([width, *values, "/".join(seeds)])
    return {
        "title": series[0].quantity,
        "meaning": series[0].meaning,
        "head": ["width", *(_side(each.settings) for each in series), "seeds"],
        "rows": rows,
        "notes": dict.fromkeys(note for each in series for note in each.notes),
    }


def _needed(needed: WidthNeeded) -> dict[str, object]:
    return {
        "title": f"width needed, {_side(needed.settings)}",
        "meaning": "Width at which the loss at the end is reached.",
        "head": ["loss", "width needed"],
        "rows": [
            [number(row["loss"]), estimate(row["width"], row["low"], row["high"])]
            for row in needed.table.to_dict("records")
        ],
        "notes": needed.notes,
    }


def _law(row: Mapping[str, Any]) -> list[object]:
    """Return a fitted law: quantity, form, exponent, floor, range and remark; the numbers are empty if unwarranted."""
    name, remark = f"{row['quantity']}, {_side(row)}", sentence(row["note"])
    if not row["warranted"]:
        return [name, formula(row["form"]), "", "", "", remark]
    if row["curved"]:
        remark += f" It lies in {interval(row['curvature_low'], row['curvature_high'])}."
    return [
        name,
        formula(row["form"]),
        estimate(row["exponent"], row["exponent_low"], row["exponent_high"]),
        estimate(row["floor"], row["floor_low"], row["floor_high"]) if row["form"].startswith("c") else "",
        f"{number(row['smallest'])} to {number(row['largest'])}, {row['widths']} widths",
        remark,
    ]


def _belongs(settings: Mapping[str, Any], group: Mapping[str, Any]) -> bool:
    """Say whether an estimate is of a section; those of full precision, with one activity, are of several."""
    names = set(group) - {"activity"} if settings["precision"] == "full" else group
    return all(settings[name] == group[name] for name in names)


def _side(settings: Mapping[str, Any]) -> str:
    """Name the precision, and the scale where it is not the usual one."""
    name = PRECISION_NAME[settings["precision"]]
    return name if settings["scale"] in ("none", "std") else f"{name}, {settings['scale']}"


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _word(value: object) -> object:
    return f"{value:g}" if isinstance(value, float) else value
