"""PNDM and PLMS, as published."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demist.core import Model, Noise, Prediction, State, combine
from demist.samplers.published.stride import TO_NEXT, Stride
from demist.samplers.solver import Solver
from demist.samplers.solvers.ipndm import ADAMS_BASHFORTH


@dataclass(frozen=True)
class PLMS(Solver):
    """`PNDM`, with the published aims and midpoints, on whatever the network predicts.

    What is averaged is the network's own output: where that is v = alpha eps - sigma x0, so is the
    average, and it becomes a noise at the beginning of the step.

    References:
        Liu et al. 2022, "Pseudo Numerical Methods for Diffusion Models on Manifolds",
        arXiv:2202.09778, eq. 9 and algorithm 2.

    Attributes:
        aim: Where steps lead; its length is that of a stride.
        half: Half a stride in whole steps of the model, as a time.
        warm: Begin with one step of two evaluations (PLMS), not with three of four.
        velocity: The network predicts v.
    """

    name = "published"
    order = 2
    aim: Stride = TO_NEXT
    half: float = 0.0
    warm: bool = True
    velocity: bool = False

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, tuple[State, ...]]:
        """See `Solver.step`; the memory is the network's last outputs, newest first."""
        now = self._output(model(x, t))
        known = (now, *(memory or ()))[:4]
        if self.warm and len(known) == 1 and s > 0:
            guess = self._move(model, x, t, self.aim(t, s), now)
            mean = combine((0.5, 0.5), (now, self._output(model(guess, s))))
            return self._move(model, x, s + self.aim.length, s, mean), known
        if not self.warm and len(known) <= 3:
            return self._runge_kutta(model, x, t, s, now), known
        mean = combine(ADAMS_BASHFORTH[len(known) - 1], known)
        return self._move(model, x, t, self.aim(t, s), mean), known

    def evaluations(self, steps: int) -> int:
        """One per step, and one or nine more in all."""
        return steps + (min(1, steps - 1) if self.warm else 9)

    def _output(self, p: Prediction) -> State:
        return p.alpha * p.eps - p.sigma * p.x0 if self.velocity else p.eps

    def _move(self, model: Model, x: State, t: Tensor, s: Tensor, output: State) -> State:
        """DDIM's step from `t` to `s` with this output of the network."""
        (a_t, g_t), (a_s, g_s) = model.schedule(t), model.schedule(s)
        eps = a_t * output + g_t * x if self.velocity else output
        ratio = a_s / a_t
        return ratio * x + (g_s - g_t * ratio) * eps

    def _runge_kutta(self, model: Model, x: State, t: Tensor, s: Tensor, first: State) -> State:
        """The classical method: the first stage leads half a stride down, others start above s."""
        middle = s + self.half
        outputs = [first]
        for aim, at in ((t - self.half, middle), (middle, middle), (s, s)):
            outputs.append(self._output(model(self._move(model, x, t, aim, outputs[-1]), at)))
        mean = combine((1 / 6, 1 / 3, 1 / 3, 1 / 6), outputs)
        return self._move(model, x, t, s, mean)
