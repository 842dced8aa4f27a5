"""The same bits for any number of threads, from run to run, and inside worker processes."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ntk1bit import cores
from ntk1bit.cores.backends import environment_of


def digest_of_everything(backend: str, threads: int, *, few: bool = True) -> str:
    """Hash the results of every product on shapes that are cut into many pieces, and of products of few inputs."""
    rng = np.random.default_rng(7)
    n, d, m = 150, 100, 6500
    x = rng.standard_normal((n, d)).astype(np.float32)
    w = rng.standard_normal((m, d)).astype(np.float32)
    a = np.where(rng.random(m) < 0.5, -1, 1).astype(np.float32)
    q = rng.integers(-128, 128, (n, d)).astype(np.int8)
    ternary = cores.pack_ternary(rng.integers(-1, 2, (m, d)))
    found = hashlib.sha256()
    with cores.using(backend=backend, threads=threads):
        neurons = cores.pack_neurons(w)
        one_bit, full = cores.forward_one_bit(x, neurons, a), cores.forward_full(x, w, a)
        moved = cores.descend_one_bit(w, a, one_bit.active, x, step=0.01)
        for array in (
            cores.sign_matmul(x[: 3 * few], neurons.signs),
            cores.sign_matmul_int8(q[: 3 * few], neurons.signs),
            cores.ternary_matmul(x[: 3 * few], ternary),
            cores.ternary_matmul_int8(q[: 3 * few], ternary),
            *(neurons.signs.words, neurons.s, neurons.mu, moved.signs.words, moved.s, moved.mu, w),
            *(one_bit.active.words, one_bit.total, full.active.words, full.total),
            cores.sign_matmul(x, neurons.signs),
            cores.sign_matmul_int8(q, neurons.signs),
            cores.ternary_matmul(x, ternary),
            cores.ternary_matmul_int8(q, ternary),
            cores.masked_product(one_bit.active, x),
            cores.bit_gram(one_bit.active),
            cores.bit_gram(one_bit.active, full.active),
        ):
            found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def test_threads_do_not_change_a_bit(backend):
    alone = digest_of_everything(backend, 1)
    for threads in (2, 3, 8):
        assert digest_of_everything(backend, threads) == alone


def test_many_repeats_on_two_threads(backend):
    assert len({digest_of_everything(backend, 2) for _ in range(25)}) == 1


def test_concurrent_callers_do_not_disturb_each_other(backend):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(digest_of_everything, [backend] * 12, [2] * 12))
    assert found == {digest_of_everything(backend, 1)}


def test_worker_processes_agree(backend):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        found = set(pool.map(digest_of_everything, [backend] * 6, [1, 2] * 3))
    assert found == {digest_of_everything(backend, 1)}


def test_explicit_vectors_give_the_same_bits_on_every_instruction_set():
    """Training and kernels rest on products of many inputs, which are the same code in all backends but one."""
    found = {digest_of_everything(each, 2, few=False) for each in cores.available_backends() if each != "blas"}
    assert len(found) <= 1


@pytest.mark.skipif("avx2" not in cores.available_backends(), reason="this processor has no AVX2")
def test_a_processor_with_avx2_alone_gives_the_same_bits():
    """A process that takes this processor for one without AVX-512 compiles other instructions from the same code."""
    program = """
from tests.cores.test_determinism import *
print(cores.settings().backend, digest_of_everything("avx2", 2))
"""
    environment = os.environ | environment_of("avx2")
    command = [sys.executable, "-c", program]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["avx2", digest_of_everything("avx2", 1)]


@pytest.mark.slow
def test_very_many_repeats_on_two_threads(backend):
    assert len({digest_of_everything(backend, 2) for _ in range(100)}) == 1
