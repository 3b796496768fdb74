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
# # 5 · Noise schedules
#
# **Does it matter how fast the noise comes?** In the end all data is noise, whichever way it went there. Yet papers
# argue about linear, cosine and sigmoid schedules. This chapter looks at where each of them spends its time, trains
# networks with all three, and says honestly which differences are real and which are chance. It is exercise 3 of
# the field.
#
# You need: [chapter 2](02_destroying_data.py) and [chapter 4](04_ddpm.py).

# %%
import math
from itertools import pairwise

import torch

from demist.core import CosineTable, Gaussian, LinearTable, Sigmoid, Table
from demist.core.exact import Exact, Mixture
from demist.course import COLOURS, figure, film, live, record, say, show
from demist.data import load
from demist.samplers import DDIM, uniform
from demist.samplers import sample as library_sample

torch.set_num_threads(1)  # networks so small are fastest on one core

# %% [markdown]
# ## Three schedules
#
# A {term}`noise schedule` is a falling curve: $\bar\alpha(t)$, the share of the variance that is still data. **It
# is 1 at $t = 0$ (data) and nearly 0 at $t = 1$ (noise).** In between one may choose:
#
# - **Linear** (Ho et al. 2020): the betas grow evenly. $\bar\alpha$ is what follows from it.
# - **Cosine** (Nichol & Dhariwal 2021): $\bar\alpha$ itself is a squared cosine, so that it falls
#   evenly through the middle.
# - **Sigmoid** (Jabri et al. 2022): $\bar\alpha$ is an S-shaped curve, which falls slowly at both ends.
#
# The cosine and the sigmoid are given as $\bar\alpha$. Who walks in steps needs the betas. Since $\bar\alpha_i$ is the
# product of all $1 - \beta$ up to step $i$, one gets $\beta_i$ back from two neighbours. The last beta
# would be 1 (nothing of the data left), and then nothing can be undone; so betas are cut at 0.999.
#
# **Your turn.** Write it.


# %% tags=["exercise"]
def betas_of(alpha_bar):
    """The variances of the steps that have these products.

    alpha_bar: shape (T + 1,), falling, the first is 1 (no step is done yet), the last may be 0.
    Gives shape (T,), each at most 0.999.
    """
    # <solution>
    betas = 1 - alpha_bar[1:] / alpha_bar[:-1]
    return betas.clamp(max=0.999)
    # </solution>


# %%
T = 1000
t = torch.linspace(0, 1, T + 1, dtype=torch.float64)
cosine = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
curve = torch.sigmoid(-3 + 6 * t)
sigmoid = (curve[-1] - curve) / (curve[-1] - curve[0])
betas = {
    "linear": torch.linspace(1e-4, 0.02, T, dtype=torch.float64),
    "cosine": betas_of(cosine / cosine[0]),
    "sigmoid": betas_of(sigmoid),
}
bars = {name: torch.cumprod(1 - beta, 0) for name, beta in betas.items()}
log_snrs = {name: torch.log(bar / (1 - bar)) for name, bar in bars.items()}
INK = {"linear": COLOURS["noise"], "cosine": COLOURS["data"], "sigmoid": COLOURS["model"]}

# %% [markdown]
# The library has all three, and the numbers are equal:

# %%
assert torch.allclose(bars["linear"], LinearTable().alpha_bar, atol=1e-12)
assert torch.allclose(bars["cosine"], CosineTable().alpha_bar, atol=1e-12)
alpha, sigma = Sigmoid()(t[1:])
assert torch.allclose(bars["sigmoid"], alpha**2, atol=1e-5)  # but for the last, which we cut
say("Three tables of 1000 numbers agree with those of the library.")

# %% [markdown]
# ## The same time, another noise
#
# Below, one digit at the same time in three schedules. Right, its log-SNR (chapter 2): 0 means
# that data and noise are equally strong.

# %%
torch.manual_seed(0)
digit = torch.tensor(load("digits").x[4, 0]).double() / 127.5 - 1
eps = torch.randn(28, 28, dtype=torch.float64)
frames = []
places = [1, 30, 80, 140, 200, 260, 330, 400, 470, 540, 620, 710, 800, 900, 1000]
for i in places:
    fig, axes = figure(4, height=2.5, width=7.6, width_ratios=[1, 1, 1, 1.9])
    for ax, (name, bar) in zip(axes[:3], bars.items(), strict=True):
        x = bar[i - 1].sqrt() * digit + (1 - bar[i - 1]).sqrt() * eps
        ax.imshow(x.numpy(), cmap="gray", vmin=-1.6, vmax=1.6)
        ax.set_title(name, color=INK[name])
        ax.axis("off")
        axes[3].plot(t[1:], log_snrs[name], color=INK[name], linewidth=1.5)
        axes[3].plot(i / T, log_snrs[name][i - 1], "o", color=INK[name])
    axes[3].axhline(0, color=COLOURS["truth"], linewidth=0.8)
    axes[3].set(
        xlim=(0, 1), ylim=(-12, 12), ylabel="log-SNR", xlabel="time t (0 is data, 1 is noise)"
    )
    axes[3].set_title(f"t = {i / T:.2f}")
    frames.append(fig)
film(
    frames,
    "One digit drowns in three schedules, first in the linear one; beside it dots run down three curves.",
    6,
    "05-same-time",
)

# %%
useful = {
    name: ((log_snr > -4) & (log_snr < 4)).double().mean().item()
    for name, log_snr in log_snrs.items()
}
gone = {name: (log_snr < -4).double().mean().item() for name, log_snr in log_snrs.items()}
left_over = {name: bar[-1].sqrt().item() for name, bar in bars.items()}
say(
    "Share of the time in which the log-SNR is between -4 and 4, where a picture is decided: "
    + ", ".join(f"{name} **{share:.0%}**" for name, share in useful.items())
    + ". Share of the time in which there is next to nothing but noise (below -4): "
    + ", ".join(f"{name} **{share:.0%}**" for name, share in gone.items())
    + ". Of the data's size is left at the end: "
    + ", ".join(f"{name} {size:.1e}" for name, size in left_over.items())
    + "."
)
assert gone["linear"] > 2 * gone["cosine"]
assert useful["sigmoid"] > useful["cosine"] > useful["linear"] + 0.05

# %% [markdown]
# That was the argument for the cosine: **the linear schedule spends a third of its steps on pure noise.** Whether
# that matters for samples has to be measured.
#
# ## Data that we know exactly
#
# To measure, we take data whose truth is known: a spiral in the plane, made of 40 small Gaussians. Its best
# denoiser is known (chapter 3), and networks learn it in seconds. How far samples are from data is said by the
# {term}`sliced Wasserstein distance`: look at both clouds of points from many directions, sort what you see, and
# take the mean difference. 0 would be equal.

# %%
turn = torch.linspace(0.7 * math.pi, 3.6 * math.pi, 40).double()
means = torch.stack([turn.cos(), turn.sin()], 1) * turn[:, None] / 6.5
spiral = Mixture(torch.ones(40).double(), means, 0.05**2)


def distance(x, y):
    """Sliced Wasserstein distance of two clouds (n, 2), by 50 directions."""
    angle = torch.linspace(0, math.pi, 51)[:-1].to(x)
    directions = torch.stack([angle.cos(), angle.sin()])
    return ((x @ directions).sort(0).values - (y @ directions).sort(0).values).abs().mean()


chance = torch.Generator().manual_seed(0)
N = 1000
goal = spiral.sample(N, chance)
floor = torch.stack([distance(spiral.sample(N, chance), goal) for _ in range(8)])
say(
    f"Two clouds of {N} real points have a distance of **{floor.mean():.3f}** ± {floor.std():.3f}: nothing can be better."
)

# %% [markdown]
# ## First without a network: the steps alone
#
# With the perfect denoiser, all error is that of taking few steps. The step is that of chapter 1: guess the clean
# data, compute the noise, mix both for the earlier time.


# %%
def walk(predict, x, bar, steps):
    """From noise to data in so many steps, evenly in time; predict(x, i) gives the guessed clean data."""
    bar = torch.cat([torch.ones_like(bar[..., :1]), bar], -1)
    places = torch.linspace(T, 0, steps + 1).round().long().tolist()
    for i, j in pairwise(places):
        now, then = bar[..., i, None, None], bar[..., j, None, None]
        x0 = predict(x, i)
        noise = (x - now.sqrt() * x0) / (1 - now).sqrt()
        x = then.sqrt() * x0 + (1 - then).sqrt() * noise
    return x


COUNTS = (10, 50, 100)
start = torch.randn(N, 2, generator=chance, dtype=torch.float64)
alone = {}
for name, bar in bars.items():
    perfect = Exact(spiral, Table(bar))
    rows = []
    for steps in COUNTS:
        end = walk(lambda x, i, p=perfect: p(x, t[i]).x0, start, bar, steps)
        rows.append(distance(end, goal).item())
    theirs = library_sample(perfect, start[:50], uniform(COUNTS[0]), DDIM(), Gaussian())
    ours = walk(lambda x, i, p=perfect: p(x, t[i]).x0, start[:50], bar, COUNTS[0])
    assert torch.allclose(ours, theirs, atol=1e-6)  # the library's loop is ours
    alone[name] = rows
say(
    f"Perfect denoiser, distance after {' / '.join(map(str, COUNTS))} steps: "
    + "; ".join(f"{name} " + " / ".join(f"{r:.3f}" for r in rows) for name, rows in alone.items())
    + "."
)

# %%
assert alone["linear"][0] > 1.25 * alone["cosine"][0]
assert all(abs(row[2] - alone["linear"][2]) < 2 * floor.std() for row in alone.values())
say(
    f"With 10 steps the linear schedule ends **{alone['linear'][0] / alone['cosine'][0] - 1:.0%}** further from the "
    "data than the cosine: too many of its ten steps went to noise. With 100 steps the three differ by less than "
    "two clouds of real points do by chance."
)

# %% [markdown]
# ## With networks
#
# Now twelve networks: three schedules, each with four seeds. All twelve lie in one tensor, and learn at once. Networks of
# one seed begin with equal weights and see equal data, times and noises; **only the schedule differs**.
#
# Two choices make the comparison fair. The network sees the log-SNR and not the time, so that equal noise looks equal. And
# it does not predict the noise: at the end of the cosine schedule the state *is* the noise, and who knows the noise
# knows nothing of the data. It predicts $v = \sqrt{\bar\alpha}\,\varepsilon - \sqrt{1 - \bar\alpha}\,x_0$
# (Salimans & Ho 2022), from which the data follows at all times, the {term}`v-prediction`.

# %%
SEEDS, WIDTH, STEPS, MARKS = 4, 64, 1200, (150, 300, 600, 1200)
NAMES = list(bars)
tables = torch.stack([bars[name] for name in NAMES for _ in range(SEEDS)])  # (12, 1000)


def weights(rows, columns):
    """Of all twelve networks, (12, rows, columns): equal for equal seeds."""
    return (torch.randn(SEEDS, rows, columns) / rows**0.5).repeat(3, 1, 1).requires_grad_()


torch.manual_seed(0)
layers = [weights(9, WIDTH), weights(WIDTH, WIDTH), weights(WIDTH, WIDTH), weights(WIDTH, 2)]
biases = [torch.zeros(12, 1, layer.shape[2], requires_grad=True) for layer in layers]


def network(x, log_snr):
    """v for states (12, n, 2) of log-SNR (12, n)."""
    waves = log_snr[..., None] * torch.tensor([0.2, 0.4, 0.8])
    h = torch.cat([x, log_snr[..., None] / 10, waves.sin(), waves.cos()], -1)
    h = torch.nn.functional.silu(torch.baddbmm(biases[0], h, layers[0]))
    for k in (1, 2):
        h = h + torch.nn.functional.silu(torch.baddbmm(biases[k], h, layers[k]))
    return torch.baddbmm(biases[3], h, layers[3])


@torch.no_grad()
def qualities(steps):
    """Distance of the samples of all twelve, (3, SEEDS)."""

    def predict(x, i):
        bar = tables[:, i - 1, None].float()
        v = network(x, torch.log(bar / (1 - bar)).expand(-1, N))
        return bar.sqrt()[..., None] * x - (1 - bar).sqrt()[..., None] * v

    begin = torch.randn(SEEDS, N, 2, generator=torch.Generator().manual_seed(1)).repeat(3, 1, 1)
    ends = walk(predict, begin, tables.float(), steps)
    return torch.stack([distance(end.double(), goal) for end in ends]).view(3, SEEDS)


optimiser = torch.optim.Adam(layers + biases, lr=4e-3)
slower = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda k: max(0.0, 1 - k / STEPS) ** 0.5)
losses, during = [], []
for k in range(1, STEPS + 1):
    x0 = spiral.sample(SEEDS * 128, chance).float().view(SEEDS, 128, 2).repeat(3, 1, 1)
    eps = torch.randn(SEEDS, 128, 2).repeat(3, 1, 1)
    i = torch.randint(T, (SEEDS, 128)).repeat(3, 1)
    bar = tables.gather(1, i).float()[..., None]
    v = bar.sqrt() * eps - (1 - bar).sqrt() * x0
    guess = network(bar.sqrt() * x0 + (1 - bar).sqrt() * eps, torch.log(bar / (1 - bar))[..., 0])
    each = (guess - v).square().mean((1, 2))
    optimiser.zero_grad()
    each.sum().backward()
    optimiser.step()
    slower.step()
    losses.append(each.detach().view(3, SEEDS))
    if k in MARKS:
        during.append(qualities(50))
losses, during = torch.stack(losses), torch.stack(during)
final = torch.stack([qualities(steps) for steps in COUNTS], 1)  # (3, 3 counts, SEEDS)

# %%
perfect_losses = {}
for name, bar in bars.items():
    total = 0.0
    for i in range(0, T, 10):
        a, s = bar[i].sqrt(), (1 - bar[i]).sqrt()
        x0, eps = goal[:500], start[:500]
        guess = Exact(spiral, Table(bar))(a * x0 + s * eps, t[i + 1])
        total += (a * (guess.eps - eps) - s * (guess.x0 - x0)).square().mean().item() / (T / 10)
    perfect_losses[name] = total

# %%
fig, (left, right) = figure(2, height=3.0)
for k, name in enumerate(NAMES):
    left.axhline(perfect_losses[name], color=INK[name], linestyle=":", linewidth=1.2)
    smooth = losses[:, k].unfold(0, 50, 50).mean(-1)  # (steps / 50, SEEDS)
    place = torch.arange(len(smooth)) * 50 + 25
    left.plot(place, smooth.mean(1), color=INK[name], label=name)
    left.fill_between(
        place.numpy(),
        smooth.amin(1).numpy(),
        smooth.amax(1).numpy(),
        color=INK[name],
        alpha=0.2,
        linewidth=0,
    )
    right.plot(MARKS, during[:, k].mean(1), "o-", color=INK[name], markersize=4)
    right.fill_between(
        MARKS,
        during[:, k].amin(1).numpy(),
        during[:, k].amax(1).numpy(),
        color=INK[name],
        alpha=0.2,
        linewidth=0,
    )
left.set(xlabel="step of training", title="training loss (dotted: perfect)")
left.legend()
right.axhline(floor.mean(), color=COLOURS["truth"], linestyle=":")
right.text(MARKS[0], floor.mean() * 1.06, "real data")
right.set(xscale="log", ylim=(0, None), xticks=MARKS, xticklabels=MARKS, xlabel="step of training")
right.minorticks_off()
right.set_title("distance of samples, 50 steps")
show(
    fig,
    "Left the losses of three schedules, far apart; right the distances of their samples, close together.",
    "05-training",
)

# %% [markdown]
# Left and right do not tell the same story. **Losses of different schedules cannot be compared**: a schedule that
# spends its time where guessing is easy has a low loss. We can prove it here, since we know the loss of the *perfect*
# denoiser (dotted):

# %%
trained = {name: losses[-200:, k].mean().item() for k, name in enumerate(NAMES)}
say(
    "Mean loss of the perfect denoiser: "
    + ", ".join(f"{name} **{loss:.2f}**" for name, loss in perfect_losses.items())
    + "; of our networks at the end: "
    + ", ".join(f"{name} {loss:.2f}" for name, loss in trained.items())
    + "."
)
assert all(trained[name] > 0.95 * perfect_losses[name] for name in NAMES)  # nobody beats it
assert perfect_losses["linear"] < 0.96 * perfect_losses["cosine"]  # though it is no better

# %% [markdown]
# ## Quality after 10, 50 and 100 steps

# %%
fig, ax = figure(height=3.0)
for k, name in enumerate(NAMES):
    for c in range(3):
        place = c + 0.25 * (k - 1)
        ax.bar(
            place,
            final[k, c].mean().item(),
            0.22,
            color=INK[name],
            alpha=0.35,
            label=name if c == 0 else None,
        )
        ax.plot([place] * SEEDS, final[k, c], "o", color=INK[name], markersize=4)
        ax.plot(
            [place - 0.1, place + 0.1],
            [alone[name][c]] * 2,
            color=COLOURS["truth"],
            label="perfect denoiser" if k == c == 0 else None,
        )
ax.axhline(floor.mean(), color=COLOURS["truth"], linestyle=":", linewidth=1)
ax.text(2.42, floor.mean() * 1.05, "real data")
ax.set(
    xlim=(-0.45, 2.85),
    xticks=range(3),
    xticklabels=[f"{n} steps" for n in COUNTS],
    ylabel="distance to the data",
)
ax.legend(ncols=2)
show(
    fig,
    "Bars of three schedules at 10, 50 and 100 steps, a dot for each seed; they fall from 10 to 50 steps.",
    "05-quality",
)

# %% [markdown]
# Which of these differences are real? Networks of one seed differ in nothing but the schedule, so we compare them pair by
# pair. With four pairs, a mean difference is beyond chance (with 95 % confidence) if it is larger than $3.18$
# times its standard error: that is the t-test.


# %%
def against(one, other, c):
    """In words: how `one` compares with `other` at the count c."""
    gap = final[NAMES.index(one), c] - final[NAMES.index(other), c]
    mean, error = gap.mean().item(), gap.std().item() / SEEDS**0.5
    word = (
        "within chance" if abs(mean) < 3.18 * error else "**better**" if mean < 0 else "**worse**"
    )
    return f"{one} against {other}: {mean:+.3f} ± {3.18 * error:.3f}, {word}"


for c, steps in enumerate(COUNTS):
    pairs = (("cosine", "linear"), ("sigmoid", "linear"), ("sigmoid", "cosine"))
    say(f"{steps} steps: " + "; ".join(against(*pair, c) for pair in pairs) + ".")

# %%
mean = dict(zip(NAMES, final.mean(2).tolist(), strict=True))  # at 10, 50 and 100 steps
assert mean["linear"][0] > 1.2 * mean["cosine"][0]
assert mean["linear"][0] > 1.2 * mean["sigmoid"][0]
assert mean["linear"][1] > 1.07 * mean["cosine"][1]
assert mean["linear"][2] > 1.07 * mean["cosine"][2]
assert mean["linear"][0] > 1.2 * mean["linear"][2]  # more steps help
assert trained["linear"] < 0.96 * trained["cosine"]
say(
    f"The linear schedule has the **lowest loss** ({trained['linear']:.2f}) and the **worst samples** "
    f"(with 10 steps {mean['linear'][0]:.3f}, cosine {mean['cosine'][0]:.3f})."
)

# %% [markdown]
# Remarkable: with the perfect denoiser, 50 steps are enough for all three to be alike. With networks the linear one stays
# behind even with 100. So the schedule matters twice: it says where the steps of *sampling* go, and where
# *training* looks. The linear one gave a third of the training to states in which there is next to nothing to
# learn.
#
# ## In full: digits
#
# This holds for a spiral. What of pictures? **Exercise 3** in full trains nine small U-Nets on the 60,000 digits of MNIST,
# made 16 x 16 pixels: three schedules with three seeds each, an equal number of steps. FDr says how far samples
# are from real digits in the eyes of a judge ([chapter 10](10_evaluation.py)): 1 is as good as real digits that no network
# has learned. It was done once, by `course/full.py`; here is the record.

# %%
recorded = record(3)
FDR = {name: recorded.figures[name]["fdr"] for name in ("linear", "cosine", "sigmoid")}
middle = {
    name: [sum(column) / len(column) for column in zip(*rows, strict=True)]
    for name, rows in FDR.items()
}
ends = {
    name: sum(curve[-1][1] for curve in recorded.figures[name]["losses"]) / len(rows)
    for name, rows in FDR.items()
}
say(
    "Mean FDr after 10 / 50 / 100 steps: "
    + "; ".join(
        f"{name} " + " / ".join(f"**{v:.2f}**" for v in row) for name, row in middle.items()
    )
    + ". The loss at the end: "
    + ", ".join(f"{name} {loss:.3f}" for name, loss in ends.items())
    + "."
)
pairs = zip(FDR["linear"], FDR["cosine"], strict=True)  # networks of one seed, side by side
assert all(mine > theirs for pair in pairs for mine, theirs in zip(*pair, strict=True))
best_two = sorted(row[1] for row in FDR["sigmoid"])[:2]
assert max(best_two) < min(row[1] for row in FDR["cosine"])
assert max(row[1] for row in FDR["sigmoid"]) > min(row[1] for row in FDR["linear"])
assert middle["linear"][2] > middle["linear"][0]
assert middle["cosine"][2] < middle["cosine"][0]
assert ends["linear"] > max(ends["cosine"], ends["sigmoid"])
rises = {  # how far the loss went above its lowest value until then
    name: [
        max(loss - min(before for _, before in curve[: k + 1]) for k, (_, loss) in enumerate(curve))
        for curve in recorded.figures[name]["losses"]
    ]
    for name in FDR
}
assert min(rises["linear"][0], rises["sigmoid"][2]) > 0.015 > max(rises["cosine"])
recorded.picture

# %% [markdown]
# The cosine is better than the linear schedule in each of the three seeds, with 10, 50 and 100 steps. The sigmoid is the best of
# all in two seeds, and in the third behind two of the linear ones. Look left: there the green band has a bump. The loss of that
# network jumped up in training, and never came down to that of its sisters; the linear network with the worst samples had such an
# accident, too. (A third one recovered from it.) So one network of each would have told another story: with the first
# seed the sigmoid wins, with the third it loses.
#
# Two things are not as on the spiral. The linear schedule, which had the lowest loss there, has the highest here: once
# more, the losses of different schedules say nothing of their samples. And more steps do not help it; why, these figures do not say.
#
# A name like "sigmoid" says little, by the way: there is a schedule of that name whose *betas* are S-shaped, which is
# another one (`benchmarks/claims/schedules.py` measures it: worse than both). Look at the log-SNR.

# %% [markdown]
# ## Touch it
#
# One and the same river with each schedule, drawn over time, or over the angle between signal and noise. Over the angle
# all schedules that keep the variance look alike: they differ in how much time they spend where.

# %%
live(
    "river",
    "Paths from noise to four numbers; choose another schedule, and what lies across.",
    data=[-7, -2, 3, 8], controls=["schedule", "across", "steps"], page="river?data=-7,-2,3,8",
)  # fmt: skip

# %% [markdown]
# ## What to remember
#
# - A schedule says at which noise the steps are spent. The log-SNR shows it; the time alone says nothing.
# - The linear schedule of 1000 steps spends a third of them on pure noise. The cosine and the sigmoid
#   spend most of theirs where pictures are decided.
# - Losses of different schedules cannot be compared. Samples can, over several seeds, against the noise of chance.
# - What is better here need not be better elsewhere: larger pictures need more noise, since many pixels
#   together say more than few.
#
# ## Where to read on
#
# - Nichol & Dhariwal 2021, *Improved Denoising Diffusion Probabilistic Models*, section 3.2: the cosine, and why.
# - Chen 2023, *On the Importance of Noise Scheduling for Diffusion Models*: larger pictures, other schedules.
# - Kingma, Salimans, Poole & Ho 2021, *Variational Diffusion Models*: with very many steps and the right weights,
#   only the two ends of the schedule matter.
# - Lin, Liu, Li & Yang 2023, *Common Diffusion Noise Schedules and Sample Steps are Flawed*: what the little
#   data that is left at the end of the linear schedule does to the brightness of pictures.
#
# **Your answer**: `demist learn 5 --exercise` writes this chapter without the solution, and
# `demist learn 5 --check FILE` says whether yours is right.
