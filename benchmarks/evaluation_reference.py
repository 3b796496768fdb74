"""Reference values of the evaluation at full size, and what the judge and the table cost.

    python benchmarks/evaluation_reference.py [--out FILE] [--draws 12] [--note WORDS]

1. Precision, recall, density and coverage of N(0, I_1000), 10,000 against 10,000, k = 5, over draws
   of several generators; beside `prdc`, the authors' program, on the same numbers if it is
   installed. Why single draws of the density differ so much is measured on the first of them.
2. KL of perfect samples of 1000 equal modes, 25,600 of them: about (K - 1) / 2n = 0.0195.
3. The judge of the embedded digits over three seeds, and all metrics of a report.

About a minute a draw on one core; --draws 2 is enough for a look.
"""

import argparse
import datetime
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from demist import runs
from demist.data import load
from demist.evaluation.metrics.distances import neighbour_radius, squared_distances
from demist.evaluation.metrics.modes import count_modes, kl_floor, kl_to
from demist.evaluation.metrics.precision_recall import precision_recall
from demist.evaluation.report import evaluate
from demist.io import files
from demist.training.judge import train_classifier

N, DIMENSION, K = 10_000, 1000, 5
PRINTED = (0.477, 0.471, 1.056, 0.974)
"""What the authors' example prints, of one draw of `np.random.normal` without a seed."""

Pair = tuple[np.ndarray, np.ndarray]


def legacy(seed: int) -> Pair:
    """As the authors' example draws: `np.random.normal`, the real points first."""
    state = np.random.RandomState(seed)
    return state.normal(size=(N, DIMENSION)), state.normal(size=(N, DIMENSION))


def modern(seed: int) -> Pair:
    x, y = np.random.default_rng(seed).standard_normal((2, N, DIMENSION))
    return x, y


def of_torch(seed: int) -> Pair:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, N, DIMENSION, generator=generator).numpy().astype(np.float64)
    return x, y


DRAWS: list[tuple[str, Callable[[int], Pair], int]] = [
    *(("np.random.normal", legacy, seed) for seed in (0, 1, 42, 2020)),
    *(("torch.randn", of_torch, seed) for seed in (0, 1, 42, 2020)),
    *(("default_rng", modern, seed) for seed in range(4)),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="Markdown file for the results")
    parser.add_argument("--draws", type=int, default=len(DRAWS), help="how many draws")
    parser.add_argument("--note", default="", help="about the machine, for the results")
    args = parser.parse_args()
    flags = "" if args.draws == len(DRAWS) else f" --draws {args.draws}"
    facts = runs.environment()
    lines = [
        "# Reference values of the evaluation",
        "",
        f"`python benchmarks/evaluation_reference.py{flags}`; {facts['processor']}, "
        f"{torch.get_num_threads()} of {facts['cores']} cores; numpy {np.__version__}, "
        f"torch {torch.__version__}; {datetime.date.today()}{args.note and '; ' + args.note}.",
    ]
    for part in (neighbours(DRAWS[: args.draws]), modes(), judges()):
        lines += ["", *part]
    if args.out:
        files.write_text(args.out, "\n".join(lines) + "\n")


def neighbours(draws: list[tuple[str, Callable[[int], Pair], int]]) -> list[str]:
    """The table of draws, with mean, spread and what theory says."""
    lines = [f"## N(0, I_{DIMENSION}), {N:,} against {N:,}, k = {K}", ""]
    lines += ["| draw | seed | precision | recall | density | coverage | prdc differs by |"]
    lines += ["|---|---:|---:|---:|---:|---:|---:|"]
    found, why = [], ""
    for name, draw, seed in draws:
        start = time.perf_counter()
        x, y = draw(seed)
        found.append(list(vars(precision_recall(x, y, k=K)).values()))
        why = why or hubs(x, y)
        lines.append(f"| {name} | {seed} | {_cells(found[-1])} | {beside_prdc(x, y, found[-1])} |")
        print(lines[-1], f"{time.perf_counter() - start:.0f} s", flush=True)
    mean, spread = np.mean(found, 0), np.std(found, 0, ddof=1)
    far = (np.array(PRINTED) - mean) / spread
    expected = 1 - np.prod([(N - 1 - i) / (2 * N - 1 - i) for i in range(K)])
    lines += [
        f"| **mean** | | {_cells(mean)} | |",
        f"| **standard deviation** | | {_cells(spread)} | |",
        f"| exact mean, any distribution | | – | – | 1.000 | {expected:.3f} | |",
        f"| the authors' example, one draw without a seed | ? | {_cells(PRINTED)} | |",
        f"| its distance from the mean, in standard deviations | | {_cells(far, '+.1f')} | |",
        "",
        why,
    ]
    print("\n".join(lines[-7:]), flush=True)
    return lines


def beside_prdc(x: np.ndarray, y: np.ndarray, ours: list[float]) -> str:
    """The largest difference to the authors' program, where it is installed."""
    try:
        from prdc import compute_prdc
    except ImportError:
        return "–"
    theirs = compute_prdc(x, y, K)
    names = ("precision", "recall", "density", "coverage")
    return f"{max(abs(theirs[n] - v) for n, v in zip(names, ours, strict=True)):.1e}"


def hubs(x: np.ndarray, y: np.ndarray) -> str:
    """Why the density of single draws differs so much: few points make most of it."""
    ball = neighbour_radius(x, K) ** 2
    counts = np.zeros(len(y))
    for start, block in squared_distances(y, x):
        counts[start : start + len(block)] = (block <= ball).sum(1)
    error = counts.std(ddof=1) / K / len(counts) ** 0.5
    most = np.sort(counts)[::-1]
    near = np.corrcoef(counts, np.linalg.norm(y, axis=1))[0, 1]
    return (
        f"Why the density varies: on the first draw the 1 % of generated points that lie in most "
        f"balls make {100 * most[: len(y) // 100].sum() / most.sum():.0f} % of all pairs, one of "
        f"them lies in {most[0]:.0f} balls of {len(x):,}, and {100 * (most == 0).mean():.0f} % of "
        f"the points lie in none. Hubs are the points near the origin (correlation of the count "
        f"with the distance from it {near:.2f}). The mean of such counts has a standard error of "
        f"{error:.3f} by the choice of the generated points alone. {halves()}"
    )


def halves(n: int = 1000, draws: int = 30) -> str:
    """The spread of the density if only one of the sets is drawn anew."""
    kept, other = np.random.default_rng(0).standard_normal((2, n, DIMENSION))
    spread = []
    for real in (False, True):
        found = []
        for seed in range(1, draws + 1):
            new = np.random.default_rng(seed).standard_normal((n, DIMENSION))
            x, y = (new, other) if real else (kept, new)
            found.append(precision_recall(x, y, k=K).density)
        spread.append(np.std(found, ddof=1))
    return (
        f"Hubs among the real points matter as well, for they shrink many balls at once: with "
        f"{n:,} against {n:,} points the density spreads by {spread[0]:.3f} if only the generated "
        f"points are drawn anew, and by {spread[1]:.3f} if only the real ones are."
    )


def modes() -> list[str]:
    """The KL of perfect samples of many modes."""
    rng = np.random.default_rng(0)
    found = [kl_to(count_modes(rng.integers(0, 1000, 25_600), 1000)) for _ in range(20)]
    lines = [
        "## 1000 equal modes, 25,600 perfect samples",
        "",
        f"KL to the uniform: {np.mean(found):.4f} ± {np.std(found, ddof=1):.4f} over 20 draws; "
        f"expected {kl_floor(25_600, np.full(1000, 1e-3)):.4f}.",
    ]
    print(lines[-1], flush=True)
    return lines


def judges() -> list[str]:
    """The judge of the digits, and a report."""
    train, test = load("digits"), load("digits", split="test")
    lines = ["## The judge of the digits, and a report", ""]
    judge = None
    for seed in range(3):
        start = time.perf_counter()
        judge = train_classifier(
            train.x, train.labels, train.classes, seed=seed, test=(test.x, test.labels)
        )
        lines.append(f"- seed {seed}: {judge.card}; {time.perf_counter() - start:.0f} s")
        print(lines[-1], flush=True)
    assert judge is not None
    start, rng = time.perf_counter(), np.random.default_rng(0)
    noisy = (train.x + rng.normal(0, 10, train.x.shape)).round().clip(0, 255).astype(np.uint8)
    report = evaluate(judge, noisy, train.x, test.x, labels=train.labels, train_labels=train.labels)
    fdr = report["metrics"]["fdr"]["value"]
    lines.append(
        f"- report of {len(noisy):,} digits with noise of 10 of 255: "
        f"{time.perf_counter() - start:.0f} s, FDr {fdr:.1f}"
    )
    print(lines[-1], flush=True)
    return lines


def _cells(values: object, form: str = ".3f") -> str:
    return " | ".join(f"{value:{form}}" for value in np.asarray(values))


if __name__ == "__main__":
    main()
