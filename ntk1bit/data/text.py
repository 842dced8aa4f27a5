"""Text for character-level language models, read from files on this machine: nothing is downloaded.

    sotu     State of the Union addresses of the United States, 1790 to 2026: the years from 1990 on are held out
    pydoc    Python's own help topics: small, always there, for trying things out
    a path   a text file of one's own, in UTF-8: the last tenth is held out

The first two are folded to ASCII (`ntk1bit.data.text_sources.fold`). The alphabet of a corpus is every character of its
training *and* validation text, sorted, so that losses of different models are over the same outcomes. A token is a
position in the alphabet.

The encoded text is kept in a cache folder and mapped into memory, so that many processes share one copy. A cached file
is used only if its contents match the digest stored beside it, and made again otherwise. Where the cache cannot be
written (a full disk, a read-only home) the same arrays are given from memory.
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from ntk1bit.array_files import ArrayFileError, map_array
from ntk1bit.data import text_sources as sources
from ntk1bit.errors import InputError
from ntk1bit.files import user_cache, write_whole

_FORMAT = 1  # raised when folding or the files in the cache change, so that older ones are not taken for these
_STREAM = 0x7E  # keeps these draws apart from others at the same seed


class Corpus(NamedTuple):
    """A text, split and encoded.

    Attributes
    ----------
    name
        As given to `load`; of a file its `canonical` name.
    alphabet
        The characters of both parts, sorted; token t stands for ``alphabet[t]``.
    train, validation
        Tokens, uint8, read-only: memory maps, or plain arrays where the cache cannot be written.
    digest
        SHA-256 of the source files.
    note
        What the text is, its licence, how it was split and folded.
    """

    name: str
    alphabet: str
    train: UInt8[np.ndarray, " train"]
    validation: UInt8[np.ndarray, " validation"]
    digest: str
    note: str

    @property
    def vocabulary(self) -> int:
        """Return the number of distinct characters."""
        return len(self.alphabet)


class Loss(NamedTuple):
    """Mean cross-entropy per character with its standard error, in nats and in bits."""

    nats: float
    bits_per_character: float
    nats_error: float
    bits_error: float


def names() -> list[str]:
    """List the texts that `load` knows."""
    return list(sources.SOURCES)


def load(name: str, *, cache: Path | str | None = None) -> Corpus:
    """Read a text, folded, split and encoded.

    Parameters
    ----------
    name
        ``"sotu"``: speeches before 1990 for training, later ones for validation. Needs the package sotu, whose files
        are checked against a pinned digest. ``"pydoc"``: the last tenth is for validation; the text varies with the
        version of Python, so its digest is recorded but not pinned. Or the path of a text file, or its `canonical`
        name: then the last tenth is for validation.
    cache
        Folder for the encoded text; by default ``ntk1bit/text`` in ``$XDG_CACHE_HOME``, or in ``~/.cache``.

    Raises
    ------
    InputError
        If the name is unknown, the package is missing, its files are not those of the pinned version, or a file of
        one's own is not there, not UTF-8, or not the one that the name was made for.
    """
    name = sources.canonical(name)
    folder = Path(cache) if cache is not None else _default_cache()
    if name in sources.SOURCES:
        source = sources.SOURCES[name]()
        known, read = _Known(name, source.digest, f"{source.note}; folded to ASCII"), source.folded
    else:
        own = sources.OwnText.named(name)
        known, read = _Known(name, own.digest, own.note), own.read
    if folder is not None and (stored := _read(folder, known)) is not None:
        return stored
    train, validation, dropped = read()
    alphabet = "".join(sorted(set(train) | set(validation)))
    parts = {"train": encode(train, alphabet), "validation": encode(validation, alphabet)}
    for tokens in parts.values():
        tokens.flags.writeable = False
    fresh = known.corpus(alphabet, dropped, parts)
    if folder is not None:
        with contextlib.suppress(OSError):  # the text itself is at hand; only sharing it is not possible
            _write(folder, known.stem, alphabet, dropped, parts)
            return _read(folder, known) or fresh
    return fresh


def encode(text: str, alphabet: str) -> UInt8[np.ndarray, " characters"]:
    """Return the position in the alphabet of every character.

    Raises
    ------
    InputError
        If a character is not in the alphabet, or the alphabet repeats one or has more than 256.
    """
    if len(set(alphabet)) != len(alphabet) or len(alphabet) > 256:
        raise InputError(f"an alphabet needs distinct characters, at most 256; this one has {len(alphabet)} places")
    foreign = set(text).difference(alphabet)
    if foreign:
        where = min(text.index(c) for c in foreign)
        raise InputError(f"character {text[where]!r} at position {where} is not in the alphabet; fold the text first")
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    known = np.array([ord(c) for c in alphabet], dtype=np.uint32)
    order = np.argsort(known)
    return order.astype(np.uint8)[np.searchsorted(known[order], points)]


def decode(tokens: UInt8[np.ndarray, " characters"], alphabet: str) -> str:
    """Return the text of these tokens.

    Raises
    ------
    InputError
        If a token is no position in the alphabet.
    """
    require_tokens(tokens, len(alphabet))
    return "".join([alphabet[token] for token in tokens.tolist()])


def require_tokens(tokens: UInt8[np.ndarray, ...], vocabulary: int) -> None:
    """Raise `InputError` unless every token is below `vocabulary`."""
    if tokens.size and int(tokens.max()) >= vocabulary:
        raise InputError(
            f"token {int(tokens.max())} is outside a vocabulary of {vocabulary}; give the alphabet it was encoded with"
        )


def training_batch(
    tokens: UInt8[np.ndarray, " characters"], *, batch: int, context: int, step: int, seed: int
) -> UInt8[np.ndarray, "{batch} {context}+1"]:
    """Draw the training windows of one step: a function of (seed, step) alone, so a resumed run sees the same.

    Parameters
    ----------
    tokens
        The training text.
    batch
        Windows, drawn uniformly with replacement from all places; they may cross from one speech into the next.
    context
        Characters to predict in each; a window has one more, since inputs are ``[:, :-1]`` and targets ``[:, 1:]``.
    step, seed
        Non-negative integers.

    Raises
    ------
    InputError
        If a number is out of range, or the text is shorter than one window.
    """
    _require_at_least(1, batch=batch, context=context)
    _require_at_least(0, step=step, seed=seed)
    _require_length(tokens, context, windows=1)
    starts = np.random.default_rng([seed, _STREAM, step]).integers(tokens.size - context, size=batch)
    return np.asarray(tokens)[starts[:, None] + np.arange(context + 1)]


def training_batches(
    tokens: UInt8[np.ndarray, " characters"], *, batch: int, context: int, first: int, count: int, seed: int
) -> UInt8[np.ndarray, "{count} {batch} {context}+1"]:
    """Draw the batches of steps `first` to `first + count - 1`: `training_batch` of each, stacked.

    Raises
    ------
    InputError
        As `training_batch`.
    """
    _require_at_least(1, count=count)
    steps = range(first, first + count)
    return np.stack([training_batch(tokens, batch=batch, context=context, step=step, seed=seed) for step in steps])


def validation_windows(
    tokens: UInt8[np.ndarray, " characters"], *, context: int, count: int
) -> UInt8[np.ndarray, "{count} {context}+1"]:
    """Cut windows out of the whole text: evenly spaced, none overlapping, the same for every model.

    Raises
    ------
    InputError
        If a number is below 1 or so many windows do not fit.
    """
    _require_at_least(1, context=context, count=count)
    _require_length(tokens, context, windows=count)
    starts = np.arange(count) * tokens.size // count  # at least floor(size/count) >= context + 1 apart
    return np.asarray(tokens)[starts[:, None] + np.arange(context + 1)]


def mean_loss(losses: Float[np.ndarray, "windows context"]) -> Loss:
    """Return the mean loss per character with its standard error over windows.

    Neighbouring characters share their context and are not independent, so windows are the units: the error is the
    standard deviation of the windows' means over sqrt(windows). It does not count that windows of one speech share a
    subject. For a difference of two models on the same windows, give the difference of their losses.

    Parameters
    ----------
    losses
        -log p of each character, in nats. One that is not finite makes every result nan: a diverged network's loss.

    Raises
    ------
    InputError
        If there are fewer than two windows or no characters.
    """
    windows, context = losses.shape
    if windows < 2 or context < 1:
        raise InputError(
            f"a standard error needs at least 2 windows of at least 1 character, got {windows} x {context}"
        )
    if not np.isfinite(losses).all():
        return Loss(*[float("nan")] * 4)
    means = losses.mean(axis=1, dtype=np.float64)
    nats, error = float(means.mean()), float(means.std(ddof=1) / np.sqrt(windows))
    return Loss(nats, nats / float(np.log(2)), error, error / float(np.log(2)))


def loss_columns(losses: Float[np.ndarray, "windows context"]) -> dict[str, Any]:
    """Return `loss`, `loss_error` (nats per character), `bits`, `bits_error`, and `window_losses`, a mean per window.

    All are NaN where any loss is not finite: what part of a text a broken network can still read says nothing.
    """
    mean = mean_loss(losses)
    windows = losses.mean(axis=1) if np.isfinite(mean.nats) else np.full(len(losses), np.nan)
    return {
        "loss": mean.nats,
        "loss_error": mean.nats_error,
        "bits": mean.bits_per_character,
        "bits_error": mean.bits_error,
        "window_losses": windows.tolist(),
    }


class _Known(NamedTuple):
    """What is known of a text before it is read."""

    name: str
    digest: str
    note: str

    @property
    def stem(self) -> str:
        """How files in the cache begin."""
        return f"{self.name if self.name in sources.SOURCES else 'own'}-{self.digest[:16]}-v{_FORMAT}"

    def corpus(self, alphabet: str, dropped: int, parts: dict[str, np.ndarray]) -> Corpus:
        note = f"{self.note}, {dropped} characters dropped"
        return Corpus(self.name, alphabet, parts["train"], parts["validation"], self.digest, note)


def _default_cache() -> Path | None:
    base = user_cache()
    return None if base is None else base / "text"


def _read(folder: Path, known: _Known) -> Corpus | None:
    """Map a cached text into memory; None if it is not there whole."""
    parts, stem = dict[str, np.ndarray](), known.stem
    try:
        about = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
        for part in ("train", "validation"):
            parts[part] = map_array(folder / f"{stem}-{part}.npy")
        alphabet, dropped = str(about["alphabet"]), int(about["dropped"])
        if about["contents"] != _contents(alphabet, dropped, parts):
            return None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError, ArrayFileError):
        return None
    return known.corpus(alphabet, dropped, parts)


def _write(folder: Path, stem: str, alphabet: str, dropped: int, parts: dict[str, np.ndarray]) -> None:
    """Store the encoded text; the file that vouches for the others comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, tokens in parts.items():
        np.save(data := io.BytesIO(), tokens)
        write_whole(folder / f"{stem}-{part}.npy", data.getbuffer())
    about = {"alphabet": alphabet, "dropped": dropped, "contents": _contents(alphabet, dropped, parts)}
    write_whole(folder / f"{stem}.json", json.dumps(about).encode())


def _contents(alphabet: str, dropped: int, parts: dict[str, np.ndarray]) -> str:
    """Return the digest of all that is cached, dtypes and shapes included."""
    about = {name: f"{tokens.dtype}{tokens.shape}".encode() + tokens.tobytes() for name, tokens in parts.items()}
    return sources.digest_of(about | {"alphabet": alphabet.encode(), "dropped": str(dropped).encode()})


def _require_at_least(least: int, **numbers: int) -> None:
    for name, number in numbers.items():
        if number < least:
            raise InputError(f"{name} must be at least {least}, got {number}")


def _require_length(tokens: np.ndarray, context: int, *, windows: int) -> None:
    if tokens.size < windows * (context + 1):
        raise InputError(
            f"{windows} windows of {context} + 1 characters do not fit a text of {tokens.size}; "
            f"at most {tokens.size // (context + 1)} do: ask for fewer, or a shorter context"
        )
