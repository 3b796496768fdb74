"""Inversions that are written down: the numbers of `invert`, and back again from any step."""

import warnings

import numpy as np
import pytest
import torch
from small import images, small

from demist.core import unclamped
from demist.editing import inversion, invert, returned, round_trip, undo
from demist.errors import UsageError
from demist.model import Trace, open_model

PROMPTS = ["a red three", "a big blue seven on the left"]
ASKED = {"text": PROMPTS, "steps": 4}


@pytest.fixture(scope="module")
def pipeline():
    return small(bounds=None)


@pytest.fixture(scope="module")
def walked(pipeline):
    return inversion(pipeline, images(), **ASKED).run()


@pytest.mark.parametrize("solver", ["adams", "ddim", "heun"])
def test_the_walk_is_that_of_invert(pipeline, solver, tmp_path):
    trace = inversion(pipeline, images(), **ASKED, solver=solver).run()
    plan = pipeline.plan(2, **ASKED, solver=solver, guidance=1.0)
    x = pipeline.encode(images())
    with torch.inference_mode():
        free = unclamped(plan.model)
        want = invert(free, x, plan.grid, plan.solver, **plan.told(range(2), x.device))
    assert torch.equal(trace.x[-1], want)
    assert torch.equal(trace.x[0], x)
    assert trace.rising
    assert trace.x.shape == (5, 2, 3, 8, 8)
    assert trace.samples.shape == (2, 3, 8, 8)
    assert (trace.times.diff() > 0).all()
    with torch.inference_mode():
        p = free(trace.x[2], trace.times[2], **plan.told(range(2), x.device))
    torch.testing.assert_close(p.x0, trace.x0[2], atol=1e-5, rtol=1e-5)
    read = Trace.load(trace.save(tmp_path / "a.safetensors"))
    assert torch.equal(read.x, trace.x)
    assert read.rising


def test_it_comes_back_at_the_solvers_order(pipeline):
    apart = []
    for steps in (8, 32):
        trace = inversion(pipeline, images(), text=PROMPTS, steps=steps).run()
        back = returned(pipeline, trace).run()
        assert not back.rising
        assert torch.equal(back.x[0], trace.x[-1])
        assert torch.equal(back.times, trace.times.flip(0))
        apart.append(float(round_trip(trace, back).max()))
    assert apart[1] < apart[0] / 8
    assert apart[1] < 0.02


def test_from_any_step_otherwise_and_on_from_there(pipeline, walked, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = returned(pipeline, walked, 3, text="a green five", guidance=2.0).run()
    assert back.steps == 3
    assert back.facts["cond"] == {"text": "a green five"}
    assert torch.equal(back.x[0], walked.x[3])
    read = Trace.load(back.save(tmp_path / "b.safetensors"))
    again = pipeline.resume(read, 1)
    assert torch.equal(again.x, back.x), "without the bounds, too"
    assert again.facts["unclamped"] is True
    fewer = returned(pipeline, walked, 3, steps=2).run()
    assert fewer.steps == 2
    assert float(fewer.times[0]) == float(walked.times[3])
    assert not np.array_equal(fewer.samples, back.samples)


def test_what_makes_no_sense_is_told(pipeline, walked):
    with pytest.raises(UsageError, match=r"draws noise.*adams"):
        inversion(pipeline, images(), **ASKED, solver="ddim:eta=1")
    with pytest.raises(UsageError, match="data of shape"):
        inversion(pipeline, images()[:, :, :4], text=PROMPTS)
    with pytest.raises(UsageError, match="steps 1 to 4"):
        returned(pipeline, walked, 0)
    with pytest.raises(UsageError, match=r"come back .*returned"):
        pipeline.resume(walked, 2)
    back = returned(pipeline, walked).run()
    with pytest.raises(UsageError, match="begins with an inversion"):
        returned(pipeline, back)


@pytest.mark.slow
def test_models_that_clamp_walk_as_undo_does_and_their_digits_come_back():
    pipeline = open_model("digits")
    x = pipeline.sample(2, label=["7", "3"], steps=8)
    trace = inversion(pipeline, x, label=["7", "3"], steps=40).run()
    plan = pipeline.plan(2, label=["7", "3"], steps=40, solver="ddim", guidance=1.0)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = plan.told(list(range(2)), pipeline.device)
        want = undo(plan.model, pipeline.encode(x), plan.grid, **told)
    torch.testing.assert_close(trace.x[-1], want, atol=1e-3, rtol=1e-3)
    back = returned(pipeline, trace).run()
    assert "unclamped" not in back.facts
    assert float(round_trip(trace, back).max()) < 0.02
    with pytest.raises(UsageError, match=r"only steps of ddim .* heun"):
        inversion(pipeline, x, solver="heun")


def test_inversions_leave_fitted_steps_aside(pipeline):
    fitted = pipeline.fitted((6,), starts=8, guidance=1.0)
    data = pipeline.sample(1, steps=6, guidance=1.0)
    asked = {"steps": 6, "guidance": 1.0}
    assert fitted.plan(1, **asked).sampling.solver == "fitted"
    up, plain = (inversion(p, data, **asked).run() for p in (fitted, pipeline))
    assert torch.equal(up.x, plain.x)
    with pytest.raises(UsageError, match="lead from noise to data alone"):
        inversion(fitted, data, solver="fitted", **asked)
