"""Packed Transformers on disk: one `.npz` of numeric arrays, read without pickle and without JAX.

    format                 int64, FORMAT; files of format 1 have no shift and are read too
    shape                  the fields of `Shape` as JSON, UTF-8 in uint8
    alphabet, note         text, UTF-8 in uint8
    shift                  of the rows before U, a name of `ntk1bit.networks.bitlinear_form.SHIFTS`, UTF-8 in uint8
    embedding              (vocabulary, d) float32
    norm                   (d,) float32
    head                   (vocabulary, d) float32; not there if tied
    L.attention_norm, L.attention_sub_norm, L.feed_norm, L.feed_sub_norm      gains of layer L = 0, 1, ..., float32
    L.query.signs, L.key.signs, L.value.signs, L.output.signs, L.up.signs, L.down.signs
                           words of `ntk1bit.cores.bits`, (ceil(in/32), 16 ceil(out/16)) uint32
    L.query.beta, ...      float32

A file is written under another name and renamed when all of it is on disk; the zip's checksums tell of damage.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar, cast

import numpy as np

from ntk1bit import cores
from ntk1bit.arguments import require_spare
from ntk1bit.array_files import ArrayFile, ArrayFileError, open_arrays, write_arrays
from ntk1bit.cores.bits import packed_shape
from ntk1bit.errors import InputError
from ntk1bit.files import writable_file
from ntk1bit.networks.bitlinear_form import SHIFTS, Shift
from ntk1bit.networks.transformer_shape import ACTIVATIONS, Shape
from ntk1bit.packed.model import PackedBlock, PackedModel, PackedProjection

FORMAT = 2
SUFFIX = ".npz"
PROJECTIONS = ("query", "key", "value", "output", "up", "down")
NORMS = ("attention_norm", "attention_sub_norm", "feed_norm", "feed_sub_norm")
_Model = TypeVar("_Model")


def save(model: PackedModel, path: Path | str) -> None:
    """Write a packed model, whole or not at all.

    Raises
    ------
    InputError
        If the name does not end in `.npz` or its folder does not exist.
    OSError
        If it cannot be written, for example on a full disk; nothing is left then, and an older file stays as it was.
    """
    path = writable_file("a packed model", path, [SUFFIX])
    write_arrays(path, dict(_arrays(model)))


def load(path: Path | str) -> PackedModel:
    """Read a packed model.

    Raises
    ------
    InputError
        If there is no such file, it is damaged, cut short or not a packed model of this format, or the model needs
        more memory than is free.
    """
    return read_model(path, _model, what="packed model", written_by="`export`", remedy="export it again")


def read_model(
    path: Path | str, read: Callable[[ArrayFile], _Model], *, what: str, written_by: str, remedy: str
) -> _Model:
    """Read a model from a `.npz` file.

    Parameters
    ----------
    path
        The file.
    read
        Makes the model of the open file.
    what, written_by, remedy
        For messages: what is in it, what writes such files, and what to do if it is damaged.

    Raises
    ------
    InputError
        If there is no such file, it is damaged, cut short, or not what `read` reads.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no {what} {str(path)!r}; give a file written by {written_by}")
    try:
        with open_arrays(path) as file:
            return read(file)
    except InputError as problem:
        raise InputError(f"{str(path)!r}: {problem}") from None
    except OSError as problem:
        why = problem.strerror or str(problem)
    except (ArrayFileError, UnicodeDecodeError) as problem:
        why = str(problem)
    raise InputError(f"{str(path)!r} is not a whole {what}: {why}; {remedy}")


def stack_signs(parts: tuple[cores.PackedSigns, ...]) -> cores.PackedSigns:
    """Put matrices with equally many columns one below the other, each padded to whole panels of rows.

    The rows of padding read as -1 and belong to no output.
    """
    words = np.ascontiguousarray(np.concatenate([part.words for part in parts], axis=1))
    return cores.PackedSigns(words, words.shape[1], parts[0].columns)


def _arrays(model: PackedModel) -> Iterator[tuple[str, np.ndarray]]:
    yield "format", np.array(FORMAT, dtype=np.int64)
    yield "shape", _bytes_of(json.dumps(dataclasses.asdict(model.shape)))
    yield "alphabet", _bytes_of(model.alphabet)
    yield "note", _bytes_of(model.note)
    yield "shift", _bytes_of(model.shift)
    yield "embedding", model.embedding
    yield "norm", model.norm
    if not model.shape.tied:
        yield "head", model.head
    for layer, block in enumerate(model.blocks):
        for name in NORMS:
            yield f"{layer}.{name}", getattr(block, name)
        for name, (signs, beta) in zip(PROJECTIONS, block.projections(), strict=True):
            yield f"{layer}.{name}.signs", signs.words.astype("<u4", copy=False)
            yield f"{layer}.{name}.beta", np.array(beta, dtype=np.float32)


def _model(file: ArrayFile) -> PackedModel:
    """Check every array and put the model together; what is left over is foreign.

    Nothing is read before what is known of the model says how large it is.
    """
    version = _take(file, "format", (), np.int64)
    if version not in (1, FORMAT):
        raise ArrayFileError(f"its format is {int(version)}, and this version reads 1 and {FORMAT}")
    shape = _shape(_text(file, "shape"))
    _require_memory(shape, file)
    width, table = shape.width, (shape.vocabulary, shape.width)
    alphabet = _text(file, "alphabet")
    if alphabet and (len(alphabet) != shape.vocabulary or len(set(alphabet)) != shape.vocabulary):
        raise ArrayFileError(f"its alphabet is not {shape.vocabulary} distinct characters")
    embedding = _floats(file, "embedding", table)
    model = PackedModel(
        shape=shape,
        embedding=embedding,
        blocks=tuple(_block(file, layer, width) for layer in range(shape.layers)),
        norm=_floats(file, "norm", (width,)),
        head=embedding if shape.tied else _floats(file, "head", table),
        alphabet=alphabet,
        note=_text(file, "note"),
        shift=_shift(_text(file, "shift") if version > 1 else "nowhere"),
    )
    if file.names:
        raise ArrayFileError(f"it also holds {min(file.names)!r}")
    return model


def _block(file: ArrayFile, layer: int, width: int) -> PackedBlock:
    gains = [_floats(file, f"{layer}.{name}", (4 * width if name == "feed_sub_norm" else width,)) for name in NORMS]
    projections: list[PackedProjection] = []
    for name in PROJECTIONS:
        outputs, inputs = 4 * width if name == "up" else width, 4 * width if name == "down" else width
        words = _take(file, f"{layer}.{name}.signs", packed_shape(outputs, inputs), np.dtype("<u4"))
        beta = float(_floats(file, f"{layer}.{name}.beta", ()))
        signs = cores.PackedSigns(np.ascontiguousarray(words.astype(np.uint32, copy=False)), outputs, inputs)
        projections.append(PackedProjection(signs, beta))
    query, key, value, output, up, down = projections
    return PackedBlock(
        attention_norm=gains[0],
        attention=stack_signs((query.signs, key.signs, value.signs)),
        attention_scales=np.array([query.beta, key.beta, value.beta], dtype=np.float32),
        attention_sub_norm=gains[1],
        output=output,
        feed_norm=gains[2],
        up=up,
        feed_sub_norm=gains[3],
        down=down,
    )


def _shift(text: str) -> Shift:
    if text not in SHIFTS:
        raise ArrayFileError(f"it shifts rows {text[:40]!r}, none of {', '.join(SHIFTS)}")
    return cast(Shift, text)


def _shape(text: str) -> Shape:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise ArrayFileError("its shape is not JSON") from None
    if not isinstance(fields, dict) or set(fields) != {field.name for field in dataclasses.fields(Shape)}:
        raise ArrayFileError("its shape lacks fields or has others")
    numbers = [fields[name] for name in ("layers", "width", "heads", "vocabulary", "context")]
    whole = all(type(number) is int and abs(number) < 2**63 for number in numbers)
    if not whole or type(fields["tied"]) is not bool or fields["activation"] not in ACTIVATIONS:
        raise ArrayFileError(f"no Transformer has the shape {text[:200]}")
    try:
        return Shape(**fields)
    except InputError as problem:
        raise ArrayFileError(str(problem)) from None


def _require_memory(shape: Shape, file: ArrayFile) -> None:
    """Refuse a model for which, or for a full context of which, there is not enough memory."""
    held = sum(file.header(name).nbytes for name in file.names)
    require_spare("it", 2 * held, instead="use a machine with more memory")  # arrays, and their copies in `PackedModel`
    positions = 4 * shape.context * shape.width * (2 * shape.layers + 4)  # keys, values, and what makes rotary tables
    require_spare(f"a text of its context of {shape.context} characters", positions, instead="export a smaller one")


def _take(file: ArrayFile, name: str, shape: tuple[int, ...], dtype: np.dtype | type[np.generic]) -> np.ndarray:
    if name not in file.names:
        raise ArrayFileError(f"{name!r} is missing")
    header = file.header(name)
    if header.shape != shape or header.dtype != dtype:
        raise ArrayFileError(
            f"{name!r} is {header.dtype} of shape {header.shape}, not {np.dtype(dtype).name} of shape {shape}"
        )
    return file.take(name)


def _floats(file: ArrayFile, name: str, shape: tuple[int, ...]) -> np.ndarray:
    array = _take(file, name, shape, np.float32)
    if not np.isfinite(array).all():
        raise ArrayFileError(f"{name!r} holds NaN or infinity")
    return np.ascontiguousarray(array).reshape(shape)


def _text(file: ArrayFile, name: str) -> str:
    shape = file.header(name).shape if name in file.names else (0,)
    if len(shape) != 1:
        raise ArrayFileError(f"{name!r} is not text")
    return _take(file, name, shape, np.uint8).tobytes().decode("utf-8", "strict")


def _bytes_of(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
