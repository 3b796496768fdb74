"""Encoders and tokenizers that cannot be opened: one sentence, with transformers or without."""

import sys
from types import SimpleNamespace

import pytest

from demist.conditions import text_encoder
from demist.errors import DataError, MissingError
from demist.machine import packages


class Broken:
    @classmethod
    def from_pretrained(cls, *arguments, **options):
        raise ValueError("no such thing\nand much more")


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    for name in ("text_encoder", "tokenizer"):
        (tmp_path / name).mkdir()
    log = SimpleNamespace(disable_progress_bar=lambda: None)
    library = SimpleNamespace(
        AutoTokenizer=Broken, AutoConfig=Broken, utils=SimpleNamespace(logging=log)
    )
    monkeypatch.setitem(sys.modules, "transformers", library)
    return text_encoder.from_folder(tmp_path, "text_encoder", "tokenizer")


def test_what_transformers_says_is_one_sentence(encoder):
    with pytest.raises(DataError, match=r"text_encoder cannot be opened: no such thing$"):
        _ = encoder.model
    with pytest.raises(DataError, match=r"tokenizer cannot be opened: no such thing$"):
        _ = encoder.tokenizer


@pytest.mark.parametrize("lacking", ["sentencepiece", "google.protobuf"])
def test_words_in_the_form_of_sentencepiece(encoder, tmp_path, monkeypatch, lacking):
    (tmp_path / "tokenizer/spiece.model").write_bytes(b"")
    monkeypatch.setattr(packages, "installed", lambda name: name != lacking)
    words = rf"spiece\.model, needs the package {lacking}: pip install 'demist\[encoders\]'"
    with pytest.raises(MissingError, match=words):
        _ = encoder.tokenizer
    (tmp_path / "tokenizer/tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match="no such thing"):
        _ = encoder.tokenizer


def test_a_package_in_a_package_that_is_missing():
    assert not packages.installed("no_such_package.inner")
    assert packages.installed("json.decoder")
