from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.estimators import activation_changes, drift, gap, loss_at_end, movement, sign_flips
from ntk1bit.estimators.measured import MEASURES
from ntk1bit.estimators.network_values import at_moment, ratio
from ntk1bit.experiments import open_run
from ntk1bit.statistics import geometric_interval, student_interval

from ..reports.documents import small_run
from .frames import run_frame

ALL = {"tasks": ("sphere-linear",), "widths": (16, 32, 64, 128), "seeds": (0, 1, 2, 3, 4), "inits": ("iid", "paired")}


@pytest.fixture(scope="module")
def frame(tmp_path_factory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("sweep") / "run"
    small_run(folder, predictions=True, terms=True, **ALL)
    return open_run(folder).frame()


def noisy(width, seed, precision, rng):
    """Return drift of a network that goes as m^-1/2 with noise, recorded at every fifth step."""
    values = np.where(np.arange(101) % 5 == 0, width**-0.5 * np.exp(0.1 * rng.standard_normal(101)), np.nan)
    return {"drift": values, "loss": np.exp(-0.1 * np.arange(101))}


@pytest.mark.parametrize(
    ("estimator", "options", "measure", "moment"),
    [
        (drift, {}, "drift", "largest"),
        (loss_at_end, {}, "loss", "last tenth"),
        (movement, {}, "radius", "largest"),
        (sign_flips, {}, "flipped", "largest"),
        (activation_changes, {}, "activation_change", "largest"),
        (gap, {"when": "start"}, "gap", "start"),
        (gap, {"when": "end"}, "gap", "end"),
        (gap, {"when": "largest"}, "gap", "largest"),
    ],
)
def test_what_an_estimator_gives_too_is_the_same_to_the_last_bit(frame, estimator, options, measure, moment):
    theirs, ours = estimator(frame, **options), [one.against_width() for one in at_moment(frame, measure, moment)]
    assert len(theirs) == len(ours) > 1
    for one, other in zip(theirs, ours, strict=True):
        assert one.settings == other.settings
        pd.testing.assert_frame_equal(one.table, other.table, check_exact=True)
        assert repr(one.power) == repr(other.power)  # NaN is not equal to itself


def test_every_measure_can_be_read_at_every_moment(frame):
    for measure in MEASURES:
        for moment in ("start", "end", "last tenth", "largest", "smallest", "step 20", "time 0.1", "loss 0.9"):
            found = at_moment(frame, measure, moment)
            assert found, (measure, moment)
            for one in found:
                assert one.values.index.is_unique
                one.against_width()


def test_gaps_are_of_pairs_of_the_same_seed(frame):
    one = next(one for one in at_moment(frame, "gap", "end") if one.settings["init"] == "iid")
    rows = frame.loc[(frame["width"] == 64) & (frame["seed"] == 3) & (frame["init"] == "iid") & (frame["step"] == 20)]
    outputs = rows.set_index("precision")["test_outputs"]
    apart = np.asarray(outputs["one_bit"], np.float64) - np.asarray(outputs["full"], np.float64)
    assert one.values[64, 3] == np.sqrt(np.mean(apart**2))


def test_times_and_losses_are_those_of_each_network(frame):
    for one in at_moment(frame, "step", "loss 0.5"):
        part = frame
        for name in ("init", "precision"):
            part = part.loc[part[name] == one.settings[name]]
        for width, seed, step in one.values.dropna().reset_index().to_numpy():
            loss = part.loc[(part["width"] == width) & (part["seed"] == seed)]["loss"].to_numpy()
            assert loss[int(step)] <= 0.5 * loss[0] < loss[: int(step)].min()
    for one in at_moment(frame, "time", "time 0.2"):
        assert (one.values.dropna() >= 0.2 * (1 - 1e-12)).all()  # what rounding of eta t can miss


def test_intervals_leave_whole_seeds_out():
    """A level at one width is Student's in logarithms of the jackknife; for a mean of logs that is Student's."""
    found = at_moment(run_frame(noisy), "drift", "step 50")
    one = next(one for one in found if one.settings["precision"] == "full").against_width()
    assert one.power.exponent_low < -0.5 < one.power.exponent_high
    assert one.power.exponent == pytest.approx(-0.5, abs=0.1)  # noise of 0.1 over ln(32) and 30 networks: 0.01
    assert set(one.table["seeds"]) == {5}


def test_a_measure_of_either_sign_has_students_interval_and_no_exponent(frame):
    one = next(one for one in at_moment(frame, "c2", "start") if one.settings["precision"] == "one_bit")
    table = one.against_width().table.set_index("width")
    for width, values in one.values.groupby(level=0):
        expected = student_interval(values.to_numpy())
        np.testing.assert_array_equal(table.loc[width, ["value", "low", "high"]].to_numpy(float), expected)


def test_ratios_are_paired_by_seed_and_geometric():
    found = {one.settings["precision"]: one for one in at_moment(run_frame(noisy), "drift", "largest")}
    quotient = ratio(found["one_bit"], found["full"])
    table = quotient.against_width().table.set_index("width")
    for width, over in found["one_bit"].values.groupby(level=0):
        expected = geometric_interval(over.to_numpy() / np.asarray(found["full"].values[width]))
        np.testing.assert_allclose(table.loc[width, ["value", "low", "high"]].to_numpy(float), expected, rtol=1e-12)
    assert quotient.against_width().notes == ()


def test_widths_with_networks_that_diverged_are_left_out_and_counted():
    def cell(width, seed, precision, rng):
        diverges = width == 256 and seed == 2 and precision == "one_bit"
        columns = noisy(width, seed, precision, rng)
        return {name: values[:41] if diverges else values for name, values in columns.items()}

    found = {one.settings["precision"]: one for one in at_moment(run_frame(cell), "drift", "end")}
    assert found["one_bit"].diverged == ((256, 2),)
    one = found["one_bit"].against_width()
    assert 256 not in set(one.table["width"])
    assert "1 networks diverged at widths 256" in one.notes[0]
    assert 256 in set(found["full"].against_width().table["width"])
    quotient = ratio(found["one_bit"], found["full"]).against_width()
    assert 256 not in set(quotient.table["width"])
    assert len(quotient.notes) == 1  # its counterpart is not counted again


def test_widths_with_networks_that_never_get_there_are_left_out_and_counted():
    def cell(width, seed, precision, rng):
        slow = width == 64 and seed < 2
        return {"loss": np.exp(-(0.001 if slow else 0.1) * np.arange(101))}

    for one in at_moment(run_frame(cell), "loss", "loss 0.1"):
        assert int(one.values.isna().sum()) == 2
        estimate = one.against_width()
        assert 64 not in set(estimate.table["width"])
        assert "2 of 30 networks have no value at 'loss 0.1', at widths 64" in estimate.notes[0]
    nothing = at_moment(run_frame(cell), "loss", "time 1e6")[0].against_width()
    assert (len(nothing.table), nothing.power.warranted) == (0, False)
    assert "30 of 30" in nothing.notes[0]


def test_a_recorded_step_that_comes_late_is_told():
    frame = run_frame(noisy)  # eta = 0.5: recorded at times 0, 2.5, 5, ...
    assert at_moment(frame, "drift", "time 2.5")[0].notes == ()
    assert "up to 25% later" in at_moment(frame, "drift", "time 2")[0].notes[0]
    assert at_moment(frame, "loss", "time 2")[0].notes == ()


def test_what_cannot_be_read_is_refused_in_a_line(frame):
    for measure, moment, told in (
        ("drfit", "end", "did you mean 'drift'"),
        ("drift", "sometimes", "write one of"),
        ("drift", "step 21", "after the last step, 20"),
    ):
        with pytest.raises(InputError, match=told):
            at_moment(frame, measure, moment)
    with pytest.raises(InputError, match="run the sweep with --terms"):
        at_moment(frame.drop(columns="unit"), "c3")
    with pytest.raises(InputError, match="two networks of width"):
        at_moment(pd.concat([frame, frame.assign(key="other")]), "drift")
    signed = at_moment(frame, "c3", "start")
    with pytest.raises(InputError, match="either sign"):
        ratio(signed[0], signed[1])
    assert at_moment(pd.DataFrame(), "drift") == []
