"""A denoiser led by control images, and pipelines with control networks."""

import inspect
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from demist.conditions import Conditioner, ReadImage, nested, typed_control
from demist.core import Denoiser, Prediction, Schedule, State
from demist.errors import UsageError
from demist.interop import controls, read_control
from demist.io import hub
from demist.model.values import value_of
from demist.networks.published import ControlNet, Published

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

AT = 1e-6
"""How far beside a window a time still counts as its end, which is held in float32."""
SEEN = frozenset(inspect.signature(ControlNet.control).parameters)
"""Arguments of a ControlNet; most are those of the U-Net."""


@dataclass(frozen=True, eq=False)
class Controlled:
    """A denoiser whose U-Net is led by networks that read a further image.

    Outside of its window, or at scale 0 in all samples, a network is not run.

    Attributes:
        denoiser: With the U-Net.
        controls: The networks by the names of their conditions.
    """

    denoiser: Denoiser
    controls: Mapping[str, Published]

    @property
    def schedule(self) -> Schedule:
        """The denoiser's."""
        return self.denoiser.schedule

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        """Predict both ends of the line through `x` at time `t`, of shape `()` or `(B,)`."""
        assert isinstance(x, Tensor)
        given = nested({k: v for k, v in cond.items() if k.partition(".")[0] in self.controls})
        rest = {k: v for k, v in cond.items() if k.partition(".")[0] not in self.controls}
        down: list[Tensor] = []
        middle: list[Tensor] = []
        inside: list[Tensor] = []
        for name, parts in given.items():
            maps, net = dict(parts), self.controls[name]
            strength = _strength(maps.pop("how"), t)
            if not strength.any():
                continue
            strength = strength[:, None, None, None]
            if isinstance(net, ControlNet):
                added, mid = self._added(net, x, t, maps["image"], strength, rest)
                _add(down, added)
                _add(middle, [mid])
            else:
                work = self.denoiser.dtype or x.dtype
                _add(inside, [(strength * m).to(work) for m in maps.values()])
        further: dict[str, Any] = {"down": down, "mid": middle[0]} if down else {}
        further |= {"inside": inside} if inside else {}
        p: Prediction = self.denoiser(x, t, **rest, **further)
        return p

    def _added(
        self,
        net: ControlNet,
        x: Tensor,
        t: Tensor,
        image: Tensor,
        strength: Tensor,
        cond: Mapping[str, Any],
    ) -> tuple[list[Tensor], Tensor]:
        """What a ControlNet adds, which sees what the U-Net sees, as many samples at once."""
        alpha, sigma = self.schedule(t)
        clock = self.denoiser.clock(t, alpha, sigma).to(x.device, torch.float32).expand(len(x))
        assert isinstance(self.denoiser.net, Published)
        seen = self.denoiser.net.routed(cond)
        kind = next(net.parameters()).dtype
        given = {"x": x.to(kind), "t": clock, "hint": image, "strength": strength.to(kind)}
        given |= {key: value for key, value in seen.items() if key in SEEN}
        k, work = self.denoiser.at_once or len(x), self.denoiser.dtype or x.dtype
        pieces = []
        for i in range(0, len(x), k):
            down, mid = net.control(**{key: value[i : i + k] for key, value in given.items()})
            pieces.append([*down, mid])
        *down, mid = (torch.cat(maps).to(work) for maps in zip(*pieces, strict=True))
        return down, mid


def _strength(how: Tensor, t: Tensor) -> Tensor:
    """`(B,)`: the scale within the window, 0 outside of it."""
    scale, begin, end = how.unbind(1)
    t = t.to(torch.float32).to(how.device)
    return scale * ((t <= begin + AT) & (t >= end - AT))


def _add(sums: list[Tensor], maps: Sequence[Tensor]) -> None:
    """Add maps to what there is of them already."""
    sums[:] = [a + b for a, b in zip(sums, maps, strict=True)] if sums else maps


def say_what_is_missing(pipeline: "Pipeline", cond: Mapping[str, Any]) -> None:
    """Warn of control networks of which nothing is said, and which so do nothing."""
    idle = [name for name in pipeline.controls if name not in cond]
    if idle:
        warnings.warn(
            f"no image is given for {', '.join(idle)}, so the model samples without; "
            f"demist sample has --control IMAGE, Python sample({idle[0]}=image)",
            stacklevel=2,
        )


def with_controls(
    pipeline: "Pipeline", nets: Sequence[Published | str | os.PathLike[str]]
) -> "Pipeline":
    """See `Pipeline.controlled`."""
    first = len(pipeline.controls) + 1
    dtype = torch.float32 if pipeline.origin is None else pipeline.origin.dtype
    added: dict[str, Published] = {
        controls.name_of(number): net
        if isinstance(net, Published)
        else read_control(hub.local(os.fspath(net)), dtype)
        for number, net in enumerate(nets, start=first)
    }
    device = pipeline.device
    for net in added.values():
        net.to(device)
    further = controls.conditions_of(added, pipeline.denoiser.net, pipeline.codec, pipeline.shape)
    return replace(
        pipeline,
        conditioner=Conditioner({**pipeline.conditioner.conditions, **further}),
        controls={**pipeline.controls, **added},
    )


def from_flags(
    pipeline: "Pipeline", texts: Sequence[str], read_image: ReadImage
) -> tuple["Pipeline", dict[str, Any]]:
    """A pipeline with the control networks of `--control`, and the values of their conditions.

    Args:
        pipeline: The model.
        texts: Each `FOLDER=IMAGE`; or `IMAGE` for the next network that the model came with. What
            may follow the image, see `demist.conditions.ControlImage`.
        read_image: Reads the image files.

    Raises:
        UsageError: A text is not written so.
        DataError: A network does not fit the model.
    """
    own, names, found = list(pipeline.controls), [], []
    for text in texts:
        folder, image = split(text)
        if folder:
            pipeline = pipeline.controlled([folder])
            names.append(list(pipeline.controls)[-1])
        elif own:
            names.append(own.pop(0))
        else:
            raise UsageError(
                f"--control {text}: write FOLDER=IMAGE, FOLDER being that of a ControlNet or a "
                f"T2I-Adapter; this model has none of its own"
                + (" left" if pipeline.controls else "")
            )
        found.append(image)
    values = {
        name: value_of(pipeline, name, image, read_image)
        for name, image in zip(names, found, strict=True)
    }
    return pipeline, values


def split(text: str) -> tuple[str, str]:
    """Folder and image in `FOLDER=IMAGE`, at the first `=` that ends a folder or a name of the hub.

    Raises:
        UsageError: None is.
    """
    places = [i for i, letter in enumerate(text) if letter == "="]
    for i in places:
        if Path(text[:i]).is_dir() or hub.is_named(text):
            return text[:i], text[i + 1 :]
    if places and not Path(typed_control(text)[0]).is_file():
        name = text[: places[0]]
        why = f"{name} is a file, and" if Path(name).is_file() else f"there is no folder {name};"
        raise UsageError(
            f"--control {text}: {why} a control network is a folder with a config.json and weights"
        )
    return "", text
