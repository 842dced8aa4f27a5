"""Frozen dataclasses of plain fields: one spelling of each value, written to TOML, read from TOML or a command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, TypeVar

import numpy as np

from ntk1bit.errors import InputError, require_choice

Fields = TypeVar("Fields", bound="PlainFields")

_WANTED = {"int": "a whole number", "float": "a number", "str": "a name", "bool": "true or false"}


@dataclass(frozen=True)
class PlainFields:
    """Base of frozen dataclasses whose fields are int, float, str, bool, or tuples of one of these.

    Values of NumPy, lists and ranges become Python's own numbers and tuples, and a single value where a tuple belongs a
    tuple of one, so that equal settings have one spelling and one hash. A subclass with checks of its own calls
    `super().__post_init__()` first.

    Raises
    ------
    InputError
        For a value, or an entry of a tuple, of the wrong type.
    """

    def __post_init__(self) -> None:
        """Turn every field into its plain type."""
        for field in fields(self):
            object.__setattr__(self, field.name, _plain(field.name, getattr(self, field.name), str(field.type)))

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain lists and numbers, as they are written to TOML and JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls: type[Fields], settings: Mapping[str, Any], base: Fields | None = None) -> Fields:
        """Make one of what a TOML file or a command line gives; what is left out is taken from `base` or the defaults.

        Raises
        ------
        InputError
            For an unknown field, one that is missing, or a value of the wrong type.
        """
        kinds = {field.name: str(field.type) for field in fields(cls)}
        given = {} if base is None else {name: getattr(base, name) for name in kinds}
        for name, value in settings.items():
            require_choice("setting", name, kinds)
            given[name] = _plain(name, value, kinds[name])
        for field in fields(cls):
            if field.name not in given and field.default is MISSING:
                raise InputError(f"the setting {field.name!r} is missing")
        return cls(**given)


def parse_widths(text: str) -> tuple[int, ...]:
    """Read widths: `64..16384` doubles from 64 to at most 16384, `64..4096:x4` quadruples, `64,100,256` lists.

    Raises
    ------
    InputError
        If the text is none of these forms.
    """
    widths: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,16})(?:\s*\.\.\s*(\d{1,16})(?:\s*:\s*x(\d{1,16}))?)?\s*", part)
        if found is None:
            raise InputError(f"cannot read widths {text!r}; write 64..16384 (doubling), 64..4096:x4 or 64,100,256")
        first, last, factor = int(found[1]), int(found[2] or found[1]), int(found[3] or 2)
        if first < 1 or last < first or factor < 2:
            raise InputError(f"widths {part.strip()!r} need 1 <= first <= last and a factor of at least 2")
        while first <= last:
            widths.append(first)
            first *= factor
    return tuple(widths)


def parse_numbers(text: str, *, what: str, kind: type[int] | type[float] | type[str]) -> tuple[Any, ...]:
    """Read a comma-separated list of `kind` (int, float or str).

    Raises
    ------
    InputError
        If there is no entry, or one is not of that kind; the message names the option `what`.
    """
    try:
        found = tuple(kind(part.strip()) for part in text.split(",") if part.strip())
    except (ValueError, OverflowError):
        found = ()
    if not found:
        wanted = {int: "whole numbers", float: "numbers"}.get(kind, "names")
        raise InputError(f"cannot read {what} {text!r}; write {wanted} separated by commas") from None
    return found


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read seeds: a count (`3` is 0, 1, 2) or a list with a comma (`7,8,9`, or `7,` for seed 7 alone).

    Raises
    ------
    InputError
        If the text is neither, or gives no seed or more than 10,000.
    """
    seeds = parse_numbers(text, what="--seeds", kind=int)
    if "," in text:
        return seeds
    if not seeds or not 1 <= seeds[0] <= 10_000:
        raise InputError(f"--seeds takes a count from 1 to 10,000 or a list such as 0,1,7; got {text!r}")
    return tuple(range(seeds[0]))


def _plain(name: str, value: object, kind: str) -> Any:
    """Return the value of a field as the type it has."""
    if not kind.startswith("tuple"):
        return _typed(name, value, kind)
    entries = value if isinstance(value, tuple | list | range | np.ndarray) else (value,)
    return tuple(_typed(name, entry, kind[6:].split(",")[0]) for entry in entries)


def _typed(name: str, value: object, kind: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if kind == "float" and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise InputError(f"{name} is too large: {value}") from None
    if kind == "int" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind == "str" and isinstance(value, str):
        return value
    if kind == "bool" and isinstance(value, bool):
        return value
    raise InputError(f"{name} must be {_WANTED[kind]}, got {str(repr(value))[:60]}")
