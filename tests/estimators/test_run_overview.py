from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ntk1bit.estimators import gap, overview
from ntk1bit.estimators.against_width import groups_of_both
from ntk1bit.estimators.run_overview import COLUMNS
from ntk1bit.experiments import SweepSpec, open_run, run_all


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    spec = SweepSpec(
        widths=(16, 64, 256, 1024),
        seeds=(0, 1),
        steps=40,
        n_train=(20,),
        n_test=10,
        inits=("iid", "paired"),
        scales=("std", "absmean"),
    )
    run_all(spec, folder, jobs=2)
    return open_run(folder)


def test_everything_a_run_has_data_for_is_there(run):
    found = overview(run.frame(COLUMNS))
    values = found.values()
    assert set(values["quantity"]) >= {
        "loss",
        "drift",
        "gap (start)",
        "gap (end)",
        "spread",
        "radius R",
        "lambda ratio",
    }
    # a gap for each scale of the 1-bit network, paired with the one full-precision network
    gaps = values[values["quantity"] == "gap (end)"]
    assert set(gaps["scale"]) == {"std", "absmean"}
    assert len(gaps) == 2 * 2 * 4
    starts = values.loc[(values["quantity"] == "gap (start)") & (values["init"] == "paired")]
    assert not starts["value"].to_numpy().any()
    assert "use 5 or more" in found.notes[0]
    exponents = found.exponents()
    assert exponents.loc[~exponents["warranted"], "exponent"].isna().all()
    assert exponents.loc[~exponents["warranted"], "note"].ne("").all()


def test_activities_are_groups_of_their_own_beside_the_same_full_precision(tmp_path):
    activities = ("straight_through", "frozen", "latent")
    spec = SweepSpec(widths=(16, 64), seeds=(0, 1), steps=20, n_train=(20,), n_test=10, activities=activities)
    run_all(spec, tmp_path / "run", jobs=1)
    frame = open_run(tmp_path / "run").frame(COLUMNS)
    values = overview(frame).values()
    for quantity, precision in (("loss", "one_bit"), ("gap (end)", "one_bit - full")):
        rows = values.loc[(values["quantity"] == quantity) & (values["precision"] == precision)]
        assert rows["activity"].tolist() == [one for one in sorted(activities) for _ in spec.widths]
    full = values.loc[(values["quantity"] == "loss") & (values["precision"] == "full")]
    assert set(full["activity"]) == {"straight_through"}
    alone = frame.loc[(frame["activity"] == "frozen") | (frame["precision"] == "full")]
    expected = values.loc[(values["quantity"] == "gap (end)") & (values["activity"] == "frozen"), "value"]
    assert gap(alone)[0].table["value"].tolist() == expected.tolist()
    parts = groups_of_both(frame)
    assert [settings["activity"] for settings, _ in parts] == sorted(activities)
    assert all(set(part["precision"]) == {"one_bit", "full"} for _, part in parts)

    old = frame.loc[frame["activity"] == "straight_through"]
    for one, other in ((values, old), (values, old.drop(columns="activity"))):  # a frame from before there was a choice
        found = overview(other).values()
        kept = one.loc[one["activity"] == "straight_through"].sort_values(["quantity", "precision", "width"])
        found = found.sort_values(["quantity", "precision", "width"])
        assert found["quantity"].tolist() == kept["quantity"].tolist()
        np.testing.assert_array_equal(found["value"], kept["value"])


def test_an_empty_run_says_so():
    assert "no finished cells" in overview(pd.DataFrame()).notes[0]
    assert overview(pd.DataFrame()).values().empty
