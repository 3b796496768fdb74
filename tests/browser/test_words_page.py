"""Attention to words on the page Denoise: a map for each word, which follows the step."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from opened import PIXELS, studio

from demist import Trace

sys.path.insert(0, str(Path(__file__).parents[1] / "editing"))
from small import small


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    small().save(runs / "worded")
    replace(small(), facts={"data": "scenes-long"}).save(runs / "strict")
    with studio(runs) as found:
        found.runs = runs
        found.first = found.job(
            kind="denoise",
            settings={"model": "folder-worded", "n": 2, "steps": 4, "cond": {"text": TEXT}},
        )
        found.wait(found.first, "done")
        yield found


TEXT = "a big red three"


def trace_of(opened, job):
    return Trace.load(opened.runs / f"studio/jobs/{job}/trace.safetensors")


def newest(page):
    """The id of the job that is open."""
    return re.search(r"job=(\d+-denoise)", page.url)[1]


def seen(page, where):
    """What a canvas shows as numbers from 0 to 255, by the order of its colours, and its alpha."""
    width, height, *data = page.eval_on_selector(where, PIXELS)
    pixels = np.array(data, np.int64).reshape(height, width, 4)
    table = page.evaluate("import('/lib/colour.js').then(m => [...m.table('viridis')])")
    table = np.array(table, np.int64).reshape(256, 3)
    apart = np.abs(pixels[:, :, None, :3] - table).sum(-1)
    assert apart.min(-1).max() == 0, "every pixel has a colour of the legend"
    return apart.argmin(-1), pixels[..., 3]


def same(page, where, maps, row, step, word):
    """The canvas shows a map of the trace, on the scale of all words and steps of the sample."""
    shown, clear = seen(page, where)
    want = 255 * maps[step, row, word] / maps[:, row].max()
    # Neighbours in the table may have the same colour, so the number is known up to one or two.
    assert np.abs(shown - want.numpy()).max() <= 2
    assert (clear == 255).all()
    return shown


def test_each_word_has_a_map_that_follows_the_step(visit, opened, picture, accessible):
    page = visit(opened, "#/denoise")
    page.wait_for_selector(".word >> nth=3")
    page.select_option(".first-card select[name=model]", "folder-worded")
    page.fill(".first-card input[name=cond-text]", TEXT)
    page.fill(".first-card input[name=n]", "2")
    page.fill(".first-card input[name=steps]", "4")
    page.fill(".first-card input[name=seed]", "5")
    page.click(".first-card button.primary")
    page.wait_for_url("**job=000002-denoise**")
    page.wait_for_selector(".status[data-state=done]", state="attached")
    page.wait_for_selector(".word:not([disabled]) >> nth=3")
    assert page.locator(".word span").all_inner_texts() == TEXT.split()
    assert page.locator(".word[aria-pressed=true]").count() == 0
    assert page.locator(".word-overlay").is_hidden()
    maps = trace_of(opened, newest(page)).attention
    # A word is chosen with the keyboard; its map lies over the prediction.
    page.focus(".word >> nth=2")
    page.keyboard.press("Enter")
    page.wait_for_selector(".word-overlay:visible")
    assert page.get_attribute(".word >> nth=2", "aria-pressed") == "true"
    assert "word=2" in page.url
    drawn = []
    for step in (3, 0, 2):
        page.click(f".film-cell >> nth={step}")
        drawn.append(same(page, ".word-overlay", maps, 0, step, 2))
        for word in (0, 3):
            same(page, f".word >> nth={word} >> canvas", maps, 0, step, word)
        said = page.inner_text(".words-said")
        most = float(re.search(r"at most (\S+) %", said)[1])
        assert most == pytest.approx(100 * float(maps[step, 0, 2].max()), rel=0.06)
        everything = float(re.search(r"get (\S+) % in step", said)[1])
        mean = float(maps[step, 0].sum(0).mean())
        assert everything == pytest.approx(100 * mean, rel=0.06)
    assert not np.array_equal(drawn[0], drawn[1])
    top = float(page.inner_text(".words-most").split()[0])
    assert top == pytest.approx(100 * float(maps[:, 0].max()), rel=0.06)
    assert page.inner_text(".words-scale").endswith("share of attention")
    # The other sample, and the end, where the maps of the last step stay.
    page.click(".rows button >> nth=1")
    same(page, ".word-overlay", maps, 1, 2, 2)
    page.click(".film-cell >> nth=4")
    same(page, ".word-overlay", maps, 1, 3, 2)
    page.evaluate("scrollTo(0, 0)")
    picture(page, "words-light")
    accessible(page)
    # The same word again: it goes.
    page.click(".word >> nth=2")
    page.wait_for_selector(".word-overlay", state="hidden")
    # A branch keeps the maps of the steps that it takes over, if the words stay.
    page.click(".film-cell >> nth=2")
    page.fill(".branch-card input[name=guidance]", "4")
    page.click(".branch-card button.primary")
    page.wait_for_selector("[data-take] >> nth=1")
    page.wait_for_selector(".status[data-state=done]", state="attached")
    page.wait_for_selector(".word:not([disabled]) >> nth=3")
    page.click(".word >> nth=1")
    branch = trace_of(opened, newest(page)).attention
    assert np.array_equal(branch[:2], maps[:2])
    page.click(".film-cell >> nth=1")
    same(page, ".word-overlay", branch, 1, 1, 1)


@pytest.mark.parametrize(("width", "theme"), [(1200, "dark"), (390, "light"), (390, "dark")])
def test_words_fit(visit, opened, picture, accessible, width, theme):
    where = f"#/denoise?job={opened.first}&step=2&word=3"
    page = visit(opened, where, width=width, theme=theme)
    page.wait_for_selector(".word[aria-pressed=true]")
    page.wait_for_selector(".word-overlay:visible")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    frame, over = (
        page.locator(one).bounding_box() for one in ("[data-step] canvas >> nth=1", ".word-overlay")
    )
    assert over == frame, "the map lies on the prediction"
    picture(page, f"words-{theme}-{width}")
    accessible(page)


def test_without_words_nothing_is_shown(visit, opened):
    job = opened.job(kind="denoise", settings={"model": "folder-worded", "n": 1, "steps": 2})
    opened.wait(job, "done")
    page = visit(opened, f"#/denoise?job={job}&word=1")
    page.wait_for_selector(".branch-card:visible")
    assert page.locator("demist-words").is_hidden()
    assert page.locator(".word-overlay").is_hidden()


def test_what_a_job_warns_of_stands_beside_it(visit, opened, picture):
    """A model whose captions have one wording; twice, since a second job is told as the first."""
    settings = {"model": "folder-strict", "n": 1, "steps": 2, "cond": {"text": "three"}}
    jobs = {kind: opened.job(kind=kind, settings=settings) for kind in ("denoise", "generate")}
    for kind, job in jobs.items():
        said = opened.wait(job, "done")["warnings"]
        assert len(said) == 1
        assert said[0].startswith("the prompt 'three' is not understood")
        page = visit(opened, f"#/{kind}?job={job}")
        page.wait_for_selector("demist-warned .note")
        assert said[0][1:] in page.inner_text("demist-warned")
        picture(page, f"warned-{kind}")
