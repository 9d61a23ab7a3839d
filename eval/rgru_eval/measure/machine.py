"""What the numbers were measured with: processor, memory, versions, peak memory."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path

import rgru_codec
from rgru_codec.processes import cores

PACKAGES = ("numpy", "pillow", "scikit-image", "scipy", "ssimulacra2")


def describe_machine() -> dict[str, str | int | float]:
    """Return processor, cores this process may use, memory in GB, system and Python."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gb": round(_memory_bytes() / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def load_average() -> float | None:
    """Return how many processes wanted a core in the last minute; None where it is unknown."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def describe_software() -> dict[str, str]:
    """Return versions of the packages that metrics and summaries come from."""
    versions = {"rgru-eval": rgru_codec.__version__}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def peak_memory_mb() -> float:
    """Return the most memory this process held so far, in MB (2**20 bytes); 0 if unknown.

    On Linux from VmHWM: ``ru_maxrss`` would count the parent's memory at the start as ours.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return int(found[1]) / 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def children_peak_memory_mb() -> float:
    """Return the most memory a finished child process held, in MB; 0 if there was none."""
    try:
        import resource
    except ImportError:
        return 0.0
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*:\s*(.+)", info.read_text())
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
