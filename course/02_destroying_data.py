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
# # 2 · Destroying data
#
# **How much of a picture is left after 1000 small steps of noise, and must one take them all to know?** In
# [chapter 1](01_the_number_8.py) we mixed data and noise in one go. The papers tell it as a walk of many
# small steps. This chapter proves that both are the same, and learns to read off how noisy a state is.
#
# You need: [chapter 0](00_before_you_begin.py), or that you know what a variance is.

# %%
import sympy
import torch

from demist.core import Gaussian, Table, forward_jump, linear_betas
from demist.course import COLOURS, figure, film, record, say, show
from demist.data import load

# %% [markdown]
# ## A step of the forward process
#
# One step makes the data a little smaller and adds a little {term}`noise`:
#
# $$x_i = \sqrt{1 - \beta_i}\;x_{i-1} + \sqrt{\beta_i}\;z_i$$
#
# $z_i$ is new noise in each step. The number $\beta_i$ (beta) says how much of it: the {term}`variance` that
# the step adds. All steps together are the {term}`forward process`. The usual choice (Ho et al. 2020) has 1000 steps,
# with $\beta$ growing evenly:

# %%
betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)


def one_step(x, beta, z):
    """From step i - 1 to step i (Ho et al. 2020, equation 2)."""
    return (1 - beta).sqrt() * x + beta.sqrt() * z


torch.manual_seed(0)
digits = torch.tensor(load("digits").x[:2000]) / 127.5 - 1  # 28 x 28 pixels, from -1 to 1
four = digits[1]
walk = [four.double()]
for beta in betas:
    walk.append(one_step(walk[-1], beta, torch.randn(1, 28, 28, dtype=torch.float64)))

fig, axes = figure(6, height=1.75)
for ax, i in zip(axes, (0, 50, 150, 300, 500, 1000), strict=True):
    ax.imshow(walk[i][0].numpy(), cmap="gray", vmin=-1.5, vmax=1.5)
    ax.set_title(f"step {i}\nt = {i / 1000:g}", fontsize=9)
    ax.axis("off")
show(fig, "A digit at steps 0, 50, 150, 300, 500 and 1000: it drowns in snow.", "02-walk")

# %% [markdown]
# We write the step as a time, as in all chapters: $t = i / 1000$. **At $t = 0$ is data, at $t = 1$ noise.**
#
# Why the root of $1 - \beta$ in front? So that the numbers stay as large as they were: when the data has
# variance 1, then so has $x_i$, since variances add: $(1 - \beta) \cdot 1 + \beta = 1$. Only the
# data in it becomes less.
#
# ## Exercise 1 of the field: all steps in one
#
# To train a network we need $x_i$ for random $i$, millions of times. Must we walk there each time? No. Write
# $\bar\alpha_i$ (alpha-bar) for the product of all $1 - \beta$ up to step $i$. Then
#
# $$x_i = \sqrt{\bar\alpha_i}\;x_0 + \sqrt{1 - \bar\alpha_i}\;\varepsilon, \qquad
# \bar\alpha_i = (1 - \beta_1)(1 - \beta_2)\cdots(1 - \beta_i)$$
#
# with a single noise $\varepsilon$. This is the {term}`closed form`. **Proof by induction**: we show that it holds
# at step 0, and that it holds at the next step whenever it holds at one. Then it holds at all of them.
#
# First a lemma: **the sum of two independent noises is a noise, and the variances add.** We know a
# distribution when we know the mean of $e^{kz}$ for all $k$, and for independent numbers
# these means are multiplied. SymPy, a program that computes with letters, finds:

# %%
k, z = sympy.symbols("k z", real=True)
a, b = sympy.symbols("a b", positive=True)
bell = sympy.exp(-(z**2) / 2) / sympy.sqrt(2 * sympy.pi)


def mean_of_exponential(width):
    """The mean of exp(k width z), z being noise, for all k."""
    found = sympy.integrate(sympy.exp(k * width * z) * bell, (z, -sympy.oo, sympy.oo))
    return sympy.simplify(sympy.expand(found))


product = mean_of_exponential(a) * mean_of_exponential(b)
together = mean_of_exponential(sympy.sqrt(a**2 + b**2))
assert sympy.simplify(product / together) == 1
assert sympy.simplify(product / mean_of_exponential(a + b)) != 1  # widths do not add
say(f"The mean of $e^{{kaz}}$ is ${sympy.latex(mean_of_exponential(a))}$; lemma proved.")

# %% [markdown]
# Now the induction. Say $x_{i-1}$ has $\sqrt{\bar\alpha}$ in front of $x_0$, and noise of variance
# $1 - \bar\alpha$. One more step multiplies both parts by $\sqrt{1 - \beta}$ and adds noise of variance $\beta$:

# %%
bar, kept = sympy.symbols("alphabar kappa", positive=True)  # kappa is what is kept, 1 - beta
beta_ = 1 - kept


def claim(bar):
    """What the closed form says: the factor of the data, and the variance of the noise."""
    return sympy.sqrt(bar), 1 - bar


def after_one_step(signal, variance):
    return sympy.sqrt(kept) * signal, kept * variance + beta_  # by the lemma


def proved(claim):
    """Whether a claim holds at step 0, and at each step if at the one before."""
    begins = claim(sympy.Integer(1)) == (1, 0)
    pairs = zip(after_one_step(*claim(bar)), claim(bar * kept), strict=True)
    return begins and all(sympy.simplify(left - right) == 0 for left, right in pairs)


assert proved(claim)
assert not proved(lambda bar: (bar, 1 - bar))  # without the root
assert not proved(lambda bar: (sympy.sqrt(bar), 1 - sympy.sqrt(bar)))
signal, variance = after_one_step(*claim(bar))
say(
    f"With $\\kappa = 1 - \\beta$: after one more step the data has the factor ${sympy.latex(signal)}$, and the noise the variance "
    f"${sympy.latex(sympy.expand(variance))}$: the closed form again, with one more factor in "
    "the product. **Proved.** Two wrong formulas do not pass."
)

# %% [markdown]
# **Your turn.** Write the jump from the data to any step.


# %% tags=["exercise"]
def jump(x0, betas, i, eps):
    """The state after i steps of the forward process, in one go.

    x0: data, any shape; betas: variances of all steps, shape (T,), the first at place 0; i: how many steps are
    done, a whole number from 0 (nothing has happened) to T; eps: noise of x0's shape. Gives x0's shape.
    """
    # <solution>
    alpha_bar = (1 - betas[:i]).prod()
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eps
    # </solution>


# %% [markdown]
# ## The same with numbers
#
# A proof can be right and the program wrong. So let 20,000 walkers begin at $x_0 = 2$ and take every step. The
# jump must land them in the same bell:

# %%
torch.manual_seed(0)
walkers = torch.full((20_000,), 2.0, dtype=torch.float64)
shown, stands = (50, 150, 300, 500), {}
for i, beta in enumerate(betas[:500], 1):
    walkers = one_step(walkers, beta, torch.randn_like(walkers))
    if i in shown:
        stands[i] = walkers

fig, axes = figure(4, height=2.4, sharey=True)
for ax, i in zip(axes, shown, strict=True):
    jumped = jump(torch.full((20_000,), 2.0).double(), betas, i, torch.randn(20_000).double())
    span = {"bins": 60, "range": (-4, 4), "density": True}
    ax.hist(stands[i], color=COLOURS["light"], label="walked", **span)
    ax.hist(jumped, color=COLOURS["noise"], histtype="step", linewidth=1.5, label="jumped", **span)
    ax.set(xlabel="x", xticks=[-4, -2, 0, 2, 4], title=f"step {i}, t = {i / 1000:g}")
    assert abs(stands[i].mean() - jumped.mean()) < 0.04  # four times what chance does
    assert abs(stands[i].std() - jumped.std()) < 0.03
axes[0].set(ylabel="how often")
axes[-1].legend(loc="upper right")
show(
    fig,
    "Bells that move from 2 to 0 and grow; those of the walkers and of the jump are equal.",
    "02-bells",
)

# %% [markdown]
# Chance makes this check a little rough. A sharper one: keep the noises of the walk, and add up how much of each
# one is in $x_i$. The squares of these shares must add up to $1 - \bar\alpha_i$, to the last digit.

# %%
shares, signal = torch.zeros(1000, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)
for i, beta in enumerate(betas):
    shares, signal = shares * (1 - beta).sqrt(), signal * (1 - beta).sqrt()
    shares[i] = beta.sqrt()
alpha_bar = torch.cumprod(1 - betas, 0)
assert abs((shares**2).sum() - (1 - alpha_bar[-1])) < 1e-12
assert abs(signal - alpha_bar[-1].sqrt()) < 1e-12
one, nothing = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
assert torch.allclose(jump(one, betas, 1000, nothing), signal)
say(
    f"After 1000 steps **{signal:.2%}** of the data's size is left. The squares of the shares add up to {(shares**2).sum():.6f}."
)

# %% [markdown]
# ## In full: a million walkers, three schedules
#
# What takes too long for a page was done once, with `course/full.py`, and its result is kept: a **record**. In full,
# exercise 1 has a million walkers in numbers of 16 digits, and takes all 1000 steps of three lists of betas: this one,
# called linear, and two that [chapter 5](05_noise_schedules.py) explains. After each step it asks: by how many
# *standard errors* are the mean and the variance of the walkers away from the closed form? One standard error is what
# chance does, four it hardly ever does. The third curve is a wrong formula: it adds widths and not variances.

# %%
recorded = record(1)
found = recorded.figures
walked = [found[name] for name in ("linear", "cosine", "sigmoid")]
say(
    f"In all {recorded.configuration['steps']} steps of the three the walkers are away from the closed form by at most "
    f"**{max(max(one['mean'], one['variance']) for one in walked):.1f}** standard errors, and from the wrong formula by more than four in at least "
    f"{min(one['wrong'] for one in walked):.1%} of the steps. The shares add up with an error of {max(one['exact'] for one in walked):.0e}."
)
assert found["proved"]
assert all(max(one["mean"], one["variance"]) < 4.5 for one in walked)
assert all(one["exact"] < 1e-10 for one in walked)
assert all(one["wrong"] > 0.8 for one in walked)
recorded.picture

# %% [markdown]
# ## The same with the library
#
# A {term}`noise schedule` gives two numbers for each time: `alpha`, in front of the data, and `sigma`, in front of
# the noise. A list of betas becomes one by `Table`; `forward_jump` is our jump.

# %%
schedule = Table.from_betas(linear_betas())
t = torch.arange(1, 1001, dtype=torch.float64) / 1000
alpha, sigma = schedule(t)
assert torch.allclose(alpha, alpha_bar.sqrt(), atol=1e-12)
assert torch.allclose(sigma, (1 - alpha_bar).sqrt(), atol=1e-12)
data = digits[:10].double()
torch.manual_seed(1)
theirs = forward_jump(schedule, data, torch.zeros((), dtype=torch.float64), t[299], Gaussian())
torch.manual_seed(1)
ours = jump(data, betas, 300, torch.randn_like(data))
assert torch.allclose(ours, theirs, atol=1e-12)
say(f"Ten digits at step 300: the largest difference is {(ours - theirs).abs().max():.1e}.")

# %% [markdown]
# ## How noisy is it? The signal-to-noise ratio
#
# One number says how much data is left: the {term}`signal-to-noise ratio`, $\alpha^2 / \sigma^2$. At 1
# both are equally strong. It runs over many powers of ten, so one takes its logarithm, the **log-SNR**.

# %%
log_snr = schedule.log_snr(t)
assert torch.allclose(log_snr, torch.log(alpha_bar / (1 - alpha_bar)), atol=1e-9)
assert (log_snr.diff() < 0).all()  # noise only grows
even = int((log_snr > 0).sum())
say(f"Data and noise are equally strong at step **{even}** of 1000, after a quarter of the way.")
assert 200 < even < 300

# %%
torch.manual_seed(2)
eps = torch.randn(1, 28, 28, dtype=torch.float64)
frames = []
for i in [1, 3, 8, 16, 30, 50, 80, 110, 150, 190, 230, 270, 320, 380, 450, 540, 650, 800, 1000]:
    fig, (left, right) = figure(2, width_ratios=[1, 1.9], height=2.8)
    left.imshow(jump(four.double(), betas, i, eps)[0].numpy(), cmap="gray", vmin=-1.6, vmax=1.6)
    left.set_title(f"t = {i / 1000:.3f}")
    left.axis("off")
    right.axhspan(0, 12, color=COLOURS["data"], alpha=0.08)
    right.axhspan(-12, 0, color=COLOURS["noise"], alpha=0.08)
    right.plot(t, log_snr, color=COLOURS["truth"], linewidth=1.5)
    right.plot(i / 1000, log_snr[i - 1], "o", color=COLOURS["path"], markersize=9)
    right.text(0.98, 9.5, "more data than noise", ha="right", color=COLOURS["data"])
    right.text(0.02, -10.5, "more noise than data", ha="left", color=COLOURS["noise"])
    right.set(
        xlim=(0, 1), ylim=(-12, 12), xlabel="time t (0 is data, 1 is noise)", ylabel="log-SNR"
    )
    frames.append(fig)
film(
    frames,
    "A digit drowns while a dot runs down the curve of the log-SNR, through 0 at a quarter of the way.",
    5,
    "02-snr",
)

# %% [markdown]
# ## What drowns first?
#
# You could still see the digit at log-SNR 0. Why? Noise is equally strong in all details, coarse and fine. Data
# is not: most of it is in the coarse forms. To see it, split pictures into waves (a Fourier
# transform) and sort them by how many fit into the picture:

# %%
centred = digits[:, 0] - digits[:, 0].mean(0)
power = (torch.fft.fft2(centred, norm="ortho").abs() ** 2).mean(0)
lines = torch.fft.fftfreq(28, 1 / 28)
waves = torch.hypot(lines[:, None], lines).round().long()
mean_power = torch.stack([power[waves == w].mean() for w in range(15)]).double()

fig, ax = figure(height=3.0)
ax.semilogy(range(15), mean_power, color=COLOURS["data"], marker="o", label="digits")
drowned = []
for i, place in ((50, 12.4), (150, 12.4), (300, 12.4), (500, 12.4)):
    level = (1 - alpha_bar[i - 1]) / alpha_bar[i - 1]  # noise, where the data keeps its size
    ax.axhline(level, color=COLOURS["noise"], linewidth=1.2)
    ax.text(place, level * 1.2, f"noise at t = {i / 1000:g}", color=COLOURS["noise"], fontsize=8.5)
    drowned.append(int((mean_power < level).sum()))
ax.set(
    xlim=(0, 14.8),
    xlabel="waves across the picture (left coarse, right fine)",
    ylabel="mean square",
)
ax.set_title("what lies below a line has drowned")
ax.legend(loc="lower left")
show(
    fig,
    "The power of digits falls from coarse to fine; lines of noise rise and cover the fine part first.",
    "02-waves",
)

# %%
say(
    f"Of 15 sizes of waves are below the noise at t = 0.05, 0.15, 0.3, 0.5: **{drowned}**. The fine ones go first."
)
assert drowned == sorted(drowned)
assert drowned[0] < drowned[1] < drowned[2]
assert mean_power[1] > 20 * mean_power[12]

# %% [markdown]
# Run backwards, this is how a model draws: **first the coarse forms, then the details.**
#
# ## What to remember
#
# - A step: $x_i = \sqrt{1 - \beta_i}\,x_{i-1} + \sqrt{\beta_i}\,z_i$. Small steps make noise of any data.
# - All in one: $x_i = \sqrt{\bar\alpha_i}\,x_0 + \sqrt{1 - \bar\alpha_i}\,\varepsilon$; proved by induction.
# - The roots are there because **variances** add up, not widths.
# - The log-SNR says how noisy a state is. Fine details drown first, coarse forms last.
#
# ## Where to read on
#
# - Ho, Jain & Abbeel 2020, *Denoising Diffusion Probabilistic Models*, section 2: the walk and its closed form.
# - Kingma, Salimans, Poole & Ho 2021, *Variational Diffusion Models*: why the log-SNR is the natural clock.
# - Rissanen, Heinonen & Solin 2022, *Generative Modelling With Inverse Heat Dissipation*: more on coarse and fine.
# - [Chapter 5](05_noise_schedules.py): which betas are good ones.
#
# **Your answer**: `demist learn 2 --exercise` writes this chapter without the solution, and
# `demist learn 2 --check FILE` says whether yours is right.
