"""The exercises of the field in full: their program, and the records that chapters show."""

import copy
import dataclasses
import importlib
import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from demist import course
from demist.course import record
from demist.errors import DataError, MissingError

COURSE = Path(__file__).parents[2] / "course"
RECORDS = COURSE / "records"
SHOWN = {1: "2", 2: "4", 3: "5", 4: "7", 5: "9"}
"""Exercise -> the chapter that shows its record."""


@pytest.fixture
def full(monkeypatch):
    """`course/full.py`, as Python finds it when it is run."""
    monkeypatch.syspath_prepend(str(COURSE))
    return importlib.import_module("full")


def part(name):
    return importlib.import_module(f"exercises.{name}")


def cell_of(exercise):
    """The cell of a chapter that shows a record."""
    text = course.find_chapter(SHOWN[exercise]).path.read_text()
    (found,) = [cell for cell in course.cells(text) if f"record({exercise})" in cell.text]
    return found.text


def shown(exercise, found):
    """Run that cell with a record; what it says."""
    said = []
    names = {"record": lambda k: {exercise: found}[k], "say": said.append}
    exec(compile(cell_of(exercise), f"record {exercise}", "exec"), names)
    return " ".join(said)


@pytest.mark.parametrize("exercise", SHOWN)
def test_a_record_is_that_of_the_program(exercise, full, capsys):
    found = record(exercise)
    assert found.configuration == json.loads(json.dumps(full.configuration(exercise)))
    assert found.command == f"python course/full.py {exercise}"
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", found.date)
    assert len(found.picture.data) < 150_000
    assert found.picture.size[0] <= 900
    assert len(found.picture.alt.split()) > 8
    label = capsys.readouterr().out
    assert label.startswith(f"Recorded on {found.date}, not computed with this page")
    for words in (found.machine, found.command, found.hash[:12]):
        assert words in label
    text = (RECORDS / f"exercise_{exercise}.json").read_text()
    assert not re.search(r'"/|"[A-Z]:\\', text), "a path of a machine"


@pytest.mark.parametrize("exercise", SHOWN)
def test_a_chapter_says_what_is_recorded(exercise):
    found = record(exercise)
    assert re.search(r"\d", shown(exercise, found))
    assert "figures" in cell_of(exercise)


WORSE = [
    (1, ("cosine", "mean"), 9.0),
    (1, ("linear", "exact"), 1e-3),
    (1, ("sigmoid", "wrong"), 0.1),
    (1, ("proved",), False),
    (2, ("samples", "fdr"), 4.0),
    (2, ("samples", "accuracy"), 0.5),
    (3, ("cosine", "fdr"), [[9.0, 9.0, 9.0]] * 3),
    (3, ("sigmoid", "fdr"), [[1.0, 1.0, 1.0]] * 3),
    (4, ("mixture", "exact"), 1e-3),
    (4, ("mixture", "error"), [0.5] * 11),
    (4, ("digits", "error"), [0.9] * 11),
    (4, ("digits", "network"), [0.9] * 11),
    (5, ("fdr",), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    (5, ("accuracy",), [0.5] * 6),
]
"""Exercise, a figure of its record, and a value that belies the chapter."""


@pytest.mark.parametrize(("exercise", "name", "value"), WORSE)
def test_other_figures_belie_the_chapter(exercise, name, value):
    found = record(exercise)
    figures = copy.deepcopy(found.figures)
    place = figures
    for key in name[:-1]:
        place = place[key]
    assert place[name[-1]] != value
    place[name[-1]] = value
    with pytest.raises(AssertionError):
        shown(exercise, dataclasses.replace(found, figures=figures))


def test_the_linear_schedule_with_other_figures_belies_the_chapter():
    found = record(3)
    figures = copy.deepcopy(found.figures)
    figures["linear"], figures["cosine"] = figures["cosine"], figures["linear"]
    with pytest.raises(AssertionError):
        shown(3, dataclasses.replace(found, figures=figures))


def test_a_changed_record_is_refused(tmp_path):
    for file in RECORDS.glob("exercise_1.*"):
        shutil.copy(file, tmp_path)
    path = tmp_path / "exercise_1.json"
    assert record(1, tmp_path).hash == record(1).hash
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"configuration": facts["configuration"] | {"seed": 1}}))
    with pytest.raises(DataError, match="the hash is not that of the configuration"):
        record(1, tmp_path)
    for name in (
        "alt",
        "command",
        "configuration",
        "date",
        "figures",
        "hash",
        "machine",
        "minutes",
    ):
        path.write_text(json.dumps({k: v for k, v in facts.items() if k != name}))
        with pytest.raises(DataError, match=f"has no '{name}'"):
            record(1, tmp_path)
    with pytest.raises(MissingError, match="exercise_2"):
        record(2, tmp_path)


def test_a_record_is_never_replaced(full, tmp_path, capsys):
    shutil.copy(RECORDS / "exercise_1.json", tmp_path)
    before = (tmp_path / "exercise_1.json").read_bytes()
    assert full.main(["1", "--out", str(tmp_path)]) == 64
    assert "is there already; remove it" in capsys.readouterr().err
    assert (tmp_path / "exercise_1.json").read_bytes() == before


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["1", "--budget", "5m"], 64, "exercise 1 does not know --budget; 2, 3 and 5 do"),
        (["4", "--n", "10"], 64, "exercise 4 does not know --n"),
        (["5"], 66, "CIFAR-10 is not there: set DEMIST_DATA"),
        (["2", "--budget", "soon"], 64, "soon"),
    ],
)
def test_what_full_cannot_do_is_said(argv, code, words, full, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("DEMIST_DATA", raising=False)
    assert full.main([*argv, "--out", str(tmp_path)]) == code
    assert words in capsys.readouterr().err
    assert not list(tmp_path.glob("exercise_*"))


def test_data_is_found_by_its_name(full, tmp_path, monkeypatch, capsys):
    work = part("work")
    monkeypatch.setenv("DEMIST_DATA", str(tmp_path))
    assert work.named("MNIST") == work.DIGITS  # which the record says, and not MNIST
    assert "digits of the package take its place" in capsys.readouterr().out
    assert work.data_of(work.DIGITS) == "digits"
    (tmp_path / "mnist").mkdir()
    (tmp_path / "cifar10").mkdir()
    assert work.named("MNIST") == "MNIST"
    assert work.data_of("MNIST") == str(tmp_path / "mnist")
    assert work.data_of("CIFAR-10 (JPEG)") == str(tmp_path / "cifar10")


def test_walkers_are_where_the_closed_form_says(full):
    forward = part("forward")
    asked = forward.CONFIGURATION | {"walkers": 4000, "steps": 60}
    assert forward.proved()
    for name in asked["schedules"]:
        found = forward.walk(forward.table(name, 60), asked)
        assert found["exact"] < 1e-12
        assert max(found["mean"], found["variance"]) < 5
        assert found["wrong"] > 0.5
        assert [len(curve) for curve in found["curves"].values()] == [6, 6, 6]


def test_the_error_of_a_score_is_a_share_of_it(full):
    right = torch.tensor([[3.0, 4.0]])
    assert part("score").distance(1.1 * right, right) == pytest.approx(0.1, abs=1e-4)


@pytest.mark.slow
def test_an_exercise_is_done_in_two_goes(full, tmp_path, monkeypatch, capsys):
    from demist.training.judge import train_classifier

    ddpm, work = part("ddpm"), part("work")
    quick = {**ddpm.CONFIGURATION["train"], "steps": 2, "channels_per_level": [16, 32]}
    how = {"solver": "ddpm", "grid": "uniform", "steps": 2}
    changed = {**ddpm.CONFIGURATION, "train": quick, "sampling": how, "n": 20}
    monkeypatch.setattr(ddpm, "CONFIGURATION", changed)
    monkeypatch.delenv("DEMIST_DATA", raising=False)

    def judge(train, test):
        return train_classifier(train.x[:300], train.labels[:300], train.classes, epochs=1)

    def stops(train, test):
        raise KeyboardInterrupt

    argv = ["2", "--out", str(tmp_path)]
    monkeypatch.setattr(work, "judge", stops)
    assert full.main(argv) == 130  # after training, before anything is measured
    assert "stopped; the same command goes on" in capsys.readouterr().err
    assert not (tmp_path / "exercise_2.json").exists()
    (run,) = tmp_path.glob("0001-exercise-2")
    trained = (run / "metrics.jsonl").read_bytes()
    monkeypatch.setattr(work, "judge", judge)
    assert full.main(argv) == 0
    assert (run / "metrics.jsonl").read_bytes() == trained
    found = record(2, tmp_path)
    assert found.configuration["train"]["steps"] == 2
    assert found.configuration["data"] == work.DIGITS  # not MNIST, which was not there
    assert 0 <= found.figures["samples"]["accuracy"] <= 1
    assert found.figures["samples"]["fdr"] > 2  # noise
    capsys.readouterr()
    other = ["--budget", "9s", "--record", str(tmp_path / "other")]
    assert full.main([*argv, *other]) == 64
    assert "was begun with another value of budget" in capsys.readouterr().err
    (tmp_path / "mnist").mkdir()
    monkeypatch.setenv("DEMIST_DATA", str(tmp_path))
    assert full.main(["2", "--out", str(tmp_path), "--record", str(tmp_path / "other")]) == 64
    assert "was begun with another value of path" in capsys.readouterr().err
