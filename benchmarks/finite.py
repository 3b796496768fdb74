"""Every solver, schedule, step count and precision: is the sample finite?

    python benchmarks/finite.py [--solver NAME ...]

From pure noise (alpha = 0 where the schedule has it) to clean data, on the solver's own grid and on
the uniform one, through a small random network run in float32 and in bfloat16. The tests do this
for fewer steps; here n goes to 1000. Exits with 1 if anything is not finite.
"""

import argparse
import sys
import warnings

import torch
from torch import nn

from demist.core import SCHEDULES, Denoiser, Seeded, V, make_schedule
from demist.samplers import SOLVERS, make_grid, make_solver, sample

STEPS = (1, 2, 3, 5, 10, 50, 1000)


class Network(nn.Module):
    """Two numbers in and out, through a bounded layer."""

    def __init__(self, dtype: torch.dtype):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 2).to(dtype)

    def forward(self, x, clock):
        return self.layer(torch.cat([x, clock[:, None].to(x)], 1)).tanh()


def main() -> int:
    """Print a line per solver; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--solver", nargs="*", default=SOLVERS.names())
    names = parser.parse_args().solver
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    total = broken = 0
    for name in names:
        solver, bad, count = make_solver(name), [], 0
        for label in SCHEDULES.names():
            if label in ("shifted", "table", "zero-terminal"):  # made of something
                continue
            schedule = make_schedule(label)
            for dtype in (torch.float32, torch.bfloat16):
                model = Denoiser(Network(dtype), schedule, V(), dtype=dtype)
                for n in STEPS:
                    for grid in dict.fromkeys((solver.grid, "uniform")):
                        times = make_grid(grid, n, schedule)
                        noise = Seeded(range(4))
                        x = schedule(times[0])[1].float() * noise.at(-1)(torch.zeros(4, 2))
                        y = sample(model, x, times, solver, noise)
                        count += 1
                        if not torch.isfinite(y).all():
                            bad.append(f"{label} n={n} {grid} {dtype}")
        total, broken = total + count, broken + len(bad)
        print(f"{name:16}{count:6} combinations, {len(bad)} not finite", *bad[:3], flush=True)
    print(f"{total} combinations, {broken} not finite")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
