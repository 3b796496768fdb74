"""A codec that was trained, as it is saved: a folder as a model's, without a denoiser.

```
model_index.json      class DemistCodec, codec, shape, facts
autoencoder/...       its network; see `demist.model.components`
```
"""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from demist import runs
from demist.codecs import Codec
from demist.conditions import Conditioner
from demist.errors import DataError, MissingError, UsageError
from demist.interop import codec_of_folder, is_published
from demist.io import hub
from demist.io.files import read_json, write_json
from demist.io.folders import atomic_folder
from demist.io.untrusted import inside, refuse_links_out
from demist.model import components, encoders, folder, relearned
from demist.model.consistent import INDEX as DECLARED
from demist.model.consistent import require_declared
from demist.model.folder import CODEC, FORMAT, INDEX
from demist.model.pipeline import Pipeline
from demist.model.sums import read_sealed, require_sealed, sealed, sealed_index, short
from demist.runs import Run, checkpoint
from demist.version import __version__

CONFIG = "config.json"
"""Of an autoencoder of another maker that is alone in its folder."""


@runtime_checkable
class Trained(Protocol):
    """What comes of a run: a `Pipeline`, a `LearnedCodec`, ..."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Where it comes from, as JSON values."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the data of one sample."""

    @property
    def conditioner(self) -> Conditioner:
        """Its conditions."""

    def components(self) -> Mapping[str, nn.Module]:
        """Its networks by name, the one that is trained first."""

    def of_weights(self, tensors: Mapping[str, Tensor]) -> "Trained":
        """The same with other weights of its first network."""

    def with_facts(self, facts: Mapping[str, Any]) -> "Trained":
        """The same with other facts."""

    def save(self, path: str | os.PathLike[str], *, replace: bool = False) -> Path:
        """Write it to a new folder, all of it or nothing."""


@dataclass(frozen=True)
class LearnedCodec:
    """A codec with where it comes from.

    Attributes:
        codec: With one network or more.
        shape: Of the data of one sample it was trained on, `(C, H, W)`.
        facts: Where it comes from (data, steps, ...), as JSON values.
    """

    codec: Codec
    shape: tuple[int, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def conditioner(self) -> Conditioner:
        """It has no conditions."""
        return Conditioner({})

    def components(self) -> Mapping[str, nn.Module]:
        """Its networks by name, the one that is trained first."""
        return self.codec.components

    def to(self, device: str | torch.device) -> "LearnedCodec":
        """This codec, its networks moved to `device`."""
        self.codec.to(device)
        return self

    def describe(self) -> dict[str, Any]:
        """All but the weights: name of a JSON file -> content."""
        nets = self.components()
        return {
            INDEX: {
                "_class_name": CODEC,
                "_demist_version": __version__,
                "format": FORMAT,
                **components.classes_of(nets),
                "shape": list(self.shape),
                "codec": components.codec_json(self.codec, folder.to_json),
                "facts": dict(self.facts),
            },
            **{
                f"{name}/config.json": components.config_of(net, self.codec)
                for name, net in nets.items()
            },
        }

    def of_weights(self, tensors: Mapping[str, Tensor]) -> "LearnedCodec":
        """This codec with other weights of its first network, which hold these tensors."""
        description, where = self.describe(), "the weights given"
        first = _first(description[INDEX], where)
        config = description[f"{first}/config.json"]
        net = components.further(first, config, tensors, where)
        return _made(description[INDEX], {**self.components(), first: net}, where)

    def with_facts(self, facts: Mapping[str, Any]) -> "LearnedCodec":
        """This codec with other facts."""
        return replace(self, facts=facts)

    def save(self, path: str | os.PathLike[str], *, replace: bool = False) -> Path:
        """Write the codec to a new folder, all of it or nothing.

        Raises:
            CannotCreateError: The folder exists and `replace` is false.
        """
        with atomic_folder(path, replace=replace) as temporary:
            sums = components.write(temporary, self.components(), self.codec)
            write_json(temporary / INDEX, sealed_index(self.describe()[INDEX], sums))
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "LearnedCodec":
        """Read a saved codec, to the CPU; or that of a saved model in latents.

        Of another maker, the folder of an autoencoder, or of a model that has one.

        Raises:
            MissingError: There is none.
            DataError: It is damaged, of another format, or has no network.
            RefusedError: A file is a pickle, or a link out of the folder.
        """
        name = os.fspath(path)
        where = hub.fetched(name, "model") if hub.is_named(name) else Path(name)
        if is_published(where):
            return _foreign(where)
        index = read_json(inside(where, INDEX))
        _require_format(index, str(where))
        require_sealed(index, where / INDEX)
        return _made(index, components.read(where, index), str(where))

    @classmethod
    def from_run(cls, run: Run) -> "LearnedCodec":
        """That of a run: the one it trains, with averaged weights, or the one it uses.

        Raises:
            MissingError: It has no checkpoint yet.
            DataError: No checkpoint is good, or the run's model has no learned codec.
        """
        refuse_links_out(run.path)
        description, where = read_sealed(run.description), str(run.path)
        index = description[INDEX]
        if relearned.is_described(index):
            return _foreign(run.path / relearned.FOLDER)
        if index.get("_class_name") != CODEC:
            return _made(index, components.read(run.path, index), where)
        found = checkpoint.load_newest(run.checkpoints, warnings.warn, repair=False)
        if found is None:
            raise MissingError(f"{run.path} has no checkpoint; one is written every minute")
        description = folder.of_run(run, found)
        index = description[INDEX]
        first = _first(index, where)
        config = description.get(f"{first}/config.json", {})
        net = components.further(first, config, found.parts["ema"], where)
        made = _made(index, {first: net}, where)
        return replace(made, facts={**made.facts, "step": found.step})


def describe(model: Any) -> dict[str, Any]:
    """All of a model but its weights: name of a JSON file -> content."""
    if not isinstance(model, Pipeline):
        return dict(model.describe())
    learned_on = relearned.is_relearned(model)
    return relearned.describe(model) if learned_on else folder.describe(model)


def with_stages(model: Trained, run: Run) -> Trained:
    """What is saved in the end: a model with the stages that the run's options name.

    Raises:
        MissingError: A stage is not there.
        UsageError: One does not fit.
    """
    return model.with_stages_of(run) if isinstance(model, Pipeline) else model


def keep(run: Run, model: Trained) -> dict[str, Any]:
    """Write a run's description, and the networks and encoders that it does not train.

    Returns:
        The description, which belongs into the run's checkpoints, too.
    """
    description = describe(model)
    if relearned.is_described(description[INDEX]):  # the rest is in the model it started from
        write_json(run.description, sealed(description))
        return description
    _, *others = model.components()
    nets = {name: model.components()[name] for name in others}
    sums = components.keep(run.path, nets, getattr(model, "codec", None))
    if isinstance(model, Pipeline):
        sums |= encoders.write(run.path, model.conditioner)
    if sums:
        description[INDEX]["sha256"] = sums
    write_json(run.description, sealed(description))
    return description


def open_codec(spec: str, root: str | os.PathLike[str] = "runs") -> LearnedCodec:
    """The learned codec that `spec` names: a saved codec or model, or a run of either.

    Args:
        spec: A folder, or a run: its folder, its number, or `latest`.
        root: Folder of runs.

    Raises:
        MissingError: There is none.
        DataError: It is damaged.
        UsageError: What is there has no learned codec.
    """
    if hub.is_named(spec) or any((Path(spec) / name).is_file() for name in (INDEX, CONFIG)):
        return LearnedCodec.load(spec)
    try:
        run = runs.find(spec, root)
    except MissingError as error:
        raise MissingError(f"codec = {spec!r}: no saved codec, and {error}") from None
    if (run.model / INDEX).is_file():
        return LearnedCodec.load(run.model)
    return LearnedCodec.from_run(run)


def _first(index: Mapping[str, Any], where: str) -> str:
    if components.CODEC not in index:
        raise UsageError(
            f"{where} has no codec with a network, so nothing to be used as --codec; train one: "
            f"demist train PATH --recipe autoencoder"
        )
    return components.CODEC


def _foreign(where: Path) -> LearnedCodec:
    """That of another maker's folder."""
    codec = codec_of_folder(where)
    net: Any = codec.net
    size = net.config.get("sample_size", 0)
    sides = (size, size) if isinstance(size, int) else tuple(size)
    multiple = net.downsample
    if len(sides) != 2 or any(side < 1 or side % multiple for side in sides):
        sides = (32 * multiple,) * 2
    return LearnedCodec(codec, (net.in_channels, *sides), {"maker": net.kind})


def _require_format(index: Mapping[str, Any], where: str) -> None:
    if index.get("format") != FORMAT:
        number, version = short(index.get("format")), short(index.get("_demist_version"))
        raise DataError(
            f"{where} has format {number}, and this version ({__version__}) reads {FORMAT}; "
            f"update demist to {version} or later"
        )


def _made(index: Mapping[str, Any], nets: Mapping[str, nn.Module], where: str) -> LearnedCodec:
    _require_format(index, where)
    first = _first(index, where)
    nets = {name: net for name, net in nets.items() if name == first}
    try:
        codec = folder.from_json(components.with_networks(index["codec"], nets), where)
        shape, facts = tuple(index["shape"]), index["facts"]
        if codec.components.keys() != nets.keys():
            raise ValueError(f"its codec uses {', '.join(codec.components) or 'no network'}")
        require_declared(index, DECLARED)
        codec.state_shape(shape)
        return LearnedCodec(codec, shape, facts)
    except DataError:
        raise
    except Exception as error:  # what a file says may make a part raise anything
        raise DataError(f"{where} does not describe a codec: {error}") from None
