"""How numba kernels are compiled: to disk, without the GIL, and not silently.

numba files compiled code under the name and the features of the processor it was made for, so a cache that moves to
another processor is compiled anew there, never run. By itself it would notice a change only in the file a kernel
stands in; since kernels are made of pieces from several files, the source of the whole package (the kernel's folder) is
part of the key here.

Each kernel runs its own copies of the pieces it is made of. numba links a piece into its callers under one name, and
the loader takes that name from whichever code it met first: one process would run a piece as compiled by itself and
another, with a fuller cache, the one optimised along with its kernel, whose fused and reordered sums end in other bits.
So the copies of a kernel are renamed after it, and kernels do not call each other.

Kernels are marked `typing.no_type_check`, because the run-time type checks of the tests would otherwise replace the
very function that is to be compiled.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import binding as llvm
from numba.core import caching, codegen, compiler, config, event

from ntk1bit.errors import InputError

Kernel = Callable[..., Any]

CONTRACT = frozenset({"contract", "nsz"})
REASSOCIATE = frozenset({"contract", "nsz", "reassoc"})
_PACKAGE = __name__.partition(".")[0]
_OURS = f"{len(_PACKAGE)}{_PACKAGE}"  # how numba's names of functions spell the package


def compiles() -> bool:
    """Tell whether numba compiles here; with NUMBA_DISABLE_JIT kernels run as the plain Python they are written in."""
    return not getattr(config, "DISABLE_JIT", 0)  # numba makes this name at run time


def chosen_features() -> frozenset[str] | None:
    """Return the features of NUMBA_CPU_FEATURES, for which kernels are then compiled; None if it is not set.

    Raises
    ------
    InputError
        For one that LLVM cannot read, which would end the process.
    """
    given: str | None = getattr(config, "CPU_FEATURES", None)  # numba makes this name at run time
    if given is None:
        return None
    present: set[str] = set()
    for flag in given.split(",") if given else ():
        if flag[:1] not in ("+", "-"):
            raise InputError(f"NUMBA_CPU_FEATURES must be flags such as +avx2,+fma without spaces, got {given!r}")
        (present.add if flag[0] == "+" else present.discard)(flag[1:])
    return frozenset(present)


chosen_features()  # before numba hands them to LLVM


def compiled(kernel: Kernel) -> Kernel:
    """Compile a kernel on its first call, keep the machine code on disk, and release the GIL while it runs."""
    if not compiles():
        return np.errstate(all="ignore")(kernel)  # as quiet about overflow and NaN as compiled code
    dispatcher: Any = numba.njit(nogil=True, error_model="numpy", boundscheck=False, pipeline_class=_KernelCompiler)(
        kernel
    )
    with contextlib.suppress(RuntimeError):  # nowhere to write: compiled in every process, but usable
        dispatcher._cache = _PackageCache(dispatcher.py_func)
    return dispatcher


def inlined(*, fastmath: frozenset[str] = frozenset()) -> Callable[[Kernel], Kernel]:
    """Compile a piece of a kernel that only ever runs inside other kernels of its package.

    Parameters
    ----------
    fastmath
        LLVM's flags: `CONTRACT` (fused multiply-add), or `REASSOCIATE` (and sums in any order, as vector
        instructions need).
    """
    return numba.njit(nogil=True, error_model="numpy", boundscheck=False, fastmath=set(fastmath))


def is_compiled(kernel: Any) -> bool:
    """Tell whether this process has compiled the kernel, or loaded it from disk, or never will."""
    return not compiles() or bool(kernel.signatures)


class _KernelLibrary(codegen.JITCodeLibrary):
    """The machine code of one kernel, whose pieces carry its name."""

    def _optimize_final_module(self) -> None:
        ours = [each for each in self._final_module.functions if not each.is_declaration and _OURS in each.name]
        kernels = [each.name for each in ours if each.linkage == llvm.Linkage.external]
        for piece in [each for each in ours if each.linkage == llvm.Linkage.linkonce_odr]:
            piece.name = f"{piece.name}.in.{kernels[0]}" if kernels else piece.name
        super()._optimize_final_module()


class _KernelCompiler(compiler.Compiler):
    """numba's compiler, writing into a `_KernelLibrary`."""

    def __init__(self, typingctx: Any, targetctx: Any, library: Any, *settings: Any) -> None:
        super().__init__(typingctx, targetctx, library, *settings)
        if self.state.library is None:
            self.state.library = _KernelLibrary(self.state.targetctx.codegen(), "kernel")
            self.state.library.enable_object_caching()  # without it, the code could not be kept on disk


class _PackageCache(caching.FunctionCache):
    """numba's disk cache of one kernel, with the source of its package added to the key."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self._package = Path(kernel.__code__.co_filename).parent

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), _source_hash(self._package))


@functools.cache
def _source_hash(package: Path) -> str:
    sources = sorted(package.glob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


class _Notice(event.Listener):
    """Says that kernels are being compiled, once per process on the terminal or to who asked, and how long it took."""

    def __init__(self) -> None:
        self.depth = 0
        self.seconds = 0.0
        self.said = False
        self.told: list[Callable[[], None]] = []  # who asked; several may at once, from threads

    def on_start(self, event: event.Event) -> None:
        if not _is_ours(event):
            return
        self.depth += 1
        if self.depth == 1:
            self.since = time.perf_counter()
            if self.told:
                self.told[-1]()
            elif not self.said and sys.stderr.isatty():
                self.said = True
                print(
                    "ntk1bit: compiling kernels for this processor (once, up to 20 s; kept on disk) ...",
                    file=sys.stderr,
                    flush=True,
                )

    def on_end(self, event: event.Event) -> None:
        if not _is_ours(event):
            return
        self.depth -= 1
        if self.depth == 0:
            self.seconds += time.perf_counter() - self.since


def _is_ours(event: event.Event) -> bool:
    return (event.data or {})["dispatcher"].py_func.__module__.startswith(f"{__package__}.")


_notice = _Notice()
event.register("numba:compile", _notice)


@contextlib.contextmanager
def announced(tell: Callable[[], None]) -> Iterator[None]:
    """Call `tell` each time a kernel begins to be compiled in the body, in place of the line on the terminal."""
    _notice.told.append(tell)
    try:
        yield
    finally:
        _notice.told.remove(tell)


def seconds_compiling() -> float:
    """Return the time this process has spent compiling ntk1bit's kernels; 0 when all came from disk."""
    return _notice.seconds
