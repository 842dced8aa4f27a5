"""Ctrl-C in a terminal reaches every process of the program, and comes twice from an impatient hand."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from ntk1bit.cli.interrupts import interruptible

COMMANDS = {
    "sweep": ["--widths", "64..4096", "--seeds", "5"],
    "sweep --executor dask": ["--widths", "64..4096", "--seeds", "5"],
    "deep": ["--figure", "1", "--preset", "smoke"],
    "train-lm": ["--preset", "smoke"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_twice_ends_in_one_line_that_says_how_to_go_on(tmp_path, command):
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "ntk1bit", *command.split(), *COMMANDS[command], "--jobs", "2", "--out", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # whatever launched the tests does with it
    )
    end = time.monotonic() + 120
    while not folder.exists():  # the workers are about to start
        assert process.poll() is None
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)
    time.sleep(0.3)
    for _ in range(2):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.3)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    told = [line for line in errors.splitlines() if not line.startswith("[")]  # of progress, on a slow machine
    assert len(told) == 1, errors
    assert told[0].startswith("note: stopped; what is finished is in ")
    assert f"ntk1bit {command.split()[0]}" in errors


def test_signals_are_heard_once_and_put_back():
    found = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    before = [signal.default_int_handler, signal.SIG_DFL]
    for one, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
        signal.signal(one, handler)
    with interruptible():
        assert signal.getsignal(signal.SIGINT) is signal.getsignal(signal.SIGTERM)
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before
    try:
        with pytest.raises(KeyboardInterrupt), interruptible():
            signal.raise_signal(signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)  # ignored: the program is on its way out
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        for one, handler in zip((signal.SIGINT, signal.SIGTERM), found, strict=True):
            signal.signal(one, handler)


class RaisesAtItsEnd:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
        for _ in range(100):
            pass  # the handler runs between two steps of Python, here and not after the end


DROPPED = {  # where Python drops an exception, or remembers it to its end
    "where an object ends": RaisesAtItsEnd,
    "in text": lambda: exec("import signal\nsignal.raise_signal(signal.SIGINT)\nfor i in range(9): pass"),
}


def interrupted_after(call, reached):
    call()
    reached.append(True)
    time.sleep(60)  # Ctrl-C ends it


@pytest.mark.parametrize("where", DROPPED)
def test_an_interrupt_is_not_lost(where, monkeypatch):
    told, reached = [], []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    found = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt), interruptible():
            interrupted_after(DROPPED[where], reached)
        assert reached
        assert not told
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert sys.unraisablehook == told.append
    finally:
        for one, handler in zip((signal.SIGINT, signal.SIGTERM), found, strict=True):
            signal.signal(one, handler)


def test_a_program_that_text_runs_is_interrupted():
    code = (
        "import time; from ntk1bit.cli.interrupts import interruptible\n"
        "with interruptible(): print(1, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", f"exec({code!r})"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors


def test_what_else_is_dropped_is_told(monkeypatch):
    class Wrong:
        def __del__(self):
            raise ValueError("dropped")

    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    found = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interruptible():
            Wrong()
    finally:
        signal.signal(signal.SIGINT, found)
    assert [one.exc_type for one in told] == [ValueError]
