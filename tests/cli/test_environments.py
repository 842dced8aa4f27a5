"""A sweep in odd surroundings: the same bits as undisturbed, or one line and exit code 2 before anything is computed.

The table of docs/environments.md and the list here are the same.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntk1bit.cli import environment
from ntk1bit.experiments import SweepSpec, open_run, run_all
from ntk1bit.experiments.executors import LocalProcesses

DOCUMENT = Path(__file__).parents[2] / "docs" / "environments.md"
OPTIONS = "--widths 8,16 --seeds 1 --steps 3 --n-train 8 --n-test 4 --jobs 1"
SAME, CLOSE, REFUSED, LOST = "same results", "other last bits", "refused", "same results, refused"


@dataclass(frozen=True)
class Surroundings:
    """How the command line of the sweep is changed, and what comes of it.

    Attributes
    ----------
    result
        One of `SAME`, `CLOSE`, `REFUSED`, and `LOST`: all is computed, what is printed is lost, and the code is 2.
    variables
        Of the environment; None takes one away.
    before, after
        Of the command, in the shell.
    folder
        Of the run.
    options
        Further ones.
    says
        What the line is about, if it is refused.
    """

    result: str = SAME
    variables: dict[str, str | None] = field(default_factory=dict)
    before: str = ""
    after: str = ""
    folder: str = "run"
    options: str = ""
    says: str = ""


def variable(name: str, value: str | None, **others: str) -> Surroundings:
    return Surroundings(variables={name: value}, **others)


def limit(letter: str, value: int) -> Surroundings:
    return Surroundings(REFUSED, before=f"ulimit -{letter} {value} &&", says=f"ulimit -{letter}")


# By the words of the document. What is in one list is tried in one run, to save time.
JAX = {"result": REFUSED, "options": "--backend jax", "says": "JAX does not start with"}
NUMBA = {"result": REFUSED, "says": "numba does not start with"}
LLVM = {"result": REFUSED, "says": "LLVM does not start with"}
QUICK: list[dict[str, Surroundings]] = [
    {"`NUMBA_NUM_THREADS=0`": variable("NUMBA_NUM_THREADS", "0", **NUMBA)},
    {"`NUMBA_NUM_THREADS=abc`": variable("NUMBA_NUM_THREADS", "abc", **NUMBA)},
    {"`NUMBA_CPU_FEATURES=avx2`": variable("NUMBA_CPU_FEATURES", "avx2", result=REFUSED, says="must be flags such as")},
    {"`NUMBA_CPU_NAME=nonsense`": variable("NUMBA_CPU_NAME", "nonsense", **LLVM)},
    {"`NUMBA_CPU_FEATURES=+nonsense`": variable("NUMBA_CPU_FEATURES", "+nonsense", **LLVM)},
    {"`SOURCE_DATE_EPOCH=abc`": variable("SOURCE_DATE_EPOCH", "abc", result=REFUSED, says="whole seconds since 1970")},
    {"`XLA_FLAGS=--nonsense`, of a command that uses JAX": variable("XLA_FLAGS", "--nonsense", **JAX)},
    {"`ulimit -v`, `-d`: less than 1 GiB of memory": limit("v", 400000)},
    {"`ulimit -n`: fewer than 64 open files": limit("n", 16)},
    {
        "the working folder was removed": Surroundings(
            REFUSED, before="mkdir x && cd x && rmdir ../x &&", says="is gone"
        )
    },
    {"the name of the run's folder is too long": Surroundings(REFUSED, folder="x" * 256, says="name too long")},
    {"standard output is full (`> /dev/full`)": Surroundings(LOST, after="> /dev/full", says="standard output")},
    {
        "standard output is closed (`>&-`)": Surroundings(after=">&-"),
        "standard error is closed (`2>&-`)": Surroundings(after="2>&-"),
        "standard input is closed (`<&-`)": Surroundings(after="<&-"),
        "`PYTHONWARNINGS=error`": variable("PYTHONWARNINGS", "error"),
    },
]
SLOW: list[dict[str, Surroundings]] = [
    {"`NUMBA_NUM_THREADS=-1`": variable("NUMBA_NUM_THREADS", "-1", **NUMBA)},
    {"`NUMBA_OPT=abc`": variable("NUMBA_OPT", "abc", **NUMBA)},
    {"`JAX_PLATFORMS=nonsense`, of a command that uses JAX": variable("JAX_PLATFORMS", "nonsense", **JAX)},
    {"`JAX_PLATFORMS=tpu`, where there is none": variable("JAX_PLATFORMS", "tpu", **JAX)},
    {"`JAX_ENABLE_X64=abc`, of a command that uses JAX": variable("JAX_ENABLE_X64", "abc", **JAX)},
    {"`ulimit -f`: files of less than 1 MiB": limit("f", 100)},
    {"`ulimit -s`: less than 512 KiB of stack": limit("s", 100)},
    {
        "the working folder can only be read": Surroundings(
            REFUSED,
            before=f"mkdir x && chmod 555 x && cd x && {'setpriv --bounding-set=-all' if os.geteuid() == 0 else ''}",
            folder="",
            says="Permission denied",
        )
    },
    {"`NUMBA_DISABLE_JIT=1`": variable("NUMBA_DISABLE_JIT", "1", result=CLOSE)},
    {
        "`OPENBLAS_NUM_THREADS=abc`": variable("OPENBLAS_NUM_THREADS", "abc"),
        "`OMP_NUM_THREADS=0`": variable("OMP_NUM_THREADS", "0"),
        "`NUMBA_THREADING_LAYER=nonsense`": variable("NUMBA_THREADING_LAYER", "nonsense"),
        "`JAX_PLATFORMS=nonsense`, of one that does not": variable("JAX_PLATFORMS", "nonsense"),
        "`XLA_FLAGS=--nonsense`, of one that does not": variable("XLA_FLAGS", "--nonsense"),
        "`nice`": Surroundings(before="nice -n 1"),
        "`PYTHONOPTIMIZE=2`": variable("PYTHONOPTIMIZE", "2"),
    },
    {
        "`HOME` not set": variable("HOME", None),
        "`XDG_CACHE_HOME=relative`": variable("XDG_CACHE_HOME", "relative"),
        "`LANG=xx_YY.nonsense`": variable("LANG", "xx_YY.nonsense"),
        "`TZ=Nowhere/None`": variable("TZ", "Nowhere/None"),
        "`COLUMNS=0`": variable("COLUMNS", "0"),
        "`PYTHONUNBUFFERED=1`": variable("PYTHONUNBUFFERED", "1"),
        "`PYTHONHASHSEED=1`": variable("PYTHONHASHSEED", "1"),
        "`umask 000`": Surroundings(before="umask 000 &&"),
    },
    {
        "`NUMBA_CACHE_DIR`: a file, full, or read-only": variable("NUMBA_CACHE_DIR", "/dev/null"),
        "`HOME`: not there, or not writable": variable("HOME", "/dev/null"),
        "`TMPDIR`: not there": variable("TMPDIR", "/nonexistent"),
        "`MPLCONFIGDIR`: not writable": variable("MPLCONFIGDIR", "/dev/null"),
        "`MPLBACKEND=nonsense`": variable("MPLBACKEND", "nonsense"),
        "`COLUMNS=abc`": variable("COLUMNS", "abc"),
        "`umask 077`": Surroundings(before="umask 077 &&"),
    },
    {
        "`PYTHONDONTWRITEBYTECODE=1`": variable("PYTHONDONTWRITEBYTECODE", "1"),
        "`SOURCE_DATE_EPOCH=0`": variable("SOURCE_DATE_EPOCH", "0"),
        "no terminal (`setsid`)": Surroundings(before="setsid"),
        "`TERM=dumb`": variable("TERM", "dumb"),
        "`NO_COLOR=1`": variable("NO_COLOR", "1"),
        "`FORCE_COLOR=1`": variable("FORCE_COLOR", "1"),
        "`CI=1`": variable("CI", "1"),
        "an ASCII terminal (`PYTHONIOENCODING=ascii`, `LC_ALL=C`)": Surroundings(
            variables={"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        ),
        "blanks, line breaks and any letters in the name of the run's folder": Surroundings(
            folder="a b\nc \U0001f642 é"
        ),
    },
    {
        "nobody reads standard output any more (`| head -1`)": Surroundings(before="{", after="2>&1; } | true"),
        "nobody reads standard error any more": Surroundings(),
    },
]
EVERY = {name: one for batch in (*QUICK, *SLOW) for name, one in batch.items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    spec = SweepSpec(widths=(8, 16), seeds=(0,), steps=3, n_train=(8,), n_test=4)
    with LocalProcesses(1) as pool:
        run_all(spec, folder, executor=pool)
    return frame_of(folder)


def frame_of(folder: Path) -> pd.DataFrame:
    return open_run(folder).frame()


def bits(frame: pd.DataFrame) -> dict[str, list[bytes | str]]:
    """Everything in a frame but how long it took, so that -0 and 0 differ and NaN is itself."""
    return {
        str(name): [np.asarray(each).tobytes() if np.ndim(each) else repr(each) for each in frame[name]]
        for name in frame
        if "seconds" not in str(name)
    }


@pytest.mark.parametrize(
    "batch", [*QUICK, *(pytest.param(batch, marks=pytest.mark.slow) for batch in SLOW)], ids="+".join
)
def test_a_sweep_gives_the_same_bits_or_is_refused_in_one_line(batch, undisturbed, tmp_path):
    batch = list(batch.values())
    if any("setpriv" in one.before for one in batch) and shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and there is no setpriv to change that")
    variables = {**os.environ} | {name: value for one in batch for name, value in one.variables.items()}
    folder = tmp_path / next((one.folder for one in batch if one.folder != "run"), "run")
    before, after = " ".join(one.before for one in batch), " ".join(one.after for one in batch)
    options = " ".join([OPTIONS, *(one.options for one in batch), *(['--out "$OUT"'] if folder != tmp_path else [])])
    done = subprocess.run(
        ["sh", "-c", f'{before} "$PYTHON" -m ntk1bit sweep {options} {after}'],
        env={name: value for name, value in variables.items() if value is not None}
        | {"OUT": str(folder), "PYTHON": sys.executable, "PYTHONPATH": str(DOCUMENT.parents[1])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "Traceback" not in done.stderr
    (result,) = {one.result for one in batch}
    assert done.returncode == (2 if result in (REFUSED, LOST) else 0), done.stderr
    if result in (REFUSED, LOST):
        (line,) = [each for each in done.stderr.splitlines() if not each.startswith("[")]  # of progress
        assert line.startswith("ntk1bit: ")
        assert batch[0].says in line
    if result == REFUSED:
        assert done.stdout == ""
        assert list(tmp_path.rglob("*.parquet")) == []
        return
    found = frame_of(folder)
    if result == CLOSE:  # float32 sums of 64 terms in another order over three steps: measured 2e-6
        numbers = found.select_dtypes("number").columns
        np.testing.assert_allclose(found[numbers], undisturbed[numbers], rtol=1e-4, atol=1e-6)
    else:
        assert bits(found) == bits(undisturbed)


def test_the_document_lists_what_is_tried():
    rows = re.findall(r"^\| (.+?) \| (.+?) \| .*\|$", DOCUMENT.read_text(encoding="utf-8"), re.M)
    assert dict(rows[1:]) == {name: one.result for name, one in EVERY.items()}
    assert len(rows) - 1 == len(EVERY) >= 40


@pytest.mark.parametrize("backend", ["cores", "jax"])
def test_jax_is_tried_for_a_specification_that_trains_in_it(backend, tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(environment, "_try", lambda library, *_: tried.append(library))
    monkeypatch.setenv("XLA_FLAGS", "--nonsense")
    path = tmp_path / "spec.toml"
    path.write_text(f'[sweep]\nbackend = "{backend}"\n\n[versions]\njax = "1"\n')
    for words in (["--spec", str(path)], [f"--spec={path}"]):
        environment.check_environment(["sweep", *words])
    assert tried.count("JAX") == 2 * (backend == "jax")
