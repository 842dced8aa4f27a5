"""Frozen dataclasses of plain fields: one spelling of each value, written to TOML, read from TOML or a command line."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, ClassVar, TypeVar

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

    Class constants
    ---------------
    LATER
        Fields with a default that were added when there were stored results: where they have it, `telling` leaves them
        out, so that what was stored before is still known by its settings.

    Raises
    ------
    InputError
        For a value, or an entry of a tuple, of the wrong type.
    """

    LATER: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """Turn every field into its plain type."""
        for name, kind in _kinds(type(self)).items():
            object.__setattr__(self, name, self.typed(name, getattr(self, name), kind))

    @classmethod
    def typed(cls, name: str, value: object, kind: str) -> Any:
        """Return the value of a field as the type that it is annotated with.

        Raises
        ------
        InputError
            If it is of the wrong type.
        """
        if not kind.startswith("tuple"):
            return _typed(name, value, kind)
        entries = value if isinstance(value, tuple | list | range | np.ndarray) else (value,)
        return tuple(_typed(name, entry, kind[6:].split(",")[0]) for entry in entries)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain lists and numbers, as they are written to TOML and JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @property
    def telling(self) -> tuple[str, ...]:
        """The names of the fields by which it is known: all but those of `LATER` that have their default."""
        return tuple(
            field.name
            for field in fields(self)
            if field.name not in self.LATER or getattr(self, field.name) != field.default
        )

    @classmethod
    def from_dict(cls: type[Fields], settings: Mapping[str, Any], base: Fields | None = None) -> Fields:
        """Make one of what a TOML file or a command line gives; what is left out is taken from `base` or the defaults.

        Raises
        ------
        InputError
            For an unknown field, one that is missing, or a value of the wrong type.
        """
        kinds = _kinds(cls)
        given = {} if base is None else {name: getattr(base, name) for name in kinds}
        for name, value in settings.items():
            require_choice("setting", name, kinds)
            given[name] = cls.typed(name, value, kinds[name])
        for field in fields(cls):
            if field.name not in given and field.default is MISSING and field.default_factory is MISSING:
                raise InputError(f"the setting {field.name!r} is missing")
        return cls(**given)


@functools.lru_cache(maxsize=64)
def _kinds(cls: type[PlainFields]) -> dict[str, str]:
    """Return the annotations of the fields as they are written."""
    return {
        field.name: field.type if isinstance(field.type, str) else inspect.formatannotation(field.type)
        for field in fields(cls)
    }


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
