"""The experiments behind the verdicts: which networks are trained and what is measured, at three sizes.

`quick` takes minutes and has short ranges; `standard` is what the documents cite; `thorough` is for narrower intervals.
A study is a sweep of two-layer networks (docs/runs.md), one of language models (docs/language.md), or a list of
measurements; claims name the studies they need.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ntk1bit.energy.published import SIZES
from ntk1bit.errors import require_choice
from ntk1bit.experiments import Measurement, SweepSpec
from ntk1bit.experiments.deep_spec import measurements as deep_measurements
from ntk1bit.experiments.language_spec import PRESETS as LANGUAGE_PRESETS
from ntk1bit.experiments.language_spec import LanguageSpec

PRESETS = ("quick", "standard", "thorough")
RATES = (0.125, 0.25, 0.5, 1.0)  # eta_rel of the floor studies
TERM_RATES = (0.015625, 0.0625, 0.25, 1.0)  # eta_rel of the studies of C4
FLOOR_STEPS = 10_000  # long after the loss is level, so that its mean over the last third is known to a few per cent
FUNCTIONS = ("f1", "f2", "f3", "f4", "f5", "f6")
_FEED_FORWARD = {  # widths and steps; the loss is level after about 20,000 steps at eta_rel = 1
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
    sweep
        The two-layer networks to train; None for another kind of study.
    measurements
        What to measure; empty for another kind.
    language
        The language models to train; None for another kind.
    """

    name: str
    purpose: str
    sweep: SweepSpec | None = None
    measurements: tuple[Measurement, ...] = ()
    language: LanguageSpec | None = None


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
    "quick": Size(_powers := (64, 128, 256, 512, 1024), (64, 256, 1024, 2048), 1024, (8, 32, 64, 128), 5, 10),
    "standard": Size(
        (*_powers, 2048, 4096, 8192, 16384), (64, 256, 1024, 4096, 16384), 4096, (8, 16, 32, 64, 128, 256, 512), 8, 20
    ),
    "thorough": Size(
        (*_powers, 2048, 4096, 8192, 16384, 32768, 65536),
        (64, 256, 1024, 4096, 16384, 65536),
        16384,
        (8, 16, 32, 64, 128, 256, 512, 1024),
        24,
        100,
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
        *_floors(size),
        *_gaps(size),
        _points(size),
        _functions(size),
        *_terms(size),
        *_at_start(size),
        _feed_forward(preset, size),
        *_deep(preset),
        _language(preset),
        _energy(),
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


def _floors(size: Size) -> list[Study]:
    def level(**settings: Any) -> SweepSpec:
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
        Study("floor", "random labels on the sphere, trained until level, against width", level(widths=size.widths)),
        Study(
            "floor-digits",
            "32 digits, trained until level, against width",
            level(widths=size.widths, tasks=("digits",), dims=()),
        ),
        Study(
            "floor-points",
            "the floor against the number of points n",
            level(**only, n_train=(8, 16, 32, 64)),
        ),
        Study("floor-dims", "the floor against the dimension d", level(**only, n_train=(16,), dims=dims, steps=4000)),
        Study("floor-kappas", "the floor against kappa", level(**only, kappas=(0.25, 0.5, 1.0))),
        *(
            Study(f"floor-rate-{rate:g}", f"the floor at eta_rel = {rate:g}", level(**only, eta_rel=rate))
            for rate in RATES
        ),
    ]


def _gaps(size: Size) -> list[Study]:
    seeds = tuple(range(size.seeds))
    return [
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
    def calls(name: str, axes: dict[str, tuple[Any, ...]], cost: Callable[[dict[str, Any]], float], **fixed: Any):
        for values in itertools.product(*axes.values()):
            settings = dict(zip(axes, values, strict=True)) | fixed
            yield Measurement(f"ntk1bit.experiments.at_start:{name}", tuple(settings.items()), cost(settings))

    widths = size.coarse
    start = [
        *calls(
            "at_start",
            {"dim": size.dims, "width": widths, "n_train": (64,)},
            lambda s: 1e-9 * s["dim"] * s["width"] * size.draws,
            draws=size.draws,
        ),
        *calls(
            "at_start",
            {"dim": (32,), "width": widths, "n_train": (16, 256)},
            lambda s: 1e-9 * s["dim"] * s["width"] * size.draws,
            draws=size.draws,
        ),
    ]
    flips = calls(
        "flip_probability",
        {"dim": size.dims, "radius": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2), "seed": tuple(range(5))},
        lambda s: 1e-2 * s["dim"],
        neurons=20_000,
    )
    limits = calls(
        "limit_distances",
        {"task": ("digits", "sphere-linear"), "precision": ("one_bit", "full")},
        lambda _: 1e-3 * sum(size.widths),
        widths=size.widths,
        draws=max(size.draws // 2, 10),
        samples=LIMIT_SAMPLES,
    )
    in_dim = calls(
        "limits_in_dim",
        {"dim": tuple(sorted({4, *size.dims})), "scale": ("std", "absmean")},
        lambda s: 2.0 + 0.05 * s["dim"],
        samples=LIMIT_SAMPLES // 2,
    )
    noise = calls(
        "step_noise",
        {"dim": size.dims, "width": size.coarse[1:], "seed": tuple(range(5))},
        lambda s: 1.0 + 2e-6 * s["width"] * s["dim"],
        networks=48,
    )
    drawn = "for networks as they are drawn, without training"
    return [
        Study("start", f"weights, outputs and quantisation differences {drawn}", measurements=tuple(start)),
        Study("flips", f"how often a small move can change an activity, {drawn}", measurements=tuple(flips)),
        Study("limits", f"the distance of H(0) to its limit, {drawn}", measurements=tuple(limits)),
        Study("limits-dims", "the infinite-width kernels against d", measurements=tuple(in_dim)),
        Study("noise", "the scatter of one step over independent networks", measurements=tuple(noise)),
    ]


def _feed_forward(preset: str, size: Size) -> Study:
    widths, steps = _FEED_FORWARD[preset]
    seeds = tuple(range(min(size.seeds, 12)))
    parts = [seeds[start : start + 4] for start in range(0, len(seeds), 4)]
    calls = [
        Measurement(
            "ntk1bit.networks.feed_forward:feed_forward_descent",
            (("width", width), ("precision", precision), ("seeds", part), ("steps", steps), ("eta_rel", 1.0)),
            2e-7 * width * steps * len(part),
        )
        for width in widths
        for precision in ("one_bit", "full")
        for part in parts
    ]
    return Study(
        "feed-forward",
        "one feed-forward layer of a 1-bit Transformer block on real text, against width",
        measurements=tuple(calls),
    )


def _language(preset: str) -> Study:
    spec = LANGUAGE_PRESETS[{"quick": "smoke", "standard": "standard", "thorough": "thorough"}[preset]]
    return Study("language", "Transformers on text in full precision and 1-bit, against size", language=spec)


def _deep(preset: str) -> list[Study]:
    size = {"quick": "smoke", "standard": "quick", "thorough": "standard"}[preset]
    return [
        Study(
            "deep-scaling",
            "deep MLPs on f1..f6, both precisions and two depths, against size (D25, Fig. 1)",
            measurements=deep_measurements(1, size),
        ),
        Study(
            "deep-similarity",
            "1-bit and full-precision MLPs on functions of one variable, epoch by epoch (D25, Fig. 2 and 3)",
            measurements=deep_measurements(3, size),
        ),
    ]


def _energy() -> Study:
    function = "ntk1bit.energy.published:measure_energy"
    names = ("layers", "width", "tokens", "heads", "vocabulary")
    sizes = [tuple((name, getattr(shape, name)) for name in names) for shape in SIZES.values()]
    return Study(
        "energy",
        "operations, energy and memory of W23's eight sizes, counted",
        measurements=tuple(Measurement(function, one, 0.1, version=2) for one in sizes),
    )
