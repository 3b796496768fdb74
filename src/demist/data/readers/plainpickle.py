"""Read the plain data in a pickle without running it.

The CIFAR batches are pickles, and a pickle is a program: to load one is to run it. Here the
program is only parsed, and interpreted for a closed list of opcodes that build dicts, lists,
tuples, numbers, strings and bytes. A name such as ``numpy.dtype`` is never imported: it is looked
up in a table of five small functions of this file, and a name that is not there is refused.
"""

import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from demist.errors import DataError, RefusedError

_UNBUILT = object()  # an array between its creation and its content
_PUSH = {
    *("BININT", "BININT1", "BININT2", "SHORT_BINSTRING", "BINSTRING"),
    *("SHORT_BINBYTES", "BINBYTES", "BYTEARRAY8"),
    *("SHORT_BINUNICODE", "BINUNICODE"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_FIXED_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def read_plain_pickle(data: bytes, name: str) -> object:
    """The value in a pickle of plain data and arrays of integers.

    The 8-bit strings of Python 2 become `str`, as Latin-1.

    Args:
        data: The pickle.
        name: What to call it in messages.

    Raises:
        RefusedError: It contains anything else, such as an object of some class.
        DataError: It is damaged.
    """
    try:
        return _interpret(data, name)
    except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise DataError(f"{name} is not a readable batch: {error}") from None


def _interpret(data: bytes, name: str) -> object:
    stack: list[Any] = []
    marked: list[list[Any]] = []  # the stacks below each open mark
    memo: dict[int, Any] = {}
    argument: Any
    for opcode, argument, _ in pickletools.genops(data):
        op = opcode.name
        if op in _PUSH:
            stack.append(argument)
        elif op in _CONSTANTS:
            stack.append(_CONSTANTS[op])
        elif op == "EMPTY_DICT":
            stack.append({})
        elif op == "EMPTY_LIST":
            stack.append([])
        elif op == "MARK":
            marked.append(stack)
            stack = []
        elif op in ("APPENDS", "SETITEMS", "TUPLE"):
            items, stack = stack, marked.pop()
            if op == "TUPLE":
                stack.append(tuple(items))
            elif op == "APPENDS":
                stack[-1].extend(items)
            else:
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif op == "APPEND":
            stack[-2].append(stack.pop())
        elif op == "SETITEM":
            value, key = stack.pop(), stack.pop()
            stack[-1][key] = value
        elif op in _FIXED_TUPLES:
            stack[-_FIXED_TUPLES[op] :] = [tuple(stack[-_FIXED_TUPLES[op] :])]
        elif op in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif op == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif op in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif op == "GLOBAL":
            module, attribute = argument.split(" ", 1)
            stack.append(_known(module, attribute, name))
        elif op == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_known(module, attribute, name))
        elif op == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(function(*arguments))  # nothing else on the stack can be called
        elif op == "BUILD":
            state, target = stack.pop(), stack.pop()
            stack.append(_built(target, state))
        elif op == "STOP":
            return stack.pop()
        elif op not in ("PROTO", "FRAME"):
            raise RefusedError(_refusal(name, f"the opcode {op}"))
    raise ValueError("it ends early")


def _known(module: str, attribute: str, name: str) -> Callable[..., Any]:
    function = _KNOWN.get((module.replace("numpy._core", "numpy.core"), attribute))
    if function is None:
        raise RefusedError(_refusal(name, f"{module}.{attribute}"))
    return function


def _refusal(name: str, what: str) -> str:
    return (
        f"{name} is a pickle that uses {what}, which could run code when loaded: "
        "only the plain batches of CIFAR are read; save other arrays as .npz"
    )


def _dtype(code: object, *_: object) -> np.dtype:
    if code not in ("u1", "i4", "i8"):
        raise ValueError(f"arrays of {code!r} are not read")
    return np.dtype(code)


def _array_class(*_: object) -> object:
    raise ValueError("it makes an array in an unknown way")


def _reconstruct(*_: object) -> object:
    return _UNBUILT


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(dtype, np.dtype):
        raise ValueError("an array without a type")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C")


def _encode(text: Any, codec: object) -> bytes:
    if codec != "latin1":
        raise ValueError(f"bytes encoded as {codec!r} are not read")
    encoded: bytes = text.encode("latin-1")
    return encoded


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): _array_class,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
}


def _built(target: object, state: Any) -> object:
    """The state of a dtype says its byte order; that of an array is its content."""
    if target is _UNBUILT:
        _, shape, dtype, by_columns, content = state
        if isinstance(content, str):
            content = content.encode("latin-1")
        return _from_buffer(content, dtype, shape, "F" if by_columns else "C")
    if isinstance(target, np.dtype) and state[1] in ("<", "|"):
        return target
    raise ValueError("it holds big-endian numbers or an unknown object")
