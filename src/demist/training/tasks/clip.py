"""Training a small CLIP: images and captions become vectors of one space."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from demist.codecs import Pixels
from demist.conditions import ClipText, Conditioner
from demist.config import DataConfig, TrainConfig, patch_of, update
from demist.data import Dataset
from demist.data.dataset import TEXT
from demist.data.division import held_out_part
from demist.drawing import save_png
from demist.errors import DemistError, UsageError
from demist.evaluation.metrics.retrieval import Retrieval, retrieval
from demist.machine.device import pick_device
from demist.machine.precision import resolve_precision
from demist.machine.streams import tell
from demist.modalities import of
from demist.modalities.named import divided, part
from demist.modalities.reading import splits
from demist.model.learned_clip import LearnedClip
from demist.networks.clip import Clip
from demist.objectives import contrastive_loss
from demist.runs import Run
from demist.training.batches import Batch, Batches
from demist.training.distil import open_teacher
from demist.training.experiment import Experiment, facts_of
from demist.training.parallel import World
from demist.training.streams import Streams

PAIRS = 1000
"""Held-out pairs among which a finished CLIP looks for the right ones."""
WORDS = 256
"""Captions of the data among which it chooses for the images that are drawn."""


@dataclass(frozen=True)
class Contrast:
    """The objective of CLIP over the pairs of all processes; see `demist.objectives.contrastive`.

    Attributes:
        world: The processes.
    """

    world: World

    def __call__(self, net: Callable[..., tuple[Tensor, Tensor, Tensor]], batch: Batch) -> Tensor:
        images, texts, scale = net(batch.x0, batch.cond[f"{TEXT}.tokens"])
        if self.world.size == 1:
            return contrastive_loss(images, texts, scale)
        all_images, all_texts = (everyones(rows, self.world) for rows in (images, texts))
        first = self.world.rank * len(images)
        return contrastive_loss(images, texts, scale, all_images, all_texts, first)


def everyones(rows: Tensor, world: World) -> Tensor:
    """The rows of all processes, in order; a process's rows get the gradients of all of them."""
    found: Tensor = _Everyones.apply(rows, world)  # type: ignore[no-untyped-call]
    return found


class _Everyones(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, world: World) -> Tensor:
        ctx.mine = slice(world.rank * len(rows), (world.rank + 1) * len(rows))
        found = [torch.empty_like(rows) for _ in range(world.size)]
        dist.all_gather(found, rows.contiguous())
        return torch.cat(found)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total[ctx.mine], None


@dataclass(frozen=True)
class ClipTask:
    """See `demist.training.experiment.Task`.

    Attributes:
        config: Of the run, once it is built: it names the held-out pairs.
    """

    config: TrainConfig | None = None
    word: ClassVar[str] = "clip"

    def build(self, config: TrainConfig, data: Dataset, world: World) -> Experiment:
        text = prompts_of(config, data)
        device = pick_device(config.optimization.device)
        open_teacher(config, device)  # which refuses: a teacher has a network of its own
        data = data.only([TEXT])
        options = config.optimization
        streams = Streams.of(options.seed, len(data), options.batch_size, world)
        with torch.random.fork_rng(devices=[]):  # as in `make_denoiser`
            torch.manual_seed(replace(streams, rank=0, world=1).torch_seed(-1))
            net = make_clip(config, data.x.shape[1:], text).to(device)
        captions = text.values(data.columns[TEXT])
        batches = Batches(
            data.x, streams, Pixels(), Conditioner({TEXT: text}), {TEXT: captions},
            flip=config.data.flip, device=device,
        )  # fmt: skip
        facts = facts_of(data)
        cut = zip(captions, data.columns[TEXT].values, strict=True)
        facts["captions_cut"] = sum(1 for kept, whole in cut if kept != whole)
        made = LearnedClip(net, text, data.x.shape[1:], facts)
        if options.threads:
            torch.set_num_threads(options.threads)
        precision = resolve_precision(options.precision, net)
        config = update(config, {"precision": precision})
        task = replace(self, config=config)
        return Experiment(
            config, data, made, batches, streams, Contrast(world), batches.waiting, net, task
        )

    def draw(
        self, made: Any, run: Run, step: int, data: Dataset, count: int, say: Callable[[str], None]
    ) -> None:
        draw_nearest(made, run, step, data, count)

    def finish(self, made: Any, data: Dataset) -> tuple[Any, Mapping[str, Any]]:
        test = None if self.config is None else held_out(self.config.data, data.x.shape[1:])
        found = measure_retrieval(made, data if test is None else test)
        which = "of what it has learned from" if test is None else "held out"
        tell(f"retrieval {found}; the pairs are {which}")
        facts = {"retrieval": {**found.to_json(), "held_out": test is not None}}
        return made.with_facts({**made.facts, **facts}), facts

    def after(self, config: TrainConfig, spec: object) -> Sequence[str]:
        return (
            f"demist train {config.data.path} --text-encoder {spec}",
            f"demist evaluate RUN --clip {spec}",
        )


def prompts_of(config: TrainConfig, data: Dataset) -> ClipText:
    """The prompts of a new CLIP, with a vocabulary of the captions of the data.

    Raises:
        UsageError: The options do not go together, or the data has no images or no captions.
    """
    where, options = data.name or config.data.path, config.optimization
    if not of(data).spatial:
        raise UsageError("network = 'clip' needs images, and this data is points; leave it out")
    if TEXT not in data.columns:
        raise UsageError(
            f"{where} has no captions, and a CLIP learns from images with captions; write them in "
            f"metadata.jsonl beside the images, or name their column with --caption-column"
        )
    if len(set(data.columns[TEXT].values)) < 2:
        raise UsageError(f"{where} has one caption for all images, which tells none from another")
    if config.latents.codec is not None:
        raise UsageError(f"codec = {config.latents.codec!r}: a CLIP sees pixels; leave it out")
    if options.parallel == "fsdp":
        raise UsageError("parallel = 'fsdp': this CLIP is small; use ddp")
    if options.micro_batches is not None or options.auto_microbatch:
        raise UsageError(
            "micro_batches, auto_microbatch: a CLIP compares all pairs of a batch with each other, "
            "so a batch has no parts; leave them out, or choose a smaller --batch-size"
        )
    d, n = config.data, config.network
    column = data.columns[TEXT]
    return ClipText.of(
        column, data.x.shape[1:], 0.0, d.text_length, d.text_vocabulary, n.text_width, n.text_depth
    )


def make_clip(config: TrainConfig, shape: tuple[int, ...], text: ClipText) -> Clip:
    """The towers for images of `shape`, `(C, H, W)`.

    Raises:
        UsageError: The images do not go with the levels.
    """
    n = config.network
    return Clip(
        in_channels=shape[0],
        size=shape[1:],
        channels=n.channels_per_level,
        blocks=n.blocks_per_level,
        patch=patch_of(config),
        norm_groups=n.norm_groups,
        width=n.width,
        vocabulary=text.spec()["vocabulary"],
        length=text.length,
        text_width=n.text_width,
        text_depth=n.text_depth,
    )


def held_out(options: DataConfig, shape: tuple[int, ...]) -> Dataset | None:
    """The held-out pairs, images of `shape`, of the data options name; None: there are none."""
    if options.hold_out == 0:
        return None
    try:
        name = held_out_part(splits(options.path, options.kind))
        few = replace(options, limit=options.limit or PAIRS)
        test = part(few, name) if name else divided(options).test
    except DemistError:  # what was learned from was given, and the options name something else
        return None
    fits = TEXT in test.columns and test.x.shape[1:] == shape
    return test if fits else None


def measure_retrieval(made: LearnedClip, data: Dataset, count: int = PAIRS) -> Retrieval:
    """How often a CLIP finds the right one among `count` pairs, spread evenly over the data."""
    rows = spread(len(data), count)
    captions = [data.columns[TEXT].values[row] for row in rows]
    return retrieval(made.see(data.x[rows]), made.read(captions), captions)


def spread(n: int, count: int) -> np.ndarray:
    """At most `count` rows of `n`, spread evenly."""
    return np.unique(np.linspace(0, n - 1, count).astype(np.int64))


def draw_nearest(made: LearnedClip, run: Run, step: int, data: Dataset, count: int) -> None:
    """Draw images of the data, each with the caption of the data that CLIP finds nearest.

    Args:
        made: The CLIP.
        run: The run in whose folder the image goes.
        step: Steps done.
        data: What it is trained on.
        count: Images in the image.
    """
    rows, words = spread(len(data), count), spread(len(data), WORDS)
    captions = list(dict.fromkeys(data.columns[TEXT].values[row] for row in [*rows, *words]))
    images = data.x[rows]
    nearest = (made.see(images) @ made.read(captions).T).argmax(1)
    chosen = [captions[i] for i in nearest]
    right = sum(
        data.columns[TEXT].values[row] == word for row, word in zip(rows, chosen, strict=True)
    )
    facts = {
        "run": run.path.name, "step": step, "count": len(rows), "right": right,
        "captions": chosen,
    }  # fmt: skip
    save_png(of(data).draw(images, chosen), run.image(step), facts)
