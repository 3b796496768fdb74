"""diffusers: a class-conditional `UNet2DModel`, trained in two ways that its makers publish.

`script` is the example that comes with the library
(examples/unconditional_image_generation/train_unconditional.py) with its default hyperparameters:
DDPM's linear betas, eps-prediction, batches of 16, AdamW at 1e-4 with betas (0.95, 0.999), cosine
learning rate after 500 steps of warm-up, gradients clipped at 1, EMA up to 0.9999 with power 3/4,
float32. `course` is the class-conditional MNIST of their diffusion course (unit 2): cosine betas,
batches of 128, Adam at a constant 1e-3, neither EMA nor clipping. Both get the library's own class
embedding, with the label hidden 10 % of the time, and the same network, which is what is published
there for MNIST made smaller. It computes fastest as it comes: channels-last or bf16 autocast make
one step of it slower on the processors that were tried.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import diffusers
import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file
from torch import Tensor

from demist.data import Dataset

from .clock import CpuClock, Marks

VERSION = diffusers.__version__
LABEL_DROP = 0.1
CHANNELS = (32, 32, 64)
SAMPLERS = {
    "DDIM": ("DDIMScheduler", {}),
    "DDIM, trailing": ("DDIMScheduler", {"timestep_spacing": "trailing"}),
    "DPMSolverMultistep": ("DPMSolverMultistepScheduler", {"timestep_spacing": "linspace"}),
    "DPMSolverMultistep, trailing": (
        "DPMSolverMultistepScheduler",
        {"timestep_spacing": "trailing"},
    ),
    "DPMSolverMultistep, Karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
}


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a published example."""

    betas: str
    batch: int
    optimizer: Callable[..., torch.optim.Optimizer]
    warmup: int
    decays: bool
    clip: float
    averages: bool


RECIPES = {
    "script": Recipe(
        betas="linear",
        batch=16,
        optimizer=lambda p: torch.optim.AdamW(
            p, lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8
        ),
        warmup=500,
        decays=True,
        clip=1.0,
        averages=True,
    ),
    "course": Recipe(
        betas="squaredcos_cap_v2",
        batch=128,
        optimizer=lambda p: torch.optim.Adam(p, lr=1e-3),
        warmup=0,
        decays=False,
        clip=0.0,
        averages=False,
    ),
}


def network(side: int, channels: int, classes: int) -> UNet2DModel:
    """A new network; label `classes` means "no class"."""
    return UNet2DModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=1,
        block_out_channels=CHANNELS,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        num_class_embeds=classes + 1,
    )


class Contender:
    """One recipe, as `time_to_quality.py` wants it.

    Args:
        recipe: A name in `RECIPES`.
    """

    def __init__(self, recipe: str) -> None:
        self.recipe = RECIPES[recipe]
        self.samplers = list(SAMPLERS)

    def train(self, data: Dataset, budget: float, marks: list[float], seed: int, save) -> dict:
        """Train for `budget` processor seconds; `save(mark, step, write)` at each mark."""
        recipe, classes = self.recipe, len(data.classes)
        torch.manual_seed(seed)
        net = network(data.x.shape[-1], data.x.shape[1], classes).train()
        optimizer = recipe.optimizer(net.parameters())
        peak = optimizer.param_groups[0]["lr"]
        average = EMAModel(
            net.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75
        )
        scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule=recipe.betas)
        x, y = torch.tensor(data.x), torch.tensor(data.labels)
        order, step, warm_at = torch.empty(0, dtype=torch.long), 0, 0.0
        waiting, clock = Marks(marks), CpuClock()
        while (now := clock()) < budget:
            if len(order) < recipe.batch:
                order = torch.randperm(len(x))
            rows, order = order[: recipe.batch], order[recipe.batch :]
            loss = _loss(net, scheduler, x[rows], y[rows], classes)
            loss.backward()
            if recipe.clip:
                torch.nn.utils.clip_grad_norm_(net.parameters(), recipe.clip)
            if step < recipe.warmup:
                warm_at, factor = now, step / recipe.warmup
            else:  # get_scheduler("cosine"), over the budget's seconds instead of its steps
                done = (now - warm_at) / (budget - warm_at)
                factor = 0.5 * (1 + math.cos(math.pi * done)) if recipe.decays else 1.0
            for group in optimizer.param_groups:
                group["lr"] = peak * factor
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            if recipe.averages:
                average.step(net.parameters())
            for mark in waiting.due(now := clock(), now >= budget):
                with clock.paused():
                    save(mark, step, lambda to: self._write(net, average, to))
        return {
            "parameters": sum(p.numel() for p in net.parameters()),
            "steps": step,
            "images": step * recipe.batch,
            "cpu_seconds": round(clock(), 1),
        }

    def _write(self, net: UNet2DModel, average: EMAModel, to: Path) -> None:
        if self.recipe.averages:
            average.store(net.parameters())
            average.copy_to(net.parameters())
        net.save_pretrained(to)
        if self.recipe.averages:
            average.restore(net.parameters())

    def open(self, checkpoint: Path) -> UNet2DModel:
        """The network of a checkpoint, ready to sample."""
        config = UNet2DModel.load_config(checkpoint)
        net = UNet2DModel.from_config(config)
        net.load_state_dict(load_file(checkpoint / "diffusion_pytorch_model.safetensors"))
        return net.eval()

    @torch.inference_mode()
    def sample(
        self, net: UNet2DModel, sampler: str, labels: np.ndarray, steps: int, seed: int
    ) -> np.ndarray:
        """Images (n, c, h, w) in bytes for `labels`, unguided."""
        kind, options = SAMPLERS[sampler]
        trained = DDPMScheduler(num_train_timesteps=1000, beta_schedule=self.recipe.betas)
        generator, out = torch.Generator().manual_seed(seed), []
        side, channels = net.config.sample_size, net.config.in_channels
        for part in torch.from_numpy(labels).split(100):
            scheduler = getattr(diffusers, kind).from_config(trained.config, **options)
            scheduler.set_timesteps(steps)
            x = torch.randn(len(part), channels, side, side, generator=generator)
            x = x * scheduler.init_noise_sigma
            for t in scheduler.timesteps:
                seen = scheduler.scale_model_input(x, t)
                x = scheduler.step(net(seen, t, part).sample, t, x).prev_sample
            out.append((x / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8))
        return torch.cat(out).numpy()


def _loss(
    net: UNet2DModel, scheduler: DDPMScheduler, x: Tensor, labels: Tensor, classes: int
) -> Tensor:
    x = x.float() / 127.5 - 1
    noise, t = torch.randn_like(x), torch.randint(0, 1000, (len(x),))
    told = torch.where(torch.rand(len(x)) < LABEL_DROP, classes, labels)
    return F.mse_loss(net(scheduler.add_noise(x, noise, t), t, told).sample, noise)
