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
# # 8 · Classifier guidance
#
# **How do you ask for a seven, if the model was never told what a seven is?** A model of digits makes digits, each as
# often as in the data. A second network, a classifier, can tell a seven from other digits. It cannot draw. This
# chapter lets the one hold the pen and the other lead the hand, and nothing has to be trained anew.
#
# You need: the score, [chapter 7](07_scores.py).

# %%
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from demist import Pipeline, zoo
from demist.core import Linear
from demist.core.exact import Exact, Mixture
from demist.course import COLOURS, figure, film, images, say, show
from demist.data import load
from demist.guidance import Classifier
from demist.samplers import DDIM, sample, uniform

torch.set_num_threads(1)  # networks so small are fastest on one core

# %% [markdown]
# ## One line of probability
#
# What we want is $p(x \mid y)$: data $x$, *given that* it is of the class $y$. What we have is $p(x)$, all data, and
# a classifier, $p(y \mid x)$: how probable is the class if we see $x$. {term}`Bayes' rule` joins them:
#
# $$p(x \mid y) = \frac{p(x)\;p(y \mid x)}{p(y)}$$
#
# A walk from noise to data needs the score only, the slope of the logarithm ([chapter 7](07_scores.py)). The
# logarithm makes sums of products, and $p(y)$ does not depend on $x$, so it has no slope:
#
# $$\underbrace{\nabla_x \log p(x \mid y)}_{\text{what we want}} = \underbrace{\nabla_x \log p(x)}_{\text{the model}} +
# \underbrace{\nabla_x \log p(y \mid x)}_{\text{the classifier}}$$
#
# **To ask for a class, add the slope of the classifier to the score.** That is all of {term}`classifier guidance`.
# The rule holds at each time of the walk, if the classifier is one for the noisy states of that time:
# $p_t(y \mid x_t)$.
#
# ## In the plane, exactly
#
# Our data are three heaps in the plane, not equally large: three classes. With them everything is known. A noisy heap
# is a Gaussian around $\alpha m_k$ with the variance $v = \alpha^2 s^2 + \sigma^2$. Its share of the data is $w_k$,
# so
#
# $$p_t(k \mid x) = \frac{w_k\,e^{-\lVert x - \alpha m_k\rVert^2/(2v)}}{\sum_j w_j\,e^{-\lVert x - \alpha m_j\rVert^2/(2v)}}$$
#
# **Your turn.** Write the logarithm of the best classifier.


# %% tags=["exercise"]
def log_classes(x, weights, centres, variance):
    """The log-probability of each class at each point.

    x: points, shape (n, d); weights: the shares of the classes, shape (k,); centres: the middles of the heaps as they are
    in the noise, shape (k, d); variance: of all heaps, a number. Gives shape (n, k); exp of a row sums to 1.
    Hint: `torch.log_softmax` takes off the logarithm of the sum.
    """
    # <solution>
    away = (x[:, None] - centres).square().sum(2)
    return torch.log_softmax(weights.log() - away / (2 * variance), dim=1)
    # </solution>


# %%
schedule = Linear()
weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
centres = torch.tensor([[-1.2, -0.7], [1.2, -0.7], [0.0, 1.3]], dtype=torch.float64)
STD, WANTED = 0.5, 2
model = Exact(Mixture(weights, centres, STD**2), schedule)
told = Exact(Mixture(weights[WANTED:], centres[WANTED:], STD**2), schedule)


def log_wanted(x, t):
    """The log-probability of the class we want, by the best classifier of noisy points."""
    alpha, sigma = schedule(t)
    return log_classes(x, weights, alpha * centres, alpha**2 * STD**2 + sigma**2)[:, WANTED]


def uphill(log_prob, x, t):
    """The slope of a log-probability at each point, by PyTorch."""
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(log_prob(x, t).sum(), x)
    return slope


line = torch.linspace(-2.8, 2.8, 60, dtype=torch.float64)
plane = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).reshape(-1, 2)
coarse = plane.reshape(60, 60, 2)[3::6, 3::6].reshape(-1, 2)
TONES = [COLOURS["data"], COLOURS["path"], COLOURS["other"]]

fig, axes = figure(3, sharex=True, sharey=True, height=2.75)
for ax, t in zip(axes, (0.8, 0.5, 0.1), strict=True):
    t = torch.tensor(t, dtype=torch.float64)
    alpha, sigma = schedule(t)
    noisy = alpha * model.distribution.sample(600) + sigma * torch.randn(600, 2)
    ax.contourf(
        line,
        line,
        log_wanted(plane, t).exp().reshape(60, 60),
        np.linspace(0, 1, 11),
        cmap="RdPu",
        alpha=0.7,
    )
    ax.scatter(*noisy.T, s=3, color=COLOURS["truth"], alpha=0.35, linewidths=0)
    slope = uphill(log_wanted, coarse, t)
    ax.quiver(
        *coarse.T,
        *(slope / (slope.norm(dim=1, keepdim=True) + 1)).T,
        color=COLOURS["model"],
        scale=14,
        width=0.008,
    )
    ax.set(xticks=[], yticks=[], aspect="equal", title=f"t = {t:.1f}")
show(
    fig,
    "Three maps of the plane with noisy points. The probability of the wanted class is dark at the top; all arrows, the slope of its "
    "logarithm, point there. With less noise the border becomes sharper.",
    "08-classifier",
)

# %% [markdown]
# Dark is where the classifier is sure of our class, the heap at the top. The arrows are its slope. Where it is sure
# already they are short: nothing is to be done.
#
# ## The arrow in the walk
#
# Our models give no score, they give a guess of the noise, and $\hat\varepsilon = -\sigma\cdot$score. So what is
# added to the score is taken off the noise, times $\sigma$. A number $w$, the {term}`guidance scale`, says how much
# of it: 0 is no guidance, 1 is Bayes' rule.
#
# **Your turn.** Write the guided guess of the noise.


# %% tags=["exercise"]
def guided_noise(eps, slope, sigma, scale):
    """The guess of the noise, led by a classifier.

    eps: the model's guess of the noise; slope: of the classifier's log-probability; both of one shape. sigma: the size of the
    noise; scale: of the guidance; both numbers. Gives the shape of eps.
    """
    # <solution>
    return eps - scale * sigma * slope
    # </solution>


# %% [markdown]
# If that is right, then the model of *all* data, led with the scale 1, must say what a model would say that knows the
# wanted class only. We have that one, too, in closed form (`told`):

# %%
worst = 0.0
for t in (0.02, 0.2, 0.5, 0.8, 0.98):
    t = torch.tensor(t, dtype=torch.float64)
    led = guided_noise(model(plane, t).eps, uphill(log_wanted, plane, t), schedule(t)[1], 1.0)
    worst = max(worst, float((led - told(plane, t).eps).abs().max()))
assert worst < 1e-9
say(
    f"At five times and {len(plane)} points each, the two guesses differ by at most **{worst:.0e}**: rounding."
)

# %% [markdown]
# Now walk with it, by the step of [chapter 6](06_ddim_and_fewer_steps.py) without new noise. At $t = 1$ the state is
# pure noise, and the best classifier knows nothing but the shares: its slope is 0. We begin just below.


# %%
def walk(x, steps, log_prob, scale):
    """All states from noise to data, led by a classifier."""
    states = [x]
    for t, s in pairwise(uniform(steps, start=0.99)):
        (alpha, sigma), (alpha_s, sigma_s) = schedule(t), schedule(s)
        eps = guided_noise(model(x, t).eps, uphill(log_prob, x, t), sigma, scale)
        x = alpha_s * (x - sigma * eps) / alpha + sigma_s * eps
        states.append(x)
    return torch.stack(states)


torch.manual_seed(0)
start = torch.randn(3000, 2, dtype=torch.float64)
free, led = walk(start, 40, log_wanted, 0.0), walk(start, 40, log_wanted, 1.0)


def classes_of(x):
    """The most probable class of clean points."""
    return log_classes(x, weights, centres, STD**2).argmax(1)


ends = [classes_of(states[-1])[:450] for states in (free, led)]
frames = []
for i in [0, 4, 8, 12, 15, 18, 21, 24, 27, 30, 33, 36, 38, 40]:
    fig, axes = figure(2, sharex=True, sharey=True, height=3.1)
    for ax, states, end, title in zip(
        axes, (free, led), ends, ("left alone", "led to the top"), strict=True
    ):
        ax.scatter(*states[i, :450].T, s=7, c=[TONES[k] for k in end], alpha=0.7, linewidths=0)
        ax.set(
            xlim=(-3.2, 3.2), ylim=(-2.6, 3.2), xticks=[], yticks=[], aspect="equal", title=title
        )
        ax.set_xlabel(f"t = {float(uniform(40, start=0.99)[i]):.2f} (1 is noise, 0 data)")
    frames.append(fig)
film(
    frames,
    "Points of pure noise. Left alone, they form three heaps, coloured by where each will end. Led by the classifier, the same points all "
    "drift to the heap at the top.",
    5,
    "08-led",
)

# %%
shares = [float((classes_of(s[-1]) == WANTED).double().mean()) for s in (free, led)]
real = told.distribution.sample(3000)
expected = float((classes_of(real) == WANTED).double().mean())
middle, spread = led[-1].mean(0), led[-1].std(0)
say(
    f"Left alone **{shares[0]:.0%}** of the points are of the wanted class, led **{shares[1]:.0%}** (of real points of that class "
    f"{expected:.0%} look like it, since the heaps overlap). The middle of the led points is ({middle[0]:.2f}, {middle[1]:.2f}) and "
    f"their standard deviation {spread.mean():.2f}; the heap has (0, 1.3) and {STD}."
)
assert shares[0] < 0.3
assert abs(shares[1] - expected) < 0.03
assert (middle - centres[WANTED]).norm() < 0.08
assert abs(spread.mean() - STD) < 0.05

# %% [markdown]
# ## The classifier must know noise
#
# Why not take any classifier of clean data? The walk is among noisy states, and there it is wrong, and sure of it.
# Here is the best classifier of *clean* points in the same walk. And since a scale is just a number, let us see
# larger ones, too:


# %%
def log_wanted_clean(x, t):
    """What a classifier says that knows clean points only: it takes every state for a clean one."""
    return log_classes(x, weights, centres, STD**2)[:, WANTED]


runs = {
    "scale 1": led[-1],
    "scale 3": walk(start, 40, log_wanted, 3.0)[-1],
    "scale 10": walk(start, 40, log_wanted, 10.0)[-1],
    "knows no noise": walk(start, 40, log_wanted_clean, 1.0)[-1],
}
fig, axes = figure(4, sharex=True, sharey=True, height=2.6)
for ax, (name, x) in zip(axes, runs.items(), strict=True):
    ax.scatter(*real[:700].T, s=5, color="#bbbbbb", linewidths=0)
    ax.scatter(
        *x[:700].T,
        s=5,
        color=COLOURS["noise" if "no" in name else "other"],
        alpha=0.7,
        linewidths=0,
    )
    ax.scatter(*centres.T, s=40, marker="+", color=COLOURS["truth"], linewidths=1.2)
    ax.set(xlim=(-2.2, 2.2), ylim=(-1.3, 4.2), xticks=[], yticks=[], aspect="equal", title=name)
show(
    fig,
    "Four clouds over the grey cloud of real points. With scale 1 the cloud covers it; with 3 and 10 it is smaller and lies further away from the "
    "other classes; with a classifier that knows no noise it is blown apart, out of the picture.",
    "08-scales",
)


# %%
def apart(x):
    """How far the middle of the points is from that of the class."""
    return float((x.mean(0) - centres[WANTED]).norm())


lost = float(((runs["knows no noise"] - centres[WANTED]).norm(dim=1) > 4 * STD).double().mean())
doubt = {
    name: -100 * float(torch.expm1(log_wanted_clean(x, None)).mean()) for name, x in runs.items()
}
say(
    f"The classifier doubts its class by **{doubt['scale 1']:.2g} %** at the scale 1, by **{doubt['scale 3']:.1g} %** at 3 and by "
    f"**{doubt['scale 10']:.1g} %** at 10. The price: the standard deviation falls from **{runs['scale 1'].std(0).mean():.2f}** to "
    f"**{runs['scale 10'].std(0).mean():.2f}**, and the middle moves away by **{apart(runs['scale 10']):.2f}**. "
    f"The classifier that knows no noise moves it by **{apart(runs['knows no noise']):.2f}**, at the scale 1, and "
    f"**{lost:.0%}** of its points lie further away than four standard deviations."
)
assert doubt["scale 1"] > 10 * doubt["scale 3"] > 10 * doubt["scale 10"]
assert runs["scale 10"].std(0).mean() < 0.8 * runs["scale 1"].std(0).mean()
assert apart(runs["knows no noise"]) > 3 * apart(runs["scale 1"]) + 0.2

# %% [markdown]
# More guidance is a trade: surer of the class, with less variety, and away from where the data is. Above 1 it is not
# Bayes' rule any more. What it is instead is worked out in [chapter 9](09_classifier_free_guidance.py).
#
# ## The same with the library
#
# `Classifier` is our `guided_noise` around any model, and takes any function of the noisy state. It must give the
# same numbers:

# %%
for scale in (1.0, 3.0):
    ruled = Classifier(model, log_wanted, scale)
    theirs = sample(ruled, start, uniform(40, start=0.99), DDIM())
    ours = walk(start, 40, log_wanted, scale)[-1]
    assert torch.allclose(theirs, ours, atol=1e-8)
    say(
        f"With the scale {scale:g} the largest difference of 6000 numbers is {(theirs - ours).abs().max():.0e}."
    )

# %% [markdown]
# ## A seven, please
#
# Now the digits. The model that comes with the library is asked without a class. For the classifier we train a small
# network, in seconds, on digits with **every amount of noise**, and tell it how much. A second one is trained on
# clean digits only. It will be the judge: a classifier must not judge its own work.

# %%
torch.manual_seed(0)
train, test = load("digits"), load("digits", split="test")


def pixels(data):
    """Bytes as numbers from -1 to 1."""
    return torch.tensor(np.asarray(data)).float() / 127.5 - 1


class Recogniser(nn.Module):
    """Says which digit a noisy image shows; the amount of noise comes as a second channel."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2, 16, 5, 2, 2), nn.SiLU(),
            nn.Conv2d(16, 32, 3, 2, 1), nn.SiLU(),
            nn.Conv2d(32, 48, 3, 2, 1), nn.SiLU(),
            nn.Flatten(), nn.Linear(48 * 16, 10),
        )  # fmt: skip

    def forward(self, x, t):
        t = t.float().expand(len(x))[:, None, None, None].expand_as(x)
        return self.layers(torch.cat([x, t], dim=1)).log_softmax(1)


def learn(noisy, steps):
    """Train one of them; without noise, t is always 0."""
    x, y, net = pixels(train.x), torch.tensor(train.labels), Recogniser()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (128,))
        t = torch.rand(128) * noisy
        share = t[:, None, None, None]
        seen = (1 - share) * x[rows] + share * torch.randn(128, 1, 28, 28)
        loss = F.nll_loss(net(seen, t), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
    return net.eval().requires_grad_(False)


leader, judge = learn(True, 450), learn(False, 200)

# %%
x, y = pixels(test.x), torch.tensor(test.labels)
levels = [0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9]
right = {}
for name, net in (("trained with noise", leader), ("trained on clean digits", judge)):
    right[name] = []
    for t in levels:
        seen = (1 - t) * x + t * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
        right[name].append(float((net(seen, torch.tensor(t)).argmax(1) == y).float().mean()))

fig, ax = figure(height=2.6)
for (name, values), colour in zip(right.items(), ("model", "noise"), strict=True):
    ax.plot(
        levels, [100 * v for v in values], "o-", color=COLOURS[colour], markersize=4, label=name
    )
ax.axhline(10, color=COLOURS["truth"], linestyle="--", linewidth=1, label="by chance")
ax.set(xlim=(0, 1), ylim=(0, 102), xlabel="time t (0 is data, 1 is noise)", ylabel="recognised, %")
ax.set_title("2000 digits that neither has seen")
ax.legend(loc="center left", bbox_to_anchor=(0.02, 0.42))
show(
    fig,
    "The classifier trained with noise recognises nearly all digits up to time 0.4 and then fewer; the one trained on clean digits fails "
    "earlier.",
    "08-recognised",
)

# %%
say(
    f"At t = 0.7 the classifier that was trained with noise recognises **{right['trained with noise'][4]:.0%}**, the other one "
    f"**{right['trained on clean digits'][4]:.0%}**."
)
assert right["trained on clean digits"][0] > 0.92
assert right["trained with noise"][4] > 0.08 + right["trained on clean digits"][4]

# %% [markdown]
# Both know clean digits. The one that was trained with noise sees more through it, and it is there, in much noise,
# where a walk decides which digit it will be. It leads the model to sevens:

# %%
digits = Pipeline.load(zoo.locate("digits"))


def log_seven(x, t, **cond):
    return leader(x, t)[:, 7]


def draw(scale, n=24, steps=20):
    """What one sees on the way, last the digits; the model is told no class."""

    def guide(model):
        return Classifier(model, log_seven, scale)

    way = digits.trajectory(n, label=None, seed=0, steps=steps, guidance=1.0, guide=guide)
    return [np.asarray(frame.x) for frame in way]


ways = {scale: draw(scale) for scale in (0.0, 1.0, 2.0, 4.0)}

frames = []
for i in (0, 8, 12, 14, 16, 17, 18, -1):
    fig, axes = figure(2, height=1.6)
    for ax, scale in zip(axes, (0.0, 4.0), strict=True):
        ax.imshow(images(ways[scale][i][:12], columns=6, scale=2))
        ax.set(xticks=[], yticks=[], title="left alone" if scale == 0 else "led to 7, scale 4")
        ax.spines[:].set_visible(False)
    frames.append(fig)
film(
    frames,
    "Twelve noises become digits. Left alone they become all kinds of digits; led by the classifier nearly all become sevens.",
    4,
    "08-sevens",
)

# %%
sevens = {}
for scale, way in ways.items():
    sevens[scale] = float((judge(pixels(way[-1]), torch.tensor(0.0)).argmax(1) == 7).float().mean())
fig, ax = figure(height=2.4)
ax.bar(
    [f"{scale:g}" for scale in sevens],
    [100 * v for v in sevens.values()],
    color=COLOURS["other"],
    width=0.6,
)
ax.axhline(10, color=COLOURS["truth"], linestyle="--", linewidth=1, label="share in the data")
ax.set(
    ylim=(0, 102), xlabel="guidance scale", ylabel="sevens, %", title="24 digits each, by the judge"
)
ax.legend(loc="upper left")
show(
    fig,
    "Bars: the share of sevens grows with the guidance scale, from about a tenth to nearly all.",
    "08-share",
)

# %%
say(
    f"Without guidance the judge sees **{sevens[0.0]:.0%}** sevens, at the scale 1 **{sevens[1.0]:.0%}**, at 4 **{sevens[4.0]:.0%}**."
)
assert sevens[0.0] < 0.35
assert sevens[4.0] > 0.65
assert sevens[4.0] >= sevens[1.0] > sevens[0.0]

# %% [markdown]
# At the scale 1 the plane followed Bayes' rule exactly, while the digits hesitate: the classifier is a small network,
# and its slope is much less exact than its answers. Larger scales make up for it. But look at the digits, too: some that
# the judge counts as sevens would not convince a person. Who follows the slope of a classifier goes where classifiers
# are sure, and that need not be where the data is.
#
# ## What to remember
#
# - Bayes' rule in scores: wanted = model + slope of the classifier. What depends on no $x$ falls out.
# - The classifier has to know the noise of the walk. One for clean data is of no use in it.
# - The scale 1 is exact, if model and classifier are. Larger scales: surer of the class, less variety, away from the
#   data.
# - The model is not changed. The same trick takes anything with a slope: a caption, a measurement, a wish.
#
# ## Where to read on
#
# - Dhariwal & Nichol 2021, *Diffusion Models Beat GANs on Image Synthesis*: classifier guidance (section 4 and
#   algorithm 2).
# - Song et al. 2021, *Score-Based Generative Modeling through SDEs*: the same as a conditional SDE (section 5).
# - Bansal et al. 2023, *Universal Guidance for Diffusion Models*: guidance by classifiers that know no noise, through
#   the guess of the clean data.
#
# **Your answer**: `demist learn 8 --exercise` writes this chapter without the solutions, and
# `demist learn 8 --check FILE` says whether yours are right.
