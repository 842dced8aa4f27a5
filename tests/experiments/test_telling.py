"""What experiments say of themselves while they run, and what the runner makes of it."""

from __future__ import annotations

from ntk1bit.experiments import SweepSpec, runner
from ntk1bit.experiments.telling import Teller, forget, told
from ntk1bit.files import clear_unfinished


def test_what_is_told_is_read_and_forgotten(tmp_path):
    scratch = tmp_path / "key"
    assert told(scratch) is None
    Teller(scratch)("compiling", 0.0)
    assert told(scratch) == ("compiling", 0.0)
    forget(scratch)
    assert told(scratch) is None
    assert list(tmp_path.iterdir()) == []


def test_once_a_second_but_beginnings_at_once(tmp_path):
    seconds = [0.0]
    tell = Teller(tmp_path / "key", now=lambda: seconds[0])
    tell("step 1", 0.1)
    tell("step 2", 0.2)
    assert told(tmp_path / "key") == ("step 1", 0.1)
    seconds[0] = 1.0
    tell("step 3", 0.3)
    assert told(tmp_path / "key") == ("step 3", 0.3)
    tell("compiling", 0.0)
    assert told(tmp_path / "key") == ("compiling", 0.0)


def test_what_a_killed_process_left_is_cleared_like_any_unfinished_file(tmp_path):
    Teller(tmp_path / "key")("step 1", 0.1)
    clear_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_told_where_nothing_can_be_written(tmp_path):
    Teller(tmp_path / "missing" / "key")("step 1", 0.1)
    assert told(tmp_path / "missing" / "key") is None


def test_damage_is_no_word(tmp_path):
    Teller(tmp_path / "key")("step 1", 0.1)
    (path,) = tmp_path.iterdir()
    path.write_text("[")
    assert told(tmp_path / "key") is None


def test_the_runner_tells_what_is_at_work(tmp_path):
    networks = SweepSpec(widths=(8,), seeds=(0, 1), steps=3, n_train=(8,), n_test=4).networks
    store, reports = runner.Store(tmp_path), []
    store.cells.mkdir()
    run = runner._Run(SweepSpec(), store, None, 1, None, lambda what, share: reports.append((what, share)))  # pyright: ignore[reportArgumentType]
    total = sum(one.cost for one in networks)
    run._look(dict.fromkeys(networks), total)
    assert reports == []
    for one, share in zip(networks, (0.5, 0.25), strict=False):
        Teller(store.scratch(one.key))("step 1 of 4", share)
    run._look(dict.fromkeys(networks), total)
    ((what, share),) = reports
    assert what == f"{networks[0].label}: step 1 of 4 (1 more at work)"
    assert share == (0.5 * networks[0].cost + 0.25 * networks[1].cost) / total
