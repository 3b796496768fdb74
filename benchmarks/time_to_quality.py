"""Quality against the processor seconds of training: demist and diffusers on MNIST or other images.

    python benchmarks/time_to_quality.py --contender diffusers [--data MNIST] [--budget 600] \
        [--seeds 0 1 2]

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
evaluating are not charged. Each run has a process of its own. What is finished is kept in `--work`
and in `time_to_quality.json`, and done again only with `--again`. Writes `time_to_quality.json`,
`.md` and `.png`: a row is the mean over its seeds. `--data` is any data with classes that has a
training and a test part, such as a folder with MNIST's four IDX files or one of CIFAR-10 as images;
its name is that of the folder. By default $DEMIST_DATA, or its subfolder `mnist`.
"""

import argparse
import datetime
import json
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from quality import report

from demist.data import Dataset, load
from demist.evaluation.metrics.frechet import Moments, frechet_distance
from demist.io.files import write_json
from demist.measuring.judging import judge

CONTENDERS = {  # name: (module, recipe)
    "demist": ("ours", "digits"),
    "diffusers": ("peer_diffusers", "script"),
    "diffusers-course": ("peer_diffusers", "course"),
}
Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """One training run: what, how long, and when its weights are saved, in processor seconds."""

    data: str
    contender: str
    recipe: str
    budget: float
    marks: tuple[float, ...]
    seed: int

    @property
    def key(self) -> Row:
        """What its rows have in common."""
        return {key: value for key, value in asdict(self).items() if key != "marks"}

    @property
    def name(self) -> str:
        """For a folder."""
        return f"{self.data}-{self.contender}-{self.recipe}-{self.budget:g}-{self.seed}"

    def opened(self) -> tuple[Any, str]:
        """The contender, and the version of its library."""
        try:
            found = import_module(f"quality.{CONTENDERS[self.contender][0]}")
        except ImportError as error:
            sys.exit(
                f"{self.contender} needs {error.name}, which is not installed; "
                f"see benchmarks/peers.txt"
            )
        return found.Contender(self.recipe), found.VERSION

    def owns(self, row: Row) -> bool:
        """Whether a row is of this run."""
        return all(row[key] == value for key, value in self.key.items())


class Judgement:
    """The data, what it is measured by, and the training images' side of the distance."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
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


def train(plan: Plan, folder: Path, data: Path, threads: int) -> None:
    """Train into an empty folder; `trained.json` comes last and says that all is there."""
    torch.set_num_threads(threads)
    steps: dict[str, int] = {}

    def save(mark: float, step: int, write: Callable[[Path], object]) -> None:
        write(folder / f"{mark:g}")
        steps[f"{mark:g}"] = step
        print(f"{plan.name}: {mark:g} s, step {step}", flush=True)

    contender, _ = plan.opened()
    facts = contender.train(load(str(data)), plan.budget, list(plan.marks), plan.seed, save)
    write_json(folder / "trained.json", facts | {"marks": steps})


def train_apart(plan: Plan, folder: Path, data: Path, threads: int) -> None:
    """The same in a process of its own, so that nothing done before changes its speed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(train, plan, folder, data, threads).result()


def best_sampler(
    contender: Any, model: Any, judgement: Judgement, n: int, steps: int
) -> tuple[str, dict[str, float]]:
    """The sampler of least FDr on `n` samples with at most `steps` evaluations; and all scores."""
    labels, scores = balanced(n, len(judgement.train.classes)), {}
    for sampler in contender.samplers:
        try:
            calls = evaluations(contender, model, sampler, steps)
        except Exception as error:  # a finding about the sampler, told as such
            print(f"{sampler} fails: {type(error).__name__}: {error}", flush=True)
            continue
        if calls > steps:
            print(f"{sampler} makes {calls} evaluations, more than {steps}: left out", flush=True)
            continue
        images = contender.sample(model, sampler, labels, steps, seed=1)
        scores[sampler] = judgement(images, labels)[0]
        print(f"{sampler}: FDr {scores[sampler]:.2f} on {n} samples", flush=True)
    return min(scores, key=scores.__getitem__), scores


def run(plan: Plan, options: argparse.Namespace, judgement: Judgement, book: Path) -> None:
    """Train and evaluate what is not done yet."""
    contender, version = plan.opened()
    folder = options.work / plan.name
    if options.again or not (folder / "trained.json").exists():
        write_json(book, [row for row in read(book) if not plan.owns(row)])
        train_apart(plan, folder, judgement.folder, options.threads)
    facts = json.loads((folder / "trained.json").read_text())
    rows = [row for row in read(book) if plan.owns(row)]
    sampler, scores = (rows[0]["sampler"], rows[0]["scores"]) if rows else ("", {})
    left = {float(mark) for mark in facts["marks"]} - {row["mark"] for row in rows}
    for mark in sorted(left, reverse=True):
        model = contender.open(folder / f"{mark:g}")
        if not sampler:
            sampler, scores = best_sampler(
                contender, model, judgement, options.choose, options.steps
            )
        labels = balanced(options.n, len(judgement.train.classes))
        images = contender.sample(model, sampler, labels, options.steps, seed=0)
        fdr, accuracy = judgement(images, labels)
        step = facts["marks"][f"{mark:g}"]
        row = plan.key | {
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
        print(f"{plan.name}: {mark:g} s: FDr {fdr:.2f}, accuracy {accuracy:.4f}", flush=True)
        write_json(book, [*read(book), row])


def plans(options: argparse.Namespace) -> list[Plan]:
    """The runs that are asked for."""
    out, data = [], data_folder(options.data).name
    for seed in options.seeds:
        for name in options.contender:
            recipe = (name == "demist" and options.recipe) or CONTENDERS[name][1]
            for end in options.marks if options.separate else [options.budget]:
                marks = [end] if options.separate else options.marks
                out.append(Plan(data, name, recipe, end, tuple(marks), seed))
    return out


def read(book: Path) -> list[Row]:
    """The rows that are recorded."""
    return json.loads(book.read_text()) if book.exists() else []


def data_folder(given: Path | None) -> Path:
    """Where the data is; of a folder of several, MNIST."""
    if given is None and not os.environ.get("DEMIST_DATA"):
        sys.exit("where is MNIST? Give the folder of its IDX files with --data or DEMIST_DATA")
    folder = (given or Path(os.environ["DEMIST_DATA"])).resolve()
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
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
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
        for plan in plans(options):
            run(plan, options, judgement, book)
    report.write(read(book), options.out)


if __name__ == "__main__":
    main()
