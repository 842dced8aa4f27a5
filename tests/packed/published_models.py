"""Small random networks in the layouts in which BitNet b1.58 is published, and a plain forward pass of them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .foreign_files import bfloat16, gguf_bytes, i2_s_bytes, packed_rows, safetensors_bytes, tq1_0_bytes, tq2_0_bytes

FORMS = ("autobitlinear, offline", "autobitlinear, online", "bitlinear", "floats")
PROJECTIONS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
NORMS = {
    "input_layernorm": "attn_norm",
    "self_attn.attn_sub_norm": "attn_sub_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.ffn_sub_norm": "ffn_sub_norm",
}


@dataclass
class Published:
    """A network: its configuration, float64 tensors by their names in transformers, and how projections are held."""

    config: dict[str, Any]
    form: str
    tensors: dict[str, np.ndarray]  # projections as codes where the form is ternary
    scales: dict[str, float]  # of projections that are codes


def cut(values: np.ndarray) -> np.ndarray:
    """Round towards zero to bfloat16."""
    return (bfloat16(values).astype(np.uint32) << 16).view(np.float32)


def random_config(seed: int, form: str) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    keys, width = int(rng.choice([1, 2])), int(rng.choice([4, 8, 16]))
    heads = keys * int(rng.choice([1, 2, 3]))
    config: dict[str, Any] = {
        "model_type": "bitnet",
        "vocab_size": int(rng.integers(20, 60)),
        "hidden_size": heads * width,
        "intermediate_size": int(rng.choice([24, 48, 64])),
        "num_hidden_layers": int(rng.integers(1, 4)),
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        "hidden_act": "relu2" if rng.random() < 0.8 else "silu",
        "max_position_embeddings": 64,
        "rms_norm_eps": float(rng.choice([1e-5, 1e-6])),
        "rope_theta": float(rng.choice([500000.0, 10000.0])),
        "tie_word_embeddings": bool(rng.random() < 0.5),
        "attention_bias": False,
    }
    if form != "floats":
        kind, _, mode = form.partition(", ")
        config["quantization_config"] = {
            "quant_method": "bitnet",
            "linear_class": kind,
            "quantization_mode": mode or "offline",
        }
    return config


def published(seed: int, form: str, **changes: Any) -> Published:
    """Draw a network; all that is stored is bfloat16."""
    rng = np.random.default_rng([seed, 1])
    config = {**random_config(seed, form), **changes}
    width, hidden = config["hidden_size"], config["intermediate_size"]
    keys = width // config["num_attention_heads"] * config["num_key_value_heads"]
    tensors = {"model.embed_tokens.weight": cut(rng.normal(size=(config["vocab_size"], width)))}
    scales: dict[str, float] = {}
    for layer in range(config["num_hidden_layers"]):
        start = f"model.layers.{layer}."
        for name in NORMS:
            size = hidden if name == "mlp.ffn_sub_norm" else width
            tensors[f"{start}{name}.weight"] = cut(1 + 0.2 * rng.normal(size=size))
        for name in PROJECTIONS:
            rows = {"k": keys, "v": keys, "g": hidden, "u": hidden}.get(name.partition(".")[2][0], width)
            size = (rows, hidden if name == "mlp.down_proj" else width)
            full = f"{start}{name}.weight"
            if form in ("autobitlinear, offline", "bitlinear"):
                tensors[full] = rng.integers(-1, 2, size)
                size_of_one = np.exp(0.3 * rng.normal(size=1)) / math.sqrt(size[1])  # as trained ones, about
                scales[full] = float(cut(1 / size_of_one if form == "bitlinear" else size_of_one)[0])
            else:
                tensors[full] = cut(0.3 * rng.normal(size=size))
    tensors["model.norm.weight"] = cut(1 + 0.2 * rng.normal(size=width))
    if not config["tie_word_embeddings"]:
        tensors["lm_head.weight"] = cut(rng.normal(size=(config["vocab_size"], width)))
    return Published(config, form, tensors, scales)


def write_folder(model: Published, folder: Path) -> Path:
    """Write config.json and model.safetensors."""
    stored: dict[str, tuple[str, np.ndarray]] = {}
    for name, tensor in model.tensors.items():
        if name in model.scales:
            stored[name] = ("U8", packed_rows(tensor))
            stored[f"{name}_scale"] = ("BF16", bfloat16(np.array([model.scales[name]])))
        else:
            stored[name] = ("BF16", bfloat16(tensor))
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(model.config))
    (folder / "model.safetensors").write_bytes(safetensors_bytes(stored, format="pt"))
    return folder


def write_gguf(model: Published, path: Path, kind: str, **changes: object) -> Path:
    """Write a GGUF file with projections of one type; norms are F32 and the embedding is F16, as published."""
    config, told = model.config, "bitnet-b1.58"
    pairs: dict[str, object] = {
        "general.architecture": told,
        f"{told}.block_count": config["num_hidden_layers"],
        f"{told}.context_length": config["max_position_embeddings"],
        f"{told}.embedding_length": config["hidden_size"],
        f"{told}.feed_forward_length": config["intermediate_size"],
        f"{told}.attention.head_count": config["num_attention_heads"],
        f"{told}.attention.head_count_kv": config["num_key_value_heads"],
        f"{told}.attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        f"{told}.rope.dimension_count": config["hidden_size"] // config["num_attention_heads"],
        f"{told}.rope.freq_base": config["rope_theta"],
        "tokenizer.ggml.tokens": [str(token) for token in range(config["vocab_size"])],
        **changes,
    }
    tensors: dict[str, tuple[str, tuple[int, ...], bytes]] = {}
    for name, tensor in model.tensors.items():
        if name in model.scales:
            scale = model.scales[name]
            pack = {
                "I2_S": i2_s_bytes,
                "TQ1_0": tq1_0_bytes,
                "TQ2_0": tq2_0_bytes,
                "F16": lambda c, s: (c * s).astype("<f2").tobytes(),
            }[kind]
            tensors[gguf_name(name)] = (kind, tensor.shape, pack(tensor, scale))
        elif tensor.ndim == 2:
            tensors[gguf_name(name)] = ("F16", tensor.shape, tensor.astype("<f2").tobytes())
        else:
            tensors[gguf_name(name)] = ("F32", tensor.shape, tensor.astype("<f4").tobytes())
    path.write_bytes(gguf_bytes(tensors, pairs))
    return path


def gguf_name(name: str) -> str:
    whole = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    stem = name.removesuffix(".weight")
    if stem in whole:
        return f"{whole[stem]}.weight"
    layer, _, rest = stem.removeprefix("model.layers.").partition(".")
    return f"blk.{layer}.{(PROJECTIONS | NORMS)[rest]}.weight"


def plain_logits(model: Published, tokens: np.ndarray) -> np.ndarray:
    """Return the logits, a token and a head at a time, in float64 where `imported_model` is."""
    config, t = model.config, {name: tensor.astype(np.float64) for name, tensor in model.tensors.items()}
    heads, keys = config["num_attention_heads"], config["num_key_value_heads"]
    size = config["hidden_size"] // heads

    def norm(row: np.ndarray, name: str) -> np.ndarray:
        return t[name] * row / math.sqrt(float(row @ row) / len(row) + config["rms_norm_eps"])

    def project(row: np.ndarray, name: str) -> np.ndarray:
        if model.form == "floats":
            return t[name] @ row
        codes, scale = t[name], model.scales.get(name, 0.0)
        if model.form == "bitlinear":
            scale = float(np.float32(1) / np.float32(scale))
        if model.form == "autobitlinear, online":
            inverse = np.float32(1) / np.float32(np.abs(codes).mean())
            codes = np.clip(np.rint(codes.astype(np.float32) * inverse), -1, 1).astype(np.float64)
            scale = float(np.float32(1) / inverse)
        narrow = row.astype(np.float32)
        steps = np.float32(1) / max(np.abs(narrow).max(), np.float32(1e-5)) * np.float32(127)  # as PyTorch does
        return codes @ np.rint(narrow * steps).astype(np.float64) * scale / float(steps)

    def turn(row: np.ndarray, position: int) -> np.ndarray:
        out = np.empty(size)
        for i in range(size // 2):
            base, exponent = np.float32(config["rope_theta"]), np.float32(2 * i) / np.float32(size)
            angle = float(np.float32(position) * (np.float32(1) / base**exponent))
            a, b = row[i], row[i + size // 2]
            out[i], out[i + size // 2] = (
                a * math.cos(angle) - b * math.sin(angle),
                b * math.cos(angle) + a * math.sin(angle),
            )
        return out

    def act(row: np.ndarray) -> np.ndarray:
        return np.where(row > 0, row, 0) ** 2 if config["hidden_act"] == "relu2" else row / (1 + np.exp(-row))

    h = [t["model.embed_tokens.weight"][token] for token in tokens]
    for layer in range(config["num_hidden_layers"]):
        start = f"model.layers.{layer}."
        seen: list[tuple[np.ndarray, np.ndarray]] = []
        for position, row in enumerate(h):
            x = norm(row, f"{start}input_layernorm.weight")
            q, k, v = (project(x, f"{start}self_attn.{one}_proj.weight").reshape(-1, size) for one in "qkv")
            seen.append((np.array([turn(one, position) for one in k]), v))
            mixed = []
            for head in range(heads):
                query, shared = turn(q[head], position), head // (heads // keys)
                weights = np.exp([query @ key[shared] / math.sqrt(size) for key, _ in seen])
                mixed.append(
                    sum(w * value[shared] for w, (_, value) in zip(weights, seen, strict=True)) / weights.sum()
                )
            joined = norm(np.concatenate(mixed), f"{start}self_attn.attn_sub_norm.weight")
            middle = row + project(joined, f"{start}self_attn.o_proj.weight")
            x = norm(middle, f"{start}post_attention_layernorm.weight")
            inside = act(project(x, f"{start}mlp.gate_proj.weight")) * project(x, f"{start}mlp.up_proj.weight")
            inside = norm(inside, f"{start}mlp.ffn_sub_norm.weight")
            h[position] = middle + project(inside, f"{start}mlp.down_proj.weight")
    head = t.get("lm_head.weight", t["model.embed_tokens.weight"])
    return np.array([head @ norm(row, "model.norm.weight") for row in h])
