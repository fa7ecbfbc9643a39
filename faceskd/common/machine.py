"""Describe the machine and its devices.

Measured times can be compared only if the machine is known, so every report has this description.
"""

import platform
import resource
import subprocess
import sys
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from faceskd.common.checks import check_whole_or_none
from faceskd.common.errors import ConfigError
from faceskd.common.processes import usable_cpus


def machine_summary() -> dict[str, str | int]:
    """Processor, cores, threads of PyTorch, GPU and versions, as values for JSON and tables.

    `cores` is the number of cores that this process may use. `gpu` and `gpu_memory_gib` are missing
    without a GPU.

    Examples:
        >>> machine_summary()["threads"] == torch.get_num_threads()
        True
    """
    summary: dict[str, str | int] = {
        "cpu": _cpu_model(),
        "cores": usable_cpus(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "faceskd": _package_version("faceskd"),
    }
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        summary["gpu"] = properties.name
        summary["gpu_memory_gib"] = round(properties.total_memory / 2**30)
        summary["cuda"] = str(torch.version.cuda or torch.version.hip)
    return summary


def circumstances() -> dict[str, Any]:
    """What every record of a measurement says: `machine`, `git_revision` and `time`."""
    return {
        "machine": machine_summary(),
        "git_revision": git_revision(),
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def checked_device(name: str) -> torch.device:
    """The device of a name, such as "cpu" or "cuda:1".

    Raises:
        ConfigError: there is no such name, or PyTorch cannot find the device.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"expected a device such as cpu or cuda, got {name!r}") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"the device {name!r} does not exist: PyTorch finds {torch.cuda.device_count()} GPUs"
        )
    return device


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16, so that networks are faster in bf16.

    PyTorch before 2.9 cannot tell; then the result is False.
    """
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def git_revision(folder: Path | str | None = None) -> str | None:
    """The git commit of a folder; by default that of the source of this package.

    "+changes" is added if tracked files were changed. None if the folder is not in a git checkout,
    git is missing, or the package is installed inside the checkout of another project.
    """
    package = Path(__file__).resolve().parents[1]
    folder = package if folder is None else Path(folder)
    if folder == package and not (package.parent / ".git").exists():
        return None
    revision = _git(folder, "rev-parse", "--short=12", "HEAD")
    if revision is None:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{revision}+changes" if changes else revision


def peak_memory_mib() -> float:
    """Peak resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def set_threads(threads: int | None) -> None:
    """Set the number of PyTorch's threads; None leaves PyTorch's default.

    Raises:
        ConfigError: it is not a whole number of at least 1.
    """
    check_whole_or_none(1, threads=threads)
    if threads is not None:
        torch.set_num_threads(threads)
