"""What an evaluation asks of a model: held-out captions, else every class in turn, else nothing."""

from typing import Any

import numpy as np

from demist.data import Dataset
from demist.errors import DataError, UsageError
from demist.evaluation.ruler import Asked
from demist.model.pipeline import Pipeline
from demist.model.values import classes_of


def reads_captions(pipeline: Pipeline, test: Dataset) -> bool:
    """Whether the model can be asked for the captions of the data."""
    return "text" in pipeline.conditioner.conditions and test.texts is not None


def ask(pipeline: Pipeline, test: Dataset, count: int) -> Asked:
    """What `count` samples are asked for.

    Captions are those of held-out images chosen at random, with the images' classes if the model
    knows these too; cut to what the model reads at once, as in training.

    Raises:
        DataError: There are captions, but the model can read none of them.
    """
    classes = classes_of(pipeline)
    if reads_captions(pipeline, test):
        return _captions(pipeline, test, count, classes)
    if classes:
        return Asked({"label": list(classes)}, [], "asked for every class in turn")
    return Asked({}, [], "asked for nothing")


def require_captions(pipeline: Pipeline, test: Dataset, name: str) -> None:
    """Raise UsageError unless an image-text score can be had."""
    if "text" not in pipeline.conditioner.conditions:
        raise UsageError(f"--clip compares images with their captions, but {name} reads none")
    if test.texts is None:
        raise UsageError(f"--clip compares images with their captions, but {test.name} has none")


def _captions(
    pipeline: Pipeline,
    test: Dataset,
    count: int,
    classes: tuple[str, ...],
) -> Asked:
    assert test.texts is not None
    condition: Any = pipeline.conditioner.conditions["text"]
    cut = getattr(condition, "cut", str)
    rows, texts, refused, reason = list[int](), list[str](), 0, ""
    for row in np.random.default_rng(0).permutation(len(test)).tolist():
        text = cut(test.texts[row])
        try:
            condition.encode(text, 1)
        except UsageError as error:
            refused, reason = refused + 1, str(error)
            continue
        rows.append(row)
        texts.append(text)
        if len(rows) == count:
            break
    if not rows:
        raise DataError(f"the model can read none of the {len(test)} held-out captions: {reason}")
    values = {"text": texts}
    if classes and test.labels is not None and set(test.classes) <= set(classes):
        values["label"] = [test.classes[k] for k in test.labels[rows]]
    left = f" ({refused} others have words it never read)" if refused else ""
    return Asked(values, rows, f"asked for {len(rows):,} held-out captions{left}")
