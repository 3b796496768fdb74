"""One optimizer step of each library, as its own training example takes it.

A contender is made for a size, a shape and a batch; `gradient(low)` computes one batch's gradient
(what its operations are counted in), `step(low)` does that, the optimizer's update and the average
of the weights. `low` is bf16 autocast. Every step draws its own times and noise for a batch that
is in memory already; demist's also picks and decodes the batch, because that is in its loop.
"""

import contextlib
import importlib.machinery
import sys
import types
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Ours:
    """demist: `fit` with the options of the recipe `digits`, at another width."""

    widths: ClassVar = {"0.5M": (32, 64), "6M": (96, 192), "35M": (256, 448)}

    def __init__(self, size: str, shape: tuple[int, int, int], batch: int) -> None:
        from demist import recipes
        from demist.config import update
        from demist.data import Dataset
        from demist.training.build import build

        pictures = np.random.default_rng(0).integers(0, 256, (4 * batch, *shape), np.uint8)
        options = {"channels_per_level": self.widths[size], "batch_size": batch}
        limits = {"steps": 10**9, "images": None, "budget": None}
        config = update(recipes.find("digits").config(), {**options, **limits})
        self.made = build(config, Dataset(pictures))
        self.net = self.made.pipeline.denoiser
        self._steps: dict[bool, Iterator[object]] = {}

    def gradient(self, low: bool) -> None:
        from demist.training.gradient import backward

        backward(self.net, self.made.batches(0), self.made.objective, low)

    def step(self, low: bool) -> None:
        from dataclasses import replace

        from demist.training.fit import fit

        if low not in self._steps:
            options = self.made.config.optimization
            self._steps[low] = fit(
                self.net,
                self.made.batches,
                objective=self.made.objective,
                options=replace(options, precision="bf16" if low else "fp32"),
                limits=self.made.config.limits,
            )
        next(self._steps[low])


class _Peer:
    """A step written out: gradient, clipping, update, average."""

    net: nn.Module
    clip = 0.0

    def _begin(self, shape: tuple[int, int, int], batch: int) -> None:
        self.x = torch.rand(batch, *shape) * 2 - 1

    def loss(self) -> Tensor:
        raise NotImplementedError

    def average(self) -> None:
        raise NotImplementedError

    def gradient(self, low: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = self.loss()
        loss.backward()

    def step(self, low: bool) -> None:
        self.gradient(low)
        if self.clip:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
        self.optimizer.step()  # type: ignore[attr-defined]
        self.optimizer.zero_grad()  # type: ignore[attr-defined]
        self.average()


class Diffusers(_Peer):
    """diffusers: examples/unconditional_image_generation/train_unconditional.py."""

    widths: ClassVar = {  # channels per level, blocks per level, levels with attention
        "0.5M": ((32, 32, 64), 1, ()),
        "6M": ((64, 128, 160), 1, (2,)),
        "35M": ((128, 256, 256, 256), 2, (2,)),
    }
    clip = 1.0

    def __init__(self, size: str, shape: tuple[int, int, int], batch: int) -> None:
        from diffusers import DDPMScheduler, UNet2DModel
        from diffusers.training_utils import EMAModel

        channels, blocks, attention = self.widths[size]
        attends = [i in attention for i in range(len(channels))]
        self.net = UNet2DModel(
            sample_size=shape[1],
            in_channels=shape[0],
            out_channels=shape[0],
            layers_per_block=blocks,
            block_out_channels=channels,
            down_block_types=["AttnDownBlock2D" if a else "DownBlock2D" for a in attends],
            up_block_types=["AttnUpBlock2D" if a else "UpBlock2D" for a in attends[::-1]],
        )
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8
        )
        self._average = EMAModel(
            self.net.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75
        )
        self._scheduler = DDPMScheduler(num_train_timesteps=1000)
        self._begin(shape, batch)

    def loss(self) -> Tensor:
        noise, t = torch.randn_like(self.x), torch.randint(0, 1000, (len(self.x),))
        seen = self._scheduler.add_noise(self.x, noise, t)
        return F.mse_loss(self.net(seen, t).sample.float(), noise)

    def average(self) -> None:
        self._average.step(self.net.parameters())


class DenoisingDiffusionPytorch(_Peer):
    """denoising-diffusion-pytorch: `GaussianDiffusion(Unet(...))` as its `Trainer` trains it.

    Its average is updated in every tenth step only, as there.
    """

    widths: ClassVar = {"0.5M": (16, (1, 2, 4)), "6M": (48, (1, 2, 4)), "35M": (64, (1, 2, 4, 8))}
    clip = 1.0

    def __init__(self, size: str, shape: tuple[int, int, int], batch: int) -> None:
        from ema_pytorch import EMA

        with _pretended("torchvision", "accelerate", "pytorch_fid"):
            from denoising_diffusion_pytorch import GaussianDiffusion, Unet
        dim, multiples = self.widths[size]
        net = Unet(dim=dim, dim_mults=multiples, channels=shape[0])
        self.net = GaussianDiffusion(net, image_size=shape[1])
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-4, betas=(0.9, 0.99))
        self._average = EMA(self.net, beta=0.995, update_every=10)
        self._begin(shape, batch)

    def loss(self) -> Tensor:
        return self.net(self.x / 2 + 0.5)

    def average(self) -> None:
        self._average.update()


class Azula(_Peer):
    """azula: the network and loop of its tutorials (MNIST's, and CIFAR-10's average)."""

    widths: ClassVar = {  # channels per level, blocks per level, features of the modulation
        "0.5M": ((16, 32, 64), (2, 2, 2), 64),
        "6M": ((64, 96, 128), (3, 3, 3), 256),
        "35M": ((128, 256, 384), (3, 3, 3), 256),
    }

    def __init__(self, size: str, shape: tuple[int, int, int], batch: int) -> None:
        from azula.denoise import KarrasDenoiser
        from azula.nn.unet import UNet
        from azula.noise import VPSchedule
        from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

        channels, blocks, features = self.widths[size]

        class Routed(nn.Module):
            """The U-Net, modulated by an embedding of the noise level."""

            def __init__(self) -> None:
                super().__init__()
                self.unet = UNet(
                    shape[0],
                    shape[0],
                    hid_channels=channels,
                    hid_blocks=blocks,
                    mod_features=features,
                )
                self.time = nn.Sequential(
                    nn.Linear(1, features), nn.SiLU(), nn.Linear(features, features)
                )

            def forward(self, x: Tensor, log_snr: Tensor) -> Tensor:
                return self.unet(x, self.time(log_snr[..., None]))

        self.net = KarrasDenoiser(Routed(), VPSchedule())
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=3e-4)
        self._average = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(0.999))
        self._begin(shape, batch)

    def loss(self) -> Tensor:
        return self.net.loss(self.x, torch.rand(len(self.x)))

    def average(self) -> None:
        self._average.update_parameters(self.net)


CONTENDERS: dict[str, Any] = {
    "demist": Ours,
    "diffusers": Diffusers,
    "denoising-diffusion-pytorch": DenoisingDiffusionPytorch,
    "azula": Azula,
}


@contextlib.contextmanager
def _pretended(*names: str) -> Iterator[None]:
    """Let imports of packages succeed that are not there, and whose content is not used.

    denoising-diffusion-pytorch imports torchvision, accelerate and pytorch-fid for its data and
    its scores. Its network and loss, which are all that runs here, need none of them.
    """

    class Hollow(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (), {})

    missing = [name for name in names if importlib.machinery.PathFinder.find_spec(name) is None]
    inner = {"pytorch_fid": ("pytorch_fid.fid_score", "pytorch_fid.inception")}
    made = [part for name in missing for part in (name, *inner.get(name, ()))]
    for name in made:
        module = Hollow(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        sys.modules[name] = module
    try:
        yield
    finally:
        for name in made:
            sys.modules.pop(name, None)
