"""A prompt read by the text encoders that a published model was trained with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demist.conditions.conditioner import Column, Condition, ReadImage
from demist.conditions.text_encoder import TextEncoder
from demist.errors import UsageError


@dataclass(frozen=True)
class PromptStates(Condition):
    """A prompt as one or several frozen encoders of a model's own folder read it.

    Prompts are padded to the length that the encoder knows, and the padding is attended to (unless
    `masked`): so these models were trained. Without a prompt they read the empty one.

    Attributes:
        encoders: Their tokens stand side by side.
        tokens: Whether these tokens are given; False: the vectors alone.
        layer: Whose states are taken: None for the last, after its norm; -2 for the one before.
        pooled: Which vectors are given, too: "", "last" for that of the last encoder, or "all".
        width: The tokens are widened to it with zeros; 0: they are not.
        long: A further encoder, whose tokens follow; None: zeros.
        long_length: How many tokens these are; 0: none follow.
        masked: Whether padding of the long encoder is hidden, from itself and from the network,
            which is given `mask`.
        lower: Whether prompts are read in lower case.
        zeros: Whether the null is zeros instead of the empty prompt.
        drop: Probability of hiding the prompt while training.
        group: Conditions of one group are hidden together.
    """

    encoders: tuple[TextEncoder, ...]
    tokens: bool = True
    layer: int | None = None
    pooled: str = ""
    width: int = 0
    long: TextEncoder | None = None
    long_length: int = 0
    masked: bool = False
    lower: bool = False
    zeros: bool = False
    drop: float = 0.1
    group: str = ""

    name: ClassVar[str] = ""
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
        """`states` `(n, L, D)`, `pooled` `(n, P)` and `mask` `(n, L)`, of one prompt or of `n`.

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
        return {"route": "tokens", "features": _read(self, None)["states"].shape[-1]}

    def parse(self, text: str, read_image: ReadImage) -> str:
        _read(self, text)
        return text

    @property
    def components(self) -> Mapping[str, nn.Module]:
        """The encoders."""
        return {encoder.name: encoder.model for encoder in self.readers}

    @property
    def readers(self) -> tuple[TextEncoder, ...]:
        """All encoders, the long one last."""
        return (*self.encoders, *([self.long] if self.long else []))


@lru_cache(maxsize=256)
def _read(condition: PromptStates, text: str | None) -> dict[str, Tensor]:
    """The encoding of one prompt; prompts come up again and again."""
    words = (text or "").lower().strip() if condition.lower else text or ""
    states, pooled, rows = [], [], []
    for encoder in condition.encoders:
        read, _ = _encoded(encoder, words)
        layer = condition.layer
        states.append(read.last_hidden_state[0] if layer is None else read.hidden_states[layer][0])
        pooled.append((read.text_embeds if hasattr(read, "text_embeds") else read.pooler_output)[0])
    if condition.tokens:
        tokens = torch.cat(states, dim=-1).float()
        rows.append(F.pad(tokens, (0, max(0, condition.width - tokens.shape[-1]))))
    parts = {}
    if condition.long is not None:
        read, mask = _encoded(condition.long, words, condition.masked)
        rows.append(read.last_hidden_state[0].float())
        if condition.masked:
            parts["mask"] = mask[0].float()
    elif condition.long_length:
        rows.append(torch.zeros(condition.long_length, rows[0].shape[-1]))
    parts["states"] = torch.cat(rows)
    if condition.pooled:
        parts["pooled"] = torch.cat(pooled if condition.pooled == "all" else pooled[-1:]).float()
    if text is None and condition.zeros:
        parts = {name: torch.zeros_like(value) for name, value in parts.items()}
    return parts


def _encoded(encoder: TextEncoder, text: str, masked: bool = False) -> tuple[Any, Tensor]:
    """What an encoder makes of a text that is padded to its length; 1 for tokens of the text.

    Args:
        encoder: It.
        text: The prompt.
        masked: Whether padding is hidden from the encoder.

    Raises:
        UsageError: The text is longer.
    """
    tokenizer, length = encoder.tokenizer, encoder.length
    whole = tokenizer(text)["input_ids"]
    if len(whole) > length:
        kept = tokenizer.decode(whole[: length - 1], skip_special_tokens=True)
        raise UsageError(
            f"the prompt has {len(whole)} tokens and this model reads {length}: up to "
            f"{kept[-40:]!r}; make it shorter"
        )
    found = tokenizer(text, padding="max_length", max_length=length, return_tensors="pt")
    mask: Tensor = found["attention_mask"]
    with torch.inference_mode(False), torch.no_grad():
        read = encoder.model(
            found["input_ids"],
            attention_mask=mask if masked else None,
            output_hidden_states=True,
        )
    return read, mask
