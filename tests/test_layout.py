"""Tests lie where the modules lie that they test, so that either leads to the other."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
# Tests of a package as a whole: of what its functions promise together, or of the repository.
WHOLE = {
    "": {"documents", "grammar", "imports", "layout"},
    "autodiff": {"random_networks"},
    "cores": {"determinism", "products"},
    "estimators": {"estimates"},
    "experiments": {"faults", "kills"},
    "plots/recipes": {"command", "recipes"},
    "reports": {"browser"},
    "scaling": {"arms", "coverage", "options", "synthetic"},
}
# Statements that hold for every network, and the program as its users start it, follow no module.
FREE = ("properties", "cli")


def packages() -> dict[str, set[str]]:
    """Return the names of modules and packages in each package, by its folder among the tests."""
    found = {}
    for top, below in (("ntk1bit", ""), ("proofs_numeric", "proofs_numeric"), ("benchmarks", "benchmarks")):
        for path in (ROOT / top).rglob("__init__.py"):
            folder = (Path(below) / path.parent.relative_to(ROOT / top)).as_posix()
            inside = {one.stem for one in path.parent.glob("*.py")} | {
                one.parent.name for one in path.parent.glob("*/__init__.py")
            }
            found["" if folder == "." else folder] = inside
    return found


def test_every_test_file_is_named_after_what_it_tests():
    modules, lost = packages(), []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        folder = path.parent.relative_to(ROOT / "tests").as_posix()
        folder, name = "" if folder == "." else folder, path.stem.removeprefix("test_")
        named = {name, *(name[:at] for at, letter in enumerate(name) if letter == "_")}  # test_file_format_damage, say
        if folder not in FREE and not named & (modules.get(folder, set()) | WHOLE.get(folder, set())):
            lost.append(path.relative_to(ROOT).as_posix())
    assert not lost, "no module or package has the name of these tests"


def test_every_package_has_tests():
    untested = [folder for folder in packages() if not list((ROOT / "tests" / folder).glob("test_*.py"))]
    assert not untested
