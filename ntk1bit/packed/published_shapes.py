"""Sizes and forms of published networks: what config.json or the key-values of a GGUF file say, checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ntk1bit.arguments import number, whole
from ntk1bit.errors import InputError, require_choice
from ntk1bit.files import read_text
from ntk1bit.packed.imported_model import ACTIVATIONS, ImportedShape
from ntk1bit.packed.mapped_tensors import MappedTensors

_LONGEST = 1 << 20  # bytes of a configuration or an index
_MOST_LAYERS = 10_000
_GGUF_ACTIVATIONS = {"bitnet-b1.58": "relu2", "bitnet-25": "relu2", "bitnet": "silu"}


def read_json(path: Path | str) -> dict[str, Any]:
    """Read a JSON object of at most 1 MB.

    Raises
    ------
    InputError
        If there is no such file, or it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no {path.name} in {str(path.parent)!r}; give the folder of a published model")
    if path.stat().st_size > _LONGEST:
        raise InputError(f"{str(path)!r} has {path.stat().st_size} bytes, more than the {_LONGEST} that are read")
    try:
        found = json.loads(read_text(path))
    except (ValueError, RecursionError) as problem:
        if isinstance(problem, InputError):
            raise
        raise InputError(f"{str(path)!r} is not valid JSON: {' '.join(str(problem).split())[:100]}") from None
    if not isinstance(found, dict):
        raise InputError(f"{str(path)!r} holds no JSON object")
    return found


def form_of(config: dict[str, Any]) -> str:
    """Return how projections are held, in the words of `model_folders`.

    Raises
    ------
    InputError
        If it is a form that is not read.
    """
    told = config.get("quantization_config")
    if told is None:
        return "floats"
    if not isinstance(told, dict) or told.get("quant_method") != "bitnet":
        raise InputError("quantization_config of the configuration must have the quant_method 'bitnet'")
    if told.get("use_rms_norm"):
        raise InputError("a projection with a norm of its own (use_rms_norm) cannot be imported")
    apart = told.get("modules_to_not_convert") or []
    if not isinstance(apart, list) or any(name != "lm_head" for name in apart):
        raise InputError("modules_to_not_convert may name only 'lm_head'; other mixtures cannot be imported")
    kind = require_choice("linear_class", told.get("linear_class", "bitlinear"), ("bitlinear", "autobitlinear"))
    mode = require_choice("quantization_mode", told.get("quantization_mode", "offline"), ("offline", "online"))
    return f"{kind}, {mode}" if kind == "autobitlinear" else kind


def shape_of_config(config: dict[str, Any]) -> ImportedShape:
    """Return the sizes that a config.json of `BitNetForCausalLM` gives.

    Raises
    ------
    InputError
        If it is of another network, or sizes are missing, no sizes, or do not fit together.
    """
    if config.get("model_type") != "bitnet":
        raise InputError(
            f"model_type of the configuration must be 'bitnet', got {str(config.get('model_type'))[:40]!r}"
        )
    if config.get("attention_bias"):
        raise InputError("projections with biases (attention_bias) cannot be imported")
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(rope, dict) or rope.get("rope_type", rope.get("type", "default")) != "default":
        raise InputError("positions must be rotated without scaling (rope_type 'default')")
    heads = config.get("num_attention_heads")
    keys, width = config.get("num_key_value_heads"), config.get("head_dim")
    return _shape(
        layers=config.get("num_hidden_layers"),
        width=config.get("hidden_size"),
        hidden=config.get("intermediate_size"),
        heads=heads,
        key_heads=heads if keys is None else keys,
        head_width=width,
        vocabulary=config.get("vocab_size"),
        context=config.get("max_position_embeddings", 2048),
        activation=config.get("hidden_act", "relu2"),
        norm_eps=config.get("rms_norm_eps", 1e-5),
        rope_base=rope.get("rope_theta", config.get("rope_theta", 500000.0)),
        tied=config.get("tie_word_embeddings", False),
    )


def shape_of_gguf(tensors: MappedTensors) -> ImportedShape:
    """Return the sizes that the key-values of a GGUF file give; raises as `shape_of_config`."""
    told = tensors.metadata
    kind = require_choice("architecture", told.get("general.architecture"), _GGUF_ACTIVATIONS)
    scaling = told.get(f"{kind}.rope.scaling.type", "none")
    if scaling not in ("none", "linear") or told.get(f"{kind}.rope.scaling.factor", 1.0) != 1.0:
        raise InputError(f"{str(tensors.path)!r}: positions must be rotated without scaling")
    heads = told.get(f"{kind}.attention.head_count")
    return _shape(
        layers=told.get(f"{kind}.block_count"),
        width=told.get(f"{kind}.embedding_length"),
        hidden=told.get(f"{kind}.feed_forward_length"),
        heads=heads,
        key_heads=told.get(f"{kind}.attention.head_count_kv", heads),
        head_width=told.get(f"{kind}.attention.key_length", told.get(f"{kind}.rope.dimension_count")),
        vocabulary=tensors.place("token_embd.weight").shape[0] if tensors.place("token_embd.weight").shape else 0,
        context=told.get(f"{kind}.context_length"),
        activation=_GGUF_ACTIVATIONS[kind],
        norm_eps=told.get(f"{kind}.attention.layer_norm_rms_epsilon"),
        rope_base=told.get(f"{kind}.rope.freq_base", 10000.0),
        tied="output.weight" not in tensors.names,
    )


def _shape(**told: Any) -> ImportedShape:
    """Return the sizes, checked one by one and against each other."""
    sizes = {
        name: whole(
            f"{name} of the configuration", told[name], allowed=f"a whole number from 1 to {most}", least=1, most=most
        )
        for name, most in (
            ("layers", _MOST_LAYERS),
            ("width", 2**24),
            ("hidden", 2**24),
            ("heads", 2**16),
            ("key_heads", 2**16),
            ("vocabulary", 2**31),
            ("context", 2**31),
        )
    }
    if told["head_width"] is None and sizes["width"] % sizes["heads"]:
        raise InputError(f"{sizes['heads']} heads do not divide a width of {sizes['width']}")
    each = sizes["width"] // sizes["heads"] if told["head_width"] is None else told["head_width"]
    sizes["head_width"] = whole("head_width of the configuration", each, allowed="an even number", least=2, most=2**16)
    if sizes["head_width"] % 2 or sizes["heads"] % sizes["key_heads"]:
        raise InputError(
            f"heads of {sizes['head_width']} components, {sizes['heads']} of queries, {sizes['key_heads']} of keys: "
            "the first must be even, and the last divide the second"
        )
    if type(told["tied"]) is not bool:
        raise InputError("tie_word_embeddings of the configuration must be true or false")
    return ImportedShape(
        **sizes,
        activation=require_choice("activation", told["activation"], ACTIVATIONS),
        norm_eps=number(
            "norm_eps of the configuration", told["norm_eps"], allowed="a number from 0 to 1", least=0, most=1
        ),
        rope_base=number(
            "rope_base of the configuration", told["rope_base"], allowed="a number from 1 on", least=1, most=1e30
        ),
        tied=told["tied"],
    )
