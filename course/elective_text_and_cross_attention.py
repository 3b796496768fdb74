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
# # Text and cross-attention: how do words get into a picture?
#
# **How does a pixel know which word is meant for it?** A model is told "red square blue ring". The pixels on the left
# must become red and the ones on the right blue, not the other way round. So each place of the picture has to pick from
# the sentence what concerns it. This is done by {term}`cross-attention`: the largest models that draw from
# words do it as the tiny one below, which we build by hand, train in seconds, and watch while it reads.
#
# You need: [chapter 9](09_classifier_free_guidance.py).

# %%
from itertools import pairwise

import torch
from torch import nn

from demist import networks
from demist.core import X0, Denoiser, Linear, TimeClock
from demist.course import COLOURS, figure, film, say, show
from demist.guidance import CFG
from demist.samplers import DDIM, sample, uniform

torch.set_num_threads(1)  # networks so small are fastest on one core

# %% [markdown]
# ## From words to vectors
#
# A network knows only numbers. So each word gets a number, its place in the {term}`vocabulary`, and is called a
# {term}`token`. (Large models also have tokens for parts of words, so that they can spell what is in no list.) All
# prompts are made equally long: what is missing is filled with the token 0, "nothing".
#
# **Your turn.** Make numbers of a prompt.

# %%
VOCABULARY = ["nothing", "red", "green", "blue", "yellow", "square", "ring", "cross"]


# %% tags=["exercise"]
def tokens(prompt, vocabulary, length):
    """The numbers of the words of a prompt.

    prompt: words with a blank between them, such as "red ring"; may be empty. vocabulary: a list of all words; a word's number is
    its place there, from 0 on. length: how many numbers there shall be: 0 stands where the prompt has ended. Gives a list.
    """
    # <solution>
    numbers = [vocabulary.index(word) for word in prompt.split()]
    return numbers + [0] * (length - len(numbers))
    # </solution>


# %% [markdown]
# The number itself says nothing: "ring" is not twice "blue". So each number stands for a row of a table, a vector that
# {term}`training` finds: the word's {term}`embedding`. But could one not take the mean of all these vectors and tell it to the
# network, as chapter 9 did with one label? No. The mean does not know the order:

# %%
torch.manual_seed(0)
table = nn.Embedding(len(VOCABULARY), 32)
one, other = (
    torch.tensor(tokens(prompt, VOCABULARY, 4))
    for prompt in ("red square blue ring", "blue square red ring")
)
difference = (table(one).mean(0) - table(other).mean(0)).abs().max().item()
say(
    f'"red square blue ring" is {one.tolist()}, "blue square red ring" is {other.tolist()}. Their means differ by **{difference:.0e}**: for who '
    "sees only the mean, it is the same sentence."
)
assert difference < 1e-6

# %% [markdown]
# So all words go to the network, each as a vector of its own, to which another one is added that says at which place of the
# sentence it stands. And each pixel chooses.
#
# ## Attention by hand
#
# Each pixel has a **query** $q$: what it looks for. Each word has a **key** $k$, what it is about, and a **value** $v$,
# what it has to tell. How well the two fit is their product $q \cdot k$. From the products of a pixel with all words
# softmax makes weights that sum to 1, and the pixel takes the mean of the values with these weights:
#
# $$\mathrm{attention}(Q, K, V) = \mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt d}\right) V$$
#
# The rows of $Q$ are the queries of all pixels, those of $K$ and $V$ belong to the words. $d$ is how many numbers a query
# has: products of long vectors are large, and without the root softmax would soon choose one word alone.
#
# **Your turn.** Write it.


# %% tags=["exercise"]
def attend(q, k, v):
    """What each pixel takes from the words, and how much of each.

    q: queries, shape (b, n, d) for n pixels; k: keys, shape (b, m, d) for m words; v: values, shape (b, m, c). Gives two tensors: what is
    taken, shape (b, n, c), and the weights, shape (b, n, m), which sum to 1 over the words.
    """
    # <solution>
    weights = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1)
    return weights @ v, weights
    # </solution>


# %% [markdown]
# In two dimensions one can watch it. Three words have the keys below, and their values are colours. The query, black,
# turns once around; the disc in the middle is what it takes:

# %%
angles = torch.tensor([0.5, 2.6, 4.7])
keys = 1.7 * torch.stack([angles.cos(), angles.sin()], 1)
tones = ["noise", "data", "model"]
values = torch.tensor([[int(COLOURS[c][i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in tones])
frames = []
for angle in torch.linspace(0.5, 0.5 + 2 * torch.pi, 15)[:-1]:
    query = 1.7 * torch.stack([angle.cos(), angle.sin()])
    taken, weights = attend(query.view(1, 1, 2), keys[None], values[None])
    fig, (left, right) = figure(2, height=2.3, width=4.6, width_ratios=[1, 1.2])
    left.quiver(*torch.zeros(2, 3), *keys.T, color=values.tolist(), scale=4.6, width=0.02, zorder=3)
    left.quiver(0, 0, *query, color=COLOURS["truth"], scale=4.6, width=0.02, zorder=3)
    left.plot(0, 0, "o", color=taken[0, 0].tolist(), markersize=40, zorder=1)
    left.set(xlim=(-1, 1), ylim=(-1, 1), xticks=[], yticks=[], aspect="equal", title="keys, query")
    right.bar(["1", "2", "3"], weights[0, 0].tolist(), color=values.tolist())
    right.set(ylim=(0, 1), xlabel="word", title="weights")
    frames.append(fig)
film(
    frames,
    "A black arrow turns past three coloured arrows. The bar of the nearest one is the highest, and the disc in the middle takes on its colour, mixed where two are "
    "equally near.",
    5,
    "text-attention",
)

# %%
_, aligned = attend(query.view(1, 1, 2) * 0 + keys[1], keys[None], values[None])
assert aligned[0, 0].argmax() == 1
assert torch.allclose(attend(torch.zeros(1, 1, 2), keys[None], values[None])[1], torch.ones(3) / 3)

# %% [markdown]
# A query of zeros fits all alike and takes the plain mean.
#
# ## A world that words describe
#
# The pictures have 8 x 16 pixels: a thing on the left, a thing on the right. The prompt names the left one first. How bright each is
# the prompt does not say: this is left to the noise. There are 4 colours and 3 shapes, so 12 things. **Two of them,
# the yellow cross and the green ring, are in no training picture.**

# %%
COLOUR = torch.tensor([[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, -1]]).float()


def shapes():
    """Square, ring and cross, (3, 8, 8): 1 where there is light."""
    x = torch.zeros(3, 8, 8)
    x[:2, 1:7, 1:7] = 1
    x[1, 3:5, 3:5] = 0
    x[1, [1, 1, 6, 6], [1, 6, 1, 6]] = 0
    x[2, 3:5, 1:7] = x[2, 1:7, 3:5] = 1
    return x


SHAPE = shapes()
every = torch.cartesian_prod(torch.arange(4), torch.arange(3))
secret = torch.tensor([[3, 2], [1, 1]])
known = torch.stack([one for one in every if one.tolist() not in secret.tolist()])


def half(thing, bright):
    """Things (n, 2), as numbers of colour and shape, as pictures (n, 3, 8, 8); bright: (n,), from 0 to 1."""
    light = SHAPE[thing[:, 1], None] * bright[:, None, None, None]
    return light * (COLOUR[thing[:, 0], :, None, None] + 1) - 1


def scene(left, right):
    """Pictures (n, 3, 8, 16) and the four tokens of their prompts, (n, 4)."""
    bright = 0.5 + 0.5 * torch.rand(2, len(left))
    words = torch.stack([left[:, 0] + 1, left[:, 1] + 5, right[:, 0] + 1, right[:, 1] + 5], 1)
    return torch.cat([half(left, bright[0]), half(right, bright[1])], 3), words


def pick(things, n):
    return things[torch.randint(len(things), (n,))]


def prompt_of(words):
    return " ".join(VOCABULARY[word] for word in words.tolist())


def grid(axes, pictures, words=None):
    for i, (ax, x) in enumerate(zip(axes.flat, pictures, strict=True)):
        ax.imshow((x.permute(1, 2, 0).clamp(-1, 1) + 1) / 2, interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        if words is not None:
            ax.set_title(words[i], fontsize=9, loc="center")
        ax.grid(False)


torch.manual_seed(0)
x, words = scene(pick(known, 4), pick(known, 4))
fig, axes = figure(2, 2, height=2.9, width=4.8)
grid(axes, x, [prompt_of(one) for one in words])
show(
    fig,
    "Four small pictures, each with two coloured things side by side, and above each the prompt that names them.",
    "text-world",
)

# %% [markdown]
# ## The network
#
# The picture is cut into 4 x 8 patches of 2 x 2 pixels, each a vector. Then three parts, each of which adds to it what it finds: the
# patches ask the **words** (cross-attention); the patches ask **each other** (self-attention: the same function, with the
# patches in place of the words), so that a thing is equally bright everywhere; and a small network for each
# patch by itself. Our layer has the form and the names of the library's.


# %%
class Cross(nn.Module):
    def __init__(self, channels, told):
        super().__init__()
        self.group_norm = nn.GroupNorm(channels // 16, channels)
        self.to_q, self.to_kv = nn.Linear(channels, channels), nn.Linear(told, 2 * channels)
        self.to_out = nn.Linear(channels, channels)
        nn.init.zeros_(self.to_out.weight)

    def forward(self, h, told):
        """h: pixels, (b, n, channels); told: words, (b, m, told). Gives h's shape."""
        q = self.to_q(self.group_norm(h.transpose(1, 2)).transpose(1, 2))
        k, v = self.to_kv(told).chunk(2, 2)
        found, self.weights = attend(q, k, v)
        return h + self.to_out(found)


class Reader(nn.Module):
    def __init__(self, width=48, words=32):
        super().__init__()
        self.word = nn.Embedding(len(VOCABULARY), words)
        self.order = nn.Parameter(torch.randn(4, words) / 2)  # where in the sentence
        self.place = nn.Parameter(torch.randn(32, width) / 2)  # where in the picture
        self.waves = 30 * 1000 ** (-torch.arange(8) / 8)
        self.time = nn.Sequential(nn.Linear(16, width), nn.SiLU(), nn.Linear(width, width))
        self.enter, self.words = nn.Linear(12, width), Cross(width, words)
        self.each_other = Cross(width, width)
        self.alone = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.SiLU(), nn.Linear(3 * width, width)
        )
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 12))

    def forward(self, x, t, words):
        """Noisy pictures (b, 3, 8, 16), times (b,), tokens (b, 4). Gives the guess of the clean pictures."""
        h = self.enter(nn.functional.pixel_unshuffle(x, 2).flatten(2).transpose(1, 2))
        angle = t[:, None] * self.waves.to(t)
        h = h + self.place + self.time(torch.cat([angle.cos(), angle.sin()], 1))[:, None]
        h = self.words(h, self.told(words))
        h = self.each_other(h, h)
        h = h + self.alone(h)
        return nn.functional.pixel_shuffle(self.leave(h).transpose(1, 2).unflatten(2, (4, 8)), 2)

    def told(self, words):
        return self.word(words) + self.order


# %% [markdown]
# Training is that of chapter 9: in one of ten cases the whole prompt is hidden, and four times "nothing" stands there.

# %%
torch.manual_seed(0)
net, STEPS = Reader(), 320
optimizer = torch.optim.AdamW(net.parameters(), lr=8e-3, betas=(0.9, 0.95), fused=True)
rate = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, 8e-3, STEPS, pct_start=0.1, cycle_momentum=False
)
for _ in range(STEPS):
    x0, words = scene(pick(known, 32), pick(known, 32))
    words = torch.where(torch.rand(32, 1) < 0.1, 0, words)
    eps, t = torch.randn_like(x0), torch.rand(32)
    mix = t[:, None, None, None]
    loss = (net((1 - mix) * x0 + mix * eps, t, words) - x0).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    rate.step()
net.eval().requires_grad_(False)
say(f"{sum(p.numel() for p in net.parameters()):,} weights; the last loss is {loss.item():.3f}.")


def draw(start, words, scale=1.0, steps=12):
    """The picture, and on the way to it: time, state, clean guess, weights. Guidance leads away from the guess without words."""
    x, nothing, path = start, torch.zeros_like(words), []
    for t, s in pairwise(torch.linspace(1, 0, steps + 1).tolist()):
        time = torch.full((len(x),), t)
        without = net(x, time, nothing)
        x0 = without + scale * (net(x, time, words) - without)  # asked last: its weights are kept
        path.append((t, x, x0, net.words.weights))
        x = (1 - s) * x0 + s * (x - (1 - t) * x0) / t
    return x, path


# %% [markdown]
# ## Watch it read
#
# Left the state, right the guess of the clean picture; below, for each word, how much each patch takes from it (bright is
# much). The prompt names two things of which one, the green ring, was in no training picture.

# %%
sentence = "green ring blue cross"
asked = torch.tensor([tokens(sentence, VOCABULARY, 4)])
torch.manual_seed(3)
last, path = draw(torch.randn(1, 3, 8, 16), asked, 2.0, steps=14)
frames = []
for t, x, x0, weights in [*path, (0.0, last, last, path[-1][3])]:
    fig, axes = figure(2, 3, height=3.3, width=4.6)
    grid(axes[0], [x[0], x0[0]])
    axes[0, 0].set_title(f"t = {t:.2f}")
    axes[0, 1].set_title("clean guess")
    for ax, word, taken in zip(axes[1:].flat, sentence.split(), weights[0].T, strict=True):
        ax.imshow(taken.view(4, 8), vmin=0, vmax=1, cmap="magma", interpolation="nearest")
        ax.set(xticks=[], yticks=[], title=word)
        ax.grid(False)
    frames.append(fig)
film(
    frames,
    "Noise becomes a green ring on the left and a blue cross on the right. Below, the maps of the four words: those of the first two are bright on the left half, those "
    "of the last two on the right half.",
    5,
    "text-maps",
)

# %%
torch.manual_seed(4)
x, words = scene(pick(known, 200), pick(known, 200))
net(torch.randn_like(x), torch.ones(200), words)
of_side = net.words.weights.mean(0).view(4, 2, 4, 2, 2).sum(-1).mean((0, 2))  # side, thing
say(
    f"Patches on the left take **{of_side[0, 0]:.0%}** from the two words of the first thing, patches on the right **{of_side[1, 1]:.0%}** from "
    "those of the second. Nobody has told them: there was a picture, a prompt, and a squared error."
)
assert of_side[0, 0] > 0.85
assert of_side[1, 1] > 0.85

# %% [markdown]
# A map is a hint, and no proof. The proof is to change a word and see what changes. The same noise, one word another:

# %%
sentences = ["red square blue ring", "green square blue ring"]
sentences += ["red cross blue ring", "red square blue square"]
swaps = torch.tensor([tokens(one, VOCABULARY, 4) for one in sentences])
torch.manual_seed(5)
starts = torch.randn(50, 3, 8, 16)
drawn = torch.stack([draw(starts, row.expand(50, 4), 1.5)[0] for row in swaps])
fig, axes = figure(2, 2, height=2.9, width=4.8)
grid(axes, drawn[:, 0], sentences)
show(
    fig,
    "Four pictures from one noise: red square and blue ring; green square instead; red cross instead; blue square instead of the ring. The other thing stays.",
    "text-swaps",
)

# %%
change = (drawn[1:] - drawn[:1]).square().mean((1, 2, 3)).view(3, 2, 8).mean(2)  # word, side
say(
    f"Another word of the first thing changes the left half by {change[0, 0]:.2f} and {change[1, 0]:.2f}, the right one by {change[0, 1]:.3f} and {change[1, 1]:.3f}; another "
    f"word of the second thing changes the right half by {change[2, 1]:.2f}, the left one by {change[2, 0]:.3f} (mean squared, 50 noises)."
)
assert change[:2, 0].min() > 5 * change[:2, 1].max()
assert change[2, 1] > 5 * change[2, 0]

# %% [markdown]
# ## What it has never seen
#
# Since the pictures are made by code, a judge is easy and exact: which of the 12 things, in which of some brightnesses, is
# each half nearest to? A picture counts if **all four words** are right. Prompts of things that it knows, against
# prompts with a yellow cross or a green ring in them; and how strongly the words lead ({term}`guidance scale`):

# %%
levels = torch.linspace(0.5, 1, 6)
shown = torch.cat([half(every, torch.full((12,), float(level))) for level in levels]).flatten(1)


def read(x):
    """The four words that say what is in a picture."""
    found = []
    for side in (x[..., :8], x[..., 8:]):
        thing = every[torch.cdist(side.flatten(1), shown).argmin(1) % 12]
        found += [thing[:, 0] + 1, thing[:, 1] + 5]
    return torch.stack(found, 1)


torch.manual_seed(6)
N, SCALES = 200, (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
real, in_real = scene(pick(every, N), pick(every, N))
assert torch.equal(read(real), in_real)
prompts = {"seen": scene(pick(known, N), pick(known, N))[1]}
prompts["unseen"] = torch.cat(
    [
        scene(pick(secret, N // 2), pick(known, N // 2))[1],
        scene(pick(known, N // 2), pick(secret, N // 2))[1],
    ]
)
starts = torch.randn(N, 3, 8, 16)
right = {
    name: [
        float((read(draw(starts, asked, scale)[0]) == asked).all(1).float().mean())
        for scale in SCALES
    ]
    for name, asked in prompts.items()
}
fig, ax = figure(height=2.7, width=4.8)
for (name, shares), tone in zip(right.items(), ("data", "noise"), strict=True):
    ax.plot(
        SCALES, [100 * share for share in shares], "o-", color=COLOURS[tone], label=f"{name} things"
    )
ax.set(xlabel="guidance scale", ylabel="all four words right, %", ylim=(-4, 104))
ax.legend(loc="lower right")
show(
    fig,
    "The share of pictures with all words right against the guidance scale: 0 without guidance; with growing scale nearly all, for seen things sooner than for unseen ones.",
    "text-unseen",
)

# %%
seen, unseen = (dict(zip(SCALES, right[name], strict=True)) for name in ("seen", "unseen"))
say(
    f"At the scale 1 **{seen[1.0]:.0%}** of the pictures of seen things are right, and **{unseen[1.0]:.0%}** of those with an unseen one; at 2 it is {seen[2.0]:.0%} and "
    f"**{unseen[2.0]:.0%}**. Without the words, at 0, {seen[0.0]:.1%}: chance gives {1 / 144:.1%}."
)
assert seen[1.0] > 0.9
assert unseen[1.0] > 0.4
assert unseen[2.0] > max(0.7, unseen[1.0] - 0.02)
assert max(seen[0.0], unseen[0.0]) < 0.1

# %% [markdown]
# It draws what it has never seen, since the colour comes from one word and the shape from another. This is why models
# can draw an astronaut on a horse. And it is a matter of luck how far that goes: two words that always came together in training
# cannot be told apart by anyone.
#
# ## The same with the library
#
# The layer first. The library's `CrossAttention` takes our weights, and must give our numbers; `attention_maps` shows the
# weights of any network of the library while it works.

# %%
layer = networks.CrossAttention(48, 32, head_dim=48, norm_groups=3)
layer.load_state_dict(net.words.state_dict())
h = torch.randn(8, 48, 4, 8)
told = net.told(prompts["seen"][:8])
with networks.attention_maps(layer) as maps, torch.no_grad():
    theirs = layer(h, networks.Routed(tokens=told)).flatten(2).transpose(1, 2)
ours = net.words(h.flatten(2).transpose(1, 2), told)
(kept,) = maps.values()
assert torch.allclose(theirs, ours, atol=1e-5)
assert torch.allclose(kept[:, 0], net.words.weights, atol=1e-6)
say(
    f"`CrossAttention`: the largest difference is {(theirs - ours).abs().max():.0e}, of the maps {(kept[:, 0] - net.words.weights).abs().max():.0e}."
)

# %% [markdown]
# Then the whole walk with guidance: `Denoiser` reads our network (it guesses $x_0$ and sees $t$), `CFG` is guidance, and its null
# is a prompt of nothing.

# %%
model = CFG(
    Denoiser(net, Linear(), X0(), clock=TimeClock()).eval(),
    2.0,
    lambda cond: {"words": torch.zeros_like(cond["words"])},
)
theirs = sample(model, starts[:16], uniform(12), DDIM(), words=prompts["unseen"][:16])
ours, _ = draw(starts[:16], prompts["unseen"][:16], 2.0)
assert torch.allclose(theirs, ours, atol=1e-3)
say(
    f"Sixteen pictures with guidance: the largest difference is **{(theirs - ours).abs().max():.0e}**."
)

# %% [markdown]
# ## What to remember
#
# - A word becomes a token, a token a vector. Their mean would lose the order.
# - Cross-attention: each place of the picture asks, each word answers, softmax weighs.
#   $\mathrm{softmax}(QK^\top/\sqrt d)\,V$.
# - The weights are maps of which word went where. Changing a word is the proof.
# - What each word does is learned once; so combinations that were never seen can be drawn. Measure how often.
# - Guidance makes words count more, as it did for labels.
#
# On the page Denoise of `demist studio` a model with a prompt shows these maps, step by step.
#
# ## Where to read on
#
# - Vaswani et al. 2017, *Attention Is All You Need*: the formula, and networks made of it.
# - Rombach et al. 2021, *High-Resolution Image Synthesis with Latent Diffusion Models*: cross-attention in a U-Net, as here.
# - Hertz et al. 2022, *Prompt-to-Prompt Image Editing with Cross Attention Control*: editing by keeping the maps.
# - Radford et al. 2021, *Learning Transferable Visual Models From Natural Language Supervision*: the {term}`text encoder` of many models.
#
# **Your answer**: `demist learn text-and-cross-attention --exercise` writes this elective without the solutions, and
# `demist learn text-and-cross-attention --check FILE` says whether yours are right.
