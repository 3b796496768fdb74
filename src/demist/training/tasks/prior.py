"""A prior: a diffusion model of the vectors that a CLIP makes of images, told the caption's vector.

It is a denoiser of points whose data are those vectors, standardised (mean 0 in each number,
variance 1 over all), so that noise schedules suit them. A decoder that is told such vectors (the
condition `image-vector`) is fed by it.

References:
    Ramesh et al. 2022, "Hierarchical Text-Conditional Image Generation with CLIP Latents",
    arXiv:2204.06125, section 2.2.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from demist.conditions import TextVector
from demist.config import TrainConfig, update
from demist.data import Dataset
from demist.data.dataset import TEXT
from demist.data.images.buckets import Bucketed
from demist.errors import UsageError
from demist.evaluation.metrics.retrieval import retrieval
from demist.machine.streams import tell
from demist.modalities import of
from demist.model.best_of import USUAL, told_by
from demist.model.components import hash_of
from demist.model.learned_clip import LearnedClip, open_clip
from demist.model.pipeline import Pipeline
from demist.model.values import VECTORS
from demist.runs import Run
from demist.training.experiment import Experiment
from demist.training.parallel import World
from demist.training.tasks.clip import PAIRS, held_out, spread
from demist.training.tasks.denoise import DenoisingTask
from demist.training.vectors import vectors_in_place

NETWORK = "mlp"


@dataclass(frozen=True)
class PriorTask:
    """See `demist.training.experiment.Task`.

    Attributes:
        config: Of the run, once it is built: it names the held-out pairs.
        clip: Whose vectors are learned, from then on.
        shape: Of the images.
    """

    config: TrainConfig | None = None
    clip: LearnedClip | None = None
    shape: tuple[int, ...] = ()
    word: ClassVar[str] = "prior"

    def build(self, config: TrainConfig, data: Dataset, world: World) -> Experiment:
        require_pairs(config, data)
        clip = open_clip(str(config.network.image_encoder), config.output.runs)
        vectors = vectors_in_place(data, clip.net, world)
        asked = config.data.conditions
        chosen = f"{TEXT}={TextVector.name}" if asked is None else asked
        inner = update(config, {"network": NETWORK, "conditions": chosen})
        made = DenoisingTask().build(inner, vectors, world)
        assert isinstance(made.pipeline, Pipeline)
        facts = {**made.pipeline.facts, VECTORS: hash_of({"": clip.net})}
        defaults = made.pipeline.defaults
        if told_by(made.pipeline):
            defaults = replace(defaults, best_of=USUAL)
        own = {"network": self.word, "conditions": asked}
        return replace(
            made,
            config=update(made.config, own),
            pipeline=replace(made.pipeline, facts=facts, defaults=defaults),
            task=replace(self, config=config, clip=clip, shape=data.x.shape[1:]),
            notes=(*made.notes, f"learns the vectors that a {clip.recipe} makes of these images"),
        )

    def draw(
        self, made: Any, run: Run, step: int, data: Dataset, count: int, say: Callable[[str], None]
    ) -> None:
        """Nothing: a vector is no picture."""

    def finish(self, made: Any, data: Dataset) -> tuple[Any, Mapping[str, Any]]:
        assert self.config is not None
        assert self.clip is not None
        if told_by(made) != TEXT:
            return made, {}
        test = held_out(self.config.data, self.shape)
        some = data if test is None else test
        rows = spread(len(some), PAIRS)
        captions = [some.columns[TEXT].values[row] for row in rows]
        real = data.x[rows] if test is None else self.clip.see(test.x[rows])
        found = measure_prior(made, self.clip, real, captions)
        which = "of what it has learned from" if test is None else "held out"
        tell(f"{sentence(found)}; the pairs are {which}")
        facts = {"prior": {**found, "held_out": test is not None}}
        return made.with_facts({**made.facts, **facts}), facts

    def after(self, config: TrainConfig, spec: object) -> Sequence[str]:
        clip = config.network.image_encoder
        return (
            f"demist train {config.data.path} --image-encoder {clip} --feeds image_vector={spec}",
        )


def require_pairs(config: TrainConfig, data: Dataset) -> None:
    """Check that there is what a prior learns from.

    Raises:
        UsageError: The options do not go together, or the data has no images or no captions.
    """
    where = data.name or config.data.path
    if config.network.image_encoder is None:
        raise UsageError(
            "network = 'prior' learns the vectors of a CLIP and none is named; add --image-encoder "
            "CLIPRUN"
        )
    if not of(data).spatial or isinstance(data.x, Bucketed):
        raise UsageError(
            f"network = 'prior' needs images of one shape, and {where} holds others; leave it out"
        )
    if config.data.conditions is None and TEXT not in data.columns:
        raise UsageError(
            f"{where} has no captions, and a prior learns from images with captions; write them in "
            f"metadata.jsonl beside the images, or name their column with --caption-column"
        )
    for name, given in (
        ("codec", config.latents.codec), ("flip", config.data.flip),
        ("feeds", config.cascade.feeds), ("teacher", config.distillation.teacher),
    ):  # fmt: skip
        if given:
            raise UsageError(
                f"{name} = {given!r} is for models of images, and a prior makes vectors; leave it "
                f"out"
            )


def measure_prior(
    prior: Pipeline, clip: LearnedClip, real: np.ndarray, captions: Sequence[str]
) -> dict[str, float]:
    """How near drawn vectors are to those of the real images, and how often these are found.

    Args:
        prior: Draws a vector for each caption.
        clip: Whose vectors they are.
        real: Unit vectors of the images `(n, d)`.
        captions: Of the images.

    Returns:
        Mean cosines of the vectors of images with `drawn` vectors of their captions, with drawn
        vectors of `others`, and with the vectors of the captions, `text`; and for `drawn` and
        `text` how often they find their image among all `n`, top-1.
    """
    condition: Any = prior.conditioner.conditions[TEXT]
    kept = [condition.cut(text) for text in captions]
    drawn = prior.sample(len(kept), text=kept, seed=0)
    drawn = drawn / np.maximum(np.linalg.norm(drawn, axis=1, keepdims=True), 1e-12)
    texts = clip.read(kept)
    found = {
        "cosine_drawn": (real * drawn).sum(1).mean(),
        "cosine_others": (real * np.roll(drawn, 1, 0)).sum(1).mean(),
        "cosine_text": (real * texts).sum(1).mean(),
        "drawn_top1": retrieval(real, drawn, captions).images[1],
        "text_top1": retrieval(real, texts, captions).images[1],
    }
    shares = {name: round(float(value), 4) for name, value in found.items()}
    return {"pairs": len(kept), **shares}


def sentence(found: Mapping[str, float]) -> str:
    """What `measure_prior` found, for people."""
    return (
        f"prior, of {found['pairs']:,} pairs: a drawn vector and that of the real image have "
        f"cosine {found['cosine_drawn']:.2f} (drawn for another caption "
        f"{found['cosine_others']:.2f}, the caption's own vector {found['cosine_text']:.2f}); it "
        f"finds the image in {found['drawn_top1']:.1%} (the caption's own vector in "
        f"{found['text_top1']:.1%})"
    )
