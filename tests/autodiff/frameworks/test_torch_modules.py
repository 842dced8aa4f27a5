from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.autodiff.frameworks.weight_quantiser import WeightQuantiser
from ntk1bit.errors import InputError

torch = pytest.importorskip("torch")
torch_modules = pytest.importorskip("ntk1bit.autodiff.frameworks.torch_modules")
torch_quantizers = pytest.importorskip("ntk1bit.networks.torch_quantizers")
nn = torch.nn


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
        self.head.weight = self.table.weight

    def forward(self, tokens):
        return self.head(torch.tanh(self.table(tokens)).mean(dim=1))


def opened(module, parameters=None):
    return torch_modules.open_torch(module, parameters, None)


def test_parameters_are_chosen_by_patterns_with_dots_or_slashes_and_by_functions_of_dotted_names():
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    assert list(opened(module).trained) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    for choice in ("*.weight", "*/weight", ["0.weight", "2/weight"], lambda name: name.endswith(".weight")):
        assert list(opened(module, choice).trained) == ["0.weight", "2.weight"]
    assert set(opened(module, "0/**").frozen) == {"2.weight", "2.bias"}
    module[0].weight.requires_grad_(False)
    assert list(opened(module).trained) == ["0.bias", "2.weight", "2.bias"]
    assert opened(module).mode[-1] == "requires_grad=False: 0.weight"


def test_tied_weights_count_once_and_move_together():
    one = opened(Tied())
    assert list(one.trained) == ["table.weight"]
    tokens = torch.tensor([[1, 2], [3, 4]])
    assert torch.equal(one({"table.weight": 0 * one.trained["table.weight"]}, tokens), torch.zeros(2, 7))


def test_buffers_are_copies():
    module = nn.BatchNorm1d(3).eval()
    one = opened(module)
    one.frozen["running_mean"] += 1
    assert not module.running_mean.any()


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        (nn.BatchNorm1d(3), "statistics of the batch"),
        (nn.Dropout(0.1), "random numbers"),
        (nn.LSTM(3, 3, num_layers=2, dropout=0.2), "random numbers"),
        (nn.MultiheadAttention(4, 2, dropout=0.1), "random numbers"),
        (nn.RReLU(), "random numbers"),
    ],
)
def test_training_mode_that_matters_is_refused(layer, what):
    module = nn.Sequential(nn.Linear(3, 3), layer)
    with pytest.raises(InputError, match=rf"layer '1' .*{what}.*call module\.eval\(\) first"):
        opened(module)
    assert opened(module.eval()).mode == ("evaluation mode",)


def test_training_mode_that_changes_nothing_is_taken():
    assert "none of which does anything else" in opened(nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.0))).mode[0]


def spoilt(change):
    module = nn.Linear(3, 2)
    change(module)
    return module


@pytest.mark.parametrize(
    ("make", "choice", "message"),
    [
        (lambda: nn.LazyLinear(2), None, "has no shape yet"),
        (lambda: nn.ReLU(), None, "no parameter is selected; there are: none at all"),
        (lambda: nn.Linear(3, 2), "0.weight", r"'0/weight' fits no array of floats .*did you mean 'weight'"),
        (lambda: spoilt(lambda m: m.weight.data.fill_(float("inf"))), None, "'weight' contains NaN or infinity"),
        (lambda: spoilt(lambda m: m.requires_grad_(False)), None, "all have requires_grad=False"),
        (lambda: nn.Linear(3, 2, dtype=torch.complex64), None, "'weight' is complex"),
    ],
)
def test_mistakes_are_named(make, choice, message):
    with pytest.raises(InputError, match=message):
        opened(make(), choice)


def test_quantised_weights_keep_their_names_and_are_those_of_the_quantiser():
    module = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 3), nn.LayerNorm(3))
    made, unreached = torch_modules.quantized_module(module, WeightQuantiser("one_bit"))
    assert unreached == []
    for at in (0, 1):
        assert torch.equal(made[at].weight, torch_quantizers.neuron_wise(module[at].weight))
    assert torch.equal(made[2].weight, module[2].weight)
    assert sorted(opened(made, "**/weight").trained) == ["0.weight", "1.weight", "2.weight"]
    assert sorted(opened(made).trained) == sorted(opened(module).trained)
    assert [one.partition(" (")[0] for one in opened(made).quantisers] == ["0.weight", "1.weight"]
    assert "one_bit" in str(made)


def test_a_transposed_convolution_has_its_neurons_on_the_second_axis():
    for groups in (1, 2):
        module = nn.ConvTranspose2d(4, 6, 2, groups=groups)
        made, _ = torch_modules.quantized_module(module, WeightQuantiser("one_bit"))
        w, found = module.weight.detach().numpy(), made.weight.detach().numpy()
        inputs, outputs = 4 // groups, 6 // groups
        for group in range(groups):
            for neuron in range(outputs):
                one = w[group * inputs : (group + 1) * inputs, neuron]
                mu, s = one.mean(), one.std()
                expected = np.where(one >= mu, s, -s) + mu
                np.testing.assert_allclose(found[group * inputs : (group + 1) * inputs, neuron], expected, rtol=1e-5)


def test_tied_weights_stay_tied_and_recurrent_ones_are_named():
    made, _ = torch_modules.quantized_module(Tied(), WeightQuantiser("ternary"))
    assert list(opened(made).trained) == ["table.weight"]
    assert torch.equal(made.table.weight, made.head.weight)
    module = nn.ModuleDict({"rnn": nn.GRU(3, 2), "head": nn.Linear(2, 1)})
    made, unreached = torch_modules.quantized_module(module, WeightQuantiser("ternary"))
    assert unreached == ["rnn.weight_ih_l0", "rnn.weight_hh_l0"]
    with pytest.raises(InputError, match="'rnn/weight_ih_l0' fits no array"):
        torch_modules.quantized_module(module, WeightQuantiser("ternary", parameters="rnn.weight_ih_l0"))
