"""`ntk1bit verify`: judge claims on experiments."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ntk1bit.cli.options import AS_USUAL, DryRun, RunFolder, Running, Seeds, runs_cells


@runs_cells
def verify(
    claims: Annotated[
        list[str] | None,
        typer.Argument(
            help="Claims such as C1 I.5, or claim files (.toml, .py) and a run they are judged on. Default: all."
        ),
    ] = None,
    preset: Annotated[
        Literal["quick", "standard", "thorough"] | None,
        typer.Option(help="Widths and seeds; standard: what the documents cite; without it, quick."),
    ] = None,
    out: RunFolder = None,
    seeds: Seeds = None,
    running: Running = AS_USUAL,
    as_list: Annotated[bool, typer.Option("--list", help="List the claims and their rules; run nothing.")] = False,
    dry_run: DryRun = False,
    json: Annotated[bool, typer.Option("--json", help="Print the verdicts with their evidence as JSON.")] = False,
    publish: Annotated[
        bool,
        typer.Option(
            "--publish",
            help="Then write results/standard, docs/figures and paper_repro.md: all claims, --preset standard.",
        ),
    ] = False,
) -> int:
    """Run the experiments that claims need; print verdicts by rules fixed beforehand, refuted claims first.

    The same command resumes a verification that was stopped. A claim file is a claim of your own, judged on the run
    that it names or on one given after it; docs/claims.md shows how to write one, and ntk1bit measures lists what it
    can be about.

    Example: ntk1bit verify C1 C3 --preset quick
    """
    from ntk1bit.cli import verifying

    if as_list:
        return verifying.print_claims(claims or [])
    return verifying.run(
        claims or [],
        preset=preset,
        out=out,
        seeds=seeds,
        running=running,
        dry_run=dry_run,
        as_json=json,
        publish=publish,
    )
