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
# # 3 · The best guess is a blur
#
# **If a network knows the best guess of the clean picture, why do we not take it, and are done in one step?**
# Because the best guess is no picture. This chapter shows what it is instead: a mean of all pictures
# that it may have been. And it shows a trap: a perfect denoiser copies its training data.
#
# You need: [chapter 1](01_the_number_8.py).

# %%
from itertools import pairwise

import torch

from demist import Pipeline, zoo
from demist.core import Linear
from demist.core.exact import Exact, points
from demist.course import COLOURS, figure, film, images, live, say, show
from demist.data import load
from demist.samplers import DDIM, trajectory, uniform

# %% [markdown]
# ## What is "best"?
#
# A {term}`denoiser` is trained with the squared error: guess $g$, truth $x_0$, error $(g - x_0)^2$. Say all we know
# is that the number was 2 in 3 of 10 cases, and 8 in the others. Which guess has the smallest error on average?

# %%
numbers = torch.tensor([2.0] * 3 + [8.0] * 7)
guesses = torch.linspace(0, 10, 501)
errors = ((guesses[:, None] - numbers) ** 2).mean(1)
best = guesses[errors.argmin()]
assert abs(best - numbers.mean()) < 0.02

fig, ax = figure(height=2.7)
ax.plot(guesses, errors, color=COLOURS["truth"])
for number, share in ((2, "3 of 10"), (8, "7 of 10")):
    ax.axvline(number, color=COLOURS["data"], linewidth=1.5, linestyle=":")
    ax.text(number + 0.1, 36, f"{number}: {share}", color=COLOURS["data"])
ax.plot(best, errors.min(), "o", color=COLOURS["model"], markersize=9)
ax.annotate(f"best guess {best:.1f}", (best, errors.min()), (4.2, 17), color=COLOURS["model"])
ax.set(xlabel="guess", ylabel="mean squared error", ylim=(0, 41))
show(fig, "A curve of errors whose lowest place is between 2 and 8, where no data is.", "03-mean")

# %%
say(f"The best guess is **{best:.1f}**, the mean. It is a number that never occurs in the data.")

# %% [markdown]
# So it is always: **the guess with the smallest squared error is the {term}`mean` of what it may have been.** For a
# noisy picture $x_t$ one writes it $E[x_0 \mid x_t]$: the {term}`posterior mean`. E means "expected",
# the bar means "if one sees".
#
# ## The best guess for pictures
#
# For pictures nothing new is needed. We take the function of chapter 1 and let the data be 1000 handwritten
# digits. Each gets a weight: how likely it is that this digit, with noise, became what we see.

# %%
digits = load("digits")
data = torch.tensor(digits.x[:1000]).double().flatten(1) / 127.5 - 1  # (1000, 784)


def weights_of(x, t, data):
    """How likely each clean picture is; x: (n, pixels), data: (k, pixels), gives (n, k)."""
    distance = torch.cdist(x, (1 - t) * data)
    return torch.softmax(-((distance / t) ** 2) / 2, dim=1)


def best_guess(x, t, data):
    """The posterior mean."""
    return weights_of(x, t, data) @ data


# %% [markdown]
# Of how many digits is a guess made? If $n$ digits have equal weights, of $n$. In general one takes
#
# $$e^{H}, \qquad H = -\sum_k w_k \log w_k$$
#
# $H$ is the {term}`entropy`. For $n$ equal weights of $1/n$ it is $\log n$, and $e^{\log n} = n$. Where a
# weight is 0, $0 \log 0$ counts as 0.
#
# **Your turn.** Write it.


# %% tags=["exercise"]
def how_many(weights):
    """Of how many pictures a weighted mean is made: e to the entropy.

    weights: shape (n, k), at least 0; the k weights of each row sum to 1, and some are exactly 0. Gives
    shape (n,), numbers from 1 to k. Hint: `torch.xlogy(w, w)` is w log w, and 0 where w is 0.
    """
    # <solution>
    entropy = -torch.xlogy(weights, weights).sum(1)
    return torch.exp(entropy)
    # </solution>


# %% [markdown]
# Now we let noise grow on three digits, and look at the best guess, and of how many digits it is made:

# %%
torch.manual_seed(4)
three = data[[2, 4, 8]]
eps = torch.randn(3, 784, dtype=torch.float64)
frames = []
times = [0.3, 0.5, 0.65, 0.7, 0.74, 0.78, 0.81, 0.84, 0.87, 0.9, 0.94, 0.97, 1.0]
for t in times:
    x = (1 - t) * three + t * eps
    weights = weights_of(x, t, data)
    counts, guess = how_many(weights), weights @ data
    fig, axes = figure(3, 2, height=3.3, width=4.6)
    for column in range(3):
        for ax, picture in ((axes[0, column], x[column]), (axes[1, column], guess[column])):
            ax.imshow(picture.view(28, 28).numpy(), cmap="gray", vmin=-1, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
        n = counts[column]
        axes[1, column].set_xlabel(f"made of {n:.0f} digit{'s' if n >= 1.5 else ''}")
    axes[0, 0].set_ylabel("noisy")
    axes[1, 0].set_ylabel("best guess")
    axes[0, 0].set_title(f"time t = {t:.2f}  (0 is data, 1 is noise)")
    frames.append(fig)
film(
    frames,
    "Three digits get noisier; their best guesses are sharp, then a blend, then one grey blur.",
    6,
    "03-blur",
)

# %%
assert torch.allclose(guess, data.mean(0).expand(3, -1), atol=1e-9)
say(
    f"At $t = 1$ each guess is made of **{counts.min():.0f}** digits: all three are the mean of the data."
)
assert (counts > 999).all()

# %% [markdown]
# ## How blurred, and how wrong?
#
# A picture has detail if neighbouring pixels differ. A mean of many pictures has little. We measure the mean
# squared difference of neighbours in the best guess, and how far the guess is from the truth:


# %%
def detail(x):
    """Mean squared difference of neighbouring pixels."""
    return x.view(-1, 28, 28).diff(dim=1).square().mean()


torch.manual_seed(0)
truth = data[:200]
times = torch.tensor([0.2, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0]).double()
details, errors = [], []
for t in times:
    guess = best_guess((1 - t) * truth + t * torch.randn_like(truth), t, data)
    details.append(detail(guess) / detail(truth))
    errors.append((guess - truth).square().mean())
spread = (data - data.mean(0)).square().mean()

fig, (left, right) = figure(2, height=2.8)
left.plot(times, details, "o-", color=COLOURS["model"], markersize=4)
left.axhline(1, color=COLOURS["data"], linestyle=":")
left.text(0.2, 1.03, "clean digits", color=COLOURS["data"])
left.set(ylim=(0, 1.15), xlabel="time t (0 is data, 1 is noise)", title="detail of the best guess")
right.plot(times, errors, "o-", color=COLOURS["noise"], markersize=4)
right.axhline(spread, color=COLOURS["truth"], linestyle=":")
right.text(0.2, spread * 1.03, "variance of the data")
right.set(
    ylim=(0, 1.15 * float(spread)),
    xlabel="time t (0 is data, 1 is noise)",
    title="its squared error",
)
show(
    fig,
    "The detail falls from 1 to nearly 0 while the error rises to the variance of the data.",
    "03-detail",
)

# %%
say(
    f"At $t = 0.2$ the guess has {details[0]:.0%} of the detail, at $t = 0.8$ **{details[7]:.0%}**, at $t = 1$ {details[-1]:.0%}."
)
assert details[0] > 0.99
assert details[7] < 0.8
assert details[-1] < 0.3
assert abs(errors[-1] - spread) < 0.1 * spread

# %% [markdown]
# No network can have a smaller error than this one, since this guess is the best that there is. **The error of
# a denoiser does not go to zero when training goes on**: what is left is what nobody can know.
#
# ## One step, or many
#
# Begin in pure noise, at $t = 1$, and take the best guess as the sample. Every noise gives the same picture: the
# mean of all digits. Now go there in 30 small steps, as in chapter 1: each asks again, and as soon as one
# digit is a little more likely than the others, the next step makes it more likely still.


# %%
def walk(x, steps, data):
    """From noise to data (chapter 1), with the best guess of each moment: all states."""
    grid, states = torch.linspace(1, 0, steps + 1, dtype=torch.float64), []
    for t, s in pairwise(grid):
        x0 = best_guess(x, t, data)
        x = (1 - s) * x0 + s * (x - (1 - t) * x0) / t
        states.append(x)
    return states


torch.manual_seed(1)
start = torch.randn(12, 784, dtype=torch.float64)
states = walk(start, 30, data)
in_one, in_many = walk(start, 1, data)[-1], states[-1]
pages = torch.cat([start / 2, in_one, in_many]).view(-1, 1, 28, 28)
show(
    images(pages, columns=12, scale=2),
    "Twelve noises; below, twelve times the same grey blur; below, twelve sharp digits.",
    "03-one-and-many",
)

# %%
alike = (in_one - in_one[0]).abs().max()
say(
    f"Above noise, in the middle one step, below 30 steps. The samples of one step differ by {alike:.0e}; those "
    f"of 30 steps have **{detail(in_many) / detail(in_one):.0f} times** their detail."
)
assert alike < 1e-9
assert detail(in_many) > 4 * detail(in_one)

# %% [markdown]
# **This is why diffusion takes many steps**: a guess is a mean, and only a state that has decided gets a sharp one.
#
# ## The trap: it copies
#
# Look for the sample among the training data. We take the nearest training digit of each:


# %%
def nearest(x, data):
    """Distance (root of the mean squared difference of pixels) to the nearest picture, and which it is."""
    distance, which = torch.cdist(x, data).min(1)
    return distance / x.shape[1] ** 0.5, which


copies, _ = nearest(in_many, data)
say(f"The largest distance of a sample to its nearest training digit is **{copies.max():.1e}**.")
assert copies.max() < 1e-6

# %% [markdown]
# Each sample **is** a training digit, pixel by pixel. That is {term}`memorising`. The best denoiser of 1000 digits
# knows nothing but these 1000 digits. What we want is the best denoiser of *all digits that people could
# write*, and of these we only have examples. A network that is small against its data cannot store it, so it must
# learn what digits have in common. The one that comes with the library has never stored any digit. We compare it
# with new digits, which were not in the data:

# %%
model = Pipeline.load(zoo.locate("digits"))
made = model.sample(24, seed=0, steps=12, guidance=1.0, label=[i % 10 for i in range(24)])
made = torch.tensor(made).double().flatten(1) / 127.5 - 1
many = torch.tensor(digits.x).double().flatten(1) / 127.5 - 1  # all 10,000
fresh = torch.tensor(load("digits", split="test").x[:300]).double().flatten(1) / 127.5 - 1
(of_model, which), (of_fresh, _) = nearest(made, many), nearest(fresh, many)

rows = torch.cat([made[:12], many[which[:12]]]).view(-1, 1, 28, 28)
show(
    images(rows, columns=12, scale=2),
    "Twelve digits made by a network; below each the nearest training digit, alike but never equal.",
    "03-nearest",
)

# %%
fig, ax = figure(height=2.5)
span = {"bins": 24, "range": (0, 0.6), "density": True}
ax.hist(of_fresh, color=COLOURS["light"], label="new real digits", **span)
ax.hist(
    of_model, color=COLOURS["model"], histtype="step", linewidth=2, label="of the network", **span
)
ax.axvline(copies.max(), color=COLOURS["noise"], linewidth=3, label="of the perfect denoiser: 0")
ax.set(xlabel="distance to the nearest training digit", yticks=[], ylabel="how often")
ax.legend(loc="upper right")
show(
    fig,
    "Distances of the network's digits lie where those of new digits lie; the copies are at 0.",
    "03-copies",
)

# %%
say(
    f"Middle distance to the nearest of 10,000 training digits: the network **{of_model.median():.3f}**, "
    f"new digits {of_fresh.median():.3f}, the perfect denoiser {copies.median():.3f}."
)
assert of_model.min() > 0.03
assert of_model.median() > 0.5 * of_fresh.median()

# %% [markdown]
# (This network was trained on 60,000 digits, of which the library carries 10,000; so the test sees a
# copy if it is one of these.)
#
# ## The same with the library
#
# `points` is a data set as a distribution, `Exact` its best denoiser, `trajectory` the loop:

# %%
exact = Exact(points(data), Linear())
t = torch.tensor(0.75, dtype=torch.float64)
x = (1 - t) * three + t * eps
assert torch.allclose(exact(x, t).x0, best_guess(x, t, data), atol=1e-8)
largest = 0.0
for ours, theirs in zip(states, trajectory(exact, start[:3], uniform(30), DDIM()), strict=True):
    largest = max(largest, (theirs.x - ours[:3]).abs().max().item())
assert largest < 1e-6
say(f"The largest difference of three samples, in all 30 states, is {largest:.1e}.")

# %% [markdown]
# ## Touch it
#
# The digits model that comes with the package makes an 8 in 16 steps. Above are the state and the best guess at one
# step, below all of them. Go to the left end, where the guess is a blur, and come back:

# %%
trace = Pipeline.load(zoo.locate("digits")).trace(n=1, label="8", steps=16, seed=3, guidance=1.0)
live(
    "filmstrip",
    "Noise becomes an 8 in 16 steps; the best guess below is a blur at first. Move over the film.",
    trace=trace, page="denoise",
)  # fmt: skip

# %% [markdown]
# ## What to remember
#
# - The guess with the smallest squared error is the mean of all clean pictures that fit: $E[x_0 \mid x_t]$.
# - With little noise it is sharp. With much noise it is a blur, and at $t = 1$ the mean of the data.
# - So one step gives the mean. Many small steps decide bit by bit, and end sharp.
# - The perfect denoiser of the training data copies it. Networks are useful because they are not perfect.
#
# ## Where to read on
#
# - Karras, Aittala, Aila & Laine 2022, *Elucidating the Design Space of Diffusion-Based Generative Models*,
#   appendix B.3: the best denoiser of a finite data set, in general.
# - Carlini et al. 2023, *Extracting Training Data from Diffusion Models*: large models, too, copy pictures that
#   stand in the data many times.
# - Kadkhodaie, Guth, Simoncelli & Mallat 2023, *Generalization in Diffusion Models Arises from
#   Geometry-Adaptive Harmonic Representations*: how many pictures it takes until a network stops copying.
#
# **Your answer**: `demist learn 3 --exercise` writes this chapter without the solution, and
# `demist learn 3 --check FILE` says whether yours is right.
