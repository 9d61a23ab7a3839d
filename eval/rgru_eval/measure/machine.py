"""What the numbers were measured with: processor, memory, versions, peak memory."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path
from typing import IO

import rgru_codec
from rgru_codec.processes import cores

PACKAGES = ("numpy", "pillow", "scikit-image", "scipy", "ssimulacra2")


def describe_machine() -> dict[str, str | int | float]:
    """Return processor, cores this process may use, memory in GB, system and Python."""
    processor = _found("/proc/cpuinfo", r"model name\s*:\s*(.+)")
    return {
        "processor": processor or platform.processor() or platform.machine(),
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
    return {"rgru-eval": rgru_codec.__version__} | {name: version_of(name) for name in PACKAGES}


def version_of(package: str) -> str:
    """Return the version of an installed package, or a word for that there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def lock(file: IO[str]) -> None:
    """Claim a file until it is closed; another process that tries meanwhile gets an OSError."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(2**30)  # far behind its end: what is locked cannot be read by others
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def peak_memory_mb() -> float:
    """Return the most memory this process held so far, in MB (2**20 bytes); 0 if unknown.

    On Linux from VmHWM: ``ru_maxrss`` would count the parent's memory at the start as ours.
    """
    peak = _found("/proc/self/status", r"VmHWM:\s+(\d+) kB")
    return int(peak) / 1024 if peak else _largest_mb("RUSAGE_SELF")


def children_peak_memory_mb() -> float:
    """Return the most memory a finished child process held, in MB; 0 if there was none."""
    return _largest_mb("RUSAGE_CHILDREN")


def _largest_mb(whose: str) -> float:
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return float(resource.getrusage(getattr(resource, whose)).ru_maxrss / unit)


def _found(file: str, pattern: str) -> str:
    """Return what stands in a file of Linux, empty elsewhere."""
    found = re.search(pattern, Path(file).read_text()) if Path(file).exists() else None
    return found[1].strip() if found else ""


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
