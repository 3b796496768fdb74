"""The command line. `python tests/test_cli.py` records the public flags after a wanted change."""

import importlib
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from demist import cli, recipes, runs
from demist.cli import COMMANDS, main
from demist.commands import ls, train
from demist.commands.shared import free_name
from demist.config import TrainConfig, flat
from demist.drawing import read_metadata
from demist.errors import CannotCreateError, DataError, UsageError
from demist.measuring.pages import usual_count
from demist.modalities import of_shape
from demist.model import values

FLAGS = Path(__file__).parent / "golden" / "flags.txt"
TINY = [
    *("--channels-per-level", "8", "8", "--norm-groups", "2", "--head-dim", "4"),
    *("--attention-levels", "1", "--batch-size", "8", "--warmup", "0"),
    *("--sample-count", "4", "--sample-steps", "2", "--precision", "fp32"),
]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DEMIST_TRACEBACK", raising=False)


@pytest.fixture
def squares(tmp_path):
    """Forty images of 8 by 8: dark ones and light ones."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = (rng.integers(0, 60, (40, 1, 8, 8)) + 190 * y[:, None, None, None]).astype(np.uint8)
    np.savez(tmp_path / "squares.npz", x=x, y=y)
    return str(tmp_path / "squares.npz")


@pytest.fixture
def trained(squares):
    assert main(["train", squares, "--steps", "3", *TINY]) == 0
    return runs.find("1")


def public_flags():
    """Every flag and positional of every command, as help shows them."""
    lines = []
    for name in COMMANDS:
        with mock.patch.dict(os.environ, COLUMNS="100"), redirect_stdout(StringIO()) as out:
            assert main([name, "--help"]) == 0
        usage = re.search(rf"usage: demist {name}.*", out.getvalue())[0].split(" [OPTIONS]")
        lines.append(f"demist {name}{''.join(usage[1:])}")
        boxed = (line.strip("│ ") for line in out.getvalue().splitlines())
        lines += sorted(
            f"  {re.split('  +', text)[0]}" for text in boxed if re.match("--[a-z]", text)
        )
    return "\n".join(lines) + "\n"


def test_public_flags_change_only_on_purpose():
    assert public_flags() == FLAGS.read_text()


def test_help_names_every_command_with_its_own_first_line(capsys):
    assert main([]) == main(["--help"]) == 0
    text = capsys.readouterr().out
    modules = {p.stem for p in Path(cli.__file__).with_name("commands").glob("*.py")}
    for name, summary in COMMANDS.items():
        module = importlib.import_module(f"demist.commands.{name.replace('-', '_')}")
        assert module.Options.__doc__.splitlines()[0] == summary
        assert f"  {name:<12}{summary}\n" in text
    assert modules - {name.replace("-", "_") for name in COMMANDS} == {
        "__init__",
        *("sampling", "shared"),
    }


def test_version(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"demist \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("trian", 64, "there is no command 'trian'; did you mean 'train'?"),
        ("xyzzy", 64, "there is no command 'xyzzy'; there are demo, train"),
        ("train --batchsize 3", 64, "--batch-size"),
        ("train --lr fast", 64, "--lr"),
        ("sample --guidance strong", 64, "demist: --guidance strong: give a number"),
        ("train --lr fast", 64, "demist: --lr fast: give a number"),
        ("evaluate --seeds x", 64, "demist: --seeds x: give a whole number"),
        ("train --optimizer adamm", 64, "--optimizer adamm: choose one of muon, adamw"),
        ("train --channels-per-level a", 64, "give whole numbers, with spaces between them"),
        ("train --batchsize 3", 64, "no option --batchsize; did you mean --batch-size?"),
        ("sample digits --class cat ship", 64, "'ship' belongs to no option; several values"),
        ("bulk", 64, "demist bulk needs RUN|FOLDER OUT; `demist bulk --help`"),
        ("train --lr", 64, "--lr: give a value"),
        ("train mnist", 66, "there is no data at 'mnist': did you mean digits?"),
        ("evaluate --seeds 0", 64, "--seeds 0: give 1 or more"),
        ("evaluate --seeds 1 --against 2", 64, "intervals of --against need 2 or more"),
        ("train --lr -1", 64, "lr = -1.0: must be at least 0"),
        ("train --schedule cosin", 64, "did you mean 'cosine'"),
        ("train eight --limit 9 --sample-solver eulr", 64, "Did you mean 'euler'?"),
        ("train --recipe digts", 64, "there is no recipe 'digts'; did you mean 'digits'?"),
        ("train --config no.toml", 66, "there is no configuration file 'no.toml'"),
        ("train --resume 7", 66, "there is no run '7'"),
        ("train --resume 7 --recipe eight", 64, "leave out --recipe"),
        ("train moons --path spiral", 64, "the data is given twice"),
        ("train no/such/folder", 66, "no/such/folder"),
        ("sample 3", 66, "there is no run '3'"),
        ("sample --n 0", 64, "--n 0: give 1 or more"),
        ("sample --batch-size 0", 64, "--batch-size 0: give 1 or more"),
        ("sample --out no/a.png", 73, "there is no folder no"),
        ("evaluate", 66, "there is no run 'latest'"),
        ("classifier moons", 64, "moons are points, which no judge looks at"),
        ("ls --runs elsewhere", 66, "there is no folder elsewhere"),
        ("config eihgt", 66, "did you mean 'eight'?"),
        ("list solver", 64, "there is no kind called 'solver'. Did you mean 'solvers'?"),
        ("train --clock log-snr:limt=3 eight --dry-run", 64, "Did you mean 'limit'?"),
    ],
)
def test_wrong_input_is_one_sentence_and_an_exit_code(line, code, words, capsys):
    assert main(line.split()) == code
    text = capsys.readouterr().err
    assert words in " ".join(re.sub("[│╭╮╰╯─]", " ", text).split())
    assert "Traceback" not in text


def test_completion_knows_all_commands_and_flags(capsys, tmp_path):
    for shell in ("bash", "zsh"):
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out
        assert script.startswith("autoload") == (shell == "zsh")
    (tmp_path / "completion").write_text(script.partition("\n")[2])
    asked = {"sa": "sample", "sample --guidance-r": "--guidance-rule", "train --mu": "--muon-ratio"}
    for typed, expected in asked.items():
        words = ["demist", *typed.split()]
        line = f"source completion; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}"
        done = subprocess.run(
            ["bash", "-c", f'{line}; _demist; echo "${{COMPREPLY[@]}}"'],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.split() == [expected]


def test_list(capsys):
    """Every kind is listed, and the names are those that the options take."""
    from demist.commands.list import FAMILIES

    assert main(["list"]) == 0
    kinds = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert kinds[: len(FAMILIES)] == list(FAMILIES)
    for kind in kinds:
        assert main(["list", kind]) == 0
        assert len(capsys.readouterr().out.splitlines()) > 1
    assert main(["list", "schedules"]) == 0
    text = capsys.readouterr().out
    assert "vp  " in text
    assert "beta_min=0.1 (number), beta_max=20.0 (number)" in text
    assert main(["list", "recipes"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == recipes.names()


def test_unforeseen_errors(monkeypatch, capsys):
    monkeypatch.setattr(ls, "main", lambda args: 1 / 0)
    assert main(["ls"]) == 70
    text = capsys.readouterr().err
    assert text.startswith("demist: internal error, ZeroDivisionError: division by zero; DEMIST_TR")
    assert text.count("\n") == 1
    monkeypatch.setenv("DEMIST_TRACEBACK", "1")
    assert main(["ls"]) == 70
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("x"), 65),
        (KeyboardInterrupt(), 130),
        (OSError(28, "No space left on device"), 74),
        (OSError(30, "Read-only file system"), 74),
        (PermissionError(13, "Permission denied", "a"), 74),
        (OSError(2, "No such file or directory", b"a"), 74),
        (ConnectionResetError(104, "Connection reset by peer"), 70),
    ],
)
def test_exit_codes(error, code, monkeypatch, capsys):
    def fail(args):
        raise error

    monkeypatch.setattr(ls, "main", fail)
    assert main(["ls"]) == code
    assert capsys.readouterr().err.startswith("demist: ")


def test_a_reader_that_leaves_early_is_no_error():
    command = f"{sys.executable} -c 'import demist.cli, sys\n"
    command += "def many(args):\n  for i in range(10**5): print(i)\n"
    command += "import demist.commands.ls as ls; ls.main = many\n"
    command += 'sys.exit(demist.cli.main(["ls"]))\' | head -1; echo ${PIPESTATUS[0]}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout == "0\n0\n"
    assert done.stderr == ""


def test_options_come_from_defaults_recipe_file_and_flags(tmp_path):
    file = tmp_path / "o.toml"
    file.write_text("[optimization]\nlr = 0.005\nbatch_size = 7\n")
    line = ["--recipe", "moons", "--config", str(file), "--lr", "0.25"]
    found, recipe = flat(train.parse(line).settings), flat(recipes.find("moons").config())
    assert recipe["lr"] not in (0.005, 0.25)
    assert recipe["batch_size"] != 7
    assert found == recipe | {"lr": 0.25, "batch_size": 7}
    assert flat(train.parse([]).settings) == flat(TrainConfig())
    assert train.parse(["spiral"]).settings.data.path == "spiral"
    assert train.parse(["spiral", "--recipe", "moons"]).settings.data.path == "spiral"


def test_a_flag_can_restore_a_default(tmp_path):
    """The last source wins even where it says what the first one said."""
    file = tmp_path / "o.toml"
    file.write_text("[limits]\nsteps = 5\n[data]\nflip = true\n")
    found = train.parse(["--config", str(file), "--steps", "None", "--no-flip"]).settings
    assert found.limits.steps is None
    assert found.data.flip is False


def test_resume_without_a_run_means_the_latest():
    assert train.with_value(["--resume"]) == ["--resume", "latest"]
    assert train.with_value(["--resume", "--lr", "1"]) == ["--resume", "latest", "--lr", "1"]
    assert train.with_value(["--resume", "7"]) == ["--resume", "7"]


def test_help_lists_all_recipes():
    text = Path(train.__file__).read_text()
    assert f"Start from: {', '.join(recipes.names())}." in text


def test_dry_run_prints_a_plan_and_writes_nothing(squares, tmp_path, capsys):
    assert main(["train", squares, "--steps", "100", "--dry-run", *TINY]) == 0
    understood, *rows = capsys.readouterr().out.splitlines()
    assert understood.startswith("40 images of 8x8 pixels, grey, 2 classes of 20.")
    plan = dict(re.split(r"  +", line, maxsplit=1) for line in rows if "  " in line)
    notes = [line for line in rows if "  " not in line]
    assert any(line.startswith("few: 40 images are learned by heart") for line in notes)
    assert any("(100 steps of 8)" in line for line in notes)
    assert plan["items"] == "40"
    assert plan["shape"] == "1 x 8 x 8"
    assert plan["classes"].startswith("2: 0, 1")
    assert plan["steps"] == "100"
    assert not (tmp_path / "runs").exists()


def test_train_records_what_was_typed_and_resumes(squares, capsys):
    line = ["train", squares, "--steps", "2", "--name", "my squares", *TINY]
    assert main(line) == 0
    run = runs.find("latest")
    assert run.path.name == "0001-my-squares"
    typed = (run.path / "command.txt").read_text().splitlines()
    assert typed[0].startswith(f"demist train {squares} --steps 2 --name 'my squares'")
    assert "demist sample 1" in capsys.readouterr().out

    assert main(["train", "--resume", "--steps", "5"]) == 0
    assert run.status()["step"] == 5
    assert len(runs.all_runs("runs")) == 1
    assert main(["train", "--resume", "1", "--steps", "6", "--lr", "0.5"]) == 64
    assert "cannot change" in capsys.readouterr().err


def test_config_prints_what_train_reads(trained, capsys, tmp_path):
    assert main(["config", "1"]) == 0
    text = capsys.readouterr().out
    assert text == (trained.path / "config.toml").read_text().partition("\n")[2]
    (tmp_path / "same.toml").write_text(text)
    assert train.parse(["--config", "same.toml"]).settings == trained.config()
    assert main(["config", "same.toml"]) == 0
    assert capsys.readouterr().out == text
    assert main(["config", "eight"]) == 0
    assert 'path = "eight"' in capsys.readouterr().out


def test_ls(trained, capsys):
    (Path("runs") / "0002-broken").mkdir()
    capsys.readouterr()
    assert main(["ls"]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == list(ls.HEAD)
    assert first.split()[:4] == ["1", "squares", "done", "3"]
    assert first.split()[-1] == "runs/0001-squares"
    assert second.split() == ["2", "broken", "-", "-", "-", "-", "runs/0002-broken"]


def test_ls_before_the_first_run(capsys):
    assert main(["ls"]) == 0
    assert capsys.readouterr().out.startswith("No runs in runs yet")


def test_age():
    from datetime import UTC, datetime, timedelta

    now = datetime(2026, 1, 31, tzinfo=UTC)
    ages = [(5, "5s"), (65, "1m"), (3 * 3600 + 1, "3h"), (49 * 3600, "2d"), (-9, "0s")]
    for seconds, text in ages:
        assert ls.age((now - timedelta(seconds=seconds)).isoformat(), now) == text
    assert ls.age(None) == "-"


def test_sample_writes_what_reproduces_it(trained, capsys):
    line = "sample 1 --class 1,0 --n 6 --steps 3 --solver ddim:eta=1 --guidance 2 --seed 5"
    assert main([*line.split(), "--out", "a.png", "--arrays", "a.npy"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["a.png", "a.npy"]
    facts = read_metadata("a.png")
    assert facts["command"] == f"demist {line} --out a.png --arrays a.npy"
    assert re.fullmatch("[0-9a-f]{64}", facts["model"]["sha256"])
    assert facts["model"]["step"] == 3
    assert facts["sampling"] == {
        "n": 6, "steps": 3, "solver": "ddim:eta=1", "grid": facts["sampling"]["grid"],
        "guidance": 2.0, "seed": 5, "label": ["1", "1", "1", "0", "0", "0"],
    }  # fmt: skip
    x = np.load("a.npy", allow_pickle=False)
    assert x.shape == (6, 1, 8, 8)
    assert x.dtype == np.uint8

    again = facts["command"].replace("a.png", "b.png").replace("a.npy", "b.npy").split()[1:]
    assert main([*again, "--batch-size", "1"]) == 0
    assert Path("a.npy").read_bytes() == Path("b.npy").read_bytes()
    with Image.open("a.png") as a, Image.open("b.png") as b:
        np.testing.assert_array_equal(np.array(a), np.array(b))


def test_sampling_loads_nothing_that_trains(tmp_path):
    code = """
import sys
from demist.cli import main
assert main("sample digits --n 1 --steps 1 --out a.png --animate a.gif".split()) == 0
assert main("sample digits --steps 1 --out b.png --grid seed=0:2".split()) == 0
print([name for name in sys.modules if name.startswith("demist.training")])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_sample_never_overwrites_unasked(trained, capsys):
    Path("a.png").write_text("mine")
    for flag in ("--out", "--arrays"):
        assert main(["sample", "--steps", "1", flag, "a.png"]) == 73
        assert "a.png exists already" in capsys.readouterr().err
    assert Path("a.png").read_text() == "mine"
    assert main(["sample", "--steps", "1", "--n", "2", "--out", "a.png", "--force"]) == 0
    assert read_metadata("a.png")["sampling"]["n"] == 2
    for name in ("samples.png", "samples-2.png"):
        assert main(["sample", "--steps", "1", "--n", "2"]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == name


def test_training_without_data_says_what_it_will_do(monkeypatch, capsys):
    monkeypatch.setattr("demist.training.session.carry_out", lambda *_: None)
    assert main(["train", "--steps", "1200"]) == 0
    text = capsys.readouterr().err
    assert "no data was named: this trains on the handwritten digits that come with" in text
    assert "for 1,200 steps; for images of yours: demist train path/to/images" in text
    for line in ("train", "train --path digits", "train digits", "train --recipe digits"):
        assert main(line.split()) == 0
        assert ("no data was named" in capsys.readouterr().err) == (line == "train")


def test_each_class_that_is_asked_for_is_drawn(trained, capsys):
    assert (
        main(
            ["sample", "--class", "0", "--class", "1", "--n", "4", "--steps", "1", "--out", "a.png"]
        )
        == 0
    )
    assert read_metadata("a.png")["sampling"]["label"] == ["0", "0", "1", "1"]


def test_the_ending_says_the_format_before_anything_is_sampled(trained, capsys):
    line = "sample --n 2 --steps 1 --out"
    assert main([*line.split(), "a.webp"]) == 0
    with Image.open("a.webp") as image:
        assert image.format == "WEBP"
    assert read_metadata("a.webp")["sampling"]["n"] == 2
    with mock.patch("demist.model.plan.Plan.sample", side_effect=AssertionError("sampled")):
        for flags in ("a.xyz", "a.mp4 ", "b.png --animate a.png", "b.png --arrays a.txt"):
            assert main([*line.split(), *flags.split()]) == 64
            assert "; end it in ." in capsys.readouterr().err


def test_sample_from_a_model_folder_and_with_a_film(trained, capsys):
    line = ["sample", str(trained.model), "--n", "4", "--steps", "3", "--animate", "a.gif"]
    assert main(line) == 0
    with Image.open("a.gif") as film:
        assert film.n_frames == 4
    assert main(["sample", "1", "--n", "4", "--steps", "3", "--out", "same.png"]) == 0
    sums = [read_metadata(name)["model"]["sha256"] for name in ("samples.png", "same.png")]
    assert sums[0] == sums[1]
    assert main(["sample", "1", "--class", "0,cat"]) == 64
    assert "cat" in capsys.readouterr().err


def test_labels():
    names = ("cat", "dog", "3")
    assert values.choose_labels(None, names) == ["cat", "dog", "3"]
    assert values.choose_labels("dog, 0", names) == ["dog", "cat"]
    assert values.choose_labels("3", names) == ["3"]
    assert values.choose_labels("none", names) == []
    assert values.choose_labels("red, green", ("red, green",)) == ["red, green"]
    assert values.choose_labels(None, ()) == []
    assert values.choose_labels(["cat", "dog,3"], names) == ["cat", "dog", "3"]
    assert values.choose_labels(["a, b", "c"], ("a, b", "c")) == ["a, b", "c"]
    with pytest.raises(UsageError, match="no class 'CAT'; did you mean 'cat'"):
        values.choose_labels("CAT", names)
    with pytest.raises(UsageError, match="trained without classes"):
        values.choose_labels("3", ())
    with pytest.raises(UsageError, match="with others beside it, leave it out"):
        values.choose_labels(["none", "cat"], names)
    assert values.spread(["a", "b"], 5) == ["a", "a", "a", "b", "b"]
    assert values.spread(["a", "b", "c"], 2) == ["a", "b"]
    assert values.spread([], 3) == []


def test_points_are_drawn_as_points(capsys):
    line = "train eight --steps 2 --width 8 --depth 1 --batch-size 8 --sample-count 0 --warmup 0"
    assert main(line.split()) == 0
    assert main(["sample", "--n", "20", "--steps", "2", "--animate", "a.webp"]) == 0
    with Image.open("samples.png") as image:
        assert image.size == (480, 480)
    assert main(["evaluate", "--n", "20", "--steps", "2"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"sliced Wasserstein distance \| [\d.]+ ± [\d.]+ \| 0\.0000 ", out)
    facts = json.loads(Path("runs/0001-eight/evaluation.json").read_text())
    assert facts["report"]["metrics"]["sliced_wasserstein"]["floor"] == 0
    assert main(["evaluate", "--extractor", "x"]) == 64
    assert main(["evaluate", "--seeds", "0"]) == 64


def test_evaluate_images_without_classes(squares, capsys):
    assert main(["train", squares, "--steps", "1", "--no-labels", *TINY]) == 0
    assert main(["evaluate", "--n", "12", "--steps", "2"]) == 0
    assert "| label accuracy | – | " in capsys.readouterr().out


def test_evaluate_images_of_no_class(tmp_path, capsys):
    """The judge tells clusters apart where nobody named classes."""
    x = np.random.default_rng(0).integers(0, 255, (60, 1, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "plain.npz", x=x)
    assert main(["train", str(tmp_path / "plain.npz"), "--steps", "1", *TINY]) == 0
    assert main(["evaluate", "--n", "12", "--steps", "2"]) == 0
    facts = json.loads(Path("runs/0001-plain/evaluation.json").read_text())
    assert facts["report"]["metrics"]["label_accuracy"] == {
        "value": None, "spread": None, "floor": None, "values": [None] * 3,
    }  # fmt: skip
    assert facts["report"]["metrics"]["fdr"]["value"] > 0


def test_evaluate_and_its_judge(trained, squares, capsys):
    line = ["evaluate", "1", "--n", "24", "--steps", "2"]
    assert main(line) == 0
    out = capsys.readouterr().out
    assert re.search(r"\| FDr \| [\d.]+ ± [\d.]+ \| 1\.00 \|", out)
    assert (trained.path / "evaluation.md").read_text() in out
    first = json.loads((trained.path / "evaluation.json").read_text())
    assert first["sampling"]["n"] == 24
    assert first["sampling"]["precision"] == "fp32"
    report = first["report"]
    assert report["protocol"]["seeds"] == [0, 1, 2]
    assert [row["count"] for row in report["classes"]] == [12, 12]
    accuracy = report["metrics"]["label_accuracy"]["value"]
    assert accuracy == pytest.approx(np.mean([row["accuracy"] for row in report["classes"]]))
    kept = list(Path("cache").glob("classifier-*.safetensors"))
    assert len(kept) == 1

    assert main([*line, "--batch-size", "3"]) == 0
    again = json.loads((trained.path / "evaluation-2.json").read_text())
    assert again["report"] == report
    assert json.loads((trained.path / "evaluation.json").read_text()) == first

    assert main(["classifier", squares, "--out", "judge.safetensors"]) == 0
    assert list(Path("cache").glob("classifier-*.safetensors")) == kept
    assert Path("judge.safetensors").read_bytes() == kept[0].read_bytes()
    assert "held-out" in capsys.readouterr().out
    assert main(["classifier", squares, "--out", "judge.safetensors"]) == 73


@pytest.mark.slow
def test_evaluate_against_another_run(trained, squares, capsys):
    assert main(["train", squares, "--steps", "2", "--seed", "1", *TINY]) == 0
    assert main(["evaluate", "1", "--against", "2", "--n", "24", "--steps", "2"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"\| FDr \|( [\d.]+ ± [\d.]+ \|){2} [-+][\d.]+ \| [-+][\d.]+ … ", out)
    facts = json.loads((trained.path / "evaluation.json").read_text())
    assert facts["model"]["sha256"] != facts["against"]["model"]["sha256"]
    assert main(["train", "eight", "--steps", "1", "--name", "points"]) == 0
    assert main(["evaluate", "1", "--against", "3"]) == 64
    assert "compare runs on the same data" in capsys.readouterr().err


@pytest.mark.slow
def test_doctor(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^torch +2\.", out, flags=re.MULTILINE)
    assert re.search(r"GFLOP/s", out)
    assert "within 0.00" in out
    assert "All is well" in out


def test_doctor_names_what_fails(capsys, monkeypatch):
    from demist.commands import doctor
    from demist.measuring import checks

    def fail(runs):
        raise CannotCreateError("cannot write in x")

    monkeypatch.setattr(doctor, "disk", fail)
    monkeypatch.setattr(checks, "speed", lambda: "fast")
    assert main(["doctor"]) == 73
    captured = capsys.readouterr()
    assert re.search(r"^disk +FAILED: cannot write in x", captured.out, flags=re.MULTILINE)
    assert "self-test" in captured.out
    assert captured.err == "demist: cannot write in x\n"


def test_free_name(tmp_path):
    path = tmp_path / "a.png"
    assert free_name(path) == path
    path.touch()
    (tmp_path / "a-2.png").touch()
    assert free_name(path) == tmp_path / "a-3.png"


@pytest.mark.parametrize(
    ("labels", "prompted", "shape", "count"),
    [
        (["a", "b"], False, (1, 8, 8), 16),
        ([str(i) for i in range(11)], False, (1, 8, 8), 64),
        ([], True, (1, 8, 8), 16),
        (["a", "b"], False, (2,), 1000),
    ],
)
def test_how_many_samples_if_nobody_says(labels, prompted, shape, count):
    assert usual_count(of_shape(shape), labels, prompted) == count


if __name__ == "__main__":
    FLAGS.parent.mkdir(exist_ok=True)
    FLAGS.write_text(public_flags())


def test_inside_a_zip_file_it_says_what_to_do(capsys):
    """Commands, parts and embedded data are found as files, and there are none."""
    with mock.patch.object(cli, "COMMANDS", {}):
        assert main(["train", "digits"]) == 64
    assert "cannot run from inside a zip file: unpack it, or install it" in capsys.readouterr().err
