"""Many samples into a folder, by any number of processes or machines.

bucket-00000.npy, ...   the samples, `SIZE` in each
samples.npy             all of them, when the last bucket is there
bulk.json               how they are made, so that nothing else goes into the folder
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from demist.errors import CannotCreateError
from demist.io.files import read_json, write_json
from demist.io.folders import sweep
from demist.measuring.buckets import Bucket, Source, fill, join, parts
from demist.measuring.candidate import Candidate
from demist.model.folder import weights_hash
from demist.model.sampling import Sampling
from demist.version import __version__

SIZE = 64
"""Samples per file, the last one fewer."""
FACTS = "bulk.json"


def bulk(
    model: Candidate,
    out: Path,
    n: int,
    sampling: Sampling,
    cond: Mapping[str, Sequence[Any]],
    *,
    share: tuple[int, int] = (1, 1),
    ray: bool = False,
) -> tuple[int, int]:
    """Make a share's buckets, and join all if these were the last.

    Sample i is the same whoever makes it; what is there already is not made again.

    Args:
        model: Makes them.
        out: The folder.
        n: How many samples in all.
        sampling: How they are made.
        cond: Conditions by name, `n` values each.
        share: Which buckets: (2, 3) is the second third of them.
        ray: Let Ray make them.

    Returns:
        How many buckets are still missing, and how many there are.

    Raises:
        CannotCreateError: The folder holds something else, or cannot be made.
    """
    pipeline = model.pipeline
    full = pipeline.plan(1, sampling, **model.given).sampling
    known = {"sha256": weights_hash(pipeline), **pipeline.facts, **model.beside.facts}
    recipe = {"n": n, "bucket": SIZE, **full.recipe(), **cond}
    claim(out, {"sampling": recipe, "model": known, "demist": __version__})
    sweep(out)
    full = replace(full, batch_size=sampling.batch_size or SIZE)
    buckets = [
        Bucket(out / f"bucket-{i:05d}.npy", n, rows, full, cond)
        for i, rows in enumerate(parts(n, SIZE))
    ]
    place = str(model.place.absolute())
    source = Source(
        place, known["sha256"], model.at_step, model.device, reading=model.reading,
        beside=model.beside,
    )  # fmt: skip
    left = fill(buckets, source, pipeline, share=share, ray=ray, given=model.given)
    if not left:
        join(buckets, out / "samples.npy")
    return len(left), len(buckets)


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
            write_json(folder / FACTS, facts)
    except OSError as error:
        raise CannotCreateError(f"cannot make {folder}: {error.strerror}") from None
    there = read_json(folder / FACTS)
    differing = [key for key in facts if there.get(key) != facts[key]]
    if differing:
        raise CannotCreateError(
            f"{folder} holds samples made otherwise ({', '.join(differing)} differ; see {FACTS}); "
            f"choose another folder"
        )
