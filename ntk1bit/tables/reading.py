"""Read a table from a file.

Cells of a text file become numbers where a whole column is written as numbers, blanks aside. Everything else stays
text, letter by letter: a label may be called NA, None or nan. Blank cells alone are missing.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv as pa_csv
from pyarrow import parquet

from ntk1bit.arguments import free_memory, require_spare
from ntk1bit.errors import InputError
from ntk1bit.tables.columns import shown

_SEPARATORS = {".csv": ",;\t|", ".tsv": "\t,;|", ".txt": ",;\t|"}  # the usual one of each form first
_JSON = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")
TABLES = (*_SEPARATORS, *_JSON, *_PARQUET)  # endings of tables
_MOST_COLUMNS = 100_000  # of a text: more are rows that lost their line ends, or belong into arrays
_LARGE = 2_000_000  # letters of a text that is worth a faster parser
_PACKED: dict[str, Callable[[Path], io.BufferedIOBase]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
_AT_ONCE = 1 << 20  # bytes
_BY_ARROW, _BY_CELLS = 8, 64  # bytes of memory for a byte of text: in arrays, and as objects, where numbers are short
_A_WORD, _A_CELL = 100, 40  # bytes of memory for a word of a column, and for a cell that is not there
_DEEPEST = 50  # lists inside each other in one cell
NUMBER = re.compile(r"[+-]?(\d{1,300}(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
WHOLE = re.compile(r"[+-]?\d{1,300}", re.ASCII)
_INT64 = np.iinfo(np.int64)


def read_table(path: Path | str) -> pd.DataFrame:
    """Read a CSV, TSV, JSON lines or Parquet file; text may be packed with gzip, bzip2 or xz.

    Columns may be separated by commas, semicolons, tabs or bars. Whole numbers beyond 64 bits are kept exactly, as
    Python's integers.

    Raises
    ------
    InputError
        If there is nothing there, it cannot be read, is empty, or names a column twice.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"there is no file or run {str(path)!r}; give a CSV or Parquet file or the folder of a sweep")
    packing = path.suffix.lower() if path.suffix.lower() in _PACKED else ""
    suffix = (path.with_suffix("") if packing else path).suffix.lower()
    if suffix not in TABLES or (suffix in _PARQUET and packing):
        raise InputError(
            f"cannot read {path.name!r}: give a file that ends in .csv, .tsv, .jsonl (or one of these and .gz) or "
            ".parquet, or a sweep's folder"
        )
    try:
        if suffix in _PARQUET:
            frame = _parquet(path)
        elif suffix in _JSON:
            frame = _records(_text(path, packing))
        else:
            frame = _delimited(_text(path, packing), _SEPARATORS[suffix])
    except (_UnreadableError, OSError, EOFError, ValueError, csv.Error, lzma.LZMAError, zlib.error) as problem:
        form = "Parquet" if suffix in _PARQUET else "a table"
        reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise InputError(f"cannot read {path.name!r} as {form}: {reason}") from None
    # pandas would rename a repeated column quietly and fit whichever came first
    if repeated := _repeated(list(frame.columns)):
        raise InputError(f"{path.name!r} has several columns named {repeated}; rename or drop all but one")
    if frame.empty:
        raise InputError(f"{path.name!r} has no rows below its header")
    return frame


class _UnreadableError(Exception):
    """Says in what a file is not a table."""


def _text(path: Path, packing: str) -> str:
    content, most = bytearray(), free_memory() / _BY_ARROW
    too_much = f"it holds more than {most / 1e9:.2g} GB of text, too much for the memory that is free; give fewer rows"
    if path.stat().st_size > most:
        raise _UnreadableError(too_much)
    with _PACKED[packing](path) if packing else open(path, "rb") as file:
        while part := file.read(_AT_ONCE):  # a packed file does not say how much it holds
            content += part
            if len(content) > most:
                raise _UnreadableError(too_much)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _UnreadableError("it is written in UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise _UnreadableError(f"byte {problem.start} is not UTF-8; save it as UTF-8") from None


def _delimited(text: str, separators: str) -> pd.DataFrame:
    separator = _separator(text, separators)
    rows = _rows(text, separator)
    line, first = next(rows, (0, []))
    if not first:
        raise _UnreadableError("it is empty")
    if len(first) > _MOST_COLUMNS:
        raise _UnreadableError(
            f"it has {len(first):,} columns, more than {_MOST_COLUMNS:,}; give Parquet or .npz instead"
        )
    names = [name.strip() or f"Unnamed: {i}" for i, name in enumerate(first)]
    if len(text) >= _LARGE and (columns := _columns_by_arrow(text, separator, len(names))) is not None:
        return pd.concat(columns, axis=1).set_axis(names, axis=1)
    require_spare("its rows", _BY_CELLS * len(text), instead="give fewer rows, or Parquet")
    cells: list[list[str]] = []
    most = free_memory() / (_A_CELL * len(names))
    for line, row in rows:
        if len(row) != len(names):
            if any(cell.strip() for cell in row[len(names) :]):
                raise _UnreadableError(
                    f"line {line} has {len(row)} cells, the header {len(names)}; quote cells that hold separators"
                )
            row = row[: len(names)] + [""] * (len(names) - len(row))
            if len(cells) > most:  # of short rows, which take more memory than text
                raise _UnreadableError(f"its rows have fewer cells than the {len(names):,} of the header; fill them in")
        cells.append(row)
    columns = [_column(column) for column in zip(*cells, strict=True)] if cells else [pd.Series([])] * len(names)
    frame = pd.concat(columns, axis=1)
    return frame.set_axis(names, axis=1)


def _columns_by_arrow(text: str, separator: str, count: int) -> list[pd.Series] | None:
    """Read the columns of a large text as `_delimited` does, 15 times faster; None for what Arrow reads otherwise.

    Left to the plain way are single columns, quotes, single carriage returns, hexadecimal numbers, rows of other
    lengths, nan and infinity, which are words here, and numbers beyond 2^53, which are kept exactly if they are whole.
    """
    odd = count < 2 or text[:1].isspace() or '"' in text or "\0" in text or text.count("\r") != text.count("\r\n")
    if odd or re.search("0x", text, re.IGNORECASE):
        return None
    names = [str(i) for i in range(count)]
    source, words = text.encode(), dict[str, pa.DataType]()
    table = pa.table({})
    try:
        for _ in range(2):  # the second time with what needs a closer look as words
            table = pa_csv.read_csv(
                io.BytesIO(source),
                pa_csv.ReadOptions(column_names=names, skip_rows_after_names=1),
                pa_csv.ParseOptions(delimiter=separator, quote_char=False),
                pa_csv.ConvertOptions(null_values=[""], strings_can_be_null=True, column_types=words),
            )
            words = {name: pa.string() for name in names if _needs_words(table[name])}
            if not words:
                break
    except pa.ArrowException:
        return None
    columns = []
    for name in names if len(table) else ():
        column = table[name]
        if column.type == pa.string():
            require_spare("its words", _A_WORD * len(table), instead="give fewer rows, or Parquet")
            columns.append(_column(["" if cell is None else cell for cell in column.to_pylist()]))
            continue
        values = column.to_numpy().astype(np.float64) if column.null_count else column.to_numpy()
        seen = values[~np.isnan(values)] if values.dtype == np.float64 else values
        if len(seen) + column.null_count < len(column) or not np.all(np.abs(seen.astype(np.float64)) < 2.0**53):
            return None
        columns.append(pd.Series(values))
    return columns or None


def _needs_words(column: pa.ChunkedArray) -> bool:
    """Say whether Arrow took cells for dates or the like, or for floats where all are whole, as +7 is."""
    if column.type == pa.float64() and not column.null_count:
        values = column.to_numpy()
        return bool(np.all(values == np.rint(values)))
    return column.type not in (pa.int64(), pa.float64(), pa.string(), pa.null())


def _separator(text: str, separators: str) -> str:
    """Choose the first separator that cuts the header and the next row into as many cells, or at least the header."""
    cutting = []
    for separator in separators:
        rows = _rows(text, separator, strict=False)
        try:
            (_, header), (_, row) = next(rows, (0, [])), next(rows, (0, []))
        except csv.Error:  # a line that this separator leaves in one piece is too long for a cell
            continue
        if len(header) > 1:
            if len(row) == len(header):
                return separator
            cutting.append(separator)
    return cutting[0] if cutting else separators[0]


def _rows(text: str, separator: str, *, strict: bool = True) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank with the number of its (last) line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=strict)
    for row in reader:
        if len(row) > 1 or (row and row[0].strip()):
            yield reader.line_num, row


def _column(cells: Sequence[str]) -> pd.Series:
    """Return one column: integers, floats with NaN for blanks, text or large integers with None for blanks."""
    stripped = [cell.strip() for cell in cells]
    if not _all_match(NUMBER, stripped):
        return pd.Series([cell if bare else None for cell, bare in zip(cells, stripped, strict=True)])
    if _all_match(WHOLE, stripped):
        whole = [int(cell) if cell else None for cell in stripped]
        held = [value for value in whole if value is not None]
        if held and len(held) == len(whole) and min(held) >= _INT64.min and max(held) <= _INT64.max:
            return pd.Series(whole, dtype=np.int64)
        if any(float(value) != value for value in held):  # as floats, different numbers of runs would become one
            return pd.Series(whole, dtype=object)
    return pd.Series([float(cell) if cell else np.nan for cell in stripped], dtype=np.float64)


def _all_match(pattern: re.Pattern[str], cells: Sequence[str]) -> bool:
    return all(not cell or pattern.fullmatch(cell) for cell in cells)


def _parquet(path: Path) -> pd.DataFrame:
    if not (path.is_file() or path.is_dir()):
        raise _UnreadableError("it is not a file")
    try:
        if path.is_file():  # a folder may hold the parts of a table
            about = parquet.read_metadata(path)
            sizes = [about.row_group(i).total_byte_size for i in range(about.num_row_groups)]
            cells = about.num_rows * about.num_columns
            require_spare("its rows", 3 * max(8 * cells, sum(sizes)), instead="give fewer rows or columns")
        frame = pd.read_parquet(path)
        named = [name for name in frame.index.names if name is not None and name not in frame.columns]
        return frame.reset_index(level=named).reset_index(drop=True)  # named indices are columns here
    except (InputError, OSError):
        raise
    except Exception as problem:  # what a damaged file raises is the affair of two libraries
        raise _UnreadableError(" ".join(str(problem).split())[:200] or type(problem).__name__) from None


def _records(text: str) -> pd.DataFrame:
    require_spare("its rows", _BY_CELLS * len(text), instead="give fewer rows, or Parquet")
    if text.lstrip().startswith("["):
        numbered = enumerate(_parsed(text, "it"), start=1)
    else:
        lines = enumerate(text.split("\n"), start=1)
        numbered = ((number, _parsed(line, f"line {number}")) for number, line in lines if line.strip())
    records = []
    for number, record in numbered:
        if not isinstance(record, dict):
            raise _UnreadableError(
                f'row {number} is not an object; write one object a row, as in {{"N": 1000, "loss": 2.5}}'
            )
        if not _is_flat(record, _DEEPEST):
            raise _UnreadableError(f"row {number} has lists in lists more than {_DEEPEST} times; write a number a cell")
        records.append(record)
    if len(records) == 1 and records[0] and all(isinstance(each, list | dict) for each in records[0].values()):
        raise _UnreadableError("it is one object of columns; write one object a row, as pandas' orient='records' does")
    names = len({name for record in records for name in record})
    require_spare(
        f"a table of {names:,} columns", _A_CELL * names * len(records), instead="use the same names in all rows"
    )
    return pd.DataFrame(records)


def _is_flat(value: object, most: int) -> bool:
    """Say whether lists and objects are inside each other at most so often."""
    if not isinstance(value, list | dict):
        return True
    return most >= 0 and all(
        _is_flat(each, most - 1) for each in (value if isinstance(value, list) else value.values())
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(row := dict(pairs)) < len(pairs):
        raise _UnreadableError(f"names {_repeated([name for name, _ in pairs])} twice; keep one")
    return row


_JSON_READER = json.JSONDecoder(object_pairs_hook=_once)


def _parsed(text: str, what: str) -> Any:
    try:
        return _JSON_READER.decode(text)
    except _UnreadableError as problem:
        raise _UnreadableError(f"{what} {problem}") from None
    except ValueError as problem:
        raise _UnreadableError(f"{what} is not JSON ({problem}); write one object a line") from None
    except RecursionError:
        raise _UnreadableError(f"{what} has lists in lists too often; write one flat object a line") from None


def _repeated(names: Sequence[object]) -> str:
    return ", ".join(shown(name) for name, count in Counter(map(str, names)).items() if count > 1)
