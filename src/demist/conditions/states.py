"""Tokens made elsewhere: by a frozen text encoder, or by anything that turns things into vectors.

Encoded as `(n, 1 + L, D + 1)`: row 0 is the pooled vector, the rest are token states; the last
column is how much a token counts in attention, 0 for padding (see `demist.conditions.text`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from demist.conditions.conditioner import Condition
from demist.conditions.text import split_weights
from demist.errors import MissingError, UsageError

TokenRoute = Literal["tokens", "extra"]


@dataclass(frozen=True)
class States(Condition):
    """Token states that the caller computes, such as embeddings of an image.

    Attributes:
        tokens: L, how many.
        features: D, numbers per token.
        route: `tokens`, or `extra` for attention of its own.
        drop: Probability of hiding them while training.
        group: Conditions of one group are hidden together.
    """

    name: ClassVar[str] = "states"
    tokens: int
    features: int
    route: TokenRoute = "tokens"
    drop: float = 0.1
    group: str = ""

    def encode(self, values: Any, n: int) -> Float[Tensor, "n l d"]:
        """Pack `(n, L, D)` states, or `(L, D)` for all samples; None says nothing.

        The pooled vector is their mean. Nothing said is one token of zeros.
        """
        if values is None:
            out = torch.zeros(n, 1 + self.tokens, self.features + 1)
            out[:, 1, -1] = 1
            return out
        x = torch.as_tensor(np.asarray(values)).float()
        x = x.expand(n, *x.shape) if x.ndim == 2 else x
        if x.shape != (n, self.tokens, self.features):
            raise UsageError(
                f"states of shape {tuple(x.shape)} for {n} samples; this condition takes "
                f"({self.tokens}, {self.features}), one for all or {n} of them"
            )
        return pack(x, torch.ones(n, self.tokens), x.mean(1))

    def null(self, encoded: Float[Tensor, "b l d"]) -> Float[Tensor, "b l d"]:
        return self.encode(None, len(encoded)).to(encoded)

    def spec(self) -> dict[str, Any]:
        return {"route": self.route, "features": self.features}


@dataclass(frozen=True)
class FrozenText(Condition):
    """A prompt read by a pretrained encoder (CLIP, T5, any sentence encoder) that stays as it is.

    The encoder is not part of the saved model: the folder must be there when it samples.

    Attributes:
        folder: With the encoder and its tokenizer, as `transformers` saves them. Nothing is
            downloaded.
        length: Tokens per prompt, special ones included.
        features: Numbers per token, the encoder's hidden size.
        route: `tokens`, or `extra` for attention of its own.
        drop: Probability of hiding the prompt while training.
        group: Conditions of one group are hidden together.
    """

    name: ClassVar[str] = "frozen-text"
    folder: str
    length: int
    features: int
    route: TokenRoute = "tokens"
    drop: float = 0.1
    group: str = ""

    def encode(
        self, values: str | Sequence[str | None] | np.ndarray | None, n: int
    ) -> Float[Tensor, "n l d"]:
        """States, weights and pooled vector of one prompt for all, or of `n`.

        Raises:
            UsageError: A prompt is too long.
            MissingError: `transformers` or the folder is not there.
        """
        one = values is None or isinstance(values, str)
        texts = [values] if one else list(values)  # type: ignore[arg-type]
        if not one and len(texts) != n:
            raise UsageError(f"got {len(texts)} prompts for {n} samples; give one, or {n}")
        rows = torch.stack([_read(self, str(text or "")) for text in texts])
        return rows.expand(n, -1, -1).clone() if one else rows

    def null(self, encoded: Float[Tensor, "b l d"]) -> Float[Tensor, "b l d"]:
        return self.encode("", 1).to(encoded).expand_as(encoded)

    def spec(self) -> dict[str, Any]:
        return {"route": self.route, "features": self.features}

    @classmethod
    def of(cls, folder: str, length: int, drop: float = 0.1) -> "FrozenText":
        """The condition of an encoder, which knows itself how many numbers it gives per token.

        Raises:
            MissingError: `transformers` or the folder is not there.
        """
        config = _library(folder).AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        config = getattr(config, "text_config", config)  # of CLIP with both halves
        return cls(str(Path(folder).resolve()), length, config.hidden_size, drop=drop)

    def cut(self, text: str) -> str:
        """The beginning of `text` that fits, for captions that are too long to learn from."""
        plain, _ = split_weights(text)
        offsets = self._encoder[0](plain, return_offsets_mapping=True)["offset_mapping"]
        over = len(offsets) - self.length
        words = [(a, b) for a, b in offsets if b > a]
        if over <= 0:
            return text
        return plain[: words[-over - 1][1]] if over < len(words) else ""

    @cached_property
    def _encoder(self) -> tuple[Any, Any]:
        transformers = _library(self.folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            self.folder, local_files_only=True, trust_remote_code=False
        )
        config = transformers.AutoConfig.from_pretrained(
            self.folder, local_files_only=True, trust_remote_code=False
        )
        kinds = {"clip": "CLIPTextModel", "t5": "T5EncoderModel"}
        loader = getattr(transformers, kinds.get(config.model_type, "AutoModel"))
        model = loader.from_pretrained(
            self.folder, local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
        return tokenizer, model.eval().requires_grad_(False)


def _library(folder: str) -> Any:
    """The `transformers` library, imported when an encoder is first needed."""
    try:
        import transformers
    except ImportError:
        raise MissingError(
            "a pretrained text encoder needs the package transformers: "
            "pip install 'demist[encoders]'"
        ) from None
    if not Path(folder).is_dir():
        raise MissingError(f"there is no folder {folder} with a text encoder")
    return transformers


@lru_cache(maxsize=4096)
def _read(condition: FrozenText, text: str) -> Tensor:
    """The packed encoding of one prompt; captions come up again and again."""
    tokenizer, model = condition._encoder
    plain, at = split_weights(text)
    found = tokenizer(plain, return_offsets_mapping=True, return_tensors="pt")
    offsets = found.pop("offset_mapping")[0].tolist()
    if len(offsets) > condition.length:
        end = offsets[condition.length - 1][0]
        raise UsageError(
            f"the prompt has {len(offsets)} tokens and this model reads {condition.length}; leave "
            f"out {plain[end:].strip()!r} or as much elsewhere"
        )
    with torch.inference_mode(False), torch.no_grad():
        said = model(**{k: v for k, v in found.items() if k in ("input_ids", "attention_mask")})
    states = said.last_hidden_state[0].float()
    weights = torch.tensor([at[a] if b > a else 1.0 for a, b in offsets])
    pooled = getattr(said, "pooler_output", None)
    mean = (states * weights[:, None]).sum(0) / weights.sum()
    room = condition.length - len(states)
    return pack(
        torch.cat([states, torch.zeros(room, states.shape[1])])[None],
        torch.cat([weights, torch.zeros(room)])[None],
        (mean if pooled is None else pooled[0].float())[None],
    )[0]


def pack(
    states: Float[Tensor, "n l d"], weights: Float[Tensor, "n l"], pooled: Float[Tensor, "n d"]
) -> Tensor:
    """States, weights and pooled vector in one tensor, `(n, 1 + L, D + 1)`."""
    out = torch.zeros(len(states), 1 + states.shape[1], states.shape[2] + 1)
    out[:, 0, :-1], out[:, 1:, :-1], out[:, 1:, -1] = pooled, states, weights
    return out
