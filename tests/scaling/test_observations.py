from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.scaling import FitRequest, fit, get_law
from ntk1bit.scaling.observations import observe

GOOD = pd.DataFrame({"x": np.geomspace(1, 1e4, 9), "loss": np.geomspace(1, 0.1, 9), "name": list("abcdefghi")})


def _with(column: str, row: int, value: float) -> pd.DataFrame:
    frame = GOOD.copy()
    frame[column] = frame[column].astype(float)
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (_with("loss", 3, 0.0), {}, "'loss' must be positive and finite.* row 3"),
        (_with("loss", 3, -1.0), {}, "positive"),
        (_with("loss", 0, np.nan), {}, "first nan in row 0"),
        (_with("x", 8, np.inf), {}, "'x' must be positive"),
        (GOOD.iloc[:1], {}, "2 parameters but the table has 1 points"),
        (GOOD.iloc[:0], {}, "the table has 0 points"),
        (GOOD.assign(x=2.0), {}, "'x' has one value, 2, so alpha cannot be fitted.*--fix alpha=0"),
        (GOOD.assign(x=[1.0, 2.0] * 4 + [1.0]), {"law": "power+floor"}, "only 2 distinct"),
        (GOOD, {"x": "width"}, "no column 'width'; the table has x, loss, name"),
        (GOOD, {"x": "name"}, "'name' is not numeric: 9 of 9 values are no numbers, first 'a' in row 0"),
        (GOOD.assign(x=pd.date_range("2020", periods=9)), {}, "not numeric: 9 of 9"),
        (GOOD.assign(x=GOOD["x"] * 1j), {}, "not numeric: 9 of 9"),
        (GOOD.assign(x=[10**400, *range(1, 9)]), {}, "not numeric: 1 of 9"),
        (GOOD.assign(x=[[1.0]] * 9), {}, "not numeric: 9 of 9"),
        (GOOD, {"x": "loss"}, "used twice"),
        (GOOD, {"x": ("x", "name")}, "needs 1 column"),
        (GOOD, {"x": {"N": "x"}}, "has the variables x"),
        (GOOD, {"law": "powr"}, "did you mean 'power'"),
        (GOOD, {"cluster": "seed"}, "no column 'seed'"),
        (GOOD.assign(seed=1), {"cluster": "seed"}, "only one cluster"),
        (GOOD.assign(seed=[None, *range(8)]), {"cluster": "seed"}, "missing values"),
        (GOOD.assign(w=0.0), {"weight": "w"}, "'w' must be positive"),
        (pd.concat([GOOD, GOOD[["x"]]], axis=1), {}, "2 columns named 'x'"),
        (GOOD.assign(N=GOOD["x"], D=GOOD["x"]), {"law": "chinchilla"}, "same values"),
        (GOOD, {"bootstrap": 5}, "at least 20"),
        (GOOD, {"bootstrap": -1}, "at least 20"),
        (GOOD, {"seed": -1}, "seed"),
        (GOOD, {"delta": 0.0}, "delta"),
        (GOOD, {"tilt": 1.0}, "tilt"),
    ],
)
def test_nonsense_is_refused_in_one_line(frame: pd.DataFrame, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        fit(frame, **{"law": "power", **options})
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("untyped")
def test_only_frames_are_fitted() -> None:
    with pytest.raises(InputError, match="DataFrame"):
        fit([1, 2, 3], "power")  # pyright: ignore[reportArgumentType]


def test_whole_numbers_nullable_and_single_precision_columns_are_read() -> None:
    frame = pd.DataFrame({"x": pd.array([1, 2, 4], dtype="Int64"), "loss": np.array([3, 2, 1], dtype=np.float32)})
    data = observe(frame, FitRequest(get_law("power")))
    assert data.columns.dtype == data.loss.dtype == np.float64
    assert data.ranges() == {"x": (1.0, 4.0)}


def test_numbers_written_as_text_and_whole_numbers_of_any_size_are_read() -> None:
    frame = pd.DataFrame({"x": ["1", "2e3", " 4.5 "], "loss": [2**64 + 1, 3, 10**30]})
    data = observe(frame, FitRequest(get_law("power")))
    np.testing.assert_array_equal(data.columns[0], [1.0, 2000.0, 4.5])
    np.testing.assert_array_equal(data.loss, [2.0**64, 3.0, 1e30])


def test_clusters_of_two_columns_are_their_pairs() -> None:
    frame = GOOD.assign(a=[0, 0, 0, 1, 1, 1, 0, 0, 1], b=[0, 1, 0, 1, 0, 1, 0, 1, 0])
    data = observe(frame, FitRequest(get_law("power"), cluster=("a", "b")))
    assert data.clusters == 4
    assert data.cluster is not None
    assert data.cluster.tolist() == [0, 1, 0, 3, 2, 3, 0, 1, 2]
