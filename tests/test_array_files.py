"""Files of arrays made to do harm: each gives the right values or one line, and no memory is taken before that."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ntk1bit import array_files
from ntk1bit.array_files import ArrayFileError, map_array, open_arrays

MEMORY = 4e6  # bytes that Python and zipfile may take for themselves, far below what any of these files promise


def npy(header: object, data: bytes = b"", *, version: tuple[int, int] = (1, 0), length: int | None = None) -> bytes:
    """Return an `.npy` file whose header is this, whatever it says."""
    text = (header if isinstance(header, str) else repr(header)).encode("latin-1") + b"\n"
    count = struct.pack("<H" if version == (1, 0) else "<I", len(text) if length is None else length)
    return b"\x93NUMPY" + bytes(version) + count + text + data


def about(shape: object, descr: object = "<f8", *, fortran: bool = False) -> dict[str, object]:
    return {"descr": descr, "fortran_order": fortran, "shape": shape}


def npz(path: Path, *members: tuple[str, bytes], kind: int = zipfile.ZIP_STORED) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", kind) as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, content in members:
            archive.writestr(name, content)
    return path


def whole(array: Any) -> bytes:
    np.save(stream := io.BytesIO(), array)
    return stream.getvalue()


def read(path: Path, *, compressed: bool = True) -> dict[str, np.ndarray]:
    with open_arrays(path, compressed=compressed) as file:
        return {name: file.take(name) for name in file.names}


def refusal(path: Path, *, compressed: bool = True) -> str:
    tracemalloc.start()
    try:
        with pytest.raises(ArrayFileError) as caught:
            read(path, compressed=compressed)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEMORY
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    return str(caught.value)


EIGHT = b"\0" * 8
DAMAGED = {
    "far too large": (npy(about((10**12,)), EIGHT), "asks for 8000000000000 bytes, and 8 follow"),
    "too small": (npy(about(()), EIGHT * 2), "asks for 8 bytes, and 16 follow"),
    "negative": (npy(about((-1,)), EIGHT), "no array has the shape"),
    "two negative": (npy(about((-1, -1)), EIGHT), "no array has the shape"),
    "wraps around to 8 bytes": (
        npy(about((2**61 + 1,), "<f8"), EIGHT),
        "asks for far more bytes|no array has the shape",
    ),
    "wraps in two": (npy(about((2**32, 2**32)), EIGHT), "asks for far more bytes"),
    "beyond 64 bits": (npy(about((10**400,)), EIGHT), "no array has the shape"),
    "empty and huge": (npy(about((2**62, 2**62, 0))), "no array has the shape"),
    "truth values as a shape": (npy(about((True,)), EIGHT), "no array has the shape"),
    "fraction as a shape": (npy(about((1.0,)), EIGHT), "its header is damaged"),
    "too many axes": (npy(about((1,) * 60), EIGHT), "no array has the shape"),
    "entries of no size": (npy(about((10**15,), "|S0")), "asks for 0 bytes"),
    "objects": (npy(about((1,), "|O"), b"cos\nsystem\n(S'true'\ntR."), "it holds objects"),
    "records": (npy(about((1,), [("a", "<f8")]), EIGHT), "it holds records"),
    "objects in records": (npy(about((1,), [("a", "|O")]), EIGHT), "it holds objects"),
    "arrays in arrays": (npy(about((1,), ("<f4", (2,))), EIGHT), "it holds records"),
    "raw bytes": (npy(about((1,), "|V8"), EIGHT), "it holds records"),
    "later format": (npy(about((1,)), EIGHT, version=(3, 0)), "later format"),
    "unknown format": (npy(about((1,)), EIGHT, version=(9, 9)), "later format"),
    "header of 4 GB": (npy(about((1,)), EIGHT, version=(2, 0), length=2**32 - 1), "its header is damaged"),
    "header of 60 kB": (npy(f"{about((1,))!r}{' ' * 60_000}", EIGHT), "its header is damaged"),
    "no header": (npy("", EIGHT), "its header is damaged"),
    "brackets that stay open": (npy("{'descr': (", EIGHT), "its header is damaged"),
    "a string that stays open": (npy("{'descr': '''<f8", EIGHT), "its header is damaged"),
    "3,000 brackets": (npy("(" * 3000 + ")" * 3000, EIGHT), "its header is damaged"),
    "a call": (npy("__import__('os').system('true')", EIGHT), "its header is damaged"),
    "no dictionary": (npy([1, 2], EIGHT), "its header is damaged"),
    "a key too many": (npy({**about((1,)), "x": 1}, EIGHT), "its header is damaged"),
    "no dtype": (npy(about((1,), "<q99"), EIGHT), "its header is damaged"),
    "a dtype of 2 GB": (npy(about((1,), "<U536870911"), EIGHT), "bytes, and 8 follow"),
    "no text": (npy(about((1,), "<U2"), b"\xff" * 8), "its bytes are no text"),
    "no truth values": (npy(about((8,), "|b1"), b"\7" * 8), "its bytes are no truth values"),
    "no array": (b"hello", "its header is damaged"),
    "nothing": (b"", "its header is damaged"),
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_array_is_refused_before_it_is_read(name, kind, tmp_path):
    content, message = DAMAGED[name]
    path = npz(tmp_path / "a.npz", ("x.npy", content), kind=kind)
    with pytest.raises(ArrayFileError, match=message):
        read(path)
    assert refusal(path).startswith("'x': ")


ARRAY = np.arange(6.0).reshape(2, 3)
RIGHT = {
    "as NumPy writes it": (whole(ARRAY), ARRAY),
    "Fortran's order": (whole(np.asfortranarray(ARRAY)), ARRAY),
    "the other byte order": (whole(ARRAY.astype(">f8")), ARRAY),
    "text in the other byte order": (whole(np.array(["é∂", "a"]).astype(">U2")), np.array(["é∂", "a"])),
    "format 2": (npy(about((2, 3)), ARRAY.tobytes(), version=(2, 0)), ARRAY),
    "of Python 2": (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2L, 3L)}", ARRAY.tobytes()), ARRAY),
    "one number": (whole(np.float32(2.5)), np.float32(2.5)),
    "nothing": (whole(np.zeros((0, 3))), np.zeros((0, 3))),
    "truth values": (whole(np.array([True, False])), np.array([True, False])),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_unusual_arrays_have_the_right_values(name, kind, tmp_path):
    content, expected = RIGHT[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy warns of headers of Python 2, which nobody can do anything about
        found = read(npz(tmp_path / "a.npz", ("x.npy", content), kind=kind))["x"]
    np.testing.assert_array_equal(found, expected, strict=True)
    assert found.dtype.isnative


def test_a_member_that_would_fill_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(array_files, "_LARGE", 1_000_000)  # 1 GiB, which takes seconds to pack
    zeros = whole(np.zeros(2_000_000))
    path = npz(tmp_path / "bomb.npz", ("x.npy", zeros), kind=zipfile.ZIP_DEFLATED)
    assert len(zeros) > array_files._GROWTH * path.stat().st_size
    assert "looks made to fill memory; if it is right, store it unpacked with np.savez" in refusal(path)
    assert "is compressed, as no file of this kind is" in refusal(path, compressed=False)
    noise = np.random.default_rng(0).normal(size=200_000)
    assert np.array_equal(read(npz(path, ("x.npy", whole(noise)), kind=zipfile.ZIP_DEFLATED))["x"], noise)


def test_members_that_numpy_does_not_write_are_refused(tmp_path):
    path, one = tmp_path / "a.npz", whole(ARRAY)
    assert "'x' twice" in refusal(npz(path, ("x.npy", one), ("x.npy", one)))
    assert "'x' twice" in refusal(npz(path, ("x.npy", one), ("x", one)))
    assert "packed otherwise" in refusal(npz(path, ("x.npy", one), kind=zipfile.ZIP_LZMA))
    npz(path, ("x.npy", one))
    encrypted = bytearray(path.read_bytes())
    encrypted[encrypted.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(encrypted)
    assert "'x' is encrypted" in refusal(path)
    path.write_bytes(one)
    assert "it holds a single array" in refusal(path)
    path.write_text("Fellow citizens")
    assert "not a .npz file" in refusal(path)


def test_members_that_share_their_bytes_are_refused(tmp_path):
    path = npz(tmp_path / "a.npz", ("x.npy", whole(ARRAY)), ("y.npy", whole(np.zeros(1000))))
    shared, large = bytearray(path.read_bytes()), whole(np.zeros(1000))
    at = shared.index(b"PK\1\2")
    shared[at + 20 : at + 28] = struct.pack("<II", *[len(large)] * 2)  # the sizes of x, which now runs into y
    path.write_bytes(shared)
    assert "share their bytes" in refusal(path)


def test_names_with_folders_are_names(tmp_path):
    names = ["../x", "/etc/x", "C:\\x", "a\nb", "\x1b[2J"]
    path = npz(tmp_path / "a.npz", *((f"{name}.npy", whole(ARRAY)) for name in names))
    assert list(read(path)) == names
    assert list(tmp_path.iterdir()) == [path]


def test_a_changed_bit_is_found_or_changes_nothing(tmp_path):
    path = npz(tmp_path / "a.npz", ("x.npy", whole(ARRAY)), ("y.npy", whole(np.array(["a", "b"]))))
    before, content = read(path), path.read_bytes()
    refused, rng = 0, np.random.default_rng(0)
    for at in rng.integers(len(content), size=300):
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            found = read(path)
        except ArrayFileError:
            refused += 1
            continue
        for name in before.keys() & found.keys():  # a name that changed is another array's
            np.testing.assert_array_equal(found[name], before[name], strict=True)
    assert refused > 150


def test_a_mapped_array_is_as_large_as_it_says(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(whole(ARRAY))
    np.testing.assert_array_equal(map_array(path), ARRAY)
    for content, message in DAMAGED.values():
        path.write_bytes(content)
        if "its bytes are" not in message:  # what is mapped is not read
            with pytest.raises(ArrayFileError):
                map_array(path)
