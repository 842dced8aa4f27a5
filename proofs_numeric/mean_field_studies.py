"""The studies of the mean field: networks whose outputs are kept at every step, its recursion, two opposite inputs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ntk1bit.experiments import ExperimentList, MeanFieldOnTask, OppositeNetworks, Specification, SweepSpec

_FIRST = 300  # seeds below are those of other studies and of trial runs
ETA_REL = 0.5
RATES = (0.125, 0.25, 0.5)
SECOND = 0.9  # y_2 of two opposite inputs; y_1 is 1


@dataclass(frozen=True)
class Setting:
    """A task on which networks are held against their mean field.

    Attributes
    ----------
    name
        What measures call it.
    task, dim, n_train
        As in a sweep; dim 0 for the task's own.
    words
        What it is.
    """

    name: str
    task: str
    dim: int
    n_train: int
    words: str


SETTINGS = (
    Setting("sphere16", "sphere-random", 16, 32, "random labels, n = 32, d = 16"),
    Setting("sphere32", "sphere-random", 32, 64, "random labels, n = 64, d = 32"),
    Setting("sphere64", "sphere-random", 64, 32, "random labels, n = 32, d = 64"),
    Setting("digits", "digits", 0, 64, "digits, n = 64"),
)
LONG = SETTINGS[0]  # followed to the time when its oscillation has passed


@dataclass(frozen=True)
class _Size:
    widths: tuple[int, ...]
    seeds: int
    steps: int
    long: int
    particles: int
    at_rates: int
    pair_dims: tuple[int, ...]
    pair_widths: tuple[int, ...]
    pair_seeds: int


_WIDE = (1024, 4096, 16384, 65536)
_SIZES = {
    "quick": _Size((64, 128, 256, 512), 5, 120, 400, 40_000, 512, (8, 16, 32), (256, 1024), 5),
    "standard": _Size(_WIDE, 8, 120, 400, 4_000_000, 16384, (8, 16, 32), (16384, 65536, 262144), 5),
    "thorough": _Size((*_WIDE, 262144), 16, 120, 400, 16_000_000, 65536, (8, 16, 32), (65536, 262144, 1048576), 8),
}


def mean_field_studies(preset: str) -> Iterator[tuple[str, str, Specification]]:
    """Give the name, the purpose and the specification of each of these studies."""
    size = _SIZES[preset]
    seeds = tuple(range(_FIRST, _FIRST + size.seeds))

    def networks(setting: Setting, steps: int, **more: Any) -> SweepSpec:
        chosen: dict[str, Any] = {
            "widths": size.widths,
            "tasks": (setting.task,),
            "dims": (setting.dim,) if setting.dim else (),
            "n_train": (setting.n_train,),
            "n_test": 1,
            "precisions": ("one_bit",),
            "inits": ("paired",),
            "seeds": seeds,
            "steps": steps,
            "eta_rel": ETA_REL,
            "checkpoints": steps + 1,
            "activities": ("straight_through", "frozen"),
        }
        return SweepSpec(**(chosen | more))

    def limits(setting: Setting, steps: int, activity: str, eta_rel: float = ETA_REL) -> MeanFieldOnTask:
        return MeanFieldOnTask(setting.task, setting.dim, setting.n_train, eta_rel, steps, activity, size.particles)

    steps_of = {setting.name: size.long if setting is LONG else size.steps for setting in SETTINGS}
    for setting in SETTINGS:
        yield (
            f"limit-{setting.name}",
            f"1-bit networks step by step, both activities, against width: {setting.words}",
            networks(setting, steps_of[setting.name]),
        )
    for rate in RATES:
        if rate != ETA_REL:
            yield (
                f"limit-rate-{rate:g}",
                f"1-bit networks at eta_rel = {rate:g} for the same eta x steps: {LONG.words}",
                networks(
                    LONG, round(size.steps * ETA_REL / rate), eta_rel=rate, widths=(size.at_rates,),
                    activities=("straight_through",),
                ),
            )  # fmt: skip
    made = [
        *(
            limits(setting, steps_of[setting.name], activity)
            for setting, activity in itertools.product(SETTINGS, ("straight_through", "frozen"))
        ),
        *(
            limits(LONG, round(size.steps * ETA_REL / rate), "straight_through", rate)
            for rate in RATES
            if rate != ETA_REL
        ),
    ]
    yield "mean-fields", "the limit of 1-bit training at infinite width, step by step", ExperimentList(tuple(made))
    pair_seeds = tuple(range(_FIRST, _FIRST + size.pair_seeds))
    pairs = [
        OppositeNetworks(dim, SECOND, eta_rel, width, 200, pair_seeds)
        for dim, eta_rel, width in itertools.product(size.pair_dims, (0.25, 0.5), size.pair_widths)
    ]
    yield (
        "opposite-inputs",
        "1-bit networks on two opposite inputs, step by step, against width, d and rate",
        ExperimentList(tuple(pairs)),
    )
