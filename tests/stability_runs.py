"""Runs of `StabilitySpec` whose results are made up: what is tried and read depends on losses only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ntk1bit.experiments.language import LanguageModel
from ntk1bit.experiments.stability_spec import StabilitySpec
from ntk1bit.experiments.store import Store
from ntk1bit.networks.transformer_shape import Size

SMALL = StabilitySpec(
    text="pydoc",
    sizes=("1x8", "1x12"),
    arms=("full", "bitnet"),
    tokens=640,
    batch=4,
    context=16,
    seeds=(0, 1),
    windows=32,
    rate=0.001,
    most=4,
)
MOST = 99.0  # nats a character: more than any model of counts loses
Loss = Callable[[str, str, int, float], float]


def breaking_at(rates: dict[tuple[str, str, int], float]) -> Loss:
    """Return a training loss by arm, size, seed and rate: beyond all counting from the network's rate on, else 1."""
    return lambda arm, size, seed, rate: MOST if rate >= rates[arm, size, seed] else 1.0


def store_run(folder: Path, spec: StabilitySpec, train_loss: Loss, *, also: dict[str, float] | None = None) -> None:
    """Write a finished run; `also` gives further rows, by what is evaluated, of the networks of `full`."""
    store = Store(folder)
    store.open(spec)
    for stage in spec.walk(lambda stage: store.reader(stage, lambda key: store.path(key).exists())):
        for one in stage.experiments:
            assert isinstance(one, LanguageModel)
            size = Size(one.layers, one.width)
            loss = train_loss(one.arm, str(size), one.seed, one.rate)
            row = {"loss": loss + 0.5, "train_loss": loss, "diverged": loss != loss, "parameters": size.parameters}
            found = [{"evaluated": one.arm} | row]
            for name, other in (also or {}).items() if one.arm == "full" else ():
                found.append({"evaluated": name} | row | {"loss": other})
            store.write(one, pd.DataFrame(found), seconds=1.0)
