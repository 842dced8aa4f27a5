"""What transformers makes of a published folder; run as a module, it writes the references that tests compare with.

    python -m tests.packed.transformers_reference

Needs PyTorch, transformers and safetensors. `from_pretrained` would ask for a library more and for a GPU, so the
network is made from its configuration, its projections replaced by the library's own, and the tensors put in.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .published_models import FORMS, published, write_folder

DATA = Path(__file__).parent / "transformers_logits.npz"
SEEDS = (100, 101, 102, 103)  # one for each of FORMS


def tokens_of(seed: int, vocabulary: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 2])
    return rng.integers(0, vocabulary, int(rng.integers(2, 20)))


def transformers_logits(folder: Path, tokens: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the logits in float32, and the inputs of every projection in the order in which they run."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    bitnet = pytest.importorskip("transformers.integrations.bitnet")
    pytest.importorskip("torch._dynamo").config.disable = True  # a few operations are not worth compiling
    told = json.loads((folder / "config.json").read_text())
    form: dict[str, Any] | None = told.pop("quantization_config", None)
    network = (
        transformers.BitNetForCausalLM(transformers.BitNetConfig(**told, bos_token_id=0, eos_token_id=1)).float().eval()
    )
    stored = pytest.importorskip("safetensors.torch").load_file(folder / "model.safetensors")
    inputs: list[np.ndarray] = []
    if form is not None:
        chosen = transformers.BitNetQuantConfig(**{name: one for name, one in form.items() if name != "quant_method"})
        bitnet.replace_with_bitnet_linear(network, modules_to_not_convert=["lm_head"], quantization_config=chosen)
    for name, tensor in stored.items():
        module, _, last = name.rpartition(".")
        owner = network.get_submodule(module)
        if tensor.dtype == torch.uint8 and isinstance(owner, bitnet.AutoBitLinear):
            tensor = bitnet.unpack_weights(tensor, dtype=torch.float32)
        tensor = tensor if tensor.dtype == torch.uint8 else tensor.float()
        buffer = last in dict(owner.named_buffers(recurse=False))
        setattr(owner, last, tensor if buffer else torch.nn.Parameter(tensor, requires_grad=False))
        if isinstance(owner, bitnet.BitLinear):
            owner.dtype = torch.float32
    if told["tie_word_embeddings"]:
        network.lm_head.weight = network.model.embed_tokens.weight
    for module in network.modules():
        if isinstance(module, bitnet.BitLinear | bitnet.AutoBitLinear):
            module.register_forward_pre_hook(lambda _, given: inputs.append(given[0][0].numpy().copy()))
    with torch.no_grad():
        return network(torch.tensor(tokens)[None]).logits[0].numpy(), inputs


def write_references() -> None:
    arrays = {}
    for seed, form in zip(SEEDS, FORMS, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            model = published(seed, form)
            write_folder(model, Path(folder))
            logits, _ = transformers_logits(Path(folder), tokens_of(seed, model.config["vocab_size"]))
            arrays[form] = logits
    np.savez(DATA, **arrays)


if __name__ == "__main__":
    write_references()
