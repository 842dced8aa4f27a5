"""Find a trained network of a run and read its weights back."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, cast

from ntk1bit.errors import InputError, require_choice
from ntk1bit.language.run import cell, load_language_run
from ntk1bit.language.training import load_weights
from ntk1bit.nets import text
from ntk1bit.nets.bitlinear import Arm
from ntk1bit.nets.transformer import Activation, Shape, Transformer


class Trained(NamedTuple):
    """A network read back from a run, with its shape and the alphabet of its text."""

    model: Transformer
    shape: Shape
    alphabet: str


def read_network(folder: Path, *, size: str | None = None, arm: str = "bitnet", seed: int | None = None) -> Trained:
    """Read the network of one size, arm and seed, trained at the best rate.

    Parameters
    ----------
    folder
        A finished run.
    size
        As ``"3x64"``; the largest by default.
    arm
        A trained arm.
    seed
        The first of the run by default.

    Raises
    ------
    InputError
        If the run is not finished or has no such network, or its weights cannot be read.
    """
    run = load_language_run(folder)
    spec = run.spec
    sizes = {str(one): one for one in spec.shapes}
    chosen = sizes[require_choice("size", size, sizes) if size is not None else str(spec.shapes[-1])]
    require_choice("arm", arm, spec.trained_arms)
    seed = spec.seeds[0] if seed is None else seed
    if seed not in spec.seeds:
        raise InputError(f"{folder} has no seed {seed}; it has: {', '.join(map(str, spec.seeds))}")
    key = cell(spec, chosen, arm, run.rates[arm, str(chosen)], seed).key
    alphabet = text.load(spec.text).alphabet
    shape = Shape(
        chosen.layers,
        chosen.width,
        chosen.heads,
        len(alphabet),
        spec.context,
        cast(Activation, spec.activation),
        spec.tied,
    )
    model = load_weights(folder / "cells" / f"{key}.weights", shape, arm=cast(Arm, arm))
    return Trained(model, shape, alphabet)
