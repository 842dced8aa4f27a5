"""Packed models on disk: what is written is what is read, and nothing else is taken for one."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks.bitlinear_form import W23
from ntk1bit.networks.transformer import as_arm, as_form, transformer
from ntk1bit.networks.transformer_shape import Shape
from ntk1bit.packed.export import export, pack
from ntk1bit.packed.file_format import load, save

SHAPE = Shape(2, 36, 3, 5, 8, "gelu", False)
ALPHABET = "\n aé∂"


@pytest.fixture(scope="module")
def model():
    return transformer(SHAPE, seed=4)


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("exported") / "model.npz"
    export(model, SHAPE, path, alphabet=ALPHABET, note="made for a test")
    return path.read_bytes()


@pytest.fixture
def stored(exported, tmp_path) -> Path:
    path = tmp_path / "model.npz"
    path.write_bytes(exported)
    return path


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def refusal_of(path: Path) -> str:
    with pytest.raises(InputError) as refusal:
        load(path)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("width", [34, 48])
def test_what_is_read_is_what_was_written(width, tied, tmp_path):
    shape = Shape(2, width, 1, 5, 8, "squared-relu", tied)
    packed = export(transformer(shape), shape, tmp_path / "m.npz", alphabet=ALPHABET, note="a note")
    read = load(tmp_path / "m.npz")
    assert (read.shape, read.alphabet, read.note) == (packed.shape, ALPHABET, "a note")
    assert dataclasses.asdict(read.shape) == {
        "layers": 2, "width": width, "heads": 1, "vocabulary": 5, "context": 8, "activation": "squared-relu",
        "tied": tied,
    }  # fmt: skip
    for theirs, ours in zip(packed.blocks, read.blocks, strict=True):
        assert list(theirs.projections()) == list(ours.projections())
        assert theirs.attention == ours.attention
    tokens = np.array([[0, 1, 2, 3, 4, 4, 3]])
    np.testing.assert_array_equal(read.logits(tokens), packed.logits(tokens))
    assert sorted(os.listdir(tmp_path)) == ["m.npz"]
    save(read, tmp_path / "again.npz")
    before, after = arrays_of(tmp_path / "m.npz"), arrays_of(tmp_path / "again.npz")
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() and before[name].dtype == after[name].dtype for name in before)


def test_signs_take_a_thirtieth_on_disk_too(tmp_path):
    shape = Shape(1, 256, 4, 5, 8)
    packed = export(transformer(shape), shape, tmp_path / "m.npz")
    assert 30 * packed.packed_bytes <= packed.float32_bytes
    # A member of a zip and its .npy header take a few hundred bytes; there are 22 or fewer.
    assert (tmp_path / "m.npz").stat().st_size <= packed.packed_bytes + packed.other_bytes + 22 * 500


def test_neither_reading_nor_running_loads_jax(stored):
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from ntk1bit.packed.file_format import load\n"
        "from ntk1bit.packed.text import generate\n"
        "model = load(Path(sys.argv[1])); model.logits(np.array([[0, 1]])); generate(model, ' a', length=12)\n"
        "assert not {'jax', 'jaxlib', 'equinox'} & set(sys.modules), sorted(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(stored)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_file_cut_short_anywhere_is_refused(stored):
    whole = stored.read_bytes()
    for length in [*range(0, len(whole), len(whole) // 60), len(whole) - 1]:
        stored.write_bytes(whole[:length])
        refusal_of(stored)


def test_a_changed_byte_is_found_or_changes_nothing(stored):
    whole = stored.read_bytes()
    expected = load(stored)
    tokens = np.array([[0, 1, 2, 3, 4]])
    logits = expected.logits(tokens)
    rng = np.random.default_rng(0)
    refused = 0
    for at in rng.integers(len(whole), size=150):
        damaged = bytearray(whole)
        damaged[at] ^= int(rng.integers(1, 256))
        stored.write_bytes(damaged)
        try:
            read = load(stored)
        except InputError:
            refused += 1
            continue
        # Dates and attributes of the zip's members are free to change.
        assert (read.shape, read.alphabet, read.note) == (expected.shape, expected.alphabet, expected.note)
        np.testing.assert_array_equal(read.logits(tokens), logits)
    assert refused > 75


def changed(arrays, **others):
    return {**arrays, **{name.replace("__", "."): value for name, value in others.items()}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {name: value for name, value in a.items() if name != "1.up.signs"}, "'1.up.signs' is missing"),
        (lambda a: {name: value for name, value in a.items() if name != "head"}, "'head' is missing"),
        (lambda a: changed(a, format=np.array(3)), "format is 3, and this version reads 1 and 2"),
        (lambda a: changed(a, format=np.array([1])), "'format' is int64 of shape"),
        (lambda a: changed(a, more=np.zeros(3)), "also holds 'more'"),
        (lambda a: changed(a, norm=a["norm"].astype(np.float64)), "'norm' is float64"),
        (lambda a: changed(a, norm=a["norm"][1:]), "shape \\(35,\\), not float32 of shape \\(36,\\)"),
        (lambda a: changed(a, norm=np.full(36, np.nan, np.float32)), "'norm' holds NaN"),
        (lambda a: changed(a, norm=np.array([None] * 36)), "holds objects"),
        (lambda a: changed(a, shape=np.frombuffer(b"{]", np.uint8)), "not JSON"),
        (lambda a: changed(a, shape=np.frombuffer(b"[1]", np.uint8)), "lacks fields"),
        (lambda a: changed(a, shape=np.zeros((2, 2), np.uint8)), "'shape' is not text"),
        (lambda a: changed(a, note=np.array([255, 254], np.uint8)), "utf-8"),
        (lambda a: changed(a, alphabet=np.frombuffer(b"abcd", np.uint8)), "5 distinct characters"),
        (lambda a: changed(a, alphabet=np.frombuffer(b"abcda", np.uint8)), "5 distinct characters"),
        (lambda a: with_shape(a, layers=3), "'2.attention_norm' is missing"),
        (lambda a: with_shape(a, layers=1), "also holds"),
        (lambda a: with_shape(a, layers=True), "no Transformer has the shape"),
        (lambda a: with_shape(a, width=36.0), "no Transformer has the shape"),
        (lambda a: with_shape(a, heads=0), "needs heads of at least 1"),
        (lambda a: with_shape(a, activation="relu"), "no Transformer has the shape"),
        (lambda a: with_shape(a, tied=1), "no Transformer has the shape"),
        (lambda a: with_shape(a, heads=4), "must be an even multiple of heads"),
        (lambda a: with_shape(a, colour="red"), "lacks fields or has others"),
    ],
)
def test_foreign_contents_are_refused(change, message, stored):
    arrays = change(arrays_of(stored))
    np.savez(stored, **arrays)  # pyright: ignore[reportArgumentType] (no array is called allow_pickle)
    with pytest.raises(InputError, match=message) as refusal:
        load(stored)
    assert "\n" not in str(refusal.value)


def with_shape(arrays, **fields):
    known = json.loads(arrays["shape"].tobytes())
    return changed(arrays, shape=np.frombuffer(json.dumps({**known, **fields}).encode(), np.uint8))


def test_other_files_are_refused(tmp_path):
    assert "there is no packed model" in refusal_of(tmp_path / "none.npz")
    assert "there is no packed model" in refusal_of(tmp_path)
    (tmp_path / "text.npz").write_text("hello")
    refusal_of(tmp_path / "text.npz")
    (tmp_path / "empty.npz").write_bytes(b"")
    refusal_of(tmp_path / "empty.npz")
    with open(tmp_path / "single.npz", "wb") as file:
        np.save(file, np.zeros(3))
    assert "a single array" in refusal_of(tmp_path / "single.npz")
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    refusal_of(tmp_path / "zip.npz")


def test_a_full_disk_leaves_nothing_and_keeps_what_was_there(model, stored, monkeypatch):
    before = stored.read_bytes()

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for name in ("model.npz", "new.npz"):
        with pytest.raises(OSError, match="No space left"):
            export(model, SHAPE, stored.with_name(name))
    assert os.listdir(stored.parent) == ["model.npz"]
    assert stored.read_bytes() == before


def with_leaf(model, where, value):
    return eqx.tree_at(where, model, value)


@pytest.mark.usefixtures("untyped")
def test_what_cannot_be_packed_is_refused(model, tmp_path):
    out = tmp_path / "m.npz"
    nan = with_leaf(model, lambda m: m.blocks[1].up.weight, model.blocks[1].up.weight.at[3, 2].set(np.nan))
    cases = [
        (lambda: export(as_arm(model, "full"), SHAPE, out), "query of layer 0 is 'full'"),
        (lambda: export(as_arm(model, "b158"), SHAPE, out), "only projections of the arm 'bitnet'"),
        (lambda: export(model, SHAPE, tmp_path / "m.bin"), "must end in .npz"),
        (lambda: export(model, SHAPE, tmp_path / "none" / "m.npz"), "does not exist"),
        (lambda: export(model, SHAPE, out, alphabet="abc"), "5 tokens needs as many distinct characters, got 3"),
        (lambda: export(model, SHAPE, out, alphabet="aabcd"), "5 of which 4 distinct"),
        (lambda: export(model, SHAPE, out, alphabet="abc\ud800d"), "the alphabet holds '.ud800', half a character"),
        (lambda: export(model, SHAPE, out, note="\udfff"), "the note holds"),
        (lambda: export(nan, SHAPE, out), "up of layer 1 holds NaN"),
        (lambda: export(model, Shape(1, 36, 3, 5, 8, "gelu", False), out), "2 layers and a head of its own"),
        (lambda: export(model, Shape(2, 36, 3, 5, 8, "gelu", True), out), "tied=True"),
        (lambda: export(model, Shape(2, 36, 2, 5, 8, "gelu", False), out), "layer 0 has 3 heads"),
        (lambda: export(model, Shape(2, 36, 3, 5, 8, "squared-relu", False), out), "layer 0 has 3 heads and gelu"),
        (lambda: export(model, Shape(2, 36, 3, 6, 8, "gelu", False), out), "embedding has shape \\(5, 36\\)"),
        (lambda: export(model, Shape(2, 30, 3, 5, 8, "gelu", False), out), "embedding has shape"),
    ]
    for call, message in cases:
        with pytest.raises(InputError, match=message) as refusal:
            call()
        assert "\n" not in str(refusal.value)
    assert not os.listdir(tmp_path)


def test_a_projection_of_zeros_is_packed(model):
    dead = with_leaf(model, lambda m: m.blocks[0].down.weight, model.blocks[0].down.weight * 0)
    packed = pack(dead, SHAPE)
    assert packed.blocks[0].down.beta == 0
    tokens = np.array([[0, 1, 2]])
    expected = np.asarray(eqx.filter_jit(as_form(dead, W23.packed()))(jnp.asarray(tokens)))
    # Ties of the rounding aside (tests/nets/test_packed.py), which move logits by a few parts in a thousand.
    np.testing.assert_allclose(packed.logits(tokens), expected, rtol=0, atol=0.05 * expected.std())


def test_a_file_of_another_kind_is_refused_without_advice_to_unpickle_it(tmp_path):
    path = tmp_path / "notes.npz"
    path.write_text("Fellow citizens")
    with pytest.raises(InputError, match=r"not a \.npz file") as refusal:
        load(path)
    assert "pickle" not in str(refusal.value)
