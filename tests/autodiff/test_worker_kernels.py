from __future__ import annotations

import functools
import sys
import types
import warnings
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
import pytest

from ntk1bit.autodiff import module_ntk, ntk_on_workers, worker_kernels
from ntk1bit.autodiff.missing_gradients.gradient_paths import MissingGradientWarning
from ntk1bit.autodiff.worker_kernels import block_by_block
from ntk1bit.errors import InputError
from ntk1bit.experiments.executors import LocalProcesses
from tests.autodiff import made_networks

MAKERS = {
    "several outputs": made_networks.tanh,
    "signs by custom_vjp": made_networks.one_bit,
    "one number, some parameters": made_networks.one_number,
}


def inputs(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 5)).astype(np.float32)


class Here(Executor):
    """Computes at once, in this thread, and counts; from some call on it fails as a disk or a network would."""

    def __init__(self, until: int = 10**9) -> None:
        self.calls, self._until = 0, until

    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()
        self.calls += 1
        if self.calls > self._until:
            future.set_exception(ConnectionError("the cable\nis out"))
            return future
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as problem:
            future.set_exception(problem)
        return future


@pytest.fixture(scope="module")
def processes():
    pool = LocalProcesses(2)
    yield pool
    pool.shutdown()


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("block", [1, 3, 5, 50])
@pytest.mark.parametrize("trace", [True, False])
def test_blocks_of_any_size_make_the_whole_kernel(maker, block, trace):
    make, x, x2 = MAKERS[maker], inputs(5), inputs(3, seed=1)
    # float32: sums of at most 136 products, in another order
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    own = ntk_on_workers(make, x, executor=Here(), block=block, trace_outputs=trace)
    whole = module_ntk(x=x, trace_outputs=trace, **make())
    assert (own.dtype, own.shape) == (whole.dtype, whole.shape)
    close(own, whole)
    close(own, block_by_block(make, x, block=block, trace_outputs=trace))
    swapped = own.swapaxes(0, 1)
    np.testing.assert_array_equal(own, swapped.swapaxes(2, 3) if own.ndim == 4 else swapped)
    across = ntk_on_workers(make, x, x2, executor=Here(), block=block, trace_outputs=trace)
    close(across, module_ntk(x=x, x2=x2, trace_outputs=trace, **make()))
    close(across, block_by_block(make, x, x2, block=block, trace_outputs=trace))


def test_pairs_above_the_diagonal_are_not_computed():
    executor = Here()
    ntk_on_workers(made_networks.tanh, inputs(7), executor=executor, block=2)
    assert executor.calls == 4 * 5 / 2
    executor = Here()
    ntk_on_workers(made_networks.tanh, inputs(7), inputs(7).copy(), executor=executor, block=2)  # the same inputs
    assert executor.calls == 4 * 5 / 2


def test_more_pairs_than_are_handed_in_at_once(monkeypatch):
    monkeypatch.setattr(worker_kernels, "_AT_ONCE", 3)
    with ThreadPoolExecutor(2) as executor:
        own = ntk_on_workers(made_networks.tanh, inputs(9), executor=executor, block=2)
    np.testing.assert_allclose(own, module_ntk(x=inputs(9), **made_networks.tanh()), rtol=1e-5, atol=1e-5)  # as above


@pytest.mark.parametrize("method", ["jacobian", "vector_products"])
def test_methods_and_trees_of_inputs(method):
    x = {"features": inputs(6), "token": np.arange(6)}
    own = ntk_on_workers(made_networks.of_two_arrays, x, executor=Here(), block=4, method=method)
    np.testing.assert_allclose(own, module_ntk(x=x, **made_networks.of_two_arrays()), rtol=1e-5, atol=1e-5)  # as above
    np.testing.assert_allclose(own, block_by_block(made_networks.of_two_arrays, x, block=4), rtol=1e-5, atol=1e-5)


def test_local_processes_make_the_network_once_each(processes):
    x = inputs(23)
    said: list[tuple[str, float]] = []
    own = ntk_on_workers(
        made_networks.one_bit, x, executor=processes, block=5, progress=lambda what, share: said.append((what, share))
    )
    np.testing.assert_allclose(own, module_ntk(x=x, **made_networks.one_bit()), rtol=1e-5, atol=1e-5)  # as above
    np.testing.assert_array_equal(own, own.T)
    assert said[-1] == ("block 15 of 15", 1.0)
    assert [share for _, share in said] == sorted(share for _, share in said)


def test_workers_compute_in_float64_where_it_is_asked_for(processes):
    with jax.enable_x64(True):
        x = inputs(5).astype(np.float64)
        make = functools.partial(made_networks.tanh, outputs=1)
        own = ntk_on_workers(made_networks.in_float64, x, executor=processes, block=3)
        assert own.dtype == np.float64
        # float64: a few hundred roundings of terms of order 1
        np.testing.assert_allclose(own, module_ntk(x=x, **made_networks.in_float64()), rtol=1e-12, atol=1e-12)
        narrow = ntk_on_workers(make, x, executor=processes, block=3)
    assert narrow.dtype == np.float32


def test_a_killed_worker_is_replaced(processes, tmp_path):
    mark = tmp_path / "killed"
    own = ntk_on_workers(functools.partial(made_networks.killed_once, mark), inputs(5), executor=processes, block=3)
    assert mark.exists()
    np.testing.assert_allclose(own, module_ntk(x=inputs(5), **made_networks.tanh(8)), rtol=1e-5, atol=1e-5)  # as above


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (made_networks.drawn_anew, "make.. returns another network in the worker than here"),
        (made_networks.failing_in_workers, "failed on a worker: FileNotFoundError: no weights on this machine"),
    ],
)
def test_what_fails_in_a_worker_is_told_in_a_line(processes, make, message):
    with pytest.raises(InputError, match=f"inputs 0 to 2 with 0 to 2.*{message}") as told:
        ntk_on_workers(make, inputs(3), executor=processes)
    assert "\n" not in str(told.value)


def test_a_make_that_workers_do_not_find_is_told_of_in_a_line(processes, monkeypatch):
    """As one that is typed in a notebook."""
    here = types.ModuleType("only_here")
    exec("def make():\n    from tests.autodiff.made_networks import tanh\n    return tanh()", here.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", here)
    message = "make is not found in the worker: ModuleNotFoundError: .*'only_here'; define it at the top level of"
    with pytest.raises(InputError, match=message) as told:
        ntk_on_workers(here.__dict__["make"], inputs(3) + 9, executor=processes, memory_budget=1 << 20)
    assert "\n" not in str(told.value)


def test_a_computation_that_was_stopped_goes_on_where_it_was(tmp_path):
    folder, x = tmp_path / "kernel", inputs(8)
    with pytest.raises(
        InputError, match="ConnectionError: the cable is out; finished blocks are in the folder"
    ) as told:
        ntk_on_workers(made_networks.tanh, x, executor=Here(until=4), block=2, folder=folder)
    assert "\n" not in str(told.value)
    rest = Here()
    own = ntk_on_workers(made_networks.tanh, x, executor=rest, block=2, folder=str(folder))
    assert rest.calls == 10 - 4
    np.testing.assert_array_equal(own, ntk_on_workers(made_networks.tanh, x, executor=Here(), block=2))
    nothing = Here(until=0)
    np.testing.assert_array_equal(own, ntk_on_workers(made_networks.tanh, x, executor=nothing, block=2, folder=folder))
    assert nothing.calls == 0


def test_damaged_blocks_are_set_aside_and_computed_anew(tmp_path):
    folder, x = tmp_path / "kernel", inputs(8)
    whole = ntk_on_workers(made_networks.tanh, x, executor=Here(), block=4, folder=folder)
    first, second = (folder / "blocks" / f"{name}.npz" for name in ("0-0", "4-4"))
    data = bytearray(first.read_bytes())
    data[data.index(whole[:4, :4].tobytes())] ^= 1  # a bit of an entry
    first.write_bytes(data)
    second.write_bytes(second.read_bytes()[:-30])
    rest = Here()
    with pytest.warns(UserWarning, match="2 damaged blocks in .* were set aside"):
        own = ntk_on_workers(made_networks.tanh, x, executor=rest, block=4, folder=folder)
    np.testing.assert_array_equal(own, whole)
    assert (rest.calls, len(list((folder / "set_aside").iterdir()))) == (2, 2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"make": functools.partial(made_networks.tanh, seed=1)}, "other network;"),
        ({"make": made_networks.one_bit}, "other network;"),
        ({"x": inputs(4, seed=1)}, "other x;"),
        ({"x2": inputs(4, seed=1)}, "other x2;"),
        ({"block": 3}, r"other block \(2\);"),
        ({"trace_outputs": False}, r"other trace_outputs \(True\);"),
    ],
)
def test_the_folder_of_another_kernel_is_refused(tmp_path, changed, message):
    asked = {"make": made_networks.tanh, "x": inputs(4), "executor": Here(), "block": 2, "folder": tmp_path / "kernel"}
    ntk_on_workers(**asked)
    with pytest.raises(InputError, match=message):
        ntk_on_workers(**asked | changed)


def test_an_estimator_that_has_changed_is_another_network(tmp_path):
    """Forward passes are the same, and only the derivative differs."""
    make = made_networks.with_surrogate
    asked = {"x": inputs(4), "executor": Here(), "folder": tmp_path}
    ntk_on_workers(functools.partial(make, 1.0), **asked)
    ntk_on_workers(functools.partial(make, 1.0), **asked)
    with pytest.raises(InputError, match="other network;"):
        ntk_on_workers(functools.partial(make, 0.5), **asked)


def test_a_worker_takes_the_method_and_budget_of_each_call():
    """The network that it holds is the same."""
    asked = {"x": inputs(4), "executor": Here()}
    ntk_on_workers(made_networks.tanh, **asked)
    with pytest.warns(UserWarning, match="memory_budget is 0.0 MiB, but method"):
        ntk_on_workers(made_networks.tanh, memory_budget=1, **asked)
    ntk_on_workers(made_networks.one_bit, **asked)
    with pytest.raises(InputError, match="custom_vjp, which cannot be pushed forward"):
        ntk_on_workers(made_networks.one_bit, method="vector_products", **asked)


def test_missing_gradients_and_budgets_are_told_of_once():
    with pytest.warns(MissingGradientWarning, match="reaches the output without a derivative") as told:
        ntk_on_workers(made_networks.partly_quantised, inputs(6), executor=Here(), block=2)
    assert len(told) == 1
    with pytest.warns(UserWarning, match=r"memory_budget is 0.0 MiB, but method") as told:
        ntk_on_workers(made_networks.tanh, inputs(6), executor=Here(), block=2, memory_budget=1)
    assert len({str(one.message) for one in told}) == len(told) <= 2  # pairs on the diagonal may need less


def test_a_make_that_carries_arrays_is_told_of():
    make = functools.partial(made_networks.given, np.ones((1 << 18, 2), np.float32))
    with pytest.warns(UserWarning, match=r"make carries 2.0 MiB, which travel with each of 3 pairs"):
        ntk_on_workers(make, np.ones((2, 1), np.float32), executor=Here(), block=1)


def test_a_block_of_dead_inputs_is_no_error_and_a_dead_network_is():
    x = np.array([[-1.0], [-2.0], [3.0]], np.float32)
    make = functools.partial(made_networks.relu, 0.0)
    own = ntk_on_workers(make, x, executor=Here(), block=2)
    np.testing.assert_array_equal(own, np.diag([0.0, 0.0, 9.0]))
    with pytest.raises(InputError, match="is zero at every input"):
        ntk_on_workers(make, x[:2], executor=Here(), block=1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"block": 0}, "block must be a whole number of inputs, 1 or more, got 0"),
        ({"method": "structured"}, "unknown method 'structured'; choose one of: auto, layers, jacobian, "),
        ({"memory_budget": 0}, "memory_budget must be a positive number"),
        ({"make": lambda: made_networks.tanh()}, "make cannot be sent to workers: .*; define it at the top level of"),
        ({"make": made_networks.parameters}, "make.. must return a dict of arguments of module_ntk"),
        ({"make": made_networks.misspelt}, "unknown argument that make.. returns 'parms' .did you mean 'params'"),
        ({"x": np.full((2, 5), np.nan)}, "x contains NaN or infinity"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_computed(changed, message):
    executor = Here()
    with pytest.raises(InputError, match=message) as told:
        ntk_on_workers(**{"make": made_networks.tanh, "x": inputs(4), "executor": executor} | changed)
    assert executor.calls == 0
    assert "\n" not in str(told.value)


def test_what_is_no_executor_is_refused(untyped):
    two: Any = 2
    with pytest.raises(InputError, match=r"executor must be a concurrent.futures.Executor, such as .*, got int"):
        ntk_on_workers(made_networks.tanh, inputs(4), executor=two)


def test_an_executor_that_was_shut_down_is_told_of():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(InputError, match="inputs 0 to 3 with 0 to 3 failed on a worker: RuntimeError"):
        ntk_on_workers(made_networks.tanh, inputs(4), executor=executor)


def test_nan_in_a_block_says_which():
    x = inputs(6)
    x[5] = 0.0  # not among the rows that are tried first
    with pytest.raises(InputError, match=r"inputs 4 to 5 with 0 to 1: f\(params, x\) is NaN at input 1"):
        ntk_on_workers(made_networks.undefined_at_zero, x, executor=Here(), block=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ntk_on_workers(made_networks.undefined_at_zero, x[:4], executor=Here(), block=2)
