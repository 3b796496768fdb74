"""Clips a second in training, beside audio-diffusion-pytorch at equal parameters.

    pip install --no-deps audio-diffusion-pytorch==0.1.3 a-unet==0.0.16 && pip install einops
    python benchmarks/sounds_speed.py --threads 1 --rounds 15

Both learn the spectrograms of spoken digits, 64 bands x 48 spectra, by whole steps of training:
gradient, update, and for demist the average of the weights. demist's step also cuts
the recording and computes its spectrogram, since that is in its loop; theirs finds the spectrogram
in memory. The networks have the same widths and strides and attention at the
coarsest level only; the peer's `modulation_features` and heads make its parameters as many
as ours within two hundredths. One round is one step of each, in turn, so that a busy moment
hits both; the table has ours / theirs, by medians of the CPU time of the process, and the ratio
with its quartiles. Multiply-adds are of forward and backward together.
"""

import argparse
import importlib.machinery
import platform
import sys
import time
import types
from dataclasses import replace
from statistics import median, quantiles
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

BATCH, SAMPLES, RATE = 32, 6144, 8000
WIDTHS = (32, 64, 128)


class Ours:
    """demist: `fit` with the options of the recipe `spoken-digits`."""

    def __init__(self, low: bool) -> None:
        from demist import recipes
        from demist.config import update
        from demist.data import Dataset
        from demist.training.build import build
        from demist.training.fit import fit

        waves = np.random.default_rng(0).standard_normal((4 * BATCH, 1, SAMPLES), np.float32) / 10
        options = {"batch_size": BATCH, "conditions": "none", "threads": None}
        limits = {"steps": 10**9, "images": None, "budget": None}
        config = update(recipes.find("spoken-digits").config(), {**options, **limits})
        made = build(config, Dataset(waves, kind=f"sounds:rate={RATE}"))
        self.net: nn.Module = made.pipeline.denoiser
        self._steps = fit(
            made.pipeline.denoiser,
            made.batches,
            objective=made.objective,
            options=replace(made.config.optimization, precision="bf16" if low else "fp32"),
            limits=made.config.limits,
        )

    def step(self) -> None:
        next(self._steps)


class Theirs:
    """audio-diffusion-pytorch: `DiffusionModel` of the README, as a network of two dimensions."""

    def __init__(self, low: bool, modulation: int) -> None:
        _without_torchaudio()
        from audio_diffusion_pytorch import DiffusionModel, UNetV0, VDiffusion, VSampler

        self.low = low
        self.net: nn.Module = DiffusionModel(
            net_t=UNetV0, dim=2, in_channels=1, channels=list(WIDTHS), factors=[1, 2, 2],
            items=[1, 1, 1], attentions=[0, 0, 1], attention_heads=4, attention_features=32,
            modulation_features=modulation, diffusion_t=VDiffusion, sampler_t=VSampler,
        )  # fmt: skip
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=1e-4)
        self.x = torch.randn(BATCH, 1, 64, SAMPLES // 128)

    def step(self) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.low):
            loss = self.net(self.x)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def _without_torchaudio() -> None:
    """It is imported for one layer that is not used here, and has no build for a CPU."""
    for name in ("torchaudio", "torchaudio.transforms"):
        if name not in sys.modules:
            module: Any = types.ModuleType(name)
            module.__spec__ = importlib.machinery.ModuleSpec(name, None)
            sys.modules[name] = module
    sys.modules["torchaudio"].transforms = sys.modules["torchaudio.transforms"]  # type: ignore[attr-defined]


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def operations(one: Ours | Theirs) -> float:
    """Of one step, forward and backward, in millions for each clip."""
    with FlopCounterMode(display=False) as counter:
        one.step()
    return counter.get_total_flops() / 2 / BATCH / 1e6


def equal(target: int) -> int:
    """The peer's width of modulation at which it has the most parameters up to `target`."""
    low, high = 1, 4096
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(Theirs(False, middle).net) <= target else (low, middle)
    return low


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    modulation = equal(count(Ours(False).net))
    where = f"{platform.machine()}, {args.threads} threads, torch {torch.__version__}"
    print(f"{where}; batches of {BATCH}")
    print(
        "\n| precision | parameters | million multiply-adds a clip | clips a CPU-second | ratio |"
    )
    print("|---|---:|---:|---:|---:|")
    for low in (False, True):
        both = Ours(low), Theirs(low, modulation)
        times: list[list[float]] = [[], []]
        for turn in range(args.rounds + 2):
            for one, seen in zip(both, times, strict=True):
                begun = time.process_time()
                one.step()
                if turn > 1:
                    seen.append(time.process_time() - begun)
        ratios = [b / a for a, b in zip(*times, strict=True)]
        low_, _, high = quantiles(ratios, n=4)
        print(
            f"| {'bf16' if low else 'fp32'} | {' / '.join(f'{count(one.net):,}' for one in both)} "
            f"| {' / '.join(f'{operations(one):.0f}' for one in both)} "
            f"| {' / '.join(f'{BATCH / median(seen):.0f}' for seen in times)} "
            f"| {median(ratios):.2f} ({low_:.2f} to {high:.2f}) |"
        )


if __name__ == "__main__":
    main()
