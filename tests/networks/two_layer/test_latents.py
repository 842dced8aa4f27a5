"""Weights in a file, a part of the neurons in memory: the same bits as with all of them in memory."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from ntk1bit import cores
from ntk1bit.errors import InputError
from ntk1bit.networks import two_layer
from ntk1bit.networks.two_layer import TrainingMemory, Trajectory, Weights

from .test_network import unit

RECORDED = [name for name in Trajectory.__dataclass_fields__ if name not in ("final", "eta", "diverged")]


def task(n: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    return unit(n, dim, seed=3), np.linspace(-1, 1, n).astype(np.float32) if n > 1 else np.ones(1, np.float32)


def least(start: Any, n: int, n_test: int, steps: int) -> int:
    """Return the smallest limit of a training recorded at every step: 512 neurons at a time."""
    return TrainingMemory(start.width, start.dim, n, n_test, steps, steps + 1).least


def assert_same(found: Trajectory, expected: Trajectory) -> None:
    for name in RECORDED:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert (found.eta, found.diverged) == (expected.eta, expected.diverged)
    np.testing.assert_array_equal(found.final.w, expected.final.w)
    np.testing.assert_array_equal(found.final.a, expected.final.a)


@pytest.mark.parametrize("precision", ["one_bit", "full"])
@pytest.mark.parametrize(("scale", "init"), [("std", "iid"), ("absmean", "paired"), ("std", "paired")])
@pytest.mark.parametrize(
    ("width", "dim", "n", "n_test"),
    [(1026, 33, 5, 3), (2048, 64, 40, 9), (3076, 7, 33, 0), (20_002, 1, 1, 1), (9998, 20, 70, 17), (20_002, 5, 1, 2)],
)
def test_a_training_in_parts_gives_the_same_bits(width, dim, n, n_test, scale, init, precision, tmp_path):
    x, y = task(n, dim)
    drawn = two_layer.DrawnWeights(width + (init == "iid"), dim, seed=2, init=init)  # an odd width where it may be
    options = {"precision": precision, "scale": scale, "kappa": 0.9, "steps": 6, "x_test": unit(n_test, dim, seed=4)}
    expected = two_layer.train(x, y, drawn.weights(), **options)
    limit = least(drawn, n, n_test, 6)
    for start in (drawn, drawn.weights()):
        found = two_layer.train(x, y, start, memory=limit, scratch=tmp_path / "key", **options)
        assert isinstance(found.final.w, np.memmap)
        assert_same(found, expected)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["one_bit", "full"])
def test_neither_threads_nor_the_limit_change_a_bit(precision):
    x, y = task(70, 33)
    start = two_layer.DrawnWeights(9001, 33, seed=0)
    expected = two_layer.train(x, y, start, precision=precision, steps=8, x_test=x)
    fewest = least(start, 70, 70, 8)
    sizes = TrainingMemory(9001, 33, 70, 70, 8, 9)
    for threads in (1, 2, 3, 2):
        for limit in (fewest, (fewest + sizes.whole) // 2, sizes.whole):
            with cores.using(threads=threads):
                found = two_layer.train(x, y, start, precision=precision, steps=8, x_test=x, memory=limit)
            assert isinstance(found.final.w, np.memmap) == (limit < sizes.whole)
            assert_same(found, expected)


@pytest.mark.parametrize("backend", [name for name in cores.available_backends() if name != "blas"])
def test_every_backend_of_compiled_cores(backend):
    x, y = task(40, 41)
    start = two_layer.DrawnWeights(3001, 41, seed=0)
    with cores.using(backend=backend):
        expected = two_layer.train(x, y, start, steps=5)
        assert_same(two_layer.train(x, y, start, steps=5, memory=least(start, 40, 0, 5)), expected)


@pytest.mark.parametrize(("precision", "eta_rel"), [("full", 1e4), ("full", 1e30), ("one_bit", 1e30)])
def test_a_diverging_training(precision, eta_rel):
    x, y = task(16, 6)
    start = two_layer.DrawnWeights(6000, 6, seed=0)
    options = {"precision": precision, "eta_rel": eta_rel, "steps": 100}
    with np.errstate(all="ignore"):
        expected = two_layer.train(x, y, start, **options)
        found = two_layer.train(x, y, start, memory=least(start, 16, 0, 100), **options)
    assert found.diverged
    assert_same(found, expected)


def test_networks_are_observed_in_training_and_kept_after_it(tmp_path):
    x, y = task(9, 5)
    start = two_layer.DrawnWeights(6000, 5, seed=0)
    seen: dict[str, list[np.ndarray]] = {"whole": [], "parts": []}

    def train(name: str, memory: int | None) -> Trajectory:
        def observe(now: Weights, _: float) -> None:
            seen[name].append(now.w.copy())

        return two_layer.train(x, y, start, steps=4, observe=observe, memory=memory, scratch=tmp_path / "key")

    assert_same(train("parts", least(start, 9, 0, 4)), train("whole", None))
    np.testing.assert_array_equal(seen["parts"], seen["whole"])
    kept = two_layer.train(x, y, start, steps=1, memory=least(start, 9, 0, 1)).final
    assert np.isfinite(two_layer.outputs(x, kept)).all()
    with pytest.raises(ValueError, match="read-only"):
        kept.w[0, 0] = 1.0


@pytest.mark.parametrize("problem", [KeyboardInterrupt, OSError])
def test_nothing_is_left_after_an_exception(problem, tmp_path):
    x, y = task(9, 5)
    start = two_layer.DrawnWeights(6000, 5, seed=0)

    def stop(*_: object) -> None:
        raise problem

    with pytest.raises(problem):
        two_layer.train(x, y, start, steps=4, progress=stop, memory=least(start, 9, 0, 4), scratch=tmp_path / "key")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a file in use may need its name")
def test_nothing_is_left_of_a_killed_process(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from ntk1bit.networks import two_layer\n"
        "start = two_layer.DrawnWeights(6000, 5, seed=0)\n"
        "limit = two_layer.TrainingMemory(6000, 5, 4, 0, 3, 4).least\n"
        "def stop(*_):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "x = np.random.default_rng(0).standard_normal((4, 5))\n"
        "two_layer.train(x, np.ones(4), start, steps=3, memory=limit, scratch=Path(sys.argv[1]), progress=stop)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "key")], capture_output=True)
    assert done.returncode == -9, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("untyped")
def test_limits_that_cannot_be_kept_are_refused_in_one_line(tmp_path):
    x, y = task(9, 5)
    start = two_layer.DrawnWeights(6000, 5, seed=0)
    fewest = least(start, 9, 0, 4)
    wide = Weights(start.weights().w.astype(float), start.a.astype(float))

    def stepped(*_: object) -> None:
        raise AssertionError

    cases: list[tuple[dict[str, Any], str]] = [
        ({"memory": fewest - 1}, r"width 6000 with 9 training inputs takes at least \d MB of memory, and the limit is"),
        ({"memory": 0}, "a whole number of bytes"),
        ({"memory": 1.5}, "a whole number of bytes"),
        ({"memory": fewest, "reference": True}, "leave it out with reference"),
        ({"memory": fewest, "weights": wide}, "leave it out with reference"),
        ({"memory": fewest, "scratch": tmp_path / "missing" / "key"}, "does not exist; make it first"),
    ]
    for given, message in cases:
        with pytest.raises(InputError, match=message) as told:
            two_layer.train(x, y, **{"weights": start, "steps": 4, "progress": stepped, **given})
        assert "\n" not in str(told.value)
    with cores.using(backend="blas"), pytest.raises(InputError, match="compiled cores"):
        two_layer.train(x, y, start, steps=4, memory=fewest)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
@pytest.mark.parametrize("precision", ["one_bit", "full"])
def test_a_million_neurons(precision, tmp_path):
    """2^20 neurons with 256 inputs of 64 features: resident memory of the process, libraries and all, below 500 MB."""
    code = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from ntk1bit.networks import two_layer\n"
        "x = np.random.default_rng(0).standard_normal((256, 64)).astype(np.float32)\n"
        "x /= np.linalg.norm(x, axis=1, keepdims=True)\n"
        "start = two_layer.DrawnWeights(2**20, 64, seed=0, init='paired')\n"
        "options = {'precision': sys.argv[1], 'steps': 3, 'memory': 150_000_000, 'scratch': Path(sys.argv[2])}\n"
        "run = two_layer.train(x, np.sign(x[:, 0]), start, **options)\n"
        "peak = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]\n"  # ru_maxrss is inherited
        "print(int(peak) * 1024, run.loss[0], run.loss[-1])\n"
    )
    call = [sys.executable, "-c", code, precision, str(tmp_path / "key")]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    peak, first, last = map(float, done.stdout.split())
    assert peak < 500e6
    assert first == 128.0  # a paired network is exactly 0 at the start: 256 targets of +-1
    assert last < first
