from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse.linalg import aslinearoperator

from ntk1bit.errors import InputError
from ntk1bit.kernels import Kernel, nystrom_factor

N = 120


def kernel_of(values: np.ndarray) -> np.ndarray:
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((N, N)))[0]
    kernel = (basis * values) @ basis.T
    return (kernel + kernel.T) / 2


@pytest.mark.parametrize("rank", [1, 10, 60])
def test_the_residual_bounds_the_error(rank):
    values = np.arange(1.0, N + 1) ** -2
    kernel = kernel_of(values)
    found = nystrom_factor(kernel, rank)
    error = kernel - found.dense()
    bound = found.quality["residual_trace"]
    assert bound == pytest.approx(np.trace(error), abs=1e-12)
    assert np.linalg.eigvalsh(error)[0] > -1e-12  # what is left out is positive semi-definite, to the shift's rounding
    assert np.linalg.norm(error, 2) <= bound + 1e-12
    assert found.factor is not None
    sizes = np.square(found.factor).sum(axis=0)
    assert (sizes <= values[:rank] + 1e-12).all()
    assert (values[:rank] <= sizes + bound + 1e-12).all()
    gram = found.factor.T @ found.factor
    np.testing.assert_allclose(gram, np.diag(sizes), atol=1e-12)
    assert (found.about["rank"], found.about["seed"]) == (rank, 0)


def test_a_kernel_of_low_rank_is_found_whole():
    values = np.zeros(N)
    values[:7] = np.arange(7, 0, -1)
    kernel = kernel_of(values)
    found = nystrom_factor(kernel, 9)
    np.testing.assert_allclose(found.dense(), kernel, atol=1e-9)  # a shift of eps norm(K), and square roots of it
    assert found.quality["residual_share"] < 1e-9
    np.testing.assert_array_equal(nystrom_factor(np.zeros((5, 5)), 3).dense(), 0)


def test_coarse_products_need_a_larger_shift():
    values = np.arange(1.0, N + 1) ** -3
    kernel = kernel_of(values)
    rough = kernel.astype(np.float32)
    rough = (rough + rough.T) / 2
    found = nystrom_factor(rough, 80)
    assert np.linalg.norm(found.dense() - kernel, 2) <= found.quality["residual_trace"] + found.quality["rounding"]
    assert found.quality["rounding"] < 1e-3


def test_forms_and_mistakes():
    kernel = kernel_of(np.arange(1.0, N + 1) ** -2)
    operator = aslinearoperator(kernel)
    given = nystrom_factor(operator, 10, diagonal=np.diag(kernel))
    np.testing.assert_allclose(given.dense(), nystrom_factor(kernel, 10).dense(), atol=1e-10)
    held = Kernel(operator=operator, diagonal=np.diag(kernel).copy(), about={"function": "f"})
    assert nystrom_factor(held, 10).about["function"] == "f"
    again = nystrom_factor(given, 10)
    np.testing.assert_allclose(again.dense(), given.dense(), atol=1e-8)
    for call, message in (
        (lambda: nystrom_factor(operator, 5), "diagonal of this operator is not known"),
        (lambda: nystrom_factor(kernel, 0), "rank must be"),
        (lambda: nystrom_factor(operator, 5, diagonal=np.ones(3)), "diagonal has shape"),
        (lambda: nystrom_factor(operator, 100, diagonal=0.5 * np.diag(kernel)), "the diagonal another's"),
        (lambda: nystrom_factor(-kernel, 5), "not positive semi-definite"),
    ):
        with pytest.raises(InputError, match=message):
            call()
