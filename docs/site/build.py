"""Build the site: all pages of the repository, the course (run as it is built), the reference.

    python docs/site/build.py [--out build/site] [--chapter 3] [--keep]

Pages keep the places that they have in the repository, so that the links between them hold; a link
to a file that is no page becomes its name. Errors and warnings of any page end the build.
"""

import argparse
import ast
import importlib
import inspect
import os
import re
import resource
import shutil
import sys
from pathlib import Path

from crawl import faults
from elements import script, styles
from sphinx.cmd.build import main as sphinx

import demist
from demist.course import blanked, cells, chapters, find_chapter

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
PAGES = (
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "benchmarks/LOG.md",
    "benchmarks/results/*.md", "benchmarks/claims/*.md", "course/families.md", "course/glossary.md",
    "course/history.md", "course/reading.md",
)  # fmt: skip
FILES = ("docs/images/**/*.*", "benchmarks/results/*.png", "benchmarks/claims/*.png")


def lay_out(place: Path, only: str | None) -> None:
    """Copy everything that is a page into one tree, with a chapter or all of them."""
    shutil.rmtree(place, ignore_errors=True)
    found = {
        path.relative_to(ROOT).as_posix(): path
        for pattern in (*PAGES, *FILES)
        for path in sorted(ROOT.glob(pattern))
    }
    taken = {
        one.path.relative_to(ROOT).as_posix(): one.path
        for one in chapters()
        if only is None or one.number == only
    }
    names = {*found, *taken, "index.md", "course/index.md"}
    for name, path in found.items():
        if path.suffix == ".md":
            write(place / name, linked(read(path), name, names))
        else:
            write(place / name, path.read_bytes())
    for name, path in taken.items():
        write(place / name, page_of(read(path), name, names))
    more = ("families", "history", "reading", "glossary")
    listed = "\n".join([*(path.stem for path in taken.values()), *more])
    text = f"{read(ROOT / 'course/index.md')}\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"
    write(place / "course/index.md", linked(text, "course/index.md", names))
    write(place / "index.md", read(HERE / "index.md"))
    reference(place / "reference")


def linked(text: str, name: str, names: set[str]) -> str:
    """The text with only such links as lead to pages, to headings, or out into the web."""
    base = Path(name).parent

    def one(match: re.Match[str]) -> str:
        image, words, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        file = os.path.normpath(base / target.split("#")[0]).replace(os.sep, "/")
        return match[0] if file in names else f"({words})" if image else words

    link = r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)"
    parts = re.split(r"(?ms)(^```.*?^```)", text)  # programs stay as they are
    return "".join(part if i % 2 else re.sub(link, one, part) for i, part in enumerate(parts))


def page_of(source: str, name: str, names: set[str]) -> str:
    """A chapter in which what an exercise asks for stands above its solution, which is folded."""
    begins = source.index("# %%")
    made = [source[:begins]]
    for cell in cells(source):
        text = cell.text
        if cell.markdown:
            made.append(f"{cell.head}\n{linked(text, name, names)}\n\n")
        elif cell.exercise:
            asked = "\n".join(f"# {line}".rstrip() for line in blanked(text).split("\n"))
            solved = re.sub(r"(?m)^ *# </?solution>\n?", "", text)
            made.append(f"# %% [markdown]\n# ```python\n{asked}\n# ```\n\n")
            made.append(f'# %% tags=["hide-input"]\n{solved}\n\n')
        else:
            made.append(f"{cell.head}\n{text}\n\n")
    return "".join(made)


def reference(place: Path) -> None:
    """A page for each package, with every name of its public list."""
    source = Path(demist.__file__).parent
    seen: dict[int, str] = {}
    pages = []
    for face in sorted(source.rglob("__init__.py")):
        parts = ("demist", *face.parent.relative_to(source).parts)
        if "commands" in parts or "jobs" in parts:
            continue
        name = ".".join(parts)
        package = importlib.import_module(name)
        lines = [name, "=" * len(name), "", f".. automodule:: {name}", "   :no-members:", ""]
        for public in getattr(package, "__all__", ()):
            value = getattr(package, public, None)
            if value is None or inspect.ismodule(value):
                continue
            code = inspect.isclass(value) or inspect.isroutine(value)  # dict[str, int] is neither
            if code and id(value) in seen:
                lines += [f"``{public}``: see :py:obj:`{seen[id(value)]}`", ""]
            elif inspect.isclass(value):
                lines += [f".. autoclass:: {name}.{public}", "   :members:", ""]
            elif code:
                lines += [f".. autofunction:: {name}.{public}", ""]
            else:
                words = written(name, public).replace("`", "``").split("\n")
                lines += [f".. py:data:: {name}.{public}", "", *(f"   {w}" for w in words), ""]
            seen.setdefault(id(value), f"{name}.{public}")
        write(place / f"{name}.rst", "\n".join(lines))
        pages.append(f"   {name}")
    head = "Reference\n=========\n\nEvery public name, from its docstring.\n\n"
    write(
        place / "index.rst", head + "\n".join([".. toctree::", "   :maxdepth: 1", "", *pages, ""])
    )


def written(module: str, name: str) -> str:
    """What stands below a constant where it is given its value; empty: nothing."""
    file = importlib.import_module(module).__file__
    body = ast.parse(read(Path(str(file)))).body
    for node, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ImportFrom) and name in {one.name for one in node.names}:
            return written(str(node.module), name)
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if name in {one.id for one in targets if isinstance(one, ast.Name)}:
            value = below.value if isinstance(below, ast.Expr) else None
            return inspect.cleandoc(str(value.value)) if isinstance(value, ast.Constant) else ""
    return ""


def read(path: Path) -> str:
    """The text of a page."""
    return path.read_text(encoding="utf-8")


def write(path: Path, content: str | bytes) -> None:
    """A page or a picture at its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def main() -> int:
    """Lay out and build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site")
    parser.add_argument("--chapter", help="this chapter alone, and all other pages")
    parser.add_argument("--keep", action="store_true", help="go on after warnings")
    args = parser.parse_args()
    if args.chapter is not None:
        args.chapter = find_chapter(args.chapter).number
    pages = args.out.parent / "site-pages"
    lay_out(pages, args.chapter)
    strict = [] if args.keep else ["-W", "--keep-going"]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # what chapters train is small
    os.environ.setdefault("DEMIST_CACHE", str(args.out.resolve().parent / "site-cache"))
    code = sphinx(["-q", *strict, "-b", "html", "-c", str(HERE), str(pages), str(args.out)])
    if not code:
        write(args.out / "_static" / "studio.js", script(HERE / "live.js"))
        write(args.out / "_static" / "studio.css", styles())
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # kernels, in which cells are run
    print(f"Cells took {(used.ru_utime + used.ru_stime) / 60:.1f} minutes of processor time.")
    wrong = [] if code else faults(args.out)
    for one in wrong:
        print(one, file=sys.stderr)
    return int(code or bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
