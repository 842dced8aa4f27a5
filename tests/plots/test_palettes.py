"""Palettes: what may be given, whose colour is changed by it, and that nothing else is."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from ntk1bit.errors import InputError
from ntk1bit.plots.looks import BLUE, BROWN, GREEN, GREY, ORANGE, PALETTE, PURPLE, SHADES, Look
from ntk1bit.plots.palettes import PALETTES, Palette, darker, precision_look, read_palette, shade_look


def test_without_a_palette_colours_are_ours():
    for given in (None, "okabe-ito", "okabe_ito", Palette(), (), {}):
        palette = read_palette(given)
        assert [palette.colour("any", one) for one in PALETTE] == list(PALETTE)
        assert [palette.nth(place) for place in range(8)] == [*PALETTE, PALETTE[0]]
    assert precision_look("one_bit") == Look(ORANGE, "o")
    assert [shade_look(place, 5).colour for place in range(5)] == list(SHADES)


def test_a_list_is_of_1_bit_full_precision_and_their_difference_and_ours_come_after_it():
    palette = read_palette(["red", "navy"])
    assert [palette.colour("", one) for one in (ORANGE, BLUE, GREEN)] == ["#ff0000", "#000080", GREEN]
    assert [palette.nth(place) for place in range(3)] == ["#ff0000", "#000080", PALETTE[0]]
    assert read_palette("red, navy") == palette


def test_a_named_precision_is_followed_by_what_shares_its_colour_unless_that_is_named():
    palette = read_palette({"one_bit": "#aa0000", "b158": "teal"})
    assert read_palette("one_bit=#aa0000, b158 = teal") == palette
    assert precision_look("one_bit", palette=palette).colour == "#aa0000"
    assert precision_look("full", palette=palette).colour == BLUE
    assert palette.colour("bitnet", ORANGE) == "#aa0000"
    assert palette.colour("b158", GREEN) == "#008080"
    assert palette.colour("digits", BROWN) == darker("#aa0000")
    assert palette.colour("int8-absmax", GREY) == GREY


def test_only_the_colour_of_a_look_changes():
    usual = Look(PURPLE, "v", "--", hollow=True)
    look = read_palette({"iid": "0.5"}).look("iid", usual)
    assert (look.colour, look.marker, look.line, look.hollow) == ("#808080", "v", "--", True)


def test_shades_run_from_dark_to_light_and_none_vanishes_on_white():
    for name in ("Greys", "magma", "Blues", "viridis_r"):
        shades = [np.mean(to_rgb(one)) for one in read_palette({"ordered": name}).shades(4, SHADES)]
        assert shades == sorted(shades)
        assert shades[-1] < 0.85
    assert read_palette("grey").ordered == "Greys"


def test_groups_have_the_colours_that_are_given_to_their_names():
    palette = read_palette({"my arm": "red", "2": "blue"}, also=["my arm", 2])
    assert (palette.nth(0, "my arm"), palette.nth(1, "2"), palette.nth(1, "3")) == ("#ff0000", "#0000ff", PALETTE[1])


@pytest.mark.parametrize("name", [*PALETTES, "tab10", "Dark2"])
def test_every_palette_tells_its_first_series_apart(name):
    palette = read_palette(name)
    colours = [palette.colour("", one) for one in (ORANGE, BLUE, GREEN)]
    assert len(set(colours)) == 3
    if name in PALETTES and name != "okabe-ito":  # in grey as well: by a tenth of the range from black to white
        greys = sorted(float(np.dot([0.299, 0.587, 0.114], to_rgb(one))) for one in colours)
        assert greys[-1] - greys[0] > 0.1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nave", r"unknown palette 'nave'; choose one of: okabe-ito, .*; or write colours, as one_bit=#aa0000"),
        ("one_bti=red", r"unknown series in the palette 'one_bti' \(did you mean 'one_bit'\?\)"),
        ("one_bit=redd", r"cannot read the colour 'redd' of one_bit; write a name \(navy\) or six digits"),
        ("one_bit=", "cannot read the colour '' of one_bit"),
        (["red", 3.5], "cannot read the colour 3.5"),
        ("ordered=Grays2", r"unknown map of ordered series \(of matplotlib\) 'Grays2'"),
        ({"my arm": "red"}, "unknown series in the palette 'my arm'"),
    ],
)
def test_what_cannot_be_a_palette_is_told_in_one_line(given, words):
    with pytest.raises(InputError, match=words) as told:
        read_palette(given)
    assert "\n" not in str(told.value)


def test_reading_a_palette_changes_no_setting_of_matplotlib():
    before = dict(mpl.rcParams)
    read_palette("grey").shades(3, SHADES)
    assert dict(mpl.rcParams) == before
