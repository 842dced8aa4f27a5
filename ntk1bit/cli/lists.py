"""Lists as options hold them: seeds, widths, and anything else separated by commas."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

from ntk1bit.errors import InputError

_MOST_SEEDS = 10_000
_WHOLE = r"\s*([0-9]{1,16})"


def read_seeds(text: str) -> tuple[int, ...]:
    """Read seeds: a count (`3` is 0, 1, 2), a range with both ends (`0..4`), or a list (`0,3,7`, and of ranges too).

    Raises
    ------
    InputError
        If the text is none of these, repeats a seed, or gives none or more than 10,000.
    """
    parts = text.split(",")
    if len(parts) == 2 and not parts[1].strip() and re.fullmatch(_WHOLE + r"\s*", parts[0]):
        seed = parts[0].strip()
        raise InputError(f"--seeds {text} has an empty entry; write {seed}..{seed} for one seed")
    seeds: list[int] = []
    for part in parts:
        found = re.fullmatch(rf"{_WHOLE}(?:\s*\.\.{_WHOLE})?\s*", part)
        if found is None:
            raise InputError(f"cannot read --seeds {text!r}; write a count (5), a range (0..4) or a list (0,3,7)")
        first, last = int(found[1]), int(found[2] or found[1])
        if len(parts) == 1 and found[2] is None:
            first, last = 0, first - 1
        if not 0 < last - first + 1 <= _MOST_SEEDS - len(seeds):
            raise InputError(f"--seeds {text!r} gives no seed or more than {_MOST_SEEDS:,}; write a range such as 0..4")
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds {text!r} has repeated values; give each seed once")
    return tuple(seeds)


def read_widths(text: str) -> tuple[int, ...]:
    """Read widths: `64..16384` doubles from 64 to at most 16384, `64..4096:x4` quadruples, `64,100,256` lists.

    Raises
    ------
    InputError
        If the text is none of these forms.
    """
    widths: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(rf"{_WHOLE}(?:\s*\.\.{_WHOLE}(?:\s*:\s*x([0-9]{{1,16}}))?)?\s*", part)
        if found is None:
            raise InputError(
                f"cannot read --widths {text!r}; write 64..16384 (doubling), 64..4096:x4 or a list (64,100,256)"
            )
        first, last, factor = int(found[1]), int(found[2] or found[1]), int(found[3] or 2)
        if first < 1 or last < first or factor < 2:
            raise InputError(f"--widths {part.strip()!r} need 1 <= first <= last and a factor of at least 2")
        while first <= last:
            widths.append(first)
            first *= factor
    return tuple(widths)


def read_list(text: str, *, option: str, kind: type[int] | type[float] | type[str]) -> tuple[Any, ...]:
    """Read entries separated by commas.

    Parameters
    ----------
    text
        The list.
    option
        The option it was given to, for the message.
    kind
        int, float or str.

    Raises
    ------
    InputError
        If an entry is empty or not of that kind.
    """
    parts = [part.strip() for part in text.split(",")]
    try:
        if all(parts):
            return tuple(kind(part) for part in parts)
    except (ValueError, OverflowError):
        pass
    wanted = {int: "whole numbers", float: "numbers", str: "names"}[kind]
    raise InputError(f"cannot read {option} {text!r}; write {wanted} separated by commas")


def written(value: object) -> str:
    """Write a setting as an option takes it: `64..16384`, `3`, `iid,paired`, `1`."""
    if isinstance(value, float):
        return f"{value:g}"
    if not isinstance(value, Sequence) or isinstance(value, str):
        return str(value)
    if len(value) > 2 and all(isinstance(entry, int) for entry in value):
        if list(value) == list(range(len(value))):
            return str(len(value))
        if all(after == 2 * before for before, after in itertools.pairwise(value)):
            return f"{value[0]}..{value[-1]}"
    return ",".join(written(entry) for entry in value)


def read_bytes(text: str, *, option: str) -> int:
    """Read a size of memory, such as 500MB, 2GB or 1.5e9, in bytes.

    Raises
    ------
    InputError
        If the text is none.
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?(?:e[0-9]{1,2})?)\s*([kMGT]?)B?\s*", text, re.IGNORECASE)
    size = float(found[1]) * 1000 ** " kmgt".index(found[2].lower() or " ") if found is not None else 0.0
    if not 1 <= size < 2**63:
        raise InputError(f"cannot read {option} {text!r}; write a size such as 500MB, 2GB or 1.5e9 (bytes)")
    return int(size)
