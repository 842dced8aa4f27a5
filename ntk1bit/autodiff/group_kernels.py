"""Kernels of one network at parameters that change, for groups of its parameters, checked once.

Theta is a sum over arrays of parameters, so the kernels of all groups come from one pass over the Jacobian: arrays that
are in the same groups are multiplied together, and each group's kernel is the sum of its shares.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Inexact

from ntk1bit.arguments import number
from ntk1bit.autodiff import blocks, derivatives, rows
from ntk1bit.autodiff.examination import examine
from ntk1bit.autodiff.frameworks.jax_calls import BatchFunction, Evaluate, batch_function
from ntk1bit.autodiff.frameworks.recognition import Library, library_of, open_network
from ntk1bit.autodiff.missing_gradients.gradient_paths import zero_jacobian_error
from ntk1bit.autodiff.parameters import Selection, chooser
from ntk1bit.errors import InputError

ALL = "all"  # the group of all parameters

Groups = Mapping[str, Selection]
Kernels = dict[str, Inexact[np.ndarray, "n n"]]


def layer_groups(paths: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the paths of each layer: the first step in which paths differ, and its number where it has one.

    ``blocks/0/attention/q`` and ``head/w`` are of ``blocks/0`` and ``head``; ``layers/0/weight`` and
    ``layers/1/weight`` of ``layers/0`` and ``layers/1``. A single array has no layers.
    """
    steps = [path.split("/") for path in paths]
    common = 0
    while len(paths) > 1 and len({tuple(each[: common + 1]) for each in steps}) == 1:
        common += 1
    found: dict[str, tuple[str, ...]] = {}
    for path, each in zip(paths, steps, strict=True) if len(paths) > 1 else ():
        numbered = each[common + 1 : common + 2] if not each[common].isdigit() else []
        name = "/".join([*each[: common + 1], *(one for one in numbered if one.isdigit())])
        found[name] = (*found.get(name, ()), path)
    return found


class GroupKernels:
    """Kernels of a network on fixed inputs: its mean over outputs, by all parameters and by each group.

    Parameters
    ----------
    module, x, parameters, evaluate, memory_budget
        As for `module_ntk`; of an Equinox or nnx module, or one of PyTorch, any with the same layers.
    groups
        Names, and which parameters belong to each, by path as for `module_ntk`, in PyTorch too with slashes; by default
        `layer_groups`. An array may be in several, or in none but that of all.

    Attributes
    ----------
    sizes
        How many numbers each group holds; empty before the first kernels, as is what follows.
    left_out
        Paths of the parameters that are in no group but that of all.
    computed_in
        The dtype of the sums that make up an entry.

    Raises
    ------
    InputError
        If the network is of no known library, or the budget or a name cannot be used.

    Notes
    -----
    The checks of `module_ntk` are made the first time, and again only if the program has become another one; what it
    warns of is said then. For PyTorch, which has no program, they are made again if names, shapes or dtypes of
    parameters change.
    """

    def __init__(
        self,
        module: Any,
        x: Any,
        *,
        groups: Groups | None = None,
        parameters: Selection = None,
        evaluate: Evaluate | None = None,
        memory_budget: Any = 1 << 30,
    ) -> None:
        self.library: Library = library_of(module)
        self.sizes: dict[str, int] = {}
        self.left_out: tuple[str, ...] = ()
        self.computed_in: Any = None
        self._module, self._x = module, x
        self._parameters, self._evaluate = parameters, evaluate
        self._budget = int(number("memory_budget", memory_budget, allowed="a positive number of bytes", least=1.0))
        self._groups = None if groups is None else _read_groups(groups)
        self._like: BatchFunction | None = None
        self._passed: Hashable = None
        self._torch_pass: Any = None
        self._shares: dict[tuple[str, ...], list[int]] = {}

    @property
    def holds_parameters(self) -> bool:
        """Whether networks of this library hold their parameters themselves."""
        return self.library in ("torch", "equinox", "nnx")

    def at(self, network: Any, *, state: Any = None) -> Kernels:
        """Return the kernels at these parameters, by group; the one of all comes first.

        Parameters
        ----------
        network
            The module; of a library whose networks do not hold their parameters, and of a function, the parameters.
        state
            As for `module_ntk`.

        Raises
        ------
        InputError
            As `module_ntk`; if a pattern of a group fits no parameter, or the network is of another library.
        """
        if self.holds_parameters and (type(network) in (dict, list, tuple) or library_of(network) != self.library):
            raise InputError(f"give the network itself, a {type(self._module).__name__} with its parameters of now")
        shares = self._torch(network, state) if self.library == "torch" else self._jax(network, state)
        self.computed_in = shares[0].dtype
        kernels = {name: [] for name in self.sizes}
        for names, share in zip(self._shares, shares, strict=True):
            for name in (ALL, *names):
                kernels[name].append(share)
        summed = {name: _sum(parts) for name, parts in kernels.items()}
        if not np.isfinite(summed[ALL]).all():
            raise InputError("the NTK contains NaN or infinity; check the parameters and the network at these inputs")
        return summed

    def _jax(self, network: Any, state: Any) -> list[np.ndarray]:
        module, params = (network, None) if self.holds_parameters else (self._module, network)
        opened = open_network(module, self.library, params=params, state=state)
        self._x = rows.read_inputs("x", self._x)
        function = batch_function(opened, self._x, self._evaluate, like=self._like)
        found = examine(function.f, opened.params, self._x, parameters=self._parameters, passed=self._passed)
        plan = blocks.plan_jacobian(found.network, found.inputs, None, self._budget, trace=True)
        new = found.passed != self._passed
        if new:
            self._divide({path: int(leaf.size) for path, leaf in zip(found.paths, found.network.trained, strict=True)})
            blocks.warn_of_budget("jacobian", plan, self._budget, stacklevel=5)
        parts = list(self._shares.values())
        shares = blocks.by_jacobian_in_parts(found.network, plan, found.inputs, None, parts, trace=True)
        if new and not any(map(np.any, shares)) and not derivatives.has_gradient(found.network, found.inputs):
            raise zero_jacobian_error(found.paths)
        self._like, self._passed = function, found.passed
        return shares

    def _torch(self, network: Any, state: Any) -> list[np.ndarray]:
        from ntk1bit.autodiff.frameworks import torch_kernels
        from ntk1bit.autodiff.frameworks.torch_modules import open_torch

        if state is not None:
            raise InputError("a PyTorch module holds its own buffers; leave state out")
        opened = open_torch(network, self._parameters, self._evaluate)
        form = tuple((name, tuple(array.shape), str(array.dtype)) for name, array in opened.trained.items())
        inputs = torch_kernels.read_tensors("x", self._x, opened)
        if form != self._passed:
            passed = torch_kernels.check_torch(opened, inputs, self._budget)
            self._divide({name.replace(".", "/"): array.numel() for name, array in opened.trained.items()})
        else:
            passed = self._torch_pass
        names = list(opened.trained)
        parts = [[names[place] for place in places] for places in self._shares.values()]
        shares = torch_kernels.torch_kernels_in_parts(opened, inputs, passed, parts)
        if form != self._passed and not any(map(np.any, shares)):
            torch_kernels.refuse_dead(opened, inputs)
        self._torch_pass, self._passed = passed, form
        return shares

    def _divide(self, sizes: Mapping[str, int]) -> None:
        """Find which arrays are in the same groups."""
        paths = list(sizes)
        groups: Groups = self._groups or {name: _one_of(held) for name, held in layer_groups(paths).items()}
        if ALL in groups:
            raise InputError(
                f"a layer is called {ALL!r}, which stands for all of them; name the groups: groups={{...}}"
            )
        choose = {name: chooser(chosen, paths) for name, chosen in groups.items()}
        members = {path: tuple(name for name, fits in choose.items() if fits(path)) for path in paths}
        found = {name: sum(size for path, size in sizes.items() if name in members[path]) for name in groups}
        empty = [name for name in groups if not any(name in names for names in members.values())]
        if empty:
            raise InputError(f"group {empty[0]!r} holds no parameter; there are: {', '.join(paths[:12])}")
        self._shares = {}
        for place, path in enumerate(paths):
            self._shares.setdefault(members[path], []).append(place)
        self.sizes = {ALL: sum(sizes.values())} | found
        self.left_out = tuple(path for path in paths if not members[path]) if groups else ()


def _one_of(paths: tuple[str, ...]) -> Callable[[str], bool]:
    """Return what chooses these paths, which are no patterns: one may have a bracket in it."""
    return lambda path: path in paths


def _read_groups(groups: Groups) -> Groups:
    if not isinstance(groups, Mapping) or not groups or not all(isinstance(name, str) for name in groups):
        raise InputError(
            "groups must be a mapping from names to patterns of paths, such as {'attention': 'blocks/*/attention/**'}"
        )
    return dict(groups)


def _sum(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Add shares, 16-bit ones in float32."""
    wide = np.promote_types(parts[0].dtype, np.float32)
    total = parts[0].astype(wide)
    for part in parts[1:]:
        total += part
    return total
