from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.experiments import Measurement, run_measurements
from ntk1bit.experiments.measurements import measure

FUNCTION = "ntk1bit.experiments.at_start:flip_probability"


def calls(count=3, **changes):
    settings = {"dim": 4, "radius": 0.1, "neurons": 50} | changes
    return [Measurement(FUNCTION, tuple((settings | {"seed": seed}).items())) for seed in range(count)]


def test_results_carry_their_settings_and_do_not_depend_on_jobs(tmp_path):
    one = run_measurements(calls(), tmp_path / "one", jobs=1)
    two = run_measurements(calls(), tmp_path / "two", jobs=2)
    assert one["seconds"].to_numpy().min() > 0
    pd.testing.assert_frame_equal(one.drop(columns="seconds"), two.drop(columns="seconds"))
    assert list(one["seed"]) == [0, 1, 2]
    assert set(one["dim"]) == {4}


def test_what_is_there_is_read_not_made_again(tmp_path):
    run_measurements(calls(2), tmp_path, jobs=1)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    shares = []
    found = run_measurements(calls(3), tmp_path, jobs=1, progress=shares.append)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in before} == before
    assert len(found) == 3
    assert shares[0] == pytest.approx(2 / 3)
    assert shares[-1] == pytest.approx(1)


def test_a_damaged_file_is_made_again(tmp_path):
    good = run_measurements(calls(1), tmp_path, jobs=1)
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:100])
    again = run_measurements(calls(1), tmp_path, jobs=1)
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), good.drop(columns="seconds"))


def test_a_change_of_settings_or_version_is_another_measurement():
    settings = calls(1)[0].settings
    keys = {
        Measurement(FUNCTION, settings).key,
        Measurement(FUNCTION, settings, version=2).key,
        calls(1, radius=0.2)[0].key,
        Measurement(FUNCTION, settings, cost=7.0).key,
    }
    assert len(keys) == 3  # the cost does not matter


def test_measuring_in_this_process_gives_the_same(tmp_path):
    measure(tmp_path, calls(1)[0])
    (path,) = tmp_path.iterdir()
    pd.testing.assert_frame_equal(pd.read_parquet(path), run_measurements(calls(1), tmp_path, jobs=1))


def test_a_place_that_cannot_be_written_is_told_in_a_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to"):
        run_measurements(calls(1), tmp_path / "file" / "x", jobs=1)


def test_no_measurements_make_an_empty_frame(tmp_path):
    assert run_measurements([], tmp_path).empty
    assert np.isfinite(run_measurements(calls(1), tmp_path, jobs=1)["reached"]).all()
