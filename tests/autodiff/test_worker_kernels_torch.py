from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from ntk1bit.autodiff import module_ntk, ntk_on_workers
from ntk1bit.autodiff.worker_kernels import block_by_block
from ntk1bit.errors import InputError

torch = pytest.importorskip("torch")
nn = torch.nn


def dense(dtype: str = "float32", seed: int = 0) -> dict[str, Any]:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 3)).to(getattr(torch, dtype))
    return {"module": module, "parameters": "2.*"} if dtype == "float64" else {"module": module}


def relu() -> dict[str, Any]:
    module = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU())
    with torch.no_grad():
        module[0].weight.fill_(1.0)
    return {"module": module}


def inputs(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 5))


# float32: sums of at most 81 products in another order; float64 the same; bfloat16: float32 sums of the same gradients
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-13), ("bfloat16", 1e-5)])
@pytest.mark.parametrize("trace", [True, False])
def test_blocks_make_the_whole_kernel(dtype, tolerance, trace, tmp_path):
    make, x, x2 = functools.partial(dense, dtype), inputs(7), inputs(4, seed=1)
    with ThreadPoolExecutor(1) as executor:
        asked = {"executor": executor, "block": 3, "trace_outputs": trace}
        own = ntk_on_workers(make, torch.tensor(x), folder=tmp_path, **asked)
        across = ntk_on_workers(make, x, torch.tensor(x2), **asked)
    whole = module_ntk(x=x, trace_outputs=trace, **make())
    assert (own.dtype, own.shape) == (whole.dtype, whole.shape)
    np.testing.assert_allclose(own, whole, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(
        across, block_by_block(make, x, x2, block=3, trace_outputs=trace), rtol=tolerance, atol=tolerance
    )
    swapped = own.swapaxes(0, 1)
    np.testing.assert_array_equal(own, swapped if trace else swapped.swapaxes(2, 3))


def test_another_module_and_other_methods_are_refused(tmp_path):
    with ThreadPoolExecutor(1) as executor:
        asked = {"executor": executor, "folder": tmp_path}
        ntk_on_workers(dense, inputs(3), **asked)
        with pytest.raises(InputError, match="other network;"):
            ntk_on_workers(functools.partial(dense, seed=1), inputs(3), **asked)
        with pytest.raises(InputError, match="unknown method of a PyTorch module 'vector_products'"):
            ntk_on_workers(dense, inputs(3), method="vector_products", **asked)


def test_a_block_of_dead_inputs_is_no_error_and_a_dead_module_is():
    x = np.array([[-1.0], [-2.0], [3.0]])
    with ThreadPoolExecutor(1) as executor:
        own = ntk_on_workers(relu, x, executor=executor, block=2)
        np.testing.assert_array_equal(own, np.diag([0.0, 0.0, 9.0]))
        with pytest.raises(InputError, match="is zero at every input"):
            ntk_on_workers(relu, x[:2], executor=executor, block=1)
