"""The experiments behind the verdicts: which networks are trained and what is measured, at three sizes.

`quick` takes minutes and has short ranges; `standard` is what the documents cite; `thorough` is for narrower intervals.
A study is a run folder of its own (docs/runs.md), of whatever kind; claims name the studies they need.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ntk1bit.errors import require_choice
from ntk1bit.experiments import Experiment, ExperimentList, Specification, SweepSpec
from ntk1bit.experiments.at_start import AtStart, FlipProbability, LimitDistances, LimitsInDim, StepNoise
from ntk1bit.experiments.deep_spec import SCALING_PRESETS, SIMILARITY_PRESETS
from ntk1bit.experiments.feed_forward import FeedForward
from ntk1bit.experiments.language_spec import PRESETS as LANGUAGE_PRESETS
from ntk1bit.experiments.layer_variance import DRAWS, INPUTS, LayerVariance
from ntk1bit.statistics import ENOUGH_SEEDS
from proofs_numeric.ball_experiments import ball_experiments
from proofs_numeric.bitnet_studies import bitnet_studies
from proofs_numeric.deep_oscillation_studies import deep_oscillation_studies
from proofs_numeric.mean_field_studies import mean_field_studies
from proofs_numeric.small_studies import small_studies
from proofs_numeric.transformer_studies import transformer_studies

PRESETS = ("quick", "standard", "thorough")
RATES = (0.125, 0.25, 0.5, 1.0)  # eta_rel of the floor studies
TERM_RATES = (0.015625, 0.0625, 0.25, 1.0)  # eta_rel of the studies of C4
FLOOR_STEPS = (
    10_000  # long after the loss has plateaued, so that its mean over the last tenth is known to a few per cent
)
DATA_SETS = tuple(f"draws-{seed}" for seed in range(8))  # the same study on data drawn anew
FLOOR_DATA_SETS = tuple(f"floor-draws-{seed}" for seed in range(8))
FUNCTIONS = ("f1", "f2", "f3", "f4", "f5", "f6")
_FEED_FORWARD = {  # widths and steps; the loss has plateaued after about 20,000 steps at eta_rel = 1
    "quick": ((64, 256, 1024), 5_000),
    "standard": ((64, 128, 256, 512, 1024, 2048, 4096), 20_000),
    "thorough": ((64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384), 20_000),
}

LIMIT_SAMPLES = 4_000_000  # neurons for the 1-bit limit: its error is 1/16 of the distance at width 16384


@dataclass(frozen=True)
class Study:
    """One experiment.

    Attributes
    ----------
    name
        What claims call it.
    purpose
        What it is for, in a sentence.
    specification
        What is run: a sweep, language models, or a list of experiments.
    """

    name: str
    purpose: str
    specification: Specification


@dataclass(frozen=True)
class Size:
    """How large the experiments of a preset are.

    Attributes
    ----------
    widths, coarse
        Widths of the main studies, and of those with many other axes.
    law
        Width of the studies of the floor law, which has its own exponent in m elsewhere.
    dims
        Input dimensions.
    seeds
        Networks at each setting.
    draws
        Random initialisations at each setting, for studies without training.
    """

    widths: tuple[int, ...]
    coarse: tuple[int, ...]
    law: int
    dims: tuple[int, ...]
    seeds: int
    draws: int


_SIZES = {
    "quick": Size(_powers := (64, 128, 256, 512, 1024), (64, 256, 1024, 2048), 1024, (8, 32, 64, 128), 5, 80),
    "standard": Size(
        (*_powers, 2048, 4096, 8192, 16384), (64, 256, 1024, 4096, 16384), 4096, (8, 16, 32, 64, 128, 256, 512), 8, 80
    ),
    "thorough": Size(
        (*_powers, 2048, 4096, 8192, 16384, 32768, 65536),
        (64, 256, 1024, 4096, 16384, 65536),
        16384,
        (8, 16, 32, 64, 128, 256, 512, 1024),
        24,
        400,
    ),
}


def studies(preset: str) -> dict[str, Study]:
    """Return the studies of a preset by name.

    Raises
    ------
    InputError
        For an unknown preset.
    """
    require_choice("preset", preset, PRESETS)
    size = _SIZES[preset]
    made = [
        _digits(size),
        _mid_training(size),
        _first_steps(size),
        *_floors(size),
        *_gaps(size),
        _points(size),
        _functions(size),
        *_terms(size),
        *_at_start(size),
        _feed_forward(preset, size),
        *_deep(preset),
        _language(preset),
        _layer_variance(preset, size),
        *(Study(*planned) for planned in small_studies(preset)),
        *(_measured(name, *planned) for name, planned in ball_experiments(preset).items()),
        *(Study(*planned) for planned in mean_field_studies(preset)),
        *(Study(*planned) for planned in deep_oscillation_studies(preset)),
        *(Study(*planned) for planned in transformer_studies(preset)),
        *(Study(*planned) for planned in bitnet_studies(preset)),
    ]
    return {one.name: one for one in made}


def _digits(size: Size) -> Study:
    return Study(
        "digits",
        "even against odd digits, both inits and precisions, against the predictions of H and K_eff",
        SweepSpec(
            widths=size.widths,
            inits=("iid", "paired"),
            seeds=tuple(range(size.seeds)),
            steps=1000,
            predictions=True,
        ),
    )


def _mid_training(size: Size) -> Study:
    return Study(
        "mid-training",
        "random labels on the sphere, the loss at steps 81 to 120, against width",
        SweepSpec(
            widths=(*size.coarse[1:], 4 * max(size.coarse)),
            tasks=("sphere-random",),
            dims=(16,),
            n_train=(32,),
            n_test=1,
            precisions=("one_bit",),
            inits=("paired",),
            seeds=tuple(range(size.seeds)),
            steps=120,
            eta_rel=0.5,
            checkpoints=4,
        ),
    )


def _first_steps(size: Size) -> Study:
    return Study(
        "first-steps",
        "outputs of many 1-bit networks after ten steps, on random labels on the sphere and on digits, against width",
        SweepSpec(
            widths=size.coarse[1:],
            tasks=("sphere-random", "digits"),
            dims=(64,),
            n_train=(16,),
            n_test=1,
            precisions=("one_bit",),
            inits=("paired",),
            seeds=tuple(range(1000, 1000 + 5 * size.draws)),
            steps=10,
            eta_rel=0.5,
            checkpoints=2,
        ),
    )


def _floors(size: Size) -> list[Study]:
    def plateau(**settings: Any) -> SweepSpec:
        chosen: dict[str, Any] = {
            "tasks": ("sphere-random",),
            "dims": (64,),
            "n_train": (32,),
            "n_test": 256,
            "inits": ("paired",),
            "seeds": tuple(range(size.seeds)),
            "steps": FLOOR_STEPS,
            "eta_rel": 0.5,
        }
        return SweepSpec(**(chosen | settings))

    # twice the seeds: each of these exponents comes from a few values of its variable at one width
    only: dict[str, Any] = {
        "precisions": ("one_bit",),
        "widths": (size.law,),
        "seeds": tuple(range(2 * size.seeds)),
    }
    dims = tuple(dim for dim in size.dims if 32 <= dim <= 256)
    return [
        Study(
            "floor",
            "random labels on the sphere, trained until the loss has plateaued, against width",
            plateau(widths=size.widths),
        ),
        Study(
            "floor-digits",
            "32 digits, trained until the loss has plateaued, against width",
            plateau(widths=size.widths, tasks=("digits",), dims=()),
        ),
        Study(
            "floor-points",
            "the floor against the number of points n",
            plateau(**only, n_train=(8, 16, 32, 64)),
        ),
        Study("floor-dims", "the floor against the dimension d", plateau(**only, n_train=(16,), dims=dims, steps=4000)),
        Study("floor-kappas", "the floor against kappa", plateau(**only, kappas=(0.25, 0.5, 1.0))),
        *(
            Study(f"floor-rate-{rate:g}", f"the floor at eta_rel = {rate:g}", plateau(**only, eta_rel=rate))
            for rate in RATES
        ),
        *(
            Study(
                name,
                f"1-bit losses and outputs late in training, random labels on the sphere drawn by seed {seed}",
                plateau(
                    widths=size.widths[-4:],
                    precisions=("one_bit",),
                    seeds=tuple(range(100, 100 + max(size.seeds // 2, ENOUGH_SEEDS))),
                    data_seed=seed,
                ),
            )
            for seed, name in enumerate(FLOOR_DATA_SETS)
        ),
    ]


def _gaps(size: Size) -> list[Study]:
    seeds = tuple(range(size.seeds))
    return [
        *(
            Study(
                name,
                f"both precisions and inits against width, with data drawn by seed {seed}: networks crossed with data",
                SweepSpec(
                    widths=size.coarse[1:],
                    tasks=("sphere-linear",),
                    dims=(64,),
                    n_train=(64,),
                    n_test=256,
                    inits=("iid", "paired"),
                    seeds=tuple(range(min(size.seeds, 6))),
                    steps=300,
                    checkpoints=20,
                    predictions=True,
                    data_seed=seed,
                ),
            )
            for seed, name in enumerate(DATA_SETS)
        ),
        Study(
            "gap-dims",
            "1-bit against full precision, both inits, against width and dimension",
            SweepSpec(
                widths=size.coarse[1:],
                tasks=("sphere-linear",),
                dims=size.dims,
                n_train=(64,),
                n_test=256,
                inits=("iid", "paired"),
                seeds=seeds,
                steps=300,
                checkpoints=20,
            ),
        ),
        Study(
            "gap-points",
            "1-bit against full precision, both inits, against the number of points n",
            SweepSpec(
                widths=(min(1024, size.coarse[-1]),),
                tasks=("sphere-linear",),
                dims=(64,),
                n_train=(16, 32, 64, 128, 256),
                n_test=256,
                inits=("iid", "paired"),
                seeds=seeds,
                steps=300,
                checkpoints=20,
            ),
        ),
        Study(
            "gap-kappas",
            "1-bit against full precision, both inits, against kappa",
            SweepSpec(
                widths=tuple(width for width in size.coarse[1:] if width <= 4096),
                n_train=(64,),
                n_test=256,
                inits=("iid", "paired"),
                kappas=(0.1, 0.3, 1.0),
                seeds=seeds,
                steps=500,
                checkpoints=20,
            ),
        ),
    ]


def _points(size: Size) -> Study:
    return Study(
        "points",
        "digits, both precisions, against the number of training points",
        SweepSpec(
            widths=(1024,),
            n_train=(32, 64, 128, 256, 512),
            inits=("paired",),
            seeds=tuple(range(size.seeds)),
            steps=500,
            checkpoints=10,
        ),
    )


def _functions(size: Size) -> Study:
    return Study(
        "functions",
        "D25's f1..f6 and a linear function on the sphere, both inits and precisions, against width",
        SweepSpec(
            widths=size.coarse,
            tasks=(*FUNCTIONS, "sphere-linear"),
            n_train=(100,),
            n_test=256,
            inits=("iid", "paired"),
            seeds=tuple(range(min(size.seeds, 5))),
            steps=1000,
            checkpoints=20,
        ),
    )


def _terms(size: Size) -> list[Study]:
    common: dict[str, Any] = {
        "inits": ("paired",),
        "seeds": tuple(range(size.seeds)),
        "n_test": 1,
        "checkpoints": 16,
        "terms": True,
    }
    sphere: dict[str, Any] = common | {"tasks": ("sphere-linear",), "n_train": (64,), "precisions": ("one_bit",)}
    wide = tuple(width for width in (1024, 4096, 16384) if width <= max(size.widths)) or (max(size.widths),)
    return [
        Study(
            "terms",
            "the four terms of each step on digits, both precisions, against width",
            SweepSpec(widths=size.widths, steps=100, eta_rel=0.25, **common),
        ),
        Study(
            "terms-dims",
            "the four terms against width and dimension",
            SweepSpec(widths=wide, dims=size.dims, steps=8, eta_rel=0.25, **sphere),
        ),
        *(
            Study(
                f"terms-rate-{rate:g}",
                f"the four terms at eta_rel = {rate:g}, for the same eta x steps",
                SweepSpec(widths=(max(wide),), dims=(32,), steps=round(4 / rate), eta_rel=rate, **sphere),
            )
            for rate in TERM_RATES
        ),
    ]


def _at_start(size: Size) -> list[Study]:
    widths, drawn = size.coarse, "for networks as they are drawn, without training"
    start = [
        *_each(AtStart, dim=size.dims, width=widths, n_train=(64,), draws=(size.draws,)),
        *_each(AtStart, dim=(32,), width=widths, n_train=(16, 256), draws=(size.draws,)),
    ]
    flips = _each(
        FlipProbability,
        dim=size.dims,
        radius=(3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
        seed=tuple(range(5)),
        neurons=(20_000,),
    )
    limits = _each(
        LimitDistances,
        task=("digits", "sphere-linear"),
        precision=("one_bit", "full"),
        widths=(size.widths,),
        draws=(max(size.draws // 8, 10),),
        samples=(LIMIT_SAMPLES,),
    )
    of_data = _each(
        LimitDistances,
        task=("sphere-linear",),
        precision=("one_bit", "full"),
        widths=(widths[1:],),
        draws=(10,),
        samples=(LIMIT_SAMPLES // 4,),
        data_seed=tuple(range(11, 19)),  # a trial run with data of seeds 1 to 8 had five networks and could not tell
    )
    dims = tuple(sorted({4, *size.dims}))
    in_dim = _each(LimitsInDim, dim=dims, scale=("std", "absmean"), samples=(LIMIT_SAMPLES // 2,))
    noise = _each(StepNoise, dim=size.dims, width=widths[1:], seed=tuple(range(5)), networks=(48,))
    fresh = tuple(range(100, 110))  # networks that the trial runs behind the claim did not see
    many = _each(StepNoise, dim=(32,), width=(1024, 4096, 16384)[: len(widths) - 1], seed=fresh, networks=(500,))
    return [
        _measured("start", f"weights, outputs and quantisation differences {drawn}", start),
        _measured("flips", f"how often a small move can change an activity, {drawn}", flips),
        _measured("limits", f"the distance of H(0) to its limit, {drawn}", limits),
        _measured("limits-draws", f"the same distance on data sets drawn anew, {drawn}", of_data),
        _measured("limits-dims", "the infinite-width kernels against d", in_dim),
        _measured("noise-many", "the mean of one step over thousands of networks", many),
        _measured("noise", "the scatter of one step over independent networks", noise),
    ]


def _feed_forward(preset: str, size: Size) -> Study:
    widths, steps = _FEED_FORWARD[preset]
    seeds = tuple(range(min(size.seeds, 12)))
    parts = tuple(seeds[start : start + 4] for start in range(0, len(seeds), 4))
    return _measured(
        "feed-forward",
        "one feed-forward layer of a 1-bit Transformer block on real text, against width",
        _each(FeedForward, width=widths, precision=("one_bit", "full"), seeds=parts, steps=(steps,)),
    )


def _deep(preset: str) -> list[Study]:
    smaller = {"quick": "smoke", "standard": "quick", "thorough": "standard"}[preset]
    return [
        Study(
            "deep-scaling",
            "deep MLPs on f1..f6, both precisions and two depths, against size (D25, Fig. 1)",
            SCALING_PRESETS[smaller],
        ),
        Study(
            "deep-similarity",
            "1-bit and full-precision MLPs on functions of one variable, epoch by epoch (D25, Fig. 2 and 3)",
            SIMILARITY_PRESETS[smaller],
        ),
    ]


def _language(preset: str) -> Study:
    spec = LANGUAGE_PRESETS["smoke" if preset == "quick" else preset]
    spec = replace(spec, form="rounded", surrogate="identity")  # ours; BitNet as written has studies of its own
    return Study("language", "Transformers on text in full precision and 1-bit, against size", spec)


def _layer_variance(preset: str, size: Size) -> Study:
    widths = {"quick": (256,), "standard": (256, 1024), "thorough": (256, 1024, 4096)}[preset]
    return _measured(
        "layer-variance",
        "the variance that leaves W23's layer as it is drawn, with and without SubLN, for three initialisations",
        _each(
            LayerVariance,
            init=tuple(DRAWS),
            inputs=INPUTS,
            size=(1.0, 4.0),
            width=widths,
            layers=(8,),
            seeds=(tuple(range(size.seeds)),),
        ),
    )


def _each(kind: type[Experiment], **axes: tuple[Any, ...]) -> Iterator[Experiment]:
    """Give the experiments of a kind at all combinations of the values of its fields."""
    for values in itertools.product(*axes.values()):
        yield kind(**dict(zip(axes, values, strict=True)))


def _measured(name: str, purpose: str, experiments: Iterable[Experiment]) -> Study:
    return Study(name, purpose, ExperimentList(tuple(experiments)))
