"""Given parts of a sample, kept exactly: continuation, in-betweening, motifs, image to video.

Where known parts are put back after every step, the network sees them at a noise that they do not
have, and the rest does not fit them. Here the network sees them clean, at t = 0, and the prediction
says where they end, so that the solver carries them there by itself.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from demist.core import Model, Prediction, Schedule, State, left, where


@dataclass(frozen=True)
class Held:
    """A denoiser whose given parts are at t = 0 for the network, and predicted exactly.

    With every solver they end at `clean`: the last step has no noise left to add. The network must
    see the time of every part (times of shape `(B, F)`); one that knows a single time per
    sample refuses.

    Attributes:
        model: A denoiser for times per part.
        clean: What is given: a state `(B, F, ...)`; its values elsewhere do not matter.
        anew: `(F,)` or `(B, F)`: 1 for parts to be made anew, 0 for those given.
    """

    model: Model
    clean: State
    anew: Tensor

    @property
    def schedule(self) -> Schedule:
        """The model's."""
        return self.model.schedule

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        """Predict both ends of the line through `x` at time `t`, of shape `()` or `(B,)`."""
        anew = self.anew.bool().to(x.device)
        anew = anew.expand(len(x), *anew.shape[-1:]) if anew.ndim == 1 else anew
        moving = anew.to(t.dtype)
        p = self.model(where(anew, x, self.clean), left(t, moving) * moving, **cond)
        alpha, sigma = (left(c, x) for c in self.schedule(t))
        exact = (x - alpha * self.clean) * torch.where(sigma > 0, 1 / sigma, 0)
        return Prediction(
            where(anew, p.x0, self.clean), where(anew, p.eps, exact), alpha, sigma, p.spread
        )
