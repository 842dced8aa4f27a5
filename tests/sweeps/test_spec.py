from __future__ import annotations

import pytest
import tomli_w

from ntk1bit.errors import InputError
from ntk1bit.sweeps import SweepSpec, parse_numbers, parse_seeds, parse_widths, read_spec


@pytest.mark.parametrize(
    ("text", "widths"),
    [
        ("64..1024", (64, 128, 256, 512, 1024)),
        ("64..4096:x4", (64, 256, 1024, 4096)),
        ("64,100,256", (64, 100, 256)),
        ("7", (7,)),
        ("3..20", (3, 6, 12)),
        ("64..64", (64,)),
        (" 8 .. 32 , 100", (8, 16, 32, 100)),
    ],
)
def test_widths(text, widths):
    assert parse_widths(text) == widths


@pytest.mark.parametrize(
    "text", ["", "64..", "..64", "64-128", "x", "64..32", "0..8", "8..64:x1", "1.5", "-8", "8,,9", "٣"]
)
def test_bad_widths(text):
    with pytest.raises(InputError):
        parse_widths(text) if text != "٣" else SweepSpec(widths=parse_widths("0"))


def test_seeds():
    assert parse_seeds("3") == (0, 1, 2)
    assert parse_seeds("7,8,9") == (7, 8, 9)
    assert parse_seeds("7,") == (7,)
    for text in ("0", "-1", "x", "", "1e3", "99999999"):
        with pytest.raises(InputError):
            parse_seeds(text)


def test_numbers_name_the_option():
    assert parse_numbers("1, 2.5", what="--kappas", kind=float) == (1.0, 2.5)
    with pytest.raises(InputError, match="--dims '1,x'; write whole numbers"):
        parse_numbers("1,x", what="--dims", kind=int)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widths": ()}, "widths is empty"),
        ({"widths": (64, 64)}, "repeated"),
        ({"widths": (0,)}, "1 or more"),
        ({"widths": (2**60,)}, "at most"),
        ({"widths": (63,), "inits": ("paired",)}, "even width"),
        ({"tasks": ("digit",)}, "did you mean"),
        ({"precisions": ("half",)}, "unknown precision"),
        ({"scales": ("mean",)}, "unknown scale"),
        ({"inits": ("pairs",)}, "unknown init"),
        ({"kappas": (0.0,)}, "positive"),
        ({"kappas": (float("nan"),)}, "positive"),
        ({"kappas": (1.0, 1e200)}, "positive number, from 1e-30 to 1e30, got 1e.200"),
        ({"eta_rel": float("inf")}, "positive"),
        ({"steps": 0}, "1 or more"),
        ({"n_train": (0,)}, "1 or more"),
        ({"checkpoints": 1}, "2 or more"),
        ({"seeds": (-1,)}, "0 or more"),
    ],
)
def test_a_specification_that_could_not_run_is_refused(settings, message):
    with pytest.raises(InputError, match=message) as caught:
        SweepSpec(**settings)
    assert "\n" not in str(caught.value)


def test_toml_round_trip(tmp_path):
    spec = SweepSpec(widths=(8, 16), tasks=("f1", "sphere-linear"), dims=(4,), kappas=(0.1, 1.0), steps=7)
    path = tmp_path / "spec.toml"
    path.write_text(tomli_w.dumps({"sweep": spec.as_dict(), "versions": {"numpy": "1"}}))
    assert read_spec(path) == spec
    assert read_spec(path).differences(spec) == []
    assert spec.differences(SweepSpec(**{**vars(spec), "steps": 9})) == ["steps: 7 there, 9 asked for"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no \[sweep\] table"),
        ("[sweep", "not valid TOML"),
        ("sweep = 3", r"no \[sweep\] table"),
        ("[sweep]\nwdiths = [3]", "did you mean 'widths'"),
        ("[sweep]\nwidths = ['64']", "whole number"),
        ("[sweep]\nwidths = [true]", "whole number"),
        ("[sweep]\nsteps = 1.5", "whole number"),
        ("[sweep]\neta_rel = 'big'", "a number"),
        ("[sweep]\ntasks = [3]", "a name"),
    ],
)
def test_bad_spec_files_are_told_by_name(tmp_path, text, message):
    path = tmp_path / "my.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_spec(path)
    assert "my.toml" in str(caught.value)


def test_spec_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_spec(tmp_path / "none.toml")
    with pytest.raises(InputError, match="directory"):
        read_spec(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_spec(tmp_path / "binary")
