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
# # 1 · The number 8
#
# **How can noise become data?** A model that draws faces begins with pure noise and ends with a face
# that nobody has ever seen. This chapter does the same with data so small that you can follow every
# number by hand: the whole data set is the number 8.
#
# You need: [chapter 0](00_before_you_begin.py), or that you know what a Gaussian is.

# %%
from itertools import pairwise

import torch

from demist.core import Gaussian, Linear
from demist.core.exact import Exact, Mixture
from demist.course import COLOURS, figure, film, live, say, show
from demist.samplers import DDIM, trajectory, uniform

# %% [markdown]
# ## Halving the distance
#
# Begin anywhere, say at -3. Then, again and again, go **half of the way** to 8. After each step half of
# the distance is left, so after ten steps a thousandth of it:

# %%
x, target = -3.0, 8.0
places = [x]
for _ in range(10):
    x = x + (target - x) / 2
    places.append(x)
say(f"After 10 steps we are at **{x:.4f}**: the distance went from 11 to {target - x:.4f}.")

# %% [markdown]
# That is the whole idea of a diffusion model: **know where the clean data is, and go there in many small
# steps.** What is missing is how a program can know where the data is, if nobody tells it "8". A
# network will learn it, from noisy examples. So let us make noise.
#
# ## From 8 to noise
#
# We mix the number with {term}`noise`: $x_t = (1 - t)\,x_0 + t\,\varepsilon$. Here $x_0$ is the data (8),
# $\varepsilon$ is a random number from the {term}`Gaussian`, and the time $t$ says how much of each
# we take. **At $t = 0$ there is only data, at $t = 1$ only noise.** This is so in all chapters.

# %%
torch.manual_seed(0)
eps = torch.randn(60)
times = torch.linspace(0, 1, 50)
noisy = (1 - times[:, None]) * 8 + times[:, None] * eps

fig, ax = figure()
ax.plot(times, noisy, color=COLOURS["noise"], alpha=0.35, linewidth=1)
ax.set(
    xlabel="time t (0 is data, 1 is noise)",
    ylabel="x",
    title="60 noises, each mixed with the number 8",
)
show(
    fig,
    "Sixty lines leave the number 8 at time 0 and end spread around 0 at time 1.",
    "01-to-noise",
)

# %% [markdown]
# ## Back to 8
#
# Now backwards. We stand at time $t$ with a number $x_t$ and want to go to an earlier, cleaner time $s$.
# If we knew $x_0$, we would know the noise, too, since $x_t$ is made of the two:
# $\varepsilon = (x_t - (1 - t)\,x_0)\,/\,t$. With both we mix anew for the time $s$:
#
# $$x_s = (1 - s)\,x_0 + s\,\varepsilon$$
#
# What takes us from a noisy number to the best guess of the clean one is called a {term}`denoiser`. For our
# data set the best guess is easy: it is always 8.


# %%
def denoiser(x, t):
    """The best guess of the clean number: there is only one."""
    return torch.full_like(x, 8.0)


def step(denoiser, x, t, s):
    """From time t to the earlier time s (Song et al. 2020, equation 12, without new noise)."""
    x0 = denoiser(x, t)
    eps = (x - (1 - t) * x0) / t
    return (1 - s) * x0 + s * eps


def sample(denoiser, x, steps):
    """All states on the way from noise to data, the noise first."""
    grid = torch.linspace(1, 0, steps + 1)
    states = [x]
    for t, s in pairwise(grid):
        x = step(denoiser, x, t, s)
        states.append(x)
    return torch.stack(states)


states = sample(denoiser, torch.randn(200), 20)
say(
    f"200 random numbers became data: the smallest is **{states[-1].min():.4f}**, the largest **{states[-1].max():.4f}**."
)

# %% [markdown]
# ## Two numbers: the path has to choose
#
# One number is no challenge. Let the data be **2 or 8**, equally often. What is now the best guess of the clean
# number, if we see $x_t$? If $x_t$ looks more like 8 with noise, we say nearly 8; if we cannot tell, we
# say 5, the middle. How alike is said by the Gaussian: a noise $\varepsilon$ has the density
# $e^{-\varepsilon^2/2}$, so 8 gets the weight $e^{-\varepsilon_8^2/2}$ with
# $\varepsilon_8 = (x_t - (1 - t)\,8)/t$, the noise it would take. The weights, divided by their sum, are the
# probabilities, and the best guess is the mean:
#
# $$\hat x_0 = \frac{\sum_i w_i\,d_i}{\sum_i w_i}, \qquad w_i = e^{-\left((x_t - (1-t)\,d_i)/t\right)^2/2}$$
#
# **Your turn.** Write it.


# %% tags=["exercise"]
def best_guess(x, t, data):
    """The mean of the clean numbers that x may have been, each weighted by how likely it is.

    x: noisy numbers, shape (n,); t: the time, above 0; data: the clean numbers, shape (k,), all equally
    frequent. Gives shape (n,). Hint: `torch.softmax` divides by the sum.
    """
    # <solution>
    noise = (x[:, None] - (1 - t) * data) / t
    weights = torch.softmax(-(noise**2) / 2, dim=1)
    return weights @ data
    # </solution>


# %% [markdown]
# Everything else stays. The {term}`solver`, our function `step`, does not know what the data is.

# %%
torch.manual_seed(1)
numbers = torch.tensor([2.0, 8.0])
states = sample(lambda x, t: best_guess(x, t, numbers), torch.randn(400), 60)

frames = []
for i in range(0, 61, 3):
    fig, (left, right) = figure(2, width_ratios=[2, 1], sharey=True)
    left.plot(
        torch.linspace(1, 0, 61)[: i + 1],
        states[: i + 1, :80],
        color=COLOURS["model"],
        alpha=0.3,
        linewidth=1,
    )
    left.set(
        xlim=(1, 0),
        ylim=(-4, 10),
        xlabel="time t, from noise to data",
        ylabel="x",
        title="80 paths",
    )
    right.hist(states[i], bins=40, range=(-4, 10), orientation="horizontal", color=COLOURS["data"])
    right.set(xlim=(0, 220), xlabel="how many of 400", title="where they are")
    frames.append(fig)
film(
    frames,
    "Paths start spread around 0, stay together at first, then fork and end at 2 and at 8.",
    5,
    "01-fork",
)

# %%
near = torch.stack([(states[-1] - number).abs() < 0.1 for number in numbers]).float().mean(1)
say(
    f"Of 400 paths **{near[0]:.0%}** end at 2 and **{near[1]:.0%}** at 8, none elsewhere "
    f"({1 - near.sum():.0%}). Both numbers are equally frequent in the data, and so they are here."
)

# %% [markdown]
# Look at the picture again: at first all paths go the same way, towards the middle, since nothing can be
# told yet. Then they fork. **A diffusion model decides the large things early and the small things late.**
# You can drag the 8 and watch the river of paths bend on the first page of `demist studio`.
#
# ## The same with the library
#
# The library has this under the names of the field: a {term}`noise schedule` says what stands in front
# of data and noise (`Linear` is our $1 - t$ and $t$), `Exact` is the best denoiser of data that is known,
# `DDIM` is our `step`, and `trajectory` is our loop. So it must give the same numbers:

# %%
start = torch.randn(400, 1)
model = Exact(Mixture(torch.ones(2), numbers[:, None], 0.0), Linear())
*_, last = trajectory(model, start, uniform(60), DDIM(), Gaussian())
ours = sample(lambda x, t: best_guess(x, t, numbers), start[:, 0], 60)[-1]
assert torch.allclose(last.x[:, 0], ours, atol=1e-4)
say(f"The largest difference of 400 numbers is {(last.x[:, 0] - ours).abs().max():.1e}.")

# %% [markdown]
# ## Touch it
#
# The studio computes this river anew while you drag: move the numbers, add one, take fewer steps, and see where the
# paths go.

# %%
live(
    "river",
    "Paths flow from noise at the left to the numbers 2 and 8 at the right. Drag the numbers.",
    data=[2, 8], controls=["steps", "solver"], page="river?data=2,8",
)  # fmt: skip

# %% [markdown]
# ## What to remember
#
# - Noise is mixed into data: $x_t = (1 - t)\,x_0 + t\,\varepsilon$. At $t = 0$ is data, at $t = 1$ noise.
# - A denoiser gives the best guess of the clean data. If it may be several things, the best guess is
#   their mean, weighted by how likely they are.
# - A step asks the denoiser, computes the noise, and mixes both anew for an earlier time.
# - That is all. For faces the denoiser is a large network; the loop stays.
#
# ## Where to read on
#
# - Ho, Jain & Abbeel 2020, *Denoising Diffusion Probabilistic Models*: the paper that made it work for
#   images ([chapter 4](04_ddpm.py)).
# - Song, Meng & Ermon 2020, *Denoising Diffusion Implicit Models*: where our step without new noise is
#   from ([chapter 6](06_ddim_and_fewer_steps.py)).
# - Sohl-Dickstein et al. 2015, *Deep Unsupervised Learning using Nonequilibrium Thermodynamics*: where it
#   all began.
#
# **Your answer**: `demist learn 1 --exercise` writes this chapter without the solution, and
# `demist learn 1 --check FILE` says whether yours is right.
