"""Which code path the cores take and how many threads they use: one frozen value, changed only by a `with` block.

Results never depend on the number of threads. All backends agree bit for bit on every integer product. Float32 products
agree to float32 rounding (the order of additions differs); those of more than `Ways.few_floats` inputs, on which
training and kernels rest, are the same code in every backend but ``"blas"``, and the same bits wherever the processor
fuses multiplication and addition.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Literal, get_args

import llvmlite.binding

from ntk1bit.compiling import chosen_features, compiles
from ntk1bit.errors import InputError, require_choice
from ntk1bit.processors import usable_processors

Backend = Literal["avx512", "avx2", "neon", "vectors", "blas"]
BACKENDS: tuple[str, ...] = get_args(Backend)

LESSER = ("avx2", "vectors")  # what a machine with AVX-512 can be taken for

# What LLVM calls the features without which a backend does not run, the fastest backend first.
FEATURES: dict[Backend, tuple[str, ...]] = {
    "avx512": ("avx512f", "avx512bw", "avx512dq", "avx512vl"),
    "avx2": ("avx2", "fma"),
    "neon": ("neon",),
}


@dataclass(frozen=True)
class CoreSettings:
    """How the cores compute.

    Attributes
    ----------
    backend
        ``"avx512"``, ``"avx2"`` (x86) and ``"neon"`` (aarch64): explicit vectors, and what these instruction sets have
        beyond loads and additions; ``"vectors"``: explicit vectors alone, which LLVM turns into what any processor
        has; ``"blas"``: NumPy, BLAS and plain loops, for where nothing is compiled.
    threads
        Largest number of threads a product may use, >= 1.
    """

    backend: Backend
    threads: int


def cpu_features() -> frozenset[str]:
    """Return the names LLVM gives to the features kernels are compiled for, such as ``"avx512bw"``.

    They are this processor's, or those of NUMBA_CPU_FEATURES, with which one tries another processor's path here.
    """
    chosen = chosen_features()
    if chosen is not None:
        return chosen
    return frozenset(name for name, present in llvmlite.binding.get_host_cpu_features().items() if present)


@functools.cache
def available_backends() -> tuple[Backend, ...]:
    """Return the backends that run on this processor, the fastest first; explicit vectors have no plain Python form."""
    if not compiles():
        return ("blas",)
    features = cpu_features()
    return (*(name for name, needed in FEATURES.items() if features.issuperset(needed)), "vectors", "blas")


@dataclass(frozen=True)
class Ways:
    """What the products do differently from one instruction set to another: the one place that chooses.

    Attributes
    ----------
    few_floats
        Inputs up to which float32 products look sums up in registers, one input at a time; 0 without such look-ups.
    few_bytes
        The same of int8 products, by byte shuffles.
    byte_dots
        Whether int8 products multiply bytes, where `byte_dots.suits_byte_dots`.
    bytes_as_floats
        Inputs up to which int8 products are taken as float32 ones, which are exact for up to 2^16 columns: half the
        lanes, and fewer of them idle.
    tile_rows
        Rows of weights whose sums with 16 inputs stay in registers in the full-precision pass: 8 (with 32 inputs), 6
        or 2.
    gram_tables
        Inputs from which the bit Gram matrix looks sums up instead of counting bits.
    """

    few_floats: int = 0
    few_bytes: int = 0
    byte_dots: bool = False
    bytes_as_floats: int = 0
    tile_rows: int = 6
    gram_tables: int = 192


@functools.cache
def ways(backend: Backend) -> Ways:
    """Return how a backend computes on this processor."""
    if backend == "avx512":
        dots = "avx512vnni" in cpu_features()
        counts = "avx512vpopcntdq" in cpu_features()
        return Ways(8, 0 if dots else 8, dots, tile_rows=8, gram_tables=1 << 31 if counts else 192)
    if backend == "avx2":
        return Ways(few_floats=4, few_bytes=8)
    return Ways(few_bytes=8) if backend == "neon" else Ways(bytes_as_floats=16, tile_rows=2)


def reason() -> str:
    """Return why the default backend is what it is, and what a better processor would have, on one line."""
    if not compiles():
        return "NUMBA_DISABLE_JIT is set, so kernels run as plain Python, slowly"
    features, best = cpu_features(), available_backends()[0]
    chosen = [f"{name}={os.environ[name]}" for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES") if name in os.environ]
    who = f"by {' '.join(chosen)} kernels are compiled for a processor that" if chosen else "this processor"
    has = f"{who} has {', '.join(FEATURES.get(best, ('no instruction set known here',)))}"
    if best == "avx512":
        lacks = [f for f in ("avx512vnni", "avx512vpopcntdq") if f not in features]
        return f"{has}; faster int8 products and kernels with {', '.join(lacks)}" if lacks else f"{has}: all there is"
    return has if best == "neon" else f"{has}; faster with {', '.join(FEATURES['avx512'])} (backend avx512)"


def environment_of(backend: str) -> dict[str, str]:
    """Return the variables with which a new process takes this machine for one whose best backend this is (x86).

    BLAS is told the same, so that speeds can be compared. An aarch64 processor needs an emulator instead.

    Raises
    ------
    InputError
        For anything but avx2 and vectors.
    """
    require_choice("lesser processor", backend, LESSER)
    common = "+sse4.2,+popcnt"
    return {
        "avx2": {
            "NUMBA_CPU_NAME": "haswell",
            "NUMBA_CPU_FEATURES": f"{common},+avx,+avx2,+fma,+bmi,+bmi2,+lzcnt,+f16c,+movbe",
            "OPENBLAS_CORETYPE": "Haswell",
        },
        "vectors": {"NUMBA_CPU_NAME": "nehalem", "NUMBA_CPU_FEATURES": common, "OPENBLAS_CORETYPE": "Nehalem"},
    }[backend]


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
        One of `available_backends()`.
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
            possible = ", ".join(map(repr, available_backends()))
            raise InputError(f"this processor cannot run the backend {backend!r}; use one of {possible}")
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
