"""Who imports whom: a package imports only from packages before it, and nothing is imported by name."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ntk1bit
from ntk1bit.old_names import MOVED

ROOT = Path(__file__).parents[1]
TREES = ("ntk1bit", "proofs_numeric", "benchmarks")
# proofs_numeric stands between reports and the command line; benchmarks may use every package but cli.
ORDER = (*(f"ntk1bit.{name}" for name in ntk1bit.PACKAGES[:-1]), "proofs_numeric", "benchmarks", "ntk1bit.cli")

# Modules that import by name, and what for. JAX takes a second to load, which `import ntk1bit.autodiff` does not pay,
# nor `import ntk1bit.kernels` for pandas and SciPy's sparse solvers; neural-tangents and PyTorch are optional; two
# modules of JAX lack types; doctor loads every BLAS so that it can describe it; claims bring in the networks and
# estimators of their evidence, so only those asked for are imported.
BY_NAME = {
    "ntk1bit/__init__.py",
    "ntk1bit/autodiff/__init__.py",
    "ntk1bit/autodiff/frameworks/torch_modules.py",
    "ntk1bit/autodiff/infinite.py",
    "ntk1bit/cli/doctor.py",
    "ntk1bit/networks/torch_quantizers.py",
    "ntk1bit/kernels/__init__.py",
    "proofs_numeric/catalogue.py",
}


def sources() -> list[Path]:
    return [path for tree in TREES for path in sorted((ROOT / tree).rglob("*.py"))]


def package_of(module: str) -> str:
    """Return the place of a module in ORDER: `ntk1bit.kernels` of `ntk1bit.kernels.limits`."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "ntk1bit" else parts[0]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and module of every import of ours, also of those inside functions and for types only."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            module = str(node.module)
            found = [f"{module}.{alias.name}" for alias in node.names] if module in TREES else [module]
        else:
            continue
        for name in found:
            if name.split(".")[0] in TREES and name not in ("ntk1bit", "ntk1bit.__version__", "ntk1bit.PACKAGES"):
                yield node.lineno, name


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_a_package_imports_only_from_packages_before_it():
    against = []
    for path in sources():
        own = package_of(name_of(path))
        if own in ("ntk1bit", "ntk1bit.__main__"):
            continue
        for line, name in imports(path):
            if package_of(name) != own and ORDER.index(package_of(name)) > ORDER.index(own):
                against.append(f"{path.relative_to(ROOT)}:{line}: {name}")
    assert against == []


def test_modules_do_not_import_each_other_in_a_circle():
    """Inside a package too; imports inside functions count, since they only hide a circle."""
    modules = {name_of(path): path for path in sources()}
    below = {}
    for name, path in modules.items():
        below[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    below[name].add(inner if inner in modules else str(node.module))
            elif isinstance(node, ast.Import):
                below[name] |= {alias.name for alias in node.names}
        below[name] = {other for other in below[name] if other in modules and other != name}
    done: set[str] = set()

    def follow(name: str, trail: tuple[str, ...]) -> list[str]:
        if name in trail:
            return [" -> ".join((*trail[trail.index(name) :], name))]
        if name in done:
            return []
        circles = [found for other in sorted(below[name]) for found in follow(other, (*trail, name))]
        done.add(name)
        return circles

    circles = [circle for name in sorted(below) for circle in follow(name, ())]
    assert circles == []


def test_only_the_named_modules_import_by_name():
    by_name = re.compile(r"import_module\(|__import__\(")
    found = {str(path.relative_to(ROOT)) for path in sources() if by_name.search(path.read_text())}
    assert found - BY_NAME == set()


def test_no_function_is_named_in_a_string():
    """A function is passed as an object: one named by 'package.module:function' is found by no tool and no reader."""
    found = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                name = re.fullmatch(r"(?:ntk1bit|proofs_numeric|benchmarks)(?:\.\w+)+:\w*", node.value)
                if name:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.value}")
    assert found == []


def test_every_package_is_in_the_list_and_an_attribute():
    there = {found.name for found in pkgutil.iter_modules(ntk1bit.__path__)} - {"__main__"}
    assert there == set(ntk1bit.PACKAGES)
    for name in there:
        assert getattr(ntk1bit, name) is importlib.import_module(f"ntk1bit.{name}")
        assert name in dir(ntk1bit)


def test_tests_are_in_the_folder_of_their_package():
    folders = {path.name for path in (ROOT / "tests").iterdir() if (path / "__init__.py").exists()}
    assert folders <= {*ntk1bit.PACKAGES, "proofs_numeric", "benchmarks", "properties"}
    packages = {found.name for found in pkgutil.iter_modules(ntk1bit.__path__) if found.ispkg}
    assert packages - folders == set()


def test_import_of_the_package_loads_nothing_else():
    code = "import sys, ntk1bit; print(sorted({'numpy', 'jax', 'numba', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("old", MOVED)
def test_names_of_0_1_0_say_where_they_are(old):
    module, _, name = f"ntk1bit.{old}".rpartition(".")
    package = importlib.import_module(module)
    for use in (lambda: getattr(package, name), lambda: exec(f"from {module} import {name}", {})):
        with pytest.raises(ImportError, match=f"{name} is now ntk1bit") as raised:
            use()
        assert "\n" not in str(raised.value)
    with pytest.raises(AttributeError, match="has no attribute"):
        _ = package.no_such_name
    for new in re.findall(r"ntk1bit\.[\w.]+\w", str(raised.value).partition(" is now ")[2]):
        found, rest = ntk1bit, new.split(".")[1:]
        while rest:
            inner = f"{found.__name__}.{rest[0]}" if hasattr(found, "__path__") else ""
            in_file = inner and importlib.util.find_spec(inner) is not None
            found = importlib.import_module(inner) if in_file else getattr(found, rest[0])
            rest = rest[1:]


def test_verify_imports_what_the_asked_claims_need():
    code = (
        "import sys; from ntk1bit.cli.main import main; from ntk1bit.experiments import calibration\n"
        "calibration.SECONDS = 0\n"
        "try: main(['verify', 'C1', '--dry-run'])\n"
        "except SystemExit: pass\n"
        "needless = {'jax', 'matplotlib', 'ntk1bit.packed', 'ntk1bit.plots', 'proofs_numeric.c6_bitnet'}\n"
        "print(sorted(needless & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
