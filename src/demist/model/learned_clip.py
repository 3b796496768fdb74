"""A small CLIP that was trained, as it is saved.

```
model_index.json      class DemistClip, its prompts, shape, facts, sums
text_encoder/         as transformers' CLIPTextModelWithProjection has it
tokenizer/            as transformers' CLIPTokenizer has it
image_encoder/        the image tower and the scale of cosines; config.json describes both towers
```
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from demist import runs
from demist.conditions import ClipText, Conditioner
from demist.conditions.clip_words import files
from demist.errors import DataError, MissingError, UsageError
from demist.io.files import read_json, sha256, write_json, write_text
from demist.io.folders import atomic_folder
from demist.io.tensors import read_tensors, write_tensors
from demist.io.untrusted import inside, refuse_links_out
from demist.machine.streams import tell
from demist.model import components, folder
from demist.model.consistent import INDEX as DECLARED
from demist.model.consistent import require_declared
from demist.model.folder import CLIP, FORMAT, INDEX
from demist.model.sums import read_listed, require_sealed, require_sum, sealed_index, short
from demist.networks.clip import Clip
from demist.networks.published.clip_text import transformers_config
from demist.runs import Run, checkpoint
from demist.version import __version__

TEXT, IMAGE, WORDS = "text_encoder", "image_encoder", "tokenizer"
CONFIG, WEIGHTS = f"{IMAGE}/config.json", "model.safetensors"
BLOCK = 128
"""Images or prompts that are looked at together."""


@dataclass(frozen=True)
class LearnedClip:
    """A CLIP with where it comes from; it makes vectors of images and prompts.

    Attributes:
        net: Both towers.
        text: Makes tokens of prompts.
        shape: Of the images it was trained on, `(C, H, W)`.
        facts: Where it comes from (data, steps, ...), as JSON values.
    """

    net: Clip
    text: ClipText
    shape: tuple[int, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def conditioner(self) -> Conditioner:
        """The prompt, which is read beside the image."""
        return Conditioner({ClipText.reads: self.text})

    def components(self) -> Mapping[str, nn.Module]:
        """Both towers as one network."""
        return {"clip": self.net}

    @property
    def sha256(self) -> str:
        """Of all weights, in hexadecimal."""
        return components.hash_of(self.components())

    @property
    def recipe(self) -> str:
        """What it is, in a few words, with a hash; printed beside every number made with it."""
        sides = "x".join(map(str, self.shape[1:]))
        return f"CLIP of {self.facts.get('data') or 'this program'}, {sides}, {self.sha256[:12]}"

    def to(self, device: str | torch.device) -> "LearnedClip":
        """This CLIP, its towers moved to `device`."""
        self.net.to(device)
        return self

    @torch.no_grad()
    def see(self, images: np.ndarray | Tensor) -> np.ndarray:
        """Unit vectors `(n, d)` of images, bytes `(n, C, H, W)`.

        Images of another size are resized and those of other channels converted, which is told.
        """
        net, found = self.net.eval(), []
        device = net.logit_scale.device
        self._tell_of(tuple(images.shape[1:]))
        for begin in range(0, len(images), BLOCK):
            part = torch.as_tensor(np.array(images[begin : begin + BLOCK])).to(device)
            found.append(net.see(net.fitted(part.float() / 127.5 - 1)).cpu().numpy())
        return np.concatenate(found)

    @torch.no_grad()
    def read(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors `(n, d)` of prompts; of what is too long the beginning, which is told."""
        kept, found = [self.text.cut(text) for text in texts], []
        if cut := sum(a != b for a, b in zip(kept, texts, strict=True)):
            tell(f"CLIP reads {self.text.length} tokens: of {cut} of {len(kept)} prompts the start")
        for begin in range(0, len(kept), BLOCK):
            part = kept[begin : begin + BLOCK]
            tokens = self.text.encode(part, len(part))["tokens"].to(self.net.logit_scale.device)
            found.append(self.net.eval().read(tokens).cpu().numpy())
        return np.concatenate(found)

    def _tell_of(self, shape: tuple[int, ...]) -> None:
        if shape != self.shape:
            given, own = ("x".join(map(str, s)) for s in (shape, self.shape))
            tell(f"CLIP sees images of {own}: these, of {given}, are resized for it")

    def describe(self) -> dict[str, Any]:
        """All but the weights: name of a JSON file -> content."""
        return {
            INDEX: {
                "_class_name": CLIP,
                "_demist_version": __version__,
                "format": FORMAT,
                TEXT: ["transformers", "CLIPTextModelWithProjection"],
                WORDS: ["transformers", "CLIPTokenizer"],
                IMAGE: ["demist", "Clip"],
                "prompts": folder.to_json(self.text),
                "shape": list(self.shape),
                "facts": dict(self.facts),
            },
            CONFIG: components.config_of(self.net),
        }

    def of_weights(self, tensors: Mapping[str, Tensor]) -> "LearnedClip":
        """This CLIP with weights that hold these tensors."""
        return _made(self.describe(), tensors, "the weights given")

    def with_facts(self, facts: Mapping[str, Any]) -> "LearnedClip":
        """This CLIP with other facts."""
        return replace(self, facts=facts)

    def save(self, path: str | os.PathLike[str], *, replace: bool = False) -> Path:
        """Write it to a new folder, all of it or nothing.

        Raises:
            CannotCreateError: The folder exists and `replace` is false.
        """
        description = self.describe()
        with atomic_folder(path, replace=replace) as temporary:
            write_text_tower(temporary, self.net.text, self.text)
            (temporary / IMAGE).mkdir()
            write_json(temporary / CONFIG, description[CONFIG])
            rest = {k: v for k, v in self.net.state_dict().items() if k[:5] != "text."}
            write_tensors(temporary / IMAGE / WEIGHTS, rest)
            names = sorted(p for p in temporary.rglob("*") if p.is_file())
            sums = {p.relative_to(temporary).as_posix(): sha256(p) for p in names}
            write_json(temporary / INDEX, sealed_index(description[INDEX], sums))
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "LearnedClip":
        """Read a saved CLIP, to the CPU.

        Raises:
            MissingError: There is none.
            DataError: It is damaged, or of another format.
            RefusedError: A file is a pickle, or a link out of the folder.
        """
        where = Path(path)
        index = read_json(inside(where, INDEX))
        require_sealed(index, where / INDEX)
        tensors = dict[str, Tensor]()
        for place, prefix in ((TEXT, "text."), (IMAGE, "")):
            file = inside(where, f"{place}/{WEIGHTS}")
            tensors |= {prefix + name: value for name, value in read_tensors(file).items()}
            require_sum(sha256(file), f"{place}/{WEIGHTS}", index, file)
        return _made({INDEX: index, CONFIG: read_listed(where, CONFIG, index)}, tensors, str(where))

    @classmethod
    def from_run(cls, run: Run) -> "LearnedClip":
        """That of a run, with averaged weights.

        Raises:
            MissingError: It has no checkpoint yet.
            DataError: No checkpoint is good, or the run trains something else.
        """
        refuse_links_out(run.path)
        found = checkpoint.load_newest(run.checkpoints, warnings.warn, repair=False)
        if found is None:
            raise MissingError(f"{run.path} has no checkpoint; one is written every minute")
        made = _made(folder.of_run(run, found), found.parts["ema"], str(run.path))
        return replace(made, facts={**made.facts, "step": found.step})


def write_text_tower(place: Path, net: Any, text: ClipText) -> None:
    """Write a text tower and its words into a folder that is being made, as transformers does.

    Args:
        place: The folder.
        net: A `networks.published.clip_text.ClipText`.
        text: Makes its tokens.
    """
    (place / TEXT).mkdir()
    write_json(place / TEXT / "config.json", transformers_config(net))
    write_tensors(place / TEXT / WEIGHTS, net.state_dict(), {"format": "pt"})
    (place / WORDS).mkdir()
    for name, content in files(text.pairs, text.length).items():
        write = write_text if isinstance(content, str) else write_json
        write(place / WORDS / name, content)


def is_clip(path: Path) -> bool:
    """Whether a folder holds a saved CLIP of this program."""
    if not (path / INDEX).is_file():
        return False
    return bool(read_json(path / INDEX).get("_class_name") == CLIP)


def open_clip(spec: str, root: str | os.PathLike[str] = "runs") -> LearnedClip:
    """The CLIP that `spec` names: a saved one, or a run that trains one.

    Args:
        spec: A folder, or a run: its folder, its number, its name or `latest`.
        root: Folder of runs.

    Raises:
        MissingError: There is none.
        DataError: It is damaged, or something else.
    """
    if (Path(spec) / INDEX).is_file():
        return LearnedClip.load(spec)
    try:
        run = runs.find(spec, root)
    except MissingError as error:
        raise MissingError(f"clip = {spec!r}: no saved CLIP, and {error}") from None
    if (run.model / INDEX).is_file():
        return LearnedClip.load(run.model)
    return LearnedClip.from_run(run)


def _made(description: Mapping[str, Any], tensors: Mapping[str, Tensor], where: str) -> LearnedClip:
    index = description[INDEX]
    if index.get("_class_name") != CLIP:
        raise UsageError(
            f"{where} holds a {short(index.get('_class_name'))}, no CLIP; train one: "
            f"demist train PATH --recipe clip"
        )
    if index.get("format") != FORMAT:
        raise DataError(
            f"{where} has format {short(index.get('format'))}, and this version ({__version__}) "
            f"reads {FORMAT}; update demist to {short(index.get('_demist_version'))} or later"
        )
    net = components.build(Clip, description.get(CONFIG, {}), tensors, where)
    try:
        require_declared(index, DECLARED)
        text, shape, facts = (
            folder.from_json(index["prompts"], where),
            index["shape"],
            index["facts"],
        )
        config, spec = net.config, text.spec()
        if not isinstance(text, ClipText) or any(
            config[key] != spec[key] for key in ("vocabulary", "length")
        ):
            raise ValueError("its prompts are not those of its text tower")
        if [config["in_channels"], *config["size"]] != list(shape):
            raise ValueError("its images are not those of its image tower")
        return LearnedClip(net, text, tuple(shape), facts)
    except DataError:
        raise
    except Exception as error:  # what a file says may make a part raise anything
        raise DataError(f"{where} does not describe a CLIP: {error}") from None
