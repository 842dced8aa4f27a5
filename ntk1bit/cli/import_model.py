"""`ntk1bit import`: a network of BitNet b1.58 that others published, as one file of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Int64

    from ntk1bit.packed.imported_model import ImportedModel


def import_model(
    checkpoint: Annotated[
        Path,
        typer.Argument(help="A folder with config.json and safetensors files, as for transformers, or a .gguf file."),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="The .npz file to write.")] = None,
    verify: Annotated[
        Path | None,
        typer.Option(help="Text file of token numbers, separated by spaces or lines: print the network's perplexity."),
    ] = None,
) -> None:
    """Import a ternary network that others published, and tell its shapes, zeros, scales and memory.

    Nothing in the files is executed, and nothing is fetched.

    Example: ntk1bit import bitnet-folder --out model.npz
    """
    from ntk1bit.cli.progress import progress_bar
    from ntk1bit.cli.tables import print_paths, print_table, say
    from ntk1bit.files import writable_file
    from ntk1bit.packed.imported_files import SUFFIX, save_imported
    from ntk1bit.packed.imported_model import perplexity
    from ntk1bit.packed.model_folders import read_model

    if out is not None:
        writable_file("--out", out, [SUFFIX])
    tokens = None if verify is None else _tokens(verify)
    read = read_model(checkpoint)
    shape = read.model.shape
    print(f"{shape.layers} layers of width {shape.width:,}, {shape.hidden:,} inside, {shape.activation};")
    print(f"{shape.heads} heads of {shape.head_width}, {shape.key_heads} of keys and values; {read.source};")
    print(
        f"vocabulary {shape.vocabulary:,}, {'tied' if shape.tied else 'a head of its own'}; context {shape.context:,}\n"
    )
    print_table(("projection", "outputs", "inputs", "ternary", "zeros", "scales", "weights"), _rows(read.model))
    print()
    for what, size in _memory(read.model):
        print(f"{what:44} {size / 1e6:,.2f} MB")
    if tokens is not None:
        with progress_bar() as bar:
            found = perplexity(read.model, tokens, progress=bar)
        print(f"{f'perplexity of {len(tokens):,} tokens':44} {found:.4g}")
    for note in read.notes:
        say(note)
    if out is not None:
        save_imported(read.model, out, source=read.source)
        print_paths(out)


def _rows(model: ImportedModel) -> list[tuple[str, ...]]:
    """Return a row for each kind of projection: what all layers have, and the range of what differs."""
    import numpy as np

    from ntk1bit.packed.imported_model import PROJECTIONS
    from ntk1bit.packed.ternary_weights import TernaryTensor

    rows: list[tuple[str, ...]] = []
    for name in PROJECTIONS:
        outputs, inputs = model.shape.projection(name)
        held = [weights for block in model.blocks if isinstance(weights := block.weights[name], TernaryTensor)]
        ternary = f"{len(held)} of {model.shape.layers}"
        zeros = _range([weights.zeros for weights in held], ".3f")
        scales = _range([float(at(weights.scale)) for weights in held for at in (np.min, np.max)], ".4g")
        weights = f"{outputs * inputs * model.shape.layers:,}"
        rows.append((name, f"{outputs:,}", f"{inputs:,}", ternary, zeros, scales, weights))
    return rows


def _range(values: list[float], form: str) -> str:
    if not values:
        return ""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def _memory(model: ImportedModel) -> list[tuple[str, float]]:
    """Return bytes of the projections in several forms, and of all else."""
    from ntk1bit.packed.imported_model import PROJECTIONS
    from ntk1bit.packed.ternary_weights import TernaryTensor

    weights = [block.weights[name] for block in model.blocks for name in PROJECTIONS]
    entries = sum(out * inputs for out, inputs in (one.shape for one in weights))
    held = sum(one.codes.nbytes + one.scale.nbytes if isinstance(one, TernaryTensor) else one.nbytes for one in weights)
    tables = [model.embedding] if model.shape.tied else [model.embedding, model.head]
    gains = [model.norm, *(gain for block in model.blocks for gain in block.norms.values())]
    other = sum(one.nbytes for one in (*tables, *gains))
    return [
        ("projections as imported, a byte per weight", held),
        ("projections at 2 bits per weight", entries / 4),
        ("projections in bfloat16", 2 * entries),
        ("embedding, head and norms in float32", other),
    ]


def _tokens(path: Path) -> Int64[np.ndarray, " n"]:
    """Read numbers of tokens."""
    import numpy as np

    from ntk1bit.errors import InputError
    from ntk1bit.files import read_text

    words = read_text(path).replace(",", " ").split()
    wrong = next((word for word in words if not (word.isascii() and word.isdigit() and len(word) < 19)), None)
    if wrong is not None or len(words) < 2:
        what = f"{wrong[:40]!r}" if wrong is not None else f"{len(words)} of them"
        raise InputError(f"--verify takes a file of two or more token numbers, such as 128000 791 2132; got {what}")
    return np.array([int(word) for word in words], np.int64)
