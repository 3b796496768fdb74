"""Runs that anyone can repeat: one function each, which returns the options of the run.

What a run should give is data too (`Expectation`), so that it can be checked. To add a recipe,
write one more function under `@recipe(...)` in one of the modules here.
"""

import difflib

from demist.errors import UsageError
from demist.recipes import editing, images, sounds, systems, toys
from demist.recipes.recipe import Expectation, Recipe, recipe

__all__ = [
    "Expectation",
    "Recipe",
    "editing",
    "find",
    "images",
    "names",
    "recipe",
    "sounds",
    "systems",
    "toys",
]


def _found() -> dict[str, Recipe]:
    return {
        value.name: value
        for module in (images, systems, editing, sounds, toys)
        for value in vars(module).values()
        if type(value) is Recipe
    }


def names() -> list[str]:
    """Names of all recipes, in the order in which they are written."""
    return list(_found())


def find(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        UsageError: There is none; the nearest is named.
    """
    if name in _found():
        return _found()[name]
    near = difflib.get_close_matches(name, names(), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names())}"
    raise UsageError(f"there is no recipe {name!r}; {hint}")
