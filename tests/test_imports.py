"""The direction of imports: a package imports only from those that come before it, and modules are no strings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ORDER = (
    ("errors", "arguments", "files", "compiling", "processors"),
    ("cores",),
    ("data",),
    ("networks",),
    ("training",),
    ("kernels",),
    ("autodiff",),
    ("energy",),
    ("packed",),
    ("statistics",),
    ("tables",),
    ("scaling",),
    ("experiments",),
    ("estimators",),
    ("claims",),
    ("plots",),
    ("reports",),
    ("proofs_numeric",),
    ("cli",),
)
PLACE = {name: place for place, names in enumerate(ORDER) for name in names}
# What takes seconds to import is loaded when it is used; a claim's module when the claim is asked for.
LAZY = {"ntk1bit/__init__.py", "ntk1bit/autodiff/__init__.py", "proofs_numeric/catalogue.py"}


def package(module: str) -> str | None:
    """Return the package of ours that a module belongs to; None for others and for `ntk1bit` itself."""
    first, *rest = module.split(".")
    if first == "proofs_numeric":
        return first
    return rest[0] if first == "ntk1bit" and rest else None


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield every module that a file imports, at its top or within a function, but for types only."""
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their package in full"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names) if module == "ntk1bit" else (module,)


FILES = sorted(path for name in ("ntk1bit", "proofs_numeric") for path in (ROOT / name).rglob("*.py"))


def against_the_order(path: str, source: str) -> list[str]:
    """Return what a file imports from packages that come after its own."""
    here = package(path.removesuffix(".py").replace("/", "."))
    if here not in PLACE:
        return []
    found = {name for name in map(package, imported(ast.parse(source))) if name in PLACE and name != here}
    return sorted(name for name in found if PLACE[name] > PLACE[here])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_package_imports_only_from_those_before_it(path: Path) -> None:
    assert against_the_order(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) == []


def test_what_is_against_the_order_is_noticed() -> None:
    source = (
        "from ntk1bit import cli\ndef f():\n    from proofs_numeric.page import ROOT\nimport ntk1bit.claims.results"
    )
    assert against_the_order("ntk1bit/plots/recipes/new.py", source) == ["cli", "proofs_numeric"]
    assert against_the_order("ntk1bit/cli/new.py", source) == []


def test_no_package_is_outside_the_order() -> None:
    there = {path.stem for path in (ROOT / "ntk1bit").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert there - {"__init__", "__main__", "__pycache__", "py"} <= set(PLACE)


def imports_by_string(source: str) -> list[str]:
    """Return the modules of ours, or of a name that is computed, that a file imports by a string."""
    calls = [
        node.args[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module")
    ]
    return [
        ast.unparse(name)
        for name in calls
        if not isinstance(name, ast.Constant) or package(str(name.value)) is not None
    ]


def test_no_module_of_ours_is_imported_by_a_string() -> None:
    """Such an import would escape every check of who imports whom; `LAZY` has the few that are meant."""
    found = {
        str(path.relative_to(ROOT)): names for path in FILES if (names := imports_by_string(path.read_text("utf-8")))
    }
    assert set(found) <= LAZY, found
    assert imports_by_string("importlib.import_module('ntk1bit.plots.recipes')") == ["'ntk1bit.plots.recipes'"]
