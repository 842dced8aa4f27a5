"""Which code path the cores take and how many threads they use: one frozen value, changed only by a `with` block.

Results never depend on the number of threads. The two backends agree bit for bit on every integer product; float32
products agree to float32 rounding (the order of additions differs).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Literal, get_args

import llvmlite.binding

from ntk1bit.compiling import compiles
from ntk1bit.errors import InputError, require_choice
from ntk1bit.processors import usable_processors

Backend = Literal["avx512", "portable"]
BACKENDS: tuple[str, ...] = get_args(Backend)

_AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl")


@dataclass(frozen=True)
class CoreSettings:
    """How the cores compute.

    Attributes
    ----------
    backend
        ``"avx512"``: explicit 512-bit vectors; ``"portable"``: NumPy, BLAS and plain numba loops, on any processor.
    threads
        Largest number of threads a product may use, >= 1.
    """

    backend: Backend
    threads: int


def cpu_features() -> frozenset[str]:
    """Return the names LLVM gives to the features of this processor, such as ``"avx512bw"``."""
    return frozenset(name for name, present in llvmlite.binding.get_host_cpu_features().items() if present)


@functools.cache
def available_backends() -> tuple[Backend, ...]:
    """Return the backends that run on this processor, the fastest first; explicit vectors have no plain Python form."""
    if compiles() and cpu_features().issuperset(_AVX512):
        return ("avx512", "portable")
    return ("portable",)


@functools.cache
def _default() -> CoreSettings:
    return CoreSettings(backend=available_backends()[0], threads=usable_processors())


_chosen: ContextVar[CoreSettings | None] = ContextVar("ntk1bit_cores_settings", default=None)


def settings() -> CoreSettings:
    """Return the settings in force: those of the innermost `using` block, else the fastest backend on all cores."""
    return _chosen.get() or _default()


@contextmanager
def using(*, backend: str | None = None, threads: int | None = None) -> Iterator[CoreSettings]:
    """Use another backend or number of threads inside a `with` block; what is not given stays as it is.

    The choice belongs to the current thread or asynchronous task and does not leak into others.

    Parameters
    ----------
    backend
        ``"avx512"`` or ``"portable"``.
    threads
        At least 1.

    Raises
    ------
    InputError
        For a backend that is unknown or that this processor cannot run, or fewer than one thread.
    """
    changed = settings()
    if backend is not None:
        require_choice("backend", backend, BACKENDS)
        if backend not in available_backends():
            raise InputError(f"this processor cannot run the backend {backend!r}; use backend 'portable'")
        changed = replace(changed, backend=backend)
    if threads is not None:
        if threads < 1:
            raise InputError(f"threads must be 1 or more, got {threads}")
        changed = replace(changed, threads=threads)
    token = _chosen.set(changed)
    try:
        yield changed
    finally:
        _chosen.reset(token)
