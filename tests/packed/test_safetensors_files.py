from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ntk1bit.packed.safetensors_files import open_safetensors, read_tensor
from tests.refusals import refusal_within

from .foreign_files import SAFE, bfloat16, damaged, refusal_of, safetensors_bytes, with_header

ALLOWANCE = 1_000_000  # bytes beside twice the file's size: modules, messages and a few objects
A = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
B = {"dtype": "U8", "shape": [3], "data_offsets": [8, 11]}


def some_tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "a": rng.normal(size=(3, 5)).astype("<f4"),
        "b": rng.integers(0, 256, (7,)).astype("u1"),  # what follows is not aligned
        "half": rng.normal(size=(2, 3)).astype("<f2"),
        "empty": np.zeros((0, 4), "<f4"),
        "one": np.array(7, "<i8"),
        "signed": rng.integers(-128, 128, (2, 2)).astype("i1"),
    }


def written(path: Path) -> dict[str, np.ndarray]:
    tensors = some_tensors()
    path.write_bytes(safetensors_bytes({name: (SAFE[one.dtype.str], one) for name, one in tensors.items()}, by="us"))
    return tensors


def read_all(path: Path) -> dict[str, np.ndarray]:
    file = open_safetensors(path)
    return {name: read_tensor(file, name) for name in file.names}


def test_tensors_come_back_as_they_were_written(tmp_path):
    tensors = written(path := tmp_path / "model.safetensors")
    read = read_all(path)
    assert open_safetensors(path).metadata == {"by": "us"}
    assert list(read) == list(tensors)
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        np.testing.assert_array_equal(read[name], tensor)


def test_every_bfloat16_is_widened_exactly(tmp_path):
    bits = np.arange(2**16, dtype=np.uint16)
    (tmp_path / "model.safetensors").write_bytes(safetensors_bytes({"w": ("BF16", bits)}))
    read = read_all(tmp_path / "model.safetensors")["w"]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read.view(np.uint32), bits.astype(np.uint32) << 16)
    np.testing.assert_array_equal(bfloat16(read), bits)


def test_files_of_the_formats_own_library_are_read_bit_for_bit(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    tensors = some_tensors()
    library.save_file(tensors, tmp_path / "model.safetensors", metadata={"by": "them"})
    read = read_all(tmp_path / "model.safetensors")
    assert open_safetensors(tmp_path / "model.safetensors").metadata == {"by": "them"}
    for name, tensor in library.load_file(tmp_path / "model.safetensors").items():
        assert read[name].tobytes() == tensor.tobytes() == tensors[name].tobytes()
        assert read[name].shape == tensor.shape


@pytest.mark.parametrize(
    ("header", "data", "why"),
    [
        ({"a": A, "b": {**B, "data_offsets": [4, 7]}}, b"\0" * 11, "shares bytes with another"),
        ({"a": A, "b": {**B, "data_offsets": [9, 12]}}, b"\0" * 12, "leaves a gap before it"),
        ({"a": A, "b": B}, b"\0" * 10, "its tensors end at byte"),
        ({"a": A, "b": B}, b"\0" * 12, "its tensors end at byte"),
        ({"a": {**A, "shape": [3]}}, b"\0" * 8, "F32 of shape [3] in bytes 0 to 8"),
        ({"a": {**A, "shape": [2**62, 4]}}, b"\0" * 8, "in bytes 0 to 8"),
        ({"a": {**A, "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}}, b"", "in bytes 0 to 0"),
        ({"a": {**A, "shape": [-2]}}, b"\0" * 8, "of shape [-2]"),
        ({"a": {**A, "shape": [1] * 9 + [2]}}, b"\0" * 8, "of shape"),
        ({"a": {**A, "data_offsets": [8, 0]}}, b"\0" * 8, "in bytes 8 to 0"),
        ({"a": {**A, "data_offsets": [-8, 0]}}, b"\0" * 8, "in bytes -8 to 0"),
        ({"a": {**A, "dtype": "F8_E4M3"}}, b"\0" * 8, "types read are BOOL"),
        ({"a": {**A, "shape": [2.5]}}, b"\0" * 8, "its header is damaged"),
        ({"a": {**A, "more": 1}}, b"\0" * 8, "its header is damaged"),
        ({"a": 3}, b"\0" * 8, "its header is damaged"),
        ({"__metadata__": {"a": 3}}, b"", "its header is damaged"),
        (b"[" * 100_000 + b"]" * 100_000, b"", "not JSON that begins with"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"", "its header is damaged"),
        (b"{" + b",".join(b'"%d":0' % one for one in range(150_000)) + b"}", b"", "more than those of 10,000 tensors"),
        (b'{"\xff": {}}', b"", "its header is damaged"),
        (b"", b"", "its header is not JSON"),
    ],
)
def test_a_header_that_promises_what_is_not_there_is_refused(header, data, why, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(content := with_header(header, data))
    assert why in refusal_within(2 * len(content) + ALLOWANCE, read_all, tmp_path / "model.safetensors")


@pytest.mark.parametrize("content", [b"\1", b"\xff" * 8, (2**40).to_bytes(8, "little") + b"{}", b"PK\3\4" * 10])
def test_what_is_no_such_file_is_refused(content, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(content)
    assert "not a whole safetensors file" in refusal_within(ALLOWANCE, read_all, tmp_path / "model.safetensors")


def test_no_file_a_folder_and_an_empty_file_are_refused(tmp_path):
    (tmp_path / "empty.safetensors").touch()
    assert "there is no safetensors file" in refusal_within(ALLOWANCE, open_safetensors, tmp_path / "none.safetensors")
    assert "there is no safetensors file" in refusal_within(ALLOWANCE, open_safetensors, tmp_path)
    assert "is empty" in refusal_within(ALLOWANCE, open_safetensors, tmp_path / "empty.safetensors")


def test_a_thousand_damaged_files_are_refused_or_read_within_memory(tmp_path):
    written(path := tmp_path / "model.safetensors")
    whole = path.read_bytes()
    tracemalloc.start()
    try:
        files = damaged(whole, 1000, head=8 + int.from_bytes(whole[:8], "little"))
        told = [refusal_of(path, content, read_all) for content in files]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(whole) + ALLOWANCE
    assert all(len(line.splitlines()) < 2 for line in told)
    assert 500 < sum(map(bool, told)) < 1000  # some damage hits values or names only, and leaves a right file
