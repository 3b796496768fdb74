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
# # Architectures: what does each part buy?
#
# **Which parts of a denoising network can one leave out?** Nearly all of them have the same three: lines that skip
# over the middle, attention, and the time, told to every layer. That all have them is no proof that they are needed.
# The way to find out is an {term}`ablation`: build the network once with and once without the part, change nothing
# else, train both, measure. We build each part by hand, take it out, and look at what is lost. One of the three turns
# out to buy nothing, until we give it a task that needs it.
#
# You need: [chapter 4](04_ddpm.py) and [chapter 9](09_classifier_free_guidance.py).

# %%
import math
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate, silu

from demist import networks
from demist.core import Linear
from demist.core.exact import Exact, Mixture
from demist.course import COLOURS, figure, film, say, show
from demist.data import load

torch.set_num_threads(1)  # networks so small are fastest on one core

# %% [markdown]
# ## How far does a pixel see?
#
# A {term}`convolution` with a kernel of 3 makes each pixel anew from its 3 x 3 neighbourhood: it sees one pixel to
# each side. Two of them see two. A network of pictures is a stack of such layers, and what a pixel of the output can
# see of the input is its {term}`receptive field`. To halve the picture makes it grow faster: afterwards one step to
# the side is two pixels of the input, after a second halving four.
#
# **Your turn.** How wide is it? Go through the layers from the first on. Keep two numbers: the width that is seen
# (at first 1), and how many pixels of the input one step to the side is (at first 1).


# %% tags=["exercise"]
def field(layers):
    """The width, in pixels of the input, of what one pixel of the last layer sees.

    layers: pairs (kernel, stride) from the first layer to the last: a kernel of 3 sees one neighbour to each side, and a
    stride of 2 leaves out every second pixel, so that the layers behind it step twice as far. Gives a whole number.
    """
    # <solution>
    width, step = 1, 1
    for kernel, stride in layers:
        width += (kernel - 1) * step
        step *= stride
    return width
    # </solution>


# %% [markdown]
# We check it with the {term}`gradient`: of all pixels of the input, which change the pixel in the middle of the output?

# %%
stacks = {
    "1 layer": [(3, 1)],
    "4 layers": [(3, 1)] * 4,
    "4, one halves": [(3, 1), (3, 2), (3, 1), (3, 1)],
    "4, two halve": [(3, 2), (3, 2), (3, 1), (3, 1)],
}
fig, axes = figure(2, 2, height=4.6, width=4.6)
for ax, (name, layers) in zip(axes.flat, stacks.items(), strict=True):
    x = torch.zeros(1, 1, 33, 33, requires_grad=True)
    h = x
    for kernel, stride in layers:
        h = nn.functional.conv2d(h, torch.ones(1, 1, kernel, kernel), None, stride, kernel // 2)
    h[0, 0, h.shape[2] // 2, h.shape[3] // 2].backward()
    seen = x.grad[0, 0] != 0
    wide = int(seen.any(0).sum())
    assert wide == field(layers)
    ax.imshow(seen, cmap="Blues", vmin=0, vmax=1.4)
    ax.plot(16, 16, "s", color=COLOURS["noise"], markersize=4)
    ax.set(xticks=[], yticks=[], title=f"{name}: {wide} wide")
show(
    fig,
    "Four squares of 33 by 33 pixels; a blue square around the middle one is what it sees: 3 wide after one layer, 9 after four, 13 if one halves, 23 if two halve.",
    "architectures-field",
)

# %% [markdown]
# A layer that halves costs less, too: all layers behind it have a quarter of the pixels. But who makes a picture small
# loses detail. This is why the {term}`U-Net` has the lines that give it its name: down, up, and
# at each size a {term}`skip connection` from the way down to the way up.
#
# ## The three parts by hand
#
# **Time.** One number is hard to read for a network. So it gets waves of it, from fast to slow: $\cos(\omega_i t)$ and
# $\sin(\omega_i t)$, with $\omega_i$ from `fastest` down to nearly `fastest / ratio`, each smaller than the one before
# by the same factor. A small network reads them, and every block is told.
#
# **Your turn.** Write the waves.


# %% tags=["exercise"]
def waves(t, count, fastest, ratio):
    """The time as waves: first all cosines, then all sines.

    t: times, shape (n,); count: how many numbers for each time, even: half are cosines; fastest: the frequency of the first,
    in radians; ratio: that of number i is fastest * ratio ** (-i / half), where half = count / 2. Gives shape (n, count).
    """
    # <solution>
    half = count // 2
    angle = t[:, None] * fastest * ratio ** (-torch.arange(half) / half)
    return torch.cat([angle.cos(), angle.sin()], 1)
    # </solution>


# %% [markdown]
# **A block** has two convolutions. Between them the time comes in: it says for each channel by how much to scale and
# shift it. What the block finds is *added* to what came in: a skip connection again, a short one. Before each
# convolution the numbers are brought to the mean 0 and the variance 1, some channels together.
#
# **{term}`Attention <attention>`** lets each pixel ask all others. From its channels each makes three vectors: a
# query $q$ (what I look for), a key $k$ (what I am), a value $v$ (what I tell). The better the query of one fits the key
# of another, the larger the weight of what that one tells: $\mathrm{softmax}(q\,k^\top/\sqrt d)\,v$, with $d$
# channels. The [elective on words](elective_text_and_cross_attention.py) takes it apart.


# %%
def norm(channels):
    """Groups of 16 channels, or of as many as fit, each brought to the mean 0 and the variance 1."""
    return nn.GroupNorm(channels // math.gcd(channels, 16), channels)


class Time(nn.Module):
    def __init__(self, width, count=16):
        super().__init__()
        self.count = count
        self.linear_1, self.linear_2 = nn.Linear(count, width), nn.Linear(width, width)

    def forward(self, t):
        return self.linear_2(silu(self.linear_1(waves(t, self.count, 30.0, 1000.0))))


class Block(nn.Module):
    def __init__(self, inputs, outputs, told):
        super().__init__()
        self.norm1, self.norm2 = norm(inputs), norm(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.time_emb_proj = nn.Linear(told, 2 * outputs)
        alike = inputs == outputs
        self.conv_shortcut = nn.Identity() if alike else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x, time):
        scale, shift = self.time_emb_proj(time)[:, :, None, None].chunk(2, 1)
        h = self.norm2(self.conv1(silu(self.norm1(x)))) * (1 + scale) + shift
        return self.conv_shortcut(x) + self.conv2(silu(h))


class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.group_norm = norm(channels)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x):
        pixels = self.group_norm(x).flatten(2).transpose(1, 2)  # (n, pixels, channels)
        q, k, v = self.to_q(pixels), self.to_k(pixels), self.to_v(pixels)
        self.weights = (q @ k.transpose(1, 2) / q.shape[2] ** 0.5).softmax(2)
        found = self.to_out[0](self.weights @ v)
        return x + found.transpose(1, 2).unflatten(2, x.shape[2:])


# %% [markdown]
# ## The same with the library
#
# We named our layers as the library does, so ours can take over its weights. `twin` does that, and `by_hand` walks
# through the library's `UNet` with our parts. Each feature map on the way down is laid on a stack; each block on the
# way up takes one from it. The library's new networks give exactly 0, so we first fill the weights with random numbers.


# %%
def twin(part):
    """Our form of a part of the library, with its weights."""
    if isinstance(part, networks.ResBlock):
        conv = part.conv1
        made = Block(conv.in_channels, conv.out_channels, part.time_emb_proj.in_features)
    elif isinstance(part, networks.Attention):
        made = Attention(part.to_q.in_features)
    else:
        made = Time(part.linear_1.out_features, part.linear_1.in_features)
    made.load_state_dict(part.state_dict())
    return made


def by_hand(net, x, t):
    time = silu(twin(net.time_embedding)(t))

    def one(level, i, h):
        h = twin(level.resnets[i])(h, time)
        return twin(level.attentions[i])(h) if i < len(level.attentions) else h

    stack = [net.conv_in(x)]
    for level in net.down_blocks:
        for i in range(len(level.resnets)):
            stack.append(one(level, i, stack[-1]))
        for halve in level.downsamplers:
            stack.append(halve.conv(stack[-1]))
    h = one(net.mid_block, 1, one(net.mid_block, 0, stack[-1]))
    for level in net.up_blocks:
        for i in range(len(level.resnets)):
            h = one(level, i, torch.cat([h, stack.pop()], 1))
        for double in level.upsamplers:
            h = double.conv(interpolate(h, scale_factor=2.0))
    return net.conv_out(silu(net.conv_norm_out(h)))


torch.manual_seed(0)
with torch.no_grad():
    library = networks.UNet(channels=(16, 32, 32), attention=(1,), mid_attention=True)
    for weight in library.parameters():
        weight.normal_(std=0.15)
    x, t = torch.randn(4, 1, 8, 8), torch.rand(4)
    with networks.attention_maps(library) as maps:
        theirs = library(x, t)
    ours = by_hand(library, x, t)
    difference = float((ours - theirs).abs().max() / theirs.abs().max())
    middle = torch.randn(4, 32, 2, 2)
    look = library.mid_block.attentions[0]
    with networks.attention_maps(look) as alone:
        look(middle)
    mine = twin(look)
    mine(middle)
assert difference < 1e-4
assert torch.allclose(mine.weights, next(iter(alone.values()))[:, 0], atol=1e-5)
say(
    f"A U-Net of {sum(p.numel() for p in library.parameters()):,} weights, {len(maps)} times attention: the largest difference is "
    f"**{difference:.0e}** of the largest number."
)

# %% [markdown]
# ## The ablation
#
# For the ablation we take a U-Net of our parts that is as small as can be: one size, half of it, back. Three switches
# leave a part out. Without skips zeros stand in their place, and without time $t$ is always 0.5: so the number of
# weights stays, and nothing but the part is missing. The network guesses the clean picture, as in
# [chapter 3](03_the_best_guess_is_a_blur.py). Each variant is trained on small digits from three
# {term}`random seeds <random seed>`, since one training alone may be luck.


# %%
class Small(nn.Module):
    def __init__(self, skips=True, attention=True, time=True):
        super().__init__()
        self.skips, self.timed = skips, time
        self.time, self.enter = Time(32), nn.Conv2d(1, 8, 3, padding=1)
        self.halve = nn.Conv2d(8, 24, 3, stride=2, padding=1)
        self.down, self.bottom, self.up = Block(8, 8, 32), Block(24, 24, 32), Block(32, 8, 32)
        self.attention = Attention(24) if attention else nn.Identity()
        self.leave = nn.Sequential(norm(8), nn.SiLU(), nn.Conv2d(8, 1, 3, padding=1))

    def forward(self, x, t):
        time = silu(self.time(t if self.timed else torch.full_like(t, 0.5)))
        fine = self.down(self.enter(x), time)
        h = self.attention(self.bottom(self.halve(fine), time))
        beside = fine if self.skips else torch.zeros_like(fine)
        return self.leave(self.up(torch.cat([interpolate(h, scale_factor=2.0), beside], 1), time))


def mixed(x0, eps, t):
    t = t[:, None, None, None]
    return (1 - t) * x0 + t * eps


def train(net, data, steps, seed):
    """Let it guess the clean picture. Each part adds nothing at first, as in chapter 4."""
    torch.manual_seed(100 + seed)
    for part in net.modules():
        last = {Block: "conv2", Attention: "to_out"}.get(type(part))
        for weight in getattr(part, last).parameters() if last else ():
            nn.init.zeros_(weight)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, betas=(0.9, 0.95), fused=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.01, steps, pct_start=0.1, cycle_momentum=False
    )
    for _ in range(steps):
        x0 = data[torch.randint(len(data), (32,))]
        eps, t = torch.randn_like(x0), torch.rand(32)
        loss = (net(mixed(x0, eps, t), t) - x0).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    return net.eval().requires_grad_(False)


TIMES = (0.02, 0.06, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98)


def by_time(guess, x):
    """The mean squared error of a guess of the clean pictures at each of `TIMES`, for the same noise."""
    eps = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    times = [torch.full((len(x),), time) for time in TIMES]
    return np.array([float((guess(mixed(x, eps, t), t) - x).square().mean()) for t in times])


def digits(split):
    """Digits of 8 x 8 pixels, as in chapter 4."""
    pixels = torch.tensor(load("digits", split=split).x)[:, :, 2:26, 2:26] / 127.5 - 1
    return nn.functional.avg_pool2d(pixels, 3)


data, real = digits("train"), digits("test")
VARIANTS = {"all parts": {}, "no skips": {"skips": False}, "no time": {"time": False}}
VARIANTS["no attention"] = {"attention": False}
nets, loss = {}, {}
for name, switches in VARIANTS.items():
    for seed in range(3):
        torch.manual_seed(seed)
        net = Small(**switches).to(memory_format=torch.channels_last)  # faster on a CPU
        nets[name, seed] = train(net, data, 160, seed)
    loss[name] = np.array([by_time(nets[name, seed], real[:400]) for seed in range(3)])

# %%
TONES = {"all parts": "truth", "no skips": "noise", "no time": "data", "no attention": "model"}
base = loss["all parts"].mean(0)
fig, (above, below) = figure(1, 2, height=5.2, width=4.8, sharex=True)
for name, found in loss.items():
    tone = COLOURS[TONES[name]]
    above.plot(TIMES, found.mean(0), color=tone, label=name)
    below.plot(TIMES, (found / base).T, color=tone, linewidth=0.8, alpha=0.4)
    below.plot(TIMES, found.mean(0) / base, color=tone)
above.set(ylim=(0, None), title="Squared error of the clean guess")
below.set(
    xlabel="time t (0 is data, 1 is noise)", title="Divided by that of all parts (thin: each seed)"
)
above.legend()
show(
    fig,
    "Above: the error of four variants rises with time; near data it is largest without skips. Below, divided by the error with all parts: without skips near data by far "
    "the largest, then without time; towards noise all are nearly 1; without attention the seeds scatter.",
    "architectures-loss",
)

# %%
NEAR = np.array(TIMES) <= 0.2
near = {name: found[:, NEAR].mean(1) for name, found in loss.items()}  # of each seed
times = {name: found.mean() / near["all parts"].mean() for name, found in near.items()}
far = {name: found[:, ~NEAR].mean() / base[~NEAR].mean() for name, found in loss.items()}
say(
    f"Near data, up to t = 0.2, the error without skips is **{times['no skips']:.2f} times** that with all parts, without time **{times['no time']:.2f} times**, "
    f"without attention **{times['no attention']:.2f} times**. In more noise: {far['no skips']:.2f}, {far['no time']:.2f} and {far['no attention']:.2f} times. Of three "
    f"seeds with all parts the worst has {near['all parts'].max() / near['all parts'].min():.2f} times the error of the best."
)
assert near["no skips"].min() > 1.2 * near["all parts"].max()  # the worst seed against the best
assert times["no skips"] > 1.5 > 1.15 > far["no skips"]
assert times["no time"] > 1.2 > 1.15 > far["no time"]
assert times["no attention"] < 1.1

# %% [markdown]
# Thin lines of one colour are one variant, trained three times: what lies between them is luck. **Skips** matter most, and
# near data: there a good guess needs every detail, and without skips each detail must pass the small size in the middle.
# In much noise there is no detail to keep. **Time** matters near data, too. A picture full of noise shows by itself how
# noisy it is; a trace of noise is easily taken for a part of the picture. **Attention** buys nothing here: in a training
# as short as this it is one more thing to learn, and the network is better without it. It is no wonder that nobody misses it.
# A digit is small, and the blocks see all of it.
#
# This is how they draw, each from the same noises:


# %%
@torch.no_grad()
def draw(net, x, steps=20):
    """All states from noise to data: the step of chapter 1."""
    grid, states = torch.linspace(1, 0, steps + 1).tolist(), [x]
    for t, s in pairwise(grid):
        x0 = net(x, torch.full((len(x),), t))
        x = (1 - s) * x0 + s * (x - (1 - t) * x0) / t
        states.append(x)
    return states


def sheet(rows):
    """Rows of pictures (n, c, h, w) above each other, with white between them: an image for `imshow`."""
    x = torch.stack(list(rows)).clamp(-1, 1) / 2 + 0.5
    x = nn.functional.pad(x, (1, 1, 1, 1), value=1.0).permute(0, 3, 1, 4, 2)
    return x.flatten(2, 3).flatten(0, 1).expand(-1, -1, 3).numpy()


def picture(rows, names, title, height):
    fig, ax = figure(height=height, width=4.8)
    ax.imshow(sheet(rows))
    high = rows[0].shape[2] + 2
    ax.set_yticks([high * (k + 0.5) for k in range(len(rows))], names, fontsize=10)
    ax.set(xticks=[], title=title)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.grid(False)
    return fig


torch.manual_seed(5)
start = torch.randn(10, 1, 8, 8)
drawn = {name: draw(nets[name, 0], start) for name in VARIANTS}
frames = [
    picture(
        [states[i] for states in drawn.values()],
        list(VARIANTS),
        f"time t = {1 - i / 20:.2f}  (1 is noise, 0 is data)",
        height=2.1,
    )
    for i in (0, 4, 8, 10, 12, 14, 15, 16, 17, 18, 19, 20)
]
film(
    frames,
    "Four rows become small digits from the same noise; without skips they are the most blurred.",
    5,
    "architectures-digits",
)

# %% [markdown]
# ## A task that needs attention
#
# Here are strips of 2 x 16 pixels with a lamp of three columns at either end. A lamp is red, green, blue or yellow, by
# chance, but **both have the same colour**. The network below halves nothing. Its six convolutions see only a part of the
# strip, and from one lamp the other one is out of sight:


# %%
COLOUR = torch.tensor([[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, -1]]).float()


def strips(colours):
    x = -torch.ones(len(colours), 3, 2, 16)
    x[..., :3] = x[..., -3:] = COLOUR[colours][:, :, None, None]
    return x


class Strip(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.time, self.enter = Time(32), nn.Conv2d(3, 16, 3, padding=1)
        self.first, self.second = Block(16, 16, 32), Block(16, 16, 32)
        self.attention = Attention(16) if attention else nn.Identity()
        self.leave = nn.Sequential(norm(16), nn.SiLU(), nn.Conv2d(16, 3, 3, padding=1))

    def forward(self, x, t):
        time = silu(self.time(t))
        return self.leave(self.second(self.attention(self.first(self.enter(x), time)), time))


sight = field([(3, 1)] * 6) // 2
say(f"A pixel sees **{sight}** pixels to each side; from lamp to lamp it is {16 - 2 * 3 + 1}.")
assert sight < 11

torch.manual_seed(0)
lamps = strips(torch.randint(4, (4000,)))
lit = {}
for name in ("with attention", "without"):
    torch.manual_seed(0)
    net = Strip(name != "without").to(memory_format=torch.channels_last)
    lit[name] = train(net, lamps, 300, 0)

# %% [markdown]
# For data as simple as this the best guess is known exactly ([chapter 3](03_the_best_guess_is_a_blur.py)): for one who sees
# both lamps the data are four strips, and for one who sees only one half they are four halves. The two curves are what can be
# reached at all:


# %%
def best(x, t):
    """The best guess of one who sees all of x."""
    wide = x.shape[3]
    clean = strips(torch.arange(4))[..., :wide].flatten(1)
    exact = Exact(Mixture(torch.ones(4), clean, 0.0), Linear())
    return exact(x.flatten(1), t[0].double()).x0.view_as(x).float()


def best_of_halves(x, t):
    left = best(x[..., :8], t)
    right = best(x[..., 8:].flip(3), t).flip(3)
    return torch.cat([left, right], 3)


test = lamps[:500]
bounds = {"sees both lamps": by_time(best, test), "sees one lamp": by_time(best_of_halves, test)}
reached = {name: by_time(net, test) for name, net in lit.items()}
fig, ax = figure(height=3.1, width=4.8)
for (name, found), tone in zip(bounds.items(), ("truth", "path"), strict=True):
    ax.plot(TIMES, found, "--", color=COLOURS[tone], linewidth=1.5, label=f"best, {name}")
for (name, found), tone in zip(reached.items(), ("model", "noise"), strict=True):
    ax.plot(TIMES, found, "o-", color=COLOURS[tone], markersize=4, label=name)
ax.set(xlabel="time t (0 is data, 1 is noise)", ylabel="error of the clean guess", ylim=(0, None))
ax.legend()
show(
    fig,
    "Error by time: the network without attention lies on or above the curve of the best guess of one who sees one lamp; the one with attention lies below it, towards the curve of one who sees both.",
    "architectures-lamps-loss",
)

# %%
below_bound = {name: bounds["sees one lamp"] - found for name, found in reached.items()}
at = TIMES.index(0.7)
say(
    f"At t = {TIMES[at]} the best guess has an error of {bounds['sees one lamp'][at]:.3f} for one who sees one lamp, and {bounds['sees both lamps'][at]:.3f} for "
    f"one who sees both. The networks reach **{reached['without'][at]:.3f}** without attention and **{reached['with attention'][at]:.3f}** with it."
)
assert below_bound["without"].max() < 0.005  # it cannot know more than what it sees
assert below_bound["with attention"][at] > 0.012

# %% [markdown]
# Now let both draw, and watch where a pixel of the left lamp looks: the weights of its attention, white is most.


# %%
def named(lamp):
    """Which of the four colours a lamp (n, 3, 2, 3) is nearest to."""
    return torch.cdist(lamp.mean((2, 3)), COLOUR).argmin(1)


torch.manual_seed(1)
noise = torch.randn(400, 3, 2, 16)
paths = {name: draw(net, noise) for name, net in lit.items()}
frames = []
for i in (0, 3, 6, 8, 10, 11, 12, 13, 14, 15, 17, 20):
    x, t = paths["with attention"][i][:5], torch.full((5,), max(1 - i / 20, 0.01))
    lit["with attention"](x, t)
    looks = lit["with attention"].attention.weights[:, 1].view(5, 1, 2, 16)  # of one pixel
    looks = (2 * looks / looks.amax((1, 2, 3), keepdim=True) - 1).expand(-1, 3, -1, -1)
    columns = [x, looks, paths["without"][i][:5]]
    fig, axes = figure(3, height=2.0, width=5.2)
    for ax, column, name in zip(
        axes, columns, ("with attention", "it looks at", "without"), strict=True
    ):
        ax.imshow(sheet([one[None] for one in column]), interpolation="nearest")
        ax.set(xticks=[], yticks=[], title=name)
        ax.spines[:].set_visible(False)
        ax.grid(False)
    axes[0].set_xlabel(f"t = {1 - i / 20:.2f}", fontsize=11)
    frames.append(fig)
film(
    frames,
    "Noise becomes strips with coloured lamps at both ends. With attention both lamps of a strip end in the same colour, and the pixel on the left looks at the lamps; "
    "without attention their colours differ in most strips.",
    5,
    "architectures-lamps",
)

# %%
agree = {
    name: float((named(s[-1][..., :3]) == named(s[-1][..., -3:])).float().mean())
    for name, s in paths.items()
}
say(
    f"With attention both lamps agree in **{agree['with attention']:.0%}** of {len(noise)} strips, without in **{agree['without']:.0%}**: what chance gives is 25 %."
)
assert agree["with attention"] > 0.7
assert 0.15 < agree["without"] < 0.4

# %% [markdown]
# Each half without attention is right. Only together they are wrong: this is how a network with too small a field draws a face
# with one blue and one brown eye. (One path was open: the normalisation divides by the spread of the *whole* picture, so a little
# of everything reaches everywhere. As the figures say, it was not enough.)
#
# ## What to remember
#
# - An ablation takes one part out and changes nothing else. Several seeds say what is luck.
# - Skips carry detail past the small sizes. Time matters where noise is hard to see.
# - Convolutions see a neighbourhood, which halving widens. Attention sees everything.
# - A part that buys nothing on one task may be all that matters on another. Ask what the task needs.
#
# The library's `UNet` says by `attention` at which sizes there is attention, and by `mid_attention` whether at the smallest.
#
# ## Where to read on
#
# - Ronneberger, Fischer & Brox 2015, *U-Net*: where the skips are from.
# - Vaswani et al. 2017, *Attention Is All You Need*: attention, and nothing else.
# - Dhariwal & Nichol 2021, *Diffusion Models Beat GANs on Image Synthesis*: ablations of these parts on photographs.
# - Peebles & Xie 2022, *Scalable Diffusion Models with Transformers*: attention instead of convolutions and skips.
# - Sun et al. 2025, *Is Noise Conditioning Necessary for Denoising Generative Models?*: large networks without the time.
#
# **Your answer**: `demist learn architectures --exercise` writes this elective without the solutions, and
# `demist learn architectures --check FILE` says whether yours are right.
