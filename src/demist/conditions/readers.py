"""What reads prompts for `FrozenText`: an encoder of transformers, or a CLIP of this program."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from demist.conditions.clip_words import END, tokenizer
from demist.errors import DataError, DemistError, MissingError
from demist.io.files import read_json
from demist.io.tensors import read_tensors, require_same
from demist.io.untrusted import inside, read_small
from demist.networks.published.clip_text import ClipText

TEXT, WORDS, INDEX = "text_encoder", "tokenizer", "model_index.json"


@runtime_checkable
class Reader(Protocol):
    """Turns a prompt into states."""

    @property
    def net(self) -> nn.Module:
        """The encoder."""

    @property
    def features(self) -> int:
        """Numbers in a state."""

    @property
    def longest(self) -> int | None:
        """Tokens that it reads at most; None: it does not say."""

    @property
    def words(self) -> str:
        """All that decides which tokens a prompt has."""

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where each token of a prompt begins and ends in it; marks are empty."""

    def run(self, text: str) -> tuple[Tensor, Tensor | None]:
        """States of a prompt's tokens, `(L, D)`, and a vector `(D,)` for the whole, if it has one.

        The vector is as wide as a state.
        """


class OwnClip:
    """The text tower in the folder of a CLIP that was trained here.

    Args:
        folder: The saved CLIP.

    Raises:
        MissingError: A file is not there.
        DataError: It is damaged.
    """

    def __init__(self, folder: Path):
        lines = read_small(inside(folder, f"{WORDS}/merges.txt")).decode().split("\n")
        self.pairs = tuple(lines[1:-1])
        said = read_json(inside(folder, f"{TEXT}/config.json"))
        weights = inside(folder, f"{TEXT}/model.safetensors")
        tensors = read_tensors(weights)
        keys = (
            "vocab_size", "max_position_embeddings", "hidden_size", "num_hidden_layers",
            "projection_dim",
        )  # fmt: skip
        if not all(isinstance(said.get(key), int) and 0 < said[key] < 2**20 for key in keys):
            raise DataError(f"{folder / TEXT / 'config.json'} describes no text tower")
        with torch.device("meta"):
            net = ClipText(*(said[key] for key in keys))
        require_same(net.state_dict(), tensors, str(weights))
        net.load_state_dict(tensors, assign=True)
        self.net: ClipText = net.eval().requires_grad_(False)
        self.longest, self.features = int(said[keys[1]]), int(said[keys[2]])

    @property
    def words(self) -> str:
        """See `Reader`."""
        return "\n".join((END, *self.pairs))

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """See `Reader`."""
        return [tuple(pair) for pair in tokenizer(self.pairs).encode(text).offsets]

    def run(self, text: str) -> tuple[Tensor, Tensor | None]:
        """See `Reader`; the vector is the state at the end, before it is projected."""
        ids = tokenizer(self.pairs).encode(text).ids
        with torch.inference_mode(False), torch.no_grad():
            states = self.net.text_model(torch.tensor([ids]))[0].float()
        return states, states[-1]


def opened(open_it: Callable[[], Any], where: str) -> Any:
    """What a function opens.

    Raises:
        DataError: It cannot, for whatever reason.
    """
    try:
        return open_it()
    except DemistError:
        raise
    except Exception as error:  # what a file says may make transformers raise anything
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{where} cannot be opened: {why}") from None


class OfTransformers:
    """An encoder in a folder as transformers saves it.

    Args:
        folder: With the encoder and its tokenizer.
        transformers: The library.
    """

    def __init__(self, folder: str, transformers: Any):
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        config = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        kinds = {"clip": "CLIPTextModel", "t5": "T5EncoderModel"}
        loader = getattr(transformers, kinds.get(config.model_type, "AutoModel"))
        net = loader.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
        self.net: nn.Module = net.eval().requires_grad_(False)
        text = getattr(config, "text_config", config)  # of CLIP with both halves
        self.features = int(text.hidden_size)
        longest = getattr(text, "max_position_embeddings", None)
        self.longest: int | None = longest if isinstance(longest, int) else None

    @property
    def words(self) -> str:
        """See `Reader`."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is not None:
            return str(backend.to_str())
        return json.dumps([str(self.tokenizer), self.tokenizer.get_vocab()], sort_keys=True)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """See `Reader`."""
        found = self.tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        return [tuple(pair) for pair in found]

    def run(self, text: str) -> tuple[Tensor, Tensor | None]:
        """See `Reader`."""
        found = self.tokenizer(text, return_tensors="pt")
        given = {k: v for k, v in found.items() if k in ("input_ids", "attention_mask")}
        with torch.inference_mode(False), torch.no_grad():
            output = self.net(**given)
        pooled = getattr(output, "pooler_output", None)
        states = output.last_hidden_state[0].float()
        return states, None if pooled is None else pooled[0].float()


def is_own(folder: Path) -> bool:
    """Whether a folder holds a CLIP that was trained here.

    Raises:
        MissingError: There is no such folder.
    """
    if not folder.is_dir():
        raise MissingError(f"there is no folder {folder} with a text encoder")
    if not (folder / INDEX).is_file():
        return False
    return bool(read_json(folder / INDEX).get("_class_name") == "DemistClip")
