"""Networks that workers make: functions that a process can import."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.autodiff.tanh_networks import mlp, straight_through


def parameters(seed: int = 0, outputs: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "a": rng.standard_normal((5, 17)).astype(np.float32),
        "b": rng.standard_normal((17, outputs)).astype(np.float32) / 4,
    }


def tanh(seed: int = 0, outputs: int = 3) -> dict[str, Any]:
    return {"module": mlp, "params": parameters(seed, outputs)}


def one_bit() -> dict[str, Any]:
    """Signs by `jax.custom_vjp`: a rule of which the forward program does not tell."""
    return {"module": straight_through, "params": parameters()}


def one_number() -> dict[str, Any]:
    return {"module": lambda params, x: mlp(params, x)[:, 0], "params": parameters(), "parameters": "a"}


def read(params: dict[str, Any], x: dict[str, Any]) -> jax.Array:
    return mlp(params, x["features"]) * params["b"][0, x["token"] % 3][:, None]


def of_two_arrays() -> dict[str, Any]:
    return {"module": read, "params": parameters()}


def partly_quantised() -> dict[str, Any]:
    """A bare sign of the first weights beside a path that has a gradient: part of it is missing."""
    return {"module": lambda params, x: mlp(params, x) + jnp.sign(params["a"])[0, :3], "params": parameters()}


def scaled(file: Path) -> dict[str, Any]:
    """The network whose output scale a file says."""
    scale = float(file.read_text())
    return {"module": lambda params, x: scale * mlp(params, x), "params": parameters()}


def relu(bias: float) -> dict[str, Any]:
    """Dead at inputs that are negative, where there is no bias."""
    return {"module": lambda params, x: jax.nn.relu(x @ params + bias), "params": np.ones((1, 1), np.float32)}


def drawn_anew() -> dict[str, Any]:
    return tanh(seed=os.getpid())


def failing_in_workers() -> dict[str, Any]:
    if multiprocessing.parent_process() is not None:
        raise FileNotFoundError("no weights\non this machine")
    return tanh(seed=7)  # which no worker holds


def killed_once(mark: Path) -> dict[str, Any]:
    """Kill the first worker that asks for this network."""
    if multiprocessing.parent_process() is not None and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return tanh(seed=8)  # which no worker holds


def in_float64() -> dict[str, Any]:
    return {"module": mlp, "params": {name: array.astype(np.float64) for name, array in parameters().items()}}


def with_surrogate(slope: float) -> dict[str, Any]:
    """Signs whose derivative is taken for this slope."""

    @jax.custom_vjp
    def sign(w):
        return jnp.sign(w)

    sign.defvjp(lambda w: (jnp.sign(w), None), lambda _, g: (slope * g,))
    return {"module": lambda params, x: jnp.tanh(x @ sign(params["a"])) @ params["b"], "params": parameters()}


def given(array: np.ndarray) -> dict[str, Any]:
    return {"module": lambda params, x: x[:, 0] * params.mean(), "params": array}


def misspelt() -> dict[str, Any]:
    return {"module": mlp, "parms": parameters()}


def undefined_at_zero() -> dict[str, Any]:
    return {"module": lambda params, x: mlp(params, x / jnp.abs(x).max(axis=1, keepdims=True)), "params": parameters()}
