"""Command lines made at random from the tree of commands: whatever is asked, it ends as it is documented to end.

That is in exit code 0, 1 or 2, in one line on stderr where the code is 2, without a traceback, and without anything on
stdout that would steer a terminal. Nothing large is computed, by construction: commands that train only plan, and sizes
are tiny or refused.
"""

from __future__ import annotations

import itertools
import random
import shutil
import signal
import sys
import traceback
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import typer

from ntk1bit.cli.main import app, main

from .hostile_files import STEERING, make_files

DEADLINE = 60  # seconds for one command line; none of them has much to do
TELLING = ("[", "note: ", "law: ", "columns: ")  # how lines on stderr begin that are no mistakes
# What comes first in a command line, so that what follows cannot make it large: the last of repeated options counts.
SMALL: dict[str, list[str]] = {
    "sweep": ["--dry-run"],
    "train-lm": ["--dry-run", "--text", "pydoc"],
    "deep": ["--dry-run"],
    "verify": ["--dry-run"],
    "ntk": ["--width", "8", "--n-train", "8", "--samples", "100"],
    "fit": ["--bootstrap", "20"],
    "plan": ["--workers", "4"],
}
LAST = {"bench": ["--only=no race is called so"]}  # where nothing follows that could take it back
OFTEN = {
    "sweep": 4, "fit": 4, "ntk": 4, "train-lm": 3, "verify": 3, "generate": 4, "summary": 2, "plan": 2, "energy": 1.5,
    "plot": 0.5, "report": 0.3, "bench": 0.2, "doctor": 0.2,
}  # fmt: skip
# What a command does something with: more options are then added to it.
SOUND: dict[str, list[list[str]]] = {
    "sweep": [["--tasks", "own.csv", "--target", "y"], ["--spec", "spec.toml"], ["--widths", "8,16", "--seeds", "2"]],
    "fit": [["losses.csv"], ["losses.parquet", "--law", "chinchilla"], ["run"],
            ["steering.csv", f"--group=arm{STEERING}"], ["steering.csv", "--law", "E + A*N^-alpha", "--where=loss=1"],
            ["steering.csv", "--law", "E + A*N^-alpha", "--where", f'"arm{STEERING}"=a']],
    "ntk": [["--task", "own.csv", "--target", "y"], ["--task", "own.npz"], ["--task", "sphere-linear"]],
    "train-lm": [["--text", "text.txt"], ["--sizes", "2x32", "--seeds", "1"], ["--preset", "smoke"]],
    "verify": [["claim.toml", "run"], ["steering.toml", "run"], ["steering.toml", "--list"], ["C1"]],
    "generate": [["model.npz", "--prompt", "ab"], ["plain.npz", "--prompt", "ab c"], ["model.npz", "--about"]],
    "summary": [["run"], ["begun"]], "plot": [["run"], ["verdicts"]], "report": [["run"]],
    "plan": [["run"], ["spec.toml"], ["begun"]], "energy": [["--layers", "2", "--width", "64"]], "deep": [[]],
}  # fmt: skip
WHOLE = [
    *["1", "2", "3", "8"] * 4, "0", "-1", "+3", "1.5", "1e3", "nan", "", "x", "9223372036854775808", "9" * 400, "²",
    "٣",
]  # fmt: skip
REAL = [
    *["0.5", "1", "0.1"] * 4, "0", "-1", "nan", "inf", "-inf", "1e308", "1e-308", "1e-30", "1e400", "-0.0", "1,5", "",
    "½",
]  # fmt: skip
WORDS = [
    "", " ", ",", "=", "x=", "=x", "a,,b", "..", "-", "'", '"', "*", "a=b,c", "x" * 5000, "é∂漢", STEERING, "\n", "\t",
    "0,1", "1..3", "8,16", "0.5,1", "(" * 3000, "[" * 3000, "E + A*N^-alpha", "(" * 60 + "N" + ")" * 60, "none",
    "a" * 300, "last", "best", "500MB", "1e999GB", "C1", "C7", "drift", "drift,gap", "okabe-ito", "one_bit", "iid",
    "std", "digits", "sphere-linear", "sphere-linear,digits", "pydoc", "full", "bitnet", "2x32", "1x4", "0x0", "all",
    "99999x99999", "N", "D", "loss", "arm", "y", "train", "chinchilla", "power", "arm=a", "N=1", "ab", "\udc80",
    "1" * 5000, "1e308", "-1", "nan", "gelu", "cosine", "w23", "tcp://nowhere", "0..9999", "9" * 20,
]  # fmt: skip
NAMES = [
    "new", "new.npz", "new.png", "new.csv", "new.json", "new.md", "new.html", "folder/new.npz", "none/new.npz", "",
    "x" * 300, "x" * 300 + ".csv", "/dev/null", "/dev/full", "/proc/self/mem", ".", "..", "/", "a\nb.csv", STEERING,
    f"{STEERING}.csv", "d/" * 2400, "\udc80.csv", "~", "-",
]  # fmt: skip
# More work than a test may do, and rightly done: a thousand million characters, for example.
LARGE = {("--length", "1e3"), ("--seeds", "0..9999"), ("--seeds", "9" * 20)}


def commands() -> dict[str, Any]:
    return dict(typer.main.get_group(app).commands)


def value(rng: random.Random, option: Any, files: list[str]) -> str:
    """Draw a value, mostly of the type that the option has."""
    kind = option.type_descriptor.annotation
    kinds = [one for one in get_args(kind) if one is not type(None)] if get_origin(kind) is not Literal else []
    kind = kinds[0] if kinds else kind
    if rng.random() < 0.1:
        return rng.choice([*WHOLE, *REAL, *WORDS, *NAMES, *files])
    if get_origin(kind) is Literal:
        return rng.choice([*get_args(kind), *get_args(kind), rng.choice(WORDS)])
    if kind is int:
        return rng.choice(WHOLE)
    if kind is float:
        return rng.choice(REAL)
    if kind is Path:
        return rng.choice(files) if rng.random() < 0.7 else rng.choice(NAMES)
    return rng.choice(WORDS) if rng.random() < 0.7 else rng.choice(files)


def command_line(rng: random.Random, files: list[str]) -> list[str]:
    known = commands()
    name = rng.choices(list(known), [OFTEN.get(each, 1) for each in known])[0]
    options = [one for one in known[name].params if any(each.startswith("--") for each in one.opts)]
    places = [one for one in known[name].params if one not in options]
    if name in SOUND and rng.random() < 0.7:
        words = [rng.choice(SOUND[name])]
    else:
        words = [[value(rng, place, files)] for place in places if rng.random() < 0.95]
    for option in rng.choices(options, k=rng.choice([0, 1, 1, 2, 2, 3, 5])) if options else ():
        spelling = rng.choice([*option.opts, *option.secondary_opts])
        if option.is_flag:
            words.append([spelling])
            continue
        given = value(rng, option, files)
        form = rng.random()
        words.append([f"{spelling}={given}"] if form < 0.2 else [spelling] if form < 0.23 else [spelling, given])
    if rng.random() < 0.1:
        words.append([rng.choice(["--no-such", "-x", "--", "surplus", "--help", "-h", rng.choice(WORDS)])])
    rng.shuffle(words)
    line = [name, *SMALL.get(name, ()), *(word for group in words for word in group), *LAST.get(name, ())]
    return [name] if any(pair in LARGE for pair in itertools.pairwise(line)) else line


@contextmanager
def deadline(line: list[str]) -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError(f"not done after {DEADLINE} s: {line}")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(DEADLINE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def faults(line: list[str], capfd: pytest.CaptureFixture[str]) -> list[str]:
    """Run a command line and say in what it did not end as it should."""
    code: object = None
    try:
        with deadline(line):
            main(line)
    except SystemExit as ended:
        code = ended.code
    except Exception:
        capfd.readouterr()
        return [f"it ended in a traceback: {traceback.format_exc()[-1500:]}"]
    out, err = capfd.readouterr()
    mistakes = [each for each in err.split("\n")[:-1] if not each.startswith(TELLING)]
    found = [] if code in (0, 1, 2) else [f"exit code {code}"]
    if code == 2 and (len(mistakes) != 1 or not mistakes[0].startswith("ntk1bit: ")):
        found.append(f"not one line on stderr: {err[:500]!r}")
    if "Traceback" in err or (code == 0 and mistakes):
        found.append(f"on stderr: {err[:1500]!r}")
    if not {"--csv", "--json"} & {*line} and (bad := {each for each in out if steers(each)}):
        found.append(f"on stdout: {bad}")
    return found


def steers(letter: str) -> bool:
    return letter != "\n" and unicodedata.category(letter) in ("Cc", "Cf", "Cs") and letter not in "\u200c\u200d"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile") / "files"
    folder.mkdir()
    make_files(folder)
    return folder


def run_many(rng: random.Random, count: int, made: Path, place: Path, capfd, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(made.parent / "cache"))
    files = sorted(path.name for path in made.iterdir())
    wrong: list[str] = []
    for number in range(count):
        if number % 100 == 0:  # some command lines write over files
            monkeypatch.chdir(made.parent)
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(made, place, symlinks=True)
            monkeypatch.chdir(place)
        line = command_line(rng, files)
        wrong += [f"{line!r}: {fault}" for fault in faults(line, capfd)]
    assert not wrong, "\n\n".join(wrong)


def test_a_hundred_command_lines(made, tmp_path, capfd, monkeypatch):
    run_many(random.Random(0), 100, made, tmp_path / "files", capfd, monkeypatch)


@pytest.mark.slow
def test_three_hundred_command_lines(made, tmp_path, capfd, monkeypatch):
    run_many(random.Random(1), 300, made, tmp_path / "files", capfd, monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("block", range(4))
def test_two_thousand_command_lines(block, made, tmp_path, capfd, monkeypatch):
    run_many(random.Random(f"block {block}"), 500, made, tmp_path / "files", capfd, monkeypatch)


def test_a_fault_is_seen(capfd, monkeypatch):
    """What these tests look for is found where it is put."""

    def broken(line: list[str]) -> None:
        if line == ["traceback"]:
            raise ValueError
        print("\x1b[2J" if line == ["stdout"] else "")
        print("ntk1bit: one\nntk1bit: two", file=sys.stderr)
        sys.exit(3 if line == ["code"] else 2)

    monkeypatch.setattr("tests.cli.test_random_commands.main", broken)
    for line, fault in (("traceback", "traceback"), ("stdout", "on stdout"), ("code", "exit code 3"), ("", "one line")):
        assert any(fault in each for each in faults([line], capfd)), line
