"""`ntk1bit plot`: the figure of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ntk1bit.cli.options import Run, Strict

if TYPE_CHECKING:
    from ntk1bit.experiments import Run as OpenedRun


def plot(
    run: Run,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The figure: .png, .pdf or .svg, by the ending; for several figures of a verification, a folder. "
            "Default: a .png, or the folder figures, in the folder of the run."
        ),
    ] = None,
    figures: Annotated[
        str | None,
        typer.Option(
            help="Of a verification: names of figures, as drift,floor; of deep networks: 2 or 3. Default: all."
        ),
    ] = None,
    panels: Annotated[str | None, typer.Option(help="Names of panels, in order, as drift,gap. Default: all.")] = None,
    palette: Annotated[
        str | None,
        typer.Option(help="Colours: okabe-ito, tol-bright, grey, tab10 and others, or one_bit=#aa0000,full=navy."),
    ] = None,
    style: Annotated[Literal["paper", "slides"], typer.Option(help="Sizes of text and lines.")] = "paper",
    columns: Annotated[
        int | None,
        typer.Option(help="1: as wide as one column of a journal, or half a slide; 2: as the page, or a slide."),
    ] = None,
    strict: Strict = False,
) -> None:
    """Draw the figure of a run.

    Of a sweep: loss against step, and kernel drift, loss floor and generalisation difference (gap) against width, one
    file for each group of settings. Of language models: losses with their laws, gap, energy and stability. Of
    deep networks: figures 1 to 3 of D25. Of a verification: a figure for each topic, or for each claim of your own. See
    docs/figures.md.

    Example: ntk1bit plot runs/first --panels drift,gap --columns 1 --palette one_bit=#aa0000,full=navy --out first.pdf
    """
    from ntk1bit.claims.results import FILE, read_results
    from ntk1bit.cli.lists import read_list
    from ntk1bit.cli.tables import print_paths, say
    from ntk1bit.errors import InputError

    asked: dict[str, Any] = {"panels": panels, "palette": palette, "style": style, "columns": columns}
    names = () if figures is None else read_list(figures, option="--figures", kind=str)
    if (run / FILE).exists():
        if strict:
            raise InputError(f"--strict is for the folder of a run, and {run} is a verification")
        from ntk1bit.claims.verification import OWN
        from ntk1bit.plots.claims import write_claim_figures
        from ntk1bit.plots.recipes import write_figures

        results = read_results(run)
        write = write_claim_figures if results.preset == OWN else write_figures
        written, left_out = write(results, out or run / "figures", names, **asked)
        print_paths(*written)
        say(*left_out)
        return
    from ntk1bit.experiments import SweepSpec, open_run
    from ntk1bit.experiments.deep_spec import DeepScalingSpec, DeepSimilaritySpec
    from ntk1bit.experiments.language_spec import LanguageSpec
    from ntk1bit.files import FIGURES, writable_file
    from ntk1bit.plots.sweep import save_overview

    if out is not None:
        writable_file("--out", out, FIGURES)
    opened = open_run(run)
    if strict:
        opened.require_nothing_left_out()
    if isinstance(opened.spec, DeepScalingSpec | DeepSimilaritySpec):
        _draw_deep(opened, out, names, asked)
        say(*opened.untrusted)
        return
    if figures is not None:
        raise InputError(f"--figures is for a verification or deep networks, and {run} is of {opened.spec.COMMAND}")
    if type(opened.spec) is LanguageSpec:
        from ntk1bit.experiments.language_run import language_run
        from ntk1bit.plots.language import draw_run

        print_paths(draw_run(language_run(opened), out or run / "scaling.png", **asked))
        say(*opened.untrusted)
        return
    if not isinstance(opened.spec, SweepSpec):
        raise InputError(f"{run} is of {opened.spec.COMMAND}, whose results have no figure of their own; see summary")
    print_paths(*save_overview(opened, out or run / "overview.png", **asked))
    say(*opened.left_out)


def _draw_deep(opened: OpenedRun, out: Path | None, names: tuple[str, ...], asked: dict[str, Any]) -> None:
    """Draw the figures of D25 that a run of deep networks is for, or those of them that are named."""
    from ntk1bit.cli import deep_runs
    from ntk1bit.cli.tables import print_paths
    from ntk1bit.errors import require_choice

    opened.require_whole()
    there = [str(number) for number in deep_runs.figures_of(opened)]
    numbers = tuple(int(require_choice("figure", name, there)) for name in names or there)
    default = opened.folder / ("figure-1.png" if there == ["1"] else "figure.png")
    print_paths(*deep_runs.draw(opened.frame(), numbers, out or default, **asked))
