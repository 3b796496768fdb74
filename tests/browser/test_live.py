"""Elements of the studio in pages of the site, opened from a file."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from demist import Pipeline, course, zoo
from demist.errors import UsageError

SITE = Path(__file__).parents[2] / "docs" / "site"
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>live</title>
<link rel="stylesheet" href="studio.css"><link rel="stylesheet" href="site.css"></head>
<body data-theme="light"><main>{}</main><script src="studio.js"></script></body></html>"""


def elements():
    trace = Pipeline.load(zoo.locate("digits")).trace(n=1, label="8", steps=4, seed=3)
    white = np.zeros((1, 8, 8), np.uint8)
    white[:, :, 4:] = 255
    return [
        course.live("river", "Paths flow from noise to the number.", data=[2, 8], paths=9,
                    controls=["steps", "solver", "schedule"], page="river?data=2,8"),
        course.live("field", "Arrows of the score around two moons.", **{"class": "1"},
                    particles=40, steps=10, controls=["class", "scale"]),
        course.live("filmstrip", "A digit comes out of noise in four steps.", trace=trace),
        course.live("compare", "The same picture, once turned round.", a=white,
                    b=white[:, :, ::-1].copy(), names=["one", "other"]),
        course.live("curve", "A line that falls from one to zero.", x=np.arange(5),
                    lines=[{"y": [1, 0.5, 0.3, 0.1, 0], "label": "loss"}], yLabel="loss"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("site_elements", SITE / "elements.py")
    studio = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(studio)
    place = tmp_path_factory.mktemp("site")
    (place / "studio.js").write_text(studio.script(SITE / "live.js"))
    (place / "studio.css").write_text(studio.styles())
    (place / "site.css").write_text((SITE / "static" / "site.css").read_text())
    (place / "page.html").write_text(PAGE.format("".join(one._repr_html_() for one in elements())))
    return place / "page.html"


@pytest.mark.parametrize("width", [1000, 390])
def test_elements_of_the_studio_are_shown_from_a_file(
    chromium, page_file, width, picture, accessible
):
    complaints = []
    context = chromium.new_context(
        viewport={"width": width, "height": 900}, reduced_motion="reduce"
    )
    page = context.new_page()
    page.complaints = complaints
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: asked.url.startswith("http") and complaints.append(asked.url))
    page.goto(page_file.as_uri())

    handles = page.locator("demist-river [role=slider]")
    expect(handles).to_have_count(2)
    handles.first.press("ArrowUp")
    expect(handles.first).to_have_attribute("aria-valuetext", "2.1")
    page.click("text=Add a number")
    expect(handles).to_have_count(3)
    expect(page.locator("figcaption").first).to_contain_text(
        "demist studio --page 'river?data=2,8'"
    )

    field = page.locator("demist-field")
    page.select_option(".live-box:has(demist-field) select", "all")
    expect(field.locator("canvas")).to_be_visible()
    field.locator(".probe").press("ArrowLeft")

    cells = page.locator("demist-filmstrip .film-cell")
    expect(cells).to_have_count(5)
    assert page.locator("demist-filmstrip .film-cell canvas").count() == 10
    page.locator("demist-filmstrip [role=slider]").press("Home")
    noisy = page.locator(".live-large canvas").first
    expect(noisy).to_have_attribute("aria-label", "noisy state, step 0 of 4, time t = 1.00")

    expect(page.locator("demist-compare")).to_have_attribute("data-rms", "1")
    expect(page.locator("demist-curve .legend")).to_contain_text("loss")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    picture(page, f"live-{width}")

    light = page.evaluate("getComputedStyle(document.querySelector('.live-box')).backgroundColor")
    page.evaluate("document.body.dataset.theme = 'dark'")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    dark = page.evaluate("getComputedStyle(document.querySelector('.live-box')).backgroundColor")
    assert light != dark
    accessible(page)
    assert complaints == []
    context.close()


def test_elements_that_are_not_there_are_named():
    with pytest.raises(UsageError, match="there is no element 'lake'; there are river"):
        course.live("lake", "A lake that is not there.")
