"""A model that was trained here in the published form, as components that diffusers opens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demist.codecs import Codec, Pixels
from demist.conditions.text_encoder import TextEncoder
from demist.core import Denoiser, IndexClock
from demist.errors import MissingError, UsageError
from demist.interop.schedulers import PREDICTIONS, alpha_bar
from demist.interop.source import Source
from demist.networks import UNet2DNetwork

HOW = "`demist train --recipe ddpm` trains one that can"
NAMED: Mapping[str, Mapping[str, Any]] = {
    "linear": {"beta_start": 0.0001, "beta_end": 0.02},
    "scaled_linear": {"beta_start": 0.00085, "beta_end": 0.012},
}
"""Schedules that are written by their name."""
CLOSE = 3e-6
"""Relative difference of alpha_bar that float32, in which diffusers multiplies, may make."""


@dataclass(frozen=True, eq=False)
class TrainedSource(Source):
    """A U-Net and a scheduler.

    Attributes:
        net: The U-Net.
        described: `scheduler_config.json`.
        sides: Height and width of the images.
    """

    net: UNet2DNetwork
    described: Mapping[str, Any]
    sides: tuple[int, int]
    place: Path = Path("this model")
    index: Mapping[str, Any] = field(
        default_factory=lambda: {"_class_name": "DDPMPipeline", "unet": (), "scheduler": ()}
    )

    def has(self, name: str) -> bool:
        return name in self.index

    def config(self, name: str) -> dict[str, Any]:
        height, width = self.sides
        size = height if height == width else [height, width]
        return {**self.net.net.config, "_class_name": self.net.net.kind, "sample_size": size}

    def scheduler(self, name: str = "scheduler") -> dict[str, Any]:
        return dict(self.described)

    def weights(self, name: str) -> Mapping[str, Tensor]:
        return {key: value.float() for key, value in self.net.net.state_dict().items()}

    def text_encoder(self, encoder: str, tokenizer: str, length: int | None = None) -> TextEncoder:
        raise MissingError("this model has no text encoder")


def as_published(denoiser: Denoiser, codec: Codec, shape: Sequence[int]) -> Source:
    """The components of a model of ours.

    Args:
        denoiser: Of a network `unet2d`.
        codec: Between images and states; diffusers knows pixels here.
        shape: Of the state, `(C, H, W)`.

    Raises:
        UsageError: Diffusers cannot say what this model is.
    """
    net = denoiser.net
    if not isinstance(net, UNet2DNetwork):
        raise UsageError(
            f"a {type(net).__name__} is a network of demist's own, which diffusers does not know; "
            f"export it as onnx or torch-export, or train the network unet2d: {HOW}"
        )
    if told := net.config["inlets"]:
        raise UsageError(
            f"this unet2d is told {', '.join(told)}, and no pipeline of diffusers gives it that; "
            f"one without conditions has a form there: {HOW}"
        )
    if not isinstance(codec, Pixels):
        raise UsageError(
            f"a unet2d of the latents of a {type(codec).__name__} has no form in diffusers; one of "
            f"pixels has: {HOW}"
        )
    return TrainedSource(net, scheduler_of(denoiser), (shape[1], shape[2]))


def scheduler_of(denoiser: Denoiser, how: str = HOW) -> dict[str, Any]:
    """`scheduler_config.json` of diffusers for a denoiser whose network sees indices.

    Args:
        denoiser: The denoiser.
        how: What trains one that diffusers can say, for messages.

    Raises:
        UsageError: Diffusers' DDPMScheduler cannot say what its schedule, clock, parameterization,
            bounds or input scale are.
    """
    clock, bounds = denoiser.clock, denoiser.bounds
    said = [name for name, known in PREDICTIONS.items() if known == denoiser.parameterization]
    if not isinstance(clock, IndexClock) or clock.steps < 2:
        raise UsageError(
            f"the network was trained with the clock {clock}, and diffusers gives its networks an "
            f"index (clock = index); {how}"
        )
    if not said:
        raise UsageError(
            f"the network predicts {denoiser.parameterization}, and DDPMScheduler knows "
            f"eps, x0 and v; {how}"
        )
    if denoiser.input_std is not None:
        raise UsageError(
            f"the network sees images of standard deviation 1 (input_std = "
            f"{denoiser.input_std:g}), and in diffusers it sees them as they are; {how}"
        )
    if bounds is not None and bounds[0] != -bounds[1]:
        raise UsageError(
            f"predictions are kept within {bounds}, and DDPMScheduler keeps them between "
            f"one number and its negative; {how}"
        )
    return {
        "_class_name": "DDPMScheduler",
        "num_train_timesteps": clock.steps,
        **_betas(denoiser, clock.steps, how),
        "prediction_type": said[0],
        "clip_sample": bounds is not None,
        "clip_sample_range": 1.0 if bounds is None else bounds[1],
        "variance_type": "learned_range" if denoiser.learn_variance else "fixed_small",
        "timestep_spacing": "leading",
        "steps_offset": 0,
        "thresholding": False,
    }


def _betas(denoiser: Denoiser, steps: int, how: str) -> dict[str, Any]:
    """The schedule at the indices, by its name or as numbers."""
    times = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    alpha, sigma = denoiser.schedule(times)
    bar = alpha**2
    if not torch.allclose(bar + sigma**2, torch.ones_like(bar), rtol=0, atol=1e-9):
        raise UsageError(
            f"the schedule {denoiser.schedule} does not preserve variance (alpha^2 + sigma^2 = 1), "
            f"and DDPMScheduler's does; {how}"
        )
    base = {"num_train_timesteps": steps, "trained_betas": None, "rescale_betas_zero_snr": False}
    for name, ends in NAMED.items():
        if torch.allclose(alpha_bar({**base, "beta_schedule": name, **ends}), bar, CLOSE, 0):
            return {"beta_schedule": name, **ends}
    return {"beta_schedule": "linear", "trained_betas": _rounded(bar)}


def _rounded(bar: Tensor) -> list[float]:
    """Betas that float32 holds, each making up for the rounding of those before."""
    betas: list[float] = []
    product = 1.0
    for wanted in bar.tolist():
        beta = float(torch.tensor(1 - wanted / product, dtype=torch.float64).float())
        kept = float(1 - torch.tensor(beta, dtype=torch.float32))
        if not 0 <= kept < 1 or product == 0:
            raise UsageError(
                f"the schedule changes too little at index {len(betas)} for the float32 of "
                f"DDPMScheduler; choose another schedule, or fewer steps: clock = index:steps=100"
            )
        betas.append(beta)
        product *= kept
    return betas
