"""Families of published models: what their codec and conditions are. One file a family."""

from collections.abc import Mapping

from demist.interop.controls import LED
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
from demist.interop.families.controlled import with_controls

__all__ = [
    "FAMILIES",
    "Assembly",
    "Family",
    "Opened",
    "assembly",
    "controlled",
    "dit",
    "flux",
    "pieces",
    "pixart",
    "pixels",
    "stable_diffusion",
    "stable_diffusion_3",
    "stable_diffusion_xl",
    "with_controls",
]

PLAIN: dict[str, Family] = {
    "DDPMPipeline": pixels.pixels,
    "DDIMPipeline": pixels.pixels,
    "LDMPipeline": pixels.latents,
    "StableDiffusionPipeline": stable_diffusion.base,
    "StableDiffusionImg2ImgPipeline": stable_diffusion.base,
    "LatentConsistencyModelPipeline": stable_diffusion.base,
    "LatentConsistencyModelImg2ImgPipeline": stable_diffusion.base,
    "StableDiffusionInpaintPipeline": stable_diffusion.inpaint,
    "StableDiffusionInstructPix2PixPipeline": stable_diffusion.instruct,
    "StableDiffusionUpscalePipeline": stable_diffusion.upscale,
    "StableDiffusionXLPipeline": xl.base,
    "StableDiffusionXLImg2ImgPipeline": xl.base,
    "StableDiffusionXLInpaintPipeline": xl.inpaint,
    "StableDiffusion3Pipeline": stable_diffusion_3.base,
    "StableDiffusion3Img2ImgPipeline": stable_diffusion_3.base,
    "StableDiffusion3InpaintPipeline": stable_diffusion_3.base,
    "DiTPipeline": dit.base,
    "PixArtAlphaPipeline": pixart.alpha,
    "PixArtSigmaPipeline": pixart.sigma,
    "FluxPipeline": flux.base,
    "FluxImg2ImgPipeline": flux.base,
    "FluxInpaintPipeline": flux.base,
}
"""Those without control networks."""

FAMILIES: Mapping[str, Family] = PLAIN | {
    kind: with_controls(PLAIN[base], folder) for kind, (base, folder) in LED.items()
}
"""Class in `model_index.json` -> what makes its codec and conditions."""
