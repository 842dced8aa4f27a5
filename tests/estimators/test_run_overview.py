from __future__ import annotations

import pandas as pd
import pytest

from ntk1bit.estimators import overview
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


def test_an_empty_run_says_so():
    assert "no finished cells" in overview(pd.DataFrame()).notes[0]
    assert overview(pd.DataFrame()).values().empty
