from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from ntk1bit.autodiff import ntk
from ntk1bit.autodiff.block_products import Products
from ntk1bit.autodiff.examination import examine

RNG = np.random.default_rng(0)
X = RNG.standard_normal((19, 3)).astype(np.float32)
PARAMS = [RNG.standard_normal((3, 10)).astype(np.float32), RNG.standard_normal((10, 2)).astype(np.float32)]


def mlp(params, x):
    return jnp.tanh(x @ params[0]) @ params[1]


def test_plans_keep_to_the_budget_and_shrink_with_it():
    network, inputs, *_ = examine(mlp, PARAMS, X)
    sizes = []
    for budget in (1 << 30, 1 << 15, 1 << 13):
        plan = Products(network, inputs, budget).plan(50)
        assert plan.needed <= budget
        sizes.append(plan.vectors * plan.inputs)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 50 * 19


def test_push_and_pull_are_adjoint():
    """<J u, v> = <u, J^T v>, in blocks of another size."""
    network, inputs, *_ = examine(mlp, PARAMS, X)
    products = Products(network, inputs, 1 << 13)
    plan = products.plan(2)
    v = RNG.standard_normal((2, 19, 2)).astype(np.float32)
    u = tuple(jnp.asarray(RNG.standard_normal((2, *p.shape)), jnp.float32) for p in PARAMS)
    pushed = np.concatenate([products.push(u, block) for block in products.blocks(7)], axis=1)
    pulled = products.pull(lambda block: v[:, block], plan)
    left = (pushed * v).sum(axis=(1, 2))
    right = sum(np.asarray(a * b).reshape(2, -1).sum(axis=1) for a, b in zip(u, pulled, strict=True))
    np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-4)  # float32 sums of 40 to 50 terms of size 1 to 10
    kernel = np.einsum("ijoq,cjq->cio", ntk(mlp, PARAMS, X, trace_outputs=False), v)
    applied = np.concatenate([part for _, part in products.apply(lambda block: v[:, block], plan)], axis=1)
    np.testing.assert_allclose(applied, kernel, rtol=1e-4, atol=1e-3)  # 38 terms of size up to 30
