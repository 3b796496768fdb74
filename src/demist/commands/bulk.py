"""`demist bulk`: many samples, by any number of processes, in buckets that are the same for all."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from demist import files
from demist.commands.sampling import (
    ModelOptions,
    SamplingOptions,
    choose_labels,
    classes_of,
    require_positive,
    spread,
)
from demist.commands.shared import provenance
from demist.errors import CannotCreateError, UsageError
from demist.runs import read_json

if TYPE_CHECKING:
    import numpy

BUCKET = 64
"""Samples per file, the last one fewer."""
FACTS = "bulk.json"


@dataclass(frozen=True)
class Options:
    """Draw many samples into a folder, by any number of processes or machines.

    Sample i is the same whoever makes it. What is there already is not made again, so the same
    command goes on after a crash.
    """

    model: Annotated[Positional[str], arg(metavar="RUN|FOLDER")]
    """A run (number, name, path or `latest`), or a saved model's folder."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder for the samples: bucket-00000.npy, ..., and samples.npy when all are there."""
    n: int = 50_000
    """How many samples, the classes in equal parts."""
    shard: str = "1/1"
    """Which share this process makes: 2/3 is the second of three."""
    label: Annotated[str | None, arg(name="class", metavar="NAMES")] = None
    """Classes by name or number: `3` or `3,7`; `none` for no class. Without it: each in turn."""
    sampling: Annotated[SamplingOptions, arg(name="")] = field(default_factory=SamplingOptions)
    source: Annotated[ModelOptions, arg(name="")] = field(default_factory=ModelOptions)

    def __post_init__(self) -> None:
        require_positive("n", self.n)
        parse_shard(self.shard)


def main(args: list[str]) -> None:
    """Make this shard's buckets, and join all if these were the last."""
    options = tyro.cli(Options, prog="demist bulk", args=args, config=(OmitArgPrefixes,))
    pipeline = options.source.open(options.model)
    labels = spread(choose_labels(options.label, classes_of(pipeline)), options.n)
    settings = options.sampling.over(pipeline)
    cond: dict[str, Any] = {"label": labels} if labels else {}
    wanted = {"n": options.n, "bucket": BUCKET, **settings, **cond}
    made_by = provenance("bulk", args, pipeline)
    claim(options.out, {"sampling": wanted, "model": made_by["model"], "demist": made_by["demist"]})

    buckets = [range(i, min(i + BUCKET, options.n)) for i in range(0, options.n, BUCKET)]
    shard, count = parse_shard(options.shard)
    mine = [i for i in range(shard - 1, len(buckets), count) if not made(options.out, i, buckets)]
    size = options.sampling.batch_size or BUCKET
    for done, i in enumerate(mine):
        if sys.stderr.isatty():
            print(f"\rbucket {done + 1} of {len(mine)}", end="", file=sys.stderr, flush=True)
        x = pipeline.sample(options.n, **settings, batch_size=size, only=buckets[i], **cond)
        write_array(x, place(options.out, i))
    missing = sum(not made(options.out, i, buckets) for i in range(len(buckets)))
    if missing:
        print(f"{options.out}: {missing} of {len(buckets)} buckets are still to be made by others")
        return
    print(join(options.out, len(buckets)))


def parse_shard(text: str) -> tuple[int, int]:
    """(2, 3) of "2/3".

    Raises:
        UsageError: It is not one of the shares from 1/N to N/N.
    """
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second)):
        raise UsageError(f"--shard {text}: write 1/3, 2/3 or 3/3 for the shares of three processes")
    return int(first), int(second)


def claim(folder: Path, facts: dict[str, Any]) -> None:
    """Make the folder, or make sure that what it holds is of the same making.

    Raises:
        CannotCreateError: It holds something else, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / FACTS).exists():
            if any(folder.glob("*.npy")):
                raise CannotCreateError(f"{folder} holds other files; choose another folder")
            files.write_json(folder / FACTS, facts)
    except OSError as error:
        raise CannotCreateError(f"cannot make {folder}: {error.strerror}") from None
    there = read_json(folder / FACTS)
    differing = [key for key in facts if there.get(key) != facts[key]]
    if differing:
        raise CannotCreateError(
            f"{folder} holds samples made otherwise ({', '.join(differing)} differ; see {FACTS}); "
            f"choose another folder"
        )


def place(folder: Path, bucket: int) -> Path:
    """Where a bucket goes."""
    return folder / f"bucket-{bucket:05d}.npy"


def made(folder: Path, bucket: int, buckets: list[range]) -> bool:
    """Whether a bucket is there, whole."""
    import numpy as np

    try:
        return len(np.load(place(folder, bucket), "r", allow_pickle=False)) == len(buckets[bucket])
    except (OSError, ValueError):
        return False


def join(folder: Path, count: int) -> Path:
    """All buckets as one array, held in memory one at a time."""
    import numpy as np

    parts = [np.load(place(folder, i), "r", allow_pickle=False) for i in range(count)]
    shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
    target = folder / "samples.npy"
    with files.atomic(target) as temporary:
        whole = np.lib.format.open_memmap(temporary, "w+", dtype=parts[0].dtype, shape=shape)
        for i, part in enumerate(parts):
            whole[i * BUCKET : i * BUCKET + len(part)] = part
        whole.flush()
    return target


def write_array(x: "numpy.ndarray", path: Path) -> None:
    """A .npy file, whole or not at all."""
    import numpy as np

    with files.atomic(path) as temporary, temporary.open("wb") as file:
        np.save(file, x, allow_pickle=False)
