"""Predict, then train: twelve networks, whose next 20 outputs their kernel at the start predicts, against training.

Run `python -m benchmarks.predict_then_train`, or name parts: `networks` (the twelve; name some of them to run these
alone) and `widths` (one of them, wider and wider); some ten minutes each on two cores. Prints the tables of
docs/kernels.md. Means over seeds, of which each draws weights and data anew, with their 95 % intervals.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from sklearn.datasets import load_digits

from ntk1bit.autodiff import TrainingForecast, predict_then_train, quantize
from ntk1bit.networks.bitlinear import Projection, quantized_factors
from ntk1bit.networks.transformer import transformer
from ntk1bit.networks.transformer_shape import Arm, plain_shape
from ntk1bit.printing import interval, number
from ntk1bit.statistics import geometric_interval, student_interval

STEPS, ETA_REL, SEEDS = 20, 0.5, 5
POINTS, DIM, WIDTH, CLASSES, LENGTH, TOKENS = 32, 16, 256, 3, 8, 32


class Setting(NamedTuple):
    """A network with its data, and what else `predict_then_train` is told."""

    module: Any
    x: Any
    y: np.ndarray
    told: dict[str, Any]


def points(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw points on the unit sphere, and a target of -1 and 1 for each: the side of a plane that it is on."""
    rng = np.random.default_rng([seed, 1])
    x = rng.standard_normal((POINTS, DIM))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x.astype(np.float32), np.where(x @ rng.standard_normal(DIM) > 0, 1.0, -1.0)


def images(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw images of three digits, (n, 1, 8, 8), with their classes as one-hot rows."""
    pixels, labels = load_digits(return_X_y=True)
    some = np.random.default_rng([seed, 2]).permutation(np.flatnonzero(labels < CLASSES))[:POINTS]
    x = pixels[some].reshape(-1, 1, 8, 8) / 16 - 0.3
    return x.astype(np.float32), np.eye(CLASSES)[labels[some]]


def equinox_mlp(seed: int, bits: Any, width: int = WIDTH) -> Setting:
    """Return an MLP of two hidden layers and one output."""
    x, y = points(seed)
    model = eqx.nn.MLP(DIM, "scalar", width, 2, key=jax.random.key(seed))
    return Setting(model if bits is None else quantize(model, bits), x, y, {})


class Convolutional(eqx.Module):
    """Two convolutions and a dense layer, for one image."""

    first: eqx.nn.Conv2d
    second: eqx.nn.Conv2d
    last: eqx.nn.Linear

    def __init__(self, key: Any) -> None:
        keys = jax.random.split(key, 3)
        self.first = eqx.nn.Conv2d(1, 16, 3, padding=1, key=keys[0])
        self.second = eqx.nn.Conv2d(16, 32, 3, stride=2, key=keys[1])
        self.last = eqx.nn.Linear(32 * 9, CLASSES, key=keys[2])

    def __call__(self, image: Any) -> Any:
        """Return an output for each class."""
        return self.last(jax.nn.relu(self.second(jax.nn.relu(self.first(image)))).reshape(-1))


def convolutional(seed: int, bits: Any) -> Setting:
    """Return a small convolutional network of three outputs."""
    model = Convolutional(jax.random.key(seed))
    return Setting(model if bits is None else quantize(model, bits), *images(seed), {})


class LinenMLP(nn.Module):
    """An MLP of three outputs in Flax linen."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        """Return an output for each class."""
        h = nn.relu(nn.Dense(WIDTH)(x.reshape(x.shape[0], -1)))
        return nn.Dense(CLASSES)(nn.relu(nn.Dense(WIDTH)(h)))


def linen_mlp(seed: int) -> Setting:
    """Return a 1-bit classifier that is trained by cross-entropy."""
    x, y = images(seed)
    model = quantize(LinenMLP(), "one_bit")
    return Setting(model, x, y, {"params": model.init(jax.random.key(seed), x), "loss": "cross_entropy"})


class Normed(nnx.Module):
    """Two hidden layers with a LayerNorm before each non-linearity, in Flax nnx."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first, self.second = nnx.Linear(DIM, WIDTH, rngs=rngs), nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.norms = nnx.List([nnx.LayerNorm(WIDTH, rngs=rngs), nnx.LayerNorm(WIDTH, rngs=rngs)])
        self.last = nnx.Linear(WIDTH, 1, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        """Return an output for each input."""
        h = nnx.relu(self.norms[0](self.first(x)))
        return self.last(nnx.relu(self.norms[1](self.second(h))))[:, 0]


class Tied(nnx.Module):
    """Three hidden layers, of which the second and the third share their weights."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first, self.shared = nnx.Linear(DIM, WIDTH, rngs=rngs), nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.last = nnx.Linear(WIDTH, 1, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        """Return an output for each input."""
        h = nnx.relu(self.first(x))
        for _ in range(2):
            h = nnx.relu(self.shared(h))
        return self.last(h)[:, 0]


def nnx_network(seed: int, kind: Callable[..., Any]) -> Setting:
    """Return a network of nnx in 1 bit."""
    return Setting(quantize(kind(rngs=nnx.Rngs(seed)), "one_bit"), *points(seed), {})


def language(seed: int, arm: str) -> Setting:
    """Return a Transformer of two blocks whose output is that of random signs over the last position's logits."""
    rng = np.random.default_rng([seed, 3])
    shape = plain_shape(2, 32, vocabulary=TOKENS, context=LENGTH)
    v = jnp.asarray(rng.choice([-1.0, 1.0], TOKENS) / TOKENS**0.5, jnp.float32)
    x, y = rng.integers(0, TOKENS, (POINTS, LENGTH)), rng.choice([-1.0, 1.0], POINTS)

    def evaluate(model: Any, x: Any) -> Any:
        # each window is a batch of its own, since W23's layer takes its scale over a whole batch
        return jax.vmap(lambda window: model(window[None])[0, -1] @ v)(x)

    told = {"evaluate": evaluate, "signs": projection_signs}
    return Setting(transformer(shape, arm=cast(Arm, arm), seed=seed), x, y, told)


def projection_signs(model: Any) -> list[Any]:
    """Return the signs of the weights that a Transformer's projections multiply with."""
    found = []
    for one in jax.tree.leaves(model, is_leaf=lambda node: isinstance(node, Projection)):
        if isinstance(one, Projection):
            unused = jnp.zeros((1, one.weight.shape[1]), one.weight.dtype)
            used = quantized_factors(unused, one.weight, arm=one.arm, surrogate=one.surrogate, form=one.form)[1]
            found.append(jnp.sign(used).astype(jnp.int8))
    return found


def recurrent(seed: int) -> Setting:
    """Return a recurrent network of tanh, by `scan`, in 1 bit."""
    rng = np.random.default_rng([seed, 4])

    def draw(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / shape[0] ** 0.5).astype(np.float32)

    params = {"in": draw(4, WIDTH), "hidden": draw(WIDTH, WIDTH), "out": draw(WIDTH, 1)}

    def f(params: Any, x: Any) -> Any:
        def step(h: Any, now: Any) -> tuple[Any, None]:
            return jnp.tanh(h @ params["hidden"] + now @ params["in"]), None

        h = jax.lax.scan(step, jnp.zeros((x.shape[0], WIDTH), x.dtype), x.swapaxes(0, 1))[0]
        return (h @ params["out"])[:, 0]

    x = rng.standard_normal((POINTS, LENGTH, 4)).astype(np.float32)
    y = np.where(x.mean(axis=1) @ rng.standard_normal(4) > 0, 1.0, -1.0)
    return Setting(quantize(f, "one_bit"), x, y, {"params": params})


NETWORKS: dict[str, Callable[[int], Setting]] = {
    "MLP, full": lambda seed: equinox_mlp(seed, None),
    "MLP, one_bit": lambda seed: equinox_mlp(seed, "one_bit"),
    "MLP, ternary": lambda seed: equinox_mlp(seed, "ternary"),
    "convolutional, full": lambda seed: convolutional(seed, None),
    "convolutional, one_bit": lambda seed: convolutional(seed, "one_bit"),
    "linen MLP, one_bit, cross-entropy": linen_mlp,
    "nnx with LayerNorm, one_bit": lambda seed: nnx_network(seed, Normed),
    "Transformer, full": lambda seed: language(seed, "full"),
    "Transformer, bitnet": lambda seed: language(seed, "bitnet"),
    "Transformer, b158": lambda seed: language(seed, "b158"),
    "recurrent, one_bit": recurrent,
    "tied weights, one_bit": lambda seed: nnx_network(seed, Tied),
}
COLUMNS = (
    "network",
    "first step arrives",
    "error, step 1",
    "error, step 20",
    "error of steps 11 to 20",
    "re-formed, step 20",
    "single steps, 11 to 20",
    "growth, step 20",
    "flips, %",
    "fall of the loss over the predicted one",
)


def forecasts(make: Callable[[int], Setting], *, seeds: int = SEEDS) -> tuple[list[TrainingForecast], list[str]]:
    """Predict and train a network of each seed; return what was found, and what was warned of."""
    found: list[TrainingForecast] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for seed in range(seeds):
            one = make(seed)
            found.append(predict_then_train(one.module, one.x, one.y, steps=STEPS, eta_rel=ETA_REL, **one.told))
    return found, [str(one.message) for one in caught]


def row(name: str, found: list[TrainingForecast]) -> str:
    """Return a line of the table."""
    frames = [one.frame().set_index("step") for one in found]
    half = STEPS // 2

    def each(read: Callable[[Any], Any]) -> list[float]:
        return [float(read(frame)) for frame in frames]

    measured = (
        (student_interval, [one.first_ratio for one in found]),
        (geometric_interval, each(lambda frame: frame["error"][1])),
        (geometric_interval, each(lambda frame: frame["error"][STEPS])),
        (geometric_interval, [one.error_between(half, STEPS) for one in found]),
        (geometric_interval, each(lambda frame: frame["error_reformed"][STEPS])),
        (geometric_interval, each(lambda frame: frame["local"][half + 1 :].median())),
        (geometric_interval, each(lambda frame: frame["growth"][STEPS])),
        (student_interval, each(lambda frame: 100 * frame["flips_since_start"][STEPS])),
        (student_interval, each(_fall)),
    )
    cells = [f"{number(mean)} {interval(low, high, 2)}" for mean, low, high in (how(given) for how, given in measured)]
    return f"| {' | '.join([name, *cells])} |"


def _fall(frame: Any) -> float:
    loss, predicted = frame["loss"], frame["loss_predicted"]
    return (loss[0] - loss[STEPS]) / (loss[0] - predicted[STEPS])


def _table(settings: dict[str, Callable[[int], Setting]]) -> None:
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    said: dict[str, list[str]] = {}
    for name, make in settings.items():
        found, warned = forecasts(make)
        print(row(name, found), flush=True)
        for text in warned:
            said.setdefault(text, []).append(name)
    for text, names in said.items():
        print(f"\nwarned {len(names)} times ({', '.join(dict.fromkeys(names))}): {text}")


def networks(names: list[str]) -> None:
    """Compare all networks, or those whose name contains one of `names`."""
    _table({name: make for name, make in NETWORKS.items() if not names or any(one in name for one in names)})


def widths(_: list[str]) -> None:
    """Compare the MLP in full precision and in 1 bit at several widths."""

    def at(width: int, bits: Any) -> Callable[[int], Setting]:
        return lambda seed: equinox_mlp(seed, bits, width)

    every = [(width, bits) for bits in (None, "one_bit") for width in (64, 256, 1024)]
    _table({f"MLP, {bits or 'full'}, width {width}": at(width, bits) for width, bits in every})


PARTS: dict[str, Callable[[list[str]], None]] = {"networks": networks, "widths": widths}


def main(names: list[str]) -> None:
    """Run the parts named, or all; after `networks`, the rest are names of networks."""
    if names and names[0] in PARTS:
        PARTS[names[0]](names[1:])
        return
    for run in PARTS.values():
        run(names)
        print()


if __name__ == "__main__":
    main(sys.argv[1:])
