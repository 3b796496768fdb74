"""Names of layers as single files have them, which some LoRAs use: one may mean several layers."""

from demist.interop.adapters.fit import Target
from demist.interop.single import PLACES
from demist.networks.published import Published

STYLES = {
    "UNet2DConditionModel": "unet",
    "SD3Transformer2DModel": "sd3",
    "FluxTransformer2DModel": "flux",
}
"""Class of a network -> how single files name its tensors."""


def aliases_of(net: Published) -> dict[str, list[Target]]:
    """Layers of a network by their names in single files, underscored.

    Queries, keys and values that are one matrix there are several layers here, each with its share
    of the rows.
    """
    found: dict[str, list[Target]] = {}
    if net.kind not in STYLES:
        return found
    for name, place in PLACES[STYLES[net.kind]](net.state_dict().keys()).items():
        if name.endswith(".weight"):
            stem = place.name.removesuffix(".weight").replace(".", "_")
            found.setdefault(stem, []).append(Target(net.folder, name, place.take, place.of))
    return found
