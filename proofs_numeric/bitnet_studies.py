"""The studies of W23's BitNet as it is written: its layer, its recipe and its baseline, at sizes that a laptop trains.

All share the text, the recipe of W23's Tables 5 to 8 (`ntk1bit.training.language`) and the form `w23` of the layer,
unless their name says otherwise. W23's baseline is an FP16 Transformer with Pre-LN: the arm `fp16-preln`. Each arm,
form and number of groups has a rate of its own at each size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from ntk1bit.claims import Reach
from ntk1bit.experiments import ExperimentList, Specification
from ntk1bit.experiments.language_spec import LanguageSpec
from ntk1bit.experiments.stability_spec import StabilitySpec
from ntk1bit.experiments.update_flips import UpdateFlips
from ntk1bit.networks.post_training.methods import METHODS
from ntk1bit.networks.transformer_shape import parse_size

BASELINE, BITNET = "fp16-preln", "bitnet"
ABLATED = ("full", "full-preln", "fp16", BASELINE, BITNET, "bitnet-preln", "elastic", "elastic-preln")
AFTERWARDS = (*(name for name, method in METHODS.items() if method.in_w23), "absmean-w1a8")
FORMS = {  # names of `BitLinearForm` by the ends of the studies' names
    "rounded": "rounded",
    "8bit": "w23-8bit",
    "unshifted": "w23-unshifted",
    "full-range": "w23-full-range",
}
GROUPS = (2, 4, 8)
FLIP_RATES = (0.001, 0.004, 0.016)
_STABILITY_SHARE = 4  # stability is tried with this fraction of the characters


class Planned(NamedTuple):
    """A study before it has a place in a preset."""

    name: str
    purpose: str
    specification: Specification


@dataclass(frozen=True)
class _Sizes:
    """The sizes of a preset.

    Attributes
    ----------
    base
        What all networks share; its sizes are those of the scaling law.
    middle
        Size of the ablations, forms, groups, and of further training.
    ladder
        Sizes at which rates grow until all arms diverge, or to the largest.
    most
        Largest exponent of 2 of these rates.
    """

    base: LanguageSpec
    middle: str
    ladder: tuple[str, ...]
    most: int


_W23 = LanguageSpec(
    sizes=("1x16", "1x24", "1x32", "2x32", "2x48", "3x48", "3x64", "3x96"),  # six are fitted, two predicted
    arms=(BASELINE, BITNET),
    tokens=409_600,
    windows=512,
    recipe="w23",
    choices=300,
)
_SIZES = {
    "quick": _Sizes(
        replace(
            _W23,
            text="pydoc",
            sizes=("1x8", "1x16", "1x24", "1x32", "2x32"),
            tokens=25_600,
            windows=32,
            seeds=(0, 1),
            rate_rounds=0,
            choices=20,
        ),
        "1x16",
        ("1x8", "1x16", "1x24"),
        3,
    ),
    "standard": _Sizes(_W23, "2x48", ("1x32", "2x48", "3x64"), 9),
    "thorough": _Sizes(
        replace(
            _W23,
            sizes=("1x32", "2x32", "2x48", "3x64", "3x96", "4x128", "5x192", "6x256"),
            tokens=10_000_000,
            choices=1000,
        ),
        "3x64",
        ("2x32", "3x64", "4x128"),
        9,
    ),
}


def smaller_than(theirs: str) -> Reach:
    """Return the reach of a claim that these studies judge at sizes below W23's."""
    return Reach(sizes=f"{_W23.shapes[-1].parameters / 1e6:.1g} million parameters at most, where W23 has {theirs}")


def bitnet_studies(preset: str) -> Iterator[Planned]:
    """Yield the studies of a preset, from the largest to the smallest."""
    at = _SIZES[preset]
    one = replace(at.base, sizes=(at.middle,), choices=0)
    yield Planned(
        "bitnet",
        "BitNet as written and FP16 against size, and FP16 quantised after training",
        replace(at.base, arms=(*at.base.arms, *AFTERWARDS)),
    )
    yield Planned("bitnet-ablation", "scales of activations and norms of W23's Table 4", replace(one, arms=ABLATED))
    alone = replace(one, arms=(BITNET,))
    for name, form in FORMS.items():
        yield Planned(f"bitnet-form-{name}", f"the layer in the form {form}", replace(alone, form=form))
    for groups in GROUPS:
        yield Planned(f"bitnet-groups-{groups}", f"the layer in {groups} groups", replace(alone, groups=groups))
    yield Planned("bitnet-half", "BitNet on half of the characters", replace(alone, tokens=one.tokens // 2))
    yield Planned("bitnet-further", "BitNet trained, and then trained on", replace(alone, start=BITNET))
    yield Planned("bitnet-from-full", "half in full precision, and then in 1 bit", replace(alone, start="full"))
    yield Planned("bitnet-stability", "rates by factors of two until every arm diverges, or up to 2", _stability(at))
    yield Planned("bitnet-flips", "signs that a step of training changes", ExperimentList(tuple(_flips(at))))


def _stability(at: _Sizes) -> StabilitySpec:
    arms = (*at.base.arms, "elastic")
    changed = {"sizes": at.ladder, "arms": arms, "choices": 0, "lowest": -1, "most": at.most}
    return StabilitySpec.from_dict(at.base.as_dict() | changed | {"tokens": at.base.tokens // _STABILITY_SHARE})


def _flips(at: _Sizes) -> Iterator[UpdateFlips]:
    base, size = at.base, parse_size(at.middle)
    for rate in FLIP_RATES:
        for seed in base.seeds:
            yield UpdateFlips(
                text=base.text,
                layers=size.layers,
                width=size.width,
                rate=rate,
                tokens=base.trained_tokens,
                batch=base.batch,
                context=base.context,
                seed=seed,
                recipe=base.recipe,
                form=base.form,
            )
