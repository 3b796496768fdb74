"""Where a published step leads, which is not always the time at which the next one begins."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Stride:
    """The aim of a step: a fixed number of the model's steps down, or the next time.

    Some samplers visit times that are rounded, and step by a whole stride all the same. Then the
    state at the end of a step is of one noise level, and the next step takes it for another.

    Attributes:
        length: How far down, as a time; 0: to the next time.
        first: Time of the model's cleanest step.
        end: Where the last step leads: 0, or the time of the cleanest level.
    """

    length: float = 0.0
    first: float = 0.0
    end: float = 0.0

    def __call__(self, t: Tensor, s: Tensor) -> Tensor:
        """Where the step from `t` leads, if `s` is the next time."""
        if self.length:
            aim = t - self.length
            return aim if aim > self.first / 2 else t.new_tensor(self.end)
        return s if s > 0 else s.new_tensor(self.end)


TO_NEXT = Stride()
"""To the next time, and to clean data in the end."""
