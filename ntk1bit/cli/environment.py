"""What surrounds the program: variables that its libraries read, and limits of the system, checked before any work.

Libraries answer what they cannot use with a traceback, lines of their own or the end of the process, some only inside
the cells of a run. Here it is one line each, and docs/environments.md lists what happens where.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import resource
import subprocess
import sys
import warnings
from collections.abc import Sequence

from ntk1bit.errors import InputError

# What a small sweep needs on two cores, measured by lowering each limit until it fails, and something above that.
_LIMITS = (
    (resource.RLIMIT_AS, 2**30, "bytes that a process may map", "ulimit -v"),
    (resource.RLIMIT_DATA, 2**30, "bytes of data of a process", "ulimit -d"),
    (resource.RLIMIT_STACK, 2**19, "bytes of stack", "ulimit -s"),
    (resource.RLIMIT_NOFILE, 64, "open files", "ulimit -n"),
    (resource.RLIMIT_FSIZE, 2**20, "bytes of a file", "ulimit -f"),
)
_JAX_VARIABLES = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME", "JAX_ENABLE_X64", "XLA_FLAGS")
_JAX_COMMANDS = ("train-lm", "deep", "verify", "plan")
_IGNORED = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)  # as Python does by itself
_LLVM = """
import os
from llvmlite import binding as llvm
llvm.initialize_native_target()
llvm.initialize_native_asmprinter()
chosen = {"cpu": os.environ.get("NUMBA_CPU_NAME", ""), "features": os.environ.get("NUMBA_CPU_FEATURES", "")}
machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(**chosen)
machine.emit_assembly(llvm.parse_assembly("define void @f() { ret void }"))
"""
_IGNORES = "is not a recognized"  # processor or feature, says LLVM, and compiles for another
_NOISE = re.compile(r"^F\d{4} .*?\] ")  # how XLA begins its last line


def check_environment(words: Sequence[str]) -> None:
    """Refuse surroundings in which a command cannot run, and keep from it what would only disturb.

    Parameters
    ----------
    words
        The command and its options.

    Raises
    ------
    InputError
        Naming the variable or limit, and what to do about it.
    """
    _keep_warnings()
    os.environ["MPLBACKEND"] = "agg"  # figures are only written to files; matplotlib ends on a name it does not know
    try:
        os.getcwd()
    except OSError:
        raise InputError("the folder that this command was started in is gone; change to another with cd") from None
    _check_limits()
    date = os.environ.get("SOURCE_DATE_EPOCH")
    if date is not None and not re.fullmatch(r"\d{1,12}", date, re.ASCII):
        raise InputError(f"SOURCE_DATE_EPOCH must be whole seconds since 1970, got {date!r}; correct or unset it")
    if any(name.startswith("NUMBA_") for name in os.environ):
        _check_numba()
    if (given := _set(*_JAX_VARIABLES)) and _uses_jax(words):
        _try("JAX", "import jax; jax.devices()", given)


def _keep_warnings() -> None:
    """Have warnings stay warnings, here and in worker processes: as errors they would end a training on the way."""
    as_errors = [each for each in sys.warnoptions if (action := each.partition(":")[0]) and "error".startswith(action)]
    if not as_errors:
        return
    sys.warnoptions.clear()
    os.environ.pop("PYTHONWARNINGS", None)
    warnings.resetwarnings()
    for category in _IGNORED:
        warnings.simplefilter("ignore", category)


def _check_limits() -> None:
    for kind, least, what, command in _LIMITS:
        limit, _ = resource.getrlimit(kind)
        if limit != resource.RLIM_INFINITY and limit < least:
            raise InputError(
                f"the system allows {limit} {what} ({command}), and ntk1bit needs {least}; raise the limit, as with "
                f"{command} unlimited"
            )


def _check_numba() -> None:
    """Let numba read its variables, and LLVM the processor in them; refuse what they warn of, fail on, or ignore."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Environment variable", RuntimeWarning)
        try:
            from ntk1bit.compiling import compiles
        except InputError:
            raise
        except (RuntimeWarning, ValueError) as problem:
            variables = ", ".join(f"{name}={value}" for name, value in os.environ.items() if name.startswith("NUMBA_"))
            why = str(problem).strip().splitlines()[0].rstrip(".")
            raise InputError(f"numba does not start with {variables}: {why}; correct or unset it") from None
    if compiles():
        _try("LLVM", _LLVM, _set("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"))


def _uses_jax(words: Sequence[str]) -> bool:
    if words[0] == "sweep":
        given = [after for before, after in itertools.pairwise(words) if before == "--spec"]
        given += [word.removeprefix("--spec=") for word in words if word.startswith("--spec=")]
        return bool({"jax", "--backend=jax"} & set(words)) or any(map(_trains_in_jax, given))
    return words[0] in _JAX_COMMANDS and "--list" not in words


def _trains_in_jax(path: str) -> bool:
    from ntk1bit.files import read_toml

    try:
        settings = read_toml(path).get("sweep")
    except InputError:  # told by the command
        return False
    return isinstance(settings, dict) and settings.get("backend") == "jax"


def _set(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, os.environ[name]) for name in names if os.environ.get(name))


@functools.cache
def _try(library: str, program: str, given: tuple[tuple[str, str], ...]) -> None:
    """Try variables in another process, since what a library says or does with wrong ones ends the process."""
    if not given:
        return
    tried = subprocess.run(
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if tried.returncode or _IGNORES in tried.stderr:
        said = [_NOISE.sub("", line) for line in tried.stderr.splitlines() if line.strip()]
        variables = ", ".join(f"{name}={value}" for name, value in given)
        why = said[-1] if said else f"it ends with code {tried.returncode}"
        raise InputError(f"{library} does not start with {variables}: {why}; correct or unset it")
