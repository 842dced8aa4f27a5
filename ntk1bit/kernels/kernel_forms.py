"""One kernel in one of three forms: its entries, a factor F with K = F F^T, or an operator that multiplies vectors.

Entries of n points take 8 n^2 bytes, 20 GB for 50,000; a factor of r columns 8 n r, and an operator what one product
takes. `Kernel` holds any of them with what is known of its making: what was differentiated, seeds, and how far from the
kernel a factor is.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Shaped
from numpy.typing import ArrayLike
from scipy.sparse.linalg import LinearOperator

from ntk1bit.arguments import require_memory, whole
from ntk1bit.array_files import ArrayFileError, open_arrays, write_arrays
from ntk1bit.errors import InputError
from ntk1bit.files import writable_file
from ntk1bit.kernels.joint import as_matrix
from ntk1bit.kernels.precision import spacing
from ntk1bit.kernels.spectra import require_symmetric
from ntk1bit.printing import MOST_LINES, number, short_lines, side_by_side

Form = Literal["matrix", "factor", "operator"]
_ENDINGS = (".npz",)
_COLUMNS = 256  # of the identity, multiplied at once for the entries of an operator
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Kernel:
    """A symmetric positive semi-definite kernel, in exactly one of three forms.

    Attributes
    ----------
    matrix
        (n, n) entries, or (n, n, k, k) of k outputs.
    factor
        (n, r): the kernel is F F^T.
    operator
        A `scipy.sparse.linalg.LinearOperator`, (n, n).
    about
        What was differentiated, and with which seeds: words and numbers by name.
    quality
        How far it is from the kernel that it stands for, as numbers by name; empty for entries and operators.
    diagonal
        (n,): the diagonal of the kernel that it stands for, where it is known exactly.

    Raises
    ------
    InputError
        If not exactly one form is given, or its shape is no kernel's.
    """

    matrix: Shaped[np.ndarray, "n n ..."] | None = None
    factor: Shaped[np.ndarray, "n r"] | None = None
    operator: LinearOperator | None = None
    about: Mapping[str, str | int | float] = field(default_factory=dict)
    quality: Mapping[str, float] = field(default_factory=dict)
    diagonal: Float[np.ndarray, " n"] | None = None

    def __post_init__(self) -> None:
        """Check that there is one form, of a shape that kernels have."""
        given = [name for name in ("matrix", "factor", "operator") if getattr(self, name) is not None]
        if len(given) != 1:
            raise InputError(f"a kernel is held as matrix, factor or operator, one of them; got {given or 'none'}")
        held = getattr(self, given[0])
        shape = held.shape
        if given[0] != "operator" and not np.can_cast(held.dtype, np.float64, "same_kind"):
            raise InputError(f"the {given[0]} of a kernel holds real numbers, got {held.dtype}")
        right = {
            "matrix": len(shape) in (2, 4) and shape[0] == shape[1] and (len(shape) == 2 or shape[2] == shape[3]),
            "factor": len(shape) == 2,
            "operator": len(shape) == 2 and shape[0] == shape[1],
        }[given[0]]
        if not right or 0 in shape:
            raise InputError(f"the {given[0]} of a kernel cannot have shape {shape}")
        if self.diagonal is not None and self.diagonal.shape != (self.size,):
            raise InputError(f"the diagonal of a kernel of {self.size} rows cannot have shape {self.diagonal.shape}")

    @property
    def form(self) -> Form:
        """Which of the three it is."""
        return "matrix" if self.matrix is not None else "factor" if self.factor is not None else "operator"

    @property
    def size(self) -> int:
        """Rows: points, times outputs where each counts."""
        if self.matrix is not None:
            return self.matrix.shape[0] * (self.matrix.shape[2] if self.matrix.ndim == 4 else 1)
        return self.factor.shape[0] if self.factor is not None else int(self._operator.shape[0])

    def as_operator(self) -> LinearOperator:
        """Return it as an operator of float64 vectors, whatever its form."""
        if self.matrix is not None:
            entries = require_symmetric(self.matrix)[0]
            return SymmetricOperator(self.size, lambda v: entries @ v)
        if self.factor is not None:
            f = self.factor.astype(np.float64, copy=False)
            return SymmetricOperator(self.size, lambda v: f @ (f.T @ v))
        return self._operator

    def dense(self) -> Float[np.ndarray, "n n"]:
        """Return its entries, (n, n) in float64; of an operator by n products.

        Raises
        ------
        InputError
            If this machine has no memory for them.
        """
        instead = "work with its operator, or take fewer points"
        require_memory(f"the entries of a kernel of {self.size} rows", 8.0 * self.size**2, instead=instead)
        if self.matrix is not None:
            return np.asarray(as_matrix(self.matrix), np.float64)
        if self.factor is not None:
            f = self.factor.astype(np.float64, copy=False)
            return f @ f.T
        result = np.empty((self.size, self.size))
        for start in range(0, self.size, _COLUMNS):
            columns = np.eye(self.size, min(_COLUMNS, self.size - start), k=-start)
            result[:, start : start + columns.shape[1]] = np.asarray(self._operator @ columns)
        return (result + result.T) / 2  # products round differently on the two sides

    def save(self, path: Path | str) -> None:
        """Write it to an `.npz` file, whole or not at all; `load` reads it.

        Raises
        ------
        InputError
            If it is an operator, the name does not end in `.npz`, or its folder does not exist.
        """
        path = writable_file("kernels", path, _ENDINGS)
        if self.operator is not None:
            raise InputError(
                "an operator is a program and cannot be kept in a file; keep its entries, "
                "Kernel(matrix=kernel.dense()), or a factor of it, nystrom_factor(kernel, rank)"
            )
        held = self.matrix if self.matrix is not None else self.factor
        assert held is not None  # one of three
        arrays: dict[str, np.ndarray] = {
            "format": np.array(_FORMAT),
            self.form: held if held.dtype.kind in "fiub" else held.astype(np.float32),  # bfloat16
            "about": np.array(json.dumps(dict(self.about), sort_keys=True)),
            "quality": np.array(json.dumps(dict(self.quality), sort_keys=True)),
        }
        if self.diagonal is not None:
            arrays["diagonal"] = self.diagonal
        write_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path | str) -> Kernel:
        """Read a kernel that `save` wrote.

        Raises
        ------
        InputError
            If there is no such file, or it is damaged or another.
        """
        try:
            with open_arrays(path) as file:
                arrays = {name: file.take(name) for name in file.names}
            if arrays.get("format") != _FORMAT:
                raise ArrayFileError("it is no kernel, or of a later format")
            about, quality = (dict(json.loads(str(arrays[name]))) for name in ("about", "quality"))
            matrix, factor, diagonal = (arrays.get(name) for name in ("matrix", "factor", "diagonal"))
            numbers = {name: float(value) for name, value in quality.items()}
            return cls(matrix, factor, None, about, numbers, diagonal)
        except OSError as problem:
            raise InputError(f"cannot read {path}: {problem.strerror or problem}") from None
        except (ArrayFileError, InputError, KeyError, ValueError, TypeError) as problem:
            why = " ".join(str(problem).split())[:160]
            raise InputError(f"{str(path)!r} is not a whole kernel file ({why}); save it again") from None

    def to_frame(self) -> pd.DataFrame:
        """Return what is known of it, a row for each quantity: columns `quantity`, `value`."""
        held = next(one for one in (self.matrix, self.factor, self.operator) if one is not None)
        known: dict[str, object] = {"form": self.form, "rows": self.size, "shape": str(tuple(held.shape))}
        if self.diagonal is not None:
            known["trace"] = float(self.diagonal.sum())
        known |= {**self.quality, **self.about}
        return pd.DataFrame({"quantity": list(known), "value": pd.Series(list(known.values()), dtype=object)})

    def __repr__(self) -> str:
        """Say in at most ten lines what it holds and where it comes from."""
        rows = self.to_frame().itertuples(index=False)
        entries = [f"{name} {_shown(value)}" for name, value in list(rows)[3:]]
        return short_lines([f"Kernel of {self.size} rows, held as {self.form}", *side_by_side(entries, MOST_LINES - 1)])

    def _repr_html_(self) -> str:
        """Return what is known of it as a table, for notebooks."""
        table = self.to_frame()
        table["value"] = [_shown(value) for value in table["value"]]
        return f"<p>{html.escape(f'Kernel, held as {self.form}')}</p>{table.to_html(index=False, header=False)}"

    @property
    def _operator(self) -> LinearOperator:
        assert self.operator is not None  # one of three
        return self.operator


class SymmetricOperator(LinearOperator):
    """A symmetric operator of float64 vectors from one function, which multiplies a vector or several columns."""

    def __init__(self, size: int, product: Callable[[Any], Any]) -> None:
        super().__init__(dtype=np.dtype(np.float64), shape=(size, size))
        self._product = product

    def _matvec(self, x: Any) -> Any:
        return self._product(np.asarray(x).reshape(-1))

    def _matmat(self, X: Any) -> Any:  # noqa: N803
        return self._product(np.asarray(X))

    def _rmatvec(self, x: Any) -> Any:
        return self._matvec(x)

    def _rmatmat(self, X: Any) -> Any:  # noqa: N803
        return self._matmat(X)


class Multiplier(NamedTuple):
    """A kernel as what multiplies vectors, with the relative rounding of its products."""

    operator: LinearOperator
    eps: float

    @property
    def size(self) -> int:
        """Rows."""
        return int(self.operator.shape[0])

    def __matmul__(self, vectors: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n ..."]:
        """Multiply, and check that the product is finite."""
        product = np.asarray(self.operator @ vectors, np.float64)
        if not np.isfinite(product).all():
            raise InputError("a product with the kernel contains NaN or infinity; check where it comes from")
        return product


def multiplier(kernel: Kernel | LinearOperator | ArrayLike) -> Multiplier:
    """Return any form of a kernel as something that multiplies vectors.

    Parameters
    ----------
    kernel
        A `Kernel`, a `LinearOperator` (such as of `ntk1bit.autodiff.ntk_operator`), or entries.

    Raises
    ------
    InputError
        If it is not square, empty or complex, or entries are not symmetric.
    """
    if isinstance(kernel, Kernel):
        if kernel.operator is not None:
            return multiplier(kernel.operator)
        if kernel.matrix is not None:
            return multiplier(kernel.matrix)
        assert kernel.factor is not None  # one of three
        return Multiplier(kernel.as_operator(), spacing(kernel.factor))
    if isinstance(kernel, LinearOperator):
        if kernel.shape[0] != kernel.shape[1] or kernel.shape[0] == 0 or np.dtype(kernel.dtype).kind not in "fiub":
            raise InputError(f"a real square operator is needed, got {kernel.dtype} of shape {kernel.shape}")
        return Multiplier(kernel, spacing(np.ones(1), getattr(kernel, "computed_in", None)))
    entries, eps = require_symmetric(kernel)
    return Multiplier(SymmetricOperator(len(entries), lambda v: entries @ v), eps)


def exact_diagonal(kernel: Kernel | LinearOperator | ArrayLike) -> Float[np.ndarray, " n"] | None:
    """Return the diagonal of a kernel, or None of an operator that does not know its own."""
    if isinstance(kernel, Kernel):
        if kernel.factor is not None:
            return np.einsum("ir,ir->i", kernel.factor, kernel.factor, dtype=np.float64)
        if kernel.diagonal is not None:
            return kernel.diagonal
        kernel = kernel.as_operator() if kernel.matrix is None else kernel.matrix
    if isinstance(kernel, LinearOperator):
        find = getattr(kernel, "diagonal", None)
        return np.asarray(find(), np.float64) if callable(find) else None
    return np.diag(require_symmetric(kernel)[0]).copy()


def random_signs(rows: int, columns: int, seed: int) -> Float[np.ndarray, "rows columns"]:
    """Draw probes of -1 and 1; column c is the same whatever the number of columns."""
    signs = np.random.default_rng(seed).integers(0, 2, size=(columns, rows), dtype=np.int8)
    return (2.0 * signs - 1.0).T


def checked_seed(seed: object) -> int:
    """Return a seed, a whole number from 0 on."""
    return whole("seed", seed, allowed="a whole number from 0 to 2^32 - 1", least=0, most=2**32 - 1)


def checked_probes(probes: object) -> int:
    """Return a number of probes, at least 2, so that they have a scatter."""
    return whole("probes", probes, allowed="a whole number of at least 2", least=2)


def standard_error(values: Float[np.ndarray, " p"]) -> float:
    """Return the standard error of the mean of independent values."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _shown(value: object) -> str:
    return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
