"""Frames that end inside an object.

C looks at the frame before each object, and before each part of a reduce value. Objects that are written in
one piece, without their reduce method, have those boundaries too: here one falls on each of their bytes.
"""

from __future__ import annotations

import ast
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import pathlib
import uuid
from typing import Any

import pytest

from support import Recorder, attempt, c, ox, same_error

FRAME = 64 * 1024
HOUR = datetime.timedelta(hours=1)


@dataclasses.dataclass
class Record:
    name: str
    size: int


@dataclasses.dataclass(slots=True)
class Slotted:
    name: str
    size: int


class Failure(Exception):
    pass


class OwnList(list):  # type: ignore[type-arg]
    pass


class OwnDict(dict):  # type: ignore[type-arg]
    pass


class Colour(enum.Enum):
    RED = 1


class Stateful:
    def __getstate__(self) -> tuple[int, str]:
        return 5, "state"

    def __setstate__(self, state: object) -> None:
        raise NotImplementedError


class Reducing:
    def __reduce__(self) -> Any:
        return Reducing, (), {"a": 1}


Point = collections.namedtuple("Point", "x y z label")


def with_state(made: Any) -> Any:
    made.extra = 1
    return made


KINDS: dict[str, Any] = {
    "dataclass": lambda: Record("n" * 3, 300),
    "slots": lambda: Slotted("n" * 3, 300),
    "exception": lambda: with_state(Failure("text", 70_000)),
    "named tuple": lambda: Point(1, 300, 70_000, "label"),
    "list": lambda: with_state(OwnList([1, "two"])),
    "dict": lambda: with_state(OwnDict(a=1, b=2)),
    "OrderedDict": lambda: collections.OrderedDict(a=1, b=2),
    "defaultdict": lambda: collections.defaultdict(list, a=1, b=2),
    "Counter": lambda: collections.Counter("aab"),
    "deque": lambda: collections.deque([1, 2, 3], maxlen=300),
    "moment": lambda: datetime.datetime(2020, 1, 1),
    "moment with a zone": lambda: datetime.datetime(
        2020, 1, 1, tzinfo=datetime.timezone(HOUR, "zone")
    ),
    "zone": lambda: datetime.timezone(datetime.timedelta(hours=2)),
    "time": lambda: datetime.time(1, tzinfo=datetime.timezone.utc),
    "date": lambda: datetime.date(2020, 1, 1),
    "difference": lambda: datetime.timedelta(300, 70_000, 5),
    "Decimal": lambda: decimal.Decimal("1234.5"),
    "Fraction": lambda: fractions.Fraction(70_000, 2**70 + 1),
    "UUID": lambda: uuid.UUID(int=2**127 + 1),
    "path": lambda: pathlib.PurePosixPath("a", "b", "c", "d", "e"),
    "node": lambda: ast.parse("f(x)[1]").body[0],
    "enum": lambda: Colour.RED,
    "__getstate__": Stateful,
    "__reduce__": Reducing,
    "class": lambda: Record,
    "bytearray": lambda: bytearray(b"12345"),
    "set": lambda: {1},
}


def streams(module: Any, value: Any, protocol: int) -> list[Any]:
    kept, file = Recorder(), Recorder()
    module.Pickler(kept, protocol).dump(value)
    module.dump(value, file, protocol)
    return [module.dumps(value, protocol), kept.calls, file.calls]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("known", [False, True], ids=["class by name", "class in the memo"])
def test_a_frame_ends_at_each_byte(kind: str, protocol: int, known: bool) -> None:
    made = [KINDS[kind](), KINDS[kind]()]
    if not known:
        del made[0]
    streams(ox, made, protocol)  # the classes were seen before
    size = len(c.dumps(made[-1], protocol)) + 40
    for padding in range(FRAME - size, FRAME, 1 if known else 3):
        value = [*made[:-1], b"x" * padding, made[-1], "behind", made[-1]]
        assert streams(ox, value, protocol) == streams(c, value, protocol), padding


class Full(Recorder):
    """A file that takes one frame."""

    def write(self, data: Any) -> int:
        if self.calls:
            raise OSError("disk full")
        return super().write(data)


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_fails_at_each_byte(kind: str) -> None:
    """The error, and where C says since 3.14 it happened."""
    made = [KINDS[kind](), KINDS[kind]()]
    size = len(c.dumps(made, 5)) + 40
    for padding in range(FRAME - size, FRAME + 10):
        value = [b"x" * FRAME, made[0], b"x" * padding, made[1]]
        theirs = attempt(c.dump, value, Full(), 5)
        ours = attempt(ox.dump, value, Full(), 5)
        assert same_error(ours, theirs), (padding, ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_many_frames_of_one_kind(kind: str) -> None:
    made = [KINDS[kind]() for _ in range(9000)]
    for value in (made, [made, made[::-1]]):
        assert streams(ox, value, 5) == streams(c, value, 5)
