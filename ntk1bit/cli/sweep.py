"""`ntk1bit sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def sweep(
    widths: Annotated[
        str | None, typer.Option(help="64..16384 (doubling), 64..4096:x4, or 64,100,256. Default 64..16384.")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", "--tasks", help="Names, comma-separated; --task list shows them.")
    ] = None,
    precisions: Annotated[
        str | None, typer.Option("--precisions", "--precision", help="one_bit, full or both.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="A count (3 is 0,1,2) or a list (7,8,9).")] = None,
    steps: Annotated[int | None, typer.Option(help="Descent steps. Default 1000.")] = None,
    n_train: Annotated[str | None, typer.Option(help="Training points; a list sweeps over n. Default 256.")] = None,
    n_test: Annotated[int | None, typer.Option(help="Test points. Default 512.")] = None,
    dims: Annotated[
        str | None, typer.Option("--dims", "--dim", help="Dimensions, for tasks that have a choice.")
    ] = None,
    inits: Annotated[str | None, typer.Option("--inits", "--init", help="iid, paired or both. Default iid.")] = None,
    scales: Annotated[
        str | None, typer.Option("--scales", "--scale", help="std, absmean or both. Default std.")
    ] = None,
    kappas: Annotated[str | None, typer.Option("--kappas", "--kappa", help="Output scales. Default 1.")] = None,
    eta_rel: Annotated[
        float | None, typer.Option(help="Learning rate in units of 1/lambda_max(H(0)); below 2. Default 1.")
    ] = None,
    checkpoints: Annotated[int | None, typer.Option(help="Steps recorded in full. Default 40.")] = None,
    data_seed: Annotated[int | None, typer.Option(help="Seed of the data. Default 0.")] = None,
    predictions: Annotated[
        bool | None, typer.Option("--predictions", help="Also record distances to kernel predictions (H and K_eff).")
    ] = None,
    terms: Annotated[
        bool | None, typer.Option("--terms", help="Also decompose recorded steps: C1..C4 of D25's Claim H.2.")
    ] = None,
    spec: Annotated[
        Path | None, typer.Option(help="TOML file with a [sweep] table; options given here override it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run. Default: runs/ and a name.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes. Default: one a core.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and its cost; train nothing.")] = False,
) -> int:
    """Train two-layer networks of many widths, 1-bit and full precision, and store their trajectories.

    A stopped sweep is resumed, and one with more widths, seeds or other values is extended, by giving the same --out.

    Example: ntk1bit sweep --widths 64..4096 --seeds 5 --inits iid,paired --out runs/first
    """
    from ntk1bit.cli import sweeping

    if task == "list":
        return sweeping.print_tasks()
    settings = sweeping.collect(
        spec,
        widths=widths,
        tasks=task,
        precisions=precisions,
        seeds=seeds,
        steps=steps,
        n_train=n_train,
        n_test=n_test,
        dims=dims,
        inits=inits,
        scales=scales,
        kappas=kappas,
        eta_rel=eta_rel,
        checkpoints=checkpoints,
        data_seed=data_seed,
        predictions=predictions,
        terms=terms,
    )
    if dry_run:
        return sweeping.print_plan(settings, jobs=jobs, out=out)
    return sweeping.run(settings, jobs=jobs, out=out)
