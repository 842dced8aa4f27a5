"""Names of version 0.1.0 that are elsewhere now: using one raises an error that says where, in one line."""

from __future__ import annotations

MOVED = {  # old name -> new name, both below `ntk1bit`
    "deep": "experiments, ntk1bit.estimators.deep and ntk1bit.plots.deep",
    "language": "experiments, ntk1bit.estimators.language and ntk1bit.plots.language",
    "nets": "networks, ntk1bit.training, ntk1bit.packed and ntk1bit.energy",
    "quantizers": "networks.quantizers",
    "styles": "plots.looks",
    "sweeps": "experiments",
    "tasks": "data",
    "two_layer": "networks.two_layer",
    "claims.Estimate": "claims.IntervalEstimate",
    "claims.Exact": "claims.AtMost",
    "claims.Inside": "claims.IntervalWithin",
    "claims.Never": "claims.NoFailures",
    "claims.Rarely": "claims.FailureRateBelow",
    "cores.Settings": "cores.CoreSettings",
    "estimators.activity_changes": "estimators.activation_changes",
    "estimators.PowerFit": "statistics.PowerFit",
    "estimators.Samples": "statistics.Samples",
    "estimators.bootstrap": "statistics.leave_one_out, which leaves out seeds instead of drawing them",
    "estimators.fit_power": "statistics.fit_power",
    "estimators.fit_power_with_floor": "statistics.fit_power_with_floor",
    "experiments.Cell": "experiments.TwoLayer",
    "experiments.Measurement": "experiments.Experiment",
    "experiments.compute_cell": "experiments.runner.compute",
    "experiments.load_run": "experiments.open_run",
    "experiments.parse_numbers": "cli.lists.read_list",
    "experiments.parse_seeds": "cli.lists.read_seeds",
    "experiments.parse_widths": "cli.lists.read_widths",
    "experiments.read_spec": "experiments.SweepSpec.read",
    "experiments.run_measurements": "experiments.run_all",
    "experiments.run_sweep": "experiments.run_all",
    "kernels.Estimate": "kernels.KernelEstimate",
    "kernels.infinite_ntk": "autodiff.infinite_ntk",
    "kernels.layerwise_ntk": "autodiff.ntk, which finds layers itself",
    "autodiff.layerwise_ntk": "autodiff.ntk, which finds layers itself",
    "kernels.linearize": "autodiff.linearize",
    "kernels.ntk": "autodiff.ntk",
    "networks.two_layer.activities": "networks.two_layer.activation_patterns",
    "networks.two_layer.activity_kernel": "networks.two_layer.kernel_from_counts",
    "networks.two_layer.packed_activities": "networks.two_layer.packed_activation_patterns",
}


def missing_name(module: str, name: str) -> Exception:
    """Return the error of a name that a module does not have: it says the new one, if the name is of 0.1.0.

    That error is an ImportError, since `from ntk1bit import tasks` would drop the words of an AttributeError.
    """
    new = MOVED.get(f"{module}.{name}".removeprefix("ntk1bit."))
    if new is not None:
        return ImportError(f"{module}.{name} is now ntk1bit.{new}")
    return AttributeError(f"module {module!r} has no attribute {name!r}")
