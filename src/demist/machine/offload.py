"""Parts of a model that take turns on a device: one is there, the others wait on the CPU."""

import weakref
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn


class Turns:
    """A device that holds one part at a time: the one that ran last.

    Attributes:
        device: The device.
    """

    def __init__(self, device: torch.device):
        """Nothing is there yet."""
        self.device = device
        self._there: weakref.ref[nn.Module] | None = None

    def __deepcopy__(self, memo: Any) -> "Turns":
        return self  # a copy of a part waits for the same device

    @property
    def there(self) -> nn.Module | None:
        """The part that the device holds."""
        return self._there() if self._there is not None else None

    def add(self, part: nn.Module) -> None:
        """Let a part take turns; what calls another method than `forward` calls `bring` first.

        What `forward` is given goes to the device, and its result back to where the first tensor
        among its arguments was.
        """
        part.to("cpu")
        if getattr(part, "turns", None) is not None:
            return
        object.__setattr__(part, "turns", self)
        home = [torch.device("cpu")]

        def before(part: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
            given = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
            home[0] = given[0].device
            bring(part)
            return moved(args, self.device), moved(kwargs, self.device)

        def after(part: nn.Module, args: Any, output: Any) -> Any:
            return moved(output, home[0])

        part.register_forward_pre_hook(before, with_kwargs=True)
        part.register_forward_hook(after)

    def take(self, part: nn.Module) -> None:
        """Put a part on the device, and the one that is there back."""
        before = self.there
        if before is part:
            return
        # What is made in inference mode could not be used outside of it.
        with torch.inference_mode(False), torch.no_grad():
            if before is not None:
                before.to("cpu")
            part.to(self.device)
        self._there = weakref.ref(part)


@lru_cache
def turns_on(device: torch.device) -> Turns:
    """The turns on a device, which all models share."""
    return Turns(device)


def bring(part: nn.Module) -> bool:
    """Put a part where it runs, if it takes turns; whether it does."""
    turns: Turns | None = getattr(part, "turns", None)
    if turns is not None:
        turns.take(part)
    return turns is not None


def moved(value: Any, device: torch.device) -> Any:
    """The tensors in tuples, lists and mappings on a device; outputs of a library in place."""
    if isinstance(value, Tensor):
        return value.to(device)
    if type(value) is dict:
        return {key: moved(item, device) for key, item in value.items()}
    if isinstance(value, MutableMapping):
        for key in list(value):
            value[key] = moved(value[key], device)
    elif isinstance(value, tuple | list):
        return type(value)(moved(item, device) for item in value)
    return value
