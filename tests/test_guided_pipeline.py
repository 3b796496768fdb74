"""Guidance from the outside: the pipeline's arguments and the flags of `demist sample`."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from demist.cli import main
from demist.codecs import Pixels
from demist.conditions import Conditioner, Label, Text, learn_tokenizer
from demist.core import Denoiser, Linear, Velocity
from demist.drawing import read_metadata
from demist.errors import UsageError
from demist.guidance import Clamp, Compose, Instead, PlusPlus
from demist.model import Axis, Pipeline, Sampling, parse_axes
from demist.model.sampling import FIELDS
from demist.networks import UNet
from demist.samplers import make_grid

WORDS = ["a red seven", "a small blue three"]


def made(conditions):
    conditioner = Conditioner(conditions)
    inlets = conditioner.specs()
    classes = inlets.pop("label")["classes"] if "label" in inlets else 0
    net = UNet(
        channels=(16,), norm_groups=4, head_dim=16, num_classes=classes, inlets=inlets, patch=2
    )
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=g))
    denoiser = Denoiser(net, Linear(), Velocity())
    return Pipeline(denoiser, Pixels(), conditioner, (1, 8, 8), Sampling(steps=3, guidance=2.0))


@pytest.fixture
def digits():
    return made({"label": Label(("0", "1", "cat"))})


@pytest.fixture
def prompted():
    return made({"text": Text(learn_tokenizer(WORDS), 8, 32, 1)})


def same(a, b):
    return np.array_equal(a, b)


def test_interval_rule_negative_and_guide_matter_and_are_what_they_say(digits):
    def sample(**changes):
        return digits.sample(3, label="cat", **changes)

    base = sample()
    assert same(base, sample(guidance_interval=(0, 1), guidance_rule="cfg", negative={}))
    assert same(base, sample(negative={"label": None}))
    assert same(sample(guidance=1.0), sample(guidance=3.0, guidance_interval=(0.99, 0.995)))
    for changes in (
        {"guidance_interval": (0.1, 0.8)},
        {"guidance_rule": "apg"},
        {"guidance_rule": "rescale:share=1"},
        {"negative": {"label": "1"}},
        {"guide": lambda m: Clamp(m, -0.1, 0.1)},
    ):
        assert not same(base, sample(**changes))
    # Away from the class itself there is nowhere to go.
    assert same(sample(guidance=1.0), sample(guidance=3.0, negative={"label": "cat"}))


def test_a_negative_does_what_it_says_or_is_refused(digits):
    """With nothing asked for, guidance leads from the negative towards the null."""
    away = digits.conditioner.encode_only(1, {"label": "1"})
    null = digits.conditioner.null
    alone = digits.sample(3, guidance=3.0, negative={"label": "1"})
    assert not same(alone, digits.sample(3, guidance=3.0))
    by_hand = digits.sample(
        3, guidance=1.0, guide=lambda m: Compose(m, lambda c: Instead(away)(null(c)), (), 3.0)
    )
    assert np.abs(alone.astype(int) - by_hand).max() <= 1
    for label in (None, "cat"):
        with pytest.raises(UsageError, match=r"negative: guidance 1 leads away from nothing"):
            digits.sample(3, label=label, guidance=1.0, negative={"label": "1"})
    digits.sample(3, guidance=1.0, negative={"label": None})
    unlearned = made({"label": Label(("0", "1"), drop=0.0)})
    unlearned.sample(1, label="0", negative={"label": "1"})
    with pytest.raises(UsageError, match="never learned"):
        unlearned.sample(1, negative={"label": "1"})


def test_any_other_guidance_goes_in_as_a_function(digits):
    null = digits.conditioner.null
    other = Instead({"label": torch.tensor([0])})
    both = digits.sample(
        3, label="cat", guidance=1.0, guide=lambda m: Compose(m, null, ((other, 1.5),), 2.0)
    )
    assert not same(both, digits.sample(3, label="cat", guidance=2.0))
    alone = digits.sample(
        3, label="cat", guidance=1.0, guide=lambda m: Compose(m, null, ((other, 0.0),), 2.0)
    )
    assert np.abs(alone.astype(int) - digits.sample(3, label="cat", guidance=2.0)).max() <= 1
    grid = make_grid("angular", 3, Linear())
    digits.sample(
        1, label="cat", guidance=1.0, grid=grid, solver="ddim",
        guide=lambda m: Compose(m, null, (), PlusPlus(0.5, Linear(), grid)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"guidance_rule": "cgf"}, "no guidance rule called 'cgf'. Did you mean 'cfg'?"),
        ({"guidance_rule": "apg:eta=1"}, "There are: model, scale, parallel, radius"),
        ({"guidance_rule": "apg:parallel=x"}, "'x' is not a number"),
        ({"guidance_interval": (0.8, 0.1)}, "a guidance interval from 0.8 to 0.1 is none"),
        ({"negative": {"text": "x"}}, "no condition 'text'; it has label"),
        ({"seed": [1, 2]}, "got 2 seeds for 3 samples"),
    ],
)
def test_mistakes(digits, changes, words):
    with pytest.raises(UsageError) as caught:
        digits.sample(3, label="cat", **changes)
    assert words in str(caught.value)


def test_one_seed_per_sample_gives_each_its_first_picture(digits):
    many = digits.sample(3, label="cat", seed=[5, 7, 5])
    for i, seed in enumerate((5, 7, 5)):
        assert same(many[i : i + 1], digits.sample(1, label="cat", seed=seed))


def test_prompts(prompted):
    red = prompted.sample(2, text="a red seven")
    assert not same(red, prompted.sample(2, text="a blue seven"))
    assert not same(red, prompted.sample(2, text="a (red:3) seven"))
    assert not same(red, prompted.sample(2, text="a red seven", negative={"text": "blue"}))
    assert same(prompted.sample(2, text=""), prompted.sample(2, guidance=1.0))
    assert same(prompted.sample(2), prompted.sample(2, guidance=9.0))


@pytest.fixture
def folders(digits, prompted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digits.save("digits")
    prompted.save("prompted")


def test_grid_is_one_labelled_picture(folders, digits, capsys):
    line = "sample digits --grid guidance=1,2,4,8 seed=0:6 --class cat --out g.png --arrays g.npy"
    assert main(line.split()) == 0
    cells = np.load("g.npy", allow_pickle=False).reshape(4, 6, 1, 8, 8)
    for row, guidance in enumerate((1.0, 2.0, 4.0, 8.0)):
        for seed in (0, 5):
            one = digits.sample(1, label="cat", guidance=guidance, seed=seed)
            assert same(cells[row, seed], one[0])
    assert read_metadata("g.png")["sampling"]["grid_of"] == ["guidance=1,2,4,8", "seed=0:6"]
    with Image.open("g.png") as page:
        assert page.width > 6 * 64
    turned = "sample digits --grid seed=0:6 guidance=1,2,4,8 --class cat --out t.png --arrays t.npy"
    assert main(turned.split()) == 0
    assert same(np.load("t.npy").reshape(6, 4, 1, 8, 8).swapaxes(0, 1), cells)


def test_the_steps_on_record_are_those_taken(folders, digits):
    """Times that are typed bring their own number, whatever the model's default is."""
    line = "sample digits --time-grid 1,0.6,0 --n 2 --arrays t.npy --out t.png"
    assert main(line.split()) == 0
    recipe = read_metadata("t.png")["sampling"]
    assert (recipe["steps"], recipe["grid"]) == (2, "1,0.6,0")
    fields = {name: recipe[name] for name in FIELDS if name in recipe}
    again = digits.sample(2, Sampling(**fields), label=recipe["label"])
    assert same(np.load("t.npy"), again)


def test_prompt_negative_and_a_grid_of_prompts(folders, prompted):
    assert main(
        ["sample", "prompted", "--prompt", "a red seven", "--negative", "small", "--n", "2",
         "--guidance", "4", "--guidance-interval", "0.1:0.8", "--arrays", "p.npy"]
    ) == 0  # fmt: skip
    want = prompted.sample(
        2, text="a red seven", negative={"text": "small"}, guidance=4.0,
        guidance_interval=(0.1, 0.8),
    )  # fmt: skip
    assert same(np.load("p.npy"), want)
    facts = read_metadata("samples.png")["sampling"]
    assert facts["guidance_interval"] == [0.1, 0.8]
    assert facts["text"] == "a red seven"
    axes = ["guidance-rule=cfg|apg:parallel=0.5", "prompt=a red seven|a blue three"]
    assert main(["sample", "prompted", "--grid", *axes]) == 0


def test_a_grid_of_negatives_is_of_classes_where_there_are_no_prompts(folders, digits):
    line = "sample digits --class cat --grid negative=0|1 --guidance 3 --arrays n.npy"
    assert main(line.split()) == 0
    cells = np.load("n.npy")
    for cell, name in zip(cells, ("0", "1"), strict=True):
        one = digits.sample(1, label="cat", guidance=3.0, negative={"label": name})
        assert same(cell, one[0])
    assert not same(*cells)


def test_in_a_grid_only_cells_with_guidance_lead_away(folders, digits):
    line = "sample digits --class cat --negative 1 --grid guidance=1,3 --arrays n.npy"
    assert main(line.split()) == 0
    one, three = np.load("n.npy")
    assert same(one, digits.sample(1, label="cat", guidance=1.0)[0])
    assert same(three, digits.sample(1, label="cat", guidance=3.0, negative={"label": "1"})[0])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sample digits --class cat --negative 1 --guidance 1", "such as guidance 2"),
        ("sample digits --class cat --negative 1 --grid guidance=1", "such as guidance 2"),
        ("sample digits --prompt x", "its conditions: --class, one of 0, 1, cat"),
        (
            "sample digits --grid prompt=x",
            "its conditions: --class, one of 0, 1, cat",
        ),
        ("sample digits --negative dog --class cat", "there is no class 'dog'"),
        ("sample digits --class dog", "there is no class 'dog'"),
        (
            "sample prompted --class 3",
            "leave it out (its conditions: text)",
        ),
        ("sample prompted --prompt purple", "never read 'purple'"),
        ("sample digits --guidance-interval 0.1", "such as 0.1:0.8"),
        ("sample digits --grid guidance", "write an axis as name=value"),
        ("sample digits --grid gidance=1", "guidance, guidance-interval"),
        ("sample digits --grid guidance=a", "guidance=a: not a number"),
        ("sample digits --grid seed=x", "whole numbers"),
        ("sample digits --grid seed=1 seed=2", "varies seed twice"),
        ("sample digits --grid seed=1 steps=2 guidance=3", "has 3 axes"),
        ("sample digits --grid seed=0:30 guidance=1,2,3,4,5,6,7,8,9,1,2,3,4,5", "the most"),
        ("sample digits --grid seed=0:3 --n 4", "leave one out"),
        ("sample digits --grid class=dog", "there is no class 'dog'"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(folders, line, words, capsys):
    assert main(line.split()) == 64
    assert words in capsys.readouterr().err


def test_axes():
    rows, columns = parse_axes(["seed=2:5"])
    assert rows == Axis("seed", ())
    assert columns == Axis("seed", ("2", "3", "4"))
    assert columns.labels == ["seed 2", "seed 3", "seed 4"]
    assert parse_axes(["prompt=a, b|c", "steps=5"])[0].words == ("a, b", "c")


def test_the_description_is_plain_json(folders):
    index = json.loads(Path("prompted/model_index.json").read_text())
    assert index["conditions"]["text"]["kind"] == "Text"
    assert "seven" in index["conditions"]["text"]["tokenizer"]
