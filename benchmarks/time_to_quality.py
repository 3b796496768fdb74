"""Quality of digits against the processor seconds of training: demist and diffusers on MNIST.

    python benchmarks/time_to_quality.py --contender diffusers [--data MNIST] [--budget 600]

Each contender is a recipe with its own learning-rate schedule over the budget; `--contender` takes
demist, diffusers (the training script that comes with it) and diffusers-course (its makers' course
on class-conditional MNIST). Weights are saved at the marks (by default at 1/8, 1/4, 1/2 and all of
the budget) and evaluated afterwards: 10,000 unguided samples, as many of every class, ten network
evaluations each, by the library's sampler that scores best on a thousand samples of the last mark.
FDr is the Fréchet distance to the training images over that of the test images, in the features of
demist's offline judge; the same judge gives the label accuracy.

The learning rate is high until a budget's end, so the earlier marks of one run look worse than a
run that was planned to end there: with `--separate`, each mark is a run of its own. Time is the
processor time of the training loop, batches and averaging included; loading the data, saving and
evaluating are not charged. What is finished is kept in `--work` and in `time_to_quality.json`, and
done again only with `--again`. Writes `time_to_quality.json`, `.md` and `.png`. `--data` is a
folder with MNIST's four IDX files; by default $DEMIST_DATA, or its subfolder `mnist`.
"""

import argparse
import datetime
import json
import os
import shutil
import sys
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from quality import report

from demist.commands.judging import judge
from demist.data import Dataset, load
from demist.evaluation.frechet import Moments, frechet_distance
from demist.files import write_json

CONTENDERS = {  # name: (module, recipe)
    "demist": ("ours", "digits"),
    "diffusers": ("peer_diffusers", "script"),
    "diffusers-course": ("peer_diffusers", "course"),
}
Row = dict[str, Any]


def contender_called(name: str, recipe: str) -> tuple[Any, str]:
    """A contender, and the version of its library."""
    try:
        found = import_module(f"quality.{CONTENDERS[name][0]}")
    except ImportError as error:
        sys.exit(f"{name} needs {error.name}, which is not installed; see benchmarks/peers.txt")
    return found.Contender(recipe), found.VERSION


class Judgement:
    """Full MNIST, what it is measured by, and the training images' side of the distance."""

    def __init__(self, folder: Path) -> None:
        self.train: Dataset = load(str(folder))
        self.test: Dataset = load(str(folder), split="test")

    @cached_property
    def _ruler(self) -> tuple[Any, Moments, float]:
        expert = judge(self.train, self.test)
        moments = Moments.of(expert.features(self.train.x))
        floor = frechet_distance(Moments.of(expert.features(self.test.x)), moments)
        return expert, moments, floor

    def __call__(self, images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
        """FDr and the share of labels that the judge agrees with."""
        expert, moments, floor = self._ruler
        features = expert.features(images)
        accuracy = float((expert.head(features).argmax(1) == labels).mean())
        return frechet_distance(Moments.of(features), moments) / floor, accuracy


def balanced(n: int, classes: int) -> np.ndarray:
    """Labels of `n` samples, as many of every class as can be."""
    return np.arange(n, dtype=np.int64) % classes


def evaluations(contender: Any, model: Any, sampler: str, steps: int) -> int:
    """How often a sampler calls the network for one batch."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    handle = getattr(model, "denoiser", model).register_forward_hook(count)
    contender.sample(model, sampler, balanced(8, 2), steps, seed=0)
    handle.remove()
    return calls


def trained(
    name: str, contender: Any, judgement: Judgement, folder: Path, options: argparse.Namespace,
    budget: float, marks: list[float],
) -> Row:  # fmt: skip
    """Train, unless that is done; what there is to say about the run."""
    facts = folder / "trained.json"
    if facts.exists():
        return json.loads(facts.read_text())
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    steps: dict[str, int] = {}

    def save(mark: float, step: int, write: Callable[[Path], object]) -> None:
        write(folder / f"{mark:g}")
        steps[f"{mark:g}"] = step
        print(f"{name}: {mark:g} s of {budget:g}, step {step}", flush=True)

    found = contender.train(judgement.train, budget, marks, options.seed, save)
    write_json(facts, found | {"marks": steps})
    return json.loads(facts.read_text())


def best_sampler(
    contender: Any, model: Any, judgement: Judgement, n: int, steps: int
) -> tuple[str, dict[str, float]]:
    """The sampler of least FDr on `n` samples, among those with `steps` evaluations; all scores."""
    labels, scores = balanced(n, len(judgement.train.classes)), {}
    for sampler in contender.samplers:
        if (calls := evaluations(contender, model, sampler, steps)) != steps:
            print(f"{sampler} makes {calls} evaluations in {steps} steps: left out", flush=True)
            continue
        images = contender.sample(model, sampler, labels, steps, seed=1)
        scores[sampler] = judgement(images, labels)[0]
        print(f"{sampler}: FDr {scores[sampler]:.2f} on {n} samples", flush=True)
    return min(scores, key=scores.__getitem__), scores


def run(name: str, options: argparse.Namespace, judgement: Judgement, book: Path) -> None:
    """Train and evaluate one contender with what is not done yet."""
    recipe = (name == "demist" and options.recipe) or CONTENDERS[name][1]
    contender, version = contender_called(name, recipe)
    plans = [(m, [m]) for m in options.marks] if options.separate else [
        (options.budget, options.marks)
    ]  # fmt: skip
    for budget, marks in plans:
        key = {"contender": name, "recipe": recipe, "budget": budget, "seed": options.seed}
        folder = options.work / "-".join(f"{value}" for value in key.values())
        rows = read(book)
        if options.again:
            shutil.rmtree(folder, ignore_errors=True)
            rows = [row for row in rows if not is_of(row, key)]
            write_json(book, rows)
        done = {row["mark"] for row in rows if is_of(row, key)}
        if done >= set(marks):
            continue
        if not (folder / "trained.json").exists():  # other weights: they do not belong together
            rows = [row for row in rows if not is_of(row, key)]
            write_json(book, rows)
            done = set()
        facts = trained(name, contender, judgement, folder, options, budget, marks)
        sampler, scores = next(
            ((row["sampler"], row["scores"]) for row in rows if is_of(row, key)), ("", {})
        )
        for mark in sorted(map(float, facts["marks"]), reverse=True):
            if mark in done:
                continue
            model = contender.open(folder / f"{mark:g}")
            if not sampler:
                sampler, scores = best_sampler(
                    contender, model, judgement, options.choose, options.steps
                )
            labels = balanced(options.n, len(judgement.train.classes))
            images = contender.sample(model, sampler, labels, options.steps, seed=0)
            fdr, accuracy = judgement(images, labels)
            step = facts["marks"][f"{mark:g}"]
            row = key | {
                "mark": mark,
                "fdr": fdr,
                "accuracy": accuracy,
                "sampler": sampler,
                "scores": scores,
                "step": step,
                "images": round(facts["images"] * step / facts["steps"]),
                "parameters": facts["parameters"],
                "n": options.n,
                "evaluations": options.steps,
                "threads": options.threads,
                "version": version,
                "torch": torch.__version__,
                "machine": report.cpu(),
                "date": str(datetime.date.today()),
            }
            print(f"{name}: {mark:g} s: FDr {fdr:.2f}, accuracy {accuracy:.4f}", flush=True)
            write_json(book, [*read(book), row])


def is_of(row: Row, key: Row) -> bool:
    """Whether a row belongs to a run."""
    return all(row[k] == value for k, value in key.items())


def read(book: Path) -> list[Row]:
    """The rows that are recorded."""
    return json.loads(book.read_text()) if book.exists() else []


def data_folder(given: Path | None) -> Path:
    """Where MNIST is."""
    if given is None and not os.environ.get("DEMIST_DATA"):
        sys.exit("where is MNIST? Give the folder of its IDX files with --data or DEMIST_DATA")
    folder = given or Path(os.environ["DEMIST_DATA"])
    return folder / "mnist" if (folder / "mnist").is_dir() else folder


def main() -> None:
    """Train and evaluate the chosen contenders, then write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--contender", nargs="+", choices=list(CONTENDERS), default=[])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--recipe", help="of demist; default: digits")
    parser.add_argument("--budget", type=float, default=600.0, help="processor seconds")
    parser.add_argument("--marks", type=float, nargs="+", help="processor seconds")
    parser.add_argument("--separate", action="store_true", help="one run per mark")
    parser.add_argument("--again", action="store_true", help="forget these runs, do them anew")
    parser.add_argument("--n", type=int, default=10_000, help="samples per mark")
    parser.add_argument("--choose", type=int, default=1000, help="samples to choose a sampler by")
    parser.add_argument("--steps", type=int, default=10, help="network evaluations per sample")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs/time_to_quality"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    options.marks = sorted(options.marks or [options.budget / k for k in (8, 4, 2, 1)])
    if options.marks[-1] > options.budget and not options.separate:
        sys.exit(f"the mark {options.marks[-1]:g} lies beyond --budget {options.budget:g}")
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    book = options.out / "time_to_quality.json"
    if options.contender:
        judgement = Judgement(data_folder(options.data))
        for name in options.contender:
            run(name, options, judgement, book)
    report.write(read(book), options.out)


if __name__ == "__main__":
    main()
