"""Training of a classifier that knows noise; see `demist.model.noisy_classifier`."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from demist.conditions import Conditioner, Label
from demist.config import LimitsConfig, OptimizationConfig
from demist.core import left
from demist.data import Dataset
from demist.errors import UsageError
from demist.modalities import of
from demist.model.noisy_classifier import NoisyClassifier
from demist.model.pipeline import Pipeline
from demist.networks.encoder import Encoder
from demist.training.batches import Batch, Batches
from demist.training.fit import TrainState, fit
from demist.training.streams import Streams


def recognition_loss(classifier: NoisyClassifier, batch: Batch) -> Tensor:
    """Cross-entropy of the classes of `batch`, seen through noise at uniform times: `(B,)`."""
    t = batch.u.to(batch.x0)
    alpha, sigma = (left(c, batch.x0) for c in classifier.schedule(t))
    x = alpha * batch.x0 + sigma * batch.noise(batch.x0)
    return F.nll_loss(classifier(x, t), batch.cond[Label.name], reduction="none")


def train_noisy_classifier(
    pipeline: Pipeline,
    data: Dataset,
    *,
    steps: int = 1500,
    batch_size: int = 128,
    lr: float = 2e-3,
    seed: int = 0,
) -> Iterator[TrainState]:
    """Train on the noise of `pipeline`, yielding after each step; the state's model is the result.

    Times are uniform and stratified; the learning rate rises over a twentieth of the steps and
    falls linearly to zero.

    Args:
        pipeline: The model to guide.
        data: Labelled images of its shape.
        steps: Optimizer steps.
        batch_size: Images per step.
        lr: Peak learning rate of AdamW.
        seed: Fixes weights, order and noise.

    Raises:
        UsageError: The data has no classes, or images of another shape.
    """
    if data.labels is None or len(data.classes) < 2:
        raise UsageError(f"{data.name or 'the data'} has no classes to tell apart")
    if data.x.shape[1:] != pipeline.shape or not of(pipeline).spatial:
        raise UsageError(
            f"the model makes samples of shape {pipeline.shape}, the data has {data.x.shape[1:]}; "
            f"give the data that it was trained on, with the same --size"
        )
    streams = Streams(seed, len(data), min(batch_size, len(data)))
    device = next(pipeline.denoiser.parameters()).device
    conditioner = Conditioner({Label.name: Label(data.classes, drop=0.0)})
    batches = Batches(
        data.x, streams, pipeline.codec, conditioner, {Label.name: data.labels}, device=device
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(streams.torch_seed(-1))
        # Read in patches, which cost a quarter, where the sides allow it.
        channels, *sides = pipeline.state_shape
        patch = 1 if any(side % 2 for side in sides) else 2
        net = Encoder(in_channels=channels, outputs=len(data.classes), patch=patch)
    net.to(device)
    denoiser = pipeline.denoiser
    made = NoisyClassifier(net, denoiser.schedule, denoiser.input_std, data.classes)
    options = OptimizationConfig(
        optimizer="adamw", lr=lr, warmup=max(1, steps // 20), beta2=0.999, weight_decay=0.01,
        clip=0, ema=0, precision="fp32",
    )  # fmt: skip
    limits = LimitsConfig(steps=steps)
    yield from fit(made, batches, objective=recognition_loss, options=options, limits=limits)


def accuracy_at(
    made: NoisyClassifier, pipeline: Pipeline, data: Dataset, t: float, seed: int = 0
) -> float:
    """Share of `data` that is recognised through the noise of time `t`."""
    assert data.labels is not None
    rng = np.random.default_rng(seed)
    right = 0
    time = torch.tensor(t, dtype=torch.float64)
    alpha, sigma = made.schedule(time)
    with torch.inference_mode():
        for begin in range(0, len(data), 256):
            x0 = pipeline.codec.encode(torch.from_numpy(data.x[begin : begin + 256].copy()))
            x0 = x0.to(next(made.parameters()).device)
            noise: Any = torch.from_numpy(rng.standard_normal(x0.shape)).to(x0)
            found = made(alpha * x0 + sigma * noise, time).argmax(1).cpu().numpy()
            right += int((found == data.labels[begin : begin + 256]).sum())
    return right / len(data)
