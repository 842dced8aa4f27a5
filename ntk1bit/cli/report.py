"""`ntk1bit report`: a run as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ntk1bit.cli.options import Run, Strict


def report(
    run: Run,
    out: Annotated[
        Path | None, typer.Option(help="The .html file. Default: report.html in the folder of the run.")
    ] = None,
    strict: Strict = False,
) -> None:
    """Write one HTML file with everything a run shows: tables, figures, settings, versions.

    The file needs no network and runs no script.

    Example: ntk1bit report runs/first
    """
    from ntk1bit.cli.progress import progress_bar
    from ntk1bit.cli.tables import print_paths
    from ntk1bit.experiments import open_run
    from ntk1bit.reports import write_report

    if strict:
        open_run(run).require_nothing_left_out()
    with progress_bar() as bar:
        written = write_report(run, out, progress=bar)
    print_paths(written)
