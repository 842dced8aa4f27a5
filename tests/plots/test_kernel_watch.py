"""The figure of a watch of a kernel: what it shows, and what it says of layers whose measures are not defined."""

import functools

import numpy as np
import pandas as pd
import pytest

from ntk1bit.autodiff.kernel_watch import COLUMNS
from ntk1bit.errors import InputError
from ntk1bit.plots import kernel_watch
from ntk1bit.plots.kernel_watch import PANELS, draw_kernel_watch

from .sizes import complaints


def seen(layers=("blocks/0", "head"), *, missing=(), targets=True):
    rng = np.random.default_rng(0)
    rows = []
    for step in (0, 10, 20, 50):
        for name in ("all", *layers):
            drift = np.nan if name in missing else step / 50 * (1 + rng.random())
            alignment = 0.2 + rng.random() / 5 if targets else np.nan
            rows.append((step, name, 10, drift, np.nan, np.nan, alignment, 5.0, 2.0, 3 + rng.random()))
    return pd.DataFrame(rows, columns=list(COLUMNS))


@pytest.fixture
def drawn(figure_of):
    return functools.partial(figure_of, kernel_watch, draw_kernel_watch)


def lines_of(figure, place):
    return {line.get_label(): line.get_ydata().tolist() for line in figure.axes[place].lines}


def test_every_layer_is_drawn_in_every_panel(drawn):
    frame = seen()
    figure = drawn(frame)
    assert complaints(figure) == []
    for place, column in enumerate(PANELS):
        found = lines_of(figure, place)
        for words, name in (("all parameters", "all"), ("blocks/0", "blocks/0"), ("head", "head")):
            assert found[words] == frame.loc[frame["layer"] == name, column].tolist()
    assert [line.get_xdata().tolist() for line in figure.axes[0].lines] == [[0, 10, 20, 50]] * 3


def test_panels_layers_and_colours_can_be_chosen(drawn):
    figure = drawn(seen(), panels="alignment", style="slides", palette={"head": "#aa0000"})
    assert [ax.get_ylabel() for ax in figure.axes] == ["kernel-target alignment"]
    assert complaints(figure) == []
    (head,) = (line for line in figure.axes[0].lines if line.get_label() == "head")
    assert head.get_color() == "#aa0000"


def test_of_many_layers_the_legend_names_the_ends(drawn):
    figure = drawn(seen([f"blocks/{at}" for at in range(12)]))
    assert complaints(figure) == []
    words = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert words == ["blocks/0", "blocks/11, 10 between", "all parameters"]
    assert len(figure.axes[0].lines) == 13


def test_what_is_not_defined_is_told(drawn):
    figure = drawn(seen(missing=("head",), targets=False))
    assert complaints(figure) == []
    assert [text.get_text() for text in figure.axes[0].texts] == ["not defined: head"]
    assert [text.get_text() for text in figure.axes[1].texts] == ["not defined"]
    assert "head" in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_other_frames_are_refused(tmp_path):
    with pytest.raises(InputError, match="no look at a kernel"):
        draw_kernel_watch(seen().iloc[:0], tmp_path / "a.svg")
    with pytest.raises(InputError, match=r"give watch\.frame\(\)"):
        draw_kernel_watch(seen().drop(columns="drift"), tmp_path / "a.svg")
    with pytest.raises(InputError, match=", ".join(PANELS)):
        draw_kernel_watch(seen(), tmp_path / "a.svg", panels="rank")
    assert not list(tmp_path.iterdir())
