from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.estimators.measured import MEASURES
from ntk1bit.estimators.moments import MOMENTS, Moment, read_moment, require_step


@pytest.mark.parametrize(
    ("text", "kind", "at"),
    [
        ("start", "start", math.nan),
        ("end", "end", math.nan),
        ("last tenth", "last tenth", math.nan),
        ("largest", "largest", math.nan),
        (" smallest ", "smallest", math.nan),
        ("step 100", "step", 100.0),
        ("time 2.5e-1", "time", 0.25),
        ("loss 0.1", "loss", 0.1),
        ("loss 1", "loss", 1.0),
    ],
)
def test_moments_are_read_as_people_write_them(text, kind, at):
    found = read_moment(text)
    assert (found.kind, found.at) == (kind, pytest.approx(at, nan_ok=True))
    assert read_moment(found.text) == found or math.isnan(at)
    assert found.words


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "write one of: start, end"),
        ("lagest", "write one of: start, end"),
        ("step", "write one of"),
        ("step N", "cannot read the number"),
        ("step 1.5", "whole number of steps"),
        ("step -1", "whole number of steps"),
        ("time -1", "at least 0"),
        ("time 1e999", "at least 0"),
        ("time inf", "cannot read the number"),
        ("loss 0", "above 0 and at most 1"),
        ("loss 2", "above 0 and at most 1"),
        ("loss 1.2.3", "cannot read the number"),
        ("loss . ", "cannot read the number"),
        ("largest 3", "write one of"),
    ],
)
def test_other_moments_are_refused_in_a_line(text, told):
    with pytest.raises(InputError, match=told) as problem:
        read_moment(text)
    assert "\n" not in str(problem.value)


def test_each_moment_picks_its_rows():
    steps = np.array([0, 1, 2, 5, 10, 20])
    value = np.array([3.0, 7.0, 1.0, 4.0, 5.0, 6.0])
    share = np.array([1.0, 0.5, 0.3, 0.2, 0.05, 0.01])
    curve = pd.DataFrame({"width": 4, "seed": 0, "step": steps, "value": value, "share": share, "time": 0.1 * steps})
    expected = {
        "start": 3.0,
        "end": 6.0,
        "last tenth": 6.0,  # of 20 steps: those after step 18
        "largest": 7.0,
        "smallest": 1.0,
        "step 5": 4.0,
        "time 0.5": 4.0,
        "time 0.6": 5.0,
        "time 0": 3.0,
        "loss 0.2": 4.0,
        "loss 0.1": 5.0,
        "loss 1": 3.0,
    }
    for text, number in expected.items():
        assert read_moment(text).pick(curve, ["width", "seed"])["value"].tolist() == [number], text
    assert {text.split()[0] for text in expected} == {text.split()[0] for text in MOMENTS}
    for text in ("loss 0.001", "time 9"):  # never reached
        assert read_moment(text).pick(curve, ["width", "seed"]).empty


def test_a_step_that_is_not_recorded_names_those_nearby():
    recorded = [0, 1, 2, 4, 8, 16, 32]
    with pytest.raises(InputError, match="'drift' is not recorded at step 10; recorded steps nearby: 2, 4, 8, 16, 32"):
        require_step(Moment("step", 10), MEASURES["drift"], recorded)
    with pytest.raises(InputError, match="after the last step, 32"):
        require_step(Moment("step", 33), MEASURES["drift"], recorded)
    for moment in ("step 8", "time 10", "end"):
        require_step(read_moment(moment), MEASURES["drift"], recorded)
