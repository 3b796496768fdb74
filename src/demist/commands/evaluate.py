"""`demist evaluate`: how good is a model? One table, and all that decides its numbers."""

import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from demist.commands.sampling import (
    CompanionOptions,
    ModelOptions,
    SamplingOptions,
    parse_shard,
    require_positive,
)
from demist.commands.shared import read
from demist.errors import CannotCreateError, UsageError
from demist.io import files


@dataclass(frozen=True)
class Options:
    """Measure a run in one table: how good its samples are, how varied, how new."""

    run: Annotated[Positional[str], arg(metavar="[RUN|FOLDER]")] = "latest"
    """A run (number, name, path or `latest`), or a saved model's folder, such as `digits`."""
    against: Annotated[str | None, arg(metavar="RUN|FOLDER")] = None
    """Another model of the same data, by itself, measured alike: differences with 95 %
    intervals."""
    data: Annotated[str | None, arg(metavar="DATA")] = None
    """What to compare with, as in `demist train`. Default: what the run was trained on."""
    n: int = 10_000
    """How many samples in all, shared by the seeds; classes as often as the data has them."""
    seeds: int = 3
    """Sets of samples, for mean and spread: seeds --seed, --seed + 1, ...; 1 is quick, without a
    spread."""
    extractor: Path | None = None
    """Feature extractor: Inception-v3 (.safetensors), or a folder with DINOv2 or CLIP. Default: the
    judge, a classifier trained on the data."""
    clip: Annotated[str | None, arg(metavar="RUN|FOLDER")] = None
    """For a model of captions: how well images show what they were asked for, by a run of --recipe
    clip, or a folder with CLIP as transformers saves it."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the network while sampling. auto: as it was trained."""
    processes: int = 1
    """Share the sampling among so many processes; changes the speed, never the samples."""
    ray: bool = False
    """Let Ray do the sampling: the cluster in RAY_ADDRESS, else this machine."""
    shard: str | None = None
    """Only make the samples of one share: 2/3 is the second of three. Then, without it, measure."""
    likelihood: int = 0
    """Bits per dimension of so many test images too; 0: none. Slow: minutes for 64 digits."""
    out: Path | None = None
    """Write the report to OUT.md and OUT.json, and keep samples there meanwhile: for a run whose
    folder cannot be written. Default: the run's folder."""
    beside: Annotated[CompanionOptions, arg(name="")] = field(default_factory=CompanionOptions)
    sampling: Annotated[SamplingOptions, arg(name="")] = field(default_factory=SamplingOptions)
    source: Annotated[ModelOptions, arg(name="")] = field(default_factory=ModelOptions)

    def __post_init__(self) -> None:
        for name in ("n", "processes"):
            require_positive(name, getattr(self, name))
        if self.seeds < (2 if self.against else 1):
            what = "intervals of --against need 2 or more" if self.against else "give 1 or more"
            raise UsageError(f"--seeds {self.seeds}: {what}")
        if self.likelihood < 0:
            raise UsageError(f"likelihood = {self.likelihood}: must be at least 0")
        if self.ray and self.processes > 1:
            raise UsageError("--ray and --processes both say who makes samples; leave one out")
        if self.likelihood and self.beside != CompanionOptions():
            raise UsageError(
                "--likelihood is of a model alone; leave it out, or --control and --refiner"
            )
        if self.shard is not None:
            parse_shard(self.shard)


def main(args: list[str]) -> None:
    """Print the tables and keep them in the run's folder."""
    options = read(Options, "evaluate", args)
    from demist.measuring import codecs, compare, evaluate, likelihood, sets

    if codecs.is_codec(options.run, options.source.runs):
        _codec(options, args, codecs.evaluate_codec)
        return
    begun = time.perf_counter()
    specs = [options.run] + ([options.against] if options.against else [])
    candidates = [options.source.candidate(spec) for spec in specs]
    beside = options.beside.companions(options.source.runs)
    candidates[0] = candidates[0].with_beside(beside)  # the other is as it is
    place = candidates[0].folder / "evaluation"
    if options.out is not None:
        place = report_place(options.out)
        candidates = [replace(model, folder=place.parent) for model in candidates]
    sampling = options.sampling.sampling()
    protocol = sets.Protocol(options.n, options.seeds, sampling, options.precision)
    work = evaluate.Measurement.of(
        candidates, protocol, data=options.data, extractor=options.extractor, clip=options.clip
    )
    for data in (work.ruler.train, work.ruler.test):
        print(data.report.paragraph(), file=sys.stderr)
    if options.shard is not None:
        for wanted in work.sets:
            left, count = wanted.make(parse_shard(options.shard), options.processes, options.ray)
            print(f"{wanted.folder}: {share_made(left, count)}")
        return
    found = work.evaluate(options.processes, options.ray)
    result = compare.Comparison(*found) if len(found) > 1 else found[0]
    text = str(result) if len(found) > 1 else f"# {found[0].name}\n{result}"
    facts = {"command": shlex.join(["demist", "evaluate", *args]), **result.to_json()}
    if options.likelihood:
        bits = likelihood.measure_likelihood(
            candidates[0].pipeline, work.ruler.test, options.likelihood, options.sampling.seed
        )
        facts["likelihood"] = bits.to_json()
        text += f"\n{bits}\n"
    print(text)
    facts["seconds"] = round(time.perf_counter() - begun, 1)
    table, values = free_pair(place)
    files.write_text(table, text)
    files.write_json(values, facts)
    if len(found) == 1 and evaluate.keep_in_card(found[0], candidates[0]):
        print(f"{candidates[0].place / 'model' / 'README.md'}")
    work.remove()  # the report is there; the samples can go
    print(f"{table}\n{values}")


def _codec(options: Options, args: list[str], measure: Callable[..., Any]) -> None:
    """Measure a codec, which makes no samples.

    Raises:
        UsageError: An option is about samples.
    """
    usual = Options(run=options.run)
    if options.beside != usual.beside:
        raise UsageError(
            f"--control and --refiner are about samples, and {options.run} is a codec, which makes "
            f"none; leave them out"
        )
    for name in ("against", "seeds", "clip", "precision", "processes", "ray", "shard", "likelihood",
                 "sampling"):  # fmt: skip
        if getattr(options, name) != getattr(usual, name):
            raise UsageError(
                f"--{name} is about samples, and {options.run} is a codec, which makes none; leave "
                f"it out"
            )
    found = measure(
        options.run, data=options.data, n=options.n, extractor=options.extractor,
        device=options.source.device, root=options.source.runs,
    )  # fmt: skip
    print(f"# {found.name}\n{found}")
    place = Path("evaluation") if options.out is None else report_place(options.out)
    if options.out is None and found.folder is not None:
        place = found.folder / "evaluation"
    table, values = free_pair(place)
    files.write_text(table, str(found))
    command = shlex.join(["demist", "evaluate", *args])
    files.write_json(values, {"command": command, **found.to_json()})
    print(f"{table}\n{values}")


def share_made(left: int, count: int) -> str:
    """How much is missing when a share has been made, and what to do then."""
    if left:
        return f"{left} of {count} buckets are still to be made by others"
    return "all buckets are there; now measure them: the same command without --shard"


def report_place(out: Path) -> Path:
    """Where the report goes, without an ending.

    Raises:
        CannotCreateError: There is no such folder.
    """
    if not out.absolute().parent.is_dir():
        raise CannotCreateError(f"there is no folder {out.parent} to write {out.name} in; make it")
    return out.with_suffix("") if out.suffix in (".md", ".json") else out


def free_pair(path: Path) -> tuple[Path, Path]:
    """`path.md` and `path.json`, or `path-2...`: the first of which neither exists."""
    names = (path.name + (f"-{i}" if i > 1 else "") for i in range(1, 10**9))
    pairs = ((path.with_name(f"{n}.md"), path.with_name(f"{n}.json")) for n in names)
    return next(pair for pair in pairs if not any(file.exists() for file in pair))
