"""Temporary: what language_spec and language still import until their kinds are experiments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from ntk1bit.errors import InputError, require_choice
from ntk1bit.experiments.plain_fields import _plain
from ntk1bit.files import left_by_others, read_toml

T = TypeVar("T")


def typed_settings(settings: Mapping[str, Any], of: type[Any]) -> dict[str, Any]:
    kinds = {field.name: str(field.type) for field in fields(of)}
    checked: dict[str, Any] = {}
    for name, value in settings.items():
        require_choice("setting", name, kinds)
        checked[name] = _plain(name, value, kinds[name])
    return checked


def read_table(path: Path, name: str, make: Callable[[dict[str, Any]], T]) -> T:
    table = read_toml(path).get(name)
    if not isinstance(table, dict):
        raise InputError(f"{path} has no [{name}] table; put the settings under a line [{name}]")
    try:
        return make(table)
    except InputError as problem:
        raise InputError(f"{path}: {problem}") from None


def require_own_folder(folder: Path, spec: Any, read: Callable[[Path], Any], *, resume: bool) -> None:
    stored = folder / "spec.toml"
    if stored.exists():
        differences = read(stored).differences(spec)
        if differences:
            raise InputError(f"{folder} holds a sweep with other settings ({'; '.join(differences)})")
        if not resume:
            raise InputError(f"{folder} already holds this sweep; add --resume to finish it, or another --out")
    elif folder.exists() and any(
        p.name not in (".lock", "cells") and not left_by_others(p.name) for p in folder.iterdir()
    ):
        raise InputError(f"{folder} exists and is not a run (it has no spec.toml); give another --out")
