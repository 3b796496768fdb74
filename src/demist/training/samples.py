"""The images drawn while training."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from demist.codecs import KLAutoencoder
from demist.data import Dataset
from demist.drawing import save_png
from demist.evaluation.metrics.psnr import psnr
from demist.modalities import of
from demist.model.learned_codec import LearnedCodec
from demist.model.pipeline import Pipeline
from demist.runs import Run


def draw_samples(
    pipeline: Pipeline, run: Run, step: int, count: int, values: Mapping[str, Any]
) -> None:
    """Draw `count` samples into the run's folder, always from the same noise.

    Args:
        pipeline: The model.
        run: Where the image goes.
        step: Of training, for the image's name.
        count: How many samples.
        values: Of the conditions, by name, `count` each; those in words are listed in the
            image's metadata.
    """
    modality = of(pipeline)
    known = pipeline.conditioner.conditions
    captions = {name: pipeline.conditioner.words(name, v, count) for name, v in values.items()}
    captions = {name: words for name, words in captions.items() if any(words)}
    samples = pipeline.sample(count, **values)
    facts = {"run": run.path.name, "step": step, "count": count, "seed": 0, **captions}
    if modality.drawable(pipeline.shape):
        turns = [len(set(words)) for name, words in captions.items() if known[name].choices]
        columns = columns_for(turns[0], count) if turns else None
        page = modality.draw(samples, next(iter(captions.values()), ()), columns)
        save_png(page, run.image(step), facts)
    modality.write_together(samples, run.image(step))


def columns_for(classes: int, count: int) -> int | None:
    """Columns of a grid of samples whose classes come in turn, so that each column has one class.

    The multiple of the number of classes that is nearest to a square; None of one class, or of more
    than fit in a row.
    """
    if not 1 < classes <= 20:
        return None
    return classes * max(1, round(math.sqrt(count) / classes))


def draw_reconstructions(
    made: LearnedCodec, run: Run, step: int, data: Dataset, count: int
) -> None:
    """Draw items of the data, spread evenly over it, each with its reconstruction right of it.

    Args:
        made: The codec.
        run: The run in whose folder the image goes.
        step: Steps done.
        data: What it is trained on.
        count: Images in the image, originals and reconstructions together.
    """
    rows = np.unique(np.linspace(0, len(data) - 1, max(1, count // 2)).astype(np.int64))
    x = np.array(data.x[rows])
    codec, modality = made.codec, of(made)
    assert isinstance(codec, KLAutoencoder)
    real = codec.pixels.encode(torch.from_numpy(x))
    found = codec.image(codec.encode(torch.from_numpy(x))).cpu()
    rebuilt = codec.pixels.decode(found).numpy()
    pairs = np.stack([x, rebuilt], axis=1).reshape(-1, *x.shape[1:])
    lost = psnr(codec.pixels.picture(real).numpy(), codec.pixels.picture(found).numpy())
    facts = {
        "run": run.path.name,
        "step": step,
        "count": len(pairs),
        "psnr": round(min(lost, 99.0), 2),
    }
    save_png(modality.draw(pairs, columns=min(len(pairs), 10)), run.image(step), facts)
    modality.write_together(pairs, run.image(step))
