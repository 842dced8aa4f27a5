"""`ntk1bit verify`: judge claims on experiments."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ntk1bit.cli.options import DryRun, Jobs, RunFolder, Seeds


def verify(
    claims: Annotated[list[str] | None, typer.Argument(help="Claims such as C1 I.5. Default: all.")] = None,
    preset: Annotated[
        Literal["quick", "standard", "thorough"],
        typer.Option(help="Widths and seeds; standard: what the documents cite. --dry-run prints the time each takes."),
    ] = "quick",
    out: RunFolder = None,
    seeds: Seeds = None,
    jobs: Jobs = None,
    as_list: Annotated[bool, typer.Option("--list", help="List the claims and their rules; run nothing.")] = False,
    dry_run: DryRun = False,
    publish: Annotated[
        bool,
        typer.Option(
            "--publish",
            help="Then write results/standard, docs/figures and paper_repro.md: all claims, --preset standard.",
        ),
    ] = False,
) -> int:
    """Run the experiments that claims need; print verdicts by rules fixed beforehand, refuted claims first.

    The same command resumes a verification that was stopped.

    Example: ntk1bit verify C1 C3 --preset quick
    """
    from ntk1bit.cli import verifying

    if as_list:
        return verifying.print_claims(claims or [])
    return verifying.run(claims or [], preset=preset, out=out, seeds=seeds, jobs=jobs, dry_run=dry_run, publish=publish)
