"""Which page a folder gets, and writing it: all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ntk1bit.claims.results import FILE
from ntk1bit.errors import InputError
from ntk1bit.files import write_whole
from ntk1bit.printing import unheard

NAME = "report.html"
_ENDINGS = (".html", ".htm")


def write_report(
    folder: Path | str, out: Path | str | None = None, *, progress: Callable[[str, float], None] | None = None
) -> Path:
    """Write the report of a run or of a verification, and return where it is.

    Parameters
    ----------
    folder
        A folder with spec.toml (a sweep) or verdicts.json (a verification). One with both is a verification.
    out
        The file, ending in .html; by default report.html in the folder. One that is there is replaced, by a whole new
        one or not at all.
    progress
        Called as progress(what, share) with what is done and the share of the page that is there.

    Raises
    ------
    InputError
        If the folder is neither, what is in it cannot be read, or `out` cannot be written.
    """
    folder = Path(folder)
    target = folder / NAME if out is None else Path(out)
    kind = _kind(folder)
    _require_writable(target)
    report = progress or unheard
    report("starting", 0.0)
    # what a page is drawn with takes seconds to import: a wrong name is refused before
    if kind == "verification":
        from ntk1bit.reports.verdict_report import verdict_page

        report("drawing the verification", 0.1)
        page = verdict_page(folder)
    else:
        from ntk1bit.reports.sweep_report import sweep_page

        page = sweep_page(folder, progress=progress)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, page.encode("utf-8"))
    except OSError as problem:
        raise InputError(f"cannot write {target}: {problem.strerror or problem}") from None
    return target


def _kind(folder: Path) -> str:
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.is_file() else "does not exist"
        raise InputError(f"{folder} {what}; give the folder of a sweep or of a verification")
    if (folder / FILE).exists():
        return "verification"
    if (folder / "spec.toml").exists():
        return "sweep"
    if (folder / "studies").is_dir():
        raise InputError(f"{folder} is a verification that is not finished; run the same ntk1bit verify again")
    raise InputError(
        f"{folder} is neither a sweep (it has no spec.toml) nor a verification (it has no {FILE}); "
        "make one with ntk1bit sweep or ntk1bit verify"
    )


def _require_writable(target: Path) -> None:
    """Refuse a place that cannot be a page before minutes are spent on it."""
    if target.suffix.lower() not in _ENDINGS:
        raise InputError(f"a report is an HTML file, so --out must end in .html, got {str(target)!r}")
    if target.is_dir():
        raise InputError(f"{target} is a folder; give the name of a file, such as {target / NAME}")
