"""The gallery: each image stands below a command that writes it, and each command can be typed."""

import importlib
import re
import runpy
from pathlib import Path

import pytest

from demist.commands.shared import read

ROOT = Path(__file__).parents[1]
MADE = runpy.run_path(str(ROOT / "docs" / "make_gallery.py"))
TEXT = MADE["PAGE"].read_text()
BLOCKS = MADE["blocks"](TEXT)
IMAGES = [block for block in BLOCKS if block.image]
COMMANDS = [words for block in BLOCKS for words in block.commands]


def test_each_image_is_there_below_a_command_that_writes_it():
    linked = re.findall(r"!\[[^]]*\]\(([^)]*)\)", TEXT)
    assert [block.image for block in IMAGES] == linked
    assert len(linked) > 15
    for block in IMAGES:
        assert Path(block.image).stem == Path(block.out).stem, block.code
        assert (MADE["PAGE"].parent / block.image).is_file(), block.image
    there = {path.name for path in MADE["IMAGES"].iterdir()}
    assert there == {Path(name).name for name in linked}
    assert sum(path.stat().st_size for path in MADE["IMAGES"].iterdir()) < 600_000


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_is_read(words):
    name = words[1].replace("-", "_")
    module = importlib.import_module(f"demist.commands.{name}")
    if name == "train":
        assert module.parse(words[2:])
    else:
        assert read(module.Options, words[1], words[2:])


def test_each_edit_is_of_a_model_and_an_image_that_the_page_makes(tmp_path):
    models = {words[words.index("--name") + 1] for words in COMMANDS if words[1] == "train"}
    made = set(re.findall(r'save\("(\w+\.png)"\)|"(\w+)": \d', TEXT))
    names = {a or f"{b}.png" for a, b in made}
    folders = {words[words.index("--out") + 1] for words in COMMANDS if words[1] == "make-pairs"}
    for words in COMMANDS:
        if words[1] in ("edit", "restore"):
            assert words[2] in {"digits", *models}
            assert words[3] in names or words[3].split("/")[0] in folders


def test_trainings_and_their_pairs_are_not_made_but_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = [block for block in BLOCKS if block.kind == "sh" and block.trained]
    assert any(words[1] == "make-pairs" for words in block.commands)
    assert MADE["run"](block, set(block.trained)) == ([], [])
    with pytest.raises(SystemExit, match="--run recolour=FOLDER"):
        MADE["run"](block, set(block.trained) - {"recolour"})
    assert list(tmp_path.iterdir()) == []
