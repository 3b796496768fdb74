r"""Diffusion as stochastic differential equations, for those who think that way.

    forward           dx = f(t) x dt + g(t) dw
    reverse           dx = [f x - (1 + eta^2) / 2 g^2 score] dt + eta g dw      (t running down)
    probability flow  the same with eta = 0: no noise

All of them, for every eta, have the marginals of `x_t = alpha x0 + sigma eps`. Drift and diffusion
are two lines derived from the path, `f = alpha' / alpha` and `g^2 = 2 sigma sigma' - 2 f sigma^2`,
so there is no SDE class: whatever is a schedule is an SDE.

Where alpha = 0 the drift and the diffusion are infinite: all that is left of the signal is lost in
an instant. Times are float64 tensors of shape `()` or of the state's leading axes.

References:
    Song et al. 2021, "Score-Based Generative Modeling through SDEs", arXiv:2011.13456, eqs. 5, 6
    and 13; Zhang & Chen 2023, "Fast Sampling of Diffusion Models with Exponential Integrator",
    arXiv:2204.13902, section 2 (the family in between); Kingma et al. 2021, "Variational Diffusion
    Models", arXiv:2107.00630, section 2.
"""

from typing import Any

from torch import Tensor

from demist.core.denoiser import Model
from demist.core.noise import Noise
from demist.core.schedule import Schedule
from demist.core.state import State, left


def drift(schedule: Schedule, t: Tensor) -> Tensor:
    """f(t), per unit of time, of `t`'s shape: at most 0; -inf where alpha = 0."""
    alpha, _ = schedule(t)
    d_alpha, _ = schedule.rates(t)
    return d_alpha / alpha


def squared_diffusion(schedule: Schedule, t: Tensor) -> Tensor:
    """g(t)^2, variance per unit of time, of `t`'s shape; +inf where alpha = 0.

    At t = 0, where sigma' may be infinite, this is the limit from the noisy side.
    """
    t = t.clamp(min=1e-100)
    _, sigma = schedule(t)
    _, d_sigma = schedule.rates(t)
    return 2 * sigma * (d_sigma - drift(schedule, t) * sigma)


def score(model: Model, x: State, t: Tensor, **cond: Any) -> State:
    """Gradient of log p_t at `x`, of its shape; needs t > 0."""
    return model(x, t, **cond).score


def velocity(model: Model, x: State, t: Tensor, **cond: Any) -> State:
    """dx/dt of the probability-flow ODE at `x`, of its shape."""
    return reverse_drift(model, x, t, eta=0.0, **cond)


def reverse_drift(model: Model, x: State, t: Tensor, *, eta: float = 1.0, **cond: Any) -> State:
    """dx/dt of the reverse SDE at `x`, apart from its noise `eta g dw`.

    Args:
        model: Any denoiser.
        x: State of shape `(B, ...)`.
        t: Time, with 0 < t, and alpha(t) > 0 unless `eta` is 0.
        eta: 1 is the reverse SDE, 0 the probability-flow ODE.
        cond: Conditions, handed to the model.
    """
    p = model(x, t, **cond)
    d_alpha, d_sigma = (left(rate, x) for rate in model.schedule.rates(t))
    flow = p.velocity((d_alpha, d_sigma))
    if eta == 0:
        return flow
    # f x and the score's share in (x0, eps) form, where nothing cancels near the data.
    return flow + (eta**2 * (d_sigma - d_alpha / p.alpha * p.sigma)) * p.eps


def transition(schedule: Schedule, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """The forward process in one jump: q(x_s | x_t) = N(kept x_t, std^2).

    Args:
        schedule: Any path.
        t: Cleaner time, with alpha(t) > 0.
        s: Noisier time, of `t`'s shape.

    Returns:
        `(kept, std)`; kept = alpha_s / alpha_t (Kingma et al. 2021, appendix A).
    """
    (a_t, g_t), (a_s, g_s) = schedule(t), schedule(s)
    kept = a_s / a_t
    return kept, (g_s**2 - (kept * g_t) ** 2).clamp(min=0).sqrt()


def forward_jump(schedule: Schedule, x: State, t: Tensor, s: Tensor, noise: Noise) -> State:
    """A draw of the forward process at the noisier `s`, given `x` at `t`: exact for any step."""
    kept, std = (left(c, x) for c in transition(schedule, t, s))
    return kept * x + std * noise(x)


def forward_euler(schedule: Schedule, x: State, t: Tensor, s: Tensor, noise: Noise) -> State:
    """The same by one Euler-Maruyama step of the forward SDE: only for small `s - t`."""
    h = s - t
    kept, std = 1 + h * drift(schedule, t), (h * squared_diffusion(schedule, t)).sqrt()
    return left(kept, x) * x + left(std, x) * noise(x)
