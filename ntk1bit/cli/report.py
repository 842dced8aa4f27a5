"""`ntk1bit report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a sweep or of a verification.")],
    out: Annotated[Path | None, typer.Option(help="The HTML file. Default: RUN/report.html.")] = None,
) -> None:
    """Write one HTML file with everything a run shows: tables, figures, settings, versions. It needs no network.

    Example: ntk1bit report runs/first
    """
    from ntk1bit.reports import write_report

    print(write_report(run, out))
