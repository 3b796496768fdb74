"""Folders of frozen text encoders, which go with the models whose prompts they read.

A saved model and a run hold a copy of each, `text_encoder`, `text_encoder_2` and so on, so that
they stay whole when the encoder is moved or removed. One of more than `LARGEST` bytes stays where
it is, and the model keeps the path to it.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demist.conditions import Conditioner
from demist.conditions.readers import is_own
from demist.errors import MissingError
from demist.io.files import json_sha256, sha256
from demist.io.folders import atomic_folder
from demist.io.untrusted import inside, refuse_links_out
from demist.machine.streams import tell
from demist.model.sums import SUMS, require_sum

NAME = "text_encoder"
LARGEST = 2**30
"""Bytes of an encoder that is copied."""
MOST = 16
"""Encoders of one model."""
WORDS = ("*.json", "*.txt", "*.model", "*.jinja")
"""Files of configurations and tokenizers, as transformers writes them."""
WHOLE, PARTS = "model.safetensors", "model-*.safetensors"
"""Weights of transformers in one file, or in several."""


def copied(conditioner: Conditioner) -> dict[str, str]:
    """The encoders that are saved with a model: folder -> its name in what is saved."""
    known = conditioner.conditions.values()
    folders = dict.fromkeys(folder for c in known for folder in c.saved_folders)
    small = [folder for folder in folders if Path(folder).is_dir() and _size(folder) <= LARGEST]
    return {folder: f"{NAME}_{i}" if i > 1 else NAME for i, folder in enumerate(small, 1)}


def rows(conditioner: Conditioner) -> dict[str, list[str]]:
    """Their rows of `model_index.json`."""
    return {name: ["demist", "TextEncoder"] for name in copied(conditioner).values()}


def write(place: Path, conditioner: Conditioner) -> dict[str, str]:
    """Copy them into sub-folders of a folder, each whole or not there at any moment.

    Where one stays is told.

    Returns:
        Name of each file written -> its SHA-256.
    """
    sums, found = dict[str, str](), copied(conditioner)
    for folder in (f for c in conditioner.conditions.values() for f in c.saved_folders):
        if folder not in found:
            size = f"has {_size(folder) / 1e9:.1f} GB" if Path(folder).is_dir() else "is not there"
            tell(
                f"the text encoder {folder} {size} and is not copied: the model needs it there "
                f"when it samples"
            )
    for folder, name in found.items():
        files = _files(Path(folder))
        with atomic_folder(place / name, replace=True) as temporary:
            for file in files:
                (temporary / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(folder) / file, temporary / file)
        sums |= {f"{name}/{file.as_posix()}": sha256(place / name / file) for file in files}
    return sums


def read(place: Path, index: Mapping[str, Any]) -> dict[str, str]:
    """The encoders that `index` lists: name -> folder, after comparing their files' sums.

    Raises:
        MissingError: A file is not there.
        DataError: One is damaged.
        RefusedError: One is a link out of the folder.
    """
    names = [name for name in (NAME, *(f"{NAME}_{i}" for i in range(2, MOST))) if name in index]
    for name in names:
        refuse_links_out(inside(place, name))
        for file in index.get(SUMS, {}):
            if file.startswith(f"{name}/"):
                path = inside(place, file)
                if not path.is_file():
                    raise MissingError(f"there is no file {path}; copy the model anew")
                require_sum(sha256(path), file, index, path)
    return {name: str((place / name).resolve()) for name in names}


def digest(folder: str) -> str:
    """The same for all copies of an encoder, wherever they are; of one that is absent, where."""
    place = Path(folder)
    if not place.is_dir():
        return folder
    files = {file.as_posix(): sha256(place / file) for file in _files(place)}
    return json_sha256(files)


def _size(folder: str) -> int:
    return sum((Path(folder) / file).stat().st_size for file in _files(Path(folder)))


def _files(folder: Path) -> list[Path]:
    """The files that reading prompts needs, by their names in the folder."""
    if is_own(folder):
        found = (path for path in folder.rglob("*") if path.is_file())
    else:
        weights = WHOLE if (folder / WHOLE).is_file() else PARTS
        found = (path for pattern in (*WORDS, weights) for path in folder.glob(pattern))
    return sorted(path.relative_to(folder) for path in found)
