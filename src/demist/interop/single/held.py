"""A component of a single file: which of the file's tensors are its, under diffusers' names."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from demist.errors import DataError
from demist.formats import Part
from demist.interop.single import streams, text, unet
from demist.interop.single.places import Place, below, gathered, names_in_file
from demist.interop.weights import NETWORKS, tell_widened
from demist.io.weights import TensorFile, read_all

PLACES: Mapping[str, Callable[[Collection[str]], dict[str, Place]]] = {
    "unet": unet.unet,
    "autoencoder": unet.autoencoder,
    "sd3": streams.sd3,
    "flux": streams.flux,
    "clip": text.plain,
    "openclip": text.openclip,
    "t5": text.plain,
    "llama": text.llama,
}
"""Style of a part -> places of a network's tensors."""

REMAINS = re.compile(
    r"model_ema\.|low_scale_model\.|first_stage_model\.(loss|model_ema)\.|denoiser\.|"
    r"(alphas_cumprod|alphas_cumprod_prev|betas|lvlb_weights|logvar|scale_factor|v_pred|ztsnr|"
    r"sqrt_\w+|log_one_minus_\w+|posterior_\w+|ddim_\w+)$"
)
"""Tensors beside a model that training left behind, or that only say what it predicts."""
UNUSED = {
    "clip": r"(text_model\.)?embeddings\.position_ids$|logit_scale$|text_projection(\.weight)?$",
    "openclip": r"logit_scale$|text_projection$|attn_mask$|transformer\.resblocks\.\d+\.",
    "t5": r"encoder\.embed_tokens\.weight$|decoder\.|lm_head\.",
    "autoencoder": r"loss\.|model_ema\.",
}
"""Style -> tensors of a part that the component may leave: layers after the one that is read, and
what only training used."""


def network_places(style: str, config: Mapping[str, Any], where: str) -> dict[str, Place]:
    """Places of a network's tensors.

    Args:
        style: How the file names them.
        config: The network's configuration.
        where: For messages.

    Raises:
        DataError: The configuration makes no sense.
    """
    with torch.device("meta"):
        net = NETWORKS[str(config["_class_name"])].from_json(config, where)
    return PLACES[style](net.state_dict().keys())


@dataclass(frozen=True)
class Held:
    """A component that a file holds.

    Attributes:
        file: The file.
        part: Which part of it.
        config: The component's configuration.
        others: Prefixes of further parts of the same file.
        projected: Whether it is a text encoder that gives a projected vector.
        title: What it is, for messages.
    """

    file: TensorFile
    part: Part
    config: Mapping[str, Any]
    others: tuple[str, ...] = ()
    projected: bool = False
    title: str = ""

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.file.path}, {self.title}" if self.title else str(self.file.path)

    def places(self) -> dict[str, Place]:
        """Name of a tensor of the component -> where it is in the file.

        Raises:
            DataError: The configuration makes no sense.
        """
        style = self.part.style
        if style in ("clip", "openclip"):
            names = text.clip_names(int(self.config["num_hidden_layers"]), self.projected)
            found = PLACES[style](names)
        elif style in ("t5", "llama"):
            found = PLACES[style](text.t5_names(int(self.config["num_layers"])))
            own = self.part.own(self.file.shapes)
            if style == "t5" and "shared.weight" not in own:
                found["shared.weight"] = Place("encoder.embed_tokens.weight")
        else:
            found = network_places(style, self.config, self.where)
        return below(self.part.prefix, found)

    def tensors(self, dtype: torch.dtype | None) -> dict[str, Tensor]:
        """All its tensors under diffusers' names; each of the file is used, or named in an error.

        Args:
            dtype: Of real numbers; None: as they are in the file.

        Raises:
            DataError: Some are missing or left over, or damaged.
        """
        places, shapes = self.places(), self.file.shapes
        last = "text_projection.weight"
        alone = last in places and places[last].name not in shapes and self.part.style == "clip"
        if alone:  # ComfyUI's CLIP-L has none: the vector is used as it is
            del places[last]
        used = names_in_file(places)
        require_all(used, shapes, self.where)
        own = self.part.own(shapes)
        unused = re.compile(UNUSED.get(self.part.style, r"(?!)"))
        left = [
            name
            for name in own
            if self.part.prefix + name not in used
            and not unused.match(name)
            and not REMAINS.match(self.part.prefix + name)
            and not (self.part.prefix + name).startswith(self.others or ("\0",))
        ]
        require_none(left, self.where)
        kinds = {self.file.entries[name].kind for name in used}
        tell_widened(self.file.path, kinds, dtype)
        found = gathered(places, read_all([self.file], dtype, used.__contains__).pop)
        if alone:
            width = int(self.config["hidden_size"])
            found[last] = torch.eye(width, dtype=dtype or torch.float32)
        return found


def require_all(names: Collection[str], there: Collection[str], where: str) -> None:
    """Check that tensors are there.

    Raises:
        DataError: Some are missing; the first five are named.
    """
    missing = sorted(name for name in names if name not in there)
    if missing:
        raise DataError(f"{where} lacks {counted(missing)}; the file is cut, or of another kind")


def require_none(names: Collection[str], where: str) -> None:
    """Check that nothing is left over.

    Raises:
        DataError: Something is; the first five are named.
    """
    if names:
        raise DataError(
            f"{where} holds {counted(sorted(names))}, which this kind of model does not have and "
            f"which would be ignored; remove them, or use the program that made the file"
        )


def counted(names: list[str]) -> str:
    """How many tensors, and the first five by name."""
    noun = "a tensor" if len(names) == 1 else f"{len(names)} tensors"
    return f"{noun}: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
