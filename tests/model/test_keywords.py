"""What people pass to `Pipeline.sample`: taken, or answered with one sentence."""

import numpy as np
import pytest
import torch

from demist import zoo
from demist.errors import UsageError
from demist.model import Pipeline, Sampling
from demist.model.keywords import by_name, sides, whole
from demist.model.sampling import split
from demist.parts import close


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline.load(zoo.NAMES[0])


@pytest.mark.parametrize(
    "given, same",
    [
        ({"steps": 3.0}, Sampling(steps=3)),
        ({"steps": np.int32(3)}, Sampling(steps=3)),
        ({"seed": np.array([1, 2])}, Sampling(seed=(1, 2))),
        ({"seed": torch.tensor(5)}, Sampling(seed=5)),
        ({"guidance": np.float32(2)}, Sampling(guidance=2.0)),
        ({"grid": np.array([1, 0.5, 0])}, Sampling(grid=(1.0, 0.5, 0.0))),
        ({"seed": None}, Sampling()),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_numbers_of_other_libraries_are_numbers(given, same):
    assert split(None, given) == (same, {})


def test_classes_may_be_numbers_of_numpy(pipeline):
    encode = pipeline.conditioner.encode
    for value in (
        np.int64(3),
        "3",
        3,
        [np.int64(3), "3"],
        torch.tensor([3, 3]),
        [torch.tensor(3), 3],
    ):
        assert encode(2, {"label": value})["label"].tolist() == [3, 3]


@pytest.mark.parametrize(
    "given, words",
    [
        ({"steps": "4"}, "steps = '4': give a whole number, such as 20"),
        ({"steps": 2.5}, "steps = 2.5: give a whole number"),
        ({"steps": True}, "steps = True: give a whole number"),
        ({"guidance": "2"}, "guidance = '2': give a number, such as 2.0"),
        ({"guidance": float("nan")}, "guidance = nan: give a number"),
        ({"guidance_interval": 0.3}, r"give two times, the lower first, such as \(0.1, 0.8\)"),
        ({"grid": 5}, "grid = 5: give a name such as 'angular', or times"),
        ({"seed": 1.5}, "seed = 1.5: give a whole number"),
        ({"start": "x"}, "start = 'x': give a number, such as 0.6"),
        ({"solver": 5}, "solver = 5: give a name, such as 'heun'"),
        ({"solver": "dpm++"}, "Did you mean 'dpmpp-2m'"),
        ({"label": True}, "there is no class True"),
        ({"num_inference_steps": 9}, "no condition 'num_inference_steps'.* did you mean steps"),
        ({"guidance_scale": 9}, "did you mean guidance"),
        ({"num_images": 9}, "did you mean n?"),
        ({"cls": "3"}, "no condition 'cls'; it has label.* did you mean label"),
        ({"lable": "3"}, "did you mean label"),
        ({"callback": print}, "for frame in pipeline.trajectory"),
        ({"prompt": "x"}, "no condition 'prompt'; it has label.* which are: steps, solver"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_makes_no_sense_is_one_sentence(pipeline, given, words):
    with pytest.raises(UsageError, match=words) as error:
        pipeline.plan(2, **given)
    assert len(str(error.value)) < 400


def test_arguments_of_a_wrong_type():
    with pytest.raises(UsageError, match=r"size = 32: give height and width, such as \(32, 48\)"):
        sides(32)
    with pytest.raises(UsageError, match="n = '8': give a whole number"):
        whole("n", "8")
    with pytest.raises(UsageError, match="negative = '3': name the condition, negative="):
        by_name("negative", "3")


def test_the_name_that_was_meant():
    names = ["ddpm", "dpmpp-2m", "dpmpp-3m", "Cat", "sea_lion"]
    assert close("dpm++", names) == "dpmpp-2m"
    assert close("dpm++ 2M", names) == "dpmpp-2m"
    assert close("CAT", names) == "Cat"
    assert close("sea-lion", names) == "sea_lion"
    assert close("xyz", names) == ""


@pytest.mark.parametrize("name", ["steps", "seed", "guidance", "batch_size", "best_of", "start"])
@pytest.mark.parametrize(
    "value",
    [10**400, -(10**400), 10**5000, float("inf"), float("nan")],
    ids=["large", "low", "endless", "infinite", "none"],
)
def test_a_number_that_no_float_holds_is_refused_in_words(name, value):
    with pytest.raises(UsageError, match=f"^{name} = .{{1,40}}: give a"):
        split(None, {name: value})
