"""(ix) No family of generative models has quality, coverage and speed at once."""

import math
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import torch
from claim import Scale, Verdict, plain, pm
from lab import LEVELS, as_images, dequantised, digits, grey, sample, triples
from lab import judge as classifier
from modes import PICTURES
from speed import timed
from trained import trained

from demist.core import Seeded
from demist.evaluation.metrics.frechet import Moments, frechet_distance
from demist.objectives import bits_per_dim, continuous_elbo, log_prob

CLAIM = "No family has quality, coverage and speed at once"
RULE = (
    "fails if some family, diffusion with any number of steps, has an FDr of at most 1.5 times the "
    "best, at least nine tenths of the most modes of 1,000, and at most 5 times the processor time "
    "of the fastest; else holds"
)
FAMILIES = ("GAN", "R3GAN-style", "VAE", "autoregressive", "normalizing flow", "diffusion")
STEPS, USUAL = (1, 2, 5, 20), 20
HELD_OUT = 100
CLEAN, TOLERANCE = 9.0, 1e-3

Note = Callable[[str, str, float], None]


def measure(scale: Scale) -> dict:
    """What the claim on modes has not measured; `gather` adds the rest."""
    found: dict = {key: {} for key in ("fdr", "microseconds", "bits", "covered", "kl")}

    def note(key: str, name: str, value: float) -> None:
        found[key].setdefault(name, []).append(value)

    for seed in range(scale.seeds):
        for part in (quality, coverage):
            part(seed, scale, note)
    return found | {"alone": alone(), "steps": scale.steps}


def quality(seed: int, scale: Scale, note: Note) -> None:
    """FDr, time and likelihood of all families."""
    for name, draw in learned(seed, scale, note).items():
        seconds, x = timed(draw)
        note("microseconds", name, 1e6 * seconds / scale.samples)
        note("fdr", name, fdr(x))


def gather(numbers: dict, found: dict) -> dict:
    """These numbers, and what the claim on modes has measured in the same way and mode.

    Args:
        numbers: Of `measure`.
        found: The numbers of every claim, by its name.
    """
    modes, task = found["modes"], "1000 stacked digits"
    covered, kl = (
        {name: row[task] for name, row in modes[key].items()} for key in ("covered", "kl")
    )
    return numbers | {
        "covered": covered | numbers["covered"],
        "kl": kl | numbers["kl"],
        "kl_floor": modes["kl_floor"],
    }


def learned(seed: int, scale: Scale, note: Note) -> dict:
    """All families trained on the same dequantised digits: name -> draws; notes likelihoods."""
    test = torch.from_numpy(dequantised(digits().test.x, np.random.default_rng(99)))
    made = {}
    for name in FAMILIES:
        found = trained(name, "grey digits", seed, scale)
        made[name] = lambda found=found: found.draw(scale.samples)
        if name == "VAE":
            note("bits", name, bits(found.model.bound(test, seed)))
        elif hasattr(found.model, "log_prob"):
            with torch.no_grad():
                note("bits", name, bits(found.model.log_prob(test)))
    model = trained("diffusion", "grey digits", seed, scale).model
    by_sde, by_ode = densities(model, test[:HELD_OUT])
    note("bits", "diffusion", bits(by_sde))
    note("bits", "diffusion, ODE", bits(by_ode))
    for n in STEPS:
        made[steps_name(n)] = lambda n=n: sample(model, scale.samples, steps=n)
    return made


def steps_name(n: int) -> str:
    """The usual number of steps has the name of the family."""
    return "diffusion" if n == USUAL else f"diffusion, {n}"


def densities(model: object, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-densities by the variational bound and by the ODE, nats, in the units of the data."""
    z = model.codec.encode(x)
    volume = x.shape[1] * math.log(model.codec.std)
    bound = continuous_elbo(model.denoiser, z, Seeded(range(len(z))), levels=100, max_log_snr=CLEAN)
    exact = log_prob(model.denoiser, z, rtol=TOLERANCE, atol=TOLERANCE)
    return bound.elbo - volume, exact.log_prob - volume


def coverage(seed: int, scale: Scale, note: Note) -> None:
    """Modes of stacked digits, of a flow and a VAE; the claim on modes has the other families.

    Both learn them dequantised: exact values have no density.
    """
    for name in ("VAE", "normalizing flow"):
        model = trained(name, "grey stacked digits", seed, scale)
        covered, kl = triples(shown(model.draw(min(PICTURES, 10 * scale.samples))))
        note("covered", name, covered)
        note("kl", name, kl)


def shown(x: np.ndarray) -> np.ndarray:
    """Numbers in [-1, 1] as pictures of 16 grey levels, from -1 for the lowest to 1."""
    return (grey(x) * (2 / (LEVELS - 1)) - 1).astype(np.float32)


def bits(nats: torch.Tensor) -> float:
    """Bits per number of the grey levels."""
    return float(bits_per_dim(nats.detach(), digits().test.x.shape[1], 2 / LEVELS).mean())


def alone() -> float:
    """Bits per number of held-out digits if each pixel is a histogram of its own."""
    train, test = grey(digits().train.x), grey(digits().test.x).astype(int)
    shares = np.stack([(train == k).sum(0) + 1 for k in range(LEVELS)]) / (len(train) + LEVELS)
    return float(-np.log2(np.take_along_axis(shares, test, 0)).mean())


def fdr(x: np.ndarray) -> float:
    """As `lab.fdr`, with the digits of 16 grey levels as what is real."""
    if not _moments:
        held_out = digits().test.x[np.random.default_rng(0).permutation(2000)[: len(x)]]
        _moments.extend(seen(real) for real in (digits().train.x, held_out))
    train, test = _moments
    return frechet_distance(seen(x), train) / frechet_distance(test, train)


_moments: list[Moments] = []


def seen(x: np.ndarray) -> Moments:
    """What the judge sees in pictures."""
    return Moments.of(classifier().features(as_images(shown(x))))


def judge(numbers: dict) -> Verdict:
    return Verdict("fails" if having_all(numbers) else "holds", "\n".join(report(numbers)))


def having_all(numbers: dict) -> list[str]:
    """Families with quality, coverage and speed."""
    return [name for name in numbers["microseconds"] if len(strengths(numbers, name)) == 3]


def report(numbers: dict) -> list[str]:
    """Lines of Markdown: the table, what its columns are, and who has what."""
    held = "; ".join(
        f"{name}: {', '.join(strengths(numbers, name)) or 'none of the three'}" for name in FAMILIES
    )
    fewer = "; ".join(
        f"{n} step{'s' * (n > 1)} {pm(numbers['microseconds'][steps_name(n)], 1)} µs "
        f"(FDr {pm(numbers['fdr'][steps_name(n)], 1)})"
        for n in STEPS
        if n != USUAL
    )
    names = having_all(numbers)
    found = f"All three: {' and '.join(names)}." if names else "None has all three."
    return [
        *markdown(numbers),
        "",
        "Quality is an FDr of at most 1.5 times the best, coverage nine tenths of the most modes, "
        f"speed at most 5 times the time of the fastest. {held}. {found} Diffusion with fewer "
        f"steps: {fewer}.",
    ]


def strengths(numbers: dict, name: str) -> list[str]:
    """Which of quality, coverage and speed a family has, by `RULE`."""
    means = {
        key: {one: np.mean(values) for one, values in numbers[key].items()}
        for key in ("fdr", "covered", "microseconds")
    }
    family = name.split(",")[0]
    holds = {
        "quality": means["fdr"][name] <= 1.5 * min(means["fdr"].values()),
        "coverage": means["covered"][family] >= 0.9 * max(means["covered"].values()),
        "speed": means["microseconds"][name] <= 5 * min(means["microseconds"].values()),
    }
    return [word for word, true in holds.items() if true]


def markdown(numbers: dict) -> list[str]:
    """The table, and what its columns are."""
    lines = [
        "| family | training: spread of FDr | quality: FDr | speed: µs for a sample | coverage: "
        "modes of 1,000 (KL) | likelihood: bits per number |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name in FAMILIES:
        found = numbers["fdr"][name]
        share = 100 * np.std(found, ddof=1) / np.mean(found)
        lines.append(
            f"| {name} | {share:.0f} % | {pm(found, 1)} | {pm(numbers['microseconds'][name], 1)} | "
            f"{pm(numbers['covered'][name], 0)} ({pm(numbers['kl'][name], 2)}) | "
            f"{likelihood(numbers['bits'], name)} |"
        )
    lines += [
        f"| *as good as real* | | 1 | | 1,000 ({numbers['kl_floor']:.2f}) | |",
        "",
        f"± is the standard deviation over {len(numbers['fdr']['VAE'])} trainings with other "
        "seeds. *Training*: that of the FDr, as a share of its mean. *Quality, speed, likelihood*: "
        f"digits of 8 x 8 pixels and {LEVELS} grey levels without classes; {numbers['steps']:,} "
        "training steps of diffusion, and as much work for the others; diffusion draws with "
        f"{USUAL} steps. *Coverage*: three digits at a time; of GANs, diffusion and the "
        "autoregressive model the figures are those of claim iv in the same mode. *Likelihood*: of "
        "held-out digits, each grey level spread evenly over its bin, the same for all; low is "
        f"better, and pixels that know nothing of each other need {numbers['alone']:.2f} bits.",
    ]
    return lines


def likelihood(bits: dict, name: str) -> str:
    """Exact, a bound, or none."""
    if name not in bits:
        return "none"
    if name == "VAE":
        return f"bound: at most {pm(bits[name])}"
    if name == "diffusion":
        return f"bound: at most {pm(bits[name])}; exact by the ODE: {pm(bits['diffusion, ODE'])}"
    return f"exact: {pm(bits[name])}"


def draw(numbers: dict) -> plt.Figure:
    """A panel for each column, a row for each family."""
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), sharey=True)
    panels = {
        "fdr": ("quality: FDr", (5, 10, 20, 50, 100, 200, 400)),
        "microseconds": ("speed: µs for a sample", (2, 10, 50, 250, 1000, 4000)),
        "covered": ("coverage: modes of 1,000", ()),
        "bits": ("likelihood: bits per number", ()),
    }
    for axis, (key, (label, ticks)) in zip(axes, panels.items(), strict=True):
        for i, name in enumerate(FAMILIES):
            values = numbers[key].get(name)
            if values:
                spread = np.std(values, ddof=1)
                axis.errorbar(np.mean(values), i, xerr=spread, fmt="o", capsize=4, color=f"C{i}")
            else:
                axis.text(0.5, i, "none", transform=axis.get_yaxis_transform(), va="center")
        axis.set(title=label, yticks=range(len(FAMILIES)), yticklabels=FAMILIES)
        axis.grid(axis="x", alpha=0.3)
        if ticks:
            plain(axis, "x", ticks)
    axes[0].invert_yaxis()
    return figure
