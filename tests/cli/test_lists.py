from __future__ import annotations

import pytest

from ntk1bit.cli.lists import read_list, read_seeds, read_widths, written
from ntk1bit.errors import InputError


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
    assert read_widths(text) == widths


@pytest.mark.parametrize(
    "text", ["", "64..", "..64", "64-128", "x", "64..32", "0", "0..8", "8..64:x1", "1.5", "-8", "8,,9", "٣"]
)
def test_bad_widths(text):
    with pytest.raises(InputError, match="--widths"):
        read_widths(text)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("3", (0, 1, 2)),
        ("0,3,7", (0, 3, 7)),
        ("0..4", (0, 1, 2, 3, 4)),
        ("7..7", (7,)),
        ("0..2, 9", (0, 1, 2, 9)),
    ],
)
def test_seeds(text, seeds):
    assert read_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["0", "-1", "x", "", "1e3", "99999999", "4..2", "1,,2", "1,1", "0..3,2", "0..99999", "1 2", "٣"]
)
def test_bad_seeds(text):
    with pytest.raises(InputError, match="--seeds") as raised:
        read_seeds(text)
    assert "\n" not in str(raised.value)


def test_one_seed_of_0_1_0_says_how_it_is_written_now():
    with pytest.raises(InputError, match=r"write 7\.\.7 for one seed"):
        read_seeds("7,")


def test_lists_name_the_option():
    assert read_list("1, 2.5", option="--kappas", kind=float) == (1.0, 2.5)
    for text in ("1,x", "1,,2", "1,", ""):
        with pytest.raises(InputError, match=r"--dims .*; write whole numbers separated by commas"):
            read_list(text, option="--dims", kind=int)


@pytest.mark.parametrize("text", ["64..1024", "iid,paired", "64,100,256", "7"])
def test_a_setting_is_written_as_it_is_read(text):
    def read(one):
        return read_list(one, option="--inits", kind=str) if "iid" in one else read_widths(one)

    assert read(written(read(text))) == read(text)
    assert read_seeds(written(read_seeds("5"))) == (0, 1, 2, 3, 4)
    assert written(0.5) == "0.5"
