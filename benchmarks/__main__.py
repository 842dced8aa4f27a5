"""Run the races: `python -m benchmarks [--only NAME] [--threads 1,2] [--rounds 9] [--out FILE.csv] [--plot FILE.png]`.

With `--on avx2` the cores and BLAS are told that the processor has nothing better, to see what they do on one.

BLAS chooses its kernels when it is loaded, so the races run in a child process from whose environment everything that
would slow OpenBLAS down has been removed.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.environment import run_module
from ntk1bit.streams import standard_streams

_CHILD = "--in-this-process"


def main(arguments: Sequence[str] | None = None) -> int:
    """Race in a child process with rivals at their best; return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _options(given)
    if not options.in_this_process:
        from ntk1bit.cores.backends import environment_of

        variables = environment_of(options.on) if options.on else None
        return run_module("benchmarks", [*given, _CHILD], variables=variables).returncode
    return _race(options)


def _race(options: argparse.Namespace) -> int:
    import matplotlib.figure

    from benchmarks import report
    from benchmarks.catalogue import PAIRS
    from benchmarks.rounds import measure
    from ntk1bit.compiling import announced

    pairs = [pair for pair in PAIRS if options.only in pair.product]
    if not pairs:
        print(f"ntk1bit: no race is called {options.only!r}; there are: {_names(PAIRS)}", file=sys.stderr)
        return 2
    if not all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))):
        print(
            "two_bit_matmul and two_bit_ternary race onnxruntime and are left out; to have them: "
            "pip install 'ntk1bit[bench]'",
            file=sys.stderr,
        )
        pairs = [pair for pair in pairs if not pair.product.startswith("two_bit")]
        if not pairs:
            return 2
    machine = _machine()  # after the races are imported: they load every BLAS they use
    print(machine)
    print(report.header(), flush=True)
    results = []
    told = functools.cache(lambda: print("compiling kernels (first time only) ...", file=sys.stderr, flush=True))
    with announced(told):
        for threads in options.threads:
            for pair in pairs:
                results.append(measure(pair, threads=threads, rounds=options.rounds))
                print(report.row(results[-1]), flush=True)
    if options.out is not None:
        report.write_csv(results, options.out, machine=machine)
        print(f"wrote {options.out}")
    if options.plot is not None:
        figure = matplotlib.figure.Figure(figsize=(8, 1.5 + 0.32 * len(pairs)), layout="constrained")
        report.plot_ratios(results, ax=figure.add_subplot()).set_title(machine, fontsize="x-small", wrap=True)
        figure.savefig(options.plot, dpi=150)
        print(f"wrote {options.plot}")
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    from ntk1bit.cores.backends import LESSER

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAME", help="only races whose name contains this")
    parser.add_argument("--threads", type=_counts, default=[1, 2], metavar="1,2", help="numbers of threads")
    parser.add_argument("--rounds", type=int, default=9, help="rounds per race; the median counts")
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="where to write the ratios")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="where to draw them")
    parser.add_argument("--on", default="", choices=LESSER, help="take this processor for such a one")
    parser.add_argument(_CHILD, action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _names(pairs: Sequence[object]) -> str:
    return ", ".join(dict.fromkeys(getattr(pair, "product", "") for pair in pairs))


def _machine() -> str:
    """Describe processor, BLAS kernels and versions on one line."""
    import numpy as np
    import threadpoolctl
    from llvmlite.binding import get_host_cpu_name

    from ntk1bit import cores
    from ntk1bit.processors import processor_name

    taken_for = os.environ.get("NUMBA_CPU_NAME", "")
    libraries = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"]
    kernels = ", ".join(f"{info['internal_api']} {info['version']} {info.get('architecture')}" for info in libraries)
    return (
        f"{processor_name()} ({platform.machine()}, {get_host_cpu_name()}), {os.cpu_count()} cores; "
        f"backend {cores.settings().backend}{f', taken for {taken_for}' if taken_for else ''}; "
        f"BLAS: {kernels}; numpy {np.__version__}"
    )


if __name__ == "__main__":
    with standard_streams() as output:
        code = main()
        if (lost := output.lost()) is not None:
            print(f"benchmarks: {lost}", file=sys.stderr)
            code = 2
        sys.exit(code)
