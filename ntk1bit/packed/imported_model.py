"""BitNet b1.58 as published for `transformers` and llama.cpp, run plainly in NumPy.

    h   = E[token]
    h  += O( RMS( Attention(Q, K, V of RMS h) ) )
    h  += D( RMS( act(G RMS h) * (U RMS h) ) )
    logits = RMS(h) E^T  or  RMS(h) W_head^T

RMS x = g x/sqrt(mean x^2 + eps). A projection with ternary weights C s (codes and scale) rounds each row of its inputs
to 8 bits, q = clip(round(127 x/max |x|), -128, 127), and gives (q C^T) s max |x|/127 (`BitLinear` and `AutoBitLinear`
of `transformers.integrations.bitnet`). Products of whole numbers are exact; all else is in float64. Queries and keys
are rotated by their position, component i with i + (head width)/2; several heads of queries share one of keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Integer

from ntk1bit.arguments import require_spare, whole_numbers
from ntk1bit.errors import InputError
from ntk1bit.packed.ternary_weights import TernaryTensor
from ntk1bit.printing import record

ACTIVATIONS = ("relu2", "silu")
PROJECTIONS = ("query", "key", "value", "output", "gate", "up", "down")
NORMS = ("attention_norm", "attention_sub_norm", "feed_norm", "feed_sub_norm")
_SMALLEST_MAXIMUM = np.float32(1e-5)
_EXACT = 2**24  # whole numbers up to here are exact in float32
_BLOCK = 8192  # rows of the head that are widened at once


@dataclass(frozen=True)
class ImportedShape:
    """Sizes and constants of such a network, as its configuration gives them.

    Attributes
    ----------
    layers, width, hidden
        Layers; components of h; components between G, U and D.
    heads, key_heads, head_width
        Heads of queries and of keys and values; components of a head.
    vocabulary, context
        Tokens; positions it was trained for.
    activation
        `relu2`, max(x, 0)^2, or `silu`, x/(1 + exp(-x)).
    norm_eps, rope_base
        eps of RMS; base of the rotation's frequencies, base^(-2i/head_width).
    tied
        Whether the head is the embedding.
    """

    layers: int
    width: int
    hidden: int
    heads: int
    key_heads: int
    head_width: int
    vocabulary: int
    context: int
    activation: str
    norm_eps: float
    rope_base: float
    tied: bool

    def projection(self, name: str) -> tuple[int, int]:
        """Return outputs and inputs of one of `PROJECTIONS`."""
        queries, keys = self.heads * self.head_width, self.key_heads * self.head_width
        return {
            "query": (queries, self.width),
            "key": (keys, self.width),
            "value": (keys, self.width),
            "output": (self.width, queries),
            "gate": (self.hidden, self.width),
            "up": (self.hidden, self.width),
            "down": (self.width, self.hidden),
        }[name]

    def norm(self, name: str) -> int:
        """Return the components of one of `NORMS`."""
        return {"attention_sub_norm": self.heads * self.head_width, "feed_sub_norm": self.hidden}.get(name, self.width)


@dataclass(frozen=True, eq=False)
class ImportedBlock:
    """One layer: gains of `NORMS`, and weights of `PROJECTIONS`, ternary or, where a file has others, float32."""

    norms: dict[str, Float32[np.ndarray, " n"]]
    weights: dict[str, TernaryTensor | Float32[np.ndarray, "outputs inputs"]]


@dataclass(frozen=True, eq=False)
class ImportedModel:
    """A network that somebody else trained.

    Attributes
    ----------
    shape
        Its sizes.
    embedding
        (vocabulary, width) float32.
    blocks
        Its layers.
    norm
        Gains before the head, (width,).
    head
        (vocabulary, width) float32; the embedding if tied.
    """

    shape: ImportedShape
    embedding: Float32[np.ndarray, "vocabulary width"]
    blocks: tuple[ImportedBlock, ...]
    norm: Float32[np.ndarray, " width"]
    head: Float32[np.ndarray, "vocabulary width"]

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    def ternary(self) -> Iterator[tuple[str, TernaryTensor]]:
        """Yield the ternary projections by name, such as `0.query`."""
        for layer, block in enumerate(self.blocks):
            for name, weights in block.weights.items():
                if isinstance(weights, TernaryTensor):
                    yield f"{layer}.{name}", weights

    def logits(
        self, tokens: Integer[np.ndarray, " n"], *, progress: Callable[[str, float], None] | None = None
    ) -> Float64[np.ndarray, "n vocabulary"]:
        """Return the logits after each token of one sequence.

        Raises
        ------
        InputError
            If a token is not in the vocabulary, there are none or more than the context, or memory is short.
        """
        given = whole_numbers("tokens", tokens, allowed="a list of whole numbers from 0 on")
        shape = self.shape
        if given.ndim != 1 or not 0 < len(given) <= shape.context:
            raise InputError(f"tokens must be one list of 1 to {shape.context} numbers, got shape {given.shape}")
        if given.min() < 0 or given.max() >= shape.vocabulary:
            raise InputError(f"tokens must be from 0 to {shape.vocabulary - 1}, got {given.min()} to {given.max()}")
        n = len(given)
        needed = 8 * n * (shape.vocabulary + 4 * (shape.hidden + shape.width)) + 24 * shape.heads * n * n
        require_spare("a forward pass", needed, instead="give fewer tokens")
        h = self.embedding[given].astype(np.float64)
        turns = _rotations(n, shape)
        for layer, block in enumerate(self.blocks):
            if progress is not None:
                progress("layers", layer / shape.layers)
            h = self._layer(h, block, turns)
        h = _rms(h, self.norm, shape.norm_eps)
        return _dense(h, self.head)

    def _layer(
        self, h: Float64[np.ndarray, "n width"], block: ImportedBlock, turns: Float64[np.ndarray, "2 n half"]
    ) -> Float64[np.ndarray, "n width"]:
        shape, w = self.shape, block.weights
        x = _rms(h, block.norms["attention_norm"], shape.norm_eps)
        query, key, value = (_project(x, w[name]).reshape(len(h), -1, shape.head_width) for name in PROJECTIONS[:3])
        mixed = _attend(_rotate(query, turns), _rotate(key, turns), value)
        h = h + _project(_rms(mixed, block.norms["attention_sub_norm"], shape.norm_eps), w["output"])
        x = _rms(h, block.norms["feed_norm"], shape.norm_eps)
        inside = _activate(_project(x, w["gate"]), shape.activation) * _project(x, w["up"])
        return h + _project(_rms(inside, block.norms["feed_sub_norm"], shape.norm_eps), w["down"])


def perplexity(
    model: ImportedModel,
    tokens: Integer[np.ndarray, " n"],
    *,
    progress: Callable[[str, float], None] | None = None,
) -> float:
    """Return exp of the mean cross-entropy (in nats) of each token but the first, given those before it.

    Raises
    ------
    InputError
        As `ImportedModel.logits`, and if there are fewer than two tokens.
    """
    given = whole_numbers("tokens", tokens, allowed="a list of whole numbers from 0 on")
    if given.ndim != 1 or len(given) < 2:
        raise InputError(f"a perplexity needs two tokens or more, got {given.size}")
    logits = model.logits(given, progress=progress)[:-1]
    logits -= logits.max(axis=1, keepdims=True)
    chosen = logits[np.arange(len(logits)), given[1:]]
    return float(np.exp(np.mean(np.log(np.exp(logits).sum(axis=1)) - chosen)))


def _project(
    x: Float64[np.ndarray, "n inputs"], weights: TernaryTensor | Float32[np.ndarray, "outputs inputs"]
) -> Float64[np.ndarray, "n outputs"]:
    """Apply a projection; inputs of ternary ones are rounded to 8 bits from float32, as the published code does.

    PyTorch computes 127/m as (1/m) 127, which decides what a number half-way between two whole ones is rounded to.
    """
    if not isinstance(weights, TernaryTensor):
        return _dense(x, weights)
    narrow = x.astype(np.float32)
    largest = np.maximum(np.abs(narrow).max(axis=1, keepdims=True), _SMALLEST_MAXIMUM)
    steps = np.float32(1) / largest * np.float32(127)
    rounded = np.clip(np.rint(narrow * steps), -128, 127)
    if weights.scale.ndim == 0:
        return _whole_product(rounded, weights.codes) * float(weights.scale) / steps.astype(np.float64)
    size = weights.shape[1] // weights.scale.shape[1]
    total = np.zeros((len(x), weights.shape[0]))
    for block in range(weights.scale.shape[1]):
        part = slice(block * size, (block + 1) * size)
        total += _whole_product(rounded[:, part], weights.codes[:, part]) * weights.scale[:, block].astype(np.float64)
    return total / steps.astype(np.float64)


def _whole_product(rounded: Float32[np.ndarray, "n inputs"], codes: np.ndarray) -> Float64[np.ndarray, "n outputs"]:
    """Return q C^T exactly: in float32 where no sum of its terms can pass 2^24."""
    dtype = np.float32 if 128 * codes.shape[1] < _EXACT else np.float64
    return (rounded.astype(dtype, copy=False) @ codes.T.astype(dtype)).astype(np.float64)


def _dense(
    x: Float64[np.ndarray, "n inputs"], weights: Float32[np.ndarray, "outputs inputs"]
) -> Float64[np.ndarray, "n outputs"]:
    """Return x W^T in float64, widening a block of rows of W at a time."""
    out = np.empty((len(x), len(weights)))
    for start in range(0, len(weights), _BLOCK):
        out[:, start : start + _BLOCK] = x @ weights[start : start + _BLOCK].T.astype(np.float64)
    return out


def _rms(
    x: Float64[np.ndarray, "n inputs"], gain: Float32[np.ndarray, " inputs"], eps: float
) -> Float64[np.ndarray, "n inputs"]:
    return gain.astype(np.float64) * (x / np.sqrt(np.mean(x * x, axis=1, keepdims=True) + eps))


def _activate(x: Float64[np.ndarray, "n hidden"], activation: str) -> Float64[np.ndarray, "n hidden"]:
    if activation == "relu2":
        return np.maximum(x, 0) ** 2
    return x * (0.5 + 0.5 * np.tanh(0.5 * x))  # 1/(1 + exp(-x)), without overflow


def _rotations(n: int, shape: ImportedShape) -> Float64[np.ndarray, "2 n half"]:
    """Return cosine and sine of position times frequency.

    Frequencies are rounded to float32 as in the published code, whose products with the position then round as well.
    """
    exponents = np.arange(0, shape.head_width, 2, dtype=np.float32) / np.float32(shape.head_width)
    frequencies = np.float32(1) / np.float32(shape.rope_base) ** exponents
    angles = (np.arange(n, dtype=np.float32)[:, None] * frequencies).astype(np.float64)
    return np.stack([np.cos(angles), np.sin(angles)])


def _rotate(
    x: Float64[np.ndarray, "n heads head_width"], turns: Float64[np.ndarray, "2 n half"]
) -> Float64[np.ndarray, "n heads head_width"]:
    cosine, sine = turns[:, :, None, :]
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def _attend(
    query: Float64[np.ndarray, "n heads head_width"],
    key: Float64[np.ndarray, "n key_heads head_width"],
    value: Float64[np.ndarray, "n key_heads head_width"],
) -> Float64[np.ndarray, "n mixed"]:
    """Let each token attend to itself and those before it; head i of the queries reads head i // (heads/key_heads)."""
    n, heads, width = query.shape
    shared = heads // key.shape[1]
    key, value = np.repeat(key, shared, axis=1), np.repeat(value, shared, axis=1)
    scores = np.matmul(query.transpose(1, 0, 2), key.transpose(1, 2, 0)) / np.sqrt(width)
    scores[:, np.triu(np.ones((n, n), bool), 1)] = -np.inf
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    scores /= scores.sum(axis=-1, keepdims=True)
    return np.matmul(scores, value.transpose(1, 0, 2)).transpose(1, 0, 2).reshape(n, -1)
