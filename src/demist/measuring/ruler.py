"""What models are measured with, the same for all of them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from demist.codecs import Codec
from demist.data import Dataset
from demist.errors import UsageError
from demist.evaluation.extractors.features import Extractor
from demist.evaluation.extractors.pretrained import Transformer, load_extractor
from demist.evaluation.metrics.points import measure_points
from demist.evaluation.metrics.text_score import Encoder, text_score
from demist.evaluation.reference import Reference
from demist.evaluation.report import Report
from demist.evaluation.report import measure as measure_images
from demist.measuring.candidate import Candidate, data_of, splits
from demist.measuring.judging import judge
from demist.measuring.prompts import Asked, require_captions
from demist.measuring.through_codec import through_codec


@dataclass(frozen=True)
class Ruler:
    """Data and extractors.

    Attributes:
        train: Training data.
        test: Held-out data.
        extractor: Makes the features; None: the judge.
        encoder: Compares images with captions, if that is wanted.
    """

    train: Dataset
    test: Dataset
    extractor: Extractor | None = None
    encoder: Encoder | None = None

    @classmethod
    def of(
        cls,
        candidates: Sequence[Candidate],
        data: str | None = None,
        extractor: Path | None = None,
        clip: Path | None = None,
    ) -> "Ruler":
        """What suits the models, after a look at whether they go with it.

        Args:
            candidates: The models.
            data: What to compare with; None: what the first was trained on.
            extractor: File or folder of a feature extractor; None: the judge.
            clip: Folder with CLIP; None: captions are not compared.

        Raises:
            UsageError: They do not go together.
        """
        train, test = splits(data_of(candidates[0], data))
        for model in candidates:
            if model.pipeline.shape != train.x.shape[1:]:
                raise UsageError(
                    f"{model.name} makes samples of shape {model.pipeline.shape}, but the data has "
                    f"{train.x.shape[1:]}; compare runs on the same data"
                )
            if clip is not None:
                require_captions(model.pipeline, test, model.name)
        if extractor is not None and train.x.ndim != 4:
            raise UsageError(
                f"--extractor {extractor}: points are compared as they are; leave it out"
            )
        return cls(
            train,
            test,
            None if extractor is None else load_extractor(extractor),
            None if clip is None else open_encoder(clip),
        )

    def measure(
        self, samples: dict[int, np.ndarray], asked: Asked, codec: Codec | None = None
    ) -> list[Report]:
        """A report for every seed's samples.

        Args:
            samples: By seed.
            asked: What they were asked to be.
            codec: The model's. If it loses something, the reports of images have an entry `codec`:
                what real images score through it.
        """
        if self.train.x.ndim != 4:
            return self._points(samples, asked)
        return self._images(samples, asked, codec)

    def _images(
        self, samples: dict[int, np.ndarray], asked: Asked, codec: Codec | None
    ) -> list[Report]:
        train, test, encoder = self.train, self.test, self.encoder
        expert = judge(train, test)
        names = expert.card.classes
        real = train.labels is not None and names == train.classes
        generated = min(len(x) for x in samples.values())
        wanted = asked.of("label", generated) if real else []
        labels = np.array([names.index(name) for name in wanted], np.int64) if wanted else None
        with tqdm(total=1 + len(samples), desc="measuring", unit="set", leave=False,
                  disable=not sys.stderr.isatty()) as bar:  # fmt: skip
            reference = Reference.of(
                expert,
                train.x,
                test.x,
                generated=generated,
                extractor=self.extractor,
                train_labels=train.labels if real else None,
                test_labels=test.labels if real else None,
                k=max(1, min(5, generated - 1, len(test) - 1)),
            )
            if encoder is not None:
                ceiling = text_score(encoder, test.x[asked.rows], asked.values["text"])
            lost = None if codec is None or codec.lossless else through_codec(codec, reference)
            bar.update()
            reports = []
            for seed, x in samples.items():
                report = measure_images(reference, x, labels=labels, seed=seed)
                if encoder is not None:
                    found = text_score(encoder, x, asked.of("text", len(x)))
                    report["metrics"] |= found.beside(ceiling)
                    report["protocol"]["captions"] = encoder.recipe
                if lost is not None:
                    report["codec"] = lost
                reports.append(report)
                bar.update()
        return reports

    def _points(self, samples: dict[int, np.ndarray], asked: Asked) -> list[Report]:
        """Points of a class are as good as any."""
        train, test = self.train, self.test
        return [
            measure_points(x, train.x, test.x, test.labels, seed=seed)
            for seed, x in samples.items()
        ]

    def warnings(self, model: Candidate) -> list[str]:
        """A warning if the model was trained on something else than the training data here."""
        known, train = model.pipeline.facts, self.train
        if known.get("fingerprint", train.fingerprint) == train.fingerprint:
            return []
        return [
            f"Other data: {model.name} was trained on {known['items']} items of {known['data']}, "
            f"not on these {len(train)} of {train.name}. It may have seen those called held-out "
            "(if the data has no test part, every tenth item is taken), and its copies of items "
            "that are not here go unnoticed."
        ]


def open_encoder(path: Path) -> Encoder:
    """CLIP in a folder, to compare images with captions.

    Raises:
        UsageError: It is a model that reads no texts.
    """
    encoder = Transformer(path)
    if not encoder.reads:
        raise UsageError(f"--clip {path}: {encoder.kind} reads no texts; give a folder with CLIP")
    return encoder
