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
# # Distillation
#
# **Can a model draw in a single step?** Good solvers need ten or twenty ([chapter 6](06_ddim_and_fewer_steps.py)). For fewer, the
# network itself has to change: a *student* learns to do in one step what its *teacher* does in many. That is
# {term}`distillation`. We build two kinds, one that copies the teacher's walk and one that copies only what comes out,
# and look at what a single step cannot do.
#
# You need: [chapter 6](06_ddim_and_fewer_steps.py). The elective on [flow matching](elective_flow_matching.py) helps.

# %%
import copy
import math
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from demist import Pipeline, zoo
from demist.core import Denoiser, Gaussian, Linear, TimeClock, Velocity
from demist.core.exact import Exact, Mixture
from demist.course import COLOURS, figure, film, images, say, show
from demist.evaluation.metrics.sliced_wasserstein import sliced_wasserstein
from demist.objectives import matching_loss
from demist.samplers import DDIM, sample, uniform

torch.set_num_threads(1)  # networks so small are fastest on one core
torch.manual_seed(0)

# %% [markdown]
# ## Why one step of the teacher is not enough
#
# The data are four heaps, so the best teacher is known exactly. It walks by {term}`DDIM`: at each step it takes the best guess of
# the clean data and mixes it with the noise that goes with it. From pure noise the best guess is the mean of *all* data
# ([chapter 3](03_the_best_guess_is_a_blur.py)): one step of the teacher ends in the middle of the heaps, where no data is.

# %%
schedule = Linear()
centres = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
STD = 0.2
heaps = Mixture(torch.ones(4), centres, STD**2)
teacher = Exact(heaps, schedule)


def exact(x, t):
    """The teacher's best guess; x: (n, 2), t: (n, 1)."""
    return teacher(x, t[:, 0]).x0


def step(x, x0, t, s):
    """A step of DDIM from time t to the cleaner s, with the guess x0."""
    (alpha, sigma), (alpha_s, sigma_s) = schedule(t), schedule(s)
    return alpha_s * x0 + sigma_s * (x - alpha * x0) / sigma


@torch.no_grad()
def walk(guess, x, steps):
    """The end of a walk from noise to data in even steps."""
    for t, s in pairwise(torch.linspace(1, 0, steps + 1)):
        t, s = t.expand(len(x), 1), s.expand(len(x), 1)
        x = step(x, guess(x, t), t, s)
    return x


start, real = torch.randn(2000, 2), heaps.sample(2000)
assert torch.allclose(
    sample(teacher, start, uniform(16), DDIM()), walk(exact, start, 16), atol=1e-4
)


def apart(x):
    """The sliced Wasserstein distance of a cloud to the data."""
    return sliced_wasserstein(x.numpy(), real.numpy())


def between(x):
    """Which points lie in no heap: further than 3.5 standard deviations from each middle."""
    return (x[:, None] - centres).norm(dim=2).min(1).values > 3.5 * STD


# %% [markdown]
# ## Two steps in one, again and again
#
# **Progressive distillation** (Salimans & Ho 2022): the student learns to do in *one* step what the teacher does in *two*. Then the
# student becomes the teacher of the next: 16 steps, 8, 4, 2, 1. For one jump from time $t$ to $s$ the student has to
# make a guess of the data with which DDIM lands where the two steps landed. Which guess is that? DDIM's step is
#
# $$x_s = \alpha_s\,x_0 + \sigma_s\,\frac{x_t - \alpha_t\,x_0}{\sigma_t}$$
#
# and $x_t$ and $x_s$ are known.
#
# **Your turn.** Solve it for $x_0$.


# %% tags=["exercise"]
def jump_target(x, after, at_t, at_s):
    """The guess of the data with which one step of DDIM leads from x to after.

    x: the state at time t; after: the state at the cleaner time s; of one shape. at_t, at_s: the pairs (alpha, sigma) at the
    two times, numbers or tensors that fit; sigma at t is above 0. Gives the shape of x.
    """
    # <solution>
    (alpha, sigma), (alpha_s, sigma_s) = at_t, at_s
    ratio = sigma_s / sigma
    return (after - ratio * x) / (alpha_s - ratio * alpha)
    # </solution>


# %%
class Net(nn.Module):
    """Says the velocity of points in the plane, from which the guess of the data follows."""

    def __init__(self, width=80):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 + 3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2),
        )  # fmt: skip

    def forward(self, x, t):
        turn = math.pi * t.reshape(-1, 1).to(x)
        return self.layers(torch.cat([x, turn, turn.cos(), turn.sin()], dim=1))


def guesses(net):
    """A network's guess of the data, as `exact` is the teacher's."""
    return lambda x, t: x - t * net(x, t)


data = heaps.sample(20_000)


def halve(guess, net, n, updates):
    """Teach a network to do in one of n steps what a guess does in two of 2n."""
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    falling = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=updates)
    for _ in range(updates):
        t = (torch.randint(n, (256, 1)) + 1) / n
        s, middle = t - 1 / n, t - 0.5 / n
        x = (1 - t) * data[torch.randint(len(data), (256,))] + t * torch.randn(256, 2)
        with torch.no_grad():
            half = step(x, guess(x, t), t, middle)
            after = step(half, guess(half, middle), middle, s)
            target = jump_target(x, after, schedule(t), schedule(s))
        loss = ((guesses(net)(x, t) - target) / t).square().mean()  # the error of the velocity
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
    return net


students, last, net = {}, exact, Net()
for n in (8, 4, 2, 1):
    net = halve(last, copy.deepcopy(net), n, 700 if n == 8 else 350)
    students[n], last = net, guesses(net)

# %%
true_end, COUNTS = walk(exact, start, 16), (1, 2, 4, 8)
ends = {n: (walk(exact, start, n), walk(guesses(students[n]), start, n)) for n in COUNTS}
fig, axes = figure(4, 2, height=3.9, sharex=True, sharey=True)
for column, n in zip(axes.T, COUNTS, strict=True):
    for ax, x, tone in zip(column, ends[n], ("model", "other"), strict=True):
        ax.scatter(*x[:1000].T, s=3, color=COLOURS[tone], alpha=0.6, linewidths=0)
        ax.set(xlim=(-2, 2), ylim=(-2, 2), xticks=[], yticks=[], aspect="equal")
        ax.set_xlabel(f"distance {apart(x):.2f}")
    column[0].set_title(f"{n} step{'s' if n > 1 else ''}")
axes[0, 0].set_ylabel("teacher")
axes[1, 0].set_ylabel("student")
show(
    fig,
    "Above the teacher: with one step a dot in the middle, with two a square, with more the four heaps. Below the students, which were taught for their number of steps: "
    "four heaps even with one step, with some points between them.",
    "distil-stages",
)

# %%
off = {n: [float((x - true_end).square().sum(1).mean().sqrt()) for x in ends[n]] for n in COUNTS}
gaps = {n: 100 * float(between(ends[n][1]).float().mean()) for n in COUNTS}
gaps[16] = 100 * float(between(true_end).float().mean())
say(
    f"From the ends of 16 steps of the teacher, its own single step is **{off[1][0]:.2f}** away, that of the student **{off[1][1]:.2f}**; with two steps {off[2][0]:.2f} and "
    f"{off[2][1]:.2f}. In no heap lie **{gaps[1]:.0f} %** of the single steps of the student, and {gaps[16]:.0f} % of the teacher's 16."
)
assert off[1][1] < 0.35 * off[1][0]
assert off[2][1] < 0.5 * off[2][0]
same = sample(
    Denoiser(students[2], schedule, Velocity(), clock=TimeClock()), start, uniform(2), DDIM()
)
assert torch.allclose(same, ends[2][1], atol=1e-5)  # a student is a model like any other

# %% [markdown]
# ## What one step cannot do
#
# Where do the points between the heaps come from? We mark them in orange, and look where they were at $t = 1$. The other
# points have the colour of the heap to which the teacher takes them:

# %%
lost = between(ends[1][1])
fig, axes = figure(2, height=3.4, width=6.4)
for ax, x, title in zip(
    axes, (start, ends[1][1]), ("the noise", "the student, one step"), strict=True
):
    for k in range(4):
        here = ((true_end[:, None] - centres).norm(dim=2).argmin(1) == k) & ~lost
        tone = list(COLOURS.values())[(0, 2, 4, 5)[k]]
        ax.scatter(*x[here].T, s=4, color=tone, alpha=0.35, linewidths=0)
    ax.scatter(*x[lost].T, s=9, color=COLOURS["noise"], linewidths=0)
    ax.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), xticks=[], yticks=[], aspect="equal", title=title)
show(
    fig,
    "Left, the noise, in four colours by the heap to which the teacher takes it: four quarters. Orange points lie along the borders of the quarters. Right, the same orange "
    "points lie between the heaps.",
    "distil-borders",
)

# %%
near = start.abs().min(1).values  # the borders are the two axes
say(
    f"Half of the lost points were nearer than **{near[lost].median():.2f}** to a border, half of all points nearer than {near.median():.2f}."
)
assert near[lost].median() < 0.5 * near.median()

# %% [markdown]
# One noise belongs to the left heap, its neighbour to the right one. A map that tears neighbours apart has to be infinitely steep at
# the border, and a network is a smooth function whose steepness has to be learned. What falls on the slope lands between the
# heaps. Many steps have it easier: each stretches a little, and the stretches multiply. So one step pays, and most
# where data has gaps. Which pictures lie between a 4 and a 9?
#
# ## Copying what comes out
#
# Why should the student go where its teacher goes with this very noise? It would do if *as a whole* its samples lay as the
# teacher's. **Distribution matching** (Yin et al. 2023) asks for no more. Two denoisers look at the student's samples with
# noise added: the teacher, which knows the data, and a *critic*, a network that is trained all the while on what the
# student makes. Both name the likely clean data. Where the student makes too much of something, the critic expects it more than the
# teacher does. The difference of their {term}`scores <score>` is the slope of the difference of the two clouds (of the
# {term}`Kullback-Leibler divergence`), and it is, but for a factor, the difference of their guesses:
#
# $$\operatorname{score}_\text{critic} - \operatorname{score}_\text{teacher} = \frac{\alpha}{\sigma^2}\left(\hat x_0^\text{critic} - \hat x_0^\text{teacher}\right)$$
#
# Against that slope the student moves. So that all levels of noise pull alike, the factor is left out, and each
# difference is divided by how far the teacher's guess is from the sample, as the {term}`mean` of the absolute
# differences of its numbers.
#
# **Your turn.** Write the slope for a batch.


# %% tags=["exercise"]
def slope(critic, teacher, made):
    """The direction in which a sample is too frequent; the student goes against it.

    critic, teacher: their guesses of the clean data; made: the student's samples; all of shape (n, d). Each row of the result, of
    that shape, is the difference of the guesses by the mean absolute difference of sample and teacher in this row.
    """
    # <solution>
    far = (made - teacher).abs().mean(1, keepdim=True)
    return (critic - teacher) / far
    # </solution>


# %%
def matching(student, critic, z, eps, t):
    """The critic's loss on what the student makes of z, plus what moves the student; one number for each row."""
    made = guesses(student)(z, torch.ones(len(z), 1))
    fixed = made.detach()  # the critic does not move the student by its loss
    x = (1 - t) * fixed + t * eps
    seen, wanted = guesses(critic)(x, t), exact(x, t)
    away = slope(seen.detach(), wanted, fixed)
    loss = ((seen - fixed) / t).square().mean(1)
    return loss + (away * (made - fixed)).mean(1)  # the last is 0, its slope is not


student, critic, noise = copy.deepcopy(students[8]), copy.deepcopy(students[8]), torch.Generator()
z, eps = (torch.randn(500, 2, generator=noise.manual_seed(3)), torch.randn(500, 2, generator=noise))
t = 0.05 + 0.9 * torch.rand(500, 1)
ours = matching(student, critic, z, eps, t)
named = [Denoiser(net, schedule, Velocity(), clock=TimeClock()) for net in (student, critic)]
theirs = matching_loss(*named, teacher, z, t[:, 0].double(), noise=Gaussian(noise.manual_seed(3)))
weights = [*student.parameters(), *critic.parameters()]
slopes = [torch.autograd.grad(loss.mean(), weights) for loss in (ours, theirs)]
assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4)
assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in zip(*slopes, strict=True))
x, p = (
    real,
    [
        Exact(Mixture(torch.ones(4), c, STD**2), schedule)(real, torch.tensor(0.4))
        for c in (centres, 0.9 * centres)
    ],
)
assert torch.allclose(p[0].score - p[1].score, 0.6 / 0.4**2 * (p[0].x0 - p[1].x0), atol=1e-3)
say(
    f"The library's `matching_loss` gives the same 500 losses, to {(ours - theirs).abs().max():.0e}, and the same slopes for all {sum(w.numel() for w in weights)} weights of "
    "student and critic."
)

# %% [markdown]
# Both begin as the student of 8 steps, whose single step is the dot in the middle. Arrows show where the student's
# samples are sent, the mean over many noises:

# %%
UPDATES, one = 1000, torch.ones(2000, 1)
groups = [{"params": net.parameters()} for net in (student, critic)]
optimizer = torch.optim.Adam(groups, betas=(0.5, 0.99), fused=True)
falling = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, [2e-3, 4e-3], UPDATES + 1, pct_start=0.2, cycle_momentum=False
)  # the critic has to keep up with the student
frames = []
for i in range(UPDATES + 1):
    if i in (0, 20, 40, 60, 80, 100, 150, 200, 400, UPDATES):
        with torch.no_grad():
            made = guesses(student)(start, one)
            few = made[:60].repeat(40, 1)
            x, t = 0.4 * few + 0.6 * torch.randn(few.shape), torch.full((len(few), 1), 0.6)
            arrows = -slope(guesses(critic)(x, t), exact(x, t), few).reshape(40, 60, 2).mean(0)
        fig, ax = figure(height=3.6, width=4)
        ax.scatter(*real.T, s=3, color="#d0d0d0", linewidths=0)
        ax.scatter(*made[:700].T, s=5, color=COLOURS["other"], alpha=0.7, linewidths=0)
        ax.quiver(
            *made[:60].T,
            *arrows.T,
            color=COLOURS["truth"],
            angles="xy",
            scale_units="xy",
            scale=2,
            width=0.006,
        )
        ax.set(xlim=(-2, 2), ylim=(-2, 2), xticks=[], yticks=[], aspect="equal")
        ax.set_title(f"one step, after {i} updates")
        frames.append(fig)
    z, eps, t = torch.randn(256, 2), torch.randn(256, 2), torch.sigmoid(torch.randn(256, 1))
    loss = matching(student, critic, z, eps, t.clamp(0.02, 0.98)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    falling.step()
film(
    frames,
    "A dot amid four grey heaps swings from side to side, each time led back by the arrows, then spreads and settles in all four heaps, with few points between them.",
    6,
    "distil-matching",
)

# %%
gap, moved = 100 * float(between(made).float().mean()), (made - true_end).square().sum(1).mean()


def width(x):
    """The standard deviation within the heaps, of the points that lie in one."""
    away = x[:, None] - centres
    nearest = away.norm(dim=2).argmin(1)
    return float(away[torch.arange(len(x)), nearest][~between(x)].square().mean().sqrt())


parts = torch.bincount((made[:, None] - centres).norm(dim=2).argmin(1), minlength=4) / 20
say(
    f"In one step the new student is **{apart(made):.2f}** from the data, the progressive one {apart(ends[1][1]):.2f}, two clouds of data {apart(heaps.sample(2000)):.2f}. "
    f"Its heaps have {', '.join(f'{v:.0f}' for v in parts)} % of the points. From the teacher's ends its own are **{moved**0.5:.2f}** away, those of the progressive one "
    f"{off[1][1]:.2f}: it goes ways of its own. And **{gap:.0f} %** lie in no heap; within the heaps the standard deviation is {width(made):.2f} (data: {width(real):.2f})."
)
assert apart(made) < 0.2 < 0.8 < apart(ends[1][0])
assert parts.min() > 18
assert moved**0.5 > 2 * off[1][1]
assert gap > 2 * gaps[16]

# %% [markdown]
# At first student and critic chase each other: the student goes where the critic does not expect it yet, and the critic learns that it
# is there. No walk of the teacher was run for it, and no noise was told where to go. That is why this kind reaches large models, whose walks
# are dear. But the seams between the heaps are there again: *they are the price of one step, however it is taught.* Another weakness
# is seen only if one measures it: what the student never makes, the critic never sees, so a lost heap would pull only
# weakly. Samples after a few updates look good; whether all kinds of data are there, a count has to say.
#
# ## Digits
#
# The model of digits that comes along, with 12 steps, with 2 and with 1, from the same noises:

# %%
digits = Pipeline.load(zoo.locate("digits"))
STEPS = (12, 2, 1)
drawn = {n: np.asarray(digits.sample(8, label=list("01234567"), seed=4, steps=n)) for n in STEPS}
grey = {n: 100 * float(np.mean((x > 40) & (x < 215))) for n, x in drawn.items()}
fig, axes = figure(1, 3, height=2.5, width=5.4)
for ax, n in zip(axes, STEPS, strict=True):
    ax.imshow(images(drawn[n], columns=8, scale=2))
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_ylabel(f"{n}", rotation=0, labelpad=12, va="center")
show(
    fig,
    "Three rows of eight digits: crisp with 12 steps, partly grey with 2, and with 1 all are grey clouds.",
    "distil-digits",
)

# %%
say(
    f"Grey are **{grey[12]:.0f} %** of the pixels with 12 steps, {grey[2]:.0f} % with 2, and **{grey[1]:.0f} %** with one."
)
assert grey[1] > 1.5 * grey[12]

# %% [markdown]
# To make a student of this model takes some minutes of one core, too long for this page: `demist train --recipe student`, then
# `demist sample latest`. It is distribution matching as above, with *two* steps: the student's first answer gets noise again, and
# it is asked a second time. How near it comes to its teacher is measured in
# [how to choose a sampler](../docs/how-to-choose-a-sampler.md#one-or-two-evaluations).
#
# ## What to remember
#
# - One step of an undistilled model gives the mean of all data: a blur.
# - Progressive distillation copies the walk: two steps in one, and the student becomes the next teacher.
# - Distribution matching copies the cloud: teacher and critic disagree, and the student moves to where they agree.
# - Where data has gaps, one step leaves points in them: neighbouring noises have to be torn apart.
# - A student is fast and has lost something: steps no longer buy quality, and variety may be gone. Measure it.
#
# ## Where to read on
#
# - Salimans & Ho 2022, *Progressive Distillation for Fast Sampling of Diffusion Models*: the halving; the target is in appendix G.
# - Song, Dhariwal, Chen & Sutskever 2023, *Consistency Models*: a third kind, all points of a walk give the same answer.
# - Yin et al. 2023, *One-step Diffusion with Distribution Matching Distillation*, and 2024, *Improved Distribution Matching
#   Distillation*: the second half of this page, for photographs, in one step and in several.
# - Luo et al. 2023, *Diff-Instruct*: the same slope, derived for any student.
# - Salmona et al. 2022, *Can Push-forward Generative Models Fit Multimodal Distributions?*: how steep a network has to be to keep
#   heaps apart, proven.
#
# **Your answer**: `demist learn distillation --exercise` writes this chapter without the solutions, and
# `demist learn distillation --check FILE` says whether yours are right.
