"""The same trajectories by the library and by the page, to be compared number by number."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from demist.core import Exact, Mixture, Noise, State, make_schedule
from demist.samplers import make_grid, make_solver, settled, trajectory

SCHEDULES = (
    "cosine", "linear", "vp", "sigmoid", "ve", "ve:sigma_max=10", "ddpm-linear",
    "ddpm-scaled-linear", "ddpm-cosine", "ddpm-sigmoid",
)  # fmt: skip
SOLVERS = (
    "auto", "adams", "adams:p=2,last=1", "adams:p=1", "ddim", "heun", "euler", "ddpm", "sde-adams",
    "churn", "euler-maruyama",
)  # fmt: skip
GRIDS = (
    "angular", "smooth", "cosine", "uniform", "shifted", "karras", "exponential", "log-snr",
    "trailing",
)  # fmt: skip

JAVASCRIPT = """async ({base, cases}) => {
  const at = (name) => import(`${base}/lib/diffusion/${name}.js`);
  const [{schedule}, {grid}, {Mixture, exact}, {solver, trajectory}] =
    await Promise.all(['schedules', 'grids', 'mixture', 'solvers'].map(at));
  return cases.map((c) => {
    const path = schedule(c.schedule), means = c.means.flat(), dims = c.means[0].length;
    const mixture = new Mixture(means, dims, c.variance, c.weights);
    const times = grid(c.grid, c.steps, path), x = Float64Array.from(c.x.flat());
    const [alpha, sigma] = path.at(c.t);
    const xs = Float64Array.from(c.line), ys = dims === 1 ? [0] : xs;
    const raster = mixture.raster(xs, ys, alpha, sigma, new Float64Array(xs.length ** dims));
    const made = solver(c.solver, c.steps);
    const draws = c.noise.map((draw) => Float64Array.from(draw.flat()));
    const states = trajectory(exact(mixture, path), x, times, made, (i) => draws[i]);
    return {times: [...times], end: [...states.at(-1)], middle: [...states[states.length >> 1]],
      log: [...mixture.logDensity(x, alpha, sigma)], raster: [...raster],
      rates: path.rates(c.t), stochastic: made.stochastic, own: made.grid};
  });
}"""


class Given(Noise):
    """Noise that somebody else has drawn: the first draw of every step, and no other."""

    def __init__(self, draws: Tensor, step: int = -1):
        self.draws, self.step = draws, step

    def __call__(self, like: State) -> State:
        return self.draws[self.step]

    def at(self, index: int, t: Tensor | None = None, s: Tensor | None = None) -> "Given":
        return Given(self.draws, index)

    def log_prob(self, z: State) -> Tensor:
        raise NotImplementedError


def cases(
    schedules: tuple[str, ...], solvers: tuple[str, ...], grids: tuple[str, ...], steps: list[int]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """What the page is asked, and what the library answers."""
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw, dtype=torch.float64)

    for name in schedules:
        schedule = make_schedule(name)
        for spec in solvers:
            for steps_ in steps:
                solver = make_solver(settled(spec, steps_))
                for grid in grids:
                    dims = 1 + (steps_ + len(spec)) % 2
                    means, weights = 4 * normal(3, dims), normal(3).exp()
                    variance, t = 0.0225, 0.4
                    grid_ = solver.grid if grid == "own" else grid
                    times = make_grid(grid_, steps_, schedule)
                    x = schedule(times[0])[1] * normal(5, dims)
                    noise = normal(len(times) - 1, 5, dims)
                    line = torch.linspace(-6, 6, 7, dtype=torch.float64)
                    mixture = Mixture(weights, means, variance)
                    model = Exact(mixture, schedule)
                    states = [x, *(p.x for p in trajectory(model, x, times, solver, Given(noise)))]
                    time = torch.tensor(t, dtype=torch.float64)
                    at_t = schedule(time)
                    places = torch.cartesian_prod(*[line] * dims).reshape(-1, dims)
                    if dims == 2:
                        places = places.flip(-1)  # rows of y
                    asked = {
                        "schedule": name, "solver": spec, "grid": grid_, "steps": steps_,
                        "means": means.tolist(), "weights": weights.tolist(),
                        "variance": variance, "x": x.tolist(), "noise": noise.tolist(), "t": t,
                        "line": line.tolist(),
                    }  # fmt: skip
                    yield asked, {
                        "times": times.tolist(),
                        "middle": states[len(states) // 2].flatten().tolist(),
                        "end": states[-1].flatten().tolist(),
                        "log": mixture.log_prob(x, *at_t).tolist(),
                        "raster": mixture.log_prob(places, *at_t).exp().tolist(),
                        "rates": [float(rate) for rate in schedule.rates(time)],
                        "stochastic": solver.stochastic, "own": solver.grid,
                    }  # fmt: skip


def furthest(answers: list[dict[str, Any]], expected: list[dict[str, Any]]) -> float:
    """The largest difference, relative to the larger of 1 and the largest number of its list."""
    worst = 0.0
    for found, right in zip(answers, expected, strict=True):
        assert found.keys() == right.keys()
        for name, value in right.items():
            if not isinstance(value, list):
                assert found[name] == value, name
                continue
            assert len(found[name]) == len(value), name
            a, b = (torch.tensor(v, dtype=torch.float64) for v in (found[name], value))
            assert torch.cat([a, b]).isfinite().all(), name
            worst = max(worst, float((a - b).abs().max() / b.abs().max().clamp(min=1)))
    return worst
