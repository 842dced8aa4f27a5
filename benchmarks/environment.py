"""Child processes in which rivals are at their best: what slows BLAS down must be settled before it is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_HANDICAPS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # choose other kernels than those made for this processor
# After a call OpenBLAS's helper threads spin for up to 2^26 rounds, and would take a core from the next contestant.
_SHORT_SPIN = {"OPENBLAS_THREAD_TIMEOUT": "10"}


def run_module(
    module: str, arguments: Sequence[str], *, variables: dict[str, str] | None = None, capture: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run `python -m module` with rivals at their best.

    Parameters
    ----------
    module, arguments
        A module of this package and its command line.
    variables
        Further variables of the environment.
    capture
        Whether to return what it prints instead of letting it through.
    """
    root = str(Path(__file__).resolve().parent.parent)
    environment = {name: value for name, value in os.environ.items() if name not in _HANDICAPS} | _SHORT_SPIN
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=environment | (variables or {}),
        stdout=subprocess.PIPE if capture else None,
        text=True,
    )
