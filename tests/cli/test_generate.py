"""`ntk1bit generate`, as a function and in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from ntk1bit.cli.generate import generate
from ntk1bit.errors import InputError
from ntk1bit.networks.transformer import transformer
from ntk1bit.networks.transformer_shape import Shape
from ntk1bit.packed.export import export
from ntk1bit.packed.file_format import save

from ..packed.made_up import random_model

ALPHABET = "\n Felowcitzns"
SHAPE = Shape(1, 32, 2, len(ALPHABET), 16)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model.npz"
    export(transformer(SHAPE), SHAPE, path, alphabet=ALPHABET, note="untrained")
    return path


def run(*words):
    app = typer.Typer()
    app.command()(generate)
    return CliRunner().invoke(app, [str(word) for word in words])


def test_text_is_the_prompt_and_as_many_characters_as_asked(stored):
    done = run(stored, "--prompt", "Fellow citizens", "--length", 40, "--seed", 3)
    assert done.exit_code == 0
    assert done.stdout.startswith("Fellow citizens")
    assert len(done.stdout) == 15 + 40 + 1
    assert done.stdout == run(stored, "--prompt", "Fellow citizens", "--length", 40, "--seed", 3).stdout
    assert done.stdout != run(stored, "--prompt", "Fellow citizens", "--length", 40, "--seed", 4).stdout


def test_the_time_and_what_the_model_is_stand_on_stderr(stored):
    done = run(stored, "--prompt", "Fel", "--length", 40)
    assert re.search(r"note: 40 characters in [\d.]+ s, [\d,]+ a second", done.stderr)
    assert "note: untrained" in done.stderr


def test_about(stored):
    text = run(stored, "--about", "--length", 20).stdout
    lines = {line[:36].strip(): line[37:] for line in text.splitlines()}
    assert lines["layers"] == "1"
    assert lines["parameters N"] == "12,288"
    # 4 width^2 + 8 width^2 bits, and a scale for each of six projections
    assert lines["bytes of the packed projections"] == "1,560, 1/31.51 of float32"
    assert lines["bytes of these in float32"] == "49,152"
    # embedding, and 7 + 1 gains of 32 (the norm of 4 x 32 counts four times)
    assert lines["bytes of embedding, head and norms"] == f"{4 * 32 * (len(ALPHABET) + 8):,}, in float32"
    assert lines["note"] == "untrained"
    assert lines["bytes of the file"] == f"{stored.stat().st_size:,}"
    # weights as above; one layer of 2 x 16: values of 16 positions, keys of a whole chunk of 64, 4 bytes each
    assert lines["bytes in memory"].startswith(f"{1_560 + 4 * 32 * (len(ALPHABET) + 8) + 4 * 32 * (16 + 64):,}: ")
    assert lines["speed on this machine"].startswith("20 characters in ")
    assert lines["alphabet"] == repr(ALPHABET)


def test_mistakes_are_told_in_one_line(stored, tmp_path):
    for words in ([tmp_path / "none.npz", "--about"], [stored], [stored, "--prompt", "Hello"]):
        problem = run(*words).exception
        assert isinstance(problem, InputError)
        assert "\n" not in str(problem)


def test_characters_that_the_terminal_lacks_are_escaped(tmp_path):
    alphabet = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
    shape = Shape(1, 32, 2, len(alphabet), 8)
    export(transformer(shape), shape, tmp_path / "m.npz", alphabet=alphabet)
    words = [
        sys.executable,
        "-m",
        "ntk1bit",
        "generate",
        str(tmp_path / "m.npz"),
        "--prompt",
        alphabet[:1],
        "--length",
        "3",
    ]
    for encoding, length in (("ascii", 4 * 6), ("utf-8", 4)):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run(words, capture_output=True, text=True, encoding=encoding, env=environment)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.strip()) == length


def test_what_steers_a_terminal_is_escaped(tmp_path):
    save(random_model(), tmp_path / "m.npz")  # its note names the window, its alphabet holds the beginning of an escape
    done = run(tmp_path / "m.npz", "--prompt", "ab", "--length", 50, "--temperature", 100)
    assert r"note: a\x1b]0;title\x07 note" in done.stderr
    assert r"\x9b" in done.stdout
    shown = done.output + run(tmp_path / "m.npz", "--about", "--length", 5).output
    assert not {"\x1b", "\x07", "\x9b"} & {*shown}


def test_jax_is_not_needed(stored):
    code = (
        "import sys; from pathlib import Path; from ntk1bit.cli.generate import generate\n"
        "generate(Path(sys.argv[1]), prompt='Fel', length=20, temperature=0.8, seed=0, about=False)\n"
        "generate(Path(sys.argv[1]), prompt='', length=20, temperature=0.8, seed=0, about=True)\n"
        "assert not {'jax', 'jaxlib', 'equinox'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(stored)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Fel")
