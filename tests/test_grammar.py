"""One name, one meaning: the table in CONTRIBUTING.md against all commands and all public functions."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperOption

import ntk1bit
from ntk1bit.cli.main import app, main
from ntk1bit.cli.old_spellings import OLD
from ntk1bit.cli.options import fill_in_defaults
from ntk1bit.errors import InputError

ROOT = Path(__file__).parents[1]
COMMANDS = typer.main.get_group(app).commands
# Modules whose functions do not follow a rule yet; the list is to become empty.
NOT_YET: dict[str, set[str]] = {
    "class": set(),
    "order": set(),
}
PACKAGES = [found.name for found in pkgutil.iter_modules(ntk1bit.__path__) if found.name not in ("__main__", "cli")]


def table() -> list[tuple[list[str], list[str]]]:
    """Return the rows of CONTRIBUTING's table: options and arguments."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## Names of options and arguments")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")][2:]
    names = [re.findall(r"`(--[\w-]+|[A-Z]{3,})`", row[0]) for row in rows]
    return [(names[i], re.findall(r"`(\w+)`", row[1])) for i, row in enumerate(rows)]


def options(command: Any) -> Iterator[str]:
    for one in command.params:
        yield from [name for name in one.opts if name.startswith("--")] or [str(one.name).upper()]


def public_functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the functions that packages export."""
    for package in PACKAGES:
        module = importlib.import_module(f"ntk1bit.{package}")
        for name in getattr(module, "__all__", []):
            if inspect.isfunction(function := getattr(module, name)):
                yield f"ntk1bit.{package}.{name}", function


def test_the_table_has_every_option_once():
    listed = [name for names, _ in table() for name in names]
    assert len(set(listed)) == len(listed)
    assert set(listed) == {name for command in COMMANDS.values() for name in options(command)} - {"--help"}


def test_options_of_one_command_are_said_to_be_so():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    users = {name: {c for c, one in COMMANDS.items() if name in options(one)} for names, _ in table() for name in names}
    for line in text.splitlines():
        found = re.match(r"\| only `([\w-]+)`: ([^|]*)\|", line)
        if found:
            assert {c for name in re.findall(r"`([^`]+)`", found[2]) for c in users[name]} == {found[1]}


def test_options_with_one_name_are_declared_alike():
    """A flag here and a value there, or a number here and a text there, would be two meanings."""
    kinds: dict[str, dict[str, str]] = {}
    for name, command in COMMANDS.items():
        for one in command.params:
            for option in one.opts:
                kind = "flag" if isinstance(one, TyperOption) and one.is_flag else "value"
                kinds.setdefault(option, {})[name] = kind
    assert {option: found for option, found in kinds.items() if len(set(found.values())) > 1} == {}
    for option in ("--jobs", "--dry-run"):
        helps = {getattr(one, "help", None) for c in COMMANDS.values() for one in c.params if option in one.opts}
        assert len(helps) == 1


def test_help_is_whole_and_defaults_come_from_the_code(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = " ".join(capsys.readouterr().out.split())
    for name, command in COMMANDS.items():
        text = inspect.getdoc(command.callback) or ""
        first = text.partition("\n")[0]
        assert first.endswith("."), name
        assert first in listed, name
        assert "Example: ntk1bit" in text, name
        fill_in_defaults(name, command.params)
        for one in command.params:
            text = getattr(one, "help", "") or ""
            assert text.endswith("."), (name, one.name)
            assert not re.search(r"\bboth\b|\{|\b(Fig|Eq|Thm|Def|e\.g)\.", text), (name, one.name, text)
            typed = re.search(r"[Dd]efault:? (?!one per core|all|a |report|the |width/64|full32)", text)
            assert name == "sweep" or not typed, (name, text)  # sweep's are filled in


def test_defaults_of_ntk_are_those_of_the_library():
    from ntk1bit.kernels import measure

    defaults = {one.name: one.default for one in COMMANDS["ntk"].params}
    for name, field in inspect.signature(measure.NetworkSettings).parameters.items():
        assert defaults[name] == field.default


@pytest.mark.parametrize(("command", "option", "value"), OLD)
def test_old_spellings_end_in_one_line_that_says_the_new_one(command, option, value, capsys):
    words = [command, option, *([value] if value else [])]
    with pytest.raises(SystemExit) as ended:
        main(words)
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    assert OLD[command, option, value] in err
    if value is None:  # an option that came back would make its line untrue
        assert option not in set(options(COMMANDS[command]))


def test_other_old_spellings_end_in_one_line(capsys):
    for words, now in (
        (["energy", "--csv", "counts.csv"], "--csv > counts.csv"),
        (["energy", "--csv=counts.csv"], "--csv > counts.csv"),
        (["sweep", "--seeds", "7,", "--dry-run"], "7..7"),
        (["deep", "--size", "full"], "--preset thorough"),
        (["deep", "--size=smoke"], "--preset"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(words)
        err = capsys.readouterr().err
        assert (ended.value.code, err.count("\n")) == (2, 1)
        assert now in err


def test_python_m_figures_of_0_1_0_ends_in_one_line():
    done = subprocess.run([sys.executable, "figures.py"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "ntk1bit plot" in done.stderr


def test_doctor_lists_what_is_always_needed_apart_from_what_is_optional(capsys):
    with pytest.raises(SystemExit):
        main(["doctor"])
    versions, _, optional = capsys.readouterr().out.partition("optional part")
    needed = {
        re.split(r"[<>=]", one)[0]
        for one in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    }
    named = {line.split()[0] for line in optional.splitlines()[2:]}
    assert named & needed == set()
    assert "jax" in versions


# ------------------------------------------------------------------------------------------------- the library

KEYWORDS = {"precision", "kappa", "scale", "seed", "jobs", "threads", "progress", "executor"}
NETWORKS = {"f", "forward", "apply", "params", "network", "module", "make"}  # they come before x, as in JAX itself


def test_data_come_first_and_settings_are_keywords():
    wrong = []
    for name, function in public_functions():
        if name.startswith(("ntk1bit.cores", "ntk1bit.arguments", "ntk1bit.compiling")):
            continue  # cores take arrays alone, in the order of their formula
        parameters = inspect.signature(function).parameters
        order = [one for one in parameters if one not in NETWORKS]
        if "x" in order and order[0] not in ("x", "name", "frame"):
            wrong.append(f"{name}: x is not first")
        if "frame" in order and order[0] != "frame":
            wrong.append(f"{name}: frame is not first")
        wrong += [
            f"{name}: {one} is not a keyword"
            for one in KEYWORDS & set(parameters)
            if parameters[one].kind is not inspect.Parameter.KEYWORD_ONLY and order[0] != one
        ]
    assert wrong == []


def signatures() -> Iterator[tuple[str, str, ast.arg]]:
    """Yield file, function and argument of every public function and method outside the command line."""
    for path in sorted((ROOT / "ntk1bit").rglob("*.py")):
        if "cli" in path.parts:
            continue
        nodes: list[ast.AST] = list(ast.parse(path.read_text()).body)
        nodes += [inner for node in nodes if isinstance(node, ast.ClassDef) for inner in node.body]
        for node in nodes:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
                    yield str(path.relative_to(ROOT)), node.name, argument


def test_a_path_may_be_a_string_everywhere():
    """Where users call; the scratch place of an experiment is the runner's business."""
    wrong = [
        f"{file}: {function}({one.arg})"
        for file, function, one in signatures()
        if one.annotation is not None and re.search(r"\bPath\b", ast.unparse(one.annotation))
        if one.arg not in ("scratch", "scratches") and not re.search(r"\bstr\b|Callable", ast.unparse(one.annotation))
    ]
    assert wrong == []


def test_progress_has_one_signature():
    wrong = [
        f"{file}: {function}({ast.unparse(one)})"
        for file, function, one in signatures()
        if one.arg == "progress"
        and ast.unparse(one.annotation or ast.Constant(""))
        not in ("Progress | None", "Callable[[str, float], None] | None")
    ]
    assert wrong == []


def test_readers_refuse_a_missing_string_path_in_one_line(tmp_path):
    """Every public function that needs nothing but one path is called with a string."""
    messages = []
    for file, function, one in signatures():
        if one.arg not in ("path", "folder", "file"):
            continue
        module = importlib.import_module(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        if not inspect.isfunction(reader := getattr(module, function, None)):
            continue
        needed = [p for p in inspect.signature(reader).parameters.values() if p.default is p.empty]
        if [p.name for p in needed] != [one.arg]:
            continue
        try:
            reader(str(tmp_path / "missing" / "file.npz"))
        except (InputError, OSError) as problem:
            messages.append(str(problem))
    assert len(messages) >= 3  # some say False of what is not there
    assert [one for one in messages if "\n" in one] == []


def test_no_exported_function_hides_a_module():
    """`import ntk1bit.scaling.fit as m` would give the function."""
    hidden = []
    for package in PACKAGES:
        module = importlib.import_module(f"ntk1bit.{package}")
        folder = Path(str(module.__file__)).parent if hasattr(module, "__path__") else None
        names = {path.stem for path in folder.iterdir()} if folder else set()
        hidden += [f"ntk1bit.{package}.{name}" for name in getattr(module, "__all__", []) if name in names]
    assert hidden == []


def test_a_class_name_is_used_once():
    defined: dict[str, list[str]] = {}
    for path in sorted((ROOT / "ntk1bit").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                defined.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    twice = {name: files for name, files in defined.items() if len(files) > 1 and name not in NOT_YET["class"]}
    assert twice == {}
