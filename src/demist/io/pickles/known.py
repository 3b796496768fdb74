"""The few names that are taken as data: containers, and how torch describes a tensor."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from demist.io.pickles.values import Items, Name, Storage, Stored, Unknown, shown

STORAGES: Mapping[str, torch.dtype | None] = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool, "ComplexFloatStorage": torch.complex64, "UntypedStorage": None,
}  # fmt: skip
"""Class of a storage -> type of its numbers."""

MODULES = ("torch", "torch.storage", "torch.cuda")

DTYPES: Mapping[str, torch.dtype] = {
    str(dtype): dtype
    for dtype in (
        *(value for value in STORAGES.values() if value is not None),
        *(torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32, torch.uint64),
    )
}
"""Name of a type -> the type."""


def storage_of(said: Any) -> Storage | Name | Unknown:
    """What a persistent id names: ("storage", class, key, device, count), or a module's class."""
    parts: list[Any] = list(said) if isinstance(said, tuple) and 4 <= len(said) <= 6 else [None] * 5
    word, kind, key, _, numel, *view = [*parts, None][:6]
    if word == "module" and isinstance(kind, Name):
        return kind
    dtype = STORAGES.get(kind.attribute) if isinstance(kind, Name) else None
    known = isinstance(kind, Name) and kind.attribute in STORAGES and kind.module in MODULES
    right = word == "storage" and known and not any(view) and isinstance(key, str)
    if not right or type(numel) is not int or not 0 <= numel < 2**48:
        name = shown(kind.text) if isinstance(kind, Name) else "no class"
        return Unknown(f"a storage of {name}", tensor=True)
    return Storage(key, dtype, numel)


def _tensor(name: str, args: tuple[Any, ...]) -> Stored | Unknown:
    """`torch._utils._rebuild_tensor`, `_v2` (hooks, how to see it) and `_v3` (type)."""
    given: list[Any] = [*args[:8], *[None] * 8]
    storage, offset, shape, stride, _, _, *more = given
    typed = name.endswith("_v3")
    dtype = storage.dtype if isinstance(storage, Storage) else None
    if typed:
        dtype = DTYPES.get(more[0].text) if isinstance(more[0], Name) else None
    seen = more[1 if typed else 0]
    if isinstance(seen, Items) and seen.pairs:
        return Unknown(f"{name} of conjugated or negated numbers", [args], tensor=True)
    if not (
        isinstance(storage, Storage) and isinstance(shape, tuple) and isinstance(stride, tuple)
    ):
        return Unknown(name, [args], tensor=True)
    if dtype is None:
        return Unknown(f"{name} of an unknown type", [args], tensor=True)
    return Stored(storage, dtype, shape, stride, offset)


def _parameter(name: str, args: tuple[Any, ...]) -> Any:
    """`torch._utils._rebuild_parameter`: a tensor and whether it learns."""
    if args and isinstance(args[0], Stored):
        return args[0]
    return Unknown(name, [args], tensor=True)


def _typed(name: str, args: tuple[Any, ...]) -> Any:
    """`torch._tensor._rebuild_from_type_v2`: function, class, arguments, attributes."""
    classes = ("torch.Tensor", "torch.nn.parameter.Parameter")
    if len(args) == 4 and all(isinstance(a, Name) for a in args[:2]):
        if args[1].text in classes and isinstance(args[2], tuple) and args[0].text in _TENSORS:
            return _TENSORS[args[0].text](args[0].text, args[2])
        return Unknown(shown(args[1].text), [args], tensor=True)
    return Unknown(name, [args], tensor=True)


def _dict(name: str, args: tuple[Any, ...]) -> Items:
    """A dict: empty, or in old files of a list of pairs; what fills it later is no matter."""
    if args and isinstance(args[0], Items):
        return args[0]
    return Items(args[0]) if args and isinstance(args[0], list) else Items()


def _same(name: str, args: tuple[Any, ...]) -> Any:
    """A set, a list or a size: what it is made of."""
    return args[0] if args else []


_TENSORS: Mapping[str, Callable[[str, tuple[Any, ...]], Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}
KNOWN: Mapping[str, Callable[[str, tuple[Any, ...]], Any]] = {
    **_TENSORS,
    "torch._tensor._rebuild_from_type_v2": _typed,
    **dict.fromkeys(("collections.OrderedDict", "collections.defaultdict", "builtins.dict"), _dict),
    **dict.fromkeys(("builtins.set", "builtins.frozenset", "builtins.list", "torch.Size"), _same),
    "torch.device": _same,
}
"""Name -> what stands for its call."""
