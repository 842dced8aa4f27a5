"""Tables and remarks on a terminal show what files hold, and do not do what it says."""

from __future__ import annotations

from ntk1bit.cli.tables import print_table, say


def test_cells_and_heads_are_escaped_and_stay_aligned(capsys):
    print_table(["arm\x1b[2J", "loss"], [["a\nb", 1.5], ["\u202e漢", 12]])
    assert capsys.readouterr().out.splitlines() == [
        r"arm\x1b[2J  loss",
        "----------  ----",
        r"a\nb         1.5",
        r"\u202e漢       12",
    ]


def test_a_remark_is_one_line(capsys):
    say("read from a\r\nb\x07")
    assert capsys.readouterr().err == "note: read from a\\r\\nb\\x07\n"
