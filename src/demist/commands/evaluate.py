"""`demist evaluate`: how good is a run? Do its samples show the class that was asked for?"""

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from demist import files, runs
from demist.commands.judging import judge, splits
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
    import demist.evaluation.accuracy
    import demist.evaluation.classifier
    import demist.pipeline


@dataclass(frozen=True)
class Options:
    """Measure a run: the share of its samples that show the class asked for."""

    run: Annotated[Positional[str], arg(metavar="[RUN]")] = "latest"
    """Run: number, name, path or `latest`."""
    n: int = 1000
    """How many samples, the classes in equal parts."""
    sampling: Annotated[SamplingOptions, arg(name="")] = field(default_factory=SamplingOptions)
    source: Annotated[ModelOptions, arg(name="")] = field(default_factory=ModelOptions)

    def __post_init__(self) -> None:
        require_positive("n", self.n)


def main(args: list[str]) -> None:
    """Print the table and keep it in the run's folder."""
    options = tyro.cli(Options, prog="demist evaluate", args=args, config=(OmitArgPrefixes,))
    run = runs.find(options.run, options.source.runs)
    pipeline = options.source.open(str(run.path))
    settings = options.sampling.over(pipeline)
    accuracy, classifier = measure(
        pipeline, run.config().data, options.n, settings, options.sampling.batch_size
    )
    facts = provenance("evaluate", args, pipeline) | {
        "sampling": {"n": options.n, **settings},
        "judge": str(classifier.card),
        "label_accuracy": accuracy.overall,
        "ceiling": classifier.card.accuracy,
        "classes": {row.name: row.accuracy for row in accuracy.classes},
    }
    out = free_name(run.path / "evaluation.json")
    files.write_json(out, facts)
    print(accuracy.markdown())
    print(f"\n{sentence(accuracy, classifier, options.n)}\n{out}")


def measure(
    pipeline: "demist.pipeline.Pipeline",
    data: DataConfig,
    n: int,
    settings: dict[str, Any],
    batch_size: int | None = None,
) -> tuple["demist.evaluation.accuracy.Accuracy", "demist.evaluation.classifier.Classifier"]:
    """Label accuracy of `n` samples, by the judge of the run's own data.

    Raises:
        UsageError: The model has no classes.
    """
    import numpy as np

    from demist.evaluation.accuracy import label_accuracy

    classes = classes_of(pipeline)
    if not classes:
        raise UsageError(
            "this model was trained without classes; label accuracy is all that is measured so far"
        )
    classifier = judge(*splits(data))
    labels = spread(classes, n)
    x = pipeline.sample(
        n, **settings, batch_size=batch_size, progress=sys.stderr.isatty(), label=labels
    )
    asked = np.array([classifier.card.classes.index(name) for name in labels], np.int64)
    return label_accuracy(classifier, x, asked), classifier


def sentence(
    accuracy: "demist.evaluation.accuracy.Accuracy",
    classifier: "demist.evaluation.classifier.Classifier",
    n: int,
) -> str:
    """The result with its error and its ceiling."""
    p = accuracy.overall
    error = 100 * (p * (1 - p) / n) ** 0.5
    real = classifier.card.accuracy
    ceiling = "" if real is None else f"; on real images it agrees with {100 * real:.1f} %"
    return (
        f"label accuracy {100 * p:.1f} % ± {error:.1f} on {n} samples, by an independent "
        f"classifier{ceiling}"
    )
