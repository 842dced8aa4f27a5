from __future__ import annotations

import datetime as dt
import itertools
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import cast

import jax
import pandas as pd
import pytest
import tomli_w

from ntk1bit.cli.progress import clock
from ntk1bit.errors import InputError
from ntk1bit.experiments import SweepSpec, open_run, run_all
from ntk1bit.experiments.language import LanguageModel
from ntk1bit.experiments.language_spec import PRESETS, LanguageSpec
from ntk1bit.networks.transformer import as_arm, transformer
from ntk1bit.networks.transformer_shape import TRAINED_ARMS, Arm, Shape, Size, parse_size


def test_the_document_has_the_times_that_a_dry_run_prints():
    text = (Path(__file__).parents[2] / "docs" / "language.md").read_text()
    for name, spec in PRESETS.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}`"))
        assert row.split("|")[-2].strip() == clock(spec.seconds / 2)


def test_sizes_are_parsed_counted_and_ordered():
    assert parse_size(" 3x64 ") == Size(3, 64)
    assert str(Size(3, 64)) == "3x64"
    assert LanguageSpec(sizes=("1 x 16", " 02X32", "3×64")).sizes == ("1x16", "2x32", "3x64")
    assert Size(3, 64).parameters == 12 * 3 * 64**2
    spec = LanguageSpec(sizes=("4x96", "1x32", "2x48"))
    assert [str(one) for one in spec.shapes] == ["1x32", "2x48", "4x96"]
    assert [Size(1, width).default_heads for width in (16, 48, 100)] == [1, 3, 1]


@pytest.mark.parametrize("size", [one for spec in PRESETS.values() for one in spec.sizes])
def test_every_size_of_a_preset_can_be_built(size):
    one = parse_size(size)
    Shape(one.layers, one.width, one.default_heads, 88, 64)


def test_the_presets_meet_what_they_promise():
    standard = PRESETS["standard"]
    counts = [one.parameters for one in standard.shapes]
    assert len(counts) >= 5
    assert max(counts) / min(counts) >= 10**1.5
    assert len(standard.seeds) >= 5
    seconds = [PRESETS[name].seconds for name in ("smoke", "quick", "standard", "thorough")]
    assert seconds[0] < 600 < seconds[-1]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sizes": ()}, "sizes is empty"),
        ({"sizes": ("3x64", "3x64")}, "repeated"),
        ({"sizes": ("3x64", "3 x 064")}, "repeated"),
        ({"arms": ("full", "bitnet", "full")}, "repeated"),
        ({"arms": ("BitNet",)}, "did you mean 'bitnet'"),
        ({"seeds": (1, 2, 1)}, "repeated"),
        ({"seeds": (0, 2**32)}, "below 2\\^32"),
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
        ({"stability": (4.0, 4.0)}, "differ from each other"),
        ({"stability": (1.0, 4.0)}, "1 is always tried"),
        ({"stability": (1 + 1e-9,)}, "1 is always tried"),
        ({"windows": 1}, "windows must be 2 or more"),
        ({"arms": ("bitnet", "gptq-w4")}, "add 'full' to the arms"),
        ({"arms": ("full", "gptq-w9")}, "did you mean 'gptq-w"),
        ({"recipe": "w32"}, "did you mean 'w23'"),
        ({"form": "round"}, "did you mean 'rounded'"),
        ({"start": "fulll"}, "did you mean 'full'"),
        ({"surrogate": "signs"}, "did you mean 'sign'"),
        ({"groups": 3}, "3 groups do not divide 32 inputs"),
        ({"choices": -1}, "choices must be 0 or more"),
        ({"start": "full-preln"}, "start in one of: full, fp16, bitnet, b158$"),
        ({"start": "full", "arms": ("bitnet-preln",)}, "start in one of: full-preln, fp16-preln, bitnet-preln$"),
        ({"start": "elastic"}, "start in one of: full, fp16, bitnet, b158$"),
        ({"start": "full", "arms": ("elastic",)}, "start in one of: elastic$"),
        ({"start": "full", "tokens": 600}, "600 tokens are less than two steps"),
        ({"arms": ("full-preln", "full", "int8-absmax")}, "would quantise full-preln"),
        ({"arms": ("fp16-preln", "sign-ptq")}, "would quantise fp16-preln"),
    ],
)
def test_mistakes_are_told(settings, words):
    with pytest.raises(InputError, match=words):
        LanguageSpec(**settings)


def test_every_start_that_is_accepted_can_become_the_arm():
    shape = Shape(layers=1, width=8, heads=1, vocabulary=3, context=4)
    drawn = {arm: transformer(shape, arm=cast(Arm, arm)) for arm in TRAINED_ARMS}
    for start, arm in itertools.product(TRAINED_ARMS, repeat=2):
        try:
            LanguageSpec(arms=(arm,), start=start)
        except InputError:
            continue
        # the weights of the arm can be read into it: what follows a start is a network as the arm draws it
        assert jax.tree.structure(as_arm(drawn[start], cast(Arm, arm))) == jax.tree.structure(drawn[arm])


@pytest.mark.parametrize(("text", "words"), [("nowhere " * 400, "too uniform"), ("a\n" * 4000, "no spaces")])
def test_a_text_without_questions_is_told_before_training(text, words, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "own.txt").write_text(text)
    spec = LanguageSpec(text=str(tmp_path / "own.txt"), windows=2, context=24, choices=5)
    with pytest.raises(InputError, match=words):
        spec.first_stage  # noqa: B018 - it is what reads the text
    with pytest.raises(InputError, match="9999 questions need 9999 separate pieces"):
        run_all(replace(PRESETS["smoke"], choices=9999), tmp_path / "run")
    with pytest.raises(InputError, match="context must be at least 19, for four examples, got 18"):
        run_all(replace(PRESETS["smoke"], choices=1, context=18), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_stability_of_a_start_has_steps_for_both_arms():
    base = replace(PRESETS["smoke"], stability=(4.0,), seeds=(0,))
    spec = replace(base, arms=("full",), start="full", tokens=1024)

    def reader(stage):
        losses = [one.rate for one in stage.experiments]
        return lambda: pd.DataFrame({"evaluated": "full", "arm": "full", "train_loss": losses})

    stages = list(spec.walk(reader))
    assert stages[-1].name == "stability"
    assert {one.tokens for one in stages[-1].experiments if isinstance(one, LanguageModel)} == {1024}


def test_settings_that_change_nothing_are_told():
    assert PRESETS["standard"].notes == ()
    assert LanguageSpec(arms=("full",), start="bitnet", form="rounded").notes == ()
    told = LanguageSpec(arms=("fp16", "elastic-preln"), stability=(4.0,), groups=2, form="rounded").notes
    assert [note.split()[0] for note in told] == ["stability", "form", "groups"]


def test_a_specification_comes_back_from_its_file(tmp_path):
    spec = replace(PRESETS["smoke"], stability=(4.0, 16.0), tied=False)
    (tmp_path / "spec.toml").write_text(tomli_w.dumps({"language": spec.as_dict()}))
    assert LanguageSpec.read(tmp_path / "spec.toml") == spec
    assert spec.differences(spec) == []
    assert spec.differences(replace(spec, rate=0.1)) == ["rate: 0.004 there, 0.1 asked for"]
    assert spec.differences(replace(spec, seeds=(7,), arms=("full", "b158"))) == []


def test_a_folder_from_before_forms_is_refused_whatever_is_asked_of_it(tmp_path):
    settings = PRESETS["smoke"].as_dict() | {"surrogate": "identity"}
    for name in ("recipe", "form", "groups", "start", "choices"):
        del settings[name]
    (tmp_path / "spec.toml").write_text(tomli_w.dumps({"language": settings, "made": {"layout": 2}}))
    for use in (open_run, LanguageSpec.read, lambda folder: run_all(PRESETS["smoke"], folder)):
        with pytest.raises(InputError, match=r"of an earlier version, .* with --form rounded"):
            use(tmp_path / "spec.toml" if use == LanguageSpec.read else tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["spec.toml"]


def test_unreadable_files_and_wrong_types_are_told(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        LanguageSpec.read(tmp_path / "none.toml")
    (tmp_path / "other.toml").write_text("[sweep]\n")
    with pytest.raises(InputError, match="is of a run of ntk1bit sweep, not of ntk1bit train-lm"):
        LanguageSpec.read(tmp_path / "other.toml")
    (tmp_path / "other.toml").write_text("[other]\n")
    with pytest.raises(InputError, match="no \\[language\\] table"):
        LanguageSpec.read(tmp_path / "other.toml")
    with pytest.raises(InputError, match="did you mean 'tokens'"):
        LanguageSpec.from_dict({"token": 5})
    with pytest.raises(InputError, match="tokens must be a whole number"):
        LanguageSpec.from_dict({"tokens": "many"})


KINDS = {"int": int, "float": float, "str": str, "bool": bool}
VALUES = [
    "a", "", "1", 0, -1, 3, 2**80, 10**400, 1.5, math.nan, math.inf, -math.inf, True, None, [], ["a"], [1, "a"], [[1]],
    [3, 3], [True], [None], [1.5], [math.nan], {"a": 1}, [{"a": 1}], dt.date(2000, 1, 1), "x" * 10_000,
]  # fmt: skip


def fits(kind, value):
    """Say whether a value has the type of a field."""
    if kind.startswith("tuple"):
        return all(fits(kind[6:].split(",")[0], one) for one in (value if isinstance(value, list) else [value]))
    if isinstance(value, bool) or kind == "bool":
        return isinstance(value, bool) and kind == "bool"
    return isinstance(value, KINDS[kind]) or (kind == "float" and isinstance(value, int))


@pytest.mark.parametrize("of", [LanguageSpec, SweepSpec])
def test_every_setting_takes_its_type_and_tells_any_other_in_a_line(of):
    """All settings against all wrong values: whatever comes back is a specification, or one line."""
    for field, value in itertools.product(fields(of), VALUES):
        made = told = None
        try:
            made = of.from_dict({field.name: value})
        except InputError as problem:
            told = str(problem)
        if made is None:
            assert told
            assert "\n" not in told
        else:
            assert fits(str(field.type), value), (field.name, value)
            assert isinstance(made, of)


@pytest.mark.parametrize("of", [LanguageSpec, SweepSpec])
def test_a_file_with_a_wrong_type_is_named(tmp_path, of):
    path = tmp_path / "spec.toml"
    path.write_text(f'\ufeff[{of.NAME}]\nseeds = ["a"]\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"spec\.toml: seeds must be a whole number, got 'a'"):
        of.read(path)
    for damage in (b"\xff\xfe", b"[", b"a = " + b"[" * 5000, b"a = " + b"9" * 5000, f"{of.NAME} = 5".encode()):
        path.write_bytes(damage)
        with pytest.raises(InputError, match=r"spec\.toml"):
            of.read(path)


def test_a_networks_name_depends_on_what_is_trained_only():
    spec, size = PRESETS["smoke"], Size(1, 16)
    key = spec.network(size, "full", 0.01, 0).key
    other = replace(spec, arms=("full",), seeds=(0, 5), stability=())
    assert other.network(size, "full", 0.01, 0).key == key
    others = [
        spec.network(size, "bitnet", 0.01, 0),
        spec.network(size, "full", 0.02, 0),
        spec.network(size, "full", 0.01, 1),
        spec.network(size, "full", 0.01, 0, tokens=20_000),
        replace(spec, tied=False).network(size, "full", 0.01, 0),
    ]
    assert len({key, *(one.key for one in others)}) == 1 + len(others)


def test_stages_follow_from_losses_alone():
    """The search, its best rates for all seeds, then multiples of them at the middle size and a quarter of the text."""
    spec = replace(PRESETS["smoke"], arms=("full", "bitnet"), rate_rounds=1, stability=(4.0,))
    stages, reading, seen = spec.stages(), None, []
    while True:
        try:
            stage = next(stages) if reading is None else stages.send(reading)
        except StopIteration:
            break
        seen.append(stage)
        frame = pd.DataFrame([one.as_dict() for one in stage.experiments])
        frame = frame.assign(
            evaluated=frame["arm"], train_loss=[abs(math.log2(rate / 0.008)) for rate in frame["rate"]]
        )
        reading = lambda frame=frame: frame  # noqa: E731
    assert [stage.name for stage in seen] == ["search 1", "search 2", "seeds", "stability"]
    assert [len(stage.experiments) for stage in seen] == [3 * 6, 6, 6 * 2, 2 * 2 * 2]
    networks = [[one for one in stage.experiments if isinstance(one, LanguageModel)] for stage in seen]
    assert {one.rate for one in networks[1]} == {0.016}
    assert {one.rate for one in networks[2]} == {0.008}
    assert {one.rate for one in networks[3]} == {0.008, 0.032}
    assert {(one.layers, one.width, one.tokens) for one in networks[3]} == {(1, 24, 10_000 // 512 * 512)}
