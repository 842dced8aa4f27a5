from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntk1bit.errors import InputError
from ntk1bit.tables import reading
from ntk1bit.tables.columns import number_column
from ntk1bit.tables.reading import read_table
from ntk1bit.tables.rows import select_rows

FRAME = pd.DataFrame({"N": [1.0, 2.0], "loss": [0.5, 0.25]})


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet", "T.CSV"])
def test_every_form_reads_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".parquet"):
        FRAME.to_parquet(path)
    else:
        FRAME.to_csv(path, index=False, sep="\t" if name.endswith(".tsv") else ",")
    pd.testing.assert_frame_equal(read_table(path), FRAME)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "cannot read"),
        ("a.csv", b"N,loss\n", "no rows"),
        ("a.csv", b"N,loss,N\n1,2,3\n", "several columns named N"),
        ("a.csv", b"a,b\n1,2\n1,2,3,4\n", "cannot read"),
        ("a.csv", b"\xff\xfe\x00\x81", "cannot read .* UTF-16; save it as UTF-8"),
        ("a.csv", b"N,loss\n1,\xe9\n", "byte 9 is not UTF-8; save it as UTF-8"),
        ("a.csv", b"\xef\xbb\xbfN,loss,N\n1,2,3\n", "several columns named N"),
        ("a.csv", b"\nN,loss,N\n1,2,3\n", "several columns named N"),
        ("a.csv", b" \n\n\nN;loss;N\n1;2;3\n", "several columns named N"),
        ("a.tsv", b"\r\n\r\nN\tloss\tN\r\n1\t2\t3\r\n", "several columns named N"),
        ("a.csv", b"N, loss, N\n1, 2, 3\n", "several columns named N"),
        ("a.csv", b"N,loss\n1,2,3\n4,5,6\n", "line 2 has 3 cells, the header 2"),  # pandas takes N for an index
        ("a.csv", b'N,loss\n1,"2\n3,4\n', "cannot read"),  # an open quote would swallow the other rows
        ("a.jsonl", b'{"N": 1, "N": 2, "loss": 3}', "line 1 names N twice"),
        ("a.jsonl", b'{"N": 1, "loss": 3}\n{"N": 2, "loss"', "line 2 is not JSON"),
        ("a.jsonl", b"[1, 2]", "row 1 is not an object"),
        ("a.jsonl", b"[" * 100_000, "cannot read"),
        ("a.json", b'{"N": {"0": 1}, "loss": {"0": 2}}', "one object of columns; write one object a row"),
        ("a.csv.gz", b"N,loss\n1,2\n", "Not a gzipped file"),
        ("a.csv.gz", gzip.compress(b"N,loss\n1,2\n", mtime=0)[:-9], "cannot read"),
        ("a.csv.xz", b"N,loss\n1,2\n", "cannot read"),
        ("a.csv.zip", b"PK", r"ends in \.csv"),
        ("a.parquet.gz", b"", r"ends in \.csv"),
        ("a.parquet", b"not parquet", "as Parquet"),
        ("a.xlsx", b"x", r"ends in \.csv"),
    ],
)
def test_unreadable_files_are_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file or run"):
        read_table(tmp_path / "missing.csv")


def test_rows_are_kept_by_number_and_by_text() -> None:
    frame = pd.DataFrame({"kappa": [1.0, 0.5, 1.0], "init": ["iid", "iid", "paired"], "ok": [True, True, False]})
    assert select_rows(frame, None) is frame
    assert select_rows(frame, "kappa=1").index.tolist() == [0, 2]
    assert select_rows(frame, "kappa = 1.0, init=iid").index.tolist() == [0]
    assert select_rows(frame, "ok=False").index.tolist() == [2]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b"\xef\xbb\xbfN,loss\n1,0.5\n2,0.25\n"),
        ("t.csv", b"\n \n\nN,loss\n1,0.5\n\n2,0.25\n\n"),
        ("t.csv", b"N;loss\n1;0.5\n2;0.25\n"),
        ("t.csv", b"N\tloss\r\n1\t0.5\r\n2\t0.25\r\n"),
        ("t.tsv", b"N,loss\n1,0.5\n2,0.25\n"),
        ("t.txt", b"N|loss\n1|0.5\n2|0.25"),
        ("t.csv", b"N , loss\n 1, 0.5\n2 ,2.5e-1\n"),
        ("t.csv", b"N,loss\n1,0.5,\n2,0.25,,\n"),
        ("t.csv.gz", gzip.compress(b"N;loss\n1;0.5\n2;0.25\n", mtime=0)),
        ("t.csv.bz2", bz2.compress(b"N,loss\n1,0.5\n2,0.25\n")),
        ("T.TSV.XZ", lzma.compress(b"N\tloss\n1\t0.5\n2\t0.25\n")),
        ("t.jsonl", b'{"N": 1, "loss": 0.5}\n\n{"loss": 0.25, "N": 2}\n'),
        ("t.ndjson.gz", gzip.compress(b'{"N": 1, "loss": 0.5}\n{"N": 2, "loss": 0.25}', mtime=0)),
        ("t.json", b'\xef\xbb\xbf [{"N": 1, "loss": 0.5},\n {"N": 2, "loss": 0.25}]'),
    ],
)
def test_every_dialect_reads_alike(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    pd.testing.assert_frame_equal(read_table(path), FRAME, check_dtype=False)


def test_whole_numbers_beyond_64_bits_are_kept_exactly(tmp_path: Path) -> None:
    large = [2**63 - 1, 2**63, 2**64 + 1, 2**64 + 3, 10**30]
    for name, rows in (("t.csv", [f"{n},1" for n in large]), ("t.jsonl", [f'{{"C": {n}, "loss": 1}}' for n in large])):
        path = tmp_path / name
        path.write_text("\n".join(rows if name == "t.jsonl" else ["C,loss", *rows]))
        frame = read_table(path)
        assert frame["C"].tolist() == large
        np.testing.assert_array_equal(number_column(frame, "C"), np.array(large, dtype=np.float64))
        assert select_rows(frame, f"C={2**64 + 1}")["C"].tolist() == [2**64 + 1]
    path = tmp_path / "gap.csv"
    path.write_text("run,loss\n9007199254740992,1\n,1\n9007199254740993,1\n")
    assert read_table(path)["run"].tolist() == [2**53, None, 2**53 + 1]


def test_text_is_text_and_blanks_alone_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("arm,step,note,loss\nNone,1,,nan\nnan,2,,1\n,,,2\nNA,4, ,3\n")
    frame = read_table(path)
    assert frame["arm"].fillna("(blank)").tolist() == ["None", "nan", "(blank)", "NA"]
    np.testing.assert_array_equal(frame["step"], [1.0, 2.0, np.nan, 4.0])
    assert frame["note"].isna().tolist() == [True] * 4
    assert select_rows(frame, "arm=nan").index.tolist() == [1]
    assert select_rows(frame, 'arm=""').index.tolist() == [2]
    assert select_rows(frame, 'step=""').index.tolist() == [2]
    np.testing.assert_array_equal(number_column(frame, "loss"), [np.nan, 1.0, 2.0, 3.0])


def test_a_named_index_of_a_parquet_file_is_a_column(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    FRAME.set_index("N").to_parquet(path)
    pd.testing.assert_frame_equal(read_table(path), FRAME)


@given(
    st.lists(
        st.one_of(
            st.floats(allow_nan=False, allow_infinity=False),
            st.integers(-(2**70), 2**70),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_numbers_are_read_to_the_last_bit(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    path = tmp_path_factory.getbasetemp() / "numbers.csv"
    path.write_text("v,w\n" + "".join(f"{value!r},x\n" for value in values))
    frame = read_table(path)
    np.testing.assert_array_equal(number_column(frame, "v"), np.array(list(map(float, values))))
    for value in values:
        assert float(value) in select_rows(frame, f"v={value!r}")["v"].map(float).tolist()


def test_a_gap_in_a_column_of_text_or_numbers_is_no_obstacle() -> None:
    frame = pd.DataFrame(
        {"opt": ["a", None, "b"], "kappa": [1.0, np.nan, 2.0], "n": pd.array([1, None, 2], dtype="Int64")}
    )
    assert select_rows(frame, "opt=a").index.tolist() == [0]
    assert select_rows(frame, "kappa=2").index.tolist() == [2]
    assert select_rows(frame, "n=1").index.tolist() == [0]
    assert select_rows(frame, 'n=""').index.tolist() == [1]
    with pytest.raises(InputError, match="the column holds a, a blank, b"):
        select_rows(frame, "opt=nan")


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ('opt="a,b"', [0]),
        ('opt="a,b",k=1', [0]),
        ('k=1, opt="a,b"', [0]),
        ('opt="b=1,c"', [1]),
        ("opt=b=2", [2]),
        ('opt="""q"""', [3]),
        ('"x,y"=2', [1, 3]),
        ("m=1", [0]),  # a column of numbers and a word, where 1 is written 1.0
        ("m=two", [1]),
    ],
)
def test_values_with_commas_are_named_in_quotes(where: str, rows: list[int]) -> None:
    frame = pd.DataFrame(
        {"opt": ["a,b", "b=1,c", "b=2", '"q"'], "k": [1, 2, 1, 2], "x,y": [1, 2, 1, 2], "m": ["1.0", "two", "3", "4"]}
    )
    assert select_rows(frame, where).index.tolist() == rows


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("kappa", "write column=value"),
        ("kappa=1,b", r"cannot read 'b' in --where.*in quotes, as in opt=\"adam,0.9\""),
        ("=1", "write column=value"),
        ("kappa=", "write column=value"),
        ('kappa="1', "give a number"),
        ("kapa=1", "no column 'kapa'"),
        ("kappa=one", "give a number"),
        ("kappa=2", "the column holds 0.5, 1.0"),
    ],
)
def test_selections_that_cannot_be_made(where: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        select_rows(pd.DataFrame({"kappa": [1.0, 0.5]}), where)


_PIECES = st.sampled_from(
    [
        *(
            "N",
            "loss",
            ",",
            ";",
            "\t",
            "|",
            "\n",
            "\r\n",
            '"',
            '""',
            " ",
            "1",
            "-2.5e3",
            "nan",
            "None",
            "{",
            "}",
            "[",
            "]",
        ),
        *(":", "\ufeff", "\x00", "\\ud800", "é", "9" * 400, "1e999", "#", "="),
    ]
)


def read_or_refusal(path: Path) -> tuple[pd.DataFrame, str]:
    try:
        return read_table(path), ""
    except InputError as problem:
        return pd.DataFrame(), str(problem)


@given(st.lists(_PIECES, max_size=40).map("".join), st.sampled_from([".csv", ".tsv", ".txt", ".jsonl", ".json"]))
def test_any_text_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, text: str, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_text(text, encoding="utf-8")
    frame, refusal = read_or_refusal(path)
    assert "\n" not in refusal
    assert refusal or (frame.columns.is_unique and len(frame))


_CELLS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["", " ", "NA", "nan", "inf", "null", "true", "False", "0x1F", "1e5", "+7", "007", ".5", "5."]),
    st.sampled_from(
        ["é", "2020-01-01", "12:30:00", "2020-01-01 10:00", " 3 ", "1_000", "-", "9007199254740993", "1e400"]
    ),
)


@given(st.data())
def test_large_texts_are_read_as_small_ones(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Arrow's parser, made to read every text, against the plain one: same columns, types, values and refusals."""
    columns = [data.draw(st.lists(_CELLS, min_size=4, max_size=4)) for _ in range(data.draw(st.integers(1, 4)))]
    kinds = data.draw(st.lists(st.sampled_from(["any", "first"]), min_size=len(columns), max_size=len(columns)))
    columns = [one if kind == "any" else one[:1] * 4 for one, kind in zip(columns, kinds, strict=True)]
    separator, end = data.draw(st.sampled_from(",;\t|")), data.draw(st.sampled_from(["\n", "\r\n", "\r", "\n\n"]))
    rows = [separator.join(row) for row in zip(*columns, strict=True)]
    cut = data.draw(st.sampled_from([None, rows[0] + separator + "1", separator.join(["1"] * (len(columns) - 1))]))
    header = separator.join(f"c{i}" for i in range(len(columns)))
    text = end.join([header, *rows, *([] if cut is None else [cut]), ""])
    path = tmp_path_factory.getbasetemp() / "large.csv"
    path.write_bytes(text.encode())
    plain, refusal = read_or_refusal(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_LARGE", 0)
        fast, refused = read_or_refusal(path)
    assert refusal == refused
    pd.testing.assert_frame_equal(plain, fast, check_exact=True)


def test_large_texts_are_read_by_the_faster_parser() -> None:
    columns = reading._columns_by_arrow("a,b,c\n1,2.5,x\n,3,y\n", ",", 3)
    assert columns is not None
    assert [list(column.dropna()) for column in columns] == [[1.0], [2.5, 3.0], ["x", "y"]]


@given(st.binary(max_size=60), st.sampled_from([".csv", ".csv.gz", ".tsv.bz2", ".txt.xz", ".json", ".parquet"]))
def test_any_bytes_are_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(content)
    frame, refusal = read_or_refusal(path)
    assert "\n" not in refusal
    assert refusal or len(frame)


@given(st.text(st.sampled_from('ab,="\n 1'), max_size=20))
def test_any_choice_of_rows_is_read_or_refused_in_one_line(where: str) -> None:
    frame = pd.DataFrame({"a": ["a", "b", "a,b", None], "b": [1.0, np.nan, 2.0, 11.0], "a b": [1, 2, 3, 4]})
    try:
        chosen, refusal = select_rows(frame, where), ""
    except InputError as problem:
        chosen, refusal = frame.iloc[:0], str(problem)
    assert "\n" not in refusal
    assert refusal or len(chosen)
