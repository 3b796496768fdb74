"""IP-Adapters: attention to an image beside that to the prompt."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from demist.conditions import Conditioner, ImageEncoder, ImagePrompt, prepared
from demist.core import Denoiser, Eps, Linear
from demist.errors import DataError, MissingError, UsageError
from demist.interop import adapters, write_network
from demist.networks.published.image_prompt import ImageTokens, Resampler

from .test_lora import net_of

LAYERS = [8, 8, 8, 16]
"""Width of the attentions of the tiny U-Net: down, up, up, middle."""


def tensors_of(net, width=12, layers=LAYERS):
    torch.manual_seed(3)
    found = {f"image_proj.{k}": torch.randn_like(v) for k, v in net.state_dict().items()}
    for i, inner in enumerate(layers):
        for x in "kv":
            found[f"ip_adapter.{2 * i + 1}.to_{x}_ip.weight"] = torch.randn(inner, width)
    return found


def save(path, tensors):
    save_file({k: v.contiguous() for k, v in tensors.items()}, path)
    return path


class Vision(nn.Module):
    """The vector of an image is its mean by channel, its states its rows of pixels."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(image_size=4)

    def forward(self, x, output_hidden_states=False):
        rows = x.mean(2).transpose(1, 2)
        return SimpleNamespace(image_embeds=rows.mean(1), hidden_states=[rows, rows, None])


def encoder():
    return ImageEncoder("here", Vision)


def model():
    return Denoiser(net_of(), Linear(), Eps()).eval(), Conditioner()


FORMS = {"plain": lambda: ImageTokens(3, 4, 12), "plus": lambda: Resampler(3, 5, 12, 64, 64, 2)}


@pytest.mark.parametrize("form", FORMS)
def test_attention_is_that_of_the_paper(tmp_path, form):
    """softmax(q k) v + scale softmax(q k') v', in every attention to the prompt."""
    net = FORMS[form]()
    adapter = adapters.read_ip_adapter(save(tmp_path / "x.safetensors", tensors_of(net)))
    assert adapter.patches == (form == "plus")
    before, conditioner = model()
    after, conditions = adapters.with_ip_adapter(before, conditioner, adapter, encoder(), 0.7)
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2"
    plain, layer = (d.net.get_submodule(name) for d in (before, after))
    x, words, seen = torch.randn(2, 9, 8), torch.randn(2, 6, 12), torch.randn(2, layer.tokens, 12)

    keys, values = adapter.attention[0]

    def heads(y):
        return y.unflatten(-1, (plain.heads, -1)).transpose(1, 2)

    q = heads(plain.to_q(x))
    y = F.scaled_dot_product_attention(q, heads(plain.to_k(words)), heads(plain.to_v(words)))
    y = y + 0.7 * F.scaled_dot_product_attention(q, heads(seen @ keys.T), heads(seen @ values.T))
    expected = plain.to_out[0](y.transpose(1, 2).flatten(2))
    found = layer(x, torch.cat([words, seen], dim=1))
    torch.testing.assert_close(found, expected)
    assert before.net.routes == {}
    image = np.zeros((3, 4, 4), np.uint8)
    cond = conditions.encode(2, {"image_prompt": image})
    latents, t = torch.randn(2, 4, 8, 8), torch.tensor(0.5)
    one = after(latents, t, **cond, states=words).eps
    other = after(latents, t, **conditions.null(cond), states=words).eps
    assert (one - other).abs().max() > 1e-4
    torch.testing.assert_close(
        adapters.with_ip_adapter(before, conditioner, adapter, encoder(), 0.0)[0](
            latents, t, **cond, states=words
        ).eps,
        before(latents, t, states=words).eps,
    )


def test_layers_are_counted_down_up_middle(tmp_path):
    net = ImageTokens(3, 4, 12)
    adapter = adapters.read_ip_adapter(save(tmp_path / "x.safetensors", tensors_of(net)))
    after, _ = adapters.with_ip_adapter(*model(), adapter, encoder())
    block = "transformer_blocks.0.attn2.to_k_ip"
    order = ["down_blocks.0.attentions.0", "up_blocks.1.attentions.0", "up_blocks.1.attentions.1",
             "mid_block.attentions.0"]  # fmt: skip
    for name, (keys, _) in zip(order, adapter.attention, strict=True):
        assert torch.equal(after.net.get_submodule(f"{name}.{block}").weight, keys)


def test_images_of_all_sizes():
    prompt = ImagePrompt(encoder(), ImageTokens(3, 4, 12).requires_grad_(False))
    images = [np.full((3, 9, 5), i, np.uint8) for i in (10, 200)]
    both = prompt.encode([images[0], None], 2)["tokens"]
    assert both.shape == (2, 4, 12)
    assert torch.equal(both[:1], prompt.encode(images[0], 1)["tokens"])
    assert torch.equal(both[1:], prompt.null()["tokens"])
    assert torch.equal(both[1:], prompt.tokens(torch.zeros(1, 3)))
    with pytest.raises(UsageError, match="2 images for 3"):
        prompt.encode(images, 3)
    with pytest.raises(UsageError, match="bytes of shape"):
        prompt.encode(np.zeros((3, 4, 4)), 1)


def test_an_image_is_resized_and_cut_as_clip_was_trained():
    """Within one step of 255 of Pillow's bicubic filter."""
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 255, (12, 20, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    found = prepared(image.transpose(2, 0, 1), 24)[0]
    small = np.asarray(Image.fromarray(image).resize((40, 24), Image.Resampling.BICUBIC))
    expected = small[:, 8:32].transpose(2, 0, 1) / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (
        (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)))  # fmt: skip
    assert (found * std + mean - torch.tensor(expected)).abs().max() <= 1.01 / 255
    same = prepared(image[:24, :24].transpose(2, 0, 1), 24)[0] * std + mean
    torch.testing.assert_close(same, torch.tensor(image[:24, :24].transpose(2, 0, 1) / 255).float())


def without(tensors, *names):
    return {k: v for k, v in tensors.items() if not k.startswith(names)}


PLAIN = tensors_of(ImageTokens(3, 4, 12))
BAD = {
    "strange": ({**PLAIN, "faceid.x": torch.zeros(1)}, r"1 \(faceid.x\), which this version"),
    "no image": (without(PLAIN, "image_proj"), "is not a whole IP-Adapter"),
    "half a pair": (without(PLAIN, "ip_adapter.3.to_k"), "is not a whole IP-Adapter"),
    "other tokens": (without(PLAIN, "image_proj.norm"), r"2 \(proj.bias, proj.weight\)"),
    "more": ({**PLAIN, "image_proj.x": torch.zeros(1)}, "do not fit this network"),
    "NaN": ({**PLAIN, "image_proj.norm.bias": torch.full((12,), float("nan"))}, "NaN"),
    "fewer layers": (without(PLAIN, "ip_adapter.7"), "has 3 layers .* prompt in 4"),
    "other widths": (tensors_of(ImageTokens(3, 4, 6), 6), "another family.*8, 6.*8, 12"),
}


@pytest.mark.parametrize(("tensors", "words"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_said(tmp_path, tensors, words):
    path = save(tmp_path / "x.safetensors", tensors)
    with pytest.raises(DataError, match=words) as caught:
        adapters.with_ip_adapter(*model(), adapters.read_ip_adapter(path), encoder())
    assert str(path) in str(caught.value)


def test_one_adapter_at_once_and_its_encoder(tmp_path):
    adapter = adapters.read_ip_adapter(save(tmp_path / "x.safetensors", PLAIN))
    made = adapters.with_ip_adapter(*model(), adapter, encoder())
    with pytest.raises(UsageError, match="another IP-Adapter"):
        adapters.with_ip_adapter(*made, adapter, encoder())
    with pytest.raises(UsageError, match="save the model without it"):
        write_network(tmp_path / "n", made[0].net)
    with pytest.raises(MissingError, match=r"projection_dim = 3.*--image-encoder"):
        adapters.find_encoder(adapter, [tmp_path])
    for name, width in (("a", 4), ("b", 3)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"projection_dim": width}))
    found = adapters.find_encoder(adapter, [tmp_path / "a", tmp_path / "b"])
    assert found.where == str(tmp_path / "b")
    with pytest.raises(MissingError, match="a has projection_dim = 4"):
        adapters.find_encoder(adapter, [tmp_path / "a"])
