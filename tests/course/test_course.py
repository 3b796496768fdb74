"""The course: its chapters run, its exercises can be left out, solved and checked."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from demist import course
from demist.cli import main
from demist.course.checking import load

ANSWERS = Path(__file__).parent / "answers"
CHAPTERS = course.chapters()
NUMBERS = [one.number for one in CHAPTERS]
ASKED = [(one, name) for one in CHAPTERS for name in course.exercises(one)]
WRONG = [
    (one, name, body, words)
    for one in CHAPTERS
    if (ANSWERS / one.path.name).is_file()
    for name, found in load(ANSWERS / one.path.name, "wrong").WRONG.items()
    for body, words in found
]


def written(chapter, tmp_path, name=None, body=None):
    """The exercise form of a chapter, one function of it filled in."""
    text = course.exercise_of(chapter)
    if body is not None:
        gap = re.compile(
            rf"(def {name}\(.*?)    # {course.MISSING}\n    raise NotImplementedError\([^\n]*\)",
            re.DOTALL,
        )
        text, found = gap.subn(lambda m: m[1] + textwrap.indent(body, "    "), text, count=1)
        assert found == 1
    path = tmp_path / "answer.py"
    path.write_text(text)
    return path


def of(answers, name):
    return next(answer for answer in answers if answer.name == name)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=NUMBERS)
def test_the_solution_is_right_and_nothing_written_is_open(chapter, tmp_path):
    names = course.exercises(chapter)
    assert names
    assert [one for one in course.check(chapter, chapter.path) if not one.right] == []
    blank = course.check(chapter, written(chapter, tmp_path))
    assert [(one.name, one.begun, one.right) for one in blank] == [(n, False, False) for n in names]
    text = course.exercise_of(chapter)
    assert course.BEGIN not in text
    assert text.count(f'raise NotImplementedError("{course.MISSING}")') == len(names)
    compile(text, "exercise", "exec")


@pytest.mark.parametrize(
    ("chapter", "name", "body", "words"), WRONG,
    ids=[f"{one.number}-{name}-{i}" for i, (one, name, _, _) in enumerate(WRONG)],
)  # fmt: skip
def test_a_wrong_answer_gets_a_hint(chapter, name, body, words, tmp_path):
    answer = of(course.check(chapter, written(chapter, tmp_path, name, body)), name)
    assert not answer.right
    assert words in answer.hint


@pytest.mark.parametrize(("chapter", "name"), ASKED, ids=[f"{c.number}-{n}" for c, n in ASKED])
def test_every_exercise_has_three_wrong_answers(chapter, name):
    assert sum((one.path, n) == (chapter.path, name) for one, n, _, _ in WRONG) >= 3


@pytest.mark.parametrize("chapter", CHAPTERS[1:2], ids=NUMBERS[1:2])  # `make docs` runs them all
def test_a_chapter_runs_as_a_program(chapter, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(chapter.path)], capture_output=True, text=True,
        env={"PATH": "", "DEMIST_CACHE": str(tmp_path), "DEMIST_PICTURES": str(tmp_path / "pics")},
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert list((tmp_path / "pics").glob("*.webp")), "no picture that moves"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=NUMBERS)
def test_a_chapter_has_all_its_parts(chapter):
    text = chapter.path.read_text(encoding="utf-8")
    prose = "\n".join(cell.prose for cell in course.cells(text) if cell.markdown)
    assert re.search(r"\*\*[^*]+\?\*\*", prose), "no question"
    for heading in ("What to remember", "Where to read on"):
        assert f"## {heading}" in prose
    assert "film(" in text
    assert "assert " in text
    assert "http" not in text  # nothing is fetched, and papers are found by their titles
    glossary = (course.folder() / "glossary.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^(\w.*)$", glossary.split("{glossary}")[1], re.MULTILINE))
    used = {re.sub(r".*<(.*)>", r"\1", term) for term in re.findall(r"\{term\}`([^`]+)`", prose)}
    assert used <= known


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["99"], 64, "there is no chapter '99'; there are"),
        (["--exercise"], 64, "of which chapter"),
        (["1", "--exercise", "--check", "x.py"], 64, "do one after the other"),
        (["1", "--out", "x.py"], 64, "--out is the file of --exercise"),
        (["1", "--check", "absent.py"], 66, "there is no file absent.py"),
    ],
)
def test_what_cannot_be_done_is_said(argv, code, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["learn", *argv]) == code
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def best_guess(:", "line 1: this is no Python"),
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("x = 1", "has no function 'best_guess'"),
        ("def best_guess(x, t, data):\n    return x / nowhere", "line 2: NameError"),
        ("import sys\ndef best_guess(x, t, data):\n    sys.exit()", "line 3: SystemExit"),
        ("x = [1]\nx[0] = nowhere\nx[0] = 2\ndef best_guess(x, t, data):\n    return", "`return`"),
        ("x = [f() for f in ()]\nx[0] = 2\ndef best_guess(x, t, data):\n    return", "`return`"),
        ("raise SystemExit\ndef best_guess(x, t, data):\n    return None", "end with `return`"),
    ],
)
def test_files_that_are_no_answers(text, words, tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(text)
    assert main(["learn", "1", "--check", str(path)]) == 65
    out = capsys.readouterr()
    assert words in out.out + out.err


def test_an_exercise_is_written_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["learn", "1", "--exercise"]) == 0
    (written,) = tmp_path.iterdir()
    assert "best_guess" in capsys.readouterr().out
    assert main(["learn", "1", "--exercise"]) == 73
    assert course.BEGIN not in written.read_text()


def test_all_chapters_are_listed(capsys):
    assert main(["learn", "--no-browser"]) == 0
    out = capsys.readouterr().out
    assert "The number 8" in out


def test_marks_that_do_not_match_are_refused():
    for text in ("# <solution>", "# </solution>", "# <solution>\n# <solution>\n# </solution>"):
        with pytest.raises(Exception, match="solution"):
            course.blanked(text)


def test_pictures_need_words():
    fig, _ = course.figure()
    with pytest.raises(Exception, match="write a sentence"):
        course.show(fig, "a plot")
    shown = course.film([fig, fig], "Two frames that are the same figure.")
    page = shown._repr_html_()
    assert 'alt="Two frames that are the same figure."' in page
    assert "prefers-reduced-motion" in page


def test_the_glossary_is_in_order_and_explains_each_term_once():
    text = (course.folder() / "glossary.md").read_text(encoding="utf-8")
    body = text.split("```{glossary}\n")[1].split("```")[0]
    terms = re.findall(r"^(\S.*)$", body, re.MULTILINE)
    assert len(terms) >= 60
    order = [term.lower().replace("é", "e") for term in terms]
    assert order == sorted(set(order))
    linked = {re.sub(r".*<(.*)>", r"\1", term) for term in re.findall(r"\{term\}`([^`]+)`", body)}
    assert linked <= set(terms)
