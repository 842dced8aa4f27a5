"""The studies of whether deep quantised networks oscillate: MLPs and Transformers, and remedies of both."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ntk1bit.experiments import DeepOscillation, ExperimentList, LanguageOscillation, Specification

_FIRST = 400  # seeds of trial runs were 900 to 902
BATCH = 32


@dataclass(frozen=True)
class Kind:
    """A way of training.

    Attributes
    ----------
    name
        What measures call it.
    words
        What it is.
    optimiser, batch, rates
        As in `DeepOscillation`; remedies are tried at the first of the rates.
    remedies
        Those that are tried, at the largest width.
    """

    name: str
    words: str
    optimiser: str
    batch: int
    rates: tuple[float, float]
    remedies: tuple[str, ...] = ()


KINDS = (
    Kind("sgd", "full batches", "sgd", 0, (0.4, 0.8), ("latent", "freezing", "decay")),
    Kind("batches", f"batches of {BATCH}", "sgd", BATCH, (0.4, 0.8)),
    Kind("momentum", "momentum", "momentum", 0, (0.08, 0.04)),
    Kind("adam", "Adam", "adam", 0, (0.02, 0.01), ("freezing", "decay")),
)


ARMS = ("full", "bitnet", "b158")
LANGUAGE_RATES = {"sgd": 0.25, "momentum": 0.05, "adam": 0.003}  # of Transformers
LANGUAGE_REMEDIES = {"bitnet": ("latents", "freezing", "decay"), "b158": ("latents", "decay")}


@dataclass(frozen=True)
class _Size:
    widths: tuple[int, ...]
    steps: int
    window: int
    seeds: int
    language: tuple[tuple[int, ...], int, int]  # of Transformers: widths, steps, window
    remedied: int  # Transformers with each remedy, of the second of these widths


_SIZES = {
    "quick": _Size((16, 32, 64), 60, 20, 5, ((8, 16, 32), 40, 20), 5),
    "standard": _Size((64, 256, 1024), 800, 100, 5, ((32, 64, 128), 600, 100), 10),
    "thorough": _Size((64, 256, 1024, 2048), 1600, 100, 8, ((32, 64, 128, 256), 1200, 100), 16),
}


def deep_oscillation_studies(preset: str) -> Iterator[tuple[str, str, Specification]]:
    """Give the name, the purpose and the specification of each of these studies."""
    size = _SIZES[preset]
    seeds = tuple(range(_FIRST, _FIRST + size.seeds))

    def made(kind: Kind, width: int, rate: float, **more: Any) -> DeepOscillation:
        return DeepOscillation(width, kind.optimiser, rate, size.steps, size.window, seeds, batch=kind.batch, **more)

    widest = max(size.widths)
    plain = [made(kind, width, rate) for kind in KINDS for width in size.widths for rate in kind.rates]
    remedied = [made(kind, widest, kind.rates[0], remedy=one) for kind in KINDS for one in kind.remedies]
    ternary = made(KINDS[0], widest, KINDS[0].rates[0], levels="ternary")
    yield (
        "oscillation-deep",
        "MLPs of three layers on digits, followed late in training, by optimiser, rate, width and remedy",
        ExperimentList((*plain, *remedied, ternary)),
    )
    language_widths, steps, window = size.language
    transformers = [
        LanguageOscillation(arm, width, optimiser, rate, steps, window, seeds)
        for arm, width, (optimiser, rate) in itertools.product(ARMS, language_widths, LANGUAGE_RATES.items())
    ]
    transformers += [
        dataclasses.replace(one, remedy=remedy, seeds=tuple(range(_FIRST, _FIRST + size.remedied)))
        for one in transformers
        if one.width == language_widths[1]
        for remedy in LANGUAGE_REMEDIES.get(one.arm, ())
    ]
    yield (
        "oscillation-language",
        "Transformers that learn a few windows of a text by heart, by arm, width, optimiser and remedy",
        ExperimentList(tuple(transformers)),
    )
