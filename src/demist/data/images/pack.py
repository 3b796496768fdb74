"""Images into plain tar archives, in WebDataset's layout; `shards` reads them."""

import hashlib
import json
import posixpath
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path

from tqdm import tqdm

from demist.data.files.tree import Tree, read
from demist.data.images.layout import Listing, arrange, splits_of
from demist.errors import CannotCreateError, DataError, MissingError
from demist.io.files import atomic, read_json, sha256, write_json
from demist.io.folders import sweep

RECORD = ".pack.json"
"""Beside archives that are not all there yet: of what they are made, and the hashes of those that
are, so that the same command goes on. When all are there it goes away."""


def pack(tree: Tree, out: Path, per_shard: int) -> list[Path]:
    """Copy images, as they are, with their classes and captions into archives.

    `000000017.jpg` is followed by `.cls`, the number of its class; `.json` with the class's name,
    unless names are the numbers; and `.txt`, the caption. The same images give the same bytes. What
    a call that was killed has left is kept.

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
    source = _source(tree, listings, per_shard)
    done = _claim(out, source)
    archives = {
        out / f"{split}-{number:05d}.tar": (listing, range(first, min(first + per_shard, count)))
        for split, listing in listings.items()
        for count in [len(listing.names)]
        for number, first in enumerate(range(0, count, per_shard))
    }
    count = sum(len(listing.names) for listing in listings.values())
    with tqdm(total=count, desc="packing", delay=1, leave=False, disable=None) as bar:
        for target, (listing, rows) in archives.items():
            if target.exists() and done.get(target.name) == sha256(target):
                bar.update(len(rows))
                continue
            with atomic(target) as new, tarfile.open(new, "w:") as archive:
                for row in rows:
                    for name, content in _members(tree, listing, row):
                        member = tarfile.TarInfo(name)
                        member.size = len(content)
                        archive.addfile(member, BytesIO(content))
                    bar.update()
            done[target.name] = sha256(target)
            write_json(out / RECORD, {"source": source, "archives": done})
    (out / RECORD).unlink(missing_ok=True)
    return list(archives)


def _source(tree: Tree, listings: Mapping[str, Listing], per_shard: int) -> str:
    """The same for the same images, arranged in the same way."""
    facts = [
        [split, x.names, None if x.labels is None else x.labels.tolist(), x.classes, x.texts]
        for split, x in listings.items()
    ]
    text = json.dumps([tree.stamp(), per_shard, facts])
    return hashlib.sha256(text.encode()).hexdigest()


def _claim(out: Path, source: str) -> dict[str, str]:
    """Make the folder, or go on in it: archive -> SHA-256 of those that are there."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreateError(f"cannot make {out}: {error.strerror}") from None
    there = {}
    with suppress(MissingError, DataError):
        there = read_json(out / RECORD)
    ours = there.get("source") == source
    if not ours and any(out.glob("*.tar")):
        raise CannotCreateError(f"{out} holds archives of something else; choose another folder")
    sweep(out)
    if not ours:
        write_json(out / RECORD, {"source": source, "archives": {}})
    found = there.get("archives")
    return dict(found) if ours and isinstance(found, dict) else {}


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
