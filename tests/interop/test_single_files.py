"""Single files: written and read again with the same bits; what is wrong with one is one sentence.

Text encoders are stand-ins with their names and shapes, since `transformers` need not be there.
"""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from demist.conditions import TextEncoder
from demist.errors import DataError, MissingError, RefusedError, UsageError
from demist.interop import FolderSource, Reading, open_source, read
from demist.interop.single import open_file, write_single
from demist.interop.single.places import Place, gathered, joined
from demist.interop.single.said import KEY
from demist.interop.single.text import clip_names, t5_names
from demist.interop.single.vocabulary import vocabulary
from demist.networks import published

from .test_folders import write as write_json

pytestmark = pytest.mark.filterwarnings("ignore:.* is a (Stable|FLUX)")

SMALL = {"block_out_channels": [8, 16], "norm_num_groups": 4, "layers_per_block": 1}
UNET = {
    **SMALL, "sample_size": 8, "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"], "cross_attention_dim": 16,
    "attention_head_dim": 2,
}  # fmt: skip
LINEAR = {**UNET, "use_linear_projection": True}
XL = {
    **LINEAR, "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"], "transformer_layers_per_block": [1, 2],
    "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 12 + 6 * 8,
}  # fmt: skip
SD3 = {
    "sample_size": 8, "in_channels": 4, "out_channels": 4, "num_layers": 2,
    "attention_head_dim": 8, "num_attention_heads": 2, "joint_attention_dim": 16,
    "caption_projection_dim": 16, "pooled_projection_dim": 24, "pos_embed_max_size": 6,
    "dual_attention_layers": [0], "qk_norm": "rms_norm",
}  # fmt: skip
FLUX = {
    "in_channels": 16, "num_layers": 2, "num_single_layers": 2, "attention_head_dim": 12,
    "num_attention_heads": 2, "joint_attention_dim": 16, "pooled_projection_dim": 12,
    "axes_dims_rope": [2, 4, 6], "guidance_embeds": True,
}  # fmt: skip
VAE = {
    **SMALL, "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2, "scaling_factor": 0.5,
}  # fmt: skip
DDIM = {"_class_name": "DDIMScheduler", "prediction_type": "epsilon", "beta_start": 0.001}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 2.0}
MODELS = {
    "sd1": ("StableDiffusionPipeline", "UNet2DCondition", UNET, DDIM, {"text_encoder": 0}),
    "sd2": ("StableDiffusionPipeline", "UNet2DCondition", LINEAR, DDIM, {"text_encoder": 0}),
    "xl": ("StableDiffusionXLPipeline", "UNet2DCondition", XL, DDIM,
           {"text_encoder": 0, "text_encoder_2": 12}),
    "refiner": ("StableDiffusionXLImg2ImgPipeline", "UNet2DCondition", XL, DDIM,
                {"text_encoder_2": 12}),
    "sd3": ("StableDiffusion3Pipeline", "SD3Transformer", SD3, FLOW,
            {"text_encoder": 12, "text_encoder_2": 12, "text_encoder_3": None}),
    "flux": ("FluxPipeline", "FluxTransformer", FLUX, FLOW,
             {"text_encoder": 0, "text_encoder_2": None}),
}  # fmt: skip
"""Class, network, its configuration, schedule, text encoders with their projection (None: T5)."""


class Stand(torch.nn.Module):
    """Tensors by name, with a configuration."""

    def __init__(self, tensors, config):
        super().__init__()
        self.tensors, self.config = tensors, SimpleNamespace(**config)

    def state_dict(self):
        return self.tensors


class Tokens:
    pad_token = "<|endoftext|>"

    def get_vocab(self):
        return vocabulary()[0]


def clip(projection, width=12, layers=2):
    shapes = {
        "token_embedding.weight": (60, width), "position_embedding.weight": (77, width),
        "text_projection.weight": (projection, width), "fc1.weight": (20, width),
        "fc1.bias": (20,), "fc2.weight": (width, 20),
    }  # fmt: skip
    tensors = {}
    for name in clip_names(layers, projection > 0):
        known = [shape for end, shape in shapes.items() if name.endswith(end)]
        row = (width,) if "norm" in name or name.endswith("bias") else (width, width)
        tensors[name] = torch.randn(known[0] if known else row)
    config = {
        "vocab_size": 60, "hidden_size": width, "intermediate_size": 20,
        "num_hidden_layers": layers, "num_attention_heads": 2, "hidden_act": "quick_gelu",
        "max_position_embeddings": 77, "projection_dim": projection or width,
    }  # fmt: skip
    return Stand(tensors, config)


def t5(width=16):
    tensors = {name: torch.randn(width, width) for name in t5_names(2)}
    bias = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    tensors |= {bias: torch.randn(32, 2), "shared.weight": torch.randn(50, width)}
    return Stand(tensors, {"d_model": width, "num_layers": 2, "num_heads": 2, "d_kv": 8})


def model(name, folder):
    """A model's source, networks and text encoders."""
    pipeline, kind, config, scheduler, encoders = MODELS[name]
    torch.manual_seed(3)
    net = getattr(published, kind).from_json(config, "here")
    vae = published.AutoencoderKL.from_json(VAE, "here")
    for tensor in [*net.state_dict().values(), *vae.state_dict().values()]:
        tensor.copy_(torch.randn(tensor.shape))
    index = {"_class_name": pipeline, net.folder: ["diffusers", net.kind], "vae": ["diffusers", ""]}
    write_json(folder / f"{net.folder}/config.json", {"_class_name": net.kind, **config})
    write_json(folder / "vae/config.json", {"_class_name": vae.kind, **VAE})
    write_json(folder / "scheduler/scheduler_config.json", scheduler)
    texts = []
    for encoder, projection in encoders.items():
        (folder / encoder).mkdir()
        index[encoder] = ["transformers", ""]
        made = t5() if projection is None else clip(projection, 12 + 2 * (encoder[-1] == "2"))
        texts.append(TextEncoder(encoder, "here", lambda m=made: m, Tokens))
    write_json(folder / "model_index.json", index)
    return FolderSource.open(folder), {net.folder: net, "vae": vae}, texts


def same(found, wanted):
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    assert len(wanted) > 10


@pytest.fixture
def files(tmp_path):
    """Gives the single file of a model."""

    def make(name="sd1", form="single"):
        source, networks, texts = model(name, tmp_path / "m")
        place = tmp_path / ("parts" if form == "comfy" else "m.safetensors")
        write_single(place, form, source, networks, texts, pytest.fail)
        return place, networks, {text.name: text.model for text in texts}

    return make


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_single_file_gives_the_same_bits(files, name):
    place, networks, texts = files(name)
    source = open_file(place)
    assert source.index["_class_name"] == MODELS[name][0]
    assert source.scheduler() | MODELS[name][3] == source.scheduler()
    for key, net in networks.items():
        same(source.network(key).state_dict(), net.state_dict())
        assert source.network(key).config == net.config
    for key, stand in texts.items():
        held = source.held[key]
        same(held.tensors(None), stand.state_dict())
        assert held.config | vars(stand.config) == held.config
        assert held.projected == ("text_projection.weight" in stand.state_dict())
    assert source.config("vae")["scaling_factor"] == 0.5


def test_t5s_words_are_in_a_file_twice(files):
    """As in published files; the one table is what other programs look for, or the other."""
    place, *_ = files("flux")
    held, stem = load_file(place), "text_encoders.t5xxl.transformer."
    assert torch.equal(held[f"{stem}shared.weight"], held[f"{stem}encoder.embed_tokens.weight"])


@pytest.mark.parametrize("name", ["sd2", "xl", "flux"])
def test_parts_of_comfyui_give_the_same_bits(files, name):
    folder, networks, texts = files(name, "comfy")
    found = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.safetensors"))
    clips = {"sd2": ["clip_h"], "xl": ["clip_g", "clip_l"], "flux": ["clip_l", "t5xxl"]}[name]
    assert found == [
        "diffusion_models/parts.safetensors",
        *(f"text_encoders/{clip}.safetensors" for clip in clips),
        "vae/parts.safetensors",
    ]
    parts = (*(f"text={folder / file}" for file in found[1:-1]), f"vae={folder / found[-1]}")
    source = open_source(folder / found[0], Reading(part=parts))
    for key, net in networks.items():
        same(source.network(key).state_dict(), net.state_dict())
    for key, stand in texts.items():
        same(source.held[key].tensors(None), stand.state_dict())


def test_names_in_the_file_are_those_of_compvis(files):
    place, networks, texts = files("xl")
    tensors, unet = load_file(place), networks["unet"].state_dict()
    vae, text = networks["vae"].state_dict(), texts["text_encoder_2"].state_dict()
    new, old = "up_blocks.0.attentions.1.transformer_blocks.1.ff.net.2.bias", "output_blocks.1.1."
    assert torch.equal(tensors[f"model.diffusion_model.{old}{new.split('.', 4)[4]}"], unet[new])
    query = tensors["first_stage_model.decoder.mid.attn_1.q.weight"]
    assert query.shape == (16, 16, 1, 1)
    assert torch.equal(query[:, :, 0, 0], vae["decoder.mid_block.attentions.0.to_q.weight"])
    assert torch.equal(
        tensors["first_stage_model.decoder.up.1.block.1.norm2.weight"],
        vae["decoder.up_blocks.0.resnets.1.norm2.weight"],
    )
    before = "conditioner.embedders.1.model."
    assert torch.equal(tensors[f"{before}text_projection"], text["text_projection.weight"].T)
    layer = "text_model.encoder.layers.1.self_attn."
    rows = tensors[f"{before}transformer.resblocks.1.attn.in_proj_weight"]
    assert torch.equal(rows, torch.cat([text[f"{layer}{x}_proj.weight"] for x in "qkv"]))


def test_shares_of_a_tensor():
    """Queries, keys, values; four of seven shares; two that come in the other order."""
    places = {key: Place("a", (i,), 7) for i, key in enumerate("qkv")}
    places |= {"m": Place("a", (3, 4, 5, 6), 7), "s": Place("b", (1, 0), 2)}
    whole = {"a": torch.arange(28).reshape(14, 2), "b": torch.arange(4)}
    found = gathered(places, whole.__getitem__)
    assert found["m"].tolist() == whole["a"][6:].tolist()
    assert found["k"].tolist() == whole["a"][2:4].tolist()
    assert found["s"].tolist() == [2, 3, 0, 1]
    assert found["q"].data_ptr() == whole["a"].data_ptr()
    again = joined(places, found.__getitem__)
    assert {k: torch.equal(make(), whole[k]) for k, make in again.items()} == {"a": True, "b": True}


def test_weights_become_the_type_that_is_asked_for(files):
    place, networks, _ = files()
    source = open_source(place, Reading(dtype="bf16"))
    unet = networks["unet"].state_dict()
    same(source.network("unet").state_dict(), {k: v.bfloat16() for k, v in unet.items()})


def test_v_or_eps_is_asked_for(files):
    place, *_ = files("sd2")
    said = json.loads(open_file(place).held["unet"].file.metadata[KEY])
    del said["scheduler"], said["unet"]["_class_name"], said["unet"]["sample_size"]
    save_file(load_file(place), place, {KEY: json.dumps(said)})
    with pytest.raises(DataError, match=r"does not say what it predicts.*--prediction v or"):
        open_file(place)
    predicted = {"v": "v_prediction", "eps": "epsilon"}
    for asked, told in predicted.items():
        source = open_file(place, asked=asked)
        assert source.scheduler()["prediction_type"] == told
        assert source.config("unet")["sample_size"] == {"v": 96, "eps": 64}[asked]
    yaml = place.with_suffix(".yaml")
    yaml.write_text('model:\n  params:\n    parameterization: "v"\n    linear_start: 0.00085\n')
    assert open_file(place).scheduler()["prediction_type"] == "v_prediction"
    yaml.unlink()
    write_json(place.with_suffix(".json"), {"prediction_type": "epsilon", "description": "mine"})
    assert open_file(place).scheduler()["prediction_type"] == "epsilon"
    place.with_suffix(".json").unlink()
    metadata = {KEY: json.dumps(said), "modelspec.prediction_type": "v"}
    save_file(load_file(place), place, metadata)
    assert open_file(place).scheduler()["prediction_type"] == "v_prediction"


def test_marks_of_v_and_of_zero_terminal_noise(files):
    place, *_ = files("xl")
    said = json.loads(open_file(place).held["unet"].file.metadata[KEY])
    del said["scheduler"]
    marks = {"v_pred": torch.empty(0), "ztsnr": torch.empty(0)}
    save_file({**load_file(place), **marks}, place, {KEY: json.dumps(said)})
    scheduler = open_file(place).scheduler()
    assert scheduler["prediction_type"] == "v_prediction"
    assert scheduler["rescale_betas_zero_snr"] is True


def test_what_training_left_behind_is_known(files):
    place, networks, _ = files()
    said = open_file(place).held["unet"].file.metadata
    left = {
        "model_ema.decay": torch.tensor(1.0), "betas": torch.ones(3),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
        "first_stage_model.loss.logvar": torch.ones(()),
    }  # fmt: skip
    save_file({**load_file(place), **left}, place, said)
    source = open_file(place)
    same(source.network("vae").state_dict(), networks["vae"].state_dict())
    assert len(source.held["text_encoder"].tensors(None)) == len(clip_names(2, False))


def test_the_vocabulary_is_the_published_one():
    tokens, merges = vocabulary()
    assert len(tokens) == 49408
    assert len(merges) == 48894
    known = {"!": 0, "a": 64, "!</w>": 256, "a</w>": 320, "in": 512, "the</w>": 518,
             "cat</w>": 2368, "<|startoftext|>": 49406, "<|endoftext|>": 49407}  # fmt: skip
    assert {token: tokens[token] for token in known} == known
    assert merges[:3] == ["i n", "t h", "a n"]


def without(*words):
    def change(tensors):
        for name in [n for n in tensors if any(w in n for w in words)]:
            del tensors[name]

    return change


def adding(**names):
    return lambda tensors: tensors.update({k.replace("__", "."): torch.ones(2) for k in names})


WRONG = {
    "left over": (
        adding(model__diffusion_model__extra=1, a=1), None, DataError,
        "holds a tensor: a, which this kind",
    ),
    "left over in the network": (
        adding(model__diffusion_model__extra__weight=1), "unet", DataError,
        "its U-Net holds a tensor: extra.weight",
    ),
    "missing": (
        without("input_blocks.1.0"), "unet", DataError, "m.safetensors",
    ),
    "missing in the middle": (
        without("middle_block.1.transformer_blocks.0.attn1"), "unet", DataError,
        r"its U-Net lacks 5 tensors: model.diffusion_model.middle_block.1.transformer_blocks.0."
        r"attn1.to_k.weight, .*; the file is cut",
    ),
    "no autoencoder": (
        without("first_stage_model"), "vae", MissingError, r"--part NAME=PATH \(vae=",
    ),
    "no text encoder": (
        without("cond_stage_model"), "text_encoder", MissingError, "--part NAME=PATH",
    ),
    "an autoencoder": (
        without("diffusion_model", "cond_stage"), None, DataError,
        r"\(autoencoder alone\).*demist sample MODEL --part vae=.*m.safetensors",
    ),
    "nothing": (
        lambda t: (t.clear(), t.update(x=torch.ones(1))), None, DataError,
        "no model of a kind that is known: it holds x",
    ),
    "a LoRA": (
        lambda t: (t.clear(), t.update({"lora_unet_x.lora_down.weight": torch.ones(1, 1)})), None,
        DataError, r"\(LoRA\), and no model by itself; use it so: demist sample MODEL --lora",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("change", "component", "kind", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(files, change, component, kind, words):
    place, *_ = files()
    metadata = open_file(place).held["unet"].file.metadata
    tensors = load_file(place)
    change(tensors)
    save_file(tensors, place, metadata)
    with pytest.raises(kind, match=words):
        open_file(place).require((component,)) or open_file(place).network(component)


def test_parts_that_make_no_sense(files, tmp_path):
    place, *_ = files()
    for part, kind, words in [
        ("vae", UsageError, "NAME=PATH"),
        ("hat=x", UsageError, "NAME one of vae, text"),
        ("vae=nowhere", MissingError, "no file or folder nowhere"),
        (f"text_encoder_2={place}", UsageError, "a Stable Diffusion 1.x has text_encoder"),
    ]:
        with pytest.raises(kind, match=words):
            open_file(place, [part])
    with pytest.raises(UsageError, match="choose one of v, eps"):
        open_file(place, asked="noise")
    with pytest.raises(UsageError, match="for a model in a single file"):
        read(tmp_path / "m", Reading(prediction="v"))
    pickle = tmp_path / "old.ckpt"
    pickle.write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(RefusedError, match="pickle"):
        open_file(pickle)


def test_a_lying_description_is_one_sentence(files):
    place, *_ = files()
    said = json.loads(open_file(place).held["unet"].file.metadata[KEY])
    for lie in ({"block_out_channels": [8, 24]}, {"_class_name": "AutoencoderKL"},
                {"layers_per_block": 3}, {"cross_attention_dim": "x"}):  # fmt: skip
        told = {**said, "unet": said["unet"] | lie}
        save_file(load_file(place), place, {KEY: json.dumps(told)})
        with pytest.raises(DataError):
            read(place)
    save_file(load_file(place), place, {KEY: "["})
    with pytest.raises(DataError, match="not valid JSON"):
        read(place)


def test_a_foreign_vocabulary_needs_its_tokenizer(files):
    place, *_ = files()
    said = json.loads(open_file(place).held["unet"].file.metadata[KEY])
    del said["tokenizer"]  # there are 60 words, and CLIP has 49,408
    save_file(load_file(place), place, {KEY: json.dumps(said)})
    with pytest.raises(MissingError, match=r"has no 'tokenizer'.*--part"):
        open_file(place).require(("text_encoder", "tokenizer"))


def test_t5_without_a_tokenizer_is_zeros_and_told(files):
    place, *_ = files("sd3")
    said = json.loads(open_file(place).held["transformer"].file.metadata[KEY])
    said.pop("tokenizer_3")
    save_file(load_file(place), place, {KEY: json.dumps(said)})
    with pytest.warns(UserWarning, match="T5 comes without its tokenizer"):
        source = open_file(place)
    assert not source.has("text_encoder_3")
    with pytest.warns(UserWarning, match="is a Stable Diffusion 3"):
        source = open_file(place, [f"tokenizer_3={place.parent / 'm'}"])
    assert source.has("text_encoder_3")


def test_random_numbers_differ(files):
    """The bits compared above are not all alike."""
    _, networks, _ = files()
    assert np.ptp([float(v.sum()) for v in networks["vae"].state_dict().values()]) > 1
