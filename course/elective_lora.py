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
# # Fine-tuning and LoRA
#
# **How does a trained model learn one thing more?** Training from nothing takes the data and the machines of a company. Teaching a trained model
# a new style or a new subject takes twenty pictures and minutes: this is {term}`fine-tuning`. Most models that people share today
# are not models but small files that change one: {term}`LoRA`. We build one from scratch, on digits, and measure what it costs: what is
# learned, and what is **forgotten**.
#
# You need: [chapter 9](09_classifier_free_guidance.py).

# %%
import copy
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from demist.course import COLOURS, figure, film, images, say, show
from demist.data import load
from demist.interop.adapters import LowRank, fitted, merged, read_lora, write_lora

torch.set_num_threads(1)  # networks so small are fastest on one core

# %% [markdown]
# ## A model that has never seen an 8
#
# We train a small network to draw digits of 8 x 8 pixels by their label, as in chapter 9. But all eights are taken out of the data. Label 8 exists
# and means nothing yet.

# %%
PIXELS, WIDTH, NEW = 64, 160, 8


def vectors(split):
    """Digits of 8 x 8 pixels as 64 numbers from -1 to 1, and which digits they are."""
    data = load("digits", size=8, split=split)
    return torch.tensor(data.x[:]).float().flatten(1) / 127.5 - 1, torch.tensor(data.labels)


class Draws(nn.Module):
    """From a noisy digit, the time and the label to the clean digit."""

    def __init__(self):
        super().__init__()
        self.label, self.time = nn.Embedding(10, WIDTH), nn.Linear(9, WIDTH)
        self.into, self.out = nn.Linear(PIXELS, WIDTH), nn.Linear(WIDTH, PIXELS)
        self.first = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.second = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))

    def forward(self, x, t, label):
        angles = t[:, None] * torch.pi * 2.0 ** torch.arange(-1, 3)
        told = self.label(label) + self.time(torch.cat([t[:, None], angles.sin(), angles.cos()], 1))
        h = self.into(x)
        for first, second in zip(self.first, self.second, strict=True):
            h = h + second(F.silu(first(F.layer_norm(h, h.shape[1:]) + told)))
        return self.out(F.silu(h))


def error(net, x0, label, generator=None):
    """The weighted squared error of guesses at random times."""
    t = 0.15 + 0.85 * torch.rand(len(x0), generator=generator)
    eps, time = torch.randn(x0.shape, generator=generator), t[:, None]
    return ((net((1 - time) * x0 + time * eps, t, label) - x0).square().mean(1) / t).mean()


def learn(net, x, label, count, rate, batch, look=None, every=40):
    """Train what of a network may be trained; `look(step)` is called every so many steps."""
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=rate)
    for step in range(count + 1):
        if look and step % every == 0:
            look(step)
        rows = torch.randint(len(x), (batch,))
        optimizer.zero_grad()
        error(net, x[rows], label[rows]).backward()
        for group in optimizer.param_groups:  # the last steps are small
            group["lr"] = rate * (1 - step / (count + 1))
        optimizer.step()


(x_train, y_train), (x_test, y_test) = vectors("train"), vectors("test")
known = y_train != NEW
torch.manual_seed(0)
base = Draws()
learn(base, x_train[known], y_train[known], 1200, 3e-3, 96)
few = x_train[y_train == NEW][:20]  # all that will be shown of the eight
eights = torch.full((len(few),), NEW)

TIMES = torch.cat([torch.linspace(1, 0.15, 16), torch.zeros(1)])


@torch.no_grad()
def draw(net, label, seed=0):
    """Digits from noise (chapter 1)."""
    x = torch.randn(len(label), PIXELS, generator=torch.Generator().manual_seed(seed))
    for t, s in pairwise(TIMES):
        x0 = net(x, t.expand(len(label)), label)
        x = (1 - s) * x0 + s * (x - (1 - t) * x0) / t
    return x


old_labels = torch.tensor([k for k in range(10) if k != NEW]).repeat(20)


def as_asked(net):
    """Shares of drawn digits that are what was asked for, of the old labels and of the new one; the judge is the nearest real digit."""
    shares = []
    for label in (old_labels, torch.full((100,), NEW)):
        found = y_train[torch.cdist(draw(net, label), x_train).argmin(1)]
        shares.append(float((found == label).float().mean()))
    return shares


@torch.no_grad()
def errors(net):
    """Errors on digits that no network was trained on: old labels, new label."""
    pairs = [(x_test[part][:600], y_test[part][:600]) for part in (y_test != NEW, y_test == NEW)]
    return [float(error(net, *pair, torch.Generator().manual_seed(1))) for pair in pairs]


before = as_asked(base)
say(
    f"Of old digits **{before[0]:.0%}** are as asked for; asked for an 8, it draws one in {before[1]:.0%}."
)
assert before[0] > 0.8
assert before[1] < 0.3

# %% [markdown]
# ## A change of low rank
#
# Fine-tuning changes every {term}`matrix` $W$ of the network to $W + \Delta W$. The idea of LoRA: the *change* is much simpler than the
# matrix. So write it as a product of two thin ones,
#
# $$W' = W + s\,B A, \qquad A: r \times \text{inputs}, \quad B: \text{outputs} \times r$$
#
# with a small {term}`rank` $r$. $A$ looks at $r$ directions of the input only, $B$ says what each of them does to the output. $W$ is
# **frozen**: it is never changed. $A$ begins as random numbers and $B$ as **zeros**, so that at the start the network does exactly what it did. The
# scale $s$ is a knob for later: 0 takes the change away.
#
# **Your turn.** The layer, and the same change put into the matrix.


# %% tags=["exercise"]
def low_rank(x, down, up, scale):
    """What a LoRA adds to the output of a layer.

    x: inputs, shape (n, i); down: the matrix A, shape (r, i); up: the matrix B, shape (o, r); scale: a number. Gives shape (n, o).
    Do not make a matrix of shape (o, i) on the way: with large layers it is what one wants to avoid.
    """
    # <solution>
    return scale * (x @ down.T) @ up.T
    # </solution>


# %% tags=["exercise"]
def merge(weight, down, up, scale):
    """The matrix of a layer with the change inside, so that nothing has to be added any more.

    weight: shape (o, i), which must not be changed in place; down: (r, i); up: (o, r); scale: a number. Gives shape (o, i).
    """
    # <solution>
    return weight + scale * up @ down
    # </solution>


# %%
class Adapted(nn.Module):
    """A frozen layer and its change."""

    def __init__(self, layer, rank):
        super().__init__()
        self.layer, self.scale = layer, 1.0
        self.down = nn.Parameter(torch.randn(rank, layer.in_features) / layer.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(layer.out_features, rank))

    def forward(self, x):
        return self.layer(x) + low_rank(x, self.down, self.up, self.scale)


def adapted(net, rank):
    """A copy of a network, frozen, with a change of low rank at six layers."""
    made = copy.deepcopy(net).requires_grad_(False)
    made.into, made.out = Adapted(made.into, rank), Adapted(made.out, rank)
    for layers in (made.first, made.second):
        for i, layer in enumerate(layers):
            layers[i] = Adapted(layer, rank)
    return made


def changes(net):
    """The changed layers of a network by their names."""
    return {name: part for name, part in net.named_modules() if isinstance(part, Adapted)}


def trained(net):
    """How many numbers training may change."""
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


RANK = 2
torch.manual_seed(1)
lora, full = adapted(base, RANK), copy.deepcopy(base)
x, t, label = torch.randn(50, PIXELS), torch.rand(50), torch.randint(10, (50,))
assert torch.equal(lora(x, t, label), base(x, t, label))  # zero at the start, to the bit
sides = [part.layer.in_features + part.layer.out_features for part in changes(lora).values()]
assert trained(lora) == RANK * sum(sides)
say(
    f"All of the network is **{trained(full):,}** numbers. A LoRA of rank {RANK} at its six layers has **{trained(lora):,}**: each layer takes r (inputs + outputs) "
    f"instead of inputs x outputs. That is {trained(lora) / trained(full):.1%}; of a large model, whose layers are wider, it is far less."
)

# %% [markdown]
# ## Teach it the eight
#
# Twenty eights are shown, and nothing else. One copy of the network may change all its weights; the other has only its LoRA. Fine-tuning wants a smaller
# {term}`learning rate` than training, a LoRA a larger one. Which rate is best must be tried, so we take two for each.

# %%
paths, nets = {}, {}
for name, rate in (("all weights", 1e-4), ("all weights", 1e-3), ("LoRA", 3e-3), ("LoRA", 1e-2)):
    torch.manual_seed(2)
    net = adapted(base, RANK) if name == "LoRA" else copy.deepcopy(base)
    path = paths[name, rate] = []
    learn(
        net,
        few,
        eights,
        320,
        rate,
        20,
        look=lambda step, path=path, net=net: path.append(errors(net)),
    )
    nets[name, rate] = net
lora, full = nets["LoRA", 3e-3], nets["all weights", 1e-4]
after = {name: as_asked(net) for name, net in nets.items()}

fig, ax = figure(height=3.2, width=5.6)
for (name, rate), path in paths.items():
    tone, dash = (
        COLOURS["model" if name == "LoRA" else "noise"],
        "-" if rate in (1e-4, 3e-3) else "--",
    )
    old, new = np.array(path).T
    ax.plot(
        new,
        old,
        dash,
        marker="o",
        markersize=3,
        color=tone,
        label=f"{name}, rate {rate:g}",
        linewidth=1.4,
    )
ax.plot(*errors(base)[::-1], "o", color=COLOURS["truth"], markersize=8)
ax.annotate("before", errors(base)[::-1], xytext=(4, 24), textcoords="offset points", ha="right")
ax.set(xlabel="error on new eights", ylabel="error on old digits")
ax.legend()
show(
    fig,
    "Four paths begin at one point. All go left, to a smaller error on eights, and up, to a larger error on old digits. Those with the smaller rates stay low, of both kinds alike; "
    "those with larger rates go on upwards, and turn back to the right.",
    "lora-forgetting",
)

# %%
for (name, rate), (old, new) in after.items():
    say(
        f"{name}, rate {rate:g}: of eights **{new:.0%}** are as asked for, of old digits **{old:.0%}** (before: {before[0]:.0%})."
    )
for name in ("all weights", "LoRA"):
    gentle, hasty = (rate for kind, rate in after if kind == name)
    assert after[name, gentle][1] > 0.85
    assert after[name, hasty][0] < after[name, gentle][0] < before[0]
ends = {key: path[-1] for key, path in paths.items()}
assert -0.005 < ends["LoRA", 3e-3][0] - ends["all weights", 1e-4][0] < 0.02
for path in paths.values():
    assert path[-1][0] > path[0][0] + 0.01  # old digits: worse than before
    assert path[-1][1] > min(new for _, new in path)  # eights: better once than in the end

# %% [markdown]
# Every path goes **up**: nobody was shown an old digit any more, and nothing held them. This is {term}`forgetting`. And look who forgets: not *all weights*
# against *LoRA*, but a **large rate and many steps** against a small rate and few. One often reads that a LoRA forgets less. Here, with one run each, the gentler of the
# two LoRAs forgets no less than the gentler change of all weights. The paths also turn back: after some steps even the error on **new eights** grows again, since twenty
# examples are learned by heart ({term}`overfitting`). So: stop early.
#
# ## What only a LoRA has: a switch
#
# The old weights are still there. The scale $s$ goes from 0, the old model to the bit, to 1, the taught one, and nothing else has to be kept:

# %%
frames, dial = [], {}
shown = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 9, 9]), torch.full((10,), NEW)
for scale in np.linspace(0, 1.5, 13):
    for part in changes(lora).values():
        part.scale = float(scale)
    dial[float(scale)] = as_asked(lora)
    fig, (top, ax) = figure(1, 2, height=4.3, width=5, height_ratios=[1, 1.4])
    top.imshow(
        images(
            torch.cat([draw(lora, some, seed=3) for some in shown]).reshape(-1, 1, 8, 8),
            columns=10,
            scale=4,
        )
    )
    top.set(xticks=[], yticks=[], title=f"scale {scale:.2f}: old digits, and asked for 8")
    top.spines[:].set_visible(False)
    for k, tone, name in ((0, "data", "old digits"), (1, "model", "eights")):
        ax.plot(
            list(dial),
            [100 * found[k] for found in dial.values()],
            "o-",
            markersize=3,
            color=COLOURS[tone],
            label=name,
        )
    ax.set(
        xlim=(-0.05, 1.55), ylim=(0, 105), xlabel="scale s of the LoRA", ylabel="as asked for, %"
    )
    ax.legend(loc="lower right")
    frames.append(fig)
film(
    frames,
    "Two rows of digits while the scale grows. The lower row, asked for 8, is unclear at 0 and becomes eights; the upper row, old digits, stays as it was for long and then loses some. "
    "Curves below: eights as asked for rise from few to nearly all, old digits fall slowly.",
    6,
    "lora-dial",
)

# %%
for part in changes(lora).values():
    part.scale = 0.0
assert torch.equal(lora(x, t, label), base(x, t, label))
for part in changes(lora).values():
    part.scale = 1.0
say(
    f"With the switch off, old digits are as before: {dial[0.0][0]:.0%} as asked for; with it on, {dial[1.0][1]:.0%} of eights are. Who asks for an 8 turns it on, who asks for others turns it off: "
    "nothing is forgotten. With all weights changed that takes a second model."
)
assert dial[0.0] == before
assert dial[1.0][1] > before[1] + 0.5

# %% [markdown]
# ## Merged is the same
#
# To draw, the two thin products cost a little time in each layer. They can be put into $W$ for good, here with the scale 0.8: the same numbers, an ordinary network. And
# since changes are only added, those of several LoRAs can be, too.

# %%
SCALE, plain = 0.8, copy.deepcopy(base)
for part in changes(lora).values():
    part.scale = SCALE
with torch.no_grad():
    for name, part in changes(lora).items():
        plain.get_submodule(name).weight.copy_(
            merge(part.layer.weight, part.down, part.up, part.scale)
        )
    off = float((plain(x, t, label) - lora(x, t, label)).abs().max())
assert off < 1e-5
assert trained(plain) == trained(base)
say(f"Merged and not merged differ by {off:.0e} at most, in 3200 numbers.")

# %% [markdown]
# ## The same with the library
#
# To say it plainly: **the library does not train LoRAs.** It reads the files that others made, in the forms of all usual programs, and merges them into the published models that
# it opens (`demist sample MODEL --lora FILE:0.8`, where 0.8 is our $s$), and it writes such files. That is enough to check us: we write ours as a file, let the library read it, find the layers, and merge.
# Files also hold a number `alpha`, and mean $s = \text{alpha} / r$: who doubles the rank need not change the rate.

# %%
with TemporaryDirectory() as folder:
    file = Path(folder) / "eight.safetensors"
    layers = {
        f"unet.{name}": LowRank(part.down.detach(), part.up.detach(), alpha=float(RANK))
        for name, part in changes(lora).items()
    }
    write_lora(file, layers, "diffusers")
    size, found = file.stat().st_size, read_lora(file)
    theirs = merged(base, [(change, SCALE) for change in fitted(found, {"unet": base})])
with torch.no_grad():
    off = float((theirs(x, t, label) - plain(x, t, label)).abs().max())
assert off < 1e-6
say(
    f"The largest difference is {off:.0e}. The file has {size / 1024:.0f} kB; all weights would have {4 * trained(base) / 1024:.0f}."
)

# %% [markdown]
# ## How much rank does it take?
#
# A change to *all weights* has been made, so we can ask whether it was of low rank: take the difference of a layer before and after, and
# look how much of it the best matrix of rank $r$ holds (the sum of the $r$ largest squared **singular values**, which `torch.linalg.svdvals` gives, over the sum of all).

# %%
with torch.no_grad():
    difference = full.second[0].weight - base.second[0].weight
    held = {
        "the change": torch.linalg.svdvals(difference).square().cumsum(0),
        "random numbers": torch.linalg.svdvals(torch.randn_like(difference)).square().cumsum(0),
    }
fig, ax = figure(height=2.6, width=5.6)
for (name, values), tone in zip(held.items(), ("model", "noise"), strict=True):
    ax.plot(range(1, 41), 100 * values[:40] / values[-1], color=COLOURS[tone], label=name)
ax.set(xlabel="rank r", ylabel="held by rank r, %", ylim=(0, 105))
ax.legend()
show(
    fig,
    "The share of a layer's change that a matrix of rank r holds: it rises steeply, to most of it within ten, while of random numbers rank ten holds little.",
    "lora-rank",
)

# %%
ten = {name: float(values[9] / values[-1]) for name, values in held.items()}
say(
    f"Rank 10 of {WIDTH} holds **{ten['the change']:.0%}** of what fine-tuning did to this layer; of random numbers it holds {ten['random numbers']:.0%}."
)
assert ten["the change"] > 2 * ten["random numbers"]

# %% [markdown]
# ## What to remember
#
# - Fine-tuning teaches a trained model by few examples. What is not shown is forgotten, the faster the larger the rate.
# - LoRA: $W' = W + s\,B A$ with $W$ frozen, a small rank, and $B = 0$ at the start. Some per cent of the numbers, or far less.
# - At the same learning it need not forget less. But it can be switched off, shared as a small file, scaled, added to others, and merged at no cost.
# - Few examples are soon learned by heart: watch the error on examples that were held out.
#
# ## Where to read on
#
# - Hu et al. 2021, *LoRA: Low-Rank Adaptation of Large Language Models*: the method.
# - Aghajanyan et al. 2021, *Intrinsic Dimensionality Explains the Effectiveness of Language Model Fine-Tuning*: why so few directions are enough.
# - Ruiz et al. 2023, *DreamBooth*: a subject from a few pictures, and old examples among the new ones so that less is forgotten.
# - Gal et al. 2022, *An Image is Worth One Word*: still less is trained, one {term}`embedding`.
# - Biderman et al. 2024, *LoRA Learns Less and Forgets Less*: the same trade, measured on large models.
#
# **On the command line**: `demist sample MODEL --lora FILE:0.8` takes LoRA files for published models; [their page](../docs/pretrained.md) says which.
#
# **Your answer**: `demist learn lora --exercise` writes this chapter without the solutions, and
# `demist learn lora --check FILE` says whether yours are right.
