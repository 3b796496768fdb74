"""Time that sampling adds to the network's own, per step.

    python benchmarks/overhead.py [--solver NAME ...]

The network's output is constant, so all time is the solver's, the schedule's and the loop's.
Interleaved over solvers, medians of several runs.
"""

import argparse
import statistics
import time

import torch
from torch import nn

from demist.core import VE, Cosine, Denoiser, Karras, Linear, Table, V, Velocity, linear_betas
from demist.samplers import SOLVERS, make_solver, sample, uniform


class Constant(nn.Module):
    """A network that costs nothing: always the same output."""

    def __init__(self, shape):
        super().__init__()
        self.output = torch.randn(shape)

    def forward(self, x, t):
        return self.output


def per_call(model, x, solver, steps, repeats=5):
    """Median milliseconds per step."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        sample(model, x, uniform(steps), solver)
        times.append(1e3 * (time.perf_counter() - start) / steps)
    return statistics.median(times)


def main() -> None:
    """Print one row per solver, one column per schedule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--solver", nargs="*", default=SOLVERS.names())
    parser.add_argument("--shape", type=int, nargs="*", default=[64, 1, 28, 28])
    parser.add_argument("--steps", type=int, default=200)
    args = parser.parse_args()
    x = torch.randn(args.shape)
    net = Constant(args.shape)
    models = {
        "linear, velocity": Denoiser(net, Linear(), Velocity()),
        "cosine, v": Denoiser(net, Cosine(), V()),
        "table, v": Denoiser(net, Table.from_betas(linear_betas()), V()),
        "ve, karras": Denoiser(net, VE(), Karras(0.5), input_std=0.5),
    }
    print(f"{torch.__version__}, {torch.get_num_threads()} threads, shape {tuple(args.shape)}")
    print("ms per step".ljust(14) + "".join(name.rjust(18) for name in models))
    for name in args.solver:
        row = (per_call(m, x, make_solver(name), args.steps) for m in models.values())
        print(name.ljust(14) + "".join(f"{ms:18.3f}" for ms in row))


if __name__ == "__main__":
    main()
