"""How to sample: the options that several commands share, and what is done with them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demist.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy
    import PIL.Image

    import demist.model.pipeline
    import demist.model.sampling


@dataclass(frozen=True)
class SamplingOptions:
    """How to sample. What is not said is the model's own default."""

    steps: int | None = None
    """Steps from noise to data, usually 20."""
    solver: str | None = None
    """adams, heun, dpmpp-2m, ddim, ddim:eta=1 (DDPM), ...; an unknown name lists them all."""
    time_grid: str | None = None
    """Where the steps are: angular, smooth, uniform, karras:rho=5, trailing, ... (an unknown name
    lists them all), or the times themselves: 1,0.6,0.2,0. Default: where the solver is best."""
    guidance: float | None = None
    """How strongly class and prompt are followed; 1 is as learned, 1.5 to 3 is clearer and less
    varied."""
    guidance_interval: str | None = None
    """Times between which there is guidance, such as 0.1:0.8; 0 is data, 1 is noise. Default: at
    all times."""
    guidance_rule: str | None = None
    """cfg, apg or rescale, with options: apg:parallel=0.2, rescale:share=0.7. Default: cfg."""
    seed: int = 0
    """Sample i depends on the seed and i alone."""
    batch_size: int | None = None
    """Samples at once: changes speed and memory, never the samples."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            require_positive(name, getattr(self, name))

    def sampling(self) -> "demist.model.sampling.Sampling":
        """The same as values.

        Raises:
            UsageError: One makes no sense.
        """
        from demist.model.sampling import Sampling, parse

        typed = {"grid" if k == "time_grid" else k: v for k, v in asdict(self).items()}
        return Sampling(**{k: parse(k, v) if isinstance(v, str) else v for k, v in typed.items()})

    def over(self, pipeline: "demist.model.pipeline.Pipeline") -> dict[str, Any]:
        """The complete recipe, defaults of the model filled in, without batch size."""
        return pipeline.plan(1, self.sampling()).sampling.recipe()


@dataclass(frozen=True)
class ModelOptions:
    """Which model, and where it runs."""

    at_step: int | None = None
    """Checkpoint of the run to use. Default: the newest."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    runs: Path = Path("runs")
    """Folder in which run folders are."""

    def locate(self, spec: str) -> Path:
        """The folder that `open` would read: a run's or a model's.

        Raises:
            MissingError: There is no such run.
        """
        from demist.runs import find
        from demist.zoo import locate

        place = locate(spec)
        if not (place / "model_index.json").is_file():
            place = find(spec, self.runs).path
        return place

    def open(self, spec: str) -> "demist.model.pipeline.Pipeline":
        """The model of a run (path, number, name or `latest`), of a folder, or of the package.

        Raises:
            MissingError: There is no such run, or it has no checkpoint yet.
            DataError: The model is damaged.
            UsageError: The device cannot be used.
        """
        import torch

        from demist.machine.device import pick_device
        from demist.machine.threads import fastest_threads
        from demist.model.pipeline import Pipeline
        from demist.runs import Run

        place = self.locate(spec)
        if (place / "model_index.json").is_file():
            pipeline = Pipeline.load(place)
        else:
            pipeline = Pipeline.from_run(Run(place), self.at_step)
        torch.set_num_threads(fastest_threads())  # samples are the same bits with any number
        return pipeline.to(pick_device(self.device))


@lru_cache(maxsize=1)
def opened(source: ModelOptions, model: str, sha256: str) -> "demist.model.pipeline.Pipeline":
    """A model in a process that makes buckets of it; the next bucket finds it open.

    Args:
        source: How to open it.
        model: See `ModelOptions.locate`.
        sha256: Its `weights_hash`.

    Raises:
        DataError: It is not the model that was meant.
    """
    from demist.model.folder import weights_hash

    pipeline = source.open(model)
    if weights_hash(pipeline) != sha256:
        raise DataError(
            f"{model} has other weights now than when sampling began; say which with --at-step"
        )
    return pipeline


def gpus_of(pipeline: "demist.model.pipeline.Pipeline") -> int:
    """How many graphics processors a model runs on."""
    return int(next(pipeline.denoiser.parameters()).is_cuda)


def parse_shard(text: str) -> tuple[int, int]:
    """(2, 3) of "2/3".

    Raises:
        UsageError: It is not one of the shares from 1/N to N/N.
    """
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second)):
        raise UsageError(f"--shard {text}: write 1/3, 2/3 or 3/3 for the shares of three processes")
    return int(first), int(second)


def require_positive(name: str, value: int | None) -> None:
    """Raise UsageError if a count is given and below 1."""
    if value is not None and value < 1:
        raise UsageError(f"--{name.replace('_', '-')} {value}: give 1 or more")


def parse_interval(text: str) -> tuple[float, float]:
    """Two times from `low:high`."""
    low, _, high = text.partition(":")
    try:
        return float(low), float(high)
    except ValueError:
        raise UsageError(
            f"--guidance-interval {text}: write two times with a colon, such as 0.1:0.8"
        ) from None


def classes_of(pipeline: "demist.model.pipeline.Pipeline") -> tuple[str, ...]:
    """Names of the classes the model can be asked for."""
    condition = pipeline.conditioner.conditions.get("label")
    return condition.classes if condition else ()  # type: ignore[attr-defined]


def choose_labels(
    text: str | None, classes: Sequence[str], others: Sequence[str] = ()
) -> list[str]:
    """The classes meant by `--class`; empty for none.

    Args:
        text: What was typed.
        classes: Of the model.
        others: Names of its other conditions.

    Raises:
        UsageError: The model has no classes.
    """
    if text is None:
        return list(classes)
    if text == "none" and "none" not in classes:
        return []
    if not classes:
        raise UsageError(
            f"--class {text}: this model was trained without classes; leave it out"
            + (f" (it is told: {', '.join(others)})" if others else "")
        )
    if text in classes:
        return [text]
    return [class_name(word.strip(), classes) for word in text.split(",")]


def require_prompts(pipeline: "demist.model.pipeline.Pipeline") -> None:
    """Raise UsageError unless the model reads prompts; say what it is told instead."""
    known = pipeline.conditioner.conditions
    if "text" not in known:
        classes = classes_of(pipeline)
        told = f"--class, one of {', '.join(classes)}" if classes else ", ".join(known)
        raise UsageError(
            "this model was trained without captions and reads no prompt; it is told: "
            + (told or "nothing, it is unconditional")
        )


def negative_of(pipeline: "demist.model.pipeline.Pipeline", word: str) -> dict[str, str]:
    """The condition that `--negative` speaks of: a prompt, or a class of a model without prompts.

    Raises:
        UsageError: The model has neither.
    """
    known = pipeline.conditioner.conditions
    if "text" not in known and "label" in known:
        return {"label": class_name(word, classes_of(pipeline))}
    require_prompts(pipeline)
    return {"text": word}


def class_name(word: str, classes: Sequence[str]) -> str:
    """The name of the class meant by a name or a number; an unknown word is left as it is."""
    number = word not in classes and word.isdecimal() and int(word) < len(classes)
    return classes[int(word)] if number else word


def spread(labels: Sequence[str], n: int) -> list[str]:
    """`n` labels in equal runs: a, a, b, b."""
    return [labels[i * len(labels) // n] for i in range(n)] if labels else []


def draw(x: "numpy.ndarray", labels: Sequence[str], columns: int | None) -> "PIL.Image.Image":
    """Images as a labelled grid, points as a scatter or histogram."""
    from demist.drawing import image_grid, scatter

    if x.ndim == 2:
        return scatter(x)
    return image_grid(x, labels=labels or None, columns=columns)


def film(
    states: Sequence["numpy.ndarray"], labels: Sequence[str], columns: int | None
) -> list["PIL.Image.Image"]:
    """One picture per state; points share one scale, the last state's."""
    import numpy as np

    from demist.drawing import image_grid, scatter
    from demist.drawing.scatter import round_up

    if states[0].ndim == 2:
        limit = round_up(1.5 * float(np.abs(states[-1]).max()))
        return [scatter(x, limit=limit) for x in states]
    return [image_grid(x, labels=labels or None, columns=columns) for x in states]
