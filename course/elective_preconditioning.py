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
# # Preconditioning
#
# **What should a network see, and what should it say?** A noisy picture and a guess of the noise, we said so far. Karras and
# others (2022) took diffusion models apart and asked this of each piece: of what goes into the network, what comes out, how
# the levels of noise are chosen and how one walks along them. Their answers, known as EDM, are short formulas. We
# derive them, and measure what they are worth.
#
# You need: [chapter 6](06_ddim_and_fewer_steps.py).

# %%
import math
from itertools import pairwise

import numpy as np
import sympy
import torch
from torch import nn

from demist.core import VE, Denoiser, Gaussian, Karras
from demist.core.exact import Exact, Mixture
from demist.course import COLOURS, figure, film, say, show
from demist.objectives import EDMWeight, LogNormal, denoising_loss
from demist.samplers import Churn, Heun, karras, sample

torch.set_num_threads(1)  # networks so small are fastest on one core
torch.manual_seed(0)

# %% [markdown]
# ## Numbers of size one
#
# EDM's path is the plainest: the data stays as it is, and noise is added, $x = x_0 + \sigma\,\varepsilon$, with a $\sigma$
# from 0.002 (nothing to be seen) to 80 (nothing else). So the numbers that a network sees would be 80 times as large at
# one end as at the other. But networks are built for numbers of size one: their first weights, their bends, the size of
# their steps in training, all suppose it. To bring what goes in and what comes out to that size is called
# {term}`preconditioning`. The guess $D$ of the clean data is put together of the state $x$ and of what the network $F$ says:
#
# $$D(x, \sigma) = c_\text{skip}\,x + c_\text{out}\,F(c_\text{in}\,x,\ c_\text{noise})$$
#
# Let $\sigma_d$ be the {term}`standard deviation` of the data (0.5 for the usual pictures, and for our points). Three wishes
# settle three letters:
#
# 1. *What goes in has variance 1.* The variances of data and noise add up.
# 2. *What should come out has variance 1.* If $D$ is to be $x_0$, then $F$ has to say
#    $(x_0 - c_\text{skip}\,x)/c_\text{out}$. Put in $x = x_0 + \sigma\,\varepsilon$ and take the variance.
# 3. *Errors of the network count as little as possible.* They are multiplied by $c_\text{out}$, so choose the
#    $c_\text{skip}$ for which $c_\text{out}$ is smallest.
#
# **Your turn.** Find them.


# %% tags=["exercise"]
def scales(sigma, sigma_data):
    """What stands around the network at the noise sigma.

    sigma, sigma_data: the standard deviations of the noise and of the data, above 0, of one shape or numbers.
    Gives three of the same: c_in, c_skip and c_out. Write roots as ** 0.5.
    """
    # <solution>
    total = sigma**2 + sigma_data**2
    return 1 / total**0.5, sigma_data**2 / total, sigma * sigma_data / total**0.5
    # </solution>


# %% [markdown]
# SymPy checks the three wishes, for all numbers at once: by the second, $c_\text{out}^2 = (1 - c_\text{skip})^2\sigma_d^2 +
# c_\text{skip}^2\,\sigma^2$, and where that is smallest its slope is 0.

# %%
s, d, skip = sympy.symbols("sigma sigma_d c_skip", positive=True)
wish = (1 - skip) ** 2 * d**2 + skip**2 * s**2
(best,) = sympy.solve(sympy.diff(wish, skip), skip)
c_in, c_skip, c_out = (sympy.nsimplify(c) for c in scales(s, d))
assert sympy.simplify(c_in**2 * (s**2 + d**2)) == 1
assert sympy.simplify(c_skip - best) == 0
assert sympy.simplify(c_out**2 - wish.subs(skip, best)) == 0
assert sympy.diff(wish, skip, 2).is_positive  # so it is a minimum
say(
    f"$c_{{skip}} = {sympy.latex(best)}$ and $c_{{out}}^2 = {sympy.latex(sympy.factor(wish.subs(skip, best)))}$."
)

# %% [markdown]
# Now look at it. Our data are three heaps with $\sigma_d = 0.5$. From little noise to much: what is there, what the network
# sees, and what it should say.

# %%
STD = 0.5
turns = torch.arange(3, dtype=torch.float64) * 2 * math.pi / 3 + math.pi / 2
centres = (2 * (STD**2 - 0.1**2)) ** 0.5 * torch.stack([turns.cos(), turns.sin()], 1)
heaps = Mixture(torch.ones(3, dtype=torch.float64), centres, 0.1**2)
model = Exact(heaps, VE())
clean, eps = heaps.sample(2000), torch.randn(2000, 2, dtype=torch.float64)
sizes, frames = [], []
for sigma in np.geomspace(0.02, 20, 12):
    c_in, c_skip, c_out = scales(sigma, STD)
    x = clean + sigma * eps
    shown = {
        "the state": x,
        "the network sees": c_in * x,
        "it should say": (clean - c_skip * x) / c_out,
    }
    sizes.append([float(value.std()) for value in shown.values()])
    fig, axes = figure(3, height=2.9, sharex=True, sharey=True)
    for ax, (name, value), tone in zip(
        axes, shown.items(), ("noise", "data", "model"), strict=True
    ):
        ax.scatter(*value[:900].T, s=3, color=COLOURS[tone], alpha=0.6, linewidths=0)
        ax.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2), xticks=[], yticks=[], aspect="equal", title=name)
        ax.set_xlabel(f"standard deviation {value.std():.2f}")
    axes[0].set_ylabel(f"σ = {sigma:.2f}")
    frames.append(fig)
film(
    frames,
    "With growing noise the cloud of states bursts out of its frame. What the network sees stays of one size and goes from three heaps to one "
    "round cloud; what it should say stays of that size too, and goes from a round cloud to three heaps.",
    6,
    "precondition-scales",
)

# %%
sizes = np.array(sizes)
say(
    f"The state has standard deviations from {sizes[0, 0]:.2f} to {sizes[-1, 0]:.0f}, the other two from **{sizes[:, 1:].min():.2f}** to **{sizes[:, 1:].max():.2f}**."
)
assert abs(sizes[:, 1:] - 1).max() < 0.06
for sigma, likely in ((0.02, -eps), (20.0, clean / STD)):
    _, c_skip, c_out = scales(sigma, STD)
    wanted = (clean - c_skip * (clean + sigma * eps)) / c_out
    assert (wanted - likely).square().mean().sqrt() < 0.06

# %% [markdown]
# The right panel holds the whole answer: **in little noise the network says the noise (with a minus), in much noise the data**, and in
# between a mix, as {term}`v-prediction` ([chapter 5](05_noise_schedules.py)). Each time it says what the state does not show.
# And no other choice is safer. If the network errs by 1, a guess of the noise lets $D$ err by $\sigma$, a guess of the data by
# $\sigma_d$ (in units of the data). With $c_\text{out}$ it errs by less than either, at every level:

# %%
sigmas = np.geomspace(0.002, 80, 200)
factor = scales(sigmas, STD)[2]
assert (factor < np.minimum(sigmas, STD)).all()
say(
    f"At $\\sigma$ = 0.002, 0.5 and 80 the factor is {factor[0]:.4f}, {scales(0.5, STD)[2]:.2f} and {factor[-1]:.2f}."
)

# %% [markdown]
# Two pieces are left. The network is told $c_\text{noise} = \ln(\sigma)/4$, a number of size one, too. And the loss: squared
# errors of $D$ are multiplied by the {term}`weight <loss weight>` $\lambda(\sigma) = 1/c_\text{out}^2$, which makes them
# squared errors of $F$: then a network that has learned nothing and says 0 has the loss 1 at *every* level, and no level
# drowns out the others. Which levels are shown is a separate choice: $\ln\sigma$ is drawn from a Gaussian with mean -1.2 and
# standard deviation 1.2, the middle, where something can be learned.
#
# ## Is it worth it?
#
# Three networks of one form learn the same data with the same steps: one says the data and sees the bare state, one says the
# noise and sees the bare state, the third is preconditioned. Each has the plain squared error of what it says.


# %%
class Net(nn.Module):
    """Two numbers and the level of noise to two numbers."""

    def __init__(self, width=64):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 + 4, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2),
        )  # fmt: skip

    def forward(self, x, c_noise):
        turn = math.pi * c_noise[:, None].to(x)
        return self.layers(torch.cat([x, turn, turn.cos(), turn.sin(), (2 * turn).sin()], dim=1))


def guess(net, x, sigma, way="preconditioned"):
    """The guess D of the clean data, in one of three ways; x: (n, 2), sigma: (n, 1)."""
    c_noise = sigma[:, 0].log() / 4
    if way == "says the data":
        return net(x, c_noise)
    if way == "says the noise":
        return x - sigma * net(x, c_noise)
    c_in, c_skip, c_out = scales(sigma, STD)
    return c_skip * x + c_out * net(c_in * x, c_noise)


def weight(sigma, way="preconditioned"):
    """What makes of the squared error of D that of the network."""
    ways = {"says the data": 0 * sigma + 1, "says the noise": 1 / sigma**2}
    return ways.get(way, 1 / scales(sigma, STD)[2] ** 2)


TONES = {"says the data": "data", "says the noise": "noise", "preconditioned": "model"}
data, nets = heaps.sample(20_000).float(), {}
for way in TONES:
    torch.manual_seed(1)
    nets[way] = Net()
    optimizer = torch.optim.Adam(nets[way].parameters(), fused=True)
    falling = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=900)
    for _ in range(900):
        x0, sigma = data[torch.randint(20_000, (256,))], (1.2 * torch.randn(256, 1) - 1.2).exp()
        x = x0 + sigma * torch.randn(256, 2)
        loss = (weight(sigma, way) * (guess(nets[way], x, sigma, way) - x0) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()

# %% [markdown]
# First that the preconditioned one is what the library has: a `Denoiser` on the path `VE` whose network says `Karras`, with the
# loss weight `EDMWeight` and the levels `LogNormal`. (What the library's network is told, its clock, is $\ln(\sigma)/2$ here, twice $c_\text{noise}$.)

# %%
net = nets["preconditioned"]
denoiser = Denoiser(lambda x, clock: net(x, clock / 2), VE(), Karras(STD), input_std=STD)
u = torch.rand(500, dtype=torch.float64)
t, sigma = LogNormal()(u, VE()), (1.2 * torch.special.ndtri(u) - 1.2).exp()
assert torch.allclose(VE()(t)[1], sigma)
x0, level, noise = data[:500], sigma.float()[:, None], torch.Generator()
x = x0 + level * torch.randn(500, 2, generator=noise.manual_seed(2))
with torch.no_grad():
    ours = guess(net, x, level)
    assert torch.allclose(denoiser(x, t).x0, ours, atol=1e-5)
    theirs = denoising_loss(denoiser, x0, t, EDMWeight(STD), Gaussian(noise.manual_seed(2)))
    losses = (weight(level) * (ours - x0) ** 2).mean(1)
    assert torch.allclose(theirs, losses, rtol=1e-3, atol=1e-3)
    say(
        f"The guesses of 500 points differ by at most {(denoiser(x, t).x0 - ours).abs().max():.0e}, their losses by {(theirs - losses).abs().max():.0e}."
    )

# %% [markdown]
# Now the errors of all three, against the best guess that is possible, which is known for such data:

# %%
LEVELS = np.geomspace(0.02, 20, 13)
errors = {way: [] for way in TONES}
for sigma in LEVELS:
    x, one = clean + sigma * eps, torch.full((2000, 1), float(sigma))
    best = model(x, torch.tensor(sigma / 80, dtype=torch.float64)).x0
    with torch.no_grad():
        for way in TONES:
            off = guess(nets[way], x.float(), one, way) - best
            errors[way].append(float(off.square().mean().sqrt()))

fig, ax = figure(height=2.8, width=5.6)
for way, tone in TONES.items():
    ax.loglog(LEVELS, errors[way], "o-", color=COLOURS[tone], markersize=4, label=way)
ax.set(xlabel="noise σ", ylabel="error of the guess", title="Three networks, the same training")
ax.legend()
show(
    fig,
    "The error of the network that says the noise rises with the noise, that of the one that says the data is high in little noise; the green line of the "
    "preconditioned one is low everywhere.",
    "precondition-trained",
)

# %%
mean = {way: float(np.exp(np.mean(np.log(values)))) for way, values in errors.items()}
say(
    ", ".join(f"{way}: **{value:.4f}**" for way, value in mean.items())
    + " (geometric means over the levels)."
)
assert errors["says the data"][0] > 2 * errors["preconditioned"][0]
assert errors["says the noise"][-1] > 5 * errors["preconditioned"][-1]
assert mean["preconditioned"] < 0.6 * min(mean["says the data"], mean["says the noise"])

# %% [markdown]
# ## Which levels to visit
#
# For sampling, choose $n$ levels from $\sigma_\text{max}$ down to $\sigma_\text{min}$, evenly in the $\rho$-th root of $\sigma$, and then 0:
#
# $$\sigma_i = \left(\sigma_\text{max}^{1/\rho} + \frac{i}{n - 1}\left(\sigma_\text{min}^{1/\rho} - \sigma_\text{max}^{1/\rho}\right)\right)^{\rho},
# \quad i = 0, \dots, n - 1; \qquad \sigma_n = 0$$
#
# $\rho = 1$ gives even steps; the larger $\rho$ ("rho"), the shorter the steps in little noise.
#
# **Your turn.** Write it.


# %% tags=["exercise"]
def levels(n, low, high, rho):
    """The levels of noise of a walk.

    n: how many above 0, at least 2; low, high: the smallest and the largest of them, above 0; rho: at least 1.
    Gives n + 1 numbers in float64, falling, of which the first is `high` and the last is 0.
    """
    # <solution>
    roots = torch.linspace(high ** (1 / rho), low ** (1 / rho), n, dtype=torch.float64)
    return torch.cat([roots**rho, torch.zeros(1, dtype=torch.float64)])
    # </solution>


# %% [markdown]
# Along them one follows $dx/d\sigma = (x - D)/\sigma$, the {term}`probability-flow ODE` ([chapter 7](07_scores.py)) in these letters, by
# Heun's rule: try the step, look at the slope at its end, and take it again with the mean of both. The last step, to 0, has
# no slope at its end, and stays as tried.


# %%
def best_guess(x, sigma):
    """The exact D."""
    return model(x, torch.as_tensor(sigma / 80, dtype=torch.float64)).x0


def heun_step(guess, x, sigma, after, second=True):
    """From one level to the next (Karras et al. 2022, algorithm 1); without the second look Euler's rule, which is DDIM."""
    slope = (x - guess(x, sigma)) / sigma
    tried = x + (after - sigma) * slope
    if after == 0 or not second:
        return tried
    there = (tried - guess(tried, after)) / after
    return x + (after - sigma) * (slope + there) / 2


def walk(x, noises, second=True):
    """Along all levels."""
    for sigma, after in pairwise(noises):
        x = heun_step(best_guess, x, sigma, after, second)
    return x


start = 80 * eps[:1000]
ours, grid = walk(start, levels(18, 0.002, 80.0, 7)), karras(18, VE())
assert torch.allclose(VE()(grid)[1], levels(18, 0.002, 80.0, 7))
assert torch.allclose(sample(model, start, grid, Heun()), ours, atol=1e-9)
say(
    f"The library's `karras` and `Heun` give the same; the largest difference of 2000 numbers is {(sample(model, start, grid, Heun()) - ours).abs().max():.0e}."
)

# %%
end = walk(start, levels(300, 0.002, 80.0, 7))


def miss(n, rho, second=True):
    """The error of a walk of n levels."""
    found = walk(start, levels(n, 0.002, 80.0, rho), second)
    return float((found - end).square().sum(1).mean().sqrt())


COUNTS, RHOS = (12, 24, 48, 96), (1, 1.5, 2, 3, 4, 5, 7, 10, 14, 20, 30)
by_rho, orders = [miss(18, rho) for rho in RHOS], []
fig, (left, right) = figure(2, height=2.7)
for name, tone in (("Euler", "noise"), ("Heun", "model")):
    row = [miss(n, 7, name == "Heun") for n in COUNTS]
    orders.append(math.log2(row[-2] / row[-1]))
    asked = [2 * n - 1 if name == "Heun" else n for n in COUNTS]
    label = f"{name}: order {orders[-1]:.2f}"
    left.loglog(asked, row, "o-", color=COLOURS[tone], label=label)
left.set(xlabel="questions to the model", ylabel="error at the end", title="The order, at ρ = 7")
left.set_xticks([12, 24, 48, 96, 192], ["12", "24", "48", "96", "192"])
right.semilogy(RHOS, by_rho, "o-", color=COLOURS["data"])
right.set(xlabel="ρ: larger is finer in little noise", title="Which levels, 18 steps of Heun")
left.minorticks_off()
left.legend()
show(
    fig,
    "Left, the error of Heun falls twice as steeply as that of Euler. Right, the error against rho: large for even levels, falling fast until 7, then hardly.",
    "precondition-steps",
)

# %%
rated = dict(zip(RHOS, by_rho, strict=True))
say(
    f"With 18 levels the error is **{rated[1]:.2f}** for even levels, **{rated[7]:.4f}** for ρ = 7, **{rated[30]:.4f}** for ρ = 30."
)
assert 0.8 < orders[0] < 1.2
assert 1.7 < orders[1] < 2.4
assert rated[7] < rated[1] / 20
assert rated[30] > 0.5 * rated[7]

# %% [markdown]
# Karras et al. took 7 for pictures. Here larger values change little.
#
# ## Churn: noise that repairs
#
# A walk without noise carries a part of every error that it has once made to its end. {term}`Churn <churn>`: before each step, go up a little, from $\sigma$ to
# $\hat\sigma = (1 + \gamma)\,\sigma$, by new noise of variance $\hat\sigma^2 - \sigma^2$; then take Heun's step from there. How far
# up: $\gamma = \min(S_\text{churn}/n,\ \sqrt2 - 1)$, and 0 outside of a range of levels. To see it, we push all points aside by 0.3,
# once on their way, and look where the top heap ends:


# %%
def churned(x, noises, churn, draw, push=0.0):
    """Heun with churn below the level 50 (Karras et al. 2022, algorithm 2); once, near the level 0.2, comes a push."""
    gamma = min(churn / (len(noises) - 1), 2**0.5 - 1)
    for sigma, after in pairwise(noises):
        if after < 0.2 <= sigma:
            x = x + torch.tensor([push, 0.0])
        up = sigma
        if gamma > 0 and sigma <= 50:
            up = sigma * (1 + gamma)
            x = x + (up**2 - sigma**2) ** 0.5 * torch.randn(x.shape, generator=draw, dtype=x.dtype)
        x = heun_step(best_guess, x, up, after)
    return x


noise, noises = torch.Generator(), levels(40, 0.002, 80.0, 7)
solver = Churn(churn=math.inf, gamma=10 / 40, s_max=50)
theirs = sample(model, start, karras(40, VE()), solver, Gaussian(noise.manual_seed(5)))
ours = churned(start, noises, 10, noise.manual_seed(5))
assert torch.allclose(theirs, ours, atol=1e-8)

CHURNS, beside = (0, 2, 4, 8, 16), {}
fig, axes = figure(4, height=2.3, width_ratios=[1, 1, 1, 1.4])
shown = iter(axes)
for push, tone in ((0.0, "model"), (0.3, "noise")):
    for churn in CHURNS:
        x = churned(start, noises, churn, noise.manual_seed(6), push)
        top = x[x[:, 1] > 0.25]
        beside[churn, push] = float((top.mean(0) - centres[0]).norm())
        if (churn, push) in ((0, 0.0), (0, 0.3), (16, 0.3)):
            ax = next(shown)
            ax.scatter(*top.T, s=4, color=COLOURS[tone], alpha=0.5, linewidths=0)
            ax.scatter(*top.mean(0), s=90, color=COLOURS[tone], edgecolors="white", zorder=3)
            ax.plot(*centres[0], "+", color=COLOURS["truth"], markersize=15, zorder=4)
            ax.set(xlim=(-0.4, 0.5), ylim=(0.25, 1.15), xticks=[], yticks=[], aspect="equal")
            ax.set(title="pushed" if push else "not pushed", xlabel=f"churn {churn}")
    lost = [beside[churn, push] for churn in CHURNS]
    axes[3].plot(
        CHURNS,
        lost,
        "o-",
        color=COLOURS[tone],
        markersize=4,
        label="pushed" if push else "not pushed",
    )
axes[3].set(xlabel="churn", title="beside the true middle", ylim=(-0.005, None))
axes[3].legend()
show(
    fig,
    "A cloud around a black cross: without a push its middle lies on the cross, after a push beside it, and with much churn nearly on it again. Right, the distance of the "
    "two falls with more churn.",
    "precondition-churn",
)

# %%
say(
    f"Pushed points end **{beside[0, 0.3]:.3f}** beside the true middle without churn, **{beside[16, 0.3]:.3f}** with churn 16, and {beside[0, 0.0]:.3f} if not "
    f"pushed. The library's `Churn` gave the same 2000 numbers as ours (to {(theirs - ours).abs().max():.0e})."
)
assert beside[0, 0.3] > 0.07 > 5 * beside[0, 0.0]
assert beside[16, 0.3] < 0.4 * beside[0, 0.3]

# %% [markdown]
# Churn repairs what a *step* or an accident has spoiled, not what the network believes: new noise is removed again by the same network. It costs
# steps, and with a good network few are better spent without it; Karras et al. found it of use on large, varied sets of pictures.
#
# ## What to remember
#
# - Let a network see and say numbers of variance 1. From that follow $c_\text{in}$, $c_\text{skip}$ and $c_\text{out}$.
# - It then says the noise where there is little, the data where there is much, and its errors count least.
# - $\lambda = 1/c_\text{out}^2$ makes all levels equally loud; which levels are shown is another choice.
# - Levels even in the $\rho$-th root of $\sigma$, Heun's second order, and churn against errors of the way. Each can be changed
#   alone: that is what "design space" means.
#
# ## Where to read on
#
# - Karras, Aittala, Aila & Laine 2022, *Elucidating the Design Space of Diffusion-Based Generative Models*: all of this; table 1 has
#   other models in the same letters, and appendix B.6 the derivation.
# - Karras et al. 2023, *Analyzing and Improving the Training Dynamics of Diffusion Models* (EDM2): sizes kept within the network, too.
# - Salimans & Ho 2022, *Progressive Distillation for Fast Sampling of Diffusion Models*: v-prediction, the same idea on another path.
# - Kingma & Gao 2023, *Understanding Diffusion Objectives as the ELBO with Simple Data Augmentation*: all loss weights in one picture.
#
# In the studio: `demist studio`, page River: choose the schedule `ve`, the grid `karras` and the solver `heun`, then `churn`.
#
# **Your answer**: `demist learn preconditioning --exercise` writes this chapter without the solutions, and
# `demist learn preconditioning --check FILE` says whether yours are right.
