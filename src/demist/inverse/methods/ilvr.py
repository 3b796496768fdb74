"""The low frequencies of a reference, kept at every level."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from demist.core import Model, Noise
from demist.inverse.measurement import Measurement
from demist.inverse.near import put_back
from demist.inverse.stepped import Stepped
from demist.samplers import Solver


@dataclass(frozen=True)
class ILVR(Stepped):
    """After every step, down to the time `until`, the measured part is that of the noisy reference.

        x <- x + F(y_s - x),    y_s = alpha_s A^+ y + sigma_s z,    F = A^+ A

    In the paper F scales an image down and up again, so that its low frequencies are kept; here F
    is what the operator sees of a state, and for super-resolution that is the same. `until` above 0
    leaves the last times to the model, which may then leave the reference: a looser likeness.

    With `until=0` and no noise it is `replacement`, number by number
    (`test_ilvr_to_the_end_is_replacement`), and exact where that is. It takes no account of the
    measurement's noise, which therefore comes back in the sample: use it for references, not for
    measurements. As many evaluations as the solver takes, no gradients.

    References:
        Choi et al. 2021, "ILVR: Conditioning Method for Denoising Diffusion Probabilistic Models",
        arXiv:2108.02938, algorithm 1.

    Attributes:
        until: Time below which the model is left alone, in [0, 1].
    """

    name: ClassVar[str] = "ilvr"
    solver: ClassVar[str | None] = "ddim:eta=1"
    until: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.until <= 1:
            raise ValueError(f"until is a time in [0, 1], got {self.until}")

    def step(
        self,
        measurement: Measurement,
        solver: Solver,
        model: Model,
        x: Tensor,
        t: Tensor,
        s: Tensor,
        memory: Any,
        noise: Noise,
    ) -> tuple[Tensor, Any]:
        """See `Stepped`."""
        x, memory = solver.step(model, x, t, s, memory, noise)
        if s < self.until:
            return x, memory
        return put_back(measurement, x, *model.schedule(s), noise), memory
