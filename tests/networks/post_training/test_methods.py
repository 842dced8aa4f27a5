from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks.post_training.methods import ALGORITHMS, METHODS, SOURCES, PostTrainingMethod, method_of


def test_names_say_what_is_quantised():
    for name, method in METHODS.items():
        algorithm, _, bits = name.partition("-")
        assert algorithm == method.algorithm
        assert bits == method.quantises.lower().removesuffix("a16")
        assert method_of(name) is method_of(method) is method
    assert len(set(METHODS.values())) == len(METHODS)


def test_w23s_table_is_there():
    """Table 3 and the text of section 4: bits of weights and activations."""
    table = {
        "absmax": {"W8A8", "W4A4", "W1A8"},
        "smoothquant": {"W8A8", "W4A4", "W1A8"},
        "gptq": {"W4A16", "W2A16"},
        "quip": {"W2A16"},
    }
    found: dict[str, set[str]] = {}
    for method in METHODS.values():
        if method.in_w23:
            found.setdefault(method.algorithm, set()).add(method.quantises)
    assert found == table


def test_every_algorithm_has_a_source():
    assert set(SOURCES) == set(ALGORITHMS)
    assert all("arXiv" in METHODS[name].source for name in METHODS)


def test_those_that_need_inputs_say_so():
    calibrated = {name for name, method in METHODS.items() if method.calibrated}
    assert calibrated == {name for name in METHODS if name.startswith(("smoothquant", "gptq", "quip"))}


def test_they_are_listed_without_loading_jax():
    code = "import sys, ntk1bit.networks.post_training.methods; print('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"algorithm": "awq", "weight_bits": 4}, "unknown algorithm 'awq'"),
        ({"algorithm": "gptq", "weight_bits": 1}, "from 2 to 8 with gptq, got 1"),
        ({"algorithm": "absmax", "weight_bits": 9}, "from 1 to 8 with absmax, got 9"),
        ({"algorithm": "absmean", "weight_bits": 2}, "from 1 to 1 with absmean, got 2"),
        ({"algorithm": "absmax", "weight_bits": 4, "activation_bits": 1}, "activation_bits must be None or"),
        ({"algorithm": "quip", "weight_bits": 2, "activation_bits": 8}, "quip quantises weights only"),
    ],
)
def test_mistakes_are_told_in_one_line(settings: dict[str, Any], words, untyped):
    with pytest.raises(InputError, match=words) as raised:
        PostTrainingMethod(**settings)
    assert "\n" not in str(raised.value)


def test_an_unknown_name_is_told():
    with pytest.raises(InputError, match=r"unknown method 'gptq-w3' \(did you mean 'gptq-w.'\?\)"):
        method_of("gptq-w3")
