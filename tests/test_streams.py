"""Standard output and error that are closed, full, unread or of few letters: in every command that prints."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ntk1bit.cli.main import app, main
from ntk1bit.streams import standard_streams

ASCII = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
FOLDER, TABLE = "L\u00e4ufe", "Tafel \u03b1.csv"  # names that ASCII lacks
RUN = f"{FOLDER}/n\u2032"
SWEEP = [
    "sweep",
    "--widths",
    "16..64",
    "--seeds",
    "2",
    "--steps",
    "5",
    "--n-train",
    "8",
    "--n-test",
    "4",
    "--jobs",
    "1",
]
# What is long, or needs what is, is refused with a name that ASCII lacks.
DONE = {
    "sweep": [*SWEEP, "--out", RUN],
    "summary": ["summary", RUN],
    "summary --csv": ["summary", RUN, "--csv"],
    "plot": ["plot", RUN, "--out", f"{FOLDER}/n.png"],
    "report": ["report", RUN, "--out", f"{FOLDER}/n.html"],
    "fit": ["fit", TABLE, "--law", "power", "--bootstrap", "0"],
    "ntk": ["ntk", "--width", "16", "--task", "digits", "--n-train", "8"],
    "verify": ["verify", "--list"],
    "measures": ["measures"],
    "energy": ["energy"],
    "doctor": ["doctor"],
}
REFUSED = {
    "bench": ["bench", "--only", "\u03b1"],
    "train-lm": ["train-lm", "--text", f"{FOLDER}/none.txt"],
    "generate": ["generate", f"{FOLDER}/none.npz"],
    "deep": ["deep", "--memory", "\u03b1"],
    "plan": ["plan", f"{FOLDER}/none.toml"],
    "import": ["import", f"{FOLDER}/none.gguf"],
}
CODES = {name: (words, code) for code, those in ((0, DONE), (2, REFUSED)) for name, words in those.items()}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    table = "N,loss\n" + "".join(f"{n},{3 * n**-0.5}\n" for n in (10, 20, 40, 80, 160, 320))
    (folder / TABLE).write_text(table, encoding="utf-8")
    (folder / FOLDER).mkdir()
    with pytest.raises(SystemExit):
        main([*SWEEP, "--out", str(folder / RUN)])
    return folder


def program(place, words, shell='"$@"', **variables):
    """Run the program in a command line of the shell; return its exit code, output and errors."""
    done = subprocess.run(
        ["sh", "-c", shell, "sh", sys.executable, "-m", "ntk1bit", *words],
        env={**os.environ, **variables},
        cwd=place,
        capture_output=True,
        timeout=300,
        check=False,
    )
    errors = done.stderr.decode("ascii")
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors
    return done.returncode, done.stdout.decode("ascii"), errors


def test_every_command_is_here():
    commands = {
        each.name or getattr(each.callback, "__name__", "").replace("_", "-") for each in app.registered_commands
    }
    assert {name.split()[0] for name in CODES} == commands


@pytest.mark.slow
@pytest.mark.parametrize("name", CODES)
def test_every_command_prints_to_nobody_and_in_few_letters(place, name):
    """The reader is gone before the first letter, and letters that the encoding lacks would fail before that."""
    words, code = CODES[name]
    _, _, errors = program(place, words, '{ "$@"; echo $? >code; } | :', **ASCII)
    assert (place / "code").read_text() == f"{code}\n"
    if code:
        assert "\\u" in errors or "\\x" in errors


@pytest.mark.slow
def test_letters_that_the_encoding_lacks_are_escaped(place):
    code, said, _ = program(place, DONE["sweep"], PYTHONIOENCODING="ascii", PYTHONUTF8="1")
    assert code == 0
    assert "n\\u2032" in said
    code, said, _ = program(place, DONE["sweep"], **ASCII)  # where names of files are bytes to Python
    assert code == 0
    assert "n\\udce2" in said


CLOSED = {
    ">&-": (0, "", ""),
    ">&- 2>&- <&-": (0, "", ""),
    "> /dev/full": (
        2,
        "",
        "ntk1bit: standard output cannot be written to: No space left on device; every file is whole",
    ),
    "1< /dev/null": (2, "", "ntk1bit: standard output cannot be written to: Bad file descriptor"),
}


@pytest.mark.parametrize("how", CLOSED)
def test_what_cannot_be_printed_is_told_in_one_line_or_is_nobodys_loss(tmp_path, how):
    code, said, errors = program(tmp_path, ["--help"], f'"$@" {how}')
    expected, _, line = CLOSED[how]
    assert (code, said) == (expected, "")
    assert errors.startswith(line)
    assert errors.count("\n") == bool(line)


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["energy", "--arm", "none"], 2)])
def test_the_exit_code_is_the_commands_where_nobody_reads(tmp_path, words, code):
    """Neither 1, which says that cells have failed, nor 141, nor 120, which the interpreter ends with."""
    program(tmp_path, words, '{ "$@"; echo $? >code; } 2>&1 | :')
    assert (tmp_path / "code").read_text() == f"{code}\n"
    program(tmp_path, words, '"$@" 2>/dev/full; echo $? >code')
    assert (tmp_path / "code").read_text() == f"{code}\n"


OPENED = """
import os, sys
from ntk1bit.streams import standard_streams
with standard_streams():
    file = open("file", "w")
    print("out"), print("err", file=sys.stderr), sys.stdin.read()
    os.system("echo a child")
    file.write(str(file.fileno()))
"""


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "<&-", ">&-", "2>&-", ">&- 2>&-"])
def test_a_file_is_never_opened_as_a_standard_stream(tmp_path, closed):
    command = ["sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-c", OPENED]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    assert int((tmp_path / "file").read_text()) > 2  # and nothing but its number is in it
    assert (b"out\n" in done.stdout, b"err\n" in done.stderr) == (" >" not in f" {closed}", "2>" not in closed)


def test_streams_of_the_caller_are_left_alone(capsys):
    before = sys.stdin, sys.stdout, sys.stderr
    with standard_streams() as output:
        assert (sys.stdin, sys.stdout, sys.stderr) == before
        print("seen")
        assert output.lost() is None
    assert (sys.stdin, sys.stdout, sys.stderr) == before
    assert capsys.readouterr().out == "seen\n"
