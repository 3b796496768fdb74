"""On what a run was trained: versions and machine, as far as they can matter to a result."""

import contextlib
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from demist.version import __version__


def environment() -> dict[str, Any]:
    """Versions and machine, as far as they can matter to a result. Does not import torch."""
    packages = {}
    for package in ("torch", "numpy", "safetensors", "pillow"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            packages[package] = metadata.version(package)
    facts: dict[str, Any] = {
        "demist": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "packages": packages,
    }
    if torch := sys.modules.get("torch"):
        facts["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            facts["gpu"] = torch.cuda.get_device_name()
    return facts


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
