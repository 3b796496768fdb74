"""The microscope as people use it: run, scrub, go back, branch, compare, copy, reload, cancel."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw

from demist import Trace
from demist.editing import round_trip


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
    with page.expect_response("**/cancel"):  # from its answer on the server knows
        page.click(".status .cancel")
    before = opened.ask("GET", f"/api/jobs/{job}")[1]["step"]
    page.wait_for_selector(".status[data-state=cancelled]")
    found = opened.wait(job, "cancelled")
    assert int(re.search(r"after step (\d+) of 1000", found["message"])[1]) <= before + 2
    assert "trace.safetensors" not in found["files"]


def drawn(opened):
    """A picture of one's own: a seven, larger than the model's and in colour."""
    picture = Image.new("RGB", (112, 112))
    pen = ImageDraw.Draw(picture)
    pen.line([(32, 30), (80, 30), (54, 92)], (255, 255, 255), 11, joint="curve")
    picture.save(opened.runs / "seven.png")
    return str(opened.runs / "seven.png")


def newest(page):
    """The number of the job that is open."""
    return int(re.search(r"job=(\d+)-denoise", page.url)[1])


def test_a_picture_of_ones_own_is_inverted_and_comes_back(visit, opened, picture, accessible):
    page = visit(opened, "#/denoise")
    page.click(".first-card summary")
    page.set_input_files(".first-card input[name=picture]", drawn(opened))
    page.check(".first-card input[name=invert]")
    assert page.locator(".first-card input[name=start]").is_disabled()
    ask(page, 20, 7)
    done(page)
    first = newest(page)
    page.wait_for_selector(".journey:has-text('from data to noise')")
    assert page.inner_text(".film-ends").split() == ["data", "to", "noise"]
    up = trace_of(opened, first)
    assert up.rising
    assert up.n == 1
    assert where(page) == "20"
    page.evaluate("scrollTo(0, 0)")
    picture(page, "denoise-inverted")
    # Back as it was: the numbers on the page are those of the files.
    assert page.inner_text(".branch-card button.primary") == "Come back from here"
    page.click(".branch-card button.primary")
    page.wait_for_selector("[data-take] >> nth=1")
    done(page)
    page.wait_for_selector(".journey:has-text('nothing changed')")
    down = trace_of(opened, newest(page))
    assert np.array_equal(down.x[0], up.x[-1])
    error = float(re.search(r"square (\S+) from", page.inner_text(".journey"))[1])
    assert error == pytest.approx(float(round_trip(up, down)[0]), rel=0.06)
    assert error < 0.05
    assert page.inner_text(".film-ends").split() == ["noise", "to", "data"]
    page.wait_for_selector("demist-compare[data-rms]")
    # Back from the middle as another class.
    page.click("[data-take] >> nth=0")
    page.click(".film-cell >> nth=12")
    assert page.inner_text(".branch-card h2") == "Come back from step 12"
    page.click(".branch-card .chip:has(input[value='1'])")
    page.click(".branch-card button.primary")
    page.wait_for_selector("[data-take] >> nth=2")
    page.wait_for_selector(".journey:has-text('with a change')")
    other = trace_of(opened, newest(page))
    assert other.steps == 12
    assert np.array_equal(other.x[0], up.x[12])
    page.evaluate("scrollTo(0, 0)")
    picture(page, "denoise-back")
    accessible(page)
    code = page.inner_text(".code")
    assert "inversion(pipeline, init[None]" in code
    assert "returned(pipeline, trace, 12" in code
    check = "\nimport sys, numpy as np\nnp.save(sys.argv[1], samples)\n"
    file = opened.runs / "back.npy"
    subprocess.run([sys.executable, "-c", code + check, str(file)], check=True)
    assert np.array_equal(np.load(file), other.samples)


@pytest.mark.parametrize(("width", "theme"), [(1200, "dark"), (390, "light")])
def test_an_inversion_fits(visit, opened, picture, accessible, width, theme):
    page = visit(opened, "#/denoise", width=width, theme=theme)
    page.wait_for_selector(".journey:visible")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    picture(page, f"denoise-back-{theme}-{width}")
    accessible(page)


def test_samples_are_inverted_a_part_is_painted_and_a_finger_scrubs(visit, opened, picture):
    page = visit(opened, "#/denoise", width=390)
    page.wait_for_selector(".first-card .chip >> nth=5")
    page.fill(".first-card input[name=n]", "2")
    ask(page, 10, 3)
    done(page)
    root = trace_of(opened, newest(page))
    touch = page.context.new_cdp_session(page)
    touch.send("Emulation.setTouchEmulationEnabled", {"enabled": True})

    def finger(kind, x=None, y=None):
        points = [] if x is None else [{"x": x, "y": y}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def stroke(box, begin, end):
        ends = [
            (box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in (begin, end)
        ]
        finger("touchStart", *ends[0])
        for k in range(1, 9):
            part = [a + (b - a) * k / 8 for a, b in zip(*ends, strict=True)]
            finger("touchMove", *part)
        finger("touchEnd")

    film = page.locator(".film-track")
    film.scroll_into_view_if_needed()
    assert where(page) == "10"
    stroke(film.bounding_box(), (0.9, 0.5), (0.4, 0.5))
    assert 3 <= int(where(page)) <= 7, "half of the film to the left"
    # Paint the upper half with a finger, then branch: it stays.
    page.click(".branch-card button:has-text('Paint')")
    canvas = page.locator(".keep")
    canvas.scroll_into_view_if_needed()
    for row in (0.05, 0.17, 0.29):
        stroke(canvas.bounding_box(), (0.02, row), (0.98, row))
    page.wait_for_selector(".branch-card button:has-text('A part is kept')")
    picture(page, "denoise-painted-390", whole=False)
    page.click(".branch-card .chip:has(input[value='0'])")
    page.click(".branch-card button.primary")
    page.wait_for_selector("[data-take] >> nth=1")
    done(page)
    kept = trace_of(opened, newest(page))
    assert np.array_equal(kept.samples[:, :, :8], root.samples[:, :, :8])
    assert not np.array_equal(kept.samples[:, :, 14:], root.samples[:, :, 14:])
    page.click(".invert-card button")
    page.wait_for_selector("[data-take] >> nth=2")
    page.wait_for_selector(".journey:has-text('from data to noise')")
    up = trace_of(opened, newest(page))
    assert up.rising
    assert np.array_equal(up.x[0], kept.x[-1])
    assert up.facts["cond"] == kept.facts["cond"]
