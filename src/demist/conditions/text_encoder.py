"""A frozen text encoder of `transformers` and its tokenizer, opened when they are first needed."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from demist.conditions.readers import opened
from demist.conditions.states import transformers_for
from demist.errors import UsageError
from demist.machine.offload import moved, turns_on
from demist.machine.packages import require_packages

KINDS = {
    "CLIPTextModel": "CLIPTextModel",
    "CLIPTextModelWithProjection": "CLIPTextModelWithProjection",
    "BertModel": "BertModel",
    "T5EncoderModel": "T5EncoderModel",
    "T5ForConditionalGeneration": "T5EncoderModel",
}
"""Class of an encoder in its configuration -> that of `transformers`."""

PIECES = "spiece.model"
"""The words of T5 in the form of SentencePiece, often without tokenizer.json beside it."""


class TextEncoder:
    """An encoder and its tokenizer, compared by identity.

    Attributes:
        name: Of the component, such as `text_encoder_2`.
        where: For messages.
        words: Further words of its vocabulary, with the rows of its embedding that each stands for.
    """

    def __init__(
        self,
        name: str,
        where: str,
        open_model: Callable[[], nn.Module],
        open_tokenizer: Callable[[], Any],
        length: int | None = None,
        words: Mapping[str, Sequence[int]] | None = None,
    ):
        """One that is opened by two functions.

        Args:
            name: Of the component.
            where: For messages.
            open_model: Gives the encoder, called once.
            open_tokenizer: Gives its tokenizer, called once.
            length: Tokens that it reads; None: as its configuration says.
            words: See the attribute.
        """
        self.name, self.where, self.words = name, where, dict(words or {})
        self._open_model, self._open_tokenizer, self._length = open_model, open_tokenizer, length
        self._device, self._turns = torch.device("cpu"), False

    @cached_property
    def model(self) -> Any:
        """The encoder, in evaluation, without gradients."""
        return self._placed(self._open_model().eval().requires_grad_(False))

    def to(self, device: torch.device, turns: bool = False) -> None:
        """Run on a device, now or once it is opened.

        Args:
            device: Which.
            turns: Whether it is there only while it runs; see `demist.machine.offload`.
        """
        self._device, self._turns = device, turns
        if self.opened:
            self._placed(self.model)

    def _placed(self, model: nn.Module) -> nn.Module:
        if not self._turns:
            return model.to(self._device)
        turns_on(self._device).add(model)
        return model

    def run(self, ids: Tensor, mask: Tensor | None = None) -> Any:
        """What the encoder makes of tokens, with all hidden states, on the CPU.

        Args:
            ids: Tokens `(b, L)`.
            mask: 1 for what is read, 0 for padding that is hidden, `(b, L)`; None: all is read.
        """
        model = self.model
        ids = ids if self._turns else ids.to(self._device)
        mask = mask if mask is None else mask.to(ids.device)
        with torch.inference_mode(False), torch.no_grad():
            found = model(ids, attention_mask=mask, output_hidden_states=True)
        return moved(found, torch.device("cpu"))

    @cached_property
    def tokenizer(self) -> Any:
        """Its tokenizer."""
        tokenizer = self._open_tokenizer()
        # It would say that long prompts end in errors; they are read in chunks.
        known = getattr(tokenizer, "deprecation_warnings", {})
        known["sequence-length-is-longer-than-the-specified-maximum"] = True
        return tokenizer

    @property
    def opened(self) -> bool:
        """Whether the encoder has been needed."""
        return "model" in self.__dict__

    def changed(
        self,
        change: Callable[[nn.Module], nn.Module],
        words: Mapping[str, Sequence[int]] | None = None,
    ) -> "TextEncoder":
        """This encoder with another network and the same tokenizer; this one stays as it is.

        Args:
            change: Gives the network from this one's, called when it is needed.
            words: Further words.
        """
        more = {**self.words, **(words or {})}
        made = TextEncoder(
            self.name, self.where, lambda: change(self.model), lambda: self.tokenizer,
            self._length, more,
        )  # fmt: skip
        made.to(self._device, self._turns)
        return made

    @property
    def length(self) -> int:
        """How many tokens it reads."""
        return self._length or int(self.model.config.max_position_embeddings)


def from_folder(
    folder: Path,
    encoder: str,
    tokenizer: str,
    length: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> TextEncoder:
    """The encoder and the tokenizer in two folders of a model.

    Args:
        folder: The model.
        encoder: Folder of the encoder in it.
        tokenizer: Folder of its tokenizer.
        length: Tokens that it reads; None: as its configuration says.
        dtype: Of its weights.
    """
    where = str((folder / encoder).resolve())

    def open_model() -> nn.Module:
        transformers = transformers_for(str(folder))
        config = transformers.AutoConfig.from_pretrained(
            where, local_files_only=True, trust_remote_code=False
        )
        kind = (config.architectures or ["CLIPTextModel"])[0]
        if kind not in KINDS:
            raise UsageError(
                f"{where} is a {kind}, which is not known; known are {', '.join(KINDS)}"
            )
        model: nn.Module = getattr(transformers, KINDS[kind]).from_pretrained(
            where, local_files_only=True, use_safetensors=True, trust_remote_code=False,
            torch_dtype=dtype,
        )  # fmt: skip
        return model

    def open_tokenizer() -> Any:
        place = folder / tokenizer
        if (place / PIECES).is_file() and not (place / "tokenizer.json").is_file():
            needed = ("sentencepiece", "google.protobuf")
            require_packages(f"{place}, whose words are in {PIECES},", needed, "encoders")
        return transformers_for(str(folder)).AutoTokenizer.from_pretrained(
            str(place), local_files_only=True, trust_remote_code=False
        )

    return TextEncoder(
        encoder,
        where,
        lambda: opened(open_model, where),
        lambda: opened(open_tokenizer, str(folder / tokenizer)),
        length,
    )
