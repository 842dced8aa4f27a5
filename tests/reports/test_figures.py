from __future__ import annotations

import base64

import numpy as np
from matplotlib.figure import Figure

from ntk1bit.reports import figures as pictures


def drawn(points: int) -> Figure:
    figure = Figure()
    figure.subplots().plot(np.random.default_rng(0).random(points), "o-")
    return figure


def test_a_small_figure_is_svg_with_letters_as_shapes():
    uri = pictures.data_uri(drawn(10))
    kind, content = uri.split(",")
    assert kind == "data:image/svg+xml;base64"
    svg = base64.b64decode(content).decode()
    assert "<svg" in svg
    assert "<text" not in svg
    assert "<dc:date>" not in svg


def test_a_figure_with_much_in_it_is_png_at_150_dpi():
    figure = drawn(20_000)
    kind, content = pictures.data_uri(figure).split(",")
    assert kind == "data:image/png;base64"
    png = base64.b64decode(content)
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
    assert [width, height] == [round(150 * inches) for inches in figure.get_size_inches()]


def test_the_same_figure_gives_the_same_bytes():
    assert pictures.data_uri(drawn(10)) == pictures.data_uri(drawn(10))
