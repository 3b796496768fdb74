"""`demist classifier`: train the independent judge of a data set."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

import demist
from demist.commands.shared import read, require_free
from demist.errors import UsageError
from demist.io.files import cache_folder


@dataclass(frozen=True)
class Options:
    """Train a classifier on the data: the judge of `demist evaluate`, kept for later."""

    data: Annotated[Positional[str], arg(metavar="[DATA]")] = "digits"
    """Images in classes: anything `demist train` takes."""
    size: int | None = None
    """Side of the square images, as in training."""
    channels: int | None = None
    """1 grey or 3 RGB, as in training."""
    seed: int = 0
    """Fixes weights, order and augmentation."""
    out: Path | None = None
    """Write it here too (.safetensors)."""
    noise_of: Annotated[str | None, arg(metavar="RUN|FOLDER")] = None
    """Train instead on images as noisy as this model sees them, for `demist sample --classifier`;
    needs --out."""
    force: bool = False
    """Overwrite a file that exists."""

    def load(self) -> "tuple[demist.data.Dataset, demist.data.Dataset]":
        """Training and test data."""
        return demist.data.train_and_test(self.data, size=self.size, channels=self.channels)


def main(args: list[str]) -> None:
    """Train (or find) the judge and describe it."""
    options = read(Options, "classifier", args)
    if options.out:
        require_free(options.out, options.force)
    if options.noise_of is not None:
        train_on_noise(options, options.noise_of)
        return
    from demist.measuring.judging import judge

    classifier = judge(*options.load(), options.seed)
    if options.out:
        classifier.save(options.out)
    print(f"{classifier.card}\nkept in {options.out or cache_folder()}")


def train_on_noise(options: Options, model: str) -> None:
    """The classifier that guides a model.

    Raises:
        UsageError: It is not said where to write it.
    """
    from demist.training import noisy_classifier, progress

    if options.out is None:
        raise UsageError("--noise-of makes a classifier for one model; say --out where to keep it")
    pipeline = demist.model.open_model(model)
    train, test = options.load()
    with contextlib.closing(progress.Progress()) as bar:
        for done in noisy_classifier.train_noisy_classifier(pipeline, train, seed=options.seed):
            bar.show(done)
    made = done.model.eval()
    assert isinstance(made, demist.model.NoisyClassifier)
    made.save(options.out)
    times = (0.1, 0.3, 0.5, 0.7, 0.9)
    shares = [100 * noisy_classifier.accuracy_at(made, pipeline, test, t) for t in times]
    row = ", ".join(f"{share:.1f} % at {t}" for share, t in zip(shares, times, strict=True))
    print(f"recognises held-out images through the noise of time t: {row}\n{options.out}")
