"""`ntk1bit plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def plot(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    out: Annotated[
        Path | None, typer.Option(help="File name without ending, for the PDF and the PNG. Default: RUN/overview.")
    ] = None,
) -> None:
    """Draw a run in four panels: loss against step, and drift, floor and gap against width. Writes a PDF and a PNG.

    Example: ntk1bit plot runs/first
    """
    from ntk1bit.cli.tables import say
    from ntk1bit.plots import save_overview
    from ntk1bit.sweeps import load_run
    from ntk1bit.sweeps.states import left_out

    opened = load_run(run)
    for path in save_overview(opened, out or run / "overview"):
        print(path)
    for sentence in left_out(opened):
        say(sentence)
