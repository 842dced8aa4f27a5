"""Colours of series: the looks of precisions and of ordered series, and palettes that put other colours in their place.

A palette is a value that is passed on: nothing here, and no setting of matplotlib, is changed by choosing one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.colors import is_color_like, to_hex, to_rgb

from ntk1bit.errors import InputError, require_choice
from ntk1bit.plots.looks import AMBER, BLACK, BLUE, BROWN, GREEN, MARKERS, ORANGE, PALETTE, PURPLE, SHADES, SKY, Look

# Colours in order, for 1-bit, full precision, their difference and what comes after; without any, they are ours.
# Paul Tol's are distinguishable with any colour vision; greys are for print without colour.
PALETTES: Mapping[str, tuple[str, ...]] = {
    "okabe-ito": (),
    "tol-bright": ("#EE6677", "#4477AA", "#228833", "#AA3377", "#CCBB44", "#66CCEE", "#BBBBBB"),
    "tol-vibrant": ("#EE7733", "#0077BB", "#009988", "#EE3377", "#33BBEE", "#CC3311", "#BBBBBB"),
    "grey": ("#000000", "#808080", "#4D4D4D", "#A6A6A6", "#262626", "#BFBFBF", "#666666"),
}
# What a palette may give a colour by name, by where it occurs.
SERIES: Mapping[str, tuple[str, ...]] = {
    "precisions": ("one_bit", "full", "one_bit - full"),
    "arms": ("bitnet", "b158", "int8-absmax", "sign-ptq", "fp16-preln", "elastic"),
    "the best method of some bits": ("8-bit PTQ", "4-bit PTQ", "2-bit PTQ", "1-bit PTQ"),
    "energy": ("full32", "full16"),
    "terms of a step": ("c1", "c2", "c3", "c4"),
    "starts": ("iid", "paired"),
    "tasks": ("sphere", "digits"),
    "scales": ("std", "absmean"),
    "outcomes": ("supported", "refuted", "inconclusive"),
}
ORDERED = "ordered"  # widths, dimensions, sizes: not a colour but one of matplotlib's maps
_ROLES = (ORANGE, BLUE, GREEN, PURPLE, AMBER, SKY, BLACK)  # what the colours of a palette take the place of, in order
_PRECISION = {"one_bit": Look(ORANGE, "o"), "full": Look(BLUE, "s", "--"), "one_bit - full": Look(GREEN, "D")}
_PALEST = 0.72  # luminance of the palest shade: paler ones would vanish on white


@dataclass(frozen=True)
class Palette:
    """Colours in place of ours.

    Attributes
    ----------
    colours
        In order; those of ours that come after them stay.
    named
        Colours of series by name. That of a precision is also that of whatever usually shares its colour, such as an
        arm, unless it is named itself.
    ordered
        A map of matplotlib for series that have an order, such as widths; empty for ours.
    """

    colours: tuple[str, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict)
    ordered: str = ""

    def colour(self, series: str, usual: str) -> str:
        """Return the colour of a series that usually has another."""
        if series in self.named:
            return self.named[series]
        swapped = dict(zip(_ROLES, self.colours, strict=False))
        swapped |= {look.colour: self.named[name] for name, look in _PRECISION.items() if name in self.named}
        if usual == BROWN and ORANGE in swapped:
            return darker(swapped[ORANGE])
        return swapped.get(usual, usual)

    def look(self, series: str, usual: Look) -> Look:
        """Return the look of a series in its colour."""
        return replace(usual, colour=self.colour(series, usual.colour))

    def nth(self, place: int, series: str = "") -> str:
        """Return the colour of one of many series that have no colours of their own, such as groups of a fit."""
        every = (*self.colours, *(one for one in PALETTE if one not in self.colours))
        return self.named.get(series, every[place % len(every)])

    def shades(self, count: int, usual: Sequence[str]) -> list[str]:
        """Return colours of ordered series, dark to light: evenly spaced among `usual`, or on the palette's map."""
        every = list(usual)
        if self.ordered:
            every = [to_hex(one) for one in mpl.colormaps[self.ordered](np.linspace(0, 1, 256))]
            every = sorted((one for one in every if _luminance(one) <= _PALEST), key=_luminance)
        return [every[round(place * (len(every) - 1) / max(count - 1, 1))] for place in range(count)]


Colours: TypeAlias = Palette | str | Mapping[str, str] | Sequence[str] | None


def read_palette(given: Colours, *, also: Iterable[object] = ()) -> Palette:
    """Return a palette from what a caller gives.

    Parameters
    ----------
    given
        A name of `PALETTES` or of a qualitative map of matplotlib (`tab10`, `Dark2`); colours in order; or colours by
        series, among them ``"ordered"`` with a map of matplotlib for widths and sizes. A text may hold either, as on
        the command line: ``"one_bit=#aa0000,full=navy"``. None is our own.
    also
        Names of series beside `SERIES`, such as groups of a fit.

    Raises
    ------
    InputError
        For an unknown palette or series, or what is no colour.
    """
    if isinstance(given, Palette):
        return given
    if isinstance(given, str):
        if "=" in given:
            pairs = [pair.partition("=") for pair in given.split(",")]
            return read_palette({name.strip(): colour.strip() for name, _, colour in pairs}, also=also)
        if "," in given:
            return read_palette([colour.strip() for colour in given.split(",")])
        name = given.replace("_", "-") if given == "okabe_ito" else given
        allowed = [*PALETTES, *(one for one in mpl.color_sequences if one != "okabe_ito")]
        if name not in allowed and is_color_like(given):
            return read_palette([given])
        try:
            require_choice("palette", name, allowed)
        except InputError as problem:
            raise InputError(f"{problem}; or write colours, as one_bit=#aa0000,full=navy") from None
        colours = PALETTES[name] if name in PALETTES else mpl.color_sequences[name]
        return Palette(tuple(map(to_hex, colours)), ordered="Greys" if name == "grey" else "")
    if isinstance(given, Mapping):
        known = [*(name for names in SERIES.values() for name in names), *map(str, also), ORDERED]
        named = {require_choice("series in the palette", name, known): colour for name, colour in given.items()}
        ordered = named.pop(ORDERED, "")
        if ordered:
            require_choice(f"map of {ORDERED} series (of matplotlib)", ordered, _maps(ordered))
        return Palette((), {name: _colour(colour, f" of {name}") for name, colour in named.items()}, ordered)
    return Palette(tuple(_colour(colour) for colour in given or ()))


def precision_look(precision: str, *, hollow: bool = False, palette: Colours = None) -> Look:
    """Return the look of a precision, or of the difference of both."""
    return replace(read_palette(palette).look(precision, _PRECISION[precision]), hollow=hollow)


def shade_look(place: int, of: int, *, hollow: bool = False, palette: Colours = None) -> Look:
    """Return one of up to `of` looks in order, dark to light."""
    shade = read_palette(palette).shades(of, SHADES)[place]
    return Look(shade, MARKERS[place % len(MARKERS)], ("-", "--", "-.", ":")[place % 4], hollow)


def darker(colour: str, share: float = 0.64) -> str:
    """Return a colour with this share of its light, for a second series of the same kind."""
    red, green, blue = (share * part for part in to_rgb(colour))
    return to_hex((red, green, blue))


def _colour(given: object, of: str = "") -> str:
    if not is_color_like(given):
        raise InputError(f"cannot read the colour {given!r}{of}; write a name (navy) or six digits (#aa0000)")
    return to_hex(given)  # pyright: ignore[reportArgumentType] - it is like a colour


def _maps(given: str) -> list[str]:
    """Return the maps to choose from: a few, and the one given if matplotlib has it."""
    few = ["viridis", "cividis", "magma", "Greys", "Blues", "Oranges"]
    return [*few, given] if given in mpl.colormaps else few


def _luminance(colour: str) -> float:
    return float(np.dot([0.2126, 0.7152, 0.0722], to_rgb(colour)))
