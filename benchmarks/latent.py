"""What latents save: images per second of training and sampling, in latents and in pixels.

    python benchmarks/latent.py CODEC [--rounds 7] [--n 8]

CODEC is a trained autoencoder of scenes of 64 x 64 pixels, for example of

    demist train scenes --size 64 --recipe autoencoder --threads 1 --budget 10m

Trained are networks of the same widths, on one thread: `scenes64` in latents, `pixel` in blocks of
two by two pixels, and `pixel` in single pixels. In a round each takes one step in turn, so that a
busy moment of the machine hits all; times are those of the processor, ratios medians over rounds.
What encoding the images costs, once and before the first step, is said too.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch

from demist import TrainConfig, load, recipes, update
from demist.model.learned_codec import open_codec
from demist.training.build import build
from demist.training.experiment import Experiment
from demist.training.fit import fit

SIDE, BATCH, ITEMS = 64, 64, 1_024


def systems(codec: str) -> dict[str, TrainConfig]:
    """The configurations, which differ in latents and patches alone."""
    common: dict[str, Any] = {"size": SIDE, "batch_size": BATCH, "steps": 10**6, "budget": None}
    latent = update(recipes.find("scenes64").config(), {"codec": codec, **common})
    pixel = update(recipes.find("pixel").config(), common)
    return {
        "latents": latent,
        "pixels, two by two": pixel,
        "pixels": update(pixel, {"patch": 1}),
    }


def stepping(experiment: Experiment) -> Callable[[], object]:
    """Takes a step of training whenever it is called."""
    config = experiment.config
    states: Iterator[object] = fit(
        experiment.denoiser,
        experiment.batches,
        objective=experiment.objective,
        options=config.optimization,
        limits=config.limits,
    )
    return lambda: next(states)


def seconds(work: Callable[[], object]) -> float:
    """Processor time of a call."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("codec", help="a trained autoencoder: its run or folder")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--n", type=int, default=8, help="samples of a round")
    a = parser.parse_args()
    torch.set_num_threads(1)
    data = load("scenes", size=SIDE, limit=ITEMS)
    codec = open_codec(a.codec, Path("runs")).codec
    x = torch.from_numpy(data.x[:256])
    with torch.inference_mode():
        codec.encode(x[:8])
        encoding = len(x) / seconds(lambda: codec.encode(x))
    made = {name: build(config, data) for name, config in systems(a.codec).items()}
    steps = {name: stepping(experiment) for name, experiment in made.items()}
    prompts = list(data.texts or ())[: a.n]
    training: dict[str, list[float]] = {name: [] for name in made}
    sampling: dict[str, list[float]] = {name: [] for name in made}
    for turn in range(a.rounds + 1):
        for name, experiment in made.items():
            train = seconds(steps[name])
            pipeline: Any = experiment.pipeline
            sample = seconds(lambda p=pipeline: p.sample(a.n, text=prompts, seed=1, guidance=3.0))
            if turn:  # the first one warms up
                training[name].append(train)
                sampling[name].append(sample)
    load_now = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"torch {torch.__version__}, one thread, load {load_now}; {a.rounds} rounds\n")
    print("| network | parameters | training, images/s | latents: times as fast (spread) |", end="")
    print(" sampling, s per image, guided | latents: times as fast |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, experiment in made.items():
        ratios = [t / u for t, u in zip(training[name], training["latents"], strict=True)]
        cheaper = [t / u for t, u in zip(sampling[name], sampling["latents"], strict=True)]
        print(
            f"| {name} | {experiment.parameters / 1e6:.2f} M "
            f"| {BATCH / median(training[name]):.0f} "
            f"| {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) "
            f"| {median(sampling[name]) / a.n:.3f} | {median(cheaper):.2f} |"
        )
    print(f"\nEncoding, once: {encoding:.0f} images/s.")


if __name__ == "__main__":
    main()
