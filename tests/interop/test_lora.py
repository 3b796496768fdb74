"""LoRA files of every maker mean the same change, which is merged and leaves the old network."""

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from demist import Pipeline, cli
from demist.conditions import Conditioner, PromptStates, TextEncoder
from demist.core import Denoiser, Eps, Linear
from demist.errors import CannotCreateError, DataError, MissingError, UsageError
from demist.interop import Reading, adapters
from demist.interop.adapters import LowRank, fitted, read_lora, weighted_file, write_lora
from demist.model import adapted
from demist.networks import published

from .test_folders import folder

__all__ = ["folder"]

SD = {
    "block_out_channels": [8, 16],
    "norm_num_groups": 4,
    "layers_per_block": 1,
    "sample_size": 8,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "cross_attention_dim": 12,
    "attention_head_dim": 2,
}
Q = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
OUT = "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0"
PROJ = "up_blocks.1.attentions.0.proj_in"
TIME = "time_embedding.linear_1"
CONV = "conv_in"


class Words(nn.Module):
    """A text encoder's layers under CLIP's names."""

    def __init__(self, layers=1, prefix="text_model.", width=6):
        super().__init__()
        names = [f"{prefix}encoder.layers.{i}.self_attn" for i in range(layers)]
        for name in [*names, f"{prefix}embeddings"]:
            parent = self
            for part in name.split("."):
                if part not in parent._modules:
                    parent.add_module(part, nn.Module())
                parent = parent._modules[part]
            if name.endswith("attn"):
                for x in "qkv":
                    parent.add_module(f"{x}_proj", nn.Linear(width, width))
                parent.add_module("out_proj", nn.Linear(width, width))
            else:
                parent.token_embedding = self.table = nn.Embedding(9, width)

    def get_input_embeddings(self):
        return self.table


def net_of(options=SD):
    torch.manual_seed(0)
    return published.UNet2DCondition.from_json(options, "here").requires_grad_(False)


def model(prefix="text_model."):
    torch.manual_seed(1)
    words = Words(prefix=prefix)
    encoder = TextEncoder("text_encoder", "te", lambda: words, lambda: None, 77)
    denoiser = Denoiser(net_of(), Linear(), Eps())
    return denoiser, Conditioner({"text": PromptStates((encoder,))})


def low_rank(shape, rank=2, alpha=None):
    down = torch.randn(rank, *shape[1:])
    return LowRank(down, torch.randn(shape[0], rank, *[1 for _ in shape[2:]]), alpha=alpha)


def layers(net, names=(Q, OUT, PROJ, TIME, CONV), alpha=1.0):
    """A change of each layer, of rank 2."""
    return {name: low_rank(net.get_submodule(name).weight.shape, alpha=alpha) for name in names}


def save(path, tensors, metadata=None):
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata)
    return path


def kohya(name):
    return f"lora_unet_{name.replace('.', '_')}"


def processor(name):
    head, last = name.removesuffix(".0").rsplit(".", 1)
    return f"{head}.processor.{last}_lora"


FORMS = {
    "kohya": lambda n: (kohya(n) + ".lora_down.weight", kohya(n) + ".lora_up.weight"),
    "peft in diffusers": lambda n: (f"unet.{n}.lora_A.weight", f"unet.{n}.lora_B.weight"),
    "older diffusers": lambda n: (f"unet.{n}.lora.down.weight", f"unet.{n}.lora.up.weight"),
    "peft": lambda n: tuple(f"base_model.model.{n}.lora_{x}.default.weight" for x in "AB"),
    "comfy": lambda n: tuple(f"diffusion_model.{n}.lora_{x}.weight" for x in ("down", "up")),
    "processors": lambda n: (f"{processor(n)}.down.weight", f"{processor(n)}.up.weight"),
    "bare": lambda n: (f"{n}.lora_A.weight", f"{n}.lora_B.weight"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_maker_means_the_same(tmp_path, form):
    """W + 0.5 up down, to the last layer; nothing else changes."""
    denoiser, conditioner = model()
    names = (Q, OUT) if form == "processors" else (Q, OUT, PROJ, TIME, CONV)
    made, tensors = layers(denoiser.net, names, alpha=None), {}
    for name, layer in made.items():
        down, up = FORMS[form](name)
        tensors |= {down: layer.down, up: layer.up}
    lora = read_lora(save(tmp_path / "x.safetensors", tensors))
    before = {k: v.clone() for k, v in denoiser.net.state_dict().items()}
    changed, same = adapters.with_loras(denoiser, conditioner, [(lora, 0.5)])
    assert same is conditioner
    for name, value in changed.net.state_dict().items():
        expected = before[name]
        layer = made.get(name.removesuffix(".weight"))
        if layer is not None:
            product = 0.5 * layer.up.flatten(1) @ layer.down.flatten(1)
            expected = expected + product.reshape(expected.shape)
            torch.testing.assert_close(value, expected, atol=1e-6, rtol=1e-6)
        else:
            old = denoiser.net.state_dict()[name]
            assert value.data_ptr() == old.data_ptr()
        assert torch.equal(denoiser.net.state_dict()[name], before[name])


@pytest.mark.parametrize(
    "begin",
    ["lora_te_text_model_", "lora_te1_text_model_", "text_encoder.text_model.",
     "text_encoders.clip_l.transformer.text_model.", "clip_l.transformer.text_model.",
     "base_model.model.text_model.", "text_encoder."],
)  # fmt: skip
@pytest.mark.parametrize("prefix", ["text_model.", ""])
def test_text_encoders(tmp_path, begin, prefix):
    """With and without the prefix that younger encoders dropped."""
    denoiser, conditioner = model(prefix)
    name = "encoder.layers.0.self_attn.v_proj"
    stem = begin + (name.replace(".", "_") if begin.endswith("_") else name)
    down, up = torch.randn(1, 6), torch.randn(6, 1)
    tensors = {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
    lora = read_lora(save(tmp_path / "x.safetensors", tensors))
    same, changed = adapters.with_loras(denoiser, conditioner, [(lora, 2.0)])
    old, new = (c.conditions["text"].encoders[0].model for c in (conditioner, changed))
    before, after = (m.get_submodule(prefix + name).weight for m in (old, new))
    torch.testing.assert_close(after, before + 2 * up @ down)
    assert same.net.state_dict()["conv_in.weight"].data_ptr() == (
        denoiser.net.state_dict()["conv_in.weight"].data_ptr()
    )


def test_alpha_is_divided_by_the_rank(tmp_path):
    down, up = torch.randn(4, 8), torch.randn(8, 4)
    stem = kohya(Q)
    tensors = {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up,
               f"{stem}.alpha": torch.tensor(2.0)}  # fmt: skip
    lora = read_lora(save(tmp_path / "x.safetensors", tensors))
    torch.testing.assert_close(lora.layers[stem].delta(), up @ down / 2)


def test_three_factors_are_three_convolutions():
    """LoCon: 1 x 1, then the kernel, then 1 x 1."""
    layer = LowRank(torch.randn(3, 4, 1, 1), torch.randn(5, 3, 1, 1), torch.randn(3, 3, 3, 3), 6)
    x = torch.randn(2, 4, 7, 7)
    chain = F.conv2d(F.conv2d(F.conv2d(x, layer.down), layer.mid, padding=1), layer.up)
    torch.testing.assert_close(F.conv2d(x, layer.delta(), padding=1), 2 * chain)


def test_several_files_add_up_and_are_rounded_once(tmp_path):
    denoiser, conditioner = model()
    denoiser.to(torch.bfloat16)
    loras = []
    for i, weight in enumerate((0.3, 0.7, -1.0)):
        made = layers(denoiser.net, (Q,))
        path = tmp_path / f"{i}.safetensors"
        write_lora(path, {f"unet.{k}": v for k, v in made.items()}, "kohya")
        loras.append((read_lora(path), weight))
    changed, _ = adapters.with_loras(denoiser, conditioner, loras)
    weight = denoiser.net.get_submodule(Q).weight
    total = weight.float()
    for lora, w in loras:
        total = total + w * lora.layers[kohya(Q)].delta()
    found = changed.net.get_submodule(Q).weight
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, total.bfloat16())


ROWS = [
    *[f"down_blocks.{b}.attentions.{a}" for b in range(3) for a in range(2)],
    *[f"up_blocks.{b}.attentions.{a}" for b in (1, 2, 3) for a in range(3)],
    "mid_block.attentions.0",
]
INSIDE = ["attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "ff.net.0.proj",
          "attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0"]  # fmt: skip


def test_numbers_for_names(tmp_path):
    """All 192 layers of Stable Diffusion 1.5: blocks down, up, middle; CLIP k, v, q, out."""
    with torch.device("meta"):
        net = published.UNet2DCondition.from_json({"cross_attention_dim": 768}, "here")
        text = Words(12, width=768)
    unet = [f"{row}.transformer_blocks.0.{x}.weight" for row in ROWS for x in INSIDE]
    clip = [f"text_model.encoder.layers.{i}.self_attn.{x}_proj.weight"
            for i in range(12) for x in ("k", "v", "q", "out")]  # fmt: skip
    tensors = {}
    for component, names, owner in (("unet", unet, net), ("text_encoder", clip, text)):
        weights = dict(owner.named_parameters())
        for i, name in enumerate(names):
            out, inputs = weights[name].shape
            tensors[f"{component}:{i}:down"] = torch.zeros(1, inputs)
            tensors[f"{component}:{i}:up"] = torch.zeros(out, 1)
    metadata = {"unet": '["CrossAttention", "Attention", "GEGLU"]',
                "text_encoder": '["CLIPAttention"]', "<s1>": "<embed>"}  # fmt: skip
    tensors["<s1>"] = torch.ones(768)
    lora = read_lora(save(tmp_path / "x.safetensors", tensors, metadata))
    found = fitted(lora, {"unet": net, "text_encoder": text})
    places = {(c.target.component, c.target.weights): c.layer for c in found}
    assert len(unet) == 144
    assert len(places) == 192
    for component, names in (("unet", unet), ("text_encoder", clip)):
        for i, name in enumerate(names):
            assert places[component, name] is lora.layers[f"{component}:{i}"]
    assert lora.words["<s1>"].shape == (1, 768)


XL = {
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "cross_attention_dim": 2048, "attention_head_dim": [5, 10, 20],
    "transformer_layers_per_block": [1, 2, 10], "use_linear_projection": True,
    "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip
SAID = {
    "input_blocks_4_1_transformer_blocks_0_attn1_to_q":
        "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
    "input_blocks_8_1_transformer_blocks_9_ff_net_0_proj":
        "down_blocks.2.attentions.1.transformer_blocks.9.ff.net.0.proj",
    "middle_block_1_transformer_blocks_0_attn2_to_out_0":
        "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0",
    "output_blocks_5_1_proj_out": "up_blocks.1.attentions.2.proj_out",
    "input_blocks_1_0_in_layers_2": "down_blocks.0.resnets.0.conv1",
    "input_blocks_4_0_skip_connection": "down_blocks.1.resnets.0.conv_shortcut",
    "input_blocks_3_0_op": "down_blocks.0.downsamplers.0.conv",
    "output_blocks_8_0_emb_layers_1": "up_blocks.2.resnets.2.time_emb_proj",
    "time_embed_2": "time_embedding.linear_2", "label_emb_0_0": "add_embedding.linear_1",
    "input_blocks_0_0": "conv_in", "out_2": "conv_out",
}  # fmt: skip
"""Layers of SDXL: kohya's name -> diffusers'."""


def test_kohyas_names_of_sdxl(tmp_path):
    with torch.device("meta"):
        net = published.UNet2DCondition.from_json(XL, "here")
    tensors = {}
    for said, name in SAID.items():
        out, inputs, *kernel = net.get_submodule(name).weight.shape
        ones = [1] * len(kernel)
        tensors[f"lora_unet_{said}.lora_down.weight"] = torch.zeros(1, inputs, *kernel)
        tensors[f"lora_unet_{said}.lora_up.weight"] = torch.zeros(out, 1, *ones)
    lora = read_lora(save(tmp_path / "x.safetensors", tensors))
    found = fitted(lora, {"unet": net}, adapters.aliases_of(net))
    assert {c.target.weights: c.layer for c in found} == {
        f"{name}.weight": lora.layers[f"lora_unet_{said}"] for said, name in SAID.items()
    }


@pytest.mark.parametrize("begin", ["lora_unet_", "diffusion_model."])
def test_fused_layers_of_flux(tmp_path, begin):
    """One matrix of queries, keys, values (and more) changes three layers, each by its rows."""
    torch.manual_seed(0)
    options = {"num_layers": 1, "num_single_layers": 1, "attention_head_dim": 8,
               "num_attention_heads": 2, "joint_attention_dim": 6, "pooled_projection_dim": 5,
               "axes_dims_rope": [2, 2, 4], "in_channels": 4}  # fmt: skip
    net = published.FluxTransformer.from_json(options, "here").requires_grad_(False)
    rows = {"double_blocks.0.txt_attn.qkv": 48, "single_blocks.0.linear1": 112}
    tensors, whole = {}, {}
    for name, out in rows.items():
        down, up = torch.randn(2, 16), torch.randn(out, 2)
        stem = begin + (name if begin.endswith(".") else name.replace(".", "_"))
        tensors |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
        whole[name] = up @ down
    lora = read_lora(save(tmp_path / "x.safetensors", tensors))
    changed, _ = adapters.with_loras(Denoiser(net, Linear(), Eps()), Conditioner(), [(lora, 1.0)])
    double, single = whole.values()
    first, second = "transformer_blocks.0.attn.add_{}_proj", "single_transformer_blocks.0."
    expected = {first.format(x): double[16 * i :][:16] for i, x in enumerate("qkv")}
    expected |= {f"{second}attn.to_{x}": single[16 * i :][:16] for i, x in enumerate("qkv")}
    expected[f"{second}proj_mlp"] = single[48:]
    for name, value in changed.net.state_dict().items():
        old = net.state_dict()[name]
        new = old + expected.get(name.removesuffix(".weight"), torch.zeros_like(old))
        torch.testing.assert_close(value, new)


def few(**changes):
    tensors = {"unet.conv_in.lora_A.weight": torch.zeros(1, 4, 3, 3),
               "unet.conv_in.lora_B.weight": torch.zeros(8, 1, 1, 1)}  # fmt: skip
    return {k: v for k, v in (tensors | changes).items() if v is not None}


Z = torch.zeros
BAD = {
    "unknown tensors": (few(**{f"x{i}.hada_w1_a": Z(1) for i in range(7)}), DataError,
                        r"7 \(x0.hada_w1_a, .*x4.hada_w1_a, \.\.\.\).*neither LoHa"),
    "not to be printed": (few(**{"x\x1b[2J": Z(1)}), DataError, r"1 \('x\\x1b\[2J'\)"),
    "no pairs": ({"<s>": Z(3)}, DataError, "does not know in a LoRA"),
    "half a pair": (few(**{"unet.conv_in.lora_B.weight": None}), DataError, "no up"),
    "ranks": (few(**{"unet.conv_in.lora_B.weight": Z(8, 2)}), DataError, "do not fit together"),
    "no axes": (few(**{"unet.conv_in.lora_B.weight": Z(8)}), DataError, "do not fit together"),
    "alpha": (few(**{"unet.conv_in.alpha": Z(2)}), DataError, "not one number"),
    "NaN": (few(**{"unet.conv_in.alpha": Z(()) / 0}), DataError, "NaN or infinity"),
    "nothing matches": ({f"unet.joint.{i}.lora_{x}.weight": Z(1, 1) for i in range(6)
                         for x in "AB"}, DataError, r"matches nothing.*6 \(unet.joint.0, .*\.\.\."),
    "some match": (few(**{f"lora_te_y.lora_{x}.weight": Z(1, 1) for x in ("down", "up")}),
                   DataError, r"this model \(unet, text_encoder\) has not: 1 \(lora_te_y\)"),
    "another shape": ({f"unet.{Q}.lora_A.weight".replace("attn1.to_q", "attn2.to_k"): Z(1, 768),
                       f"unet.{Q}.lora_B.weight".replace("attn1.to_q", "attn2.to_k"): Z(8, 1)},
                      DataError, r"another family \(Stable Diffusion 1, it seems\).*\(8, 12\)"),
}  # fmt: skip


@pytest.mark.parametrize(("tensors", "kind", "words"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_said(tmp_path, tensors, kind, words):
    path = save(tmp_path / "x.safetensors", tensors)
    with pytest.raises(kind, match=words) as caught:
        adapters.with_loras(*model(), [(read_lora(path), 1.0)])
    assert str(path) in str(caught.value)


def test_numbers_of_another_model(tmp_path):
    tensors = {f"unet:{i}:{x}": Z(1, 1) for i in range(2) for x in ("up", "down")}
    path = save(tmp_path / "x.safetensors", tensors, {"unet": '["GEGLU", "CrossAttention"]'})
    with pytest.raises(DataError, match="counts 2 layers in the unet, and this model has 36"):
        adapters.with_loras(*model(), [(read_lora(path), 1.0)])
    path = save(tmp_path / "y.safetensors", tensors, {"unet": '["ResnetBlock2D"]'})
    with pytest.raises(DataError, match="counts layers of ResnetBlock2D"):
        adapters.with_loras(*model(), [(read_lora(path), 1.0)])


def test_only_published_networks(tmp_path):
    net = nn.Linear(2, 2)
    lora = read_lora(save(tmp_path / "x.safetensors", few()))
    with pytest.raises(UsageError, match="this model is a Linear"):
        adapters.with_loras(Denoiser(net, Linear(), Eps()), Conditioner(), [(lora, 1.0)])


@pytest.mark.parametrize("form", ["diffusers", "peft", "kohya"])
def test_what_is_written_is_read_without_a_difference(tmp_path, form):
    net = net_of()
    made = {f"unet.{k}": v for k, v in layers(net, alpha=0.3).items()}
    made[f"unet.{TIME}"] = low_rank(net.get_submodule(TIME).weight.shape, 3, 5.0)
    made[f"unet.{Q}"] = low_rank(net.get_submodule(Q).weight.shape, 1)
    made = {k: LowRank(v.down, v.up, None, v.alpha and float(torch.tensor(v.alpha)))
            for k, v in made.items()}  # fmt: skip
    path = tmp_path / ("x" if form == "peft" else "x.safetensors")
    write_lora(path, made, form)
    for change in fitted(read_lora(path), {"unet": net}):
        name = f"unet.{change.target.weights.removesuffix('.weight')}"
        assert torch.equal(change.layer.delta(), made.pop(name).delta())
    assert not made
    with pytest.raises(CannotCreateError, match="exists"):
        write_lora(path, {f"unet.{Q}": low_rank((8, 8))}, form)
    write_lora(path, {f"unet.{Q}": low_rank((8, 8))}, form, replace=True)
    assert len(read_lora(path).layers) == 1


def test_alpha_of_diffusers_is_in_the_metadata(tmp_path):
    write_lora(tmp_path / "x.safetensors", {f"unet.{Q}": low_rank((8, 8), 2, 1.0)}, "diffusers")
    header = (tmp_path / "x.safetensors").read_bytes()[8:]
    (told,) = (json.loads(json.JSONDecoder().raw_decode(header.decode("latin1"))[0]
               ["__metadata__"]["lora_adapter_metadata"]),)  # fmt: skip
    assert told["unet.lora_alpha"] == 1.0
    assert told["unet.r"] == 2
    assert set(load_file(tmp_path / "x.safetensors")) == {
        f"unet.{Q}.lora_A.weight", f"unet.{Q}.lora_B.weight"
    }  # fmt: skip


def test_a_kernel_between_is_multiplied_in_where_a_form_has_none(tmp_path):
    layer = LowRank(torch.randn(3, 4, 1, 1), torch.randn(8, 3, 1, 1), torch.randn(3, 3, 3, 3), 6)
    for form, tolerance in (("kohya", 0), ("diffusers", 1e-6)):
        write_lora(tmp_path / f"{form}.safetensors", {"unet.conv_in": layer}, form)
        (found,) = read_lora(tmp_path / f"{form}.safetensors").layers.values()
        torch.testing.assert_close(found.delta(), layer.delta(), atol=tolerance * 20, rtol=0)


def test_kohya_names_text_encoders_as_they_were_called(tmp_path):
    """By the prefix that younger ones dropped; one alone by `te`, one of several by its number."""
    name = "encoder.layers.0.self_attn.q_proj"
    made = {f"text_encoder.{name}": low_rank((6, 6))}
    write_lora(tmp_path / "a.safetensors", made, "kohya")
    write_lora(
        tmp_path / "b.safetensors", made | {f"text_encoder_2.{name}": low_rank((6, 6))}, "kohya"
    )
    end = f"_text_model_{name.replace('.', '_')}.alpha"
    found = [set(load_file(tmp_path / f"{x}.safetensors")) for x in "ab"]
    assert f"lora_te{end}" in found[0]
    assert {f"lora_te1{end}", f"lora_te2{end}"} <= found[1]


def test_files_weights_and_prompts(tmp_path):
    (tmp_path / "deep").mkdir()
    path = save(tmp_path / "deep/ink.safetensors", few())
    assert weighted_file(f"{path}:0.8") == (path, 0.8)
    assert weighted_file(str(path)) == (path, 1.0)
    assert weighted_file("a:b") == (weighted_file("a:b")[0], 1.0)
    with pytest.raises(UsageError, match="between -100 and 100"):
        weighted_file(f"{path}:1e9")
    text = "a cat <lora:ink:0.5> in ink<lora:ink>"
    assert adapters.named_in(text, [tmp_path]) == ("a cat in ink", [(path, 0.5), (path, 1.0)])
    assert adapters.named_in("a  cat", [tmp_path]) == ("a  cat", [])
    with pytest.raises(MissingError, match="--lora-folder"):
        adapters.named_in("<lora:oil:1>", [tmp_path])
    with pytest.raises(UsageError, match="'much' is no weight"):
        adapters.named_in("<lora:ink:much>", [tmp_path])


def test_a_pipeline_with_a_lora(folder, tmp_path):
    """The old one is as it was, the new one tells of it; through a folder's reading the same."""
    before = Pipeline.load(folder)
    old = before.sample(1, steps=2)
    made = {"unet.conv_in": low_rank(before.denoiser.net.conv_in.weight.shape)}
    path = tmp_path / "ink.safetensors"
    write_lora(path, made, "kohya")
    after = before.with_lora(path, 0.5)
    assert (before.sample(1, steps=2) == old).all()
    assert (after.sample(1, steps=2) != old).any()
    (fact,) = after.facts["adapters"]
    assert (fact["lora"], fact["weight"]) == ("ink.safetensors", 0.5)
    again = Pipeline.load(folder, Reading(lora=(f"{path}:0.5",)))
    assert (again.sample(1, steps=2) == after.sample(1, steps=2)).all()
    nothing = before.with_lora(path, 0.0).denoiser.net.state_dict()
    assert all(torch.equal(v, nothing[k]) for k, v in before.denoiser.net.state_dict().items())


def test_from_the_command_line(folder, tmp_path, capsys):
    net = Pipeline.load(folder).denoiser.net
    path = tmp_path / "ink.safetensors"
    write_lora(path, {"unet.conv_in": low_rank(net.conv_in.weight.shape)}, "diffusers")
    words = ["sample", str(folder), "--n", "1", "--steps", "2", "--out"]
    assert cli.main([*words, str(tmp_path / "a.png")]) == 0
    assert cli.main([*words, str(tmp_path / "b.png"), "--lora", f"{path}:0.5"]) == 0
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    assert cli.main(["sample", "digits", "--lora", str(path)]) == 64
    assert "names the layers of a published network" in capsys.readouterr().err


def test_a_prompt_names_files_beside_the_others(tmp_path):
    a, b = (save(tmp_path / f"{name}.safetensors", few()) for name in "ab")
    loras = (f"{a}:0.5",)
    assert adapted.named_in("x <lora:b:0.25>", loras, None) == ("x", (*loras, f"{b}:0.25"))
    with pytest.raises(MissingError):
        adapted.named_in("x <lora:b:1>", (), None)
    assert adapted.named_in("x <lora:b:1>", (), tmp_path) == ("x", (f"{b}:1.0",))
