"""(iv) Diffusion covers the modes where GANs collapse."""

import matplotlib.pyplot as plt
import numpy as np
from claim import Scale, Verdict, paired, pm, save
from lab import triples
from trained import POINTS, STACKED, TOYS, modes_of, trained

from demist.evaluation.metrics.modes import kl_floor

CLAIM = "Diffusion covers the modes where GANs collapse"
RULE = (
    "holds if diffusion covers more modes than either GAN, by more than a half on average and more "
    "than the 95 % interval of the paired difference over seeds, in all three data sets; in part "
    "if in some case; else fails"
)
NAMES = ("diffusion", "GAN", "R3GAN-style", "VAE", "autoregressive")
PICTURES = 5000


def measure(scale: Scale) -> dict:
    """Modes covered, KL of their proportions, and stray samples; draws the figure, of samples."""
    covered: dict[str, dict[str, list]] = {name: {} for name in NAMES}
    kl: dict[str, dict[str, list]] = {name: {} for name in NAMES}
    stray: dict[str, dict[str, list]] = {name: {} for name in NAMES}
    pictures: dict[str, dict[str, np.ndarray]] = {}
    for task in (*TOYS, STACKED):
        for seed in range(scale.seeds):
            for name in NAMES:
                model = trained(name, task, seed, scale)
                if task in TOYS:
                    x = model.draw(POINTS)
                    found = modes_of(task, x)
                    count, divergence, lost = found.covered, found.kl, 1 - found.close
                    pictures.setdefault(task, {}).setdefault(name, x)
                else:
                    count, divergence = triples(model.draw(min(PICTURES, 10 * scale.samples)))
                    lost = 0.0
                for table, value in ((covered, count), (kl, divergence), (stray, lost)):
                    table[name].setdefault(task, []).append(value)
    save(panels(pictures, covered), "modes")
    floor = kl_floor(min(PICTURES, 10 * scale.samples), np.full(1000, 1e-3))
    return {"covered": covered, "kl": kl, "stray": stray, "kl_floor": floor}


def judge(numbers: dict) -> Verdict:
    covered, kl, stray = (numbers[key] for key in ("covered", "kl", "stray"))
    return Verdict(verdict(covered), sentence(covered, kl, stray, numbers["kl_floor"]))


def verdict(covered: dict) -> str:
    """By `RULE`."""
    tasks = list(covered["diffusion"])
    ahead = []
    for rival in ("GAN", "R3GAN-style"):
        for task in tasks:
            more, half = paired(covered["diffusion"][task], covered[rival][task])
            ahead.append(more > max(0.5, half))
    return "holds" if all(ahead) else "holds in part" if any(ahead) else "fails"


def sentence(covered: dict, kl: dict, stray: dict, floor: float) -> str:
    """A line for each data set."""
    parts, vague = [], []
    for task in covered["diffusion"]:
        rows = []
        for name in NAMES:
            lost = np.mean(stray[name][task])
            away = f", stray {100 * lost:.0f} %" if lost else ""
            rows.append(f"{name} {pm(covered[name][task], 1)} (KL {pm(kl[name][task], 3)}{away})")
            if lost > 0.5:
                vague.append(f"{name} on the {task}")
        parts.append(f"- {task}: {', '.join(rows)}.")
    return (
        "Modes covered:\n\n" + "\n".join(parts) + "\n\nA mode counts as covered if one sample of "
        f"{POINTS:,} lies within three standard deviations of its centre, and of the digits if the "
        f"classifier sees it once in {PICTURES:,}; perfect samples of the digits would have a KL "
        f"of {floor:.2f}. Where more than half of the samples are stray, a cloud covers modes by "
        f"chance, and the count says little: {', '.join(vague) or 'nowhere'}."
    )


def panels(pictures: dict, covered: dict) -> plt.Figure:
    figure, axes = plt.subplots(len(pictures) + 1, len(NAMES), figsize=(13, 8))
    for row, (task, samples) in zip(axes, pictures.items(), strict=False):
        for axis, name in zip(row, NAMES, strict=True):
            axis.plot(*samples[name].T, ".", ms=1.5, alpha=0.5)
            axis.set(
                title=f"{name}: {pm(covered[name][task], 1)}", xlim=(-1.6, 1.6), ylim=(-1.6, 1.6)
            )
            axis.set_aspect("equal")
    task = STACKED
    for axis in axes[-1][1:]:
        axis.remove()
    axis = figure.add_subplot(len(pictures) + 1, 1, len(pictures) + 1)
    rows = [covered[name][task] for name in NAMES]
    axis.bar(NAMES, [np.mean(r) for r in rows], yerr=[np.std(r, ddof=1) for r in rows], capsize=4)
    axis.set(ylabel="modes of 1000", title="stacked digits")
    axes[-1][0].remove()
    return figure
