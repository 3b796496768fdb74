"""How many bytes the numbers of each type take in a file of weights."""

import math

WIDTHS = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
    "C64": 8,
}  # fmt: skip
"""Type -> bytes of one number."""

BLOCKS = {
    "Q4_0": (32, 18), "Q8_0": (32, 34), "Q4_K": (256, 144), "Q5_K": (256, 176), "Q6_K": (256, 210),
}  # fmt: skip
"""Type -> numbers that stand together as small integers with their own scales, and bytes."""

MAX_NUMBERS = 2**44
"""Numbers in one tensor, its empty axes counted as one."""


def block_of(kind: str) -> tuple[int, int]:
    """How many numbers stand together, in how many bytes."""
    return BLOCKS[kind] if kind in BLOCKS else (1, WIDTHS[kind])


def nbytes(kind: str, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor."""
    numbers, count = block_of(kind)
    return math.prod(shape) // numbers * count
