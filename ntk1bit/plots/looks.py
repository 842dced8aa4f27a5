"""Looks of figures: our colours, shades and markers, names of precisions, and sizes for a paper and for slides.

Also what every figure of ours depends on whatever the user's style, and labels shown letter by letter. No LaTeX is
needed: formulas are matplotlib's own.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib import font_manager

Line = Literal["-", "--", ":", "-.", "none"]

# Okabe and Ito's palette: distinguishable with any colour vision; order chosen so that neighbours differ in grey too.
PALETTE = BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY, BLACK = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
)  # fmt: skip
BROWN = "#8c3b00"  # a darker orange: a second 1-bit series
GREY = "#595959"  # of text and lines that are not data
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<")
SHADES = ("#1b2a49", "#275f8e", "#2e9c8f", "#8cbf4d", "#d9b31e")  # of ordered series: dark to light, in grey too


@dataclass(frozen=True)
class Look:
    """How a series looks: never by colour alone.

    Attributes
    ----------
    colour, marker, line
        As matplotlib takes them.
    hollow
        Whether markers are empty.
    """

    colour: str
    marker: str
    line: Line = "-"
    hollow: bool = False

    @property
    def face(self) -> str:
        """The colour that markers are filled with."""
        return "white" if self.hollow else self.colour


PRECISION_NAME = {"one_bit": "1-bit", "full": "full precision", "one_bit - full": "1-bit minus full"}
_BODY = 8.0  # points of text in a paper
_USERS_SIZES = (
    "axes.linewidth",
    "axes.labelpad",
    "axes.titlepad",
    "lines.markeredgewidth",
    *(f"{axis}tick.{kind}.{what}" for axis in "xy" for kind in ("major", "minor") for what in ("size", "width", "pad")),
)
_FALLBACK = "DejaVu Sans"  # comes with matplotlib
_LETTERS = 40  # of a label in a line: half a panel
_INVISIBLE = "\u200b"  # matplotlib leaves labels that begin with an underscore out of legends; this is put before them


class Formula(str):
    """Text of our own in which $...$ is a formula; `literal` leaves it as it is."""

    __slots__ = ()


def literal(label: object, *, letters: int = _LETTERS) -> str:
    r"""Return a name that somebody chose, of a group, a column, an arm, so that matplotlib shows it letter by letter.

    Nothing in it is read as a formula, no legend leaves it out, lines have at most `letters` letters, and what cannot
    be seen is written out: controls as in Python (``\n``), letters that no font at hand has by number (``<U+1F9E0>``),
    a blank name as ``(blank: ' ')``. Two names look alike only if one spells out what stands for the other. A `Formula`
    comes back unchanged.
    """
    if isinstance(label, Formula):
        return label
    name = str(label)
    known = frozenset().union(*(_letters(path) for family in _families() if (path := _font(family))))
    shown = "".join(_shown(letter, known) for letter in name) if name.strip() else _blank(name)
    lines = textwrap.wrap(shown, letters, drop_whitespace=False, replace_whitespace=False, expand_tabs=False)
    escaped = "\n".join(lines).replace("$", r"\$")
    return _INVISIBLE + escaped if escaped.startswith("_") else escaped


@contextmanager
def drawing(look: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Apply a look, and what our figures depend on, while a figure is made or written; the rest is the user's style.

    Formulas are not left to a LaTeX that may be missing. Series are told apart by the looks they are given, to which a
    user's cycle of lines and markers must add nothing. Text has a font for every letter that `literal` lets through:
    families that are not installed are passed over, and matplotlib's own comes last. A layout is ours where we ask for
    one.
    """
    needed = {
        "text.usetex": False,
        "text.parse_math": True,
        "axes.prop_cycle": mpl.rcParamsDefault["axes.prop_cycle"],
        "figure.autolayout": False,
        "pdf.use14corefonts": False,  # Latin letters only
        "ps.useafm": False,
        "font.family": _families(),
    }
    rc: Any = dict(look or {}) | needed
    with mpl.rc_context(rc=rc):
        yield


def paper(scale: float = 1.0) -> dict[str, Any]:
    """Return sizes and lines for a figure in a two-column paper, or all of them larger by `scale`, as slides have them.

    What a paper leaves to the user's style (ticks, axes) is the user's, as many times larger.
    """
    sizes: dict[str, float] = {
        "font.size": _BODY,
        "axes.labelsize": 8,
        "axes.titlesize": 8.5,
        "legend.fontsize": 6.8,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "grid.linewidth": 0.5,
        "lines.linewidth": 1.3,
        "lines.markersize": 4,
        "patch.linewidth": 0.5,
    }
    if scale != 1:
        user: Any = mpl.rcParams
        sizes = {name: scale * size for name, size in ({name: user[name] for name in _USERS_SIZES} | sizes).items()}
    return sizes | {
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#dddddd",
        "legend.frameon": True,  # a marker in a legend must not look like data
        "legend.fancybox": False,
        "legend.framealpha": 0.92,
        "legend.edgecolor": "#dddddd",
        "figure.constrained_layout.use": True,
        "savefig.dpi": 200,
        "pdf.fonttype": 42,
    }


def points(size: float) -> float:
    """Return a size in points that is meant for text of 8 points, in proportion to the text of the style in use."""
    return size * mpl.rcParams["font.size"] / _BODY


def _families() -> list[str]:
    """Return the families of the user's style that are installed, and last one that has many letters."""
    found = {family: path for family in mpl.rcParams["font.family"] if (path := _font(family))}
    last = [] if _font(_FALLBACK) in found.values() else [_FALLBACK]
    return [*found, *last]


@functools.lru_cache(maxsize=8)
def _letters(path: str) -> frozenset[int]:
    """Return the characters that a font can draw."""
    return frozenset(font_manager.get_font(path).get_charmap())


def _font(family: str) -> str | None:
    try:
        return font_manager.findfont(
            font_manager.FontProperties(family=[family]), fallback_to_default=False, rebuild_if_missing=False
        )
    except ValueError:  # not installed
        return None


def _blank(name: str) -> str:
    return f"(blank: {name!r})" if name else "(empty)"


def _shown(letter: str, known: frozenset[int]) -> str:
    if not letter.isprintable() and letter != "\u00a0":
        return letter.encode("unicode_escape").decode("ascii")
    return letter if ord(letter) in known else f"<U+{ord(letter):04X}>"
