"""Draw figures: `python -m figures [NAME ...] [--results DIR | --preset PRESET] [--out DIR]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from figures.recipes import RECIPES, make
from ntk1bit.errors import InputError, require_choice
from ntk1bit.processors import usable_processors
from ntk1bit.styles import paper
from proofs_numeric import verification
from proofs_numeric.catalogue import choose
from proofs_numeric.page import RESULTS, ROOT
from proofs_numeric.results import read_results
from proofs_numeric.studies import PRESETS


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the figures asked for; return the exit code: 0 done, 2 a mistake, told in a line."""
    parser = argparse.ArgumentParser(prog="python -m figures", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all by default: {', '.join(RECIPES)}")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--results", type=Path, default=RESULTS, help="folder of verdicts.json; default results/standard"
    )
    source.add_argument("--preset", choices=PRESETS, help="run the figures' own experiments first, in runs/")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "figures", help="folder of the pictures")
    given = parser.parse_args(arguments)
    try:
        names = [require_choice("figure", name, RECIPES) for name in given.names] or list(RECIPES)
        results = _verified(names, given.preset) if given.preset else read_results(given.results)
        for name in names:
            for path in _save(name, results, given.out):
                print(path)
    except InputError as problem:
        print(f"figures: {problem}", file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"figures: {problem.filename or given.out}: {problem.strerror or problem}", file=sys.stderr)
        return 2
    return 0


def _verified(names: list[str], preset: str) -> dict[str, Any]:
    """Run the experiments behind the figures, or go on with them."""
    chosen = choose(sorted({claim for name in names for claim in RECIPES[name].claims}))
    work = verification.plan_work(chosen, preset)
    folder = Path("runs") / f"figures-{preset}"
    return verification.verify(chosen, work, preset=preset, folder=folder, jobs=usable_processors())


def _save(name: str, results: dict[str, Any], out: Path) -> list[Path]:
    figure = make(RECIPES[name], results)
    out.mkdir(parents=True, exist_ok=True)
    written = [out / f"{name}.pdf", out / f"{name}.png"]
    with mpl.rc_context(rc=paper()):
        # no date inside: the same results give the same bytes
        figure.savefig(written[0], metadata={"CreationDate": None, "ModDate": None})
        figure.savefig(written[1])
    return written


if __name__ == "__main__":
    sys.exit(main())
