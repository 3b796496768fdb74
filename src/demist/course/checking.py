"""Checks of exercises: what is wrong with an answer, said as a hint.

The checks of `course/02_destroying_data.py` are functions of `course/checks/02_destroying_data.py`.
Each has the name of the function that a learner writes, is given that function, and raises `Hint`
where it is wrong:

    def jump(answer):
        expect(close(answer(x0, betas, 0, eps), x0), "after 0 steps nothing is destroyed yet")

Of a learner's file only imports, functions, classes and values like `STEPS = 50` are run, so that
no check waits until a model is trained.
"""

import ast
import importlib.util
import tempfile
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from demist.course.chapters import MISSING, Chapter, exercises
from demist.errors import DataError, MissingError
from demist.io.files import write_text


class Hint(Exception):
    """What is wrong with an answer, in a sentence that leads on."""


@dataclass(frozen=True)
class Answer:
    """What a check says of one exercise.

    Attributes:
        name: Of the function that was written.
        hint: What is wrong with it; None: it is right.
        begun: False where nothing has been written yet.
    """

    name: str
    hint: str | None = None
    begun: bool = True

    @property
    def right(self) -> bool:
        """Whether nothing is wrong."""
        return self.hint is None


def expect(holds: Any, hint: str) -> None:
    """Nothing if it holds.

    Raises:
        Hint: It does not.
    """
    if not bool(holds):
        raise Hint(hint)


def close(answer: Any, right: Any, within: float = 1e-5) -> bool:
    """Whether two numbers or tensors are of one shape and differ by at most `within`.

    Where they are larger than 1, `within` is a share of them.

    Raises:
        Hint: The answer is nothing that can be compared: None, words, or has another shape.
    """
    if answer is None:
        raise Hint("your function gives back nothing; does it end with `return`?")
    try:
        found = torch.as_tensor(answer).double()
    except (TypeError, ValueError, RuntimeError):
        kind = type(answer).__name__
        raise Hint(f"a number or a tensor is asked for; yours gives a {kind}") from None
    truth = torch.as_tensor(right).double()
    if found.shape != truth.shape:
        raise Hint(f"the shape should be {tuple(truth.shape)}, yours is {tuple(found.shape)}")
    return bool(((found - truth).abs() <= within * truth.abs().clamp(min=1)).all())


def definitions(source: str, name: str = "your file") -> str:
    """The imports, functions, classes and plain values of a program, each where it stands.

    Raises:
        DataError: It is no Python.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise DataError(f"{name}, line {error.lineno}: this is no Python: {error.msg}") from None
    kept = [""] * (source.count("\n") + 1)
    lines = source.split("\n")
    for node in tree.body:
        if _defines(node):
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            kept[first - 1 : node.end_lineno] = lines[first - 1 : node.end_lineno]
    return "\n".join(kept)


def _defines(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = all(isinstance(one, ast.Name | ast.Tuple) for one in targets)  # no x[0] = 1
        return names and node.value is not None and _plain(node.value)
    return isinstance(
        node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef
    )


def _plain(value: ast.expr) -> bool:
    """Whether it is numbers, words, and lists of them."""
    allowed = (
        ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.UnaryOp, ast.USub, ast.BinOp, ast.operator,
        ast.Load,
    )  # fmt: skip
    return all(isinstance(node, allowed) for node in ast.walk(value))


def check(chapter: Chapter, file: Path) -> list[Answer]:
    """What the checks say of a learner's file, exercise by exercise.

    Raises:
        MissingError: There is no such file, or the chapter has no exercise.
        DataError: It is no Python, or ends with an error while it is read.
    """
    if not file.is_file():
        raise MissingError(f"there is no file {file}; `demist learn {chapter.number} --exercise`")
    asked = exercises(chapter)
    if not asked:
        raise MissingError(f"chapter {chapter.number} has no exercise")
    try:
        source = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no text in UTF-8: byte {error.start}") from None
    with tempfile.TemporaryDirectory() as folder:
        short = Path(folder) / "answers.py"
        write_text(short, definitions(source, str(file)))
        try:
            theirs = load(short, "answers")
        except (Exception, SystemExit) as error:
            raise DataError(f"{file} cannot be read: {_short(error)}") from None
        checks = load(chapter.path.parent / "checks" / chapter.path.name, "checks")
        return [_ask(getattr(checks, name), getattr(theirs, name, None), name) for name in asked]


def load(path: Path, name: str) -> ModuleType:
    """A module from a file, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"demist_course_{name}", path)
    if spec is None or spec.loader is None:
        raise MissingError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _ask(asks: Callable[[Any], None], answer: Any, name: str) -> Answer:
    if answer is None:
        return Answer(name, f"the file has no function {name!r}; did you rename it?")
    torch.manual_seed(0)
    try:
        asks(answer)
    except Hint as hint:
        return Answer(name, str(hint))
    except NotImplementedError as error:
        if str(error) == MISSING:
            return Answer(name, "nothing is written here yet", begun=False)
        return Answer(name, _short(error))
    except (Exception, SystemExit) as error:
        return Answer(name, f"it stops with an error: {_short(error)}")
    return Answer(name)


def _short(error: BaseException) -> str:
    """An error in one line, with the place in the learner's file."""
    places: Iterable[traceback.FrameSummary] = traceback.extract_tb(error.__traceback__)
    own = [one.lineno for one in places if one.filename.endswith("answers.py")]
    where = f"line {own[-1]}: " if own else ""
    return f"{where}{type(error).__name__}: {error}"
