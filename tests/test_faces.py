"""A package's face lists everything that its modules define."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "demist"

COMPLETE = [
    "codecs", "conditions", "config", "core", "drawing", "editing", "evaluation",
    "evaluation/extractors", "evaluation/judge", "evaluation/metrics", "guidance", "networks",
    "objectives", "parts", "samplers", "samplers/grids", "samplers/numerics", "samplers/solvers",
]  # fmt: skip
"""Packages whose face is full. Those that load torch only in some modules, such as `io`, `machine`
and `runs`, and those of one door (`data`, `model`) name less."""

OWN = {
    "drawing": {"KEY"},
    "evaluation": {"T_975"},
    "evaluation/extractors": {"Chain", "Features", "Kernel", "MEANS", "PICKLES"},
    "evaluation/judge": {"Palette", "SPATIAL", "TAGS"},
    "evaluation/metrics": {"BLOCK", "MOST", "SAME", "SEPARATE", "Some", "TIE"},
    "networks": {"LOG_VARIANCE", "Layer", "Maps"},
    "objectives": {"EULER_LIMIT"},
    "parts": {"PLAIN", "T", "TYPES"},
    "samplers/solvers": {"ADAMS_BASHFORTH", "GAUSS", "STARTS"},
}
"""Constants and names of types that a face leaves out: limits, tables and short forms by which one
module does its work, of no use without it."""


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


@pytest.mark.parametrize("package", COMPLETE)
def test_a_face_lists_what_its_modules_define(package):
    face = listed(ast.parse((SOURCE / package / "__init__.py").read_text()))
    assert len(face) == len(set(face))
    missing = {
        path.stem: names
        for path in (SOURCE / package).glob("*.py")
        if path.stem != "__init__" and (names := defined(ast.parse(path.read_text())) - set(face))
    }
    assert missing == {}


@pytest.mark.parametrize("package", COMPLETE)
def test_constants_are_in_the_face_or_a_modules_own(package):
    face = listed(ast.parse((SOURCE / package / "__init__.py").read_text()))
    modules = [p for p in (SOURCE / package).glob("*.py") if p.stem != "__init__"]
    found = set().union(*(constants(ast.parse(path.read_text())) for path in modules))
    assert found - set(face) == OWN.get(package, set())


def test_the_check_sees():
    module = ast.parse("def a(): pass\nclass B: pass\ndef _c(): pass\nd = 1")
    assert constants(module) == {"d"}
    assert defined(module) - set(listed(ast.parse('__all__ = ["a"]'))) == {"B"}
