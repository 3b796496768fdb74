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
# # Sounds: pictures that can be heard
#
# **How can a model that draws pictures make sounds?** By drawing a picture of the sound. Half a second of sound is some thousand
# numbers, one after another, and hardly any of them says anything by itself. Its {term}`spectrogram`, a picture with the time to
# the right and the pitch upwards, is what a musician can read. A model learns to draw it, and then we have to find the way back.
#
# You need: [chapter 4](04_ddpm.py).

# %%
import base64
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from demist.codecs import LogMel
from demist.codecs.mel import edges
from demist.core import X0, Denoiser, Linear, TimeClock
from demist.course import COLOURS, figure, film, say, show
from demist.data.sounds.write import wav_bytes
from demist.samplers import DDIM, sample, uniform

torch.set_num_threads(1)  # networks so small are fastest on one core
RATE, LENGTH, KINDS = 8000, 4096, ("rising", "falling", "bell")

# %% [markdown]
# ## Three kinds of sounds, made by code
#
# A tone that rises by an octave, one that falls by an octave, and a bell: three tones that fade. Where it begins, and how
# fast it fades, is by chance. A sound is a row of pressures between -1 and 1, here 8000 for each second.


# %%
def make(kind, generator):
    """Half a second of sound, shape (4096,)."""
    u, v = torch.rand(2, generator=generator)
    time = torch.arange(LENGTH) / RATE
    low = 300 * 2 ** (1.5 * u)
    if kind < 2:
        bend = time / time[-1]
        pitch = low * 2 ** (bend if kind == 0 else 1 - bend)
        wave = torch.sin(2 * torch.pi * pitch.cumsum(0) / RATE) * (time * 60).clamp(max=1)
    else:
        wave = torch.zeros(LENGTH)
        for i, ratio in enumerate((1.0, 2.4, 4.1)):
            loud = torch.exp(-(3 + 4 * v + 3 * i) * time) * (0.6, 0.25, 0.15)[i]
            wave = wave + loud * torch.sin(2 * torch.pi * low * ratio * time)
    return 0.6 * wave * ((time[-1] - time) * 60).clamp(max=1)


generator = torch.Generator().manual_seed(0)
labels = torch.arange(1500) % 3
waves = torch.stack([make(int(k), generator) for k in labels])


class Listen:
    """A sound that can be played where the page is read."""

    def __init__(self, wave, words):
        file = base64.b64encode(wav_bytes(wave.numpy(), RATE)).decode()
        self.page = f'<p>{words}: <audio controls aria-label="{words}" src="data:audio/wav;base64,{file}"></audio></p>'

    def _repr_html_(self):
        return self.page


def in_turn(waves):
    """Sounds one after another, with a pause between them."""
    return torch.cat([F.pad(wave, (0, 1500)) for wave in waves])


Listen(in_turn(waves[:3]), "A rising tone, a falling tone, a bell")

# %% [markdown]
# ## The picture of a sound
#
# Cut the sound into short pieces that overlap, and ask of each which tones are in it, and how loud: that is the short-time
# Fourier transform. It gives a complex number for each tone: its length is the loudness, its angle is the {term}`phase`, where in
# its swing the tone is. Keep the lengths. Then three things that the ear does, too: add up neighbouring tones in
# **bands** that are narrow for low tones and wide for high ones (the {term}`mel scale`), take the **logarithm**, since
# twice as loud is one step more, and centre and scale all.

# %%
HOP, WINDOW, BANDS, FLOOR = 128, 512, 32, 0.01
ends = torch.tensor(edges(RATE, BANDS))[:, None]
low, top, high = ends[:-2], ends[1:-1], ends[2:]
tones = torch.arange(WINDOW // 2 + 1) * RATE / WINDOW
sides = torch.minimum((tones - low) / (top - low), (high - tones) / (high - top))
triangles = (sides.clamp(min=0) * 2 / (high - low)).float()  # (bands, tones)


def spectra(wave):
    """Complex numbers (n, tones, times) of sounds (n, samples)."""
    hann = torch.hann_window(WINDOW)
    return torch.stft(wave, WINDOW, HOP, window=hann, pad_mode="constant", return_complex=True)


logs = (triangles @ spectra(waves)[..., :-1].abs() + FLOOR).log()
mean, std = logs.mean(), logs.std()
pictures = (logs - mean) / std


def draw(ax, picture, title=""):
    """Time to the right, low tones below, loud is bright."""
    ax.imshow(picture, origin="lower", aspect="auto", vmin=-1.5, vmax=3, extent=(0, 512, 0, BANDS))
    ax.set(title=title, yticks=[])
    ax.grid(visible=False)


fig, axes = figure(3, 2, height=3.6)
for (above, below), wave, picture, kind in zip(axes.T, waves, pictures, KINDS, strict=False):
    above.plot(torch.arange(LENGTH) / RATE * 1000, wave, color=COLOURS["data"], linewidth=0.3)
    above.set(title=kind, ylim=(-0.7, 0.7), xticks=[], yticks=[])
    draw(below, picture)
    below.set_xlabel("milliseconds")
axes[0, 0].set_ylabel("pressure")
axes[1, 0].set_ylabel("pitch (32 bands)")
show(
    fig,
    "Above three sounds as curves that look like bars of ink; below their pictures: a bright line that rises, one that falls, and three level lines that fade.",
    "sounds-pictures",
)

# %% [markdown]
# The curves above hide everything; the pictures below show it. This is what the library's `LogMel` makes:

# %%
codec = LogMel(RATE, HOP, WINDOW, BANDS, floor=FLOOR, mean=float(mean), std=float(std))
assert torch.allclose(codec.encode(waves[:, None])[:, 0], pictures, atol=1e-3)
say(
    f"{LENGTH} numbers of sound became {BANDS} x {pictures.shape[2]} = **{pictures[0].numel()}** numbers of a picture, as those of `LogMel` to "
    f"{(codec.encode(waves[:, None])[:, 0] - pictures).abs().max():.0e}."
)

# %% [markdown]
# ## The way back: phases
#
# The lengths are there, the angles are gone. But not all angles go together: the pieces overlap, and where they do, they
# must tell the same sound. Griffin and Lim (1984) make use of that. Begin with any angles. Make the sound, take *its*
# spectra: their angles fit together, but their lengths are no longer those we want. So put our lengths back, keep the new
# angles, and repeat.
#
# **Your turn.** Write the step that puts the lengths back.


# %% tags=["exercise"]
def put_back(lengths, found):
    """Complex numbers with the given lengths and the angles of what was found.

    lengths: real numbers of at least 0, any shape; found: complex numbers of that shape. Where `found` is 0 it has no
    angle: take 0 there (`torch.angle` does). Gives complex numbers of the same shape.
    """
    # <solution>
    return torch.polar(lengths, found.angle())
    # </solution>


# %%
real = spectra(waves[:30])
lengths = real.abs()
torch.manual_seed(0)
state = put_back(lengths, torch.randn_like(real))
missing, tried = [], []
for _ in range(61):
    wave = torch.istft(state, WINDOW, HOP, window=torch.hann_window(WINDOW), length=LENGTH)
    found = spectra(wave)
    missing.append(float((found.abs() - lengths).norm() / lengths.norm()))
    tried.append(wave[0])
    state = put_back(lengths, found)

fig, ax = figure(height=2.4)
ax.plot(missing, color=COLOURS["model"])
ax.set(
    xlabel="rounds",
    ylabel="error of the lengths",
    ylim=(0, None),
    title="30 sounds, from phases by chance",
)
show(fig, "The error falls steeply in the first ten rounds, then slowly.", "sounds-phases")

# %%
say(
    f"The error of the lengths falls from **{missing[0]:.0%}** to **{missing[-1]:.0%}** in 60 rounds. The ear hears it at once:"
)
assert missing[-1] < 0.45 * missing[0]
assert all(b < a + 1e-4 for a, b in pairwise(missing))  # it never gets worse
Listen(
    in_turn([tried[0], tried[3], tried[60], waves[0]]),
    "After 0, 3 and 60 rounds, then the true sound",
)

# %% [markdown]
# `LogMel.decode` does that, in a faster form; before, it looks for lengths of all tones that give those of the bands.
#
# ## A model that draws them
#
# From here on nothing is new: pictures, noise, a squared error, a network that is told the time and the kind. It says the
# clean picture and not the noise: noise is 1024 numbers that know nothing of each other, and would not fit through the 256
# in the middle of this network. Three kinds of lines do. The velocity follows from the guess: $(x_t - \hat x_0)/t$.


# %%
class Draws(nn.Module):
    """From noisy pictures (n, 1024), times and kinds to the best guess of the clean ones."""

    def __init__(self, size=BANDS * 32, width=256):
        super().__init__()
        self.into, self.time = nn.Linear(size, width), nn.Linear(1, width)
        self.kind = nn.Embedding(3, width)
        inner = [nn.Sequential(nn.SiLU(), nn.Linear(width, width)) for _ in range(2)]
        self.layers = nn.Sequential(*inner, nn.SiLU(), nn.Linear(width, size))

    def forward(self, x, t, kind):
        return self.layers(self.into(x) + self.time(t.to(x.dtype)[:, None]) + self.kind(kind))


torch.manual_seed(0)
net, flat, STEPS = Draws(), pictures.flatten(1), 1000
optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
falling_rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
for _ in range(STEPS):
    rows, t = torch.randint(len(flat), (64,)), torch.rand(64)
    noisy = (1 - t[:, None]) * flat[rows] + t[:, None] * torch.randn(64, flat.shape[1])
    loss = (net(noisy, t, labels[rows]) - flat[rows]).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    falling_rate.step()

asked, N = torch.arange(60) % 3, 30
states = [torch.randn(60, flat.shape[1])]
with torch.no_grad():
    for i in range(N):
        t, x = torch.full((60,), 1 - i / N), states[-1]
        states.append(x - (x - net(x, t, asked)) / t[:, None] / N)

frames = []
for i in range(0, N + 1, 3):
    fig, axes = figure(3, height=2.1, sharey=True)
    for ax, x, kind in zip(axes, states[i], KINDS, strict=False):
        draw(ax, x.reshape(BANDS, -1), kind)
        ax.set_xlabel("milliseconds")
    axes[0].set_ylabel("pitch")
    frames.append(fig)
film(
    frames,
    "Three noisy pictures become a rising line, a falling line and three level lines that fade.",
    4,
    "sounds-film",
)

# %%
heard = codec.decode(states[-1].reshape(60, 1, BANDS, -1))[:, 0]
Listen(in_turn(heard[:6]), "Six sounds of the model: rising, falling, bell, and once more")

# %% [markdown]
# The library's loop gives the same pictures. And are the *sounds* what was asked for? We need no ears for that: the
# loudest tone at the beginning and at the end says whether a sound rises, falls or stays.

# %%
model = Denoiser(net, Linear(), X0(), clock=TimeClock()).eval()
with torch.no_grad():
    theirs = sample(model, states[0], uniform(N), DDIM(), kind=asked)
assert torch.allclose(theirs, states[-1], atol=1e-3)


def judged(wave):
    """0, 1 or 2: by how many octaves the loudest tone moves, from the first third to the last."""
    loudest = spectra(wave)[:, 3:].abs().argmax(1) + 3  # (n, times); the lowest tones are left out
    octaves = (loudest[:, 24:30].median(1).values / loudest[:, 3:9].median(1).values).log2()
    return torch.where(octaves > 0.3, 0, torch.where(octaves < -0.3, 1, 2))


real, made = (float((judged(x) == k).float().mean()) for x, k in ((waves, labels), (heard, asked)))
say(
    f"The largest difference to the library's loop is {(theirs - states[-1]).abs().max():.0e}. Of 60 sounds **{made:.0%}** do what was asked for; of the "
    f"real ones {real:.0%} do what their name says."
)
assert real > 0.97
assert made > 0.9

# %% [markdown]
# ## What to remember
#
# - The picture of a sound: short pieces, the lengths of their spectra, bands as the ear has them, the logarithm.
# - To a model that is a picture. Schedule, loss and steps stay.
# - The phases are lost, and are found again by asking that overlapping pieces tell one sound.
# - What a model of sounds makes is judged by what is heard, after the way back.
#
# ## Where to read on
#
# - Griffin & Lim 1984, *Signal estimation from modified short-time Fourier transform*: the way back, in four pages.
# - Liu et al. 2023, *AudioLDM*: sounds from words, in the latents of such pictures.
# - Kong et al. 2020, *DiffWave*: the other way, diffusion on the samples themselves.
# - [Sound](../docs/sound.md): recordings of your own, drums and melodies; `demist demo --kind sounds` trains a model of ten instruments
#   in a minute and writes WAV files.
#
# **Your answer**: `demist learn sounds --exercise` writes this chapter without the solution, and
# `demist learn sounds --check FILE` says whether yours is right.
