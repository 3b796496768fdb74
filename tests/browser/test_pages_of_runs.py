"""The frame of the page and the page of runs, as people see them."""

import math
import signal

import numpy as np
import pytest
from opened import studio
from PIL import Image

from demist import runs
from demist.config import TrainConfig, update
from demist.modalities import load
from demist.training.run import train


def until(page, script):
    """Wait for something to be true; `wait_for_function` would be stopped by the page's policy."""
    for _ in range(600):
        if page.evaluate(script):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never came true: {script}")


WIDTHS = [(1200, "light"), (1200, "dark"), (390, "light"), (390, "dark")]


def invented(root, name, steps=3000):
    """A run as a trainer leaves it, with curves that a formula makes."""
    config = update(TrainConfig(), {"path": "digits", "lr": 1e-3, "size": 28, "name": name})
    run = runs.create(root, name, config)
    run.write_status(
        "done", step=steps, progress=1.0, seconds=612.0, images=64 * steps, started=runs.now()
    )
    log = runs.MetricsLog(run.metrics)
    middle = [(a + b) / 2 for a, b in zip(runs.LEVELS, runs.LEVELS[1:], strict=False)]
    for step in range(20, steps + 1, 20):
        u = step / steps
        noise = 1 + 0.08 * math.sin(12.9898 * step) * math.sin(78.233 * step)
        fall = 0.12 + 0.9 * math.exp(-step / 260)
        levels = [
            None if abs(m) > 10 else round(fall * noise * math.exp(-((m - 2 * u) ** 2) / 40), 5)
            for m in middle
        ]
        log.append(
            step=step, loss=fall * noise, grad_norm=0.9 * fall * noise**3, seconds=612 * u,
            lr=1e-3 * min(1, step / 200) * (1 + math.cos(math.pi * u)) / 2, images=64 * step,
            images_per_second=310 + 8 * noise, waiting=0.004, loss_by_level=levels,
        )  # fmt: skip
    log.close()
    x = load("digits").x[:40, 0].reshape(4, 10, 28, 28).swapaxes(1, 2).reshape(112, 280)
    noise = np.random.default_rng(0).normal(128, 60, x.shape)
    for k in range(8):
        mixed = x * (k / 7) + noise * (1 - k / 7)
        picture = Image.fromarray(mixed.clip(0, 255).astype(np.uint8))
        picture.resize((840, 336), Image.Resampling.NEAREST).save(run.image(steps * (k + 1) // 8))
    return run


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    invented(root, "digits")
    invented(root, "digits-longer", 6000)
    small(root)
    with studio(root) as one:
        yield one


@pytest.mark.parametrize(("width", "theme"), WIDTHS)
def test_the_table(opened, visit, accessible, picture, width, theme):
    page = visit(opened, "#/runs", width, theme)
    page.get_by_role("link", name="digits-longer").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    accessible(page)
    picture(page, f"runs-{theme}-{width}")


@pytest.mark.parametrize(("width", "theme"), WIDTHS)
def test_one_run(opened, visit, accessible, picture, width, theme):
    page = visit(opened, "#/runs/0001-digits", width, theme, height=1480 if width > 390 else 860)
    page.get_by_role("heading", name="Loss by noise level").wait_for()
    until(page, "document.querySelector('demist-strip img')?.naturalWidth > 0")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shown = page.locator("demist-curve").first.get_by_text("smoothed")
    assert shown.count() == 1
    accessible(page)
    picture(page, f"run-{theme}-{width}")
    if (width, theme) == (1200, "light"):
        picture(page, "studio-run", whole=False)


def test_the_learning_is_scrubbed_and_played(opened, visit):
    page = visit(opened, "#/runs/0001-digits")
    strip = page.locator("demist-strip")
    strip.get_by_text("after 3,000 steps").wait_for()
    strip.get_by_role("slider").focus()
    page.keyboard.press("ArrowLeft")
    strip.get_by_text("after 2,625 steps").wait_for()
    page.keyboard.press("Home")
    strip.get_by_text("after 375 steps").wait_for()
    strip.get_by_role("button", name="Play").click()
    strip.get_by_text("after 1,125 steps").wait_for()
    strip.get_by_role("button", name="Pause").click()


def test_curves_are_read_with_the_keyboard(opened, visit):
    page = visit(opened, "#/runs/0001-digits")
    curve = page.locator("demist-curve").first
    curve.get_by_text("step 3,000").wait_for()
    curve.locator("canvas").focus()
    page.keyboard.press("ArrowLeft")
    curve.get_by_text("step 2,980").wait_for()


def test_options_against_another_run(opened, visit):
    page = visit(opened, "#/runs/0001-digits")
    page.get_by_role("combobox").select_option("0002-digits-longer")
    page.get_by_role("columnheader", name="0002-digits-longer").wait_for()
    row = page.get_by_role("row", name="name")
    assert row.locator("td").all_inner_texts() == ["digits-longer", "digits"]


def test_what_the_loader_delivers(opened, visit, picture):
    page = visit(opened, "#/runs/0001-digits")
    card = page.locator("section", has=page.get_by_role("heading", name="What the data loader"))
    card.get_by_role("button", name="Show").click()
    card.get_by_role("img").wait_for()
    until(
        page, "document.querySelector('img[alt^=\"Items of the first batch\"]')?.naturalWidth > 300"
    )
    picture(page, "run-delivered")


def small(root):
    """A run that has learned next to nothing, on points of which some are held out."""
    x = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    np.save(root / "points.npy", x)
    options = {
        "path": str(root / "points.npy"), "steps": 3, "network": "mlp", "width": 16, "depth": 1,
        "name": "points", "runs": str(root),
    }  # fmt: skip
    train(update(TrainConfig(), options), quiet=True)


@pytest.mark.parametrize(("width", "theme"), WIDTHS)
def test_nearest_training_items(opened, visit, accessible, picture, width, theme):
    page = visit(opened, "#/runs/0003-points", width, theme)
    card = page.get_by_role("region", name="Nearest training items")
    card.get_by_role("button", name="Compare").click()
    card.get_by_text("64 samples after 3 steps, each against all 270 items").wait_for()
    card.get_by_text("So were 30 held-out items").wait_for()
    assert card.get_by_role("row").count() == 9
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    accessible(page)
    picture(page, f"run-nearest-{theme}-{width}")


def test_the_theme_can_be_switched_and_stays(opened, visit):
    page = visit(opened, "#/runs")
    button = page.get_by_role("button", name="Colours")
    colour = "getComputedStyle(document.body).backgroundColor"
    system = page.evaluate(colour)
    button.click()
    assert page.evaluate(colour) == system
    button.click()
    dark = page.evaluate(colour)
    assert dark != system
    page.reload()
    assert page.evaluate(colour) == dark


def test_keys_reach_everything(opened, visit):
    page = visit(opened, "#/runs")
    page.get_by_role("link", name="digits-longer").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the page"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.get_by_role("link", name="digits-longer").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="digits-longer").wait_for()


def test_a_server_that_is_gone_is_said_and_found_again(opened, visit):
    page = visit(opened, "#/runs")
    page.get_by_role("link", name="digits-longer").wait_for()
    opened.process.send_signal(signal.SIGSTOP)
    try:
        page.evaluate("() => { window.asked = fetch('/api/runs') }")
        page.get_by_role("heading", name="Runs").wait_for()
    finally:
        opened.process.send_signal(signal.SIGCONT)
    assert page.evaluate("window.asked.then((a) => a.status)") == 200
    assert page.locator("#connection").inner_text() == ""


def test_without_the_link_there_is_one_sentence(opened, chromium):
    context = chromium.new_context()
    page = context.new_page()
    answer = page.goto(f"http://127.0.0.1:{opened.port}/")
    assert answer.status == 401
    assert "needs the link" in page.inner_text("body")
    context.close()
