"""What an evaluation asks of a model: held-out values, or classes as often as the data has them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from demist.data import Column, Dataset
from demist.data.division import proportional
from demist.errors import DataError, UsageError
from demist.evaluation.ruler import Asked
from demist.model.pipeline import Pipeline
from demist.model.values import CLASS, PROMPT, classes_of


def column_of(pipeline: Pipeline, name: str | None, data: Dataset) -> Column | None:
    """The column of the data that a condition reads, if it is there."""
    if name is None:
        return None
    column = data.columns.get(name)
    reads = pipeline.conditioner.conditions[name].in_pixels.reads
    return column if column is not None and column.kind == reads else None


def reads_captions(pipeline: Pipeline, test: Dataset) -> bool:
    """Whether the model can be asked for the captions of the data."""
    return column_of(pipeline, pipeline.conditioner.called(PROMPT), test) is not None


def asks_classes(pipeline: Pipeline, test: Dataset) -> bool:
    """Whether the model is asked for classes: the data says nothing else of samples."""
    known = _columns(pipeline, test)
    return bool(classes_of(pipeline)) and set(known) <= {pipeline.conditioner.called(CLASS)}


def ask(pipeline: Pipeline, test: Dataset, count: int, train: Dataset | None = None) -> Asked:
    """What `count` samples are asked for.

    Captions are those of held-out images chosen at random, with what else of these images the model
    is conditioned on; cut to what the model reads at once, as in training. Without captions, a
    model of more than classes is asked for the values of held-out rows chosen at random, and one
    of classes for each as often as the training data has it: they are compared with all of that.

    Args:
        pipeline: The model.
        test: Held-out data.
        count: How many samples.
        train: Training data; None: the proportions of `test` do.

    Raises:
        DataError: There are captions, but the model can read none of them.
        UsageError: The data has none of the model's classes.
    """
    caption, label = (pipeline.conditioner.called(short) for short in (PROMPT, CLASS))
    if reads_captions(pipeline, test):
        assert caption is not None
        return _captions(pipeline, test, count, caption)
    if asks_classes(pipeline, test) and label is not None:
        some, sentence = classes_to_ask(pipeline, test if train is None else train, count)
        return Asked({label: some}, [], f"asked for {sentence}", classes=label)
    if _columns(pipeline, test):
        rows = np.random.default_rng(0).permutation(len(test))[:count].tolist()
        values, left = _written(pipeline, test, rows)
        names = ", ".join(values) or "nothing"
        more = f"; {', '.join(left)} left out" if left else ""
        sentence = f"asked for {names} of {len(rows):,} held-out samples{more}"
        return Asked(values, [], sentence, classes=label if label in values else "")
    return Asked({}, [], "asked for nothing")


def classes_to_ask(pipeline: Pipeline, data: Dataset, count: int) -> tuple[list[str], str]:
    """The class of each of `count` samples, in the proportions of the data; and so in words.

    Raises:
        UsageError: The data has none of the model's classes.
    """
    known = classes_of(pipeline)
    column = column_of(pipeline, pipeline.conditioner.called(CLASS), data)
    if column is None:
        return interleaved(known, proportional(np.ones(len(known), np.int64), count)), (
            "all classes equally often, as the data has none"
        )
    there = dict(
        zip(column.names, np.bincount(column.values, minlength=len(column.names)), strict=True)
    )
    counts = np.array([there.get(name, 0) for name in known], np.int64)
    if not counts.any():
        raise UsageError(
            f"the model knows the classes {_few(known)}, and {data.name or 'the data'} has "
            f"{_few(column.names)}: none is the same; give --data whose classes have these names"
        )
    sentence = "classes as often as the data has them"
    if never := [name for name, n in zip(known, counts, strict=True) if not n]:
        sentence += f"; never for {_few(never)}, which it has not"
    if others := [name for name, n in there.items() if n and name not in known]:
        sentence += f"; the model does not know its class{'es' * (len(others) > 1)} {_few(others)}"
    return interleaved(known, proportional(counts, count)), sentence


def interleaved(names: Sequence[str], counts: np.ndarray) -> list[str]:
    """Each name so many times, evenly mixed: a, b, a, c, a, b, a for 4, 2 and 1."""
    which = np.repeat(np.arange(len(names)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    place = (np.arange(len(which)) - first + 0.5) / counts[which]
    return [names[i] for i in which[np.argsort(place, kind="stable")]]


def require_classes(pipeline: Pipeline, train: Dataset, name: str) -> None:
    """Raise UsageError if the model `name` can be asked for none of the classes of the data."""
    if asks_classes(pipeline, train):
        try:
            classes_to_ask(pipeline, train, 1)
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from None


def require_captions(pipeline: Pipeline, test: Dataset, name: str) -> None:
    """Raise UsageError unless an image-text score can be had."""
    if pipeline.conditioner.called(PROMPT) is None:
        raise UsageError(f"--clip compares images with their captions, but {name} reads none")
    if not reads_captions(pipeline, test):
        raise UsageError(f"--clip compares images with their captions, but {test.name} has none")


def values_of_rows(
    pipeline: Pipeline, test: Dataset, rows: Sequence[int], x: np.ndarray
) -> dict[str, Any]:
    """What held-out samples are, as far as the model is conditioned on it and the data says it.

    Args:
        pipeline: The model.
        test: Held-out data.
        rows: Which of it.
        x: Those samples, for conditions that are made from them.
    """
    found: dict[str, Any] = {}
    for name, condition in pipeline.conditioner.conditions.items():
        column = column_of(pipeline, name, test)
        plain = condition.in_pixels
        if column is None and not plain.from_samples:
            continue
        values = None if column is None else condition.values(column.take(np.asarray(rows)))
        if condition.short == PROMPT and values is not None:
            values = [text if _readable(condition, text) else None for text in values]
        found[name] = condition.beside(values, x)
    return found


def _columns(pipeline: Pipeline, test: Dataset) -> list[str]:
    """The conditions that a column of the data can give values for."""
    known = pipeline.conditioner.conditions
    return [name for name in known if column_of(pipeline, name, test) is not None]


def _written(
    pipeline: Pipeline, test: Dataset, rows: Sequence[int]
) -> tuple[dict[str, list[Any]], list[str]]:
    """Values of the rows as JSON has them, and the conditions for which that is too much."""
    values, left = dict[str, list[Any]](), list[str]()
    for name in _columns(pipeline, test):
        if _strange(pipeline, test, name):
            left.append(name)
            continue
        found = pipeline.conditioner.conditions[name].written(test.columns[name], rows)
        if found is None:
            left.append(name)
        else:
            values[name] = found
    return values, left


def _strange(pipeline: Pipeline, test: Dataset, name: str) -> bool:
    """Whether a condition is the class, and the data has classes that the model does not know."""
    if name != pipeline.conditioner.called(CLASS):
        return False
    column = test.columns[name]
    return not {column.names[i] for i in np.unique(column.values)} <= set(classes_of(pipeline))


def _few(names: Sequence[str], most: int = 8) -> str:
    """Some names in words."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _readable(condition: Any, text: str) -> bool:
    try:
        condition.encode(text, 1)
    except UsageError:
        return False
    return True


def _captions(pipeline: Pipeline, test: Dataset, count: int, name: str) -> Asked:
    condition: Any = pipeline.conditioner.conditions[name]
    column = test.columns[name]
    cut = getattr(condition, "cut", str)
    rows, texts, refused, reason = list[int](), list[str](), 0, ""
    for row in np.random.default_rng(0).permutation(len(test)).tolist():
        text = cut(column.values[row])
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
    values, label = {name: texts}, pipeline.conditioner.called(CLASS)
    for other in _columns(pipeline, test):
        if other != name and not _strange(pipeline, test, other):
            written = pipeline.conditioner.conditions[other].written(test.columns[other], rows)
            if written is not None:
                values[other] = written
    left = f" ({refused} others have words it never read)" if refused else ""
    sentence = f"asked for {len(rows):,} held-out captions{left}"
    return Asked(values, rows, sentence, classes=label or "", captions=name)
