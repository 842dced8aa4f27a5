"""Packed models made to do harm: refused in one line, before memory is taken for what they promise."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ntk1bit.packed.file_format import load, save
from ntk1bit.packed.text import generate
from tests.refusals import refusal_within

from .made_up import random_model

MEMORY = 4e6  # bytes that Python may take for itself, far below what any of these files promises


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    save(random_model(), tmp_path / "model.npz")
    return tmp_path / "model.npz"


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, content: dict[str, bytes], *, packed: tuple[str, ...] = ()) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data, zipfile.ZIP_DEFLATED if name in packed else zipfile.ZIP_STORED)


def as_npy(array: np.ndarray) -> bytes:
    np.save(stream := io.BytesIO(), array)
    return stream.getvalue()


def with_shape(content: dict[str, bytes], **fields: object) -> dict[str, bytes]:
    known = json.loads(np.load(io.BytesIO(content["shape.npy"])).tobytes())
    text = json.dumps({**known, **fields}).encode()
    return {**content, "shape.npy": as_npy(np.frombuffer(text, np.uint8))}


def refusal(path: Path) -> str:
    return refusal_within(MEMORY, load, path)


def test_the_model_of_these_tests_is_read_and_written_anew(stored):
    read = load(stored)
    assert read.alphabet == "ab\x9b"
    assert len(generate(read, "ab", length=5)) == 5


def test_a_compressed_member_is_foreign(stored):
    bomb = {**members(stored), "note.npy": as_npy(np.zeros(50_000_000, np.uint8))}
    write(stored, bomb, packed=("note.npy",))
    assert stored.stat().st_size < 100_000
    assert "'note' is compressed" in refusal(stored)


@pytest.mark.parametrize("context", [10**12, 2**62])
def test_a_context_that_no_memory_holds_is_refused(context, stored):
    write(stored, with_shape(members(stored), context=context))
    assert f"a text of its context of {context} characters would take" in refusal(stored)


@pytest.mark.parametrize("field", ["context", "vocabulary", "layers", "heads", "width"])
@pytest.mark.parametrize("value", [-1, 2**63, 10**400, 1e12, [], None, "8", [[[[1]]]]])
def test_no_other_number_reaches_an_allocation(field, value, stored):
    write(stored, with_shape(members(stored), **{field: value}))
    refusal(stored)


def test_a_shape_of_many_brackets_is_no_shape(stored):
    deep = np.frombuffer(b"[" * 100_000 + b"]" * 100_000, np.uint8)
    write(stored, {**members(stored), "shape.npy": as_npy(deep)})
    assert "its shape is not JSON" in refusal(stored)


def test_arrays_are_held_against_the_shape_before_they_are_read(stored):
    large = np.zeros((3, 2_000_000), np.float32)
    write(stored, {**members(stored), "embedding.npy": as_npy(large)})
    assert "'embedding' is float32 of shape (3, 2000000), not float32 of shape (3, 32)" in refusal(stored)


def test_a_file_larger_than_memory_is_refused(stored, monkeypatch):
    monkeypatch.setattr("ntk1bit.arguments.free_memory", lambda: 1000.0)
    assert "would take" in refusal(stored)
    assert "are free; use a machine with more memory" in refusal(stored)


def test_other_byte_orders_and_orders_of_entries_are_the_same_model(stored):
    before, content = load(stored), members(stored)
    for name, data in content.items():
        array = np.load(io.BytesIO(data))
        content[name] = as_npy(np.asarray(array, array.dtype.newbyteorder(">"), order="F"))
    write(stored, content)
    tokens = np.array([[0, 1, 2, 1]])
    np.testing.assert_array_equal(load(stored).logits(tokens), before.logits(tokens))
