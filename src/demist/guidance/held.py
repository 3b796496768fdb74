"""Given parts of a sample, kept exactly: continuation, in-betweening, motifs, image to video.

Where known parts are put back after every step, the network sees them at a noise that they do not
have, and the rest does not fit them. Here the network sees them clean: at t = 0, or beside the
state, by a condition that tells them. The prediction says where they end, so that the solver
carries them there by itself.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from demist.core import Model, Prediction, Schedule, State, left, where


@dataclass(frozen=True)
class Held:
    """A denoiser whose given parts are known to the network, and predicted exactly.

    With every solver they end at `clean`: the last step has no noise left to add. The network
    either sees the time of every part (times of shape `(B, F)`; one that knows a single time per
    sample refuses), or is `told` by its conditions what is given; then it is shown the state as it
    is, at one time.

    Attributes:
        model: A denoiser for times per part, or one whose conditions tell it the given parts.
        clean: What is given: a state `(B, F, ...)`; its values elsewhere do not matter.
        anew: 1 for what is to be made anew, 0 for what is given: `(F,)` or `(B, F)`; of what is
            told, in a shape that goes with the state by NumPy's rules, such as `(B, 1, 1, T)`.
        told: Whether conditions tell the network.
    """

    model: Model
    clean: State
    anew: Tensor
    told: bool = False

    @property
    def schedule(self) -> Schedule:
        """The model's."""
        return self.model.schedule

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        """Predict both ends of the line through `x` at time `t`, of shape `()` or `(B,)`."""
        anew = self.anew.bool().to(x.device)
        if self.told:
            anew = anew.expand(x.shape)
            p = self.model(x, t, **cond)
        else:
            anew = anew.expand(len(x), *anew.shape[-1:]) if anew.ndim == 1 else anew
            moving = anew.to(t.dtype)
            p = self.model(where(anew, x, self.clean), left(t, moving) * moving, **cond)
        alpha, sigma = (left(c, x) for c in self.schedule(t))
        exact = (x - alpha * self.clean) * torch.where(sigma > 0, 1 / sigma, 0)
        return Prediction(
            where(anew, p.x0, self.clean), where(anew, p.eps, exact), alpha, sigma, p.spread
        )
