"""The figure of a monitor: what it shows, what it says of zeros and of weights that nobody counted."""

import functools

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.plots import oscillation
from ntk1bit.plots.oscillation import PANELS, draw_oscillation
from ntk1bit.training import Oscillation

from .sizes import complaints


def monitor(*, weights=True, still=False):
    rng = np.random.default_rng(0)
    found = Oscillation(np.zeros(5), window=10, last=5)
    for step in range(40):
        f = np.zeros(5) if still else (-1.0) ** step * np.linspace(1, 2, 5) + 0.1 * rng.standard_normal(5)
        signs = np.where(rng.random(50) < 0.1, -1, 1).astype(np.int8)
        found.update(f, signs if weights else None)
    return found


@pytest.fixture
def drawn(figure_of):
    return functools.partial(figure_of, oscillation, draw_oscillation)


def lines_of(figure, place):
    return {line.get_label(): line.get_ydata() for line in figure.axes[place].lines if len(line.get_xdata()) > 2}


def test_every_column_of_the_frame_is_drawn_where_it_belongs(drawn):
    frame = monitor().frame()
    figure = drawn(frame)
    assert complaints(figure) == []
    losses, flips = lines_of(figure, 0), lines_of(figure, 2)
    for column, words in (("loss", "one output"), ("averaged", "mean of two"), ("averaged_last", "mean of the last")):
        assert losses[words].tolist() == frame[column].tolist()
    for column, words in (("flips", "in a step"), ("flipped", "in a window"), ("returned", "and back")):
        assert flips[words].tolist() == frame[column].tolist()
    assert frame["autocorrelation"].to_numpy().max() < -0.8
    assert next(iter(lines_of(figure, 1).values())).tolist() == frame["autocorrelation"].tolist()


def test_panels_can_be_chosen_and_styled(drawn):
    figure = drawn(monitor().frame(), panels="flips", style="slides", palette="grey")
    assert [ax.get_ylabel() for ax in figure.axes] == ["share of weights"]
    assert complaints(figure) == []


def test_weights_that_nobody_counted_and_losses_of_0_are_told(drawn):
    assert [text.get_text() for text in drawn(monitor(weights=False).frame()).axes[2].texts] == ["not counted"]
    still = drawn(monitor(still=True).frame())
    (shown,) = (ax.get_legend() for ax in still.axes[:1])
    assert [text.get_text() for text in shown.get_texts()] == [
        "one output (4 at 0)", "mean of two (4 at 0)", "mean of the last (4 at 0)",
    ]  # fmt: skip


def test_other_frames_are_refused(tmp_path):
    with pytest.raises(InputError, match="no window of steps"):
        draw_oscillation(Oscillation([0.0]).frame(), tmp_path / "a.svg")
    with pytest.raises(InputError, match=r"give monitor\.frame\(\)"):
        draw_oscillation(monitor().frame().drop(columns="flips"), tmp_path / "a.svg")
    with pytest.raises(InputError, match=", ".join(PANELS)):
        draw_oscillation(monitor().frame(), tmp_path / "a.svg", panels="weights")
    assert not list(tmp_path.iterdir())
