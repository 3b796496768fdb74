"""Latents of a whole data set, made once and kept in the cache folder.

A file is named by a hash of the autoencoder's weights and of the data, so a change of either makes
another file. It holds what the autoencoder gives, neither centred nor scaled, and is read through a
memory map: the memory it takes is the system's to give and take.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from demist.codecs import Codec, KLAutoencoder
from demist.data import Dataset
from demist.errors import DataError, StorageError, remedy
from demist.io.files import cache_folder, sha256, write_json
from demist.io.folders import atomic_folder
from demist.io.untrusted import read_small
from demist.model.components import hash_of
from demist.training.parallel import ALONE, World
from demist.training.streams import permutation

FORMAT, BLOCK, MEASURED = 1, 256, 8192
"""Version of the files; items encoded at a time; and of how many the scale is measured."""


@dataclass(frozen=True)
class Latents:
    """What a model in latents learns from.

    Attributes:
        x: `(N, k, h, w)` float32, neither centred nor scaled.
        mirrored: The same of the data mirrored left-right, or None.
        codec: The codec, its scale measured.
        encode: The part of it that is still to be done: centre and scale.
    """

    x: np.ndarray
    mirrored: np.ndarray | None
    codec: Codec
    encode: Codec


def latents(
    codec: Codec, data: Dataset, *, flip: bool, measure: bool = True, world: World = ALONE
) -> Latents | None:
    """The latents of `data`, from the cache if they are there; None for a codec without networks.

    Args:
        codec: On the device on which to encode.
        data: Images.
        flip: Whether those of the mirrored data are needed.
        measure: Measure the scale on this data; else it stays the codec's.
        world: The processes that train together; the first makes them, all read them.

    Raises:
        UsageError: The data does not fit the codec.
        DataError: The latents are all alike, or not finite.
        StorageError: They cannot be written.
    """
    if not isinstance(codec, KLAutoencoder):
        return None
    codec.state_shape(data.x.shape[1:])  # refuse at once what does not fit
    found: list[np.ndarray] = []
    for mirrored in (False, True)[: 1 + flip]:
        first = _kept(codec, data, mirrored) if world.first else None
        world.agree(True)  # the others wait for the first
        found.append(_kept(codec, data, mirrored) if first is None else first)
    if measure:
        rows = np.sort(permutation(0, 0, len(data))[:MEASURED])
        codec = codec.measured(torch.from_numpy(found[0][rows]))
    return Latents(found[0], found[1] if flip else None, codec, codec.scale)


def _kept(codec: KLAutoencoder, data: Dataset, mirrored: bool) -> np.ndarray:
    """The file's content as a memory map; made first if it is missing or damaged."""
    key = f"{FORMAT}/{hash_of(codec.components)}/{codec.pixels}/{data.fingerprint}/{mirrored}"
    folder = cache_folder() / "latents" / hashlib.sha256(key.encode()).hexdigest()[:32]
    if not _whole(folder):
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with atomic_folder(folder, replace=True) as temporary:
                _make(codec, data, mirrored, temporary)
        except OSError as error:
            raise StorageError(
                f"cannot write the latents to {folder}: {error.strerror or error}; "
                f"{remedy(error)}, or set DEMIST_CACHE to another folder"
            ) from None
    found: np.ndarray = np.load(folder / "latents.npy", mmap_mode="r", allow_pickle=False)
    return found


def _whole(folder: Path) -> bool:
    try:
        known = json.loads(read_small(folder / "sha256.json"))
        return bool(known == {"sha256": sha256(folder / "latents.npy")})
    except (OSError, ValueError, RecursionError, DataError):
        return False


def _make(codec: KLAutoencoder, data: Dataset, mirrored: bool, folder: Path) -> None:
    n, shape = len(data), codec.state_shape(data.x.shape[1:])
    header = {"descr": "<f4", "fortran_order": False, "shape": (n, *shape)}
    # Not through a memory map: on a full disk, writing to that kills the process.
    with (folder / "latents.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for begin in tqdm(range(0, n, BLOCK), "encoding", delay=1, leave=False, disable=None):
            x = np.array(data.x[begin : begin + BLOCK])
            x = np.ascontiguousarray(x[..., ::-1]) if mirrored else x
            found = codec.latents(torch.from_numpy(x)).float().cpu().numpy()
            file.write(found.astype("<f4").tobytes())
    write_json(folder / "sha256.json", {"sha256": sha256(folder / "latents.npy")})
