"""Compiled kernels on disk: read only where nobody else can have written them, and only whole.

Loading a kernel runs what is in its file. So the folder and the files must belong to the user and be closed to the
writing of others, and every file begins with a digest of its name and its content, which is checked before anything is
made of it: what a power cut or a bad disk has left is set aside, and compiled anew. Nothing here fails: a kernel that
cannot be read or kept costs the time to compile it, and `KernelFiles.look` says why.

A file holds one kernel for one processor and one state of its sources, under a name made of all of these. Nobody
changes a file, and writing replaces it whole, so that processes need no lock.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ntk1bit.files import user_cache

_KERNEL, _DAMAGED, _UNFINISHED = ".kernel", ".damaged", ".writing"
_MARK = b"ntk1bit kernel 1\n"
_DAY = 86400.0  # seconds; a file that is read is marked as used once a day
_UNUSED = 30 * _DAY  # after which a file goes: of sources that have changed since, or of a process that was killed
ELSEWHERE = "set NUMBA_CACHE_DIR to a folder that only you can write to"


@dataclass(frozen=True)
class KernelFolder:
    """What a folder of kernels holds.

    Attributes
    ----------
    kernels, size
        Number of whole files and their bytes.
    damaged
        Damaged files found since the last look; they are gone now.
    problem
        Why kernels are compiled in every process, and what to do; empty where nothing is wrong.
    """

    kernels: int
    size: int
    damaged: int
    problem: str


class KernelFiles:
    """The files of one folder, which is made when it is first needed.

    Parameters
    ----------
    folder
        Where they are; None where there is no place for them.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def read(self, name: str) -> bytes | None:
        """Return what was written under a name; None if it is not there, not whole, or not to be trusted."""
        if self.folder is None or self._problem:
            return None
        path = self.folder / f"{name}{_KERNEL}"
        try:
            with open(path, "rb") as file:
                about = os.fstat(file.fileno())
                data = file.read() if _is_private(about) else b""
        except OSError:
            return None
        content = _checked(name, data)
        with contextlib.suppress(OSError):  # of a disk that can only be read
            if content is None:
                path.replace(path.with_suffix(_DAMAGED))  # kept until somebody looks
            elif time.time() - about.st_mtime > _DAY:
                os.utime(path)
        return content

    def write(self, name: str, content: bytes) -> None:
        """Keep what is to be found under a name, if the system lets us."""
        if self.folder is None or self._problem:
            return
        with contextlib.suppress(OSError):
            self._write(self.folder / f"{name}{_KERNEL}", _MARK + _digest(name, content) + content)
            self._clear_unused()

    def look(self) -> KernelFolder:
        """Read every file, throw damaged ones away, and try whether another could be written."""
        if self.folder is None:
            return KernelFolder(0, 0, 0, f"no home folder is known; {ELSEWHERE}")
        if self._problem:
            return KernelFolder(0, 0, 0, self._problem)
        sizes = []
        for path in sorted(self.folder.glob(f"*{_KERNEL}")):
            content = self.read(path.stem)
            sizes += [] if content is None else [len(content)]
        damaged = list(self.folder.glob(f"*{_DAMAGED}"))
        problem = ""
        try:
            for path in damaged:
                path.unlink(missing_ok=True)
            trial = self.folder / f"trial{_UNFINISHED}"
            self._write(trial, bytes(max(sizes, default=1)))
            trial.unlink(missing_ok=True)
        except OSError as error:
            problem = f"new kernels cannot be kept ({error.strerror}): free some space there, or {ELSEWHERE}"
        return KernelFolder(len(sizes), sum(sizes), len(damaged), problem)

    @functools.cached_property
    def _problem(self) -> str:
        """Why nothing is read or written, and what to do; empty where something is."""
        assert self.folder is not None
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            about = os.stat(self.folder)
        except OSError as error:
            return f"the folder cannot be made ({error.strerror}); {ELSEWHERE}"
        if about.st_uid != os.geteuid():
            return f"the folder belongs to another user, so nothing in it is run; {ELSEWHERE}"
        if not _is_private(about):
            return "others can write to the folder, so nothing in it is run; remove it, or close it with: chmod go-w"
        return ""

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        handle, temporary = tempfile.mkstemp(suffix=_UNFINISHED, dir=path.parent)  # closed to others, whatever umask
        try:
            with open(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def _clear_unused(self) -> None:
        assert self.folder is not None
        for path in self.folder.iterdir():
            ours = path.suffix in (_KERNEL, _DAMAGED, _UNFINISHED)
            if ours and time.time() - path.stat().st_mtime > _UNUSED:
                path.unlink(missing_ok=True)


def default_folder() -> Path | None:
    """Return the folder of this user's kernels: in NUMBA_CACHE_DIR, else in the cache folder that XDG has; or None."""
    if given := os.environ.get("NUMBA_CACHE_DIR"):
        try:
            return Path(given).absolute() / "ntk1bit-kernels"
        except OSError:  # a relative path in a folder that is gone
            return None
    base = user_cache()
    return None if base is None else base / "kernels"


def _is_private(about: os.stat_result) -> bool:
    return about.st_uid == os.geteuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _digest(name: str, content: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\0" + content).digest()


def _checked(name: str, data: bytes) -> bytes | None:
    """Return the content of a file's bytes; None if they are not those that were written under this name."""
    start = len(_MARK) + hashlib.sha256().digest_size
    content = data[start:]
    return content if data[:start] == _MARK + _digest(name, content) else None
