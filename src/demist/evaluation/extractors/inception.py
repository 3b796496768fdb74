"""Inception-v3 in the FID convention: the 2015 network, its 2048 pooled features.

Its weights are not part of this package. The names of the tensors are those of the ports of the
TensorFlow graph to PyTorch, as published by pytorch-fid and torch-fidelity, whose file has to be
converted to safetensors once (docs/how-do-you-measure-a-dream.md shows how). Differences from the
network of torchvision: average pooling leaves the padding out, the last block pools by the maximum,
and there are 1008 classes.

Images are resized antialiased (see `resize`), so values are those of the "clean" convention.

References:
    Szegedy et al. Rethinking the Inception Architecture for Computer Vision, 2016.
        https://arxiv.org/abs/1512.00567
    Nash et al. Generating Images with Sparse Representations, 2021 (sFID: spatial features).
        https://arxiv.org/abs/2103.03841
"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from demist.evaluation.extractors.features import in_blocks
from demist.evaluation.extractors.resize import prepare

SIDE, DIMENSION, SPATIAL, BLOCK = 299, 2048, 7, 32
Kernel = int | tuple[int, int]
Chain = tuple[tuple[str, int, Kernel], ...]


class Conv(nn.Module):
    """Convolution, normalisation, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, pad: bool = True
    ):
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2) if pad and stride == 1 else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, sides, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches side by side; each is a chain of convolutions, whose end may fork in two.

    Args:
        inputs: Channels.
        chains: Of convolutions `(name, channels, kernel)`; names ending in a and b are a fork.
        pool: Channels of the convolution behind the pooling branch; 0: halve the size, with no
            convolution there and stride 2 at the end of each chain.
        largest: Whether the pooling branch takes the maximum instead of the average.
    """

    def __init__(self, inputs: int, chains: tuple[Chain, ...], pool: int, largest: bool = False):
        super().__init__()
        self.chains = [[name for name, _, _ in chain] for chain in chains]
        self.pool, self.largest = pool, largest
        for chain in chains:
            channels = inputs
            for i, (name, outputs, kernel) in enumerate(chain):
                stride = 2 if not pool and i == len(chain) - 1 else 1
                self.add_module(name, Conv(channels, outputs, kernel, stride))
                if not name.endswith("a"):
                    channels = outputs
        if pool:
            self.branch_pool = Conv(inputs, pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for chain in self.chains:
            y, fork = x, []
            for name in chain:
                out = self.get_submodule(name)(y)
                if name[-1] in "ab":
                    fork.append(out)
                else:
                    y = out
            found += fork or [y]
        return torch.cat([*found, self._pooled(x)], 1)

    def _pooled(self, x: Tensor) -> Tensor:
        if not self.pool:
            return F.max_pool2d(x, 3, 2)
        if self.largest:
            near = F.max_pool2d(x, 3, 1, 1)
        else:
            near = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        y: Tensor = self.branch_pool(near)
        return y


def _a(inputs: int, pool: int) -> Mixed:
    five = (("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5))
    three = (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3))
    return Mixed(inputs, ((("branch1x1", 64, 1),), five, three), pool)


def _b() -> Mixed:
    three = (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3))
    return Mixed(288, ((("branch3x3", 384, 3),), three), 0)


def _c(width: int) -> Mixed:
    wide, high = (1, 7), (7, 1)
    single = (("branch7x7_1", width, 1), ("branch7x7_2", width, wide), ("branch7x7_3", 192, high))
    kernels: tuple[Kernel, ...] = (1, high, wide, high, wide)
    double = tuple(
        (f"branch7x7dbl_{i}", 192 if i == 5 else width, kernel)
        for i, kernel in enumerate(kernels, 1)
    )
    return Mixed(768, ((("branch1x1", 192, 1),), single, double), 192)


def _d() -> Mixed:
    three = (("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3))
    kernels: tuple[Kernel, ...] = (1, (1, 7), (7, 1), 3)
    seven = tuple((f"branch7x7x3_{i}", 192, kernel) for i, kernel in enumerate(kernels, 1))
    return Mixed(768, (three, seven), 0)


def _e(inputs: int, largest: bool) -> Mixed:
    fork = (("branch3x3_2a", 384, (1, 3)), ("branch3x3_2b", 384, (3, 1)))
    double = (("branch3x3dbl_3a", 384, (1, 3)), ("branch3x3dbl_3b", 384, (3, 1)))
    chains = (
        (("branch1x1", 320, 1),),
        (("branch3x3_1", 384, 1), *fork),
        (("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3), *double),
    )
    return Mixed(inputs, chains, 192, largest)


class Network(nn.Module):
    """The network from pixels in 0..255 to features, pooled and spatial."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3, pad=False)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3, pad=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _a(192, 32), _a(256, 64), _a(288, 64)
        self.Mixed_6a = _b()
        self.Mixed_6b, self.Mixed_6c = _c(128), _c(160)
        self.Mixed_6d, self.Mixed_6e = _c(160), _c(192)
        self.Mixed_7a = _d()
        self.Mixed_7b, self.Mixed_7c = _e(1280, largest=False), _e(2048, largest=True)
        self.fc = nn.Linear(DIMENSION, 1008)

    def forward(self, x: Float[Tensor, "b 3 299 299"]) -> Float[Tensor, "b ds"]:
        """2048 pooled features, and behind them 7 channels with their 17 x 17 places."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3((x - 128) / 128)))
        x = F.max_pool2d(x, 3, 2)
        x = F.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, 2)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        where = self.Mixed_6d.get_submodule("branch1x1.conv")(x)[:, :SPATIAL]
        x = self.Mixed_7a(self.Mixed_6e(self.Mixed_6d(x)))
        x = self.Mixed_7c(self.Mixed_7b(x))
        return torch.cat([x.mean((2, 3)), where.flatten(1)], 1)


class Inception:
    """Inception-v3 as an extractor.

    Args:
        weights: Tensors by name.
        recipe: Where they come from, with a hash.

    Raises:
        RuntimeError: The tensors are not those of this network.
    """

    dimension = DIMENSION

    def __init__(self, weights: Mapping[str, Tensor], recipe: str):
        with torch.device("meta"):
            self.network = Network()
        self.network.load_state_dict(dict(weights), assign=True)
        self.network.eval().requires_grad_(False)
        self.recipe = recipe

    def see(self, images: UInt8[np.ndarray, "n c h w"]) -> Float32[np.ndarray, "n ds"]:
        """Features, and spatial ones behind them."""
        return in_blocks(lambda x: self.network(prepare(x, SIDE)), images, BLOCK)
