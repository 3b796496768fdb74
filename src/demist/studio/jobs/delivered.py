"""What the data loader of a run really delivers: its first batch, clean and noised."""

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from demist.core import Denoiser, left
from demist.errors import UsageError
from demist.io import files
from demist.modalities import of
from demist.modalities.named import to_learn
from demist.model import Pipeline
from demist.studio.one_run import locate
from demist.studio.telling import Tell
from demist.training.build import build
from demist.training.fit import Denoising, Hybrid
from demist.training.parallel import ALONE

QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Of the distribution of times that the run learns from."""


@dataclass(frozen=True)
class Settings:
    """See the first batch of a run as the network sees it: cut, mirrored, encoded, and noised."""

    run: str
    """Id of the run."""
    count: int = 8
    """How many items."""


def run(settings: Settings, folder: Path, tell: Tell) -> None:
    """Draw `delivered.png`: a row of items, and below it rows of the same with more and more noise.

    What was understood: the batch of step 0, decoded again, so that what the codec loses is lost.

    Raises:
        UsageError: The run makes no samples, or they cannot be drawn.
        DemistError: Its options or its data cannot be read.
    """
    if not 1 <= settings.count <= 16:
        raise UsageError(f"count = {settings.count}: between 1 and 16 items are shown")
    found = locate(settings.run, Path(os.environ["DEMIST_STUDIO_RUNS"]))
    experiment = build(found.config(), None, ALONE, found, to_learn)
    pipeline, model = experiment.pipeline, experiment.denoiser
    objective = experiment.objective
    if not isinstance(pipeline, Pipeline) or not isinstance(model, Denoiser):
        raise UsageError(f"{settings.run} learns no noise that could be shown")
    if not isinstance(objective, Denoising | Hybrid) or not of(pipeline).drawable(pipeline.shape):
        raise UsageError(f"what {settings.run} learns from cannot be drawn with its noise")
    tell.step(1, 2)
    batch = experiment.batches(0)
    n = min(settings.count, len(batch))
    u = torch.tensor(QUANTILES, dtype=torch.float64)
    times = objective.times(u, model.schedule)
    eps, rows, labels = batch.noise(batch.x0), [pipeline.decode(batch.x0[:n])], ["clean"] * n
    for t in times:
        alpha, sigma = model.schedule(t)
        x = left(alpha, batch.x0) * batch.x0 + left(sigma, batch.x0) * eps
        rows.append(pipeline.decode(x[:n]))
        labels += [f"log-SNR {float(model.schedule.log_snr(t)):.1f}"] * n
    page = of(pipeline).draw(np.concatenate(rows), labels, n)
    file = io.BytesIO()
    page.save(file, "PNG")
    files.write_bytes(folder / "delivered.png", file.getvalue())
    files.write_json(folder / "delivered.json", {"data": experiment.data.report.paragraph()})
    tell.step(2, 2)
