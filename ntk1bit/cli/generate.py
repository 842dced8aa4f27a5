"""`ntk1bit generate`: text from a packed model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def generate(
    model: Annotated[Path, typer.Argument(help="A packed model: an .npz file of train-lm --export.")],
    prompt: Annotated[str, typer.Option(help="The text to continue.")] = "",
    length: Annotated[int, typer.Option(help="Characters to add.")] = 300,
    temperature: Annotated[float, typer.Option(help="Temperature; 0 takes the most probable character.")] = 0.8,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    about: Annotated[bool, typer.Option("--about", help="Print what the model is made of instead.")] = False,
) -> None:
    """Continue a text with a packed 1-bit Transformer.

    Example: ntk1bit generate model.npz --prompt "Fellow citizens" --length 300
    """
    from ntk1bit.packed.file_format import load
    from ntk1bit.packed.text import generate as continue_text

    packed = load(model)
    if about:
        for name, value in packed.rows():
            _show(f"{name:36} {value}")
        return
    _show(prompt + continue_text(packed, prompt, length=length, temperature=temperature, seed=seed))


def _show(text: str) -> None:
    r"""Print a text; characters that the terminal's encoding lacks as \uXXXX, since an alphabet may hold any."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))
