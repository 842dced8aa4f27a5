from __future__ import annotations

import codecs
from typing import Any

import numpy as np
import pytest
import tomli_w
from ntk1bit.experiments.plan import require_memory

from ntk1bit.errors import InputError
from ntk1bit.experiments import SweepSpec, make_plan, parse_numbers, parse_seeds, parse_widths, read_spec
from ntk1bit.experiments.language_spec import read_spec as read_language_spec


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
        ({"kappas": (1e200,)}, "from 1e-30 to 1e30"),
        ({"kappas": (1e-200,)}, "from 1e-30 to 1e30"),
        ({"kappas": (10**400,)}, "too large"),
        ({"eta_rel": 1e300}, "between 2\\^-40 and 2\\^40"),
        ({"eta_rel": float("nan")}, "positive"),
        ({"eta_rel": None}, "eta_rel must be a number"),
        ({"eta_rel": "1"}, "eta_rel must be a number"),
        ({"steps": 10**400}, "at most"),
        ({"widths": (64.5,)}, "widths must be a whole number"),
        ({"widths": (float("nan"),)}, "widths must be a whole number"),
        ({"widths": (float("inf"),)}, "widths must be a whole number"),
        ({"steps": True}, "steps must be a whole number"),
        ({"steps": float("nan")}, "steps must be a whole number"),
        ({"seeds": ("a",)}, "seeds must be a whole number"),
        ({"tasks": (None,)}, "tasks must be a name"),
        ({"terms": 1}, "terms must be true or false"),
    ],
)
def test_a_specification_that_could_not_run_is_refused(settings, message, untyped):
    with pytest.raises(InputError, match=message) as caught:
        SweepSpec(**settings)
    assert "\n" not in str(caught.value)


def test_numbers_of_numpy_and_lists_are_plain_numbers(untyped):
    """They have one spelling, so that a network has one key and a specification can be written."""
    given: Any = {"widths": np.array([8, 16]), "seeds": range(2), "steps": np.int64(7), "kappas": [1, np.float32(0.5)]}
    spec = SweepSpec(**(given | {"eta_rel": np.float64(1), "n_train": [np.int32(8)]}))
    plain = SweepSpec(widths=(8, 16), seeds=(0, 1), steps=7, kappas=(1.0, 0.5), n_train=(8,))
    assert repr(spec) == repr(plain)
    assert tomli_w.dumps(spec.as_dict()) == tomli_w.dumps(plain.as_dict())
    assert [cell.key for cell in make_plan(spec).cells] == [cell.key for cell in make_plan(plain).cells]


SMALL: Any = {"widths": (8,), "seeds": (0,), "steps": 2, "n_train": (4,), "n_test": 2, "tasks": ("sphere-linear",)}


@pytest.mark.parametrize("name", ["widths", "n_train", "steps", "n_test", "checkpoints", "dims"])
def test_what_no_machine_could_hold_is_refused_before_anything_runs(name):
    huge = (2**53,) if name in ("widths", "n_train", "dims") else 2**53
    with pytest.raises(InputError, match=r"too many|GB of memory") as told:
        require_memory(make_plan(SweepSpec(**(SMALL | {name: huge}))), 1)
    assert "\n" not in str(told.value)


def test_seeds_may_be_any_number():
    assert len(make_plan(SweepSpec(**(SMALL | {"seeds": (2**53,), "data_seed": 2**53}))).cells) == 2


@pytest.mark.parametrize("prefix", [b"", codecs.BOM_UTF8])
def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path, prefix):
    (tmp_path / "my.toml").write_bytes(prefix + b"[sweep]\r\nsteps = 7\r\n")
    assert read_spec(tmp_path / "my.toml").steps == 7
    (tmp_path / "lm.toml").write_bytes(prefix + b"[language]\nsizes = ['1x16', '1x32']\n")
    assert read_language_spec(tmp_path / "lm.toml").sizes == ("1x16", "1x32")


@pytest.mark.parametrize("read", [read_spec, read_language_spec])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[sweep]\nsteps = 7".encode("utf-16"), "is written in UTF-16; save it as UTF-8"),
        ("[sweep]\nsteps = 7".encode("utf-32"), "is written in UTF-32; save it as UTF-8"),
        ("[sweep]\nsteps = 7".encode("utf-16-le"), "not a text file in UTF-8"),
        ("[sweep] # é".encode("latin-1"), "not a text file in UTF-8"),
        (b"[sweep", "not valid TOML"),
        (b"a = " + b"[" * 100_000, "not valid TOML"),
        (b"a = " + b"9" * 5000, "not valid TOML"),
        (b"", "table; put the settings under a line"),
    ],
)
def test_files_of_other_encodings_are_told_in_a_line(tmp_path, read, content, message):
    (tmp_path / "my.toml").write_bytes(content)
    with pytest.raises(InputError, match=message) as told:
        read(tmp_path / "my.toml")
    assert "\n" not in str(told.value)
    assert "my.toml" in str(told.value)


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
