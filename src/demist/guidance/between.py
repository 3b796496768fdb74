"""What lies between two things that are asked for: two prompts, interpolated over time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demist.core import Model, Prediction, Schedule, State


@dataclass(frozen=True)
class Between:
    """A denoiser that is asked for two things, and follows each in part.

    Its score is (1 - share) of the one and share of the other: that of the normalised product of
    both densities with these powers. At the ends it is one of the two, at the cost of one.

    References:
        Du et al. 2023, "Reduce, Reuse, Recycle: Compositional Generation with Energy-Based
        Diffusion Models and MCMC", arXiv:2302.11552, section 3 (products).

    Attributes:
        model: Asked by the conditions that it is called with.
        other: The model of the other thing, guided in its own way.
        cond: The other conditions.
        share: Of the other, from 0 to 1.
    """

    model: Model
    other: Model
    cond: Mapping[str, Any]
    share: float

    @property
    def schedule(self) -> Schedule:
        """The model's."""
        return self.model.schedule

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        """Both predictions, weighed."""
        if self.share == 0:
            return self.model(x, t, **cond)
        other = self.other(x, t, **self.cond)
        return other if self.share == 1 else self.model(x, t, **cond).lerp(other, self.share)
