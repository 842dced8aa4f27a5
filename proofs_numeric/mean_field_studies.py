"""The studies of the mean field: networks whose outputs are kept at every step, its recursion, two opposite inputs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ntk1bit.experiments import (
    AlternatingGain,
    ExperimentList,
    FloorOnTask,
    MeanFieldOnTask,
    OppositeNetworks,
    OscillationOnTask,
    Specification,
    SpreadOnTask,
    SweepSpec,
)

_FIRST = 300  # seeds below are those of other studies and of trial runs
_AFRESH = 10_000  # of what a first run, of seeds from 300 on, could not tell
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
    eta_rel
        As in a sweep.
    share
        Of the networks that C11 asks for at most: losses of some settings scatter more than others.
    """

    name: str
    task: str
    dim: int
    n_train: int
    words: str
    eta_rel: float = ETA_REL
    share: float = 0.2


SETTINGS = (
    Setting("sphere16", "sphere-random", 16, 32, "random labels, n = 32, d = 16", share=1.0),
    Setting("sphere32", "sphere-random", 32, 64, "random labels, n = 64, d = 32", share=0.5),
    Setting("sphere64", "sphere-random", 64, 32, "random labels, n = 32, d = 64"),
    Setting("digits", "digits", 0, 64, "digits, n = 64"),
)
SIX = (
    *SETTINGS,
    Setting("sphere32wide", "sphere-random", 32, 128, "random labels, n = 128, d = 32, eta_rel = 0.25", 0.25),
    Setting("sphere256", "sphere-random", 256, 16, "random labels, n = 16, d = 256, eta_rel = 1", 1.0),
)
LONG = SETTINGS[0]  # followed to the time when its oscillation has passed
SPREAD_SETTINGS = (
    Setting("linear64", "sphere-linear", 64, 64, "a linear function, n = 64, d = 64"),
    Setting("linear128", "sphere-linear", 128, 64, "a linear function, n = 64, d = 128"),
    Setting("random64", "sphere-random", 64, 32, "random labels, n = 32, d = 64"),
)
PHASES, SPREADS, GAINS = "phases", "spreads", "alternating-gains"
GAIN_STEPS = (5, 10, 20, 40, 60, *range(82, 120, 4))
PHASE_POINTS, PHASE_DIMS = (16, 32, 64, 128), (8, 16, 32, 64, 128)


@dataclass(frozen=True)
class FloorSetting:
    """Random labels on the sphere, whose floor is held against that of the process.

    Attributes
    ----------
    n_train, dim, eta_rel
        As in a sweep.
    afresh
        How many times as many networks and processes as elsewhere, all of them others; 0 for as many.
    wider
        How many times as wide; then networks and processes are others once more.
    """

    n_train: int
    dim: int
    eta_rel: float
    afresh: int = 0
    wider: int = 1

    @property
    def name(self) -> str:
        """What measures call it."""
        return f"n{self.n_train}.d{self.dim}.{self.eta_rel:g}"

    @property
    def words(self) -> str:
        """What it is."""
        return f"n = {self.n_train}, d = {self.dim}, eta_rel = {self.eta_rel:g}"


FLOORS = (
    FloorSetting(16, 32, 0.25),
    FloorSetting(32, 64, 0.5),
    FloorSetting(32, 16, 0.5, afresh=4),
    FloorSetting(16, 32, 1.0, afresh=4, wider=4),
    FloorSetting(64, 64, 0.5),
    FloorSetting(32, 32, 0.25),
)
AGED = FLOORS[:3]


@dataclass(frozen=True)
class _Size:
    widths: tuple[int, ...]
    seeds: int
    fresh: int
    steps: int
    long: int
    particles: int
    at_rates: int
    pair_dims: tuple[int, ...]
    pair_widths: tuple[int, ...]
    pair_seeds: int
    floors: tuple[int, int, int, int, int, int]  # width, networks, steps; replicates and steps of a process; particles
    aged: tuple[int, int]  # networks, steps
    spread: tuple[int, int, int, int, int]  # width, networks, steps, test inputs, samples
    phases: tuple[int, int, int, int]  # data sets, width, particles; values of n and of d


_WIDE = (1024, 4096, 16384, 65536)
_SIZES = {
    "quick": _Size(
        widths=(64, 128, 256, 512),
        seeds=5,
        fresh=5,
        steps=120,
        long=400,
        particles=40_000,
        at_rates=512,
        pair_dims=(8, 16, 32),
        pair_widths=(256, 1024),
        pair_seeds=5,
        floors=(256, 6, 60, 5, 60, 6000),
        aged=(5, 120),
        spread=(256, 5, 60, 16, 4000),
        phases=(5, 256, 6000, 2),
    ),
    "standard": _Size(
        widths=_WIDE,
        seeds=8,
        fresh=160,
        steps=120,
        long=400,
        particles=4_000_000,
        at_rates=16384,
        pair_dims=(8, 16, 32),
        pair_widths=(16384, 65536, 262144),
        pair_seeds=12,
        floors=(4096, 256, 1500, 256, 1500, 200_000),
        aged=(16, 4000),
        spread=(4096, 32, 2000, 128, 400_000),
        phases=(5, 16384, 400_000, 5),
    ),
    "thorough": _Size(
        widths=(*_WIDE, 262144),
        seeds=16,
        fresh=320,
        steps=120,
        long=400,
        particles=16_000_000,
        at_rates=65536,
        pair_dims=(8, 16, 32),
        pair_widths=(65536, 262144, 1048576),
        pair_seeds=24,
        floors=(16384, 1024, 3000, 1024, 3000, 1_000_000),
        aged=(64, 16_000),
        spread=(16384, 64, 4000, 256, 2_000_000),
        phases=(10, 65536, 2_000_000, 5),
    ),
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
    fresh_steps = {setting.name: round(size.steps * max(1.0, ETA_REL / setting.eta_rel)) for setting in SIX}
    for setting in SIX:
        count = max(5, round(size.fresh * setting.share))
        yield (
            f"limit-fresh-{setting.name}",
            f"other 1-bit networks, and more, step by step: {setting.words}",
            networks(
                setting, fresh_steps[setting.name], eta_rel=setting.eta_rel, activities=("straight_through",),
                seeds=tuple(range(_AFRESH, _AFRESH + count)),
            ),
        )  # fmt: skip
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
            limits(setting, fresh_steps[setting.name], "straight_through", setting.eta_rel)
            for setting in SIX
            if setting not in SETTINGS
        ),
        *(
            limits(LONG, round(size.steps * ETA_REL / rate), "straight_through", rate)
            for rate in RATES
            if rate != ETA_REL
        ),
    ]
    yield "mean-fields", "the limit of 1-bit training at infinite width, step by step", ExperimentList(tuple(made))
    pair_seeds = tuple(range(_AFRESH, _AFRESH + size.pair_seeds))
    pairs = [
        OppositeNetworks(dim, SECOND, eta_rel, width, 240, pair_seeds)
        for dim, eta_rel, width in itertools.product(size.pair_dims, (0.25, 0.5), size.pair_widths)
    ]
    yield (
        "opposite-inputs",
        "1-bit networks on two opposite inputs, step by step, against width, d and rate",
        ExperimentList(tuple(pairs)),
    )
    gain_seeds = tuple(range(_FIRST, _FIRST + size.seeds))
    yield (
        GAINS,
        "how a residual is answered along the direction that alternates, step by step",
        ExperimentList(
            tuple(
                AlternatingGain(one.task, one.dim, one.n_train, one.eta_rel, width, gain_seeds, GAIN_STEPS)
                for one, width in itertools.product(SETTINGS, size.widths)
            )
        ),
    )
    yield (
        "averaged-digits",
        "both precisions step by step on digits, outputs on training and test inputs, against width",
        networks(
            Setting("digits128", "digits", 0, 128, ""), size.steps, n_test=256, precisions=("one_bit", "full"),
            activities=("straight_through",), widths=size.widths[:3],
        ),
    )  # fmt: skip
    yield from _predictions(size)


def _predictions(size: _Size) -> Iterator[tuple[str, str, Specification]]:
    width, networks, steps, replicates, process_steps, particles = size.floors
    floor_seeds = tuple(range(_FIRST, _FIRST + networks))

    def floor(one: FloorSetting, activity: str, seeds: tuple[int, ...], steps: int, settling: int = 0) -> FloorOnTask:
        processes, seed = replicates, 0
        if one.afresh and activity == "frozen":
            seed = _AFRESH if one.wider == 1 else 2 * _AFRESH
            seeds = tuple(range(seed, seed + one.afresh * len(seeds)))
            processes *= one.afresh
        return FloorOnTask(
            "sphere-random", one.dim, one.n_train, one.eta_rel, activity, one.wider * width, seeds, steps, processes,
            process_steps, settling, particles, seed,
        )  # fmt: skip

    yield (
        "floors-frozen",
        "floors of networks with frozen patterns beside those of a Poisson process",
        ExperimentList(tuple(floor(one, "frozen", floor_seeds, steps) for one in FLOORS)),
    )
    count, long = size.aged
    aged = [floor(one, "straight_through", floor_seeds[:count], long, long // 8) for one in AGED]
    yield "floors-aged", "straight-through floors over time beside those of a process", ExperimentList(tuple(aged))
    width, networks, steps, tests, samples = size.spread
    for one in SPREAD_SETTINGS:
        yield (
            f"spread-{one.name}",
            f"outputs of trained networks off their training inputs: {one.words}",
            SweepSpec(
                widths=(width,),
                tasks=(one.task,),
                dims=(one.dim,),
                n_train=(one.n_train,),
                n_test=tests,
                inits=("paired",),
                seeds=tuple(range(_FIRST, _FIRST + networks)),
                steps=steps,
                eta_rel=ETA_REL,
                checkpoints=2,
                activities=("straight_through", "frozen"),
            ),
        )
    predicted = [SpreadOnTask(one.task, one.dim, one.n_train, tests, samples) for one in SPREAD_SETTINGS]
    yield SPREADS, "means and variances of trained outputs, predicted", ExperimentList(tuple(predicted))
    sets, width, particles, some = size.phases
    data_seeds = tuple(range(_FIRST, _FIRST + sets))
    phases = [
        OscillationOnTask("sphere-random", dim, points, ETA_REL, data_seeds, 81, 120, width, particles)
        for points, dim in itertools.product(PHASE_POINTS[:some], PHASE_DIMS[:some])
    ]
    yield (
        PHASES,
        "the alternating part of the loss over n and d, in the limit and in networks",
        ExperimentList(tuple(phases)),
    )
