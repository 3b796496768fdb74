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
# # Memorising
#
# **Does a model make something new, or does it give back what it has seen?** For people whose pictures are in the
# training data this is the most important question of all. The answer is not yes or no: the same network, trained in the
# same way, copies if it is shown few examples, and invents if it is shown many. This chapter trains eight networks to
# see where one becomes the other, and measures it in two ways that need no opinion.
#
# You need: [chapter 3](03_the_best_guess_is_a_blur.py) and [chapter 10](10_evaluation.py).

# %%
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from demist.core.exact import points
from demist.course import COLOURS, figure, film, images, say, show
from demist.data import load
from demist.evaluation.metrics import memorisation

torch.set_num_threads(1)  # networks so small are fastest on one core
PIXELS = 64


def vectors(split):
    """Digits of 8 x 8 pixels as 64 numbers from -1 to 1, in random order."""
    data = load("digits", size=8, split=split)
    order = torch.randperm(len(data.x), generator=torch.Generator().manual_seed(0))
    return torch.tensor(data.x[:]).float().flatten(1)[order] / 127.5 - 1


train, new = vectors("train"), vectors("test")[:1000]

# %% [markdown]
# ## The best student copies, by law
#
# A network is trained to make its {term}`loss` on the training examples small. Which function has the *smallest* loss
# of all? Chapter 3 has the answer: the {term}`posterior mean`, with the training examples as the only data there is. It
# is a mean of them, each weighted by how well it explains the noisy picture. When the noise is nearly gone, one example
# has all the weight: **the walk must end at a training example.** So the better a model fits its training loss, the
# nearer it comes to a machine that copies. This is {term}`memorising`, and there is no bug in it.


# %%
def exact(x, t, data):
    """The guess with the smallest training loss, and the weights of the examples in it."""
    far = torch.cdist(x, (1 - t) * data) ** 2 / (2 * t**2)
    weights = torch.softmax(-far, 1)
    return weights @ data, weights


def walk(guess, x, times):
    """All states from noise to data, without new noise (chapter 1); the last state is the last guess."""
    states = [x]
    for t, s in pairwise(times):
        x0 = guess(x, t)
        x = (1 - s) * x0 + s * (x - (1 - t) * x0) / t
        states.append(x)
    return states


TIMES = torch.cat([torch.linspace(1, 0.15, 20), torch.zeros(1)])
start = torch.randn(200, PIXELS, generator=torch.Generator().manual_seed(0))
few = train[:1000]
ends = walk(lambda x, t: exact(x, t, few)[0], start, TIMES)[-1]
share = float((torch.cdist(ends, few).min(1).values < 0.3).float().mean())
say(f"Of 200 walks with the best denoiser of 1000 digits **{share:.0%}** end at one of them.")
assert share > 0.95
x, t = torch.randn(50, PIXELS).double(), torch.tensor(0.4, dtype=torch.float64)
library, _ = points(few.double()).posterior(x, 1 - t, t)
assert torch.allclose(exact(x, t, few.double())[0], library, atol=1e-8)

# %% [markdown]
# A network does *not* reach that loss: it has only so many {term}`weights`, and only so many steps of training. What it
# cannot store one by one it has to describe by what the examples have in common. That failure is what we want: it is
# called **generalising**.
#
# ## Eight networks
#
# We train on $n$ = 10, 100, 1000 and 5000 digits; for each $n$ **two** networks, A and B, whose training sets have no
# digit in common. All eight have the same size, the same first weights and the same number of steps. To save time they learn
# at once: a layer holds eight matrices instead of one. The network says the clean digit.

# %%
SIZES = (10, 100, 1000, 5000)
sets = [train[begin : begin + n] for n in SIZES for begin in (0, 5000)]  # A, B, A, B, ...
WIDTH, STEPS = 128, 1200


class Layers(nn.Module):
    """Eight layers beside each other: (8, batch, inputs) to (8, batch, outputs)."""

    def __init__(self, inputs, outputs):
        super().__init__()
        one = torch.randn(1, inputs, outputs) / inputs**0.5  # all eight begin alike
        self.weight = nn.Parameter(one.repeat(len(sets), 1, 1))
        self.bias = nn.Parameter(torch.zeros(len(sets), 1, outputs))

    def forward(self, x):
        return torch.baddbmm(self.bias, x, self.weight)


class Guesses(nn.Module):
    """From noisy digits and their times to eight guesses of the clean ones."""

    def __init__(self):
        super().__init__()
        self.into, self.out = Layers(PIXELS + 9, WIDTH), Layers(WIDTH, PIXELS)
        self.first = nn.ModuleList(Layers(WIDTH + 9, WIDTH) for _ in range(2))
        self.second = nn.ModuleList(Layers(WIDTH, WIDTH) for _ in range(2))

    def forward(self, x, t):
        angles = t * torch.pi * 2.0 ** torch.arange(-1, 3)
        time = torch.cat([t, angles.sin(), angles.cos()], -1)
        h = self.into(torch.cat([x, time], -1))
        for first, second in zip(self.first, self.second, strict=True):
            inside = torch.cat([F.layer_norm(h, h.shape[-1:]), time], -1)
            h = h + second(F.silu(first(inside)))
        return self.out(F.silu(h))


torch.manual_seed(0)
net = Guesses()
optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3)
falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
for _ in range(STEPS):
    x0 = torch.stack([some[torch.randint(len(some), (32,))] for some in sets])
    t, eps = 0.15 + 0.85 * torch.rand(len(sets), 32, 1), torch.randn(len(sets), 32, PIXELS)
    wrong = (net((1 - t) * x0 + t * eps, t) - x0).square() / t
    optimizer.zero_grad()
    (len(sets) * wrong.mean()).backward()
    optimizer.step()
    falling.step()

with torch.no_grad():
    states = walk(
        lambda x, t: net(x, t.expand(len(sets), len(start), 1)),
        start.expand(len(sets), -1, -1),
        TIMES,
    )
made = dict(zip([(n, which) for n in SIZES for which in "AB"], states[-1], strict=True))

# %% [markdown]
# Now each of them draws, all from **the same noise**:

# %%
frames = []
for state in states[::2]:
    fig, axes = figure(1, 4, height=2.7, width=4.8)
    for ax, k, name in zip(
        axes, (0, 1, 6, 7), ("10, A", "10, B", "5000, A", "5000, B"), strict=True
    ):
        ax.imshow(images(state[k, :10].reshape(-1, 1, 8, 8), columns=10, scale=4))
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=11)
    frames.append(fig)
film(
    frames,
    "Four rows of ten small pictures become digits from the same noise. The two networks that saw ten digits each end at quite other digits; the two that saw "
    "5000 digits each end at nearly the same ones, though no digit was shown to both.",
    6,
    "memorisation-walks",
)

# %% [markdown]
# Look at the two lower rows. Nobody showed these two networks a common digit, and yet they draw the same digits from the same noise.
#
# ## First measure: too near to be new
#
# A copy is near to a training example. But how near is too near? Real digits have neighbours, too. Two answers:
#
# - a sample is a **copy** if its nearest training example is *three times nearer* than the second nearest. Something
#   new lies between examples, and has several neighbours at about the same distance.
# - compare with **held-out** digits, which were never shown: they are surely no copies. The distance of samples to their
#   nearest training example, over that of held-out digits, should be about 1.
#
# **Your turn.** Write the first, and the question behind the second: how often is a sample nearer than a held-out digit?


# %% tags=["exercise"]
def copied(made, train):
    """The share of samples that are copies: three times nearer to the nearest training example than to the second nearest.

    made: samples, shape (n, d); train: training examples, shape (k, d), at least 2. Gives a number from 0 to 1. Hint:
    `torch.cdist` gives all distances, `topk(2, largest=False)` the two smallest of each row.
    """
    # <solution>
    near = torch.cdist(made, train).topk(2, dim=1, largest=False).values
    return float((near[:, 0] < near[:, 1] / 3).float().mean())
    # </solution>


# %% tags=["exercise"]
def closer(near, natural):
    """How often a sample is nearer to the training examples than a held-out one.

    near: distances of samples, shape (n,); natural: those of held-out examples, shape (m,). Of all n times m pairs: the
    share in which the sample is nearer; a pair of equal distances counts as a half. Gives a number; 0.5 is natural.
    """
    # <solution>
    pairs = near[:, None] - natural
    return float((pairs < 0).float().mean() + (pairs == 0).float().mean() / 2)
    # </solution>


# %%
def distances(x, data):
    """Of each row to the nearest row of the data."""
    return torch.cdist(x.double(), data.double()).min(1).values


def measured(x, data):
    """Ratio of the middle distances of samples and of held-out digits, share nearer, share of copies."""
    near, natural = distances(x, data), distances(new, data)
    ratio = float(near.quantile(0.5) / natural.quantile(0.5))
    return ratio, closer(near, natural), copied(x.double(), data.double())


found = {key: measured(x, data) for (key, x), data in zip(made.items(), sets, strict=True)}
rows = {}
for n in SIZES:
    which = torch.cdist(made[n, "A"][:10], train[:n]).argmin(1)
    rows[n] = torch.cat([made[n, "A"][:10], train[which]]).reshape(-1, 1, 8, 8)

fig, axes = figure(2, 2, height=2.7, width=6)
for ax, (n, x) in zip(axes.flat, rows.items(), strict=True):
    ax.imshow(images(x, columns=10, scale=4))
    ax.set(xticks=[], yticks=[], title=f"n = {n}: samples, nearest")
    ax.spines[:].set_visible(False)
show(
    fig,
    "Samples of four networks above their nearest training digits. Trained on 10 digits each sample equals the digit below it; trained on 100 many do nearly; on "
    "1000 and 5000 they are alike but different.",
    "memorisation-nearest",
)

# %%
fig, (left, right) = figure(2, height=2.8, width=6.2)
for ax, k, title, natural in (
    (left, 0, "distance, of held-out", 1.0),
    (right, 2, "share of copies", 0.0),
):
    for which, mark in zip("AB", ("o-", "s--"), strict=True):
        ax.plot(
            SIZES,
            [found[n, which][k] for n in SIZES],
            mark,
            color=COLOURS["model"],
            markersize=5,
            label=f"network {which}",
        )
    ax.axhline(natural, color=COLOURS["truth"], linestyle=":", linewidth=1.5, label="new digits")
    ax.set(xscale="log", xlabel="training examples n", title=title, ylim=(-0.05, 1.25))
right.legend()
show(
    fig,
    "Against the number of training examples: the distance to the nearest one rises from nearly 0 to that of new digits, and the share of copies falls from most to none.",
    "memorisation-measured",
)

# %%
for n in SIZES:
    ratio, nearer, copies = np.mean([found[n, which] for which in "AB"], 0)
    say(
        f"n = {n}: distance **{ratio:.2f}** of that of new digits; nearer than a new digit in {nearer:.0%} of pairs; copies **{copies:.0%}**."
    )
for which in "AB":
    assert found[10, which][0] < 0.25
    assert found[10, which][2] > 0.5
    assert found[10, which][0] < found[100, which][0] - 0.3 < found[1000, which][0] - 0.4
    assert found[5000, which][0] > 0.9
    assert found[5000, which][2] < 0.02

# %% [markdown]
# A blurred picture is near to everything, so a small distance alone proves nothing; and a distance well above 1 says only that samples are
# worse than real digits. Both measures have to be read with the pictures.
#
# ## The same with the library
#
# `demist evaluate` prints these three for every model of pictures, by `memorisation`:

# %%
largest = 0.0
for key, data in zip(made, sets, strict=True):
    theirs = memorisation(made[key].double().numpy(), new.double().numpy(), data.double().numpy())
    ours = np.array(found[key])
    largest = max(largest, np.abs(ours - [theirs.ratio, theirs.closer, theirs.copies]).max())
assert largest < 1e-5
say(f"The largest difference of 24 numbers is {largest:.0e}.")

# %% [markdown]
# ## Second measure: two strangers agree
#
# The distance cannot tell *why* samples are new. Here is a test that can. If networks A and B have learned their own
# examples, then from the same noise they go to different places. If both have learned **digits**, they have learned the same
# {term}`density`, so the same {term}`score`, so the same walk. What two networks agree on, though they share no
# example, cannot come from any example.

# %%
agreement = {}
for n in SIZES:
    a, b = made[n, "A"], made[n, "B"]
    same, other = ((a - x).square().mean(1).sqrt().mean() for x in (b, b.roll(1, 0)))
    agreement[n] = float(same), float(other)
fig, ax = figure(height=2.7, width=5.6)
ax.plot(
    SIZES,
    [other for _, other in agreement.values()],
    "s--",
    color=COLOURS["noise"],
    label="from different noise",
)
ax.plot(
    SIZES,
    [same for same, _ in agreement.values()],
    "o-",
    color=COLOURS["model"],
    label="from the same noise",
)
ax.set(xscale="log", xlabel="training examples n", ylabel="distance of A and B", ylim=(0, 0.75))
ax.legend()
show(
    fig,
    "The distance between what A and B draw from the same noise is nearly that of different noise at n = 10 and falls to a small part of it at n = 5000.",
    "memorisation-agree",
)

# %%
parts = {n: same / other for n, (same, other) in agreement.items()}
say(
    f"From the same noise A and B are apart by **{parts[10]:.0%}** of what different noise gives at n = 10, by {parts[100]:.0%} at 100, {parts[1000]:.0%} at 1000 and "
    f"**{parts[5000]:.0%}** at 5000."
)
assert parts[10] > 0.75 > parts[100] + 0.1
assert parts[5000] < 0.45

# %% [markdown]
# ## Where one sees it coming
#
# One need not draw at all. A model that copies is good at denoising **its** examples and bad at denoising others; the gap between the two errors says
# how much it has learned by heart ({term}`overfitting`). Beside it the best student, who has the smallest training error by far.


# %%
@torch.no_grad()
def errors(t=0.2):
    """Mean squared errors of guesses of 500 training and 500 new digits: of each network A, and of the exact denoiser."""
    lists = {"network": [], "best student": []}
    for k, n in zip(range(0, 8, 2), SIZES, strict=True):
        data = sets[k]
        seen = data[torch.randint(n, (500,))]
        for x0 in (seen, new[:500]):
            x = (1 - t) * x0 + t * torch.randn_like(x0)
            guess = net(x.expand(8, -1, -1), torch.full((8, 500, 1), t))[k]
            for name, said in (("network", guess), ("best student", exact(x, t, data)[0])):
                lists[name].append(float((said - x0).square().mean()))
    return {name: np.array(values).reshape(4, 2) for name, values in lists.items()}


gaps = errors()
fig, axes = figure(2, height=2.8, width=6.2, sharey=True)
for ax, (name, values) in zip(axes, gaps.items(), strict=True):
    ax.plot(SIZES, values[:, 0], "o-", color=COLOURS["data"], label="training digits")
    ax.plot(SIZES, values[:, 1], "o-", color=COLOURS["noise"], label="new digits")
    ax.fill_between(SIZES, *values.T, color="#dddddd", zorder=0)
    ax.set(xscale="log", xlabel="training examples n", title=name, ylim=(0, 0.15))
axes[0].set_ylabel("squared error at t = 0.2")
axes[1].legend()
show(
    fig,
    "Left, the network: the error on training digits rises with n, that on new digits falls, until they meet. Right, the best student: its error on training digits "
    "is near 0 for every n, and a gap stays open.",
    "memorisation-gap",
)

# %%
own, best = gaps["network"], gaps["best student"]
say(
    f"At n = 5000 the network is wrong by **{own[3, 0]:.3f}** on training digits and **{own[3, 1]:.3f}** on new ones; the best student by {best[3, 0]:.3f} and {best[3, 1]:.3f}. At "
    f"n = 10 the network has {own[0, 0]:.3f} and {own[0, 1]:.3f}."
)
assert own[0, 1] > 3 * own[0, 0]
assert own[3, 1] < 1.15 * own[3, 0]
assert best[3, 0] < 0.3 * own[3, 0]
assert own[3, 1] < 0.85 * best[3, 1]

# %% [markdown]
# The best student of 5000 digits does worse on new digits than a network that *failed* to be the best. Where the change from copying to inventing lies depends on the network
# and on how long it is trained: a larger one, or more steps, need more examples. And an example that stands in the data many times counts as many: large models
# were found to copy such pictures first.
#
# ## What to remember
#
# - The smallest possible training loss belongs to a model that copies. Generalising is failing at it in a good way.
# - Few examples: copies. Many, against the size of the network and its training: something new.
# - Measure it: distance to the nearest training example against that of **held-out** examples; the share of copies.
# - Two models of disjoint data that draw the same from the same noise have learned the data's law, not the data.
# - Hold examples out *before* training, or none of this can be measured.
#
# ## Where to read on
#
# - Carlini et al. 2023, *Extracting Training Data from Diffusion Models*: copies found in large models, and the test with the second nearest.
# - Somepalli et al. 2023, *Diffusion Art or Digital Forgery?*: what doubled pictures in the data do.
# - Yoon et al. 2023, *Diffusion Probabilistic Models Generalize when They Fail to Memorize*: the idea of this chapter in its title.
# - Kadkhodaie et al. 2024, *Generalization in Diffusion Models Arises from Geometry-Adaptive Harmonic Representations*: two strangers that agree.
# - Meehan, Chaudhuri & Dasgupta 2020, *A Non-Parametric Test to Detect Data-Copying in Generative Models*: how often samples are nearer than held-out ones.
#
# **In the studio**: `demist studio`, the page of a run: *Nearest training items* draws from the run and shows what is nearest in its data.
#
# **Your answer**: `demist learn memorisation --exercise` writes this chapter without the solutions, and
# `demist learn memorisation --check FILE` says whether yours are right.
