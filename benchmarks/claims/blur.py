"""(v) VAEs are blurry."""

import matplotlib.pyplot as plt
import numpy as np
from claim import Scale, Verdict, curve, plain, pm
from lab import as_images, digits, sample
from trained import digit_model, trained

from demist.evaluation.metrics.spectrum import radial_spectrum, top_octave

CLAIM = "VAEs are blurry"
RULE = (
    "holds if VAE samples have less than 0.9 of the power that real digits have in the top octave, "
    "and less than those of diffusion, with every seed; in part if one of the two"
)
KINDS, BANDS = ("diffusion", "VAE", "VAE reconstructions"), 4


def measure(scale: Scale) -> dict:
    """Power in the finest octave of samples and reconstructions, in units of real digits."""
    test = digits().test.x
    real = top_octave(as_images(test))
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    spectra: dict[str, list] = {kind: [] for kind in KINDS}
    for seed in range(scale.seeds):
        model = digit_model(seed, scale.steps, scale.width)
        vae = trained("VAE", "digits", seed, scale).model
        images = (
            sample(model, scale.samples, steps=20),
            vae.sample(scale.samples, seed),
            vae.reconstruct(test[: scale.samples]),
        )
        for kind, x in zip(KINDS, images, strict=True):
            found[kind].append(top_octave(as_images(x)) / real)
            spectra[kind].append(spectrum(x)[1])
    return found | {"spectra": spectra, "test": spectrum(test), "latent": vae.latent}


def spectrum(x: np.ndarray) -> tuple[list[float], list[float]]:
    """Middles of the bands that hold a frequency, and the power there."""
    frequency, power = radial_spectrum(as_images(x), BANDS)
    known = np.isfinite(power)
    return frequency[known].tolist(), power[known].tolist()


def judge(numbers: dict) -> Verdict:
    low = max(numbers["VAE"]) < 0.9
    blurrier = max(numbers["VAE"]) < min(numbers["diffusion"])
    return Verdict(
        "holds" if low and blurrier else "holds in part" if low or blurrier else "fails",
        f"Power in the finest octave, real test digits being 1: VAE samples {pm(numbers['VAE'])}, "
        f"VAE reconstructions {pm(numbers['VAE reconstructions'])}, diffusion "
        f"{pm(numbers['diffusion'])}. The VAE shows its decoder's mean, as is usual, with a latent "
        f"of {numbers.get('latent', 16)} numbers and a Gaussian likelihood; stronger decoders were "
        "not tried.",
    )


def draw(numbers: dict) -> plt.Figure:
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
    frequency, power = numbers["test"]
    for kind in KINDS:
        curve(axes[0], frequency, np.array(numbers["spectra"][kind]), kind)
    axes[0].plot(frequency, power, "k--", label="test images")
    axes[0].set(xlabel="cycles per pixel", ylabel="power")
    plain(axes[0], "y", (0.1, 0.2, 0.5, 1, 2, 5, 10))
    axes[0].legend()
    rows = [numbers[kind] for kind in KINDS]
    axes[1].bar(
        KINDS, [np.mean(r) for r in rows], yerr=[np.std(r, ddof=1) for r in rows], capsize=4
    )
    axes[1].axhline(1, color="k", ls="--")
    axes[1].set(ylabel="power in the top octave / real")
    return figure
