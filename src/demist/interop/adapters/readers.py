"""The text encoders of a model's prompts, found and put back."""

from collections.abc import Mapping

from demist.conditions import Condition, Conditioner, PromptStates, TextEncoder


def readers_of(conditioner: Conditioner) -> dict[str, TextEncoder]:
    """The text encoders of a model's prompts, by the names of their components."""
    prompts = [c for c in conditioner.conditions.values() if isinstance(c, PromptStates)]
    return {reader.name: reader for prompt in prompts for reader in prompt.readers}


def with_readers(conditioner: Conditioner, new: Mapping[str, TextEncoder]) -> Conditioner:
    """The same conditions, prompts read by other encoders."""
    changed: dict[str, Condition] = {
        name: c.read_by(new) if isinstance(c, PromptStates) else c
        for name, c in conditioner.conditions.items()
    }
    return Conditioner(changed) if new else conditioner
