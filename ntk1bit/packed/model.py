"""1-bit Transformers run from packed signs, on the CPU and without JAX.

The network is `ntk1bit.networks.transformer` with every projection as in W23: rows are normalised and rounded to 8-bit
integers q, the product with the signs is exact (`ntk1bit.cores.sign_matmul_int8`), and `beta gamma/128` scales it back.
Before U, which precedes the non-linearity, rows may be shifted onto [0, 127] (W23, Eq. 6).

    h   = E[token]
    h  += O( SubLN( Attention(Q, K, V of LN h) ) )
    h  += D( SubLN( act(U(LN h)) ) )
    logits = LN(h) E^T  or  LN(h) W_head^T

Queries and keys are rotated by their position. Attention keeps keys and values, so a sequence can be read in parts:
`logits` reads it at once, `decode` a character.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Integer

from ntk1bit import cores
from ntk1bit.errors import InputError
from ntk1bit.networks.bitlinear_form import Shift
from ntk1bit.networks.transformer_shape import Shape
from ntk1bit.packed import attention, rows
from ntk1bit.printing import record


class PackedProjection(NamedTuple):
    """Signs (out, in) and their scale beta."""

    signs: cores.PackedSigns
    beta: float

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)


@dataclass(frozen=True, eq=False)
class PackedBlock:
    """One layer.

    Attributes
    ----------
    attention_norm, attention_sub_norm, feed_norm, feed_sub_norm
        Gains: (d,), the last one (4d,).
    attention
        Signs of query, key and value one below the other, each padded to whole panels of 16 rows: one product.
    attention_scales
        beta of the three.
    output, up, down
        The other projections.
    """

    attention_norm: Float32[np.ndarray, " d"]
    attention: cores.PackedSigns
    attention_scales: Float32[np.ndarray, " 3"]
    attention_sub_norm: Float32[np.ndarray, " d"]
    output: PackedProjection
    feed_norm: Float32[np.ndarray, " d"]
    up: PackedProjection
    feed_sub_norm: Float32[np.ndarray, " four_d"]
    down: PackedProjection

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    @property
    def nbytes(self) -> int:
        """Bytes of the six packed projections with their scales, as they are held in memory."""
        signs = (self.attention, self.output.signs, self.up.signs, self.down.signs)
        return sum(part.nbytes for part in signs) + 6 * np.dtype(np.float32).itemsize

    def projections(self) -> Iterator[PackedProjection]:
        """Yield query, key, value, output, up and down, one at a time."""
        padded, width = self.attention.rows // 3, self.attention.columns
        for first, beta in zip(range(0, 3 * padded, padded), self.attention_scales.tolist(), strict=True):
            words = np.ascontiguousarray(self.attention.words[:, first : first + padded])
            yield PackedProjection(cores.PackedSigns(words, width, width), beta)
        yield from (self.output, self.up, self.down)


@dataclass(eq=False)
class KVCache:
    """Keys and values of every layer for the characters read so far; `prefill` and `decode` write to it in place.

    Attributes
    ----------
    keys, values
        Of `ntk1bit.packed.attention.caches`, for layers and b sequences, float32.
    length
        Characters read.
    """

    keys: Float32[np.ndarray, "layers b heads chunks size chunk"]
    values: Float32[np.ndarray, "layers b heads capacity size"]
    length: int = 0

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    @property
    def remaining(self) -> int:
        """Characters that can still be read."""
        return self.values.shape[3] - self.length


@dataclass(frozen=True, eq=False)
class PackedModel:
    """A 1-bit Transformer with packed projections; `ntk1bit.packed.file_format` stores and loads it.

    Attributes
    ----------
    shape
        Its sizes.
    embedding
        (vocabulary, d) float32.
    blocks
        The layers.
    norm
        Gain of the last norm, (d,).
    head
        (vocabulary, d); the embedding itself where they are tied.
    alphabet
        The characters its tokens stand for, or "".
    note
        What the exporter had to say.
    shift
        Of the rows before U (`ntk1bit.networks.bitlinear_form`).
    """

    shape: Shape
    embedding: Float32[np.ndarray, "vocabulary d"]
    blocks: tuple[PackedBlock, ...]
    norm: Float32[np.ndarray, " d"]
    head: Float32[np.ndarray, "vocabulary d"]
    alphabet: str = ""
    note: str = ""
    shift: Shift = "nowhere"

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    @functools.cached_property
    def _rotary_table(self) -> Float32[np.ndarray, "2 context half"]:
        return attention.rotary_table(self.shape.context, self.shape.width // self.shape.heads // 2)

    @property
    def packed_bytes(self) -> int:
        """Bytes of all packed projections."""
        return sum(block.nbytes for block in self.blocks)

    @property
    def float32_bytes(self) -> int:
        """Bytes the same projections take in float32: 4 N."""
        return 4 * self.shape.parameters

    @property
    def other_bytes(self) -> int:
        """Bytes of what stays in float32: embedding, head if it has one, gains of the norms."""
        tables = 1 if self.shape.tied else 2
        gains = (7 * self.shape.layers + 1) * self.shape.width
        return 4 * (tables * self.embedding.size + gains)

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield what there is to know about the model, as (name, value)."""
        yield from ((name, str(value)) for name, value in asdict(self.shape).items())
        if self.shift != "nowhere":
            yield "shift before U", self.shift
        yield "alphabet", repr(self.alphabet) if self.alphabet else "unknown"
        if self.note:
            yield "note", " ".join(self.note.split())
        yield "parameters N", f"{self.shape.parameters:,}"
        ratio = self.float32_bytes / self.packed_bytes
        yield "bytes of the packed projections", f"{self.packed_bytes:,}, 1/{ratio:.2f} of float32"
        yield "bytes of these in float32", f"{self.float32_bytes:,}"
        yield "bytes of embedding, head and norms", f"{self.other_bytes:,}, in float32"

    def logits(self, tokens: Integer[np.ndarray, "b t"]) -> Float32[np.ndarray, "b t vocabulary"]:
        """Return the logits of the next character after each position.

        Parameters
        ----------
        tokens
            (b, t) integers below the vocabulary, t at most the context.

        Raises
        ------
        InputError
            If tokens have another shape or dtype, are out of range or too many.
        """
        tokens = self._checked(tokens, 2)
        return self._read(self._start(len(tokens), tokens.shape[1]), tokens)

    def start(self, batch: int = 1) -> KVCache:
        """Begin to read `batch` sequences, of up to the context's length.

        Raises
        ------
        InputError
            If `batch` is below 1.
        """
        if batch < 1:
            raise InputError(f"a batch needs at least one sequence, got {batch}")
        return self._start(batch, self.shape.context)

    def decode(self, cache: KVCache, tokens: Integer[np.ndarray, " b"]) -> Float32[np.ndarray, "b vocabulary"]:
        """Read one more character of each sequence and return the logits of the next.

        Equal to the last position of `logits` up to rounding (docs/inference.md).

        Raises
        ------
        InputError
            If tokens do not fit, or the context is full: the model was never trained on longer sequences. Begin again
            with the last part of the text, as `ntk1bit.packed.text.generate` does.
        """
        return self.prefill(cache, self._checked(tokens, 1)[:, None])[:, 0]

    def prefill(self, cache: KVCache, tokens: Integer[np.ndarray, "b t"]) -> Float32[np.ndarray, "b t vocabulary"]:
        """Read several more characters of each sequence; as `decode`, with the logits after each of them."""
        tokens = self._checked(tokens, 2)
        if len(tokens) != cache.keys.shape[1]:
            raise InputError(f"{cache.keys.shape[1]} sequences are being read, got tokens for {len(tokens)}")
        if tokens.shape[1] > cache.remaining:
            raise InputError(
                f"the context of {self.shape.context} characters is full: {cache.length} were read and "
                f"{tokens.shape[1]} more given; start again with the last part of the text"
            )
        return self._read(cache, tokens)

    def _start(self, batch: int, capacity: int) -> KVCache:
        s = self.shape
        return KVCache(*attention.caches(s.layers, batch, heads=s.heads, size=s.width // s.heads, capacity=capacity))

    def _read(self, cache: KVCache, tokens: Integer[np.ndarray, "b t"]) -> Float32[np.ndarray, "b t vocabulary"]:
        batch, time = tokens.shape
        before = cache.length
        h = self.embedding[tokens].reshape(batch * time, self.shape.width)  # a copy, as indexing by an array gives
        for block, keys, values in zip(self.blocks, cache.keys, cache.values, strict=True):
            self._pass(block, h, keys, values, (batch, time), before)
        cache.length = before + time
        return rows.project(h, self.norm, self.head).reshape(batch, time, self.shape.vocabulary)

    def _pass(
        self,
        block: PackedBlock,
        h: Float32[np.ndarray, "n d"],
        keys: Float32[np.ndarray, "b heads chunks size chunk"],
        values: Float32[np.ndarray, "b heads capacity size"],
        batch_and_time: tuple[int, int],
        before: int,
    ) -> None:
        """Pass rows through one layer, in place."""
        q, gamma = rows.normalize(h, block.attention_norm)
        sums = cores.sign_matmul_int8(q, block.attention).reshape(*batch_and_time, block.attention.rows)
        gathered = attention.attend(
            sums, gamma.reshape(batch_and_time), block.attention_scales, self._rotary_table, keys, values, before
        ).reshape(h.shape)
        q, gamma = rows.normalize(gathered, block.attention_sub_norm)
        rows.add(h, cores.sign_matmul_int8(q, block.output.signs), gamma, block.output.beta)
        q, gamma = rows.normalize(h, block.feed_norm, shift=self.shift)
        sums = cores.sign_matmul_int8(q, block.up.signs)
        hidden = rows.activate(sums, gamma, block.up.beta, gelu=self.shape.activation == "gelu")
        q, gamma = rows.normalize(hidden, block.feed_sub_norm)
        rows.add(h, cores.sign_matmul_int8(q, block.down.signs), gamma, block.down.beta)

    def _checked(self, tokens: np.ndarray, axes: int) -> np.ndarray:
        """Return tokens that can be looked up."""
        tokens = np.asarray(tokens)
        wanted = "(b, t)" if axes == 2 else "(b,)"
        if tokens.ndim != axes or tokens.size == 0 or tokens.dtype.kind not in "iu":
            raise InputError(
                f"tokens must be integers of shape {wanted}, at least one, got {tokens.dtype} of shape {tokens.shape}"
            )
        if axes == 2 and tokens.shape[1] > self.shape.context:
            raise InputError(
                f"the model reads at most {self.shape.context} characters at once, got {tokens.shape[1]}; "
                "give the last part of the text"
            )
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= self.shape.vocabulary:
            raise InputError(
                f"tokens must be in 0..{self.shape.vocabulary - 1}, the model's vocabulary; "
                f"got {low if low < 0 else high}"
            )
        return tokens


def logits_reference(model: PackedModel, tokens: Integer[np.ndarray, "b t"]) -> Float[np.ndarray, "b t vocabulary"]:
    """Compute `PackedModel.logits` plainly: unpacked signs, whole sequences, everything in float64."""
    shape = model.shape
    batch, time = tokens.shape
    h = model.embedding[tokens].astype(np.float64).reshape(batch * time, shape.width)
    rotary = attention.rotary_table(time, shape.width // shape.heads // 2)

    def through(projection: PackedProjection, h: np.ndarray, gain: np.ndarray, shift: Shift = "nowhere") -> np.ndarray:
        q, gamma = rows.normalize_reference(h, gain, shift=shift)
        signs = cores.unpack_signs(projection.signs).astype(np.float64)
        return projection.beta * (gamma / rows.LEVELS)[:, None] * (q.astype(np.float64) @ signs.T)

    def split(x: np.ndarray) -> np.ndarray:
        return x.reshape(batch, time, shape.heads, -1)

    for block in model.blocks:
        query, key, value, output, up, down = block.projections()
        q, k, v = (split(through(projection, h, block.attention_norm)) for projection in (query, key, value))
        gathered = attention.attend_reference(
            attention.rotate_reference(q, rotary), attention.rotate_reference(k, rotary), v
        )
        h = h + through(output, gathered.reshape(h.shape), block.attention_sub_norm)
        x = through(up, h, block.feed_norm, model.shift)
        hidden = rows.activate_reference(x, gelu=shape.activation == "gelu")
        h = h + through(down, hidden, block.feed_sub_norm)
    logits = rows.layer_norm(h, model.norm) @ model.head.T.astype(np.float64)
    return logits.reshape(batch, time, shape.vocabulary)
