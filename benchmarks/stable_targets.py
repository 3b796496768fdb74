r"""Stable targets against plain ones: the error of the learned noise, where the truth is known.

    python benchmarks/stable_targets.py [--numbers 97 99 ...] [--counts 0 1024] [--steps 1500] \
        [--points 10000]

Mixtures drawn by code (`field/drawn.py`: even numbers for choosing, odd ones for reporting); 10,000
points of each are learned, unless said. Equal networks see the same batches, times and noise; only
the target differs. Errors are of eps against the mixture's own, relative, RMS over points of its
corruptions, averaged over the angles of the noise level. Rows are kept in
results/stable_targets.json; the table is written anew from all of them.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from field.drawn import COUNT, UNSEEN, drawn
from field.problem import f64
from field.report import machine

from demist.config import TrainConfig, update
from demist.core.exact import Mixture
from demist.data import Dataset
from demist.io import files
from demist.model.pipeline import Pipeline
from demist.training.build import build
from demist.training.fit import fit
from demist.version import __version__

RESULTS = Path(__file__).parent / "results" / "stable_targets.json"
POINTS, HELD_OUT, ANGLES = 10_000, 2000, 8


def main() -> None:
    """Measure what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--numbers", type=int, nargs="+", default=list(UNSEEN), help="problems")
    parser.add_argument("--counts", type=int, nargs="+", default=[0, 1024], help="stable_targets")
    parser.add_argument("--steps", type=int, default=1500, help="of training")
    parser.add_argument("--points", type=int, default=POINTS, help="to learn from")
    args = parser.parse_args()
    for number in args.numbers:
        for count in args.counts:
            rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
            key = {"number": number, "count": count, "steps": args.steps, "points": args.points}
            if any(key.items() <= row.items() for row in rows):
                continue
            found = key | measured(number, count, args.steps, args.points) | {
                "machine": machine({"demist": __version__}),
            }  # fmt: skip
            print(json.dumps(found), flush=True)
            files.write_json(RESULTS, [*rows, found])
    rows = json.loads(RESULTS.read_text())
    files.write_text(RESULTS.with_suffix(".md"), table(rows))


def measured(number: int, count: int, steps: int, points: int) -> dict:
    """Error and processor time of one training."""
    problem = drawn(number)
    data = problem.data
    g = torch.Generator().manual_seed(number)
    x = data.sample(points, g).float().numpy()
    config = update(
        TrainConfig(),
        {"network": "mlp", "width": 128, "depth": 3, "batch_size": 128, "lr": 2e-3, "ema": 0.995,
         "precision": "fp32", "optimizer": "adamw", "steps": steps, "threads": 1, "seed": number,
         "stable_targets": count},
    )  # fmt: skip
    made = build(config, Dataset(x, name=problem.name))
    begun = time.process_time()
    *_, state = fit(
        made.pipeline.denoiser, made.batches, objective=made.objective,
        options=made.config.optimization, limits=made.config.limits,
    )  # fmt: skip
    seconds = time.process_time() - begun
    with state.ema.applied():
        error = eps_error(made.pipeline, data, g)
    return {"name": problem.name, "error": error, "seconds": round(seconds, 2)}


@torch.no_grad()
def eps_error(pipeline: Pipeline, data: Mixture, g: torch.Generator) -> float:
    """Relative RMS error of the learned eps at even angles, their mean."""
    pipeline.denoiser.eval()
    codec, model = pipeline.codec, pipeline.denoiser
    mean, std = torch.as_tensor(codec.mean, dtype=f64), torch.as_tensor(codec.std, dtype=f64)
    inner = Mixture(data.weights, (data.means - mean) / std, data.variances / std**2)
    x0 = inner.sample(HELD_OUT, g)
    errors = []
    for angle in (np.arange(ANGLES) + 0.5) / ANGLES * np.pi / 2:
        time = torch.tensor(np.sin(angle) / (np.sin(angle) + np.cos(angle)), dtype=f64)
        alpha, sigma = model.schedule(time)
        x = alpha * x0 + sigma * torch.randn(x0.shape, generator=g, dtype=f64)
        eps = inner.posterior(x, alpha, sigma)[1]
        wrong = model(x.float(), time).eps - eps
        errors.append(float((wrong.square().mean() / eps.square().mean()).sqrt()))
    return float(np.mean(errors))


def table(rows: list[dict]) -> str:
    """The table, in Markdown: choosing and reporting apart."""
    lines = ["# Stable targets", "", *__doc__.splitlines()[2:], ""]
    for title, these in (("chosen on", range(0, COUNT, 2)), ("reported on", UNSEEN)):
        some = [row for row in rows if row["number"] in these]
        for points, steps in sorted({(r["points"], r["steps"]) for r in some if r["count"]}):
            alike = [row for row in some if row["points"] == points]
            now = {(row["number"], row["count"]): row for row in alike if row["steps"] == steps}
            counts = sorted({count for _, count in now} - {0})
            numbers = sorted(n for n, count in now if count == 0)
            lines += [
                f"## {title.capitalize()}, {points:,} points, {steps:,} steps", "",
                "| problem | error, plain | " + " | ".join(f"with {k:,}" for k in counts) + " |",
                "|---|---:|" + "---:|" * len(counts),
            ]  # fmt: skip
            for n in numbers:
                cells = [f"{now[n, k]['error']:.4f}" if (n, k) in now else "" for k in counts]
                plain = now[n, 0]
                lines.append(f"| {plain['name']} | {plain['error']:.4f} | {' | '.join(cells)} |")
            lines.append("")
            for k in counts:
                pairs = [(now[n, 0], now[n, k]) for n in numbers if (n, k) in now]
                ratio = np.array([b["error"] / a["error"] for a, b in pairs])
                slower = np.median([b["seconds"] / a["seconds"] for a, b in pairs])
                lines.append(
                    f"- With {k:,}: {said(ratio)}; {slower:.2f} times the processor time (median)."
                )
            longer = [row for row in alike if row["count"] == 0 and row["steps"] > steps]
            for more in sorted({row["steps"] for row in longer}):
                plain = {row["number"]: row["error"] for row in longer if row["steps"] == more}
                for k in counts:
                    pairs = [(plain[n], now[n, k]["error"]) for n in plain if (n, k) in now]
                    ratio = np.array([b / a for a, b in pairs])
                    lines.append(f"- With {k:,}, over plain ones in {more:,} steps: {said(ratio)}.")
            lines.append("")
    return "\n".join([*lines, f"Last measured: {rows[-1]['machine']}."]) + "\n"


def said(ratio: np.ndarray) -> str:
    """Ratios of errors, in words."""
    low, middle, high = np.quantile(ratio, [0, 0.5, 1])
    return (
        f"{middle:.2f} times the error (median of {len(ratio)} problems, {low:.2f} to {high:.2f}), "
        f"less in {(ratio < 1).sum()}"
    )


if __name__ == "__main__":
    main()
