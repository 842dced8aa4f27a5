from __future__ import annotations

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pandas as pd
import pytest

from ntk1bit.arguments import input_rows, kappa, number, real_array, require_memory, whole, whole_numbers
from ntk1bit.errors import InputError

BFLOAT16 = ml_dtypes.bfloat16
NO_NUMBERS = [None, "1", b"1", True, np.True_, 1j, np.complex64(1), [1.0], np.ones(1), {}, object(), math.nan, np.nan]


@pytest.mark.parametrize(
    "given", [2, 2.0, np.int8(2), np.uint64(2), np.float32(2), np.longdouble(2), np.array(2), BFLOAT16(2), Fraction(2)]
)
def test_ordinary_numbers_are_taken(given):
    found = number("eta", given, above=0.0)
    assert type(found) is float
    assert found == 2.0


@pytest.mark.parametrize("given", [*NO_NUMBERS, math.inf, -math.inf, 0.0, -1, 10**400, np.longdouble("1e4000")])
def test_what_is_no_positive_number_is_refused(given):
    with pytest.raises(InputError, match="eta must be a positive number, got"):
        number("eta", given, allowed="a positive number", above=0.0)


@pytest.mark.parametrize("given", [*NO_NUMBERS, math.inf, 0, -1.0, 1e200, 1e-200, 1.1e30])
def test_output_scales_whose_square_leaves_the_range_are_refused(given):
    with pytest.raises(InputError, match="kappa must be a positive number, from 1e-30 to 1e30, got"):
        kappa(given)


@pytest.mark.parametrize("given", [1e-30, 1e30, 1, np.float32(0.5)])
def test_other_output_scales_are_taken(given):
    assert kappa(given) == given


@pytest.mark.parametrize("given", [7, 7.0, np.int64(7), np.uint8(7), np.float32(7), np.array(7)])
def test_whole_numbers_are_taken_in_any_form(given):
    found = whole("depth", given, allowed="a number", least=0)
    assert type(found) is int
    assert found == 7


@pytest.mark.parametrize("given", [*NO_NUMBERS, 0.5, -1, 2**63, 10**30, math.inf])
def test_what_is_no_whole_number_is_refused(given):
    with pytest.raises(InputError, match="depth must be a number, got"):
        whole("depth", given, allowed="a number", least=0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([0, 5], [0, 5]),
        ((0.0, 5.0), [0, 5]),
        (range(3), [0, 1, 2]),
        (pd.Index([1, 4]), [1, 4]),
        (np.array([2**63 - 1], dtype=np.uint64), [2**63 - 1]),
        ([], []),
    ],
)
def test_lists_of_whole_numbers(given, expected):
    found = whole_numbers("steps", given, allowed="whole")
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, np.array(expected, dtype=np.int64))


@pytest.mark.parametrize(
    "given",
    [
        [0.5, 1.9],
        [1, np.nan],
        [np.inf],
        ["1"],
        [True],
        [None],
        [2**63],
        [1, 2**70],
        [[1], [1, 2]],
        np.ones((2, 2)),
        "12",
    ],
)
def test_lists_of_anything_else(given):
    with pytest.raises(InputError, match="steps must be whole, got"):
        whole_numbers("steps", given, allowed="whole")


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float16, np.float64, np.longdouble, BFLOAT16])
def test_real_arrays_keep_their_dtype(dtype):
    assert real_array("K", np.ones((2, 2), dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.ones((2, 2), complex), "K is complex"),
        ([[1j]], "K is complex"),
        ([[1.0], [1.0, 2.0]], "cannot be read as an array"),
        ([["a"]], "not numbers"),
        ([[None]], "object entries, not numbers"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "not numbers"),
        (None, "object entries"),
    ],
)
def test_arrays_of_anything_else(given, message):
    with pytest.raises(InputError, match=message):
        real_array("K", given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1.0, 2.0], r"a matrix with a row for each input, got shape \(2,\)"),
        (np.ones((2, 3, 3, 1)), "reshape images to rows"),
        (3.0, r"got shape \(\)"),
        ([[np.nan]], "NaN or infinity"),
        ([[np.inf]], "NaN or infinity"),
        ([[1e39]], "too large for float32"),
        ([[1.0, 1.0], [1e-60, 0.0]], "too small for float32"),
    ],
)
def test_inputs_that_are_no_rows(given, message):
    with pytest.raises(InputError, match=message):
        input_rows("x", given)


def test_rows_may_hold_zeros_and_entries_that_vanish_beside_others():
    given = np.array([[0.0, 0.0], [1.0, 1e-60]])
    assert input_rows("x", given) is given


def test_what_does_not_fit_into_memory_is_refused():
    with pytest.raises(InputError, match=r"the table would take 1.07e.09 GiB, and this machine has .*; take less"):
        require_memory("the table", 2.0**60, instead="take less")
    require_memory("the table", 1e3, instead="take less")
