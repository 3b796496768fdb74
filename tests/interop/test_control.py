"""Control images: what they add, when, and what is wrong with them; no other library is needed."""

import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from demist import Pipeline
from demist.commands.edit import main as edit
from demist.commands.sampling import ModelOptions
from demist.conditions import Condition, Conditioner, Control, typed_control
from demist.data.images.decode import read_image
from demist.editing import vary
from demist.errors import CannotCreateError, DataError, MissingError, UsageError
from demist.interop import read_control
from demist.interop.save import write_network
from demist.io import hub
from demist.measuring.bulk import bulk
from demist.measuring.candidate import Candidate
from demist.measuring.companions import Companions
from demist.measuring.pages import sample_page
from demist.model import Sampling, parse_axes, sweep
from demist.model.controlled import from_flags, split
from demist.networks.published import AutoencoderKL, ControlNet, T2IAdapter, UNet2DCondition

from .test_folders import write, write_net

SMALL = {"block_out_channels": [8, 16], "norm_num_groups": 4, "layers_per_block": 1}
VAE = {
    **SMALL,
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
}
SHARED = {
    **SMALL,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "cross_attention_dim": 12,
    "attention_head_dim": 2,
}
UNET = {**SHARED, "sample_size": 8, "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"]}
NET = {**SHARED, "conditioning_embedding_out_channels": [4, 6]}
T2I = {"channels": [8, 16], "downscale_factor": 2, "num_res_blocks": 1}


@dataclass(frozen=True)
class Letters(Condition):
    """A prompt without an encoder: a token for each of five letters."""

    drop: float = 0.1
    group: str = ""
    name = ""
    reads = "text"
    short = "prompt"

    @classmethod
    def of(cls, column, shape, drop):
        return cls()

    def encode(self, values, n):
        word = (values or "").ljust(5)[:5]
        row = torch.tensor([[float(ord(c)) * (k + 1) for k in range(12)] for c in word]).sin()
        return {"states": row.expand(n, 5, 12)}

    def spec(self):
        return {}

    def parse(self, text, read_image):
        return text


def filled(net, seed=0):
    """The network with weights that do something, which a seed decides."""
    draw = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        if parameter.ndim > 1:
            parameter.data = torch.randn(parameter.shape, generator=draw) * 0.1
    return net.eval()


def control_net(**options):
    return ControlNet.from_json({**NET, **options}, "here")


def adapter(**options):
    return T2IAdapter.from_json({**T2I, **options}, "here")


def without_encoder(pipeline):
    conditions = {**pipeline.conditioner.conditions, "text": Letters()}
    return replace(pipeline, conditioner=Conditioner(conditions))


def write_model(folder, kind="StableDiffusionPipeline"):
    named = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"}
    index = {"_class_name": kind, **{k: ["diffusers", v] for k, v in named.items()}}
    for name in ("text_encoder", "tokenizer"):
        index[name] = ["transformers", "Some"]
        (folder / name).mkdir(parents=True)
    write(folder / "model_index.json", index)
    write(folder / "scheduler/scheduler_config.json", {"_class_name": "PNDMScheduler"})
    write_net(folder / "unet", UNET, UNet2DCondition)
    write_net(folder / "vae", VAE, AutoencoderKL)
    return index


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    write_model(folder)
    pipeline = without_encoder(Pipeline.load(folder))
    filled(pipeline.denoiser.net)
    return pipeline


def image(seed=0, channels=3, sides=(16, 16)):
    return np.random.default_rng(seed).integers(0, 256, (channels, *sides), dtype=np.uint8)


def states(pipeline, n=2, **options):
    given = {"text": "house", "guidance": 2.0, "steps": 2, "batch_size": 1, **options}
    plan = pipeline.plan(n, **given)
    return torch.cat([list(plan.states([row]))[-1].x for row in range(n)])


@pytest.mark.parametrize("make", [control_net, adapter], ids=["controlnet", "adapter"])
def test_what_adds_nothing_changes_no_bit(pipeline, make):
    plain = states(pipeline)
    led = pipeline.controlled([filled(make())])
    full = states(led, control=image())
    assert (full - plain).abs().max() > 1e-3
    none = (None, Control(image(), 0.0), Control(image(), 1.0, (0.2, 0.1)))
    for value in none:
        assert torch.equal(states(led, control=value), states(pipeline))
    assert torch.equal(states(led, control=Control(image(), 1.0, (1.0, 0.0))), full)


def test_an_image_that_nobody_gives_is_missed(pipeline):
    led = pipeline.controlled([control_net()])
    with pytest.warns(UserWarning, match="no image is given for control, so the model samples"):
        led.plan(1, text="house", steps=2)
    led.plan(1, text="house", steps=2, control=None)  # which says it


def test_a_fresh_control_net_changes_no_bit(pipeline):
    led = pipeline.controlled([control_net()])
    assert torch.equal(states(led, control=image()), states(pipeline))


@pytest.mark.parametrize("make", [control_net, adapter], ids=["controlnet", "adapter"])
def test_two_halves_are_one(pipeline, make):
    net = filled(make())
    one, two = pipeline.controlled([net]), pipeline.controlled([net, net])
    assert list(two.controls) == ["control", "control_2"]
    half = Control(image(), 0.5)
    halves = states(two, control=half, control_2=half)
    torch.testing.assert_close(halves, states(one, control=image()), atol=1e-5, rtol=1e-5)
    again = pipeline.controlled([net]).controlled([net])
    assert torch.equal(states(again, control=half, control_2=half), halves)


def test_each_sample_follows_its_own_image_when_it_shall(pipeline):
    led = pipeline.controlled([filled(control_net())])
    values = [Control(image(1), 0.5), None, Control(image(2), 1.0, (0.6, 0.2))]
    together = states(led, 3, control=values)
    for row, value in enumerate(values):
        assert torch.equal(together[row], states(led, 3, control=value)[row])
    batch = list(led.plan(3, text="house", guidance=2.0, steps=2, control=values).states())[-1].x
    assert (batch - together).abs().max() < 1e-5 * together.std()
    stacked = np.stack([image(1), image(2), image(3)])
    assert torch.equal(states(led, 3, control=stacked)[1], states(led, 3, control=image(2))[1])


def test_little_memory_changes_nothing(pipeline):
    """The network, too, is given one sample at a time."""
    led, seen = pipeline.controlled([filled(control_net())]), []
    whole = list(led.plan(2, text="house", steps=2, control=image()).states())[-1].x
    net = led.controls["control"]
    plain = net.control
    net.control = lambda **given: seen.append(len(given["x"])) or plain(**given)
    led.denoiser.at_once = 1
    parts = list(led.plan(2, text="house", steps=2, control=image()).states())[-1].x
    led.denoiser.at_once = 0
    assert set(seen) == {1}
    assert (parts - whole).abs().max() < 1e-5 * whole.std()


def test_a_window_is_of_times(pipeline):
    """A network is run exactly at the steps whose time lies in the window, ends included."""
    led, seen = pipeline.controlled([filled(control_net())]), []
    net = led.controls["control"]
    plain = net.control
    net.control = lambda **given: seen.append(float(given["t"][0])) or plain(**given)
    value = Control(image(), 1.0, (0.8, 0.4))
    grid = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)
    states(led, 1, control=value, grid=grid, solver="ddim")
    assert seen == pytest.approx([799.0, 599.0, 399.0])  # each once: both sides of guidance


def test_guidance_leaves_the_image_on_both_sides(pipeline):
    led = pipeline.controlled([control_net(), adapter()])
    given = {"text": "house", "control": image(1), "control_2": image(2)}
    cond = led.conditioner.encode(2, given)
    null = led.conditioner.null(cond)
    assert [key for key in cond if not torch.equal(cond[key], null[key])] == ["text"]
    torch.testing.assert_close(cond["control.image"][1], torch.from_numpy(image(1)) / 255)
    assert set(cond) == {
        *("text", "control.image", "control.how"),
        *("control_2.map0", "control_2.map1", "control_2.how"),
    }


def test_other_sizes_of_samples(pipeline):
    led = pipeline.controlled([filled(control_net()), filled(adapter())])
    wide = image(sides=(16, 32))
    x = led.sample(1, steps=2, size=(16, 32), text="a", control=wide, control_2=wide)
    assert x.shape == (1, 3, 16, 32)


def test_folders_with_control_networks(tmp_path):
    """One network, or several in numbered folders; saved again with its bits, plain ones too."""
    kind = "StableDiffusionControlNetPipeline"
    index = write_model(tmp_path / "m", kind)
    rows = {"controlnet": ["diffusers", "MultiControlNetModel"]}
    write(tmp_path / "m/model_index.json", index | rows)
    with pytest.raises(MissingError, match="has no 'controlnet', which a StableDiffusionControl"):
        Pipeline.load(tmp_path / "m")
    for name in ("controlnet", "controlnet_1"):
        write_net(tmp_path / "m" / name, NET, ControlNet)
    pipeline = without_encoder(Pipeline.load(tmp_path / "m"))
    assert list(pipeline.controls) == ["control", "control_2"]
    for seed, net in enumerate(pipeline.controls.values()):
        filled(net, seed)
    given = {"control": image(1), "control_2": Control(image(2), 0.5)}
    pipeline.save(tmp_path / "again")
    for name in ("text_encoder", "tokenizer"):
        (tmp_path / "again" / name).mkdir()
    found = read_index(tmp_path / "again")
    assert found["_class_name"] == kind
    assert found.keys() - index.keys() == {"_diffusers_version", "controlnet", "scheduler"}
    assert found["controlnet"] == rows["controlnet"]
    kept = {name: index[name] for name in ("text_encoder", "tokenizer")}
    write(tmp_path / "again/model_index.json", found | kept)
    again = without_encoder(Pipeline.load(tmp_path / "again"))
    assert torch.equal(states(again, **given), states(pipeline, **given))


def read_index(folder):
    return json.loads((folder / "model_index.json").read_text())


def test_what_is_put_beside_a_model_is_saved_with_it(pipeline, tmp_path):
    led = pipeline.controlled([filled(adapter()), filled(adapter(), 1)])
    led.save(tmp_path / "led")
    found = read_index(tmp_path / "led")
    assert found["_class_name"] == "StableDiffusionAdapterPipeline"
    assert found["adapter"] == ["diffusers", "MultiAdapter"]
    for name, net in (("adapter", "control"), ("adapter_1", "control_2")):
        back = read_control(tmp_path / "led" / name)
        assert all(
            torch.equal(a, b)
            for a, b in zip(back.parameters(), led.controls[net].parameters(), strict=True)
        )
    one = pipeline.controlled([control_net()])
    assert set(one.components()) == {"unet", "vae", "controlnet"}
    with pytest.raises(UsageError, match="no pipeline for a StableDiffusionPipeline with adapter"):
        pipeline.controlled([control_net(), adapter()]).save(tmp_path / "both")


def test_single_files_leave_control_networks_to_themselves(pipeline, tmp_path):
    led = pipeline.controlled([filled(control_net()), filled(adapter())])
    told = []
    led.save_published(tmp_path / "m.safetensors", "single", say=told.append)
    assert told == [
        "controlnet, adapter left out: a control network has a file of its own elsewhere"
    ]
    plain = load_file(tmp_path / "m.safetensors")
    assert not [name for name in plain if "control" in name or "adapter" in name]
    led.save_published(tmp_path / "parts", "comfy", say=told.append)
    for name, net in zip(("controlnet", "adapter"), led.controls.values(), strict=True):
        held = load_file(tmp_path / f"parts/controlnet/{name}.safetensors")
        assert held.keys() == net.state_dict().keys()
        assert all(torch.equal(value, held[key]) for key, value in net.state_dict().items())
    assert len(told) == 1


def picture(path, sides=(16, 16), seed=0):
    Image.fromarray(image(seed, sides=sides).transpose(1, 2, 0)).save(path)
    return str(path)


def test_what_is_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b:1", "c=d.png"):
        (tmp_path / name).touch()
    whole = (1.0, 0.0)
    assert typed_control("a.png") == ("a.png", 1.0, whole)
    assert typed_control("a.png:0.8") == ("a.png", 0.8, whole)
    assert typed_control("a.png:.8:1-0.25") == ("a.png", 0.8, (1.0, 0.25))
    assert typed_control("a.png:0:.7-0") == ("a.png", 0.0, (0.7, 0.0))
    assert typed_control("b:1") == ("b:1", 1.0, whole)
    assert typed_control("b:1:0.5") == ("b:1", 0.5, whole)
    assert typed_control(r"C:\maps\a.png:-1") == (r"C:\maps\a.png", -1.0, whole)
    assert typed_control(r"C:\maps\a.png") == (r"C:\maps\a.png", 1.0, whole)
    for text in ("a.png:x", "a.png:1:", "a.png:1:0.5", "a.png:1-0.5", "a.png:1:1-x"):
        with pytest.raises(UsageError, match=r"is no scale and window; write a\.png:0\.8 or"):
            typed_control(text)
    for name in ("net", "n=t", "u:v"):
        (tmp_path / name).mkdir()
    assert split("net=a.png:0.5") == ("net", "a.png:0.5")
    assert split("n=t=a=b.png") == ("n=t", "a=b.png")
    assert split("u:v=a.png") == ("u:v", "a.png")
    assert split("a.png:0.5") == ("", "a.png:0.5")
    assert split("c=d.png:0.5") == ("", "c=d.png:0.5")
    with pytest.raises(UsageError, match=r"--control other=a\.png: there is no folder other;"):
        split("other=a.png")
    with pytest.raises(UsageError, match=r"a\.png is a file, and a control network is a folder"):
        split("a.png=b.png")


def test_images_in_files(pipeline, tmp_path, monkeypatch):
    net, grey = filled(control_net()), filled(adapter(in_channels=1))
    for name, config, cls in (("net", NET, ControlNet), ("grey", T2I, T2IAdapter)):
        write_net(
            tmp_path / name, {**config, **({"in_channels": 1} if name == "grey" else {})}, cls
        )
    small, large = picture(tmp_path / "a.png"), picture(tmp_path / "b.png", (40, 48))
    texts = [f"{tmp_path}/net={small}:0.5:1-0.3", f"{tmp_path}/grey={large}"]
    with pytest.warns(UserWarning, match=r"48x40 pixels: its middle is cut out and resized to 16x"):
        led, values = from_flags(pipeline, texts, read_image)
    assert values["control"].facts() == {"scale": 0.5, "window": [1.0, 0.3]}
    np.testing.assert_array_equal(values["control"].image, image())
    assert values["control_2"].image.shape == (1, 16, 16)
    assert [net.kind for net in led.controls.values()] == ["ControlNetModel", "T2IAdapter"]
    page = sample_page(led, 1, text="a", steps=1, **values)
    assert page.facts["sampling"]["control"] == {
        "image": "image", "scale": 0.5, "window": [1.0, 0.3],
    }  # fmt: skip
    monkeypatch.setattr(hub, "fetched", lambda name, kind: tmp_path / name.removeprefix("hf:a/"))
    fetched, _ = from_flags(pipeline, [f"hf:a/net={small}:0.5"], read_image)
    assert [net.kind for net in fetched.controls.values()] == ["ControlNetModel"]
    own = pipeline.controlled([net, grey])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same, values = from_flags(own, [f"{small}:0.5", small], read_image)
    assert same is own
    assert list(values) == ["control", "control_2"]
    with pytest.raises(UsageError, match="this model has none of its own left"):
        from_flags(own, [small, small, small], read_image)
    with pytest.raises(UsageError, match=r"write FOLDER=IMAGE.*none of its own$"):
        from_flags(pipeline, [small], read_image)
    with pytest.raises(UsageError, match=r"48x40 pixels, and 32x16 are needed: resize it"):
        led.sized((16, 32)).conditioner.conditions["control"].parse(large, read_image)


def test_a_grid_of_scales(pipeline, tmp_path):
    led = pipeline.controlled([filled(control_net())])
    file = picture(tmp_path / "a.png")
    axes = parse_axes([f"control={file}:0,{file}:0.5,{file}"], list(led.conditioner.conditions))
    x = sweep(led, *axes, read_image=read_image, text="a", sampling=Sampling(steps=1))
    for cell, scale in zip(x, (0.0, 0.5, 1.0), strict=True):
        one = led.sample(1, seed=[0], steps=1, text="a", control=Control(image(), scale))[0]
        assert np.abs(cell.astype(int) - one).max() <= 1


def test_a_weaker_model_follows_the_image_too(pipeline):
    net = filled(control_net())
    led, weak = (pipeline.controlled([net]) for _ in range(2))
    again = {"weak": weak, "guidance_rule": "autoguidance", "control": image()}
    one = states(led, guidance=1.0, control=image())
    same = states(led, **again)  # the difference of two equal models leads nowhere
    torch.testing.assert_close(same, one, atol=1e-4, rtol=1e-4)
    with pytest.raises(UsageError, match="the weak model's conditions are text, this model's"):
        led.plan(2, **{**again, "weak": pipeline})


def test_what_is_wrong_is_said(pipeline, tmp_path):
    led = pipeline.controlled([control_net()])
    for value, words in (
        (image(sides=(16, 8)), r"shape \(3, 16, 8\) and type uint8; give bytes of shape \(3, 16"),
        (image(channels=1), r"shape \(1, 16, 16\)"),
        (image() / 255, "type float64; give bytes"),
        ([image()] * 3, "got 3 control images for 2 samples"),
    ):
        with pytest.raises(UsageError, match=words):
            led.plan(2, control=value)
    for window, turned in (
        ((0, 0.5), "1-0.5"),
        ((0.2, 0.2), "1-0.5"),
        ((1.2, 0), "1-0.5"),
        ((0.2, 0.6), "0.8-0.4"),
    ):
        with pytest.raises(UsageError, match=f"down to 0 .data., so write .* such as {turned}"):
            Control(image(), 1.0, window)
    with pytest.raises(UsageError, match="control scale nan: give a finite number"):
        Control(image(), float("nan"))
    for options, words in (
        ({"cross_attention_dim": 16}, "cross_attention_dim = 16, and this model's U-Net is of 12"),
        ({"block_out_channels": [8, 8]}, "block_out_channels"),
        ({"in_channels": 9}, "latents = 9"),
        ({"conditioning_embedding_out_channels": [4, 6, 6]}, "stride = 4"),
    ):
        with pytest.raises(DataError, match=f"control is a .*{words}.*of different families"):
            pipeline.controlled([control_net(**options)])
    for options in ({"channels": [8]}, {"channels": [8, 8]}, {"downscale_factor": 4}):
        with pytest.raises(DataError, match=r"control is a T2IAdapter whose maps.*of different"):
            pipeline.controlled([adapter(**options)])
    with pytest.raises(UsageError, match="not written as torch-export, which holds one network"):
        led.export(tmp_path / "exported", "torch-export")
    write_net(tmp_path / "net", NET, ControlNet)
    with pytest.raises(DataError, match="makes no images by itself; give it to a model"):
        Pipeline.load(tmp_path / "net")
    write_net(tmp_path / "unet", UNET, UNet2DCondition)
    with pytest.raises(DataError, match="is a UNet2DConditionModel, and no control network"):
        read_control(tmp_path / "unet")
    with pytest.raises(MissingError, match=r"is a folder with a config\.json"):
        read_control(tmp_path)
    write_model(tmp_path / "whole")
    with pytest.raises(DataError, match="holds a whole StableDiffusionPipeline; name the folder"):
        pipeline.controlled([tmp_path / "whole"])
    write_net(tmp_path / "plain")
    write(tmp_path / "plain/scheduler_config.json", {"_class_name": "DDIMScheduler"})
    with pytest.raises(UsageError, match=r"lead a UNet2DConditionModel.*is a UNet2DModel"):
        Pipeline.load(tmp_path / "plain").controlled([control_net()])


def test_an_edit_follows_the_image_of_a_flag(pipeline, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ModelOptions, "open", lambda *given: pipeline)
    write_network(Path("net"), filled(control_net()))
    picture = image().transpose(1, 2, 0)
    for name in ("edges.png", "photo.png"):
        Image.fromarray(picture).save(name)
    line = ["m", "photo.png", "--prompt", "house", "--steps", "2", "--strength", "0.9"]
    edit([*line, "--out", "plain.png"])
    edit([*line, "--control", "net=edges.png:0.7", "--out", "led.png"])
    edit([*line, "--control", "net=edges.png:0", "--out", "zero.png"])
    wanted = vary(
        pipeline.controlled(["net"]), image(), strength=0.9, steps=2, text="house",
        control=Control(image(), 0.7),
    )  # fmt: skip
    plain, led, zero = (np.asarray(Image.open(f"{n}.png")) for n in ("plain", "led", "zero"))
    assert (led == wanted[0].transpose(1, 2, 0)).all()
    assert (led != plain).any()
    assert (zero == plain).all()


def test_many_samples_follow_the_image_of_a_flag(pipeline, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_network(Path("net"), filled(control_net()))
    for name, seed in (("edges.png", 0), ("other.png", 1)):
        Image.fromarray(image(seed).transpose(1, 2, 0)).save(name)
    model = Candidate("m", Path("m"), pipeline, "fp32", None, Path())
    how, many = Sampling(steps=2, batch_size=1), {"text": "house"}
    led = pipeline.controlled(["net"])
    wanted = led.sample(2, how, text="house", control=Control(image(), 0.7))
    beside = Companions(("net=edges.png:0.7",))
    assert bulk(model.with_beside(beside), Path("out"), 2, how, many) == (0, 1)
    assert (np.load("out/samples.npy") == wanted).all()
    assert (wanted != pipeline.sample(2, how, text="house")).any()
    other = model.with_beside(Companions(("net=other.png:0.7",)))
    with pytest.raises(CannotCreateError, match="model differ"):
        bulk(other, Path("out"), 2, how, many)
