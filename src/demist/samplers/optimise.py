"""A grid fitted to a model: where n steps lose least, found by trying."""

from torch import Tensor

from demist.core import Model, State
from demist.samplers.grids.functions import angular
from demist.samplers.loop import sample
from demist.samplers.solver import Solver
from demist.samplers.solvers.adams import Adams


def optimised(
    n: int,
    model: Model,
    x: State,
    solver: Solver | None = None,
    *,
    sweeps: int = 8,
    reference_steps: int = 200,
) -> Tensor:
    """The n-step grid on which `solver` comes closest to the exact flow from the starts `x`.

    Coordinate search over the angles of the interior times, from `angular`: each is moved by a part
    of the gap to its neighbour and kept where the error against a fine solution falls; the part
    shrinks when nothing helps. It minimises what the sampler will be used for, the error of the
    end, as LD3 does, without gradients. The error is the mean distance and not its mean square,
    which a few starts on the border between two modes would decide.

    The grid can be kept with a pipeline as its times: `Sampling(grid="1,0.81,...,0")`.

    Args:
        n: Steps; the search costs about `2 sweeps n^2` evaluations of the model.
        model: Any denoiser, conditions filled in (`Conditioned`).
        x: Starts at t = 1, `sigma(1)` times noise: some tens suffice. A tensor.
        solver: Deterministic; default `Adams()`.
        sweeps: Rounds over all times.
        reference_steps: Steps of the fine solution.

    References:
        Tong et al. 2024, "Learning to Discretize Denoising Diffusion ODEs", arXiv:2405.15506 (LD3);
        Sabour et al. 2024, "Align Your Steps", arXiv:2404.14507.
    """
    solver = Adams() if solver is None else solver
    if solver.stochastic:
        raise ValueError(f"{solver.name} draws noise; a grid is fitted to a deterministic solver")
    schedule = model.schedule
    target = sample(model, x, angular(reference_steps, schedule), Adams())

    def error(angles: Tensor) -> float:
        end = sample(model, x, _grid(angles), solver)
        distance = (end - target).flatten(1).square().mean(1)
        return float(distance.sqrt().mean()) if distance.isfinite().all() else float("inf")

    def _grid(angles: Tensor) -> Tensor:
        times = schedule.time_at_angle(angles)
        times[0], times[-1] = 1.0, 0.0
        return times

    angles = schedule.angle(angular(n, schedule))
    best, part = error(angles), 0.5
    for _ in range(sweeps):
        before = best
        for i in range(1, n):
            for towards in (i - 1, i + 1):
                trial = angles.clone()
                trial[i] += part * (angles[towards] - angles[i])
                found = error(trial)
                if found < best:
                    best, angles = found, trial
        if best > 0.98 * before:
            part /= 2
    return _grid(angles)
