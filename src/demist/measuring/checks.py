"""What `demist doctor` tries out with torch: where it computes, how fast, and whether rightly."""

import os
import platform
import time

import torch

from demist.core import Linear, Seeded
from demist.core.exact import Exact, Normal
from demist.errors import DemistError
from demist.io import kept
from demist.io.files import cache_folder
from demist.runs import environment
from demist.samplers import Heun, angular, sample


def torch_build() -> str:
    """Where torch would compute."""
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return f"{torch.__version__} with {', '.join(names)}"
    if torch.backends.mps.is_available():
        return f"{torch.__version__} with mps"
    return f"{torch.__version__}, no accelerator: computing on the processor"


def processor() -> str:
    """Its name, vector instructions and threads."""
    facts = environment()
    cores, threads = facts["cores"] or os.cpu_count(), torch.get_num_threads()
    text = f"{facts['processor'] or platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    text += f", {threads} threads on {cores} cores"
    if threads > (cores or threads):
        text += f"; too many, they wait for each other: set OMP_NUM_THREADS={cores}"
    return text


def cache(clear: bool = False) -> str:
    """What is kept in the cache folder to spare work, perhaps removed first."""
    gone = f", {kept.clear() / 2**20:.0f} MiB removed" if clear else ""
    parts = [f"{words} {size / 2**20:.0f} MiB" for words, size in kept.sizes().items()]
    return f"{cache_folder()}: {', '.join(parts)}{gone}"


def speed(size: int = 1024, seconds: float = 0.4) -> str:
    """Matrix products in both precisions."""
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
