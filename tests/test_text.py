"""Strings and small ints of every size: loaded as C loads them, down to the memory that they take."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest

from streams import u32
from support import Raised, attempt, c, ox, same_error

#: One of each size that UTF-8 and str have, the edges between them, and what is no UTF-8.
PIECES = [
    *("\x00", "a", "\x7f", "\x80", "é", "\xff", "Ā", "\u07ff", "\u0800", "€", "\uffff"),
    *("\U00010000", "😀", "\U0010ffff", "\ud800", "\udfff", "\ud83d\ude00"),
]
BAD = [b"\xff", b"\xc3", b"\xc0\x80", b"\xe2\x82", b"\xf0\x9f\x98", b"\xf4\x90\x80\x80", b"\x80"]
INSERTED = [*(piece.encode("utf-8", "surrogatepass") for piece in PIECES), *BAD]


def loaded(mod: Any, data: bytes) -> Any:
    return attempt(mod.loads, b"X" + u32(len(data)) + data + b".")


def agree(data: bytes) -> None:
    ours, theirs = loaded(ox, data), loaded(c, data)
    if isinstance(ours, Raised) or isinstance(theirs, Raised):
        assert same_error(ours, theirs), (data, ours, theirs)
        return
    assert type(ours) is str and ours == theirs, data
    assert hash(ours) == hash(theirs)
    assert sys.getsizeof(ours) == sys.getsizeof(theirs), data
    assert ours.encode("utf-8", "surrogatepass") == data
    # Strings of no or one character are shared, others are not.
    assert (ours is loaded(ox, data)) == (theirs is loaded(c, data)), data
    assert (ours is theirs) == (len(ours) < 2 and ours < "\u0100"), data


@pytest.mark.parametrize("inserted", INSERTED)
def test_one_character_among_others(inserted: bytes) -> None:
    """At every place of strings of every length up to three times the longest that is special."""
    for length in [*range(40), 63, 64, 65, 100, *range(122, 130), 300]:
        for place in {0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, length // 2, length - 1, length}:
            if 0 <= place <= length:
                agree(b"x" * place + inserted + b"y" * (length - place))


def test_strings_of_every_mixture() -> None:
    rng = random.Random(7)
    for _ in range(20_000):
        pieces = rng.choice((PIECES[:3], PIECES[:6], PIECES[:11], PIECES[:14], PIECES))
        text = "".join(rng.choices(pieces, k=rng.randrange(12)))
        agree(text.encode("utf-8", "surrogatepass"))


def test_ints_of_few_bytes() -> None:
    """LONG1 with every length around the size of a word; the edges of each and random ones."""
    rng = random.Random(8)
    for length in range(12):
        edges = [bytes(length), b"\xff" * length, b"\xff" * (length - 1) + b"\x7f"]
        edges += [bytes(max(length - 1, 0)) + b"\x80", b"\x01" + bytes(length)]
        for data in [*edges, *(rng.randbytes(length) for _ in range(300))]:
            data = data[:length]
            stream = b"\x8a" + bytes([len(data)]) + data + b"."
            assert (
                ox.loads(stream) == c.loads(stream) == int.from_bytes(data, "little", signed=True)
            )
