"""The microscope on models in latents, of sounds and of points."""

import numpy as np
import pytest
from coded_models import in_latents, of_points, of_sounds
from opened import PIXELS, studio

from demist import Trace


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    in_latents().save(runs / "latents")
    of_sounds().save(runs / "sounds")
    of_sounds(latents=True).save(runs / "sounds-coded")
    of_points().save(runs / "points")
    with studio(runs) as found:
        found.runs = runs
        yield found


def done(opened, model, **settings):
    """The id of a sampling that has ended."""
    job = opened.job(kind="denoise", settings={"model": f"folder-{model}", "steps": 3, **settings})
    assert opened.wait(job, "done", "failed")["state"] == "done"
    return job


def seen(page, which, step):
    """The pixels of one of the two large pictures, `(h, w, 3)`."""
    place = page.locator(f".stage-picture[data-step='{step}'] canvas").nth(int(which == "x0"))
    width, height, *data = place.evaluate(PIXELS)
    return np.array(data).reshape(height, width, 4)[..., :3]


def to(page, step):
    page.click(f".film-cell >> nth={step}")


def test_latents_are_looked_at_by_the_linear_map_and_the_end_is_decoded(
    visit, opened, picture, accessible
):
    page = visit(opened, "#/denoise")
    page.wait_for_selector(".first-card option[value=folder-latents]", state="attached")
    page.select_option(".first-card select[name=model]", "folder-latents")
    page.fill(".first-card input[name=n]", "2")
    page.fill(".first-card input[name=steps]", "3")
    page.click(".first-card button.primary")
    page.wait_for_selector(".status[data-state=done]", state="attached")
    page.wait_for_selector(".branch-card:visible")
    job = page.url.partition("job=")[2].partition("&")[0]
    trace = Trace.load(opened.runs / f"studio/jobs/{job}/trace.safetensors")
    said = page.inner_text(".stage-note")
    assert "linear map to colours; the last is decoded" in said
    assert np.array_equal(seen(page, "x0", 3), trace.samples[0].transpose(1, 2, 0))
    to(page, 1)
    for which in ("x", "x0"):
        small = trace.seen[which][1, 0].numpy()
        assert np.array_equal(seen(page, which, 1), small.transpose(1, 2, 0))
    picture(page, "denoise-latents")
    accessible(page)


@pytest.mark.parametrize("model", ["sounds", "sounds-coded"])
def test_sounds_are_seen_and_heard(visit, opened, picture, accessible, model):
    pytest.importorskip("soundfile")
    job = done(opened, model, n=2)
    page = visit(opened, f"#/denoise?job={job}", width=390 if model == "sounds" else 1200)
    page.wait_for_selector(".stage-sound:visible")
    seconds = page.evaluate(
        """async () => {
            const sound = document.querySelector('.stage-sound');
            if (sound.readyState < 1) await new Promise((f) => { sound.onloadedmetadata = f; });
            return sound.duration;
        }"""
    )
    assert seconds == pytest.approx(1024 / 4000)
    assert "Spectrograms" in page.inner_text(".stage-note")
    pictures = [seen(page, "x0", 3)]
    assert pictures[0].std() > 0
    page.click(".rows button >> nth=1")
    page.wait_for_selector(".stage-sound[data-url$='sound-001.wav']")
    assert not np.array_equal(seen(page, "x0", 3), pictures[0])
    to(page, 0)
    assert not np.array_equal(seen(page, "x", 0), seen(page, "x0", 0))
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    picture(page, f"denoise-{model}")
    accessible(page)


def test_points_are_seen(visit, opened, picture, accessible):
    job = done(opened, "points", n=300)
    page = visit(opened, f"#/denoise?job={job}")
    page.wait_for_selector(".branch-card:visible")
    for step in (0, 2):
        to(page, step)
        assert seen(page, "x", step).std() > 0
    assert page.locator(".stage-sound").is_hidden()
    assert page.locator("demist-words").is_hidden()
    picture(page, "denoise-points")
    accessible(page)
