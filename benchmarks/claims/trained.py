"""Families of generative models: each tuned with as many tries as the others, then trained.

A task is data with a score, of which less is better. The first settings of a family are its usual
ones. In `standard` mode others are tried beside them: a quarter of the work each, with a seed of
its own; what scores best is what all seeds are trained with. What was tried stands in tuned.json.

All that is trained is kept while the program runs, since several claims look at the same models;
what takes long is kept on the disk too.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import kept
import numpy as np
from baselines import GAN, MADE, VAE, Flow, Model, matched
from claim import HERE, Scale
from lab import (
    BATCH,
    LEVELS,
    dequantised,
    diffusion,
    digits,
    fdr,
    grid,
    grid_centres,
    grid_distance,
    parameters,
    ring,
    ring_centres,
    sample,
    stacked,
    triples,
)
from torch import nn

from demist.data import Dataset
from demist.evaluation.metrics.modes import Modes, score_modes
from demist.io import files
from demist.model.pipeline import Pipeline

TUNED = HERE / "tuned.json"
POINTS, RADIUS, COPIES = 2500, 0.06, 4
MARKS, LOOKED = (0.25, 0.5, 0.75, 1.0), 2000
UNITS = 4.0
"""In which GANs learn points: neighbours on the grid are 2 apart, as in most papers on them."""
TRIAL, SHARE = 1000, 0.25
"""Seed of the tries, and the share of the work that each gets."""
Settings = dict[str, object]


@dataclass(frozen=True)
class Task:
    """What is learned.

    Attributes:
        name: Of the task.
        data: Seed -> data.
        score: Draws -> how bad they are.
        like: Name of the task whose settings are taken; None: it is tuned for itself.
        distance: Draws -> what is looked at in the course of a training.
        points: Whether it is of points in the plane, and not of images.
    """

    name: str
    data: Callable[[int], Dataset]
    score: Callable[[np.ndarray], float]
    like: str | None = None
    distance: Callable[[np.ndarray], float] | None = None
    points: bool = False


@dataclass
class Trained:
    """A model that has been trained.

    Attributes:
        model: Of a rival; of diffusion, its pipeline.
        curve: The task's distance at `MARKS` of the training.
    """

    model: Model | Pipeline
    curve: list[float] = field(default_factory=list)

    @property
    def net(self) -> nn.Module:
        """What has the weights."""
        return self.model.denoiser.net if isinstance(self.model, Pipeline) else self.model

    def draw(self, n: int, steps: int = 20) -> np.ndarray:
        """Samples; only diffusion takes steps."""
        if isinstance(self.model, Pipeline):
            return sample(self.model, n, steps=steps)
        return self.model.sample(n, 0)


def modes_of(task: str, x: np.ndarray) -> Modes:
    """Modes of the toys: what lies within three standard deviations of a centre."""
    return score_modes(x, TOYS[task], radius=RADIUS)


def lost(task: str) -> Callable[[np.ndarray], float]:
    """Share of stray points plus the divergence of the modes' shares, nats: 0.01 if perfect."""

    def score(x: np.ndarray) -> float:
        found = modes_of(task, x)
        return 1 - found.close + found.kl

    return score


def grey_digits(seed: int) -> Dataset:
    """Digits of 16 grey levels, each spread evenly over its bin, so that they have a density."""
    rng = np.random.default_rng(seed)
    copies = [dequantised(digits().train.x, rng) for _ in range(COPIES)]
    return Dataset(np.concatenate(copies), name="grey digits")


def grey_stacked(seed: int) -> Dataset:
    """Three of them at a time."""
    x = stacked(20_000, seed).x
    return Dataset(dequantised(x, np.random.default_rng(seed)), name="grey stacked digits")


def plain_digits(_: int) -> Dataset:
    """8 x 8 digits without their classes."""
    return Dataset(digits().train.x, name="digits")


def divergence(x: np.ndarray) -> float:
    """Of the shares of the thousand modes, nats."""
    return triples(x)[1]


TOYS = {"8-ring": ring_centres(), "25-grid": grid_centres()}
STACKED = "1000 stacked digits"
TASKS = {
    task.name: task
    for task in (
        Task("8-ring", lambda seed: ring(20_000, seed), lost("8-ring"), "25-grid", points=True),
        Task(
            "25-grid", lambda seed: grid(20_000, seed), lost("25-grid"), None, grid_distance, True
        ),
        Task(STACKED, lambda seed: stacked(20_000, seed), divergence),
        Task("grey stacked digits", grey_stacked, divergence, like=STACKED),
        Task("digits", plain_digits, fdr),
        Task("grey digits", grey_digits, fdr, like="digits"),
    )
}
CLASSIC: Settings = {
    "schedule": "ddpm-cosine", "parameterization": "v", "times": "uniform", "weight": "simple",
}  # fmt: skip


def usual(family: str, task: Task) -> Settings:
    """The settings of a family before anything is tried."""
    return tries(family, task)[0]


def tries(family: str, task: Task) -> list[Settings]:
    """Three learning rates by two values of what else matters in a family; the usual ones first."""
    rates, name, values = {
        "diffusion": (
            (2e-3, 1e-3, 4e-3),
            "times",
            ("logit-normal", "logit-normal:mean=-2,std=1.5"),
        ),
        "GAN": ((5e-4, 2e-4, 1e-3), "momentum", (0.5, 0.0)),
        "R3GAN-style": ((5e-4, 2e-4, 1e-3), "gamma", (0.2, 0.02)),
        "VAE": ((1e-3, 3e-4, 3e-3), "latent", (2, 8) if task.points else (16, 32)),
        "autoregressive": ((2e-3, 1e-3, 4e-3), *_of_bins(task)),
        "normalizing flow": ((1e-3, 3e-4, 3e-3), "layers", (8, 16)),
    }[family]
    key, more = "rate", Settings()
    if family == "diffusion":
        key = "lr"
        if "stacked" not in task.name and not task.points:
            values, more = ("uniform", "logit-normal:mean=-1,std=1.5"), CLASSIC
    return [{**more, key: rate, name: value} for value in values for rate in rates]


def _of_bins(task: Task) -> tuple[str, tuple[object, ...]]:
    """Points have as many bins as one likes, digits 16 grey levels."""
    return ("bins", (64, 128)) if task.points else ("decay", (0.0, 0.1))


def made(family: str, task: Task, data: np.ndarray, settings: Settings) -> Callable[[int], Model]:
    """Width -> an untrained rival of diffusion."""
    dim, low, high = data.shape[1], float(data.min()), float(data.max())
    if family in ("GAN", "R3GAN-style"):
        more = {"modern": family != "GAN", "units": UNITS if task.points else 1.0}
        return lambda w: GAN(dim, w, **more, **settings)
    if family == "VAE":
        return lambda w: VAE(dim, w, noisy=task.points, **settings)
    if family == "autoregressive":
        rest = {"bins": LEVELS, **settings}
        if not task.points:
            low, high = -1.0, 1.0
        return lambda w: MADE(dim, w, low=low, high=high, **rest)
    return lambda w: Flow(dim, w, bounded=not task.points, **settings)


def fitted(
    family: str, task: Task, seed: int, scale: Scale, settings: Settings, share: float = 1.0
) -> Trained:
    """Train for a share of the work: parameters x samples x passes are the same for all families.

    Args:
        family: Its name.
        task: What to learn.
        seed: Of the data and the training.
        scale: How much work.
        settings: As in `tries`.
        share: Of the work; 0: the model as it begins (of diffusion, after one step).
    """
    data = task.data(seed)
    steps = max(1, round(share * (scale.toy_steps if task.points else scale.steps)))
    width = scale.toy_width if task.points else scale.width
    curve: list[float] = []

    def look(draw: Callable[[int], np.ndarray], done: float) -> None:
        if task.distance and len(curve) < len(MARKS) and done >= MARKS[len(curve)]:
            curve.append(task.distance(draw(LOOKED)))

    if family == "diffusion":

        def look_at(state: object, pipeline: Pipeline) -> None:
            with state.ema.applied():
                look(Trained(pipeline).draw, state.step / steps)

        model = diffusion(
            data, seed, steps, width, look=look_at if task.distance else None, **settings
        )
        return Trained(model, curve)
    size = parameters(diffusion(data, seed, 1, width).denoiser)
    rival = matched(made(family, task, data.x, settings), size)
    rival.fit(
        data.x,
        seed,
        3.0 * size * BATCH * steps,
        lambda model, done: look(Trained(model).draw, done),
    )
    return Trained(rival, curve)


@cache
def trained(family: str, task: str, seed: int, scale: Scale) -> Trained:
    """A family with its best settings on a task, of those whose training does not break down.

    Raises:
        ValueError: It breaks down with all of them.
    """
    settings = best(family, task, scale)

    def made(share: float) -> Trained:
        return fitted(family, TASKS[task], seed, scale, settings, share)

    size = {"steps": scale.steps, "toy_steps": scale.toy_steps, "width": scale.width}
    size |= {"toy_width": scale.toy_width}
    asked = {"task": task, "family": family, "seed": seed, "settings": settings, "size": size}
    found = kept.once(asked, lambda: made(0), lambda: made(1))
    if kept.finite(found.net):
        return found
    pass_over(family, task, scale)
    return trained(family, task, seed, scale)


@cache
def digit_model(
    seed: int, steps: int, width: int, schedule: str = "ddpm-cosine", kind: str = "v"
) -> Pipeline:
    """A thousand-step model of the digits with classes: uniform times, the plain eps loss.

    It predicts v, since a small network's eps says nothing of x0 where alpha is 0.001.
    """

    def made(steps: int) -> Trained:
        settings = CLASSIC | {"schedule": schedule, "parameterization": kind}
        return Trained(diffusion(digits().train, seed, steps, width, **settings))

    asked = {"task": "digits by class", "schedule": schedule, "kind": kind, "seed": seed}
    asked |= {"steps": steps, "width": width}
    return kept.once(asked, lambda: made(1), lambda: made(steps)).model


def best(family: str, task: str, scale: Scale) -> Settings:
    """The best settings of `scale.tries` for a task, or for the one that it is like."""
    return _best(family, TASKS[task].like or task, scale)


def pass_over(family: str, task: str, scale: Scale) -> None:
    """Take the best settings of a family out of the choice: with all the work they break down.

    Raises:
        ValueError: No others are left.
    """
    name, settings = TASKS[task].like or task, best(family, task, scale)
    print(f"  {task}, {family}, {settings}: breaks down", flush=True)
    known = tuned(scale)
    rows = known.get(scale.name, {}).get(name, {}).get(family, [])
    for row in rows:
        if row["settings"] == settings:
            row["score"] = None
    if all(row["score"] is None for row in rows):
        raise ValueError(f"{family} breaks down on {task}")
    files.write_json(TUNED, known)
    _best.cache_clear()


def tuned(scale: Scale) -> dict:
    """Mode -> task -> family -> what was tried, as on the disk; of `smoke` nothing is kept."""
    return json.loads(TUNED.read_text()) if TUNED.exists() and scale.name != "smoke" else {}


@cache
def _best(family: str, task: str, scale: Scale) -> Settings:
    """Those that were tried before are not tried again."""
    if scale.tries == 1:
        return usual(family, TASKS[task])
    rows = tuned(scale).get(scale.name, {}).get(task, {}).get(family, [])
    for settings in tries(family, TASKS[task])[len(rows) : scale.tries]:
        x = fitted(family, TASKS[task], TRIAL, scale, settings, SHARE).draw(POINTS)
        score = TASKS[task].score(x) if np.isfinite(x).all() else None
        rows.append({"settings": settings, "score": score})
        print(f"  {task}, {family}, {settings}: {said(rows[-1])}", flush=True)
        if scale.name != "smoke":
            known = tuned(scale)  # again: another process may have tuned others meanwhile
            known.setdefault(scale.name, {}).setdefault(task, {})[family] = rows
            files.write_json(TUNED, known)
    return lowest(rows)["settings"]


def lowest(rows: list[dict]) -> dict:
    """The try that scored best."""
    return min(rows, key=score_of)


def score_of(row: dict) -> float:
    """The score of a try; one whose training broke down has none, and comes last."""
    return np.inf if row["score"] is None else row["score"]


def said(row: dict) -> str:
    """The score of a try, in words."""
    return "broke down" if row["score"] is None else f"{row['score']:.3g}"
