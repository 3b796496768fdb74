"""The default with and without its shift of noise levels, where states are large.

    python benchmarks/solver_shift.py [--chosen MODEL@GUIDANCE ...] [--others MODEL@GUIDANCE ...]
        [-n 16]

How far samples are from the end of the flow in 5, 10 and 20 steps: by what is taken on a
grid that is given, `settled("auto", steps)` on `angular`, and by the default of large states,
`usual(shape)`, on the grid whose noise levels are multiplied by `usual_shift(shape)`. First on
problems whose denoiser is exact: kernel densities of digits in 784 dimensions, on which nothing was
chosen. Then on trained networks: those on which the shift was chosen, and others. Prompts are those
of held-out scenes. The reference are 150 steps of `adams` on a grid shifted by 1.5; of exact
problems the float64 solution. Writes `results/solver_shift.md`.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from field.drawn import digits
from field.ours import Counted
from field.problem import Problem, f64
from field.report import machine
from torch import Tensor

from demist.core import Conditioned, Model, solvable_grid
from demist.core.exact import Mixture
from demist.data.readers import scenes
from demist.model import open_model
from demist.model.fits import Fits
from demist.samplers import AUTO, make_grid, make_solver, sample, settled, usual

STEPS, COMPONENTS, DRAWS = (5, 10, 20), (20, 400), 48
PAGE = Path(__file__).parent / "results" / "solver_shift.md"


def ways(numbers: int, steps: int) -> list[tuple[str, str]]:
    """Solver and grid without and with the shift."""
    return [(settled(AUTO, steps), "angular"), usual((numbers,))]


def cells(run: Callable[[str, str, int], Tensor], exact: Tensor, numbers: int) -> list[str]:
    """Root mean square and median distance, before and after, for each number of steps."""
    found = []
    for n in STEPS:
        for solver, grid in ways(numbers, n):
            far = (run(solver, grid, n) - exact).flatten(1).square().mean(1).sqrt()
            found.append(f"{float(far.square().mean().sqrt()):.4f}, {float(far.median()):.4f}")
    return found


def density(seed: int) -> list[str]:
    """A row of a kernel density of digits."""
    rng, g = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    k = int(rng.integers(*COMPONENTS))
    some = digits()[torch.randperm(len(digits()), generator=g)[:k]].flatten(1)
    width = 10 ** rng.uniform(-1.3, -0.3)
    weights = torch.rand(k, generator=g, dtype=f64) + 0.2
    data = Mixture(weights, some, torch.full(some.shape, width**2, dtype=f64))
    problem = Problem("", data, torch.randn((DRAWS, 784), generator=g, dtype=f64))

    def run(solver: str, grid: str, n: int) -> Tensor:
        times = make_grid(grid, n, problem.schedule)
        x = problem.schedule(times[0])[1] * problem.z
        return sample(Counted(problem), x, times, make_solver(solver))

    return [
        f"{k} digits, width {width:.2f}", "784",
        *cells(run, problem.reference(rtol=1e-7), 784),
    ]  # fmt: skip


def network(spec: str, n: int) -> list[str]:
    """A row of a trained model."""
    place, _, scale = spec.partition("@")
    pipeline = replace(open_model(place), fits=Fits())
    cond = {}
    for name, condition in pipeline.conditioner.conditions.items():
        if condition.choices:
            cond[name] = [condition.choices[i * len(condition.choices) // n] for i in range(n)]
        elif condition.short == "prompt" and pipeline.facts.get("data") == "scenes":
            cond[name] = list(
                scenes.draw(n, "test", size=pipeline.shape[-1], seed=1)[0].texts or ()
            )
    plan = pipeline.plan(n, guidance=float(scale or 1), seed=5, **cond)
    model: Model = Conditioned(plan.model, plan.cond)
    x = next(plan.states()).x
    numbers = math.prod(pipeline.state_shape)

    @torch.inference_mode()
    def run(solver: str, grid: str, steps: int) -> Tensor:
        times = solvable_grid(model, make_grid(grid, steps, model.schedule))
        return sample(model, x, times, make_solver(solver))

    exact = run("adams", "angular:shift=1.5", 150)
    kind = f"{pipeline.facts.get('data')}, {' x '.join(map(str, pipeline.state_shape))}"
    said = f"{kind}, {type(model.schedule).__name__}, guidance {scale or 1}"
    return [said, str(numbers), *cells(run, exact, numbers)]


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--chosen", nargs="*", default=["digits@1.5", "digits@1"])
    parser.add_argument("--others", nargs="*", default=[])
    parser.add_argument("-n", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    head = ["", "numbers", *(f"{n}, {way}" for n in STEPS for way in ("before", "shifted"))]
    lines = [
        "# The shift of noise levels where states are large",
        "",
        f"`python benchmarks/solver_shift.py`; {machine({})}. Each cell: root mean square and "
        f"median distance from the end of the flow, of {DRAWS} draws for exact problems and "
        f"{options.n} for networks, in the unit of the state.",
        "",
    ]
    for title, rows in (
        ("Exact denoisers, on which nothing was chosen", (density(900 + i) for i in range(8))),
        ("Networks on which the shift was chosen", (network(m, options.n) for m in options.chosen)),
        ("Other networks", (network(m, options.n) for m in options.others)),
    ):
        lines += [f"## {title}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for row in rows:
            lines.append(f"| {' | '.join(row)} |")
            print(lines[-1], flush=True)
        lines.append("")
    PAGE.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
