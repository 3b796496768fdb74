"""`demist evaluate`: how good is a run?"""

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from demist import files, runs
from demist.commands.judging import judge, splits
from demist.commands.likelihood import measure_likelihood, sentence
from demist.commands.sampling import (
    ModelOptions,
    SamplingOptions,
    classes_of,
    require_positive,
    spread,
)
from demist.commands.shared import free_name, provenance
from demist.config import DataConfig
from demist.errors import UsageError

if TYPE_CHECKING:
    import numpy

    import demist.data
    import demist.evaluation.classifier
    import demist.pipeline


@dataclass(frozen=True)
class Options:
    """Measure a run: label accuracy of images, distance of points to fresh data."""

    run: Annotated[Positional[str], arg(metavar="[RUN]")] = "latest"
    """Run: number, name, path or `latest`."""
    n: int = 1000
    """How many samples, the classes in equal parts."""
    likelihood: int = 0
    """Bits per dimension of so many test images too; 0: none. Slow: minutes for 64 digits."""
    sampling: Annotated[SamplingOptions, arg(name="")] = field(default_factory=SamplingOptions)
    source: Annotated[ModelOptions, arg(name="")] = field(default_factory=ModelOptions)

    def __post_init__(self) -> None:
        require_positive("n", self.n)
        if self.likelihood < 0:
            raise UsageError(f"likelihood = {self.likelihood}: must be at least 0")


def main(args: list[str]) -> None:
    """Print the numbers and keep them in the run's folder."""
    options = tyro.cli(Options, prog="demist evaluate", args=args, config=(OmitArgPrefixes,))
    run = runs.find(options.run, options.source.runs)
    pipeline = options.source.open(str(run.path))
    settings = options.sampling.over(pipeline)
    found = measure(pipeline, run.config().data, options.n, settings, options.sampling.batch_size)
    facts = provenance("evaluate", args, pipeline) | {"sampling": {"n": options.n, **settings}}
    facts |= found.facts
    print(found.table + found.sentence)
    if options.likelihood:
        _, test = splits(run.config().data)
        bits = measure_likelihood(pipeline, test, options.likelihood, options.sampling.seed)
        facts |= bits
        print(sentence(bits))
    out = free_name(run.path / "evaluation.json")
    files.write_json(out, facts)
    print(out)


@dataclass(frozen=True)
class Measurement:
    """What was found.

    Attributes:
        sentence: The result with its uncertainty and what to compare it with.
        facts: The same for machines.
        table: Details, or nothing.
    """

    sentence: str
    facts: dict[str, Any]
    table: str = ""


def measure(
    pipeline: "demist.pipeline.Pipeline",
    data: DataConfig,
    n: int,
    settings: dict[str, Any],
    batch_size: int | None = None,
) -> Measurement:
    """Judge `n` samples: images by their labels, points by their distance to fresh data.

    Raises:
        UsageError: The model makes images but has no classes.
    """
    classes = classes_of(pipeline)
    images = len(pipeline.shape) == 3
    if images and not classes:
        raise UsageError(
            "this model was trained without classes; of images, label accuracy is all that is "
            "measured so far"
        )
    labels = spread(classes, n)
    cond: dict[str, Any] = {"label": labels} if labels else {}
    bar = sys.stderr.isatty()
    x = pipeline.sample(n, **settings, batch_size=batch_size, progress=bar, **cond)
    train, test = splits(data)
    return of_images(x, labels, judge(train, test)) if images else of_points(x, train, test)


def of_images(
    x: "numpy.ndarray", labels: list[str], classifier: "demist.evaluation.classifier.Classifier"
) -> Measurement:
    """Label accuracy."""
    import numpy as np

    from demist.evaluation.accuracy import label_accuracy

    card = classifier.card
    asked = np.array([card.classes.index(name) for name in labels], np.int64)
    accuracy = label_accuracy(classifier, x, asked)
    p, n = accuracy.overall, len(labels)
    error = 100 * (p * (1 - p) / n) ** 0.5
    ceiling = f"; of real images it recognises {100 * (card.accuracy or 0):.1f} %"
    return Measurement(
        f"label accuracy {100 * p:.1f} % ± {error:.1f} on {n} samples, by an independent "
        f"classifier{ceiling if card.accuracy else ''}",
        {
            "label_accuracy": p,
            "classes": {row.name: row.accuracy for row in accuracy.classes},
            "ceiling": card.accuracy,
            "judge": str(card),
        },
        accuracy.markdown() + "\n\n",
    )


def of_points(
    x: "numpy.ndarray", train: "demist.data.Dataset", test: "demist.data.Dataset"
) -> Measurement:
    """Sliced Wasserstein distance to fresh data, and that of as many real points."""
    from demist.evaluation.sliced_wasserstein import sliced_wasserstein

    n = min(len(x), len(train))
    found, floor = (sliced_wasserstein(some, test.x) for some in (x, train.x[:n]))
    return Measurement(
        f"sliced Wasserstein distance of {len(x)} samples to fresh data {found:.4f}; of {n} real "
        f"points {floor:.4f}",
        {"sliced_wasserstein": found, "floor": floor},
    )
