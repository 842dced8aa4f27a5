"""Files that are there whole or not at all, files that people wrote, and files that other systems leave behind."""

from __future__ import annotations

import codecs
import contextlib
import itertools
import os
import stat
import threading
import tomllib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ntk1bit.arguments import free_memory
from ntk1bit.errors import InputError

FIGURES = (".png", ".pdf", ".svg")  # endings of figures that every command can draw
_MARKS = {codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32"}  # the first begins like UTF-16's
_MARKS |= {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
_LONGEST_NAME = 200  # bytes, so that the name under which a file is written first fits the system's 255
_OF_OTHERS = (
    "._*",  # macOS: the other half of a file, on a disk that knows no such halves
    ".DS_Store",
    ".localized",
    ".Spotlight-V100",
    ".Trashes",
    ".Trash-*",
    ".fseventsd",
    "__MACOSX",
    "Icon\r",
    "Thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "$RECYCLE.BIN",
    "System Volume Information",
    ".nfs*",  # deleted on a network disk while somebody had it open
    ".fuse_hidden*",
    ".directory",
    ".~lock.*#",
    ".*.sw?",  # editors
    "*~",
    "#*#",
    ".#*",
    ".ipynb_checkpoints",
    ".dropbox*",
    ".stfolder",
    ".syncthing.*",
)


def left_by_others(name: str) -> bool:
    """Say whether a file of this name is an operating system's, a disk's or an editor's.

    Such a file is none of ours and none of the user's work: it is neither read nor moved, and a folder with nothing
    else in it is empty.
    """
    folded = name.casefold()
    return any(fnmatchcase(folded, pattern.casefold()) for pattern in _OF_OTHERS)


def writable_file(option: str, path: Path | str, endings: Sequence[str]) -> Path:
    """Return the path of a file that is to be written, after checking that it can be.

    Parameters
    ----------
    option
        What the user knows it by, such as `--out`.
    path
        The file.
    endings
        Its possible endings, each with its dot.

    Raises
    ------
    InputError
        If it ends otherwise, its folder does not exist or cannot be written to, or it is a folder itself.
    """
    path = Path(path)
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise InputError(f"the name of a file must be shorter than {_LONGEST_NAME} letters, got {path.name[:40]!r}...")
    if path.suffix.lower() not in endings:
        raise InputError(f"{option} must end in {' or '.join(endings)}, got {str(path)!r}")
    if not path.parent.is_dir():
        raise InputError(f"the folder {str(path.parent)!r} does not exist; make it first")
    if path.is_dir():
        raise InputError(f"{str(path)!r} is a folder; give the name of a file")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"the folder {str(path.parent)!r} cannot be written to; choose another")
    return path


def user_cache() -> Path | None:
    """Return our folder in the user's cache, as the XDG base directory specification has it; None without a home."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (base if base.is_absolute() else Path.home() / ".cache") / "ntk1bit"
    except RuntimeError:
        return None


def read_text(path: Path | str) -> str:
    """Read a text that a person may have written: UTF-8, with or without a byte order mark.

    Raises
    ------
    InputError
        If it cannot be read, or is written otherwise.
    """
    try:
        about = os.stat(path)
        if not stat.S_ISREG(about.st_mode):
            what = "a folder" if stat.S_ISDIR(about.st_mode) else "no regular file"
            raise InputError(f"cannot read {path}: it is {what}")
        if about.st_size > free_memory():
            raise InputError(
                f"cannot read {path}: it has {about.st_size / 1e9:,.0f} GB, more than the memory that is free"
            )
        data = Path(path).read_bytes()
    except OSError as problem:
        raise InputError(f"cannot read {path}: {problem.strerror or problem}") from None
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            raise InputError(f"{path} is written in {encoding}; save it as UTF-8")
    try:
        if b"\0" not in data:
            return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    raise InputError(f"{path} is not a text file in UTF-8; save it as UTF-8")


def read_toml(path: Path | str) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    InputError
        As `read_text`, and if it is not TOML.
    """
    try:
        return tomllib.loads(read_text(path))
    except InputError:
        raise
    except (ValueError, RecursionError) as problem:  # not TOML, or a number of thousands of digits
        raise InputError(f"{path} is not valid TOML: {' '.join(str(problem).split())[:200]}") from None


def set_aside(path: Path | str) -> Path:
    """Move a file of a run that is not what its name says out of the way, and return where it is now.

    RUN/cells/NAME becomes RUN/set_aside/NAME.<number>; nothing that is there is replaced.
    """
    path = Path(path)
    shelf = path.parent.parent / "set_aside"
    shelf.mkdir(exist_ok=True)
    names = (shelf / f"{path.name}.{number}" for number in itertools.count(sum(1 for _ in shelf.iterdir())))
    target = next(one for one in names if not one.exists())
    return path.rename(target)


def write_whole(path: Path | str, data: bytes | memoryview) -> None:
    """Write a file so that, whatever happens, either all of it is there under its name or none.

    Raises
    ------
    OSError
        If it cannot be written; its `filename` is that of the file.
    """
    write_all_whole([(path, data)])


def write_all_whole(contents: Iterable[tuple[Path | str, bytes | memoryview]]) -> None:
    """Write files that belong together, each a path and its bytes; none has its name before all are on disk.

    Raises
    ------
    OSError
        As `write_whole`; earlier files of these names are as they were.
    """
    every = {Path(path): data for path, data in contents}
    made = {path: path.with_name(f".{path.name}.writing-{os.getpid()}-{threading.get_ident()}") for path in every}
    path = Path()
    try:
        for path, temporary in made.items():
            with open(temporary, "wb") as file:
                file.write(every[path])
                file.flush()
                os.fsync(file.fileno())
        for path, temporary in made.items():
            os.replace(temporary, path)
        for folder in {path.parent for path in made}:
            _sync_folder(folder)
    except BaseException as problem:
        for temporary in made.values():
            with contextlib.suppress(OSError):  # the folder may be gone, or what is there a folder
                temporary.unlink(missing_ok=True)
        if isinstance(problem, OSError):
            raise OSError(problem.errno, problem.strerror, str(path)) from None
        raise


def _sync_folder(folder: Path) -> None:
    """Put the names of a folder on disk, where the system lets folders be opened."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def is_unfinished(name: str) -> bool:
    """Say whether a file of this name is being written, or was when its process was killed."""
    return fnmatchcase(name, ".*.writing-*")


def clear_unfinished(folder: Path | str) -> None:
    """Remove what killed processes left half-written in a folder that nobody else writes to."""
    for path in Path(folder).iterdir():
        if is_unfinished(path.name):
            path.unlink(missing_ok=True)
