# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 7 · Scores
#
# **What does a network know of the data, if all it does is to find noise?** It knows, from every place, in which
# direction data becomes more likely. This chapter shows that this is exactly the same knowledge, and what one can do
# with it: walk uphill, wander among the data, and run time backwards, with chance or without.
#
# You need: [chapter 4](04_ddpm.py), and DDIM from [chapter 6](06_ddim_and_fewer_steps.py).

# %%
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from demist.core import VP, Gaussian
from demist.core.exact import Exact, Mixture
from demist.course import COLOURS, figure, film, live, record, say, show
from demist.samplers import Euler, EulerMaruyama, annealed_langevin, sample, uniform

torch.set_num_threads(1)  # networks so small are fastest on one core

# %% [markdown]
# ## Which way is uphill?
#
# Let $p(x)$ be the {term}`density` of the data: large where much data is. Take its logarithm and ask, at every $x$,
# in which direction it grows fastest and how fast. That arrow is the {term}`score`:
#
# $$\operatorname{score}(x) = \nabla_x \log p(x)$$
#
# The sign $\nabla$ ("nabla") is the {term}`gradient`: the slope in each direction. For one Gaussian heap with the
# middle $m$ and the standard deviation $s$, $\log p = -\lVert x - m\rVert^2/(2 s^2)$ plus a constant, so the score is
# $(m - x)/s^2$: it points to the middle, and more strongly from far away. For several heaps, equally large, it is the
# mean of their arrows, weighted by how probable it is that $x$ is from each:
#
# $$\operatorname{score}(x) = \sum_k r_k\,\frac{m_k - x}{s^2}, \qquad
# r_k = \frac{e^{-\lVert x - m_k\rVert^2/(2 s^2)}}{\sum_j e^{-\lVert x - m_j\rVert^2/(2 s^2)}}$$
#
# Why the logarithm? The slope of $p$ itself is nearly 0 wherever there is no data, and that is where we begin. And
# the constant in front of a density, which nobody can compute for pictures, falls out.
#
# **Your turn.** Write it.


# %% tags=["exercise"]
def score(x, means, std):
    """The score of equally large Gaussian heaps.

    x: points, shape (n, d); means: the middles of the heaps, shape (k, d); std: the standard deviation of all heaps, a
    number. Gives shape (n, d). Hint: as in chapter 1, `torch.softmax` divides by the sum.
    """
    # <solution>
    away = means - x[:, None]
    share = torch.softmax(-away.square().sum(2) / (2 * std**2), dim=1)
    return (share[:, :, None] * away).sum(1) / std**2
    # </solution>


# %% [markdown]
# With noise the density changes, and so does the score. Data $x_0$ becomes
# $x_t = \alpha_t\,x_0 + \sigma_t\,\varepsilon$: the heaps move together (their middles become $\alpha_t\,m_k$) and
# grow wide. Here are three heaps in the plane, at four times, with the schedule `VP`.

# %%
schedule = VP()
means = torch.tensor([[-1.3, -0.8], [1.3, -0.8], [0.0, 1.4]], dtype=torch.float64)
STD = 0.25
heaps = Mixture(torch.ones(3), means, STD**2)
model = Exact(heaps, schedule)


def at(t):
    """Signal and noise at a time, as tensors without axes."""
    return schedule(torch.tensor(t, dtype=torch.float64))


def noisy_score(x, t):
    """The score of the noisy heaps: their middles are closer together, and they are wider."""
    alpha, sigma = at(t)
    return score(x, alpha * means, (alpha**2 * STD**2 + sigma**2).sqrt())


line = torch.linspace(-2.6, 2.6, 60, dtype=torch.float64)
plane = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
coarse = plane[2::5, 2::5].reshape(-1, 2)
fig, axes = figure(4, sharex=True, sharey=True, height=2.3)
for ax, t in zip(axes, (0.9, 0.3, 0.15, 0.05), strict=True):
    alpha, sigma = at(t)
    ax.contourf(line, line, heaps.log_prob(plane, alpha, sigma).exp(), 12, cmap="Blues")
    arrows = noisy_score(coarse, t)
    arrows = arrows / (arrows.norm(dim=1, keepdim=True) + 1)
    ax.quiver(*coarse.T, *arrows.T, color=COLOURS["model"], scale=14, width=0.008)
    ax.set(xticks=[], yticks=[], aspect="equal", title=f"t = {t}")
show(
    fig,
    "Four maps of the plane. In much noise all arrows point to the middle; the less noise, the more each arrow points "
    "to the nearest of three heaps.",
    "07-fields",
)

# %%
x = plane.reshape(-1, 2).requires_grad_()
for t in (0.9, 0.4, 0.2, 0.05):
    (slope,) = torch.autograd.grad(heaps.log_prob(x, *at(t)).sum(), x)
    assert torch.allclose(noisy_score(x, t), slope, rtol=1e-9, atol=1e-9)
say(
    "The formula agrees with the slope that PyTorch finds from the density by itself, at all times."
)

# %% [markdown]
# In much noise the arrows know the middle only. With less noise they know the three heaps. That is the same
# story as the best guess in [chapters 1](01_the_number_8.py) and [3](03_the_best_guess_is_a_blur.py), and no accident.
#
# ## Finding noise is knowing the score
#
# **Claim.** The best guess of the noise is the score, but for a factor:
#
# $$\hat\varepsilon(x_t) = E[\varepsilon \mid x_t] = -\sigma_t\,\nabla \log p_t(x_t)$$
#
# **Proof.** The noisy density is a sum over all clean data: $p_t(x) = \sum_{x_0} p(x_0)\,p_t(x \mid x_0)$, and
# $p_t(x \mid x_0)$ is a Gaussian around $\alpha_t\,x_0$ with the standard deviation $\sigma_t$. As for one heap
# above, its score is $(\alpha_t x_0 - x)/\sigma_t^2 = -\varepsilon/\sigma_t$, with the noise
# $\varepsilon = (x - \alpha_t x_0)/\sigma_t$ that leads from this $x_0$ to $x$. Now take the slope of the logarithm
# of the sum, by the chain rule:
#
# $$\nabla \log p_t(x) = \frac{\sum p(x_0)\,\nabla p_t(x \mid x_0)}{p_t(x)}
# = \sum_{x_0} \underbrace{\frac{p(x_0)\,p_t(x \mid x_0)}{p_t(x)}}_{p(x_0 \mid x)} \nabla \log p_t(x \mid x_0)
# = E\!\left[-\frac{\varepsilon}{\sigma_t}\,\middle|\, x\right] = -\frac{\hat\varepsilon(x)}{\sigma_t}$$
#
# So each network that was trained to find noise is a map of arrows. (For densities the sums are integrals; nothing
# else changes.)
#
# **Your turn.** Write the score from a guess of the noise.


# %% tags=["exercise"]
def score_from_noise(eps, sigma):
    """The score that belongs to a guess of the noise.

    eps: the guess of the noise, any shape; sigma: the size of the noise at this time, a number above 0.
    Gives the shape of eps.
    """
    # <solution>
    return -eps / sigma
    # </solution>


# %% [markdown]
# First on the closed form. `Exact` knows the best guess of the noise, as a mean over the heaps and without any slope.
# Against it stands the slope of the density, by PyTorch:

# %%
worst = 0.0
for t in (0.01, 0.05, 0.2, 0.5, 1.0):
    alpha, sigma = at(t)
    x = (alpha * heaps.sample(1000) + sigma * torch.randn(1000, 2)).requires_grad_()
    (slope,) = torch.autograd.grad(heaps.log_prob(x, alpha, sigma).sum(), x)
    guess = model(x, torch.tensor(t, dtype=torch.float64)).eps
    worst = max(
        worst, float(((score_from_noise(guess, sigma) - slope) * sigma).detach().abs().max())
    )
assert worst < 1e-10
say(
    f"At five levels of noise and 1000 points each, the largest difference is **{worst:.0e}**: rounding."
)

# %% [markdown]
# Then for a network that learns, in some seconds, what everybody's network learns: to find the noise. Nobody tells it
# a density or a slope.

# %%
torch.manual_seed(0)


class Net(nn.Module):
    """Guesses the noise in points of the plane."""

    def __init__(self, width=128):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 + 4, width), nn.SiLU(),
            nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, 2),
        )  # fmt: skip

    def forward(self, x, t):
        alpha, sigma = (c.float()[:, None] for c in schedule(t.double()))
        seen = torch.cat([x, alpha, sigma, sigma**2, sigma.log()], dim=1)
        return self.layers(seen)


net = Net()
STEPS = 2400
optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
for _ in range(STEPS):
    x0, eps, t = heaps.sample(256).float(), torch.randn(256, 2), 0.02 + 0.98 * torch.rand(256)
    alpha, sigma = (c.float()[:, None] for c in schedule(t.double()))
    loss = (net(alpha * x0 + sigma * eps, t) - eps).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    falling.step()

# %%
levels = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
off = []
for t in levels:
    alpha, sigma = at(t)
    x = alpha * heaps.sample(4000) + sigma * torch.randn(4000, 2)
    with torch.no_grad():
        learned = score_from_noise(net(x.float(), torch.full((4000,), t)), sigma)
    right = noisy_score(x, t)
    off.append(float((learned - right).square().mean().sqrt() / right.square().mean().sqrt()))

fig, (left, right_) = figure(2, width_ratios=[1, 1.2], height=3.1)
alpha, sigma = at(0.2)
with torch.no_grad():
    learned = score_from_noise(net(coarse.float(), torch.full((len(coarse),), 0.2)), sigma).double()
left.contourf(line, line, heaps.log_prob(plane, alpha, sigma).exp(), 12, cmap="Blues")
for arrows, colour, width in (
    (noisy_score(coarse, 0.2), COLOURS["truth"], 0.012),
    (learned, COLOURS["path"], 0.006),
):
    left.quiver(
        *coarse.T,
        *(arrows / (arrows.norm(dim=1, keepdim=True) + 1)).T,
        color=colour,
        scale=14,
        width=width,
    )
left.set(xticks=[], yticks=[], aspect="equal", title="t = 0.2: true (black), learned")
right_.plot(levels, [100 * v for v in off], "o-", color=COLOURS["path"])
right_.set(
    ylim=(0, None),
    xlim=(0, 1),
    xlabel="time t (0 is data, 1 is noise)",
    ylabel="error of the score, %",
)
right_.set_title("Where the noisy data is")
show(
    fig,
    "Left, learned arrows lie on the true ones. Right, the error of the learned score is some per cent at all times.",
    "07-network",
)

# %%
say(
    f"The learned score differs from the true one by **{100 * np.mean(off):.0f} %** in the mean over these times."
)
assert max(off) < 0.2

# %% [markdown]
# ## In full: longer training, and digits
#
# **Exercise 4** in full does two things that take too long for a page. It was done once, by `course/full.py`, and this is its
# record. Left, a network like ours learned the three heaps eight times as long, with twice as many points in a step.
# Right, the U-Net that draws the digits of MNIST ([chapter 4](04_ddpm.py)). But what is the true score of digits? Nobody
# knows the density of all digits that could be written. Known is that of the 60,000 *training* digits with noise: it
# is a sum of 60,000 Gaussians, and its score is the formula above. So we ask of both: how well do they guess the noise in
# *new* digits, which the network never saw? And how far apart are they?

# %%
recorded = record(4)
of_heaps, of_digits = recorded.figures["mixture"], recorded.figures["digits"]
mean_error = sum(of_heaps["error"]) / len(of_heaps["error"])
apart_by, network_off, training_off = (
    dict(zip(recorded.figures["times"], of_digits[name], strict=True))
    for name in ("error", "network", "training")
)
say(
    f"Exactly: a largest difference of {of_heaps['exact']:.0e}. The network of the heaps is off by **{mean_error:.1%}** in the mean. "
    f"The scores of the other network and of the training digits differ by **{apart_by[0.9]:.1%}** at t = 0.9, by {apart_by[0.5]:.1%} at t = 0.5 and by "
    f"{apart_by[0.1]:.0%} at t = 0.1. There the noise in new digits is guessed with an error of {network_off[0.1]:.0%} by the network and of "
    f"{training_off[0.1]:.0%} by the score of the training digits."
)
assert of_heaps["exact"] < 1e-9
assert max(of_heaps["error"]) < 0.15
assert max(apart_by[t] for t in (0.5, 0.6, 0.7, 0.8, 0.9)) < 0.1
assert all(network_off[t] < 0.8 * training_off[t] for t in (0.02, 0.05, 0.1, 0.2, 0.3))
recorded.picture

# %% [markdown]
# In much noise the network's score *is* that of the training digits. In little noise it is another one, and a better one
# for digits that are new: the score of 60,000 points leads to the nearest of them, and who followed it to the end would draw a
# training digit again, stroke by stroke ([chapter 3](03_the_best_guess_is_a_blur.py)). The network leads to digits
# that nobody wrote.
#
# ## Wandering among the data
#
# With arrows that point uphill one can climb. But who only climbs ends at a top, always the same one, and data is not
# only tops. {term}`Langevin dynamics` climbs a little and shakes a little, again and again:
#
# $$x \leftarrow x + \frac h2\,\operatorname{score}(x) + \sqrt h\,z$$
#
# With small steps $h$ and with patience, the points come to lie as the density says, wherever they began. This is
# proven for smooth densities that fall off to all sides, and still it fails. Let the data be two heaps, the right one
# four times as large:

# %%
pair = Mixture(torch.tensor([1.0, 4.0]), torch.tensor([[-1.2, 0.0], [1.2, 0.0]]).double(), 0.2**2)
two = Exact(pair, schedule)
DELTA, EACH = 0.2, 10
grid = torch.tensor(np.geomspace(1, 0.03, 40))


def langevin_step(x, t, z):
    """One step at the noise of time t; its length is a share of the noise."""
    h = DELTA * schedule(t)[1] ** 2
    return x + h / 2 * two(x, t).score + h.sqrt() * z


torch.manual_seed(0)
begin = torch.randn(1500, 2, dtype=torch.float64)
ways = {"only climbing": begin, "one level of noise": begin, "40 levels of noise": begin}
tones = dict(zip(ways, (COLOURS["noise"], COLOURS["path"], COLOURS["model"]), strict=True))
noise = torch.Generator().manual_seed(1)
frames = []
for i, t in enumerate(grid):
    for name in ways:
        for _ in range(EACH):
            x = ways[name]
            z = torch.randn(x.shape, generator=noise, dtype=x.dtype)
            if name == "40 levels of noise":
                ways[name] = langevin_step(x, t, z)
            else:
                ways[name] = langevin_step(x, grid[-1], 0 * z if name == "only climbing" else z)
    if i % 3 == 0:
        fig, axes = figure(3, sharex=True, sharey=True, height=2.2)
        for ax, (name, x) in zip(axes, ways.items(), strict=True):
            ax.scatter(*x[:600].T, s=4, color=tones[name], alpha=0.6, linewidths=0)
            share = float((x[:, 0] > 0).double().mean())
            ax.set(xlim=(-3, 3), ylim=(-2, 2), xticks=[], yticks=[], aspect="equal", title=name)
            ax.set_xlabel(f"{share:.0%} right of the middle")
        frames.append(fig)
film(
    frames,
    "Three clouds of points. Those that only climb shrink to two dots, those with one level of noise become two heaps of equal "
    "size, and those with 40 levels become a small and a large heap, as in the data.",
    6,
    "07-langevin",
)

# %%
shares = {name: float((x[:, 0] > 0).double().mean()) for name, x in ways.items()}
spreads = {
    name: float((x[x[:, 0] > 0] - torch.tensor([1.2, 0.0])).std()) for name, x in ways.items()
}
say(
    f"In the data 80 % are on the right. With one level of noise **{shares['one level of noise']:.0%}** are, with 40 "
    f"levels **{shares['40 levels of noise']:.0%}**. The right heap has the standard deviation 0.2, with the noise of the last level 0.23: those who only "
    f"climb have **{spreads['only climbing']:.2f}**, those with 40 levels **{spreads['40 levels of noise']:.2f}**."
)
assert abs(shares["40 levels of noise"] - 0.8) < 0.06
assert shares["one level of noise"] < 0.6
assert spreads["only climbing"] < 0.08 < 0.18 < spreads["40 levels of noise"] < 0.28

# %% [markdown]
# Between the heaps is nearly no data, so a point hardly ever crosses: each stays with the heap that it found first,
# and half of them began on the left. A network would have a second trouble there: it was never shown anything from
# where no data is, so its arrows are guesswork. **Noise cures both.** Noisy data is everywhere, and its heaps touch
# each other. So one begins with much noise, where crossing is easy, and takes it away level by level.
#
# The library has this walk. With equal noise it must give equal numbers:

# %%
levels_, x = grid[:6], begin
generator = torch.Generator().manual_seed(2)
for t in levels_:
    for _ in range(EACH):
        x = langevin_step(x, t, torch.randn(x.shape, generator=generator, dtype=x.dtype))
*_, last = annealed_langevin(
    two, begin, levels_, EACH, DELTA, Gaussian(torch.Generator().manual_seed(2))
)
assert torch.allclose(last.x, x, atol=1e-9)
say(f"The largest difference of 3000 numbers is {(last.x - x).abs().max():.0e}.")

# %% [markdown]
# ## Running time backwards
#
# Let the steps between the levels become smaller and smaller. Then data becomes noise in a smooth stream that is
# described by an {term}`SDE` (stochastic differential equation): in a short time $dt$ the state shrinks a little and
# is shaken a little,
#
# $$dx = -\tfrac12 \beta(t)\,x\,dt + \sqrt{\beta(t)}\,dw$$
#
# where $dw$ is noise of the variance $dt$, and $\beta(t)$ says how fast it goes. This is what the schedule `VP`
# stands for, and DDPM's thousand steps are its steps. Two equations run it **backwards**, both with the score and
# nothing else:
#
# $$\text{reverse SDE:}\quad dx = \left[-\tfrac12\beta x - \beta\,\operatorname{score}\right]dt + \sqrt\beta\,dw
# \qquad\qquad \text{ODE:}\quad \frac{dx}{dt} = -\tfrac12\beta x - \tfrac12\beta\,\operatorname{score}$$
#
# Here time runs from 1 down to 0, so a step of length $h$ *subtracts* $h$ times the bracket. The second has no chance
# in it at all: it is the {term}`probability-flow ODE`, the smooth curve of [chapter 6](06_ddim_and_fewer_steps.py).
# It has half as much of the score: what the other half does is Langevin's climbing, which the shaking of the SDE
# undoes again.
#
# **Your turn.** Write a step of the reverse SDE.


# %% tags=["exercise"]
def reverse_step(x, score, beta, h, z):
    """The state a short time h earlier, by the reverse SDE.

    x: the state; score: the score there; z: standard normal noise; all of one shape. beta: how fast noise comes, a
    number above 0; h: how far back in time, a small number above 0.
    """
    # <solution>
    return x + h * (beta * x / 2 + beta * score) + (beta * h) ** 0.5 * z
    # </solution>


# %%
line_pair = Mixture(torch.tensor([1.0, 3.0]), torch.tensor([[-1.0], [1.0]]).double(), 0.2**2)
one_d = Exact(line_pair, schedule)


def beta(t):
    return schedule.beta_min + t * (schedule.beta_max - schedule.beta_min)


def ode_step(x, score, beta, h, z):
    """The same by the ODE: half of the score, no noise."""
    return x + h * (beta * x / 2 + beta * score / 2)


def half_step(x, score, beta, h, z):
    """A typical mistake: half of the score, but all of the noise."""
    return x + h * (beta * x / 2 + beta * score / 2) + (beta * h) ** 0.5 * z


def backwards(step, x, steps, seed=0):
    """All states from t = 1 to 0. The last step takes the guess of the clean data."""
    generator = torch.Generator().manual_seed(seed)
    states = [x]
    for t, s in pairwise(uniform(steps)):
        slope = one_d(x, t).score
        if s > 0:
            z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
            x = step(x, slope, beta(t), t - s, z)
        else:
            alpha, sigma = schedule(t)
            x = (x + sigma**2 * slope) / alpha
        states.append(x)
    return torch.stack(states)[..., 0]


# %% [markdown]
# In the last line stands **Tweedie's formula**: since $\hat\varepsilon = -\sigma\cdot$score, the best guess of the
# clean data is $\hat x_0 = (x + \sigma^2\,\text{score})/\alpha$.

# %%
N = 400
first = torch.randn(6000, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
steps = {"reverse SDE": reverse_step, "ODE": ode_step, "half the score, all the noise": half_step}
runs = {name: backwards(step, first, N) for name, step in steps.items()}

bins = np.linspace(-2.5, 2.5, 51)
centre = torch.tensor((bins[1:] + bins[:-1]) / 2)[:, None]
frames = []
times = uniform(N)
for i in [0, 20, 60, 100, 140, 180, 220, 250, 280, 310, 330, 350, 370, 385, 400]:
    fig, axes = figure(2, sharey=True, height=3)
    outline = line_pair.log_prob(centre, *schedule(times[i])).exp()
    for ax, (name, colour) in zip(axes, (("reverse SDE", "noise"), ("ODE", "model")), strict=True):
        states = runs[name]
        ax.plot(
            times[: i + 1], states[: i + 1, :25], color=COLOURS[colour], alpha=0.4, linewidth=0.7
        )
        ax.axvline(times[i], color="#999999", linewidth=0.8)
        heights = np.histogram(states[i], bins, density=True)[0]
        ax.stairs(times[i].item() - 0.3 * heights, bins, baseline=times[i].item(), orientation="horizontal", fill=True,
                  color=COLOURS[colour], alpha=0.5)  # fmt: skip
        ax.plot(times[i] - 0.3 * outline, centre, color=COLOURS["truth"], linewidth=1.2)
        ax.set(xlim=(1, -0.5), ylim=(-2.6, 2.6), xticks=[1, 0.5, 0], title=name)
        ax.set_xlabel("time t: 1 is noise, 0 data")
    axes[0].set_ylabel("x")
    frames.append(fig)
film(
    frames,
    "Paths from noise to two heaps, jagged by the SDE and smooth by the ODE. At every time the histograms of both have the "
    "shape of the black curve, the exact density of the noisy data.",
    7,
    "07-sde-and-ode",
)

# %% [markdown]
# No path on the left is like one on the right, and yet at every time both clouds have the same density: the black
# curve, which is computed from the data alone. One says that they have equal {term}`marginals <marginal>`. By the
# Wasserstein distance of [chapter 6](06_ddim_and_fewer_steps.py), to as many real data with fresh noise:

# %%
generator = torch.Generator().manual_seed(4)
apart = {name: [] for name in runs}
looked = [80, 160, 240, 320, 400]
for i in looked:
    alpha, sigma = schedule(times[i])
    noise_ = torch.randn(6000, 1, generator=generator, dtype=torch.float64)
    real = (alpha * line_pair.sample(6000, generator) + sigma * noise_)[:, 0].sort().values
    for name, states in runs.items():
        apart[name].append(float((states[i].sort().values - real).abs().mean()))

fig, ax = figure(height=2.6)
for (name, values), colour in zip(apart.items(), ("noise", "model", "truth"), strict=True):
    ax.plot(times[looked], values, "o-", color=COLOURS[colour], markersize=4, label=name)
ax.set(xlim=(1, -0.02), ylim=(0, None), xlabel="time t: 1 is noise, 0 data", ylabel="distance")
ax.set_title("How far from the exact noisy data?")
ax.legend()
show(
    fig,
    "The distances of the reverse SDE and of the ODE stay near 0 at all times; that of the mistake grows large.",
    "07-marginals",
)

# %%
say(
    f"Over these five times the largest distance of the SDE is **{max(apart['reverse SDE']):.3f}**, that of the ODE "
    f"**{max(apart['ODE']):.3f}**, and that of the mistake {max(apart['half the score, all the noise']):.3f}."
)
assert max(apart["reverse SDE"] + apart["ODE"]) < 0.08
assert max(apart["half the score, all the noise"]) > 0.2

# %% [markdown]
# ## The same with the library
#
# `EulerMaruyama` takes steps of the reverse SDE, `Euler` those of the ODE:

# %%
for name, solver in (("reverse SDE", EulerMaruyama()), ("ODE", Euler())):
    theirs = sample(one_d, first, uniform(N), solver, Gaussian(torch.Generator().manual_seed(0)))
    assert torch.allclose(theirs[:, 0], runs[name][-1], atol=1e-8)
    say(
        f"{name}: the largest difference of 6000 numbers is {(theirs[:, 0] - runs[name][-1]).abs().max():.0e}."
    )

# %% [markdown]
# ## Touch it
#
# Arrows of the score around two moons, and points that follow them. Stop anywhere in time and drag the ring: it shows the
# arrow at its place. An ODE has smooth paths; `ddpm` is an SDE.

# %%
live(
    "field",
    "Arrows of the score and points that follow them from noise to two moons. Drag the ring.",
    shape="moons", controls=["solver", "steps", "schedule"], page="field",
)  # fmt: skip

# %% [markdown]
# ## What to remember
#
# - The score is the slope of the log-density: the way to more likely data.
# - Finding noise is knowing the score: $\hat\varepsilon = -\sigma\,\nabla\log p_t$, exactly for the best guess,
#   nearly for a network.
# - Climbing and shaking (Langevin) draws from a density, if it can cross from heap to heap. Levels of noise let it
#   cross.
# - Time runs backwards by an SDE or by an ODE, with the same density at every time. DDPM belongs to the first, DDIM
#   to the second.
#
# ## Where to read on
#
# - Song & Ermon 2019, *Generative Modeling by Estimating Gradients of the Data Distribution*: why levels of noise.
# - Song et al. 2021, *Score-Based Generative Modeling through Stochastic Differential Equations*: the two equations.
# - Vincent 2011, *A Connection Between Score Matching and Denoising Autoencoders*: the claim, years before.
# - Anderson 1982, *Reverse-time diffusion equation models*: that an SDE can be run backwards.
# - Efron 2011, *Tweedie's Formula and Selection Bias*: the formula of the best guess and its history.
#
# **Your answer**: `demist learn 7 --exercise` writes this chapter without the solutions, and
# `demist learn 7 --check FILE` says whether yours are right.
