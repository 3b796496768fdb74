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
# # 10 · Evaluation
#
# **How do you measure a dream?** A picture that a model made has no original to compare it with. What we can
# ask is whether *many* of them look like draws from the data: as good, as varied, and not copied. This chapter builds the
# figures that the field uses, tries each on generators whose fault we know, because we put it in, and shows what each one
# does not see.
#
# You need: [chapter 4](04_ddpm.py), where a first judge appeared.

# %%
import numpy as np
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, cross_entropy

from demist import Pipeline, zoo
from demist.course import COLOURS, figure, film, images, say, show
from demist.data import load
from demist.evaluation.metrics import Moments, frechet_distance, memorisation, precision_recall

torch.set_num_threads(1)  # networks so small are fastest on one core

# %% [markdown]
# ## Six liars and an honest one
#
# The generators of this chapter are made of real digits, 500 of each. The honest one gives digits that nobody has
# used. The others have one fault each:


# %%
def digits(split):
    """Digits of 14 x 14 pixels in -1..1, and which they are."""
    found = load("digits", split=split)
    x = avg_pool2d(torch.tensor(found.x) / 127.5 - 1, 2)
    return x.flatten(1).double(), np.asarray(found.labels)


torch.manual_seed(0)
train, train_labels = digits("train")
test, test_labels = digits("test")
order = torch.randperm(len(test))
held, fresh = test[order[:1000]], test[order[1000:]]  # to compare with; to pretend with
fresh_labels = test_labels[order[1000:].numpy()]


def blurred(x):
    """Each pixel the mean of the nine around it."""
    return avg_pool2d(x.view(-1, 1, 14, 14), 3, 1, 1, count_include_pad=False).flatten(1)


unseen = train[3000:8000]  # not among what the memoriser copies
liars = {
    "honest": fresh[:500],
    "copies": train[:500],
    "blurred": blurred(fresh[:500]),
    "noisy": (fresh[:500] + 0.25 * torch.randn(500, 196)).clamp(-1, 1),
    "no 6 to 9": fresh[torch.tensor(fresh_labels < 6)][:500],
    "one digit each": torch.cat(
        [fresh[torch.tensor(fresh_labels == k)][:1] for k in range(10)]
    ).repeat(50, 1),
    "two in one": torch.maximum(fresh[:500], fresh[500:1000]),
}
rows = torch.stack([x[:10] if name != "no 6 to 9" else x[10:20] for name, x in liars.items()])
fig, axes = figure(1, len(liars), height=4.6, width=5.6)
for ax, (name, x) in zip(axes, zip(liars, rows, strict=True), strict=True):
    ax.imshow(
        x.view(10, 14, 14).permute(1, 0, 2).reshape(14, 140).numpy(), cmap="gray", vmin=-1, vmax=1
    )
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_ylabel(name, rotation=0, ha="right", va="center")
show(
    fig,
    "Seven rows of ten digits: honest, copies, blurred, noisy, without 6 to 9, ten digits repeated, and two drawn over each other.",
    "10-liars",
)

# %% [markdown]
# ## What a judge sees
#
# Pixels are a poor measure: a digit moved by one pixel is far away in pixels and the same to us. So one asks a network that
# was trained to name digits, and takes the numbers in its last layer but one: its {term}`features`. FID, the most
# quoted figure of the field, does so with a network that was trained on photographs.

# %%
judge = nn.Sequential(
    nn.Linear(196, 128), nn.ReLU(), nn.Linear(128, 24), nn.Tanh(), nn.Linear(24, 10)
).double()
optimiser = torch.optim.Adam(judge.parameters(), lr=2e-3)
for _ in range(500):
    i = torch.randint(len(train), (128,))
    loss = cross_entropy(judge(train[i]), torch.tensor(train_labels)[i].long())
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
judge.requires_grad_(False)
right = (judge(held).argmax(1).numpy() == test_labels[order[:1000].numpy()]).mean()


def features(x):
    """What the judge sees of each picture: 24 numbers."""
    return judge[:4](x).numpy()


say(f"The judge names **{right:.1%}** of digits that it never saw rightly.")
assert right > 0.9

# %% [markdown]
# ## The Fréchet distance
#
# Take the features of both sets as two clouds of points, and each cloud as a {term}`Gaussian`. How far are two Gaussians
# apart? Of all ways to move the one onto the other, the one with the least mean squared distance costs
#
# $$d^2 = |m_1 - m_2|^2 + \operatorname{tr}\left(C_1 + C_2 - 2\,(C_1 C_2)^{1/2}\right)$$
#
# with the means $m$ and the covariances $C$. This is the {term}`Fréchet distance`. In one dimension it is easy to
# read: $(m_1 - m_2)^2 + (s_1 - s_2)^2$, how far the centres are apart, and how different the widths are.
#
# **Your turn.** The root of a matrix product looks hard. But $\operatorname{tr}\,(C_1 C_2)^{1/2}$ is the sum of the roots of
# the eigenvalues of $C_1 C_2$, and these are real and not negative (up to rounding).


# %% tags=["exercise"]
def frechet(a, b):
    """The squared Fréchet distance of two clouds of points.

    a, b: NumPy arrays of features, shapes (n, d) and (m, d), both with more points than d. Covariances are
    divided by n - 1 (`np.cov` with rowvar=False does so). Gives a number. Hint: `np.linalg.eigvals`, of which
    the real part counts; rounding may make a tiny eigenvalue negative.
    """
    # <solution>
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    roots = np.sqrt(np.linalg.eigvals(first @ second).real.clip(0))
    step = a.mean(0) - b.mean(0)
    return step @ step + np.trace(first) + np.trace(second) - 2 * roots.sum()
    # </solution>


# %% [markdown]
# First against what is known exactly. Two clouds whose coordinates are independent, so that the distance is the
# sum of what each coordinate gives. Then against the library.

# %%
draw = np.random.default_rng(0)
near = draw.normal(size=(200_000, 3))
far = draw.normal(size=(200_000, 3)) * [1, 2, 3] + [1, 0, 0]
exact = 1 + (2 - 1) ** 2 + (3 - 1) ** 2
assert abs(frechet(near, far) - exact) < 0.06  # some four times what chance does
seen = {name: features(x) for name, x in liars.items()}
real, known = features(held), features(unseen)
for name in seen:
    theirs = frechet_distance(Moments.of(seen[name]), Moments.of(real))
    assert abs(frechet(seen[name], real) - theirs) < 1e-6
say(
    f"By hand the two clouds are {exact} apart, by the function {frechet(near, far):.2f}. On digits it equals the library's to 1e-6."
)

# %% [markdown]
# A distance alone says little: is 0.3 good? So we divide by the distance that *real* digits have which the model has not seen.
# This ratio, FDr, is 1 for a perfect model.

# %%
unit = (frechet(real[:500], known) + frechet(real[500:], known)) / 2
fdr = {name: frechet(x, known) / unit for name, x in seen.items()}
fig, ax = figure(height=2.7)
colours = [COLOURS["model"] if name == "honest" else COLOURS["noise"] for name in fdr]
ax.barh(list(fdr), list(fdr.values()), color=colours)
ax.axvline(1, color=COLOURS["truth"], linewidth=1, linestyle="--")
for place, value in enumerate(fdr.values()):
    ax.text(value * 1.06, place, f"{value:.1f}", va="center")
ax.invert_yaxis()
ax.set(xscale="log", xlim=(0.4, 80), xlabel="FDr (1 is as good as real digits)")
show(
    fig,
    "Bars: honest, copies and noisy near 1; blurred, missing digits, repeated ones and two in one far above.",
    "10-fdr",
)

# %%
say(
    f"FDr of the honest generator is **{fdr['honest']:.1f}**, and of the one that copies its training set **{fdr['copies']:.1f}**: "
    f"no distance sees copies. Nor does ours see noise ({fdr['noisy']:.1f}): the judge has learned to look past it. "
    f"Without four of the digits it is {fdr['no 6 to 9']:.0f}."
)
assert fdr["noisy"] < 2  # a judge sees what it was taught to look at
assert fdr["honest"] < 2
assert fdr["copies"] < 2  # the memoriser wins
assert min(fdr[name] for name in ("blurred", "no 6 to 9", "one digit each", "two in one")) > 3

# %% [markdown]
# ## Good, or varied? Precision and recall
#
# One number cannot say *what* is wrong. Two can (Kynkäänniemi et al. 2019). Draw a ball around each real picture that
# reaches to its third-nearest neighbour: the balls are where the data is. **Precision** is the share of
# made pictures within one of them: are they good? **Recall** is the share of real pictures within the balls
# of the made ones: is all there?


# %%
def distances(a, b):
    """All distances between two clouds, (n, m)."""
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(2))


def balls(x, k=3):
    """How far the k-th nearest neighbour is; the nearest of all is the point itself."""
    return np.sort(distances(x, x), 1)[:, k]


def both(real, made):
    """Precision and recall."""
    between = distances(made, real)
    rounding = 1 + 1e-9
    precise = (between <= balls(real)[None] * rounding).any(1).mean()
    recalled = (between <= balls(made)[:, None] * rounding).any(0).mean()
    return precise, recalled


shares = {name: both(real[:500], x) for name, x in seen.items()}
for name, (precise, recalled) in shares.items():
    theirs = precision_recall(real[:500], seen[name], k=3)
    assert np.allclose((precise, recalled), (theirs.precision, theirs.recall), atol=0.003)

fig, (left, right) = figure(2, height=2.7, sharey=True)
tones = [COLOURS["model"] if name == "honest" else COLOURS["noise"] for name in shares]
for ax, which, title in ((left, 0, "precision: is it good?"), (right, 1, "recall: is all there?")):
    values = [pair[which] for pair in shares.values()]
    ax.barh(list(shares), values, color=tones)
    for place, value in enumerate(values):
        ax.text(value + 0.02, place, f"{value:.0%}", va="center")
    ax.set(xlim=(0, 1.15), xticks=[0, 0.5, 1], title=title)
left.invert_yaxis()
show(
    fig,
    "Two columns of bars: precision is low for two in one alone; recall is nought for ten digits repeated, and low for blur.",
    "10-precision",
)

# %%
say(
    f"Without 6 to 9 precision is {shares['no 6 to 9'][0]:.0%}, recall {shares['no 6 to 9'][1]:.0%}; of the honest generator "
    f"{shares['honest'][0]:.0%} and {shares['honest'][1]:.0%}. Ten digits repeated have a recall of {shares['one digit each'][1]:.0%}."
)
assert shares["no 6 to 9"][1] < shares["honest"][1] - 0.05
assert shares["no 6 to 9"][0] > shares["honest"][0] - 0.08
assert shares["one digit each"][1] < 0.05
assert shares["two in one"][0] < shares["honest"][0] - 0.1

# %% [markdown]
# ## Copied?
#
# All figures so far love the copier. To catch it, look from each made picture for the nearest one of the **training set**, and
# compare with how near *real* new pictures come. A ratio of 1 is natural, 0 is a copy.

# %%
taught = train[:3000]  # what our "models" were trained on
near_real = distances(features(held), features(taught)).min(1)
ratios = {}
for name, x in liars.items():
    nearest = distances(features(x), features(taught)).min(1)
    ratios[name] = float(np.median(nearest) / np.median(near_real))
    theirs = memorisation(seen[name], real, features(taught))
    assert abs(theirs.ratio - ratios[name]) < 1e-3
assert ratios["copies"] < 1e-6
assert 0.8 < ratios["honest"] < 1.25
say(
    f"Nearest-neighbour ratio: honest **{ratios['honest']:.2f}**, copies **{ratios['copies']:.2f}**. So at least three figures are "
    "needed: one for how good, one for how varied, one for copied."
)

# %% [markdown]
# ## How many pictures?
#
# The Fréchet distance of few pictures is too large: even *real* digits are far from real digits, if there are
# few, since the covariance of few points is off. The error falls like one over the number:

# %%
pool = features(train[3000:])
sizes = [40, 55, 75, 100, 140, 190, 260, 350, 500, 700, 1000, 1400, 2000]
value, spread = [], []
for n in sizes:
    tries = []
    for _ in range(12):
        rows = draw.permutation(len(pool))
        tries.append(frechet(pool[rows[:n]], pool[rows[n : n + 2500]]))
    value.append(np.mean(tries))
    spread.append(np.std(tries))

frames = []
for k in range(2, len(sizes) + 1):
    fig, ax = figure(height=2.8)
    ax.errorbar(
        sizes[:k],
        value[:k],
        yerr=np.array(spread[:k]) * 2,
        fmt="o-",
        color=COLOURS["data"],
        capsize=3,
        markersize=4,
    )
    ax.axhline(0, color=COLOURS["truth"], linewidth=1)
    ax.set(xscale="log", xlim=(35, 2300), ylim=(-0.05, value[0] + 3 * spread[0]))
    ax.set(
        xlabel="pictures",
        ylabel="Fréchet distance",
        title=f"real against real digits, {sizes[k - 1]} pictures",
    )
    frames.append(fig)
film(
    frames,
    "The distance of real digits from real digits falls towards nought as more are taken; its scatter falls, too.",
    5,
    "10-how-many",
)

# %%
slope = np.polyfit(np.log(sizes), np.log(value), 1)[0]
say(
    f"With {sizes[0]} pictures real digits are {value[0]:.2f} from real digits, with {sizes[-1]} they are {value[-1]:.3f}: the error falls "
    f"with the power {slope:.2f} of their number (-1 at first, then the other set's own error stays). **Compare only figures of equally many pictures.**"
)
assert value[0] > 10 * value[-1]
assert -1.3 < slope < -0.6

# %% [markdown]
# And it is a figure of chance, so it needs an interval. Draw the pictures anew *from those there are*, with repeats, many times
# (the {term}`bootstrap`). Is a model that has lost one in ten of its sevens worse than the honest one? With 500 pictures:

# %%
sevens = np.flatnonzero(fresh_labels[:500] == 7)
kept = np.setdiff1d(np.arange(500), sevens[::10])
a, b = seen["honest"], seen["honest"][kept]
differences = []
for _ in range(100):
    i, j = draw.integers(0, len(a), len(a)), draw.integers(0, len(b), len(b))
    differences.append((frechet(b[j], known) - frechet(a[i], known)) / unit)
low, high = np.percentile(differences, [2.5, 97.5])
say(
    f"The difference in FDr lies between **{low:+.2f} and {high:+.2f}** (95 %). It contains 0: 500 pictures cannot tell."
)
assert low < 0 < high

# %% [markdown]
# ## The same with the library
#
# `demist evaluate digits` prints all these figures and more, with intervals, beside real data. Here is the model that comes
# with the library in our figures; ours sees only 14 x 14 pixels:

# %%
model = Pipeline.load(zoo.locate("digits"))
made = np.asarray(
    model.sample(500, label=[str(k % 10) for k in range(500)], seed=0, steps=8, guidance=1.0)
)
dreams = avg_pool2d(torch.tensor(made) / 127.5 - 1, 2).flatten(1).double()
score = frechet(features(dreams), known) / unit
precise, recalled = both(real[:500], features(dreams))
show(
    images(made[:20], columns=10, scale=2),
    "Twenty handwritten digits that the library's model made.",
    "10-model",
)

# %%
say(
    f"FDr **{score:.2f}**, precision {precise:.0%}, recall {recalled:.0%}; honest digits have {fdr['honest']:.2f}, "
    f"{shares['honest'][0]:.0%} and {shares['honest'][1]:.0%}."
)
assert score < 3
assert min(precise, recalled) > 0.5

# %% [markdown]
# An FDr below that of honest digits is no wonder: the model learned from the digits that all are compared with, and the honest ones
# were written by other people. One more reason to say what is compared with what.
#
# ## What to remember
#
# - Measure many pictures, in the features of a judge, beside real ones that the model has not seen.
# - The Fréchet distance sees blur and what is missing. It does not see copies, nor what its judge does not look at.
# - Precision: is it good? Recall: is all there? Nearest training pictures: is it copied?
# - Too few pictures make every figure too large; only equal numbers can be compared, and only with intervals.
# - A figure for which a model was chosen is no longer a measure of it.
#
# ## Where to read on
#
# - Heusel et al. 2017, *GANs Trained by a Two Time-Scale Update Rule*: where FID is from.
# - Kynkäänniemi et al. 2019, *Improved Precision and Recall Metric for Assessing Generative Models*.
# - Chong & Forsyth 2020, *Effectively Unbiased FID and Inception Score*: the error of few pictures, and how to take it away.
# - Stein et al. 2023, *Exposing flaws of generative model evaluation metrics*: which judges people agree with.
# - [How do you measure a dream?](../docs/how-do-you-measure-a-dream.md): all figures of `demist evaluate`.
#
# **Your answer**: `demist learn 10 --exercise` writes this chapter without the solution, and
# `demist learn 10 --check FILE` says whether yours is right.
