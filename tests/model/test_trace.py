"""Traces: what they hold, that going on from any step changes nothing, and what is not believed."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import demist
from demist.codecs import Pixels, Standardize
from demist.conditions import Conditioner, Label
from demist.core import Denoiser, Linear, Prediction, Velocity
from demist.core.schedule import VP
from demist.editing.known import with_known
from demist.errors import DataError, MissingError, RefusedError, UsageError
from demist.guidance import Clamp
from demist.io.tensors import read_tensors, write_tensors
from demist.model import Pipeline, Trace
from demist.model.recording import recorded, resumed, unchanged
from demist.model.remembered import moved, pack, unpack
from demist.model.trace import KEY
from demist.networks import MLP, UNet


def made(net, schedule, *rest, **more):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    return Pipeline(Denoiser(net, schedule, Velocity()), *rest, **more)


@pytest.fixture(scope="module")
def images():
    net = UNet(channels=(16,), norm_groups=4, head_dim=16, num_classes=2, patch=2)
    label = Conditioner({"label": Label(("cat", "dog"))})
    defaults = demist.Sampling(steps=5, guidance=2.0)
    return made(net, Linear(), Pixels(), label, (1, 8, 8), defaults, bucket=4)


@pytest.fixture(scope="module")
def points():
    codec = Standardize((3.0, -1.0), 2.0)
    return made(MLP(features=2, width=16, depth=1), VP(), codec, Conditioner(), (2,))


@pytest.fixture(scope="module")
def trace(images):
    return images.trace(3, label=["cat", "dog", "dog"], seed=4)


@pytest.fixture
def file(trace, tmp_path):
    return trace.save(tmp_path / "a.safetensors")


def replace_weights(denoiser):
    other = copy.deepcopy(denoiser)
    with torch.no_grad():
        next(other.parameters()).mul_(1.5)
    return other


def same(a, b):
    return (
        torch.equal(a.x, b.x) and torch.equal(a.x0, b.x0) and torch.equal(a.times, b.times)
        and np.array_equal(a.samples, b.samples)
    )  # fmt: skip


def test_a_trace_is_the_sampling_and_predictions_lie_on_the_line(images, trace):
    want = images.sample(3, label=["cat", "dog", "dog"], seed=4)
    assert np.array_equal(trace.samples, want)
    assert trace.steps == 5
    assert trace.n == 3
    assert trace.x.shape == (6, 3, 1, 8, 8)
    assert trace.x0.shape == (5, 3, 1, 8, 8)
    assert (trace.times.diff() < 0).all()
    seen = images.plan(3, label=["cat", "dog", "dog"], seed=4)
    for k in (0, 2):
        cond = seen.told(range(3), images.device)
        with torch.inference_mode():
            p = seen.model(trace.x[k], trace.times[k], **cond)
        assert torch.allclose(p.x0, trace.x0[k], atol=1e-4)
        assert torch.allclose(p.eps, trace.eps(k), atol=1e-3)
    assert np.array_equal(trace.look("x0", 5), want)
    assert trace.look("x", 0).dtype == np.uint8
    assert trace.changes().shape == (4, 3)
    assert float(trace.changes()[1, 2]) == pytest.approx(
        float((trace.x0[2, 2] - trace.x0[1, 2]).square().mean().sqrt())
    )
    assert (trace.log_snr.diff() > 0).all()


def test_what_is_written_is_what_is_read(trace, file):
    read = Trace.load(file)
    assert same(trace, read)
    assert read.facts == json.loads(json.dumps(trace.facts))
    assert torch.equal(read.schedule, trace.schedule)
    assert demist.Trace is Trace


SOLVERS = (
    *("adams", "unipc", "dpmpp-3m", "deis", "lms", "pndm", "trig", "heun"),
    *("sde-dpmpp-2m", "sde-dpmpp-3m", "sde-adams", "churn", "ddim:eta=1"),
)


@pytest.mark.parametrize("solver", SOLVERS)
def test_going_on_from_any_step_gives_the_same_end_bit_for_bit(points, solver, tmp_path):
    whole = points.trace(3, steps=4, solver=solver, seed=4)
    read = Trace.load(whole.save(tmp_path / "a.safetensors"))
    assert np.array_equal(whole.samples, points.sample(3, steps=4, solver=solver, seed=4))
    assert all(same(whole, points.resume(read, step)) for step in (0, 2, 3))


def test_images_and_guidance_go_on_too(images, trace):
    assert same(trace, images.resume(trace, 3))


def test_points_go_on_as_well_and_show_themselves(points, tmp_path):
    whole = points.trace(20, steps=4, solver="sde-adams")
    read = Trace.load(whole.save(tmp_path / "a.safetensors"))
    assert same(whole, points.resume(read, 2))
    assert read.look("x", 4).shape == (20, 2)
    assert np.allclose(read.look("x", 1), points.decode(whole.x[1]))


def test_branches_keep_what_was_before_and_follow_what_is_asked(images, trace):
    cats = images.resume(trace, 2, label="cat")
    assert torch.equal(cats.x[:3], trace.x[:3])
    assert torch.equal(cats.x0[:2], trace.x0[:2])
    assert not torch.equal(cats.x[3, 1], trace.x[3, 1])
    assert cats.facts["cond"] == {"label": "cat"}
    assert [b["step"] for b in cats.facts["branches"]] == [2]
    # From the very start a branch is a sampling of its own.
    again = images.resume(trace, 0, label="cat")
    assert np.array_equal(again.samples, images.sample(3, label="cat", seed=4))
    # A branch is a trace as good as any.
    assert same(cats, images.resume(cats, 4))


def test_another_solver_takes_the_same_steps_and_more_steps_go_where_it_is_best(images, trace):
    heun = images.resume(trace, 3, solver="heun")
    assert torch.equal(heun.times, trace.times)
    more = images.resume(trace, 3, steps=4)
    assert torch.equal(more.times[:4], trace.times[:4])
    assert more.steps == 7
    assert float(more.times[-1]) == 0
    assert same(more, images.resume(more, 6))


def test_a_seed_draws_other_noise_from_there_on(points):
    first = points.trace(2, steps=5, solver="ddim:eta=1", seed=1)
    other = points.resume(first, 2, seed=2)
    assert torch.equal(other.x[:3], first.x[:3])
    assert not torch.equal(other.x[3], first.x[3])
    assert same(points.resume(first, 2, seed=1), first)


def test_a_start_on_data_goes_on_too(images):
    data = np.random.default_rng(0).integers(0, 256, (1, 8, 8), dtype=np.uint8)
    some = images.trace(2, label="dog", init=data, start=0.6, solver="sde-dpmpp-2m", steps=4)
    assert float(some.times[0]) == pytest.approx(0.6)
    assert same(some, images.resume(some, 3))


def test_what_no_file_holds_is_asked_for_again(images):
    some = images.trace(2, label="dog", steps=2, guide=lambda model: Clamp(model, -1.0, 1.0))
    with pytest.raises(UsageError, match="made with guide, which no file holds; give it again"):
        images.resume(some, 1)
    assert same(some, images.resume(some, 1, guide=lambda model: Clamp(model, -1.0, 1.0)))


def test_a_trace_that_was_changed_asks_for_the_change_again(images, tmp_path):
    """Else its branch would follow another plan with the memory of the first."""
    whole = images.trace(2, label="dog", steps=4, solver="adams")
    masks = np.zeros((2, 8, 8), np.float32)

    def change(plan):
        return with_known(plan, whole.samples, masks)

    kept = images.resume(whole, 1, change=change)
    assert np.array_equal(kept.samples, whole.samples)
    kept = Trace.load(kept.save(tmp_path / "a.safetensors"))
    with pytest.raises(UsageError, match="made with a change, such as a part that is kept"):
        images.resume(kept, 2)
    again, free = (resumed(images, kept, 2, change=one) for one in (change, unchanged))
    assert kept.memories[2] is not None
    assert (again.memory, free.memory) == (None, None)
    assert (again.facts["also"], free.facts["also"]) == (["change"], [])
    assert resumed(images, free.run(), 3).memory is not None


def test_a_refiner_and_stages_are_a_part_of_the_model(images):
    other = replace(images, denoiser=replace_weights(images.denoiser))
    refined = images.refined(images, 0.5)
    some = refined.trace(2, label="dog", steps=4)
    assert same(some, refined.resume(some, 2))
    for changed in (images, images.refined(other, 0.5), images.refined(images, 0.3)):
        with pytest.raises(UsageError, match="this model with another refiner, or other stages"):
            changed.resume(some, 2)
    assert resumed(images, some, 2, other_model=True).memory is None


@pytest.mark.parametrize("step", [-1, 5, True])
def test_a_step_that_is_not_there(images, trace, step):
    with pytest.raises(UsageError, match=r"step = .*: the trace can go on from steps 0 to 4"):
        images.resume(trace, step)


def test_another_model_only_if_it_is_allowed(images, points, trace):
    other = replace(images, denoiser=made(
        UNet(channels=(16,), norm_groups=4, head_dim=16, num_classes=2, patch=2), Linear(),
        images.codec, images.conditioner, images.shape).denoiser)  # fmt: skip
    with torch.no_grad():
        next(other.denoiser.parameters()).mul_(1.5)
    with pytest.raises(UsageError, match=r"made by another model.*other_model=True"):
        other.resume(trace, 2)
    assert other.resume(trace, 4, other_model=True).steps == 5
    with pytest.raises(UsageError, match="data of shape"):
        points.resume(trace, 2, other_model=True)


def test_torchs_own_noise_cannot_be_entered(images):
    some = images.trace(2, label="dog", noise="torch", solver="ddim:eta=1", steps=2)
    with pytest.raises(UsageError, match="cannot go on within a trajectory"):
        images.resume(some, 1)


def test_memory_is_bounded_and_told_early(images):
    asked = []
    recording = recorded(images, 4, label="dog", steps=50, limit=100_000)
    with pytest.raises(UsageError, match=r"4 samples over 50 steps .*limit of 0.0001 GB"):
        asked.extend(recording)
    assert len(asked) <= 1
    with pytest.raises(UsageError, match="not run to its end"):
        recording.trace()


def test_what_the_solver_remembers_is_stored_once(points, tmp_path):
    some = points.trace(2000, steps=10, solver="adams")
    state = some.x[0].nbytes
    size = some.save(tmp_path / "a.safetensors").stat().st_size
    assert size < 5.5 * state * 11 + 30_000  # x, x0, and three new ones a step


def test_memories_there_and_back():
    kept = {}

    def keep(tensor):
        kept[f"m{len(kept)}"] = tensor
        return f"m{len(kept) - 1}"

    one = torch.randn(2, 3)
    p = Prediction(one, one + 1, torch.tensor(0.5).double(), torch.tensor(0.1).double())
    memory = (None, True, 3, -0.1, float("inf"), "a", [one, (p,)])
    back = unpack(json.loads(json.dumps(pack(memory, keep))), kept)
    assert back[:6] == memory[:6]
    assert torch.equal(back[6][0], one)
    assert torch.equal(back[6][1][0].eps, p.eps)
    assert torch.equal(moved(back, lambda t: t + 1)[6][0], one + 1)
    with pytest.raises(UsageError, match="remembers a object"):
        pack(object(), keep)


def rewritten(file, change, tensors=None):
    """The file with another description and other tensors."""
    from demist.io.tensors import read_metadata

    facts = json.loads(read_metadata(file)[KEY])
    change(facts)
    write_tensors(file, {**read_tensors(file), **(tensors or {})}, {KEY: json.dumps(facts)})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.update(format=2), "not of format 1; update demist"),
        (lambda f: f.update(memory=[]), "do not match"),
        (lambda f: f.update(memory=[{"tensor": "x9"}] * 6), "no memory of a solver"),
        (lambda f: f.update(memory=[{"float": "zz"}] * 6), "is no number"),
        (lambda f: f.update(memory=[{"object": "os"}] * 6), "no memory of a solver"),
        (lambda f: f.update(shape=[1, 8, -8]), "positive whole numbers"),
        (lambda f: f.update(shape=[1, 8, 9]), "samples has shape"),
        (lambda f: f.update(grid=[1.0, 0.0]), "not between 0 and 1"),
        (lambda f: f.pop("sampling"), "does not say its sampling"),
        (lambda f: f.update(shape=[]), "positive whole numbers"),
        (lambda f: f["sampling"].update(foo=1), "its sampling has no 'foo'"),
        (lambda f: f.update(branches=[1]), "its branches are none"),
        (lambda f: f.update(branches=[{"step": 1}]), "its branches are none"),
        (lambda f: f.update(also=5), "made with none of weak, guide, constrain, change, but"),
        (lambda f: f.update(also=[[]]), "made with none of"),
        (lambda f: f.update(negative=[1]), "its negative conditions are none"),
    ],
)
def test_what_a_file_says_is_not_believed(file, change, words):
    rewritten(file, change)
    with pytest.raises(DataError, match=f"a.safetensors is a damaged trace: .*{words}"):
        Trace.load(file)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"x": torch.zeros(6, 2, 1, 8, 8)}, "samples has shape"),
        ({"x": torch.tensor(1.0)}, "do not match"),
        ({"times": torch.full((6,), torch.nan, dtype=torch.float64)}, "no finite numbers"),
        ({"memory.0": torch.zeros(5)}, "has 5 rows for 3 samples"),
        ({"samples": torch.zeros(3, 1, 8, 8, dtype=torch.bfloat16)}, "type torch.bfloat16, which"),
        ({"given.0": torch.zeros(3, dtype=torch.bfloat16)}, "given.0 is of type torch.bfloat16"),
        ({"seen.x": torch.zeros(6, 3, 1, 3, 3, dtype=torch.uint8)}, "looks of shape"),
        ({"seen.x": torch.zeros(6, 3, 1, 4, 8, dtype=torch.uint8)}, "looks of shape"),
    ],
)
def test_tensors_that_do_not_fit(file, tensors, words):
    rewritten(file, lambda facts: None, tensors)
    with pytest.raises(DataError, match=words):
        Trace.load(file)


@pytest.mark.parametrize("kind", ["U", "O"])
def test_an_array_of_words_is_kept_as_words(images, trace, tmp_path, kind):
    words = np.array(["cat", "dog", "dog"], dtype=kind)
    some = images.trace(3, label=words, seed=4)
    read = Trace.load(some.save(tmp_path / "b.safetensors"))
    assert read.facts["cond"] == {"label": ["cat", "dog", "dog"]}
    assert same(read, trace)
    assert same(read, images.resume(read, 2))


def test_files_that_are_no_traces(file, tmp_path):
    with pytest.raises(MissingError):
        Trace.load(tmp_path / "b.safetensors")
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    with pytest.raises(DataError, match="not a whole safetensors file"):
        Trace.load(file)
    write_tensors(file, {"x": torch.zeros(1)})
    with pytest.raises(DataError, match="is no trace; `demist sample RUN --trace FILE` writes one"):
        Trace.load(file)
    file.write_bytes(b"\x80\x04\x95" + b"x" * 100)
    with pytest.raises(RefusedError):
        Trace.load(file)
    deep = "[" * 5000 + "]" * 5000
    write_tensors(file, {"x": torch.zeros(1)}, {KEY: f'{{"format":1,"memory":{deep}}}'})
    with pytest.raises(DataError, match="nested too deeply"):
        Trace.load(file)
