"""MMPS whose modes are weighed anew at every noise level, by Langevin steps."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from demist.core import Gaussian, State
from demist.errors import UsageError
from demist.inverse.measurement import Measurement
from demist.inverse.method import Loop, Method
from demist.inverse.methods.mmps import MMPS
from demist.samplers import DDIM, TrajectoryPoint, langevin

APART = 1 << 32
"""Where the numbering of the draws of Langevin steps begins, beyond those of a solver."""


@dataclass(frozen=True)
class MMPSLangevin(Method):
    """DDIM with the denoiser of `MMPS`, and `n` Langevin steps at each level that it reaches.

    A solver keeps what went wrong at an earlier level; Langevin steps forget it, and settle at what
    the approximation of p(y | x_t) says at this level. The cleaner the state, the better it is, and
    the weights of the modes are those of the last level at which the steps still go from one to the
    other: modes far apart, of which none is seen from the other once p(y | x_t) is accurate, stay
    wrongly weighed. Exact on Gaussians up to the bias of `delta` (see `samplers.langevin`).

    More steps do not mend that: the approximation weighs modes rightly only in so little noise that
    steps between modes are rare (docs/posteriors.md has the figures).

    `n` + 1 times the evaluations and gradients of `MMPS`. It weighs modes rightly where they are
    told apart early (test_mmps_with_langevin_weighs_the_modes), and no better than `MMPS` where
    that is late: docs/posteriors.md. It takes steps of its own; the caller's solver is left aside.

    References:
        Rozet et al. 2024, arXiv:2405.13712, section 4 (the likelihood); Song et al. 2021,
        "Score-Based Generative Modeling through SDEs", arXiv:2011.13456, algorithm 4 (the
        corrector).

    Attributes:
        n: Langevin steps at each level.
        delta: Share of the noise, in (0, 1], that one replaces.
        tolerance: See `MMPS`.
        most: Likewise.
    """

    name: ClassVar[str] = "mmps-langevin"
    linear: ClassVar[bool] = False
    gaussian: ClassVar[bool] = False
    n: int = 5
    delta: float = 0.3
    tolerance: float = MMPS.tolerance
    most: int = MMPS.most

    def __post_init__(self) -> None:
        MMPS(self.tolerance, self.most)
        if self.n < 1 or not 0 < self.delta <= 1:
            raise UsageError(
                f"mmps-langevin has n = {self.n} and delta = {self.delta:g}; it needs 1 step or "
                f"more, and a share in (0, 1]; for no Langevin steps take mmps"
            )

    def points(self, measurement: Measurement, loop: Loop) -> Iterator[TrajectoryPoint]:
        """See `Method`."""
        guided = MMPS(self.tolerance, self.most).wrap(loop.model, measurement)
        noise = Gaussian() if loop.noise is None else loop.noise
        done = loop.index

        def then(x: State, s: Tensor) -> State:
            nonlocal done
            if s > 0:
                first = APART + done * self.n
                for state in langevin(
                    guided, x, s, self.n, self.delta, noise, index=first, **loop.cond
                ):
                    x = state
            done += 1
            return x if loop.constrain is None else loop.constrain(x, s)

        own = replace(loop, model=guided, solver=DDIM(), noise=noise, constrain=then)
        return own.points()
