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
# # 4 · DDPM
#
# **What must a network learn, so that noise becomes digits?** Only one thing: to say which noise is in a
# noisy picture. This chapter trains such a network from nothing, lets it make digits that nobody wrote, and
# has a second network judge them. It is the method of Ho, Jain and Abbeel (2020), called
# {term}`DDPM`, and exercise 2 of the field.
#
# You need: [chapter 2](02_destroying_data.py) and [chapter 3](03_the_best_guess_is_a_blur.py).

# %%
import copy

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, cross_entropy, silu

from demist.core import Denoiser, Eps, Gaussian, Table, TimeClock, linear_betas
from demist.course import COLOURS, figure, film, images, live, record, say, show
from demist.data import load
from demist.samplers import DDPM, trajectory, uniform

torch.set_num_threads(1)  # networks so small are fastest on one core

# %% [markdown]
# ## Data
#
# 10,000 handwritten digits, made so small (8 x 8 pixels) that one core of a computer learns them in seconds.

# %%
SIDE = 8


def small(split):
    """The digits without their empty border, 3 x 3 pixels made into one; and which digits they are."""
    found = load("digits", split=split)
    pixels = torch.tensor(found.x)[:, :, 2:26, 2:26] / 127.5 - 1
    return avg_pool2d(pixels, 3).flatten(1), torch.tensor(found.labels)


(data, labels), (real, true) = small("train"), small("test")
show(
    images(data[:24].view(-1, 1, SIDE, SIDE), columns=12, scale=5),
    "Two rows of twelve small handwritten digits, white on black.",
    "04-data",
)

# %% [markdown]
# ## What the network learns
#
# From chapter 2 we know the state after $i$ of 1000 steps: $x_i = \sqrt{\bar\alpha_i}\,x_0 +
# \sqrt{1 - \bar\alpha_i}\,\varepsilon$. From chapter 3 we know that the best guess of $x_0$ is a mean. But who knows
# $x_i$ and a guess of $x_0$ knows a guess of the noise, and the other way round: it is one
# equation. Ho and his colleagues let the network guess the **noise** $\varepsilon$. This is called {term}`noise prediction`.

# %%
T = 1000
betas = torch.linspace(1e-4, 0.02, T, dtype=torch.float64)  # the linear schedule
alpha_bar = torch.cumprod(1 - betas, 0)


def noised(x0, i, eps):
    """The state after i steps (from 1 to T, one for each picture): the closed form of chapter 2."""
    bar = alpha_bar[i - 1][:, None]
    return bar.sqrt().float() * x0 + (1 - bar).sqrt().float() * eps


torch.manual_seed(0)
x0, eps, i = data[:5], torch.randn(5, SIDE**2), torch.tensor([1, 50, 200, 400, 700])
bar = alpha_bar[i - 1][:, None]
back = (noised(x0, i, eps) - (1 - bar).sqrt() * eps) / bar.sqrt()  # who knows the noise knows x0
assert torch.allclose(back.float(), x0, atol=1e-4)

# %% [markdown]
# ## The network
#
# It gets a noisy picture and the time, and answers with a picture of noise. What stands inside matters little for the
# method. Ours is a {term}`neural network` of a few layers, as in chapter 0, with two additions that all large ones have,
# too. Each block *adds* something to what comes in, so that nothing is lost on the way. And the time enters as waves
# of many lengths, since one number alone would be hard to read.


# %%
def still(layer):
    """A layer that at first gives 0: a new block adds nothing, and training begins calmly."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.time = nn.LayerNorm(width), nn.Linear(32, width)
        self.one, self.two = nn.Linear(width, width), still(nn.Linear(width, width))

    def forward(self, h, time):
        return h + self.two(silu(self.one(self.norm(h)) + self.time(time)))


class Network(nn.Module):
    def __init__(self, pixels, width=160, depth=3):
        super().__init__()
        self.waves = 1000 * torch.exp(torch.linspace(0, -7, 16))
        self.enter = nn.Linear(pixels, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.leave = nn.Sequential(nn.LayerNorm(width), still(nn.Linear(width, pixels)))

    def forward(self, x, t):
        """x: (n, pixels); t: (n,), from 0 (data) to 1 (noise). Gives the noise, (n, pixels)."""
        angle = t[:, None] * self.waves
        time = torch.cat([angle.sin(), angle.cos()], 1)
        h = self.enter(x)
        for block in self.blocks:
            h = block(h, time)
        return self.leave(h)


# %% [markdown]
# ## Training: six lines
#
# Take pictures, random times, noise. Mix. Let the network guess the noise. The loss is the mean squared error (Ho et al.,
# equation 14). That is algorithm 1 of the paper, whole, but for one thing: our network is tiny, and would spend its
# strength on states with hardly any noise, where noise is hard to see and matters little. So where the
# signal-to-noise ratio is above 1, an error counts less, in proportion (Hang et al. 2023). And `average` is a running
# mean of the weights, which shakes less than the weights of any single step: an {term}`EMA`.

# %%
torch.manual_seed(0)
network = Network(SIDE**2)
average = copy.deepcopy(network)
optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0, fused=True)
STEPS = 2000
slower = torch.optim.lr_scheduler.LambdaLR(
    optimiser, lambda k: min(1, k / 50) * max(0.0, 1 - k / STEPS) ** 0.5
)
losses, snr = [], (alpha_bar / (1 - alpha_bar)).float()
for k in range(STEPS):
    x0 = data[torch.randint(len(data), (128,))]
    i = torch.randint(1, T + 1, (128,))
    eps = torch.randn_like(x0)
    each = ((network(noised(x0, i, eps), i / T) - eps) ** 2).mean(1)
    loss = (each / snr[i - 1].clamp(min=1)).mean()
    losses.append(each.mean().item())
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    slower.step()
    with torch.no_grad():
        for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
            mean.lerp_(weight, max(0.005, 1 / (k / 10 + 1)))
network = average.eval().requires_grad_(False)
say(
    f"{sum(p.numel() for p in network.parameters()):,} weights, {STEPS} steps. The loss went from "
    f"{losses[0]:.2f} to **{sum(losses[-100:]) / 100:.3f}**. (Who always says 0 has a loss of 1.)"
)
assert sum(losses[-100:]) / 100 < 0.25

# %% [markdown]
# Where does the network err? Near the data ($t = 0$) there is hardly any noise, and it is hard to see; near $t = 1$
# nearly all is noise, and it is easy. So the loss is not one number but a curve:

# %%
torch.manual_seed(1)
places = [5, 20, 50, 100, 150, 200, 300, 400, 500, 650, 800, 1000]
by_time = []
for place in places:
    i = torch.full((len(real),), place)
    eps = torch.randn_like(real)
    by_time.append((network(noised(real, i, eps), i / T) - eps).square().mean().item())
fig, (left, right) = figure(2, height=2.7)
smooth = torch.tensor(losses).unfold(0, 20, 20).mean(1)
left.plot(torch.arange(len(smooth)) * 20 + 10, smooth, color=COLOURS["truth"], linewidth=1.4)
left.set(yscale="log", xlabel="step of training", title="loss (mean of 20 steps)")
right.plot([p / T for p in places], by_time, "o-", color=COLOURS["model"], markersize=4)
right.set(
    ylim=(0, None), xlabel="time t (0 is data, 1 is noise)", title="loss for new digits, by time"
)
show(
    fig,
    "The loss falls with training; by time it is high near data and nearly 0 near noise.",
    "04-loss",
)

# %%
assert by_time[0] > 5 * by_time[-1]
say(f"At $t = 0.005$ the loss is {by_time[0]:.2f}, at $t = 1$ it is {by_time[-1]:.3f}.")

# %% [markdown]
# ## Back: ancestral sampling
#
# If we knew the clean picture, the step before $x_i$ would be known, too, but for some noise: it is a Gaussian whose
# mean and variance follow from the closed form (Ho et al., equations 6 and 7). With the guessed noise
# $\hat\varepsilon$ in place of the true one it reads
#
# $$x_{i-1} = \frac{1}{\sqrt{1 - \beta_i}}\left(x_i - \frac{\beta_i}{\sqrt{1 - \bar\alpha_i}}\,
# \hat\varepsilon\right) + \sqrt{\tilde\beta_i}\;z, \qquad
# \tilde\beta_i = \frac{1 - \bar\alpha_{i-1}}{1 - \bar\alpha_i}\,\beta_i$$
#
# In words: take a little of the guessed noise away, make the rest a little larger (the step forward made it
# smaller), and add a little *new* noise $z$. Going from the last step to the first like this is called
# {term}`ancestral sampling`. With $\bar\alpha_0 = 1$ the very last step adds no noise.
#
# **Your turn.** Write one step.


# %% tags=["exercise"]
def ancestral(x, eps, i, betas, z):
    """From step i to step i - 1 (Ho et al. 2020, algorithm 2, with the smaller variance).

    x: the state, any shape; eps: the guessed noise, of x's shape; i: from T (noise) to 1; betas: shape (T,),
    that of step i at place i - 1; z: new noise, of x's shape. Gives the state at step i - 1.
    """
    # <solution>
    beta = betas[i - 1]
    bar, before = (1 - betas[:i]).prod(), (1 - betas[: i - 1]).prod()
    mean = (x - beta / (1 - bar).sqrt() * eps) / (1 - beta).sqrt()
    return mean + (beta * (1 - before) / (1 - bar)).sqrt() * z
    # </solution>


# %% [markdown]
# Algorithm 2 of the paper is a loop over it. (That new noise is added may surprise: we want less noise. [Chapter
# 6](06_ddim_and_fewer_steps.py) leaves it out.)


# %%
def guess(network, x, i):
    """The guessed noise. The clean picture that goes with it is kept within -1 and 1, as in Ho et al.'s program."""
    alpha, sigma = alpha_bar[i - 1].sqrt(), (1 - alpha_bar[i - 1]).sqrt()
    eps = network(x, torch.full((len(x),), i / T))
    x0 = ((x - sigma * eps) / alpha).clamp(-1, 1)
    return (x - alpha * x0) / sigma


def sample(network, x):
    """From noise to digits: all states, the noise first."""
    states = [x]
    for i in range(T, 0, -1):
        z = torch.randn_like(x) if i > 1 else torch.zeros_like(x)
        x = ancestral(x, guess(network, x, i), i, betas, z)
        states.append(x)
    return states


torch.manual_seed(2)
states = sample(network, torch.randn(150, SIDE**2))
made = states[-1].clamp(-1, 1)

# %%
frames = []
places = [1000, 850, 700, 580, 480, 400, 330, 270, 220, 170, 120, 80, 40, 15, 0]
for i in places:
    fig, ax = figure(height=2.05, width=6.6)
    rows = states[T - i][:36].view(3, 12, SIDE, SIDE)
    rows = nn.functional.pad(rows, (1, 1, 1, 1), value=9.0)  # white between them
    sheet = rows.permute(0, 2, 1, 3).reshape(3 * (SIDE + 2), 12 * (SIDE + 2))
    wide = 1 + i / T  # noise is brighter and darker than any data
    ax.imshow(sheet.numpy(), cmap="gray", vmin=-wide, vmax=wide - 0.2, interpolation="nearest")
    ax.set_title(f"time t = {i / T:.2f}  (1 is noise, 0 is data)")
    ax.axis("off")
    frames.append(fig)
film(
    frames,
    "Thirty-six squares of snow become thirty-six small handwritten digits.",
    6,
    "04-from-noise",
)

# %%
show(
    images(made[-24:].view(-1, 1, SIDE, SIDE), columns=12, scale=5),
    "Twenty-four small digits made by the network; most can be read, some cannot.",
    "04-made",
)

# %% [markdown]
# ## Are these digits? A judge
#
# They look like it. But a figure is better than an impression, and the next chapters need one. So we train a **judge**: a
# small network that names real digits. A picture counts as **recognised** if the judge is more than 90 % sure which
# digit it is. For comparison: real digits that the judge never saw; and pictures from a simple model without
# a network, the Gaussian with the mean and the joint variances of all pixels of the data.

# %%
torch.manual_seed(0)
judge = nn.Sequential(nn.Linear(SIDE**2, 256), nn.ReLU(), nn.Dropout(0.3), nn.Linear(256, 10))
optimiser = torch.optim.Adam(judge.parameters(), lr=2e-3)
for _ in range(600):
    rows = torch.randint(len(data), (128,))
    seen = data[rows] + 0.2 * torch.randn(128, SIDE**2)  # a little noise, so that it looks at forms
    loss = cross_entropy(judge(seen), labels[rows])
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
judge.eval().requires_grad_(False)
right = (judge(real).argmax(1) == true).float().mean()


def recognised(x):
    """Share of the pictures that the judge is sure about, and how many of each digit it sees."""
    sure, digit = judge(x).softmax(1).max(1)
    return (sure > 0.9).float().mean().item(), torch.bincount(digit, minlength=10)


centre, spread = data.mean(0), torch.linalg.cholesky(torch.cov(data.T) + 1e-5 * torch.eye(SIDE**2))
blobs = (centre + torch.randn(1000, SIDE**2) @ spread.T).clamp(-1, 1)
shares = {
    "noise": recognised(torch.randn(1000, SIDE**2))[0],
    "Gaussian of the pixels": recognised(blobs)[0],
    "our network": recognised(made)[0],
    "real digits": recognised(real)[0],
}
fig, ax = figure(height=2.0)
colours = [COLOURS[c] for c in ("noise", "path", "model", "data")]
ax.barh(list(shares), list(shares.values()), color=colours)
for place, share in enumerate(shares.values()):
    ax.text(share + 0.01, place, f"{share:.0%}", va="center")
ax.set(xlim=(0, 1), xlabel="share that the judge recognises")
show(
    fig, "Bars: noise and Gaussian low, our network high, real digits a little higher.", "04-judge"
)

# %%
counts = recognised(made)[1]
say(
    f"The judge names {right:.1%} of real digits rightly. It recognises **{shares['our network']:.0%}** of our "
    f"{len(made)} samples, {shares['real digits']:.0%} of real digits, and {shares['Gaussian of the pixels']:.0%} of "
    f"the Gaussian's. Samples per digit, 0 to 9: {counts.tolist()}."
)
assert right > 0.9
assert shares["our network"] > 0.4 * shares["real digits"]
assert shares["our network"] > shares["Gaussian of the pixels"] + 0.15
assert counts.min() > 0  # all ten digits

# %% [markdown]
# (That the judge is sometimes sure of mere noise is a weakness of all judges that have only seen digits. So never
# trust one figure alone: compare.) Between our network and real digits there is still a gap. What is missing is size and
# time, not another method: ours is tiny and learned for seconds.
#
# ## In full: MNIST
#
# So here is **exercise 2** with both: the 60,000 digits of MNIST in their 28 x 28 pixels, a U-Net (below) in the
# place of our layers, and again the linear schedule and all 1000 steps. One thing is added: the
# network is told which digit it shall draw ([chapter 9](09_classifier_free_guidance.py) says how). So the judge can say
# how many are as asked for. The second figure, **FDr**, compares what the judge sees in samples and in real digits
# ([chapter 10](10_evaluation.py)): 1 is as good as real digits that no network has learned, 2 is twice as far away.
# It takes too long for a page, so it was done once, by `course/full.py`, and its record is kept:

# %%
recorded = record(2)
samples, truth = (recorded.figures[name] for name in ("samples", "real"))
say(
    f"Of {recorded.configuration['n']} samples **{samples['accuracy']:.1%}** are the digit that was asked for, in the judge's eyes; of "
    f"real ones it names {truth['accuracy']:.1%} rightly. The FDr is **{samples['fdr']:.2f}**."
)
assert samples["accuracy"] > truth["accuracy"] - 0.02
assert samples["fdr"] < 1.5
recorded.picture

# %% [markdown]
# In the judge's eyes these samples are as good as real digits. The method is that of the small ones above, line by line.
#
# ## The same with the library
#
# `Denoiser` reads a network: `Eps` says that it predicts noise, `TimeClock` that it sees the time as
# $t$, `bounds` keeps the clean picture within its range. `DDPM` is our step. First one step, at several times, with the same noise:

# %%
model = Denoiser(
    network, Table.from_betas(linear_betas()), Eps(), clock=TimeClock(), bounds=(-1, 1)
).eval()
largest = 0.0
for i in (1000, 700, 300, 50, 2, 1):
    x = states[T - i][:16]
    time = torch.tensor([i / T, (i - 1) / T], dtype=torch.float64)
    torch.manual_seed(i)
    theirs, _ = DDPM().step(model, x, time[0], time[1], None, Gaussian())
    torch.manual_seed(i)
    ours = ancestral(x, guess(network, x, i), i, betas, torch.randn_like(x))
    largest = max(largest, (ours - theirs).abs().max().item())
    assert torch.allclose(ours, theirs, atol=1e-5)
say(f"One step, at six times: the largest difference is {largest:.1e}.")

# %% [markdown]
# Then the whole loop, all 1000 steps:

# %%
start = torch.randn(16, SIDE**2)
torch.manual_seed(3)
*_, last = trajectory(model, start, uniform(T), DDPM(), Gaussian())
torch.manual_seed(3)
ours = sample(network, start)[-1]
difference = (ours - last.x).abs().max().item()
assert difference < 1e-3
say(f"After 1000 steps, {ours.numel()} pixels: the largest difference is **{difference:.1e}**.")

# %% [markdown]
# Float32 has some seven digits, and both sides round differently in each of 1000 steps; so the numbers agree to
# rounding and not to the last bit.

# %% [markdown]
# ## Touch it
#
# The loss of our training once more, to be read with the pointer or the arrow keys:

# %%
live(
    "curve",
    "The loss falls quickly in the first steps of training, and slowly after that.",
    x=[20 * i + 10 for i in range(len(smooth))], lines=[{"y": smooth.numpy(), "label": "loss"}],
    xLabel="step of training", yLabel="loss, mean of 20 steps", log=True,
)  # fmt: skip

# %% [markdown]
# ## What to remember
#
# - Training: mix data and noise at a random time, let the network guess the noise, squared error.
# - Sampling: take a little of the guessed noise away, add a little new noise, 1000 times.
# - The network never sees how a digit is drawn. It learns what noise is *not*.
# - A judge gives a figure for "looks right"; it is compared with real data and with something simple.
#
# ## Where to read on
#
# - Ho, Jain & Abbeel 2020, *Denoising Diffusion Probabilistic Models*: all of this chapter, in eight pages.
# - Hang et al. 2023, *Efficient Diffusion Training via Min-SNR Weighting Strategy*: which errors should count less.
# - Nichol & Dhariwal 2021, *Improved Denoising Diffusion Probabilistic Models*: learns the variance of the step, too.
# - Ronneberger, Fischer & Brox 2015, *U-Net*: the network that one takes for larger pictures.
# - [Chapter 10](10_evaluation.py): better judges than ours.
#
# **Your answer**: `demist learn 4 --exercise` writes this chapter without the solution, and
# `demist learn 4 --check FILE` says whether yours is right.
