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
# # Flow matching
#
# **Can the way from noise to data be a straight line?** Many models since 2023 are said to be trained by "flow
# matching" or as a "rectified flow", along straight lines, and to be fast because of it. This elective builds
# one, shows that it is a diffusion model in other letters, measures which of its lines are straight (not those that
# one follows!), and then makes them straight.
#
# You need: [chapter 6](06_ddim_and_fewer_steps.py), and the {term}`probability-flow ODE` of
# [chapter 7](07_scores.py).

# %%
import copy
import math

import numpy as np
import torch
from torch import nn

from demist.core import VP, Cosine, Denoiser, Gaussian, Linear, TimeClock, Velocity
from demist.core.exact import Exact, Mixture
from demist.core.sde import drift, squared_diffusion
from demist.course import COLOURS, figure, film, say, show
from demist.evaluation.metrics.sliced_wasserstein import sliced_wasserstein
from demist.objectives import VelocityWeight, denoising_loss
from demist.samplers import DDIM, Euler, Heun, sample, trajectory, uniform

torch.set_num_threads(1)  # networks so small are fastest on one core
torch.manual_seed(0)

# %% [markdown]
# ## Lines that cross
#
# Take a clean point $x_0$ and a noise $\varepsilon$, drawn without regard to each other, and join them by a line:
#
# $$x_t = (1 - t)\,x_0 + t\,\varepsilon$$
#
# At $t = 0$ is data, at $t = 1$ noise, as always. Who travels on the line does so at an even pace: how the state
# changes with time, its {term}`velocity`, is $\varepsilon - x_0$ all the way. What could be simpler to learn?
#
# **Your turn.** Make what a network is trained with: states, and the velocities that it should say there.


# %% tags=["exercise"]
def pair(x0, eps, t):
    """States on the lines between data and noise, and the velocities there.

    x0: clean points, shape (n, d); eps: noises, shape (n, d); t: times from 0 (data) to 1 (noise), shape (n,), one
    for each pair. Gives two tensors of shape (n, d): the states, and how they change with t.
    """
    # <solution>
    t = t[:, None]
    return (1 - t) * x0 + t * eps, eps - x0
    # </solution>


# %% [markdown]
# The trouble: many lines pass the same place, and each wants another velocity there. A network that is trained by squared
# errors says the {term}`mean` of them ([chapter 3](03_the_best_guess_is_a_blur.py)):
#
# $$u(x, t) = E[\varepsilon - x_0 \mid x_t = x] = \hat\varepsilon - \hat x_0$$
#
# Is it of any use to follow a mean that no line has? Yes, and this is the heart of the matter: **the flow along the mean
# velocity has the same cloud of points at every time.** Think of traffic: if you know for each crossing how
# many cars pass in which direction *in the mean*, you know how the number of cars changes everywhere; which
# car goes where does not matter. Our data are four heaps. Left, points travel on their lines. Right, the same
# noises follow $u$, which is known exactly for such data:

# %%
centres = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]], dtype=torch.float64)
heaps = Mixture(torch.ones(4, dtype=torch.float64), centres, 0.2**2)
model = Exact(heaps, Linear())


def velocity(x, t):
    """The mean velocity of all lines that pass x at time t."""
    p = model(x, torch.as_tensor(t, dtype=torch.float64))
    return p.eps - p.x0


TIMES = 32  # steps of what is drawn


def walk(velocity, x, steps):
    """All states from noise to data, in even steps, each along the velocity at its beginning (Euler)."""
    states = [x]
    for i in range(steps):
        x = x - velocity(x, 1 - i / steps) / steps
        states.append(x)
    return torch.stack(states)


def apart(a, b):
    """The sliced Wasserstein distance of two clouds."""
    return sliced_wasserstein(a.numpy().astype(np.float32), b.numpy().astype(np.float32))


start, real = torch.randn(2000, 2, dtype=torch.float64), heaps.sample(2000)
marks = torch.linspace(1, 0, TIMES + 1, dtype=torch.float64)
lines = torch.stack([pair(real, start, t.expand(2000))[0] for t in marks])
flow = walk(velocity, start, 5 * TIMES)[::5]


def pictures(left, right, titles, tones, few=26):
    """A film of two walks beside each other: clouds, and the ways of a few points."""
    frames = []
    for i in range(0, TIMES + 1, 4):
        fig, axes = figure(2, sharex=True, sharey=True, height=3.7)
        for ax, states, title, tone in zip(axes, (left, right), titles, tones, strict=True):
            ax.scatter(*states[i, :700].T, s=4, color=tone, alpha=0.45, linewidths=0)
            ax.plot(*states[: i + 1, :few].unbind(-1), color="#555555", linewidth=0.8)
            ax.scatter(*states[i, :few].T, s=16, color="#222222", zorder=3, linewidths=0)
            ax.set(xlim=(-2.7, 2.7), ylim=(-2.7, 2.7), xticks=[], yticks=[], aspect="equal")
            ax.set_title(title)
            ax.set_xlabel(f"time t = {marks[i]:.2f} (1 is noise, 0 data)")
        frames.append(fig)
    return frames


film(
    pictures(lines, flow, ("pairs on lines", "the flow"), (COLOURS["noise"], COLOURS["model"])),
    "Two clouds become four heaps and look alike at every time. Left the ways of single points are straight and cross; right "
    "they go inwards first, bend, and do not cross.",
    6,
    "flow-clouds",
)

# %%
same = [apart(a, b) for a, b in zip(lines[::4], flow[::4], strict=True)]
chance = apart(real, heaps.sample(2000))
say(
    f"From one frame alone nobody can tell left from right: the clouds are at most **{max(same):.3f}** apart at nine times, and two "
    f"clouds drawn from the data {chance:.3f}."
)
assert max(same) < 2 * chance

# %% [markdown]
# The ways differ all the same. At one place and time the flow has one velocity, so its ways **never meet**: where the lines
# cross, the flow has to bend aside. Straight are the lines of single pairs, which nobody follows.
#
# ## Regression on the lines is enough
#
# The velocity $u$ is a mean over all data and nobody can compute it for pictures. Nobody has to: {term}`flow matching`
# trains on the single lines. For *any* network $v$ the two losses differ by a number that has no $v$ in it,
# so they have the same {term}`gradient`:
#
# $$E\lVert v(x_t, t) - (\varepsilon - x_0)\rVert^2 = E\lVert v(x_t, t) - u(x_t, t)\rVert^2 + E\lVert u(x_t, t) - (\varepsilon - x_0)\rVert^2$$
#
# Try it with three that have nothing in common: 0, the state itself, and a whirl of squares.

# %%
many, times = heaps.sample(100_000), torch.rand(100_000, dtype=torch.float64)
state, speed = pair(many, torch.randn(100_000, 2, dtype=torch.float64), times)
true = velocity(state, times)
rest = (true - speed).square().mean()
for v in (0 * state, state, state.flip(1) ** 2):
    on_lines, on_means = (v - speed).square().mean(), (v - true).square().mean()
    say(
        f"{on_lines:.2f} on lines, {on_means:.2f} on means: the difference is **{on_lines - on_means:.2f}**"
    )
    assert abs(on_lines - on_means - rest) < 0.05
say(f"The last term, which has no v in it, is {rest:.2f}.")

# %% [markdown]
# ## The same letters as before
#
# Is this a new kind of model? On *any* path $x_t = \alpha_t\,x_0 + \sigma_t\,\varepsilon$ ([chapter 5](05_noise_schedules.py))
# the mean velocity is $v = \alpha_t'\,\hat x_0 + \sigma_t'\,\hat\varepsilon$, where $\alpha'$ and $\sigma'$ say how fast
# $\alpha$ and $\sigma$ change. And the best guesses fit the state: $x = \alpha_t\,\hat x_0 + \sigma_t\,\hat\varepsilon$.
# These are two equations for two unknowns. So a network that says the velocity says the data and the noise, too.
#
# **Your turn.** Solve them.


# %% tags=["exercise"]
def both_ends(x, v, at, rates):
    """The guesses of data and noise that belong to a velocity.

    x: the state; v: the velocity there; of one shape. at: the pair (alpha, sigma); rates: the pair of their
    derivatives with respect to t; numbers. alpha sigma' - sigma alpha' is above 0. Gives two tensors: x0 and eps.
    """
    # <solution>
    (alpha, sigma), (d_alpha, d_sigma) = at, rates
    det = alpha * d_sigma - sigma * d_alpha
    return (d_sigma * x - sigma * v) / det, (alpha * v - d_alpha * x) / det
    # </solution>


# %%
for schedule in (Linear(), Cosine(), VP()):
    for t in torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64):
        at, rates = schedule(t), schedule.rates(t)
        x = at[0] * real + at[1] * start
        p = Exact(heaps, schedule)(x, t)
        v = p.velocity(rates)
        x0, eps = both_ends(x, v, at, rates)
        by_score = drift(schedule, t) * x - squared_diffusion(schedule, t) / 2 * (-eps / at[1])
        for ours, theirs in ((x0, p.x0), (eps, p.eps), (-eps / at[1], p.score), (by_score, v)):
            assert torch.allclose(ours, theirs, atol=1e-7)
say(
    "On three paths, at three times each: from the velocity follow the data, the noise and the score, and the flow is the "
    "probability-flow ODE of chapter 7."
)

# %% [markdown]
# On the line $\alpha = 1 - t$, so $\hat x_0 = x - t\,v$ and $\hat\varepsilon = x + (1 - t)\,v$. **A flow model is a diffusion
# model with this path and this way to say its guess.** All that you know of solvers and guidance goes on to hold.
#
# ## Does the straight path need fewer steps?
#
# A step of Euler goes along the velocity at its beginning. It is right if the velocity does not change. We know the
# exact flow on three paths from noise to data, so let us see how they bend, and what few steps make of it:

# %%
PATHS = {"VP": VP(), "Cosine": Cosine(), "Linear": Linear()}
TONES = {"VP": COLOURS["noise"], "Cosine": COLOURS["path"], "Linear": COLOURS["model"]}
COUNTS = (1, 2, 4, 8, 16, 32)
one = torch.tensor(1.0, dtype=torch.float64)
fig, axes = figure(4, height=2.5, width_ratios=[1, 1, 1, 1.5])
ends, errors = {}, {}
for ax, (name, path) in zip(axes, PATHS.items(), strict=False):
    on, first = Exact(heaps, path), start[:400] * path(one)[1]
    states = [first, *(s.x for s in trajectory(on, first, uniform(200), Heun()))]
    ends[name] = states[-1]
    ax.plot(uniform(200), torch.stack(states)[:, :14, 0], color=TONES[name], linewidth=1)
    ax.set(xlim=(1, 0), ylim=(-2.6, 2.6), xticks=[1, 0], title=name)
    ax.set_xticklabels(["noise\nt = 1", "data\n0"])
    errors[name] = [
        float((sample(on, first, uniform(n), Euler()) - ends[name]).square().sum(1).mean().sqrt())
        for n in COUNTS
    ]
    axes[3].loglog(COUNTS, errors[name], "o-", color=TONES[name], markersize=4, label=name)
    axes[3].set_xticks([1, 4, 16], ["1", "4", "16"])
axes[3].minorticks_off()
axes[3].set(xlabel="steps of Euler", title="error at the end")
axes[3].legend(loc="lower left")
show(
    fig,
    "Three bundles of paths from the same noises to the same ends: VP's bend late and sharply, those of Cosine and Linear gently. Right, "
    "the error falls with the steps; it is largest for VP, and nearly the same for the other two.",
    "flow-paths",
)

# %%
at = {name: dict(zip(COUNTS, row, strict=True)) for name, row in errors.items()}
say(
    f"With 4 steps the error is **{at['VP'][4]:.2f}** on VP, **{at['Linear'][4]:.2f}** on the line and **{at['Cosine'][4]:.2f}** "
    f"on Cosine; with one step {at['VP'][1]:.2f}, {at['Linear'][1]:.2f} and {at['Cosine'][1]:.2f}. All three end at the same points."
)
assert at["Linear"][4] < 0.6 * at["VP"][4]
assert at["Cosine"][4] < 1.1 * at["Linear"][4]
assert min(row[1] for row in at.values()) > 1
for name in PATHS:
    assert torch.allclose(ends[name], ends["Linear"], atol=0.02)

# %% [markdown]
# So with few steps the line is far better than VP, and no better than Cosine, which is a quarter circle and not straight
# at all. In fact all paths are *one* flow: divide the state by $\alpha + \sigma$, and that of one path lies on that of the other. What a path
# chooses is how fast one goes where, and the solver `DDIM` undoes even that: at the same ratios of noise to data it takes
# the steps of Euler on the line, on every path.

# %%
begin = 0.99 * uniform(8)  # VP keeps a little data even at t = 1
level = sample(model, start, begin, DDIM())
assert torch.allclose(sample(model, start, uniform(8), DDIM()), walk(velocity, start, 8)[-1])
for path in (VP(), Cosine()):
    grid = path.time_at(Linear().log_snr(begin))
    bent = sample(Exact(heaps, path), sum(path(grid[0])) * start, grid, DDIM())
    assert torch.allclose(bent, level, atol=1e-6)
say("DDIM on VP and on Cosine takes the steps of Euler on the line, for 2000 points.")

# %% [markdown]
# With one step all fail, the line too: at $t = 1$ the mean velocity is $\varepsilon$ less the mean of *all* data, so every
# point is sent to the middle of the heaps. The single lines were straight; the flow is not.
#
# ## A network, and the library
#
# Here is all of the training, on the lines. Three lines of it matter.


# %%
class Net(nn.Module):
    """Says the velocity of points in the plane."""

    def __init__(self, width=80):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 + 3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2),
        )  # fmt: skip

    def forward(self, x, t):
        turn = math.pi * t[:, None].to(x)
        return self.layers(torch.cat([x, turn, turn.cos(), turn.sin()], dim=1))


def fit(net, data, noise, steps):
    """Flow matching: data[i] and noise[i] are the ends of a line."""
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    falling = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(len(data), (256,))
        t = torch.rand(256)
        x, v = pair(data[rows], noise[rows], t)
        loss = (net(x, t) - v).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
    return net


@torch.no_grad()
def follow(net, x, steps):
    """The walk along what a network says."""
    return walk(lambda x, t: net(x, torch.full((len(x),), t)), x, steps)


data, noise = heaps.sample(20_000).float(), torch.randn(20_000, 2)
first = fit(Net(), data, noise, 1100)

# %% [markdown]
# In the library this is a `Denoiser` on the path `Linear` whose network says the `Velocity`; the loss is the one denoising
# loss of all models with the weight of this choice; and the walk is `Euler`. All are equal to ours:

# %%
denoiser = Denoiser(first, Linear(), Velocity(), clock=TimeClock())
eps, drawn = torch.randn(500, 2, generator=torch.Generator().manual_seed(3)), torch.Generator()
x0, t = data[:500], torch.rand(500)
x, v = pair(x0, eps, t)
with torch.no_grad():
    theirs = denoising_loss(
        denoiser, x0, t.double(), VelocityWeight(), Gaussian(drawn.manual_seed(3))
    )
    ours = (first(x, t) - v).square().mean(1)
    assert torch.allclose(theirs, ours, rtol=1e-3, atol=1e-4)
    end = sample(denoiser, start.float(), uniform(8), Euler())
    assert torch.allclose(end, follow(first, start.float(), 8)[-1], atol=1e-4)
say(
    f"The losses of 500 points differ by at most {(theirs - ours).abs().max():.0e}, the ends of 2000 walks by "
    f"{(end - follow(first, start.float(), 8)[-1]).abs().max():.0e}."
)

# %% [markdown]
# ## Making the flow straight
#
# The ways bend since the lines cross, and the lines cross since data and noise were paired by chance. So **pair them
# better: join each noise with the point to which the flow takes it**, and train again. That is
# {term}`reflow` (Liu et al. 2022). The ways of the flow did not cross, so its pairs are near each other, and their lines
# hardly cross either. The velocity that a second network learns from them hardly changes on the way:

# %%
noise = torch.randn(12_000, 2)
second = fit(copy.deepcopy(first), follow(first, noise, 25)[-1], noise, 1000)

once, twice = (follow(net, start.float(), TIMES) for net in (first, second))
film(
    pictures(once, twice, ("first flow", "after reflow"), (COLOURS["model"], COLOURS["other"])),
    "Left the first flow, whose points go to the middle first and then out to the heaps. Right, after reflow, every point goes straight to a heap.",
    6,
    "flow-reflow",
)


# %%
def bend(states):
    """Mean squared difference of the velocity from that of the straight line between the ends: 0 is straight."""
    each, chord = states.diff(dim=0) * (len(states) - 1), states[-1] - states[0]
    return float((each - chord).square().sum(2).mean())


gap = [
    float((x0 - eps).square().sum(1).mean())
    for x0, eps in ((data[:2000], start), (once[-1], once[0]), (twice[-1], twice[0]))
]
say(
    f"The bend falls from **{bend(once):.2f}** to **{bend(twice):.4f}**. Pairs by chance have a mean squared distance of {gap[0]:.1f}, those of the "
    f"first flow **{gap[1]:.2f}**, of the second {gap[2]:.2f}."
)
assert bend(twice) < bend(once) / 50
assert gap[2] < 1.03 * gap[1] < gap[0] / 5

# %%
fig, axes = figure(4, 2, height=3.9, sharex=True, sharey=True)
off = {"first flow": [], "after reflow": []}
for row, (name, net), tone in zip(
    axes, zip(off, (first, second), strict=True), ("model", "other"), strict=True
):
    for ax, n in zip(row, (1, 2, 4, TIMES), strict=True):
        ended = follow(net, start.float(), n)[-1]
        off[name].append(apart(ended, real))
        ax.scatter(*ended[:1000].T, s=3, color=COLOURS[tone], alpha=0.6, linewidths=0)
        ax.set(xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), xticks=[], yticks=[], aspect="equal")
        ax.set_xlabel(f"distance {off[name][-1]:.2f}")
        if name == "first flow":
            ax.set_title(f"{n} step{'s' if n > 1 else ''}")
    row[0].set_ylabel(name)
show(
    fig,
    "With one step the first flow sends all points to the middle, with two near the ring, with four to the heaps. After reflow one step gives four heaps.",
    "flow-few-steps",
)

# %%
say(
    f"With one step the first flow is **{off['first flow'][0]:.2f}** from the data, after reflow **{off['after reflow'][0]:.2f}**; with {TIMES} steps "
    f"{off['first flow'][3]:.2f} and {off['after reflow'][3]:.2f}, and two clouds drawn from the data are {chance:.2f} apart."
)
assert off["first flow"][0] > 0.8
assert off["after reflow"][0] < 0.2
assert off["after reflow"][3] < off["first flow"][3] + 0.06

# %% [markdown]
# Nothing is for free. The second network has learned from samples of the first, so it inherits its errors and adds its
# own, and all noises had to be walked with many steps before. For pictures one reflow is
# rarely enough for a single step. Other ways to it are in the elective on [distillation](elective_distillation.py).
#
# ## What to remember
#
# - Flow matching: a random point on the line between noise and data, and the network says $\varepsilon - x_0$.
# - It learns the *mean* velocity. The flow along it has the right cloud at every time, and its ways bend.
# - It is a diffusion model: from the velocity follow data, noise and score, on every path.
# - "Straight" helps against VP; Cosine does as well; and DDIM takes the same steps on all of them.
# - Reflow pairs each noise with the end of its way and trains again: then the ways are nearly straight, and one step does.
#
# ## Where to read on
#
# - Lipman et al. 2022, *Flow Matching for Generative Modeling*: the loss, and the proof that lines are enough (theorem 2).
# - Liu, Gong & Liu 2022, *Flow Straight and Fast*: reflow, and the proof that it makes no pair longer in the mean.
# - Tong et al. 2023, *Improving and Generalizing Flow-Based Generative Models with Minibatch Optimal Transport*: better
#   pairs without a first flow.
# - Esser et al. 2024, *Scaling Rectified Flow Transformers for High-Resolution Image Synthesis*: the line at large scale,
#   and which times to train at.
#
# In the studio: `demist studio`, page River: choose the schedule `linear` and the solver `euler`, then `vp`, and see which
# paths are straight.
#
# **Your answer**: `demist learn flow-matching --exercise` writes this chapter without the solutions, and
# `demist learn flow-matching --check FILE` says whether yours are right.
