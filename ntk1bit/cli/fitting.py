"""What `ntk1bit fit` does with its options: find rows and columns, fit with progress, print, write and draw."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markdown import Markdown

from ntk1bit.cli.progress import progress_bar
from ntk1bit.errors import InputError, require_choice
from ntk1bit.printing import plain
from ntk1bit.scaling.analysis import analyse
from ntk1bit.scaling.laws import REAL, Law, get_law, law_names
from ntk1bit.scaling.proposal import Proposal, propose
from ntk1bit.scaling.report import FORMATS, Report
from ntk1bit.scaling.request import FitRequest
from ntk1bit.scaling.written_laws import VARIABLES, read_law
from ntk1bit.tables.columns import one_column
from ntk1bit.tables.roles import choose_roles
from ntk1bit.tables.rows import Selection, load_rows

_FIGURES = (".pdf", ".png", ".svg")


def run_fit(
    file: Path,
    settings: Mapping[str, Any],
    *,
    law: str | Law | None,
    fix: str | None = None,
    against: str | None = None,
    given: Mapping[str, str | None],
    loss: str | None = None,
    where: str | None = None,
    at: str | None = None,
    measured: str | None = None,
    strict: bool = False,
    out: Path | None = None,
    plot: Path | None = None,
) -> None:
    """Find law and columns in the table, and answer the request that they make.

    Parameters
    ----------
    file
        A table of losses, or the folder of a sweep.
    settings
        Those of `FitRequest` beside the law, its rivals and its columns.
    law
        A name or a formula (see `read_law`); None for one that the columns propose.
    fix, against
        Parameters to hold, and rival laws, as text.
    given, loss
        Columns that were named for variables of the law, and for the loss; None for those to be guessed.
    where, at, measured
        Which rows: see `select_rows`, and `losses_of_run` for the folder of a sweep.
    strict
        Refuse a sweep of which anything is missing or left out.
    out, plot
        Files for the report and the figure.
    """
    if isinstance(law, Law) or law in law_names():  # known before the table is read
        _require_variables(get_law(law), given)
    for path, allowed in ((out, FORMATS), (plot, _FIGURES)):
        if path is not None:
            _check_place(path, allowed, file)
    step, which = _step("last" if at is None else at), require_choice("loss", measured or "train", ["train", "test"])
    for name, value in (("at", at), ("measured", measured), ("strict", strict or None)):
        if value is not None and file.is_file():
            raise InputError(f"--{name} is for the folder of a sweep; choose rows of a table with --where or --run")
    settings = dict(settings)
    if file.is_dir():
        selected, settings["group"] = _rows_of_sweep(
            file, settings.get("group"), settings.get("run"), where=where, at=step, measured=which, strict=strict
        )
        loss = loss or "loss"
    else:
        selected = load_rows(file, where)
    frame = selected.rows
    labels = {name for use in ("group", "cluster", "weight", "run") if isinstance(name := settings.get(use), str)}
    for name in labels:
        one_column(frame, name)
    columns = [str(name) for name in frame.columns]
    rivals = [read_law(name, columns) for name in _laws(against)]
    if law is None:
        found = propose(frame, x=given, loss=loss, labels=labels, rivals=[rival.name for rival in rivals])
        chosen = found.law
        if chosen.variables == ("x",):
            given = {"x": found.x["x"]}
        _say_proposal(found)
    else:
        chosen = read_law(law, columns)
        own = [name for name in chosen.variables if name not in VARIABLES]
        given = {**given, **{name: name for name in own}}
        if chosen.name not in law_names():
            say_line(f"law: {chosen.name}, variables {', '.join(chosen.variables)}; {_parameters(chosen)}")
    _require_variables(chosen, given)
    request = FitRequest(fix_parameters(chosen, fix), rivals=tuple(rivals), **settings)
    roles = choose_roles(frame, request.law.variables, given, loss, labels)
    request = replace(request, x=roles.x, loss=roles.loss)
    used = ", ".join(f"{variable} = {column}" for variable, column in [*roles.x.items(), ("loss", roles.loss)])
    say_line(f"columns: {used}" + (f", group = {request.group}" if request.group else ""))
    with progress_bar() as bar:
        report = analyse(frame, request, left_out=selected.left_out, remarks=roles.remarks, progress=bar)
    write_outputs(report, out, plot)


def _require_variables(law: Law, given: Mapping[str, str | None]) -> None:
    """Refuse columns that are named for variables that the law does not have."""
    for variable, column in given.items():
        if column is not None and variable not in law.variables:
            needed = ", ".join(f"--{each}" for each in law.variables)
            raise InputError(f"law {law.name!r} has no variable {variable}; name its columns with {needed}")


def say_line(line: str) -> None:
    """Print a line on stderr, letter by letter; what would steer a terminal is escaped."""
    Console(stderr=True, soft_wrap=True).print(plain(line), markup=False, highlight=False)


def _say_proposal(found: Proposal) -> None:
    """Say which law the columns propose, and how another one is asked for."""
    others = f"; of these columns are also: --law {', '.join(found.others)}" if found.others else ""
    say_line(f"law: {found.law.name}, for {found.reason}{others}")
    rival = f", as in --against {found.others[0]}" if found.others else ""
    say_line(f"law: chosen from the columns alone, not by how well laws fit; --against compares laws{rival}")


def _parameters(law: Law) -> str:
    """Say which names of a formula are fitted, and within which bounds."""
    real = [each.name for each in law.parameters if each.bounds == REAL]
    positive = [each.name for each in law.parameters if each.bounds != REAL]
    parts = [f"{', '.join(names)} {words}" for names, words in ((positive, "positive"), (real, "of any sign")) if names]
    return f"parameters {', '.join(parts)}"


def _laws(text: str | None) -> list[str]:
    """Split laws at the commas that stand outside parentheses."""
    laws, depth = [""], 0
    for letter in text or "":
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            laws.append("")
        else:
            laws[-1] += letter
    return [law.strip() for law in laws] if text else []


def fix_parameters(law: Law, fix: str | None) -> Law:
    """Return the law with the parameters of `--fix alpha=0.25,gamma=0` held."""
    values: dict[str, float] = {}
    for pair in fix.split(",") if fix else ():
        name, _, value = (part.strip() for part in pair.partition("="))
        require_choice(f"parameter of law {law.name!r}", name, law.parameter_names)
        if name in values:
            raise InputError(f"--fix names {name} twice; give it one value")
        try:
            values[name] = float(value)
        except ValueError:
            raise InputError(
                f"cannot read {pair!r} in --fix; write parameter=number, as in alpha=0.25,gamma=0"
            ) from None
    return law.fix(**values) if values else law


def write_outputs(report: Report, out: Path | None, plot: Path | None) -> None:
    """Print the report, and write it and the figure to the places given."""
    text = plain(report.markdown(), keep="\n")
    if sys.stdout.isatty():
        Console().print(Markdown(text))
    else:
        sys.stdout.write(text)
    if out is not None:
        report.write(out)
    if plot is not None:
        from ntk1bit.plots.scaling import write_summary

        write_summary(report.fits, report.frontiers, plot, level=report.level, left_out=report.left_out)


def _rows_of_sweep(
    folder: Path,
    group: str | None,
    run_column: str | None,
    *,
    where: str | None,
    at: str | int,
    measured: str,
    strict: bool,
) -> tuple[Selection, str | None]:
    """Read one row a cell; return the column to group by as well, precision if there are several."""
    from ntk1bit.estimators.sweep_losses import select_losses
    from ntk1bit.experiments import SweepSpec, open_run

    if run_column is not None:
        raise InputError(
            "--run is for tables with several steps of each run; of a sweep's folder one row a cell is fitted: see --at"
        )
    run = open_run(folder)
    if not isinstance(run.spec, SweepSpec):
        tables = ", ".join(sorted(table.name for table in folder.glob("*.csv"))) or "none yet"
        raise InputError(
            f"{folder} is of {run.spec.COMMAND}; give fit one of the tables that it writes there: {tables}"
        )
    if strict:
        run.require_nothing_left_out()
    cells = run.frame(["test_loss"])
    selected = select_losses(cells, run.absent, where=where, at=at, loss=measured, group=group)
    precisions = sorted(map(str, np.unique(selected.rows["precision"])))
    if group not in (None, "precision") and len(precisions) > 1:
        raise InputError(
            f"the sweep holds several precisions ({', '.join(precisions)}), whose losses do not lie on one curve; "
            f"group by precision, or choose one with --where precision={precisions[0]}"
        )
    files = [one.replace(" left out: ", ": ", 1) for one in run.untrusted]  # the report says that they are left out
    selected = Selection(selected.rows, (*selected.left_out, *files))
    return selected, "precision" if len(precisions) > 1 else group


def _step(at: str) -> str | int:
    if at.isascii() and at.isdigit() and len(at) < 19:  # steps are 64-bit numbers
        return int(at)
    return require_choice("step", at, ["last", "best", "a step's number"])


def _check_place(path: Path, allowed: tuple[str, ...], source: Path) -> None:
    """Refuse, before the work, a place that cannot be written to or must not be."""
    if path.suffix.lower() not in allowed:
        raise InputError(f"cannot write {path.name!r}: choose a name that ends in {', '.join(allowed)}")
    folder = path.resolve().parent
    if not folder.is_dir():
        raise InputError(f"there is no folder {str(path.parent)!r} to write {path.name!r} into; make it first")
    if path.is_dir():
        raise InputError(f"cannot write {str(path)!r}: it is a folder; choose another name")
    if path.resolve() == source.resolve():
        raise InputError(f"{str(path)!r} is the table itself; choose another name to write to")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise InputError(f"cannot write {str(path)!r}: permission denied; choose another place")
