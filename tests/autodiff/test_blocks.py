from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import warnings
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import blocks, derivatives, ntk

METHODS: list[Literal["layers", "jacobian", "vector_products"]] = ["layers", "jacobian", "vector_products"]
RNG = np.random.default_rng(0)
PARAMS = {
    "conv": RNG.standard_normal((3, 3, 1, 4)).astype(np.float32),
    "deep": RNG.standard_normal((16, 16)).astype(np.float32) / 4,
    "out": RNG.standard_normal((4, 3)).astype(np.float32),
}
X = RNG.standard_normal((9, 8, 8, 1)).astype(np.float32)


def conv(p, x):
    h = jax.lax.conv_general_dilated(x, p["conv"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.nn.relu(h).mean(axis=(1, 2)) @ p["out"]


def scan(p, x):
    h = x.reshape(len(x), -1)[:, :16]
    return jax.lax.scan(lambda h, _: (jnp.tanh(h @ p["deep"]), None), h, None, length=30)[0][:, :2]


def remat(p, x):
    h = x.reshape(len(x), -1)[:, :16]
    for _ in range(3):
        h = jax.checkpoint(lambda h: jnp.tanh(h @ p["deep"]))(h)
    return h[:, :2]


@pytest.mark.parametrize("f", [conv, scan, remat])
@pytest.mark.parametrize("method", METHODS)
def test_no_block_is_larger_than_the_budget(f, method, monkeypatch):
    budget, asked = 60_000, []
    honest = derivatives.Code.bytes

    def asking(self, network, budget, *args):
        asked.append(honest(self, network, 0, *args))  # of the compiler, not of the bound
        return asked[-1]

    expected = ntk(f, PARAMS, X, method=method)
    monkeypatch.setattr(derivatives.Code, "bytes", asking)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it can be held
        found = ntk(f, PARAMS, X, method=method, memory_budget=budget)
    assert asked[-1] <= budget
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())  # float32 sums


@pytest.mark.parametrize("method", [*METHODS, "auto"])
def test_a_budget_that_cannot_be_held_is_told(method):
    with pytest.warns(UserWarning, match=r"memory_budget is 0\.0 MiB, but method .* activations included"):
        found = ntk(conv, PARAMS, X, method=method, memory_budget=1000)
    np.testing.assert_allclose(found, ntk(conv, PARAMS, X), rtol=1e-4, atol=1e-4)


def test_an_ample_budget_asks_the_compiler_nothing(monkeypatch):
    monkeypatch.setattr(derivatives.Code, "bytes", lambda self, network, budget, rows, *_: self.bound * rows)
    assert ntk(conv, PARAMS, X).shape == (9, 9)


def test_auto_changes_to_vector_products_when_rows_do_not_fit(monkeypatch):
    monkeypatch.setattr(blocks, "by_jacobian", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert ntk(conv, PARAMS, X, trace_outputs=False, memory_budget=12_000).shape == (9, 9, 3, 3)


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("outputs", [3, 2, 1])
@pytest.mark.parametrize(("rows", "block", "part"), [(9, 9, 9), (9, 9, 4), (9, 4, 4), (4, 4, 3), (6, 3, 2), (1, 1, 1)])
def test_however_a_kernel_is_cut_up_it_is_the_same(rows, block, part, outputs, trace, monkeypatch):
    honest = blocks.plan_jacobian
    expected = ntk(conv, PARAMS, X, trace_outputs=trace), ntk(conv, PARAMS, X, X[:7], trace_outputs=trace)

    def cut(*args, **options):
        plan = honest(*args, **options)._replace(rows=rows, block=block, part=part)
        return plan._replace(outputs=outputs) if trace else plan

    monkeypatch.setattr(blocks, "plan_jacobian", cut)
    calls = []
    found = ntk(conv, PARAMS, X, trace_outputs=trace, progress=lambda _, share: calls.append(share))
    assert calls == [(k + 1) / len(calls) for k in range(len(calls))]
    for kernel, right in zip((found, ntk(conv, PARAMS, X, X[:7], trace_outputs=trace)), expected, strict=True):
        np.testing.assert_allclose(kernel, right, rtol=1e-4, atol=1e-5 * np.abs(right).max())  # float32 sums
    np.testing.assert_array_equal(found, found.T if trace else found.transpose(1, 0, 3, 2))


@pytest.mark.slow
@pytest.mark.parametrize("n", [150])
def test_a_convolutional_network_keeps_to_its_budget(n):
    code = f"""
        import threading, time
        import jax, jax.numpy as jnp, numpy as np, psutil
        from ntk1bit.autodiff import ntk

        rng = np.random.default_rng(0)
        p = [jnp.asarray(rng.standard_normal(s), jnp.float32) for s in ((3, 3, 1, 64), (64, 10))]
        x = jnp.asarray(rng.standard_normal(({n}, 28, 28, 1)), jnp.float32)

        def f(p, x):
            h = jax.lax.conv_general_dilated(x, p[0], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            h = jax.lax.reduce_window(jax.nn.relu(h), -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
            return h.mean((1, 2)) @ p[1]

        process, done = psutil.Process(), threading.Event()
        ntk(f, p, x, memory_budget=128 << 20)  # compiles
        start = peak = process.memory_info().rss

        def watch():
            global peak
            while not done.is_set():
                peak = max(peak, process.memory_info().rss)
                time.sleep(0.001)

        watcher = threading.Thread(target=watch)
        watcher.start()
        ntk(f, p, x, memory_budget=128 << 20)
        done.set()
        watcher.join()
        print((peak - start) / (128 << 20))
    """
    optimised = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}  # as users have it
    command = [sys.executable, "-c", textwrap.dedent(code)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=optimised)
    # half as much again for what the allocator and the convolutions' workspaces take beside XLA's own buffers
    assert float(run.stdout) < 1.5
