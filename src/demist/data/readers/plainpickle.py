"""Read the plain data in a pickle without running it.

The CIFAR batches are pickles, and a pickle is a program: to load one is to run it. Here the
program is only parsed, and interpreted for a closed list of opcodes that build dicts, lists,
tuples, numbers, strings and bytes. A name such as ``numpy.dtype`` is never imported: it is looked
up in a table of five small functions of this file, and a name that is not there is refused.

What is built stays flat, so that nothing that looks at it can take long or recurse: keys are
strings, lists and dicts lie in a dict only, tuples are nested `DEEPEST` times at most.
"""

import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from demist.errors import DataError, RefusedError

LARGEST, LONGEST, DEEPEST = 2**29, 2**22, 4
"""Bytes of a pickle, its opcodes, and tuples in tuples; a batch of CIFAR has far fewer."""
_UNBUILT = object()  # an array between its creation and its content
_PUSH = {
    *("BININT", "BININT1", "BININT2", "SHORT_BINSTRING", "BINSTRING"),
    *("SHORT_BINBYTES", "BINBYTES", "BYTEARRAY8"),
    *("SHORT_BINUNICODE", "BINUNICODE"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def read_plain_pickle(data: bytes, name: str) -> object:
    """The value in a pickle of plain data and arrays of integers.

    The 8-bit strings of Python 2 become `str`, as Latin-1.

    Args:
        data: The pickle.
        name: What to call it in messages.

    Raises:
        RefusedError: It contains anything else, such as an object of some class.
        DataError: It is damaged, or takes more than a batch of CIFAR does.
    """
    if len(data) > LARGEST:
        raise DataError(f"{name} has {len(data) / 1e6:.0f} MB; a batch has {LARGEST / 1e6:.0f}")
    try:
        return _Machine(name, len(data)).run(data)
    except (
        *(ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError),
        *(RecursionError, MemoryError),
    ) as error:
        raise DataError(f"{name} is not a readable batch: {error}") from None


class _Machine:
    """The stack of a pickle's program; what is encoded costs of a budget of so many bytes."""

    def __init__(self, name: str, budget: int) -> None:
        self.name, self.budget = name, budget
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []  # the stacks below each open mark
        self.memo: dict[int, Any] = {}
        self.depth: dict[int, int] = {}  # of tuples, by id; the memo or the stack keeps them
        self.kept: list[tuple[Any, ...]] = []

    def run(self, data: bytes) -> object:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count > LONGEST:
                raise ValueError(f"it has more than {LONGEST} instructions")
            if opcode.name == "STOP":
                return self.stack.pop()
            self.step(opcode.name, argument)
        raise ValueError("it ends early")

    def step(self, op: str, argument: Any) -> None:
        stack = self.stack
        if op in _PUSH:
            stack.append(argument)
        elif op in _CONSTANTS:
            stack.append(_CONSTANTS[op])
        elif op == "EMPTY_DICT":
            stack.append({})
        elif op == "EMPTY_LIST":
            stack.append([])
        elif op == "MARK":
            self.marked.append(stack)
            self.stack = []
        elif op in _TUPLES:
            begin = max(0, len(stack) - _TUPLES[op])
            made = self.tuple_of(stack[begin:], _TUPLES[op])
            stack[begin:] = [made]
        elif op in ("APPENDS", "SETITEMS", "TUPLE"):
            self.stack = self.marked.pop()
            if op == "TUPLE":
                self.stack.append(self.tuple_of(stack, len(stack)))
            elif op == "APPENDS":
                self.extend(self.stack[-1], stack)
            else:
                self.set_items(self.stack[-1], stack)
        elif op == "APPEND":
            self.extend(stack[-2], [stack.pop()])
        elif op == "SETITEM":
            value, key = stack.pop(), stack.pop()
            self.set_items(stack[-1], [key, value])
        elif op in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif op == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif op in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif op == "GLOBAL":
            stack.append(self.known(*argument.split(" ", 1)))
        elif op == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(self.known(module, attribute))
        elif op == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(self.call(function, arguments))
        elif op == "BUILD":
            state, target = stack.pop(), stack.pop()
            stack.append(self.built(target, state))
        elif op not in ("PROTO", "FRAME"):
            raise RefusedError(_refusal(self.name, f"the opcode {op}"))

    def tuple_of(self, items: list[Any], count: int) -> tuple[Any, ...]:
        if len(items) != count:
            raise ValueError("it takes more from its stack than is there")
        if any(isinstance(item, dict | list) for item in items):
            raise ValueError("a tuple holds lists or dicts")
        deepest = max((self.depth[id(i)] for i in items if isinstance(i, tuple)), default=0)
        if deepest >= DEEPEST:
            raise ValueError(f"tuples are nested more than {DEEPEST} times")
        made = tuple(items)
        self.depth[id(made)] = deepest + 1
        self.kept.append(made)
        return made

    def extend(self, target: Any, items: list[Any]) -> None:
        if type(target) is not list or any(isinstance(item, dict | list) for item in items):
            raise ValueError("a list holds lists or dicts")
        target.extend(items)

    def set_items(self, target: Any, items: list[Any]) -> None:
        keys, values = items[::2], items[1::2]
        if type(target) is not dict or any(isinstance(value, dict) for value in values):
            raise ValueError("a dict lies in a dict")
        if not all(type(key) in (str, bytes) for key in keys):
            raise ValueError("a key is no string")
        target.update(zip(keys, values, strict=True))

    def known(self, module: Any, attribute: Any) -> Callable[..., Any]:
        if not isinstance(module, str) or not isinstance(attribute, str):
            raise ValueError("the name of a class is no string")
        function = _KNOWN.get((module.replace("numpy._core", "numpy.core"), attribute))
        if function is None:
            raise RefusedError(_refusal(self.name, f"{module}.{attribute}"[:80]))
        return function

    def call(self, function: Any, arguments: Any) -> object:
        """Nothing but the functions of the table can be called."""
        if not any(function is one for one in _KNOWN.values()) or not isinstance(arguments, tuple):
            raise ValueError("it calls what is no function")
        if function is _encode:
            self.pay(arguments)
        return function(*arguments)

    def built(self, target: object, state: Any) -> object:
        """The state of a dtype says its byte order; that of an array is its content."""
        if target is _UNBUILT:
            _, shape, dtype, by_columns, content = state
            if isinstance(content, str):
                self.pay((content,))
                content = content.encode("latin-1")
            return _from_buffer(content, dtype, shape, "F" if by_columns is True else "C")
        if isinstance(target, np.dtype) and state[1] in ("<", "|"):
            return target
        raise ValueError("it holds big-endian numbers or an unknown object")

    def pay(self, texts: tuple[Any, ...]) -> None:
        """Each text of the file may be encoded about once; from the memo it could be endlessly."""
        self.budget -= sum(len(text) for text in texts if isinstance(text, str))
        if self.budget < 0:
            raise ValueError("it encodes more than it holds")


def _refusal(name: str, what: str) -> str:
    return (
        f"{name} is a pickle that uses {what}, which could run code when loaded: "
        "only the plain batches of CIFAR are read; save other arrays as .npz"
    )


def _dtype(code: object, *_: object) -> np.dtype:
    if not isinstance(code, str) or code not in ("u1", "i4", "i8"):
        raise ValueError("arrays of another type than u1, i4 and i8 are not read")
    return np.dtype(code)


def _array_class(*_: object) -> object:
    raise ValueError("it makes an array in an unknown way")


def _reconstruct(*_: object) -> object:
    return _UNBUILT


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(dtype, np.dtype) or not isinstance(data, bytes | bytearray):
        raise ValueError("an array without a type or content")
    if not isinstance(shape, tuple) or not all(type(side) is int for side in shape):
        raise ValueError("the shape of an array is no list of numbers")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C")


def _encode(text: Any, codec: object) -> bytes:
    if codec != "latin1" or not isinstance(text, str):
        raise ValueError("bytes in another encoding than latin1 are not read")
    return text.encode("latin-1")


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): _array_class,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
}
