"""The brush as people use it: bring a picture, paint, make variants, go on from one."""

import io
import re
import shlex

import numpy as np
import pytest
from opened import until
from PIL import Image

from demist import cli
from demist.data.images.decode import read_image
from demist.editing.masks import of_states
from demist.editing.sheet import Sheet


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return {"name": "picture.png", "mimeType": "image/png", "buffer": file.getvalue()}


def bring(page, pixels):
    """Choose a picture."""
    page.wait_for_selector("select[name=model] option", state="attached")
    page.set_input_files(".picture-file", png(pixels))
    page.wait_for_selector(f".caption:has-text('{pixels.shape[1]} × {pixels.shape[0]} pixels')")


def mask(page):
    """The mask that is painted."""
    found = page.evaluate(
        "() => { const {data, width, height} = document.querySelector('demist-mask').mask;"
        " return [[...data], width, height]; }"
    )
    return np.array(found[0], np.uint8).reshape(found[2], found[1])


def place(page, x, y):
    """Where on the screen a point of the picture is."""
    box, *at = page.evaluate(
        "() => { const m = document.querySelector('demist-mask'), b = m.getBoundingClientRect();"
        " return [[b.left, b.top], m.left + m.margins.left * m.scale,"
        " m.top + m.margins.top * m.scale, m.scale]; }"
    )
    return box[0] + at[0] + x * at[2], box[1] + at[1] + y * at[2]


def drag(page, *points):
    """Draw through points of the picture."""
    page.mouse.move(*place(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*place(page, *point), steps=4)
    page.mouse.up()


def tool(page, name):
    page.click(f".tool[data-tool={name}]")


def job_of(page):
    """The job that is open, as the address has it now."""
    found = re.search(r"job=([\w-]+)", page.evaluate("location.href"))
    return found and found[1]


def make(page, opened):
    """Make the variants; the folder of the job."""
    before = job_of(page)
    page.click(".edit-form button.primary")
    until(lambda: job_of(page) != before)
    page.wait_for_selector(f".results[data-job='{job_of(page)}'][data-state=done]")
    return opened.runs / "studio/jobs" / job_of(page)


def of(folder, k):
    return read_image(str(folder / f"edited-{k}.png"), 1, None)[0]


def test_paint_undo_and_make_variants(visit, opened, seven, picture, accessible, tmp_path):
    page = visit(opened, "#/edit", height=1000)
    page.wait_for_selector(".edit-form .chips")
    picture(page, "edit-empty")
    accessible(page)
    bring(page, seven)
    assert page.is_disabled(".edit-form button.primary")
    # A stroke is what lies within the radius of its line.
    page.fill(".sliders input >> nth=0", "5")
    drag(page, (8.5, 20.5), (18.5, 20.5))
    rows, columns = np.mgrid[:28, :28] + 0.5
    away = np.hypot(columns - np.clip(columns, 8.5, 18.5), rows - 20.5)
    stroke = np.where(away <= 2.5, 255, 0)
    assert (mask(page) != stroke).mean() < 0.01
    once = mask(page)
    tool(page, "lasso")
    drag(page, (4, 4), (12, 4), (12, 12), (4, 12))
    both = mask(page)
    assert (both[4:12, 4:12] == 255).all()
    assert (both > once).sum() == 64
    tool(page, "rectangle")
    drag(page, (20.2, 2.2), (24.8, 5.5))
    assert (mask(page)[2:6, 20:25] == 255).all()
    page.focus("demist-mask")
    page.keyboard.press("Control+z")
    assert np.array_equal(mask(page), both)
    page.keyboard.press("Control+Shift+Z")
    assert (mask(page)[2:6, 20:25] == 255).all()
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    assert np.array_equal(mask(page), once)
    page.keyboard.press("i")
    assert np.array_equal(mask(page), 255 - once)
    page.keyboard.press("i")
    # The eraser, soft: greys.
    page.keyboard.press("e")
    page.fill(".sliders input >> nth=1", "0")
    drag(page, (17.5, 20.5), (18.5, 20.5))
    soft = mask(page)
    assert ((soft > 0) & (soft < 255)).any()
    assert "with greys" in page.inner_text(".caption")
    # Out and in again.
    with page.expect_download() as coming:
        tool(page, "save")
    coming.value.save_as(tmp_path / "mask.png")
    assert np.array_equal(read_image(str(tmp_path / "mask.png"), 1, None)[0], soft)
    page.keyboard.press("Delete")
    tool(page, "clear")
    assert not mask(page).any()
    page.set_input_files(".tools input[type=file]", tmp_path / "mask.png")
    until(lambda: np.array_equal(mask(page), soft))
    # A typed box.
    page.fill(".box", "0, 22, 28, 6")
    page.keyboard.press("Enter")
    painted = mask(page)
    assert (painted[22:] == 255).all()
    picture(page, "edit-painted")
    page.click(".edit-form .chip:has(input[name=edit-label][value='3'])")
    page.fill("input[name=steps]", "6")
    folder = make(page, opened)
    for k in (1, 2, 3, 4):
        assert np.array_equal(of(folder, k)[painted == 0], seven[painted == 0])
    assert (of(folder, 1) != of(folder, 2)).any()
    until(lambda: "edited-1.png" in (page.get_attribute("demist-mask", "data-after") or ""))
    page.click(".variants button >> nth=1")
    until(lambda: "edited-2.png" in page.get_attribute("demist-mask", "data-after"))
    page.keyboard.press("3")
    assert (
        page.get_attribute("[data-view=compare]", "aria-pressed") == "false"
    )  # keys are the stage's
    page.click("[data-view=compare]")
    page.fill(".border", "40")
    assert page.evaluate("document.querySelector('demist-mask').border") == pytest.approx(0.4)
    page.focus("demist-mask")
    page.keyboard.press("ArrowRight")
    assert page.input_value(".border") == "45"
    page.evaluate("scrollTo(0, 0)")
    picture(page, "edit-light")
    accessible(page)
    # What is copied makes the same pixels.
    command = shlex.split(page.inner_text(".edit-command .code"))
    out = tmp_path / "again.png"
    cli.main([*command[1:-1], str(out)])
    for k in (1, 2, 3, 4):
        again = read_image(str(out.with_stem(f"again-{k}")), 1, None)[0]
        assert np.array_equal(again, of(folder, k))
    # One goes on from a variant, and the mask stays.
    page.click(".go-on")
    page.wait_for_selector(".sources:has-text('Variant 2 of edit')")
    assert np.array_equal(mask(page), painted)
    second = make(page, opened)
    assert np.array_equal(of(second, 1)[painted == 0], of(folder, 2)[painted == 0])
    page.click("text=Back to the picture before")
    page.wait_for_selector(".sources:has-text('Your picture')")


def test_zoom_and_pan_paint_where_one_looks(visit, opened, seven):
    page = visit(opened, "#/edit")
    bring(page, seven)
    fit = page.inner_text(".zooms output")
    page.mouse.move(*place(page, 14, 14))
    page.mouse.wheel(0, -600)
    until(lambda: page.inner_text(".zooms output") != fit)
    page.focus("demist-mask")
    page.keyboard.press("h")
    before = place(page, 14, 14)
    drag(page, (14, 14), (12, 13))
    after = place(page, 14, 14)
    assert after != before
    assert not mask(page).any()
    page.keyboard.press("r")
    drag(page, (13.2, 13.2), (14.8, 14.8))
    assert mask(page).astype(bool).sum() == 4
    assert (mask(page)[13:15, 13:15] == 255).all()
    page.keyboard.press("0")
    assert page.inner_text(".zooms output") == fit
    # Two fingers move the picture, and what the first one drew is not meant.
    page.evaluate(
        """() => { const m = document.querySelector('demist-mask'), b = m.getBoundingClientRect();
          m.setPointerCapture = () => {};
          const tell = (type, id, x, y) => m.dispatchEvent(new PointerEvent(type, {pointerId: id,
            clientX: b.left + x, clientY: b.top + y, bubbles: true, pointerType: 'touch'}));
          m.set({tool: 'brush'});
          tell('pointerdown', 1, 200, 200); tell('pointermove', 1, 220, 200);
          tell('pointerdown', 2, 300, 200); tell('pointermove', 2, 380, 200);
          tell('pointerup', 1, 220, 200); tell('pointerup', 2, 380, 200); }"""
    )
    assert mask(page).astype(bool).sum() == 4
    assert page.inner_text(".zooms output") != fit


@pytest.mark.parametrize(("size", "near"), [((28, 28), False), ((45, 70), False), ((45, 70), True)])
def test_the_mask_as_the_network_sees_it(visit, opened, size, near):
    """Number by number, also in states that are smaller than the model's images."""
    pixels = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    page = visit(opened, "#/edit")
    bring(page, pixels)
    page.fill(".box", f"{size[1] // 3}, 8, 9, 7")
    page.keyboard.press("Enter")
    for soft in (False, True):
        if soft:
            page.fill(".sliders input >> nth=1", "20")
            drag(page, (6, 6), (20, 18))
        if near:
            page.evaluate("document.querySelector('details').open = true")
            page.check("input[name=only-masked]")
            page.fill("input[name=padding]", "3")
        for state in ((28, 28), (7, 7), (9, 14)):
            page.evaluate(
                "(state) => { const p = document.querySelector('demist-edit-page');"
                " p.facts.get('model-digits').state = state; p.network = true; p.follow(); }",
                list(state),
            )
            found = page.evaluate("[...document.querySelector('demist-mask').shown.values]")
            values = mask(page) / np.float32(255)
            image = pixels[None]
            sheet = Sheet.around(image, values, 3, (28, 28)) if near else Sheet.whole(image, values)
            right = of_states(sheet.anew((28, 28))[None], (1, *state))[0, 0].numpy()
            assert np.abs(np.array(found) - right.reshape(-1)).max() < 1e-6


def test_outpaint_vary_and_what_the_model_draws(visit, opened, picture, accessible, seven):
    page = visit(opened, "#/edit", height=1000)
    page.wait_for_selector("select[name=model] option", state="attached")
    page.fill("input[name=steps]", "4")
    page.click(".edit-form .chip:has(input[name=edit-label][value='5'])")
    page.click(".nothing .draw")
    page.wait_for_selector(".sources:has-text('Variant 1 of edit')")
    page.click(".variants button >> nth=2")
    page.wait_for_selector(".sources:has-text('Variant 3 of edit')")
    drawn = of(opened.runs / "studio/jobs" / job_of(page), 3)
    page.click(".modes .chip:has-text('Outpaint')")
    assert page.is_disabled(".edit-form button.primary")
    page.fill("input[name=right]", "14")
    page.fill("input[name=top]", "6")
    assert "42 × 34 pixels" in page.inner_text(".caption")
    page.focus("demist-mask")
    page.keyboard.press("g")
    assert "the network sees 28 × 28" in page.inner_text(".caption")
    picture(page, "edit-outpaint-network")
    page.keyboard.press("g")
    folder = make(page, opened)
    assert of(folder, 1).shape == (34, 42)
    assert np.array_equal(of(folder, 1)[6:, :28], drawn)
    assert "42x34 pixels of the image are resized" in page.inner_text(".said")
    page.click("[data-view=compare]")
    picture(page, "edit-outpaint")
    accessible(page)
    page.click(".modes .chip:has-text('Vary')")
    assert page.input_value("input[name=strength]") == "0.6"
    page.fill("input[name=n]", "1")
    page.click(".edit-form button.primary")
    page.wait_for_selector(".variants button >> nth=1", state="detached")
    page.wait_for_selector(".results[data-state=done]")
    job = job_of(page)
    made = read_image(str(opened.runs / f"studio/jobs/{job}/edited.png"), 1, None)[0]
    assert made.shape == drawn.shape
    assert (made != drawn).any()
    assert page.locator(".modes input[value=instruct]").is_disabled()


def test_a_reload_finds_the_job_and_the_mask_again_and_cancel_works(visit, opened, seven):
    page = visit(opened, "#/edit")
    bring(page, seven)
    page.fill(".box", "4, 4, 12, 12")
    page.keyboard.press("Enter")
    painted = mask(page)
    page.fill("input[name=steps]", "1000")
    page.click(".edit-form button.primary")
    page.wait_for_selector(".variants button[data-url] >> nth=3")
    page.reload()
    page.wait_for_selector(".results[data-state=running]")
    until(lambda: np.array_equal(mask(page), painted))
    assert page.input_value("input[name=steps]") == "1000"
    page.click(".results .cancel")
    page.wait_for_selector(".results[data-state=cancelled]")
    job = job_of(page)
    found = opened.wait(job, "cancelled")
    assert re.search(r"after step \d+ of 1000", found["message"])
    assert not [name for name in found["files"] if name.startswith("edited")]


def test_what_is_painted_and_said_comes_back_after_a_visit_elsewhere(visit, opened, seven, picture):
    page = visit(opened, "#/edit")
    bring(page, seven)
    page.fill(".sliders input >> nth=1", "20")
    drag(page, (6, 6), (20, 18))
    page.fill(".box", "0, 22, 28, 6")
    page.keyboard.press("Enter")
    painted = mask(page)
    assert ((painted > 0) & (painted < 255)).any()
    page.click(".edit-form .chip:has(input[name=edit-label][value='3'])")
    page.fill("input[name=steps]", "7")
    page.click(".edit-form summary")
    page.fill("input[name=blend]", "2")
    page.select_option("select[name=solver]", "heun")

    def same():
        page.wait_for_selector(".sources:has-text('Your picture')")
        until(lambda: np.array_equal(mask(page), painted))
        assert page.input_value("input[name=steps]") == "7"
        assert page.input_value("input[name=blend]") == "2"
        assert page.input_value(".box") == "0, 22, 28, 6"
        assert page.is_checked("input[name=edit-label][value='3']")
        assert page.inner_text(".edit-form .acting").split("\n")[0] == "2 set: solver, seam"

    page.click("#nav a:has-text('River')")
    page.wait_for_selector("demist-edit-page", state="detached")
    page.click("#nav a:has-text('Edit')")
    same()
    page.reload()
    same()
    picture(page, "edit-back-again")
    page.click(".edit-form .put-back")
    assert page.input_value("input[name=blend]") == "0"
    assert page.input_value("select[name=solver]") == ""
    assert page.is_hidden(".edit-form .acting")
    folder = make(page, opened)
    assert np.array_equal(of(folder, 1)[painted == 0], seven[painted == 0])
    # With a job, and more painted since: what is newer comes back.
    page.click("[data-view=mask]")
    page.fill(".box", "0, 0, 5, 5")
    page.keyboard.press("Enter")
    painted = mask(page)
    page.goto(page.url.split("#")[0] + "#/runs")
    page.wait_for_selector("demist-edit-page", state="detached")
    page.click("#nav a:has-text('Edit')")
    page.wait_for_selector(f".results[data-job='{folder.name}'][data-state=done]")
    until(lambda: np.array_equal(mask(page), painted))


@pytest.mark.parametrize(
    ("width", "theme"), [(1200, "light"), (1200, "dark"), (390, "light"), (390, "dark")]
)
def test_it_fits(visit, opened, picture, accessible, seven, width, theme):
    page = visit(opened, "#/edit", width=width, theme=theme)
    bring(page, seven)
    page.fill(".box", "2, 15, 24, 13")
    page.keyboard.press("Enter")
    page.click(".edit-form .chip:has(input[name=edit-label][value='8'])")
    height = page.evaluate("document.querySelector('.stage-card').offsetHeight")
    make(page, opened)
    page.click(".variants button >> nth=2")
    until(lambda: "edited-3.png" in (page.get_attribute("demist-mask", "data-after") or ""))
    page.click("[data-view=compare]")
    assert page.evaluate("document.querySelector('.stage-card').offsetHeight") == height
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("scrollTo(0, 0)")
    picture(page, f"edit-{theme}-{width}")
    if (width, theme) == (1200, "light"):  # the one of the docs
        page.set_viewport_size({"width": 1200, "height": 1366})
        drawn = "(({canvas, clientHeight}) => [canvas.height, clientHeight])"
        drawn += "(document.querySelector('demist-mask'))"
        until(lambda: len(set(page.evaluate(drawn))) == 1)
        picture(page, "studio-edit", whole=False)
    accessible(page)


def test_what_goes_wrong_is_said(visit, opened, seven):
    page = visit(opened, "#/edit")
    page.wait_for_selector("select[name=model] option", state="attached")
    page.set_input_files(
        ".picture-file", {"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    page.wait_for_selector(".notes .bad:has-text('no picture')")
    bring(page, seven)
    page.fill(".box", "1, 2, three")
    page.keyboard.press("Enter")
    page.wait_for_selector(".notes .bad:has-text('in whole pixels')")
    page.complaints[:] = [one for one in page.complaints if "422" not in one]
