"""Cut `docs/one-step.md` from the code: all that happens in one sampling step.

    python scripts/make_one_step.py

The code on the page is the code that runs, without its docstrings, blank lines and error messages.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent, fill

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "one-step.md"

BEGINNING = """\
# One sampling step

All that happens between two times, from the loop to the network and back. `python
scripts/make_one_step.py` cuts this page from the code, without docstrings and error messages.
"""

# What is said, and what is shown: files below src/demist, and functions or classes in them.
PARTS = (
    (
        "**The loop** takes the times of the grid in pairs, from `t` to `s`. Where the grid goes "
        "up, it adds noise instead of calling the solver.",
        (("samplers/loop.py", "trajectory"),),
    ),
    (
        "**The solver**, here Heun's method, asks the model at `t`, goes to `s`, asks again there "
        "and takes the mean.",
        (("samplers/solvers/heun.py", "Heun.step"),),
    ),
    (
        "**The schedule**, here the cosine, says how much signal and noise there is at `t`. **The "
        "clock** makes of this the number that tells the network the time.",
        (("core/schedule.py", "Cosine.__call__"), ("core/clocks.py", "LogSNRClock.__call__")),
    ),
    (
        "**The denoiser** is the only place where a network is called.",
        (("core/denoiser.py", "Denoiser.forward"),),
    ),
    (
        "**The parameterization**, here V, says what the output means: `a x0 + b eps = output`. "
        "With `alpha x0 + sigma eps = x` this gives both `x0` and `eps`.",
        (
            ("core/parameterization.py", "Parameterization.invert"),
            ("core/parameterization.py", "V.row"),
        ),
    ),
    (
        "**The prediction** is what the solver gets.",
        (("core/prediction.py", "Prediction"),),
    ),
    (
        "**States** are added and scaled, nothing else. Times belong to their first axes.",
        (("core/state.py", "left"), ("core/state.py", "combine")),
    ),
)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


def page() -> str:
    """The page's text."""
    pieces = [BEGINNING]
    for text, places in PARTS:
        code = "\n\n".join(
            f"# {file}: {name}\n{cut(ROOT / 'src' / 'demist' / file, name)}"
            for file, name in places
        )
        pieces.append(f"{fill(text, 100)}\n```python\n{code}\n```\n")
    return "\n".join(pieces)


def cut(file: Path, name: str) -> str:
    """The code of a function, the loop of a generator, or the fields of a class.

    Args:
        file: Where it is.
        name: "function", "Class" or "Class.method".
    """
    source = file.read_text()
    node: ast.AST = ast.parse(source)
    for part in name.split("."):
        node = next(
            child
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.ClassDef | ast.FunctionDef) and child.name == part
        )
    lines: list[str | None] = list(source.splitlines())
    for inner in ast.walk(node):
        if isinstance(inner, ast.Raise) and inner.end_lineno != inner.lineno:
            lines[inner.lineno - 1 : inner.end_lineno] = [
                f"{' ' * inner.col_offset}{_class_of(inner)}",
                *[None] * (_last(inner) - inner.lineno),
            ]
    shown = [line for i in _shown(node) if (line := lines[i - 1]) is not None and line.strip()]
    return dedent("\n".join(shown))


def _shown(node: ast.AST) -> Iterator[int]:
    """The numbers of the lines that are shown."""
    assert isinstance(node, ast.ClassDef | ast.FunctionDef)
    first, *rest = node.body
    if isinstance(node, ast.ClassDef):
        yield node.lineno
        for field in rest:
            if isinstance(field, ast.AnnAssign):
                yield from range(field.lineno, _last(field) + 1)
    elif isinstance(node.body[-1], ast.For):
        yield from range(node.body[-1].lineno, _last(node) + 1)
    else:
        yield from range(node.lineno, first.lineno)
        # A comment may stand between the docstring and the first statement.
        begin = _last(first) + 1 if ast.get_docstring(node) is not None else first.lineno
        yield from range(begin, _last(node) + 1)


def _class_of(statement: ast.Raise) -> str:
    assert isinstance(statement.exc, ast.Call)
    return f"raise {ast.unparse(statement.exc.func)}(...)"


def _last(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno


if __name__ == "__main__":
    main()
