"""`ntk1bit fit`: a scaling law from a table of losses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ntk1bit.cli.options import Strict


def fit(
    file: Annotated[
        Path, typer.Argument(help="A table of losses (CSV, TSV, JSON lines, Parquet), or the folder of a sweep.")
    ],
    law: Annotated[
        str | None,
        typer.Option(help="The law: {laws}; or a formula, as in 'E + A*N^-alpha'. Without it, the columns decide."),
    ] = None,
    fix: Annotated[str | None, typer.Option(help="Hold parameters: alpha=0.25,gamma=0.")] = None,
    x: Annotated[str | None, typer.Option("--x", help="Column of x, for laws of one variable.")] = None,
    n: Annotated[str | None, typer.Option("--N", help="Column of N: parameters.")] = None,
    d: Annotated[str | None, typer.Option("--D", help="Column of D: tokens or examples.")] = None,
    c: Annotated[str | None, typer.Option("--C", help="Column of C: compute.")] = None,
    loss: Annotated[str | None, typer.Option(help="Column of losses.")] = None,
    group: Annotated[str | None, typer.Option(help="Fit each value of this column apart, and compare.")] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="Resample rows that share this column's value together; run or seed if there is one, or none."
        ),
    ] = None,
    weight: Annotated[str | None, typer.Option(help="Column of weights.")] = None,
    bootstrap: Annotated[int, typer.Option(help="Bootstrap replicates; 0 for none.")] = 1000,
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Seed of the resampling.")] = 0,
    against: Annotated[str | None, typer.Option(help="Rival laws, by commas: ranked by AICc.")] = None,
    holdout: Annotated[float | None, typer.Option(help="Share of the largest runs to predict, not fit.")] = None,
    frontier: Annotated[bool, typer.Option("--frontier", help="Compute-optimal N and D.")] = False,
    cost: Annotated[float | None, typer.Option(help="k in C = k N D of the frontier; 6 by default.")] = None,
    run: Annotated[
        str | None,
        typer.Option(help="Column of training runs, for tables with several steps of each; the last ones are fitted."),
    ] = None,
    where: Annotated[
        str | None, typer.Option(help='Keep rows with these values: kappa=1,init=paired; opt="a,b" in quotes.')
    ] = None,
    at: Annotated[str | None, typer.Option(help="For a sweep: last, best, or a step; last by default.")] = None,
    measured: Annotated[str | None, typer.Option(help="For a sweep: train or test loss; train by default.")] = None,
    delta: Annotated[float, typer.Option(help="Width of the Huber loss.")] = 1e-3,
    tilt: Annotated[float, typer.Option(help="Below 0.5 for a lower envelope.")] = 0.5,
    strict: Strict = False,
    out: Annotated[Path | None, typer.Option(help="Write the report: .json, .csv (parameters) or .md.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw data, fit, residuals, exponents: .pdf, .png or .svg.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads; all processors by default.")] = None,
) -> None:
    """Fit a scaling law to a table of losses, with bootstrap intervals.

    Columns that are not named are guessed, and shown. Without --law, the law is chosen from the columns alone, never by
    how well laws fit; --against compares them. In a formula, x, N, D, C and names of columns are variables.

    Example: ntk1bit fit losses.csv --law chinchilla --N params --D tokens --holdout 0.3 --plot fit.pdf
    """
    from ntk1bit.cli.fitting import run_fit
    from ntk1bit.errors import InputError

    settings: dict[str, object] = {
        "group": group,
        "cluster": () if cluster == "none" else cluster,
        "weight": weight,
        "bootstrap": bootstrap,
        "seed": seed,
        "level": level,
        "holdout": holdout,
        "frontier": frontier,
        "run": run,
        "delta": delta,
        "tilt": tilt,
        "threads": threads,
    }
    if cost is not None:
        settings["cost"] = cost
        if cost > 0 and not frontier:  # others are refused for what they are
            raise InputError("--cost is k in C = k N D of the frontier; ask for it with --frontier")
    run_fit(
        file,
        settings,
        law=law,
        fix=fix,
        against=against,
        given={"x": x, "N": n, "D": d, "C": c},
        loss=loss,
        where=where,
        at=at,
        measured=measured,
        strict=strict,
        out=out,
        plot=plot,
    )
