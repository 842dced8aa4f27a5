from __future__ import annotations

import pytest

from ntk1bit.errors import InputError
from ntk1bit.scaling import get_law
from ntk1bit.scaling.columns import guess_column, guess_columns


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
        ("x", ["seed", "width"], "width"),
        ("D", [], None),
    ],
)
def test_guesses(role: str, columns: list[str], expected: str | None) -> None:
    assert guess_column(role, columns) == expected


def test_columns_are_not_used_twice() -> None:
    x, loss = guess_columns(get_law("chinchilla"), ["params", "tokens", "val_loss"], {"N": None, "D": None})
    assert (x, loss) == ({"N": "params", "D": "tokens"}, "val_loss")
    x, loss = guess_columns(get_law("power"), ["loss", "test_loss", "width"], {"x": None}, "test_loss")
    assert (x, loss) == ({"x": "width"}, "test_loss")


def test_what_cannot_be_guessed_is_asked_for() -> None:
    with pytest.raises(InputError, match="which column is D; name it with --D"):
        guess_columns(get_law("chinchilla"), ["params", "loss"], {})
    with pytest.raises(InputError, match=r"no column 'tokns'.*did you mean 'tokens'"):
        guess_columns(get_law("chinchilla"), ["params", "tokens", "loss"], {"D": "tokns"})
    with pytest.raises(InputError, match="which column is loss"):
        guess_columns(get_law("power"), ["width", "y"], {})
