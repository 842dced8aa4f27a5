r"""The kernel of Transformers in training: how far it moves, and what it is aligned with, in three kinds of weights.

D25's question is of two-layer networks: does the kernel stay where it was as they widen? Asked here of a Transformer

    f(window) = v . logits(window)[last position] - the same at the start,      v random signs over sqrt(vocabulary),

on n windows of a text with random targets -1 and 1, by descent on 1/2 sum_i (f_i - y_i)^2 over all parameters, at a
rate in units of 1/lambda_max of its own kernel at the start: D25's setting but for the network. Each window is a
sequence of its own, so that scales per tensor are per sequence. The parameterisation is the standard one; the rate in
units of the kernel makes steps of all widths, and of all arms, equal in what they change by its lights.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pandas as pd

from ntk1bit.data import text as texts
from ntk1bit.errors import require_choice
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.experiments.telling import COMPILING, Teller
from ntk1bit.networks.transformer_shape import TRAINED_ARMS, Arm, Size, layer_of, plain_shape

_STREAM = 0x7C  # keeps targets and v apart from the windows and the weights of the same seed
_SPEED, _COMPILING = 6e10, 15.0  # operations per second of one core, and seconds
_MOVE = 0.02  # of step ratios, times m^-1/2: what a neuron sees changes by a fiftieth


@dataclass(frozen=True)
class TransformerKernels(Experiment):
    """Transformers of one size and arm, one for each seed, and their kernels as they train.

    Attributes
    ----------
    arm, layers, width, text
        As in `LanguageModel`.
    eta_rel
        Learning rate in units of 1/lambda_max(K(0)).
    at
        Steps at which the kernel is taken, beside the start; the last one ends the training.
    seeds
        Of starts, windows, targets and v.
    n_train, context
        How many windows, and their characters.
    """

    KIND: ClassVar[str] = "transformer-kernels"

    arm: str
    width: int
    eta_rel: float
    at: tuple[int, ...]
    seeds: tuple[int, ...]
    layers: int = 2
    text: str = "pydoc"
    n_train: int = 32
    context: int = 16

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        super().__post_init__()
        require_choice("arm", self.arm, TRAINED_ARMS)

    @property
    def label(self) -> str:
        """Arm and size."""
        return f"kernel in training, {self.arm} {self.layers}x{self.width}"

    @property
    def cost(self) -> float:
        """Rough seconds of one processor: a kernel takes about three times as long as a step."""
        step = 6.0 * Size(self.layers, self.width).parameters * self.n_train * self.context
        return _COMPILING + len(self.seeds) * step * (max(self.at) + 3 * len(self.at) + 15) / _SPEED

    def run(self, scratch: Path) -> pd.DataFrame:
        """Compute the result.

        Returns
        -------
        A row for each network and step, 0 and those of `at`: `seed`, `step`; `loss`, 1/2 sum (f - y)^2; `drift`, the
        Frobenius norm of K(t) - K(0) over that of K(0); `alignment`, y'Ky/(n |K|_F); `lambda_max`, `lambda_min`. At
        step 0, NaN later: `share`, the part of the trace of K that comes from the matrices of attention and
        feed-forward parts; of these matrices, means of c (`autodiff.step_ratios`), `ratio`, and of c over what is
        expected (this module's text), `arriving`.
        """
        from ntk1bit.autodiff.kernel_watch import relative_distance

        step, loss, kernels = _functions()
        found = []
        with Teller(scratch) as tell:
            tell(COMPILING, 0.0)
            for place, seed in enumerate(self.seeds):
                now, static, x, y, v = self._drawn(seed)
                first, of_matrices = (np.asarray(one, np.float64) for one in kernels(now, static, x, v))
                eta = self.eta_rel / np.linalg.eigvalsh(first)[-1]
                f = functools.partial(_outputs, static=static, v=v)
                share = float(np.trace(of_matrices) / np.trace(first))
                start = {"share": share, **_arriving(f, now, x, y, self.arm)}
                data = (static, x, v, f(now, x), np.float32(y))
                for t in range(max(self.at) + 1):
                    if t in (0, *self.at):
                        kernel = np.asarray(kernels(now, static, x, v)[0], np.float64) if t else first
                        values = np.linalg.eigvalsh(kernel)
                        row = {
                            "seed": seed,
                            "step": t,
                            "loss": float(loss(now, *data)),
                            "drift": relative_distance(kernel, first),
                            "alignment": float(y @ kernel @ y / (self.n_train * np.linalg.norm(kernel))),
                            "lambda_max": float(values[-1]),
                            "lambda_min": float(values[0]),
                            **(start if t == 0 else dict.fromkeys(start, np.nan)),
                        }
                        found.append(row)
                        tell(f"seed {seed}, step {t}", (place + t / max(self.at)) / len(self.seeds))
                    if t < max(self.at):
                        now = step(now, np.float32(eta), *data)
        return pd.DataFrame(found)

    def _drawn(self, seed: int) -> tuple[Any, Any, Any, np.ndarray, Any]:
        """Draw a network as its parameters and the rest of it, the windows, their targets, and v."""
        import equinox as eqx
        import jax.numpy as jnp

        from ntk1bit.networks.transformer import transformer

        corpus = texts.load(self.text)
        shape = plain_shape(self.layers, self.width, vocabulary=corpus.vocabulary, context=self.context)
        rng = np.random.default_rng([seed, _STREAM])
        y = rng.choice([-1.0, 1.0], self.n_train)
        v = jnp.asarray(rng.choice([-1.0, 1.0], corpus.vocabulary) / corpus.vocabulary**0.5, jnp.float32)
        windows = texts.training_batch(
            corpus.train, seed=seed, step=0, batch=self.n_train, context=self.context
        )  # one character more than is read
        params, static = eqx.partition(transformer(shape, arm=cast(Arm, self.arm), seed=seed), eqx.is_inexact_array)
        return params, static, jnp.asarray(windows[:, :-1], jnp.int32), y, v


def _outputs(params: Any, x: Any, *, static: Any, v: Any) -> Any:
    """Return v . logits at the last position of each window, each a sequence of its own."""
    import equinox as eqx
    import jax

    model = eqx.combine(params, static)
    return jax.vmap(lambda one: model(one[None])[0, -1] @ v)(x)


@functools.cache
def _functions() -> tuple[Any, Any, Any]:
    """Return a step of descent, the loss, and kernels: the same objects each time, so that code is compiled once.

    The kernels are that of all parameters and that of the matrices alone, from gradients window by window, without the
    checks of `autodiff.ntk`: those would say each time, and slowly, that outputs of BitLinear as W23 writes it move far
    more than its gradient says (see above).
    """
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    def loss(params: Any, static: Any, x: Any, v: Any, start: Any, y: Any) -> Any:
        return 0.5 * jnp.sum((_outputs(params, x, static=static, v=v) - start - y) ** 2)

    def step(params: Any, eta: Any, *data: Any) -> Any:
        return jax.tree.map(lambda a, g: a - eta * g, params, jax.grad(loss)(params, *data))

    def kernels(params: Any, static: Any, x: Any, v: Any) -> tuple[Any, Any]:
        def one(window: Any) -> Any:
            return jax.grad(lambda at: _outputs(at, window[None], static=static, v=v)[0])(params)

        every, of_matrices = [], []
        for path, leaf in _by_path(jax.vmap(one)(x)).items():
            rows = leaf.reshape(len(x), -1)
            every.append(rows @ rows.T)
            if _is_projection(path):
                of_matrices.append(every[-1])
        return sum(every), sum(of_matrices)

    return eqx.filter_jit(step), eqx.filter_jit(loss), eqx.filter_jit(kernels)


def _by_path(params: Any) -> dict[str, Any]:
    """Return the arrays of parameters by their paths, as `autodiff` writes these."""
    from jax.tree_util import tree_leaves_with_path

    from ntk1bit.autodiff.parameters import path_name

    return {path_name(path): leaf for path, leaf in tree_leaves_with_path(params)}


def _arriving(f: Any, params: Any, x: Any, y: Any, arm: str) -> dict[str, float]:
    """Return how much of a step arrives in the matrices, and that over what is expected."""
    from ntk1bit.autodiff import step_ratios

    matrices = {path: np.asarray(leaf) for path, leaf in _by_path(params).items() if _is_projection(path)}
    inputs = min(one.shape[1] for one in matrices.values())
    ratios = step_ratios(f, params, x, -y, move=_MOVE * inputs**-0.5, parameters=_is_projection)
    over = [ratio / _expected(arm, matrices[path]) for path, ratio in ratios.items()]
    return {"ratio": float(np.mean(list(ratios.values()))), "arriving": float(np.mean(over))}


def _expected(arm: str, weight: np.ndarray) -> float:
    """Return c of a matrix of Gaussian weights in an arm (this module's text)."""
    from ntk1bit.autodiff.arriving_steps import PASSED

    if layer_of(cast(Arm, arm)) == "bitnet":
        return PASSED["tensor"] / float(np.abs(weight).mean())
    return PASSED["ternary"] if layer_of(cast(Arm, arm)) == "b158" else 1.0


def _is_projection(path: str) -> bool:
    return any(f"/{name}/weight" in path for name in ("query", "key", "value", "output", "up", "down"))
