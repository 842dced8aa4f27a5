from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntk1bit.errors import InputError
from ntk1bit.scaling import FitRequest, fit, get_law
from ntk1bit.scaling.analysis import analyse, final_rows
from ntk1bit.scaling.comparison import fit_groups
from ntk1bit.scaling.frontier import curve_losses
from ntk1bit.tables.columns import parts, read_labels
from ntk1bit.tables.reading import read_table
from ntk1bit.tables.rows import select_rows

from ..labels import TABLE_LABELS as LABELS

pytestmark = pytest.mark.filterwarnings("ignore::ntk1bit.scaling.IdentificationWarning")

SIZES = np.array([1.0, 4.0, 16.0])


def labelled(labels: list[str]) -> pd.DataFrame:
    """Three sizes a label, whose losses fall with an exponent of their own."""
    rows = [(label, x, x ** -(0.1 + 0.01 * i)) for i, label in enumerate(labels) for x in SIZES]
    return pd.DataFrame(rows, columns=["arm", "x", "loss"])


def test_two_hundred_labels_are_read_letter_by_letter(tmp_path: Path) -> None:
    path = tmp_path / "arms.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["arm", "x", "loss"], *labelled(LABELS).itertuples(index=False)])
    frame = read_table(path)
    assert len(LABELS) == 200
    assert frame["arm"].tolist() == [label for label in LABELS for _ in SIZES]
    found = parts(frame, "arm")
    assert set(found) == set(LABELS)
    assert all(len(part) == 3 for part in found.values())
    for label in LABELS:
        quoted = label.replace('"', '""')
        chosen = select_rows(frame, f'arm="{quoted}"')
        assert chosen["arm"].unique().tolist() == [label]
        assert len(chosen) == 3


def test_no_group_is_lost_in_a_fit() -> None:
    """Losses are exact powers, so an exponent tells which label its rows had."""
    chosen = LABELS[:60]
    fits = fit_groups(labelled(chosen), FitRequest(get_law("power"), group="arm", bootstrap=0))
    assert set(fits) == set(chosen)
    for i, label in enumerate(chosen):
        assert fits[label].params["alpha"] == pytest.approx(0.1 + 0.01 * i, abs=1e-6)  # far below the steps of 0.01


def test_labels_are_named_in_one_line_each() -> None:
    found = read_labels(labelled(LABELS), "arm")
    for key in found.keys:
        assert found.describe(key).isprintable()
    assert found.describe("a\nb") == r"arm = 'a\nb'"
    assert found.describe("one_bit$x$") == "arm = one_bit$x$"


def test_arms_called_none_and_na_are_arms(tmp_path: Path) -> None:
    path = tmp_path / "arms.csv"
    arms = ["bitnet", "full", "None", "NA"]
    pd.concat([labelled([arm]) for arm in arms for _ in range(8)]).to_csv(path, index=False)
    assert {arm: len(rows) for arm, rows in parts(read_table(path), "arm").items()} == dict.fromkeys(sorted(arms), 24)


BLANK = pd.DataFrame(
    {
        "run": ["a", "a", None, "b", "b", None],
        "N": [1e6, 1e6, 2e6, 3e6, 3e6, 4e6],
        "D": [1e9, 2e9, 1e9, 1e9, 2e9, 2e9],
        "loss": [4.0, 3.0, 3.5, 3.0, 2.5, 2.6],
    }
)
REQUEST = FitRequest(get_law("chinchilla"), {"N": "N", "D": "D"}, "loss", run="run", bootstrap=0)


@pytest.mark.parametrize("blank", [None, np.nan, pd.NA])
@pytest.mark.parametrize(
    "use",
    [
        lambda frame: fit(frame, "power", x="N", cluster="run", bootstrap=0),
        lambda frame: fit(frame, "power", x="N", cluster=("run", "N"), bootstrap=0),
        lambda frame: fit_groups(frame, FitRequest(get_law("power"), "N", group="run", bootstrap=0)),
        lambda frame: fit_groups(frame, FitRequest(get_law("power"), "N", group="D", cluster="run", bootstrap=0)),
        lambda frame: final_rows(frame, REQUEST),
        lambda frame: analyse(frame, REQUEST),
        lambda frame: curve_losses(frame, np.array([1e16]), REQUEST),
    ],
    ids=["cluster", "clusters", "group", "group and cluster", "run", "report", "envelope"],
)
def test_rows_without_a_label_are_refused_alike(use, blank: object) -> None:
    frame = BLANK.assign(run=["a", "a", blank, "b", "b", blank])
    with pytest.raises(InputError, match=r"column 'run' has missing values in 2 of 6 rows, first in row 2") as caught:
        use(frame)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, "1", 2], r"in several ways, as number and as text \(1\)"),
        ([True, 1, 2], r"in several ways, as number and as text \(1, True\)"),
        ([True, 1, "1"], r"in several ways"),
        ([[1], [2], [1]], "holds a list; a group is named by text or a number"),
    ],
)
def test_labels_that_only_look_alike_or_cannot_be_compared_are_refused(values: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_labels(pd.DataFrame({"g": pd.Series(values, dtype=object)}), "g")


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([3, 1, 2, 3]),
        pd.Series([0.5, -1.0, 0.25, 0.5]),
        pd.Series(["b", "a", "c", "b"]),
        pd.Series([1, "a", 2, 1], dtype=object),
        pd.Series([True, False, True, True]),
        pd.Series([2**64 + 1, 2**64 + 3, 5, 5], dtype=object),
        pd.Series(pd.Categorical(["b", "a", "b", "c"], categories=["c", "b", "a", "unused"])),
        pd.Series(pd.array([1, 5, 1, 2], dtype="Int64")),
    ],
    ids=["integers", "floats", "text", "mixed", "booleans", "large integers", "categories", "nullable"],
)
def test_labels_are_the_groups_of_pandas_in_its_order(column: pd.Series) -> None:
    frame = pd.DataFrame({"g": column, "h": [1, 1, 2, 2]})
    for names in ("g", ["g", "h"], ["h", "g"]):
        found, expected = read_labels(frame, names), frame.groupby(names, sort=True, observed=True)
        assert list(found.keys) == [key for key, _ in expected]
        np.testing.assert_array_equal(found.codes, expected.ngroup())


@given(st.lists(st.tuples(st.integers(0, 3), st.text(max_size=3)), min_size=1, max_size=30))
def test_every_row_is_in_one_part(rows: list[tuple[int, str]]) -> None:
    frame = pd.DataFrame(rows, columns=["g", "h"], index=[0] * len(rows))
    places = np.concatenate([at for _, at in read_labels(frame, ["g", "h"]).rows()])
    assert sorted(places.tolist()) == list(range(len(rows)))
    for key, part in parts(frame, ["g", "h"]).items():
        assert [key] * len(part) == list(part.itertuples(index=False, name=None))


def test_a_repeated_index_changes_nothing() -> None:
    frame = pd.concat(
        [labelled(["a", "b"]).assign(seed=i, loss=lambda t, i=i: t["loss"] * (1 + 0.01 * i)) for i in range(4)]
    )
    request = FitRequest(get_law("power"), group="arm", cluster="seed", bootstrap=20)
    assert not frame.index.is_unique
    once = fit_groups(frame, request)
    again = fit_groups(frame.reset_index(drop=True), request)
    for name in ("a", "b"):
        np.testing.assert_array_equal(once[name].replicates, again[name].replicates)


def test_a_refused_group_is_named() -> None:
    frame = labelled(["a", "b"])
    frame.loc[4, "loss"] = np.nan
    for cluster in (None, "x"):
        with pytest.raises(InputError, match=r"^arm = b: column 'loss' must be positive.* first nan in row 4"):
            fit_groups(frame, FitRequest(get_law("power"), group="arm", bootstrap=0, cluster=cluster))
