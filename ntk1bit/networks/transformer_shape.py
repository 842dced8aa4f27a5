"""What a Transformer is made of: its size, arm and activation. Nothing here imports JAX.

A size is written `LAYERSxWIDTH`, as in ``3x64``; it has N = 12 layers width^2 non-embedding parameters, norms not
counted: in each layer 4 width^2 in the projections of attention and 8 width^2 in the feed-forward part.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

from ntk1bit.errors import InputError, require_choice

Activation = Literal["gelu", "squared-relu"]
ACTIVATIONS: tuple[str, ...] = get_args(Activation)
PRE_LN = "-preln"  # ends the arms without SubLN, the norm before the last projection of each half of a block
Arm = Literal[  # model variants; see `networks.bitlinear`
    "full", "fp16", "bitnet", "b158", "elastic", "full-preln", "fp16-preln", "bitnet-preln", "elastic-preln",
    "int8-absmax", "sign-ptq",
]  # fmt: skip
ARMS: tuple[str, ...] = get_args(Arm)
AFTER_TRAINING: tuple[str, ...] = ("int8-absmax", "sign-ptq")  # quantise what a float arm has trained
TRAINED_ARMS: tuple[str, ...] = tuple(arm for arm in ARMS if arm not in AFTER_TRAINING)
SIGNED_ARMS: tuple[str, ...] = ("bitnet", "elastic")  # layers whose weights are signs in training
FLOAT_ARMS: tuple[str, ...] = ("full", "full-preln", "fp16", "fp16-preln")  # their weights are not quantised
_HEAD_WIDTH = 16  # entries of a head wherever it divides the width: several heads even in the smallest model
_MOST_WIDTH, _MOST_LAYERS = 16384, 256


def layer_of(arm: Arm) -> Arm:
    """Return the arm with the same linear layers and SubLN: ``"bitnet"`` for ``"bitnet-preln"``."""
    return cast(Arm, arm.removesuffix(PRE_LN))


@dataclass(frozen=True)
class Size:
    """The size of a Transformer.

    Attributes
    ----------
    layers, width
        Number of blocks, and d, the size of the residual stream.

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
        """N, the non-embedding parameters: 12 layers width^2."""
        return 12 * self.layers * self.width**2

    @property
    def default_heads(self) -> int:
        """Attention heads where nothing else is said: of 16 entries each where 16 divides the width, else one."""
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
class Shape(Size):
    """All that says what a Transformer is made of, its arm excepted.

    Attributes
    ----------
    layers, width
        As in `Size`.
    heads
        Attention heads; `width / heads` is a whole, even number (pairs of entries are rotated).
    vocabulary
        Number of characters.
    context
        Longest sequence.
    activation
        ``"gelu"`` or ``"squared-relu"``.
    tied
        Whether the head is the transpose of the embedding.

    Raises
    ------
    InputError
        If a number is out of range or a name unknown.
    """

    heads: int
    vocabulary: int
    context: int
    activation: Activation = "gelu"
    tied: bool = True

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        super().__post_init__()
        require_choice("activation", self.activation, ACTIVATIONS)
        for name in ("heads", "vocabulary", "context"):
            if getattr(self, name) < 1:
                raise InputError(f"a Transformer needs {name} of at least 1, got {getattr(self, name)}")
        if self.width % (2 * self.heads):
            raise InputError(
                f"width must be an even multiple of heads (rotary positions), got width {self.width} and "
                f"{self.heads} heads"
            )


def plain_shape(layers: int, width: int, *, vocabulary: int, context: int) -> Shape:
    """Return the shape of a Transformer of this size with the usual heads, activation and tied head.

    Raises
    ------
    InputError
        As `Shape`.
    """
    return Shape(layers, width, heads=Size(layers, width).default_heads, vocabulary=vocabulary, context=context)
