"""`ntk1bit bench`: race the cores against BLAS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def bench(
    only: Annotated[str, typer.Option(help="Only races whose name contains this.")] = "",
    threads: Annotated[str, typer.Option(help="Numbers of threads, such as 1,2.")] = "1,2",
    rounds: Annotated[int, typer.Option(min=1, help="Rounds per race; the median counts.")] = 9,
    out: Annotated[Path | None, typer.Option(help="Write the ratios to this .csv file.")] = None,
    on: Annotated[
        str, typer.Option(help="Take this processor for one that has no more than this: avx2 or vectors.")
    ] = "",
    plot: Annotated[Path | None, typer.Option(help="Draw the ratios: .png, .pdf or .svg, by the ending.")] = None,
) -> None:
    """Race every product with bits against the best BLAS way to the same result.

    Example: ntk1bit bench --only sign_matmul --threads 1 --out ratios.csv --plot ratios.png
    """
    import importlib.util

    from ntk1bit.cli.lists import read_list
    from ntk1bit.cores.backends import LESSER
    from ntk1bit.errors import InputError, require_choice
    from ntk1bit.files import FIGURES, writable_file

    if importlib.util.find_spec("benchmarks") is None:
        raise InputError("the benchmarks are part of the source tree: run this from a checkout installed with pip -e")
    from benchmarks.__main__ import main

    for option, path, endings in (("--out", out, [".csv"]), ("--plot", plot, FIGURES)):
        if path is not None:
            writable_file(option, path, endings)
    counts = ",".join(map(str, read_list(threads, option="--threads", kind=int)))
    arguments = [f"--only={only}", f"--threads={counts}", f"--rounds={rounds}"]  # in one word: values may begin with -
    if on:
        require_choice("--on", on, LESSER)
        arguments += [f"--on={on}"]
    for option, path in (("--out", out), ("--plot", plot)):
        arguments += [] if path is None else [f"{option}={path}"]
    raise typer.Exit(main(arguments))
