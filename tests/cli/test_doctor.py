"""`ntk1bit doctor` on compiled kernels, and what the program says of a machine that gives it too little."""

from __future__ import annotations

import pytest

from ntk1bit import compiling
from ntk1bit.cli import main as program
from ntk1bit.kernel_files import KernelFiles


def call(capsys, *words: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as ended:
        program.main(words)
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    files = KernelFiles(tmp_path / "kernels")
    for name in ("one", "two", "three"):
        files.write(name, bytes(300_000))
    monkeypatch.setattr(compiling, "kernels_on_disk", lambda: files)
    return files


def test_doctor_says_where_kernels_are_and_throws_damaged_ones_away(capsys, kernels):
    code, out, _ = call(capsys, "doctor")
    assert code == 0
    assert f"3, 0.9 MB, in {kernels.folder}" in out
    assert "damaged" not in out
    (kernels.folder / "two.kernel").write_bytes(b"")
    code, out, _ = call(capsys, "doctor")
    assert code == 0
    assert f"2, 0.6 MB, in {kernels.folder}" in out
    assert "1, thrown away; compiled again when they are needed" in out
    assert "damaged" not in call(capsys, "doctor")[1]


def test_doctor_says_why_kernels_are_compiled_in_every_process(capsys, kernels, monkeypatch):
    kernels.folder.chmod(0o777)
    monkeypatch.setattr(compiling, "kernels_on_disk", lambda: KernelFiles(kernels.folder))
    code, out, _ = call(capsys, "doctor")
    assert code == 0
    assert f"0, 0.0 MB, in {kernels.folder}" in out
    assert "compiled in every process: others can write to the folder" in out
    assert "chmod go-w" in out
    monkeypatch.setattr(compiling, "kernels_on_disk", lambda: KernelFiles(None))
    assert "in no folder" in call(capsys, "doctor")[1]


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (MemoryError(), "the memory that is left is not enough"),
        (ImportError("libopenblas.so: failed to map\nsegment"), "(libopenblas.so: failed to map segment)"),
        (RuntimeError("can't start new thread"), "no more threads or processes (ulimit -u)"),
        (BlockingIOError(11, "Resource temporarily unavailable"), "Resource temporarily unavailable"),
    ],
)
def test_too_little_of_anything_ends_in_one_line(capsys, monkeypatch, problem, words):
    def short(_: object) -> None:
        raise problem

    monkeypatch.setattr(program, "check_environment", short)
    code, out, err = call(capsys, "measures")
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_other_errors_are_not_hidden(monkeypatch):
    def broken(_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(program, "check_environment", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        program.main(["measures"])
