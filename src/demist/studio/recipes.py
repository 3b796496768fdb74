"""Recipes inside pictures, as settings of the page Generate: what a drop on it restores.

A picture may come from anywhere. Nothing in it names a file that would be opened: its model is
looked for among those that the studio knows, and the worker compares the weights before it begins.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from demist.errors import DataError
from demist.studio.limits import require_short

DIRECT = (
    *("n", "only", "steps", "guidance", "seed", "noise", "condition_noise", "best_of", "rewrite"),
    *("solver", "guidance_rule", "size"),
)
"""What settings call the same."""
_UNKNOWN = {
    "weak": "a weaker model that guidance led away from",
    "init": "a picture that it began from",
    "classifier": "a classifier that guided it, which the studio does not know",
}
_USUAL = {"guidance_rule": "cfg", "noise": "seeded", "condition_noise": 0.0, "best_of": 1}
"""Left out where nothing else was meant."""
_HASH = re.compile(r"[0-9a-f]{64}")


def restored(recipe: Any, models: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Settings that make the same picture, and what is to be said of them.

    Returns:
        `settings`; `missing`, sentences about what cannot be restored.

    Raises:
        DataError: There is no recipe.
    """
    told = recipe.get("sampling") if isinstance(recipe, dict) else None
    if not isinstance(told, dict):
        raise DataError(
            "this picture carries no recipe of demist: it was made by something else, or saved "
            "anew by a program that drops or damages what is written beside the pixels"
        )
    missing: list[str] = []
    told = _usable(told, missing)
    identity = recipe.get("model")
    identity = identity if isinstance(identity, dict) else {}
    settings: dict[str, Any] = {k: told[k] for k in DIRECT if _plain(told.get(k))}
    settings = {k: v for k, v in settings.items() if v != _USUAL.get(k)}
    _times(told, settings, missing)
    _conditions(told, settings, missing, _fields(told))
    if (model := find(identity, models)) is not None:
        settings["model"] = model["id"]
        if isinstance(sha := identity.get("sha256"), str) and _HASH.fullmatch(sha):
            settings["weights"] = sha
        else:
            missing.append("It does not say with which weights it was made, so others may be here.")
    else:
        missing.append(
            f"Its model ({_named(identity)}) is not among the runs and models here, so another "
            f"one makes other pictures."
        )
    return {"settings": settings, "missing": missing, "made_by": str(recipe.get("demist", ""))[:20]}


def _usable(told: Mapping[str, Any], missing: list[str]) -> dict[str, Any]:
    """What a job could take; of the rest is said that it is left out."""
    found: dict[str, Any] = {}
    for name, value in told.items():
        try:
            require_short(name, value)
        except ValueError as error:
            missing.append(f"A value of it is left out: {error}.")
        else:
            found[name] = value
    return found


def find(
    identity: Mapping[str, Any], models: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The model of whose facts a recipe speaks, if there is one; the newest of several."""
    # How long it was trained is said of a finished model only, by its folder but not by its run.
    told = {k: v for k, v in identity.items() if k not in ("sha256", "refiner", "stages")}
    for apart in (("trained",), ("trained", "step")):  # one trained on is told by its weights
        wanted = {k: v for k, v in told.items() if k not in apart}
        for model in models:
            facts = model.get("facts") or {}
            if wanted and {k: v for k, v in facts.items() if k not in apart} == wanted:
                return model
    return None


def _fields(told: Mapping[str, Any]) -> set[str]:
    return {
        *DIRECT, *_UNKNOWN, "grid", "start", "guidance_interval", "stages", "negative", "grid_of",
        "demist", "edit", *(["image"] if "edit" in told else []),
    } & set(told)  # fmt: skip


def _times(told: Mapping[str, Any], settings: dict[str, Any], missing: list[str]) -> None:
    """Everything that is written otherwise in settings."""
    grid = told.get("grid")
    if isinstance(grid, list):
        settings["time_grid"] = ",".join(f"{t:.17g}" for t in grid if isinstance(t, int | float))
    elif isinstance(grid, str):
        settings["time_grid"] = grid
    between = told.get("guidance_interval")
    if isinstance(between, list) and len(between) == 2:
        settings["guidance_interval"] = ":".join(str(t) for t in between)
    if isinstance(seed := told.get("seed"), list):
        settings["seed"] = seed[0] if seed and _plain(seed[0]) else 0
        missing.append("Each of its pictures had a seed of its own; the first is taken.")
    if told.get("start") not in (None, 1, 1.0):
        missing.append(f"It did not begin in pure noise but at the time {told['start']}.")
    if isinstance(edited := told.get("edit"), str):
        image = str(told.get("image", "a picture"))[:60]
        missing.append(f"It is an edit ({edited[:20]}) of {image}, which the page Edit makes.")
    missing += [f"It was given {words}." for name, words in _UNKNOWN.items() if told.get(name)]
    if isinstance(axes := told.get("grid_of"), list):
        settings["grid"] = [axis for axis in axes if isinstance(axis, str)][:2]
    stages = told.get("stages")
    if isinstance(stages, dict) and stages:
        settings["stage"] = [
            f"{name}:" + ",".join(f"{k.replace('_', '-')}={v}" for k, v in how.items() if _plain(v))
            for name, how in stages.items()
            if isinstance(how, dict) and any(map(_plain, how.values()))
        ]


def _conditions(
    told: Mapping[str, Any], settings: dict[str, Any], missing: list[str], fields: set[str]
) -> None:
    cond: dict[str, Any] = {}
    for name, value in told.items():
        if name in fields or not isinstance(name, str):
            continue
        if value == "image" or isinstance(value, dict):
            missing.append(f"It was given an image as {name[:40]}, which is not in its recipe.")
        elif isinstance(value, list) and len(value) == told.get("n") and len(value) > 1:
            cond[name] = [_typed(one) for one in value]
        elif value is not None:
            cond[name] = _typed(value)
    settings["cond"] = {k: _short(v) for k, v in cond.items() if v != "none"}
    negative = told.get("negative")
    if isinstance(negative, dict) and negative:
        settings["negative"] = _typed(next(iter(negative.values())))


def _short(value: Any) -> Any:
    """One value for all; or each once where runs of equal length give the same again."""
    if not isinstance(value, list):
        return value
    once = list(dict.fromkeys(value))
    if len(once) == 1:
        return once[0]
    same = [once[i * len(once) // len(value)] for i in range(len(value))] == value
    return once if same else value


def _typed(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        between = "|" if any(isinstance(one, str) for one in value) else ","
        return between.join(map(str, value))
    return str(value)


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _named(identity: Mapping[str, Any]) -> str:
    words = [f"{k} {identity[k]}" for k in ("data", "step") if _plain(identity.get(k))]
    return ", ".join(words)[:80] or "which it does not describe"


def of_job(result: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The recipe of a picture of a job, from its `result.json`."""
    pictures = {one["file"]: one["sampling"] for one in result["pictures"]}
    return {"model": result["model"], "sampling": pictures.get(name, result["sampling"])}
