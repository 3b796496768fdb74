"""Making pictures as people do: settings, a queue, a gallery, and recipes that come back."""

import base64
import io
import json
import re

import numpy as np
import pytest
from opened import pixels, until
from PIL import Image, PngImagePlugin
from playwright.sync_api import expect

from demist.measuring import pages
from demist.model import Sampling, open_model


def ready(page):
    page.wait_for_selector(".generate-form input[name=steps]")


def make(page, **values):
    """Fill the form in, press Make, and give the id of the new job when it is shown."""
    ready(page)
    for name, value in values.items():
        if name == "digit":
            page.locator(f".choice input[name=cond-label][value='{value}']").check()
        else:
            page.fill(f".generate-form [name={name}]", str(value))
    with page.expect_response(lambda one: one.request.method == "POST") as answer:
        page.click(".make-row button.primary")
    return answer.value.json()["id"]


def done(page, job):
    page.wait_for_selector(f".now[data-job='{job}'][data-state=done][data-shown='{job}']")


def drop(page, data):
    """Let go of a file over the page."""
    page.evaluate(
        """(text) => {
          const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
          const moved = new DataTransfer();
          moved.items.add(new File([bytes], 'a.png', { type: 'image/png' }));
          const target = document.querySelector('main');
          for (const name of ['dragover', 'drop']) {
            const more = { dataTransfer: moved, bubbles: true, cancelable: true };
            target.dispatchEvent(new DragEvent(name, more));
          }
        }""",
        base64.b64encode(data).decode(),
    )
    page.wait_for_selector(".dropped:visible")


def value(page, name):
    return page.input_value(f".generate-form [name={name}]")


def test_make_and_drop_what_was_made(visit, opened, picture, accessible):
    page = visit(opened, "#/generate")
    job = make(page, steps=5, n=8, digit=7)
    page.wait_for_selector(".now-tile canvas")  # a preview, while it runs
    done(page, job)
    assert page.locator(".now-tile img").count() == 8
    seed = value(page, "seed")
    assert re.fullmatch(r"\d+", seed)
    assert opened.ask("GET", f"/api/jobs/{job}")[1]["settings"]["seed"] == int(seed)
    # Another job has another seed, until it is locked.
    other = make(page, digit=3)
    done(page, other)
    assert value(page, "seed") != seed
    page.click("[data-lock=locked]")
    locked = value(page, "seed")
    third = make(page, steps=4)
    done(page, third)
    assert value(page, "seed") == locked
    # A picture comes back, pixel by pixel.
    wanted = opened.file(job, "image-002.png")
    drop(page, wanted)
    assert page.locator(".dropped tr[data-option=steps]").inner_text().split() == [
        "Steps",
        "4",
        "5",
    ]
    assert page.locator(".dropped tr[data-option=seed]").count() == 1
    picture(page, "generate-dropped")
    accessible(page)
    page.click(".dropped .restore")
    assert value(page, "seed") == seed
    restored = make(page)
    done(page, restored)
    assert np.array_equal(pixels(opened.file(restored, "image-000.png")), pixels(wanted))
    # Everything but the seed.
    drop(page, wanted)
    assert "are those of the picture" in page.inner_text(".dropped")
    page.fill(".generate-form [name=steps]", "9")
    page.click(".dropped .but-seed")
    assert value(page, "steps") == "5"
    expect(page.locator("[data-lock=random]")).to_have_attribute("aria-pressed", "true")


def test_a_picture_of_the_command_line_and_one_without_a_recipe(visit, opened, tmp_path):
    file = tmp_path / "samples.png"
    how = Sampling(steps=4, seed=5, guidance=3.0)
    labels = ["0", "0", "1", "1"]
    pages.sample_page(open_model("digits", device="cpu"), 4, how, labels=labels).save(file)
    page = visit(opened, "#/generate")
    ready(page)
    page.set_input_files("#recipe-file", str(file))
    page.click(".dropped .restore")
    job = make(page)
    done(page, job)
    assert np.array_equal(pixels(opened.file(job, "page.png")), pixels(file.read_bytes()))
    Image.new("L", (8, 8)).save(tmp_path / "plain.png")
    before = list(page.complaints)
    page.set_input_files("#recipe-file", str(tmp_path / "plain.png"))
    expect(page.locator("#notes")).to_contain_text("carries no recipe")
    page.wait_for_timeout(200)
    page.complaints[:] = before  # Chromium itself writes the status 422 into the console


def test_a_grid(visit, opened, picture, accessible):
    page = visit(opened, "#/generate")
    ready(page)
    page.click(".grid-options summary")
    page.select_option("[data-axis=Rows]", "guidance")
    page.fill("[data-values=Rows]", "1, 2, 4")
    page.select_option("[data-axis=Columns]", "label")
    page.fill("[data-values=Columns]", "0, 3, 5, 8")
    assert page.inner_text(".make-row button") == "Make a grid of 12"
    job = make(page, steps=5)
    done(page, job)
    assert page.locator(".now-tile img").count() == 12
    assert page.locator(".axis-label.row").all_inner_texts() == [
        "guidance 1", "guidance 2", "guidance 4",
    ]  # fmt: skip
    assert page.locator(".axis-label.column").all_inner_texts()[3] == "label 8"
    page.evaluate("scrollTo(0, 0)")
    picture(page, "generate-grid")
    accessible(page)
    page.click(".now-tile >> nth=6")
    facts = page.locator(".viewer .facts")
    expect(facts).to_contain_text("Guidance\n2", use_inner_text=True)
    expect(facts).to_contain_text("Label\n5", use_inner_text=True)
    picture(page, "generate-viewer", whole=False)
    accessible(page)
    wanted = opened.file(job, "image-006.png")
    page.click(".viewer .use")
    again = make(page)
    done(page, again)
    assert np.array_equal(pixels(opened.file(again, "image-000.png")), pixels(wanted))


def test_what_is_folded_away_is_named_and_put_back(visit, opened, picture, accessible):
    page = visit(opened, "#/generate")
    ready(page)
    assert page.inner_text("[data-comes=label]") == "1 of each: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9."
    page.fill(".generate-form [name=n]", "4")
    assert page.inner_text("[data-comes=label]") == "4 pictures: 0, 2, 5, 7; not 1, 3, 4, 6, 8, 9."
    page.locator(".choice input[name=cond-label][value='7']").check()
    assert page.is_hidden("[data-comes=label]")
    page.click(".all-options summary")
    page.fill(".generate-form [name=solver]", "ddim")
    page.fill(".generate-form [name=eta]", "0.5")
    page.click(".all-options summary")
    acting = page.locator(".all-options + .acting")
    assert acting.inner_text().split("\n")[0] == "2 set: Solver, Eta"
    job = make(page, steps=3, n=1)
    done(page, job)
    assert opened.ask("GET", f"/api/jobs/{job}")[1]["settings"]["eta"] == 0.5
    page.evaluate("scrollTo(0, 0)")
    picture(page, "generate-folded")
    accessible(page)
    acting.locator("button").click()
    assert acting.is_hidden()
    again = make(page)
    done(page, again)
    assert not {"eta", "solver"} & set(opened.ask("GET", f"/api/jobs/{again}")[1]["settings"])
    # They come back with a picture, and are named then, too.
    drop(page, opened.file(job, "image-000.png"))
    assert "the same weights on the same kind of device" in page.inner_text(".promise")
    page.click(".dropped .restore")
    assert "Solver" in acting.inner_text()
    page.click(".grid-options summary")
    page.select_option("[data-axis=Rows]", "guidance")
    page.click(".grid-options summary")
    grid = page.locator(".grid-options + .acting")
    assert "guidance (no values yet: not used)" in grid.inner_text()
    grid.locator("button").click()
    assert grid.is_hidden()
    # A promise is not made where something is missing.
    other = Image.open(io.BytesIO(opened.file(job, "image-000.png")))
    recipe = json.loads(other.info["demist"])
    recipe["sampling"]["init"] = "photo.png"
    drop(page, with_recipe(recipe))
    assert "so other pixels come out" in page.inner_text(".promise")
    page.click(".dropped .restore")
    expect(page.locator("#notes")).to_contain_text("a picture that it began from")
    expect(page.locator("#notes")).to_contain_text("does not make the same pixels")


def with_recipe(recipe):
    info = PngImagePlugin.PngInfo()
    info.add_text("demist", json.dumps(recipe))
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def test_late_news_of_another_job_is_not_shown(visit, opened):
    """A preview on its way while another job is chosen, and a step after the end."""
    page = visit(opened, "#/generate")
    first = make(page, steps=3, n=2)
    done(page, first)
    second = make(page, steps=400, n=2)
    page.wait_for_selector(f".now[data-job='{second}'] canvas")
    shown = page.evaluate(
        """async ([first, second]) => {
          const page = document.querySelector('demist-generate-page');
          page.heard({type: 'step', job: first, step: 1, of: 3, facts: {}});
          const state = page.jobs.find((one) => one.id === first).state;
          const sheet = page.sheet, real = window.fetch;
          let go; const gate = new Promise((give) => { go = give; });
          window.fetch = async (...all) => {
            if (String(all[0]).includes('slow')) await gate;
            return real(...all);
          };
          page.preview({job: second, name: 'preview.png', version: 'slow'});
          await new Promise((give) => setTimeout(give, 300));
          page.show(first);
          page.drawNow();
          go();
          await new Promise((give) => setTimeout(give, 500));
          window.fetch = real;
          return [state, page.sheet === null];
        }""",
        [first, second],
    )
    assert shown == ["done", True]
    opened.ask("POST", f"/api/jobs/{second}/cancel")
    opened.wait(second, "cancelled")


def test_who_follows_a_job_hears_nothing_that_is_older_than_its_state(visit, opened):
    page = visit(opened, "#/generate")
    ready(page)
    heard = page.evaluate(
        """async () => {
          const real = [window.EventSource, window.fetch], heard = [], job = '000001-edit';
          let answer, source;
          window.EventSource = class { constructor() { source = this; } };
          window.fetch = () => new Promise((give) => { answer = give; });
          const { follow } = await import('/lib/api.js?alone');
          const hear = (event) => heard.push(event.state ?? `${event.type} ${event.step ?? ''}`);
          const tell = (event) => source.onmessage({ data: JSON.stringify({ job, ...event }) });
          const following = follow(job, hear);
          tell({ type: 'step', step: 3 });
          tell({ type: 'step', step: 5 });
          const state = JSON.stringify({ id: job, state: 'running', step: 4 });
          answer(new Response(state, { headers: { 'content-type': 'application/json' } }));
          await following;
          tell({ type: 'done' });
          tell({ type: 'step', step: 5 });
          tell({ type: 'preview' });
          [window.EventSource, window.fetch] = real;
          return heard;
        }"""
    )
    assert heard == ["running", "step 5", "done "]


def test_the_queue(visit, opened, picture, accessible):
    page = visit(opened, "#/generate")
    first = make(page, steps=900, n=4)
    page.wait_for_selector(f"[data-job='{first}'][data-state=running] .when:has-text('left')")
    second, third = make(page, steps=5), make(page, steps=6)
    page.wait_for_selector(f".queue [data-job='{third}']")
    order = page.locator(".queue li").evaluate_all("(all) => all.map((one) => one.dataset.job)")
    assert order == [first, second, third]
    expect(page.locator(f".queue [data-job='{second}'] .when")).to_contain_text("begins in about")
    page.click(f"[data-queue='up-{third}']")
    expect(page.locator(".queue li").nth(1)).to_have_attribute("data-job", third)
    picture(page, "generate-queue")
    accessible(page)
    page.reload()
    page.wait_for_selector(f".queue [data-job='{first}'] .when:has-text('left')")
    expect(page.locator(".queue li").nth(1)).to_have_attribute("data-job", third)
    page.click(f"[data-queue='cancel-{second}']")
    with page.expect_response(f"**/{first}/cancel"):  # from its answer on the server knows
        page.click(f"[data-queue='cancel-{first}']")
    before = opened.ask("GET", f"/api/jobs/{first}")[1]["step"]
    found = opened.wait(first, "cancelled")
    assert int(re.search(r"after step (\d+) of 900", found["message"])[1]) <= before + 2
    assert opened.wait(second, "cancelled")["message"] == "cancelled before it began"
    done(page, third)
    expect(page.locator(".queue-card")).to_be_hidden()


def test_the_gallery(visit, opened, picture, accessible):
    page = visit(opened, "#/generate")
    ready(page)
    job = make(page, steps=4, n=6, digit=8)
    done(page, job)
    tiles = page.locator(".wall .tile")
    expect(tiles.first).to_have_attribute("data-key", f"{job}/image-000.png")
    tiles.first.click()
    page.wait_for_selector(".viewer[open]")
    page.keyboard.press("ArrowRight")
    shown = page.locator(".viewer-picture")
    expect(shown).to_have_attribute("data-key", f"{job}/image-001.png")
    page.keyboard.press("f")
    expect(page.locator(".viewer .heart")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector(f".tile.favourite[data-key='{job}/image-001.png']")
    page.click("[data-filter=favourites]")
    expect(tiles).to_have_count(1)
    page.click("[data-filter=all]")
    # With the keyboard alone.
    tiles.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    at = "document.activeElement.dataset.key"
    assert page.evaluate(at) == f"{job}/image-002.png"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert page.evaluate(at) == f"{job}/image-002.png"
    page.keyboard.press("ArrowUp")  # there is no row above
    assert page.evaluate(at) == f"{job}/image-002.png"
    page.keyboard.press("Delete")
    expect(page.locator(f".tile[data-key='{job}/image-002.png']")).to_have_count(0)
    assert page.evaluate(at) == f"{job}/image-003.png"
    page.keyboard.press("c")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("c")
    page.wait_for_selector("demist-compare[data-rms]")
    a, b = (pixels(opened.file(job, f"image-{i:03d}.png")) / 255 for i in (3, 1))
    rms = float(page.get_attribute("demist-compare", "data-rms"))
    assert rms == pytest.approx(float(np.sqrt(((a - b) ** 2).mean())), rel=1e-3)
    page.evaluate("scrollTo(0, 0)")
    picture(page, "generate-light")
    accessible(page)
    page.click("[data-filter=bin]")
    thrown = page.locator(f".tile[data-key='{job}/image-002.png']")
    until(lambda: thrown.locator("img").evaluate("image => image.complete"))  # before it moves
    thrown.focus()
    page.keyboard.press("Delete")  # in the bin it brings back
    page.click("[data-filter=all]")
    page.wait_for_selector(f".tile[data-key='{job}/image-002.png']")
    # A whole job goes away and comes back.
    page.locator(f".tile[data-key='{job}/image-000.png']").click()
    page.wait_for_selector(f".viewer-picture[data-key='{job}/image-000.png']")
    whole = "document.querySelector('.viewer-picture').complete"
    until(lambda: page.evaluate(whole))  # what is under way would ask a job that has gone
    page.click("text=Whole job to the bin")
    expect(page.locator(f".tile[data-key='{job}/image-000.png']")).to_have_count(0)
    page.click("[data-filter=bin]")
    page.get_by_role("button", name=f"Restore job {int(job.split('-')[0])}").click()
    page.click("[data-filter=all]")
    page.wait_for_selector(f".tile[data-key='{job}/image-000.png']")


@pytest.mark.parametrize(("width", "theme"), [(1200, "dark"), (390, "light"), (390, "dark")])
def test_it_fits(visit, opened, picture, accessible, width, theme):
    page = visit(opened, "#/generate", width=width, theme=theme)
    ready(page)
    page.wait_for_selector(".wall .tile img")
    page.click(".all-options summary")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    picture(page, f"generate-{theme}-{width}")
    accessible(page)
