"""Extractors from the disk: the same as their sources on random weights, and clear when absent."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from demist.errors import DataError, MissingError, RefusedError, UsageError
from demist.evaluation.extractors import pretrained
from demist.evaluation.extractors.inception import Network
from demist.evaluation.extractors.pretrained import BLOCK, Transformer, load_extractor
from demist.evaluation.extractors.resize import prepare
from demist.evaluation.metrics.text_score import scores


def pictures(n=3, side=32, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, channels, side, side), dtype=np.uint8)


@pytest.fixture(scope="module")
def inception(tmp_path_factory):
    """A file of random weights, with statistics that are not trivial."""
    torch.manual_seed(0)
    network = Network()
    for name, value in network.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.1)
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    path = tmp_path_factory.mktemp("weights") / "inception.safetensors"
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path)
    return path


def test_resizing_is_antialiased():
    """Stripes finer than the new pixels become grey; without a filter they would alias."""
    stripes = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    stripes[..., ::2] = 200
    small = prepare(stripes, 16)
    assert small.shape == (1, 3, 16, 16)
    assert (small[..., 2:-2, 2:-2] - 100).abs().max() < 2
    same = prepare(stripes, 64)
    assert torch.equal(same[0, 1], stripes[0, 0].float())
    with pytest.raises(DataError, match="not 4"):
        prepare(torch.zeros(1, 4, 8, 8, dtype=torch.uint8), 8)


def test_resizing_is_pillow_s():
    from PIL import Image

    x = pictures(1, 50, 1)
    image = Image.fromarray(x[0, 0].astype(np.float32), mode="F")
    theirs = np.asarray(image.resize((31, 31), Image.Resampling.BICUBIC)).clip(0, 255)
    np.testing.assert_allclose(prepare(torch.from_numpy(x), 31)[0, 0], theirs, atol=0.02)


@pytest.mark.slow
def test_inception_sees(inception):
    extractor = load_extractor(inception)
    x = pictures()
    both = extractor.see(x)
    assert both.shape == (3, 2048 + 7 * 17 * 17)
    assert extractor.dimension == 2048
    assert extractor.recipe.startswith("Inception-v3 (FID), antialiased to 299, weights ")
    np.testing.assert_allclose(extractor.see(x[1:])[0], both[1], rtol=1e-4, atol=1e-5)


def test_inception_is_torch_fidelity_s(inception):
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    from safetensors.torch import load_file

    weights = load_file(inception)

    class Theirs(module.FeatureExtractorInceptionV3):
        def load_state_dict(self, _):
            return super().load_state_dict(weights)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        theirs = Theirs("inception-v3-compat", ["2048"])
    x = pictures(2, 299)  # no resizing, in which the conventions differ
    expected = theirs(torch.from_numpy(x))[0].numpy()
    found = load_extractor(inception).see(x)[:, :2048]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(MissingError, match="the judge's features are used"):
        load_extractor(tmp_path / "no.safetensors")
    with pytest.raises(MissingError, match=r"no config.json in"):
        load_extractor(tmp_path)


def test_pickles_are_refused(tmp_path):
    for name in ("a.pth", "b.pkl", "pytorch_model.bin"):
        (tmp_path / name).write_bytes(b"\x80\x04")
        with pytest.raises(RefusedError, match="is a pickle"):
            load_extractor(tmp_path / name)


def test_other_tensors_are_refused(tmp_path):
    save_file({"x": torch.zeros(2)}, tmp_path / "x.safetensors")
    with pytest.raises(DataError, match="does not hold Inception-v3"):
        load_extractor(tmp_path / "x.safetensors")
    (tmp_path / "y.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match="not a whole safetensors"):
        load_extractor(tmp_path / "y.safetensors")


def test_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "dinov2"}))
    save_file({"x": torch.zeros(2)}, tmp_path / pretrained.WEIGHTS)
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(MissingError, match=r"pip install 'demist\[encoders\]'"):
        load_extractor(tmp_path)


def tiny_clip(folder):
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
             "num_attention_heads": 2}  # fmt: skip
    config = transformers.CLIPConfig(
        text_config={**small, "vocab_size": 10, "max_position_embeddings": 8,
                     "bos_token_id": 0, "eos_token_id": 9},
        vision_config={**small, "image_size": 32, "patch_size": 16}, projection_dim=12,
    )  # fmt: skip
    model = transformers.CLIPModel(config).eval()
    model.save_pretrained(folder)
    words = {
        word: i
        for i, word in enumerate(["<s>", "a", "red", "dog", "of", "x", "y", "z", "w", "</s>"])
    }
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="x"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    core.post_processor = tokenizers.processors.TemplateProcessing(
        "<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 9)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="</s>", model_max_length=8
    ).save_pretrained(folder)
    return model


def test_clip_compares_images_with_texts(tmp_path):
    model = tiny_clip(tmp_path)
    extractor = load_extractor(tmp_path)
    assert (extractor.dimension, extractor.side) == (12, 32)
    x, said = pictures(2), ["a red dog", "a dog"]
    score = scores(*(v.astype(np.float64) for v in (extractor.see(x), extractor.read(said))))
    mean, std = (np.array(v, np.float32)[:, None, None] for v in pretrained.MEANS["clip"])
    ids = torch.tensor([[0, 1, 2, 3, 9], [0, 1, 3, 9, 9]])
    out = model(
        input_ids=ids,
        attention_mask=torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]),
        pixel_values=torch.from_numpy((x / 255 - mean) / std).float(),
    )
    cosine = (out.image_embeds * out.text_embeds).sum(1).detach().numpy()
    np.testing.assert_allclose(score, 100 * cosine.clip(0), atol=1e-3)
    many = ["a red dog"] + ["a dog", "dog of a red dog"] * BLOCK
    np.testing.assert_allclose(
        extractor.read(many)[[0, 1]], extractor.read(said), rtol=1e-4, atol=1e-5
    )


def test_dinov2_gives_the_class_token(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=224, patch_size=56
    )
    model = transformers.Dinov2Model(config).eval()
    model.save_pretrained(tmp_path)
    extractor = Transformer(tmp_path)
    x = pictures(2, 224)
    mean, std = (np.array(v, np.float32)[:, None, None] for v in pretrained.MEANS["dinov2"])
    with torch.no_grad():
        expected = model(torch.from_numpy((x / 255 - mean) / std).float()).last_hidden_state[:, 0]
    np.testing.assert_allclose(extractor.see(x), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(UsageError, match="dinov2 reads no texts"):
        extractor.read(["a", "b"])
    assert not extractor.reads


def test_models_of_other_kinds_are_refused(tmp_path):
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    save_file({"x": torch.zeros(2)}, tmp_path / pretrained.WEIGHTS)
    with pytest.raises(DataError, match="'bert'; known are dinov2, clip"):
        load_extractor(tmp_path)


def test_a_damaged_folder_is_said(tmp_path):
    tiny_clip(tmp_path)
    whole = (tmp_path / pretrained.WEIGHTS).read_bytes()
    (tmp_path / pretrained.WEIGHTS).write_bytes(whole[:1000])
    with pytest.raises(DataError, match="does not hold a whole model"):
        load_extractor(tmp_path)
    (tmp_path / pretrained.WEIGHTS).write_bytes(whole)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(MissingError, match="there is no tokenizer in"):
        load_extractor(tmp_path)
    (tmp_path / "config.json").write_text("{broken")
    with pytest.raises(DataError, match="does not hold a whole model"):
        load_extractor(tmp_path)
