"""What a model last predicted, for films: nothing is computed, and nothing is changed."""

from typing import Any

from torch import Tensor

from demist.core import Model, Prediction, Schedule, State


class Watched:
    """A model that remembers the data it predicted last.

    Args:
        model: Any denoiser; its predictions are handed on as they are.

    Attributes:
        seen: The predicted data, `(B, ...)`; None: it was not asked yet.
        first: The first prediction since this was set to None: of a step, the one where it begins.
    """

    def __init__(self, model: Model):
        self.model = model
        self.seen: State | None = None
        self.first: Prediction | None = None

    @property
    def schedule(self) -> Schedule:
        """The model's."""
        return self.model.schedule

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        prediction = self.model(x, t, **cond)
        self.seen = prediction.x0
        self.first = self.first or prediction
        return prediction
