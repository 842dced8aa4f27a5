"""`ntk1bit deep`: D25's experiments with deep networks."""

from __future__ import annotations

from typing import Annotated

import typer

from ntk1bit.cli.options import AS_USUAL, DryRun, Preset, RunFolder, Running, runs_cells


@runs_cells
def deep(
    figure: Annotated[int, typer.Option(help="D25's figure: 1 (scaling law), 2 (functions) or 3 (similarity).")] = 1,
    preset: Annotated[
        Preset, typer.Option(help="Sizes, steps and seeds; thorough: D25's own. --dry-run prints the time each takes.")
    ] = "quick",
    out: RunFolder = None,
    running: Running = AS_USUAL,
    dry_run: DryRun = False,
) -> None:
    """Train deep networks in 1-bit and full precision as in figures 1 to 3 of D25; print and draw losses.

    Give the same command again to resume a run that was stopped.

    Example: ntk1bit deep --figure 1 --preset smoke
    """
    from ntk1bit.cli import deep_runs

    if dry_run:
        deep_runs.print_plan(figure, preset, running=running, out=out)
        return
    deep_runs.run(figure, preset, running=running, out=out)
