"""One character through a Transformer from packed signs, against the same layers in float32.

    python -m benchmarks.packed_inference [--threads 1,2] [--rounds 9] [--widths 1024,2048] [--batches 1,16]

A model of one layer, 64 characters of each sequence read before: embedding, norms, attention over what was read, six
projections, head. Rivals have the signs times beta as float32 matrices, need no rounding of activations, and keep keys
and values too: JAX jitted with donated caches, and NumPy on BLAS, each with its matrices stored in both ways. All take
turns in one process, and there is one for each number of threads, since XLA takes their number when it starts. With one
thread the time is the processor's, which other programs on the machine do not lengthen by taking it away; with more it
is the clock's.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.contest import Contest, Pair, Sizes, goals
from benchmarks.environment import run_module
from benchmarks.rounds import Result, all_on, race, result
from ntk1bit import cores
from ntk1bit.networks.transformer_shape import Shape as TransformerShape
from ntk1bit.packed.attention import rotary_table
from ntk1bit.packed.model import PackedBlock, PackedModel, PackedProjection
from ntk1bit.packed.rows import activate_reference, layer_norm

READ = 64  # characters before the one that is timed
VOCABULARY = 88
TOLERANCE = 0.1  # of the logits' size: what the rounding of activations to 8 bits changes in one layer, and more
_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
_CHILD = "--in-this-process"


def decode(sizes: Sizes, rng: np.random.Generator) -> Contest:
    """Race one character of n sequences through a layer of width d (m = 4 d is its hidden size)."""
    batch, width = sizes.n, sizes.d
    model = random_model(width, rng)
    tokens = rng.integers(VOCABULARY, size=(batch, READ + 1))
    cache = model.start(batch)
    model.prefill(cache, tokens[:, :READ])
    keys, values = cache.keys[0, :, :, 0, :, :READ].copy(), cache.values[0, :, :, :READ].copy()
    last = tokens[:, READ].copy()

    def ours() -> np.ndarray:
        cache.length = READ
        return model.decode(cache, last)

    dense = Dense(model)
    rivals: dict[str, Callable[[], object]] = {
        "numpy x w'": dense.in_numpy(last, keys, values, transposed=False),
        "numpy x w": dense.in_numpy(last, keys, values, transposed=True),
    }
    if cores.settings().threads >= (os.cpu_count() or 1) or _ONE_THREAD in os.environ.get("XLA_FLAGS", ""):
        rivals["jax x w'"] = dense.in_jax(last, keys, values, transposed=False)
        rivals["jax x w"] = dense.in_jax(last, keys, values, transposed=True)
    expected = ours()
    for run in rivals.values():
        error = np.asarray(run()) - expected
        assert np.sqrt(np.mean(error**2)) <= TOLERANCE * expected.std()
    return Contest(ours, rivals, model.packed_bytes, model.float32_bytes)


def random_model(width: int, rng: np.random.Generator) -> PackedModel:
    """Return a packed model of one layer with random signs and heads of 64 (or fewer) channels."""
    heads = max(1, width // 64)

    def projection(outputs: int, inputs: int) -> PackedProjection:
        return PackedProjection(cores.pack_signs(rng.random((outputs, inputs)) < 0.5), float(inputs) ** -0.5)

    padded = -(-width // 16) * 16
    block = PackedBlock(
        attention_norm=np.ones(width, np.float32),
        attention=projection(3 * padded, width).signs,
        attention_scales=np.full(3, width**-0.5, np.float32),
        attention_sub_norm=np.ones(width, np.float32),
        output=projection(width, width),
        feed_norm=np.ones(width, np.float32),
        up=projection(4 * width, width),
        feed_sub_norm=np.ones(4 * width, np.float32),
        down=projection(width, 4 * width),
    )
    embedding = rng.standard_normal((VOCABULARY, width), dtype=np.float32) / np.float32(width**0.5)
    shape = TransformerShape(1, width, heads, VOCABULARY, 4 * READ, "gelu", tied=True)
    return PackedModel(shape, embedding, (block,), np.ones(width, np.float32), embedding)


class Dense:
    """The float32 form of a packed model of one layer, with query, key and value in one matrix as there."""

    def __init__(self, model: PackedModel) -> None:
        query, key, value, *rest = (
            np.float32(beta) * cores.unpack_signs(signs).astype(np.float32)
            for signs, beta in model.blocks[0].projections()
        )
        self.matrices = [np.concatenate([query, key, value]), *rest]
        self.model = model

    def stored(self, *, transposed: bool) -> list[np.ndarray]:
        """Return matrices to be used as `x @ w`: transposed ones lie as (in, out), the others as (out, in)."""
        return [np.ascontiguousarray(w.T) if transposed else w.T for w in self.matrices]

    def in_numpy(
        self, tokens: np.ndarray, keys: np.ndarray, values: np.ndarray, *, transposed: bool
    ) -> Callable[[], np.ndarray]:
        """Return one step in NumPy; keys (b, heads, size, time) and values (b, heads, time, size)."""
        attention, output, up, down = self.stored(transposed=transposed)
        model, block = self.model, self.model.blocks[0]
        batch, heads, size, _ = keys.shape
        all_keys = np.concatenate([keys, np.empty_like(keys[..., :1])], axis=3)
        all_values = np.concatenate([values, np.empty_like(values[:, :, :1])], axis=2)
        cosine, sine = rotary_table(READ + 1, size // 2)[:, READ]

        def rotate(x: np.ndarray) -> np.ndarray:
            left, right = x[..., : size // 2], x[..., size // 2 :]
            return np.concatenate([left * cosine - right * sine, left * sine + right * cosine], axis=-1)

        def run() -> np.ndarray:
            h = model.embedding[tokens]
            q, k, v = (layer_norm(h, block.attention_norm) @ attention).reshape(batch, 3, heads, size).swapaxes(0, 1)
            all_keys[..., READ], all_values[:, :, READ] = rotate(k), v
            scores = (rotate(q)[:, :, None] @ all_keys)[:, :, 0] * np.float32(size**-0.5)
            shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
            shares /= shares.sum(axis=-1, keepdims=True)
            gathered = (shares[:, :, None] @ all_values).reshape(batch, heads * size)
            h = h + layer_norm(gathered, block.attention_sub_norm) @ output
            hidden = activate_reference(layer_norm(h, block.feed_norm) @ up, gelu=True)
            h = h + layer_norm(hidden, block.feed_sub_norm) @ down
            return layer_norm(h, model.norm) @ model.head.T

        return run

    def in_jax(
        self, tokens: np.ndarray, keys: np.ndarray, values: np.ndarray, *, transposed: bool
    ) -> Callable[[], np.ndarray]:
        """Return one jitted step, which is given the caches and gives them back; as (b, heads, time, size) both."""
        import jax
        import jax.numpy as jnp

        from ntk1bit.networks.bitlinear import LayerNorm
        from ntk1bit.networks.transformer import rotate

        batch, heads, size, _ = keys.shape
        block = self.model.blocks[0]
        gains = (block.attention_norm, block.attention_sub_norm, block.feed_norm, block.feed_sub_norm)
        weights = jax.tree.map(
            jnp.asarray,
            (self.stored(transposed=True) if transposed else self.matrices, gains, self.model.norm, self.model.head),
        )

        def times(x: jax.Array, w: jax.Array) -> jax.Array:
            return x @ w if transposed else x @ w.T

        @functools.partial(jax.jit, donate_argnums=(1, 2))
        def advance(weights: Any, keys: jax.Array, values: jax.Array, tokens: jax.Array) -> tuple[jax.Array, ...]:
            (attention, output, up, down), (first, second, third, fourth), last, head = weights
            h = head[tokens]
            q, k, v = jnp.split(times(LayerNorm(first)(h), attention).reshape(batch, 3 * heads, size), 3, axis=1)
            keys = keys.at[:, :, READ].set(rotate(k[:, None], first=READ)[:, 0])
            values = values.at[:, :, READ].set(v)
            scores = jnp.einsum("bhc,bhkc->bhk", rotate(q[:, None], first=READ)[:, 0], keys) * size**-0.5
            gathered = jnp.einsum("bhk,bhkc->bhc", jax.nn.softmax(scores, axis=-1), values)
            h = h + times(LayerNorm(second)(gathered.reshape(batch, heads * size)), output)
            h = h + times(LayerNorm(fourth)(jax.nn.gelu(times(LayerNorm(third)(h), up))), down)
            return LayerNorm(last)(h) @ head.T, keys, values

        one_more = ((0, 0), (0, 0), (0, 1), (0, 0))
        state = [jnp.asarray(np.pad(part, one_more)) for part in (keys.swapaxes(2, 3), values)]
        given = jnp.asarray(tokens)

        def run() -> np.ndarray:
            logits, *state[:] = advance(weights, *state, given)
            return np.asarray(logits.block_until_ready())

        return run


def _pair(batch: int, width: int) -> Pair:
    return Pair(
        "packed_decode",
        Sizes(batch, width, 4 * width),
        decode,
        goals(avx512=5, avx2=6) if batch == 1 else goals(avx2=4),
    )


PAIRS = tuple(_pair(batch, width) for width in (1024, 2048) for batch in (1, 16))


def results(pair: Pair, *, threads: int, rounds: int) -> Iterator[Result]:
    """Yield a row for JAX and one for NumPy, each at the faster of its two layouts; the goal is for JAX."""
    clock = time.process_time if threads == 1 else time.perf_counter
    with all_on(threads):
        contest = decode(pair.sizes, np.random.default_rng(0))
        times = race(contest, rounds, clock)
    for kind, reached in (("jax", pair.goals), ("numpy", {})):
        rivals = [name for name in contest.rivals if name.startswith(kind)]
        yield result(replace(pair, goals=reached), contest, times, rivals, threads=threads)


def main(arguments: Sequence[str] | None = None) -> int:
    """Race in a process for each number of threads."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.packed_inference", description=__doc__)
    parser.add_argument("--threads", default="1,2", metavar="1,2", help="numbers of threads")
    parser.add_argument("--rounds", type=int, default=9, help="rounds a race; the median counts")
    parser.add_argument("--widths", default="1024,2048", metavar="1024,2048", help="widths d")
    parser.add_argument("--batches", default="1,16", metavar="1,16", help="sequences read together")
    parser.add_argument(_CHILD, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(given)
    threads, widths, batches = (
        [int(part) for part in text.split(",")] for text in (options.threads, options.widths, options.batches)
    )
    if options.in_this_process:
        print(report.header(), flush=True)
        for width, batch in itertools.product(widths, batches):
            for row in results(_pair(batch, width), threads=threads[0], rounds=options.rounds):
                print(report.row(row), flush=True)
        return 0
    for count in threads:
        words = ["--threads", str(count), "--rounds", str(options.rounds), "--widths", options.widths]
        flags = os.environ.get("XLA_FLAGS", "") + " " + (_ONE_THREAD if count == 1 else "")
        child = run_module(
            "benchmarks.packed_inference",
            [*words, "--batches", options.batches, _CHILD],
            variables={"XLA_FLAGS": flags.strip()},
        )
        if child.returncode:
            return child.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
