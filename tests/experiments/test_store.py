from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ntk1bit.experiments.states import left_out

from ntk1bit.errors import InputError
from ntk1bit.experiments import Store, SweepSpec, load_run, make_plan, run_cell
from ntk1bit.experiments.store import DamagedCellError

SPEC = SweepSpec(widths=(8, 16), seeds=(0,), steps=12, n_train=(10,), n_test=6)


@pytest.fixture
def stored(tmp_path):
    store = Store(tmp_path / "run")
    store.open(SPEC, resume=False)
    cells = make_plan(SPEC).cells
    for cell in cells:
        store.write(cell, run_cell(cell))
    return store, cells


def test_a_cell_reads_back_as_it_was(stored):
    store, cells = stored
    for cell in cells:
        about, table = store.read(cell.key)
        assert about["cell"] == vars(cell)
        assert table.equals(run_cell(cell))  # deterministic, so training again gives the same bits
        assert set(about["versions"]) >= {"ntk1bit", "numpy", "python"}


def test_every_truncation_is_noticed_set_aside_and_never_read(stored):
    store, cells = stored
    path = store.path(cells[0].key)
    whole = path.read_bytes()
    for length in sorted({0, 1, 4, 8, 100, len(whole) // 2, len(whole) - 9, len(whole) - 1}):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedCellError):
            store.read(cells[0].key)
    done, notes = store.finished(cells)
    assert cells[0] not in done
    assert len(done) == len(cells) - 1
    assert len(notes) == 1
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
    done, notes = store.finished(cells)
    assert cells[1] not in done
    assert len(notes) == 3
    assert sorted(p.name for p in store.cells.iterdir()) == sorted(store.path(cell.key).name for cell in done)


def test_a_cell_of_an_old_format_is_not_trusted(stored):
    store, cells = stored
    table = run_cell(cells[0])
    about = json.loads(table.schema.metadata[b"ntk1bit"]) | {"format": 0}
    pq.write_table(table.replace_schema_metadata({"ntk1bit": json.dumps(about)}), store.path(cells[0].key))
    with pytest.raises(DamagedCellError):
        store.read(cells[0].key)


def test_frame_has_a_row_a_step_and_nulls_between_checkpoints(stored):
    store, cells = stored
    run = load_run(store.folder)
    frame = run.frame()
    assert len(frame) == len(cells) * 13
    assert frame.loc[frame["step"] == 12, "test_outputs"].map(len).eq(6).all()
    assert list(run.frame(["test_loss"]).columns)[:4] == ["step", "loss", "drift", "test_loss"]
    sparse = SweepSpec(**{**vars(SPEC), "checkpoints": 4, "widths": (8,)})
    cell = make_plan(sparse).cells[0]
    table = run_cell(cell).to_pandas()
    assert table["drift"].notna().sum() == 4
    assert table["loss"].notna().all()
    assert pd.isna(table["outputs"]).sum() == 9


def test_load_run_reports_damage_and_leaves_it_alone(stored):
    store, cells = stored
    path = store.path(cells[0].key)
    path.write_bytes(path.read_bytes()[:-20])
    run = load_run(store.folder)
    assert len(run.about) == len(cells) - 1
    assert "--resume" in run.problems[0]
    assert path.exists()


def test_load_run_of_what_is_not_a_run(tmp_path):
    with pytest.raises(InputError, match="not a run"):
        load_run(tmp_path)


def test_folders_that_must_not_be_written_to(stored, tmp_path):
    store, _ = stored
    with pytest.raises(InputError, match="--resume"):
        store.open(SPEC, resume=False)
    other = SweepSpec(**{**vars(SPEC), "steps": 13})
    with pytest.raises(InputError, match="steps: 12 there, 13 asked for"):
        store.open(other, resume=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="not a run"):
        Store(tmp_path / "mine").open(SPEC, resume=True)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_the_lock_keeps_a_second_sweep_out(stored):
    store, _ = stored
    with store.lock(), pytest.raises(InputError, match="another sweep"), Store(store.folder).lock():
        pass
    with store.lock():
        pass


def test_a_full_disk_leaves_nothing_half_written(stored, monkeypatch):
    store, cells = stored
    table = run_cell(cells[0])
    kept = store.path(cells[0].key).read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write(cells[0], table)
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
    run = load_run(store.folder)
    assert (len(run.about), run.problems) == (len(cells), ())
    done, notes = store.finished(cells)
    assert (len(done), notes) == (len(cells), [])
    assert all((store.cells / name).read_bytes() == b"theirs" for name in theirs)


@pytest.mark.parametrize("name", OF_OTHERS)
def test_a_folder_with_files_of_other_systems_only_is_not_in_use(name, tmp_path):
    (tmp_path / name).write_bytes(b"theirs")
    Store(tmp_path).check(SPEC, resume=False)
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="not a run"):
        Store(tmp_path).check(SPEC, resume=False)


def test_cells_of_another_sweep_are_named_and_not_mixed_in(stored):
    """A readable cell of other settings, copied into the folder: it counted as one of this run."""
    store, cells = stored
    for name, value in (("steps", 13), ("kappas", (0.5,)), ("seeds", (7,)), ("widths", (4,)), ("data_seed", 1)):
        other = make_plan(SweepSpec(**{**vars(SPEC), name: value})).cells[0]
        store.write(other, run_cell(other))
    run = load_run(store.folder)
    assert set(run.about) == {cell.key for cell in cells}
    assert len(run.problems) == 5
    assert all("is not a cell of this sweep" in problem for problem in run.problems)


def test_nothing_that_was_set_aside_is_overwritten(stored):
    store, cells = stored
    shelf = store.folder / "set_aside"
    for content in (b"one", b"two", b"three"):
        (store.cells / "odd.parquet").write_bytes(content)
        store.finished(cells)
        if content == b"two":
            (shelf / "odd.parquet.0").unlink()  # the user looked at it
    assert sorted(path.read_bytes() for path in shelf.iterdir()) == [b"three", b"two"]


def test_what_a_run_lacks_is_counted(stored):
    store, cells = stored
    assert left_out(load_run(store.folder)) == []
    store.path(cells[0].key).unlink()
    store.path(cells[1].key).unlink()
    store.record_failure(cells[1], "out of luck")
    diverged = json.loads(pq.read_schema(store.path(cells[2].key)).metadata[b"ntk1bit"]) | {"diverged": True}
    table = run_cell(cells[2]).replace_schema_metadata({"ntk1bit": json.dumps(diverged)})
    store.write(cells[2], table)
    store.path(cells[3].key).write_bytes(b"PAR1")
    told = left_out(load_run(store.folder))
    assert told[0].startswith("Unfinished cells: 2 of 4;")  # one is damaged
    assert told[1].startswith("Failed cells: 1,")
    assert told[2] == f"Diverged cells: 1; their widths are left out of estimates: {cells[2].width}."
    assert told[3].startswith(f"{cells[3].key}.parquet left out: not a readable cell")
