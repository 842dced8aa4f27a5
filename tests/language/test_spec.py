from __future__ import annotations

from dataclasses import replace

import pytest
import tomli_w

from ntk1bit.errors import InputError
from ntk1bit.language.run import cell, planned_seconds
from ntk1bit.language.spec import PRESETS, LanguageSpec, Size, parse_size, read_spec, spec_from_dict
from ntk1bit.nets import bitlinear, ste, text, transformer


def test_sizes_are_parsed_counted_and_ordered():
    assert parse_size(" 3x64 ") == Size(3, 64)
    assert str(Size(3, 64)) == "3x64"
    assert Size(3, 64).parameters == 12 * 3 * 64**2
    spec = LanguageSpec(sizes=("4x96", "1x32", "2x48"))
    assert [str(one) for one in spec.shapes] == ["1x32", "2x48", "4x96"]
    assert [Size(1, width).heads for width in (16, 48, 100)] == [1, 3, 1]


@pytest.mark.parametrize("size", [one for spec in PRESETS.values() for one in spec.sizes])
def test_every_size_of_a_preset_can_be_built(size):
    one = parse_size(size)
    transformer.Shape(one.layers, one.width, one.heads, 88, 64)


def test_the_presets_meet_what_they_promise():
    standard = PRESETS["standard"]
    counts = [one.parameters for one in standard.shapes]
    assert len(counts) >= 5
    assert max(counts) / min(counts) >= 10**1.5
    assert len(standard.seeds) >= 5
    assert PRESETS["night"].tokens > standard.tokens
    assert planned_seconds(PRESETS["smoke"]) < 120 < planned_seconds(PRESETS["quick"]) < planned_seconds(standard)


def test_names_are_those_of_the_nets():
    """The specification does not import JAX, so it repeats their names."""
    for arm in bitlinear.ARMS:
        LanguageSpec(arms=("full", arm) if arm != "full" else ("full",))
    for name in text.names():
        LanguageSpec(text=name)
    for name in transformer.ACTIVATIONS:
        LanguageSpec(activation=name)
    for name in ste.SURROGATES:
        LanguageSpec(surrogate=name)
    assert LanguageSpec(arms=bitlinear.ARMS).trained_arms == bitlinear.TRAINED_ARMS  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sizes": ()}, "sizes is empty"),
        ({"sizes": ("3x64", "3x64")}, "repeated"),
        ({"sizes": ("3 by 64",)}, "write layers x width, as in 3x64"),
        ({"sizes": ("0x64",)}, "1 to 256 layers"),
        ({"sizes": ("1x63",)}, "even width"),
        ({"sizes": ("1x64", "4x32")}, "same number of parameters"),
        ({"arms": ("bitnets",)}, "did you mean 'bitnet'"),
        ({"arms": ("bitnet", "sign-ptq")}, "add 'full' to the arms"),
        ({"text": "shakespeare"}, "choose one of: sotu, pydoc"),
        ({"tokens": 100}, "less than one step"),
        ({"seeds": (-1,)}, "seeds must be 0 or more"),
        ({"rate": float("nan")}, "positive and finite"),
        ({"rate_factor": 1.0}, "above 1"),
        ({"stability": (0.0,)}, "positive multiples"),
        ({"windows": 1}, "windows must be 2 or more"),
    ],
)
def test_mistakes_are_told(settings, words):
    with pytest.raises(InputError, match=words):
        LanguageSpec(**settings)


def test_a_specification_comes_back_from_its_file(tmp_path):
    spec = replace(PRESETS["smoke"], stability=(4.0, 16.0), tied=False)
    (tmp_path / "spec.toml").write_text(tomli_w.dumps({"language": spec.as_dict()}))
    assert read_spec(tmp_path / "spec.toml") == spec
    assert spec.differences(spec) == []
    assert spec.differences(replace(spec, rate=0.1)) == ["rate 0.004 against 0.1"]


def test_unreadable_files_and_wrong_types_are_told(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_spec(tmp_path / "none.toml")
    (tmp_path / "other.toml").write_text("[sweep]\n")
    with pytest.raises(InputError, match="no \\[language\\] table"):
        read_spec(tmp_path / "other.toml")
    with pytest.raises(InputError, match="did you mean 'tokens'"):
        spec_from_dict({"token": 5})
    with pytest.raises(InputError, match="tokens takes a int"):
        spec_from_dict({"tokens": "many"})


def test_a_networks_name_depends_on_what_is_trained_only():
    spec, size = PRESETS["smoke"], Size(1, 16)
    key = cell(spec, size, "full", 0.01, 0).key
    assert cell(replace(spec, arms=("full",), seeds=(0, 5), stability=()), size, "full", 0.01, 0).key == key
    others = [
        cell(spec, size, "bitnet", 0.01, 0),
        cell(spec, size, "full", 0.02, 0),
        cell(spec, size, "full", 0.01, 1),
        cell(spec, size, "full", 0.01, 0, tokens=20_000),
        cell(replace(spec, tied=False), size, "full", 0.01, 0),
    ]
    assert len({key, *(one.key for one in others)}) == 1 + len(others)
