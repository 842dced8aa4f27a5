"""`ntk1bit plot`: the figure of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ntk1bit.cli.options import Run


def plot(
    run: Run,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The figure: .png, .pdf or .svg, by the ending; of a verification, the folder for its figures. "
            "Default: a .png, or the folder figures, in the folder of the run."
        ),
    ] = None,
    figures: Annotated[
        str | None, typer.Option(help="Of a verification: names of figures, as drift,floor. Default: all.")
    ] = None,
) -> None:
    """Draw the figure of a run.

    Of a sweep: loss against step, and kernel drift, loss floor and generalisation difference (gap) against width, one
    file for each group of settings. Of language models: losses with their laws, gap, energy and stability. Of
    deep networks: figures 1 to 3 of D25. Of a verification: a figure for each topic.

    Example: ntk1bit plot runs/first --out first.pdf
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
    from ntk1bit.files import FIGURES, writable_file
    from ntk1bit.plots.sweep import save_overview

    if out is not None:
        writable_file("--out", out, FIGURES)
    opened = open_run(run)
    if isinstance(opened.spec, LanguageSpec):
        from ntk1bit.experiments.language_run import language_run
        from ntk1bit.plots.language import draw_run

        print(draw_run(language_run(opened), out or run / "scaling.png"))
        return
    if isinstance(opened.spec, DeepScalingSpec | DeepSimilaritySpec):
        from ntk1bit.cli import deep_runs

        opened.require_whole()
        numbers = deep_runs.figures_of(opened)
        default = run / ("figure-1.png" if numbers == (1,) else "figure.png")
        for path in deep_runs.draw(opened.frame(), numbers, out or default):
            print(path)
        return
    if not isinstance(opened.spec, SweepSpec):
        raise InputError(f"{run} is of {opened.spec.COMMAND}, whose results have no figure of their own; see summary")
    for path in save_overview(opened, out or run / "overview.png"):
        print(path)
    for sentence in opened.left_out:
        say(sentence)
