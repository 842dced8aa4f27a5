"""`ntk1bit sweep`: train two-layer networks over widths, precisions, seeds and more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ntk1bit.cli.options import (
    AS_USUAL,
    DryRun,
    Features,
    NormaliseInputs,
    RunFolder,
    Running,
    Split,
    Target,
    runs_cells,
)


@runs_cells
def sweep(
    widths: Annotated[
        str | None,
        typer.Option("--widths", "--width", help="64..16384 (doubling), 64..4096:x4 or 64,100,256. Default: {widths}."),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks", "--task", help="Names (--list shows them), or files of your own data. Default: {tasks}."
        ),
    ] = None,
    target: Target = None,
    features: Features = None,
    split: Split = None,
    normalise: NormaliseInputs = None,
    precisions: Annotated[
        str | None, typer.Option("--precisions", "--precision", help="one_bit, full. Default: {precisions}.")
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option("--seeds", help="A count (3 is 0,1,2), a range (0..4) or a list (0,3,7). Default: {seeds}."),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Descent steps. Default: {steps}.")] = None,
    n_train: Annotated[str | None, typer.Option(help="Training points n, a list. Default: {n_train}.")] = None,
    n_test: Annotated[int | None, typer.Option(help="Test points. Default: {n_test}.")] = None,
    dims: Annotated[
        str | None,
        typer.Option("--dims", "--dim", help="Dimensions d, for tasks that have a choice. Default: the task's own."),
    ] = None,
    inits: Annotated[
        str | None, typer.Option("--inits", "--init", help="Initialisations: iid, paired. Default: {inits}.")
    ] = None,
    scales: Annotated[
        str | None,
        typer.Option("--scales", "--scale", help="Scales of the quantiser: std, absmean. Default: {scales}."),
    ] = None,
    activities: Annotated[
        str | None,
        typer.Option(
            "--activities",
            "--activity",
            help="Activations by which 1-bit networks step: straight_through, latent, frozen. Default: {activities}.",
        ),
    ] = None,
    kappas: Annotated[
        str | None, typer.Option("--kappas", "--kappa", help="Output scales kappa. Default: {kappas}.")
    ] = None,
    eta_rel: Annotated[
        float | None,
        typer.Option(help="Learning rate eta_rel in units of 1/lambda_max(H(0)); below 2. Default: {eta_rel}."),
    ] = None,
    checkpoints: Annotated[int | None, typer.Option(help="Steps recorded in full. Default: {checkpoints}.")] = None,
    data_seed: Annotated[int | None, typer.Option(help="Seed of the data. Default: {data_seed}.")] = None,
    predictions: Annotated[
        bool | None,
        typer.Option(
            "--predictions/--no-predictions", help="Also record distances to predictions of the kernels H and K_eff."
        ),
    ] = None,
    terms: Annotated[
        bool | None,
        typer.Option(
            "--terms/--no-terms", help="Also decompose recorded steps into the terms C1 to C4 of D25, Claim H.2."
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="What trains: cores, or jax for an accelerator, in one process unless --jobs says more. "
            "Default: {backend}."
        ),
    ] = None,
    spec: Annotated[
        Path | None, typer.Option(help="TOML file with a [sweep] table; options given here override it.")
    ] = None,
    out: RunFolder = None,
    running: Running = AS_USUAL,
    as_list: Annotated[bool, typer.Option("--list", help="List the tasks; run nothing.")] = False,
    dry_run: DryRun = False,
) -> int:
    """Train two-layer networks of many widths in 1-bit and full precision; store their trajectories.

    All combinations of the lists are trained; entries are separated by commas. The same command resumes a sweep that
    was stopped; with more widths, seeds or other values and the same --out it extends the sweep.

    Your own data are tables (.csv, .tsv, .jsonl, .parquet) with the target in the column --target, or .npz files with
    arrays x and y. Their prepared rows are kept in the run's folder, and a run is not resumed on changed data.

    Example: ntk1bit sweep --widths 64..4096 --seeds 5 --inits iid,paired --out runs/first
    """
    from ntk1bit.cli import sweeping

    if as_list:
        return sweeping.print_tasks()
    settings = sweeping.collect(
        spec,
        out=out,
        of_file={"target": target, "features": features, "split": split, "normalise": normalise},
        widths=widths,
        tasks=tasks,
        precisions=precisions,
        seeds=seeds,
        steps=steps,
        n_train=n_train,
        n_test=n_test,
        dims=dims,
        inits=inits,
        scales=scales,
        activities=activities,
        kappas=kappas,
        eta_rel=eta_rel,
        checkpoints=checkpoints,
        data_seed=data_seed,
        predictions=predictions,
        terms=terms,
        backend=backend,
    )
    if dry_run:
        return sweeping.print_plan(settings, running=running, out=out)
    return sweeping.run(settings, running=running, out=out)
