"""`ntk1bit deep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def deep(
    figure: Annotated[int, typer.Option(help="D25's figure: 1 (scaling law), 2 (functions) or 3 (similarity).")] = 1,
    preset: Annotated[
        str, typer.Option(help="smoke, quick, standard or thorough (D25's own sizes); --dry-run prints their times.")
    ] = "quick",
    out: Annotated[Path | None, typer.Option(help="Folder of the run. Default: in runs/, by kind and preset.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes. Default: one per core.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be trained; train nothing.")] = False,
) -> None:
    """Train deep 1-bit and full-precision networks as in figures 1 to 3 of D25; print, write and draw the losses.

    Give the same command again to resume a run that was stopped.

    Example: ntk1bit deep --figure 1 --preset smoke
    """
    from ntk1bit.cli import deep_runs

    if dry_run:
        deep_runs.print_plan(figure, preset, jobs=jobs, out=out)
        return
    deep_runs.run(figure, preset, jobs=jobs, out=out)
