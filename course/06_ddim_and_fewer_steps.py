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
# # 6 · DDIM and fewer steps
#
# **Why can the same network draw in 10 steps what took it 1000?** DDPM ([chapter 4](04_ddpm.py)) asks its
# network a thousand times for one picture. In this chapter no weight of the network changes. Only the walk from
# noise to data does, and ten or twenty questions are enough.
#
# You need: [chapter 4](04_ddpm.py), and what a {term}`noise schedule` is ([chapter 5](05_noise_schedules.py)).

# %%
import math
from itertools import pairwise

import numpy as np
import torch

from demist import Pipeline, zoo
from demist.core import Cosine, Gaussian
from demist.core.exact import Exact, Mixture
from demist.course import COLOURS, figure, film, images, live, say, show
from demist.data import load
from demist.samplers import DDIM, Adams, Heun, sample, smooth, trajectory

# %% [markdown]
# ## What training never said
#
# A network is trained with pairs: clean data $x_0$, and a noisy state $x_t = \alpha_t\,x_0 + \sigma_t\,\varepsilon$
# at a random time. It never sees a walk. So it is right on **every** walk whose state at time $t$ looks like such
# an $x_t$: data times $\alpha_t$, and noise of the size $\sigma_t$. DDPM is one such walk. There are others.
#
# We stand at $x_t$, and the network has given its best guess $\hat x_0$ of the clean data. The noise that it
# sees in $x_t$ is then $\hat\varepsilon = (x_t - \alpha_t\,\hat x_0)/\sigma_t$. We want a state at the cleaner time
# $s$. It needs noise of size $\sigma_s$, and we may choose where that comes from:
#
# - keep the **old** noise $\hat\varepsilon$, or
# - draw **new** noise $z$, or
# - take some of both. Two noises that know nothing of each other add up by their *squares*: the sizes 3 and 4
#   together make a noise of size 5.
#
# $$x_s = \alpha_s\,\hat x_0 + \sqrt{\sigma_s^2 - \eta^2 v}\;\hat\varepsilon + \eta\sqrt v\;z, \qquad
# v = \sigma_s^2\left(1 - \frac{\alpha_t^2\,\sigma_s^2}{\alpha_s^2\,\sigma_t^2}\right)$$
#
# The squares in front of the two noises add up to $\sigma_s^2$, whatever $\eta$ (say "eta") is. With $\eta = 1$ the
# new noise is what DDPM draws: $v$ is its variance $\tilde\beta$ from chapter 4, for any two times. With
# $\eta = 0$ nothing is drawn: this is {term}`DDIM`.
#
# **Your turn.** Write the step.


# %% tags=["exercise"]
def ddim_step(x, x0, at_t, at_s, eta, z):
    """The state at the cleaner time s.

    x: the state at time t; x0: the guess of the clean data; z: new noise; all of one shape.
    at_t, at_s: the pairs (alpha, sigma) at the two times, numbers or tensors without axes; sigma at t is above
    0, alpha at s is above 0, and s is cleaner than t. eta: 0 takes no new noise, 1 as much as DDPM.
    """
    # <solution>
    (alpha_t, sigma_t), (alpha_s, sigma_s) = at_t, at_s
    eps = (x - alpha_t * x0) / sigma_t
    new = eta**2 * sigma_s**2 * (1 - (alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2)
    return alpha_s * x0 + (sigma_s**2 - new) ** 0.5 * eps + new**0.5 * z
    # </solution>


# %% [markdown]
# Our data are numbers in five heaps. For such data the best guess is known exactly (`Exact`, as in
# [chapter 1](01_the_number_8.py)). So every error that we shall see comes from the steps, and none from a network. The
# times that a walk visits are its grid; `smooth` gives one whose steps are smaller near both ends.

# %%
centres = torch.tensor([[-1.5], [-0.75], [0.0], [0.75], [1.5]], dtype=torch.float64)
heaps = Mixture(torch.ones(5), centres, 0.1**2)
model = Exact(heaps, Cosine())


def walk(x, steps, eta, seed=0):
    """All states from noise to data, the guesses of each step, and the times."""
    generator = torch.Generator().manual_seed(seed)
    grid = smooth(steps, model.schedule)
    states, guesses = [x], []
    for t, s in pairwise(grid):
        x0 = model(x, t).x0
        z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        x = ddim_step(x, x0, model.schedule(t), model.schedule(s), eta, z)
        states.append(x)
        guesses.append(x0)
    return torch.stack(states)[..., 0], torch.stack(guesses)[..., 0], grid


def distance(a, b):
    """The Wasserstein distance: sort both, pair them in order, and take the mean difference."""
    return float((a.sort().values - b.sort().values).abs().mean())


levels = (torch.arange(5000, dtype=torch.float64) + 0.5) / 5000
start = torch.special.ndtri(levels)[
    torch.randperm(5000, generator=torch.Generator().manual_seed(1)), None
]
truth = (centres + 0.1 * torch.special.ndtri(levels[2::5])).flatten()

# %% [markdown]
# Three walks begin with the same 5000 noises: DDPM ($\eta = 1$), DDIM ($\eta = 0$), and `Adams`, the library's usual
# solver, which follows the same path as DDIM with more care (we come to it below). The noises are not drawn but
# spread evenly over the bell curve (by `ndtri`), and so is the true data: then chance does not hide small
# differences. The number of steps grows. Behind each walk stands the histogram of where it ended, and in black that
# of the true data.

# %%
TONES = {"DDPM": COLOURS["noise"], "DDIM": COLOURS["model"], "Adams": COLOURS["other"]}
counts = [1, 2, 3, 4, 5, 6, 8, 10, 14, 20, 30, 50, 100]
apart = {name: [] for name in TONES}
bins = np.linspace(-2.4, 2.4, 61)
true_heights = np.histogram(truth, bins)[0]


def walked(name, n):
    """All states of a walk, and its times."""
    if name != "Adams":
        states, _, grid = walk(start, n, 1.0 if name == "DDPM" else 0.0)
        return states, grid
    grid = smooth(n, model.schedule)
    states = [start, *(state.x for state in trajectory(model, start, grid, Adams()))]
    return torch.stack(states)[..., 0], grid


frames = []
for n in counts:
    fig, axes = figure(3, sharey=True, height=2.7)
    for ax, name in zip(axes, TONES, strict=True):
        states, grid = walked(name, n)
        apart[name].append(distance(states[-1], truth))
        ax.plot(grid, states[:, :30], color=TONES[name], alpha=0.35, linewidth=0.8)
        heights = np.histogram(states[-1], bins)[0]
        ax.stairs(
            -0.45 * heights / 440,
            bins,
            orientation="horizontal",
            fill=True,
            color=TONES[name],
            alpha=0.6,
        )
        ax.stairs(
            -0.45 * true_heights / 440,
            bins,
            orientation="horizontal",
            color=COLOURS["truth"],
            linewidth=1,
        )
        ax.set(xlim=(1, -0.5), ylim=(-2.6, 2.6), xticks=[1, 0.5, 0], title=f"{name}, steps: {n}")
        ax.set_xlabel("time t: 1 is noise, 0 data")
    axes[0].set_ylabel("x")
    frames.append(fig)
film(
    frames,
    "From 1 to 100 steps. The paths of DDPM are jagged, those of DDIM and Adams smooth. The ends of Adams fill the "
    "black outline of the five heaps from 10 steps on, those of DDIM and DDPM much later.",
    8,
    "06-three-walks",
)

# %% [markdown]
# All three use the same guesses and all end at the data if they may take many steps. With few steps they differ.
# We measure it by the {term}`Wasserstein distance`: how far, in the mean, a number has to be moved to make one
# set of numbers into another.

# %%
fig, ax = figure(height=2.8)
for name in TONES:
    ax.loglog(counts, apart[name], "o-", color=TONES[name], markersize=4, label=name)
floor = distance(heaps.sample(5000, torch.Generator().manual_seed(3))[:, 0], truth)
ax.axhline(
    floor,
    color=COLOURS["truth"],
    linestyle="--",
    linewidth=1,
    label="5000 numbers drawn from the data",
)
ax.set(xlabel="steps", ylabel="distance to the data", title="How many steps does each walk need?")
ax.set_xticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
ax.minorticks_off()
ax.legend()
show(
    fig,
    "The distance to the data falls with the number of steps: slowest for DDPM, faster for DDIM, and by far the "
    "fastest for Adams, which reaches that of numbers drawn from the data with some ten steps.",
    "06-distance",
)

# %%
at = {name: dict(zip(counts, apart[name], strict=True)) for name in TONES}


def needed(name, goal):
    """The least number of steps, of those tried, that comes as near."""
    return next(n for n in counts if at[name][n] <= goal)


ddpm, ddim, adams = (needed(name, at["DDPM"][50]) for name in TONES)
say(
    f"With 10 steps DDPM is **{at['DDPM'][10]:.3f}** from the data, DDIM **{at['DDIM'][10]:.3f}**, Adams "
    f"**{at['Adams'][10]:.3f}**, and 5000 numbers drawn from the data itself {floor:.3f}. To be as near as DDPM with {ddpm} steps, DDIM "
    f"takes at most **{ddim}** and Adams **{adams}**, of the numbers that we tried."
)
assert at["DDIM"][10] < 0.85 * at["DDPM"][10]
assert at["Adams"][10] < 0.3 * at["DDIM"][10]
assert ddim <= ddpm
assert adams <= 14
assert at["DDPM"][100] < 0.05

# %% [markdown]
# The paper on DDIM reports ten to fifty times fewer steps than DDPM, for photographs. Here, where the guesses have no
# error, leaving out the noise alone brings little. What it makes possible brings the rest.
#
# ## Why larger steps are allowed
#
# Look at the formula with $\eta = 0$ again: the state moves along the line between $\hat x_0$ and
# $\hat\varepsilon$. If the guess did not change on the way, one step over any distance would be exact. **The
# error of a step is how much the guess changes during it.** So let us look at the guesses:

# %%
fig, axes = figure(2, sharey=True)
wander = {}
for ax, (name, eta) in zip(axes, {"DDPM": 1.0, "DDIM": 0.0}.items(), strict=True):
    _, guesses, grid = walk(start, 100, eta)
    wander[name] = float(guesses.diff(dim=0).abs().sum(0).mean())
    ax.plot(grid[:-1], guesses[:, :25], color=TONES[name], alpha=0.6, linewidth=1)
    ax.set(xlim=(1, 0), xlabel="time t: 1 is noise, 0 data", title=f"25 walks of {name}")
axes[0].set_ylabel("best guess of the clean number")
show(
    fig,
    "Left, with DDPM, the guesses jump up and down all the way; right, with DDIM, they bend smoothly to one of the five heaps.",
    "06-guesses",
)

# %%
say(
    f"On its way from noise to data the guess of DDPM goes up and down by **{wander['DDPM']:.1f}** in all, that of "
    f"DDIM by **{wander['DDIM']:.1f}**."
)
assert wander["DDIM"] < 0.6 * wander["DDPM"]

# %% [markdown]
# DDPM throws away a part of the noise in each step and draws new noise. The new noise moves the state, the
# network has to guess anew, and with large steps there are too few of them to repair it. DDIM draws no noise after the
# first: **its path is a smooth curve, and smooth curves may be followed with large steps.** What is at the end
# depends on the noise at the beginning only.
#
# ## How fast is the error gone?
#
# For a smooth curve there is an exact end, which we get with very many small steps, and the error with $n$ steps is
# the distance to it. If twice as many steps make the error $2^p$ times smaller, the {term}`order of convergence` is
# $p$: with order 1 the error halves, with order 2 it becomes a quarter.
#
# **Your turn.** Write the order that two errors show.


# %% tags=["exercise"]
def order(error, halved):
    """The order p of convergence: with twice as many steps the error is 2**p times smaller.

    error: the error with some number of steps, a number above 0; halved: the error with twice as many steps.
    Gives a number. `math.log2` is the logarithm to the base 2.
    """
    # <solution>
    return math.log2(error / halved)
    # </solution>


# %% [markdown]
# DDIM is of order 1. Can one do better with the same network? The idea of Heun (1900): take the step to try it out,
# ask the network *there* too, go back, and take the step again with the mean of what was said at its two ends. That
# is two questions per step. `Adams` remembers what was said in earlier steps instead, and asks once. Let us compare
# them fairly: by how often they **ask the network**, since that is what takes time.

# %%
numbers = start[:500]
exact = sample(model, numbers, smooth(1200, model.schedule), Adams())
METHODS = {"DDIM": DDIM(), "Heun": Heun(), "Adams": Adams()}
LINES = {**TONES, "Heun": COLOURS["data"]}
sizes = [8, 16, 32, 64, 128, 256]
errors, orders = {}, {}
fig, ax = figure(height=3)
for name, solver in METHODS.items():
    ends = [sample(model, numbers, smooth(n, model.schedule), solver) for n in sizes]
    errors[name] = [float((end - exact).square().mean().sqrt()) for end in ends]
    orders[name] = order(errors[name][-2], errors[name][-1])
    calls = [solver.evaluations(n) for n in sizes]
    ax.loglog(
        calls,
        errors[name],
        "o-",
        color=LINES[name],
        markersize=4,
        label=f"{name}: order {orders[name]:.2f}",
    )
ax.set(
    xlabel="questions to the network",
    ylabel="error at the end",
    title="Twice the work: half, a quarter, or less",
)
ax.set_xticks([8, 16, 32, 64, 128, 256, 512], ["8", "16", "32", "64", "128", "256", "512"])
ax.minorticks_off()
ax.legend()
show(
    fig,
    "Three falling lines in a plot with logarithmic axes: DDIM is flattest, Heun and Adams are steeper.",
    "06-order",
)

# %%
say(
    f"With twice as many steps the error of DDIM becomes **{errors['DDIM'][-2] / errors['DDIM'][-1]:.1f}** times smaller "
    f"(order {orders['DDIM']:.2f}), that of Heun **{errors['Heun'][-2] / errors['Heun'][-1]:.1f}** times "
    f"(order {orders['Heun']:.2f})."
)
assert 0.85 < orders["DDIM"] < 1.15
assert 1.8 < orders["Heun"] < 2.3

# %% [markdown]
# ## The same with the library
#
# `DDIM(eta)` is our step and `sample` is our loop. With the same start and the same new noise they must give the same
# numbers, for every $\eta$:

# %%
for eta in (0.0, 0.5, 1.0):
    theirs = sample(
        model,
        start,
        smooth(30, model.schedule),
        DDIM(eta),
        Gaussian(torch.Generator().manual_seed(5)),
    )
    ours = walk(start, 30, eta, seed=5)[0][-1]
    assert torch.allclose(theirs[:, 0], ours, atol=1e-10)
    say(
        f"With eta = {eta} the largest difference of 5000 numbers is {(theirs[:, 0] - ours).abs().max():.0e}."
    )

# %% [markdown]
# ## Digits in 5, 10, 20 and 50 steps
#
# Now a real network: the one of the digits that comes with the library. Its weights stay as they are, and all pictures
# begin with the same eight noises.

# %%
digits = Pipeline.load(zoo.locate("digits"))
SOLVERS = {"DDPM": "ddim:eta=1", "DDIM": "ddim", "Adams": "adams"}
STEPS = (5, 10, 20, 50)


def draw(solver, steps):
    """Eight digits, each from its own noise, which depends on nothing but the seed."""
    return digits.sample(
        8, label=list("02345789"), seed=3, steps=steps, solver=solver, guidance=1.0
    )


drawn = {(name, n): draw(solver, n) for name, solver in SOLVERS.items() for n in STEPS}

fig, axes = figure(4, 3, height=3.1)
for row, name in zip(axes, SOLVERS, strict=True):
    for ax, n in zip(row, STEPS, strict=True):
        ax.imshow(images(drawn[name, n], columns=4, scale=2))
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        if name == "DDPM":
            ax.set_title(f"{n} steps")
    row[0].set_ylabel(name)
show(
    fig,
    "Eight digits by three solvers and four numbers of steps. Those of DDPM are others for each number of steps; those of "
    "DDIM and Adams stay the same digits, and become clearer as the steps become more.",
    "06-digits",
)

# %% [markdown]
# Two things can be measured. First: are they the pictures of the exact curve? The end of the curve is known
# from many small steps of Heun. DDPM has no such end, its own noise leads it elsewhere. Second: the ink of a digit
# is black or white (-1 or 1), and grey only at its edge. Too much grey is blur: the mean of several digits.

# %%
end = draw("heun", 45).astype(float)
far = {key: float(np.sqrt(np.mean((x - end) ** 2)) / 127.5) for key, x in drawn.items()}


def grey(x):
    """The share of pixels that are neither nearly black nor nearly white."""
    return float(np.mean((x > 40) & (x < 215)))


real = grey(load("digits").x[:2000])
fig, (left, right) = figure(2)
for name in SOLVERS:
    left.loglog(
        STEPS, [far[name, n] for n in STEPS], "o-", color=TONES[name], markersize=4, label=name
    )
    right.semilogx(
        STEPS, [100 * grey(drawn[name, n]) for n in STEPS], "o-", color=TONES[name], markersize=4
    )
right.axhline(100 * real, color=COLOURS["truth"], linestyle="--", linewidth=1, label="real digits")
for ax in (left, right):
    ax.set_xticks(STEPS, [str(n) for n in STEPS])
    ax.minorticks_off()
    ax.set_xlabel("steps")
    ax.legend()
left.set(ylabel="difference per pixel", title="From the end of the exact curve")
right.set(ylabel="% of pixels", title="Grey pixels")
show(
    fig,
    "Left: the pictures of DDIM and Adams come nearer to the end of the curve with more steps, those of DDPM do not. "
    "Right: the share of grey pixels of each solver against that of real digits.",
    "06-measured",
)

# %%
say(
    f"From the exact end the digits of DDIM differ by **{far['DDIM', 10]:.2f}** with 10 steps and "
    f"**{far['DDIM', 50]:.2f}** with 50, those of Adams by **{far['Adams', 10]:.2f}** and **{far['Adams', 50]:.2f}**. "
    f"Those of DDPM, other digits by design, differ by {far['DDPM', 50]:.2f} with 50 steps. Of real digits "
    f"**{100 * real:.1f} %** of the pixels are grey; with 50 steps of DDPM **{100 * grey(drawn['DDPM', 50]):.1f} %** "
    f"are, of Adams **{100 * grey(drawn['Adams', 50]):.1f} %**, and with 5 steps "
    f"{100 * grey(drawn['DDPM', 5]):.1f} % and {100 * grey(drawn['Adams', 5]):.1f} %."
)
assert far["DDIM", 50] < far["DDIM", 20] < far["DDIM", 10] < far["DDIM", 5]
assert far["DDIM", 50] < 0.5 * far["DDIM", 5]
assert far["Adams", 20] < 0.6 * far["DDIM", 20]
assert far["DDPM", 50] > 3 * far["DDIM", 50]

# %% [markdown]
# So noise has its good side. A real network errs a little in each step. The smooth path carries its errors to the
# end, while new noise can cover them up. Eight digits hint at it and prove nothing ([chapter 10](10_evaluation.py)
# measures in earnest), but the authors of DDIM found the same on photographs: with few steps no noise was best, with
# a thousand DDPM.
#
# That one noise always means one picture is of use: look at 5 steps first, and spend 50 on those you like; or change
# the noise a little, and the picture changes a little. Which equation the smooth curve solves, and which one the walk
# with noise, is the next chapter's subject.

# %% [markdown]
# ## Touch it
#
# How few steps are enough? Begin with 6, change the solver, and watch where the paths end.

# %%
live(
    "river",
    "Paths to two numbers in six steps of DDIM; choose the solver and the number of steps.",
    data=[-3, 6], solver="ddim", steps=6, controls=["solver", "steps"],
    page="river?data=-3,6&solver=ddim&steps=6",
)  # fmt: skip

# %% [markdown]
# ## What to remember
#
# - Training shows pairs of clean and noisy data, no walks. Every walk whose states have the right
#   amounts of data and of noise is allowed, so one network serves many solvers.
# - Old noise, new noise, or both: their squares must add up to $\sigma_s^2$. As much new noise as DDPM ($\eta = 1$),
#   or none: DDIM ($\eta = 0$).
# - Without new noise the path is smooth, and the error falls with an order: 1 for DDIM, 2 for Heun. Few steps come
#   from the order more than from the missing noise.
# - Compare solvers by how often they ask the network.
#
# ## Where to read on
#
# - Song, Meng & Ermon 2020, *Denoising Diffusion Implicit Models*: the formula of this chapter (equations 12 and 16);
#   its table 1 compares $\eta = 0$ and $\eta = 1$ on photographs, from 10 to 1000 steps.
# - Karras et al. 2022, *Elucidating the Design Space of Diffusion-Based Generative Models*: Heun's method for
#   diffusion, and which times a grid should visit.
# - Lu et al. 2022, *DPM-Solver*: solvers made for this one equation.
# - Hairer, Nørsett & Wanner 1993, *Solving Ordinary Differential Equations I*: where the orders come from.
#
# **Your answer**: `demist learn 6 --exercise` writes this chapter without the solutions, and
# `demist learn 6 --check FILE` says whether yours are right.
