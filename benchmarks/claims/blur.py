"""(v) VAEs are blurry."""

import matplotlib.pyplot as plt
import numpy as np
from baselines import VAE, matched
from claim import Result, Scale, pm, save
from lab import BATCH, as_images, digit_model, digits, parameters, sample

from demist.evaluation.spectrum import radial_spectrum, top_octave


def measure(scale: Scale) -> Result:
    """Power in the finest octave of samples and reconstructions, in units of real digits."""
    test = digits().test.x
    real = top_octave(as_images(test))
    found: dict[str, list[float]] = {"diffusion": [], "VAE": [], "VAE reconstructions": []}
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
    for seed in range(scale.seeds):
        model = digit_model(seed, scale.steps, scale.width)
        size = parameters(model.denoiser)
        vae = matched(lambda w: VAE(64, w, noisy=False), size)
        vae.fit(digits().train.x, seed, 3.0 * size * BATCH * scale.steps)
        images = {
            "diffusion": sample(model, scale.samples, steps=20),
            "VAE": vae.sample(scale.samples, seed),
            "VAE reconstructions": vae.reconstruct(test[: scale.samples]),
        }
        for name, x in images.items():
            found[name].append(top_octave(as_images(x)) / real)
            if seed == 0:
                axes[0].semilogy(*radial_spectrum(as_images(x), 4), "o-", ms=3, label=name)
    axes[0].semilogy(*radial_spectrum(as_images(test), 4), "k--", label="test images")
    axes[0].set(xlabel="cycles per pixel", ylabel="power")
    axes[0].legend()
    rows = list(found.values())
    axes[1].bar(
        list(found), [np.mean(r) for r in rows], yerr=[np.std(r, ddof=1) for r in rows], capsize=4
    )
    axes[1].axhline(1, color="k", ls="--")
    axes[1].set(ylabel="power in the top octave / real")
    vae_low = max(found["VAE"]) < 0.9
    blurrier = max(found["VAE"]) < min(found["diffusion"])
    return Result(
        "VAEs are blurry",
        "holds" if vae_low and blurrier else "holds in part" if vae_low or blurrier else "fails",
        f"Power in the finest octave, real test digits being 1: VAE samples {pm(found['VAE'])}, "
        f"VAE reconstructions {pm(found['VAE reconstructions'])}, "
        f"diffusion {pm(found['diffusion'])} "
        "(the decoder's mean, as is usual; latent of 16 numbers).",
        found,
        save(figure, "blur.png"),
    )
