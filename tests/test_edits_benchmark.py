"""The instruments of benchmarks/edits.py: figures of images whose values are known."""

import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

from demist.codecs import Pixels
from demist.conditions import Conditioner, Text, learn_tokenizer
from demist.core import Denoiser, Linear, Velocity
from demist.data.readers.scenes import invent
from demist.editing import Following, restyle
from demist.evaluation.judge.classifier import Classifier
from demist.evaluation.judge.scenes import Judge
from demist.model import Pipeline, Sampling
from demist.networks import UNet
from demist.scenes import COLOURS, PLACES, describe

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def module():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield lambda name: importlib.import_module(f"field.edit_{name}")


class Told(Classifier):
    """A classifier that reads digits as they are whispered, in the order of the palette."""

    def __init__(self, digits):
        self.digits = digits

    def logits(self, cutouts):
        return np.eye(10, dtype=np.float32)[
            [self.digits[i % len(self.digits)] for i in range(len(cutouts))]
        ]


@pytest.fixture
def seen(module):
    """What was made of some work, read by a judge to whom the digits are whispered."""

    def build(work, made, wanted=None):
        order = {name: k for k, name in enumerate(COLOURS)}
        digits = [
            thing.digit
            for scene in work.scenes
            for thing in sorted(scene.things, key=lambda thing: order[thing.colour])
        ]
        made = made if made.ndim == 5 else made[:, None]
        reader = Judge(COLOURS, PLACES, Told(digits))
        wanted = work.targets if wanted is None else wanted
        return module("figures").Seen(reader, work, made, wanted)

    return build


def drawn(module, name, n=3, pipeline=None):
    return module("tasks").TASKS[name].draw(pipeline, "test", n)


def middles(values):
    return {name: value[0] for name, value in values.items()}


def test_squares_side_by_side_come_apart_again(module):
    work = module("work")
    x = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 4), dtype=np.uint8)
    wide = work.joined(x, 2)
    assert wide.shape == (3, 3, 4, 8)
    assert (wide[1, :, :, 4:] == x[3]).all()
    assert (work.parts(wide) == x).all()


def test_a_recoloured_scene_keeps_its_ink_and_no_colour(module):
    figures, work = module("figures"), drawn(module, "restyle", 20)
    assert figures.iou(work.sources, work.targets).mean() > 0.9
    for pair in work.pairs:
        things = list(zip(pair.before.things, pair.scene.things, strict=True))
        assert all(a.colour != b.colour and a.digit == b.digit for a, b in things)
    assert len(work.before) == len(work.prompts) == 20


def test_right_is_who_has_its_colour_and_digit(module, seen):
    figures, work = module("figures"), drawn(module, "recolour", 12)
    best, undone = seen(work, work.targets), seen(work, work.sources)
    assert middles(figures.digits(best)) == {"digits": 1.0, "all": 1.0}
    assert figures.named(best)["named"][0] == figures.colours(best)["colours"][0] == 1
    assert figures.named(undone)["named"][0] == 0 < figures.colours(undone)["colours"][0] < 1
    assert middles(figures.near(best))["ink IoU"] == 1
    assert middles(figures.near(undone))["PSNR"] < 30


def test_the_mean_of_samples_is_read_too(module, seen):
    figures, work = module("figures"), drawn(module, "upscale", 4)
    off = np.clip(work.targets.astype(int) + 20, 0, 255).astype(np.uint8)
    several = np.stack([work.targets, off], axis=1)
    mean = figures.of_the_mean(seen(work, several))["PSNR of the mean"][0]
    assert mean > figures.psnr(off, work.targets).mean() + 5
    assert figures.of_the_mean(seen(work, work.targets)) == {}


def test_bytes_outside_are_counted(module, seen):
    figures, work = module("figures"), drawn(module, "inpaint")
    made = np.where(work.holes[:, None] > 0, 7, work.targets).astype(np.uint8)
    figure = figures.outside(lambda work: work.holes)
    assert figure(seen(work, made)) == {"outside": 0}
    made[0, :, 0, 0] += 1
    assert figure(seen(work, made)) == {"outside": 3}


def test_a_seam_is_the_step_of_the_ground_where_scenes_meet(module, seen):
    figures, work = module("figures"), drawn(module, "windows", 6)
    assert work.targets.shape == (6, 3, 64, 128)
    flat = middles(figures.seam(seen(work, work.targets)))
    shifted = work.targets.copy()
    right = shifted[..., 64:]
    right += np.where(right > 128, -10, 10).astype(np.int8).view(np.uint8)
    stepped = middles(figures.seam(seen(work, shifted)))
    assert flat["seam"] < 1
    assert abs(stepped["seam"] - 10) < 1
    assert stepped["elsewhere"] < flat["elsewhere"] + 0.5


def test_halves_are_read_for_themselves(module, seen):
    figures, work = module("figures"), drawn(module, "windows", 6)
    assert middles(figures.digits(seen(work, work.targets))) == {"digits": 1.0, "all": 1.0}


def test_films_that_jump_and_films_that_fade(module, seen):
    figures, tasks, work = module("figures"), module("tasks"), drawn(module, "film", 8)
    fade = middles(figures.film(seen(work, tasks.faded(work, 9))))
    assert abs(fade["largest step"] - 1) < 0.05
    assert fade["PSNR of the ends"] > 68
    jump = np.stack([work.sources] * 6 + [work.targets] * 3, axis=1)
    found = middles(figures.film(seen(work, jump)))
    assert abs(found["largest step"] - 8) < 1e-3
    assert found["full colour"] > 0.6 > 0.4 > fade["full colour"]


def row(**said):
    base = {"split": "test", "task": "film", "row": "film", "n": 2, "model": "a, 3 steps"}
    found = {"largest step": (1.5, 1.0, 2.0), "outside": 0, "digits": (0.5, 0.25, 0.75)}
    return base | {"judge": "j", "machine": "here", "seconds": 0.1, "found": found} | said


def test_rows_of_two_models_are_told_apart(module):
    page, other = module("page"), row(model="b, 4 steps")
    assert page.same(row(), row(machine="there"))
    assert not any(page.same(row(), changed) for changed in (other, row(judge="k")))
    text = page.page({"rows": [row(), other]}, "Words.")
    assert "1. a, 3 steps; here; judge j\n2. b, 4 steps; here; judge j\n" in text
    now, earlier = text.split("; earlier models and judges")
    assert "| film | 2 | 2 | 1.50 ± 0.50 | 0 bytes | 50.0 (25 to 75) | 0.10 |" in now
    assert "| film | 1 | 2 |" in earlier
    assert "| film | 1 |" not in now


@pytest.fixture(scope="module")
def small():
    """A model of prompts with random weights."""
    torch.manual_seed(0)
    words = [describe(invent(rng), rng) for rng in map(np.random.default_rng, range(300))]
    conditioner = Conditioner({"text": Text(learn_tokenizer(words), 40, 32, 1)})
    net = UNet(in_channels=3, channels=(8, 16), attention=(1,), inlets=conditioner.specs(),
               norm_groups=2)  # fmt: skip
    denoiser = Denoiser(net, Linear(), Velocity(), bounds=(-1.0, 1.0)).eval()
    how = Sampling(steps=1, guidance=2.0)
    return Pipeline(denoiser, Pixels(), conditioner, (3, 64, 64), how, bucket=2)


FEW = {"times": 2, "frames": 3, "each": 2}


@pytest.mark.slow
def test_each_usual_row_is_made_of_any_model(module, small, seen):
    tasks = module("tasks")
    for name, task in tasks.TASKS.items():
        work = drawn(module, name, 2, small)
        for usual in task.usual:
            make, how = task.maker(usual)
            if "model" in how:
                continue
            taken = inspect.signature(make).parameters
            short = {"steps": 1} if "how" in taken else {}
            short |= {key: few for key, few in FEW.items() if key in taken}
            made = make(work, **how | short)
            made, wanted = made if isinstance(made, tuple) else (made, work.targets)
            for figure in task.figures:
                values = figure(seen(work, made, wanted))
                assert all(np.isfinite(value).all() for value in values.values()), (name, usual)


@pytest.mark.slow
def test_a_restyled_batch_is_what_each_restyle_is(module, small):
    work = drawn(module, "restyle", 2, small)
    made = module("tasks").restyled(work, structure=0.5)
    for k in range(2):
        alone = restyle(
            small, work.prompts[k], images=work.sources[k], seed=k,
            following=Following(words=0, pixels=0.5, features=0.5),
        )  # fmt: skip
        assert (alone.images[0] == made[k]).all()
