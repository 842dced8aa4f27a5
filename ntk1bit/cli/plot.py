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
    from ntk1bit.experiments import SweepSpec, open_run
    from ntk1bit.experiments.deep_spec import DeepScalingSpec, DeepSimilaritySpec
    from ntk1bit.experiments.language_spec import LanguageSpec
    from ntk1bit.plots.sweep import save_overview

    opened = open_run(run)
    if isinstance(opened.spec, LanguageSpec):
        from ntk1bit.experiments.language_run import language_run
        from ntk1bit.plots.language import draw_run

        found, stem = language_run(opened), out or run / "scaling"
        stem.parent.mkdir(parents=True, exist_ok=True)
        for ending in (".pdf", ".png"):
            print(draw_run(found, stem.with_name(stem.name + ending)))
        return
    if isinstance(opened.spec, DeepScalingSpec | DeepSimilaritySpec):
        from ntk1bit.cli import deep_runs

        opened.require_whole()
        stem, drawn = out or run / "figure", deep_runs.figures_of(opened)
        for path in deep_runs.draw(opened.frame(), drawn, stem, endings=(".pdf", ".png")):
            print(path)
        return
    if not isinstance(opened.spec, SweepSpec):
        raise InputError(f"{run} is of {opened.spec.COMMAND}, whose results have no figure of their own; see summary")
    for path in save_overview(opened, out or run / "overview"):
        print(path)
    for sentence in opened.left_out:
        say(sentence)
