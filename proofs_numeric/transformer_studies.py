"""The study of the kernel of Transformers as they train."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ntk1bit.experiments import ExperimentList, Specification, TransformerKernels
from proofs_numeric.deep_oscillation_studies import ARMS

_FIRST = 200  # of the first five networks, from 40 on, two rules could not be told
_STEPS = (1, 2, 5, 10, 20, 30, 40, 50, 60, 80, 100)
_WIDTHS = (32, 64, 128, 256, 512)
_SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...], int]] = {  # widths, steps, networks
    "quick": ((8, 16, 32), (1, 5, 10), 5),
    "standard": (_WIDTHS, _STEPS, 15),
    "thorough": ((*_WIDTHS, 1024), _STEPS, 30),
}
ETA_REL = 0.5


def transformer_studies(preset: str) -> Iterator[tuple[str, str, Specification]]:
    """Give the name, the purpose and the specification of this study."""
    widths, steps, count = _SIZES[preset]
    seeds = tuple(range(_FIRST, _FIRST + count))
    every = [TransformerKernels(arm, width, ETA_REL, steps, seeds) for arm, width in itertools.product(ARMS, widths)]
    yield (
        "transformer-kernels",
        "kernels of Transformers as they train, by arm and width",
        ExperimentList(tuple(every)),
    )
