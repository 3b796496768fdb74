"""A classifier that knows noise, for `demist.guidance.Classifier`.

It sees what the denoiser sees, `x_t` at every level of noise, and so its gradient points towards a
class from anywhere on the way. It is trained for one model's schedule and range of data.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from demist.conditions import Conditioner, Label
from demist.conditions.label import class_index
from demist.core import LogSNRClock, Schedule, left
from demist.data import Dataset
from demist.errors import DataError, MissingError, UsageError
from demist.io.files import write_bytes
from demist.io.tensors import require_same
from demist.model.folder import from_json, to_json
from demist.model.pipeline import Pipeline
from demist.networks.encoder import Encoder
from demist.training.batches import Batches
from demist.training.streams import Streams


class NoisyClassifier(nn.Module):
    """p(class | x_t) at any time.

    Args:
        net: From scaled noisy images and the clock to logits.
        schedule: Of the model to guide.
        input_std: Of its data: the network sees x_t at unit variance.
        classes: Names of the classes.
    """

    def __init__(
        self, net: Encoder, schedule: Schedule, input_std: float | None, classes: tuple[str, ...]
    ):
        super().__init__()
        self.net, self.schedule, self.classes = net, schedule, classes
        self.input_std = 1.0 if input_std is None else input_std
        self.clock = LogSNRClock()

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Log-probabilities `(B, K)` of noisy states at time `t`, `()` or `(B,)`."""
        alpha, sigma = self.schedule(t)
        clock = self.clock(t, alpha, sigma).float().expand(len(x)).to(x.device)
        a, s = left(alpha, x), left(sigma, x)
        seen = x * ((a * self.input_std) ** 2 + s**2).rsqrt()
        return self.net(seen.float(), clock).log_softmax(1)

    def towards(self, value: str | int) -> Callable[..., Tensor]:
        """The log-probability of one class, as `demist.guidance.Classifier` takes it.

        Raises:
            UsageError: There is no such class.
        """
        k = class_index(value, self.classes)
        return lambda x, t, **cond: self(x, t)[:, k]

    def require_fits(self, pipeline: Pipeline) -> None:
        """Raise UsageError unless this was trained for the noise and the images of `pipeline`."""
        ours, theirs = (to_json(of.schedule) for of in (self, pipeline.denoiser))
        if ours != theirs:
            raise UsageError(
                f"the classifier was trained for the noise of another schedule ({ours}) than the "
                f"model's ({theirs}); make one with `demist classifier DATA --noise-of MODEL`"
            )
        channels, patch = self.net.config["in_channels"], self.net.config["patch"]
        fits = len(pipeline.shape) == 3 and pipeline.shape[0] == channels
        if not fits or any(side % patch for side in pipeline.shape[1:]):
            raise UsageError(
                f"the classifier reads images of {channels} channels in patches of {patch}, the "
                f"model makes samples of shape {pipeline.shape}; make one with "
                f"`demist classifier DATA --noise-of MODEL`"
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights and description to one safetensors file, whole or not at all."""
        about = {
            "net": self.net.config,
            "schedule": to_json(self.schedule),
            "input_std": self.input_std,
            "classes": list(self.classes),
        }
        tensors = {name: value.contiguous() for name, value in self.net.state_dict().items()}
        write_bytes(path, save(tensors, {"noisy_classifier": json.dumps(about)}))

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "NoisyClassifier":
        """Read what `save` wrote.

        Raises:
            MissingError: There is no such file.
            DataError: It is something else, or damaged.
        """
        if not Path(path).is_file():
            raise MissingError(f"there is no classifier at {path}")
        try:
            with safe_open(path, "pt") as file:
                about = json.loads((file.metadata() or {})["noisy_classifier"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            with torch.device("meta"):
                net = Encoder(**about["net"])
            require_same(net.state_dict(), tensors, str(path))
            net.load_state_dict(tensors, assign=True)
            schedule = from_json(about["schedule"], str(path))
            made = NoisyClassifier(net, schedule, about["input_std"], tuple(about["classes"]))
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"{path} is no classifier of noisy images ({reason}); "
                f"`demist classifier DATA --noise-of RUN --out FILE` makes one"
            ) from None
        return made.eval().requires_grad_(False)


@dataclass
class Learning:
    """Where training is.

    Attributes:
        classifier: As it is by now.
        step: Steps done.
        images: Images seen.
        seconds: Since the first step began.
        progress: Fraction of all steps.
        loss: Of the last batch.
    """

    classifier: NoisyClassifier
    step: int
    images: int
    seconds: float
    progress: float
    loss: float


def train_noisy_classifier(
    pipeline: Pipeline,
    data: Dataset,
    *,
    steps: int = 1500,
    batch_size: int = 128,
    lr: float = 2e-3,
    seed: int = 0,
) -> Iterator[Learning]:
    """Train on the noise of `pipeline`, yielding after each step; the last holds the result.

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
    if data.x.shape[1:] != pipeline.shape or len(pipeline.shape) != 3:
        raise UsageError(
            f"the model makes samples of shape {pipeline.shape}, the data has {data.x.shape[1:]}; "
            f"give the data that it was trained on, with the same --size"
        )
    streams = Streams(seed, len(data), min(batch_size, len(data)))
    device = next(pipeline.denoiser.parameters()).device
    conditioner = Conditioner({"label": Label(data.classes, drop=0.0)})
    batches = Batches(
        data.x, streams, pipeline.codec, conditioner, {"label": data.labels}, device=device
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(streams.torch_seed(-1))
        # Read in patches, which cost a quarter, where the sides allow it.
        patch = 1 if any(side % 2 for side in pipeline.shape[1:]) else 2
        net = Encoder(in_channels=pipeline.shape[0], outputs=len(data.classes), patch=patch)
    net.to(device)
    denoiser = pipeline.denoiser
    made = NoisyClassifier(net, denoiser.schedule, denoiser.input_std, data.classes)
    begun = time.monotonic()
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=0.01)
    for step in range(steps):
        batch = batches(step)
        t = batch.u.to(batch.x0)
        alpha, sigma = (left(c, batch.x0) for c in denoiser.schedule(t))
        x = alpha * batch.x0 + sigma * batch.noise(batch.x0)
        loss = F.nll_loss(made(x, t), batch.cond["label"])
        warm = min(1.0, (step + 1) / max(1, steps // 20))
        optimizer.param_groups[0]["lr"] = lr * warm * (1 - step / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds, seen = time.monotonic() - begun, (step + 1) * streams.batch_size
        yield Learning(made, step + 1, seen, seconds, (step + 1) / steps, loss.item())


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
