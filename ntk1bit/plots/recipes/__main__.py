"""Draw figures: `python -m ntk1bit.plots.recipes [NAME ...] [--results FOLDER | --preset quick] [--out FOLDER]`.

Each figure is written as NAME.pdf and NAME.png. They are drawn from results/standard; with --preset the experiments
behind the figures named are run first, into runs/figures-PRESET, and can be stopped and resumed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ntk1bit.claims.results import read_results
from ntk1bit.claims.verdict_file import FILE
from ntk1bit.cli.interrupts import interruptible
from ntk1bit.cli.progress import progress_bar, usable_jobs
from ntk1bit.errors import InputError, require_choice
from ntk1bit.plots.recipes.canvas import write
from ntk1bit.plots.recipes.catalogue import RECIPES, draw_one
from ntk1bit.plots.recipes.recipe import MissingError, Recipe
from proofs_numeric import verification
from proofs_numeric.catalogue import choose
from proofs_numeric.page import RESULTS, ROOT

USER_ERROR, INTERRUPTED = 2, 130
OUT = ROOT / "docs" / "figures"


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the figures named, all by default; return the exit code."""
    given = _options(arguments)
    with interruptible():
        return _run(given)


def _run(given: argparse.Namespace) -> int:
    try:
        return _draw(given)
    except InputError as problem:
        print(f"figures: {problem}", file=sys.stderr)
        return USER_ERROR
    except OSError as problem:
        where = f"{problem.filename}: " if problem.filename else ""
        print(f"figures: {where}{problem.strerror or problem}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("figures: interrupted; the same command goes on where it was", file=sys.stderr)
        return INTERRUPTED


def _draw(given: argparse.Namespace) -> int:
    recipes = [RECIPES[require_choice("figure", name, RECIPES)] for name in given.names] or list(RECIPES.values())
    if given.preset is not None and given.results is not None:
        raise InputError("--preset makes results and --results names some; give one of the two")
    preset: str | None = given.preset
    results = _stored(given.results or RESULTS) if preset is None else _made(recipes, preset, given.jobs)
    drawn = 0
    for recipe in recipes:
        try:
            figure = draw_one(recipe, results)
        except MissingError as problem:
            if given.names:
                raise InputError(f"cannot draw {recipe.name}: {problem}") from None
            print(f"figures: left out {recipe.name}: {problem}", file=sys.stderr)
            continue
        print(*write(figure, given.out / recipe.name), sep="\n")
        drawn += 1
    if not drawn:
        raise InputError("these results are not enough for any figure; run: ntk1bit verify")
    return 0


def _stored(place: Path) -> dict[str, Any]:
    """Read verdicts from a folder, or from the verdicts.json named itself."""
    folder = place.parent if place.name == FILE else place
    if not (folder / FILE).exists():
        raise InputError(
            f"there is no {FILE} in {folder}; make it with: make verify, or draw from short experiments with: "
            "python -m ntk1bit.plots.recipes --preset quick"
        )
    return read_results(folder)


def _made(recipes: list[Recipe], preset: str, jobs: int | None) -> dict[str, Any]:
    """Run the studies of the recipes' claims and judge these; a recipe of all claims needs all."""
    named = [] if any(not one.claims for one in recipes) else sorted({c for one in recipes for c in one.claims})
    chosen = choose(named)
    work = verification.plan_work(chosen, preset)
    folder = Path("runs") / f"figures-{preset}"
    jobs = usable_jobs(jobs)
    with progress_bar() as report:
        return verification.verify(chosen, work, preset=preset, folder=folder, jobs=jobs, progress=report)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ntk1bit.plots.recipes", description=__doc__, epilog=f"figures: {', '.join(RECIPES)}"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="figures to draw; all by default")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="folder of verdicts.json [results/standard]")
    parser.add_argument("--preset", help="run the experiments first: quick, standard or thorough")
    parser.add_argument("--jobs", type=int, help="processes for --preset; one a core by default")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FOLDER", help="where figures go [docs/figures]")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
