"""Values of conditions as people write them: classes by name or number, prompts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from demist.conditions import ReadImage, class_index
from demist.errors import UsageError

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

CLASS, PROMPT = "class", "prompt"
"""What people write for the two most frequent conditions; see `Condition.short`."""


GUIDANCE = "guidance"
"""The short form of the condition by which a network is told a guidance scale."""

VECTORS = "vectors"
"""The fact of a prior that says of which CLIP its vectors are: the SHA-256 of its weights."""

UNSEEN = "classes_without_items"
"""The fact of a model that names classes of which it saw nothing."""


def name_of(pipeline: "Pipeline", word: str) -> str:
    """The name of a condition from its name or its short form; an unknown word is left as it is."""
    conditioner = pipeline.conditioner
    return word if word in conditioner.conditions else conditioner.called(word) or word


def classes_of(pipeline: "Pipeline") -> tuple[str, ...]:
    """Names of the classes that the model knows; empty if it has no class or several of them."""
    name = pipeline.conditioner.called(CLASS)
    return () if name is None else tuple(pipeline.conditioner.conditions[name].choices)


def seen_classes(pipeline: "Pipeline") -> list[str]:
    """Names of the classes of which the model saw something in training."""
    unseen = pipeline.facts.get(UNSEEN, ())
    return [name for name in classes_of(pipeline) if name not in unseen]


def of_class(pipeline: "Pipeline", labels: Sequence[str]) -> dict[str, list[str]]:
    """The condition of samples that shall have these classes; empty for none."""
    return {name_of(pipeline, CLASS): list(labels)} if labels else {}


def choose_labels(
    texts: Sequence[str] | str | None, classes: Sequence[str], others: Sequence[str] = ()
) -> list[str]:
    """The classes meant by `3`, `3,7` or `cat`; all if nothing is said, empty for `none`.

    Args:
        texts: What was written, once or several times. A class may have a comma in its name.
        classes: Of the model.
        others: Names of its other conditions.

    Raises:
        UsageError: The model has no classes, or not these.
    """
    if texts is None:
        return list(classes)
    texts = [texts] if isinstance(texts, str) else texts
    words = [word for text in texts for word in _words(text, classes)]
    if set(words) == {"none"} - set(classes):
        return []
    if not classes:
        raise UsageError(
            f"--class {words[0]}: this model was trained without classes, or with several (then "
            f"say --cond NAME={words[0]}); leave it out"
            + (f" (its conditions: {', '.join(others)})" if others else "")
        )
    if "none" in words and "none" not in classes:
        raise UsageError("--class none is no class; with others beside it, leave it out")
    return [classes[class_index(word, classes)] for word in words]


def _words(text: str, classes: Sequence[str]) -> list[str]:
    return [text] if text in classes else [word.strip() for word in text.split(",")]


def spread(labels: Sequence[str], n: int) -> list[str]:
    """`n` labels in equal runs: a, a, b, b."""
    return [labels[i * len(labels) // n] for i in range(n)] if labels else []


def require_prompts(pipeline: "Pipeline") -> None:
    """Raise UsageError unless the model reads prompts; say what its conditions are instead."""
    known = pipeline.conditioner.conditions
    if pipeline.conditioner.called(PROMPT) is None:
        classes = classes_of(pipeline)
        has = f"--class, one of {', '.join(classes)}" if classes else ", ".join(known)
        raise UsageError(
            "this model was trained without captions and reads no prompt; its conditions: "
            + (has or "none, it is unconditional")
        )


def no_images(file: str, channels: int, sides: tuple[int, int] | None) -> np.ndarray:
    """Stands for a reader of image files where there is none."""
    raise UsageError(f"{file}: give the image as an array, or a reader of image files")


def value_of(pipeline: "Pipeline", name: str, word: str, read_image: ReadImage = no_images) -> Any:
    """The value of a condition from what was written.

    Args:
        pipeline: The model.
        name: Of the condition, or its short form: `class`, `prompt`.
        word: Such as `cat`, `3`, `1.5,2`, `a.png`; `none` for the null.
        read_image: Reads the image files that are named.

    Raises:
        UsageError: The model has no such condition, or the value makes no sense.
    """
    if name == PROMPT and name not in pipeline.conditioner.conditions:
        require_prompts(pipeline)
        return word
    name = name_of(pipeline, name)
    pipeline.conditioner.require([name])
    condition: Any = pipeline.conditioner.conditions[name]
    # A prompt may be any words, and a class may be called so.
    literal = condition.short == PROMPT or word in getattr(condition, "classes", ())
    return None if word == "none" and not literal else condition.parse(word, read_image)


def conditions_of(
    pipeline: "Pipeline", texts: Sequence[str], read_image: ReadImage = no_images
) -> dict[str, Any]:
    """Values of conditions from `name=value`, such as `digit=3`, `angle=45`, `edges=a.png`.

    Raises:
        UsageError: One is not written so, the model has no such condition, or a value makes no
            sense.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, word = text.partition("=")
        if not equals:
            has = ", ".join(pipeline.conditioner.conditions) or "none: it is unconditional"
            raise UsageError(f"--cond {text}: write name=value; the model's conditions: {has}")
        found[name_of(pipeline, name)] = value_of(pipeline, name, word, read_image)
    return found


def typed_conditions(
    pipeline: "Pipeline",
    read_image: ReadImage,
    cond: Sequence[str] = (),
    prompt: str | None = None,
    label: str | None = None,
    negative: str | None = None,
) -> dict[str, Any]:
    """Conditions and what guidance leads away from, as they were typed.

    Args:
        pipeline: The model.
        read_image: Reads an image file that is a value.
        cond: `name=value`.
        prompt: Of a model of captions.
        label: Name or number of a class.
        negative: A prompt or class.

    Raises:
        UsageError: The model has no such condition, one is given twice, or a value makes no sense.
    """
    found = conditions_of(pipeline, cond, read_image)
    for short, word in ((PROMPT, prompt), (CLASS, label)):
        if word is None:
            continue
        if short == CLASS:
            choose_labels(word, classes_of(pipeline), list(found))
        name, value = name_of(pipeline, short), value_of(pipeline, short, word)
        if name in found:
            raise UsageError(f"--cond gives {name}, and so does --{short}; leave one out")
        found[name] = value
    if negative is not None:
        found["negative"] = negative_of(pipeline, negative)
    return found


def negative_of(pipeline: "Pipeline", word: str) -> dict[str, Any]:
    """What guidance leads away from: a prompt, or a class of a model without prompts.

    Raises:
        UsageError: The model has neither.
    """
    called = pipeline.conditioner.called
    name = CLASS if called(PROMPT) is None and called(CLASS) is not None else PROMPT
    return {name_of(pipeline, name): value_of(pipeline, name, word)}
