"""Streams as lists of opcodes, and changes of them that most often stay well formed.

A part of a stream is one opcode with its argument, as `bytes`. Frames are taken off when a stream
is split and put on anew when it is joined. Must not import the extension: a test of this file needs
none.
"""

from __future__ import annotations

import functools
import pickletools
import random
import struct
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

#: Longest stream that is made, in bytes.
LONGEST = 1200

#: For each opcode's byte the size of its argument; negative sizes are those of pickletools.
_SIZES = {ord(op.code): (op.arg.n if op.arg else 0, op) for op in pickletools.opcodes}
_TWO_LINES = {ord("c"), ord("i")}
_COUNTS = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_FRAME = 0x95


@functools.lru_cache(1 << 15)
def split(stream: bytes) -> tuple[bytes, ...]:
    """The opcodes with their arguments, without FRAME; what is no opcode is one last part."""
    parts: list[bytes] = []
    at, end = 0, len(stream)
    while at < end:
        known = _SIZES.get(stream[at])
        if known is None:
            parts.append(stream[at:])
            break
        size = known[0]
        if size >= 0:
            stop = at + 1 + size
        elif size == pickletools.UP_TO_NEWLINE:
            stop = stream.find(b"\n", at) + 1
            if stop and stream[at] in _TWO_LINES:
                stop = stream.find(b"\n", stop) + 1
        else:
            count = _COUNTS[size]
            length = int.from_bytes(stream[at + 1 : at + 1 + count], "little")
            stop = at + 1 + count + length
        if not at < stop <= end:
            parts.append(stream[at:])
            break
        if stream[at] != _FRAME:
            parts.append(stream[at:stop])
        at = stop
    return tuple(parts)


def join(parts: Sequence[bytes], rng: random.Random | None = None) -> bytes:
    """The stream of *parts*; with *rng* it may get frames, seldom with a wrong length."""
    if rng is None or rng.random() < 0.7:
        return b"".join(parts)
    stream = bytearray()
    at = 0
    if parts and parts[0][:1] == b"\x80":
        stream += parts[0]
        at = 1
    while at < len(parts):
        count = rng.choice((1, 3, 10, 40, len(parts)))
        body = b"".join(parts[at : at + count])
        at += count
        if rng.random() < 0.8:
            length = len(body) + (0 if rng.random() < 0.95 else rng.choice((-2, -1, 1, 2, 9)))
            stream += b"\x95" + struct.pack("<Q", max(0, length))
        stream += body
    return bytes(stream)


def below(rng: random.Random, n: int) -> int:
    """As `rng.randrange(n)`, in a third of the time."""
    return int(rng.random() * n)


def pick(rng: random.Random, options: Sequence[T]) -> T:
    """As `rng.choice(options)`, in a third of the time."""
    return options[int(rng.random() * len(options))]


def _text(text: str, rng: random.Random) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    if len(data) < 256 and rng.random() < 0.7:
        return b"\x8c" + bytes([len(data)]) + data
    return b"X" + struct.pack("<I", len(data)) + data


def named(module: str, name: str, rng: random.Random) -> list[bytes]:
    """Opcodes that push a global, by lines or by strings."""
    if rng.random() < 0.5 and name.isascii():
        return [f"c{module}\n{name}\n".encode()]
    return [_text(module, rng), _text(name, rng), b"\x93"]


_SINGLE = [
    *(bytes([code]) for code, (size, _) in _SIZES.items() if size == 0),
    *(b"(", b"(", b"\x94", b"\x94", b"0", b"2", b"a", b"e", b"s", b"u", b"b", b"R", b"\x81"),
]
#: Opcodes that take and leave about the same, so that one may stand for another.
_FAMILIES = [
    [b"]", b"}", b")", b"\x8f", b"N", b"\x88", b"\x89", b"\x97"],
    [b"e", b"u", b"\x90", b"t", b"l", b"d", b"\x91", b"1", b"o"],
    [b"a", b"b", b"\x86", b"R", b"\x81", b"0"],
    [b"s", b"\x87", b"\x92", b"0"],
    [b"\x85", b"Q", b"\x98", b"\x94", b"2"],
]
_KIN = {part: family for family in _FAMILIES for part in family}
_WORDS = ["a", "b", "c", "x", "state", "__dict__", "__class__", "__setstate__", "__reduce_ex__"]
_WORDS += ["args", "é", "€", "😀", "\udc80", "", "a" * 40, "x" * 255, "y" * 256, "__slots__"]
_LINES = [
    b"0",
    b"1",
    b"-1",
    b"01",
    b"00",
    b"2",
    b"1L",
    b"255",
    b"256",
    b"1.5",
    b"nan",
    b"'a'",
    b"x",
]
_LINES += [b"9" * 20, b"\\u20ac", b"\\", b"", b" 1", b"4294967296", b"1_0"]
_NUMBERS = [0, 1, 2, 3, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1]


def value(rng: random.Random, names: Sequence[tuple[str, str]]) -> list[bytes]:
    """Opcodes that push one value."""
    kind = below(rng, 12)
    if kind < 2:
        return [b"K" + bytes([below(rng, 256)])]
    if kind == 2:
        return [pick(rng, (b"N", b"\x88", b"\x89", b"]", b"}", b")", b"\x8f"))]
    if kind < 6:
        return [_text(pick(rng, _WORDS), rng)]
    if kind == 6:
        return named(*pick(rng, names), rng)
    if kind == 7:
        return [pick(rng, (b"h", b"q")) + bytes([pick(rng, (0, 1, 2, 3, below(rng, 256)))])]
    if kind == 8:
        data = rng.randbytes(pick(rng, (0, 1, 2, 4, 8, 9, 20)))
        return [pick(rng, (b"\x8a", b"C", b"U", b"\x8c")) + bytes([len(data)]) + data]
    if kind == 9:
        return [b"J" + rng.randbytes(4)] if rng.random() < 0.5 else [b"G" + rng.randbytes(8)]
    if kind == 10:
        return [pick(rng, (b"I", b"L", b"F", b"S", b"V", b"g", b"p")) + pick(rng, _LINES) + b"\n"]
    data = rng.randbytes(pick(rng, (0, 1, 5)))
    return [b"\x96" + struct.pack("<Q", len(data)) + data]


def phrase(rng: random.Random, names: Sequence[tuple[str, str]]) -> list[bytes]:
    """A few opcodes that belong together: a container with items, an instance with a state, ..."""

    def some(count: int) -> list[bytes]:
        return [part for _ in range(count) for part in value(rng, names)]

    memo = [b"\x94"] if rng.random() < 0.5 else []
    kind = below(rng, 14)
    count = pick(rng, (0, 1, 2, 2, 3, 4, 6))
    if kind == 0:
        return [b"]", *memo, b"(", *some(count), b"e"]
    if kind == 1:
        return [b"}", *memo, b"(", *some(count - count % 2), b"u"]
    if kind == 2:
        return [b"\x8f", *memo, b"(", *some(count), b"\x90"]
    if kind == 3:
        return [b"(", *some(count), pick(rng, (b"t", b"l", b"\x91", b"d", b"1")), *memo]
    if kind == 4:
        return [*some(2), b"\x86", *memo]
    if kind == 5:
        return [b"}", *memo, *some(2), b"s"]
    if kind == 6:
        return [b"]", *memo, *some(1), b"a"]
    if kind in (7, 8):
        maker = [b")", b"\x81", *memo]
        state = [b"}", *memo, b"("]
        for _ in range(count):
            state += [_text(pick(rng, _WORDS[:4]), rng), *value(rng, names)]
        return [*named(*pick(rng, names), rng), *maker, *state, b"u", b"b"]
    if kind == 9:
        return [*named(*pick(rng, names), rng), *some(1), b"\x85", b"R", *memo]
    if kind == 10:
        return [*named(*pick(rng, names), rng), b")", *some(1), b"\x92", *memo]
    if kind == 11:
        return [b"N", b"}", *some(2), b"s", b"\x86", b"b"]
    if kind == 12:
        number = pick(rng, _NUMBERS)
        wide = struct.pack("<I", number)
        return [pick(rng, (b"r" + wide, b"j" + wide, b"q" + wide[:1], b"\x84" + wide))]
    return [pick(rng, (b"h", b"q", b"\x82", b"\x80")) + bytes([below(rng, 8)])]


def _other_argument(part: bytes, rng: random.Random) -> bytes:
    if len(part) < 2:
        return part
    size = _SIZES.get(part[0], (0, None))[0]
    if size == pickletools.UP_TO_NEWLINE and part[0] not in _TWO_LINES and rng.random() < 0.6:
        return part[:1] + pick(rng, _LINES) + b"\n"
    if size > 0 and rng.random() < 0.6:
        number = int.from_bytes(part[1:], "little") + pick(rng, (-2, -1, 1, 2, 256))
        if rng.random() < 0.3:
            number = pick(rng, _NUMBERS)
        return part[:1] + (number % (1 << 8 * size)).to_bytes(size, "little")
    changed = bytearray(part)
    changed[1 + below(rng, len(part) - 1)] = below(rng, 256)
    return bytes(changed)


def mutate(
    stream: bytes, other: bytes, rng: random.Random, names: Sequence[tuple[str, str]]
) -> bytes:
    """*stream* with a few changes; runs of opcodes of *other* may be put into it."""
    parts = list(split(stream))
    for _ in range(pick(rng, (1, 1, 1, 2, 2, 3, 4, 6))):
        at = below(rng, len(parts) + 1)
        kind = below(rng, 13)
        if kind == 0:
            del parts[at : at + pick(rng, (1, 1, 1, 2, 3, 8))]
        elif kind == 1:
            parts[at:at] = parts[at : at + pick(rng, (1, 1, 2, 3, 8))] * pick(rng, (1, 1, 2, 9))
        elif kind == 2:
            parts.insert(at, pick(rng, _SINGLE))
        elif kind == 3:
            parts[at:at] = value(rng, names)
        elif kind in (4, 5):
            parts[at:at] = phrase(rng, names)
        elif kind == 6:
            donor = split(other)
            cut = below(rng, len(donor) + 1)
            run = donor[cut : cut + pick(rng, (1, 2, 4, 8, 20))]
            parts[at : at + pick(rng, (0, 0, 1, 3))] = run
        elif kind == 7:
            donor = split(other)
            parts[at:] = donor[below(rng, len(donor) + 1) :]
        elif kind == 8 and at < len(parts):
            parts[at] = pick(rng, _KIN.get(parts[at], _SINGLE))
        elif kind == 9 and at < len(parts):
            parts[at] = _other_argument(parts[at], rng)
        elif kind == 10 and at + 1 < len(parts):
            with_ = below(rng, len(parts))
            parts[at], parts[with_] = parts[with_], parts[at]
        elif kind == 11 and at < len(parts) and parts[at][:1] == b"c":
            parts[at : at + 1] = named(*pick(rng, names), rng)
        elif kind == 12:
            # An object that was memoized is fetched where another one stood.
            parts[at : at + 1] = [b"h" + bytes([below(rng, 4)])]
    if parts and parts[-1] != b"." and rng.random() < 0.95:
        parts.append(b".")
    made = join(parts, rng)
    if rng.random() < 0.12:
        made = scratch(made, rng)
    return made[:LONGEST]


def scratch(stream: bytes, rng: random.Random) -> bytes:
    """*stream* with a byte changed, put in or taken out, or with its end cut off."""
    changed = bytearray(stream or b"N.")
    at = below(rng, len(changed))
    kind = below(rng, 5)
    if kind == 0:
        changed[at] ^= 1 << below(rng, 8)
    elif kind == 1:
        changed[at] = below(rng, 256)
    elif kind == 2:
        changed.insert(at, below(rng, 256))
    elif kind == 3:
        del changed[at : at + pick(rng, (1, 1, 2, 5))]
    else:
        del changed[at:]
    return bytes(changed)
