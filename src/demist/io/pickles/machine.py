"""The program in a pickle, interpreted as data: no name is imported and nothing is called.

`pickletools` decodes the instructions. Each adds at most one value to what is there, so memory is
bounded by their number; what could repeat work without end is paid for from the same budget.

References:
    Python's documentation of `pickletools`, which lists the instructions.
"""

import pickletools
from collections.abc import Callable
from io import BytesIO
from typing import Any

from demist.errors import RefusedError
from demist.io.pickles.known import KNOWN, storage_of
from demist.io.pickles.values import Items, Name, Storage, Unknown, shown

MAX_BYTES, MAX_STEPS = 2**26, 2**22
"""Of one pickle; a checkpoint of 100,000 tensors has fewer."""

LONGEST_NAME = 1000

_PUSH = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("BYTEARRAY8", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
_NEW: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
    "EMPTY_DICT": Items, "EMPTY_LIST": list, "EMPTY_SET": list, "EMPTY_TUPLE": tuple,
}  # fmt: skip
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Machine:
    """The stack of one pickle's program.

    Attributes:
        storages: Those it has named, by their keys.
    """

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []  # the stacks below each open mark
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def run(self, data: BytesIO) -> Any:
        """The value that the program ends with; `data` is left after its last instruction.

        Raises:
            ValueError: It makes no sense, or is too long.
            RefusedError: It has an instruction that cannot be taken as data.
        """
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count >= MAX_STEPS:
                raise ValueError(f"it has more than {MAX_STEPS:,} instructions")
            if opcode.name == "STOP":
                return self.pop()
            self.step(opcode.name, argument)
        raise ValueError("it ends early")

    def pop(self) -> Any:
        if not self.stack:
            raise ValueError("it takes more from its stack than is there")
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        if not self.marked:
            raise ValueError("it closes a list that was not begun")
        found, self.stack = self.stack, self.marked.pop()
        return found

    def step(self, op: str, argument: Any) -> None:
        """One instruction."""
        if op in _PUSH:
            self.stack.append(argument)
        elif op in _NEW:
            self.stack.append(_NEW[op]())
        elif op in _TUPLES:
            taken = [self.pop() for _ in range(_TUPLES[op])]
            self.stack.append(tuple(taken[::-1]))
        elif op == "MARK":
            self.marked.append(self.stack)
            self.stack = []
        elif op in ("TUPLE", "LIST", "FROZENSET", "DICT"):
            found = self.since_mark()
            self.stack.append(tuple(found) if op == "TUPLE" else found if op != "DICT" else Items())
            if op == "DICT":
                self.set_items(found)
        elif op in ("APPENDS", "ADDITEMS"):
            self.extend(self.since_mark())
        elif op == "SETITEMS":
            self.set_items(self.since_mark())
        elif op == "APPEND":
            self.extend([self.pop()])
        elif op == "SETITEM":
            value, key = self.pop(), self.pop()
            self.set_items([key, value])
        elif op in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if op == "MEMOIZE" else argument] = self.top()
        elif op in ("GET", "BINGET", "LONG_BINGET"):
            if argument not in self.memo:
                raise ValueError(f"it remembers nothing under {argument}")
            self.stack.append(self.memo[argument])
        elif op == "DUP":
            self.stack.append(self.top())
        elif op == "POP_MARK" or (op == "POP" and not self.stack):
            self.since_mark()
        elif op == "POP":
            self.pop()
        elif op not in ("PROTO", "FRAME"):
            self.name_or_call(op, argument)

    def name_or_call(self, op: str, argument: Any) -> None:
        """The instructions for which Python would import, call or look something up."""
        if op == "GLOBAL":
            self.stack.append(_name(*argument.partition(" ")[::2]))
        elif op == "STACK_GLOBAL":
            attribute, module = self.pop(), self.pop()
            self.stack.append(_name(module, attribute))
        elif op in ("REDUCE", "NEWOBJ"):
            arguments, function = self.pop(), self.pop()
            self.stack.append(_called(function, arguments))
        elif op == "NEWOBJ_EX":
            named, arguments, function = self.pop(), self.pop(), self.pop()
            self.stack.append(Unknown(_text(function), [arguments, named]))
        elif op == "INST":
            name, arguments = _name(*argument.partition(" ")[::2]), tuple(self.since_mark())
            self.stack.append(_called(name, arguments))
        elif op == "OBJ":
            function, *rest = self.since_mark() or [None]
            self.stack.append(_called(function, tuple(rest)))
        elif op == "BUILD":
            self.set_state(self.pop())
        elif op in ("BINPERSID", "PERSID"):
            found = storage_of(self.pop() if op == "BINPERSID" else argument)
            if isinstance(found, Storage):
                self.storages.setdefault(found.key, found)
            self.stack.append(found)
        elif op in ("EXT1", "EXT2", "EXT4"):
            self.stack.append(Unknown(f"number {argument} of Python's registry of extensions"))
        else:
            raise RefusedError(f"it has the instruction {op}, which takes data from elsewhere")

    def top(self) -> Any:
        if not self.stack:
            raise ValueError("it takes more from its stack than is there")
        return self.stack[-1]

    def extend(self, values: list[Any]) -> None:
        target = self.top()
        if isinstance(target, Unknown):
            target.parts.extend(values)
        elif isinstance(target, list):
            target.extend(values)
        else:
            raise ValueError("it appends to what is no list")

    def set_items(self, values: list[Any]) -> None:
        target = self.top()
        if len(values) % 2:
            raise ValueError("a key of a dict has no value")
        if isinstance(target, Unknown):
            target.parts.extend(values)
        elif isinstance(target, Items):
            target.pairs.extend(zip(values[::2], values[1::2], strict=True))
        else:
            raise ValueError("it sets an item of what is no dict")

    def set_state(self, state: Any) -> None:
        """Attributes: those of a dict (as `_metadata`) are no weights; a tensor may have none."""
        target = self.top()
        if isinstance(target, Unknown):
            target.parts.append(state)
        elif not isinstance(target, Items | list):
            raise RefusedError(
                f"it sets attributes of a {type(target).__name__.lower()}, which could change it"
            )


def _name(module: Any, attribute: Any) -> Name:
    if not isinstance(module, str) or not isinstance(attribute, str):
        raise ValueError("a name is no text")
    if len(module) + len(attribute) > LONGEST_NAME:
        raise ValueError(f"a name has more than {LONGEST_NAME} letters")
    return Name(module.replace("__builtin__", "builtins"), attribute)


def _called(function: Any, arguments: Any) -> Any:
    """What stands for a call: data where the name is known, else that it would be one."""
    if isinstance(function, Name) and isinstance(arguments, tuple) and function.text in KNOWN:
        return KNOWN[function.text](function.text, arguments)
    return Unknown(_text(function), [function, arguments])


def _text(function: Any) -> str:
    if isinstance(function, Unknown):
        return function.name
    return shown(function.text if isinstance(function, Name) else "what is no name")
