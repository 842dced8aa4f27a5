"""`ntk1bit generate`: text from a packed model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ntk1bit.packed.model import PackedModel


def generate(
    model: Annotated[Path, typer.Argument(help="A packed model: an .npz file of train-lm --export.")],
    prompt: Annotated[str, typer.Option(help="The text to continue.")] = "",
    length: Annotated[int, typer.Option(help="Characters to add.")] = 300,
    temperature: Annotated[float, typer.Option(help="Temperature; 0 takes the most probable character.")] = 0.8,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    about: Annotated[
        bool, typer.Option("--about", help="Print what the model is made of, its size and its speed instead.")
    ] = False,
) -> None:
    """Continue a text with a packed 1-bit Transformer.

    Example: ntk1bit generate model.npz --prompt "Fellow citizens" --length 300
    """
    from ntk1bit.cli.progress import progress_bar
    from ntk1bit.cli.tables import say
    from ntk1bit.packed.file_format import load
    from ntk1bit.packed.text import generate as continue_text

    packed = load(model)

    def added(start: str, *, warm: bool = False) -> tuple[str, str]:
        """Return a continuation, and how long it took; `warm` leaves out the loading of compiled code."""
        settings = {"length": length, "temperature": temperature, "seed": seed}
        with progress_bar() as bar:
            if warm:
                continue_text(packed, start, length=1)
            return _timed(lambda: continue_text(packed, start, **settings, progress=bar))

    if about:
        for name, value in (*packed.rows(), *_sizes(packed, model)):
            _show(f"{name:36} {value}")
        if packed.alphabet and length > 0:
            _show(f"{'speed on this machine':36} {added(prompt or packed.alphabet[-1], warm=True)[1]}")
        return
    text, time = added(prompt)
    _show(prompt + text)
    say(time)
    if packed.note:
        say(" ".join(packed.note.split()))


def _timed(call: Callable[[], str]) -> tuple[str, str]:
    """Return a text with how long it took to make, the time of compiling apart."""
    from time import perf_counter

    from ntk1bit.compiling import seconds_compiling

    began, compiled = perf_counter(), seconds_compiling()
    text = call()
    compiling = seconds_compiling() - compiled
    seconds = max(perf_counter() - began - compiling, 1e-9)
    told = f"{len(text):,} characters in {seconds:.2f} s, {len(text) / seconds:,.0f} a second"
    return text, told + (f"; compiling took {compiling:.1f} s (first time only)" if compiling else "")


def _sizes(packed: PackedModel, path: Path) -> list[tuple[str, str]]:
    """Return the bytes of the file, and those in memory while one text is generated."""
    cache = packed.start()
    kept = cache.keys.nbytes + cache.values.nbytes
    held = packed.packed_bytes + packed.other_bytes
    return [
        ("bytes of the file", f"{path.stat().st_size:,}"),
        ("bytes in memory", f"{held + kept:,}: weights {held:,}, keys and values of a full context {kept:,}"),
    ]


def _show(text: str) -> None:
    r"""Print a text, with characters that steer a terminal or that its encoding lacks as \uXXXX: it may hold any."""
    from ntk1bit.printing import plain

    encoding, text = sys.stdout.encoding or "utf-8", plain(text, keep="\n\t")
    print(text.encode(encoding, "backslashreplace").decode(encoding))
