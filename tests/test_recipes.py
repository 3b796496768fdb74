import numpy as np
import pytest

from demist import recipes
from demist.config import TrainConfig, parse_toml, to_toml, update
from demist.errors import UsageError
from demist.recipes import Expectation, Recipe, recipe

NAMES = [
    "digits", "demo", "student", "cifar10", "images64", "scenes", "captions", "autoencoder",
    "clip", "ddpm", "moons", "spiral", "25-gaussians", "eight",
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
