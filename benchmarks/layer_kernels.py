"""Kernels of a convolutional network and a Transformer: layer by layer, by Jacobians, and neural-tangents 0.6.5.

Run `python -m benchmarks.layer_kernels [n]` (256 inputs; some 12 minutes on two cores), which prints the tables of
docs/kernels.md. Every contestant runs in processes of its own, in turn, twice: the least of four times after compiling,
and how far the process's peak rises above what it holds with code compiled and the allocator emptied. Ours are held to
a budget of 1 GiB. A contestant that cannot handle the network, or for which 20 GB do not suffice, is marked so.
"""

from __future__ import annotations

import ctypes
import gc
import json
import resource
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import psutil
from jax import lax

from benchmarks.environment import run_module
from ntk1bit.autodiff import infinite, ntk

N, PROCESSES, CALLS = 256, 2, 2
CHANNELS, LAYERS, DIM, TOKENS, WORDS, HEADS = (16, 16, 32, 64), 4, 128, 64, 64, 4
LIMIT = 20 << 30
OURS = ("layers", "jacobian")  # vector products take ten times as long, and neural-tangents' more memory than there is
THEIRS = ("STRUCTURED_DERIVATIVES", "JACOBIAN_CONTRACTION")
Task = tuple[Callable[[Any, Any], Any], Any, Any]


def residual(outputs: int, n: int) -> Task:
    """Return a residual network of ten convolutions with layer norms, at n images of 32 x 32 with three colours."""
    rng = np.random.default_rng(0)

    def weight(*shape: int) -> jax.Array:
        return jnp.asarray(rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1])), jnp.float32)

    params: dict[str, Any] = {"stem": weight(3, 3, 3, CHANNELS[0])}
    before = (CHANNELS[0], *CHANNELS[:-1])
    for at, (fan_in, fan_out) in enumerate(zip(before, CHANNELS, strict=True)):
        params |= {f"{at} first": weight(3, 3, fan_in, fan_out), f"{at} second": weight(3, 3, fan_out, fan_out)}
        params |= {f"{at} scale": jnp.ones(fan_in), f"{at} other scale": jnp.ones(fan_out)}
        if fan_in != fan_out:
            params[f"{at} past"] = weight(1, 1, fan_in, fan_out)
    params["head"] = weight(CHANNELS[-1], outputs)

    def conv(x: Any, w: Any, stride: int = 1) -> Any:
        return lax.conv_general_dilated(x, w, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def normed(x: Any, scale: Any) -> Any:
        apart = x - x.mean((1, 2, 3), keepdims=True)
        return jax.nn.relu(apart * lax.rsqrt((apart**2).mean((1, 2, 3), keepdims=True) + 1e-5) * scale)

    def f(p: Any, x: Any) -> Any:
        h = conv(x, p["stem"])
        for at in range(len(CHANNELS)):
            stride = 2 if f"{at} past" in p else 1
            inner = conv(normed(h, p[f"{at} scale"]), p[f"{at} first"], stride)
            past = conv(h, p[f"{at} past"], stride) if f"{at} past" in p else h
            h = past + conv(normed(inner, p[f"{at} other scale"]), p[f"{at} second"])
        return h.mean((1, 2)) @ p["head"]

    return f, params, jnp.asarray(rng.standard_normal((n, 32, 32, 3)), jnp.float32)


def transformer(outputs: int, n: int) -> Task:
    """Return a Transformer of four layers, d = 128, that answers after the last of 64 tokens."""
    rng = np.random.default_rng(0)

    def weight(*shape: int) -> jax.Array:
        return jnp.asarray(rng.standard_normal(shape) / np.sqrt(shape[0]), jnp.float32)

    params: dict[str, Any] = {"words": weight(WORDS, DIM) * 8, "places": weight(TOKENS, DIM) * 8}
    for at in range(LAYERS):
        params |= {f"{at} {name}": weight(DIM, DIM) for name in ("q", "k", "v", "o")}
        params |= {f"{at} up": weight(DIM, 4 * DIM), f"{at} down": weight(4 * DIM, DIM)}
        params |= {f"{at} scale": jnp.ones(DIM), f"{at} other scale": jnp.ones(DIM)}
    params["head"] = weight(DIM, outputs)
    past = np.tril(np.ones((TOKENS, TOKENS), bool))

    def normed(x: Any, scale: Any) -> Any:
        return x * lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-6) * scale

    def f(p: Any, tokens: Any) -> Any:
        h = p["words"][tokens] + p["places"]
        for at in range(LAYERS):
            a = normed(h, p[f"{at} scale"])
            q, k, v = ((a @ p[f"{at} {name}"]).reshape(*a.shape[:2], HEADS, -1) for name in "qkv")
            scores = jnp.einsum("bthc,bshc->bhts", q, k) / np.sqrt(DIM // HEADS)
            mixed = jnp.einsum("bhts,bshc->bthc", jax.nn.softmax(jnp.where(past, scores, -1e9), axis=-1), v)
            h = h + mixed.reshape(h.shape) @ p[f"{at} o"]
            h = h + jax.nn.gelu(normed(h, p[f"{at} other scale"]) @ p[f"{at} up"]) @ p[f"{at} down"]
        return h[:, -1] @ p["head"]

    return f, params, jnp.asarray(rng.integers(0, WORDS, (n, TOKENS)))


TASKS: dict[str, Callable[[int, int], Task]] = {"residual network": residual, "Transformer": transformer}


def compete(task: str, outputs: int, n: int, contestant: str) -> dict[str, Any]:
    """Time one contestant, in this process."""
    f, params, x = TASKS[task](outputs, n)

    def call() -> np.ndarray:
        if contestant in OURS:
            return ntk(f, params, x, method=contestant, memory_budget=1 << 30)  # pyright: ignore[reportArgumentType]
        return infinite.structured_ntk(f, params, x, implementation=contestant)

    result = call()
    seconds = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # of glibc: what is free goes back, so that the next call's growth is all it takes
    process, done = psutil.Process(), threading.Event()
    start = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, process.memory_info().rss)
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    call()
    done.set()
    watcher.join()
    some = result[:: max(1, n // 8), :: max(1, n // 8)]
    return {"seconds": min(seconds), "memory": (peak - start) / 2**20, "entries": some.ravel().tolist()}


def in_processes(task: str, outputs: int, n: int, contestant: str, seen: dict[str, list[Any]]) -> None:
    """Add what a contestant did in a process of its own."""
    arguments = [task, str(outputs), str(n), contestant]
    child = run_module("benchmarks.layer_kernels", arguments, variables={"OPENBLAS_NUM_THREADS": "1"}, capture=True)
    ended = child.stdout.splitlines()
    seen.setdefault(contestant, []).append(json.loads(ended[-1]) if child.returncode == 0 and ended else None)


def main(n: int) -> None:
    """Print a table for each network and number of outputs."""
    for task in TASKS:
        for outputs in (1, 10):
            seen: dict[str, list[Any]] = {}
            for turn in range(PROCESSES):
                for contestant in (*OURS, *THEIRS):
                    if turn == 0 or seen[contestant][0] is not None:
                        in_processes(task, outputs, n, contestant, seen)
            first = seen[OURS[0]]
            best = min(one["seconds"] for one in first)
            count = sum(one.size for one in jax.tree.leaves(TASKS[task](outputs, 1)[1]))
            print(f"\n{task}, {count:,} parameters, {outputs} output(s), n = {n}\n")
            print("| | seconds | times ntk | added peak MiB |\n|---|---|---|---|")
            for contestant, runs in seen.items():
                name = f"ntk, {contestant}" if contestant in OURS else f"neural-tangents, {contestant.lower()}"
                if runs[0] is None:
                    print(f"| {name} | not possible, or over {LIMIT >> 30} GB | | |")
                    continue
                error = np.abs(np.subtract(runs[0]["entries"], first[0]["entries"])).max()
                if not error < 1e-4 * np.abs(first[0]["entries"]).max():
                    raise SystemExit(f"{task}: {contestant} differs by {error:.1e}")
                seconds = min(one["seconds"] for one in runs)
                memory = max(one["memory"] for one in runs)
                print(f"| {name} | {seconds:.2f} | {seconds / best:.2f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
        task, outputs, n, contestant = sys.argv[1:]
        print(json.dumps(compete(task, int(outputs), int(n), contestant)))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else N)
