from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from ntk1bit import cores


@pytest.fixture(params=cores.available_backends())
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test once in every backend this processor has; the summary of the tests names the others."""
    with cores.using(backend=request.param):
        yield request.param


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20250)


@pytest.fixture
def as_installed() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the bare function, as users have it: in tests the run-time type checks would refuse first."""
    return inspect.unwrap
