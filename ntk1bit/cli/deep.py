"""`ntk1bit deep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def deep(
    figure: Annotated[int, typer.Option(help="D25's figure: 1 (scaling law), 2 (functions) or 3 (similarity).")] = 1,
    size: Annotated[
        str, typer.Option(help="smoke (a minute), quick (minutes), standard (a night) or full (D25's own, days).")
    ] = "quick",
    out: Annotated[Path | None, typer.Option(help="Folder of the run. Default: runs/deep-SIZE.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes. Default: one a core.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be trained; train nothing.")] = False,
) -> None:
    """Train deep 1-bit and full-precision networks as in D25's Fig. 1 to 3; print, write and draw what comes out.

    A run that was stopped goes on when the same command is given again.

    Example: ntk1bit deep --figure 1 --size smoke
    """
    from ntk1bit.cli import deep_runs

    if dry_run:
        deep_runs.print_plan(figure, size, jobs=jobs, out=out)
        return
    deep_runs.run(figure, size, jobs=jobs, out=out)
