"""Steps fitted to a model: few evaluations, as near to its exact flow as they come.

The exact flow is followed once, in many steps. Its states and velocities say how well any choice of
a few of their times can be integrated, at no further evaluation, so the times are found by trying.
Then the few steps are taken, one after the other, from the starts that are there: each step has the
weights with which its end comes nearest to the exact one, from where the steps before have led.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demist.core import Gaussian, Model, Prediction, combine, solvable_grid
from demist.errors import UsageError
from demist.samplers.fitted import MEMORY, Fitted
from demist.samplers.grids.functions import angular
from demist.samplers.loop import checked_grid, sample
from demist.samplers.make import SOLVERS, make_grid, make_solver
from demist.samplers.solver import Solver
from demist.samplers.solvers.adams import Adams
from demist.samplers.usual import usual

FINE = 96
"""Steps in which the exact flow is followed, at least; also the times to choose from."""

TIMES = (
    "angular:clean=1,noisy=1", "angular:clean=1.35", "angular:noisy=1", "angular",
    "angular:clean=2.2,noisy=1", "angular:clean=2.8", "angular:shift=1.5", "angular:shift=2.5",
)  # fmt: skip
"""Grids that are tried beside the times that are found on the path."""

PLAIN = (
    ("adams:last=1", "angular:clean=2.2,noisy=1"),
    ("adams:last=1", "angular:clean=1.75,noisy=1"),
    ("adams", "angular:clean=1.35,noisy=1"),
    ("adams:p=2,last=1", "angular:shift=2.5"),
)
"""Solvers of ours with grids that are tried as they are: with many steps they are often best."""

RIDGE = 1e-6
"""How much the weights are drawn to Euler's, relative to the mean square of a velocity."""

ROUNDS = 3
"""Of least squares, each with less weight for the starts that the one before missed."""


@dataclass(frozen=True)
class Fit:
    """How to take so many steps, and what is gained.

    Attributes:
        solver: What came nearest to the exact flow: a `Fitted`, or one of ours.
        times: Its grid, from 1 down to 0.
        error: Its mean distance from the exact end, root mean square over the values of a sample,
            on the half of the starts that it was chosen by, so a little too small.
        usual: That of the rule, `demist.samplers.usual`, on the same starts.
    """

    solver: Solver
    times: tuple[float, ...]
    error: float
    usual: float

    @property
    def spec(self) -> str:
        """The solver's name and options."""
        if isinstance(self.solver, Fitted):
            return self.solver.name
        return SOLVERS.write(self.solver)

    def to_json(self) -> dict[str, Any]:
        """All of it, as plain values."""
        told = {"solver": self.spec, "times": list(self.times)}
        if isinstance(self.solver, Fitted):
            told["weights"] = [list(row) for row in self.solver.weights]
        return {**told, "error": self.error, "usual": self.usual}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Fit":
        """What `to_json` gave.

        Raises:
            ValueError: It makes no sense.
        """
        try:
            times = tuple(float(t) for t in told["times"])
            if told["solver"] == Fitted.name:
                rows = tuple(tuple(float(w) for w in row) for row in told["weights"])
                solver: Solver = Fitted(times, rows)
            else:
                solver = make_solver(told["solver"])
            checked_grid(torch.tensor(times))
            return cls(solver, times, float(told["error"]), float(told["usual"]))
        except (KeyError, TypeError, UsageError) as error:
            raise ValueError(f"a fitted way of sampling makes no sense: {error}") from None


@torch.no_grad()
def fit(
    model: Model,
    x: Tensor,
    steps: Sequence[int],
    *,
    done: Callable[[int], None] = lambda evaluations: None,
) -> dict[int, Fit]:
    """For each number of steps the way of taking them that comes nearest to the exact flow.

    Nine sets of times are tried: the best of those on the path as far as the path can tell, and
    eight `angular` grids. Weights are fitted to one half of the starts by least squares, in which
    starts that are far off, such as those between two modes, count less; the other half says which
    set is best, or whether one of five solvers of ours is, among them the rule's.

    Args:
        model: Any denoiser, conditions filled in (`Conditioned`).
        x: Starts at t = 1, `sigma(1)` times noise, `(B, ...)`: 64 suffice for images, some hundreds
            in few dimensions.
        steps: Numbers of steps, 2 to 96 each.
        done: Called with the evaluations of the model (of all starts) since the last call.

    Returns:
        Number of steps -> `Fit`. Costs so many evaluations of all starts as `evaluations` says.

    Raises:
        ValueError: There are fewer than 4 starts, or a number of steps is out of range.
    """
    if len(x) < 4:
        raise ValueError(f"fitting needs at least 4 starts, got {len(x)}")
    for n in steps:
        if not 2 <= n <= FINE:
            raise ValueError(f"steps are fitted for 2 to {FINE}, got {n}")
    path = _follow(model, x)
    done(FINE)
    found = {}
    for n in steps:
        found[n] = _best(model, path, n)
        done(evaluations((n,)) - FINE)
    return found


def evaluations(steps: Sequence[int]) -> int:
    """How often `fit` asks the model about all starts, roughly."""
    return FINE + (len(TIMES) + 1 + len(PLAIN) + 1) * sum(steps)


@dataclass(frozen=True)
class _Path:
    """The exact flow from some starts.

    Attributes:
        times: From 1 down to 0, of the model's schedule, float64.
        taus: Flow times.
        z: States over alpha + sigma, `(times, B, ...)`.
        apart: Inner products of velocities, of all but the last time, summed over the starts that
            are fitted to.
        ahead: Of velocities with z at each time less z at the first.
        gone: Of those differences.
    """

    times: Tensor
    taus: Tensor
    z: Tensor
    apart: np.ndarray
    ahead: np.ndarray
    gone: np.ndarray

    @property
    def half(self) -> int:
        """So many starts, the first, are fitted to."""
        return self.z.shape[1] // 2

    def lost(self, nodes: Sequence[int]) -> float:
        """What steps from each of these times to the next lose, if they begin on the path."""
        total = 0.0
        for i, (k, m) in enumerate(pairwise(nodes)):
            used = nodes[max(0, i - MEMORY + 1) : i + 1][::-1]
            products = self.apart[np.ix_(used, used)]
            ahead = self.ahead[used, m] - self.ahead[used, k]
            w = _weighed(products, ahead, float(self.taus[m] - self.taus[k]))
            gone = self.gone[m, m] - 2 * self.gone[m, k] + self.gone[k, k]
            total += max(0.0, gone - 2 * w @ ahead + w @ products @ w)
        return total

    def chosen(self, n: int) -> list[int]:
        """The times of `n` steps that lose least, by moving one at a time."""
        last = len(self.times) - 1
        nodes = [round(i * last / n) for i in range(n + 1)]
        least, reach = self.lost(nodes), max(1, len(self.times) // (2 * n))
        while reach:
            before = least
            for i in range(1, n):
                for moved in (nodes[i] - reach, nodes[i] + reach):
                    if nodes[i - 1] < moved < nodes[i + 1]:
                        tried = [*nodes[:i], moved, *nodes[i + 1 :]]
                        if (lost := self.lost(tried)) < least:
                            least, nodes = lost, tried
            if least > 0.99 * before:
                reach //= 2
        return nodes

    def nearest(self, times: Tensor) -> list[int] | None:
        """The times of the path next to these; None if two are the same."""
        found = (self.times[None] - times[:, None]).abs().argmin(1).tolist()
        return found if len(set(found)) == len(found) else None


def _weighed(products: np.ndarray, ahead: np.ndarray, length: float) -> np.ndarray:
    """Weights of velocities that come nearest to a step, by least squares; their sum is `length`.

    Args:
        products: Inner products of the velocities, the newest first, `(m, m)`.
        ahead: Of each with what the step has to go.
        length: Of the step, in flow time.
    """
    m = len(ahead)
    euler = np.zeros(m)
    euler[0] = length
    # Two velocities that are all but the same leave their weights open: Euler's step says them.
    pull = RIDGE * np.trace(products) / m
    system = np.ones((m + 1, m + 1))
    system[:m, :m], system[m, m] = products + pull * np.eye(m), 0
    return np.asarray(np.linalg.solve(system, [*(ahead + pull * euler), length])[:m])


def _follow(model: Model, x: Tensor) -> _Path:
    """Solve the flow, and keep what it went through."""
    times = solvable_grid(model, checked_grid(angular(FINE, model.schedule)))
    watched = _Watched(model)
    x = model.schedule(times[0])[1] / model.schedule(times.new_ones(()))[1] * x
    solver, memory, states = Adams(), None, []
    for t, s in pairwise(times.unbind()):
        # Adams' method corrects a step once the velocity at its end is known: what it remembers
        # is the corrected state.
        x, memory = solver.step(watched, x, t, s, memory, Gaussian())
        states.append(memory[0] / _scale(model, t))
    z, v = torch.stack([*states, x / _scale(model, times[-1])]), torch.stack(watched.seen)
    alphas, sigmas = model.schedule(times)
    n = len(times)
    sums = [np.zeros(shape) for shape in ((n - 1, n - 1), (n - 1, n), (n, n))]
    for i in range(len(x) // 2):
        vs, went = v[:, i].flatten(1).double(), (z[:, i] - z[0, i]).flatten(1).double()
        for total, (a, b) in zip(sums, ((vs, vs), (vs, went), (went, went)), strict=True):
            total += (a @ b.T).cpu().numpy()
    return _Path(times, sigmas / (alphas + sigmas), z, *sums)


class _Watched:
    """A model that keeps its velocities."""

    def __init__(self, model: Model) -> None:
        self.model, self.schedule = model, model.schedule
        self.seen: list[Tensor] = []

    def __call__(self, x: Tensor, t: Tensor, **cond: Any) -> Prediction:
        p = self.model(x, t, **cond)
        self.seen.append(p.eps - p.x0)
        return p


def _scale(model: Model, t: Tensor) -> Tensor:
    alpha, sigma = model.schedule(t)
    return alpha + sigma


def _best(model: Model, path: _Path, n: int) -> Fit:
    """Try all sets of times, and the rule's solver."""
    tried = [path.chosen(n)]
    for grid in TIMES:
        nodes = path.nearest(make_grid(grid, n, model.schedule))
        if nodes is not None and nodes not in tried:
            tried.append(nodes)
    start = path.z[0] * _scale(model, path.times[0])
    found: list[Fit] = []
    for spec, grid in (usual(path.z[0, 0].shape), *PLAIN):
        solver = make_solver(spec)
        times = make_grid(grid, n, model.schedule)
        error = _distance(path, sample(model, start, solvable_grid(model, times), solver))
        known = found[0].usual if found else error
        found.append(Fit(solver, tuple(times.tolist()), error, known))
    for nodes in tried:
        fitted, error = _fitted(model, path, nodes)
        found.append(Fit(fitted, fitted.times, error, known))
    return min(found, key=lambda each: each.error)


def _fitted(model: Model, path: _Path, nodes: Sequence[int]) -> tuple[Fitted, float]:
    """Weights for these times, fitted to half of the starts, and the error of the others."""
    z, rows = path.z[0], []
    velocities: list[Tensor] = []
    for k, m in pairwise(nodes):
        t, scale = path.times[k], _scale(model, path.times[k])
        p = model(scale * z, t)
        velocities = [p.eps - p.x0, *velocities][:MEMORY]
        length = float(path.taus[m] - path.taus[k])
        w = _robust(velocities, path.z[m] - z, path.half, length)
        rows.append(tuple(w.tolist()))
        z = combine((1.0, *w.tolist()), (z, *velocities))
    times = (1.0, *(float(path.times[i]) for i in nodes[1:]))
    return Fitted(times, tuple(rows)), _distance(path, z)


def _robust(velocities: Sequence[Tensor], to_go: Tensor, half: int, length: float) -> np.ndarray:
    """Weights by which few starts that are far off do not decide: of the mean distance."""
    v = torch.stack([v[:half].flatten(1) for v in velocities], 1).double()
    ahead = to_go[:half].flatten(1).double()
    products = (v @ v.mT).cpu().numpy()
    along = (v @ ahead[..., None])[..., 0].cpu().numpy()
    squares = ahead.square().sum(1).cpu().numpy()
    share = np.ones(half)
    for _ in range(ROUNDS):
        w = _weighed(np.tensordot(share, products, 1), share @ along, length)
        lost = np.sqrt(
            np.maximum(0, squares - 2 * along @ w + np.einsum("bij,i,j->b", products, w, w))
        )
        share = 1 / (lost + np.median(lost) + np.finfo(float).tiny)
        share /= share.mean()
    return w


def _distance(path: _Path, end: Tensor) -> float:
    """From the exact end, of the starts that nothing was fitted to."""
    off = (end - path.z[-1])[path.half :].flatten(1).double()
    lost = off.square().mean(1).sqrt()
    return float(lost.mean()) if lost.isfinite().all() else float("inf")
