from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
import typer

from ntk1bit.cli.energy import energy
from ntk1bit.energy.counting import ARMS, ForwardPass, count_operations, joules
from ntk1bit.energy.published import SIZES, TABLE_1
from ntk1bit.energy.weight_memory import weight_bytes
from ntk1bit.errors import InputError

DOCUMENT = Path(__file__).parents[2] / "docs" / "energy.md"
app = typer.Typer()
app.command()(energy)


def call(capsys, *arguments):
    """Run the command; return what it prints, of which no line may be too wide for a terminal."""
    app(list(arguments), standalone_mode=False)
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= 110
    return out


def rows_of(capsys, *arguments):
    """Return what the command prints with --csv, as a frame."""
    app([*arguments, "--csv"], standalone_mode=False)
    return pd.read_csv(io.StringIO(capsys.readouterr().out))


def cells(out, size, arm):
    """Return the cells of the totals of one size and arm by their heads."""
    head = next(line for line in out.splitlines() if line.lstrip().startswith("size"))
    names = [word.strip() for word in head.split("  ") if word.strip()]
    line = next(line.split() for line in out.splitlines() if line.split()[:1] == [size] and line.split()[2] == arm)
    return dict(zip(names, line, strict=True))


def test_the_eight_sizes_with_totals_and_kinds(capsys):
    out = call(capsys)
    for size, shape in SIZES.items():
        found = cells(out, size, "bitnet")
        full, one = (joules(count_operations(shape, arm), "7nm").total for arm in ("full16", "bitnet"))
        # printed with three significant digits and two decimals
        assert float(found["J 7nm"]) == pytest.approx(one, rel=5e-3)
        assert float(found["full16/arm"]) == pytest.approx(full / one, abs=5.1e-3)
        assert float(found["N"]) == pytest.approx(shape.parameters, rel=5e-3)
        assert float(found["all MB"].replace(",", "")) == pytest.approx(
            weight_bytes(shape, "bitnet").total / 1e6, abs=0.06
        )
    assert out.count("full32: ") == 1
    kinds = out[out.index("Operations by kind") :]
    assert "arm bitnet" in kinds
    for kind in ("qkv", "attention scores", "attention values", "attention output", "ff up", "ff down", "scales"):
        assert f"\n{kind}" in kinds


def test_one_transformer_in_every_arm(capsys):
    arguments = ("--layers", "2", "--width", "192", "--tokens", "7", "--vocabulary", "50", "--arm", "all")
    arguments += ("--model", "exact", "--wide", "--density", "0.5")
    out = call(capsys, *arguments)
    assert "7 tokens, counting 'exact', sums in 32 bits" in out
    shape = ForwardPass(2, 192, 7, vocabulary=50, heads=3)
    rows = rows_of(capsys, *arguments)
    assert list(dict.fromkeys(rows["arm"])) == list(ARMS)
    for arm in ARMS:
        counts = count_operations(shape, arm, model="exact", wide=True, density=0.5)
        mine = rows.loc[rows["arm"] == arm]
        assert mine["count"].tolist() == counts["count"].tolist()
        # sums in another order: a few float epsilons
        assert mine["joules_45nm"].sum() == pytest.approx(joules(counts, "45nm").total, rel=1e-12)
        assert cells(out, "2x192", arm)["arm"] == arm
    assert "int32" in out
    assert "\nsoftmax" in out


def test_what_a_network_is_made_of_is_counted(capsys):
    size = ("--layers", "2", "--width", "64", "--tokens", "7", "--vocabulary", "50", "--arm", "bitnet")
    size += ("--model", "exact", "--activation", "squared-relu", "--untied")
    out = call(capsys, *size)
    shape = ForwardPass(2, 64, 7, vocabulary=50, tied=False, activation="squared-relu")
    counts = count_operations(shape, "bitnet", model="exact")
    assert rows_of(capsys, *size)["count"].tolist() == counts["count"].tolist()
    assert float(cells(out, "2x64", "bitnet")["all MB"]) == pytest.approx(
        weight_bytes(shape, "bitnet").total / 1e6, abs=0.06
    )
    with pytest.raises(InputError, match="of other options it takes --csv"):
        call(capsys, "--published", "--untied")


def test_odd_heads_are_told(capsys):
    with pytest.raises(InputError, match="even number of entries"):
        call(capsys, "--layers", "1", "--width", "9", "--model", "exact")


def test_heads_default_to_64_columns_where_that_divides(capsys):
    for width, heads in (("128", 2), ("100", 1)):
        rows = rows_of(capsys, "--layers", "1", "--width", width, "--arm", "full16", "--model", "exact")
        counts = count_operations(ForwardPass(1, int(width), heads=heads), "full16", model="exact")
        assert rows["count"].tolist() == counts["count"].tolist()


def test_tokens_apply_to_the_eight_sizes(capsys):
    out = call(capsys, "--tokens", "64", "--arm", "b158")
    assert "64 tokens" in out
    assert "arm b158" in out
    longer = cells(call(capsys, "--arm", "b158"), "125M", "b158")
    assert float(cells(out, "125M", "b158")["J 7nm"]) < float(longer["J 7nm"]) / 8  # attention takes fewer still
    assert cells(out, "125M", "b158")["all MB"] == longer["all MB"]  # positions have no weights


def test_published_figures_are_all_shown_with_what_they_miss(capsys):
    out = call(capsys, "--published")
    assert "41 of 44 figures are reproduced." in out
    assert "The best reading misses: 6.7B bitnet 7nm add 0.04." in out
    assert out.count("  NO  ") == 3  # of figures; costs end their lines with it
    assert sum(line.endswith("NO") for line in out.splitlines()) == 2
    for printed in TABLE_1.values():
        for text in printed:
            assert f" {text} " in out
    assert len(rows_of(capsys, "--published")) == 44


def test_the_document_shows_what_the_command_prints(capsys):
    text = DOCUMENT.read_text(encoding="utf-8").partition("## W23's printed figures")[2].partition("\n## ")[0]
    shown = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    assert len(shown) > 44 + 11 + 10
    printed = [line.strip() for line in call(capsys, "--published").splitlines()]
    assert [line for line in shown if line not in printed] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--layers", "2"), "both --layers and --width"),
        (("--width", "64"), "both --layers and --width"),
        (("--heads", "2"), "both --layers and --width"),
        (("--vocabulary", "10"), "both --layers and --width"),
        (("--layers", "0", "--width", "64"), "layers of at least 1, got 0"),
        (("--layers", "2", "--width", "-64"), "width of at least 1, got -64"),
        (("--layers", "2", "--width", "0"), "width of at least 1, got 0"),
        (("--layers", "2", "--width", "64", "--heads", "5"), "multiple of heads"),
        (("--layers", "2", "--width", "64", "--vocabulary", "-1"), "vocabulary must be 0"),
        (("--layers", "9" * 30, "--width", "64"), "10\\^18 operations"),
        (("--tokens", "0"), "tokens of at least 1, got 0"),
        (("--tokens", "9" * 20), "10\\^18 operations"),
        (("--density", "0"), "density"),
        (("--density", "nan"), "density"),
        (("--published", "--tokens", "64"), "--published recomputes W23's figures"),
        (("--published", "--arm", "bitnet"), "--published recomputes W23's figures"),
        (("--published", "--density", "nan"), "--published recomputes W23's figures"),
        (("--published", "--layers", "2", "--width", "64"), "--published recomputes W23's figures"),
    ],
)
def test_mistakes_are_told(arguments, words):
    with pytest.raises(InputError, match=words) as told:
        app(list(arguments), standalone_mode=False)
    assert "\n" not in str(told.value)


def test_unknown_arms_are_refused():
    with pytest.raises(typer.TyperException, match="bitnett"):
        app(["--arm", "bitnett"], standalone_mode=False)
