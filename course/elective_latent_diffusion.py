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
# # Latent diffusion: why not draw every pixel?
#
# **Must a model that draws think about each pixel?** A photograph has a million numbers, and most say nothing new: the
# sky is blue, and so is its neighbour. Nearly all large models first make a small code of the picture, let diffusion
# work on the codes, and turn the finished code into pixels. We build all three steps, count what is saved, and look
# for what is lost.
#
# You need: [chapter 4](04_ddpm.py) and [chapter 10](10_evaluation.py).

# %%
import time
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, silu

from demist.codecs import KLAutoencoder
from demist.core import X0, Denoiser, Linear, TimeClock
from demist.course import COLOURS, figure, film, say, show
from demist.data import load
from demist.evaluation.metrics.frechet import Moments, frechet_distance
from demist.objectives import autoencoding_loss, kl_divergence
from demist.samplers import DDIM, sample, uniform

torch.set_num_threads(1)  # networks so small are fastest on one core

train_set, test_set = load("digits", split="train"), load("digits", split="test")
bytes_ = torch.tensor(test_set.x[:1000])  # (n, 1, 28, 28), from 0 to 255
data, real = torch.tensor(train_set.x) / 127.5 - 1, bytes_ / 127.5 - 1
labels, true = torch.tensor(train_set.labels), torch.tensor(test_set.labels[:1000])
PIXELS, CODE = 28 * 28, 16

# %% [markdown]
# ## A code of 16 numbers
#
# An {term}`autoencoder` is two networks. The encoder makes a code of the picture, a {term}`latent`; the decoder makes
# the picture of the code. They are trained together, so that what comes out is what went in. Ours makes 784 pixels
# into 16 numbers.
#
# But diffusion has wishes. Codes must not lie scattered with holes between them, where no code means anything: a
# small error in a code should be a small error in the picture. So the encoder does not give *one* code but a
# {term}`Gaussian` of codes, a mean and a variance for each number, and the decoder has to cope with a draw from it.
# Left alone, the encoder would make the variances 0. What holds against it is the {term}`Kullback-Leibler divergence`, which
# says how far that Gaussian is from the plain one of mean 0 and variance 1: for each number of the code
#
# $$\mathrm{KL} = \tfrac12\left(\mu^2 + s^2 - 1 - \log s^2\right)$$
#
# It is 0 only for $\mu = 0$ and $s^2 = 1$, that is, for a code that says nothing. An autoencoder with this price on
# what a code says is called a {term}`VAE`.
#
# **Your turn.** Write it. Networks give the *logarithm* of the variance, since that may be any number.


# %% tags=["exercise"]
def kl(mean, log_variance):
    """How far each Gaussian of codes is from the plain one, in nats, summed over the numbers of a code.

    mean: shape (n, k); log_variance: the natural logarithm of the variance s^2, shape (n, k). Gives shape (n,).
    """
    # <solution>
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)
    # </solution>


# %% [markdown]
# The loss of the autoencoder is the squared error of the pixels, plus a weight times the KL of each number. What does the
# weight do? We train three autoencoders: at no price, at a small one, at a high one.


# %%
class Coder(nn.Module):
    """Between pictures (n, 1, 28, 28) and codes (n, 16, 1, 1): an image of one pixel with 16 channels."""

    in_channels, latent_channels, downsample = 1, CODE, 28

    def __init__(self, width=192):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(PIXELS, width), nn.SiLU(), nn.Linear(width, 2 * CODE)
        )
        self.decoder = nn.Sequential(
            nn.Flatten(), nn.Linear(CODE, width), nn.SiLU(), nn.Linear(width, PIXELS)
        )

    def encode(self, x):
        mean, log_variance = self.encoder(x)[:, :, None, None].chunk(2, 1)
        return mean, log_variance

    def decode(self, z):
        return self.decoder(z).view(-1, 1, 28, 28)

    def forward(self, x, noise):
        mean, log_variance = self.encode(x)
        return self.decode(mean + (log_variance / 2).exp() * noise), mean, log_variance


def price(coder, x, noise, weight):
    """The mean loss: squared error of the pixels, and the weight times the KL of a number of the code."""
    rebuilt, mean, log_variance = coder(x, noise)
    said = kl(mean.flatten(1), log_variance.flatten(1)) / CODE
    return ((rebuilt - x).square().mean((1, 2, 3)) + weight * said).mean()


def fit(parameters, steps, loss, rate=3e-3):
    """Train: `loss()` is asked for so many times."""
    optimizer = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.97), fused=True)
    falling = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, steps, pct_start=0.1, cycle_momentum=False
    )
    for _ in range(steps):
        optimizer.zero_grad()
        found = loss()
        found.backward()
        optimizer.step()
        falling.step()


def batch(x, n=128):
    return x[torch.randint(len(x), (n,))]


def drawn():
    return torch.randn(128, CODE, 1, 1)


WEIGHTS = {"no price": 0.0, "small": 0.01, "high": 0.3}
coders = {}
for name, weight in WEIGHTS.items():
    torch.manual_seed(0)
    coder = Coder()
    fit(coder.parameters(), 400, lambda c=coder, w=weight: price(c, batch(data), drawn(), w))
    coders[name] = coder.eval().requires_grad_(False)

x, eps = real[:64], torch.randn(64, CODE, 1, 1)
ours = price(coders["small"], x, eps, 0.01)
theirs = autoencoding_loss(coders["small"], x, eps, kl_weight=0.01)
mean, log_variance = coders["small"].encode(x)
assert torch.allclose(ours, theirs.mean(), rtol=1e-5)
assert torch.allclose(
    kl(mean.flatten(1), log_variance.flatten(1)), kl_divergence(mean, log_variance), rtol=1e-5
)
say(
    f"For 64 digits our loss is {ours:.6f}, that of the library (`autoencoding_loss`) {theirs.mean():.6f}."
)


# %%
def sheet(rows):
    """Rows of pictures (n, 1, h, w) above each other, with white between them: an image for `imshow`."""
    x = torch.stack(list(rows)).clamp(-1, 1) / 2 + 0.5
    x = nn.functional.pad(x, (1, 1, 1, 1), value=1.0).permute(0, 3, 1, 4, 2)
    return x.flatten(2, 3).flatten(0, 1).expand(-1, -1, 3).numpy()


def pictures(ax, rows, names, title=""):
    ax.imshow(sheet(rows))
    high = rows[0].shape[2] + 2
    ax.set_yticks([high * (k + 0.5) for k in range(len(rows))], names, fontsize=10)
    ax.set(xticks=[], title=title)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.grid(False)


shown = torch.stack([torch.where(true == k)[0][3] for k in range(10)])  # one of each digit
rebuilt = {name: coder.decode(coder.encode(real)[0]) for name, coder in coders.items()}
torch.manual_seed(1)
plain = torch.randn(1000, CODE, 1, 1)
fig, ax = figure(height=2.9, width=4.8)
rows = {"real": real[shown]}
rows |= {f"rebuilt, {name}": x[shown] for name, x in rebuilt.items()}
rows |= {f"of noise, {name}": coder.decode(plain[:10]) for name, coder in coders.items()}
pictures(ax, list(rows.values()), list(rows))
show(
    fig,
    "Ten real digits; rebuilt with no price and with a small one they look much the same, with a high price all alike and blurred. Below, codes of pure noise decoded: with "
    "no price and with a small one they are scribbles, with a high one blurred shapes.",
    "latent-codecs",
)

# %%
error = {name: (x - real).square().mean().item() for name, x in rebuilt.items()}
codes = {name: coder.encode(data[:3000]) for name, coder in coders.items()}
said = {name: kl(m.flatten(1), v.flatten(1)).mean().item() / CODE for name, (m, v) in codes.items()}
spread = {name: m.std().item() for name, (m, _) in codes.items()}
say(
    "Error of a pixel, KL of a number of the code, spread of the codes: "
    + "; ".join(f"{n} **{error[n]:.3f}**, {said[n]:.2f} nats, {spread[n]:.2f}" for n in WEIGHTS)
    + "."
)
assert error["no price"] < 1.1 * error["small"] < 0.7 * error["high"]
assert said["no price"] > said["small"] > 5 * said["high"]

# %% [markdown]
# A high price is fatal: the cheapest code says nothing (this is called *posterior collapse*), and the decoder draws the mean
# of all digits. Without a price the codes lie anywhere. The small price costs little and makes order, but look at the row of
# noise: **codes drawn from the plain Gaussian are still not digits.** A VAE alone would need a price so high that its pictures
# blur. Here the two share the work: the autoencoder only has to make codes from which pictures can be rebuilt; which codes are
# *digits* is learned by diffusion.
#
# ## The scale of the codes
#
# Diffusion mixes data with noise of the variance 1, and all that chapters 2 and 5 say about time supposes that the data is of
# about that size. Codes are as large as the encoder pleases. So they are measured once, and moved and scaled: each of the 16 numbers to the
# mean 0, and all together, by one factor, to the variance 1 on average.
#
# **Your turn.** Measure them.


# %% tags=["exercise"]
def measure(z):
    """What brings codes to the mean 0 and the variance 1: they are used as (z - shift) * scale.

    z: codes, shape (n, k). Gives two: shift, shape (k,), a number for each of the k; and scale, one number for all, so that the
    mean of the k variances is 1 afterwards.
    """
    # <solution>
    shift = z.mean(0)
    return shift, 1 / (z - shift).square().mean() ** 0.5
    # </solution>


# %% [markdown]
# What if one forgets? Here are codes that are five times too small, right, and five times too large, mixed with noise. At each
# time we take the code out again as well as the mix allows, decode it, and ask a judge which digit it is:

# %%
torch.manual_seed(2)
judge = nn.Sequential(
    nn.Flatten(), nn.Linear(PIXELS, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)
)


def mistaken():
    rows = torch.randint(len(data), (128,))
    return cross_entropy(judge(data[rows] + 0.3 * torch.randn(128, 1, 28, 28)), labels[rows])


fit(judge.parameters(), 400, mistaken)
judge.eval().requires_grad_(False)


def named_rightly(x):
    return (judge(x).argmax(1) == true[: len(x)]).float().mean().item()


coder = coders["small"]
shift, scale = measure(codes["small"][0].flatten(1))
clean = (coder.encode(real)[0].flatten(1) - shift) * scale
noise = torch.randn_like(clean)


def decoded(z):
    """Codes of the model's scale, (n, 16), to pictures."""
    return coder.decode((z / scale + shift)[:, :, None, None])


factors, times = (
    {"5 times too small": 0.2, "right": 1.0, "5 times too large": 5.0},
    np.linspace(0, 0.98, 15),
)
readable = {}
for name, factor in factors.items():
    # the best linear guess of the code (of the right size) from the mix
    guesses = [
        ((1 - t) * factor * clean + t * noise)
        * (1 - t)
        * factor
        / ((1 - t) ** 2 * factor**2 + t**2)
        for t in times
    ]
    readable[name] = np.array([named_rightly(decoded(z.float())) for z in guesses])
fig, ax = figure(height=2.7, width=4.8)
for (name, share), tone in zip(readable.items(), ("noise", "model", "data"), strict=True):
    ax.plot(times, 100 * share, "o-", markersize=4, color=COLOURS[tone], label=name)
ax.set(
    xlabel="time t (0 is data, 1 is noise)",
    ylabel="digits named rightly, %",
    ylim=(0, 135),
    yticks=range(0, 101, 20),
)
ax.legend()
show(
    fig,
    "How many digits are still named rightly falls with time. With the right scale it falls in the middle of the time, with codes too small near data already, with codes too "
    "large only just before noise.",
    "latent-scale",
)

# %%
half = {name: float(times[np.argmax(share < 0.5)]) for name, share in readable.items()}
say(
    f"Half of the digits are lost at t = {half['5 times too small']:.2f}, **{half['right']:.2f}** and {half['5 times too large']:.2f}. With the wrong scale most times are wasted: on "
    "pure noise, or on codes that are clean already."
)
assert half["5 times too small"] < 0.3 < half["right"] < 0.75 < half["5 times too large"]

# %% [markdown]
# ## The codec of the library
#
# `KLAutoencoder` is an autoencoder with the way from bytes to -1..1 before it and the scale behind it. It takes any
# network with our methods:

# %%
codec = KLAutoencoder(coder).measured(codes["small"][0])
theirs = codec.encode(bytes_[:200])
assert torch.allclose(theirs.flatten(1), clean[:200], atol=1e-4)
back = codec.decode(theirs)
ours = ((decoded(clean[:200]) + 1) * 127.5).clamp(0, 255).round()
assert (
    back - ours
).abs().max() <= 1  # a byte: a number just at the edge may be rounded the other way
say(
    f"`KLAutoencoder`: codes differ by at most {(theirs.flatten(1) - clean[:200]).abs().max():.0e}, its scale is {codec.scale.scale:.4f}, ours {scale:.4f}."
)

# %% [markdown]
# ## Diffusion on codes, and on pixels
#
# One kind of network for both, as in chapter 4, which guesses the clean data. One sees 16 numbers, the other 784:


# %%
class Guess(nn.Module):
    def __init__(self, numbers, width=192):
        super().__init__()
        self.waves = 30 * 1000 ** (-torch.arange(8) / 8)
        self.time, self.enter = nn.Linear(16, width), nn.Linear(numbers, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
            )
            for _ in range(2)
        )
        self.leave = nn.Linear(width, numbers)

    def forward(self, x, t):
        angle = t[:, None] * self.waves.to(t)
        told, h = self.time(torch.cat([angle.cos(), angle.sin()], 1)), self.enter(x)
        for block in self.blocks:
            h = h + block(h + told)
        return self.leave(silu(h))


def denoising(net, x):
    x0, t = batch(x), torch.rand(128, 1)
    return (net((1 - t) * x0 + t * torch.randn_like(x0), t[:, 0]) - x0).square().mean()


every = (coder.encode(data)[0].flatten(1) - shift) * scale
worlds = {"codes": every, "pixels": data.flatten(1)}
nets, seconds = {}, {}
for name, x in worlds.items():
    torch.manual_seed(0)
    nets[name] = net = Guess(x.shape[1])
    begin = time.process_time()
    fit(net.parameters(), 900, lambda n=net, x=x: denoising(n, x))
    seconds[name] = time.process_time() - begin
    net.eval().requires_grad_(False)
products = {
    name: sum(part.weight.numel() for part in net.modules() if isinstance(part, nn.Linear))
    for name, net in nets.items()
}


def walk(net, x, steps=25):
    """All states from noise to data: the step of chapter 1."""
    states = [x]
    for t, s in pairwise(torch.linspace(1, 0, steps + 1).tolist()):
        x0 = net(x, torch.full((len(x),), t))
        x = (1 - s) * x0 + s * (x - (1 - t) * x0) / t
        states.append(x)
    return states


torch.manual_seed(4)
states = walk(nets["codes"], torch.randn(1000, CODE))
made = {"codes": decoded(states[-1])}
made["pixels"] = (
    walk(nets["pixels"], torch.randn(1000, PIXELS))[-1].view(-1, 1, 28, 28).clamp(-1, 1)
)

# %%
frames = []
for i in (0, 3, 6, 9, 11, 13, 15, 17, 19, 21, 23, 25):
    fig, ax = figure(height=1.35, width=4.8)
    code = nn.functional.interpolate(states[i][:10].view(10, 1, 4, 4) / 2, scale_factor=7.0)
    pictures(ax, [code, decoded(states[i][:10])], ["code", "decoded"], f"time t = {1 - i / 25:.2f}")
    frames.append(fig)
film(
    frames,
    "Above ten codes as squares of 4 by 4 grey numbers, which change a little; below what the decoder makes of them: blurred scribbles become ten digits.",
    5,
    "latent-walk",
)

# %% [markdown]
# Ten codes on their way from noise, and what the decoder makes of each. The decoder is needed only once, at the end; and
# diffusion has never seen a pixel.
#
# The same walk with the library, and then the comparison: with real digits, with rebuilt ones, and with the decoder fed by noise that
# has the mean and the scale of the codes, without diffusion. The figure is the {term}`Fréchet distance` in what the judge sees
# ([chapter 10](10_evaluation.py)).

# %%
start = torch.randn(64, CODE)
model = Denoiser(nets["codes"], Linear(), X0(), clock=TimeClock()).eval()
theirs = sample(model, start, uniform(25), DDIM())
assert torch.allclose(theirs, walk(nets["codes"], start)[-1], atol=1e-3)


def features(x):
    return judge[:5](x).numpy()


reference = Moments.of(features(data))
sets = {
    "real, unseen": real,
    "real, rebuilt": rebuilt["small"],
    "diffusion of codes": made["codes"],
}
sets |= {"diffusion of pixels": made["pixels"], "decoder of noise": decoded(plain.flatten(1))}
far = {name: frechet_distance(Moments.of(features(x)), reference) for name, x in sets.items()}
fig, (left, right) = figure(1, 2, height=5.0, width=4.8, height_ratios=[1.25, 1])
pictures(left, [x[:8] for x in sets.values()], list(sets))
tones = [COLOURS[c] for c in ("truth", "data", "model", "path", "noise")]
right.barh(list(far), list(far.values()), color=tones)
right.invert_yaxis()
right.set(xlabel="Fréchet distance to real digits (small is good)")
show(
    fig,
    "Rows of eight digits: real, rebuilt, drawn by diffusion of codes, of pixels, and by the decoder from noise. Bars of their distance to real digits: real and rebuilt are "
    "lowest, then diffusion of codes, then pixels and noise.",
    "latent-compared",
)

# %%
say(
    f"Products of two numbers for one guess: **{products['codes']:,}** on codes, **{products['pixels']:,}** on pixels. The same 900 steps of training took {seconds['codes']:.1f} and "
    f"{seconds['pixels']:.1f} seconds. Distances: "
    + ", ".join(f"{name} **{d:.1f}**" for name, d in far.items())
    + "."
)
assert products["pixels"] > 2 * products["codes"]
assert seconds["pixels"] > seconds["codes"]
assert far["diffusion of codes"] < 0.7 * min(far["diffusion of pixels"], far["decoder of noise"])

# %% [markdown]
# Our pictures are small, and so is what is saved. In the model that made the method known a picture of 512 x 512 pixels in three
# colours becomes a code of 64 x 64 places with four numbers:

# %%
picture, code = 512 * 512, 64 * 64
say(
    f"**{3 * picture / (4 * code):.0f} times** fewer numbers; **{picture // code} times** fewer places, by which the cost of a convolution falls; and "
    f"**{(picture // code) ** 2:,} times** fewer pairs of places that look at each other, where there is attention."
)

# %% [markdown]
# ## What the codec loses
#
# Nothing is free. What the encoder leaves out, no diffusion brings back: **the best that the whole model can do is what the codec
# rebuilds.** What does it leave out? Take each digit apart: squares of 4 x 4 pixels made one are the *coarse* part, the rest is
# *fine*. And four pictures that are no digits:


# %%
def parts(x):
    coarse = nn.functional.interpolate(nn.functional.avg_pool2d(x, 4), scale_factor=4.0)
    return {"coarse": coarse, "fine": x - coarse}


def strange():
    x = -torch.ones(4, 1, 28, 28)
    x[0, 0, 6:22, 6:22] = 1
    x[0, 0, 10:18, 10:18] = -1
    x[1, 0, 4:24:4, 4:24] = x[1, 0, 5:24:4, 4:24] = 1
    x[2, 0, 12:16, 4:24] = x[2, 0, 4:24, 12:16] = 1
    x[3, 0, 6:11, [8, 9, 18, 19]] = x[3, 0, 19:22, 7:21] = 1
    return x


odd = strange()
columns = torch.cat([real[shown[:6]], odd])
again = coder.decode(coder.encode(columns)[0])
kept = {}
for name, part in parts(real).items():
    missing = parts(rebuilt["small"])[name] - part
    kept[name] = 1 - (missing.var() / part.var()).item()
fig, (above, below) = figure(1, 2, height=3.1, width=4.8, height_ratios=[1.9, 1])
pictures(above, [columns, again, (columns - again).abs() - 1], ["before", "rebuilt", "lost"])
below.barh(
    list(kept), [100 * share for share in kept.values()], color=[COLOURS["data"], COLOURS["noise"]]
)
below.set(xlim=(0, 100), xlabel="kept of the variance, %")
below.invert_yaxis()
show(
    fig,
    "Six digits and four other signs, rebuilt, and what is lost: of digits thin edges, of a frame, stripes, a cross and a face nearly everything. Bars: of the coarse part more "
    "is kept than of the fine one.",
    "latent-lost",
)

# %%
edge = {name: parts(x)["fine"].abs().mean().item() for name, x in sets.items()}
error_odd = (coder.decode(coder.encode(odd)[0]) - odd).square().mean().item()
say(
    f"Kept: **{kept['coarse']:.0%}** of what is coarse, **{kept['fine']:.0%}** of what is fine. The judge names {named_rightly(real):.1%} of real digits and "
    f"{named_rightly(rebuilt['small']):.1%} of rebuilt ones. Fine parts have a mean size of {edge['real, unseen']:.3f} in real digits, {edge['real, rebuilt']:.3f} in rebuilt ones, "
    f"**{edge['diffusion of codes']:.3f}** in drawn ones: as blurred as the codec. The error of what is no digit is **{error_odd / error['small']:.0f} times** that of digits."
)
assert kept["coarse"] > kept["fine"] + 0.1
assert edge["diffusion of codes"] < 0.9 * edge["real, unseen"]
assert error_odd > 2 * error["small"]
assert named_rightly(rebuilt["small"]) < named_rightly(real) + 0.005

# %% [markdown]
# Large codecs lose the same, only smaller: small letters and faces far away. Theirs are trained on pictures of all kinds, so that
# hardly anything is strange to them, and with losses that prefer sharp edges to a small squared error.
#
# ## What to remember
#
# - An autoencoder makes a small code, diffusion learns which codes are data, the decoder makes the picture.
# - The KL keeps codes near the plain Gaussian. Its weight is small: order, not sampling, is what it is for.
# - Measure the codes and scale them to the variance 1, or the times of the noise schedule mean something else.
# - Each guess costs as much as the code is large. What the codec loses is lost.
#
# `demist train PATH --recipe latent` does all three steps; [latents](../docs/latents.md) has the details.
#
# ## Where to read on
#
# - Kingma & Welling 2013, *Auto-Encoding Variational Bayes*: the VAE and its loss.
# - Rombach et al. 2021, *High-Resolution Image Synthesis with Latent Diffusion Models*: the method, and how small a code may be.
# - Vahdat, Kreis & Kautz 2021, *Score-based Generative Modeling in Latent Space*: both trained together.
# - Esser, Rombach & Ommer 2020, *Taming Transformers for High-Resolution Image Synthesis*: a judge that makes the codec's pictures sharp.
#
# **Your answer**: `demist learn latent-diffusion --exercise` writes this elective without the solutions, and
# `demist learn latent-diffusion --check FILE` says whether yours are right.
