from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
import typer

from ntk1bit.cli.ntk import ntk as ntk_command
from ntk1bit.errors import InputError
from ntk1bit.kernels import certified_lambda_min, effective_ntk, empirical_ntk, limit_ntk
from ntk1bit.kernels.measure import NetworkSettings, measure
from ntk1bit.networks.two_layer import init
from ntk1bit.plots.kernels import draw_measurement, plot_eigenvalues, plot_kernel


def data(n: int = 12, d: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), np.sign(rng.standard_normal(n)).astype(
        np.float32
    )


SETTINGS = NetworkSettings(width=64, samples=1000, seed=3)


def test_kernels_are_those_of_the_functions_of_their_names():
    x, y = data()
    found = measure(x, y, SETTINGS, limit=True, effective=True, with_spectrum=True)
    np.testing.assert_array_equal(found.empirical, empirical_ntk(x, init(64, 5, seed=3)))
    assert found.limit is not None
    assert found.effective is not None
    assert found.spectrum is not None
    np.testing.assert_array_equal(found.limit.value, limit_ntk(x, samples=1000, seed=3).value)
    np.testing.assert_array_equal(found.effective.value, effective_ntk(x, samples=1000, seed=3).value)
    rows = dict(found.rows())
    assert rows["points n"] == "12"
    assert rows["certified"] == str(certified_lambda_min(found.empirical))
    assert float(rows["relative distance of H to its limit"].split()[0]) > 0
    assert float(rows["ratio c of K_eff to its limit"]) > 0


def test_only_what_was_asked_is_computed():
    found = measure(*data(), SETTINGS)
    assert found.limit is found.effective is found.spectrum is None
    assert [name for name, _ in found.rows()] == ["points n", "trace of H", "kernel-target alignment of H"]


def test_progress_names_each_kernel_and_goes_forward():
    x, y = data()
    told: list[tuple[str, float]] = []
    measure(
        x,
        y,
        NetworkSettings(width=16, samples=1000),
        limit=True,
        effective=True,
        with_spectrum=True,
        progress=lambda what, share: told.append((what, share)),
    )
    names = list(dict.fromkeys(what for what, _ in told))
    assert names == ["kernel of the network", "limit kernel", "effective kernel", "spectrum"]
    for name in names:
        shares = [share for what, share in told if what == name]
        assert shares == sorted(shares)
        assert 0 <= shares[0] <= shares[-1] <= 1
    assert ("effective kernel", 1.0) in told
    assert ("limit kernel", 1.0) in told


def test_a_file_holds_everything(tmp_path):
    x, y = data()
    found = measure(x, y, SETTINGS, limit=True, effective=True, with_spectrum=True)
    found.save(tmp_path / "H.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["H.npz"]
    with np.load(tmp_path / "H.npz") as stored:
        np.testing.assert_array_equal(stored["H"], found.empirical)
        np.testing.assert_array_equal(stored["y"], y)
        assert set(stored) == {
            *("H", "y", "settings", "limit", "limit_standard_error", "effective", "effective_standard_error"),
            *("eigenvalues", "eigenvectors"),
        }
        about = json.loads(str(stored["settings"]))
    assert about["width"] == 64
    assert about["precision"] == "one_bit"


@pytest.mark.parametrize(("name", "message"), [("H.csv", "must end in .npz"), ("no/such/H.npz", "does not exist")])
def test_where_a_file_cannot_go(tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        measure(*data(), SETTINGS).save(tmp_path / name)


def test_the_effective_kernel_of_a_full_precision_network_is_explained():
    with pytest.raises(InputError, match="is the NTK itself"):
        measure(*data(), NetworkSettings(width=8, precision="full"), effective=True)


@pytest.fixture
def axes():
    from matplotlib.figure import Figure

    return Figure().subplots()


def test_heat_map_is_ordered_by_target(axes):
    kernel = np.array([[1.0, 0.1, 0.2], [0.1, 1.0, 0.3], [0.2, 0.3, 1.0]])
    assert plot_kernel(kernel, ax=axes, y=np.array([1.0, -1.0, 0.0])) is axes
    shown = axes.images[0]
    np.testing.assert_array_equal(np.asarray(shown.get_array()), kernel[np.ix_([1, 2, 0], [1, 2, 0])])
    low, high = shown.get_clim()
    assert low == -high  # 0 is the middle of the diverging scale
    assert 0.29 < high <= 0.3


@pytest.mark.parametrize("kernel", [np.zeros((2, 2)), np.ones((1, 1)), np.ones((2, 3))])
def test_heat_maps_of_odd_kernels(axes, kernel):
    low, high = plot_kernel(kernel, ax=axes).images[0].get_clim()
    assert low < high


def test_eigenvalues_leave_out_what_a_logarithm_cannot_show(axes):
    plot_eigenvalues({"H": np.array([2.0, 1.0, -1e-17]), "limit": np.array([1.0, 0.5, 0.1])}, ax=axes)
    assert [len(line.get_xdata()) for line in axes.lines] == [2, 3]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["H (1 not positive, not shown)", "limit"]


def test_more_spectra_than_there_are_styles(axes):
    plot_eigenvalues({f"kernel {i}": [2.0, 1.0] for i in range(5)}, ax=axes)
    assert len(axes.lines) == 5


@pytest.mark.parametrize(
    ("kernel", "y", "message"),
    [
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), None, "NaN or infinity"),
        (np.eye(2) * 1j, None, "complex"),
        (np.ones(3), None, "a matrix with entries"),
        (np.empty((0, 0)), None, "a matrix with entries"),
        (np.eye(2), np.ones(3), "cannot order"),
        (np.ones((2, 3)), np.ones(2), "cannot order"),
        (np.eye(2), np.array([1.0, np.nan]), "NaN"),
    ],
)
def test_heat_maps_of_what_is_no_kernel(axes, kernel, y, message):
    with pytest.raises(InputError, match=message):
        plot_kernel(kernel, ax=axes, y=y)


@pytest.mark.parametrize(
    ("values", "message"), [([1.0, np.nan], "NaN"), ([[1.0]], "a list of eigenvalues"), ([1j], "complex")]
)
def test_spectra_that_are_none(axes, values, message):
    with pytest.raises(InputError, match=message):
        plot_eigenvalues({"H": values}, ax=axes)


def test_picture(tmp_path):
    found = measure(*data(40, 6), SETTINGS, limit=True, effective=True)
    draw_measurement(found, tmp_path / "H.png")
    image = matplotlib.image.imread(tmp_path / "H.png")
    assert image.shape[0] > 400
    assert len(np.unique(image.reshape(-1, image.shape[2]), axis=0)) > 100


@pytest.fixture
def tasks(monkeypatch):
    """Stand in for the real data sets: the command only needs `load(name, ...)` -> x, y."""
    asked = []

    def load(name: str, **settings: int) -> types.SimpleNamespace:
        asked.append((name, settings))
        x, y = data(settings["n_train"])
        return types.SimpleNamespace(x=x, y=y)

    monkeypatch.setattr("ntk1bit.data.tasks.load", load)
    return asked


def run(*arguments: str) -> None:
    app = typer.Typer()
    app.command()(ntk_command)
    app(args=list(arguments), standalone_mode=False)


def test_command(tasks, tmp_path, capsys):
    out = tmp_path / "H.npz"
    run(
        *("--task", "digits", "--width", "64", "--n-train", "20", "--samples", "1000", "--data-seed", "4"),
        *("--limit", "--effective", "--spectrum", "--out", str(out)),
    )
    assert tasks == [("digits", {"n_train": 20, "n_test": 0, "seed": 4})]
    assert {path.name for path in tmp_path.iterdir()} == {"H.npz"}
    printed = capsys.readouterr().out
    assert "ratio c of K_eff to its limit" in printed
    assert "lambda_min" in printed


def test_command_refuses_a_bad_file_before_it_works(tasks):
    with pytest.raises(InputError, match=r"must end in \.npz"):
        run("--out", str(Path("H.txt")))
    assert not tasks


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(({"kappa": value}, "kappa must be") for value in (np.nan, np.inf, 0.0, -1.0, 1e200, None, "1")),
        *(({"width": value}, "width must be") for value in (0, -1, 0.5, np.nan, None, "64")),
        *(({"samples": value}, "samples must be") for value in (0, 0.5, np.nan, None)),
        *(({"seed": value}, "seed must be") for value in (-1, 0.5, None)),
        ({"precision": "half"}, "unknown precision"),
        ({"init": "zero"}, "unknown init"),
        ({"scale": "max"}, "unknown scale"),
    ],
)
def test_settings_check_themselves(change, message):
    with pytest.raises(InputError, match=message):
        NetworkSettings(**change)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((2, 3)), np.ones(3), "they must match"),
        (np.ones((2, 3)), [1.0, np.nan], "targets contain NaN"),
        (np.ones((2, 3)), [1.0, 1j], "complex"),
        (np.ones((2, 3)), ["a", "b"], "not numbers"),
        (np.ones((2, 3, 1, 1)), np.ones(2), "a matrix"),
        (np.ones((0, 3)), np.ones(0), "at least one is needed"),
        (np.ones((2, 0)), np.ones(2), "dim must be"),
        ([[np.nan]], [1.0], "NaN"),
    ],
)
def test_data_that_cannot_be_measured(x, y, message):
    with pytest.raises(InputError, match=message):
        measure(x, y, SETTINGS)


@pytest.mark.usefixtures("untyped")
def test_ordinary_python_values_are_measured_and_stored(tmp_path):
    x, y = data()
    numbers: dict[str, Any] = {"width": np.int64(64), "kappa": np.float32(1), "samples": 1e3, "seed": np.uint8(3)}
    settings = NetworkSettings(**numbers)
    assert settings == SETTINGS
    found = measure(x.astype(np.float64).tolist(), y.astype(int).tolist(), settings, with_spectrum=True)
    np.testing.assert_array_equal(found.empirical, measure(x, y, SETTINGS).empirical)
    found.save(tmp_path / "H.npz")  # JSON takes plain numbers only
    assert dict(found.rows())["kernel-target alignment of H"]


def test_too_few_samples_for_the_effective_kernel_are_told_first():
    with pytest.raises(InputError, match="samples must be at least 64, got 63"):
        measure(*data(), NetworkSettings(width=8, samples=63), effective=True, limit=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--plot", "p.xyz"), r"--plot must end in \.png or \.pdf or \.svg, got 'p\.xyz'"),
        (("--plot", "no/such/p.png"), "does not exist"),
        (("--kappa", "1e200"), "kappa must be a positive number, from 1e-30 to 1e30, got 1e.200"),
        (("--kappa", "nan"), "kappa must be"),
        (("--kappa", "-1"), "kappa must be"),
        (("--width", "0"), "width must be"),
        (("--width", "1000000000000000"), "GiB, and this machine has"),
        (("--n-train", "10000000"), "kernels of 10000000 points would take"),
        (("--n-train", "9" * 400), "GiB, and this machine has"),
        (("--samples", "0"), "samples must be"),
        (("--seed", "-1"), "seed must be"),
        (("--out", "folder.npz"), "is a folder"),
    ],
)
def test_command_refuses_before_it_works(tasks, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InputError, match=message):
        run("--n-train", "5", *arguments)
    assert not tasks or "--width" in arguments  # the width meets memory where the network is drawn, after the data
    assert [path.name for path in tmp_path.iterdir()] == ["folder.npz"]


@pytest.mark.usefixtures("tasks")
@pytest.mark.parametrize("name", ["p.png", "p.PDF", "p.svg"])
def test_command_draws_what_it_is_asked_to(tmp_path, name):
    run("--width", "8", "--n-train", "5", "--plot", str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.usefixtures("tasks")
def test_command_needs_no_file(capsys):
    run("--width", "8", "--n-train", "5", "--precision", "full", "--init", "paired", "--scale", "absmean")
    assert "trace of H" in capsys.readouterr().out
