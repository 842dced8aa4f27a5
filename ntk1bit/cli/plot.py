"""`ntk1bit plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def plot(
    run: Annotated[
        Path, typer.Argument(help="Folder of a run, of `ntk1bit sweep` or `ntk1bit train-lm`, or of a verification.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="File name without ending, for the PDF and the PNG. Default: RUN/overview; of train-lm RUN/scaling. "
            "Of a verification: the folder for its figures. Default: RUN/figures."
        ),
    ] = None,
    figures: Annotated[
        str | None, typer.Option(help="Of a verification: names of figures, as drift,floor. Default: all.")
    ] = None,
) -> None:
    """Draw a run in four panels: loss against step, and drift, floor and gap against width. Writes a PDF and a PNG.

    Of language models: losses with their laws, gap, energy and stability. Of a verification: a figure for each topic.

    Example: ntk1bit plot runs/first
    """
    from ntk1bit.claims.results import FILE, read_results
    from ntk1bit.cli.tables import say
    from ntk1bit.errors import InputError

    if (run / FILE).exists():
        from ntk1bit.plots.recipes import write_figures

        names = [] if figures is None else [name.strip() for name in figures.split(",")]
        written, left_out = write_figures(read_results(run), out or run / "figures", names)
        print(*written, sep="\n")
        for sentence in left_out:
            say(sentence)
        return
    if figures is not None:
        raise InputError(f"--figures is for a verification, and {run} has no {FILE}")
    from ntk1bit.experiments.language import is_language_run, load_language_run

    if is_language_run(run):
        from ntk1bit.plots.language import draw_run

        found, stem = load_language_run(run), out or run / "scaling"
        stem.parent.mkdir(parents=True, exist_ok=True)
        for ending in (".pdf", ".png"):
            print(draw_run(found, stem.with_name(stem.name + ending)))
        return
    from ntk1bit.experiments import load_run
    from ntk1bit.experiments.states import left_out
    from ntk1bit.plots.sweep import save_overview

    opened = load_run(run)
    for path in save_overview(opened, out or run / "overview"):
        print(path)
    for sentence in left_out(opened):
        say(sentence)
