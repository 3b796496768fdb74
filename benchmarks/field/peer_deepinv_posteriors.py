"""deepinv's posterior samplers, on its own noise levels, with its defaults unless tuned.

deepinv's samplers are of images with values from 0 to 1 and clip what leaves them. So each problem
is scaled: the box that holds the prior becomes [0, 1]. torchvision, which it imports for its data
sets and not for what is used here, may be missing: an empty module takes its place then.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from field.posteriors import Counted, Known, f64

WEIGHTS = (0.3, 1.0, 3.0, 5.6, 10.0, 18.0, 30.0, 56.0, 100.0, 180.0)
"""Of the residual's gradient in DPS; 1 is its default."""


class _Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Modules of torchvision with nothing in them."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name.partition(".")[0] == "torchvision":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        made = types.ModuleType(spec.name)
        made.__path__ = []
        made.__getattr__ = lambda name: type(name, (), {})  # type: ignore[method-assign]
        return made

    def exec_module(self, module: types.ModuleType) -> None:
        pass


if importlib.util.find_spec("torchvision") is None:
    sys.meta_path.append(_Absent())

from deepinv.optim.data_fidelity import L2  # noqa: E402
from deepinv.physics import DecomposablePhysics, GaussianNoise  # noqa: E402
from deepinv.sampling import DDRM, DPS, DiffPIR  # noqa: E402


class _Exact(nn.Module):
    """The exact denoiser of a prior in the box: `D(x, sigma)`."""

    def __init__(self, counted: Counted, half: float):
        super().__init__()
        self.counted, self.half = counted, half

    def forward(self, x: Tensor, sigma: Any, *rest: Any, **more: Any) -> Tensor:
        level = 2 * self.half * float(torch.as_tensor(sigma).flatten()[0])
        if level == 0:
            return x
        alpha = 1 / (1 + level)
        t = torch.tensor(level * alpha, dtype=f64)
        x0 = self.counted(alpha * self.half * (2 * x.to(f64) - 1), t).x0
        return (x0 / self.half + 1) / 2


def methods(steps: int) -> dict[str, Callable[[Known, Counted, Tensor], Tensor]]:
    """By name: from a problem, a denoiser and draws to samples. DPS by its weight."""

    def scaled(make: Callable[..., Tensor]) -> Callable[[Known, Counted, Tensor], Tensor]:
        def run(known: Known, counted: Counted, z: Tensor) -> Tensor:
            half = _half(known)
            m, d = known.matrix.shape
            u, s, vh = torch.linalg.svd(known.matrix)
            values = torch.cat([s, s.new_zeros(d - m)])[None]
            physics = DecomposablePhysics(
                U=lambda x: x[:, :m] @ u.T,
                U_adjoint=lambda y: nn.functional.pad(y @ u, (0, d - m)),
                V=lambda x: x @ vh, V_adjoint=lambda x: x @ vh.T, mask=values,
                noise_model=GaussianNoise(known.std / (2 * half)),
            )  # fmt: skip
            y = (known.y + half * known.matrix.sum(1)) / (2 * half)
            x = make(_Exact(counted, half), physics, y.expand(len(z), -1).clone(), known)
            return half * (2 * x.detach().to(f64) - 1)

        return run

    def ddrm(model: nn.Module, physics: Any, y: Tensor, known: Known) -> Tensor:
        made: Tensor = DDRM(model, sigmas=np.linspace(1, 0, steps))(y, physics)
        return made

    def diffpir(model: nn.Module, physics: Any, y: Tensor, known: Known) -> Tensor:
        noise = float(physics.noise_model.sigma)
        made: Tensor = DiffPIR(model, L2(), sigma=noise, max_iter=steps)(y, physics)
        return made

    def dps(weight: float) -> Callable[..., Tensor]:
        def run(model: nn.Module, physics: Any, y: Tensor, known: Known) -> Tensor:
            sampler = DPS(model, num_steps=steps, weight=weight, dtype=f64)
            made: Tensor = sampler(y, physics, x_init=(len(y), known.matrix.shape[1]))
            return made

        return run

    return {
        "deepinv DDRM": scaled(ddrm),
        "deepinv DiffPIR": scaled(diffpir),
        **{f"deepinv DPS:weight={w:g}": scaled(dps(w)) for w in WEIGHTS},
    }


def _half(known: Known) -> float:
    """Half the side of a box around the origin that holds draws of the prior."""
    return 1.05 * float(known.prior.sample(4000, torch.Generator().manual_seed(3)).abs().max())
