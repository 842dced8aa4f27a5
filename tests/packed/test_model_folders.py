from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ntk1bit.packed.model_folders import read_model
from ntk1bit.packed.ternary_weights import TernaryTensor
from tests.refusals import refusal_within

from .foreign_files import bfloat16, damaged, refusal_of, safetensors_bytes
from .published_models import FORMS, Published, published, write_folder, write_gguf

ALLOWANCE = 1_000_000  # bytes beside twice the files' size: modules, messages and a few objects
TOKENS = np.array([1, 5, 2, 7, 0, 3])
WIDE = {
    "hidden_size": 256,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "hidden_act": "relu2",
    "rms_norm_eps": 2.0**-17,  # a float32 in GGUF files
}


def wide_model() -> Published:
    """Return a network whose rows are whole blocks, with a scale that float16 holds."""
    model = published(0, FORMS[0], **WIDE, tie_word_embeddings=True)
    model.scales = dict.fromkeys(model.scales, 0.0625)
    return model


def shards(folder: Path) -> None:
    """Split the tensors over two files."""
    from ntk1bit.packed.safetensors_files import open_safetensors

    file = open_safetensors(folder / "model.safetensors")
    where: dict[str, str] = {}
    for part in range(2):
        name = f"model-{part}.safetensors"
        chosen = file.names[part::2]
        tensors = {
            one: (
                file.place(one).kind,
                file.bytes_of(one).view("u1" if file.place(one).kind == "U8" else "<u2").reshape(file.place(one).shape),
            )
            for one in chosen
        }
        (folder / name).write_bytes(safetensors_bytes(tensors))
        where |= dict.fromkeys(chosen, name)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))


@pytest.mark.parametrize("form", FORMS[:1] + FORMS[2:3])
def test_codes_and_scales_are_those_that_were_packed(form, tmp_path):
    model = published(5, form)
    read = read_model(write_folder(model, tmp_path))
    assert read.source == form
    block = read.model.blocks[0]
    for name, full in (("query", "self_attn.q_proj"), ("down", "mlp.down_proj")):
        weights = block.weights[name]
        assert isinstance(weights, TernaryTensor)
        scale = np.float32(model.scales[f"model.layers.0.{full}.weight"])
        np.testing.assert_array_equal(weights.codes, model.tensors[f"model.layers.0.{full}.weight"])
        assert weights.scale == (1 / scale if form == "bitlinear" else scale)
    np.testing.assert_array_equal(read.model.embedding, model.tensors["model.embed_tokens.weight"])


@pytest.mark.parametrize("kind", ["I2_S", "TQ1_0", "TQ2_0", "F16"])
def test_a_network_is_the_same_from_either_format(kind, tmp_path):
    model = wide_model()
    folder = read_model(write_folder(model, tmp_path / "folder"))
    file = read_model(write_gguf(model, tmp_path / "model.gguf", kind))
    assert file.model.shape == folder.model.shape
    assert file.notes == folder.notes == []
    assert file.source == f"GGUF, {kind}"
    ours, theirs = dict(folder.model.ternary()), dict(file.model.ternary())
    assert len(ours) == len(theirs) == 14
    for name, ternary in ours.items():
        np.testing.assert_array_equal(theirs[name].codes, ternary.codes)
        assert theirs[name].scale == ternary.scale
    np.testing.assert_array_equal(file.model.logits(TOKENS), folder.model.logits(TOKENS))


def test_gguf_projections_of_other_floats_are_kept_and_told(tmp_path):
    model = wide_model()
    name = "model.layers.1.mlp.up_proj.weight"
    model.tensors[name], _ = model.tensors[name] * 0.5 + 0.25, model.scales.pop(name)
    read = read_model(write_gguf(model, tmp_path / "model.gguf", "TQ2_0"))
    assert read.notes == ["1 projections are not ternary and their inputs not rounded: blk.1.ffn_up.weight"]
    np.testing.assert_array_equal(np.asarray(read.model.blocks[1].weights["up"]), model.tensors[name])


def test_a_scale_for_each_block_gives_the_logits_of_dense_weights(tmp_path):
    model = wide_model()
    read = read_model(write_gguf(model, tmp_path / "model.gguf", "TQ2_0")).model
    before = read.logits(TOKENS)
    for block in read.blocks:
        for name, weights in block.weights.items():
            assert isinstance(weights, TernaryTensor)
            scales = np.full((weights.shape[0], 4), weights.scale)
            block.weights[name] = TernaryTensor(weights.codes, scales)
    np.testing.assert_allclose(read.logits(TOKENS), before, atol=1e-9)  # float64, in other orders of sums


def test_a_folder_of_several_files_is_one_network(tmp_path):
    model = published(6, FORMS[0])
    before = read_model(write_folder(model, tmp_path)).model.logits(TOKENS)
    shards(tmp_path)
    np.testing.assert_array_equal(read_model(tmp_path).model.logits(TOKENS), before)
    (tmp_path / "model-1.safetensors").unlink()
    assert "there is no safetensors file" in refusal_within(ALLOWANCE, read_model, tmp_path)
    for outside in ("../model.safetensors", "/etc/passwd", "model.bin"):
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": outside}}))
        assert "names files that are not" in refusal_within(ALLOWANCE, read_model, tmp_path)


def test_tensors_that_are_not_part_of_the_network_are_counted_and_named(tmp_path):
    model = published(7, FORMS[3], tie_word_embeddings=True)
    model.tensors["lm_head.weight"] = model.tensors["model.embed_tokens.weight"]
    model.tensors["extra"] = np.zeros(3)
    assert read_model(write_folder(model, tmp_path)).notes == [
        "2 tensors are not part of the network: extra, lm_head.weight"
    ]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model_type": "llama"}, "model_type of the configuration must be 'bitnet'"),
        ({"attention_bias": True}, "biases"),
        ({"rope_scaling": {"type": "yarn"}}, "without scaling"),
        ({"rope_parameters": [1]}, "without scaling"),
        ({"hidden_act": "gelu"}, "unknown activation 'gelu'"),
        ({"num_hidden_layers": 10**9}, "layers of the configuration must be"),
        ({"num_hidden_layers": 4000}, "holds no tensor"),
        ({"hidden_size": 2**14}, "and the configuration asks for"),
        ({"vocab_size": 10**9}, "and the configuration asks for"),
        ({"vocab_size": -1}, "vocabulary of the configuration must be"),
        ({"vocab_size": "x"}, "vocabulary of the configuration must be"),
        ({"num_attention_heads": 7}, "do not divide"),
        ({"num_key_value_heads": 5}, "the last divide the second"),
        ({"head_dim": 3}, "the first must be even"),
        ({"rms_norm_eps": -1}, "norm_eps"),
        ({"rope_theta": "x"}, "rope_base"),
        ({"tie_word_embeddings": 1}, "true or false"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quant_method 'bitnet'"),
        ({"quantization_config": {"quant_method": "bitnet", "linear_class": "x"}}, "unknown linear_class"),
        ({"quantization_config": {"quant_method": "bitnet", "use_rms_norm": True}}, "use_rms_norm"),
        ({"quantization_config": {"quant_method": "bitnet", "modules_to_not_convert": ["a"]}}, "only 'lm_head'"),
        ({"quantization_config": None}, "and the configuration asks for F16 or BF16 or F32"),
    ],
)
def test_configurations_of_other_networks_are_refused(change, why, tmp_path):
    write_folder(published(8, FORMS[0]), tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**told, **change}))
    assert why in refusal_within(ALLOWANCE, read_model, tmp_path)


def test_what_is_no_model_is_refused(tmp_path):
    assert "there is no config.json" in refusal_within(ALLOWANCE, read_model, tmp_path)
    assert "neither a folder" in refusal_within(ALLOWANCE, read_model, tmp_path / "model.bin")
    for content, why in ((b"[" * 100_000, "not valid JSON"), (b"[]", "no JSON object"), (b" " * 2**21, "more than")):
        (tmp_path / "config.json").write_bytes(content)
        assert why in refusal_within(4 * ALLOWANCE, read_model, tmp_path)


@pytest.mark.parametrize(
    ("name", "kind", "array", "why"),
    [
        ("model.norm.weight", "BF16", bfloat16(np.array([np.nan], np.float32).repeat(64)), "NaN or infinity"),
        ("model.layers.0.mlp.up_proj.weight_scale", "F32", np.zeros(1, "<f4"), "is 0"),
        ("model.layers.0.mlp.up_proj.weight_scale", "I64", np.zeros(1, "<i8"), "and the configuration asks for"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(name, kind, array, why, tmp_path):
    from ntk1bit.packed.safetensors_files import open_safetensors

    write_folder(published(8, FORMS[0], hidden_size=64, num_attention_heads=4, num_key_value_heads=2), tmp_path)
    file = open_safetensors(tmp_path / "model.safetensors")
    views = {"U8": "u1", "BF16": "<u2"}
    tensors = {
        one: (file.place(one).kind, file.bytes_of(one).view(views[file.place(one).kind]).reshape(file.place(one).shape))
        for one in file.names
    }
    content = safetensors_bytes({**tensors, name: (kind, array)})
    del file, tensors
    (tmp_path / "model.safetensors").write_bytes(content)
    assert why in refusal_within(ALLOWANCE, read_model, tmp_path)


def read_and_run(path: Path) -> Any:
    read = read_model(path)
    return read.model.shape


def test_damaged_configurations_are_refused_or_right(tmp_path):
    folder = write_folder(published(9, FORMS[0]), tmp_path)
    whole = (folder / "config.json").read_bytes()

    def read(path: Path) -> Any:
        return read_and_run(path.parent)

    told = [refusal_of(folder / "config.json", one, read) for one in damaged(whole, 300, head=len(whole))]
    assert all(len(line.splitlines()) < 2 for line in told)
    assert sum(map(bool, told)) > 150


@pytest.mark.parametrize("suffix", ["folder", "gguf"])
def test_damaged_models_are_refused_or_right_within_memory(suffix, tmp_path):
    if suffix == "folder":
        path = write_folder(published(9, FORMS[0]), tmp_path) / "model.safetensors"
        asked = tmp_path
    else:
        asked = path = write_gguf(published(9, FORMS[0], **WIDE), tmp_path / "model.gguf", "I2_S")
    whole = path.read_bytes()
    head = 8 + int.from_bytes(whole[:8], "little") if suffix == "folder" else 2000
    tracemalloc.start()
    try:
        told = [refusal_of(path, one, lambda _: read_and_run(asked)) for one in damaged(whole, 300, head=head)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert all(len(line.splitlines()) < 2 for line in told)
    assert sum(map(bool, told)) > 150
    # a copy of the file in this test, and the network where it is right: a byte per weight, of which four are packed
    assert peak < 8 * len(whole) + ALLOWANCE
