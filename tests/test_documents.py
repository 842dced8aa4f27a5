"""README and docs: Python examples run, command lines parse, named targets, modules and files are there."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from ntk1bit.claims import STANDINGS
from ntk1bit.claims.results import read_results
from ntk1bit.cli.main import app, main
from ntk1bit.cli.old_spellings import refuse_old_spellings

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
COMMANDS = typer.main.get_group(app).commands
# What the text before the example with this number has introduced.
GIVEN = {
    ("docs/kernels.md", 0): """
import numpy as np
from ntk1bit.kernels import kernel_regression
x = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)
K = x @ x.T + np.eye(6, dtype=np.float32)
K_test, y = K[:2], np.ones(6)
""",
}
NEEDS = {"docs/pytorch.md": "torch"}  # what is optional
SLOW = {"docs/language.md"}  # trains nine Transformers


def python_blocks(name: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(encoding="utf-8"), re.M | re.S)


def shell_lines(name: str) -> Iterator[str]:
    """Yield what a reader would type: indented lines and code spans that begin with a program of ours."""
    text = (ROOT / name).read_text(encoding="utf-8")
    text = re.sub(r"^```python\n.*?^```", "", text, flags=re.M | re.S)
    program = r"(?:\.venv/bin/)?(?:ntk1bit|python|make) "
    yield from re.findall(rf"^(?:    |\$ )({program}(?:[^\\\n]|\\\n|\\.)*)", text, re.M)
    yield from (" ".join(span.split()) for span in re.findall(rf"`({program}[^`]*)`", text))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the runs that examples read."""
    place = tmp_path_factory.mktemp("reader")
    for run in ("mine", "NAME"):
        small = ("--widths", "16..128", "--seeds", "5", "--steps", "20", "--n-train", "16", "--n-test", "8")
        with pytest.raises(SystemExit) as ended:
            main(["sweep", *small, "--jobs", "1", "--out", str(place / "runs" / run)])
        assert ended.value.code == 0
    return place


def run_blocks(name: str) -> None:
    """Run the examples of a document, one after the other, as a reader would."""
    namespace: dict[str, Any] = {}
    for number, block in enumerate(python_blocks(name)):
        exec(GIVEN.get((name, number), ""), namespace)
        if "__main__" in block:  # starts processes, which read it again: a script of its own
            Path("example.py").write_text(block)
            subprocess.run([sys.executable, "example.py"], check=True, timeout=300)
            continue
        tree = ast.parse(block)
        exec(compile(tree, name, "exec", dont_inherit=True), namespace)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("name", [name for name in NAMES if python_blocks(name) and name not in SLOW])
def test_examples_run(name, folder, monkeypatch, capsys):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    monkeypatch.chdir(folder)
    run_blocks(name)
    capsys.readouterr()


@pytest.mark.slow
@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("name", sorted(SLOW))
def test_slow_examples_run(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    run_blocks(name)


def parse(words: list[str]) -> None:
    """Read a command line as the program would, without running it."""
    refuse_old_spellings(words)
    assert words[0] in COMMANDS, words
    if words[1:]:  # a command without anything is only named
        COMMANDS[words[0]].make_context(words[0], list(words[1:]))


def check(line: str) -> bool:
    """Check one line; say whether there was anything to check."""
    words = shlex.split(line.replace("\\\n", " "), comments=True)
    words[0] = words[0].removeprefix(".venv/bin/")
    words = words[: words.index(">")] if ">" in words else words
    if "&&" in words:
        cut = words.index("&&")
        return check(shlex.join(words[:cut])) and check(shlex.join(words[cut + 1 :]))
    if any(re.fullmatch(r"\.\.\.|…", word) for word in words) or len(words) < 2:
        return False
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert words[1] in targets or "=" in words[1]
    elif words[0] == "python" and words[1] == "-m":
        assert importlib.util.find_spec(words[2]) is not None
    elif words[0] == "python" and words[1] == "-c":
        imports: list[ast.stmt] = [one for one in ast.parse(words[2]).body if isinstance(one, ast.ImportFrom)]
        exec(compile(ast.Module(imports, []), line, "exec"), {})
    elif words[0] == "ntk1bit" and words[1:] != ["--help"]:
        parse(words[1:])
    return True


@pytest.mark.parametrize("name", NAMES)
def test_command_lines_parse(name):
    for line in shell_lines(name):
        try:
            check(line)
        except (Exception, SystemExit) as problem:
            pytest.fail(f"{name}: {line}\n{problem}")


def test_examples_in_help_parse():
    for name, command in {**COMMANDS, "": typer.main.get_command(app)}.items():
        examples = re.findall(r"Example: (ntk1bit .*)", inspect.getdoc(command.callback) or "")
        assert examples, name
        assert check(examples[0])


def test_broken_lines_are_found():
    broken = (
        "ntk1bit sweep --resume",
        "ntk1bit deep --size smoke",
        "ntk1bit swep",
        "make nothing",
        "python -m figures.x",
    )
    for line in broken:
        with pytest.raises((Exception, SystemExit)):
            check(line)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files(name):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / name).read_text(encoding="utf-8")):
        assert ((ROOT / name).parent / target).exists(), target


@pytest.mark.parametrize("name", NAMES)
def test_named_modules_and_functions_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for dotted in set(re.findall(r"`(ntk1bit(?:\.\w+)+)", text)):
        parts = dotted.split(".")
        found: Any = importlib.import_module(parts[0])
        for part in parts[1:]:
            inner = f"{found.__name__}.{part}" if hasattr(found, "__path__") else ""
            in_file = inner and importlib.util.find_spec(inner)
            found = importlib.import_module(inner) if in_file else getattr(found, part)
    for path in set(re.findall(r"`((?:ntk1bit|proofs_numeric|benchmarks|tests|docs|results)/[\w/.]+)`", text)):
        assert (ROOT / path).exists(), path


def test_the_readme_says_what_the_stored_verdicts_say():
    results = read_results(ROOT / "results" / "standard")
    counts = Counter(claim.standing for claim in results.claims)
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    said = ", ".join(f"{counts[name]} {name.replace(', ', ' but ')}" for name in reversed(STANDINGS) if counts[name])
    assert f"Of {len(results.claims)} claims: {said} (" in text
    points = text.partition("refuted in these points:")[2].partition("![")[0]
    named = {name.strip() for one in re.findall(r"- ([^:]+):", points) for name in one.split(",")}
    assert named == {claim.id for claim in results.claims if claim.outcome == "refuted"}
    (table,) = [finding for finding in results.claim("C7-table").findings if finding.outcome == "refuted"]
    assert table.why == "3 failures in 44"
