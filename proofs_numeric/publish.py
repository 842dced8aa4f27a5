"""From claim to page: store verdicts in results/standard, draw figures into docs/figures, write both pages.

`ntk1bit verify --preset standard --publish` calls this after a verification, and a recount after it has judged anew.
"""

from __future__ import annotations

from pathlib import Path

from ntk1bit.claims.results import FILE, read_results
from ntk1bit.errors import InputError
from ntk1bit.files import write_whole
from ntk1bit.plots.recipes import write_figures
from proofs_numeric import statements
from proofs_numeric.page import PAGE, RESULTS, ROOT, read_changes, render
from proofs_numeric.what_changed import read_earlier

PRESET = "standard"
COVERAGE = statements.PAGE.relative_to(ROOT)  # the page of what is checked
FIGURES = ROOT / "docs" / "figures"
NETWORKS = "language.csv"  # beside verdicts.json: losses of the language models with all their digits, for a recount
_MADE = Path("studies") / "language" / "networks.csv"  # where a verification leaves them


def publish(
    folder: Path, *, results: Path = RESULTS, figures: Path = FIGURES, page: Path = PAGE
) -> tuple[list[Path], list[str]]:
    """Store the verdicts of a folder, draw the figures and write the page.

    Parameters
    ----------
    folder
        Of a verification of all claims; or `results` itself, whose figures and page are then written anew.
    results
        Where verdicts.json and language.csv are stored.
    figures
        Where a PDF and a PNG of each figure go.
    page
        The page; docs/coverage.md lies beside it.

    Returns
    -------
    paths, left_out
        What was written, and a sentence for each figure that could not be drawn.

    Raises
    ------
    InputError
        If a claim or a file is missing; nothing is written then.
    """
    require_source_tree()
    verified = read_results(folder)
    if verified.preset != PRESET:
        raise InputError(f"{folder} holds a {verified.preset} verification; the documents cite --preset {PRESET}")
    contents = {page: render(verified, read_changes(results), read_earlier(RESULTS)).encode()}
    contents[page.parent / COVERAGE] = statements.render(verified).encode()
    if folder.resolve() != results.resolve():
        if not (folder / _MADE).is_file():
            raise InputError(f"there is no {folder / _MADE}; run the same ntk1bit verify again")
        contents[results / FILE] = (folder / FILE).read_bytes()
        contents[results / NETWORKS] = (folder / _MADE).read_bytes()
    drawn, left_out = write_figures(verified, figures)
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    return [*drawn, *contents], left_out


def require_source_tree() -> None:
    """Refuse to publish where there are no documents: the package is installed without its source tree.

    Raises
    ------
    InputError
        If so.
    """
    if not (ROOT / "pyproject.toml").is_file():
        raise InputError(
            "--publish writes the documents of the source tree; run it from a checkout installed with pip -e"
        )
