from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.scaling import FitRequest, get_law
from ntk1bit.scaling.observations import observe
from ntk1bit.tables.roles import choose_roles, guess_column, guess_columns

ND = ["N", "D"]


@pytest.mark.parametrize(
    ("role", "columns", "expected"),
    [
        ("N", ["params", "tokens", "loss"], "params"),
        ("D", ["Model Size", "Training Tokens", "loss"], "Training Tokens"),
        ("N", ["Model Size", "Training Tokens", "loss"], "Model Size"),
        ("N", ["n", "d"], None),  # single letters are matched as written only
        ("N", ["N", "params"], "N"),
        ("C", ["Training FLOP"], "Training FLOP"),
        ("loss", ["L", "Loss"], "Loss"),  # L may count layers
        ("loss", ["final loss"], "final loss"),
        ("loss", ["N", "D", "L", "val_loss"], "val_loss"),
        ("loss", ["N", "L"], "L"),
        ("step", ["Global Step"], "Global Step"),
        ("x", ["seed", "width"], "width"),
        ("D", [], None),
    ],
)
def test_guesses(role: str, columns: list[str], expected: str | None) -> None:
    assert guess_column(role, columns) == expected


def test_columns_are_not_used_twice() -> None:
    x, loss = guess_columns(ND, ["params", "tokens", "val_loss"], {"N": None, "D": None})
    assert (x, loss) == ({"N": "params", "D": "tokens"}, "val_loss")
    x, loss = guess_columns(["x"], ["loss", "test_loss", "width"], {"x": None}, "test_loss")
    assert (x, loss) == ({"x": "width"}, "test_loss")


def test_what_cannot_be_guessed_is_asked_for() -> None:
    with pytest.raises(InputError, match="which column is D; name it with --D"):
        guess_columns(ND, ["params", "loss"], {})
    with pytest.raises(InputError, match=r"no column 'tokns'.*did you mean 'tokens'"):
        guess_columns(ND, ["params", "tokens", "loss"], {"D": "tokns"})
    with pytest.raises(InputError, match="which column is loss"):
        guess_columns(["x"], ["width", "y"], {})


def runs(points: int = 24) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n, d = np.exp(rng.uniform(14, 20, points)), np.exp(rng.uniform(20, 24, points))
    return pd.DataFrame({"N": n, "D": d, "loss": 1.7 + 400 * n**-0.34 + 400 * d**-0.28})


def test_a_variable_that_the_law_ignores_is_named_with_a_law_that_does_not() -> None:
    roles = choose_roles(runs(), ["x"], {})
    assert (roles.x, roles.loss) == ({"x": "N"}, "loss")
    (remark,) = roles.remarks
    assert "column 'D' looks like a variable (D) and the law ignores it" in remark
    assert "--law chinchilla --N N --D D" in remark
    assert choose_roles(runs(), ND, {}).remarks == ()


@pytest.mark.parametrize(
    ("frame", "law", "given", "remarks"),
    [
        (runs().assign(C=lambda t: 6 * t["N"] * t["D"]), "chinchilla", {}, []),
        (runs().assign(D=1e9), "power", {}, []),  # what does not vary has no effect to ignore
        (runs().assign(D=lambda t: 20 * t["N"]), "power", {}, ["column 'D' grows with 'N'"]),
        (runs(), "power", {"x": "D"}, ["column 'N' looks like a variable.*--N N --D D"]),
        (runs().assign(width=range(24)), "power", {"x": "width"}, ["'N'.*--law chinchilla", "'D'.*--law chinchilla"]),
        (
            runs().rename(columns={"N": "width", "D": "Training Tokens"}),
            "power",
            {"x": "width"},
            ["hold it with --where, or fit its values apart with --group 'Training Tokens'"],
        ),
        (runs().rename(columns={"D": "flops"}), "power", {}, ["column 'flops' looks like a variable"]),
        (runs().assign(val_loss=1.0), "chinchilla", {}, ["loss is taken to be 'loss'; 'val_loss' might be meant too"]),
        (runs().assign(tokens=1.0), "chinchilla", {}, ["D is taken to be 'D'; 'tokens' might be meant too: .* --D"]),
        (runs().assign(L=12), "chinchilla", {}, []),
        (runs().assign(params="125M"), "chinchilla", {}, ["N is taken to be 'N'; 'params' might"]),
        (runs().assign(data="c4"), "power", {"x": "N"}, ["'D' looks like"]),
    ],
)
def test_what_is_said_of_other_columns(frame: pd.DataFrame, law: str, given: dict, remarks: list[str]) -> None:
    found = choose_roles(frame, get_law(law).variables, given).remarks
    assert len(found) == len(remarks), found
    for line, pattern in zip(found, remarks, strict=True):
        assert re.search(pattern, line), line
        assert "\n" not in line


@pytest.mark.parametrize("written", ["125M", "1,000", "3.2%", "~7", "1 000", "$5"])
def test_numbers_written_as_text_are_guessed_and_then_refused_by_name(written: str) -> None:
    frame = runs().assign(N=written)
    roles = choose_roles(frame, ND, {})
    assert roles.x["N"] == "N"
    with pytest.raises(InputError, match="column 'N' is not numeric: 24 of 24 values are no numbers, first") as caught:
        observe(frame, FitRequest(get_law("chinchilla"), roles.x))
    assert repr(written) in str(caught.value)


def test_a_dash_among_losses_is_refused_by_name() -> None:
    frame = runs().assign(loss=lambda t: t["loss"].map(str).where(t.index != 5, "-"))
    assert choose_roles(frame, ND, {}).loss == "loss"
    with pytest.raises(InputError, match=r"'loss' is not numeric: 1 of 24 values are no numbers, first '-' in row 5"):
        observe(frame, FitRequest(get_law("chinchilla")))


def test_all_columns_are_told_where_none_can_be_guessed() -> None:
    frame = runs().rename(columns={"D": "seen"}).assign(arm="a")
    with pytest.raises(InputError, match=r"which column is D; name it with --D \(the table has N, seen, loss, arm\)"):
        choose_roles(frame, ND, {})
    frame = runs().rename(columns={"D": "flops"})
    with pytest.raises(InputError, match=r"if flops is 6 N D, add a column D = flops / \(6 N\)"):
        choose_roles(frame, ND, {})
    with pytest.raises(InputError, match=r"add a column N = C / \(6 tokens\)"):
        choose_roles(runs().rename(columns={"N": "C", "D": "tokens"}), ND, {})


def test_labels_are_never_taken_for_variables() -> None:
    frame = runs().rename(columns={"D": "tokens"})
    with pytest.raises(InputError, match="which column is D"):
        choose_roles(frame, ND, {}, labels=["tokens"])
    assert choose_roles(frame, ["x"], {}, labels=["tokens"]).remarks == ()
