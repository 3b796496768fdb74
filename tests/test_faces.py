"""A package's face lists everything that its modules define: each name, or its module."""

import ast
from pathlib import Path

import pytest

from demist.commands.list import FAMILIES, family

SOURCE = Path(__file__).parents[1] / "src" / "demist"

PACKAGES = sorted(
    str(face.parent.relative_to(SOURCE))
    for face in SOURCE.glob("*/**/__init__.py")
    if face.parent.name not in ("commands", "jobs")
)
"""All but `commands` and `jobs`, whose modules are found by their files and define equal names."""

OWN = {
    "drawing": {"KEY"},
    "evaluation": {"T_975"},
    "evaluation/extractors": {"BLOCK", "Chain", "Features", "Kernel", "MEANS", "PICKLES"},
    "evaluation/judge": {
        "HEARD",
        "HELD",
        "HOP",
        "LEARNED",
        "LONG",
        "Palette",
        "SHRINK",
        "SPATIAL",
        "TAGS",
        "TOLERANCE",
        "WINDOW",
    },
    "evaluation/metrics": {"BLOCK", "HELD", "MOST", "SAME", "SEPARATE", "Some", "TIE", "TOPS"},
    "networks": {"BLOCKS", "DEAD", "FORGET", "LOG_VARIANCE", "Layer", "Maps"},
    "objectives": {"EULER_LIMIT", "MOST", "SMALL", "ROUGH"},
    "parts": {"PLAIN", "T", "TYPES"},
    "samplers/solvers": {"ADAMS_BASHFORTH", "GAUSS", "STARTS"},
}
"""Constants and names of types that a face leaves out: limits, tables and short forms by which one
module does its work, of no use without it."""

PARTS = {cls for kind in FAMILIES for cls in family(kind).classes}
"""What a family finds by its file needs no line in the face: a part is added in one file."""


def constants(tree):
    """Public names that a module gives values to."""
    found = [
        node.targets[0] if isinstance(node, ast.Assign) else node.target
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
    ]
    return {name.id for name in found if isinstance(name, ast.Name) and name.id[0] != "_"}


def defined(tree):
    """Public functions and classes of a module."""
    found = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return {name for name in found if not name.startswith("_")}


def listed(tree):
    """What `__all__` says."""
    values = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    return values[0] if values else []


def face_of(package):
    return listed(ast.parse((SOURCE / package / "__init__.py").read_text()))


def modules_of(package):
    """(name, tree) of each module that the face does not list as a whole.

    A name of the face that it neither imports from a module nor gives a value is a module.
    """
    tree = ast.parse((SOURCE / package / "__init__.py").read_text())
    own = f"demist.{package.replace('/', '.')}"
    bound = {
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module != own
        for alias in node.names
    }
    whole = set(listed(tree)) - bound - constants(tree) - defined(tree)
    paths = [path for path in (SOURCE / package).glob("*.py") if path.stem != "__init__"]
    assert whole <= {path.stem for path in paths}
    return [(path.stem, ast.parse(path.read_text())) for path in paths if path.stem not in whole]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_face_lists_what_its_modules_define(package):
    face = face_of(package)
    assert len(face) == len(set(face))
    home = f"demist.{package.replace('/', '.')}."
    parts = {cls.__name__ for cls in PARTS if cls.__module__.startswith(home)}
    missing = {
        name: names
        for name, tree in modules_of(package)
        if (names := defined(tree) - set(face) - parts)
    }
    assert missing == {}


@pytest.mark.parametrize("package", sorted({"core", "codecs", "conditions", "guidance"} | {*OWN}))
def test_constants_are_in_the_face_or_a_modules_own(package):
    found = set().union(*(constants(tree) for _, tree in modules_of(package)))
    assert found - set(face_of(package)) == OWN.get(package, set())


def test_the_check_sees():
    module = ast.parse("def a(): pass\nclass B: pass\ndef _c(): pass\nd = 1")
    assert constants(module) == {"d"}
    assert defined(module) - set(listed(ast.parse('__all__ = ["a"]'))) == {"B"}
