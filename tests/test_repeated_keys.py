"""Dicts with the same keys again and again: each is a dict of its own, as C loads it.

We make such dicts as copies of one with the same keys. What is compared: items and their order, what the
collector sees, reference counts, and that each dict can be changed without another one noticing.
"""

from __future__ import annotations

import gc
import sys
from typing import Any

import pytest

from corpus import Plain
from support import PROTOCOLS, Raised, attempt, c, isomorphic, ox

NAMES = [f"name {number}" for number in range(80)]


class Text(str):
    """A key that is no plain str."""


class Key:
    """A key that counts how often it is hashed."""

    hashed = 0

    def __reduce__(self) -> Any:
        return Key, ()

    def __hash__(self) -> int:
        Key.hashed += 1
        return 1


def rows(keys: list[Any], value: Any = None, count: int = 6) -> list[Any]:
    make = value if callable(value) else lambda row, place: [row, place]
    return [{key: make(row, place) for place, key in enumerate(keys)} for row in range(count)]


def recursive() -> list[Any]:
    """Rows that hold rows of the same shape, and themselves."""
    result = rows(NAMES[:3])
    for row, other in zip(result, result[1:] + result[:1]):
        row[NAMES[0]] = {**row, NAMES[1]: other}
        row[NAMES[2]] = row
    return result


_TEXT = Text("a")
_BIG = [10**20 + number for number in range(4)]
SHAPES: dict[str, Any] = {
    **{f"{count} str": rows(NAMES[:count]) for count in (1, 2, 3, 5, 6, 8, 10, 11, 16, 63, 64, 65, 80)},
    **{f"{count} ints": rows(list(range(count))) for count in (2, 5, 6, 10, 22, 64)},
    "ints of their own": rows(_BIG),
    "mixed keys": rows(["a", 1, None, 2.5, b"bytes", True, "b"]),
    "tuples as keys": rows([("a", 1), ("b", 2)]),
    "keys of a subclass": rows([_TEXT, "b"]),
    "non-ASCII keys": rows(["größe", "данные", "数据"]),
    "atoms": rows(NAMES[:4], lambda row, place: (row, str(place), 0.5, None)[place]),
    "atoms, then containers": rows(NAMES[:4], lambda row, place: [] if row > 3 and place == 2 else row),
    "tuples": rows(NAMES[:2], lambda row, place: ((1, "a"), ([],))[place]),
    "instances": rows(NAMES[:2], lambda row, place: Plain(a=row)),
    "types": rows(NAMES[:2], lambda row, place: (int, Plain)[place]),
    "two shapes by turns": [row for pair in zip(rows(NAMES[:3]), rows(NAMES[:3][::-1])) for row in pair],
    "longer each time": [dict.fromkeys(NAMES[:count], count) for count in range(30)] * 2,
    "the same start": [dict.fromkeys(NAMES[:2] + NAMES[9 + n % 3 : 12], n) for n in range(12)],
    "recursive": recursive(),
    "as arguments": [Plain(a=row, b=[row]) for row in range(5)] + rows(["a", "b"]),
}  # fmt: skip


def padded(value: Any, protocol: int) -> bytes:
    """What is small is loaded in another way, and its texts may be kept (`test_spares.py`)."""
    return c.dumps([value, "x" * 9000], protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", SHAPES)
def test_rows(name: str, protocol: int) -> None:
    data = padded(SHAPES[name], protocol)
    (ours, _), (theirs, _) = ox.loads(data), c.loads(data)
    assert isomorphic(ours, theirs) is None
    for mine, other in zip(ours, theirs, strict=True):
        if type(mine) is dict:
            assert list(mine) == list(other)
            assert gc.is_tracked(mine) == gc.is_tracked(other)
            mine, other = ([*map(sys.getrefcount, row)] for row in (mine, other))
            assert mine == other


@pytest.mark.parametrize("name", SHAPES)
def test_rows_are_independent(name: str) -> None:
    """Every change that a dict may see is done to each row, in every order; the others stay."""
    data = padded(SHAPES[name], 4)
    ours, _ = ox.loads(data)
    expected, _ = c.loads(data)
    changes = [
        lambda row: row.pop(next(iter(row))),
        lambda row: row.update({"new": 1, **dict.fromkeys(range(200, 240))}),
        lambda row: row.clear(),
        lambda row: row.popitem(),
        lambda row: row.__setitem__(list(row)[-1], "changed"),
        lambda row: vars(row) if not isinstance(row, dict) else row.copy(),
    ]
    for number, (mine, other) in enumerate(zip(ours, expected, strict=True)):
        change = changes[number % len(changes)]
        agree = attempt(change, mine), attempt(change, other)
        assert isinstance(agree[0], Raised) == isinstance(agree[1], Raised)
    assert isomorphic(ours, expected) is None


def counts(rows: list[dict[Any, Any]]) -> list[list[int]]:
    return [[*map(sys.getrefcount, [*row, *row.values()])] for row in rows]


def test_counts_of_references() -> None:
    """No key or value is counted once too often or too rarely, however the load ends."""
    data = padded(rows([f"counted {number}" for number in range(5)]), 4)
    for _ in range(3):
        ours, theirs = ox.loads(data)[0], c.loads(data)[0]
        assert counts(ours) == counts(theirs)
    for end in (b"", b"\xff", b"R"):
        before = sys.getallocatedblocks()
        for _ in range(100):
            assert isinstance(attempt(ox.loads, data[:-1] + end), Raised)
        assert sys.getallocatedblocks() - before < 50


def test_keys_that_count_are_hashed_as_often() -> None:
    """A key with a `__hash__` of its own is asked for every dict."""
    key = Key()
    data = padded([{key: 1, "b": 2} for _ in range(10)], 4)
    counts = []
    for mod in (ox, c):
        Key.hashed = 0
        mod.loads(data)
        counts.append(Key.hashed)
    assert counts[0] == counts[1] >= 10


def test_the_same_key_twice() -> None:
    """A stream may name a key twice: the last value stays, at the first place."""
    one = b"}(\x8c\x01aK\x01\x94\x8c\x01bK\x02\x8c\x01aK\x03u"
    again = b"}(h\x00K\x01h\x01K\x02h\x00K\x03u"
    data = b"\x80\x04(\x8c\x01a\x940\x8c\x01b\x940" + again * 8 + one + b"]" * 2000 + b"t."
    ours, theirs = ox.loads(data), c.loads(data)
    assert isomorphic(ours, theirs) is None
    assert [list(row.items()) for row in ours[:8]] == [[("a", 3), ("b", 2)]] * 8


def test_a_row_that_is_met_before_it_is_full() -> None:
    """Another opcode may reach the dict before its items are set."""
    head = b"\x80\x04(\x8c\x01a\x940\x8c\x01b\x940"
    row = b"}\x94(h\x00K\x01h\x01K\x02u"
    for get in (b"h\x05", b"h\x04"):
        early = b"}\x94(h\x00" + get + b"h\x01K\x02u"
        data = head + row * 3 + early * 3 + row + b"]" * 2000 + b"t."
        ours, theirs = ox.loads(data), c.loads(data)
        assert isomorphic(ours, theirs) is None
