"""Guidance by combining predictions under several conditions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demist.core import Model, Prediction, Schedule, Vector, many

Cond = Mapping[str, Any]


@dataclass(frozen=True)
class CFG:
    """Classifier-free guidance: away from the unconditional prediction, `scale` times.

    A scale of 1 means no guidance (and skips the unconditional call), 0 ignores the condition.
    Papers that write (1 + w) eps_cond - w eps_uncond have w = scale - 1.

    References:
        Ho & Salimans 2022, "Classifier-Free Diffusion Guidance", arXiv:2207.12598, eq. 6.

    Attributes:
        model: The denoiser to guide.
        scale: Guidance scale.
        null: Maps the conditions to those of the unconditional model.
    """

    model: Model
    scale: float
    null: Callable[[Cond], Cond]

    @property
    def schedule(self) -> Schedule:
        """The model's."""
        return self.model.schedule

    def __call__(self, x: Vector, t: Tensor, **cond: Any) -> Prediction:
        if self.scale == 1 or not cond:
            return self.model(x, t, **cond)
        without, with_ = many(self.model, x, t, [self.null(cond), cond])
        return without.lerp(with_, self.scale)
