import numpy as np
import pytest

from demist import recipes
from demist.config import TrainConfig, parse_duration, parse_toml, to_toml, update
from demist.errors import UsageError
from demist.recipes import Expectation, Recipe, recipe
from demist.training.tasks import task_of

NAMES = [
    "digits", "demo", "student", "cifar10", "images64", "scenes", "captions", "autoencoder",
    "clip", "ddpm", "latent", "scenes64", "emoji", "pixel", "sd", "dalle3", "sdxl", "sd3",
    "imagen", "glide", "prior", "dalle2", "instruct", "inpaint", "upscale",
    "spoken-digits", "spoken-digits-latent", "spoken-digits-wave",
    "loops", "demo-sounds",
    "moons", "spiral", "25-gaussians", "eight",
]  # fmt: skip


def test_names():
    assert recipes.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_is_a_valid_configuration(name):
    found = recipes.find(name)
    config = found.config()
    assert found.name == name
    assert config == found.config()
    assert parse_toml(to_toml(config)) == config
    assert found.summary.endswith((".", "`."))
    limits = config.limits
    assert limits.steps or limits.images or limits.budget or name == "digits"


@pytest.mark.parametrize(
    "name",
    [
        "digits",
        "demo",
        "student",
        "scenes",
        "loops",
        "demo-sounds",
        "autoencoder",
        "ddpm",
        "moons",
        "spiral",
        "25-gaussians",
        "eight",
    ],
)
def test_recipes_on_embedded_data_build(name):
    from demist.training.build import build

    config = update(recipes.find(name).config(), {"limit": 100})
    experiment = build(config)
    assert experiment.data.name == config.data.path
    assert len(experiment.data) == 100


@pytest.mark.parametrize(("name", "side"), [("cifar10", 32), ("images64", 64)])
def test_recipes_for_pictures_fit_their_network(name, side):
    from demist.data import Dataset
    from demist.training.build import build

    config = recipes.find(name).config()
    assert (config.data.size, config.data.channels) == (side, 3)
    experiment = build(config, Dataset(np.zeros((4, 3, side, side), np.uint8)))
    assert 1e6 < experiment.parameters < 1e8


@pytest.mark.parametrize(
    "name", ["latent", "scenes64", "emoji", "pixel", "sd", "sdxl", "sd3", "dalle3"]
)
def test_systems_have_one_budget_and_differ_in_one_idea(name):
    stages = recipes.find(name).divided()
    codec, last = stages.earlier, stages.last
    before = {"pixel": [], "sdxl": ["codec", "refiner"]}.get(name, ["codec"])
    assert [stage.name for stage in codec] == before
    assert last.latents.codec == (None if name == "pixel" else "stage:codec")
    times = [parse_duration(config.limits.budget) for config in (last, *(s.config for s in codec))]
    assert sum(times) == 40 * 60
    assert last.data.size == 64
    assert all(stage.config.data == last.data for stage in codec)
    small, control = last.network, recipes.find("pixel").config().network
    assert small.channels_per_level == control.channels_per_level


def test_the_stages_of_a_system_build(tmp_path, monkeypatch):
    from demist.data import Dataset
    from demist.training.stages import rehearsal

    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))
    data = Dataset(np.random.default_rng(0).integers(0, 256, (64, 3, 64, 64), np.uint8))
    (_, codec), (_, model) = rehearsal(recipes.find("latent").divided(), data)
    assert codec.pipeline.shape == (3, 64, 64)
    assert model.pipeline.state_shape == (4, 16, 16)


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(UsageError, match="'moon'; did you mean 'moons'"):
        recipes.find("moon")
    with pytest.raises(UsageError, match="there are: digits, demo"):
        recipes.find("xyzzy")


def test_expectations_are_data():
    for name in NAMES:
        expect = recipes.find(name).expect
        if expect is not None and expect.measured is not None:
            assert expect.met(expect.measured), name
            assert expect.how.startswith("demist "), name
            assert expect.machine, name
    assert Expectation("accuracy", 0.9, 1.0).met(0.95)
    assert not Expectation("accuracy", 0.9, 1.0).met(0.85)
    assert not Expectation("error", 0.0, 0.1).met(float("nan"))


def test_a_function_becomes_a_recipe():
    @recipe("mine")
    def mine() -> TrainConfig:
        """My own run.

        More words.
        """
        return TrainConfig()

    assert isinstance(mine, Recipe)
    assert mine.summary == "My own run."
    assert mine.config() == TrainConfig()


@pytest.mark.parametrize(
    ("name", "next_command"),
    [
        ("digits", "demist sample 7"),
        ("imagen", "demist sample 7"),
        ("instruct", "demist edit 7 IMAGE --instruct TEXT"),
        ("inpaint", "demist edit 7 IMAGE --mask FILE"),
        ("upscale", "demist edit 7 IMAGE --upscale"),
    ],
)
def test_a_finished_run_says_what_its_model_is_for(name, next_command):
    last = recipes.find(name).divided().last
    assert task_of(last.network.network).after(last, 7)[0] == next_command
