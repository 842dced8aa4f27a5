from __future__ import annotations

import os
import re
import stat

import pytest

from ntk1bit import files
from ntk1bit.errors import InputError
from ntk1bit.files import read_text, set_aside, writable_file, write_all_whole, write_whole


def test_files_that_belong_together_are_all_there_or_none(tmp_path, monkeypatch):
    """A full disk left a .pdf without its .png, and the earlier .png was gone."""
    first, second = tmp_path / "one.pdf", tmp_path / "one.png"
    second.write_bytes(b"earlier")
    synced = []

    def full(number):
        synced.append(number)
        if len(synced) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as told:
        write_all_whole([(first, b"1"), (second, b"2")])
    assert told.value.filename == str(second)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"one.png": b"earlier"}
    write_all_whole([(first, b"1"), (str(second), b"2")])
    assert (first.read_bytes(), second.read_bytes()) == (b"1", b"2")


@pytest.mark.parametrize("name", ["missing/x.txt", "folder"])
def test_what_cannot_be_written_is_named_as_the_user_knows_it(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=re.escape(name)) as told:
        write_whole(tmp_path / name, b"x")
    assert told.value.filename == str(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_nothing_that_was_set_aside_is_replaced(tmp_path):
    (tmp_path / "cells").mkdir()
    places = []
    for content in ("one", "two"):
        path = tmp_path / "cells" / "x.parquet"
        path.write_text(content)
        places.append(set_aside(str(path)))
        assert not path.exists()
    assert [place.read_text() for place in places] == ["one", "two"]
    assert {place.parent for place in places} == {tmp_path / "set_aside"}


def test_names_that_would_fail_only_after_the_work_are_refused(tmp_path):
    write_whole(writable_file("--out", tmp_path / f"{'x' * 196}.png", [".png"]), b"x")
    with pytest.raises(InputError, match="must be shorter"):
        writable_file("--out", tmp_path / f"{'x' * 240}.png", [".png"])


def test_what_is_no_text_of_a_person_is_not_read(tmp_path):
    """A pipe would be waited for without end, and a huge file would fill the memory."""
    os.mkfifo(tmp_path / "pipe")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    with open(tmp_path / "huge.toml", "wb") as file:
        file.truncate(2**40)
    for name, why in (("pipe", "no regular file"), ("huge.toml", "1,100 GB"), (".", "a folder")):
        with pytest.raises(InputError, match=why):
            read_text(tmp_path / name)
