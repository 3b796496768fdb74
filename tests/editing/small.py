"""A small model of prompts with random weights, for laws that hold for any model."""

import numpy as np
import torch

from demist.codecs import Pixels
from demist.conditions import Conditioner, Text, learn_tokenizer
from demist.core import Denoiser, Linear, Velocity
from demist.model import Pipeline, Sampling
from demist.networks import DiT, MMDiTNetwork, SDNetwork, UNet

WORDS = "a big red blue green three seven five on the left above"
TEXT = Text(learn_tokenizer([WORDS]), 10, 32, 1)
NETS = {
    "unet": lambda **k: UNet(channels=(16, 32), attention=(0, 1), **k),
    "dit": lambda **k: DiT(width=32, depth=2, **k),
    "sd": lambda **k: SDNetwork(channels=(32, 32), **k),
    "mmdit": lambda **k: MMDiTNetwork(side=8, width=32, depth=2, **k),
}


def small(kind="unet", bounds=(-1.0, 1.0), bucket=2):
    torch.manual_seed(0)
    conditioner = Conditioner({"text": TEXT})
    net = NETS[kind](in_channels=3, inlets=conditioner.specs())
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.08 * torch.randn_like(parameter)
    denoiser = Denoiser(net, Linear(), Velocity(), bounds=bounds).eval()
    how = Sampling(steps=3, guidance=2.0)
    return Pipeline(denoiser, Pixels(), conditioner, (3, 8, 8), how, bucket=bucket)


def images(n=2):
    return np.random.default_rng(0).integers(0, 256, (n, 3, 8, 8), dtype=np.uint8)


def end(plan):
    *_, point = plan.states()
    return point.x
