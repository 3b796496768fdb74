"""Names of parts, read from the source: for help and for options, which must not import torch."""

import ast
import importlib.util
from functools import cache
from pathlib import Path

from demist.parts.own import OWN


def declared(package: str, base: str) -> tuple[str, ...]:
    """Names of a family as its source has them, and of your own classes, sorted.

    Nothing is imported.

    Args:
        package: As for `Family`.
        base: Name of the base class.
    """
    return tuple(sorted({*_in_source(package, base), *OWN.get((package, base), {})}))


@cache
def _in_source(package: str, base: str) -> tuple[str, ...]:
    spec = importlib.util.find_spec("demist")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    found: dict[str, ast.ClassDef] = {}
    for folder in folders:
        for file in sorted(Path(folder, *package.split(".")).glob("*.py")):
            body = ast.parse(file.read_text(encoding="utf-8")).body
            found |= {node.name: node for node in body if isinstance(node, ast.ClassDef)}

    def below(node: ast.ClassDef) -> bool:
        names = [ast.unparse(b).partition("[")[0] for b in node.bases]
        return any(n == base or (n in found and below(found[n])) for n in names)

    return tuple(sorted(filter(None, (_name_in(c) for c in found.values() if below(c)))))


def _name_in(node: ast.ClassDef) -> str:
    """The `name` that a class gives itself; empty if none."""
    for line in node.body:
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        value = getattr(line, "value", None)
        named = any(isinstance(target, ast.Name) and target.id == "name" for target in targets)
        if named and isinstance(value, ast.Constant):
            return str(value.value)
    return ""
