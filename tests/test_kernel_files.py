"""Compiled kernels on disk: nothing is run that is damaged, or that others may have written, and nothing fails."""

from __future__ import annotations

import errno
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest

from ntk1bit.kernel_files import KernelFiles, default_folder

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def files(tmp_path):
    return KernelFiles(tmp_path / "new" / "kernels")


def only(files: KernelFiles, pattern: str = "*.kernel") -> Path:
    assert files.folder is not None
    (path,) = files.folder.glob(pattern)
    return path


def test_what_was_written_is_read_by_this_user_alone(files):
    before = os.umask(0)
    try:
        assert files.read("name") is None
        files.write("name", CONTENT)
    finally:
        os.umask(before)
    assert files.read("name") == CONTENT
    assert files.folder.stat().st_mode & 0o777 == 0o700
    assert only(files).stat().st_mode & 0o777 == 0o600
    files.write("name", b"")
    assert files.read("name") == b""
    assert files.look() == KernelFiles(files.folder).look()
    found = files.look()
    assert (found.kernels, found.size, found.damaged, found.problem) == (1, 0, 0, "")


def damages(data: bytes) -> dict[str, bytes]:
    random = np.random.default_rng(0)
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    cuts = {f"cut at {at}": data[:at] for at in (0, 1, 17, 30, 49, len(data) // 2, len(data) - 1)}
    return cuts | {
        "flipped": bytes(flipped),
        "longer": data + b"\0",
        "zeros": bytes(len(data)),
        "other": random.bytes(99),
    }


def test_a_damaged_file_is_set_aside_told_once_and_replaced(files):
    files.write("name", CONTENT)
    whole = only(files).read_bytes()
    for damage, data in damages(whole).items():
        only(files).write_bytes(data)
        assert files.read("name") is None, damage
        assert files.read("name") is None, damage
        files.write("name", CONTENT)
        assert files.read("name") == CONTENT, damage
        assert files.look().damaged == 1, damage  # of a run before
        assert files.look().damaged == 0, damage
        only(files).write_bytes(data)
        found = files.look()  # which finds it itself
        assert (found.kernels, found.damaged) == (0, 1), damage
        assert list(files.folder.iterdir()) == [], damage
        files.write("name", CONTENT)


def test_a_file_under_another_name_is_not_run(files):
    files.write("name", CONTENT)
    only(files).rename(files.folder / "other.kernel")
    assert files.read("other") is None


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o722])
def test_a_folder_that_others_can_write_to_is_left_alone(files, mode):
    files.write("name", CONTENT)
    files.folder.chmod(mode)
    fresh = KernelFiles(files.folder)
    assert fresh.read("name") is None
    fresh.write("other", CONTENT)
    assert only(files).name == "name.kernel"
    assert "others can write to the folder" in fresh.look().problem
    files.folder.chmod(0o755)  # which others can read
    assert KernelFiles(files.folder).read("name") == CONTENT


def test_a_file_that_others_can_write_to_is_not_run(files):
    files.write("name", CONTENT)
    only(files).chmod(0o622)
    assert files.read("name") is None


def test_what_belongs_to_another_user_is_not_run(files, monkeypatch):
    files.write("name", CONTENT)
    monkeypatch.setattr(os, "geteuid", lambda: files.folder.stat().st_uid + 1)
    assert files.read("name") is None  # the file
    assert "belongs to another user" in KernelFiles(files.folder).look().problem


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_a_disk_that_takes_nothing_costs_time_only_and_is_told(files, monkeypatch, number):
    files.write("name", CONTENT)

    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    files.write("other", CONTENT)
    assert files.read("name") == CONTENT
    assert only(files, "*").name == "name.kernel"  # nothing half-written is left
    found = files.look()
    assert found.kernels == 1
    assert os.strerror(number) in found.problem
    assert "NUMBA_CACHE_DIR" in found.problem


def test_without_a_place_nothing_is_kept(tmp_path):
    nowhere = KernelFiles(None)
    nowhere.write("name", CONTENT)
    assert nowhere.read("name") is None
    assert "no home folder" in nowhere.look().problem
    (tmp_path / "file").touch()
    inside = KernelFiles(tmp_path / "file" / "kernels")
    inside.write("name", CONTENT)
    assert inside.read("name") is None
    assert "cannot be made (Not a directory)" in inside.look().problem


def test_files_that_nobody_has_used_for_long_go(files):
    for name in ("old", "used"):
        files.write(name, CONTENT)
    old = time.time() - 40 * 86400
    for path in files.folder.iterdir():
        os.utime(path, (old, old))
    (files.folder / "tmpkilled.writing").touch()  # of a process that may be at work
    (files.folder / "notes.txt").touch()
    os.utime(files.folder / "notes.txt", (old, old))
    assert files.read("used") == CONTENT
    files.write("new", CONTENT)
    left = sorted(path.name for path in files.folder.iterdir())
    assert left == ["new.kernel", "notes.txt", "tmpkilled.writing", "used.kernel"]


def both_ways(folder: Path, seed: int) -> int:
    """Write, read, damage and look at random; count what was read, all of which must be right."""
    random, files, read = np.random.default_rng(seed), KernelFiles(folder), 0
    for _ in range(150):
        name = f"kernel{random.integers(3)}"
        what = random.integers(8)
        if what == 0:
            (folder / f"{name}.kernel").write_bytes(random.bytes(60))
        elif what == 1:
            files.look()
        elif what < 4:
            files.write(name, name.encode() * 1000)
        else:
            content = files.read(name)
            assert content in (None, name.encode() * 1000)
            read += content is not None
    return read


def test_processes_at_work_together_read_whole_files_or_none(tmp_path):
    KernelFiles(tmp_path / "kernels").write("kernel0", b"")
    with multiprocessing.get_context("fork").Pool(3) as pool:
        read = pool.starmap(both_ways, [(tmp_path / "kernels", seed) for seed in range(3)])
    assert min(read) > 0


def test_the_folder_is_that_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for cache, base, expected in (
        ("", "", tmp_path / ".cache" / "ntk1bit" / "kernels"),
        ("", "relative", tmp_path / ".cache" / "ntk1bit" / "kernels"),
        ("", "/caches", Path("/caches/ntk1bit/kernels")),
        ("/mine", "/caches", Path("/mine/ntk1bit-kernels")),
        ("mine", "/caches", Path("mine/ntk1bit-kernels").absolute()),
    ):
        monkeypatch.setenv("NUMBA_CACHE_DIR", cache)
        monkeypatch.setenv("XDG_CACHE_HOME", base)
        assert default_folder() == expected
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME")

    def nobody() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", nobody)
    assert default_folder() is None
