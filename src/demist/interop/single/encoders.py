"""Text encoders of `transformers` from the tensors of a single file."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from demist.conditions.states import transformers_for
from demist.errors import DataError

Config = Mapping[str, Any]


def clip_encoder(
    config: Config, projected: bool, tensors: Mapping[str, Tensor], where: str
) -> nn.Module:
    """A CLIPTextModel, or one that gives a projected vector.

    Args:
        config: As its `config.json` would say.
        projected: Whether it does.
        tensors: Under the names of `transformers`, with `text_model.`.
        where: For messages.

    Raises:
        DataError: They do not fit the configuration.
        MissingError: `transformers` is not installed.
    """
    transformers = transformers_for(None)
    cls = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    model: nn.Module = _on_meta(lambda: cls(transformers.CLIPTextConfig(**config)), where)
    own = model.state_dict()
    bare = not any(name.startswith("text_model.") for name in own)  # so newer versions name them
    given = {k.removeprefix("text_model.") if bare else k: v for k, v in tensors.items()}
    _load(model, given, where)
    for module in model.modules():
        if "position_ids" in module._buffers:
            row = torch.arange(int(config["max_position_embeddings"]))[None]
            module.register_buffer("position_ids", row, persistent=False)
    return model


def t5_encoder(config: Config, tensors: Mapping[str, Tensor], where: str) -> nn.Module:
    """A T5EncoderModel.

    Args:
        config: As its `config.json` would say.
        tensors: Under the names of `transformers`.
        where: For messages.

    Raises:
        DataError: They do not fit the configuration.
        MissingError: `transformers` is not installed.
    """
    transformers = transformers_for(None)
    model: nn.Module = _on_meta(
        lambda: transformers.T5EncoderModel(transformers.T5Config(**config)), where
    )
    given = dict(tensors)
    if "encoder.embed_tokens.weight" in model.state_dict():
        given["encoder.embed_tokens.weight"] = given["shared.weight"]
    # What leaves the inner layer is too large for fp16.
    given = {k: v.float() if v.dtype == torch.float16 and k.endswith(".wo.weight") else v
             for k, v in given.items()}  # fmt: skip
    _load(model, given, where)
    return model


def _on_meta(make: Callable[[], nn.Module], where: str) -> Any:
    try:
        with torch.device("meta"):
            return make()
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{where} describes no text encoder: {reason}") from None


def _load(model: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    try:
        model.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        row = str(error).strip().splitlines()[-1].strip()
        raise DataError(f"the tensors in {where} do not fit its configuration: {row}") from None
