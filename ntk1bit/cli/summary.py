"""`ntk1bit summary`: the numbers of a run."""

from __future__ import annotations

from typing import Annotated

import typer

from ntk1bit.cli.options import Run, Strict


def summary(
    run: Run,
    csv: Annotated[bool, typer.Option("--csv", help="Print the values as CSV.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print values, exponents and notes as JSON.")] = False,
    settings: Annotated[bool, typer.Option("--settings", help="Print the run's settings as well.")] = False,
    strict: Strict = False,
) -> None:
    """Print what a run shows: estimates against width, and exponents with intervals.

    Of a sweep: kernel drift, convergence, generalisation difference (gap) and spread over seeds. Of language models:
    losses, gaps, laws, energy and stability; --csv prints one row per network.

    Example: ntk1bit summary runs/first
    """
    from ntk1bit.cli import summarising, training_lm
    from ntk1bit.experiments import open_run
    from ntk1bit.experiments.language_spec import LanguageSpec

    opened = open_run(run)
    if strict:
        opened.require_nothing_left_out()
    show = training_lm.show if type(opened.spec) is LanguageSpec else summarising.show
    show(opened, as_csv=csv, as_json=json, with_settings=settings)
