"""`demist bulk`: many samples, by any number of processes, in buckets that are the same for all."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from demist.commands.sampling import (
    ModelOptions,
    SamplingOptions,
    parse_shard,
    require_positive,
)
from demist.commands.shared import provenance, write_array
from demist.errors import CannotCreateError
from demist.io import files
from demist.io.files import read_json
from demist.measuring import on_ray

if TYPE_CHECKING:
    import demist.model.pipeline

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
    ray: bool = False
    """Let Ray make the buckets: the cluster in RAY_ADDRESS, else this machine."""
    label: Annotated[str | None, arg(name="class", metavar="NAMES")] = None
    """Classes by name or number: `3` or `3,7`; `none` for no class. Without it: each in turn."""
    sampling: Annotated[SamplingOptions, arg(name="")] = field(default_factory=SamplingOptions)
    source: Annotated[ModelOptions, arg(name="")] = field(default_factory=ModelOptions)

    def __post_init__(self) -> None:
        require_positive("n", self.n)
        parse_shard(self.shard)


def main(args: list[str]) -> None:
    """Make this shard's buckets, and join all if these were the last."""
    from demist.model.open import gpus_of
    from demist.model.values import choose_labels, classes_of, spread

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
    common = {"n": options.n, **settings, "batch_size": size, **cond}
    wishes = [
        {
            "at_step": options.source.at_step,
            "device": options.source.device,
            "model": str(options.source.locate(options.model).absolute()),
            "sha256": made_by["model"]["sha256"],
            "sampling": common | {"rows": buckets[i]},
            "file": place(options.out, i).absolute(),
        }
        for i in mine
    ]
    if options.ray:
        done = on_ray.run(work, wishes, gpus_of(pipeline))
    else:
        done = make_here(pipeline, wishes)
    for number, _ in enumerate(done, 1):
        if sys.stderr.isatty():
            print(f"\rbucket {number} of {len(mine)}", end="", file=sys.stderr, flush=True)
    missing = sum(not made(options.out, i, buckets) for i in range(len(buckets)))
    if missing:
        print(f"{options.out}: {missing} of {len(buckets)} buckets are still to be made by others")
        return
    print(join(options.out, len(buckets)))


def make_here(
    pipeline: "demist.model.pipeline.Pipeline", wishes: Sequence[dict[str, Any]]
) -> Iterator[int]:
    """Make buckets in this process; yields the number of each that is done."""
    for i, wish in enumerate(wishes):
        write_array(pipeline.sample(**wish["sampling"]), wish["file"])
        yield i


def work(wish: dict[str, Any]) -> None:
    """Make one bucket in a process that has no model yet."""
    from demist.model.open import open_again

    pipeline = open_again(*(wish[name] for name in ("model", "sha256", "at_step", "device")))
    write_array(pipeline.sample(**wish["sampling"]), wish["file"])


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
