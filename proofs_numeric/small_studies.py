"""Cheap studies of D25's theorems and figures: small networks, seeds that no other study uses.

A study is given as its name, its purpose and what is run, for `studies.studies` to make a `Study` of. All of them
together take about ten minutes of two cores at `standard`, and a minute at `quick`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ntk1bit.data.cubes_and_curves import CURVES
from ntk1bit.experiments import Experiment, ExperimentList, Specification, SweepSpec
from ntk1bit.experiments.deep_spec import DeepSimilaritySpec
from ntk1bit.experiments.feed_forward import FeedForward
from ntk1bit.experiments.input_pairs import THEOREM, InputPairs
from ntk1bit.experiments.kernel_spectra import KernelSpectra
from ntk1bit.experiments.layer_ratios import QUANTISERS, LayerRatios
from ntk1bit.experiments.sign_reversals import SignReversals
from ntk1bit.experiments.surrogate_kernels import SurrogateKernels

RIGHT = math.pi / 2
BASE_ANGLE, BASE_DIM, BASE_POINTS = 0.8, 32, 8  # what is held where another of the three is varied
RATE_DELTA, RATE_EPS = 0.1, 0.01  # of the networks at the theorem's own rate
_FIRST = 40  # seeds below are those of other studies and of trial runs
_AFRESH = 60  # of layer ratios, whose first 16 networks, from 40 on, could not tell


@dataclass(frozen=True)
class _Size:
    """How large the studies of a preset are; `blocks` and `block` count networks of the quantiles over seeds."""

    angles: tuple[float, ...]
    dims: tuple[int, ...]
    points: tuple[int, ...]
    pair_widths: tuple[int, ...]
    seeds: int
    blocks: int
    block: int
    rate: tuple[int, int, float, int]  # width, dim, delta, networks
    losses: tuple[tuple[int, ...], int, tuple[int, ...]]  # widths, steps, n
    gaps: tuple[tuple[int, ...], tuple[int, ...], int, tuple[int, ...]]  # widths, dims, steps; widest widths
    layer: tuple[tuple[int, ...], tuple[int, ...], int, int]  # factors of the settings, widths, steps, networks
    curves: tuple[tuple[int, ...], int, tuple[str, ...]]  # sizes k, epochs, functions
    surrogates: tuple[int, ...]  # widths
    spectra: int  # width
    reversals: tuple[int, ...]  # widths
    ratios: tuple[tuple[int, ...], int]  # widths, networks


_STANDARD = _Size(
    angles=(0.1, 0.2, 0.4, 0.8, RIGHT),
    dims=(8, 16, 32, 64, 128),
    points=(2, 4, 8, 16, 32),
    pair_widths=(64, 128, 256, 512),
    seeds=8,
    blocks=8,
    block=20,
    rate=(256, 8, RATE_DELTA, 48),
    losses=((64, 128, 256, 512, 1024, 2048, 4096), 2000, (8, 16, 32, 64, 128, 256)),
    gaps=((256, 1024, 4096), (8, 32, 128), 200, (256, 1024, 4096, 16384)),
    layer=((1, 2, 4), (64, 256, 1024), 2000, 16),
    curves=((10, 32, 100), 50, CURVES),
    surrogates=(64, 256, 1024, 2048, 4096, 8192, 16384),
    spectra=65536,
    reversals=(512, 1024, 2048, 4096, 8192),
    ratios=((256, 1024), 48),
)
_SIZES = {
    "quick": _Size(
        angles=(0.4, 0.8, RIGHT),
        dims=(8, 32, 64),
        points=(4, 8, 16),
        pair_widths=(64, 128, 256),
        seeds=5,
        blocks=5,
        block=10,
        rate=(64, 4, 0.5, 8),
        losses=((64, 128, 256), 100, (8, 16, 32)),
        gaps=((64, 256), (8, 32), 20, (64, 256, 1024)),
        layer=((1,), (64, 128), 100, 5),
        curves=((4,), 4, CURVES[:1]),
        surrogates=(64, 128, 256, 512),
        spectra=4096,
        reversals=(64, 128, 256, 512),
        ratios=((32,), 5),
    ),
    "standard": _STANDARD,
    "thorough": _Size(
        angles=(0.05, *_STANDARD.angles),
        dims=(*_STANDARD.dims, 256),
        points=_STANDARD.points,
        pair_widths=(*_STANDARD.pair_widths, 1024, 2048),
        seeds=24,
        blocks=16,
        block=40,
        rate=(1024, 8, RATE_DELTA, 96),
        losses=((*_STANDARD.losses[0], 8192), 10_000, _STANDARD.losses[2]),
        gaps=((*_STANDARD.gaps[0], 16384), (8, 32, 128, 512), 1000, (*_STANDARD.gaps[3], 65536)),
        layer=((1, 2, 4), (64, 256, 1024, 4096), 10_000, 24),
        curves=((10, 32, 100, 316), 50, CURVES),
        surrogates=(64, 256, 1024, 4096, 8192, 16384, 32768, 65536),
        spectra=262144,
        reversals=(1024, 4096, 8192, 16384, 32768),
        ratios=((256, 1024, 4096), 64),
    ),
}


def small_studies(preset: str) -> Iterator[tuple[str, str, Specification]]:
    """Give the name, the purpose and the specification of each of these studies."""
    size = _SIZES[preset]
    seeds = tuple(range(_FIRST, _FIRST + size.seeds))
    yield from _pairs(size, seeds)
    yield from _sweeps(size, seeds[: {"quick": 3, "standard": 5, "thorough": 16}[preset]])
    yield "feed-forward-powers", "one feed-forward layer against width, windows, tokens and dimension", _layers(size)
    k, epochs, functions = size.curves
    spec = DeepSimilaritySpec(k, epochs, functions, seeds[: 10 if preset == "thorough" else 5])
    yield "curves", "both precisions on functions of one variable, epoch by epoch, fresh seeds", spec
    yield "surrogates", "kernels of networks as they are drawn, under several surrogates", _surrogates(size, seeds)
    yield (
        "spectra",
        "eigenvalues of kernels at the start, 1-bit, full precision and rounded at random",
        _spectra(size, seeds),
    )
    yield "sign-reversals", "signs that flip back in 1-bit training, step by step", _reversals(size, seeds)
    yield "layer-ratios", "how much of a straight-through step arrives, layer by layer", _ratios(size)


def _pairs(size: _Size, seeds: tuple[int, ...]) -> Iterator[tuple[str, str, Specification]]:
    def made(**settings: Any) -> list[Experiment]:
        base: dict[str, Any] = {"n_train": BASE_POINTS, "dim": BASE_DIM, "angle": BASE_ANGLE, "seeds": seeds}
        chosen: list[dict[str, Any]] = [base | {"width": width} | settings for width in size.pair_widths]
        return [InputPairs(**one) for one in chosen]

    def over(axis: str, values: Iterable[Any]) -> Specification:
        return ExperimentList(tuple(one for value in values for one in made(**{axis: value})))

    yield (
        "pairs-lambda",
        "the loss against width and the angle of pairs of inputs, which sets lambda",
        over("angle", size.angles),
    )
    yield "pairs-dims", "the loss against width and d, at one lambda", over("dim", size.dims)
    yield "pairs-points", "the loss against width and n, at one lambda", over("n_train", size.points)
    many = tuple(range(5000, 5000 + size.blocks * size.block))
    yield "pairs-delta", "the loss against width, many networks", ExperimentList(tuple(made(seeds=many)))
    width, dim, delta, networks = size.rate
    at_rate = InputPairs(
        2, dim, RIGHT, width, tuple(range(7000, 7000 + networks)), eta_rel=THEOREM, eps=RATE_EPS, delta=delta
    )
    yield "pairs-rate", "networks at the rate and for the steps of D25's Theorem 4.2", ExperimentList((at_rate,))
    last: dict[str, Any] = {"width": size.pair_widths[-1], "init": "paired"}
    axes = [("angle", size.angles), ("n_train", size.points), ("width", size.pair_widths)]
    rates = [made(**(last | {axis: value}))[0] for axis, values in axes for value in values]
    yield (
        "pairs-decay",
        "the rate at which the loss falls, against lambda, n and width",
        ExperimentList(tuple(dict.fromkeys(rates))),
    )


def _sweeps(size: _Size, seeds: tuple[int, ...]) -> Iterator[tuple[str, str, Specification]]:
    widths, steps, points = size.losses
    common: dict[str, Any] = {"seeds": seeds, "eta_rel": 0.5, "n_test": 1, "checkpoints": 2, "precisions": ("one_bit",)}
    yield (
        "loss-widths",
        "1-bit losses step by step on three data sets, iid start, against width",
        SweepSpec(
            widths=widths, tasks=("sphere-random", "sphere-quadratic", "digits"), n_train=(32,), steps=steps, **common
        ),
    )
    yield (
        "loss-points",
        "1-bit losses on two data sets, iid start, against the number of points n",
        SweepSpec(
            widths=(min(1024, max(widths)),), tasks=("sphere-random", "digits"), n_train=points, steps=steps, **common
        ),
    )
    narrow, dims, steps, wide = size.gaps
    yield (
        "gap-steps",
        "1-bit against full precision, iid start, every step recorded, against width, d and kappa",
        SweepSpec(
            widths=narrow,
            tasks=("sphere-linear",),
            dims=dims,
            n_train=(32,),
            n_test=32,
            kappas=(0.1, 1.0),
            seeds=seeds,
            steps=steps,
            checkpoints=steps + 1,
        ),
    )
    yield (
        "gap-sizes",
        "1-bit against full precision after training, iid start, on three data sets, against width",
        SweepSpec(
            widths=wide,
            tasks=("sphere-linear", "digits", "f2"),
            n_train=(32,),
            n_test=256,
            seeds=seeds,
            steps=300,
            checkpoints=2,
        ),
    )


def _layers(size: _Size) -> Specification:
    factors, widths, steps, networks = size.layer
    base: dict[str, Any] = {"sequences": 4, "positions": 4, "dim": 16}
    settings: list[dict[str, Any]] = [
        base | {name: value * factor} for name, value in base.items() for factor in factors
    ]
    seeds = tuple(range(_FIRST, _FIRST + networks))
    made = [FeedForward(width, "one_bit", steps, seeds, **one) for one in settings for width in widths]
    return ExperimentList(tuple(dict.fromkeys(made)))


def _surrogates(size: _Size, seeds: tuple[int, ...]) -> Specification:
    settings = [("sphere-linear", dim) for dim in (8, 32, 128)] + [("digits", 0)]
    return ExperimentList(
        tuple(SurrogateKernels(task, dim, 64, width, seeds) for task, dim in settings for width in size.surrogates)
    )


def _spectra(size: _Size, seeds: tuple[int, ...]) -> Specification:
    settings = [("sphere-linear", 3), ("sphere-linear", 4), ("digits", 0)]
    return ExperimentList(tuple(KernelSpectra(task, dim, 256, size.spectra, seeds) for task, dim in settings))


def _reversals(size: _Size, seeds: tuple[int, ...]) -> Specification:
    settings = [("sphere-random", 16), ("sphere-random", 64), ("digits", 0)]
    return ExperimentList(
        tuple(
            SignReversals(task, dim, 32, width, seeds, steps=300, frozen=frozen)
            for task, dim in settings
            for width in size.reversals
            for frozen in (False, True)
        )
    )


def _ratios(size: _Size) -> Specification:
    widths, networks = size.ratios
    seeds = tuple(range(_AFRESH, _AFRESH + networks))
    made = [LayerRatios(one, width, 16, 0.02 / math.sqrt(width), seeds) for one in QUANTISERS for width in widths]
    return ExperimentList(tuple(made))
