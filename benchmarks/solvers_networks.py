"""Samplers on trained networks: distance to the result of many steps and FD at equal evaluations.

    python benchmarks/solvers_networks.py RUN_OR_MODEL [--data digits] [--size 64] [--guidance 1.5]
        [-n 256] [--seeds 0 1 2] [--fitted FOLDER] [--budgets 5 10 20] [--only ...]

The start noise, the classes or prompts and the network are the same for every sampler; peers see
the network, guided where guidance is asked for, through their own interfaces, as in `solvers.py`.
Classes are asked for in turn, prompts are those of held-out items. The distance is the root mean
square over the values of the state (for pixels in units of the data range [-1, 1]); FD is the
Frechet distance of the judge's features to the training images (evaluation/), which at few samples
is biased for all alike: compare with the last line. Each library runs its default and the settings
named in `CHOSEN`; `--fitted` is the same model as `demist fit-solver` left it, fitted to other
noise. Means over the seeds of the start noise, and half of their range.
"""

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from field.ours import DEFAULT, Counted
from field.problem import Sampler, f64, guess
from field.report import machine
from field.trained import Trained
from solvers import MODULES, samplers, version

from demist.core import Gaussian
from demist.data import Dataset, load
from demist.evaluation.metrics.frechet import Moments, frechet_distance
from demist.measuring.judging import judge
from demist.model import open_model
from demist.model.pipeline import Pipeline
from demist.samplers import make_grid, make_solver, sample

CHOSEN = {
    "demist": [
        DEFAULT,
        ("adams", "angular"),
        ("dpmpp-2m", "smooth"),
        ("heun", "smooth"),
        ("ddim", "smooth"),
    ],
    "diffusers": [
        ("DPMSolverMultistepScheduler", ""),
        ("DPMSolverMultistepScheduler", "solver_order=3, use_lu_lambdas=True"),
        ("UniPCMultistepScheduler", ""),
        ("DDIMScheduler", ""),
        ("FlowMatchEulerDiscreteScheduler", ""),
    ],
    "k-diffusion": [
        ("sample_dpmpp_2m", "karras(rho=7, sigma_min=0.01)"),
        ("sample_dpmpp_3m_sde", "eta=0, exponential, sigma_min=0.03"),
        ("sample_heun", "karras(rho=7, sigma_min=0.01)"),
    ],
    "azula": [
        ("DDIMSampler", "VP(sigma_min=0.001)"),
        ("vABSampler", "order=3, Rectified(sigma_min=0.01)"),
        ("REABSampler", "Rectified(sigma_min=0.001)"),
    ],
}


def within(sampler: Sampler, problem: Trained, budget: int) -> int:
    """The most steps that make at most `budget` evaluations, tried on one sample."""
    for steps in range(guess(sampler, problem, budget), 1, -1):
        one = problem.one()
        sampler.run(one, steps)
        if one.calls <= budget:
            return steps
    return 1


def asked(pipeline: Pipeline, test: Dataset, n: int, seed: int) -> dict[str, list[Any]]:
    """What is asked for: all choices in turn, or the texts of held-out items."""
    rows = np.random.default_rng(seed).permutation(len(test))[:n]
    found: dict[str, list[Any]] = {}
    for name, condition in pipeline.conditioner.conditions.items():
        choices = condition.choices
        if choices:
            found[name] = [choices[i * len(choices) // n] for i in range(n)]
        elif condition.short == "prompt" and test.texts:
            found[name] = [test.texts[row] for row in rows]
    return found


def fitted(folder: str, guidance: float) -> Sampler:
    """The default of a model that was fitted, where it was for so many steps and this guidance."""
    ways = Pipeline.load(folder).fits.ways[guidance]

    def run(problem: Trained, n: int) -> torch.Tensor:
        way = ways[n]
        x = problem.schedule(torch.ones((), dtype=f64))[1] * problem.z
        return sample(Counted(problem), x, torch.tensor(way.times, dtype=f64), way.solver)

    return Sampler("demist", "fitted", "", run)


def noisy(name: str, grid: str) -> Sampler:
    """A stochastic solver of ours: how far it ends from the flow says nothing, its FD does."""

    def run(problem: Trained, n: int) -> torch.Tensor:
        times = make_grid(grid, n, problem.schedule)
        x = problem.schedule(times[0])[1] * problem.z
        noise = Gaussian(torch.Generator().manual_seed(n))
        return sample(Counted(problem), x, times, make_solver(name), noise)

    return Sampler("demist", name, grid, run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a run, a saved model's folder, or digits")
    parser.add_argument("-n", type=int, default=256)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--fitted", help="a folder that demist fit-solver wrote")
    parser.add_argument("--budgets", nargs="+", type=int, default=[5, 10, 20])
    parser.add_argument("--only", nargs="+", default=list(MODULES), choices=list(MODULES))
    parser.add_argument("--reference-steps", type=int, default=200)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--size", type=int)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--name", help="of the page; by default of the data and the guidance")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    pipeline = open_model(args.model, device="cpu")
    torch.set_num_threads(1)
    train, test = (load(args.data, size=args.size, split=split) for split in ("train", "test"))
    problems = [
        Trained(
            pipeline, args.n, seed, steps=args.reference_steps, guidance=args.guidance,
            cond=asked(pipeline, test, args.n, seed),
        )
        for seed in args.seeds
    ]  # fmt: skip
    classifier = judge(train, test)
    real = Moments.of(classifier.features(train.x))

    def fd(images) -> float:
        return frechet_distance(Moments.of(classifier.features(images)), real)

    facts = ", ".join(f"{key} {value}" for key, value in pipeline.facts.items())
    goal = f"{args.reference_steps}-step result"
    versions = {name: version(name) for name in args.only}
    lines = [
        f"# Samplers on a trained model ({facts})",
        "",
        f"`python benchmarks/solvers_networks.py`, guidance {args.guidance:g}, {args.n} samples "
        f"from each of {len(args.seeds)} seeds; {machine(versions)}"
        f". Judge: {classifier.card}.",
        "",
        f"Each cell: distance to the {goal} / FD to the training images, ± half of the range over "
        f"the seeds.",
        "",
        "| sampler | " + " | ".join(f"{b} evaluations" for b in args.budgets) + " |",
        "| --- " * (len(args.budgets) + 1) + "|",
    ]
    for library in args.only:
        known = {(s.method, s.settings): s for s in samplers(library)}
        every = [known[key] for key in CHOSEN[library]]
        if library == "demist" and args.fitted:
            every = [fitted(args.fitted, args.guidance), *every]
        if library == "demist":
            every.append(noisy("sde-adams", "angular:clean=1,noisy=1"))
        for sampler in every:
            start = float("inf") if library == "demist" else sampler.noisier
            cells = []
            for budget in args.budgets:
                own = sampler.method == "fitted"
                steps = budget if own else within(sampler, problems[0], budget)
                ends = [sampler.run(problem, steps) for problem in problems]
                far = [p.errors(x, start)[0] for p, x in zip(problems, ends, strict=True)]
                off = [fd(p.images(x)) for p, x in zip(problems, ends, strict=True)]
                cells.append(f"{_spread(far, 4)} / {_spread(off, 3)}")
            mark = " (default)" if sampler.default == "library" else ""
            lines.append(f"| {library}: {sampler.label}{mark} | " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
    many = [fd(p.images(p.reference(float("inf")))) for p in problems]
    g = torch.Generator().manual_seed(0)
    some = [torch.randperm(len(test), generator=g)[: args.n].numpy() for _ in args.seeds]
    lines += [
        "",
        f"FD of the {goal}: {_spread(many, 3)}; of {args.n} held-out images: "
        f"{_spread([fd(test.x[rows]) for rows in some], 3)}.",
    ]
    name = args.name or f"{args.data}-guidance-{args.guidance:g}"
    (args.out / f"solvers_networks-{name}.md").write_text("\n".join(lines) + "\n")
    print(lines[-1])


def _spread(values: list[float], digits: int) -> str:
    half = (max(values) - min(values)) / 2
    return f"{sum(values) / len(values):.{digits}f} ± {half:.{digits}f}"


if __name__ == "__main__":
    main()
