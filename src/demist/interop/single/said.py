"""What is said beside the tensors of a single file: configurations, and what it predicts."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demist.errors import DataError, UsageError
from demist.formats import Kind
from demist.io.files import read_described, read_json

KEY = "demist.components"
"""In the metadata of a file that demist wrote: JSON, name of a component -> configuration."""
WORDS = {
    "v": "v_prediction", "v_prediction": "v_prediction", "v-prediction": "v_prediction",
    "eps": "epsilon", "epsilon": "epsilon",
}  # fmt: skip
"""What people write -> what a scheduler's configuration says."""
YAML = re.compile(
    r"""^\s*parameterization\s*:\s*["']?(\w+)|\.(V|Eps)Scaling(?:WithEDM\w*)?\b""", re.M
)

Said = Mapping[str, Any]
"""Name of a component -> its configuration; `index`, `scheduler`."""


def beside(place: Path, metadata: Mapping[str, str], folder: Path | None) -> dict[str, Any]:
    """Configurations that are given: in the file's metadata, in a `.json` of its name, or a folder.

    Args:
        place: The file.
        metadata: Texts in its header.
        folder: In the layout of diffusers, whose configurations count before all.

    Raises:
        DataError: One is no JSON object.
    """
    found: dict[str, Any] = {}
    if KEY in metadata:
        found |= _object(metadata[KEY], f"{KEY} in {place}")
    described = place.with_suffix(".json")
    if described.is_file():
        found |= read_json(described)
    if folder is not None:
        for path in sorted(folder.glob("*/config.json")):
            found[path.parent.name] = read_json(path)
        for path in sorted(folder.glob("*/scheduler_config.json")):
            found[path.parent.name] = read_json(path)
        if (folder / "model_index.json").is_file():
            index = read_json(folder / "model_index.json")
            found["index"] = {k: v for k, v in index.items() if not isinstance(v, list)}
    return found


def prediction(
    place: Path, kind: Kind, asked: str | None, said: Said, metadata: Mapping[str, str], names: Any
) -> str | None:
    """What the network predicts, as a scheduler's configuration says it; None: as its kind does.

    Args:
        place: The file.
        kind: What it is.
        asked: By the user; None for nothing.
        said: See `beside`.
        metadata: Texts in its header.
        names: Of its tensors.

    Raises:
        UsageError: What is asked for is not known, or makes no sense.
        DataError: Nobody says, and such a model may be either.
    """
    flows = "prediction_type" not in kind.scheduler
    if asked and (asked not in WORDS or flows):
        known = "models of this kind all predict a velocity; leave it out"
        raise UsageError(f"--prediction {asked}: {known if flows else 'choose one of v, eps'}")
    if asked:
        return WORDS[asked]
    scheduler = said.get("scheduler")
    told = scheduler.get("prediction_type") if isinstance(scheduler, dict) else None
    told = told or said.get("prediction_type") or said.get("parameterization")
    described = next(filter(Path.is_file, map(place.with_suffix, (".yaml", ".yml"))), None)
    if told is None and described is not None:
        match = YAML.search(read_described(described).decode("utf-8", "replace"))
        told = match and (match[1] or match[2]).lower()
    told = told or metadata.get("modelspec.prediction_type")
    if told in WORDS:
        return WORDS[str(told)]
    if "v_pred" in names:
        return "v_prediction"
    if kind.asks:
        raise DataError(
            f"{place} is a {kind.title} and does not say what it predicts: those made for 768 "
            f"pixels predict v, those for 512 pixels (called base) eps; say --prediction v or "
            f"--prediction eps, or put a {place.stem}.yaml beside it"
        )
    return None


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"{where} should hold a JSON object, not {type(value).__name__}")
    return value
