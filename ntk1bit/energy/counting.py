"""Energy of a Transformer's forward pass by counting: W23's counting, and our own of everything it does.

A count is a number of additions and multiplications in a number format; energy is counts times published costs.

    w23     W23's Eqs. 16 to 18: the products of matrices and, in quantised arms, the scaling of inputs and outputs.
            A product (m, n) x (n, p) takes m n p multiplications and m (n-1) p additions; per layer, for T tokens,
            12 d^2 T in linear maps, 2 T^2 d in attention, 18 d T in scales.
    exact   all that `networks.transformer` does: also norms, the rotation of queries and keys, softmax, activation,
            residuals and head, and attention head by head. Causal attention is counted in full: masked scores are
            computed too. A division, root, exponential or tanh counts as one multiplication; comparisons, rounding and
            the look-up of embeddings count as nothing, and so do cosines and sines of positions, which are constants.
            Layers of the arm `bitnet` are of the form `rounded` (`networks.bitlinear_form`): Eq. 6's shift is left out.

Nothing here is a measurement: moving data, which real chips spend most on, is not counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import pandas as pd

from ntk1bit.errors import InputError, require_choice

Format = Literal["fp32", "fp16", "int32", "int8"]
Node = Literal["7nm", "45nm"]
Arm = Literal["full32", "full16", "int8-absmax", "bitnet", "b158", "sign-ptq"]
Model = Literal["w23", "exact"]
Activation = Literal["gelu", "squared-relu"]
NODES: tuple[Node, ...] = get_args(Node)
ARMS: tuple[Arm, ...] = get_args(Arm)
MODELS: tuple[Model, ...] = get_args(Model)
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
TERNARY_DENSITY = 2 / 3  # three values equally often; absmean rounding of Gaussian weights leaves 0.69 of them
_MOST = 2**62  # operations: counts are 64-bit integers


class Cost(NamedTuple):
    """Energy of one operation, pJ."""

    add: float
    mul: float


# W23, Table 2, after Horowitz 2014 (45 nm) and Zhang et al. 2022 (7 nm). INT32 is not in that table: Horowitz 2014 and
# Jouppi et al. 2021; only `wide` sums use it.
COSTS: dict[Node, dict[Format, Cost]] = {
    "7nm": {"fp32": Cost(0.38, 1.31), "fp16": Cost(0.16, 0.34), "int32": Cost(0.03, 1.48), "int8": Cost(0.007, 0.07)},
    "45nm": {"fp32": Cost(0.9, 3.7), "fp16": Cost(0.4, 1.1), "int32": Cost(0.1, 3.1), "int8": Cost(0.03, 0.2)},
}
KINDS = (
    "norms", "qkv", "rotation", "attention scores", "softmax", "attention values", "attention output", "ff up",
    "activation", "ff down", "scales", "biases", "residuals", "head",
)  # fmt: skip


@dataclass(frozen=True)
class ForwardPass:
    """One pass of a decoder-only Transformer over a number of tokens: what is counted.

    Attributes
    ----------
    layers, width
        Number of blocks and d.
    tokens
        T, the tokens of one forward pass.
    vocabulary
        Number of tokens there are; 0 leaves embedding and head out.
    heads
        Attention heads; divides `width`.
    tied
        Whether the head is the transposed embedding, which then costs no memory of its own.
    activation
        Of the feed-forward part: ``"gelu"`` (its tanh form) or ``"squared-relu"``.

    Raises
    ------
    InputError
        If a number is out of range, the activation is unknown, or there would be more operations than 64-bit integers
        count.
    """

    layers: int
    width: int
    tokens: int = 512
    vocabulary: int = 0
    heads: int = 1
    tied: bool = True
    activation: Activation = "gelu"

    def __post_init__(self) -> None:
        """Refuse what cannot be built, or counted."""
        require_choice("activation", self.activation, ACTIVATIONS)
        for name in ("layers", "width", "tokens", "heads"):
            if getattr(self, name) < 1:
                raise InputError(f"a Transformer needs {name} of at least 1, got {getattr(self, name)}")
        if self.vocabulary < 0:
            raise InputError(f"vocabulary must be 0 (embedding and head left out) or more, got {self.vocabulary}")
        if self.width % self.heads:
            raise InputError(f"width must be a multiple of heads, got width {self.width} and {self.heads} heads")
        per_token = 2 * self.parameters + self.layers * self.width * (9 * self.tokens + 396)
        if self.tokens * (per_token + 2 * self.width * self.vocabulary) >= _MOST:
            raise InputError(
                f"{self.layers} layers of width {self.width} with {self.tokens} tokens take more than 10^18 "
                "operations; give a smaller Transformer"
            )

    @property
    def parameters(self) -> int:
        """N, the weights of the linear maps of all layers: 12 layers d^2."""
        return self.layers * sum(inputs * outputs * many for _, inputs, outputs, many in self.maps)

    @property
    def maps(self) -> tuple[tuple[str, int, int, int], ...]:
        """The linear maps of a layer: kind, inputs, outputs, how many."""
        d, hidden = self.width, 4 * self.width
        return ("qkv", d, d, 3), ("attention output", d, d, 1), ("ff up", d, hidden, 1), ("ff down", hidden, d, 1)


@dataclass(frozen=True)
class Reading:
    """How W23's Eqs. 16 to 18 are read where they leave a choice. The default is their letter.

    Attributes
    ----------
    one_less
        A sum of n terms takes n - 1 additions (Eq. 16), not n.
    by_head
        Attention's scores are one product per head, not one of full width.
    shared_inputs
        q, k and v read one scaled input, not three.
    biases
        Every linear map adds a bias.
    residuals
        The two additions to the residual stream count.
    """

    one_less: bool = True
    by_head: bool = False
    shared_inputs: bool = False
    biases: bool = False
    residuals: bool = False


PRINTED = Reading()


def count_operations(
    shape: ForwardPass,
    arm: Arm,
    *,
    model: Model = "w23",
    density: float = TERNARY_DENSITY,
    wide: bool = False,
    reading: Reading = PRINTED,
) -> pd.DataFrame:
    """Count the additions and multiplications of one forward pass.

    Parameters
    ----------
    shape
        The Transformer and its number of tokens.
    arm
        How linear maps are computed: ``"full32"`` and ``"full16"`` multiply and add floats; ``"int8-absmax"`` 8-bit
        integers; ``"bitnet"`` adds 8-bit integers; ``"b158"`` the same without the zero weights; ``"sign-ptq"``, whose
        inputs are not rounded, adds FP16. Everything else is FP32 in ``"full32"`` and FP16 in all other arms.
    model
        ``"w23"`` or ``"exact"``: see the top of this module.
    density
        Share of ternary weights that are not zero, in (0, 1]; 1 counts every weight.
    wide
        Charge the sums of matrix products to 32-bit accumulators (FP32, INT32), which a sum of n 8-bit numbers needs,
        instead of the format of their terms as W23 does.
    reading
        Of W23's equations; for ``"w23"`` only.

    Returns
    -------
    One row per kind of layer, operation and format, zeros left out. Columns kind (one of `KINDS`), operation (``"add"``
    or ``"mul"``), format, count (int64).

    Raises
    ------
    InputError
        For an unknown arm or model, or a density outside (0, 1]; for ``"exact"``, if `width / heads` is odd: such a
        Transformer cannot be built, as pairs of entries are rotated.
    """
    require_choice("arm", arm, ARMS)
    require_choice("model", model, MODELS)
    if not 0 < density <= 1:
        raise InputError(f"density is the share of ternary weights that are not zero, in (0, 1]; got {density}")
    tally = _Tally(arm, density if arm == "b158" else 1.0, wide)
    if model == "w23":
        _count_w23(tally, shape, reading)
    else:
        _count_exact(tally, shape)
    return tally.frame()


class _Tally:
    """Adds up counts by kind, operation and format."""

    def __init__(self, arm: Arm, density: float, wide: bool) -> None:
        self.float: Format = "fp32" if arm == "full32" else "fp16"
        self.scales_inputs = arm in ("int8-absmax", "bitnet", "b158")
        self.scales_outputs = self.scales_inputs or arm == "sign-ptq"
        self.scales_rows = arm in ("int8-absmax", "sign-ptq")  # one per row of weights, not one per matrix
        self.multiplies = arm in ("full32", "full16", "int8-absmax")
        self.terms: Format = "int8" if self.scales_inputs else self.float
        self.density, self.wide = density, wide
        self.counts: Counter[tuple[str, str, str]] = Counter()

    def elementwise(self, kind: str, adds: int, muls: int) -> None:
        """Count operations on single numbers."""
        self.counts[kind, "mul", self.float] += muls
        self.counts[kind, "add", self.float] += adds

    def product(self, kind: str, adds: int, muls: int) -> None:
        """Count a product of two matrices of floats."""
        self.counts[kind, "mul", self.float] += muls
        self.counts[kind, "add", "fp32" if self.wide else self.float] += adds

    def linear(self, kind: str, adds: int, muls: int) -> None:
        """Count a product with a matrix of weights."""
        wide: Format = "int32" if self.terms == "int8" else "fp32"
        if self.multiplies:
            self.counts[kind, "mul", self.terms] += muls
        self.counts[kind, "add", wide if self.wide else self.terms] += round(self.density * adds)

    def frame(self) -> pd.DataFrame:
        """Return the counts that are not zero, in the order of `KINDS`."""
        rows = sorted(((*key, n) for key, n in self.counts.items() if n), key=lambda row: KINDS.index(row[0]))
        return pd.DataFrame(rows, columns=pd.Index(["kind", "operation", "format", "count"])).astype({"count": "int64"})


def _count_w23(tally: _Tally, shape: ForwardPass, reading: Reading) -> None:
    layers, d, t = shape.layers, shape.width, shape.tokens
    less = int(reading.one_less)
    rows = layers * t
    for kind, n, p, many in shape.maps:
        tally.linear(kind, rows * (n - less) * p * many, rows * n * p * many)
        inputs = n * (1 if reading.shared_inputs else many) * tally.scales_inputs
        tally.elementwise("scales", 0, rows * (inputs + p * many * tally.scales_outputs))
        tally.elementwise("biases", rows * p * many * reading.biases, 0)
    sums = shape.heads if reading.by_head else 1
    tally.product("attention scores", rows * t * (d - less * sums), rows * t * d)
    tally.product("attention values", rows * (t - less) * d, rows * t * d)
    tally.elementwise("residuals", 2 * rows * d * reading.residuals, 0)


def _count_exact(tally: _Tally, shape: ForwardPass) -> None:
    d, t, heads = shape.width, shape.tokens, shape.heads
    hidden, rows = 4 * d, shape.layers * t

    if d % (2 * heads):
        raise InputError(
            f"'exact' counts our Transformer, whose heads have an even number of entries (pairs are rotated), got "
            f"width {d} and {heads} heads; give others, or count by 'w23'"
        )

    def norm(many: int, n: int) -> None:
        # a row: mean (n-1, 1), centring (n, 0), variance (n-1, n+1), epsilon and root (1, 1), division and gain (0, 2n)
        tally.elementwise("norms", many * (3 * n - 1), many * (3 * n + 3))

    for n in (d, d, d, hidden):
        norm(rows, n)
    norm(t, d)
    for kind, n, p, many in shape.maps:
        tally.linear(kind, rows * (n - 1) * p * many, rows * n * p * many)
        # a row: Q_b/gamma and its product with n inputs; the factor of its outputs (one, or p where each row of weights
        # has a scale of its own) and its product with p outputs. A factor is stored where no input is scaled (sign-ptq)
        inputs, factors = (n + 1) * tally.scales_inputs, (p if tally.scales_rows else 1) * tally.scales_inputs
        tally.elementwise("scales", 0, rows * many * (inputs + (p + factors) * tally.scales_outputs))
    tally.elementwise("rotation", 2 * rows * d, 4 * rows * d)  # queries and keys: (x cos - y sin, x sin + y cos)
    tally.product("attention scores", rows * t * (d - heads), rows * t * d)
    # 1/sqrt(d/heads), exponential, division; the largest taken off, the sum
    tally.elementwise("softmax", rows * heads * (2 * t - 1), 3 * rows * heads * t)
    tally.product("attention values", rows * (t - 1) * d, rows * t * d)
    adds, muls = (2, 7) if shape.activation == "gelu" else (0, 1)
    tally.elementwise("activation", adds * rows * hidden, muls * rows * hidden)
    tally.elementwise("residuals", 2 * rows * d, 0)
    if shape.vocabulary:
        tally.product("head", t * (d - 1) * shape.vocabulary, t * d * shape.vocabulary)


class Joules(NamedTuple):
    """Energy of one forward pass, J."""

    mul: float
    add: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.mul + self.add


def joules(counts: pd.DataFrame, node: Node) -> Joules:
    """Return the energy of counted operations at the published costs of a process node.

    Raises
    ------
    InputError
        For an unknown node.
    """
    require_choice("node", node, NODES)
    spent = {"mul": 0.0, "add": 0.0}
    for _, operation, form, count in counts.itertuples(index=False):
        spent[operation] += count * getattr(COSTS[node][form], operation) * 1e-12
    return Joules(**spent)
