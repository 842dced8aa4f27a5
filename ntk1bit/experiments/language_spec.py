"""What a sweep of language models is asked to do: a frozen specification, and how it is written.

A size is written `LAYERSxWIDTH`, as in ``3x64``; it has N = 12 layers width^2 non-embedding parameters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ntk1bit.errors import InputError, require_choice
from ntk1bit.experiments.spec import read_table, typed_settings

_TEXTS = ("sotu", "pydoc")
_ARMS = ("full", "bitnet", "b158", "int8-absmax", "sign-ptq")
_TRAINED = ("full", "bitnet", "b158")
_ACTIVATIONS = ("gelu", "squared-relu")
_SURROGATES = ("identity", "clipped", "sign")
TIMES_DIGITS = 6  # after the point: to how many a multiple of a rate is told from others
_HEAD_WIDTH = 16  # entries of a head wherever it divides the width: several heads even in the smallest model
_MOST_WIDTH, _MOST_LAYERS = 16384, 256


@dataclass(frozen=True)
class Size:
    """The size of one Transformer.

    Attributes
    ----------
    layers, width
        Number of blocks, and size of the residual stream.

    Raises
    ------
    InputError
        If one is out of range, or the width is odd.
    """

    layers: int
    width: int

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be built."""
        if not 1 <= self.layers <= _MOST_LAYERS:
            raise InputError(f"a size needs 1 to {_MOST_LAYERS} layers, got {self.layers}")
        if not 2 <= self.width <= _MOST_WIDTH or self.width % 2:
            raise InputError(f"a size needs an even width from 2 to {_MOST_WIDTH}, got {self.width}")

    @property
    def parameters(self) -> int:
        """N, the non-embedding parameters."""
        return 12 * self.layers * self.width**2

    @property
    def heads(self) -> int:
        """Attention heads: of 16 entries each where 16 divides the width, else a single one."""
        return self.width // _HEAD_WIDTH if self.width % _HEAD_WIDTH == 0 else 1

    def __str__(self) -> str:
        """Write the size as it is given."""
        return f"{self.layers}x{self.width}"


def parse_size(text: str) -> Size:
    """Read a size written ``LAYERSxWIDTH``.

    Raises
    ------
    InputError
        If it is not of that form, or out of range.
    """
    found = re.fullmatch(r"\s*(\d{1,6})\s*[xX×]\s*(\d{1,6})\s*", text, re.ASCII)
    if found is None:
        raise InputError(f"cannot read size {text!r}; write layers x width, as in 3x64")
    return Size(int(found[1]), int(found[2]))


@dataclass(frozen=True)
class LanguageSpec:
    """All sizes are trained in all arms with all seeds, each arm and size at the rate found for it.

    Attributes
    ----------
    text
        ``"sotu"`` or ``"pydoc"`` (`ntk1bit.data.text`).
    sizes
        As ``"3x64"``: layers and width.
    arms
        Of ``"full"``, ``"bitnet"``, ``"b158"``, and of ``"int8-absmax"`` and ``"sign-ptq"``, which quantise the trained
        networks of ``"full"`` and so need it.
    tokens
        Training characters, the same for every network; what whole steps leave over (`trained_tokens`) is not read.
    batch, context
        Windows a step, and characters predicted in each.
    seeds
        Seeds of the start and of the batches: arms share both at a given seed.
    rate, rate_factor, rate_rounds
        The search for the learning rate of Adam, at the first seed: `rate` and its neighbours a `rate_factor` away are
        tried, and while the best stands at an edge, the next beyond it, at most `rate_rounds` times. Best is the least
        mean *training* loss over the last tenth of the steps: nearly every batch is new text, so it is an estimate of
        the loss that the validation text has no part in.
    windows
        Windows of the validation text, evenly spaced, over which the loss is measured.
    stability
        Learning rates, as multiples of the best one of ``full``, tried in all trained arms at the middle size with a
        quarter of the tokens; empty for none.
    activation, tied, surrogate
        Of the Transformer (`ntk1bit.networks.transformer`, `ntk1bit.networks.straight_through`).

    Raises
    ------
    InputError
        For values out of range, unknown names, repeated entries or an empty axis.
    """

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
    surrogate: str = "identity"

    def __post_init__(self) -> None:
        """Refuse a specification that could not run; write each size in one way, as files are named by it."""
        object.__setattr__(self, "sizes", tuple(str(parse_size(one)) for one in self.sizes))
        for axis in ("sizes", "arms", "seeds"):
            values = getattr(self, axis)
            if not values:
                raise InputError(f"{axis} is empty; give at least one value")
            if len(set(values)) < len(values):
                raise InputError(f"{axis} has repeated values: {', '.join(map(str, values))}")
        require_choice("text", self.text, _TEXTS)
        require_choice("activation", self.activation, _ACTIVATIONS)
        require_choice("surrogate", self.surrogate, _SURROGATES)
        for arm in self.arms:
            require_choice("arm", arm, _ARMS)
        afterwards = [arm for arm in self.arms if arm not in _TRAINED]
        if afterwards and "full" not in self.arms:
            raise InputError(f"arm {afterwards[0]!r} quantises trained full-precision networks; add 'full' to the arms")
        counts = [size.parameters for size in self.shapes]
        if len(set(counts)) < len(counts):
            raise InputError(f"two sizes have the same number of parameters; give one of them: {', '.join(self.sizes)}")
        lowest = {"tokens": 1, "batch": 1, "context": 2, "rate_rounds": 0, "windows": 2}
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
        times = [round(one, TIMES_DIGITS) for one in self.stability]
        if len({0.0, 1.0, *times}) < len(times) + 2:
            raise InputError(
                f"stability takes multiples that differ from each other and from 0 and 1 in {TIMES_DIGITS} digits "
                f"after the point (1 is always tried), got {', '.join(f'{one:g}' for one in self.stability)}"
            )
        if self.steps < 1:
            raise InputError(
                f"{self.tokens} tokens are less than one step of {self.batch} x {self.context}; give more tokens"
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
    def trained_tokens(self) -> int:
        """Training characters that every network sees: those of whole steps."""
        return self.steps * self.batch * self.context

    @property
    def trained_arms(self) -> tuple[str, ...]:
        """The arms that are trained, in the order of the specification."""
        return tuple(arm for arm in self.arms if arm in _TRAINED)

    def as_dict(self) -> dict[str, Any]:
        """Return the specification as plain values, as spec.toml has them."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def differences(self, other: LanguageSpec) -> list[str]:
        """Name the settings in which two specifications differ."""
        mine, theirs = self.as_dict(), other.as_dict()
        return [f"{name} {mine[name]} against {theirs[name]}" for name in mine if mine[name] != theirs[name]]


def spec_from_dict(settings: Mapping[str, Any], base: LanguageSpec | None = None) -> LanguageSpec:
    """Make a specification of plain values; what is left out is taken from `base` or the defaults.

    Raises
    ------
    InputError
        For an unknown setting or a value of the wrong type.
    """
    return replace(base or LanguageSpec(), **typed_settings(settings, LanguageSpec))


def read_spec(path: Path) -> LanguageSpec:
    """Read a specification from the [language] table of a TOML file.

    Raises
    ------
    InputError
        If the file cannot be read, has no such table, or holds something wrong; the message names the file.
    """
    return read_table(path, "language", spec_from_dict)


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
        arms=_ARMS,
        tokens=10_000_000,
        stability=(4.0, 16.0, 64.0),
    ),
}
