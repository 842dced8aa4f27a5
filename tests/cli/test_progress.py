"""Progress where nobody watches: what is printed when, by a clock that the tests move."""

from __future__ import annotations

import io
import sys

import pytest

from ntk1bit.cli.progress import APART, EVERY, QUIET, ProgressLines, progress_bar, shown_after


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds

    def pass_(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def lines(clock, stream):
    return ProgressLines(stream, now=clock)


def test_quick_work_is_silent(lines, clock, stream):
    lines.report("search", 0.0)
    clock.pass_(QUIET - 0.1)
    lines.report("search, done", 1.0)
    lines.beat()
    assert stream.getvalue() == ""


def test_what_begins_has_a_line_at_once_and_what_goes_on_one_in_a_while(lines, clock, stream):
    clock.pass_(QUIET)
    lines.report("compiling", 0.0)
    assert stream.getvalue() == "[0:02] compiling\n"
    clock.pass_(APART)
    lines.report("step 1", 0.1)  # goes on: the share has grown
    assert stream.getvalue().count("\n") == 1
    clock.pass_(EVERY - APART)
    lines.report("step 2", 0.2)
    # 32 s for a fifth: four fifths take 128 s
    assert stream.getvalue().splitlines()[1] == "[0:32] step 2, 20% done, about 2:08 left"
    clock.pass_(APART)
    lines.report("compiling", 0.2)  # said before
    lines.report("seeds", 0.2)
    assert stream.getvalue().splitlines()[2].startswith("[0:37] seeds, 20% done")


def test_silence_is_broken(lines, clock, stream):
    for _ in range(4):
        clock.pass_(EVERY)
        lines.beat()
    assert [line[:6] for line in stream.getvalue().splitlines()] == ["[0:30]", "[1:00]", "[1:30]", "[2:00]"]
    assert "starting" in stream.getvalue()


def test_lines_keep_apart_and_none_is_lost(lines, clock, stream):
    clock.pass_(QUIET)
    lines.report("one", 0.0)
    lines.report("two", 0.0)
    lines.report("three", 0.0)
    assert stream.getvalue() == "[0:02] one\n"
    clock.pass_(APART)
    lines.beat()
    assert stream.getvalue().splitlines()[1] == "[0:07] three"


def test_the_time_left_counts_from_where_a_resumed_run_began(lines, clock, stream):
    lines.report("search", 0.5)
    clock.pass_(EVERY)
    lines.report("search", 0.75)
    assert "75% done, about 0:30 left" in stream.getvalue()


def test_what_is_printed_while_working_comes_after(capsys):
    with shown_after("tables"):
        print("table")
        assert capsys.readouterr().out == ""
    assert capsys.readouterr().out == "table\n"


def test_a_bar_is_for_terminals_only(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for terminal in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        with progress_bar() as report:
            report("working", 0.5)
        assert ("working" in terminal.getvalue()) == terminal.isatty()  # lines would begin after two seconds


def test_kernels_that_are_compiled_are_reported(lines, clock, stream):
    from ntk1bit import compiling

    clock.pass_(QUIET)
    before = list(compiling._notice.told)
    with compiling.announced(lambda: lines.report("compiling (first time only)", 0.0)):
        assert len(compiling._notice.told) == len(before) + 1
        compiling._notice.told[-1]()
    assert compiling._notice.told == before
    assert stream.getvalue() == "[0:02] compiling (first time only)\n"
