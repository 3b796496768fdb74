"""The microscope as people use it: run, scrub, go back, branch, compare, copy, reload, cancel."""

import re
import subprocess
import sys

import numpy as np
import pytest
from opened import studio

from demist import Trace


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    with studio(runs) as found:
        found.runs = runs
        yield found


def ask(page, steps, digit=None):
    """Fill the form in and run."""
    page.wait_for_selector(".first-card .chip >> nth=5")
    page.fill(".first-card input[name=steps]", str(steps))
    if digit is not None:
        page.click(f".first-card .chip:has(input[value='{digit}'])")
    page.click(".first-card button.primary")


def done(page):
    page.wait_for_selector(".status[data-state=done]", state="attached")
    page.wait_for_selector(".branch-card:visible")


def trace_of(opened, number):
    return Trace.load(opened.runs / f"studio/jobs/{number:06d}-denoise/trace.safetensors")


def where(page):
    return page.get_attribute(".film-track", "aria-valuenow")


def test_run_scrub_rewind_branch_compare_and_copy(visit, opened, picture, accessible):
    page = visit(opened, "#/denoise")
    ask(page, 8, 7)
    page.wait_for_selector(".film-cell[data-drawn] >> nth=1")
    done(page)
    assert page.locator(".film-cell[data-drawn]").count() == 9
    assert where(page) == "8"
    page.focus(".film-track")
    page.keyboard.press("Home")
    assert where(page) == "0"
    page.click(".film-cell >> nth=5")
    assert where(page) == "5"
    for _ in range(2):
        page.keyboard.press("ArrowLeft")
    assert where(page) == "3"
    assert page.url.endswith("step=3")
    # The numbers that the page has are those of the file.
    trace = trace_of(opened, 1)
    assert f"t = {float(trace.times[3]):.3f}" in page.inner_text(".where")
    said = page.get_attribute("demist-curves canvas", "aria-label")
    shown = [float(x) for x in re.findall(r"\d+\.\d+", said)]
    noise, change = trace.eps(3)[0], (trace.x0[3] - trace.x0[2])[0]
    want = [float(x.square().mean().sqrt()) for x in (trace.x[3, 0], trace.x0[3, 0], noise, change)]
    assert shown == pytest.approx(want, abs=6e-4)
    page.click(".branch-card .chip:has(input[value='3'])")
    page.click(".branch-card button.primary")
    page.wait_for_selector("[data-take] >> nth=1")
    done(page)
    page.wait_for_selector("demist-compare[data-rms]")
    branch = trace_of(opened, 2)
    assert np.array_equal(branch.x[:4], trace.x[:4])
    apart = (branch.samples[0] / 255.0 - trace.samples[0] / 255.0).reshape(-1)
    rms = float(page.get_attribute("demist-compare", "data-rms"))
    assert rms == pytest.approx(float(np.sqrt((apart**2).mean())), rel=1e-3)
    assert rms > 0.05
    page.click(".rows button >> nth=5")
    page.evaluate("scrollTo(0, 0)")
    picture(page, "denoise-light")
    accessible(page)
    # What is copied makes the same pixels.
    code = page.inner_text(".code")
    check = "\nimport sys, numpy as np\nnp.save(sys.argv[1], samples)\n"
    file = opened.runs / "samples.npy"
    subprocess.run([sys.executable, "-c", code + check, str(file)], check=True)
    assert np.array_equal(np.load(file), branch.samples)


@pytest.mark.parametrize(("width", "theme"), [(1200, "dark"), (390, "light"), (390, "dark")])
def test_it_fits(visit, opened, picture, accessible, width, theme):
    page = visit(opened, "#/denoise?job=000002-denoise&step=5", width=width, theme=theme)
    page.wait_for_selector("demist-compare[data-rms]")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    picture(page, f"denoise-{theme}-{width}")
    accessible(page)


def test_a_reload_finds_the_job_again_and_cancel_takes_effect_within_a_step(visit, opened):
    page = visit(opened, "#/denoise")
    ask(page, 1000)
    page.wait_for_selector(".film-cell[data-drawn] >> nth=1")
    job = re.search(r"job=(\d+-denoise)", page.url)[1]
    page.reload()
    page.wait_for_selector(".film-cell[data-drawn] >> nth=3")
    assert job in page.url
    assert opened.ask("GET", f"/api/jobs/{job}")[1]["state"] == "running"
    page.click(".status .cancel")
    before = opened.ask("GET", f"/api/jobs/{job}")[1]["step"]
    page.wait_for_selector(".status[data-state=cancelled]")
    found = opened.wait(job, "cancelled")
    assert int(re.search(r"after step (\d+) of 1000", found["message"])[1]) <= before + 2
    assert "trace.safetensors" not in found["files"]
