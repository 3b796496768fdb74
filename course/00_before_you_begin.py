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
# # 0 · Before you begin
#
# **What must you know before you can build a program that dreams up pictures?** Less than you may fear: what a
# list of numbers is, what a table of numbers does to it, how a program learns from its errors, and what
# noise is. Each of them gets a picture here and about four lines of code. If you know them all, go on to
# [chapter 1](01_the_number_8.py).

# %%
import math

import torch

from demist.core import Gaussian, standard_normal_log_prob
from demist.course import COLOURS, figure, film, say, show
from demist.data import load

torch.set_num_threads(1)  # networks so small are fastest on one core

# %% [markdown]
# ## Vector: a list of numbers
#
# A {term}`vector` is a list of numbers. Two numbers are a place on a map. A grey picture of 8 x 8
# pixels is a list of 64 numbers: how bright each pixel is, from -1 (black) to 1 (white). So **a picture
# is a vector, too**, only a longer one.

# %%
place = torch.tensor([3.0, 2.0])
digits = load("digits", size=8)
pictures = torch.tensor(digits.x).flatten(1) / 127.5 - 1  # from bytes, 0 to 255
one = pictures[digits.labels == 3][0]
say(
    f"The place has {len(place)} numbers, the picture has {len(one)}. Its brightest is {one.max():.2f}."
)

# %%
fig, (left, right) = figure(2, height=3.6)
left.annotate("", place, (0, 0), arrowprops={"color": COLOURS["data"], "width": 2})
left.text(3.1, 2.1, "[3, 2]", color=COLOURS["data"], fontsize=12)
left.set(xlim=(0, 4.2), ylim=(0, 4.2), xlabel="first number", ylabel="second number")
left.set(title="a vector of 2 numbers", aspect="equal")
right.imshow(one.view(8, 8).numpy(), cmap="gray", vmin=-1, vmax=1)
for i, number in enumerate(one.tolist()):
    ink = "white" if number < 0 else "black"
    right.text(i % 8, i // 8, f"{number:.1f}", ha="center", va="center", color=ink, fontsize=7)
right.set_title("a vector of 64 numbers")
right.axis("off")
show(
    fig,
    "An arrow to the place (3, 2), and a digit 3 whose 64 pixels show their numbers.",
    "00-vector",
)

# %% [markdown]
# Vectors are added number by number, and multiplied by a number likewise. So one can mix two pictures: half of
# one and half of the other is `0.5 * a + 0.5 * b`. All of diffusion is such mixing.
#
# ## Matrix: a table that moves vectors
#
# A {term}`matrix` is a table of numbers. It makes a new vector from an old one: **each new number is a sum of the
# old ones, each multiplied by a number of the table.** Here it turns and stretches a flag. In Python
# the sign for it is `@`.

# %%
flag = torch.tensor([[0, 0], [0, 2], [1.3, 1.5], [0, 1.0]])
table = torch.tensor([[0.8, 1.0], [-0.6, 1.2]])
moved = flag @ table.T
by_hand = torch.stack(
    [0.8 * flag[:, 0] + 1.0 * flag[:, 1], -0.6 * flag[:, 0] + 1.2 * flag[:, 1]], 1
)
assert torch.allclose(moved, by_hand)

# %%
fig, ax = figure(width=4.8, height=3.2)
for points, colour, word in ((flag, "data", "before"), (moved, "model", "after the matrix")):
    ax.plot(*points.T, color=COLOURS[colour], marker="o", label=word)
for old, new in zip(flag, moved, strict=True):
    ax.plot(*torch.stack([old, new]).T, color="#999999", linewidth=1, linestyle=":")
ax.set(xlabel="first number", ylabel="second number", aspect="equal", title="four vectors, moved")
ax.legend(loc="lower right")
show(fig, "A flag of four corners; the matrix turns it to the right and stretches it.", "00-matrix")

# %% [markdown]
# ## Function: a number goes in, a number comes out
#
# A {term}`function` gives for each input one output. What we need of it most is its {term}`slope`: how much the
# output grows when the input grows a little. **Who always goes a little against the slope gets to the
# lowest place.** That is called {term}`gradient descent`, and it is how all networks learn.


# %%
def valley(x):
    return (x - 2) ** 2 / 2 + 1


def slope(function, x, small=1e-3):
    return (function(x + small) - function(x - small)) / (2 * small)


x, visited = -3.0, [-3.0]
for _ in range(15):
    x = x - 0.3 * slope(valley, x)
    visited.append(x)
say(f"From -3 we came to **{x:.3f}** in {len(visited) - 1} steps. The lowest place is at 2.")
assert abs(x - 2) < 0.03

# %%
fig, ax = figure(height=2.8)
line, dots = torch.linspace(-3.4, 5, 100), torch.tensor(visited)
ax.plot(line, valley(line), color=COLOURS["truth"], label="the function")
ax.plot(
    dots, valley(dots), "o-", color=COLOURS["path"], linewidth=1, label="steps against the slope"
)
ax.set(xlabel="input x", ylabel="output", title="downhill to the lowest place")
ax.legend(loc="upper center")
show(
    fig,
    "A valley, and dots that walk down its left side to the bottom, in ever smaller steps.",
    "00-function",
)

# %% [markdown]
# ## Neural network: matrices with a bend between them
#
# A matrix can only stretch and turn. To make curves, put a bend between two matrices: **whatever is
# below zero becomes zero.** That is a {term}`neural network`. This one has 24 bent lines in its middle, and its
# output is their sum. The numbers of its tables are called {term}`weights`.

# %%
torch.manual_seed(3)
inside, outside = torch.nn.Linear(1, 24), torch.nn.Linear(24, 1)


def network(x):
    bent = inside(x).clamp(min=0)
    return outside(bent)


inputs = torch.linspace(-3, 3, 121)[:, None]
library = torch.nn.Sequential(inside, torch.nn.ReLU(), outside)
assert torch.equal(network(inputs), library(inputs))

# %% [markdown]
# PyTorch has the same under the names `Linear`, `ReLU` and `Sequential`; both give equal numbers.

# %%
with torch.no_grad():
    lines, total = inside(inputs).clamp(min=0) * outside.weight, network(inputs)
fig, (left, right) = figure(2, height=2.7)
left.plot(inputs, lines, color=COLOURS["light"], linewidth=1.3)
left.set(xlabel="input x", ylabel="value", title="24 lines, each with one bend")
right.plot(inputs, total, color=COLOURS["model"])
right.set(xlabel="input x", ylabel="output", title="their sum: the network")
show(
    fig,
    "Left 24 lines that are zero up to a bend; right their sum, a curve of straight pieces.",
    "00-network",
)

# %% [markdown]
# ## Training: make the error small
#
# The weights were random, so the curve is nonsense. Now we want it to go through given dots. The {term}`loss` is
# a number that says how wrong it is: the mean of the squared differences. **{term}`Training <training>` is gradient
# descent on the loss**: each weight goes a little against its slope, thousands of times. PyTorch finds
# all slopes at once (`backward`).

# %%
torch.manual_seed(0)
x = torch.rand(80, 1) * 6 - 3
y = torch.sin(1.5 * x) + 0.15 * torch.randn(80, 1)
optimiser = torch.optim.Adam(library.parameters(), lr=0.02)  # gradient descent with good step sizes
curves, losses = [], []
for _ in range(1001):
    loss = ((library(x) - y) ** 2).mean()
    losses.append(loss.item())
    curves.append(library(inputs).detach())
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
say(f"The loss went from {losses[0]:.2f} to **{losses[-1]:.3f}** in {len(losses) - 1} steps.")
assert losses[-1] < 0.1 * losses[0]

# %%
frames = []
for i in [0, 2, 4, 7, 12, 20, 30, 45, 65, 95, 140, 200, 290, 420, 550, 700, 850, 1000]:
    fig, (left, right) = figure(2, width_ratios=[2, 1], height=2.8)
    left.plot(x, y, ".", color=COLOURS["data"], label="dots")
    left.plot(inputs, curves[i], color=COLOURS["model"], label="network")
    left.set(ylim=(-2, 2), xlabel="input x", ylabel="output", title=f"after {i} steps")
    left.legend(loc="upper right", ncols=2)
    right.semilogx(range(1, i + 2), losses[: i + 1], color=COLOURS["truth"])
    right.plot(i + 1, losses[i], "o", color=COLOURS["path"])
    right.set(xlim=(0.9, 1100), ylim=(0, 1.05 * losses[0]), xlabel="step", title="loss")
    frames.append(fig)
film(
    frames,
    "A curve bends step by step until it follows a wave of dots; beside it the loss falls.",
    4.5,
    "00-training",
)

# %% [markdown]
# Are the slopes of `backward` those that we know from above? Change one weight by a little, and see how much the
# loss changes:

# %%
loss = ((library(x) - y) ** 2).mean()
(found,) = torch.autograd.grad(loss, outside.bias)


def loss_of(bias):
    with torch.no_grad():
        return ((inside(x).clamp(min=0) @ outside.weight.T + bias - y) ** 2).mean()


expected = slope(loss_of, outside.bias.detach())
assert torch.allclose(found, expected, atol=1e-3)
say(f"Slope by `backward`: {found.item():.4f}; by a small change: {expected.item():.4f}.")

# %% [markdown]
# ## Probability: what happens how often
#
# Throw a die: each number comes up equally often. The {term}`probability` of a 6 is one sixth, which
# means: in many throws about a sixth are sixes. Now throw **several dice and take the sum**. The middle
# can be reached in many ways, the ends in one way only. With more dice a curve of always the same
# form appears: the bell, or {term}`Gaussian`.

# %%
torch.manual_seed(0)
throws = torch.randint(1, 7, (20000, 24)).float()
frames = []
for n in (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24):
    total = throws[:, :n].sum(1)
    standard = (total - 3.5 * n) / math.sqrt(n * 35 / 12)  # its middle at 0, its spread 1
    width = 1 / math.sqrt(n * 35 / 12)
    fig, ax = figure(height=2.8)
    values, counts = total.unique(return_counts=True)
    places, heights = (values - 3.5 * n) * width, counts / 20000 / width
    ax.bar(places.numpy(), heights.numpy(), 0.9 * width, color=COLOURS["light"])
    line = torch.linspace(-4, 4, 200)
    ax.plot(line, torch.exp(-(line**2) / 2) / math.sqrt(2 * math.pi), color=COLOURS["noise"])
    ax.set(
        xlim=(-4, 4), ylim=(0, 0.55), xlabel="sum of the dice, moved and scaled", ylabel="how often"
    )
    ax.set_title("1 die" if n == 1 else f"{n} dice")
    frames.append(fig)
film(
    frames,
    "Bars of equal height for one die; with more dice they fill the bell curve exactly.",
    5,
    "00-dice",
)

# %%
within = (standard.abs() < 1).float().mean()
say(
    f"Of the sums of 24 dice **{within:.1%}** lie within one spread of the middle; of the bell 68.3 %."
)
assert abs(within - 0.683) < 0.04

# %% [markdown]
# Two numbers describe a bell: its middle, the {term}`mean` $m$, and its width, the {term}`standard deviation` $s$.
# The square of the width, $s^2$, is the {term}`variance`. The height of the curve at $x$ is called the
# {term}`density`:
#
# $$p(x) = \frac{1}{s\sqrt{2\pi}}\; e^{-\frac12\left(\frac{x - m}{s}\right)^2}$$
#
# Far from the middle it falls very fast; the factor in front makes the area below the curve 1.
#
# **Your turn.** Write it.


# %% tags=["exercise"]
def density(x, mean, spread):
    """How high the bell with this mean and standard deviation is at x.

    x: any numbers, a tensor of any shape; mean: a number; spread: a number above 0, the standard deviation.
    Gives the heights, of x's shape. Hint: `torch.exp`, `math.sqrt`, `math.pi`.
    """
    # <solution>
    distance = (x - mean) / spread
    return torch.exp(-(distance**2) / 2) / (spread * math.sqrt(2 * math.pi))
    # </solution>


# %% [markdown]
# The library knows the logarithm of it for mean 0 and spread 1, added up over all numbers of a
# vector. Its heights must be ours:

# %%
some = torch.randn(1000, 1)
theirs = standard_normal_log_prob(some).exp()
assert torch.allclose(density(some[:, 0], 0.0, 1.0), theirs, rtol=1e-5)
line = torch.linspace(-12, 14, 5000)
area = torch.trapezoid(density(line, 1.0, 2.0), line)
say(
    f"1000 heights agree with those of the library. The area below a bell of width 2 is {area:.5f}."
)
assert abs(area - 1) < 1e-4

# %% [markdown]
# ## Noise: a vector of random numbers
#
# Take for every pixel its own number from the bell, all independent of each other: that is {term}`noise`.
# In formulas it is $\varepsilon$ (epsilon). Two numbers of noise are a random place near the middle of the map, 64
# numbers are a picture of snow.

# %%
torch.manual_seed(1)
noise = torch.randn(1500, 2)
snow = torch.randn(64)
noisy = 0.6 * one + 0.4 * snow
assert Gaussian()(noise).shape == noise.shape  # the library's word for it

fig, axes = figure(4, height=2.3, width_ratios=[1.3, 1, 1, 1])
axes[0].plot(*noise.T, ".", color=COLOURS["noise"], markersize=2, alpha=0.5)
axes[0].set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal", title="noise of 2 numbers")
shown = (("a picture", one), ("noise of 64 numbers", snow), ("60 % and 40 %", noisy))
for ax, (title, picture) in zip(axes[1:], shown, strict=True):
    ax.imshow(picture.view(8, 8).numpy(), cmap="gray", vmin=-1.5, vmax=1.5)
    ax.set_title(title, fontsize=10)
    ax.axis("off")
show(
    fig,
    "A round cloud of dots; a digit 3; a picture of snow; and the mix, a 3 with snow on it.",
    "00-noise",
)

# %% [markdown]
# One law of noise is used again and again, so remember it. Add two noises of width 3 and 4. The sum is
# a bell again, but not of width 7: sometimes they help each other, sometimes they cancel. **The variances add,
# not the widths**: $3^2 + 4^2 = 5^2$.

# %%
torch.manual_seed(0)
both = 3 * torch.randn(200_000) + 4 * torch.randn(200_000)
say(f"The width of the sum is **{both.std():.3f}**.")
assert abs(both.std() - 5) < 0.05

# %% [markdown]
# ## What to remember
#
# - A picture is a vector. A matrix makes new vectors; with bends between them matrices are a network.
# - Training goes against the slope of the loss, until the error is small.
# - The Gaussian is the bell that many small chances make. Noise is a vector of such numbers.
# - When independent noises are added, their variances add.
#
# ## Where to read on
#
# - Goodfellow, Bengio & Courville 2016, *Deep Learning*, chapters 2 to 4: the same mathematics for whom this was
#   too fast.
# - Kingma & Ba 2014, *Adam: A Method for Stochastic Optimization*: the step sizes that we used above.
# - [Chapter 1](01_the_number_8.py): all of diffusion with one number.
#
# **Your answer**: `demist learn 0 --exercise` writes this chapter without the solution, and
# `demist learn 0 --check FILE` says whether yours is right.
