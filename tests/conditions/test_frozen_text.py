"""Pretrained text encoders, with tiny random ones made on the spot."""

import shutil

import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers")
from tokenizers import Tokenizer, models, pre_tokenizers, processors  # noqa: E402

from demist.conditions import FrozenText  # noqa: E402
from demist.config import TrainConfig, update  # noqa: E402
from demist.data import Dataset  # noqa: E402
from demist.errors import DataError, MissingError, UsageError  # noqa: E402
from demist.model.pipeline import Pipeline  # noqa: E402
from demist.training.run import train  # noqa: E402

WORDS = {w: i for i, w in enumerate(["<pad>", "<s>", "</s>", "<unk>", "a", "red", "seven"])}
IGNORED = "ignore::Warning"


def saved_encoder(folder, kind):
    made = Tokenizer(models.WordLevel(WORDS, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        unk_token="<unk>",
    ).save_pretrained(folder)  # fmt: skip
    torch.manual_seed(0)
    if kind == "clip":
        config = transformers.CLIPTextConfig(
            vocab_size=7, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
            num_attention_heads=2, max_position_embeddings=12, eos_token_id=2, bos_token_id=1,
            pad_token_id=0,
        )  # fmt: skip
        model = transformers.CLIPTextModel(config)
    else:
        config = transformers.T5Config(
            vocab_size=7, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2
        )
        model = transformers.T5EncoderModel(config)
    model.save_pretrained(folder)
    return model.eval()


@pytest.mark.filterwarnings(IGNORED)
@pytest.mark.parametrize("kind", ["clip", "t5"])
def test_states_weights_and_pooled_vector_are_the_encoders(tmp_path, kind):
    model = saved_encoder(tmp_path, kind)
    text = FrozenText(str(tmp_path), 8, 16)
    encoded = text.encode(["a (red:1.5) seven", "", None], 3)
    states, weights = encoded["states"], encoded["weights"]
    assert (states.shape, weights.shape, encoded["pooled"].shape) == ((3, 8, 16), (3, 8), (3, 16))
    with torch.no_grad():
        said = model(input_ids=torch.tensor([[1, 4, 5, 6, 2]]))
    torch.testing.assert_close(states[0, :5], said.last_hidden_state[0])
    assert weights[0].tolist() == [1, 1, 1.5, 1, 1, 0, 0, 0]
    pooled = getattr(said, "pooler_output", None)
    if pooled is not None:
        torch.testing.assert_close(encoded["pooled"][0], pooled[0])
    for part, null in text.encode(None, 1).items():
        assert torch.equal(encoded[part][1], encoded[part][2])
        assert torch.equal(encoded[part][1], null[0])
    with pytest.raises(UsageError, match="has 10 tokens and this model reads 8"):
        text.encode("a a a a a a a a", 1)


@pytest.mark.filterwarnings(IGNORED)
@pytest.mark.parametrize("kind", ["clip", "t5"])
def test_a_model_is_trained_on_captions_that_it_reads(tmp_path, kind):
    saved_encoder(tmp_path / "encoder", kind)
    x = np.random.default_rng(0).integers(0, 256, (12, 3, 8, 8), dtype=np.uint8)
    long = "a red seven a a red seven seven"
    data = Dataset(x, texts=("a red", "seven", long, "a") * 3, name="words")
    options = {
        "channels_per_level": [8], "head_dim": 8, "norm_groups": 2, "batch_size": 4, "steps": 3,
        "sample_steps": 2, "sample_count": 4, "precision": "fp32", "runs": str(tmp_path / "runs"),
        "text_encoder": str(tmp_path / "encoder"), "text_length": 6, "lr": 0.1, "warmup": 0,
    }  # fmt: skip
    run = train(update(TrainConfig(), options), data=data, quiet=True)
    made = Pipeline.load(run.model)
    text = made.conditioner.conditions["text"]
    place = str(run.model / "text_encoder")
    assert (text.features, text.length, text.folder) == (16, 6, place)
    assert text.cut(long) == "a red seven a"
    assert text.cut("a (red:2)") == "a (red:2)"
    assert made.facts["captions_cut"] == 3
    assert not np.array_equal(made.sample(1, text="a red"), made.sample(1, text="seven"))
    assert np.array_equal(made.sample(1, text="", guidance=1.0), made.sample(1))
    shutil.rmtree(tmp_path / "encoder")
    moved = Pipeline.load(run.path.rename(tmp_path / "moved") / "model")
    assert np.array_equal(moved.sample(1, text="a red"), made.sample(1, text="a red"))


@pytest.mark.filterwarnings(IGNORED)
def test_a_run_goes_on_with_its_copy_of_an_encoder_that_is_gone(tmp_path, capsys):
    saved_encoder(tmp_path / "encoder", "t5")
    x = np.random.default_rng(0).integers(0, 256, (12, 3, 8, 8), dtype=np.uint8)
    data = Dataset(x, texts=("a red", "seven", "a", "red") * 3, name="words")
    options = {
        "channels_per_level": [8], "head_dim": 8, "norm_groups": 2, "batch_size": 4,
        "sample_steps": 2, "sample_count": 4, "precision": "fp32", "runs": str(tmp_path / "runs"),
        "text_encoder": str(tmp_path / "encoder"), "text_length": 6, "lr": 0.1, "warmup": 0,
        "decay": "constant",
    }  # fmt: skip

    def trained(steps, run=None):
        config = update(TrainConfig(), {**options, "steps": steps})
        return train(config, run, resume=run is not None, data=data, quiet=True)

    whole, run = trained(4), trained(2)
    shutil.rmtree(tmp_path / "encoder")
    run = trained(4, run)
    assert f"encoder is gone; its copy {run.path / 'text_encoder'} reads" in capsys.readouterr().err
    made, wanted = Pipeline.load(run.model), Pipeline.load(whole.model)
    assert np.array_equal(made.sample(2, text="a red"), wanted.sample(2, text="a red"))


@pytest.mark.filterwarnings(IGNORED)
def test_a_folder_without_an_encoder_is_one_sentence(tmp_path):
    saved_encoder(tmp_path, "t5")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError, match=f"{tmp_path} cannot be opened: "):
        FrozenText(str(tmp_path), 8, 16).encode("a", 1)


def test_a_folder_that_is_not_there():
    with pytest.raises(MissingError, match="no folder none"):
        FrozenText("none", 8, 16).encode("a", 1)
