"""`ntk1bit verify`: judge claims on experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def verify(
    claims: Annotated[list[str] | None, typer.Argument(help="Ids such as C1 I.5; all by default.")] = None,
    preset: Annotated[
        Literal["quick", "standard", "thorough"],
        typer.Option(help="quick: minutes; standard: what the documents cite; thorough: a night."),
    ] = "quick",
    out: Annotated[Path | None, typer.Option(help="Folder. Default: runs/verify-PRESET.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Networks per setting, in place of the preset's.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes. Default: one a core.")] = None,
    as_list: Annotated[bool, typer.Option("--list", help="List the claims and their rules; run nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the studies needed; run nothing.")] = False,
    publish: Annotated[
        bool,
        typer.Option(
            help="Then write results/standard, docs/figures and paper_repro.md: all claims, --preset standard."
        ),
    ] = False,
) -> int:
    """Run the experiments that claims need and print verdicts by rules fixed beforehand, refuted first.

    A stopped verification is resumed by the same command.

    Example: ntk1bit verify C1 C3 --preset quick
    """
    from ntk1bit.cli import verifying

    if as_list:
        return verifying.print_claims(claims or [])
    return verifying.run(claims or [], preset=preset, out=out, seeds=seeds, jobs=jobs, dry_run=dry_run, publish=publish)
