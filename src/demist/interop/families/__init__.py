"""Families of published models: what their codec and conditions are. One file a family."""

from collections.abc import Mapping

from demist.interop.families import (
    dit,
    flux,
    pixart,
    pixels,
    stable_diffusion,
    stable_diffusion_3,
)
from demist.interop.families import stable_diffusion_xl as xl
from demist.interop.families.assembly import Assembly, Family, Opened

__all__ = [
    "FAMILIES",
    "Assembly",
    "Family",
    "Opened",
    "assembly",
    "dit",
    "flux",
    "pixart",
    "pixels",
    "stable_diffusion",
    "stable_diffusion_3",
    "stable_diffusion_xl",
]

FAMILIES: Mapping[str, Family] = {
    "DDPMPipeline": pixels.pixels,
    "DDIMPipeline": pixels.pixels,
    "LDMPipeline": pixels.latents,
    "StableDiffusionPipeline": stable_diffusion.base,
    "StableDiffusionXLPipeline": xl.base,
    "StableDiffusion3Pipeline": stable_diffusion_3.base,
    "DiTPipeline": dit.base,
    "PixArtAlphaPipeline": pixart.alpha,
    "PixArtSigmaPipeline": pixart.sigma,
    "FluxPipeline": flux.base,
}
"""Class in `model_index.json` -> what makes its codec and conditions."""
