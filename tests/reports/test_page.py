from __future__ import annotations

import math

import pytest
from markupsafe import Markup

from ntk1bit.reports import page
from ntk1bit.reports.formats import anchor, formula, number
from ntk1bit.reports.page import records_table, render, table

from .documents import NASTY, Reader


def shown(title: str) -> str:
    """Return a page without content."""
    names = ("groups", "notes", "byline", "present", "by_width", "lists", "settings", "versions")
    nothing: dict[str, object] = {name: [] for name in names}
    return render("sweep.html", title=title, there=0, asked=0, begun="", seconds=0, **nothing)


def test_what_a_page_is_given_is_escaped_once_and_markup_is_kept():
    made = table(["<a>"], [["1 < 2 & 'b'"], [Markup("<b>3</b>")]])
    assert "&lt;a&gt;" in made
    assert ">1 &lt; 2 &amp; &#39;b&#39;<" in made
    assert "<b>3</b>" in made


def test_characters_that_no_page_may_hold_are_replaced():
    made = shown("a\x00b\x1bc\ud800d\x9fe\ttab\nline")
    assert "a�b�c?d�e\ttab\nline" in made
    made.encode("utf-8")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.0, "0"),
        (16384, "16384"),
        (-3, "−3"),
        (0.123456, "0.123"),
        (-0.5, "−0.5"),
        (1234.56, "1235"),
        (99999.7, "100000"),
        (1.0, "1"),
        (1.2e-5, "1.2×10⁻⁵"),
        (-3e20, "−3×10²⁰"),
        (1e-4, "0.0001"),
        (None, "–"),
        (math.nan, "–"),
        (-math.inf, "–"),
        (True, "–"),
        ("x", "–"),
        (10**400, "–"),
        (10**20, "1×10²⁰"),
    ],
)
def test_numbers(value, shown):
    assert number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.57, "0.570"), (2.0, "2.00"), (256.0, "256"), (1024.0, "1024"), (2e-8, "2.00×10⁻⁸"), (0.0, "0")],
)
def test_measured_numbers_keep_their_last_zeros(value, shown):
    assert number(value, even=True) == shown


def test_numbers_of_all_sizes_are_within_a_unit_of_their_third_digit():
    """Half a unit in the third digit is a relative error of at most 0.5 %."""
    for power in range(-30, 31):
        for head in (1.0, 1.005, 2.5, 9.994, 9.999):
            value = head * 10.0**power
            mantissa, _, exponent = number(value).partition("×10")
            back = float(mantissa) * 10.0 ** int(exponent.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or 0)
            assert back == pytest.approx(value, rel=5.01e-3)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("m^-1/2.", "m<sup>−1/2</sup>."),
        ("n^2 kappa^2/(m d)", "n<sup>2</sup> kappa<sup>2</sup>/(m d)"),
        ("r^T H r", "r<sup>T</sup> H r"),
        ("d^2.25 and 2^{k+1}", "d<sup>2.25</sup> and 2<sup>k+1</sup>"),
        ("n^2/4 is left", "n^2/4 is left"),  # (n^2)/4 or n^(2/4)?
        ("n^10/40 is left", "n^10/40 is left"),
        ("x^abc", "x^abc"),
        ("<b>^2", "&lt;b&gt;<sup>2</sup>"),
        ("a^{<i>}", "a<sup>&lt;i&gt;</sup>"),
    ],
)
def test_powers_are_raised(value, shown):
    assert formula(value) == shown


def test_a_table_sets_numbers_to_the_right_and_shows_gaps():
    made = table(["name", "value", "words"], [["a", 1.5, "x"], ["b", math.nan, "y"], ["c", None, None]])
    assert made.count('class="number"') == 4  # the head and three cells
    assert made.count('title="no finite number"') == 3
    assert Reader(made).tags.count("tr") == 4


def test_records_with_different_fields_share_a_table():
    made = Reader(records_table([{"a": 1, "<b>": [1, 2]}, {"c": True, "a": 0.123456}]))
    assert made.tags.count("th") == 3 + 2
    for word in ("<b>", "1, 2", "yes", "0.1235"):
        assert word in made.text
    assert "empty" in records_table([])


def test_a_long_table_says_what_it_leaves_out():
    made = Reader(table(["n"], [[i] for i in range(page.MOST_ROWS + 7)]))
    assert made.tags.count("tr") == page.MOST_ROWS + 1
    assert "7 more rows" in made.text


def test_anchors_are_different_for_different_names_and_have_no_spaces():
    names = ["C1", "C 1", "C-1", "C.1", "C_1", "c1", "é", "C%201", ""]
    made = [anchor("claim", name) for name in names]
    assert len(set(made)) == len(names)
    assert not any(set(one) & set(" %\"'<>#") for one in made)


def test_a_page_allows_nothing_from_outside():
    made = shown(NASTY)
    read = Reader(made)
    assert "script" not in read.tags
    assert read.values("content")[0].startswith("default-src 'none'; img-src data:;")
    assert read.tags.count("title") == 1
    assert made.count("</style>") == 1
