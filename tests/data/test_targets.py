from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.data.targets import encoded
from ntk1bit.errors import InputError


@pytest.mark.parametrize(
    ("labels", "expected", "said"),
    [
        ([0.5, -1.0, 0.25], [0.5, -1.0, 0.25], ""),
        ([-1, 1, 1], [-1.0, 1.0, 1.0], ""),
        ([0, 1, 1], [-1.0, 1.0, 1.0], "0 is -1, 1 is +1"),
        ([True, False, True], [1.0, -1.0, 1.0], "False is -1, True is +1"),
        (["yes", "no", "no"], [1.0, -1.0, -1.0], "no is -1, yes is +1"),
        (np.array(["b", "a"], dtype=object), [1.0, -1.0], "a is -1, b is +1"),
        ([-4.0, 1.0, 2.0], [-1.0, 0.25, 0.5], "divided by 4"),
        ([150.0, 200.0, 250.0], [-1.0, 0.0, 1.0], "200 subtracted, divided by 50"),
        ([-3.0, -2.0, -1.0], [-1.0, 0.0, 1.0], "-2 subtracted, divided by 1"),
    ],
)
def test_targets_lie_within_bounds_and_changes_are_said(labels, expected, said):
    targets, notes = encoded("mine", np.asarray(labels))
    assert targets.tolist() == expected  # quarters and halves are exact in float64
    assert bool(notes) == bool(said)
    assert said in "; ".join(notes)


def test_one_class_against_the_rest():
    for labels, positive in ((["a", "b", "c", "a"], "a"), ([3, 1, 2, 3], 3), ([3.0, 1.0, 2.0, 3.0], 3)):
        targets, notes = encoded("mine", np.asarray(labels), positive)
        assert targets.tolist() == [1.0, -1.0, -1.0, 1.0]
        assert "the other 2 are -1" in notes[0]


def test_few_whole_numbers_are_numbers_and_that_is_said():
    targets, notes = encoded("mine", np.arange(10))
    np.testing.assert_array_equal(targets, np.arange(10) / 9)
    assert "taken as numbers, not as classes" in notes[0]


@pytest.mark.parametrize(
    ("labels", "positive", "message"),
    [
        (["a", "b", "c"], None, "3 classes (a, b, c)"),
        (["a", "b", "c"], "d", "no target of task 'mine' is 'd'"),
        ([1.0, np.nan, 2.0], None, "NaN"),
        (np.array(["a", None], dtype=object), None, "missing in some rows"),
        (np.array(["a", np.nan], dtype=object), None, "missing in some rows"),
    ],
)
def test_targets_that_are_none(labels, positive, message):
    with pytest.raises(InputError) as caught:
        encoded("mine", np.asarray(labels), positive)
    assert message in str(caught.value)
