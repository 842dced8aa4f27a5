from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.networks import array_quantizers
from ntk1bit.networks.array_quantizers import PASSING

torch = pytest.importorskip("torch")
torch_quantizers = pytest.importorskip("ntk1bit.networks.torch_quantizers")

NAMES = ("sign", "ternary", "int8", "neuron_wise", "tensor_wise")


def arrays():
    rng = np.random.default_rng(0)
    return (1.3 * rng.standard_normal((5, 7))).astype(np.float32), rng.standard_normal((5, 7)).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("surrogate", PASSING)
def test_jax_and_pytorch_give_the_same_values_and_derivatives(name, surrogate):
    w, direction = arrays()

    def in_jax(w):
        return getattr(array_quantizers, name)(w, surrogate=surrogate)

    def in_torch(w):
        return getattr(torch_quantizers, name)(w, surrogate=surrogate)

    value, pushed = jax.jvp(in_jax, (jnp.asarray(w),), (jnp.asarray(direction),))
    pulled = jax.vjp(in_jax, jnp.asarray(w))[1](jnp.asarray(direction))[0]
    w_torch, direction_torch = torch.tensor(w), torch.tensor(direction)
    value_torch, pushed_torch = torch.func.jvp(in_torch, (w_torch,), (direction_torch,))
    pulled_torch = torch.func.vjp(in_torch, w_torch)[1](direction_torch)[0]
    leaf = w_torch.clone().requires_grad_()
    (in_torch(leaf) * direction_torch).sum().backward()
    # float32: scales are sums of 35 numbers in float32 in JAX, in float64 here
    for found, expected in (
        (value_torch, value),
        (pushed_torch, pushed),
        (pulled_torch, pulled),
        (leaf.grad, pulled),
    ):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("surrogate", PASSING)
def test_vmap_in_chunks_around_both_modes(name, surrogate):
    def f(w):
        return getattr(torch_quantizers, name)(w, surrogate=surrogate)

    w = torch.tensor(arrays()[0])
    many = torch.stack([w, 2 * w, w + 1])
    backward = torch.func.vmap(torch.func.jacrev(f), chunk_size=2)(many)
    forward = torch.func.vmap(torch.func.jacfwd(f))(many)
    assert torch.equal(backward, forward)
    assert torch.equal(torch.func.vmap(f)(many)[1], f(many[1])) or name in ("ternary", "tensor_wise", "neuron_wise")
    torch.testing.assert_close(torch.func.vmap(f)(many)[1], f(many[1]))


def test_values_are_exact_and_dtypes_stay():
    w = torch.tensor(arrays()[0])
    assert set(torch_quantizers.sign(w).unique().tolist()) == {-1.0, 1.0}
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        for name in NAMES:
            assert getattr(torch_quantizers, name)(w.to(dtype)).dtype == dtype
    assert torch_quantizers.sign(torch.zeros(2), at_zero=-1).tolist() == [-1, -1]
    assert torch_quantizers.neuron_wise(torch.full((1, 3), 0.1))[0].tolist() == pytest.approx([0.1] * 3)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: torch_quantizers.sign(torch.ones(2), surrogate="relu"), "unknown surrogate 'relu'"),
        (lambda: torch_quantizers.neuron_wise(torch.ones(2)), "needs a matrix"),
        (lambda: torch_quantizers.neuron_wise(torch.ones(2, 2), scale="max"), "unknown scale"),
        (lambda: torch_quantizers.ternary(torch.ones(0)), "at least one number"),
        (lambda: torch_quantizers.int8(torch.ones(2, dtype=torch.complex64)), "real numbers"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
