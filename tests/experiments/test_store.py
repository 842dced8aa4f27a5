from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ntk1bit
from ntk1bit.errors import InputError
from ntk1bit.experiments import Store, SweepSpec, open_run, run_all
from ntk1bit.experiments import store as store_module
from ntk1bit.experiments.store import DamagedCellError, UnreadableCellError

SPEC = SweepSpec(widths=(8, 16), seeds=(0,), steps=12, n_train=(10,), n_test=6)
CELLS = SPEC.networks


@pytest.fixture
def stored(tmp_path):
    store = Store(tmp_path / "run")
    store.open(SPEC)
    for one in CELLS:
        store.write(one, one.run(tmp_path), seconds=1.0)
    return store, CELLS


def test_a_cell_reads_back_as_it_was(stored):
    store, cells = stored
    for cell in cells:
        about, table = store.read(cell.key)
        assert (about["kind"], about["settings"]) == ("two-layer", cell.stored_settings)
        again = cell.run(store.folder)  # deterministic, so training again gives the same bits
        pd.testing.assert_frame_equal(table.to_pandas(), again, check_exact=True)
        assert set(about["versions"]) >= {"ntk1bit", "numpy", "python"}


def test_every_truncation_is_noticed_set_aside_and_never_read(stored):
    store, cells = stored
    path = store.path(cells[0].key)
    whole = path.read_bytes()
    for length in sorted({0, 1, 4, 8, 100, len(whole) // 2, len(whole) - 9, len(whole) - 1}):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedCellError):
            store.read(cells[0].key)
    done, unreadable, notes = store.find(cells)
    assert cells[0].key not in done
    assert (len(done), len(unreadable), len(notes)) == (len(cells) - 1, 0, 1)
    assert "set aside" in notes[0]
    assert not path.exists()
    assert len(list((store.folder / "set_aside").iterdir())) == 1


def test_flipped_bytes_are_noticed(stored):
    """A flipped bit is noticed, or lies where it changes nothing that is read (padding, statistics)."""
    store, cells = stored
    path = store.path(cells[0].key)
    whole = path.read_bytes()
    expected = store.read(cells[0].key)[1]
    noticed = 0
    places = np.random.default_rng(0).integers(0, len(whole), 200)
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(bytes(damaged))
        try:
            table = store.read(cells[0].key)[1]
        except DamagedCellError:
            noticed += 1
        else:
            assert table.equals(expected)
    assert noticed > len(places) / 2
    path.write_bytes(whole)


def test_foreign_files_are_set_aside(stored):
    store, cells = stored
    first, second = (store.path(cell.key) for cell in cells[:2])
    shutil.copy(first, second)  # a good file under another cell's name
    pq.write_table(pa.table({"x": [1]}), store.cells / "strange.parquet")
    (store.cells / "notes.txt").write_text("hello")
    (store.cells / ".x.parquet.writing-1").write_bytes(b"half")
    (store.cells / f"{cells[0].key}.checkpoint").write_bytes(b"an experiment's own")
    done, _, notes = store.find(cells)
    notes += store.clear_foreign({cell.key for cell in cells})
    assert cells[1].key not in done
    assert len(notes) == 3
    ours = [store.path(key).name for key in done] + [f"{cells[0].key}.checkpoint"]
    assert sorted(p.name for p in store.cells.iterdir()) == sorted(ours)


def test_a_result_of_an_old_version_is_not_trusted(stored):
    store, cells = stored
    table = pq.read_table(store.path(cells[0].key))
    about = json.loads(table.schema.metadata[b"ntk1bit"]) | {"version": 0}
    pq.write_table(table.replace_schema_metadata({"ntk1bit": json.dumps(about)}), store.path(cells[0].key))
    with pytest.raises(DamagedCellError):
        store.read(cells[0].key)


def test_frame_has_a_row_a_step_and_nulls_between_checkpoints(stored):
    store, cells = stored
    run = open_run(store.folder)
    frame = run.frame()
    assert len(frame) == len(cells) * 13
    assert frame.loc[frame["step"] == 12, "test_outputs"].map(len).eq(6).all()
    assert list(run.frame(["test_loss"]).columns)[:6] == ["step", "loss", "drift", "eta", "diverged", "test_loss"]
    sparse = SweepSpec(**{**vars(SPEC), "checkpoints": 4, "widths": (8,)})
    table = sparse.networks[0].run(store.folder)
    assert np.isfinite(table["drift"].to_numpy()).sum() == 4
    assert np.isfinite(table["loss"].to_numpy()).sum() == 13
    assert sum(one is not None for one in table["outputs"].to_numpy()) == 4


def test_open_run_reports_damage_and_leaves_it_alone(stored):
    store, cells = stored
    path = store.path(cells[0].key)
    path.write_bytes(path.read_bytes()[:-20])
    run = open_run(store.folder)
    assert len(run.about) == len(cells) - 1
    assert "run the same command again" in run.problems[0]
    assert path.exists()


def test_open_run_of_what_is_not_a_run(tmp_path):
    with pytest.raises(InputError, match="not a run"):
        open_run(tmp_path)


def test_folders_that_must_not_be_written_to(stored, tmp_path):
    store, _ = stored
    other = SweepSpec(**{**vars(SPEC), "steps": 13})
    with pytest.raises(InputError, match="steps: 12 there, 13 asked for"):
        store.open(other)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="not a run"):
        Store(tmp_path / "mine").open(SPEC)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_the_lock_keeps_a_second_sweep_out(stored):
    store, _ = stored
    with store.lock(), pytest.raises(InputError, match="another process"), Store(store.folder).lock():
        pass
    with store.lock():
        pass


def test_a_full_disk_leaves_nothing_half_written(stored, monkeypatch):
    store, cells = stored
    frame = cells[0].run(store.folder)
    kept = store.path(cells[0].key).read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write(cells[0], frame, seconds=1.0)
    assert store.path(cells[0].key).read_bytes() == kept
    assert not [p for p in store.cells.iterdir() if p.name.startswith(".")]


OF_OTHERS = (
    ".DS_Store", "._KEY.parquet", "._.DS_Store", "Thumbs.db", "desktop.ini", ".nfs000000000001", ".KEY.parquet.swp",
    ".spec.toml.swo", "spec.toml~", "#spec.toml#", ".#spec.toml", ".directory", ".ipynb_checkpoints", "__MACOSX",
)  # fmt: skip


def test_files_of_other_systems_are_neither_read_nor_moved(stored):
    store, cells = stored
    theirs = [name.replace("KEY", cells[0].key) for name in OF_OTHERS]
    for folder in (store.folder, store.cells):
        for name in theirs:
            (folder / name).write_bytes(b"theirs")
    run = open_run(store.folder)
    assert (len(run.about), run.problems) == (len(cells), ())
    done, _, notes = store.find(cells)
    assert (len(done), notes, store.clear_foreign(done)) == (len(cells), [], [])
    assert all((store.cells / name).read_bytes() == b"theirs" for name in theirs)


@pytest.mark.parametrize("name", OF_OTHERS)
def test_a_folder_with_files_of_other_systems_only_is_not_in_use(name, tmp_path):
    (tmp_path / name).write_bytes(b"theirs")
    Store(tmp_path).check(SPEC)
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="not a run"):
        Store(tmp_path).check(SPEC)


def test_cells_of_another_sweep_are_named_and_not_mixed_in(stored):
    """A readable cell of other settings, copied into the folder: it counted as one of this run."""
    store, cells = stored
    for name, value in (("steps", 13), ("kappas", (0.5,)), ("seeds", (7,)), ("widths", (4,)), ("data_seed", 1)):
        other = SweepSpec(**{**vars(SPEC), name: value}).first_stage.experiments[0]
        store.write(other, other.run(store.folder), seconds=1.0)
    run = open_run(store.folder)
    assert set(run.about) == {cell.key for cell in cells}
    assert len(run.problems) == 5
    assert all("is of no experiment of this run" in problem for problem in run.problems)


def test_nothing_that_was_set_aside_is_overwritten(stored):
    store, cells = stored
    shelf = store.folder / "set_aside"
    for content in (b"one", b"two", b"three"):
        (store.cells / "odd.parquet").write_bytes(content)
        store.clear_foreign({cell.key for cell in cells})
        if content == b"two":
            (shelf / "odd.parquet.0").unlink()  # the user looked at it
    assert sorted(path.read_bytes() for path in shelf.iterdir()) == [b"three", b"two"]


def test_what_a_run_lacks_is_counted(stored):
    store, cells = stored
    assert open_run(store.folder).left_out == []
    store.path(cells[0].key).unlink()
    store.path(cells[1].key).unlink()
    store.record_failure(cells[1], "out of luck")
    store.write(cells[2], cells[2].run(store.folder).assign(diverged=True), seconds=1.0)
    store.path(cells[3].key).write_bytes(b"PAR1")
    run = open_run(store.folder)
    assert list(run.states.values()) == ["unfinished", "failed", "diverged", "damaged"]
    assert run.failures == {cells[1].key: "out of luck"}
    assert list(run.absent["state"]) == ["unfinished", "failed", "damaged"]
    told = run.left_out
    assert told[0].startswith("Unfinished cells: 1 of 4;")
    assert told[1].startswith("Failed cells: 1,")
    assert told[2] == f"Diverged cells: 1; left out of estimates: width {cells[2].width}."
    assert told[3].startswith(f"{cells[3].key}.parquet left out: not a readable result")
    with pytest.raises(InputError, match="is not finished: 3 of its results are missing"):
        run.require_whole()


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_what_cannot_be_read_is_named_and_neither_moved_nor_replaced(stored, monkeypatch, error):
    """A file without permission, or on a failing disk, may be whole: only its owner can say."""
    store, cells = stored
    path = store.path(cells[0].key)
    before = path.read_bytes()
    strange = store.cells / "strange.parquet"
    strange.write_bytes(b"who knows")

    def refused(name, *arguments, **options):
        if name in (path, strange):
            raise error
        return open(name, *arguments, **options)

    monkeypatch.setattr(store_module, "open", refused, raising=False)
    with pytest.raises(UnreadableCellError):
        store.read(cells[0].key)
    outcome = run_all(SPEC, store.folder)
    assert (outcome.unreadable, outcome.found, outcome.computed, outcome.failed) == (1, 3, 0, 0)
    assert f"{path.name} cannot be read ({error.strerror}); it was left as it is" in outcome.notes[0]
    assert open_run(store.folder).states[cells[0]] == "damaged"
    assert "strange.parquet is of no experiment of this run and cannot be read" in outcome.notes[1]
    assert path.read_bytes() == before
    assert strange.read_bytes() == b"who knows"
    assert not (store.folder / "set_aside").exists()


def test_folders_of_the_first_version_are_refused_in_a_line(stored):
    store, _ = stored
    path = store.folder / "spec.toml"
    path.write_text(path.read_text().replace("layout = 2\n", "").replace(f'"{ntk1bit.__version__}"', '"0.1.0"'))
    kept = sorted(store.cells.iterdir())
    for refused in (lambda: run_all(SPEC, store.folder), lambda: open_run(store.folder)):
        with pytest.raises(InputError, match=r"was written by ntk1bit 0\.1\.0"):
            refused()
    assert sorted(store.cells.iterdir()) == kept


def test_words_lists_and_numbers_are_all_under_the_digest(tmp_path):
    store = Store(tmp_path / "run")
    store.open(SPEC)
    frame = pd.DataFrame({"word": ["a", "b"], "list": [[1.0, 2.0], []], "number": [1, 2], "other": ["", "x"]})
    store.write(CELLS[0], frame, seconds=1.0)
    table = store.read(CELLS[0].key)[1]
    assert table.to_pydict() == frame.to_dict("list")
    for column, other in (
        ("word", ["a", "c"]),
        ("list", [[1.0, 2.0], [3.0]]),
        ("number", [1, 3]),
        ("other", ["", "y"]),
    ):
        changed = table.set_column(table.column_names.index(column), column, pa.array(other))
        pq.write_table(changed.replace_schema_metadata(table.schema.metadata), store.path(CELLS[0].key))
        with pytest.raises(DamagedCellError, match="altered"):
            store.read(CELLS[0].key)
