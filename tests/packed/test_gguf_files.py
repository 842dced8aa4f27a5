from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ntk1bit.packed.gguf_files import open_gguf, read_tensor, read_ternary
from tests.refusals import refusal_within

from .foreign_files import bfloat16, damaged, gguf_bytes, i2_s_bytes, pair, refusal_of, text, tq1_0_bytes, tq2_0_bytes

ALLOWANCE = 1_000_000  # bytes beside twice the file's size: modules, messages and a few objects
PAIRS = {"general.architecture": "bitnet", "n": 3, "rate": 0.5, "yes": True, "tokens": ["a", "bc", ""]}


def some_codes(seed: int = 0, shape: tuple[int, ...] = (3, 512)) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1, 2, shape)


def some_file() -> bytes:
    codes = some_codes()
    numbers = np.linspace(-3, 3, 10, dtype="<f4").reshape(2, 5)
    tensors = {
        "norm": ("F32", (2, 5), numbers.tobytes()),
        "half": ("F16", (2, 5), numbers.astype("<f2").tobytes()),
        "brain": ("BF16", (10,), bfloat16(numbers.reshape(-1)).tobytes()),
        "i2": ("I2_S", codes.shape, i2_s_bytes(codes, 0.37)),
        "tq2": ("TQ2_0", codes.shape, tq2_0_bytes(codes, 0.37)),
        "tq1": ("TQ1_0", codes.shape, tq1_0_bytes(codes, 0.37)),
    }
    return gguf_bytes(tensors, PAIRS)


def read_all(path: Path) -> dict[str, np.ndarray]:
    file = open_gguf(path)
    return {name: read_tensor(file, name) for name in file.names}


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_tensors_and_key_values_come_back_as_they_were_written(tmp_path):
    path = written(tmp_path / "model.gguf", some_file())
    file, read = open_gguf(path), read_all(path)
    assert file.metadata == {name: value for name, value in PAIRS.items() if name != "tokens"}
    numbers = np.linspace(-3, 3, 10, dtype=np.float32).reshape(2, 5)
    np.testing.assert_array_equal(read["norm"], numbers)
    np.testing.assert_array_equal(read["half"], numbers.astype(np.float16))
    np.testing.assert_array_equal(bfloat16(read["brain"]), bfloat16(numbers.reshape(-1)))
    half = np.float32(np.float16(0.37))
    for name, scale in (("i2", np.float32(0.37)), ("tq2", half), ("tq1", half)):
        ternary = read_ternary(file, name)
        np.testing.assert_array_equal(ternary.codes, some_codes())
        assert (ternary.scale == scale).all()
        np.testing.assert_array_equal(read[name], scale * some_codes().astype(np.float32))


@pytest.mark.parametrize("kind", ["TQ1_0", "TQ2_0"])
def test_ternary_tensors_are_those_of_the_formats_own_library_bit_for_bit(kind, tmp_path):
    gguf = pytest.importorskip("gguf")
    code = gguf.GGMLQuantizationType[kind]
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(str(tmp_path / "model.gguf"), "bitnet")
    for name, weights in {
        "exact": rng.integers(-1, 2, (5, 768)) * 0.37,
        "many scales": rng.normal(size=(4, 512)) * np.exp(rng.normal(size=(4, 1))),
        "zero": np.zeros((1, 256)),
    }.items():
        writer.add_tensor(name, gguf.quants.quantize(weights.astype(np.float32), code), raw_dtype=code)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    read = read_all(tmp_path / "model.gguf")
    for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors:
        theirs = np.ascontiguousarray(gguf.quants.dequantize(tensor.data, tensor.tensor_type), np.float32)
        np.testing.assert_array_equal(read[tensor.name].view(np.uint32), theirs.view(np.uint32))


def test_every_byte_of_tq1_0_is_what_the_formats_own_library_makes_of_it(tmp_path):
    gguf = pytest.importorskip("gguf")
    rng = np.random.default_rng(2)
    raw = rng.integers(0, 256, (40, 54)).astype(np.uint8)
    raw[:, -2:] = np.array([0.5], "<f2").view(np.uint8)
    path = written(tmp_path / "model.gguf", gguf_bytes({"w": ("TQ1_0", (20, 512), raw.tobytes())}, {}))
    theirs = gguf.quants.dequantize(raw.reshape(20, 108), gguf.GGMLQuantizationType.TQ1_0)
    np.testing.assert_array_equal(read_all(path)["w"].view(np.uint32), theirs.view(np.uint32))


def test_the_code_that_means_no_weight_and_a_scale_that_is_none_are_refused(tmp_path):
    codes = some_codes()
    for kind, raw in (("I2_S", i2_s_bytes(codes, np.nan)), ("TQ2_0", tq2_0_bytes(codes, np.inf))):
        path = written(tmp_path / "model.gguf", gguf_bytes({"w": (kind, codes.shape, raw)}, {}))
        assert "a scale of tensor 'w' is not finite" in refusal_within(ALLOWANCE, read_all, path)
    codes[2, 5] = 2
    for kind, raw in (("I2_S", i2_s_bytes(codes, 1.0)), ("TQ2_0", tq2_0_bytes(codes, 1.0))):
        path = written(tmp_path / "model.gguf", gguf_bytes({"w": (kind, codes.shape, raw)}, {}))
        assert "holds the code 3" in refusal_within(ALLOWANCE, read_all, path)


def head(tensors: int = 0, pairs: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs)


def info(name: str = "w", shape: tuple[int, ...] = (2,), kind: int = 0, offset: int = 0) -> bytes:
    axes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape) if shape else struct.pack("<I", 0)
    return text(name) + axes + struct.pack("<IQ", kind, offset)


DATA = b"\0" * 256


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"GGML" + bytes(40), "does not begin with 'GGUF'"),
        (head()[:20], "ends inside its header"),
        (head(version=1) + DATA, "its version is 1"),
        (head(version=3 << 24) + DATA, "big-endian"),
        (head(tensors=2**60) + DATA, "do not fit in it"),
        (head(pairs=2**64 - 1) + DATA, "do not fit in it"),
        (head(tensors=10_001) + bytes(24 * 10_001), "or are more than are read"),
        (head(pairs=1) + struct.pack("<Q", 2**63) + DATA, "longer than the 1000"),
        (head(pairs=1) + text("a") + struct.pack("<IQ", 8, 2**63) + DATA, "longer than"),
        (head(pairs=1) + text("a") + struct.pack("<IIQ", 9, 8, 2**61) + DATA, "does not fit in it"),
        (head(pairs=1) + text("a") + struct.pack("<IIQ", 9, 4, 2**61) + DATA, "ends inside its header"),
        (head(pairs=1) + text("a") + struct.pack("<IIQ", 9, 9, 1) * 50 + DATA, "has entries of the type 9"),
        (head(pairs=1) + text("a") + struct.pack("<I", 77) + DATA, "unknown type 77"),
        (head(pairs=2) + pair("a", 1) * 2 + DATA, "the key 'a' twice"),
        (head(pairs=1) + pair("general.alignment", 0) + DATA, "its alignment is 0"),
        (head(pairs=1) + pair("general.alignment", 12) + DATA, "its alignment is 12"),
        (head(pairs=1) + pair("general.alignment", "x") + DATA, "its alignment is 'x'"),
        (head(pairs=1) + struct.pack("<Q", 1) + b"\xff" + DATA, "is not UTF-8"),
        (head(1) + info(shape=(1, 1, 1, 1, 1)) + DATA, "has 5 axes"),
        (head(1) + info(shape=(2**32, 2**32)) + DATA, "cannot have the shape"),
        (head(1) + info(shape=(0, 2**62, 2**62)) + DATA, "cannot have the shape"),
        (head(1) + info(shape=(2**40,)) + DATA, "asks for bytes"),
        (head(1) + info(offset=2**63) + DATA, "asks for bytes"),
        (head(1) + info(offset=4) + DATA, "from a multiple of 32"),
        (head(1) + info(kind=14) + DATA, "the type of number 14"),
        (head(1) + info(shape=(128,), kind=35) + DATA, "cannot have the shape"),
        (head(1) + info(shape=(), kind=36) + DATA, "cannot have the shape"),
        (head(2) + info("a", (9,)) + info("b", (9,), offset=32) + DATA, "shares bytes with another"),
        (head(2) + info("a") + info("a", offset=32) + DATA, "have the same name"),
    ],
)
def test_a_header_that_promises_what_is_not_there_is_refused(content, why, tmp_path):
    path = written(tmp_path / "model.gguf", content)
    assert why in refusal_within(2 * len(content) + ALLOWANCE, read_all, path)


def test_a_thousand_damaged_files_are_refused_or_read_within_memory(tmp_path):
    whole, path = some_file(), tmp_path / "model.gguf"
    tracemalloc.start()
    try:
        told = [refusal_of(path, content, read_all) for content in damaged(whole, 1000, head=450)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(whole) + ALLOWANCE
    assert all(len(line.splitlines()) < 2 for line in told)
    assert 500 < sum(map(bool, told)) < 1000  # some damage hits values or names only, and leaves a right file
