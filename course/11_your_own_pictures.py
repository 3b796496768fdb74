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
# # 11 · Your own pictures
#
# **How do you get from a folder of pictures to a model that you can trust?** You know all the parts now: noise,
# denoiser, schedule, solver, guidance, measures. This chapter puts them together. It makes a folder, such as you may have one, and
# needs three commands: one trains, one draws, one measures. Then it looks at what stands behind them.
#
# You need: the chapters before; at least [chapter 4](04_ddpm.py), [9](09_classifier_free_guidance.py) and
# [10](10_evaluation.py).

# %%
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import demist
from demist.cli import main
from demist.course import COLOURS, figure, film, say, show
from demist.data import load
from demist.runs import find

torch.set_num_threads(1)  # networks so small are fastest on one core
os.chdir(tempfile.mkdtemp())  # all that follows is written there

# %% [markdown]
# ## A folder
#
# Any folder of pictures will do. Sub-folders are classes; captions or more columns would stand in a file `metadata.csv`. Ours has
# 3,000 handwritten digits, a sub-folder for each of the ten.

# %%
found = load("digits")
count = dict.fromkeys(range(10), 0)
for pixels, label in zip(found.x, found.labels, strict=True):
    if count[int(label)] < 300:
        place = Path("pictures") / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[0, 2:26, 2:26]).save(place / f"{count[int(label)]:03d}.png")
        count[int(label)] += 1
say(f"{sum(count.values()):,} files in {len(list(Path('pictures').iterdir()))} folders.")

# %% [markdown]
# ## Before anything else: what is kept apart
#
# You cannot say how good a model is by pictures that it has learned from: a copier would win ([chapter 10](10_evaluation.py)). So some
# pictures are **held out**: never trained on, only compared with. Two things matter. The choice must be by
# chance, since files are often sorted. And each class must give its share, or a rare class may be missing on one
# side.
#
# **Your turn.** Write the choice.


# %% tags=["exercise"]
def hold_out(labels, share, seed):
    """Which pictures are held out: of each class the given share, by chance.

    labels: a NumPy array of class numbers, shape (n,), in any order; share: between 0 and 1; seed: a number; the same one
    gives the same choice. Gives an array of n booleans, True for what is held out. Of a class of m pictures
    round(m * share) are held out.
    """
    # <solution>
    draw = np.random.default_rng(seed)
    held = np.zeros(len(labels), bool)
    for one in np.unique(labels):
        rows = draw.permutation(np.flatnonzero(labels == one))
        held[rows[: round(len(rows) * share)]] = True
    return held
    # </solution>


# %%
labels = np.repeat(np.arange(10), 300)
held = hold_out(labels, 0.1, seed=0)
say(f"Held out: {held.sum()} of {len(labels)}, of each class {np.bincount(labels[held]).tolist()}.")
assert (np.bincount(labels[held]) == 30).all()

# %% [markdown]
# `demist train` does the same by itself where the folder has no part called `test`, and says so.
#
# ## First command: train
#
# In a terminal you would type what stands behind the `$`. Here a function does that. Pictures of 8 x 8 pixels and 40 seconds of one
# core are enough to see the whole way; with more of both nothing else changes.


# %%
def terminal(line):
    """Type a command."""
    print(f"$ {line}\n", flush=True)
    code = main(line.split()[1:])
    assert code == 0, f"exit code {code}"


terminal("demist train pictures --size 8 --budget 40s --threads 1 --sample-every 5s --name mine")

# %% [markdown]
# Read the first paragraph again: it says what was understood of your folder. If a sentence in it is not what you meant, stop there: every
# later figure would be about something else.
#
# All that the run did lies in one folder. The loss is there for each noise level and step; and pictures, drawn now and then
# from the same noise. So one can watch the model learn:

# %%
run = find("latest", Path("runs")).path
sheets = sorted((run / "samples").glob("*.png"))
frames = [Image.open(path).convert("RGB") for path in sheets]
smallest = (min(f.width for f in frames), min(f.height for f in frames))
frames = [frame.crop((0, 0, *smallest)) for frame in frames]
film(
    frames,
    "Samples from the same noise as training goes on: snow becomes blots, blots become digits.",
    6,
    "11-learning",
)

# %%
rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
rows = [row for row in rows if "loss" in row]
fig, ax = figure(height=2.4)
ax.plot(
    [row["seconds"] for row in rows],
    [row["loss"] for row in rows],
    color=COLOURS["truth"],
    linewidth=1.4,
)
ax.set(xlabel="seconds", ylabel="loss", yscale="log")
show(fig, "The loss falls steeply in the first seconds and slowly afterwards.", "11-loss")

# %%
say(
    f"The loss went from {rows[0]['loss']:.2f} to **{rows[-1]['loss']:.2f}** in {rows[-1]['step']} steps."
)
assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]

# %% [markdown]
# ## Second command: draw

# %%
terminal("demist sample latest --n 40 --guidance 2 --steps 12 --seed 0 --out drawn.png")
picture = Image.open("drawn.png")
show(picture, "Ten rows of small digits that the model drew, from 0 to 9.", "11-drawn")

# %% [markdown]
# A picture carries what makes it again, seed, model and command, so that none is ever lost:

# %%
print("\n".join(f"{key}: {str(value)[:90]}" for key, value in sorted(picture.text.items())))

# %% [markdown]
# ## Third command: measure

# %%
terminal("demist evaluate latest --n 600")

# %% [markdown]
# Read it line by line, with [chapter 10](10_evaluation.py) beside it. The column "real" has held-out pictures in place of the model's: what
# a perfect model would get. "±" is the spread over three sets of samples.

# %%
words = (run / "evaluation.md").read_text()
right = float(
    next(line for line in words.splitlines() if line.startswith("| label accuracy"))
    .split("|")[2]
    .split("±")[0]
)
say(
    f"A judge sees the digit that was asked for in **{right:.0%}** of the samples; by chance it would be 10 %."
)
assert right > 0.4

# %% [markdown]
# ## The same with the library
#
# The commands are thin: each calls a function that you can call, too. A sample from Python is the same, to the last
# bit, as one from the command line:

# %%
pipeline = demist.Pipeline.from_run(run)
mine = pipeline.sample(4, label="3", guidance=2.0, steps=12, seed=7)
terminal("demist sample latest --class 3 --n 4 --guidance 2 --steps 12 --seed 7 --out threes.png")
theirs = np.asarray(Image.open("threes.png").convert("L"))
height, width = theirs.shape
same = []
for one in np.asarray(mine):
    large = one[0].repeat(8, 0).repeat(8, 1)  # the image shows each pixel as 8 x 8
    corners = ((y, x) for y in range(height - 63) for x in range(width - 63))
    same.append(any((theirs[y : y + 64, x : x + 64] == large).all() for y, x in corners))
say(
    f"{sum(same)} of 4 pictures of the function stand in the image that the command wrote, pixel by pixel."
)
assert all(same)

# %% [markdown]
# ## What next?
#
# - **Better**: more time (`demist train --resume latest --budget 10m`), then larger pictures (`--size`).
# - **By words**: captions in `metadata.csv`, and `demist sample latest --prompt "..."`.
# - **Larger at less cost**: `--recipe latent`.
# - **Look inside**: `demist studio`.
#
# ## What to remember
#
# - Keep pictures apart before you train, by chance and class by class.
# - Read what the program understood before you read what it measured.
# - Three commands: `train`, `sample`, `evaluate`. Each says what it did, and leaves all of it on the disk.
# - A figure without real data beside it, and without its spread, is no figure.
#
# ## Where to read on
#
# - [Nothing is lost](../docs/nothing-is-lost.md): runs that stop, resume and share machines.
# - [Latents](../docs/latents.md) and [conditions](../docs/conditions.md): the same for larger pictures, and for words.
# - Karras et al. 2024, *Analyzing and Improving the Training Dynamics of Diffusion Models*: what matters when the budget is large.
#
# **Your answer**: `demist learn 11 --exercise` writes this chapter without the solution, and
# `demist learn 11 --check FILE` says whether yours is right.
