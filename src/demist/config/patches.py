"""The side of patches where nobody says one."""

from demist.config.options import TrainConfig

USUAL, OF_LATENTS = 2, 1


def patch_of(config: TrainConfig) -> int:
    """Side of the patches in which a network reads images, or the latents of a codec."""
    if config.network.patch is not None:
        return config.network.patch
    return USUAL if config.latents.codec is None else OF_LATENTS
