from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.kernels import alignment, class_kernels, joint_matrix, kernel_regression, predict, spectrum
from ntk1bit.kernels.spectra import require_symmetric

N, TEST, K = 6, 3, 2


@pytest.fixture
def several():
    """Kernels of a linear map of Jacobians, with targets and outputs at the start."""
    rng = np.random.default_rng(0)
    j, j_test = rng.standard_normal((N, K, 40)), rng.standard_normal((TEST, K, 40))
    kernel, kernel_test = (np.einsum("iop,jqp->ijoq", one, j) for one in (j, j_test))
    y, f0, f0_test = (rng.standard_normal((rows, K)) for rows in (N, N, TEST))
    return kernel, y, {"kernel_test": kernel_test, "f0": f0, "f0_test": f0_test}


def test_outputs_follow_inputs(several):
    kernel, *_ = several
    joint = joint_matrix(kernel)
    assert joint.shape == (N * K, N * K)
    assert all(joint[i * K + o, j * K + q] == kernel[i, j, o, q] for i, j, o, q in np.ndindex(N, N, K, K))
    np.testing.assert_array_equal(class_kernels(kernel)[..., 1], kernel[:, :, 1, 1])


def test_descent_moves_outputs_together(several):
    """Against the recursion written out over inputs and outputs."""
    kernel, y, more = several
    eta = 1 / np.linalg.eigvalsh(joint_matrix(kernel))[-1]
    f, f_test = more["f0"].copy(), more["f0_test"].copy()
    found = predict(kernel, y, eta=eta, steps=[0, 7], **more)
    np.testing.assert_allclose(found.train[0], f, rtol=1e-14)  # kept as y + (f - y)
    for _ in range(7):
        residual = f - y
        f = f - eta * np.einsum("ijoq,jq->io", kernel, residual)
        f_test = f_test - eta * np.einsum("ijoq,jq->io", more["kernel_test"], residual)
    np.testing.assert_allclose(found.train[1], f, atol=1e-12)  # 7 steps of sums of 12 terms of size 1: rounding
    np.testing.assert_allclose(found.test[1], f_test, atol=1e-12)


def test_descent_ends_at_regression(several):
    kernel, y, more = several
    end = kernel_regression(kernel, y, **more)
    late = predict(kernel, y, eta=0.5 / np.linalg.eigvalsh(joint_matrix(kernel))[-1], steps=[10**9], **more)
    np.testing.assert_allclose(end.train, y, atol=1e-9)  # regular: condition number below 1e3, times eps and some
    np.testing.assert_allclose(late.test[0], end.test, atol=1e-9)


def test_a_kernel_for_each_output_is_descent_of_each(several):
    kernel, y, more = several
    more["kernel_test"] = class_kernels(more["kernel_test"])
    each = class_kernels(kernel)
    found, ends = predict(each, y, eta=1e-3, steps=5, **more), kernel_regression(each, y, ridge=0.1, **more)
    for o in range(K):
        one = {name: array[..., o] for name, array in more.items()}
        alone = predict(each[..., o], y[:, o], eta=1e-3, steps=5, **one)
        np.testing.assert_array_equal(found.train[..., o], alone.train)
        np.testing.assert_array_equal(found.test[..., o], alone.test)
        end = kernel_regression(each[..., o], y[:, o], ridge=0.1, **one)
        np.testing.assert_array_equal(ends.test[..., o], end.test)
    shared = np.einsum("ijoq,oq->ij", kernel, np.eye(K)) / K
    np.testing.assert_allclose(  # the same kernel for every output is what a matrix says
        predict(np.stack([shared] * K, axis=-1), y, eta=1e-3, steps=5).train,
        predict(shared, y, eta=1e-3, steps=5).train,
        rtol=1e-12,
    )


def test_spectrum_and_alignment_are_those_of_the_joint_matrix(several):
    kernel, y, _ = several
    joint = joint_matrix(kernel)
    np.testing.assert_array_equal(spectrum(kernel).eigenvalues, spectrum(joint).eigenvalues)
    assert alignment(kernel, y) == alignment(joint, y.reshape(-1))
    assert require_symmetric(kernel)[0].shape == joint.shape


@pytest.mark.usefixtures("untyped")
def test_mistakes_are_named(several):
    kernel, y, more = several
    for change, message in (
        (
            {"y": y[:, 0]},
            r"y has shape \(6,\), but a kernel of shape \(6, 6, 2, 2\), for 2 outputs, calls for \(6, 2\)",
        ),
        ({"f0": more["f0"][:, :1]}, "f0 has shape"),
        ({"kernel_test": more["kernel_test"][..., 0]}, "kernel_test has shape"),
        ({"kernel": kernel[:, :5]}, "kernel has shape"),
    ):
        with pytest.raises(InputError, match=message):
            predict(**{"kernel": kernel, "y": y, **more, **change}, eta=0.1, steps=1)
    with pytest.raises(InputError, match="shape \\(n, n2, k, k\\)"):
        joint_matrix(np.ones((2, 2, 3, 2)))
    with pytest.raises(InputError, match="shape \\(n, n2, k, k\\)"):
        class_kernels(np.ones((2, 2)))
    with pytest.raises(InputError, match="that of each"):
        alignment(class_kernels(kernel), y)
    with pytest.raises(InputError, match="must be a matrix"):
        spectrum(class_kernels(kernel))
