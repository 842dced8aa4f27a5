"""Find a trained network of a run and read its weights back, or train it again where they are lost."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, cast

from ntk1bit.data import text
from ntk1bit.errors import InputError, require_choice
from ntk1bit.experiments import Measurement, run_measurements
from ntk1bit.experiments.language import cell, load_language_run
from ntk1bit.experiments.store import Store
from ntk1bit.networks.bitlinear import Arm
from ntk1bit.networks.transformer import Transformer
from ntk1bit.networks.transformer_shape import Activation, Shape
from ntk1bit.training.language import load_weights


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
    measurement, shape, alphabet = _place(folder, size=size, arm=arm, seed=seed)
    return Trained(load_weights(_weights(folder, measurement), shape, arm=cast(Arm, arm)), shape, alphabet)


def restore_network(folder: Path, *, size: str | None = None, arm: str = "bitnet", seed: int | None = None) -> bool:
    """Train a network of a finished run again if its weights cannot be read; return whether that was needed.

    Parameters
    ----------
    folder, size, arm, seed
        As in `read_network`.

    Raises
    ------
    InputError
        If the run is not finished, has no such network, or cannot be written.
    """
    measurement, shape, _ = _place(folder, size=size, arm=arm, seed=seed)
    try:
        load_weights(_weights(folder, measurement), shape, arm=cast(Arm, arm))
    except InputError:
        with Store(folder).lock():
            (folder / "cells" / f"{measurement.key}.parquet").unlink(missing_ok=True)
            run_measurements([measurement], folder / "cells")
        return True
    return False


def _place(folder: Path, *, size: str | None, arm: str, seed: int | None) -> tuple[Measurement, Shape, str]:
    """Return the measurement that trained a network, its shape and its alphabet."""
    run = load_language_run(folder)
    spec = run.spec
    sizes = {str(one): one for one in spec.shapes}
    chosen = sizes[require_choice("size", size, sizes) if size is not None else str(spec.shapes[-1])]
    require_choice("arm", arm, spec.trained_arms)
    seed = spec.seeds[0] if seed is None else seed
    if seed not in spec.seeds:
        raise InputError(f"{folder} has no seed {seed}; it has: {', '.join(map(str, spec.seeds))}")
    measurement = cell(spec, chosen, arm, run.rates[arm, str(chosen)], seed)
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
    return measurement, shape, alphabet


def _weights(folder: Path, measurement: Measurement) -> Path:
    return folder / "cells" / f"{measurement.key}.weights"
