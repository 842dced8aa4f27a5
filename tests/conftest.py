from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import jaxtyping
import pytest

from .tiny_language import TINY

if TYPE_CHECKING:
    from ntk1bit.experiments.language_run import LanguageRun

# Tests compile the same small programs over and over, in every worker and every run; JAX keeps them here.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# The same examples on every run: a failure is reproducible, and a green run means the same thing twice.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.load_profile("fixed")


@pytest.fixture
def untyped() -> Iterator[None]:
    """Turn off the run-time checks of types and shapes that tests run under, to see what a user's mistake gives."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LanguageRun]:
    """Train the smallest run of language models once."""
    from ntk1bit.experiments import run_all
    from ntk1bit.experiments.language_run import load_language_run

    folder = tmp_path_factory.mktemp("language") / "run"
    run_all(TINY, folder)
    return folder, load_language_run(folder)
