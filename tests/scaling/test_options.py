"""Every option of `ntk1bit fit` beside every other: carried through to all that is asked, or refused in one line."""

from __future__ import annotations

import inspect
import itertools
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
from matplotlib.figure import Figure
from typer.testing import CliRunner

from ntk1bit.cli.fit import fit
from ntk1bit.errors import InputError
from ntk1bit.scaling import FitRequest, get_law
from ntk1bit.scaling.analysis import analyse

from .arms import two_arms

app = typer.Typer()
app.command()(fit)

HELD = "E=1.69,beta=0.28"  # leaves 27 of 675 starts: the walk has hundreds of fits
BASE = {"law": "chinchilla", "fix": HELD, "bootstrap": "20"}
VALUES: dict[str, str | None] = {
    "law": "power",
    "fix": "beta=0.28,alpha=0.34",
    "x": "N",
    "N": "N",
    "D": "D",
    "C": "C",
    "loss": "loss",
    "group": "arm",
    "cluster": "seed",
    "weight": "w",
    "bootstrap": "25",
    "level": "0.9",
    "seed": "3",
    "against": "kaplan",
    "holdout": "0.3",
    "frontier": None,
    "cost": "5",
    "run": "name",
    "where": "arm=a",
    "at": "last",
    "measured": "train",
    "strict": None,
    "delta": "0.01",
    "tilt": "0.3",
    "out": "{folder}/fit.json",
    "plot": "{folder}/fit.svg",
    "threads": "1",
}
PAIRS = list(itertools.combinations(VALUES, 2))


def refusal(first: str, second: str) -> str | None:
    """What is said of a pair that means nothing; None for one that must work."""
    pair = {first, second}
    if "cost" in pair and "frontier" not in pair:
        return "--frontier"
    if pair & {"x", "C"} and "law" not in pair:
        return "has no variable"
    if pair & {"at", "measured", "strict"}:
        return "folder of a sweep"
    if "law" in pair:  # of one variable, x
        told = {"N": "no variable N", "D": "no variable D", "C": "no variable C", "frontier": "law of N and D"}
        told |= {"fix": "unknown parameter", "against": "different variables"}
        return next((told[name] for name in pair if name in told), None)
    if pair == {"group", "against"}:
        return "leave out the groups"
    return None


def command(table: str, folder: Path, options: Mapping[str, str | None]) -> list[str]:
    words = [table]
    for name, value in options.items():
        words += [f"--{name}"] if value is None else [f"--{name}", value.format(folder=folder)]
    return words


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tables") / "arms.csv"
    two_arms().to_csv(path, index=False)
    return str(path)


def test_the_walk_meets_every_option() -> None:
    named = {name.upper() if name in ("n", "d", "c") else name for name in inspect.signature(fit).parameters}
    assert named - {"file"} == set(VALUES)


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_two_options_work_together_or_are_refused_in_one_line(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    # Pictures are drawn in full by the tests of plots; here it is enough that they are asked for.
    monkeypatch.setattr(Figure, "savefig", lambda _self, file, **_options: file.write(b"picture"))
    options = {**BASE, first: VALUES[first], second: VALUES[second]}
    if "law" in (first, second) and "fix" not in (first, second):
        options.pop("fix")  # it holds what a law of one variable has not
    words = command(table, tmp_path, options)
    message = refusal(first, second)
    if message is not None:
        with pytest.raises(InputError, match=message) as caught:
            CliRunner().invoke(app, words, catch_exceptions=False)
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.iterdir())
        return
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == {
        name for option, name in (("out", "fit.json"), ("plot", "fit.svg")) if option in (first, second)
    }


EVERYTHING = FitRequest(
    law=get_law("chinchilla").fix(E=1.69, beta=0.28),
    x={"N": "N", "D": "D"},
    loss="loss",
    group="arm",
    bootstrap=20,
    holdout=0.3,
    frontier=True,
    run="run",
    cluster=(),
)
# The parts of a report that a setting must change; all others it must leave alone.
FITTED = {"fits", "extrapolation", "parametric"}
DRAWN = {"fits", "parametric", "isoflop", "envelope"}  # only these have intervals
REACH: dict[str, tuple[dict[str, Any], set[str]]] = {
    "law": ({"law": get_law("chinchilla").fix(E=1.69, beta=0.3)}, FITTED),
    "delta": ({"delta": 0.01}, FITTED),
    "tilt": ({"tilt": 0.3}, FITTED),
    "weight": ({"weight": "w"}, {*FITTED, "isoflop"}),  # of the runs of a budget the envelope takes the lowest
    "cluster": ({"cluster": "seed"}, DRAWN),
    "seed": ({"seed": 3}, DRAWN),
    "bootstrap": ({"bootstrap": 25}, DRAWN),
    "level": ({"level": 0.9}, DRAWN),
    "cost": ({"cost": 5.0}, {"parametric", "isoflop", "envelope"}),
    "holdout": ({"holdout": 0.5}, {"extrapolation"}),
    "threads": ({"threads": 1}, set()),
}


def parts_of_report(frame: pd.DataFrame, request: FitRequest) -> dict[tuple[str, str], Any]:
    """Every part of a report, by its name and its group."""
    content = analyse(frame, request).as_dict()
    parts: dict[tuple[str, str], Any] = {("fits", name): each["parameters"] for name, each in content["fits"].items()}
    for row in content["extrapolation"]:
        parts.setdefault(("extrapolation", row["group"]), []).append(row)
    return parts | {(each["route"], each["group"]): each for each in content["frontier"]}


@pytest.fixture(scope="module")
def plain() -> dict[tuple[str, str], Any]:
    return parts_of_report(two_arms(), EVERYTHING)


@pytest.mark.parametrize("setting", REACH)
def test_a_setting_reaches_every_part_it_concerns_in_every_group(
    plain: dict[tuple[str, str], Any], setting: str
) -> None:
    changes, expected = REACH[setting]
    found = parts_of_report(two_arms(), replace(EVERYTHING, **changes))
    assert found.keys() == plain.keys()
    assert len(found) == 2 * 5
    for part, group in plain:
        assert (found[part, group] != plain[part, group]) == (part in expected), (part, group)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cluster": "arm"}, "cannot be both group and cluster"),
        ({"run": "arm"}, "cannot be both group and run"),
        ({"group": None, "rivals": ("kaplan", "kaplan")}, "law kaplan is named twice"),
        ({"law": get_law("power"), "x": {"x": "N"}}, "law of N and D"),
        ({"holdout": 1.5}, "holdout must be a share"),
    ],
)
def test_questions_that_contradict_themselves_are_refused_before_the_work(
    changes: dict[str, Any], message: str
) -> None:
    def never(*_progress: object) -> None:
        raise AssertionError("nothing is to be fitted")

    with pytest.raises(InputError, match=message):
        analyse(two_arms(), replace(EVERYTHING, **changes), progress=never)


def test_a_refused_group_is_named() -> None:
    table = two_arms()
    table.loc[table["arm"] == "b", "N"] = 1e8
    with pytest.raises(InputError, match="arm = b: column 'N' has one value"):
        analyse(table, replace(EVERYTHING, holdout=None, run=None))


NONSENSE: dict[str, list[str | None]] = {
    "law": ["power", "chinchilla", "kaplan", "max", "broken", "power+floor", "x"],
    "fix": ["alpha=0.3", "alpha=nan", "E=0", "A=1e-300", "alpha=0,beta=0", "", "=", "self=1"],
    "x": ["N", "loss", "text", "zero", "", "huge"],
    "N": ["N", "one", "D", "huge"],
    "D": ["D", "zero", "huge"],
    "loss": ["loss", "one", "huge", "text"],
    "group": ["arm", "run", "loss", "gaps", "one", "N", ""],
    "cluster": ["run", "name", "one", "gaps", "arm"],
    "weight": ["w", "zero", "huge", "text"],
    "bootstrap": ["0", "20", "19", "-1"],
    "level": ["0.5", "0.999999", "0", "nan"],
    "seed": ["0", "99999999999999999999", "-1"],
    "against": ["kaplan", "power", "power+floor,broken", ",", "chinchilla"],
    "holdout": ["0.3", "0.99", "1e-9", "nan"],
    "frontier": [None],
    "cost": ["6", "1e300", "nan", "1e-300"],
    "run": ["run", "name", "loss", "gaps", "N"],
    "where": ["arm=a", "gaps=a", "one=1", "N=x", "loss=", "half=1"],
    "delta": ["1e-3", "1e300", "1e-300", "0", "nan"],
    "tilt": ["0.1", "0", "1", "1e-12"],
    "threads": ["1", "0"],
    "at": ["last", "first"],
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_any_options_are_done_or_refused_in_one_line(tmp_path: Path, seed: int) -> None:
    table = two_arms().assign(zero=0.0, one=1.0, huge=1e300, text="x")
    table["gaps"] = ["a" if i % 3 else None for i in range(len(table))]
    path = tmp_path / "table.csv"
    table.to_csv(path, index=False)
    rng = random.Random(seed)
    done = 0
    for _ in range(50):
        names = rng.sample(list(NONSENSE), rng.choice([1, 2, 3, 4]))
        words = command(
            str(path), tmp_path, {"bootstrap": "20", **{name: rng.choice(NONSENSE[name]) for name in names}}
        )
        result = CliRunner().invoke(app, words)
        if result.exit_code == 0:
            done += 1
        elif not (result.exit_code == 2 and isinstance(result.exception, SystemExit)):  # typer's own refusals
            assert isinstance(result.exception, InputError), words
            assert "\n" not in str(result.exception), words
    assert 0 < done < 50
