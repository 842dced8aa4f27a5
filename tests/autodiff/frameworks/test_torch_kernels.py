from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.autodiff import describe_module, module_ntk
from ntk1bit.errors import InputError

torch = pytest.importorskip("torch")
torch_kernels = pytest.importorskip("ntk1bit.autodiff.frameworks.torch_kernels")
torch_modules = pytest.importorskip("ntk1bit.autodiff.frameworks.torch_modules")
nn = torch.nn
RNG = np.random.default_rng(0)
X, X2 = RNG.standard_normal((7, 4)), RNG.standard_normal((5, 4))


def small(dtype=None):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3)).to(dtype or torch.float64)


def reference(module, x, x2=None, *, trace=True):
    """The product of whole Jacobians, a row at a time by autograd."""
    parameters = [p for p in module.parameters() if p.requires_grad]

    def jacobian(x):
        rows = [
            torch.cat([g.flatten() for g in torch.autograd.grad(o, parameters, retain_graph=True)])
            for row in torch.tensor(x, dtype=parameters[0].dtype)
            for o in module(row[None])[0]
        ]
        return torch.stack(rows).reshape(len(x), -1, len(rows[0])).double().numpy()

    j = jacobian(x)
    full = np.einsum("iop,jqp->ijoq", j, j if x2 is None else jacobian(x2))
    return np.einsum("ijoo->ij", full) / j.shape[1] if trace else full


class WithoutSetup(torch.autograd.Function):
    @staticmethod
    def forward(ctx, w):
        ctx.save_for_backward(w)
        return w.sign()

    @staticmethod
    def backward(ctx, *gradients):
        (w,) = ctx.saved_tensors
        return gradients[0] * (w.abs() <= 2)


class Old(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(RNG.standard_normal((8, 4))))
        self.a = nn.Parameter(torch.tensor(RNG.standard_normal((3, 8))))

    def forward(self, x):
        return torch.relu(x @ WithoutSetup.apply(self.w).T) @ self.a.T


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("budget", [1 << 30, 20_000, 6_000])
def test_blocks_of_inputs_and_outputs_give_the_product_of_whole_jacobians(trace, budget):
    module, calls = small(), []
    found = module_ntk(
        module, X, trace_outputs=trace, memory_budget=budget, progress=lambda what, share: calls.append(share)
    )
    expected = reference(module, X, trace=trace)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)  # float64
    assert np.array_equal(found, found.T if trace else found.transpose(1, 0, 3, 2))
    assert calls[-1] == 1
    assert (len(calls) > 1) == (budget < 1 << 30)
    assert np.array_equal(found, module_ntk(module, X, X.copy(), trace_outputs=trace, memory_budget=budget))
    other = module_ntk(module, X, X2, trace_outputs=trace, memory_budget=budget)
    np.testing.assert_allclose(other, reference(module, X, X2, trace=trace), rtol=1e-12, atol=1e-12)


def test_rows_together_are_rows_one_by_one():
    opened = torch_modules.open_torch(small(), None, None)
    x = torch.tensor(X)
    for outputs in (slice(0, 3), slice(1, 2)):
        (values, rows), (values_one, rows_one) = (
            way(opened, x, 3, outputs) for way in (torch_kernels.rows_together, torch_kernels.rows_one_by_one)
        )
        torch.testing.assert_close(values, values_one)
        for name, part in rows.items():
            torch.testing.assert_close(part, rows_one[name])


def test_a_function_that_torch_func_refuses_goes_row_by_row():
    module = Old()
    record = describe_module(module, X)
    assert "torch.autograd.grad (torch.func: In order to use an autograd.Function" in record.called
    np.testing.assert_allclose(module_ntk(module, X), reference(module, X), rtol=1e-12)


def test_a_mask_that_two_calls_do_not_tell_is_found_by_vmap():
    class Rare(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, x):
            return nn.functional.dropout(self.linear(x), p=1e-9, training=True)

    with pytest.raises(InputError, match="draws random numbers"):
        module_ntk(Rare(), X)


def test_a_budget_too_small_for_one_row_is_said():
    with pytest.warns(UserWarning, match="one row of the Jacobian needs"):
        found = module_ntk(small(), X, memory_budget=100)
    np.testing.assert_allclose(found, reference(small(), X), rtol=1e-12, atol=1e-12)


def test_dtypes_inputs_and_numbers_of_one_output():
    module = small(torch.float32)
    found = module_ntk(module, X)
    assert found.dtype == np.float32
    # the same arithmetic in another order in float32: LayerNorm and GELU amplify by some units
    np.testing.assert_allclose(found, reference(small(), X), rtol=1e-4, atol=1e-4 * np.abs(found).max())
    for given in (torch.tensor(X), X.tolist(), X.astype(np.float32)):
        np.testing.assert_allclose(module_ntk(module, given), found, rtol=1e-5)
    assert module_ntk(small(torch.bfloat16), X).dtype == np.float32
    scalar = module_ntk(module, X, evaluate=lambda network, x: network(x)[:, 0], trace_outputs=False)
    assert scalar.shape == (7, 7)


def test_a_dict_of_inputs_goes_through_evaluate():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.linear = nn.Embedding(5, 3), nn.Linear(4, 3)

        def forward(self, tokens, x):
            return self.table(tokens).mean(dim=1) * self.linear(x)

    x = {"tokens": np.array([[0, 1], [1, 4], [3, 3]]), "x": X[:3]}
    kernel = module_ntk(Two().double(), x, evaluate=lambda network, x: network(x["tokens"], x=x["x"]))
    assert kernel.shape == (3, 3)
    assert np.linalg.eigvalsh(kernel).min() > 0


@pytest.mark.parametrize(
    ("x", "x2", "message"),
    [
        (np.full((2, 4), np.nan), None, "x contains NaN"),
        (np.ones((0, 4)), None, "at least one input"),
        ({"a": np.ones((2, 4)), "b": np.ones((3, 4))}, None, "one row per input each"),
        (np.array(["a"]), None, "no array of numbers"),
        ({}, None, "holds no array"),
        (np.ones((2, 4)), np.ones((2, 3)), "they must match"),
        (np.ones((2, 4)) * 1j, None, "x is complex"),
    ],
)
def test_inputs_that_are_none_are_refused(x, x2, message):
    with pytest.raises(InputError, match=message):
        module_ntk(small(), x, x2)


def test_other_mistakes_are_named():
    with pytest.raises(InputError, match="'vector_products' is for JAX"):
        module_ntk(small(), X, method="vector_products")
    with pytest.raises(InputError, match="leave params and state out"):
        module_ntk(small(), X, params={})
    with pytest.raises(InputError, match="memory_budget"):
        module_ntk(small(), X, memory_budget=0)
    dead = small()
    for p in dead[3].parameters():
        p.data.zero_()
    with pytest.raises(InputError, match="is zero at every input: the network is dead"):
        module_ntk(dead, X, parameters="0.*")


def test_settings_of_pytorch_are_as_before():
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        module_ntk(small(), X)
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.backends.mha.get_fastpath_enabled()
    finally:
        torch.set_float32_matmul_precision(precision)
