"""Which law is proposed, by the columns alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.scaling import fit, get_law, law_names, propose

SIZES = np.geomspace(1e6, 1e9, 6).round()


def grid() -> pd.DataFrame:
    """N and D that vary on their own, with losses that no law made."""
    n, d = np.meshgrid(SIZES, 100 * SIZES)
    return pd.DataFrame({"params": n.ravel(), "tokens": d.ravel(), "loss": np.linspace(3, 2, n.size)})


def line(sizes: int = 6, name: str = "width") -> pd.DataFrame:
    return pd.DataFrame({name: 2.0 ** np.arange(6, 6 + sizes), "loss": np.linspace(3, 2, sizes)})


@pytest.mark.parametrize(
    ("frame", "x", "law", "columns"),
    [
        (grid(), {}, "chinchilla", {"N": "params", "D": "tokens"}),
        (grid().assign(C=lambda t: 6 * t["params"] * t["tokens"]), {}, "chinchilla", {"N": "params", "D": "tokens"}),
        (
            grid().assign(work=lambda t: 6 * t["params"] * t["tokens"]),
            {"C": "work"},
            "power+floor",
            {"x": "work"},
        ),
        (
            grid().assign(work=1.5 * np.arange(1, 37)),
            {"N": "params", "C": "work"},
            "max",
            {"N": "params", "D": "tokens", "C": "work"},
        ),
        (grid().assign(tokens=lambda t: 20 * t["params"]), {}, "power+floor", {"x": "params"}),
        (grid().assign(tokens=lambda t: 20 * t["params"]), {"D": "tokens"}, "power+floor", {"x": "tokens"}),
        (
            grid().assign(tokens=lambda t: 20 * t["params"]),
            {"N": "params", "D": "tokens"},
            "chinchilla",
            {"N": "params", "D": "tokens"},
        ),
        (grid().assign(tokens=1e9), {}, "power+floor", {"x": "params"}),
        (grid(), {"x": "tokens"}, "power+floor", {"x": "tokens"}),
        (grid(), {"N": "params"}, "chinchilla", {"N": "params", "D": "tokens"}),
        (line(), {}, "power+floor", {"x": "width"}),
        (line(4), {}, "power", {"x": "width"}),
        (line(name="neurons"), {}, "power+floor", {"x": "neurons"}),
        (line(name="neurons").assign(seed=range(6)), {}, "power+floor", {"x": "neurons"}),
    ],
)
def test_the_columns_decide(frame: pd.DataFrame, x: dict, law: str, columns: dict) -> None:
    found = propose(frame, x=x)
    assert (found.law.name, found.x, found.loss) == (law, columns, "loss")
    assert all(column in found.reason for column in columns.values())
    assert law not in found.others
    assert set(found.others) < {name for name in law_names() if get_law(name).variables == tuple(columns)}


def test_losses_are_not_looked_at() -> None:
    frame, rng = grid(), np.random.default_rng(0)
    for losses in (np.ones(36), rng.uniform(1, 9, 36), frame["params"] ** 2.0, np.full(36, np.nan)):
        found = propose(frame.assign(loss=losses))
        assert (found.law.name, found.reason) == ("chinchilla", propose(frame).reason)


def test_labels_and_rivals_are_left_out() -> None:
    frame = line(name="neurons").assign(rep=range(6))
    assert propose(frame, labels=["rep"]).x == {"x": "neurons"}
    assert propose(line(), rivals=["power+floor"]).law.name == "power"
    assert propose(grid(), rivals=["chinchilla"]).law.name == "kaplan"


def test_a_proposal_is_what_fit_takes(widths: pd.DataFrame) -> None:
    found = propose(widths)
    fitted = fit(widths, found.law, x=found.x, loss=found.loss, bootstrap=0)
    assert fitted.params == fit(widths, "power+floor", bootstrap=0).params


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (line().rename(columns={"loss": "y"}), {}, "which column is loss; name it with --loss"),
        (line().assign(width=8.0), {}, "ask for: beside the losses no column of numbers varies"),
        (line(name="a").assign(b=range(6)), {}, r"any of a, b; name the columns: power, .* need --x; .* --N --D"),
        (grid(), {"x": {"N": "parms"}}, "did you mean 'params'"),
        (line(name="N").assign(C=range(6)), {"x": {"N": "N", "C": "C"}}, "no law is of N, C alone"),
        (grid(), {"rivals": ["chinchilla", "kaplan"]}, "no law is of N, D alone beside chinchilla, kaplan"),
    ],
)
def test_what_matches_no_law_is_one_line_with_what_each_needs(frame: pd.DataFrame, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        propose(frame, **options)
    assert "\n" not in str(caught.value)
