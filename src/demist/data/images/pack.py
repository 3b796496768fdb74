"""Images into plain tar archives, in WebDataset's layout; `shards` reads them."""

import json
import posixpath
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from tqdm import tqdm

from demist.data.files.tree import Tree, read
from demist.data.images.layout import Listing, arrange, splits_of
from demist.errors import CannotCreateError
from demist.io.files import atomic


def pack(tree: Tree, out: Path, per_shard: int) -> list[Path]:
    """Copy images, as they are, with their classes and captions into archives.

    `000000017.jpg` is followed by `.cls`, the number of its class; `.json` with the class's name,
    unless names are the numbers; and `.txt`, the caption. The same images give the same bytes.

    Args:
        tree: Images; see `layout`.
        out: Folder for `train-00000.tar`, ..., and the same for other splits.
        per_shard: Images in an archive.

    Raises:
        CannotCreateError: The folder holds archives already, or cannot be made.
        DataError: See `arrange`.
        StorageError: A file cannot be read.
    """
    listings = {split: arrange(tree, split) for split in splits_of(tree)}
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreateError(f"cannot make {out}: {error.strerror}") from None
    if any(out.glob("*.tar")):
        raise CannotCreateError(f"{out} holds archives already; choose another folder")
    written = []
    count = sum(len(listing.names) for listing in listings.values())
    with tqdm(total=count, desc="packing", delay=1, leave=False, disable=None) as bar:
        for split, listing in listings.items():
            for number, begin in enumerate(range(0, len(listing.names), per_shard)):
                rows = range(begin, min(begin + per_shard, len(listing.names)))
                target = out / f"{split}-{number:05d}.tar"
                with atomic(target) as new, tarfile.open(new, "w:") as archive:
                    for row in rows:
                        for name, content in _members(tree, listing, row):
                            member = tarfile.TarInfo(name)
                            member.size = len(content)
                            archive.addfile(member, BytesIO(content))
                        bar.update()
                written.append(target)
    return written


def _members(tree: Tree, listing: Listing, row: int) -> Iterator[tuple[str, bytes]]:
    name, key = listing.names[row], f"{row:09d}"
    yield key + posixpath.splitext(name)[1].lower(), read(tree, name)
    if listing.labels is not None:
        label = int(listing.labels[row])
        yield f"{key}.cls", str(label).encode()
        if listing.classes[label] != str(label):
            yield f"{key}.json", json.dumps({"label": listing.classes[label]}).encode()
    if listing.texts is not None:
        yield f"{key}.txt", listing.texts[row].encode()
