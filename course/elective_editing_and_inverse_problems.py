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
# # Editing and inverse problems
#
# **How does a model change a picture, or repair one?** A model that draws from noise alone is a toy. What people ask
# for is: make this sketch a picture, fill this hole, sharpen this photograph. No new training is needed for any of
# these. It is enough to change the walk from noise to data. Some changes are honest, some only look so, and this
# chapter shows how to tell which.
#
# You need: [chapter 6](06_ddim_and_fewer_steps.py) and [chapter 8](08_classifier_guidance.py).

# %%
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch

from demist import Pipeline, zoo
from demist.core import Gaussian, Linear, Seeded
from demist.core.exact import Exact, Mixture
from demist.course import COLOURS, figure, film, images, live, say, show
from demist.data import load
from demist.editing import inpaint, vary
from demist.evaluation.metrics.distances import nearest
from demist.inverse import GaussianNoise, Half, Mask, Measurement, make_method, walk
from demist.samplers import DDIM, uniform

torch.set_num_threads(1)  # networks so small are fastest on one core
schedule = Linear()

# %% [markdown]
# ## The walk, with a hook
#
# All of this chapter is one loop: the steps of [chapter 6](06_ddim_and_fewer_steps.py) with new noise in each
# ($\eta = 1$), and a place where the state may be changed after each step. What we put there makes the difference.


# %%
def steps(model, x, grid, noise, change=None, **told):
    """All states from noise to data. `change(x, s, i, old, t)` may change the state after step i, from t to s."""
    states = [x]
    for i, (t, s) in enumerate(pairwise(grid)):
        p, (alpha, sigma) = model(x, t, **told), schedule(s)
        fresh = sigma**2 * (
            1 - (p.alpha * sigma / (alpha * p.sigma)) ** 2
        )  # variance of the new noise
        new = alpha * p.x0 + (sigma**2 - fresh).sqrt() * p.eps + fresh.sqrt() * noise.at(i)(x)
        x = new if change is None else change(new, s, i, x, t)
        states.append(x.detach())
    return states


# %% [markdown]
# ## Begin in the middle
#
# The simplest edit changes only where the walk **begins**. Take a picture, add the noise of a time $t$, and walk from
# there to data. Noise hides small things first (chapter 2), so what is larger than the noise stays, and all that is
# smaller is drawn anew by the model. The time at which one begins is called the {term}`strength`, and the method
# SDEdit. Our picture is a 7 made of two bars, drawn by code; the model is the one of the digits that comes with the
# library, and is not told any label.


# %%
def seven():
    """A 7 of two bars, bytes (1, 28, 28)."""
    x = np.zeros((1, 28, 28), np.uint8)
    x[:, 6:8, 7:20] = 255
    for row in range(8, 23):
        x[:, row, 20 - row // 3 : 23 - row // 3] = 255
    return x


digits, sketch = Pipeline.load(zoo.locate("digits")), seven()
HOW = {"steps": 12, "solver": "ddim:eta=1", "grid": "uniform", "guidance": 1, "seed": 1}
STRENGTHS = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
drawn = {strength: vary(digits, sketch, strength, n=8, **HOW) for strength in STRENGTHS}

train, test = load("digits", split="train"), load("digits", split="test")
known = train.x[:5000].reshape(5000, -1).astype(np.float32)


def apart(x, others):
    """Root mean square distance of pictures to the nearest of others, where black is -1 and white 1."""
    rows = np.asarray(x).reshape(len(x), -1).astype(np.float32)
    return float(nearest(rows, others)[0].mean()) / 28 / 127.5


to_sketch = {s: apart(x, sketch.reshape(1, -1).astype(np.float32)) for s, x in drawn.items()}
to_digits = {s: apart(x, known) for s, x in drawn.items()}
natural = apart(test.x[:200], known)
frames = []
for strength, x in drawn.items():
    fig, ax = figure(height=2.9, width=4.6)
    ax.imshow(images(x, columns=4, scale=3))
    ax.set(xticks=[], yticks=[], title=f"strength {strength:g}: 8 variations of a sketch")
    ax.spines[:].set_visible(False)
    frames.append(fig)
film(
    frames,
    "Eight pictures begin as a 7 of two bars. With growing strength they become handwritten sevens, then other digits, too, and at the end any digits.",
    6,
    "editing-strength",
)

# %%
say(
    f"At the strength 0 the sketch is {to_digits[0.0]:.2f} from the nearest real digit; at 0.8 its variations are **{to_digits[0.8]:.2f}** from one "
    f"and **{to_sketch[0.8]:.2f}** from the sketch, at 1 {to_digits[1.0]:.2f} and {to_sketch[1.0]:.2f}. New real digits are {natural:.2f} from the nearest."
)
assert to_sketch[0.0] == 0
assert to_sketch[0.3] < to_sketch[0.6] - 0.1 < to_sketch[1.0] - 0.2
assert to_digits[0.0] > to_digits[0.8] + 0.05

# %% [markdown]
# There is no right strength: what is kept and what becomes real are **one** knob. And `vary` does nothing that
# our loop does not do:

# %%
plan = digits.plan(8, init=sketch[None], start=0.5, **HOW)  # says which noise and which null label
noise, grid = Seeded([plan.seed(i) for i in range(8)]), uniform(12, start=0.5)
clean = torch.tensor(sketch / 127.5 - 1).float().expand(8, 1, 28, 28)
with torch.no_grad():
    told = plan.told(range(8), "cpu")
    begin = 0.5 * clean + 0.5 * noise(clean)
    ours = steps(digits.denoiser.eval(), begin, grid, noise, **told)[-1]
difference = np.abs((ours.numpy() + 1) * 127.5 - drawn[0.5]).max()
assert difference < 1
say(f"The largest difference is {difference:.2f} of 255: the library rounds to whole numbers.")

# %% [markdown]
# ## Put back what is known
#
# Now a hole: some numbers of the data are **seen**, the others hidden, and the model shall fill them:
# {term}`inpainting`. The obvious idea: walk as always, and after each step **put the seen numbers back**. The state at
# time $s$ is noisy, so they must be given the noise of that time, too.
#
# **Your turn.**


# %% tags=["exercise"]
def put_back(x, clean, seen, alpha, sigma, eps):
    """The state in which the seen numbers are the true ones, with the noise of the time, and the others as they were.

    x: the state, shape (n, ...); clean: clean data, of which only seen numbers are right; seen: 1 where a number is seen,
    0 where it is hidden; alpha, sigma: how much data and noise there is at this time; eps: Gaussian noise. Gives the
    shape of x.
    """
    # <solution>
    return seen * (alpha * clean + sigma * eps) + (1 - seen) * x
    # </solution>


# %% [markdown]
# To know whether a repair is right we need data of which we know everything. Ours has two numbers and four heaps. The
# first number is seen, with a little noise: $y = 0.4$. It says clearly that the point is in one of the two heaps on the
# right. The second number is hidden.

# %%
shares = torch.tensor([0.3, 0.1, 0.4, 0.2], dtype=torch.float64)
centres = torch.tensor([[0.4, 1.5], [0.4, -0.5], [-0.4, -1.5], [-0.4, 0.5]], dtype=torch.float64)
STD, Y, NOISE = 0.12, 0.4, 0.1
model = Exact(Mixture(shares, centres, STD**2), schedule)
seen, visible = torch.tensor([1.0, 0.0]).double(), torch.tensor([[Y, 0.0]]).double()
torch.manual_seed(0)
start, grid = torch.randn(1500, 2, dtype=torch.float64), uniform(50, start=0.999)


def source():
    """The same noise for each method, so that they differ in nothing else."""
    return Gaussian(torch.Generator().manual_seed(0))


def replaced(noise):
    """The change that puts back what is seen."""
    return lambda x, s, i, old, t: put_back(x, visible, seen, *schedule(s), noise(x))


noise = source()
walks = {"replacement": steps(model, start, grid, noise, replaced(noise))}


def heaps(x):
    """Which share of points lies in each heap."""
    return torch.bincount(torch.cdist(x, centres).argmin(1), minlength=4) / len(x)


left = float(heaps(walks["replacement"][-1])[2:].sum())
say(f"**{left:.0%}** of the points end in a height that belongs to the heaps on the left.")

# %% [markdown]
# Something is wrong: the seen number is exactly right, since we pasted it, and still many points belong to a heap that it excludes. The
# reason is *when* things are decided. Let us ask how well each number tells its heap, at each time. The heaps are far apart in the
# hidden number, so it chooses **early**, in much noise. The seen number could tell left from right only **late**, when its noise has
# become small. By then it is too late: the hidden number has chosen without it.


# %%
def told_by(axis, groups):
    """How often the better guess of a group is right if only one number of the state is looked at, at each time."""
    found = []
    for t in times:
        alpha, sigma = schedule(t)
        place = torch.multinomial(shares, 4000, replacement=True)
        x = alpha * (centres[place, axis] + STD * torch.randn(4000)) + sigma * torch.randn(4000)
        fits = shares * torch.exp(
            -((x[:, None] - alpha * centres[:, axis]) ** 2) / 2 / (alpha**2 * STD**2 + sigma**2)
        )
        likely = torch.stack([fits[:, groups == k].sum(1) for k in range(2)], 1)
        found.append(float((likely.argmax(1) == groups[place]).float().mean()))
    return found


times = torch.linspace(0.02, 0.98, 30, dtype=torch.float64)
visible_tells, hidden_tells = (
    told_by(0, torch.tensor([0, 0, 1, 1])),
    told_by(1, torch.tensor([0, 1, 1, 0])),
)
fig, ax = figure(height=2.7, width=5.4)
ax.plot(times, hidden_tells, color=COLOURS["model"], label="hidden number: upper or lower heap?")
ax.plot(times, visible_tells, color=COLOURS["data"], label="seen number: left or right heap?")
ax.set(
    xlabel="time t (0 is data, 1 is noise)",
    ylabel="share of right guesses",
    xlim=(1, 0),
    ylim=(0.45, 1.02),
)
ax.legend()
show(
    fig,
    "From noise to data two curves rise to 1. The hidden number's rises first, that of the seen number much later.",
    "editing-too-late",
)

# %%
visible_from, hidden_from = (
    float(times[np.array(found) > 0.9].max()) for found in (visible_tells, hidden_tells)
)
say(
    f"90 % of the guesses are right from t = **{hidden_from:.2f}** on for the hidden number, and from **{visible_from:.2f}** on for the seen one."
)
assert hidden_from > visible_from + 0.15
assert left > 0.08

# %% [markdown]
# ## What would be right
#
# What is asked for is a draw from the {term}`posterior`: all data that could have given what was seen, each as often as
# it is probable. By {term}`Bayes' rule`, $p(x_0 \mid y) \propto p(x_0)\,p(y \mid x_0)$. For heaps this has a
# {term}`closed form`, since a Gaussian times a Gaussian is one again. In the seen number, a heap with the middle $m$
# and the {term}`standard deviation` $s$, and a measurement $y$ with the noise $n$, give
#
# $$\begin{aligned}
# \text{share} &\propto w\,e^{-(y - m)^2 / 2 (s^2 + n^2)} \\
# \text{middle} &= m + \frac{s^2}{s^2 + n^2}\,(y - m) \\
# \text{variance} &= \frac{s^2\,n^2}{s^2 + n^2}
# \end{aligned}$$
#
# The hidden number stays as it was in each heap. It hears of $y$ by the **shares** alone.
#
# **Your turn.**


# %% tags=["exercise"]
def posterior(shares, middles, std, y, noise):
    """The heaps after the first number was seen.

    shares: of the heaps, shape (k,), positive; middles: shape (k, 2); std: of every heap, in both numbers; y: what was
    seen, a number; noise: its standard deviation. Gives the new shares, of sum 1, and the new middles (k, 2).
    """
    # <solution>
    total = std**2 + noise**2
    off = y - middles[:, 0]
    new = shares * torch.exp(-(off**2) / (2 * total))
    moved = middles.clone()
    moved[:, 0] += std**2 / total * off
    return new / new.sum(), moved
    # </solution>


# %%
right, moved = posterior(shares, centres, STD, Y, NOISE)
variances = torch.tensor([STD**2 * NOISE**2 / (STD**2 + NOISE**2), STD**2]).double().expand(4, 2)
truth = Mixture(right.clamp(min=1e-30), moved, variances).sample(1500)
many = model.distribution.sample(200_000)  # the same by force: draw all data, count what fits
force = torch.exp(-((Y - many[:, 0]) ** 2) / (2 * NOISE**2))
force = torch.stack([force[torch.cdist(many, centres).argmin(1) == k].sum() for k in range(4)])
assert (force / force.sum() - right).abs().max() < 0.02
say(
    f"Of the posterior **{right[0]:.1%}** lie in the upper heap on the right and **{right[1]:.1%}** in the lower one; {right[2:].sum():.4%} on the left."
)

# %% [markdown]
# ## Lead the walk
#
# The score of the posterior is that of the data and one more arrow: $\nabla \log p(y \mid x_t)$, just like a classifier
# in [chapter 8](08_classifier_guidance.py). Only this time we can compute it without training: ask the model for its
# guess $\hat x_0$, see by how much $y$ is missed, the **residual** $r = y - A\hat x_0$ ($A$ takes the seen numbers), and
# send that back through the model by its {term}`gradient`. Three answers to *how far*:
#
# - **DPS**: after each step go a fixed length against the gradient of $|r|$. The length must be tuned.
# - **PiGDM**: the guess is unsure by $\sigma^2/(\alpha^2 + \sigma^2)$, as if each number of the data had the variance 1.
# - **MMPS**: the model knows how unsure it is. $C = \frac{\sigma^2}{\alpha} \frac{\partial \hat x_0}{\partial x_t}$ is the
#   covariance of the clean data given $x_t$ (how its numbers vary, each alone and together), and $A C A^\top$ that
#   of what is seen.
#
# The last two shift the guess by $C A^\top u$ with $u = r / (\text{unsure} + n^2)$, and never further than where $y$ is met:


# %%
def gradient(guess, x, v):
    return torch.autograd.grad(guess, x, v.expand_as(guess), retain_graph=True)[0]


def guided(unsure):
    """The model, with its guess shifted towards what was seen; `unsure`: by what `spread` or by 1."""

    def led(x, t):
        x = x.detach().requires_grad_()
        p = model(x, t)
        gain = p.sigma**2 / p.alpha
        column = gain * gradient(p.x0, x, seen)  # C A^T
        spread = column[:, :1]  # A C A^T
        variance = spread if unsure == "spread" else p.sigma**2 / (p.alpha**2 + p.sigma**2)
        share = (1 / (variance + NOISE**2)).clamp(max=1 / spread.clamp(min=1e-30))
        p = replace(p, x0=p.x0.detach(), eps=p.eps.detach())
        return p.with_x0(p.x0 + column * share * (Y - p.x0[:, :1]))

    return led


def dps(scale):
    """The change of DPS: from where the step began, against the gradient of the residual's length."""

    def change(x, s, i, old, t):
        old = old.detach().requires_grad_()
        residual = (Y - model(old, t).x0[:, 0]).abs()
        return x - scale * torch.autograd.grad(residual.sum(), old)[0]

    return change


SCALE = 0.2
walks["DPS"] = steps(model, start, grid, source(), dps(SCALE))
walks["PiGDM"] = steps(guided("one"), start, grid, source())
walks["MMPS"] = steps(guided("spread"), start, grid, source())

# %% [markdown]
# The library has them under these names, and many more (`demist list methods`). They must agree with ours:

# %%
operator = Mask((2,), 1 - seen)  # in the library a mask says what is hidden
for name, spec in {
    "replacement": "replacement",
    "DPS": f"dps:scale={SCALE}",
    "PiGDM": "pigdm",
    "MMPS": "mmps",
}.items():
    measured = Measurement(
        operator, visible[:, :1], GaussianNoise(0.0 if name == "replacement" else NOISE)
    )
    *_, last = make_method(spec).trajectory(model, measured, start, grid, DDIM(eta=1), source())
    assert torch.allclose(last.x, walks[name][-1], atol=1e-5)
    say(
        f"`{spec}`: the largest difference of 3000 numbers is {(last.x - walks[name][-1]).abs().max():.0e}."
    )

# %%
frames = []
for i in [*range(0, 50, 4), 50]:
    fig, axes = figure(2, 2, height=5, width=5.2, sharex=True, sharey=True)
    for ax, (name, states) in zip(axes.flat, walks.items(), strict=True):
        alpha, sigma = schedule(grid[i])
        ax.axvline(Y * alpha, color=COLOURS["truth"], linewidth=1, linestyle="--")
        ax.scatter(*(alpha * model.distribution.means.T), s=200, color="#e3e3e3", linewidths=0)
        ax.scatter(*states[i][:250].T, s=4, color=COLOURS["model"], alpha=0.5, linewidths=0)
        ax.set(xlim=(-1.7, 1.7), ylim=(-2.4, 2.4), xticks=[], yticks=[], title=name)
    fig.supxlabel(f"seen number (measured: dashed line); t = {float(grid[i]):.2f}", fontsize=10)
    fig.supylabel("hidden number", fontsize=10)
    frames.append(fig)
film(
    frames,
    "Four clouds of points walk from noise towards four grey heaps. With replacement they stand on the dashed line all the time, but end in heights that no heap on the "
    "right has. With DPS, PiGDM and MMPS they move into the two heaps on the right; with MMPS few are elsewhere.",
    6,
    "editing-walks",
)

# %% [markdown]
# ## Three questions at once
#
# A repair can be wrong in three ways, so one number does not judge it. **Label**: does each heap get its share? **Spread**: do the points
# of a heap vary as they should? **Misfit**: is what is missed of $y$ as large as the noise says, not more, and *not less*? The exact
# posterior answers all three.


# %%
def judged(x):
    """Share in wrong heaps, hidden spread within a heap (true: STD), and mean square of the residual over the noise's."""
    wrong = float((heaps(x) - right).abs().sum()) / 2
    off = x[:, 1] - centres[torch.cdist(x, centres).argmin(1), 1]
    return (
        wrong,
        float(off.square().mean().sqrt()) / STD,
        float(((x[:, 0] - Y) / NOISE).square().mean()),
    )


results = {"exact": judged(truth), **{name: judged(states[-1]) for name, states in walks.items()}}
fig, axes = figure(3, height=2.4, width=5.8, sharey=True)
for k, (ax, name) in enumerate(
    zip(axes, ("wrong label, share", "spread, of true", "misfit"), strict=True)
):
    values = [found[k] for found in results.values()]
    ax.barh(list(results), values, color=[COLOURS["truth"], *[COLOURS["model"]] * 4], height=0.6)
    ax.axvline(values[0], color=COLOURS["truth"], linestyle="--", linewidth=1)
    ax.set(title=name)
    ax.grid(visible=False, axis="y")
axes[0].invert_yaxis()
show(
    fig,
    "Bars for the exact posterior, replacement, DPS, PiGDM and MMPS. Replacement has the largest share of wrong labels and a misfit of 0; MMPS is nearest to the exact "
    "posterior in labels and misfit.",
    "editing-judged",
)

# %%
for name, found in results.items():
    say(f"{name}: label {found[0]:.2f}, spread {found[1]:.2f}, misfit {found[2]:.2f}.")
labels, _, misfits = (
    dict(zip(results, found, strict=True)) for found in zip(*results.values(), strict=True)
)
assert labels["replacement"] > 0.2
assert misfits["replacement"] < 1e-9
assert labels["MMPS"] < 0.5 * min(labels["replacement"], labels["PiGDM"])
assert abs(misfits["MMPS"] - misfits["exact"]) < 0.4 < misfits["PiGDM"] - misfits["exact"]

# %% [markdown]
# Replacement has the misfit 0 and looks perfect, because it pastes; its labels are the worst. PiGDM believes that the seen
# number varies by 1, while it varies much less, so that it pulls too little, too late. MMPS asks the model. It is not exact either:
# it takes what is left open for *one* Gaussian. Exact in the limit are only methods with many particles (`tds`).
#
# ## Digits whose lower half is hidden
#
# Now the shipped model, which knows nothing of holes: 32 digits that it has not seen, with the lower half hidden and a noise of 0.05. Is what
# it draws the digit that was there? The judge is the most similar one of 5000 training digits. The step of DPS was tuned on training digits.

# %%
some = np.concatenate([np.where(test.labels == k)[0][:4] for k in range(10)])[:32]
x0 = torch.tensor(test.x[some] / 127.5 - 1).float()
half = Half((1, 28, 28), "lower")
torch.manual_seed(0)
y = half.forward(x0)
measured = Measurement(half, y + 0.05 * torch.randn_like(y), GaussianNoise(0.05))
plan = digits.plan(32, steps=16, solver="ddim:eta=1", guidance=1, seed=0)
repaired = {
    "truth": test.x[some],
    "seen": ((half.shown(measured.y).clamp(-1, 1) + 1) * 127.5).byte().numpy(),
}
for name in ("replacement", "dps:scale=3.2"):
    repaired[name] = replace(plan, walk=walk(make_method(name), measured)).sample()

fig, axes = figure(1, 4, height=3.3, width=6)
for ax, (name, x) in zip(axes, repaired.items(), strict=True):
    ax.imshow(images(x[[0, 4, 8, 12, 16, 20, 24, 28, 2, 14]], columns=10, scale=2))
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_ylabel(name.partition(":")[0], rotation=0, ha="right", va="center")
show(
    fig,
    "Four rows of ten digits: the true ones, their upper halves, and what replacement and DPS make of those. Some of replacement's are other digits or none at all.",
    "editing-digits",
)

# %%
named = {
    name: train.labels[nearest(x.reshape(32, -1).astype(np.float32), known)[1][:, 0]]
    for name, x in repaired.items()
}
good = {name: float((found == test.labels[some]).mean()) for name, found in named.items()}
say(
    f"Right are **{good['replacement']:.0%}** by replacement and **{good['dps:scale=3.2']:.0%}** by DPS; the judge itself is right about {good['truth']:.0%} of the true digits. "
    f"(A share of 32 digits is sure to {100 * (0.7 * 0.3 / 32) ** 0.5:.0f} %.)"
)
assert good["truth"] > 0.85
assert good["dps:scale=3.2"] > max(0.6, good["replacement"])

# %% [markdown]
# `demist restore` is the command for this. It takes a slower method, with particles, if nothing else is asked for;
# [the page on restoring](../docs/restore.md) has the shares of all methods for more digits. `inpaint` of the library, and the brush of
# the studio, put back, since that needs no gradients. It is our loop, as we can check:

# %%
mask = np.repeat(np.float32([[0.0], [1.0]]), 14, 0).repeat(28, 1)  # the lower half
theirs = inpaint(digits, test.x[some[:1]], mask, n=8, **HOW)
plan, shown = digits.plan(8, **HOW), torch.tensor(1 - mask)
clean, seeds = x0[:1].expand(8, 1, 28, 28), [plan.seed(i) for i in range(8)]
own = Seeded(seeds, field="known")  # the library's second stream of noise


def kept(x, s, i, old=None, t=None):
    return put_back(x, clean, shown, *schedule(s), own.at(i + 1)(x)).float()


with torch.no_grad():
    begin = kept(Seeded(seeds)(clean), plan.grid[0], -1)
    told = plan.told(range(8), "cpu")
    ours = steps(digits.denoiser, begin, plan.grid, Seeded(seeds), kept, **told)[-1]
difference = np.abs((ours.numpy() + 1) * 127.5 - theirs).max()
assert difference < 1.01
say(f"The largest difference is {difference:.2f} of 255.")

# %% [markdown]
# ## Touch it
#
# A true digit and what DPS made below its middle: move the border between them. The upper half must be the same but
# for the noise of the measurement.

# %%
live(
    "compare",
    "A true digit and its repair under one slider, with their difference beside them.",
    a=np.asarray(test.x[some[16]]), b=repaired["dps:scale=3.2"][16],
    names=["true", "lower half made anew"], page="edit",
)  # fmt: skip

# %% [markdown]
# ## What to remember
#
# - To edit: add noise up to a strength, and walk back. The strength trades what is kept for what becomes real.
# - To repair: what is asked for is the posterior. Putting back what is seen is cheap, and ignores much of what it says, since
#   hidden things are decided in noise in which the seen ones cannot be read yet.
# - Guidance by $\nabla \log p(y \mid x_t)$ needs a guess of how unsure the model is. The better the guess, the better the draw.
# - Judge by label, spread and misfit at once. A misfit of 0 proves nothing.
#
# ## Where to read on
#
# - Meng et al. 2022, *SDEdit*: begin in the middle.
# - Lugmayr et al. 2022, *RePaint*: putting back, with jumps to more noise so that both parts hear of each other (`inpaint(jumps=...)`).
# - Chung et al. 2023, *Diffusion Posterior Sampling for General Noisy Inverse Problems*: DPS, for measurements of any kind.
# - Song et al. 2023, *Pseudoinverse-Guided Diffusion Models for Inverse Problems*: PiGDM.
# - Rozet et al. 2024, *Learning Diffusion Priors from Observations by Expectation Maximization*: MMPS.
# - Wu et al. 2023, *Practical and Asymptotically Exact Conditional Sampling in Diffusion Models*: particles, exact in the limit.
#
# **In the studio**: `demist studio`, page *Edit*: paint over a part of a digit and let it be made anew; *Vary* has the strength.
#
# **Your answer**: `demist learn editing-and-inverse-problems --exercise` writes this chapter without the solutions, and
# `demist learn editing-and-inverse-problems --check FILE` says whether yours are right.
