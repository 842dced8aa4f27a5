"""How numba kernels are compiled: to disk, without the GIL, and not silently.

Compiled code is filed (`kernel_files`) under the name and the features of the processor it was made for, so a cache
that moves to another processor is compiled anew there, never run. Since kernels are made of pieces from several files,
it is filed under the source of the whole package (the kernel's folder); where that lies does not matter. numba's own
cache, next to the sources, fails for good on a file that a power cut has emptied, runs what others have written there,
and fails a kernel that it cannot store.

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
import pickle
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite import binding as llvm
from numba.core import caching, codegen, compiler, config, event, serialize

from ntk1bit.errors import InputError
from ntk1bit.kernel_files import KernelFiles, default_folder

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
    if Path(kernel.__code__.co_filename).is_file():  # code whose source is unknown is compiled in every process
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


class _PackageCache(caching._Cache):
    """The compiled code of one kernel on disk, a file for each signature."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._source = _source_hash(Path(kernel.__code__.co_filename).parent)

    @property
    def cache_path(self) -> Any:  # numba's own says None, and returns a string
        return str(kernels_on_disk().folder)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        target_context.refresh()
        content = kernels_on_disk().read(self._file_name(sig, target_context.codegen()))
        return None if content is None else compiler.CompileResult._rebuild(target_context, *pickle.loads(content))

    def save_overload(self, sig: Any, data: Any) -> None:
        if not data.library.has_dynamic_globals:  # addresses, which are others in another process
            kernels_on_disk().write(self._file_name(sig, data.codegen), serialize.dumps(data._reduce()))

    def enable(self) -> None:
        """Do nothing: it is never disabled, as `disable` and `flush` do nothing; numba asks for all three."""

    disable = flush = enable

    def _file_name(self, sig: Any, codegen: Any) -> str:
        name = f"{self._kernel.__module__}.{self._kernel.__qualname__}"
        made_of = (name, sig, codegen.magic_tuple(), self._kernel.__code__.co_code, self._source, *_compiler())
        digest = hashlib.sha256(repr(made_of).encode()).hexdigest()[:32]
        return f"{re.sub(r'[^A-Za-z0-9_.]', '', name)[-100:]}-{digest}"


@functools.cache
def kernels_on_disk() -> KernelFiles:
    """Return the files of compiled kernels that this process reads and writes."""
    return KernelFiles(default_folder())


def _compiler() -> tuple[object, ...]:
    """Return what compiles, and how: another version of it, or another setting, makes other code."""
    settings = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "DEBUGINFO_DEFAULT")
    versions = (numba.__version__, llvmlite.__version__, sys.implementation.cache_tag)
    return (*versions, *(str(getattr(config, setting, None)) for setting in settings))


@functools.cache
def _source_hash(package: Path) -> str:
    sources = [Path(__file__), *sorted(package.glob("*.py"))]
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
