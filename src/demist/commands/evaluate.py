"""`demist evaluate`: how good is a model? One table, and all that decides its numbers."""

import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from demist import runs
from demist.commands.sampling import (
    ModelOptions,
    SamplingOptions,
    parse_shard,
    require_positive,
)
from demist.commands.shared import provenance
from demist.errors import UsageError
from demist.io import files
from demist.measuring.buckets import Task, collect, generate
from demist.measuring.candidate import Candidate, data_of, subject
from demist.measuring.judging import judge, open_encoder, open_extractor, splits
from demist.measuring.likelihood import measure_likelihood, sentence
from demist.measuring.prompts import Asked, ask, reads_captions, require_captions

if TYPE_CHECKING:
    import demist.data
    import demist.evaluation.extractors.features
    import demist.evaluation.metrics.text_score

Report = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """Measure a run in one table: how good its samples are, how varied, how new."""

    run: Annotated[Positional[str], arg(metavar="[RUN|FOLDER]")] = "latest"
    """A run (number, name, path or `latest`), or a saved model's folder, such as `digits`."""
    against: Annotated[str | None, arg(metavar="RUN|FOLDER")] = None
    """Another model of the same data, measured alike: differences with 95 % intervals."""
    data: Annotated[str | None, arg(metavar="DATA")] = None
    """What to compare with, as in `demist train`. Default: what the run was trained on."""
    n: int = 10_000
    """How many samples in all, shared by the seeds, the classes in equal parts."""
    seeds: int = 3
    """Sets of samples, for mean and spread: seeds --seed, --seed + 1, ..."""
    extractor: Path | None = None
    """Feature extractor: Inception-v3 (.safetensors), or a folder with DINOv2 or CLIP. Default: the
    judge, a classifier trained on the data."""
    clip: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder with CLIP, for a model of captions: how well images show what they were asked for."""
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


@dataclass(frozen=True)
class Ruler:
    """What models are measured with, the same for all.

    Attributes:
        train: Training data.
        test: Held-out data.
        extractor: Makes the features; None: the judge.
        encoder: Compares images with captions, if that is wanted.
    """

    train: "demist.data.Dataset"
    test: "demist.data.Dataset"
    extractor: "demist.evaluation.extractors.features.Extractor | None"
    encoder: "demist.evaluation.metrics.text_score.Encoder | None"


def main(args: list[str]) -> None:
    """Print the tables and keep them in the run's folder."""
    options = tyro.cli(Options, prog="demist evaluate", args=args, config=(OmitArgPrefixes,))
    specs = [options.run] + ([options.against] if options.against else [])
    candidates = [subject(spec, options.source) for spec in specs]
    begun = time.perf_counter()
    ruler = ruler_for(options, candidates)
    count = per_seed(options.n, options.seeds, in_turn(candidates, ruler.test))
    sets = [Samples.of(options, s, ruler.test, count) for s in candidates]
    if options.shard is not None:
        for samples in sets:
            print(samples.share(parse_shard(options.shard)))
        return
    found = [measure(samples, ruler, args) for samples in sets]
    facts = found[0]
    texts = [
        part for s, f in zip(candidates, found, strict=True) for part in (f"# {s.name}", table(f))
    ]
    if len(candidates) > 1:
        from demist.evaluation.tables import against

        facts["against"] = found[1]
        names = (candidates[0].name, candidates[1].name)
        texts += ["# Compared", against(facts["report"], found[1]["report"], names)]
    if options.likelihood:
        pipeline = candidates[0].pipeline
        bits = measure_likelihood(pipeline, ruler.test, options.likelihood, options.sampling.seed)
        facts |= bits
        texts.append(sentence(bits) + "\n")
    text = "\n".join(texts)
    print(text)
    facts["seconds"] = round(time.perf_counter() - begun, 1)
    out = free_pair(candidates[0].folder / "evaluation")
    files.write_text(out.with_suffix(".md"), text)
    files.write_json(out.with_suffix(".json"), facts)
    for samples in sets:
        shutil.rmtree(samples.folder, ignore_errors=True)  # the report is there; they can go
    print(f"{out.with_suffix('.md')}\n{out.with_suffix('.json')}")


def ruler_for(options: Options, candidates: list[Candidate]) -> Ruler:
    """Data and extractors, after a look at whether the models go with them.

    Raises:
        UsageError: They do not.
    """
    train, test = splits(data_of(candidates[0], options.data))
    for model in candidates:
        if model.pipeline.shape != train.x.shape[1:]:
            raise UsageError(
                f"{model.name} makes samples of shape {model.pipeline.shape}, but the data has "
                f"{train.x.shape[1:]}; compare runs on the same data"
            )
        if options.clip is not None:
            require_captions(model.pipeline, test, model.name)
    if options.extractor is not None and train.x.ndim != 4:
        raise UsageError(
            f"--extractor {options.extractor}: points are compared as they are; leave it out"
        )
    return Ruler(
        train,
        test,
        None if options.extractor is None else open_extractor(options.extractor),
        None if options.clip is None else open_encoder(options.clip),
    )


def in_turn(candidates: list[Candidate], test: "demist.data.Dataset") -> int:
    """How many classes are asked for in turn; of two models the most, so that counts are equal."""
    from demist.model.values import classes_of

    return max(
        0 if reads_captions(s.pipeline, test) else len(classes_of(s.pipeline)) for s in candidates
    )


@dataclass(frozen=True)
class Samples:
    """The samples of one model, and where they are kept until they have been measured."""

    options: Options
    model: Candidate
    asked: Asked
    task: Task

    @classmethod
    def of(
        cls, options: Options, model: Candidate, test: "demist.data.Dataset", count: int
    ) -> "Samples":
        """What `options` ask of a model, `count` samples of each seed; nothing is made yet."""
        from demist.machine.precision import resolve_precision
        from demist.model.folder import weights_hash

        pipeline = model.pipeline
        wanted: str = options.precision
        if wanted == "auto":
            wanted = resolve_precision(model.precision, pipeline.denoiser.net)
        settings = options.sampling.over(pipeline)
        first = settings.pop("seed")
        asked = ask(pipeline, test, count)
        task = Task(
            run=str(options.source.locate(model.spec).absolute()),
            sha256=weights_hash(pipeline),
            at_step=options.source.at_step,
            device=options.source.device,
            precision=wanted,
            settings=settings | {"batch_size": options.sampling.batch_size},
            asked=asked.values,
            count=count,
            seeds=tuple(range(first, first + options.seeds)),
        )
        return cls(options, model, asked, task)

    @property
    def folder(self) -> Path:
        """Another one for other samples, so that a later call finds its own."""
        return self.model.folder / f"evaluation-{self.task.key}"

    def make(self, share: tuple[int, int] = (1, 1)) -> list[tuple[int, int]]:
        """Make what is missing of a share; what is still missing of the whole."""
        return generate(
            self.task, self.model.pipeline, self.folder, processes=self.options.processes,
            share=share, ray=self.options.ray, title=f"sampling {self.model.name}",
        )  # fmt: skip

    def share(self, share: tuple[int, int]) -> str:
        """Make a share, and say how much is missing then."""
        left, count = len(self.make(share)), len(self.task.jobs)
        then = f"{left} of {count} buckets are still to be made by others"
        if not left:
            then = "all buckets are there; now measure them: the same command without --shard"
        return f"{self.folder}: {then}"


def measure(samples: Samples, ruler: Ruler, args: list[str]) -> dict[str, Any]:
    """Sample and measure one model; all facts of it."""
    from demist.evaluation.report import over_seeds

    options, model, task = samples.options, samples.model, samples.task
    samples.make()
    found = collect(task, model.pipeline, samples.folder)
    rule = of_images if len(model.pipeline.shape) == 3 else of_points
    reports = rule(found, samples.asked, ruler)
    facts = provenance("evaluate", args, model.pipeline)
    settings = {key: value for key, value in task.settings.items() if key != "batch_size"}
    facts["sampling"] = {
        "n": options.n, "precision": task.precision, "asked": samples.asked.sentence, **settings,
    }  # fmt: skip
    facts["machine"] = runs.environment()
    report = over_seeds(reports)
    report["warnings"] += other_training(model, ruler)
    return facts | {"report": report}


def other_training(model: Candidate, ruler: Ruler) -> list[str]:
    """A warning if the model was trained on something else than the training data here."""
    known, train = model.pipeline.facts, ruler.train
    if known.get("fingerprint", train.fingerprint) == train.fingerprint:
        return []
    return [
        f"Other data: {model.name} was trained on {known['items']} items of {known['data']}, not "
        f"on these {len(train)} of {train.name}. It may have seen those called held-out (if the "
        "data has no test part, every tenth item is taken), and its copies of items that are not "
        "here go unnoticed."
    ]


def of_images(samples: "dict[int, Any]", asked: Asked, ruler: Ruler) -> list[Report]:
    """A report for every seed."""
    import numpy as np
    from tqdm import tqdm

    from demist.evaluation.metrics.text_score import text_score
    from demist.evaluation.reference import Reference
    from demist.evaluation.report import measure as measure_images

    train, test, encoder = ruler.train, ruler.test, ruler.encoder
    expert = judge(train, test)
    names = expert.card.classes
    real = train.labels is not None and names == train.classes
    generated = min(len(x) for x in samples.values())
    wish = asked.of("label", generated) if real else []
    labels = np.array([names.index(name) for name in wish], np.int64) if wish else None
    with tqdm(total=1 + len(samples), desc="measuring", unit="set", leave=False,
              disable=not sys.stderr.isatty()) as bar:  # fmt: skip
        reference = Reference.of(
            expert,
            train.x,
            test.x,
            generated=generated,
            extractor=ruler.extractor,
            train_labels=train.labels if real else None,
            test_labels=test.labels if real else None,
            k=max(1, min(5, generated - 1, len(test) - 1)),
        )
        if encoder is not None:
            ceiling = text_score(encoder, test.x[asked.rows], asked.values["text"])
        bar.update()
        reports = []
        for seed, x in samples.items():
            report = measure_images(reference, x, labels=labels, seed=seed)
            if encoder is not None:
                found = text_score(encoder, x, asked.of("text", len(x)))
                report["metrics"] |= found.beside(ceiling)
                report["protocol"]["captions"] = encoder.recipe
            reports.append(report)
            bar.update()
    return reports


def of_points(samples: "dict[int, Any]", asked: Asked, ruler: Ruler) -> list[Report]:
    """A report for every seed; points of a class are as good as any."""
    from demist.evaluation.metrics.points import measure_points

    train, test = ruler.train, ruler.test
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
    how += f", {s['asked']}"
    model = facts["model"]["sha256"][:12]
    return f"{markdown(facts['report'])}\nSampled with {how}; model {model}.\n"


def free_pair(path: Path) -> Path:
    """`path`, or `path-2`, ...: the first of which neither .json nor .md exists."""
    names = (path.with_name(path.name + (f"-{i}" if i > 1 else "")) for i in range(1, 10**9))
    return next(
        name for name in names
        if not (name.with_suffix(".json").exists() or name.with_suffix(".md").exists())
    )  # fmt: skip
