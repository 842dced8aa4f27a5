"""What a sweep is asked to do: a frozen specification, and how it is written on a command line and in TOML."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ntk1bit.arguments import kappa
from ntk1bit.data import tasks
from ntk1bit.errors import InputError, require_choice
from ntk1bit.files import read_toml
from ntk1bit.networks.quantizers import SCALES
from ntk1bit.networks.two_layer import INITS, PRECISIONS

T = TypeVar("T")
COMMANDS = {"sweep": "sweep", "language": "train-lm"}  # what makes the runs whose spec.toml has such a table
TABLES = {"sweep": "", "language": " or ntk1bit plot; its networks are in networks.csv, which ntk1bit fit reads"}
_LARGEST_SCALE = 2.0**40  # of steps, so that they stay far within float32's range of 2^-126 to 2^127
_LARGEST_INTEGER = 2**53  # beyond it an integer is a typing mistake, and float arithmetic on it is no longer exact


@dataclass(frozen=True)
class SweepSpec:
    """All combinations of these settings are trained; the tuples are the axes of the sweep.

    Attributes
    ----------
    widths
        Numbers of neurons m.
    tasks
        Names from `ntk1bit.data.names()`.
    precisions
        Of ``"one_bit"`` and ``"full"``. Both see the same data, W(0) and a at a given seed.
    seeds
        Seeds of W(0) and a.
    steps
        Descent steps.
    n_train
        Numbers of training points n.
    n_test
        Number of test points.
    dims
        Input dimensions, for tasks that have a choice; empty for the task's own.
    inits
        Of ``"iid"`` and ``"paired"``.
    scales
        Of ``"std"`` and ``"absmean"``; full precision has no scale and runs once.
    kappas
        Output scales.
    eta_rel
        Learning rate in units of 1/lambda_max(H(0)).
    checkpoints
        How many steps are recorded in full, spread evenly in log(step).
    data_seed
        Seed of the data: one draw of points (or one split) serves the whole sweep.
    predictions
        Also record how far outputs are from the predictions of H(0) and of K_eff (see `experiments.predictions`).
    terms
        Also take each recorded step apart into the four terms of D25's Claim H.2 (see `networks.two_layer.terms`).

    Raises
    ------
    InputError
        For values out of range, unknown names, repeated entries or an empty axis.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
    tasks: tuple[str, ...] = ("digits",)
    precisions: tuple[str, ...] = ("one_bit", "full")
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 1000
    n_train: tuple[int, ...] = (256,)
    n_test: int = 512
    dims: tuple[int, ...] = ()
    inits: tuple[str, ...] = ("iid",)
    scales: tuple[str, ...] = ("std",)
    kappas: tuple[float, ...] = (1.0,)
    eta_rel: float = 1.0
    checkpoints: int = 40
    data_seed: int = 0
    predictions: bool = False
    terms: bool = False

    def __post_init__(self) -> None:
        """Refuse a specification that could not run; numbers become Python's own."""
        for field in fields(self):
            object.__setattr__(self, field.name, _plain(field.name, getattr(self, field.name), str(field.type)))
        for axis in ("widths", "tasks", "precisions", "seeds", "n_train", "inits", "scales", "kappas"):
            values = getattr(self, axis)
            if not values:
                raise InputError(f"{axis} is empty; give at least one value")
            if len(set(values)) < len(values):
                raise InputError(f"{axis} has repeated values: {', '.join(map(str, values))}")
        for name, known in (
            ("task", tasks.names()),
            ("precision", PRECISIONS),
            ("init", INITS),
            ("scale", SCALES),
        ):
            for value in getattr(self, f"{name}s"):
                require_choice(name, value, known)
        for name, lowest, values in (
            ("widths", 1, self.widths),
            ("seeds", 0, self.seeds),
            ("n_train", 1, self.n_train),
            ("dims", 1, self.dims),
            ("steps", 1, (self.steps,)),
            ("n_test", 0, (self.n_test,)),
            ("checkpoints", 2, (self.checkpoints,)),
            ("data_seed", 0, (self.data_seed,)),
        ):
            for value in values:
                if not lowest <= value <= _LARGEST_INTEGER:
                    raise InputError(f"{name} must be {lowest} or more (and at most 2^53), got {value}")
        for value in self.kappas:
            kappa(value)
        if not (math.isfinite(self.eta_rel) and self.eta_rel > 0):
            raise InputError(f"eta_rel must be positive and finite, got {self.eta_rel}")
        if not 1 / _LARGEST_SCALE <= self.eta_rel <= _LARGEST_SCALE:
            raise InputError(f"eta_rel must be between 2^-40 and 2^40, so that float32 holds it, got {self.eta_rel}")
        odd = [width for width in self.widths if width % 2]
        if "paired" in self.inits and odd:
            raise InputError(f"a paired network needs an even width, got {odd[0]}; leave it out or use init 'iid'")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain lists and numbers, as they are written to TOML."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def differences(self, other: SweepSpec) -> list[str]:
        """List the fields in which two specifications differ, a phrase each: `steps: 1000 here, 2000 asked for`."""
        mine, theirs = self.as_dict(), other.as_dict()
        return [f"{name}: {mine[name]} there, {theirs[name]} asked for" for name in mine if mine[name] != theirs[name]]


def spec_from_dict(settings: Mapping[str, Any]) -> SweepSpec:
    """Build a specification from what a TOML file or a command line gives, checking names and types.

    Raises
    ------
    InputError
        For an unknown field or a value of the wrong type, and as `SweepSpec`.
    """
    return SweepSpec(**typed_settings(settings, SweepSpec))


def typed_settings(settings: Mapping[str, Any], of: type[Any]) -> dict[str, Any]:
    """Check settings against the fields of a specification and turn them into these fields' types.

    Parameters
    ----------
    settings
        What a TOML file or a command line gives; a single value where a tuple belongs is a tuple of one.
    of
        A dataclass whose fields are int, float, str, bool, or tuples of one of these.

    Raises
    ------
    InputError
        For an unknown field or a value, or an entry of a tuple, of the wrong type.
    """
    kinds = {field.name: str(field.type) for field in fields(of)}
    checked: dict[str, Any] = {}
    for name, value in settings.items():
        require_choice("setting", name, kinds)
        checked[name] = _plain(name, value, kinds[name])
    return checked


def read_spec(path: Path) -> SweepSpec:
    """Read a specification from the [sweep] table of a TOML file.

    Raises
    ------
    InputError
        If the file cannot be read, is not TOML, has no [sweep] table, or holds a bad value; the message names the file.
    """
    return read_table(path, "sweep", spec_from_dict)


def read_table(path: Path, name: str, make: Callable[[dict[str, Any]], T]) -> T:
    """Read one table of a TOML file and make a specification of it.

    Raises
    ------
    InputError
        If the file cannot be read, is not TOML, has no such table, or holds a bad value; the message names the file.
    """
    document = read_toml(path)
    table = document.get(name)
    if not isinstance(table, dict):
        for other, command in COMMANDS.items():
            if isinstance(document.get(other), dict):
                raise InputError(
                    f"{path} is of a run of ntk1bit {command}, not of ntk1bit {COMMANDS[name]}; see it with: "
                    f"ntk1bit summary {path.parent}{TABLES[other]}"
                )
        raise InputError(f"{path} has no [{name}] table; put the settings under a line [{name}]")
    try:
        return make(table)
    except InputError as problem:
        raise InputError(f"{path}: {problem}") from None


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
        If the text is neither, or asks for no seed or more than 10,000.
    """
    seeds = parse_numbers(text, what="--seeds", kind=int)
    if "," in text:
        return seeds
    if not seeds or not 1 <= seeds[0] <= 10_000:
        raise InputError(f"--seeds takes a count from 1 to 10,000 or a list such as 0,1,7; got {text!r}")
    return tuple(range(seeds[0]))


def _plain(name: str, value: object, kind: str) -> Any:
    """Return the value of a field as the type it has, a single entry of an axis as the axis."""
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
    wanted = {"int": "a whole number", "float": "a number", "str": "a name", "bool": "true or false"}[kind]
    raise InputError(f"{name} must be {wanted}, got {str(repr(value))[:60]}")
