"""`demist doctor`: is this machine ready, and how fast is it?"""

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import tyro

from demist.errors import CannotCreateError, DemistError
from demist.runs import environment
from demist.version import __version__

EXTRAS = {"plot": ("matplotlib",), "eval": ("scipy",), "dev": ("pytest", "ruff", "mypy")}


@dataclass(frozen=True)
class Options:
    """Check this machine: versions, processor, memory, disk, speed, a sampling self-test."""

    runs: Path = Path("runs")
    """Folder whose disk and write access are checked."""


def main(args: list[str]) -> None:
    """Print one line per check.

    Raises:
        DemistError: The first check that failed, after all were made.
    """
    options = tyro.cli(Options, prog="demist doctor", args=args)
    checks: dict[str, Callable[[], str]] = {
        "demist": lambda: f"{__version__}, Python {platform.python_version()} in {sys.prefix}",
        "packages": packages,
        "extras": extras,
        "torch": torch_build,
        "processor": processor,
        "memory": memory,
        "disk": lambda: disk(options.runs),
        "speed": speed,
        "self-test": self_test,
    }
    failures = []
    for name, check in checks.items():
        try:
            print(f"{name:<10} {check()}", flush=True)
        except DemistError as error:
            failures.append(error)
            print(f"{name:<10} FAILED: {error}", flush=True)
    if failures:
        raise failures[0]
    print("\nAll is well. `demist demo` trains a first model.")


def packages() -> str:
    """Versions of what demist stands on."""
    names = ("torch", "numpy", "safetensors", "pillow", "tyro", "pydantic")
    return ", ".join(f"{name} {metadata.version(name)}" for name in names)


def extras() -> str:
    """Which optional parts are there."""
    lines = []
    for extra, names in EXTRAS.items():
        have = [f"{name} {version}" for name in names if (version := installed(name))]
        lacking = f"no (pip install 'demist[{extra}]')"
        lines.append(f"{extra}: {', '.join(have) if len(have) == len(names) else lacking}")
    return "; ".join(lines)


def installed(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def torch_build() -> str:
    """Where torch would compute."""
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return f"{torch.__version__} with {', '.join(names)}"
    if torch.backends.mps.is_available():
        return f"{torch.__version__} with mps"
    return f"{torch.__version__}, no accelerator: computing on the processor"


def processor() -> str:
    """Its name, vector instructions and threads."""
    import torch

    facts = environment()
    cores, threads = facts["cores"] or os.cpu_count(), torch.get_num_threads()
    text = f"{facts['processor'] or platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    text += f", {threads} threads on {cores} cores"
    if threads > (cores or threads):
        text += f"; too many, they wait for each other: set OMP_NUM_THREADS={cores}"
    return text


def memory() -> str:
    """Total, and what is free now where the system tells."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    text = f"{total / 2**30:.1f} GiB"
    info = Path("/proc/meminfo")
    if info.is_file():
        fields = dict(line.split(":", 1) for line in info.read_text().splitlines())
        text += f", {int(fields['MemAvailable'].split()[0]) / 2**20:.1f} GiB available"
    return text


def disk(runs: Path) -> str:
    """Free space, and whether runs can be written.

    Raises:
        CannotCreateError: They cannot.
    """
    place = next(
        folder for folder in (runs.absolute(), *runs.absolute().parents) if folder.exists()
    )
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise CannotCreateError(
            f"cannot write in {place}: {error.strerror}; use another folder with --runs"
        ) from None
    return f"{shutil.disk_usage(place).free / 2**30:.1f} GiB free in {place}, writable"


def speed(size: int = 1024, seconds: float = 0.4) -> str:
    """Matrix products in both precisions."""
    import torch

    parts = []
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a = torch.randn(size, size).to(dtype)
        a @ a
        count, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < seconds:
            a @ a
            count += 1
        rate = 2 * size**3 * count / (time.perf_counter() - begun)
        parts.append(f"{name} {rate / 1e9:.0f}")
    return f"matrix products at {', '.join(parts)} GFLOP/s"


def self_test(steps: int = 40) -> str:
    """Sample a Gaussian whose denoiser and flow are known in closed form.

    Raises:
        DemistError: The samples are not where the flow carries them.
    """
    import torch

    from demist.core import Linear, Seeded
    from demist.core.exact import Exact, Normal
    from demist.samplers import Heun, angular, sample

    truth = Normal(torch.tensor([8.0, -1.0]).double(), torch.eye(2).double() / 4)
    model = Exact(truth, Linear())
    x = Seeded(range(64))(torch.empty(64, 2, dtype=torch.float64))
    grid = angular(steps, model.schedule)
    made = sample(model, x, grid, Heun())
    ends = [model.schedule(torch.tensor(t, dtype=torch.float64)) for t in (1.0, 0.0)]
    error = float((made - truth.flow(x, *ends)).abs().max())
    if not error < 0.05:
        raise DemistError(f"samples of a known Gaussian are off by {error:.2g}; reinstall torch")
    return f"samples of a known Gaussian in {steps} steps are within {error:.1g} of the truth"
