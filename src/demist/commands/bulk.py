"""`demist bulk`: many samples, by any number of processes, in buckets that are the same for all."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from demist.commands.sampling import (
    CompanionOptions,
    ModelOptions,
    SamplingOptions,
    parse_shard,
    require_positive,
)
from demist.commands.shared import read


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
    label: Annotated[UseAppendAction[tuple[str, ...]], arg(name="class", metavar="NAMES")] = ()
    """Classes by name or number: `3` or `3,7`, also several times; `none` for no class. Without it:
    each in turn."""
    beside: Annotated[CompanionOptions, arg(name="")] = field(default_factory=CompanionOptions)
    sampling: Annotated[SamplingOptions, arg(name="")] = field(default_factory=SamplingOptions)
    source: Annotated[ModelOptions, arg(name="")] = field(default_factory=ModelOptions)

    def __post_init__(self) -> None:
        require_positive("n", self.n)
        parse_shard(self.shard)


def main(args: list[str]) -> None:
    """Make this shard's buckets, and join all if these were the last."""
    options = read(Options, "bulk", args)
    from demist.measuring.bulk import bulk
    from demist.model.values import choose_labels, classes_of, of_class, seen_classes, spread

    model = options.source.candidate(options.model)
    model = model.with_beside(options.beside.companions(options.source.runs))
    chosen = seen_classes(model.pipeline)
    if options.label:
        chosen = choose_labels(options.label, classes_of(model.pipeline))
    labels = spread(chosen, options.n)
    left, count = bulk(
        model, options.out, options.n, options.sampling.sampling(),
        of_class(model.pipeline, labels),
        share=parse_shard(options.shard), ray=options.ray,
    )  # fmt: skip
    if left:
        print(f"{options.out}: {left} of {count} buckets are still to be made by others")
    else:
        print(options.out / "samples.npy")
