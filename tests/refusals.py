from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from ntk1bit.errors import InputError


def refusal_within(most: float, read: Callable[[Path], object], path: Path) -> str:
    """Return the one line in which a file is refused, before more than `most` bytes of memory are taken."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most
    assert "\n" not in str(caught.value)
    return str(caught.value)
