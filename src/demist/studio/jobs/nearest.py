"""Whether a run copies what it learned from: the nearest training items of its newest samples."""

import io
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from demist.config import DataConfig
from demist.data import Dataset
from demist.data.dataset import choose
from demist.data.division import held_out_part, held_out_rows
from demist.errors import UsageError
from demist.evaluation.extractors.features import quotient
from demist.evaluation.metrics.distances import nearest_of_many
from demist.evaluation.metrics.memorisation import closer
from demist.io import files, hub
from demist.modalities import Modality, of, splits
from demist.modalities.named import part, to_learn
from demist.model import Pipeline, open_model
from demist.studio.one_run import locate
from demist.studio.telling import Tell
from demist.training.conditions import examples

NEIGHBOURS = 2
AT_ONCE = 8
"""Samples made between two looks for a cancel."""
HELD_OUT = 256
"""Held-out items that are measured for comparison, at most."""


@dataclass(frozen=True)
class Settings:
    """Draw samples of a run, and find the training items that are nearest to each."""

    run: str
    """Id of the run."""
    count: int = 64
    """How many samples are drawn and compared."""
    pairs: int = 8
    """How many are shown: those that are nearest to a training item."""


def run(settings: Settings, folder: Path, tell: Tell) -> None:
    """Write `nearest.json`, and `nearest.png` where items are more than a few numbers.

    What was understood: samples are drawn anew from the newest checkpoint, with the noise and the
    conditions of the run's own sample pages. They are compared with all items that the run learned
    from, by the Euclidean distance of `demist evaluate`, and so are up to 256 items held out of it.

    Raises:
        UsageError: A setting makes no sense, the run makes no samples that can be drawn, or its
            data lie elsewhere.
        DemistError: Its model or its data cannot be read.
    """
    if not 1 <= settings.pairs <= 16 or not settings.pairs <= settings.count <= 512:
        raise UsageError(
            f"count = {settings.count}, pairs = {settings.pairs}: 1 to 16 pairs are shown of at "
            f"most 512 samples"
        )
    found = locate(settings.run, Path(os.environ["DEMIST_STUDIO_RUNS"]))
    options = found.config().data
    require_near(options, settings.run)
    pipeline = open_model(str(found.path))
    modality = of(pipeline)
    if not isinstance(pipeline, Pipeline) or not modality.drawable(pipeline.shape):
        raise UsageError(f"{settings.run} makes no samples that can be drawn")
    train, test = learned_and_left(options)
    if train.x.shape[1:] != pipeline.shape:
        raise UsageError(
            f"{settings.run} makes samples of shape {pipeline.shape}, and learned from items of "
            f"{train.x.shape[1:]}: they have no distance"
        )
    samples = drawn(pipeline, train, settings.count, tell)
    held = np.empty((0, *pipeline.shape))
    if test is not None and test.x.shape[1:] == pipeline.shape:
        held = np.asarray(test.x[choose(len(test), test.labels, HELD_OUT, 0)])

    def heard(rows: int) -> None:
        tell.step(settings.count + rows, settings.count + len(train), doing="comparing")

    both = np.concatenate([samples, held]) if len(held) else samples
    k = min(NEIGHBOURS, len(train))
    distances, which = nearest_of_many(both, train.x, k, heard)
    scale = 1.0 if modality.name == "points" else float(np.prod(pipeline.shape)) ** 0.5
    distances /= scale
    n = len(samples)
    order = distances[:n, 0].argsort(kind="stable")[: settings.pairs]
    natural = np.sort(distances[n:, 0])
    neighbours = np.stack([np.asarray(train.x[which[i]]) for i in order])
    pairs = [
        {
            "sample": int(i), "items": which[i].tolist(), "distances": distances[i].tolist(),
            "nearer_than": 1 - float(np.searchsorted(natural, distances[i, 0]) / len(natural))
            if len(natural) else None,
        }
        for i in order
    ]  # fmt: skip
    if modality.name == "points":
        for pair, i, near in zip(pairs, order, neighbours, strict=True):
            pair |= {"point": samples[i].tolist(), "near": near.tolist()}
    else:
        page = drawn_pairs(modality, samples[order], neighbours, distances[order])
        files.write_bytes(folder / "nearest.png", page)
    told: dict[str, Any] = {
        "step": pipeline.facts.get("step"), "samples": n, "train": len(train),
        "held_out": len(natural), "data": options.path, "kind": modality.name, "pairs": pairs,
        "mirrored": options.flip, "near": np.sort(distances[:n, 0]).tolist(),
        "natural": natural.tolist(), "ratio": None, "closer": None,
    }  # fmt: skip
    if len(natural):
        near = distances[:n, 0]
        ratio = quotient(float(np.median(near)), float(np.median(natural)))
        told |= {"ratio": ratio if np.isfinite(ratio) else None, "closer": closer(near, natural)}
    files.write_json(folder / "nearest.json", told)


def require_near(options: DataConfig, ident: str) -> None:
    """Check that the data are on this machine, so that a click fetches nothing.

    Raises:
        UsageError: They are named as data of the hub, or in several shapes.
    """
    if hub.is_named(options.path) and os.environ.get("HF_HUB_OFFLINE", "1") != "0":
        raise UsageError(
            f"the data of {ident} are {options.path}, and the studio fetches nothing; "
            f"HF_HUB_OFFLINE=0 demist studio allows it"
        )
    if options.buckets is not None:
        raise UsageError(f"the data of {ident} are in several shapes, between which is no distance")


def learned_and_left(options: DataConfig) -> tuple[Dataset, Dataset | None]:
    """What a run learned from, and what is held out of it, if anything is."""
    learned = to_learn(options)
    if options.channels is None and learned.data.x.dtype == np.uint8:
        options = replace(options, channels=learned.data.x.shape[1])
    if held := held_out_part(splits(options.path, options.kind)):
        return learned.data, part(options, held)
    if not learned.hold_out:
        return learned.data, None
    whole = part(options, "train")
    return learned.data, whole.divided(held_out_rows(whole, learned.hold_out, False))[1]


def drawn(pipeline: Pipeline, data: Dataset, count: int, tell: Tell) -> np.ndarray:
    """Samples as the run's own pages show them, some at a time."""
    plan = pipeline.plan(count, **examples(pipeline.conditioner, data, count))
    found = []
    for begin in range(0, count, AT_ONCE):
        rows = range(begin, min(count, begin + AT_ONCE))
        found.append(np.asarray(plan.sample(rows)))
        tell.step(rows.stop, count + len(data), doing="drawing")
    return np.concatenate(found)


def drawn_pairs(
    modality: Modality, samples: np.ndarray, near: np.ndarray, distances: np.ndarray
) -> bytes:
    """A page: samples in a row, and below each the training items nearest to it."""
    n, k = distances.shape
    labels = ["sample"] * n + [f"{distances[i, j]:.3g}" for j in range(k) for i in range(n)]
    items = np.concatenate([samples, *near.swapaxes(0, 1)])
    file = io.BytesIO()
    modality.draw(items, labels, n).save(file, "PNG")
    return file.getvalue()
