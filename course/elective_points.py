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
# # Points: data in space
#
# **What is left of diffusion if the data is no picture?** In [chapter 1](01_the_number_8.py) the data was a number, later
# it was pictures. Nothing in the formulas asks what the numbers are. Here they are places in space: what a laser scanner
# sees of a thing, atoms of a molecule, rows of a table. The loss and the steps stay as they are. Three things change: how
# the numbers are scaled, which network looks at them, and how one says whether the result is good.
#
# You need: [chapter 4](04_ddpm.py).

# %%
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from demist.core import Denoiser, Linear, TimeClock, Velocity
from demist.course import COLOURS, figure, film, say, show
from demist.evaluation.metrics.sliced_wasserstein import sliced_wasserstein
from demist.modalities import Points
from demist.samplers import DDIM, sample, uniform

torch.set_num_threads(1)  # networks so small are fastest on one core

# %% [markdown]
# ## A knot, as a scanner sees it
#
# A thick rope is tied to a knot and scanned: 20,000 points near a curve, in metres, and the scanner stands somewhere
# in the room, so the knot is far from zero. Each point is one example; all of them show the {term}`density`.


# %%
def curve(u):
    """The middle of the rope, for u from 0 to 1; shape (n, 3), in metres."""
    a = 2 * torch.pi * u
    x, y = a.sin() + 2 * (2 * a).sin(), a.cos() - 2 * (2 * a).cos()
    return 0.3 * torch.stack([x, y, -(3 * a).sin()], 1) + torch.tensor([4.0, -2.0, 1.0])


def scan(n, generator):
    """Points of the rope, which is 4 cm thick (standard deviation), shape (n, 3)."""
    return curve(torch.rand(n, generator=generator)) + 0.04 * torch.randn(n, 3, generator=generator)


generator = torch.Generator().manual_seed(0)
data, held_out = scan(20_000, generator), scan(2000, generator)


def plot(ax, x, turned, colour, title):
    """Points as seen by someone who has walked around them by an angle; near ones are darker, and above far ones."""
    c, s = torch.tensor(turned).cos(), torch.tensor(turned).sin()
    across, deep = c * x[:, 0] + s * x[:, 1], c * x[:, 1] - s * x[:, 0]
    high, near = 0.8 * x[:, 2] + 0.6 * deep, 0.8 * deep - 0.6 * x[:, 2]
    order = near.argsort()
    shade = ((near + 2) / 4).clamp(0.15, 0.9)[order].tolist()
    ax.scatter(across[order], high[order], s=3, color=colour, alpha=shade, linewidths=0)
    ax.set(xlim=(-2.4, 2.4), ylim=(-2.4, 2.4), xticks=[], yticks=[], aspect="equal", title=title)
    ax.spines[:].set_visible(False)


# %% [markdown]
# ## One number for all directions
#
# A model begins with {term}`noise` of mean 0 and variance 1 in each direction, so the data has to be of that size. Pictures
# were scaled by what a pixel can be. Points can be anywhere, so we look at the data: subtract the {term}`mean` of each
# column, then divide **by one number**, the root of the mean of the columns' {term}`variances <variance>`. Why not each
# column by its own? Because a scanner that is turned would then give another model: space has no columns.
#
# **Your turn.** Write it.


# %% tags=["exercise"]
def standardise(x):
    """Points with mean 0 in each column, all divided by one number, so that the columns' variances have the mean 1.

    x: shape (n, d). Gives the same shape. Take variances as the mean of the squares, without the n - 1 (`correction=0`).
    """
    # <solution>
    centred = x - x.mean(0)
    return centred / centred.square().mean().sqrt()
    # </solution>


# %%
ready = standardise(data)
angle = torch.tensor(0.7)
turn = torch.tensor([[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0], [0, 0, 1.0]])
pressed = data * torch.tensor(
    [1.0, 0.5, 1.0]
)  # a flat knot, since the round one is alike from all sides


def by_column(x):
    """Each column divided by its own deviation."""
    return (x - x.mean(0)) / x.std(0, correction=0)


one, each = (
    float((f(pressed @ turn.T) - f(pressed) @ turn.T).abs().max()) for f in (standardise, by_column)
)
say(
    f"A flat knot, turned first or scaled first: with one number the two differ by **{one:.0e}**, with one for each column by **{each:.2f}**."
)
assert one < 1e-4
assert each > 0.3

# %% [markdown]
# (Columns with different units, such as the age and the income in a table, are another case: there each is divided by its
# own deviation *before*, since nobody turns age into income.)
#
# ## A network without neighbours
#
# The {term}`U-Net` looks at neighbouring pixels. Columns have no neighbours: each may have to do with each other, so the network is
# the plainest there is. It says the velocity $\varepsilon - x_0$, and the loss is the one of chapter 4.


# %%
class Velocities(nn.Module):
    """From noisy points (n, d) and times (n,) to eps - x0."""

    def __init__(self, d, width=128):
        super().__init__()
        self.time, self.into = nn.Linear(9, width), nn.Linear(d, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
            )
            for _ in range(2)
        )
        self.out = nn.Linear(width, d)

    def forward(self, x, t):
        t = t.to(x.dtype)[:, None]
        angles = t * torch.pi * 2.0 ** torch.arange(-1, 3)
        told = self.time(torch.cat([t, angles.sin(), angles.cos()], 1))
        h = self.into(x)
        for block in self.blocks:
            h = h + block(h + told)
        return self.out(F.silu(h))


torch.manual_seed(0)
net, STEPS = Velocities(3), 1800
optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
for _ in range(STEPS):
    x0, t = ready[torch.randint(len(ready), (256,))], torch.rand(256)
    eps = torch.randn_like(x0)
    loss = (net((1 - t[:, None]) * x0 + t[:, None] * eps, t) - (eps - x0)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    falling.step()


@torch.no_grad()
def walk(x, steps):
    """All states from noise to data, by the steps of chapter 1."""
    states = [x]
    for t, s in pairwise(torch.linspace(1, 0, steps + 1, dtype=torch.float64)):
        states.append(states[-1] + (s - t).float() * net(states[-1], t.expand(len(x))))
    return states


N = 50
first = torch.randn(2000, 3)
states = walk(first, N)

frames = []
for i in (*range(0, N, 5), *[N] * 6):
    fig, ax = figure(height=3.4, width=3.4)
    time = f"t = {1 - i / N:.2f}" + (" (noise)" if i == 0 else " (data)" if i == N else "")
    plot(ax, states[i], len(frames) * 0.16, COLOURS["model"], time)
    frames.append(fig)
film(
    frames,
    "One walks around a round cloud of points in space. It draws together to a rope that is tied to a knot of three loops.",
    6,
    "points-knot",
)

# %% [markdown]
# ## Is it good? Distances instead of looks
#
# No trained eye is needed for points, and no network that judges: two clouds can be compared as they are. The
# {term}`sliced Wasserstein distance` of the drawn points to points that were held out is small if the drawn ones lie where the real ones do,
# and as many. What is small? What real points have: two halves of the held-out data are not at the distance 0
# either. And since we know the rope, we can also ask: how far from its middle do the points lie, and is any part of it left out?

# %%
middle, scale = data.mean(0), (data - data.mean(0)).square().mean().sqrt()
real, more, rope = (
    (x - middle) / scale for x in (held_out, scan(2000, generator), curve(torch.arange(480) / 480))
)
drawn = states[-1]


def look_at(x):
    """Distance to held-out points; mean distance from the middle of the rope; the share of the emptiest of 12 parts."""
    far, place = torch.cdist(x, rope).min(1)
    shares = torch.bincount(place // 40, minlength=12) / len(x)
    return sliced_wasserstein(x.numpy(), real.numpy()), float(far.mean()), float(shares.min())


kinds = {"noise": first, "drawn": drawn, "real": more}
found = {name: look_at(x) for name, x in kinds.items()}
tones = {"noise": COLOURS["noise"], "drawn": COLOURS["model"], "real": COLOURS["data"]}
fig, axes = figure(3, height=2.7)
for ax, (name, x) in zip(axes, kinds.items(), strict=True):
    plot(ax, x, 0.4, tones[name], f"{name}: distance {found[name][0]:.3f}")
show(
    fig,
    "Three clouds from one side: noise, the drawn knot, the real knot. The drawn one looks like the real one, with a little dust beside the rope.",
    "points-measured",
)

# %%
say(
    f"Distance to held-out points: noise {found['noise'][0]:.3f}, drawn **{found['drawn'][0]:.3f}**, real **{found['real'][0]:.3f}**. The mean distance from the "
    f"middle of the rope: drawn {found['drawn'][1]:.3f}, real {found['real'][1]:.3f}. Of 12 equal parts of the rope the emptiest has "
    f"{found['drawn'][2]:.1%} of the drawn points ({found['real'][2]:.1%} of the real ones)."
)
assert found["drawn"][0] < 0.4 * found["noise"][0]
assert found["drawn"][1] < 1.8 * found["real"][1]
assert found["drawn"][2] > 0.04

# %% [markdown]
# ## The same with the library
#
# `Points` is the library's name for this kind of data: it scales as we did. `Denoiser` reads our network, and `sample`
# is our walk:

# %%
codec = Points().codec(data.numpy())
assert torch.allclose(codec.encode(data), ready, atol=1e-4)
assert torch.allclose(codec.decode(ready), data, atol=1e-4)
model = Denoiser(net, Linear(), Velocity(), clock=TimeClock()).eval()
with torch.no_grad():
    theirs = sample(model, first, uniform(N), DDIM())
assert torch.allclose(theirs, drawn, atol=1e-4)
say(f"The largest difference of 6000 numbers is {(theirs - drawn).abs().max():.0e}.")

# %% [markdown]
# With an array in a file, `demist train knot.npy` does all of this: an array of shape (n, d) of floating-point numbers is
# understood as points, and `demist evaluate` prints the distances.
#
# ## What to remember
#
# - The loss and the steps do not know what the numbers are.
# - Points in space are centred and divided by **one** number, so that it does not matter how space is turned. Columns with
#   units of their own are another case.
# - Where there are no neighbours, a plain network of matrices is enough.
# - Clouds of points can be compared as they are. A distance means something only beside that of real points.
#
# ## Where to read on
#
# - Luo & Hu 2021, *Diffusion Probabilistic Models for 3D Point Cloud Generation*: there a whole cloud, not a point, is one example.
# - Hoogeboom et al. 2022, *Equivariant Diffusion for Molecule Generation in 3D*: a network that is turned with its molecule.
# - Kotelnikov et al. 2022, *TabDDPM: Modelling Tabular Data with Diffusion Models*: tables, with columns that are words.
#
# **Your answer**: `demist learn points --exercise` writes this chapter without the solution, and
# `demist learn points --check FILE` says whether yours is right. In the plane you can drag points and watch them flow: `demist studio`,
# the page Field.
