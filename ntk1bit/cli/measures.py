"""`ntk1bit measures`: what a claim can be about."""

from __future__ import annotations

from typing import Annotated

import typer


def measures(
    csv: Annotated[bool, typer.Option("--csv", help="Print the measures as CSV.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print measures, moments and kinds of criteria as JSON.")
    ] = False,
) -> None:
    """Print the measures a claim file can name, the moments of training, and the kinds of criteria.

    Example: ntk1bit measures
    """
    from ntk1bit.cli import measuring

    measuring.show(as_csv=csv, as_json=json)
