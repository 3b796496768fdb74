"""The pictures drawn while training."""

from collections.abc import Sequence
from typing import Any

from demist.model.pipeline import Pipeline
from demist.runs import Run


def draw_samples(
    pipeline: Pipeline, run: Run, step: int, count: int, captions: Sequence[str] = ()
) -> None:
    """Draw `count` samples into the run's folder, classes in turn, always from the same noise.

    With captions, sample i is of caption i; those are listed in the picture's metadata.
    """
    from demist.drawing import image_grid, save_png, scatter

    known = pipeline.conditioner.conditions
    classes: tuple[str, ...] = getattr(known.get("label"), "classes", ())
    names = [classes[i % len(classes)] for i in range(count)] if classes else None
    cond: dict[str, Any] = {"label": names} if names else {}
    if "text" in known and captions:
        cut = getattr(known["text"], "cut", str)  # as in training
        cond["text"] = [cut(captions[i % len(captions)]) for i in range(count)]
    samples = pipeline.sample(count, **cond)
    facts = {"run": run.path.name, "step": step, "count": count, "seed": 0, **cond}
    if samples.ndim == 4:
        columns = len(classes) if 2 < len(classes) <= 20 else None
        page = image_grid(samples, labels=names or cond.get("text"), columns=columns)
        save_png(page, run.picture(step), facts)
    elif samples.shape[1] <= 2:
        save_png(scatter(samples), run.picture(step), facts)
