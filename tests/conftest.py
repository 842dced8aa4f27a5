from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
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

# What the program prints depends on the terminal; what tests see does not depend on where they were started.
for name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "PYTHONIOENCODING"):
    os.environ.pop(name, None)

# The same examples on every run: a failure is reproducible, and a green run means the same thing twice.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.load_profile("fixed")


@pytest.fixture(scope="module", autouse=True)
def _compiled_programs_are_dropped() -> Iterator[None]:
    """Let go of what JAX has compiled after every file: kept, thousands of programs take gigabytes."""
    yield
    jax = sys.modules.get("jax")
    if jax is not None:
        jax.clear_caches()


@pytest.fixture
def untyped() -> Iterator[None]:
    """Turn off the run-time checks of types and shapes that `make check` adds, to see what a user's mistake gives."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LanguageRun]:
    """Train the smallest run of language models once for all workers of pytest-xdist; each has a copy of its folder."""
    from ntk1bit.experiments import run_all
    from ntk1bit.experiments.language_run import load_language_run

    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "language"
    with filelock.FileLock(f"{shared}.lock"):
        run_all(TINY, shared)
    folder = shutil.copytree(shared, tmp_path_factory.mktemp("language") / "run")
    return folder, load_language_run(folder)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which backends of the cores this processor cannot run: what was not tested is not passed over in silence."""
    from ntk1bit.cores import BACKENDS, available_backends

    missing = [name for name in BACKENDS if name not in available_backends()]
    terminalreporter.write_line(f"backends of the cores this processor cannot run, not tested: {', '.join(missing)}")
