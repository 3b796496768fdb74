"""`demist evaluate`: how good is a run? One table, and all that decides its numbers."""

import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from demist import files, runs
from demist.commands.generating import Task, collect, generate
from demist.commands.judging import judge, open_extractor, splits
from demist.commands.likelihood import measure_likelihood, sentence
from demist.commands.sampling import (
    ModelOptions,
    SamplingOptions,
    classes_of,
    parse_shard,
    require_positive,
)
from demist.commands.shared import provenance, weights_hash
from demist.errors import UsageError

if TYPE_CHECKING:
    import demist.data
    import demist.pipeline

Report = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """Measure a run in one table: how good its samples are, how varied, how new."""

    run: Annotated[Positional[str], arg(metavar="[RUN]")] = "latest"
    """Run: number, name, path or `latest`."""
    against: str | None = None
    """Another run on the same data, measured alike: differences with 95 % intervals."""
    n: int = 10_000
    """How many samples in all, shared by the seeds, the classes in equal parts."""
    seeds: int = 3
    """Sets of samples, for mean and spread: seeds --seed, --seed + 1, ..."""
    extractor: Path | None = None
    """Feature extractor: Inception-v3 (.safetensors), or a folder with DINOv2 or CLIP. Default: the
    judge, a classifier trained on the data."""
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
    sampling: Annotated[SamplingOptions, arg(name="")] = field(default_factory=SamplingOptions)
    source: Annotated[ModelOptions, arg(name="")] = field(default_factory=ModelOptions)

    def __post_init__(self) -> None:
        for name in ("n", "processes"):
            require_positive(name, getattr(self, name))
        if self.seeds < 2:
            raise UsageError(f"--seeds {self.seeds}: a spread needs 2 or more")
        if self.likelihood < 0:
            raise UsageError(f"likelihood = {self.likelihood}: must be at least 0")
        if self.ray and self.processes > 1:
            raise UsageError("--ray and --processes both say who makes samples; leave one out")
        if self.shard is not None:
            parse_shard(self.shard)


def main(args: list[str]) -> None:
    """Print the tables and keep them in the run's folder."""
    options = tyro.cli(Options, prog="demist evaluate", args=args, config=(OmitArgPrefixes,))
    run = runs.find(options.run, options.source.runs)
    other = runs.find(options.against, options.source.runs) if options.against else None
    if options.shard is not None:
        for each in filter(None, (run, other)):
            print(Samples.of(options, each).share(parse_shard(options.shard)))
        return
    train, test = splits(run.config().data)
    begun = time.perf_counter()
    sets = [Samples.of(options, run)]
    facts = measure(sets[0], train, test, args)
    texts = [f"# {run.path.name}", table(facts)]
    if other is not None:
        from demist.evaluation.tables import against

        sets.append(Samples.of(options, other))
        facts["against"] = measure(sets[1], train, test, args)
        names = (run.path.name, other.path.name)
        compared = against(facts["report"], facts["against"]["report"], names)
        texts += [f"# {other.path.name}", table(facts["against"]), "# Compared", compared]
    if options.likelihood:
        pipeline = options.source.open(str(run.path))
        bits = measure_likelihood(pipeline, test, options.likelihood, options.sampling.seed)
        facts |= bits
        texts.append(sentence(bits) + "\n")
    text = "\n".join(texts)
    print(text)
    facts["seconds"] = round(time.perf_counter() - begun, 1)
    out = free_pair(run.path / "evaluation")
    files.write_text(out.with_suffix(".md"), text)
    files.write_json(out.with_suffix(".json"), facts)
    for samples in sets:
        shutil.rmtree(samples.folder, ignore_errors=True)  # the report is there; they can go
    print(f"{out.with_suffix('.md')}\n{out.with_suffix('.json')}")


@dataclass(frozen=True)
class Samples:
    """The samples of one run, and where they are kept until they have been measured."""

    options: Options
    run: runs.Run
    pipeline: "demist.pipeline.Pipeline"
    task: Task

    @classmethod
    def of(cls, options: Options, run: runs.Run) -> "Samples":
        """What `options` ask of a run; nothing is made yet."""
        from demist.training.fit import resolve_precision

        pipeline = options.source.open(str(run.path))
        wanted: str = options.precision
        if wanted == "auto":
            wanted = resolve_precision(run.config().optimization.precision, pipeline.denoiser.net)
        settings = options.sampling.over(pipeline)
        first = settings.pop("seed")
        classes = classes_of(pipeline)
        task = Task(
            run=str(run.path.absolute()),
            sha256=weights_hash(pipeline),
            at_step=options.source.at_step,
            device=options.source.device,
            precision=wanted,
            settings=settings | {"batch_size": options.sampling.batch_size},
            classes=classes,
            count=per_seed(options.n, options.seeds, len(classes)),
            seeds=tuple(range(first, first + options.seeds)),
        )
        return cls(options, run, pipeline, task)

    @property
    def folder(self) -> Path:
        """Another one for other samples, so that a later call finds its own."""
        return self.run.path / f"evaluation-{self.task.key}"

    def make(self, share: tuple[int, int] = (1, 1)) -> list[tuple[int, int]]:
        """Make what is missing of a share; what is still missing of the whole."""
        return generate(
            self.task, self.pipeline, self.folder, processes=self.options.processes, share=share,
            ray=self.options.ray, title=f"sampling {self.run.path.name}",
        )  # fmt: skip

    def share(self, share: tuple[int, int]) -> str:
        """Make a share, and say how much is missing then."""
        left, count = len(self.make(share)), len(self.task.jobs)
        then = f"{left} of {count} buckets are still to be made by others"
        if not left:
            then = "all buckets are there; now measure them: the same command without --shard"
        return f"{self.folder}: {then}"


def measure(
    samples: Samples,
    train: "demist.data.Dataset",
    test: "demist.data.Dataset",
    args: list[str],
) -> dict[str, Any]:
    """Sample and measure one run; all facts of it.

    Raises:
        UsageError: The model makes something else than the data holds.
    """
    from demist.evaluation.report import over_seeds

    options, run, pipeline, task = samples.options, samples.run, samples.pipeline, samples.task
    if pipeline.shape != train.x.shape[1:]:
        raise UsageError(
            f"{run.path.name} makes samples of shape {pipeline.shape}, but the data has "
            f"{train.x.shape[1:]}; compare runs on the same data"
        )
    samples.make()
    found = collect(task, pipeline, samples.folder)
    ruler = of_images if train.x.ndim == 4 else of_points
    reports = ruler(found, task.labels, train, test, options.extractor)
    facts = provenance("evaluate", args, pipeline)
    settings = {key: value for key, value in task.settings.items() if key != "batch_size"}
    facts["sampling"] = {"n": options.n, "precision": task.precision, **settings}
    facts["machine"] = runs.environment()
    return facts | {"report": over_seeds(reports)}


def of_images(
    samples: "dict[int, Any]",
    labels: list[str],
    train: "demist.data.Dataset",
    test: "demist.data.Dataset",
    extractor: Path | None,
) -> list[Report]:
    """A report for every seed."""
    import numpy as np
    from tqdm import tqdm

    from demist.evaluation.reference import Reference
    from demist.evaluation.report import measure as measure_images

    expert = judge(train, test)
    names = expert.card.classes
    real = train.labels is not None and names == train.classes
    asked = np.array([names.index(name) for name in labels], np.int64) if labels and real else None
    generated = min(len(x) for x in samples.values())
    with tqdm(total=1 + len(samples), desc="measuring", unit="set", leave=False,
              disable=not sys.stderr.isatty()) as bar:  # fmt: skip
        reference = Reference.of(
            expert,
            train.x,
            test.x,
            generated=generated,
            extractor=open_extractor(extractor) if extractor else None,
            train_labels=train.labels if real else None,
            test_labels=test.labels if real else None,
            k=max(1, min(5, generated - 1, len(test) - 1)),
        )
        bar.update()
        reports = []
        for seed, x in samples.items():
            reports.append(measure_images(reference, x, labels=asked, seed=seed))
            bar.update()
    return reports


def of_points(
    samples: "dict[int, Any]",
    labels: list[str],
    train: "demist.data.Dataset",
    test: "demist.data.Dataset",
    extractor: Path | None,
) -> list[Report]:
    """A report for every seed.

    Raises:
        UsageError: An extractor was given.
    """
    from demist.evaluation.points import measure_points

    if extractor is not None:
        raise UsageError(f"--extractor {extractor}: points are compared as they are; leave it out")
    return [
        measure_points(x, train.x, test.x, test.labels, seed=seed) for seed, x in samples.items()
    ]


def per_seed(n: int, seeds: int, classes: int) -> int:
    """Samples of one seed: at least n / seeds, and the same number of every class."""
    count = -(-n // seeds)
    return -(-count // classes) * classes if classes else count


def table(facts: dict[str, Any]) -> str:
    """The report in Markdown, with how the samples were made."""
    from demist.evaluation.tables import markdown

    s = facts["sampling"]
    how = f"{s['steps']} steps of {s['solver']}, guidance {s['guidance']:g}, {s['precision']}"
    model = facts["model"]["sha256"][:12]
    return f"{markdown(facts['report'])}\nSampled with {how}; model {model}.\n"


def free_pair(path: Path) -> Path:
    """`path`, or `path-2`, ...: the first of which neither .json nor .md exists."""
    names = (path.with_name(path.name + (f"-{i}" if i > 1 else "")) for i in range(1, 10**9))
    return next(
        name for name in names
        if not (name.with_suffix(".json").exists() or name.with_suffix(".md").exists())
    )  # fmt: skip
