"""Networks of BitNet b1.58 as others publish them: a folder for `transformers`, or one GGUF file.

A folder holds `config.json` and the tensors in `model.safetensors`, or in several files that
`model.safetensors.index.json` names. What the projections hold follows `quantization_config` of the configuration:

    autobitlinear, offline      packed rows, or -1, 0, +1 unpacked; output times `weight_scale`
    autobitlinear, online       masters, quantised as they are read
    bitlinear                   packed rows; output divided by `weight_scale`
    not there                   floats, used as they are, and inputs are not rounded

A GGUF file has architecture `bitnet-b1.58` or `bitnet-25` (squared ReLU) or `bitnet` (SiLU). Tensors of its projections
are ternary, or floats; floats that are -s, 0 and s count as ternary.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from ntk1bit.arguments import require_spare
from ntk1bit.errors import InputError
from ntk1bit.packed import gguf_files, safetensors_files
from ntk1bit.packed.imported_model import NORMS, PROJECTIONS, ImportedBlock, ImportedModel, ImportedShape
from ntk1bit.packed.mapped_tensors import MappedTensors
from ntk1bit.packed.published_shapes import form_of, read_json, shape_of_config, shape_of_gguf
from ntk1bit.packed.ternary_weights import TernaryTensor, as_ternary, quantise_masters, unpack_rows

_FLOATS = ("F16", "BF16", "F32")
_HF_NAMES = {
    "attention_norm": "input_layernorm",
    "attention_sub_norm": "self_attn.attn_sub_norm",
    "feed_norm": "post_attention_layernorm",
    "feed_sub_norm": "mlp.ffn_sub_norm",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "output": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
_GGUF_NAMES = {
    "attention_norm": "attn_norm",
    "attention_sub_norm": "attn_sub_norm",
    "feed_norm": "ffn_norm",
    "feed_sub_norm": "ffn_sub_norm",
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "output": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}

_Weights = TernaryTensor | Float32[np.ndarray, "outputs inputs"]


@dataclass
class Imported:
    """A network, and what is to be said of how it was read."""

    model: ImportedModel
    source: str
    notes: list[str] = field(default_factory=list)


@dataclass
class _Tensors:
    """Tensors of one or several files, of which those that were read are struck off."""

    files: dict[str, MappedTensors]
    read: Callable[[MappedTensors, str], np.ndarray]
    where: Path
    taken: set[str] = field(default_factory=set)

    def kind(self, name: str) -> str:
        return self.file(name).place(name).kind

    def file(self, name: str) -> MappedTensors:
        if name not in self.files:
            raise InputError(f"{str(self.where)!r} holds no tensor {name[:80]!r}; give all files of the model")
        return self.files[name]

    def take(self, name: str, shape: tuple[int, ...], kinds: Iterable[str]) -> np.ndarray:
        """Read a tensor after checking its type and shape."""
        self.require(name, shape, kinds)
        return self.read(self.file(name), name)

    def require(self, name: str, shape: tuple[int, ...], kinds: Iterable[str]) -> None:
        """Check type and shape of a tensor, and strike it off."""
        place = self.file(name).place(name)
        if place.shape != shape or place.kind not in kinds:
            raise InputError(
                f"{str(self.file(name).path)!r}: tensor {name!r} is {place.kind} of shape {place.shape}, and the "
                f"configuration asks for {' or '.join(kinds)} of shape {shape}"
            )
        self.taken.add(name)

    def require_place(self, name: str, shape: tuple[int, ...]) -> None:
        """Check that a tensor is there with its shape, or as rows packed four to a byte."""
        place = self.file(name).place(name)
        packed = (shape[0] // 4, *shape[1:]) if len(shape) == 2 and place.kind == "U8" else shape
        if place.shape != packed:
            raise InputError(
                f"{str(self.file(name).path)!r}: tensor {name!r} is {place.kind} of shape {place.shape}, and the "
                f"configuration asks for {packed}"
            )

    def floats(self, name: str, shape: tuple[int, ...]) -> Float32[np.ndarray, ...]:
        """Read a tensor of floats as float32 and check that all are finite."""
        array = np.ascontiguousarray(self.take(name, shape, _FLOATS).astype(np.float32, copy=False))
        if not np.isfinite(array).all():
            raise InputError(f"{str(self.file(name).path)!r}: tensor {name!r} holds NaN or infinity")
        return array

    def left_out(self) -> list[str]:
        """Return notes that count and name the tensors that were not read."""
        left = sorted(set(self.files) - self.taken)
        named = ", ".join(left[:5]) + (", ..." if len(left) > 5 else "")
        return [f"{len(left)} tensor{'s are' if len(left) > 1 else ' is'} not part of the network: {named}"] * bool(
            left
        )


def read_model(path: Path | str) -> Imported:
    """Read a folder of safetensors files, or a GGUF file, of BitNet b1.58. Nothing in it is executed.

    Raises
    ------
    InputError
        If files are missing or damaged, the configuration is of another network, tensors do not fit it, or memory is
        short.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path)
    if path.suffix.lower() == gguf_files.SUFFIX:
        return _read_gguf(path)
    raise InputError(
        f"{str(path)!r} is neither a folder with config.json nor a {gguf_files.SUFFIX} file; give one of them"
    )


def _read_folder(folder: Path) -> Imported:
    config = read_json(folder / "config.json")
    shape, form = shape_of_config(config), form_of(config)
    tensors = _Tensors(_tensors_of_folder(folder), safetensors_files.read_tensor, folder)

    def weights(layer: int, name: str) -> _Weights:
        return _folder_weights(tensors, f"model.layers.{layer}.{_HF_NAMES[name]}", shape.projection(name), form)

    norms, projections = (
        {name: f"model.layers.{{}}.{_HF_NAMES[name]}.weight" for name in names} for names in (NORMS, PROJECTIONS)
    )
    model = _assemble(shape, tensors, weights, norms, projections, "model.embed_tokens", "model.norm", "lm_head")
    return Imported(model, form, tensors.left_out())


def _read_gguf(path: Path) -> Imported:
    file = gguf_files.open_gguf(path)
    tensors = _Tensors(dict.fromkeys(file.names, file), gguf_files.read_tensor, path)
    shape = shape_of_gguf(file)
    dense: list[str] = []

    def weights(layer: int, name: str) -> _Weights:
        full, size = f"blk.{layer}.{_GGUF_NAMES[name]}.weight", shape.projection(name)
        if tensors.kind(full) in gguf_files.TERNARY:
            tensors.require(full, size, gguf_files.TERNARY)
            return gguf_files.read_ternary(file, full).with_one_scale()
        found = as_ternary(floats := tensors.floats(full, size))
        if found is None:
            dense.append(full)
        return floats if found is None else found

    norms, projections = (
        {name: f"blk.{{}}.{_GGUF_NAMES[name]}.weight" for name in names} for names in (NORMS, PROJECTIONS)
    )
    model = _assemble(shape, tensors, weights, norms, projections, "token_embd", "output_norm", "output")
    notes = tensors.left_out()
    if dense:
        notes.append(f"{len(dense)} projections are not ternary and their inputs not rounded: {', '.join(dense[:5])}")
    kinds = sorted({tensors.kind(f"blk.0.{_GGUF_NAMES[name]}.weight") for name in PROJECTIONS} if shape.layers else [])
    return Imported(model, f"GGUF, {' and '.join(kinds)}", notes)


def _assemble(
    shape: ImportedShape,
    tensors: _Tensors,
    weights: Callable[[int, str], _Weights],
    norms: dict[str, str],
    projections: dict[str, str],
    embedding: str,
    norm: str,
    head: str,
) -> ImportedModel:
    """Put the network together once memory for all of it is found to be there."""
    tables = [embedding] if shape.tied else [embedding, head]
    vectors = {f"{norm}.weight": shape.width}
    for layer in range(shape.layers):
        vectors |= {full.format(layer): shape.norm(name) for name, full in norms.items()}
        for name, full in projections.items():  # all is looked for before anything is read
            tensors.require_place(full.format(layer), shape.projection(name))
    for name in tables:
        tensors.require_place(f"{name}.weight", (shape.vocabulary, shape.width))
    for name, size in vectors.items():
        tensors.require_place(name, (size,))
    per_layer = sum(out * inputs for out, inputs in map(shape.projection, PROJECTIONS))
    kept = 4 * shape.vocabulary * shape.width * len(tables) + shape.layers * per_layer
    require_spare("this network", 3 * kept // 2, instead="use a machine with more memory")
    table = tensors.floats(f"{embedding}.weight", (shape.vocabulary, shape.width))
    return ImportedModel(
        shape=shape,
        embedding=table,
        blocks=tuple(
            ImportedBlock(
                {name: tensors.floats(full.format(layer), (shape.norm(name),)) for name, full in norms.items()},
                {name: weights(layer, name) for name in PROJECTIONS},
            )
            for layer in range(shape.layers)
        ),
        norm=tensors.floats(f"{norm}.weight", (shape.width,)),
        head=table if shape.tied else tensors.floats(f"{head}.weight", (shape.vocabulary, shape.width)),
    )


def _folder_weights(tensors: _Tensors, name: str, size: tuple[int, int], form: str) -> _Weights:
    """Read one projection as the configuration says that it is held."""
    weight, scale = f"{name}.weight", f"{name}.weight_scale"
    if form == "floats":
        return tensors.floats(weight, size)
    if form == "autobitlinear, online":
        return quantise_masters(tensors.floats(weight, size))
    factor = tensors.floats(scale, (1,) if tensors.file(scale).place(scale).shape else ())
    factor = factor.reshape(())
    if factor == 0:
        raise InputError(f"{str(tensors.file(scale).path)!r}: the scale {scale!r} is 0")
    with np.errstate(over="ignore"):
        factor = np.array(np.float32(1) / factor if form == "bitlinear" else factor, np.float32)
    if tensors.kind(weight) != "U8":
        found = as_ternary(tensors.floats(weight, size))
        if found is None or found.scale not in (0, 1):
            raise InputError(
                f"{str(tensors.file(weight).path)!r}: {weight!r} must be -1, 0 and +1 where it has a scale"
            )
        return TernaryTensor(found.codes, factor)
    rows, columns = size
    if rows % 4:
        raise InputError(
            f"{str(tensors.file(weight).path)!r}: {weight!r} has {rows} rows, and four are packed to a byte"
        )
    packed = tensors.take(weight, (rows // 4, columns), ("U8",))
    try:
        return TernaryTensor(unpack_rows(packed), factor)
    except InputError as problem:
        raise InputError(f"{str(tensors.file(weight).path)!r}: tensor {weight!r}: {problem}") from None


def _tensors_of_folder(folder: Path) -> dict[str, MappedTensors]:
    """Return the file of every tensor."""
    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.is_file() and not (folder / names[0]).is_file():
        listed = read_json(index).get("weight_map")
        if not isinstance(listed, dict) or not listed or not all(isinstance(one, str) for one in listed.values()):
            raise InputError(f"{str(index)!r} names no files of tensors; fetch it again")
        names = sorted(set(listed.values()))
        if any(os.path.basename(name) != name or not name.endswith(safetensors_files.SUFFIX) for name in names):
            raise InputError(f"{str(index)!r} names files that are not .safetensors files of its own folder")
    found = dict[str, MappedTensors]()
    for name in names:
        file = safetensors_files.open_safetensors(folder / name)
        for tensor in file.names:
            if tensor in found:
                raise InputError(f"{str(folder)!r}: tensor {tensor[:80]!r} is in two files")
            found[tensor] = file
    return found
