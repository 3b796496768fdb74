"""Posterior samplers on the shipped digits model: what they draw for what a damaged digit hides.

    python benchmarks/restore_digits.py [--split test] [--digits 300] [--samples 2] [--steps 40]
        [--problems half random sr] [--methods pigdm dps:tuned "ddnm with heun" ...]
        [--forget "ddnm with heun" ...]

Each digit is damaged, with noise of 0.05 where black is -1 and white 1, and several samples are
drawn of what it may have been, without telling the class. A judge says whether a sample shows the
digit that was there (`right`). Floors are samples of the model that leave the measurement aside
(`prior`), and the pseudo-inverse of the measurement itself (`measurement`); the ceiling are the
clean digits. `spread / error` is 1 for samples that are as far from each other as from the truth,
`misfit` the mean square of what is left of the measurement over the variance of its noise: 1 for
the truth. The step of DPS belongs to a problem: `dps:tuned` is that of the row of training digits
with the most right, of equals the one whose misfit is nearest to 1; all steps are shown. Rows that
were made are kept in `results/restore_digits.json`, and the page is written from all of them. A row
takes the place of an older one of the same method, steps, problem and split; `--forget` drops rows
of this split and these problems by the name of the method, and `--methods` with no name makes none.
"""

import argparse
import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from field.report import machine
from field.shares import half_of_mean

import demist
from demist.editing.damage import Damage, from_unit, to_unit
from demist.editing.restoring import planned, scores_of
from demist.inverse import METHODS, Measurement
from demist.io.files import write_json, write_text
from demist.measuring.judging import judge
from demist.model import Pipeline, Sampling, open_model

PROBLEMS = {
    "half": ("half:lower", "lower half hidden"),
    "random": ("random:0.7", "random 70 % hidden"),
    "sr": ("sr:4", "block means of 4 x 4"),
}
NOISE = 0.05
RESULTS = Path(__file__).parent / "results"
KEPT = RESULTS / "restore_digits.json"
FLOORS = ("clean", "measurement")


class Gradients:
    """Counts rows that were differentiated through a network."""

    def __init__(self, net: torch.nn.Module) -> None:
        self.rows = 0
        net.register_forward_hook(self._seen)

    def _seen(self, net: object, given: object, made: torch.Tensor) -> None:
        if made.requires_grad:
            made.register_hook(self._back)

    def _back(self, gradient: torch.Tensor) -> None:
        self.rows += len(gradient)


def digits(split: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels: of the test set, or of the training set, `n` spread over all of it."""
    data = demist.load("digits", split=split)
    rows = np.linspace(0, len(data.x) - 1, n).round().astype(int)
    return np.stack([np.asarray(data.x[i]) for i in rows]), np.asarray(data.labels)[rows]


def drawn(
    pipeline: Pipeline, damage: Damage, y: torch.Tensor, method: str, each: int, steps: int
) -> tuple[np.ndarray, dict[str, float]]:
    """Samples `(digits, each, C, H, W)`, and what they cost each."""
    if method in FLOORS:
        x = damage.operator.pinv(y).clamp(-1, 1)
        return from_unit(x, np.zeros(0, np.uint8))[:, None], {"evaluations": 0, "gradients": 0}
    seeds, counted = range(len(y) * each), Gradients(pipeline.denoiser.net)
    began = time.process_time()
    name, _, solver = method.partition(" with ")
    plan = planned(damage, y, name, list(seeds), Sampling(steps=steps, solver=solver or None), {})
    samples = plan.sample()
    made = plan.tally.samples
    cost = {
        "evaluations": plan.tally.rows / made,
        "gradients": counted.rows / made,
        "seconds": (time.process_time() - began) / made,
    }
    return samples.reshape(len(y), each, *samples.shape[1:]), cost


def row(
    pipeline: Pipeline, seer: Any, x: np.ndarray, labels: np.ndarray, problem: str, method: str,
    each: int, steps: int,
) -> dict[str, Any]:  # fmt: skip
    """One line of the table."""
    damage = Damage.of(pipeline, PROBLEMS[problem][0], NOISE)
    y = damage.simulate(to_unit(x), range(10_000, 10_000 + len(x)))
    samples, cost = drawn(pipeline, damage, y, method, each, steps)
    if method == "clean":
        samples = x[:, None]
    each = samples.shape[1]
    seen = seer.logits(samples.reshape(-1, *x.shape[1:])).argmax(1).reshape(len(x), each)
    right = seen == labels[:, None]
    rows = to_unit(samples.reshape(-1, *x.shape[1:]))
    misfit = Measurement(damage.operator, y.repeat_interleave(each, 0), damage.noise).misfit(rows)
    found = {
        "right": float(right.mean()),
        # Samples of one digit are not independent: the interval is over digits.
        "interval": half_of_mean(right.mean(1)),
        "misfit": float(misfit.mean()),
        "misfit_median": float(misfit.median()),
        **{key: round(value, 4) for key, value in cost.items()},
    }
    if each > 1:
        z, z0 = to_unit(samples), to_unit(x)
        error = (z.mean(1) - z0).square().mean()
        found["spread_over_error"] = float((z.var(1).mean() * (1 + 1 / each) / error).sqrt())
        ranks = [scores_of(s, t)["coverage"] for s, t in zip(samples, x, strict=True)]
        found["coverage"], found["coverage_wanted"] = float(np.mean(ranks)), (each - 1) / (each + 1)
    return found


def steps_of_dps(kept: dict[str, Any], problem: str) -> list[dict[str, Any]]:
    """Rows of training digits, by the size of the step."""
    rows = [r for r in kept["rows"] if (r["split"], r["problem"]) == ("train", problem)]
    rows = [r for r in rows if r["method"].startswith("dps:scale=")]
    return sorted(rows, key=lambda r: float(r["method"].split("=")[1]))


def tuned(kept: dict[str, Any], problem: str) -> str:
    """DPS with the step that does best on training digits."""
    rows = steps_of_dps(kept, problem)
    if not rows:
        raise SystemExit("dps:tuned needs rows of training digits: --split train --methods dps:...")
    return str(max(rows, key=lambda r: (r["right"], -abs(math.log(r["misfit"]))))["method"])


def tuning(kept: dict[str, Any]) -> list[str]:
    """The table of the steps of DPS."""
    lines = [
        "## The step of DPS, on training digits", "",
        "Share of right digits and misfit; the one for test digits in bold.", "",
        "| scale | " + " | ".join(words for _, words in PROBLEMS.values()) + " |",
        "| --- |" + " --- |" * len(PROBLEMS),
    ]  # fmt: skip
    cells = {
        (r["method"], problem): f"{r['right']:.0%}, {r['misfit']:.2g}"
        for problem in PROBLEMS
        for r in steps_of_dps(kept, problem)
    }
    for problem in PROBLEMS:
        if steps_of_dps(kept, problem):
            key = (tuned(kept, problem), problem)
            cells[key] = f"**{cells[key]}**"
    names = sorted({name for name, _ in cells}, key=lambda name: float(name.split("=")[1]))
    for name in names:
        row = " | ".join(cells.get((name, problem), "") for problem in PROBLEMS)
        lines.append(f"| {name.split('=')[1]} | {row} |")
    return [*lines, ""] if names else []


def page(kept: dict[str, Any]) -> str:
    """The tables, of the test digits first."""
    lines = ["# Posterior samplers on the shipped digits model", "", *__doc__.splitlines()[6:], ""]
    # In the order of time; rows were made on several days and machines.
    lines += [
        f"- {name}: {n} rows" for name, n in Counter(r["machine"] for r in kept["rows"]).items()
    ]
    lines += [""]
    for split, what in (
        ("test", "Test digits"),
        ("train", "Training digits: what `auto` is chosen from"),
    ):
        for problem, (operator, words) in PROBLEMS.items():
            rows = [r for r in kept["rows"] if (r["split"], r["problem"]) == (split, problem)]
            if not rows:
                continue
            lines += [
                f"## {what}: {words} (`--operator {operator}`)", "",
                "| method | digits x samples | right | spread / error | misfit (median) | "
                "evaluations + gradients | seconds |",
                "| --- | --- | --- | --- | --- | --- | --- |",
            ]  # fmt: skip
            lines += [_line(r) for r in sorted(rows, key=lambda r: -r["right"])] + [""]
    lines += tuning(kept)
    return "\n".join(lines)


def _line(r: dict[str, Any]) -> str:
    spread = f"{r['spread_over_error']:.2f}" if "spread_over_error" in r else ""
    misfit = f"{r['misfit']:.3g} ({r['misfit_median']:.2f})"
    cost = f"{r['evaluations']:g} + {r['gradients']:g}"
    right = f"{r['right']:.1%} +- {r['interval']:.1%}"
    method = r["method"] if r["method"] in FLOORS else f"{r['method']}, {r['steps']} steps"
    return (
        f"| {method} | {r['digits']} x {r['samples']} | {right} | {spread} "
        f"| {misfit} | {cost} | {r.get('seconds', 0):.2f} |"
    )


def forgotten(r: dict[str, Any], options: argparse.Namespace) -> bool:
    """Whether a row is one of those that `--forget` names."""
    here = r["split"] == options.split and r["problem"] in options.problems
    return here and r["method"] in options.forget


def load() -> dict[str, Any]:
    """All rows that were made."""
    found: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {"rows": []}
    return found


def save(kept: dict[str, Any]) -> None:
    """All rows, and the page of them."""
    write_json(KEPT, kept)
    write_text(RESULTS / "restore_digits.md", page(kept))


def main(args: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--split", choices=["train", "test"], default="test")
    parser.add_argument("--digits", type=int, default=300)
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS))
    parser.add_argument("--methods", nargs="*", default=[*FLOORS, *METHODS.names()])
    parser.add_argument("--forget", nargs="+", default=[], help="methods whose rows are dropped")
    options = parser.parse_args(args)
    torch.set_num_threads(1)
    kept = load()
    kept["rows"] = [r for r in kept["rows"] if not forgotten(r, options)]
    save(kept)
    where = machine({"demist": demist.__version__})
    x, labels = digits(options.split, options.digits)
    seer = judge(demist.load("digits"), demist.load("digits", split="test"))
    for problem in options.problems:
        for method in options.methods:
            if method == "dps:tuned":
                method = tuned(load(), problem)
            found = row(
                open_model("digits"), seer, x, labels, problem, method, options.samples,
                options.steps,
            )  # fmt: skip
            said = {
                "split": options.split, "problem": problem, "method": method,
                "digits": options.digits, "samples": 1 if method in FLOORS else options.samples,
                "steps": options.steps, "machine": where,
            }  # fmt: skip
            kept = load()  # anew: another run may have made rows meanwhile
            key = ("split", "problem", "method", "steps")
            kept["rows"] = [r for r in kept["rows"] if any(r[k] != said[k] for k in key)]
            kept["rows"].append({**said, **found})
            print(json.dumps(kept["rows"][-1]), flush=True)
            save(kept)


if __name__ == "__main__":
    main()
