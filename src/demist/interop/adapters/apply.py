"""Adapters on a model: files that change its networks, applied in the order that they are given."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn

from demist.conditions import Conditioner
from demist.core import Denoiser
from demist.errors import MissingError, UsageError
from demist.interop.adapters.aliases import aliases_of
from demist.interop.adapters.embedding import Embedding, checked_word, with_embeddings
from demist.interop.adapters.fit import Change, fitted
from demist.interop.adapters.lora import Lora
from demist.interop.adapters.merge import merged
from demist.interop.adapters.readers import readers_of, with_readers
from demist.networks.published import Published

TAG = re.compile(r"<lora:([^:<>]+)((?::[^:<>]*)*)>")
READ = re.compile(r"lora_te|text_encoder|clip_[lg]\.|t5xxl\.|(.*\.)?text_model\.")
"""Names of layers that belong to a text encoder, which is opened for them."""


def weighted_file(text: str) -> tuple[Path, float]:
    """The file and the weight in `FILE:0.8`; 1 where no weight is written."""
    head, colon, tail = text.rpartition(":")
    if colon and head and not Path(text).exists():
        try:
            return Path(head), _weight(text, tail)
        except ValueError:
            pass
    return Path(text), 1.0


def with_loras(
    denoiser: Denoiser, conditioner: Conditioner, loras: Sequence[tuple[Lora, float]]
) -> tuple[Denoiser, Conditioner]:
    """A denoiser and conditions whose networks are changed; those given stay as they were.

    Args:
        denoiser: Of a published network.
        conditioner: Its text encoders are changed where a file says so.
        loras: Each with its weight; their changes are added up.

    Raises:
        UsageError: The network is not a published one.
        DataError: A file does not fit the model.
    """
    net = denoiser.net
    if not isinstance(net, Published):
        raise UsageError(
            f"{loras[0][0].place}: a LoRA names the layers of a published network, and this model "
            f"is a {type(net).__name__}; leave it out"
        )
    for lora, _ in loras:
        words = [
            Embedding(lora.place, checked_word(word, lora.place), {"text_encoder": table})
            for word, table in lora.words.items()
        ]
        conditioner = with_embeddings(conditioner, words)
    readers = readers_of(conditioner)
    parts: dict[str, nn.Module] = {net.folder: net}
    if any(READ.match(stem) for lora, _ in loras for stem in lora.layers):
        parts |= {name: reader.model for name, reader in readers.items()}
    found: dict[str, list[tuple[Change, float]]] = {}
    aliases = aliases_of(net)
    for lora, weight in loras:
        for change in fitted(lora, parts, aliases):
            found.setdefault(change.target.component, []).append((change, weight))
    denoiser = merged(denoiser, found.pop(net.folder, ()), "net.")
    new = {name: readers[name].changed(_merging(changes)) for name, changes in found.items()}
    return denoiser, with_readers(conditioner, new)


def _merging(changes: Sequence[tuple[Change, float]]) -> Callable[[nn.Module], nn.Module]:
    return lambda model: merged(model, changes)


def named_in(prompt: str, folders: Sequence[Path]) -> tuple[str, list[tuple[Path, float]]]:
    """A prompt without its `<lora:name:0.8>`, and the files and weights that these name.

    Args:
        prompt: As it was typed.
        folders: Where the files are looked for, by their names without an ending.

    Raises:
        MissingError: A name is in none of the folders.
        UsageError: A weight is no number.
    """
    found = []
    for match in TAG.finditer(prompt):
        name, weight = match[1], match[2][1:] or "1"
        try:
            found.append((_find(name, folders), _weight(match[0], weight)))
        except ValueError:
            raise UsageError(f"{match[0]}: {weight!r} is no weight; write {name}:0.8") from None
    return " ".join(TAG.sub(" ", prompt).split()) if found else prompt, found


def _weight(text: str, word: str) -> float:
    weight = float(word)
    if not abs(weight) <= 100:
        raise UsageError(f"{text}: a weight is between -100 and 100, and usually between 0 and 1")
    return weight


def _find(name: str, folders: Sequence[Path]) -> Path:
    for folder in folders:
        for path in sorted(folder.rglob("*.safetensors")):
            if name in (path.stem, path.name):
                return path
    places = f" in {', '.join(map(str, folders))}" if folders else ", and no folder is said"
    raise MissingError(
        f"<lora:{name}> names no file {name}.safetensors{places}; say where with --lora-folder"
    )
