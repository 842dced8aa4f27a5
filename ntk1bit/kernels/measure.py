"""All the kernels of one network on one set of inputs, side by side: what `ntk1bit ntk` computes, prints and stores."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from ntk1bit import __version__
from ntk1bit.arguments import input_rows, require_memory, whole
from ntk1bit.arguments import kappa as checked_kappa
from ntk1bit.errors import InputError, require_choice
from ntk1bit.files import writable_file, write_whole
from ntk1bit.kernels.certified import certified_lambda_min
from ntk1bit.kernels.effective import LEAST_SAMPLES, asymmetry, effective_ntk, kernel_ratio, symmetric_part
from ntk1bit.kernels.empirical import empirical_ntk
from ntk1bit.kernels.limits import KernelEstimate, checked_sampling, limit_ntk
from ntk1bit.kernels.spectra import Spectrum, alignment, spectrum
from ntk1bit.networks.quantizers import SCALES, Scale
from ntk1bit.networks.two_layer.initial_weights import init
from ntk1bit.networks.two_layer.network import INITS, PRECISIONS, Init, Precision, checked_targets
from ntk1bit.printing import number, record, unheard

ENDINGS = (".npz",)  # of files of kernels


@dataclass(frozen=True)
class NetworkSettings:
    """Which network is measured, with the defaults of `ntk1bit sweep`; `samples` serves the Monte Carlo kernels.

    Raises
    ------
    InputError
        For a setting that is unknown or out of range.
    """

    width: int = 4096
    precision: Precision = "one_bit"
    init: Init = "iid"
    kappa: float = 1.0
    scale: Scale = "std"
    seed: int = 0
    samples: int = 1_000_000

    def __post_init__(self) -> None:
        """Check the settings, and store plain numbers, which JSON can write."""
        for name, known in (("precision", PRECISIONS), ("init", INITS), ("scale", SCALES)):
            require_choice(name, getattr(self, name), known)
        samples, seed = checked_sampling(self.samples, self.seed)
        width = whole("width", self.width, allowed="a whole number of at least 1", least=1)
        plain = {"width": width, "kappa": checked_kappa(self.kappa), "samples": samples, "seed": seed}
        for name, value in plain.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, eq=False)
class Measurement:
    """Kernels of one network.

    Attributes
    ----------
    settings
        What was asked.
    y
        (n,) targets.
    empirical
        H(0) of the network, (n, n).
    limit, effective
        The infinite-width NTK and K_eff, if asked for.
    spectrum
        Eigenvalues of H(0), if asked for.
    """

    settings: NetworkSettings
    y: Float[np.ndarray, " n"]
    empirical: Float[np.ndarray, "n n"]
    limit: KernelEstimate | None = None
    effective: KernelEstimate | None = None
    spectrum: Spectrum | None = None

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield the numbers worth reading, as (name, value with its error where it has one)."""
        h = self.empirical
        yield "points n", str(h.shape[0])
        yield "trace of H", number(float(np.trace(h)), 6)
        if np.any(self.y) and np.any(h):
            yield "kernel-target alignment of H", f"{alignment(h, self.y, computed_in=h.dtype):.4f}"
        if self.limit is not None:
            value, error = self.limit
            size = float(np.linalg.norm(value))
            distance, noise = float(np.linalg.norm(h - value)) / size, float(np.linalg.norm(error)) / size
            yield (
                "relative distance of H to its limit",
                f"{number(distance)} (Monte Carlo error of the limit {number(noise, 1)})",
            )
        if self.effective is not None:
            value, error = self.effective
            size = float(np.linalg.norm(value))
            reference = h if self.limit is None else self.limit.value
            noise = float(np.sqrt((error**2).sum() / 2)) / size
            name = "H" if self.limit is None else "its limit"
            yield f"ratio c of K_eff to {name}", f"{kernel_ratio(value, reference):.4f}"
            yield "asymmetry of K_eff", f"{number(asymmetry(value))} (noise alone gives up to {number(noise, 1)})"
            eigenvalues = np.linalg.eigvalsh(symmetric_part(value))
            yield (
                "lambda_max, lambda_min of K_eff",
                f"{number(eigenvalues[-1], 6)}, {number(eigenvalues[0], 4)} (symmetric part)",
            )
        if self.spectrum is not None:
            s = self.spectrum
            yield "lambda_max of H", number(s.eigenvalues[0], 6)
            yield "lambda_min of H", number(s.eigenvalues[-1], 6)
            yield "certified", str(certified_lambda_min(h, computed_in=h.dtype))
            yield "condition number", number(s.condition_number, 4)
            yield "effective rank", f"{s.effective_rank:.1f}"
            if len(s.eigenvalues) >= 8 and s.eigenvalues[len(s.eigenvalues) // 2 - 1] > 0:
                fit = s.decay()
                yield (
                    "decay exponent",
                    f"{fit.exponent:.3f} +- {fit.standard_error:.3f} (ranks {fit.first} to {fit.last})",
                )

    def save(self, path: Path | str) -> None:
        """Write everything to an `.npz` file, whole or not at all.

        Raises
        ------
        InputError
            If the name does not end in `.npz` or its folder does not exist.
        """
        path = writable_file("kernels", path, ENDINGS)
        about = {**asdict(self.settings), "ntk1bit": __version__}
        arrays: dict[str, Any] = {
            "y": self.y,
            "H": self.empirical,
            "settings": np.array(json.dumps(about, sort_keys=True)),
        }
        for name, estimate in (("limit", self.limit), ("effective", self.effective)):
            if estimate is not None:
                arrays |= {name: estimate.value, f"{name}_standard_error": estimate.standard_error}
        if self.spectrum is not None:
            arrays |= {"eigenvalues": self.spectrum.eigenvalues, "eigenvectors": self.spectrum.eigenvectors}
        np.savez_compressed(data := io.BytesIO(), **arrays)
        write_whole(path, data.getbuffer())


def require_room(points: int, *, limit: bool = False, effective: bool = False, with_spectrum: bool = False) -> None:
    """Refuse so many points that this machine has no memory for what `measure` makes of them.

    Raises
    ------
    InputError
        If there are too many.
    """
    matrices = 3 + 4 * limit + 6 * effective + 3 * with_spectrum  # n x n in float64: counts, products, kernels, errors
    require_memory(f"kernels of {points} points", 8.0 * float(points) ** 2 * matrices, instead="take fewer points")


def measure(
    x: Float[np.ndarray, "n d"] | ArrayLike,
    y: Float[np.ndarray, " n"] | ArrayLike,
    settings: NetworkSettings,
    *,
    limit: bool = False,
    effective: bool = False,
    with_spectrum: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> Measurement:
    """Draw a network and compute its kernels on `x`.

    Parameters
    ----------
    x, y
        Inputs (n, d) and targets (n,).
    settings
        The network.
    limit, effective, with_spectrum
        What to compute beside H(0).
    progress
        Called as progress(kernel, share) with the kernel that is computed and the share of it that is done.

    Raises
    ------
    InputError
        If inputs or targets are not finite or do not match, there are none or more than memory holds kernels of, a
        setting is out of range, or K_eff is asked for a full-precision network (where it is H itself).
    """
    s = settings
    if effective and s.precision == "full":
        raise InputError("in full precision the effective kernel is the NTK itself; use precision one_bit or drop it")
    if effective:
        checked_sampling(s.samples, s.seed, least=LEAST_SAMPLES)
    x = input_rows("x", x)
    if len(x) == 0:
        raise InputError("there are no inputs to measure a kernel on; at least one is needed")
    y = checked_targets(y, len(x))
    require_room(len(x), limit=limit, effective=effective, with_spectrum=with_spectrum)
    report = progress or unheard
    report("kernel of the network", 0.0)
    weights = init(s.width, x.shape[1], seed=s.seed, init=s.init)
    empirical = empirical_ntk(x, weights, precision=s.precision, kappa=s.kappa, scale=s.scale)
    given: dict[str, Any] = {"kappa": s.kappa, "scale": s.scale, "samples": s.samples, "seed": s.seed}
    limiting = limit_ntk(x, precision=s.precision, **given, progress=progress) if limit else None
    effective_one = effective_ntk(x, **given, progress=progress) if effective else None
    found = None
    if with_spectrum:
        report("spectrum", 0.0)
        found = spectrum(empirical, computed_in=empirical.dtype)
    return Measurement(s, y, empirical, limiting, effective_one, found)
