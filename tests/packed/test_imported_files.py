from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.packed.file_format import load
from ntk1bit.packed.imported_files import load_imported, save_imported
from ntk1bit.packed.imported_model import ImportedModel
from ntk1bit.packed.model_folders import read_model
from tests.refusals import refusal_within

from .foreign_files import damaged, refusal_of
from .published_models import FORMS, published, write_folder

ALLOWANCE = 2_000_000  # bytes beside twice the file's size


def stored(folder: Path, form: str = FORMS[0], seed: int = 4) -> tuple[ImportedModel, Path]:
    read = read_model(write_folder(published(seed, form), folder))
    save_imported(read.model, folder / "model.npz", source=read.source)
    return read.model, folder / "model.npz"


def members(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)


def with_arrays(path: Path, **changes: np.ndarray | None) -> Path:
    arrays = {**members(path), **changes}
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            if array is not None:
                np.save(stream := io.BytesIO(), array)
                archive.writestr(f"{name}.npy", stream.getvalue())
    return path


@pytest.mark.parametrize("form", FORMS)
def test_a_network_is_the_same_after_it_was_written(form, tmp_path):
    for seed in (4, 5, 6):
        model, path = stored(tmp_path, form, seed)
        again = load_imported(path)
        assert again.shape == model.shape
        np.testing.assert_array_equal(again.logits([1, 2, 3]), model.logits([1, 2, 3]))  # pyright: ignore[reportArgumentType] (lists too)


def test_weights_are_whole_numbers_of_one_byte_on_disk(tmp_path):
    _, path = stored(tmp_path)
    arrays = members(path)
    assert arrays["0.query.codes"].dtype == np.int8
    assert {*np.unique(arrays["0.query.codes"])} <= {-1, 0, 1}
    assert bytes(arrays["source"]).decode() == FORMS[0]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"imported": np.array(2)}, "its format is 2"),
        ({"imported": None}, "no number 'imported'"),
        ({"norm": None}, "'norm' is missing"),
        ({"more": np.zeros(2)}, "it also holds 'more'"),
        ({"0.query.codes": np.zeros((2, 2), np.int8)}, "'0.query.codes' is int8 of shape (2, 2)"),
        ({"0.query.scale": np.zeros((3, 5), np.float32)}, "is no scale of"),
        ({"0.query.scale": np.array(np.nan, np.float32)}, "NaN or infinity"),
        ({"shape": np.frombuffer(b"{}", np.uint8)}, "lacks fields"),
        ({"shape": np.frombuffer(b"[" * 10_000, np.uint8)}, "its shape is not JSON"),
        ({"shape": np.zeros((2, 2), np.uint8)}, "'shape' is not text"),
    ],
)
def test_files_that_are_otherwise_are_refused(changes, why, tmp_path):
    _, path = stored(tmp_path)
    assert why in refusal_within(2 * path.stat().st_size + ALLOWANCE, load_imported, with_arrays(path, **changes))


def test_codes_beyond_one_are_refused(tmp_path):
    _, path = stored(tmp_path)
    codes = members(path)["0.query.codes"].copy()
    codes[0, 0] = 2
    with pytest.raises(InputError, match="others than -1, 0"):
        load_imported(with_arrays(path, **{"0.query.codes": codes}))


def test_neither_format_is_taken_for_the_other(tmp_path):
    _, path = stored(tmp_path)
    with pytest.raises(InputError, match="is not a whole packed model"):
        load(path)


def test_damaged_files_are_refused_or_right(tmp_path):
    _, path = stored(tmp_path)
    whole = path.read_bytes()
    told = [refusal_of(path, one, load_imported) for one in damaged(whole, 300, head=len(whole))]
    assert all(len(line.splitlines()) < 2 for line in told)
    assert sum(map(bool, told)) > 200


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    model, path = stored(tmp_path)
    with pytest.raises(InputError, match=r"must end in \.npz"):
        save_imported(model, tmp_path / "model.bin")
    with pytest.raises(InputError, match="does not exist"):
        save_imported(model, tmp_path / "none" / "model.npz")
    with pytest.raises(InputError, match="there is no imported model"):
        load_imported(tmp_path / "none.npz")
    assert {one.name for one in tmp_path.iterdir()} == {path.name, "config.json", "model.safetensors"}
