"""Rules by name, found by importing the modules of this package: there is nothing to register."""

import dataclasses
import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import demist.guidance
from demist.errors import UsageError
from demist.guidance.rule import Rule


@cache
def rule_classes() -> dict[str, type[Rule]]:
    """Every rule of this package by the name of its class."""
    for module in pkgutil.iter_modules(demist.guidance.__path__):
        importlib.import_module(f"demist.guidance.{module.name}")
    ours = (cls for cls in Rule.__subclasses__() if cls.__module__.startswith("demist."))
    return {cls.__name__: cls for cls in ours if not inspect.isabstract(cls)}


def rule_names() -> list[str]:
    """Names for `make_rule`, sorted: the rules that need a scale, a null and numbers only."""
    return sorted(cls.name for cls in rule_classes().values() if cls.name)


def make_rule(spec: str) -> Callable[..., Rule]:
    """`(model, scale, null) -> Rule` from `name` or `name:option=value,option=value`.

    Raises:
        UsageError: There is no such rule or option, or a value is no number.
    """
    name, _, rest = spec.partition(":")
    classes = {cls.name: cls for cls in rule_classes().values() if cls.name}
    if name not in classes:
        raise UsageError(_unknown("guidance rule", name, rule_names()))
    cls = classes[name]
    known = [f.name for f in dataclasses.fields(cls) if isinstance(f.default, float)]
    options: dict[str, Any] = {}
    for item in filter(None, rest.split(",")):
        key, _, value = item.partition("=")
        if key not in known:
            raise UsageError(_unknown(f"option of guidance rule {name}", key, known))
        try:
            options[key] = float(value)
        except ValueError:
            raise UsageError(f"guidance rule {spec!r}: {value!r} is not a number") from None
    return partial(cls, **options)


def _unknown(kind: str, name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"there is no {kind} called {name!r}.{hint} There are: {', '.join(known) or 'none'}"
