"""A prompt read by the text encoders that a published model was trained with."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from demist.conditions.conditioner import Column, Condition, ReadImage
from demist.conditions.states import transformers_for
from demist.errors import UsageError

_KINDS = {
    "CLIPTextModel": "CLIPTextModel",
    "CLIPTextModelWithProjection": "CLIPTextModelWithProjection",
    "BertModel": "BertModel",
}
"""Class of an encoder in its configuration -> that of `transformers`."""


@dataclass(frozen=True)
class PromptStates(Condition):
    """A prompt as one or several frozen encoders of a model's own folder read it.

    Prompts are padded to the length that the encoder knows, and the padding is attended to: so
    these models were trained. Without a prompt they read the empty one.

    Attributes:
        folder: The model's.
        encoders: Folders of the encoders in it. Their tokens stand side by side.
        tokenizers: Folders of their tokenizers.
        layer: Whose states are taken: None for the last, after its norm; -2 for the one before.
        pooled: Whether the vector of the last encoder is given, too.
        zeros: Whether the null is zeros instead of the empty prompt.
        drop: Probability of hiding the prompt while training.
        group: Conditions of one group are hidden together.
    """

    folder: str
    encoders: tuple[str, ...]
    tokenizers: tuple[str, ...]
    layer: int | None = None
    pooled: bool = False
    zeros: bool = False
    drop: float = 0.1
    group: str = ""

    name: ClassVar[str] = "prompt-states"
    reads: ClassVar[str] = "text"
    short: ClassVar[str] = "prompt"
    usual: ClassVar[bool] = False

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "PromptStates":
        """Never: it belongs to a published model.

        Raises:
            UsageError: Always.
        """
        raise UsageError("prompt-states come with a published model; train with text")

    def encode(
        self, values: str | Sequence[str | None] | np.ndarray | None, n: int
    ) -> dict[str, Tensor]:
        """`states` `(n, L, D)`, and `pooled` `(n, P)`, of one prompt for all or of `n`.

        Raises:
            UsageError: A prompt is too long.
            MissingError: `transformers` or a folder is not there.
        """
        one = values is None or isinstance(values, str)
        texts = [values] if one else list(values)  # type: ignore[arg-type]
        if not one and len(texts) != n:
            raise UsageError(f"got {len(texts)} prompts for {n} samples; give one, or {n}")
        rows = [_read(self, None if text is None else str(text)) for text in texts]
        rows = rows * (n if one else 1)
        return {part: torch.stack([row[part] for row in rows]) for part in rows[0]}

    def spec(self) -> dict[str, Any]:
        return {"route": "tokens", "features": sum(m.config.hidden_size for _, m in self._read)}

    def parse(self, text: str, read_image: ReadImage) -> str:
        _read(self, text)
        return text

    @cached_property
    def _read(self) -> list[tuple[Any, Any]]:
        transformers = transformers_for(self.folder)
        found = []
        for tokenizer, encoder in zip(self.tokenizers, self.encoders, strict=True):
            reader = transformers.AutoTokenizer.from_pretrained(
                str(Path(self.folder) / tokenizer), local_files_only=True, trust_remote_code=False
            )
            where = str(Path(self.folder) / encoder)
            config = transformers.AutoConfig.from_pretrained(
                where, local_files_only=True, trust_remote_code=False
            )
            kind = (config.architectures or ["CLIPTextModel"])[0]
            if kind not in _KINDS:
                raise UsageError(
                    f"{where} is a {kind}, which is not known; known are {', '.join(_KINDS)}"
                )
            model = getattr(transformers, _KINDS[kind]).from_pretrained(
                where, local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
            found.append((reader, model.eval().requires_grad_(False)))
        return found


@lru_cache(maxsize=256)
def _read(condition: PromptStates, text: str | None) -> dict[str, Tensor]:
    """The encoding of one prompt; prompts come up again and again."""
    states, pooled = [], None
    for tokenizer, model in condition._read:
        length = model.config.max_position_embeddings
        whole = tokenizer(text or "")["input_ids"]
        if len(whole) > length:
            kept = tokenizer.decode(whole[: length - 1], skip_special_tokens=True)
            raise UsageError(
                f"the prompt has {len(whole)} tokens and this model reads {length}: up to "
                f"{kept[-40:]!r}; make it shorter"
            )
        found = tokenizer(text or "", padding="max_length", max_length=length, return_tensors="pt")
        with torch.inference_mode(False), torch.no_grad():
            read = model(found["input_ids"], output_hidden_states=True)
        layer = condition.layer
        states.append(read.last_hidden_state[0] if layer is None else read.hidden_states[layer][0])
        pooled = read.text_embeds[0] if hasattr(read, "text_embeds") else read.pooler_output[0]
    parts = {"states": torch.cat(states, dim=-1).float()}
    if condition.pooled and pooled is not None:
        parts["pooled"] = pooled.float()
    if text is None and condition.zeros:
        parts = {name: torch.zeros_like(value) for name, value in parts.items()}
    return parts
