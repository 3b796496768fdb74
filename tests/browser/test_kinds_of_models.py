"""Generate and Edit with every kind of model: prompts, points, sounds, instructions, latents."""

import io
import wave

import numpy as np
import pytest
import torch
from opened import pixels, studio
from PIL import Image
from playwright.sync_api import expect

from demist import editing
from demist.codecs import KLAutoencoder, LogMel, Pixels, Standardize
from demist.conditions import Conditioner, Picture, Text, learn_tokenizer
from demist.core import VP, Denoiser, Eps, Linear, Velocity
from demist.measuring import pages
from demist.model import Pipeline, Sampling, open_model
from demist.networks import MLP, Autoencoder, UNet

WORDS = "a red cat, sleeping | a blue dog, running"


def save(place, net, schedule, kind, codec, conditions, shape, facts):
    """A model with random weights, none of which is zero."""
    with torch.no_grad():
        for one in net.parameters():
            one.add_(0.1 * torch.randn_like(one))
    conditioner = Conditioner(conditions)
    how = Sampling(steps=3, guidance=2.0 if "text" in conditions else 1.0)
    Pipeline(Denoiser(net, schedule, kind), codec, conditioner, shape, how, facts).save(place)


def images(place, conditions, codec=None, channels=1):
    specs = Conditioner(conditions).specs()
    net = UNet(
        in_channels=channels, channels=(16,), norm_groups=4, head_dim=16, inlets=specs,
        patch=1 if codec else 2,
    )  # fmt: skip
    save(place, net, Linear(), Velocity(), codec or Pixels(), conditions, (1, 8, 8), {})


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    tokenizer = learn_tokenizer([WORDS, "make it red"])
    images(runs / "text", {"text": Text(tokenizer, 12, 32, 1)})
    images(runs / "follows", {"text": Text(tokenizer, 12, 32, 1), "source": Picture((1, 8, 8))})
    coder = Autoencoder(in_channels=1, latent_channels=2, channels=(8,), norm_groups=4)
    images(runs / "latent", {}, KLAutoencoder(coder), 2)
    flat = Standardize((0.0, 0.0), 1.0)
    save(runs / "points", MLP(features=2, width=8, depth=1), VP(), Eps(), flat, {}, (2,), {})
    net = UNet(in_channels=1, channels=(8, 8), norm_groups=2, head_dim=8)
    facts = {"kind": "sounds:rate=8000"}
    save(runs / "sounds", net, VP(), Eps(), LogMel(8000, 128, 512), {}, (1, 8 * 128), facts)
    with studio(runs) as found:
        found.runs = runs
        yield found


def generate(visit, opened, model):
    page = visit(opened, "#/generate")
    page.wait_for_selector(".generate-form input[name=steps]")
    page.select_option(".generate-form select[name=model]", f"folder-{model}")
    page.click("[data-lock=locked]")
    page.fill(".generate-form [name=seed]", "5")
    return page


def make(page):
    with page.expect_response(lambda one: one.request.method == "POST") as answer:
        page.click(".make-row button.primary")
    job = answer.value.json()["id"]
    page.wait_for_selector(f".now[data-job='{job}'][data-state=done][data-shown='{job}']")
    return job


def test_prompts_one_a_line_make_the_pixels_of_the_library(visit, opened, picture, accessible):
    page = generate(visit, opened, "text")
    one, two = WORDS.split(" | ")
    page.fill("[data-cond=text]", f"{one}\n{two}\n")
    page.fill(".generate-form [name=n]", "4")
    assert page.inner_text("[data-comes=text]").startswith("2 of each: “a red cat, sleeping”") or (
        page.inner_text("[data-comes=text]") == f"2 of each: {one}, {two}."
    )
    job = make(page)
    model = open_model(str(opened.runs / "text"))
    x = model.sample(4, Sampling(seed=5), text=[one, one, two, two])
    for i in range(4):
        assert np.array_equal(pixels(opened.file(job, f"image-{i:03d}.png")), x[i, 0])
    assert (x[0] != x[2]).any()
    page.evaluate("scrollTo(0, 0)")
    picture(page, "kinds-prompts")
    accessible(page)
    # The same prompts, commas and all, as an axis of a grid.
    page.click(".grid-options summary")
    page.select_option("[data-axis=Rows]", "prompt")
    page.fill("[data-values=Rows]", f"{one}\n{two}")
    page.select_option("[data-axis=Columns]", "seed")
    page.fill("[data-values=Columns]", "5, 6")
    assert page.inner_text(".make-row button") == "Make a grid of 4"
    assert page.inner_text("[data-comes=text]") == "The grid says which."
    job = make(page)
    wanted = pages.grid_page(model, [f"prompt={one}|{two}", "seed=5,6"]).x
    for i in range(4):
        assert np.array_equal(pixels(opened.file(job, f"image-{i:03d}.png")), wanted[i, 0])
    assert page.locator(".axis-label.row").all_inner_texts() == [one, two]
    page.evaluate("scrollTo(0, 0)")
    picture(page, "kinds-prompt-grid")


def test_points_come_as_a_picture_and_a_file(visit, opened, picture, accessible):
    page = generate(visit, opened, "points")
    assert page.input_value(".generate-form [name=n]") == "1000"
    job = make(page)
    shown = page.locator(".now-tile img")
    expect(shown).to_have_count(1)
    x = open_model(str(opened.runs / "points")).sample(1000, Sampling(seed=5))
    assert np.array_equal(np.load(io.BytesIO(opened.file(job, "samples.npy"))), x)
    with page.expect_download() as coming:
        page.click(".now .numbers")
    assert coming.value.suggested_filename == f"{job}-samples.npy"
    page.evaluate("scrollTo(0, 0)")
    picture(page, "kinds-points")
    accessible(page)


def test_sounds_come_with_a_player(visit, opened, picture, accessible):
    page = generate(visit, opened, "sounds")
    page.fill(".generate-form [name=n]", "2")
    job = make(page)
    expect(page.locator(".now audio")).to_have_count(2)
    x = open_model(str(opened.runs / "sounds")).sample(4, Sampling(seed=5))
    for i in range(2):
        with wave.open(io.BytesIO(opened.file(job, f"sound-{i:03d}.wav"))) as file:
            found = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768
            assert file.getframerate() == 8000
        # The search for phases makes much of the last bits, which threads change; others are far.
        apart = [np.sqrt(np.square(found - one).mean()) for one in x[:, 0]]
        assert apart[i] < 0.05 < 0.3 < min(apart[:i] + apart[i + 1 :])
    seconds = "new Promise((give) => { const one = document.querySelector('.now audio');"
    seconds += " const said = () => one.duration > 0 && give(one.duration);"
    seconds += " one.addEventListener('loadedmetadata', said); said(); })"
    assert page.evaluate(seconds) == pytest.approx(8 * 128 / 8000, rel=0.05)
    page.evaluate("scrollTo(0, 0)")
    picture(page, "kinds-sounds")
    accessible(page)


def edit(visit, opened, model, image):
    page = visit(opened, "#/edit", height=1000)
    page.wait_for_selector(".edit-form .modes")
    page.wait_for_selector("select[name=model] option", state="attached")
    page.select_option("select[name=model]", f"folder-{model}")
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    more = {"name": "a.png", "mimeType": "image/png", "buffer": file.getvalue()}
    page.set_input_files(".picture-file", more)
    page.wait_for_selector(".caption:has-text('the model works at 8 × 8')")
    for name, value in (("n", "2"), ("seed", "5"), ("steps", "3")):
        page.fill(f".edit-form input[name={name}]", value)
    return page


def made(page, opened):
    with page.expect_response(lambda one: one.url.endswith("/api/jobs")) as answer:
        page.click(".edit-form button.primary")
    job = answer.value.json()["id"]
    page.wait_for_selector(f".results[data-job='{job}'][data-state=done]")
    return [pixels(opened.file(job, f"edited-{k}.png")) for k in (1, 2)]


def test_an_instruction_is_followed(visit, opened, seven, picture, accessible):
    page = edit(visit, opened, "follows", seven)
    page.wait_for_selector(".modes input[value=instruct]:not(:disabled)")
    page.fill("input[name=cond-text]", "a red cat")
    page.click(".modes .chip:has-text('Instruct')")
    assert page.is_hidden("input[name=cond-text]")  # the instruction takes its place
    page.fill("input[name=instruct]", "make it red")
    found = made(page, opened)
    model = open_model(str(opened.runs / "follows"))
    expected = editing.instruct(model, seven[None], "make it red", steps=3, seed=(5,))
    assert np.array_equal(found[0], expected[0, 0])
    assert (found[0] != found[1]).any()
    assert opened.ask("GET", "/api/jobs")[1][-1]["settings"]["cond"] == {}
    page.evaluate("scrollTo(0, 0)")
    picture(page, "kinds-instruct")
    accessible(page)


def test_a_model_in_latents_edits_within_the_mask(visit, opened, seven, picture, accessible):
    page = edit(visit, opened, "latent", seven)
    assert page.locator(".modes input[value=instruct]").is_disabled()
    page.fill(".box", "4, 12, 20, 12")
    page.keyboard.press("Enter")
    page.click(".tool[data-tool=network]")
    expect(page.locator(".caption")).to_contain_text("the network sees 4 × 4")
    picture(page, "kinds-latent-network")
    page.click(".tool[data-tool=network]")
    mask = np.zeros((28, 28), np.float32)
    mask[12:24, 4:24] = 1
    found = made(page, opened)
    model = open_model(str(opened.runs / "latent"))
    expected = editing.inpaint(model, seven[None], mask, steps=3, seed=(5,))
    assert np.array_equal(found[0], expected[0, 0])
    assert np.array_equal(found[1][mask == 0], seven[mask == 0])
    page.evaluate("scrollTo(0, 0)")
    picture(page, "kinds-latent")
    accessible(page)
