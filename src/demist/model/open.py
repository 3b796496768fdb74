"""Opening a model by what people call it: a run, a folder, or one that comes along."""

import warnings
from dataclasses import fields, replace
from pathlib import Path

import torch

from demist import interop, zoo
from demist.interop import Reading
from demist.io import hub
from demist.machine.device import pick_device
from demist.machine.threads import fastest_threads
from demist.model import adapted, fits
from demist.model import folder as model_folder
from demist.model.pipeline import Pipeline
from demist.model.placing import thrifty
from demist.runs import Run, all_runs, find

RUNS = Path("runs")
"""Where run folders are, if nobody says."""
WEIGHTS = (".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin")
"""Endings of files of weights; those that are pickles are refused when they are opened."""


def locate(spec: str, runs: Path = RUNS) -> Path:
    """The folder that `open_model` would read: a run's or a model's.

    Args:
        spec: A run (path, number, name or `latest`), a model's folder, a name in `demist.zoo`, or
            one of the hub, `hf:owner/name[@revision]`.
        runs: Folder in which run folders are.

    Raises:
        MissingError: There is no such run.
    """
    place = zoo.locate(spec)
    return place if _is_saved(place) else find(spec, runs).path


def keep_fits(spec: str, pipeline: Pipeline, runs: Path = RUNS) -> Path | None:
    """Write what was fitted to a run's model into the run; the run, or None: it is a saved model.

    Args:
        spec: What it was opened by.
        pipeline: It, fitted.
        runs: Folder in which run folders are.
    """
    place = locate(spec, runs)
    if _is_saved(place):
        return None
    fits.keep(Run(place), pipeline)
    return place


def open_model(
    spec: str,
    *,
    at_step: int | None = None,
    device: str = "auto",
    runs: Path = RUNS,
    reading: Reading | None = None,
) -> Pipeline:
    """A model, ready to sample; sets the number of threads to the fastest for this machine.

    Args:
        spec: See `locate`.
        at_step: Checkpoint of a run; None: the newest.
        device: auto, cpu, cuda, cuda:1 or mps.
        runs: Folder in which run folders are.
        reading: How it is read and run.

    Raises:
        MissingError: There is no such run, or it has no checkpoint yet.
        DataError: The model is damaged.
        UsageError: The device cannot be used.
    """
    place = locate(spec, runs)
    if place != Path(spec) and spec in zoo.NAMES:
        namesakes = [run for run in all_runs(runs) if run.name == spec]
        if namesakes:
            warnings.warn(
                f"{spec!r} is the model that comes with the package; the run of that name is "
                f"{namesakes[-1].number}"
            )
    if _is_saved(place):
        pipeline = Pipeline.load(place, reading)
    else:
        pipeline = adapted.as_read(Pipeline.from_run(Run(place), at_step), reading)
        pipeline = pipeline if reading is None else thrifty(pipeline, reading)
    if reading is not None and reading.dtype != "fp32" and pipeline.origin is None:
        warnings.warn(f"{spec} stays in fp32: {reading.dtype} is for models of other makers")
    torch.set_num_threads(fastest_threads())  # samples are the same bits with any number
    where = pick_device(device)
    if reading is None or not reading.offload:
        return pipeline.to(where)
    if where.type == "cpu":
        warnings.warn("nothing is offloaded: the networks run on the CPU, where they are")
        return pipeline
    return pipeline.offload(where)


def reading_of(options: object) -> Reading:
    """How a model of another maker is read, from options of the same names."""
    return Reading(**{f.name: getattr(options, f.name) for f in fields(Reading)})


def open_weak(
    spec: str, strong: Pipeline, *, runs: Path = RUNS, reading: Reading | None = None
) -> Pipeline:
    """A weaker model, for guidance of a strong one: on the same device, its name in its facts.

    Args:
        spec: See `locate`; of a run, the newest checkpoint.
        strong: The model that is guided.
        runs: Folder in which run folders are.
        reading: How it is read and run.

    Raises:
        As `open_model`.
    """
    device = str(strong.device)
    # It is read as it was published: what belongs to the strong model does not fit it.
    reading = reading and replace(reading, lora=(), embedding=(), part=(), prediction=None)
    weak = open_model(spec, device=device, runs=runs, reading=reading)
    return replace(weak, facts={**weak.facts, "name": hub.title(locate(spec, runs))})


def gpus_of(pipeline: Pipeline) -> int:
    """How many graphics processors a model runs on."""
    return int(pipeline.device.type == "cuda")


def _is_saved(place: Path) -> bool:
    """Whether it is a model: a file of weights, a folder with an index, or a network alone."""
    if place.suffix.lower() in WEIGHTS and place.is_file():
        return True
    return (place / model_folder.INDEX).is_file() or (
        (place / "config.json").is_file() and interop.is_published(place)
    )
