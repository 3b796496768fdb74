"""What was measured is put back after every step."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from demist.core import Model, Noise
from demist.errors import UsageError
from demist.inverse.measurement import Measurement
from demist.inverse.near import put_back
from demist.inverse.stepped import Stepped
from demist.samplers import Solver


@dataclass(frozen=True)
class Replacement(Stepped):
    """Put the measured part of the state back after every step, with the noise of its level.

    For a mask these are the seen numbers; for any operator the part A^+ A x of the state, which the
    measurement tells. Where the measurement itself has noise, that counts as part of the level's,
    direction by direction; below the level of its own noise it is a noisy state like any other, and
    the model takes the noise out.

    Exact where the prior has measured and hidden parts that do not depend on each other
    (`test_exact_where_the_parts_are_independent`), with noise only for stochastic solvers: others
    lose the spread of the measured part. Else the model sees the measured part before the hidden
    one has been able to answer: hidden parts follow the prior too much, so that their spread is
    about right but their mean ignores much of what the measurement says.

    As many evaluations as the solver takes, no gradients. Without noise A x = y exactly.

    References:
        Song et al. 2021, "Score-Based Generative Modeling through SDEs", arXiv:2011.13456, appendix
        I.2 (masks); Song et al. 2022, "Solving Inverse Problems in Medical Imaging with Score-Based
        Generative Models", arXiv:2111.08005, eq. 8.
    """

    name: ClassVar[str] = "replacement"
    solver: ClassVar[str | None] = "ddim:eta=1"

    def require(self, measurement: Measurement) -> None:
        """See `Method`."""
        super().require(measurement)
        if measurement.std and not measurement.linear.spectrum:
            raise UsageError(
                f"method {self.name} needs the singular values of the operator where there is "
                f"noise, and they are not known; set the noise to 0, or take pigdm or mmps"
            )

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
        alpha, sigma = model.schedule(s)
        put = _put_back_noisy if measurement.std else put_back
        return put(measurement, x, alpha, sigma, noise), memory


def _put_back_noisy(
    m: Measurement, x: Tensor, alpha: Tensor, sigma: Tensor, noise: Noise
) -> Tensor:
    """As `put_back`, in those singular directions whose noise is below that of the level."""
    if sigma == 0:
        return x
    known = m.linear.spectrum
    assert known is not None
    inverses = known.inverses(x)
    r = len(inverses)
    own = alpha * m.std * inverses
    z, fresh = known.to_v(x), known.to_v(noise(x))[:, :r]
    there = alpha * known.to_u(m.y)[:, :r] * inverses
    there = there + (sigma**2 - own**2).clamp(min=0).sqrt() * fresh
    kept = torch.where((inverses > 0) & (own <= sigma), there, z[:, :r])
    return known.from_v(torch.cat([kept, z[:, r:]], 1))
