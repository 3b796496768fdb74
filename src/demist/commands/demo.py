"""`demist demo`: from nothing to images in under five minutes."""

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import demist
from demist import recipes, runs
from demist.commands.sampling import SamplingOptions
from demist.commands.shared import read
from demist.config import update

STEPS = 10
"""From noise to data; guidance makes them two evaluations each."""


@dataclass(frozen=True)
class Options:
    """Train a small model on handwritten digits, draw samples, and say how good they are."""

    budget: str = "150s"
    """Wall-clock time of the training."""
    guidance: float = 2.0
    """How strongly the class is followed in the images and the measurement."""
    n: int = 500
    """Samples for the measurement."""
    seed: int = 0
    """Fixes weights, data order and samples."""
    runs: Path = Path("runs")
    """Folder in which the new run folder is made."""


def main(args: list[str]) -> None:
    """Train, draw, film, measure; everything goes into a new run folder."""
    options = read(Options, "demo", args)
    from demist.machine.threads import fastest_threads

    threads = fastest_threads()
    config = update(
        recipes.find("demo").config(),
        {
            "budget": options.budget,
            "seed": options.seed,
            "runs": str(options.runs),
            "threads": threads,
        },
    )
    if threads < (os.cpu_count() or 1):
        say(f"Computing with {threads} of {os.cpu_count()} cores: more would be no faster now.")
    say(f"Training on 10,000 handwritten digits for {options.budget}. Ctrl-C ends it early.")

    from demist.measuring import judging, pages

    run = demist.train(config, command=["demist", "demo", *args])
    pipeline, values = demist.Pipeline.from_run(run), demist.model.values

    say("Drawing samples.")
    classes, each = values.classes_of(pipeline), 8
    labels = values.spread(classes, each * len(classes))
    asked = SamplingOptions(steps=STEPS, guidance=options.guidance, seed=options.seed)
    sampling = pipeline.plan(1, asked.sampling()).sampling
    samples, moving = run.path / "samples.png", run.path / "denoising.gif"
    page = pages.sample_page(
        pipeline, len(labels), sampling, labels=labels, columns=each, film=True
    )
    page.save(samples, shlex.join(["demist", "demo", *args]))
    page.animate(moving, fps=5)

    say(f"Measuring: {options.n} samples, judged by a classifier that never saw the model.")
    found = judging.label_accuracy_of(pipeline, config.data, options.n, sampling)
    how = f"guidance {options.guidance:g}, {STEPS} steps of {sampling.solver}: "
    how += f"{2 * STEPS} network evaluations"
    kept = {"label_accuracy": found.share, "label_accuracy_measured": f"{found}; {how}"}
    runs.add_to_summary(run, kept)

    spec = run.path if options.runs != Path("runs") else run.number
    curve = run.path / "loss.png"
    print(f"""
{found}
({how})

  samples    {samples}
  denoising  {moving}
  loss       {curve if curve.exists() else "needs matplotlib: pip install 'demist[plot]'"}

Next:
  demist sample {spec} --class 3,7 --n 64 --seed 1     # more images
  demist train --resume {spec} --budget 10m            # go on training: 10 minutes in all
  demist train path/to/your/images --size 32           # your own data
  demist evaluate {spec}                               # all metrics, in minutes
  demist ls                                            # all runs""")


def say(text: str) -> None:
    """A line on standard error, where progress is shown."""
    print(text, file=sys.stderr, flush=True)
