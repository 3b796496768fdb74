"""Where a model of another maker comes from: configurations and tensors of its named components.

A folder is one source, a single file another: what a family of models needs it asks for here, under
diffusers' names of components and tensors, whatever they are called where they lie.
"""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from demist.conditions.text_encoder import TextEncoder, from_folder
from demist.errors import DataError, MissingError
from demist.interop.weights import NETWORKS, mended, read_weights
from demist.io.files import read_json
from demist.io.tensors import require_same
from demist.io.untrusted import inside
from demist.networks.published import Published

INDEX = "model_index.json"
AUTOENCODERS = ("vae", "vqvae")
"""Components that never run in float16."""

OLD_TRANSFORMER = "Transformer2DModel"
BY_NORM = {
    "ada_norm_zero": "DiTTransformer2DModel",
    "ada_norm_single": "PixArtTransformer2DModel",
}
"""The class that DiT and PixArt were published under, and what it is by its `norm_type`."""


class Source(abc.ABC):
    """A model as named components.

    Attributes:
        place: The folder or file.
        index: What kind of model it is (`_class_name`) and which components it has, as in
            `model_index.json`.
        dtype: What weights are converted to while they are read; see `dtype_of`.
        remedy: What to do about a component that is missing, after a semicolon.
        lacks: The autoencoder that it needs even where it has none; "" if it may be without.
    """

    place: Path
    index: Mapping[str, Any]
    dtype: torch.dtype = torch.float32
    remedy: ClassVar[str] = ""
    lacks: ClassVar[str] = ""

    @abc.abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is a component of this name."""

    @abc.abstractmethod
    def config(self, name: str) -> dict[str, Any]:
        """The configuration of a network.

        Raises:
            MissingError: There is none.
        """

    @abc.abstractmethod
    def scheduler(self, name: str = "scheduler") -> dict[str, Any]:
        """`scheduler_config.json`.

        Args:
            name: Of the component.

        Raises:
            MissingError: There is none.
        """

    @abc.abstractmethod
    def weights(self, name: str) -> Mapping[str, Tensor]:
        """The tensors of a network under diffusers' names, real numbers as `dtype_of` says.

        Raises:
            MissingError: There are none.
            DataError: They are damaged.
        """

    @abc.abstractmethod
    def text_encoder(self, encoder: str, tokenizer: str, length: int | None = None) -> TextEncoder:
        """A text encoder and its tokenizer, both opened later."""

    def dtype_of(self, name: str) -> torch.dtype:
        """The type of a component's weights: `dtype`, but float32 for an autoencoder in float16.

        Activations of published autoencoders go beyond what float16 holds.
        """
        narrow = self.dtype == torch.float16 and name in AUTOENCODERS
        return torch.float32 if narrow else self.dtype

    def where(self, name: str) -> str:
        """A component, for messages."""
        return str(self.place / name)

    @property
    def denoising(self) -> str:
        """The component that makes the samples; "" where the model is nothing but it."""
        return next((name for name in ("unet", "transformer") if name in self.index), "")

    def outlined(self, name: str) -> Published:
        """A network without its weights, of torch's device "meta"; arguments as of `network`.

        Raises:
            MissingError: It is not there.
            DataError: Its configuration is damaged, or of an unknown class.
        """
        config, where = self.config(name), self.where(name)
        kind = str(config.get("_class_name"))
        if kind == OLD_TRANSFORMER:
            kind = BY_NORM.get(str(config.get("norm_type")), kind)
        if kind not in NETWORKS:
            raise DataError(
                f"{where} is a network of the class {kind!r}, which is not known; known are "
                f"{', '.join(sorted(NETWORKS))}"
            )
        with torch.device("meta"):
            return NETWORKS[kind].from_json(config, f"{where}/config.json")

    def network(self, name: str) -> Published:
        """A network with its weights, on the CPU.

        Args:
            name: Of the component; "" where the model is nothing but it.

        Raises:
            MissingError: It is not there.
            DataError: It is damaged, of an unknown class, or weights and configuration differ.
            RefusedError: The weights are a pickle, or a link leads out of the folder.
        """
        net, tensors = self.outlined(name), mended(self.weights(name))
        require_same(net.state_dict(), tensors, self.where(name))
        net.load_state_dict(dict(tensors), assign=True)
        return net.eval().requires_grad_(False)

    def require(self, names: tuple[str, ...]) -> None:
        """Check that components are there.

        Raises:
            MissingError: One is not.
        """
        for name in names:
            if not self.has(name):
                raise MissingError(
                    f"{self.place} has no {name!r}, which a {self.index['_class_name']} needs"
                    f"{self.remedy}"
                )


@dataclass(frozen=True, eq=False)
class FolderSource(Source):
    """A folder in the layout of diffusers; or one with nothing but a U-Net, called flat.

    Attributes:
        place: The folder.
        index: Its `model_index.json`.
        flat: Whether it has none.
        dtype: What weights are converted to.
    """

    place: Path
    index: Mapping[str, Any]
    flat: bool = False
    dtype: torch.dtype = torch.float32

    @classmethod
    def open(cls, place: Path, dtype: torch.dtype = torch.float32) -> "FolderSource":
        """The folder, by its index.

        Raises:
            DataError: The index is damaged.
        """
        if not (place / INDEX).is_file():
            return cls(place, {"_class_name": "DDPMPipeline"}, True, dtype)
        return cls(place, read_json(inside(place, INDEX)), dtype=dtype)

    def has(self, name: str) -> bool:
        listed = self.index.get(name)
        return isinstance(listed, list) and listed[:1] != [None] and (self.place / name).is_dir()

    def config(self, name: str) -> dict[str, Any]:
        return read_json(inside(self.place, f"{name}/config.json" if name else "config.json"))

    def scheduler(self, name: str = "scheduler") -> dict[str, Any]:
        file = "scheduler_config.json"
        return read_json(inside(self.place, file if self.flat else f"{name}/{file}"))

    def weights(self, name: str) -> Mapping[str, Tensor]:
        return read_weights(self.place, f"{name}/" if name else "", self.dtype_of(name))

    def text_encoder(self, encoder: str, tokenizer: str, length: int | None = None) -> TextEncoder:
        return from_folder(self.place, encoder, tokenizer, length, self.dtype_of(encoder))
