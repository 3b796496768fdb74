"""The real images of an evaluation, measured once: what generated images are compared with.

Everything that does not depend on the generated images is found here, and with it the floor: what
held-out images score in the place of generated ones, at the same count.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from demist.errors import DataError
from demist.evaluation.extractors.features import Extractor, pixels
from demist.evaluation.judge.classifier import Classifier, softmax
from demist.evaluation.metrics.distances import neighbour_radius
from demist.evaluation.metrics.frechet import Moments, frechet_distance
from demist.evaluation.metrics.kernel import kernel_within, strided
from demist.evaluation.metrics.memorisation import Closeness
from demist.evaluation.metrics.metric import Found, ImageMetric, metrics_of
from demist.evaluation.metrics.modes import count_modes


@dataclass(frozen=True)
class Seen:
    """Images, and what extractor and judge see in them.

    Arguments:
        images: 8 bits.
        features: of the extractor.
        spatial: its features with their places; may be empty.
        logits: of the judge.
    """

    images: UInt8[np.ndarray, "n c h w"]
    features: Float32[np.ndarray, "n d"]
    spatial: Float32[np.ndarray, "n s"]
    logits: Float32[np.ndarray, "n classes"]

    @staticmethod
    def of(images: UInt8[np.ndarray, "n c h w"], judge: Classifier, extractor: Extractor) -> "Seen":
        """Look at images; the judge looks again only if it is not the extractor itself."""
        both, d = extractor.see(images), extractor.dimension
        features = both[:, :d]
        logits = judge.head(features) if extractor is judge else judge.logits(images)
        return Seen(images, features, both[:, d:], logits)

    def part(self, rows: Int64[np.ndarray, " m"]) -> "Seen":
        """Some of the images."""
        return Seen(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @property
    def labels(self) -> Int64[np.ndarray, " n"]:
        """The judge's labels."""
        labels: np.ndarray = self.logits.argmax(1)
        return labels

    @property
    def probabilities(self) -> Float64[np.ndarray, "n classes"]:
        """Those of the judge's labels."""
        return softmax(self.logits)

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Reference:
    """Training and test images, all that is known of them, and the floor.

    Arguments:
        judge: labels images; its classes are those of the data.
        extractor: makes the features; often the judge itself.
        train: all training images.
        test: all test images.
        compared: how many images of each kind are compared, N.
        rows: which test images are.
        k: neighbour for precision, recall, density and coverage.
        seed: of the random choice of N images.
        target: proportions of the classes.
        moments: of the features of all training images.
        where: the same of the spatial features.
        some: N training images.
        radius: their distance to the k-th neighbour.
        kernel: mean kernel of pairs of at most `MOST` training images.
        closeness: natural distances to training images, in pixels.
        floor: metric -> value of N test images.
        within: Fréchet distance of some training images to the others.
    """

    judge: Classifier
    extractor: Extractor
    train: Seen
    test: Seen
    compared: int
    rows: Int64[np.ndarray, " n"]
    k: int
    seed: int
    target: Float64[np.ndarray, " classes"]
    moments: Moments
    where: Moments | None
    some: Seen
    radius: Float64[np.ndarray, " n"]
    kernel: float
    closeness: Closeness
    floor: dict[str, float]
    within: float

    @staticmethod
    def of(
        judge: Classifier,
        train: UInt8[np.ndarray, "n c h w"],
        test: UInt8[np.ndarray, "m c h w"],
        *,
        generated: int,
        extractor: Extractor | None = None,
        train_labels: Int64[np.ndarray, "_"] | None = None,
        test_labels: Int64[np.ndarray, "_"] | None = None,
        k: int = 5,
        seed: int = 0,
    ) -> "Reference":
        """Look at the real images.

        Arguments:
            judge: of this data.
            train: images the model was trained on, all of them.
            test: held-out images of the same source.
            generated: how many generated images there will be.
            extractor: default: the judge.
            train_labels: for the proportions of classes; the judge's own by default.
            test_labels: for the floor of the label accuracy.
            k: neighbour for precision, recall, density and coverage.
            seed: of the choice of images.

        Raises:
            DataError: too few images, or other shapes.
        """
        n = min(generated, len(test), len(train))
        if n <= k:
            raise DataError(
                f"{generated} generated, {len(train)} training and {len(test)} test images are "
                f"too few; neighbours of order {k} need more than {k} of each."
            )
        extractor = judge if extractor is None else extractor
        seen, held_out = Seen.of(train, judge, extractor), Seen.of(test, judge, extractor)
        rng = np.random.default_rng(seed)
        some = seen.part(rng.permutation(len(train))[:n])
        rows = rng.permutation(len(test))[:n]
        labels = seen.labels if train_labels is None else train_labels
        moments = Moments.of(seen.features)
        reference = Reference(
            judge=judge,
            extractor=extractor,
            train=seen,
            test=held_out,
            compared=n,
            rows=rows,
            k=k,
            seed=seed,
            target=count_modes(labels, len(judge.card.classes)) / len(train),
            moments=moments,
            where=Moments.of(seen.spatial) if seen.spatial.shape[1] else None,
            some=some,
            radius=neighbour_radius(some.features, k),
            kernel=kernel_within(strided(seen.features)),
            closeness=Closeness.of(pixels(test[rows]), pixels(train)),
            floor={},
            within=_within(seen.features, n, rng),
        )
        held = Found(held_out.part(rows), held_out, test_labels)
        floor = {k: v for m in reference.metrics(held) for k, v in m.floor(held, reference).items()}
        reference.floor.update(floor)
        return reference

    def metrics(self, found: Found) -> list[ImageMetric]:
        """The metrics that have all that they need, in the order of the table."""
        has = {"images", "features", "logits"}
        has |= {"spatial"} if self.where is not None else set()
        has |= {"labels"} if found.asked is not None else set()
        every: list[ImageMetric] = metrics_of(ImageMetric)  # type: ignore[type-abstract]
        return [metric for metric in every if has.issuperset(metric.needs)]


def _within(train: np.ndarray, n: int, rng: np.random.Generator) -> float:
    """Fréchet distance of some training images to the others: the effect of sampling alone."""
    order = rng.permutation(len(train))
    size = min(n, len(train) // 2)
    return frechet_distance(Moments.of(train, order[:size]), Moments.of(train, order[size:]))
