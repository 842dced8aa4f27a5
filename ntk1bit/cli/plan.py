"""`ntk1bit plan`: how a run scales with the number of workers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def plan(
    what: Annotated[
        Path, typer.Argument(help="Folder of a run or a verification, or a specification file, .toml, as in a run.")
    ],
    workers: Annotated[int, typer.Option(help="The largest number of workers: processes on a core each.")] = 64,
    timed: Annotated[
        Path | None, typer.Option(help="Take times from the cells of this run in place of a calibration.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw it: .png, .pdf or .svg, by the ending.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the table as CSV.")] = False,
) -> None:
    """Replay a run on 1, 2, 4 and more workers: time, processor hours, and where it stops scaling.

    Nothing is run but a calibration of some seconds, and not even that where cells of each kind are there: times are
    those of this machine, or of the machine that the cells were computed on. Of a sweep or training that has no folder,
    --dry-run of its command tells the time.

    Example: ntk1bit plan runs/first --workers 256 --plot plan.png
    """
    from ntk1bit.cli import planning

    planning.print_replay(what, workers=workers, timed=timed, plot=plot, as_csv=as_csv)
