r"""How the kernel of a network moves while it is trained, layer by layer: a monitor for any training loop.

K_t is the NTK on fixed probe inputs x after step t, of all parameters or of those of one layer, Theta being the sum
over layers; y are targets at x. At each look, s being the step of the look before and norms Frobenius norms:

- **drift** = norm(K_t - K_0)/norm(K_0), and **drift_last** = norm(K_t - K_s)/norm(K_s);
- **velocity** = drift_last/(t - s): a kernel that has settled has 0;
- **alignment** = y^T K_t y/(norm(y)^2 norm(K_t)) (Cristianini 2001; `ntk1bit.kernels.alignment`);
- **trace**, **lambda_max** and **effective_rank**, as in `ntk1bit.kernels.spectrum`.

`KernelWatch` keeps a row for each look, and of the kernels the first and the last.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Inexact

from ntk1bit.arguments import real_array, whole
from ntk1bit.autodiff.frameworks.jax_calls import Evaluate
from ntk1bit.autodiff.group_kernels import ALL, GroupKernels, Groups, Kernels
from ntk1bit.autodiff.parameters import Selection
from ntk1bit.errors import InputError
from ntk1bit.kernels.precision import Dtype
from ntk1bit.kernels.spectra import alignment, spectrum
from ntk1bit.printing import number, short_lines

MEASURES = ("drift", "drift_last", "velocity", "alignment", "trace", "lambda_max", "effective_rank")
COLUMNS = ("step", "layer", "parameters", *MEASURES)
_SHOWN = 5  # layers in a repr


class KernelPair(NamedTuple):
    """The kernels of one layer at the first look and at the last, which may not be written to.

    Attributes
    ----------
    first, last
        (n, n), in the dtype of the parameters, float32 for 16-bit ones.
    """

    first: Inexact[np.ndarray, "n n"]
    last: Inexact[np.ndarray, "n n"]


class KernelWatch:
    """Follows the kernel of one network while it trains: call `update` in the loop, then read `frame`.

    Parameters
    ----------
    module
        As for `module_ntk`: a function of (params, x), or a network of Equinox, Flax, Haiku or PyTorch.
    x
        Probe inputs, some hundred, as for `module_ntk`: a look takes their Jacobians, n^2 products of them and an
        eigenvalue problem of size n for each layer.
    y
        Targets there, (n,) or (n, outputs); without them `alignment` is NaN.
    groups
        Layers: a mapping from names to patterns of paths, lists of those or functions of a path, with slashes in
        PyTorch too: ``{"attention": "blocks/*/attention/**"}``. They may overlap, or leave parameters out, which count
        in ``"all"`` alone. By default the first step in which paths differ, and its number: ``blocks/0``, ``head``.
    every
        Looks are at least so many steps apart, and calls of `update` between them do nothing; None looks at each call.
    parameters, evaluate, memory_budget
        As for `module_ntk`. The kernel is the mean over outputs.

    Attributes
    ----------
    left_out
        Paths of the parameters that are in ``"all"`` and in no layer.

    Raises
    ------
    InputError
        If an argument cannot be used; what concerns the network is said by the first `update`.

    Notes
    -----
    Memory: four kernels of n^2 numbers for each layer, of which two are kept between looks, and a row for each layer
    and look. The checks of `ntk` are made, and what it warns of is said, at the first look. Later ones trace the
    function again, which takes milliseconds, and reuse what was compiled as long as the program is the same; one that
    has become another, by a Python number that counts steps, say, is compiled and checked anew.
    """

    def __init__(
        self,
        module: Any,
        x: Any,
        y: Any = None,
        *,
        groups: Groups | None = None,
        every: int | None = None,
        parameters: Selection = None,
        evaluate: Evaluate | None = None,
        memory_budget: Any = 1 << 30,
    ) -> None:
        self.every = 1 if every is None else whole("every", every, allowed="a whole number, 1 or more", least=1)
        self._targets = None if y is None else _read_targets(y)
        self._kernels = GroupKernels(
            module, x, groups=groups, parameters=parameters, evaluate=evaluate, memory_budget=memory_budget
        )
        self._step = self._looked = -1
        self._first: Kernels = {}
        self._last: Kernels = {}
        self._rows: list[dict[str, Any]] = []

    def update(self, network: Any, *, step: int | None = None, state: Any = None) -> bool:
        """Look at a network, if it is time.

        Parameters
        ----------
        network
            Its parameters: of a function, a linen or a Haiku network what `params` is for `module_ntk`; of Equinox, nnx
            and PyTorch the network itself, in evaluation mode where that matters. Nothing of it is kept or changed.
        step
            The step that this is after; by default the next one, the first being 0.
        state
            As for `module_ntk`.

        Returns
        -------
        Whether it looked.

        Raises
        ------
        InputError
            As `module_ntk`: if the network has diverged, say. If the step is not after the one before, the layers are
            not those of the first look, or the targets are not as many as the inputs. The looks before stay.

        Warns
        -----
        UserWarning
            As `module_ntk`, at the first look.
        """
        here = self._step + 1 if step is None else whole("step", step, allowed="a whole number, 0 or more", least=0)
        if here <= self._step:
            raise InputError(
                f"step must be after the one before, {self._step}, got {here}; use a new watch for a new run"
            )
        if self._rows and here - self._looked < self.every:
            self._step = here
            return False
        kernels = self._kernels.at(network, state=state)
        if self._first and [*kernels] != [*self._first]:
            raise InputError(
                f"the layers are no longer those of the first look, {', '.join(self._first)}, but "
                f"{', '.join(kernels)}; use a new watch for another network"
            )
        rows = [self._row(name, kernel, here) for name, kernel in kernels.items()]
        for kernel in kernels.values():
            kernel.flags.writeable = False
        self._rows += rows
        self._first, self._last = self._first or kernels, kernels
        self._step = self._looked = here
        return True

    @property
    def kernels(self) -> dict[str, KernelPair]:
        """The first and the last kernel of each layer, and of ``"all"``."""
        return {name: KernelPair(first, self._last[name]) for name, first in self._first.items()}

    @property
    def left_out(self) -> tuple[str, ...]:
        """Paths of the parameters that are in no layer."""
        return self._kernels.left_out

    def frame(self) -> pd.DataFrame:
        """Return a row for each look and layer, the row of all parameters first.

        Returns
        -------
        `step`; `layer`, ``"all"`` or a name; `parameters`, how many numbers the layer holds; and `drift`, `drift_last`,
        `velocity`, `alignment`, `trace`, `lambda_max`, `effective_rank` as this module defines them. NaN: `drift_last`
        and `velocity` at the first look, `alignment` without targets, and what is relative to a kernel that is zero,
        such as `drift` of hidden layers below an output layer that began at zero.
        """
        return pd.DataFrame(self._rows, columns=list(COLUMNS)).astype({"step": int, "parameters": int})

    def __repr__(self) -> str:
        """Describe how far it is and what the last look says."""
        if not self._rows:
            return "KernelWatch(no look yet)"
        layers = len(self._first)
        latest = self._rows[-layers:]
        n = len(self._first[ALL])
        lines = [
            f"KernelWatch(looks: {len(self._rows) // layers}, inputs: {n}; after step {self._looked}, drift, "
            "alignment, effective rank:"
        ]
        for row in latest[: _SHOWN + 1]:
            shown = ", ".join(number(row[name]) for name in ("drift", "alignment", "effective_rank"))
            lines.append(f"  {row['layer']}: {shown}")
        if layers > _SHOWN + 1:
            lines.append(f"  and {layers - _SHOWN - 1} layers more")
        if self.left_out:
            lines.append(f"  in no layer: {len(self.left_out)} arrays")
        return short_lines([*lines[:-1], f"{lines[-1]})"])

    def _row(self, name: str, kernel: Inexact[np.ndarray, "n n"], step: int) -> dict[str, Any]:
        first, last = self._first.get(name, kernel), self._last.get(name)
        since = np.nan if last is None else relative_distance(kernel, last)
        found = spectrum(kernel, computed_in=self._kernels.computed_in)
        measured = (
            relative_distance(kernel, first),
            since,
            since / (step - self._looked),
            _aligned(kernel, self._targets, self._kernels.computed_in),
            float(np.trace(kernel, dtype=np.float64)),
            float(found.eigenvalues[0]),
            found.effective_rank,
        )
        held = {"step": step, "layer": name, "parameters": self._kernels.sizes[name]}
        return held | dict(zip(MEASURES, measured, strict=True))


def relative_distance(kernel: Inexact[np.ndarray, "n n"], base: Inexact[np.ndarray, "n n"]) -> float:
    """Return norm_F(K - B)/norm_F(B) in float64, NaN for B = 0."""
    k, b = (np.asarray(one, dtype=np.float64) for one in (kernel, base))
    size = float(np.linalg.norm(b))
    return float(np.linalg.norm(k - b)) / size if size > 0 else np.nan


def _aligned(
    kernel: Inexact[np.ndarray, "n n"], targets: Float[np.ndarray, "n ..."] | None, computed_in: Dtype
) -> float:
    if targets is None:
        return np.nan
    if len(targets) != len(kernel):
        raise InputError(f"y has {len(targets)} rows for {len(kernel)} inputs; give one for each input")
    return alignment(kernel, targets, computed_in=computed_in) if kernel.any() else np.nan


def _read_targets(y: Any) -> Float[np.ndarray, "n ..."]:
    """Return targets in float64: a copy, since a caller may write to the array."""
    targets = np.array(real_array("y", y), dtype=np.float64)
    if targets.ndim not in (1, 2) or not targets.any() or not np.isfinite(targets).all():
        raise InputError(
            f"y must be finite targets of shape (n,) or (n, outputs), not all 0, got shape {targets.shape}; leave it "
            "out if there are none"
        )
    return targets
