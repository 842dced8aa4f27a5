"""Tables made to do harm: each is refused in one line, within memory that does not grow with what they promise."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from ntk1bit.errors import InputError
from ntk1bit.tables.reading import read_table
from tests.refusals import refusal_within

FREE = 2e6  # bytes of memory in these tests, so that small files are large


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr("ntk1bit.arguments.free_memory", lambda: FREE)
    monkeypatch.setattr("ntk1bit.tables.reading.free_memory", lambda: FREE)
    monkeypatch.setattr("ntk1bit.tables.reading._AT_ONCE", 1 << 16)


def refusal(path: Path, most: float) -> str:
    return refusal_within(most, read_table, path)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    ("ending", "pack"),
    [
        (".gz", gzip.compress),
        (".bz2", lambda text: bz2.compress(text, 1)),
        (".xz", lambda text: lzma.compress(text, preset=0)),
    ],
)
def test_a_packed_file_is_unpacked_no_further_than_memory_reaches(ending, pack, tmp_path):
    path = tmp_path / f"a.csv{ending}"
    path.write_bytes(pack(b"1,2\n" * 2_000_000))
    assert path.stat().st_size < 50_000
    # 8 MB are in it; pieces of a quarter of a megabyte in all, and what the unpackers keep for themselves, are held
    assert "text, too much for the memory that is free" in refusal(path, 6e6)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("quotes.csv", '"a",b\n' + "1,2\n" * 20_000),  # a quote keeps Arrow out: every cell is an object
        ("short.csv", ",".join(["c"] * 1000) + "\n" + "1\n" * 5000),  # 2 kB a row that is written in two letters
        ("names.jsonl", "\n".join(json.dumps({f"n{i}": 1}) for i in range(1000))),  # a column for every row
    ],
)
def test_text_that_takes_far_more_memory_than_its_length_is_refused(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    refusal(tmp_path / name, 8 * FREE)


def test_the_same_files_are_read_where_memory_is_enough(tmp_path):
    (tmp_path / "a.csv").write_text('"a",b\n' + "1,2\n" * 2000)
    assert read_table(tmp_path / "a.csv").shape == (2000, 2)
    (tmp_path / "b.csv").write_text("a,b,c\n" + "1\n" * 20)
    assert read_table(tmp_path / "b.csv").shape == (20, 3)
    (tmp_path / "c.jsonl").write_text("\n".join(json.dumps({f"n{i}": 1}) for i in range(20)))
    assert read_table(tmp_path / "c.jsonl").shape == (20, 20)


@pytest.mark.usefixtures("little_memory")
def test_rows_that_parquet_stores_as_one_are_counted(tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"a": pa.array([1.0] * 2_000_000)}), path)
    assert path.stat().st_size < 100_000
    assert "its rows would take" in refusal(path, 4e6)


def test_parquet_with_changed_bytes_is_read_or_refused_in_one_line(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"N": [1, 2, 3], "loss": [0.5, 0.25, 0.125], "arm": ["a", "b", "c"]}).to_parquet(path)
    whole, refused = path.read_bytes(), []
    end = len(whole) - 8
    for at in range(end - int.from_bytes(whole[end : end + 4], "little"), end, 7):  # what says how much there is
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        try:
            read_table(path)
        except InputError as problem:
            refused.append(str(problem))
    assert len(refused) > 10
    assert not any("\n" in message for message in refused)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"N": ' + "[" * 3000 + "]" * 3000 + ', "loss": 1}\n'),
        ("a.jsonl", '{"N": ' * 3000 + "1" + "}" * 3000),
        ("a.jsonl", '{"N": ' + "[" * 300 + "]" * 300 + ', "loss": 1}\n'),
        ("a.json", "[" * 200_000),
    ],
)
def test_lists_in_lists_are_refused(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    message = refusal(tmp_path / name, 16e6)
    assert "lists in lists" in message
