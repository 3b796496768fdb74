"""The problem that every sampler is given: exact data, one start noise, one reference solution.

The data is a mixture of Gaussians, so the optimal network is known in closed form at every noise
level. The forward process is DDPM's (Ho et al. 2020: 1000 steps, linear betas). All samplers start
from the same draw `z`, at `sigma z` of the noisiest level they visit, and their results are
compared with the float64 solution of the probability-flow ODE from the noisiest level of the table,
down to exactly clean data. A sampler that can only begin in noise beyond that level is compared
with the solution from there.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from demist.core import Schedule, Table, linear_betas
from demist.core.exact import Mixture

f64 = torch.float64
TABLE = Table.from_betas(linear_betas())
BUDGETS = (5, 10, 20, 40, 80, 160)


def plane() -> Mixture:
    """Five round components in 2-D, whose widths differ by a factor of eight."""
    means = [[-1.2, -0.6], [1.0, -0.9], [0.2, 1.1], [1.4, 0.8], [-0.5, 0.2]]
    widths = torch.tensor([0.30, 0.15, 0.40, 0.10, 0.05], dtype=f64)
    weights = torch.tensor([0.35, 0.25, 0.20, 0.15, 0.05], dtype=f64)
    return Mixture(weights, torch.tensor(means, dtype=f64), widths[:, None] ** 2)


def space() -> Mixture:
    """Ten components in 64-D with a falling spectrum, as pictures have: 1 at first, 0.1 at last."""
    g = torch.Generator().manual_seed(64)
    spectrum = torch.logspace(0, -1, 64, dtype=f64)
    means = torch.randn((10, 64), generator=g, dtype=f64) * spectrum
    widths = torch.linspace(0.1, 0.5, 10, dtype=f64)[:, None] * spectrum
    weights = torch.linspace(1, 2, 10, dtype=f64)
    return Mixture(weights, means, widths**2)


@dataclass
class Problem:
    """A mixture, its start noise `z` of shape `(B, D)`, and a count of network evaluations."""

    name: str
    data: Mixture
    z: Tensor
    calls: int = 0
    _solved: dict[float, Tensor] = field(default_factory=dict)

    @property
    def schedule(self) -> Schedule:
        """The path that demist samples along; the peers have their own."""
        return TABLE

    @property
    def top(self) -> float:
        """sigma / alpha at the last step of the table, where sampling begins."""
        bar = float(TABLE.alpha_bar[-1])
        return math.sqrt((1 - bar) / bar)

    @property
    def std(self) -> float:
        """Root mean square over the axes of the data's standard deviation."""
        w = self.data.weights[:, None]
        mean = (w * self.data.means).sum(0)
        return float(
            (w * (self.data.variances + (self.data.means - mean) ** 2)).sum(0).mean().sqrt()
        )

    def predict(self, x: Tensor, alpha: float, sigma: float) -> tuple[Tensor, Tensor]:
        """The network: exact `(x0, eps)` at `x = alpha x0 + sigma eps`. Every call counts."""
        self.calls += 1
        return self._posterior(x.to(f64), float(alpha), float(sigma))

    def _posterior(self, x: Tensor, alpha: float, sigma: float) -> tuple[Tensor, Tensor]:
        """`Mixture.posterior` as matrix products, several times as fast; checked in `problems`."""
        means, variances = self.data.means, self.data.variances
        total = alpha**2 * variances + sigma**2
        scaled = alpha * means / total
        constant = self.data.weights.log() - 0.5 * (total.log() + alpha * means * scaled).sum(-1)
        r = (x @ scaled.T - 0.5 * x**2 @ (1 / total).T + constant).softmax(-1)
        gain = alpha * variances / total
        x0 = r @ (sigma**2 / total * means) + x * (r @ gain)
        eps = sigma * (x * (r @ (1 / total)) - r @ scaled)
        return x0, eps

    def one(self) -> "Problem":
        """The same with a single sample, to count evaluations cheaply."""
        return Problem(self.name, self.data, self.z[:1])

    def reference(self, ratio: float | None = None, rtol: float = 1e-11) -> Tensor:
        """Clean end of the probability-flow ODE that starts at `sigma z`, sigma/alpha = `ratio`.

        Solved as the linear flow dx/dt = eps - x0 (any schedule is this one, rescaled), which is
        regular down to clean data, by an explicit Runge-Kutta method of order 8.
        """
        ratio = self.top if ratio is None else ratio
        key = (ratio, rtol)
        if key not in self._solved:
            start = 1.0 if math.isinf(ratio) else ratio / (1 + ratio)

            def velocity(t: float, x: object) -> object:
                x0, eps = self._posterior(torch.as_tensor(x).reshape(self.z.shape), 1 - t, t)
                return (eps - x0).flatten().numpy()

            x = (start * self.z).flatten().numpy()
            end = solve_ivp(velocity, (start, 0), x, "DOP853", rtol=rtol, atol=rtol / 10)
            self._solved[key] = torch.from_numpy(end.y[:, -1]).reshape(self.z.shape)
        return self._solved[key]

    def errors(self, x: Tensor, ratio: float | None = None) -> tuple[float, float]:
        """Root mean square and median distance to the reference, in data standard deviations."""
        distance = (x - self.reference(ratio)).square().mean(-1).sqrt() / self.std
        return float(distance.square().mean().sqrt()), float(distance.median())


def problems() -> list[Problem]:
    """The two problems of the table."""
    g = torch.Generator().manual_seed(0)
    both = [
        Problem("2-D", plane(), torch.randn((1024, 2), generator=g, dtype=f64)),
        Problem("64-D", space(), torch.randn((1024, 64), generator=g, dtype=f64)),
    ]
    for p in both:
        for angle in (1e-3, 0.1, 1.0, 1.57):
            alpha, sigma = math.cos(angle), math.sin(angle)
            truth = p.data.posterior(p.z, *torch.tensor([alpha, sigma], dtype=f64))
            torch.testing.assert_close(p._posterior(p.z, alpha, sigma), truth, rtol=1e-8, atol=1e-8)
    return both


@dataclass(frozen=True)
class Sampler:
    """One way to sample: a library, a method and its settings.

    Attributes:
        library: Who made it.
        method: Name of the class or function.
        settings: All that differs from its defaults, in the library's own words.
        run: `(problem, n) -> x` with `n` steps, or tolerances for `n` evaluations if `adaptive`.
        default: "library" for what the library's own guide starts with, "class" for a method with
            nothing set, else "".
        adaptive: Whether `n` bounds the evaluations instead of counting steps.
        noisier: sigma / alpha where it starts if that is beyond the table's; it is then compared
            with the ODE from there.
    """

    library: str
    method: str
    settings: str
    run: Callable[[Problem, int], Tensor]
    default: str = ""
    adaptive: bool = False
    noisier: float | None = None

    @property
    def label(self) -> str:
        """Method and settings, shortened."""
        return label(self.method, self.settings)


def label(method: str, settings: str) -> str:
    """Method and settings, shortened."""
    for part in ("Scheduler", "Sampler", "sample_"):
        method = method.replace(part, "")
    return f"{method} ({settings})" if settings else method


def guess(sampler: Sampler, problem: Problem, budget: int) -> int:
    """A number of steps that makes `budget` evaluations or slightly more, from a short trial."""
    if sampler.adaptive:
        return budget
    one, n = problem.one(), min(budget, 8)
    try:
        sampler.run(one, n)
    except Exception:  # a method may refuse some numbers of steps
        return budget
    return max(1, min(budget, math.ceil(budget * n / one.calls) + 1))
