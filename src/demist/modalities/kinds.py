"""Which modality samples are of: by their shape, or by the name that a data set or model has."""

from typing import Any

from demist.data import Dataset
from demist.errors import UsageError
from demist.modalities.modality import Modality, Shape
from demist.parts import Family

MODALITIES: Family[Modality] = Family("kind of data", Modality, "modalities")  # type: ignore[type-abstract]


def every() -> list[Modality]:
    """All modalities, by name."""
    return [MODALITIES.make(name) for name in MODALITIES.names()]


def of_shape(shape: Shape) -> Modality:
    """The modality of samples of this shape, such as `Pipeline.shape`.

    Raises:
        UsageError: None has samples of that shape, or several have.
    """
    fitting = [modality for modality in every() if modality.fits(tuple(shape))]
    if len(fitting) != 1:
        which = " or ".join(m.name for m in fitting) or f"none of {', '.join(MODALITIES.names())}"
        raise UsageError(f"samples of shape {tuple(shape)} could be {which}; say which with `kind`")
    return fitting[0]


def of(what: Any) -> Modality:
    """The modality of a data set, or of a model.

    Its name is on record where its shape does not tell it.

    Args:
        what: A `Dataset`, a `Pipeline`, or anything else with a `shape` and `facts`.

    Raises:
        UsageError: The name is unknown, or missing where it is needed.
    """
    if isinstance(what, Dataset):
        return MODALITIES.make(what.kind) if what.kind else of_shape(what.x.shape[1:])
    kind = what.facts.get("kind")
    return MODALITIES.make(str(kind)) if kind else of_shape(what.shape)


def record(data: Dataset) -> dict[str, str]:
    """What a model's facts say of the modality of its data: nothing, if the shape tells it."""
    fitting = [modality.name for modality in every() if modality.fits(data.x.shape[1:])]
    return {"kind": data.kind} if data.kind and fitting != [data.kind] else {}
