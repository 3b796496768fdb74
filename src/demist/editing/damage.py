"""Damaged data: what was measured of it, in the unit of the data and in that of a model's states.

The unit of images is -1 (black) to 1 (white), whatever file they come from; that of other data is
its own. The noise is in this unit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from demist.codecs import Flat, KLAutoencoder, Pixels, Standardize
from demist.core import Seeded
from demist.data.images.decode import read_image
from demist.data.readers.arrays import head
from demist.data.readers.labels import readable
from demist.editing.sources import called
from demist.errors import DataError, MissingError, UsageError
from demist.inverse import (
    GaussianNoise,
    LinearOperator,
    Measurement,
    MeasurementNoise,
    Operator,
    PoissonNoise,
    Scaled,
    ThroughCodec,
    make_operator,
)
from demist.io.tensors import read_tensors
from demist.model.pipeline import Pipeline
from demist.model.plan import sample_seed

Noise = float | str | MeasurementNoise
"""A standard deviation, `poisson:PEAK`, or an object."""


class MasksError(UsageError):
    """A folder of masks stands where one mask is needed."""


@dataclass(frozen=True, eq=False)
class Damage:
    """What happened to the data of a model.

    Attributes:
        pipeline: The model.
        operator: What was measured of data.
        noise: What was added, in the unit of the data.
    """

    pipeline: Pipeline
    operator: Operator
    noise: MeasurementNoise

    @classmethod
    def of(
        cls,
        pipeline: Pipeline,
        operator: str | Operator,
        noise: Noise,
        image: str | None = None,
    ) -> "Damage":
        """From what is written; see `demist.inverse.make_operator`.

        Args:
            pipeline: The model.
            operator: What was measured; `mask:FOLDER` names a folder of masks, one for each image.
            noise: What was added.
            image: Name of the image whose mask is taken from such a folder.

        Raises:
            UsageError: It makes no sense for this model's data.
            MasksError: It names a folder of masks, and there is no `image`.
            MissingError: A file is not there.
        """
        if isinstance(operator, str):
            operator = make_operator(operator, pipeline.shape, partial(read_file, image=image))
        if operator.shape != pipeline.shape:
            raise UsageError(
                f"the operator is made for data of shape {operator.shape}, and the model's is "
                f"{pipeline.shape}; make it for that"
            )
        return cls(pipeline, operator, read_noise(noise))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the data that a damaged file holds."""
        return tuple(self.operator.shown(torch.zeros(1, *self.operator.out)).shape[1:])

    @property
    def linear(self) -> bool:
        """Whether states are measured linearly."""
        plain = isinstance(self.pipeline.codec, Pixels | Standardize | Flat)
        return plain and isinstance(self.operator, LinearOperator)

    def simulate(self, clean: Tensor, seeds: Sequence[int]) -> Tensor:
        """Measurements of clean data, each with the noise of its seed."""
        seeds = [sample_seed(seed, 2**32) for seed in seeds]  # no sample has this number
        return self.noise.add(self.operator.forward(clean), Seeded(seeds, field="measurement"))

    def in_states(self, y: Tensor) -> Measurement:
        """The same measurements as measurements of the model's states.

        Raises:
            UsageError: The model's codec has no gradients.
        """
        codec, shape = self.pipeline.codec, self.pipeline.state_shape
        if isinstance(codec, Pixels):
            return Measurement(self.operator, y, self.noise)
        gaussian = isinstance(self.noise, GaussianNoise)
        if self.linear and gaussian and isinstance(codec, Standardize | Flat):
            # y = A (std z + mean): the mean's part is taken off.
            y = y - self.operator.forward(codec.decode(torch.zeros(1, *shape)))
            scaled = Scaled(shape, codec.std, self.pipeline.shape)
            return Measurement(self.operator @ scaled, y, self.noise)
        through = ThroughCodec(shape, self.operator, decoder(self.pipeline))
        return Measurement(through, y, self.noise)


@dataclass(frozen=True, eq=False)
class Damages:
    """What happened to each of several images.

    Attributes:
        pipeline: The model.
        operator: As written; `mask:FOLDER` holds a mask for each image, of the image's name.
        noise: As written.
        one: The damage of all images; None: each has a mask of its own.
    """

    pipeline: Pipeline
    operator: str
    noise: Noise
    one: Damage | None

    @classmethod
    def of(cls, pipeline: Pipeline, operator: str, noise: Noise) -> "Damages":
        """From what is written.

        Raises:
            UsageError: It makes no sense for this model's data.
        """
        try:
            one = Damage.of(pipeline, operator, noise)
        except MasksError:
            read_noise(noise)
            one = None
        return cls(pipeline, operator, noise, one)

    def to(self, image: str) -> Damage:
        """What happened to an image of this name.

        Raises:
            MissingError: It has no mask.
            UsageError: Its mask has another size, greys, or nothing that is hidden.
        """
        return self.one or Damage.of(self.pipeline, self.operator, self.noise, image)


def decoder(pipeline: Pipeline) -> Callable[[Tensor], Tensor]:
    """From states to data in its unit, with gradients.

    Raises:
        UsageError: The model's codec has none.
    """
    codec = pipeline.codec
    if isinstance(codec, Pixels):
        return lambda z: z
    if isinstance(codec, Standardize | Flat):
        return codec.decode
    if isinstance(codec, KLAutoencoder) and isinstance(codec.pixels, Pixels):
        net = codec.components["autoencoder"].eval().requires_grad_(False)
        like = next(net.parameters())
        return lambda z: codec.net.decode(codec.scale.decode(z).to(like)).to(z)
    raise UsageError(
        f"the model's codec {codec.name} cannot be differentiated, so nothing can be measured "
        f"through it; take a model of pixels, or in the latents of an autoencoder"
    )


def to_unit(data: np.ndarray) -> Tensor:
    """Data as stored in its unit: bytes to -1..1, other numbers as they are."""
    x = torch.from_numpy(np.array(data))
    return x.float() / 127.5 - 1 if data.dtype == np.uint8 else x.float()


def from_unit(x: Tensor, like: np.ndarray) -> np.ndarray:
    """Back to data as stored, such as `like`."""
    if like.dtype != np.uint8:
        return x.numpy().astype(like.dtype)
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()


def read_noise(noise: Noise) -> MeasurementNoise:
    """The noise that is written: a standard deviation, or `poisson:PEAK`.

    Raises:
        UsageError: It is neither.
    """
    if isinstance(noise, MeasurementNoise):
        return noise
    text = str(noise).strip()
    kind, colon, peak = text.partition(":")
    try:
        return PoissonNoise(float(peak)) if kind == "poisson" and colon else GaussianNoise(
            float(text)
        )  # fmt: skip
    except ValueError:
        raise UsageError(
            f"noise {text!r}: write its standard deviation in the unit of the data, which for "
            f"images goes from -1 to 1, such as 0.05; or poisson:30 for at most 30 photons"
        ) from None


def read_file(kind: str, path: str, shape: tuple[int, ...], image: str | None = None) -> Tensor:
    """What a file holds for an operator.

    Args:
        kind: `mask` (white is hidden), `kernel` (an image) or `matrix` (.npy or .safetensors).
        path: The file; of masks also a folder, of which the one called as `image` is taken.
        shape: Of one state.
        image: Name of the image.

    Raises:
        UsageError: It cannot be read, or has greys where none are allowed.
        MasksError: It is a folder of masks, and there is no `image`.
        DataError: It is damaged.
        MissingError: There is none.
    """
    if kind == "matrix":
        return read_matrix(path)
    if kind == "mask" and Path(path).is_dir():
        if image is None:
            raise MasksError(
                f"{path} is a folder of masks, one for each file of a folder of images; name the "
                f"file of one mask"
            )
        mask = called(Path(path), image)
        if not mask.is_file():
            raise MissingError(
                f"there is no mask {mask} for {image}; a mask has the name of its image"
            )
        path = str(mask)
    if path.endswith(".npy"):
        found = torch.from_numpy(read_array(path).astype(np.float32))
        return found > 0 if kind == "mask" else found
    pixels = read_image(path, 1, None)[0]
    if kind == "kernel":
        return torch.from_numpy(pixels / np.float32(255))
    greys = (pixels > 0) & (pixels < 255)
    if greys.any():
        raise UsageError(
            f"mask {path} has {int(greys.sum())} grey pixels, and what is measured is either "
            f"hidden (white) or seen (black); make it black and white"
        )
    if not pixels.any():
        raise UsageError(f"mask {path} is empty, so nothing is hidden; make white what is hidden")
    if pixels.shape != shape[-2:]:
        raise UsageError(
            f"mask {path} has {pixels.shape[1]}x{pixels.shape[0]} pixels, and the data is "
            f"{shape[-1]}x{shape[-2]}; resize it"
        )
    return torch.from_numpy(pixels > 0)


def read_array(path: str) -> np.ndarray:
    """The numbers of an array file, `.npy`.

    Raises:
        MissingError: There is none.
        DataError: It is damaged, or holds no real numbers.
        RefusedError: It holds Python objects.
    """
    file = Path(path)
    if not file.is_file():
        raise MissingError(f"there is no array {path}")
    _, kind = head(file, "train")
    if kind.kind not in "biuf":
        raise DataError(f"{path} holds {kind}, and real numbers are needed")
    with readable(file):
        return np.array(np.load(file, allow_pickle=False))


def read_matrix(path: str) -> Tensor:
    """A matrix from an array file, or from a file of one tensor.

    Raises:
        UsageError: It holds something else.
        DataError: It is damaged.
        MissingError: There is none.
    """
    if not path.endswith(".safetensors"):
        return torch.from_numpy(read_array(path).astype(np.float64))
    tensors = read_tensors(path)
    if len(tensors) != 1:
        raise UsageError(f"{path} holds {len(tensors)} tensors; give a file of one, the matrix")
    (matrix,) = tensors.values()
    return matrix.double()
