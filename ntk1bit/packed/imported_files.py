"""Imported networks on disk: one `.npz` of numeric arrays, read without pickle.

    imported               int64, FORMAT
    shape                  the fields of `ImportedShape` as JSON, UTF-8 in uint8
    source                 what it was read from, UTF-8 in uint8
    embedding              (vocabulary, width) float32
    norm                   (width,) float32
    head                   (vocabulary, width) float32; not there if tied
    L.attention_norm, L.attention_sub_norm, L.feed_norm, L.feed_sub_norm      gains of layer L = 0, 1, ..., float32
    L.query.codes, ...     int8, -1, 0 and +1, (outputs, inputs): query, key, value, output, gate, up, down
    L.query.scale, ...     float32, without axes or (outputs, blocks of inputs)
    L.query.weights, ...   in place of codes and scale where a projection is not ternary: (outputs, inputs) float32

It is another format than that of packed 1-bit Transformers (`file_format`), whose blocks have other projections.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped

from ntk1bit.arguments import require_spare
from ntk1bit.array_files import ArrayFile, ArrayFileError, write_arrays
from ntk1bit.files import writable_file
from ntk1bit.packed.file_format import read_model
from ntk1bit.packed.imported_model import (
    ACTIVATIONS,
    NORMS,
    PROJECTIONS,
    ImportedBlock,
    ImportedModel,
    ImportedShape,
)
from ntk1bit.packed.ternary_weights import TernaryTensor

FORMAT = 1
SUFFIX = ".npz"


def save_imported(model: ImportedModel, path: Path | str, *, source: str = "") -> None:
    """Write an imported network, whole or not at all.

    Raises
    ------
    InputError
        If the name does not end in `.npz`, its folder does not exist, or there is no memory for the file's content.
    OSError
        If it cannot be written, for example on a full disk; nothing is left then, and an older file stays as it was.
    """
    path = writable_file("--out", path, [SUFFIX])
    arrays = dict(_arrays(model, source))
    require_spare(
        "the file", 3 * sum(one.nbytes for one in arrays.values()) // 2, instead="use a machine with more memory"
    )
    write_arrays(path, arrays)


def load_imported(path: Path | str) -> ImportedModel:
    """Read an imported network.

    Raises
    ------
    InputError
        If there is no such file, it is damaged, cut short or of another format, or needs more memory than is free.
    """
    remedy = "import it again"
    return read_model(path, _model, what="imported model", written_by="`ntk1bit import`", remedy=remedy)


def _arrays(model: ImportedModel, source: str) -> Iterator[tuple[str, np.ndarray]]:
    yield "imported", np.array(FORMAT, np.int64)
    yield "shape", np.frombuffer(json.dumps(dataclasses.asdict(model.shape)).encode(), np.uint8)
    yield "source", np.frombuffer(source.encode(), np.uint8)
    yield "embedding", model.embedding
    yield "norm", model.norm
    if not model.shape.tied:
        yield "head", model.head
    for layer, block in enumerate(model.blocks):
        for name in NORMS:
            yield f"{layer}.{name}", block.norms[name]
        for name in PROJECTIONS:
            weights = block.weights[name]
            if isinstance(weights, TernaryTensor):
                yield f"{layer}.{name}.codes", weights.codes
                yield f"{layer}.{name}.scale", weights.scale
            else:
                yield f"{layer}.{name}.weights", weights


def _model(file: ArrayFile) -> ImportedModel:
    """Check every array against the shape before it is read; what is left over is foreign."""
    if "imported" not in file.names or file.header("imported").shape != ():
        raise ArrayFileError("it has no number 'imported' of its format")
    version = file.take("imported")
    if version.dtype != np.int64 or version != FORMAT:
        raise ArrayFileError(f"its format is {version}, and this version reads {FORMAT}")
    require_spare("it", 3 * sum(file.header(name).nbytes for name in file.names) // 2, instead="free some memory")
    shape = _shape(_text(file, "shape"))
    _text(file, "source")
    table = (shape.vocabulary, shape.width)
    embedding = _floats(file, "embedding", table)
    model = ImportedModel(
        shape=shape,
        embedding=embedding,
        blocks=tuple(
            ImportedBlock(
                {name: _floats(file, f"{layer}.{name}", (shape.norm(name),)) for name in NORMS},
                {name: _weights(file, f"{layer}.{name}", shape.projection(name)) for name in PROJECTIONS},
            )
            for layer in range(shape.layers)
        ),
        norm=_floats(file, "norm", (shape.width,)),
        head=embedding if shape.tied else _floats(file, "head", table),
    )
    if file.names:
        raise ArrayFileError(f"it also holds {min(file.names)!r}")
    return model


def _weights(
    file: ArrayFile, name: str, size: tuple[int, int]
) -> TernaryTensor | Float32[np.ndarray, "outputs inputs"]:
    if f"{name}.weights" in file.names:
        return _floats(file, f"{name}.weights", size)
    codes = _take(file, f"{name}.codes", size, np.int8)
    if codes.min(initial=0) < -1 or codes.max(initial=0) > 1:
        raise ArrayFileError(f"'{name}.codes' holds others than -1, 0 and +1")
    scale = f"{name}.scale"
    axes = file.header(scale).shape if scale in file.names else ()
    if axes and (len(axes) != 2 or axes[0] != size[0] or not axes[1] or size[1] % axes[1]):
        raise ArrayFileError(f"{scale!r} of shape {axes} is no scale of {size[0]} rows of {size[1]}")
    return TernaryTensor(np.ascontiguousarray(codes), _floats(file, scale, axes))


def _shape(text: str) -> ImportedShape:
    try:
        fields: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise ArrayFileError("its shape is not JSON") from None
    known = {field.name: field.type for field in dataclasses.fields(ImportedShape)}
    if not isinstance(fields, dict) or set(fields) != set(known):
        raise ArrayFileError("its shape lacks fields or has others")
    sizes = [fields[name] for name, kind in known.items() if kind == "int"]
    constants = [fields[name] for name in ("norm_eps", "rope_base")]
    right = (
        all(type(size) is int and 0 < size < 2**31 for size in sizes)
        and all(type(one) is float and math.isfinite(one) and one >= 0 for one in constants)
        and type(fields["tied"]) is bool
        and fields["activation"] in ACTIVATIONS
    )
    if not right or fields["heads"] % fields["key_heads"] or fields["head_width"] % 2:
        raise ArrayFileError(f"no network has the shape {text[:200]}")
    return ImportedShape(**fields)


def _take(file: ArrayFile, name: str, shape: tuple[int, ...], dtype: type[np.generic]) -> Shaped[np.ndarray, ...]:
    if name not in file.names:
        raise ArrayFileError(f"{name!r} is missing")
    header = file.header(name)
    if header.shape != shape or header.dtype != dtype:
        raise ArrayFileError(
            f"{name!r} is {header.dtype} of shape {header.shape}, not {dtype.__name__} of shape {shape}"
        )
    return file.take(name)


def _floats(file: ArrayFile, name: str, shape: tuple[int, ...]) -> Float32[np.ndarray, ...]:
    array = _take(file, name, shape, np.float32)
    if not np.isfinite(array).all():
        raise ArrayFileError(f"{name!r} holds NaN or infinity")
    return np.ascontiguousarray(array).reshape(shape)


def _text(file: ArrayFile, name: str) -> str:
    axes = file.header(name).shape if name in file.names else (0,)
    if len(axes) != 1:
        raise ArrayFileError(f"{name!r} is not text")
    return _take(file, name, axes, np.uint8).tobytes().decode("utf-8", "strict")
