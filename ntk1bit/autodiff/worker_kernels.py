"""Kernels in pairs of blocks of inputs that any `concurrent.futures.Executor` computes: processes here, or elsewhere.

A worker makes the network itself, once, so that its arrays do not travel; with each pair go the inputs of both, and
back comes Theta(x_i, x_j). Of the kernel of x with itself pairs on or below the diagonal are computed, and the rest is
the mirror image. `block_by_block` is the plain reference: every pair, here, one after the other.
"""

from __future__ import annotations

import itertools
import pickle
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent import futures
from concurrent.futures import Executor, Future
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.experimental
import numpy as np
from jaxtyping import Inexact

from ntk1bit.arguments import number, require_memory, whole
from ntk1bit.autodiff import blocks, programs, rows
from ntk1bit.autodiff.block_files import BlockFolder, open_folder
from ntk1bit.autodiff.block_networks import METHODS, KernelBlocks, OpenedBlocks, open_blocks
from ntk1bit.autodiff.module_kernels import module_ntk
from ntk1bit.autodiff.tangent_kernel import Method
from ntk1bit.errors import InputError, require_choice

Make = Callable[[], Mapping[str, Any]]
_AT_ONCE = 256  # pairs handed in at the same time: some executors send the inputs of all of them at once
_CARRIED = 1 << 20  # bytes of `make`, beyond which it is said that they travel with each pair
_TO_BE_FOUND = "define it at the top level of a module that workers can import, or as a functools.partial of such a one"
_KEPT = "finished blocks are in the folder, if there is one: run the same again"


class _Pair(NamedTuple):
    """Two blocks of inputs."""

    rows: slice
    columns: slice

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.rows.start}-{self.columns.start}"

    def __str__(self) -> str:
        return f"inputs {self.rows.start} to {self.rows.stop - 1} with {self.columns.start} to {self.columns.stop - 1}"


class _Settings(NamedTuple):
    """What a worker is told beside the inputs of a pair."""

    fingerprint: str
    method: Method
    budget: int
    trace: bool
    x64: bool
    precision: Any  # `jax_default_matmul_precision`


def ntk_on_workers(
    make: Make,
    x: Any,
    x2: Any = None,
    *,
    executor: Executor,
    block: int = 256,
    method: Method = "auto",
    trace_outputs: bool = True,
    memory_budget: Any = 1 << 30,
    folder: Path | str | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Inexact[np.ndarray, "n n2 ..."]:
    """Compute the NTK of a network in pairs of blocks of inputs, each on a worker of an executor.

    Parameters
    ----------
    make
        Called without arguments, here and once in each worker, returns what the network is as arguments of
        `module_ntk`: ``{"module": network}``, ``{"module": f, "params": params}``, and if needed `state`, `parameters`
        and `evaluate`. It must return the same everywhere, to the last bit: parameters from a file, or drawn with a
        seed. It is sent by pickle, so it must be a function of a module, or a `functools.partial` of one; arrays in
        that travel with each pair.
    x, x2
        Inputs as for `module_ntk`. The kernel of x with itself is symmetric to the last bit.
    executor
        Any `concurrent.futures.Executor`: `LocalProcesses` of `ntk1bit.experiments.executors`, the
        `ProcessPoolExecutor` of the standard library (which must spawn its processes, since JAX cannot be forked), or
        Dask's `Client.get_executor()`. It is not shut down.
    block
        Inputs of a block, 1 or more. Each pair computes the Jacobians of both its blocks.
    method
        ``"jacobian"``, ``"vector_products"`` or ``"auto"``, as for `ntk`; PyTorch has Jacobians only.
    trace_outputs
        As for `ntk`.
    memory_budget
        Bytes as for `ntk`, in each worker.
    folder
        Where blocks are kept as they end, by this process; no worker need see it. The same call finds them there after
        it was stopped. A folder belongs to one network, set of inputs and `block`.
    progress
        Called after each pair with words and the share of the pairs done.

    Returns
    -------
    Array as `ntk` returns it: (n, n2), or (n, n2, outputs, outputs), in the dtype of the parameters.

    Raises
    ------
    InputError
        As `module_ntk`; if a worker fails or makes another network, or the folder cannot be used.

    Warns
    -----
    UserWarning
        As `module_ntk`; if `make` carries more than 1 MiB; if files in the folder were damaged, whose blocks are
        computed anew.
    """
    require_choice("method", method, METHODS)
    size = whole("block", block, allowed="a whole number of inputs, 1 or more", least=1)
    budget = int(number("memory_budget", memory_budget, allowed="a positive number of bytes", least=1.0))
    if not isinstance(executor, Executor):
        raise InputError(
            f"executor must be a concurrent.futures.Executor, such as LocalProcesses(2), got {type(executor).__name__}"
        )
    opened = open_blocks(make(), x, x2, method=method, budget=budget)
    trace = bool(trace_outputs) or not opened.network.outputs
    settings = _settings(opened.network, method, budget, trace)
    kernel = _empty(opened, trace)
    pairs = _pairs(opened, size)
    sent = _sent(make, len(pairs))
    with _kept_in(folder, opened, settings, size) as kept:
        missing = [pair for pair in pairs if not _found(kernel, pair, kept)]
        if kept is not None and kept.damaged:
            warnings.warn(f"{kept.damaged} damaged blocks in {folder} were set aside", UserWarning, stacklevel=2)
        with closing(_computed(executor, sent, opened, settings, missing)) as ended:
            for done, (pair, found, heard) in enumerate(ended, start=len(pairs) - len(missing) + 1):
                kernel[pair] = found
                if kept is not None:
                    kept.write(pair.name, found)
                for words in heard:
                    warnings.warn(words, UserWarning, stacklevel=2)
                if progress is not None:
                    progress(f"block {done} of {len(pairs)}", done / len(pairs))
    if not np.any(kernel):
        opened.network.refuse_dead(opened.x, opened.x2)
    if not np.isfinite(kernel).all():
        raise InputError("the NTK contains NaN or infinity; check the parameters and the network at these inputs")
    return blocks.mirrored(kernel) if opened.x2 is None else kernel


def block_by_block(
    make: Make, x: Any, x2: Any = None, *, block: int, trace_outputs: bool = True
) -> Inexact[np.ndarray, "n n2 ..."]:
    """Return the same by `module_ntk`, one pair of blocks after the other, in this process: the plain reference.

    Arguments are those of `ntk_on_workers`, inputs arrays or pytrees of arrays.
    """
    made, other = make(), x if x2 is None else x2

    def kernel(i: slice, j: slice) -> np.ndarray:
        return module_ntk(x=rows.take(x, i), x2=rows.take(other, j), trace_outputs=trace_outputs, **made)

    right = _cut(rows.count(other), block)
    return np.concatenate(
        [np.concatenate([kernel(i, j) for j in right], axis=1) for i in _cut(rows.count(x), block)], axis=0
    )


_place = threading.Lock()  # of this process: an executor may have several threads, and warnings belong to all of them
_held: dict[tuple[str, str, int], KernelBlocks] = {}  # the network made last, by its fingerprint, method and budget


def compute_block(
    sent: bytes, x: Any, x2: Any, settings: _Settings
) -> tuple[Inexact[np.ndarray, "n n2 ..."], list[str]]:
    """Compute one block of a kernel, in a worker; return it with what was warned of.

    Parameters
    ----------
    sent
        The function that makes the network, pickled; called if that is not the one of the last block.
    x, x2
        Inputs; `x2` is None for x with itself.
    settings
        Of the kernel.

    Raises
    ------
    InputError
        If `make` is not there or returns another network, or an output is NaN.
    """
    with _place, _jax_settings(settings), warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        held_as = settings.fingerprint, settings.method, settings.budget
        if held_as not in _held:
            made = open_blocks(
                _arrived(sent)(), x, x2, method=settings.method, budget=settings.budget, examined=True
            ).network
            if made.fingerprint() != settings.fingerprint:
                raise InputError(
                    "make() returns another network in the worker than here (random numbers without a seed, another "
                    "file, another version of a library?); it must return the same everywhere, to the last bit"
                )
            _held.clear()
            _held[held_as] = made
        kernel = _held[held_as].block(x, x2, trace=settings.trace)
    return kernel, [str(one.message) for one in heard if issubclass(one.category, UserWarning)]


def _settings(network: KernelBlocks, method: Method, budget: int, trace: bool) -> _Settings:
    config: Any = jax.config
    return _Settings(
        network.fingerprint(), method, budget, trace, config.jax_enable_x64, config.jax_default_matmul_precision
    )


@contextmanager
def _jax_settings(settings: _Settings) -> Iterator[None]:
    """Have the settings of JAX that numbers depend on as they are where the kernel was asked for."""
    home: Any = jax if hasattr(jax, "enable_x64") else jax.experimental  # of older versions
    with home.enable_x64(settings.x64), jax.default_matmul_precision(settings.precision):
        yield


def _computed(
    executor: Executor, sent: bytes, opened: OpenedBlocks, settings: _Settings, pairs: list[_Pair]
) -> Generator[tuple[_Pair, np.ndarray, list[str]], None, None]:
    """Have pairs computed, and yield each as it ends, with what is warned of for the first time.

    Whatever ends this early cancels those that have not begun.
    """
    waiting, begun, said = iter(pairs), dict[Future[Any], _Pair](), set[str]()
    other = opened.x if opened.x2 is None else opened.x2
    try:
        while True:
            for pair in itertools.islice(waiting, _AT_ONCE - len(begun)):
                on_diagonal = opened.x2 is None and pair.rows == pair.columns
                inputs = rows.take(opened.x, pair.rows), None if on_diagonal else rows.take(other, pair.columns)
                with _told(pair):
                    begun[executor.submit(compute_block, sent, *inputs, settings)] = pair
            if not begun:
                return
            futures.wait(begun, return_when=futures.FIRST_COMPLETED)
            ended = [future for future in begun if future.done()]
            for future in sorted(ended, key=_has_failed):  # what is finished is kept first
                pair = begun.pop(future)
                with _told(pair):
                    found, heard = future.result()
                yield pair, found, sorted({*heard} - said)
                said |= {*heard}
    finally:
        for future in begun:
            future.cancel()


def _has_failed(future: Future[Any]) -> bool:
    return future.cancelled() or future.exception() is not None


@contextmanager
def _told(pair: _Pair) -> Iterator[None]:
    """Turn whatever a worker, or the way to it, raises into one line."""
    try:
        yield
    except InputError as problem:
        raise InputError(f"{pair}: {problem}") from None
    except futures.CancelledError:
        raise InputError(f"{pair}: the executor was shut down; {_KEPT}") from None
    except Exception as problem:  # whatever `make`, the network or the executor raise
        raise InputError(f"{pair} failed on a worker: {type(problem).__name__}: {_line(problem)}; {_KEPT}") from None


def _sent(make: Make, pairs: int) -> bytes:
    """Pickle what makes the network: here, so that a function that cannot be sent is refused before anything begins."""
    try:
        sent = pickle.dumps(make)
    except Exception as problem:  # whatever is in a partial
        raise InputError(f"make cannot be sent to workers: {_line(problem)}; {_TO_BE_FOUND}") from None
    if len(sent) > _CARRIED:
        warnings.warn(
            f"make carries {len(sent) / 2**20:.1f} MiB, which travel with each of {pairs} pairs of blocks; let it read "
            "arrays from a file",
            UserWarning,
            stacklevel=3,
        )
    return sent


def _arrived(sent: bytes) -> Make:
    try:
        return pickle.loads(sent)
    except Exception as problem:  # a module that is not there, or raises
        raise InputError(
            f"make is not found in the worker: {type(problem).__name__}: {_line(problem)}; {_TO_BE_FOUND}"
        ) from None


def _line(problem: BaseException) -> str:
    return " ".join(str(problem).split())[:300]


def _empty(opened: OpenedBlocks, trace: bool) -> np.ndarray:
    """Return the kernel, of zeros, after checking that this machine can hold it."""
    n = rows.count(opened.x)
    n2 = n if opened.x2 is None else rows.count(opened.x2)
    shape = (n, n2) if trace else (n, n2, *opened.network.outputs, *opened.network.outputs)
    entries = float(np.prod([float(extent) for extent in shape]))
    require_memory(
        f"a kernel of shape {shape}",
        entries * opened.network.dtype.itemsize,
        instead="give fewer inputs, or ask an operator (ntk_operator), random features or the diagonal",
    )
    return np.zeros(shape, opened.network.dtype)


def _pairs(opened: OpenedBlocks, size: int) -> list[_Pair]:
    left = _cut(rows.count(opened.x), size)
    right = left if opened.x2 is None else _cut(rows.count(opened.x2), size)
    return [_Pair(i, j) for i in left for j in right if opened.x2 is not None or i.start >= j.start]


def _cut(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _kept_in(folder: Path | str | None, opened: OpenedBlocks, settings: _Settings, size: int) -> Any:
    """Lend the folder of this kernel, None without one."""
    if folder is None:
        return nullcontext()
    inputs = [
        programs.digest(str(jax.tree.structure(one)), programs.contents(jax.tree.leaves(one))) for one in opened[1:]
    ]
    of = {
        "network": settings.fingerprint,
        "x": inputs[0],
        "x2": inputs[1],
        "block": size,
        "trace_outputs": settings.trace,
        "dtype": str(opened.network.dtype),
    }
    return open_folder(folder, of)


def _found(kernel: np.ndarray, pair: _Pair, kept: BlockFolder | None) -> bool:
    """Take a block from the folder, if it is there."""
    here = kernel[pair]
    block = None if kept is None else kept.read(pair.name, here.shape, here.dtype)
    if block is not None:
        kernel[pair] = block
    return block is not None
