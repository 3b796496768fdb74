"""Where the members of a zip archive are, for archives that are not trusted.

Only what `torch.save` makes is taken: members that are stored as they are, one after the other.

References:
    PKWARE, "APPNOTE.TXT, .ZIP file format specification", sections 4.3 and 4.5.3.
"""

import struct
from dataclasses import dataclass
from io import BufferedReader
from itertools import pairwise

MAX_LIST = 2**24
"""Bytes of the list of members; room for 100,000 tensors."""
_END, _END64, _PLACE64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"


@dataclass(frozen=True)
class Member:
    """A file in the archive.

    Attributes:
        name: As it is spelt.
        begin: Its first byte in the archive.
        size: Bytes.
        crc: CRC-32; 0 where nobody computed one.
        plain: Whether it is neither compressed nor encrypted.
    """

    name: str
    begin: int
    size: int
    crc: int
    plain: bool


def members(file: BufferedReader, size: int) -> dict[str, Member]:
    """All members, by name.

    Args:
        file: The archive, at any place.
        size: Its bytes.

    Raises:
        ValueError: It is damaged, or its members overlap.
    """
    count, length, start = _ending(file, size)
    if not 0 <= start <= start + length <= size or length > MAX_LIST:
        raise ValueError(f"its list of members would be the {length} bytes from byte {start}")
    file.seek(start)
    data, found, at = file.read(length), [], 0
    while at < len(data):
        member, at = _listed(data, at)
        found.append(_placed(file, member, start))
    if len(found) != count:
        raise ValueError(f"it lists {len(found)} members and says {count}")
    by_place = sorted((m for m in found if m.size), key=lambda m: m.begin)
    for one, other in pairwise(by_place):
        if one.begin + one.size > other.begin:
            raise ValueError("two of its members overlap")
    named = {member.name: member for member in found}
    if len(named) < len(found):
        raise ValueError("two of its members have one name")
    return named


def _ending(file: BufferedReader, size: int) -> tuple[int, int, int]:
    """Count of members, and bytes and place of their list."""
    file.seek(max(0, size - 65_557))
    tail = file.read(65_557)
    at = tail.rfind(_END)
    if at < 0 or at + 22 > len(tail):
        raise ValueError("it has no end of an archive: the file is cut")
    count, length, start = struct.unpack_from("<HLL", tail, at + 10)
    before = tail[max(0, at - 20) : at]
    if before[:4] == _PLACE64:
        (place,) = struct.unpack_from("<Q", before, 8)
        if place > size - 56:
            raise ValueError("its end is said to be elsewhere")
        file.seek(place)
        end = file.read(56)
        if end[:4] != _END64 or len(end) < 56:
            raise ValueError("its end is damaged")
        count, length, start = struct.unpack_from("<QQQ", end, 32)
    return count, length, start


def _listed(data: bytes, at: int) -> tuple[Member, int]:
    """The member at a place of the list, its `begin` that of its header, and the next place."""
    if data[at : at + 4] != b"PK\x01\x02" or at + 46 > len(data):
        raise ValueError("its list of members is damaged")
    flags, method = struct.unpack_from("<HH", data, at + 8)
    crc, packed, size, named, extra, note = struct.unpack_from("<LLLHHH", data, at + 16)
    (begin,) = struct.unpack_from("<L", data, at + 42)
    end = at + 46 + named + extra
    if end + note > len(data):
        raise ValueError("its list of members is cut")
    wide = _wide(data[at + 46 + named : end])
    numbers = []
    for number in (size, packed, begin):
        numbers.append(number if number != 0xFFFFFFFF else wide.pop(0) if wide else number)
    size, packed, begin = numbers
    name = data[at + 46 : at + 46 + named].decode("utf-8", "replace")
    plain = method == 0 and not flags & 1 and packed == size
    return Member(name, begin, size, crc, plain), end + note


def _wide(extra: bytes) -> list[int]:
    """The numbers of 64 bits in the extra field of a member."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            field = extra[at + 4 : at + 4 + length]
            return [n for (n,) in struct.iter_unpack("<Q", field[: len(field) // 8 * 8])]
        at += 4 + length
    return []


def _placed(file: BufferedReader, member: Member, limit: int) -> Member:
    """The member with the place of its content, which lies before the list."""
    file.seek(min(member.begin, limit))
    head = file.read(30)
    if head[:4] != b"PK\x03\x04" or len(head) < 30:
        raise ValueError(f"its member {member.name!r} is not where it should be")
    named, extra = struct.unpack_from("<HH", head, 26)
    begin = member.begin + 30 + named + extra
    if begin + member.size > limit and member.plain:
        raise ValueError(f"its member {member.name!r} is larger than the archive")
    return Member(member.name, begin, member.size, member.crc, member.plain)
