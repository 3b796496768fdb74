"""`demist demo`: from nothing to images in under five minutes, or to sounds in three."""

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import demist
from demist import recipes, runs
from demist.commands.sampling import SamplingOptions
from demist.commands.shared import read
from demist.config import update

STEPS = 10
"""From noise to data; guidance makes them two evaluations each."""
RECIPES = {"images": "demo", "sounds": "demo-sounds"}
DATA = {
    "images": "10,000 handwritten digits",
    "sounds": "4,000 strokes of drums and notes of bass and melody, made by code,",
}
MORE = {
    "images": (
        "--class 3,7 --n 64 --seed 1     # more images",
        "train path/to/your/images --size 32           # your own data",
    ),
    "sounds": (
        "--class snare --n 8 --seed 1     # more sounds",
        "train path/to/your/recordings                # your own data",
    ),
}


@dataclass(frozen=True)
class Options:
    """Train a small model on digits or sounds, draw samples, and say how good they are."""

    kind: Literal["images", "sounds"] = "images"
    """images: handwritten digits. sounds: drums, bass and melody notes, made by code."""
    budget: str | None = None
    """Wall-clock time of the training. Default: 150s for images, 60s for sounds."""
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
        recipes.find(RECIPES[options.kind]).config(),
        {
            **({"budget": options.budget} if options.budget else {}),
            "seed": options.seed,
            "runs": str(options.runs),
            "threads": threads,
        },
    )
    if threads < (os.cpu_count() or 1):
        say(f"Computing with {threads} of {os.cpu_count()} cores: more would be no faster now.")
    budget = config.limits.budget
    say(f"Training on {DATA[options.kind]} for {budget}. Ctrl-C ends it early.")

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
    sounds = page.write(run.path / "sounds")

    say(f"Measuring: {options.n} samples, judged by a classifier that never saw the model.")
    found = judging.label_accuracy_of(pipeline, config.data, options.n, sampling)
    how = f"guidance {options.guidance:g}, {STEPS} steps of {sampling.solver}: "
    how += f"{2 * STEPS} network evaluations"
    kept = {"label_accuracy": found.share, "label_accuracy_measured": f"{found}; {how}"}
    runs.add_to_summary(run, kept)

    spec = run.path if options.runs != Path("runs") else run.number
    curve = run.path / "loss.png"
    files = f"  sounds     {sounds}{os.sep}000.wav, ..., a file each\n" if sounds else ""
    again, own = MORE[options.kind]
    print(f"""
{found}
({how})

{files}  samples    {samples}
  denoising  {moving}
  loss       {curve if curve.exists() else "needs matplotlib: pip install 'demist[plot]'"}

Next:
  demist sample {spec} {again}
  demist train --resume {spec} --budget 10m            # go on training: 10 minutes in all
  demist {own}
  demist evaluate {spec}                               # all metrics, in minutes
  demist ls                                            # all runs""")


def say(text: str) -> None:
    """A line on standard error, where progress is shown."""
    print(text, file=sys.stderr, flush=True)
