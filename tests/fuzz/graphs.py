"""Object graphs from a string of bytes: each choice takes a byte, and 0 where none are left.

So a change of the bytes is a change of the graph, fewer bytes make a smaller graph, and the same bytes make
an equal graph again. Must not import the extension.
"""

from __future__ import annotations

import array
import ast
import collections
import datetime
import decimal
import fractions
import functools
import ipaddress
import operator
import pathlib
import pickle
import random
import uuid
from collections.abc import Callable
from typing import Any

import classes

#: Objects in one graph, about.
LARGEST = 150
_NAMES = ["a", "b", "c", "name", "value", "é", "x" * 30, *(f"attribute_{i}" for i in range(40))]
_CLASSES: list[Any] = [classes.Plain, classes.Child, classes.Outer.Inner, int, OSError, len]
_CLASSES += [classes.make, classes.Outer.method, classes.Outer.class_method, dict.fromkeys]
_CLASSES += [functools.reduce, collections.OrderedDict, type(None), type(...), datetime.date]
_SIZES = (0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 84, 85, 86, 127, 255, 256, 257, 512)
_SIZES += (3, 4, 6, 10, 12, 20, 33, 60, 21845, 65535, 65536, 65600)
_LEVELS = 24


class Graph:
    """Makes one object from *choices*."""

    def __init__(self, choices: bytes) -> None:
        self._choices = choices
        self._at = 0
        self._left = LARGEST
        #: Whether dumping it changes it.
        self.changes = False
        #: What may be referred to again.
        self.shared: list[Any] = []
        self._makers: list[Callable[[int], Any]] = [
            *(self._list, self._dict, self._tuple, self._instance, self._instance, self._set),
            *(self._frozenset, self._slots, self._data, self._own, self._own_dict, self._error),
            *(self._named, self._collection, self._state, self._reduces, self._mutates),
            *(self._partial, self._node, self._newargs, self._long, self._counted, self._views),
        ]

    def below(self, n: int) -> int:
        """A choice among *n*; 0 is the simplest."""
        at, self._at = self._at, self._at + (1 if n <= 256 else 2)
        return int.from_bytes(self._choices[at : self._at], "big") % n

    def pick(self, options: Any) -> Any:
        return options[self.below(len(options))]

    def share(self, made: Any) -> Any:
        self.shared.append(made)
        return made

    def value(self, level: int = 0) -> Any:
        self._left -= 1
        kind = self.below(64)
        if kind < 28 or level > _LEVELS or self._left < 0:
            return self.leaf()
        if kind < 34:
            return self.pick(self.shared) if self.shared else None
        if kind < 40:
            return self._list(level + 1)
        return self._makers[(kind - 40) % len(self._makers)](level + 1)

    # --- leaves ---

    def leaf(self) -> Any:
        kind = self.below(40)
        if kind < 6:
            return (None, True, False, ..., NotImplemented, ())[kind]
        if kind < 10:
            return self.below(256) - 5
        if kind < 12:
            bits = self.pick((8, 16, 30, 31, 32, 60, 62, 63, 64, 127, 128, 2040, 2048))
            return self.pick((1, -1)) * (1 << bits) + self.below(3) - 1
        if kind < 14:
            return self.pick((0.0, -0.0, 1.5, 1e300, float("inf"), float("nan"), 0.1))
        if kind < 20:
            return self.text()
        if kind < 22:
            return self.share(self.text())
        if kind < 24:
            return self._names(1)[0]
        if kind < 26:
            return self.share(bytes([self.below(256)]) * self.pick(_SIZES))
        if kind == 26:
            return self.share(bytearray(b"\x80" * self.pick(_SIZES)))
        if kind == 27:
            return self.pick(_CLASSES)
        if kind == 28:
            return self.pick((classes.Colour.RED, classes.Colour.BLUE, classes.Mode(6)))
        if kind == 29:
            return self.share(self._time())
        if kind == 30:
            return self.share(decimal.Decimal(self.below(256) - 9) / 7)
        if kind == 31:
            return self.share(fractions.Fraction(self.below(256) - 9, self.below(9) + 1))
        if kind == 32:
            return self.share(uuid.UUID(int=self.below(65536) << 80))
        if kind == 33:
            return self.share(pathlib.PurePosixPath("a", f"b{self.below(4)}"))
        if kind == 34:
            return self.pick((range(3), slice(1, None), complex(1, -0.0), type, object))
        if kind == 35:
            return self.share(array.array(self.pick("bHid"), [1, 2, self.below(99)]))
        if kind == 36:
            return self.share(ipaddress.ip_address(self.below(65536)))
        if kind == 37:
            data: Any = self.pick((bytearray, bytes))(b"buffer" * self.below(99))
            return self.share(pickle.PickleBuffer(data))
        if kind == 38:
            return self.pick(
                (classes.Outer().method, [].append, "x".join, operator.itemgetter(1), lambda: None)
            )
        return self.pick(
            (classes.OwnStr("s"), classes.OwnInt(9), classes.OwnBytes(b"b"), classes.Raises())
        )

    def text(self) -> str:
        letter = self.pick(("a", "é", "€", "😀", "\udc80", "\\", "\n", "\x00", "z\x1a"))
        return str(letter) * self.pick(_SIZES)

    def _names(self, count: int) -> list[str]:
        return [self.pick(_NAMES) for _ in range(count)]

    def _time(self) -> Any:
        zone = self.pick(
            (None, datetime.timezone.utc, datetime.timezone(datetime.timedelta(0, 60)))
        )
        day = self.below(28) + 1
        return self.pick(
            (
                datetime.date(2020, 2, day),
                datetime.datetime(2020, 2, day, 3, tzinfo=zone, fold=self.below(2)),
                datetime.time(3, day, tzinfo=zone),
                datetime.timedelta(day, self.below(60), 5),
                zone,
            )
        )

    def key(self, level: int = 0) -> Any:
        """A value whose hash does not depend on where it is."""
        kind = self.below(8)
        if kind < 4 or level > 2:
            return self.pick(_NAMES)
        if kind == 4:
            return self.below(256)
        if kind == 5:
            return tuple([self.key(level + 1) for _ in range(self.below(4))])
        if kind == 6:
            return frozenset([self.key(level + 1)])
        return self.pick((None, True, 1.5, b"bytes", classes.Mode.READ, "", 1 << 70))

    # --- containers ---

    def _count(self) -> int:
        return int(self.pick((0, 1, 2, 3, 4, 5, 8, 12)))

    def _values(self, level: int) -> list[Any]:
        return [self.value(level) for _ in range(self._count())]

    def _fill(self, made: Any, level: int) -> Any:
        """Give an instance attributes, in one of the ways that its dict comes into being."""
        for name in self._names(self._count()):
            setattr(made, name, self.value(level))
        how = self.below(8)
        if how == 1:
            vars(made)
        elif how == 2 and vars(made):
            delattr(made, next(iter(vars(made))))
        elif how == 3:
            vars(made)[self.key()] = 1
        elif how == 4:
            made.__dict__ = {"".join(["na", "me"]): self.value(level)}
        elif how == 5:
            self.share(made.__dict__)
        return made

    def _list(self, level: int) -> Any:
        made: list[Any] = self.share([])
        made.extend(self._values(level))
        return made

    def _dict(self, level: int) -> Any:
        made: dict[Any, Any] = self.share({})
        for _ in range(self._count()):
            made[self.key()] = self.value(level)
        if made and self.below(8) == 7:
            del made[next(iter(made))]
        return made

    def _tuple(self, level: int) -> Any:
        return self.share(tuple(self._values(level)))

    def _instance(self, level: int) -> Any:
        kinds = (classes.Plain, classes.Child, classes.Property, classes.Getattr)
        made = self.share(self.pick(kinds)())
        if type(made) is classes.Property:
            vars(made)["a"] = self.value(level)
            return made
        return self._fill(made, level)

    def _set(self, level: int) -> Any:
        made = self.pick((set, classes.OwnSet))()
        self.share(made)
        made.update(self.key() for _ in range(self._count()))
        return made

    def _frozenset(self, level: int) -> Any:
        kind = self.pick((frozenset, classes.OwnFrozen))
        return self.share(kind(self.key() for _ in range(self._count())))

    def _slots(self, level: int) -> Any:
        made = self.share(self.pick((classes.Slots, classes.SlotsAndDict))())
        for name in "abc":
            if self.below(3):
                setattr(made, name, self.value(level))
        if type(made) is classes.SlotsAndDict and self.below(2):
            made.more = self.value(level)
        return made

    def _data(self, level: int) -> Any:
        kind = self.pick((classes.Data, classes.SlotData))
        return self.share(kind(self.value(level), self.value(level)))

    def _own(self, level: int) -> Any:
        kind = self.pick(
            (classes.OwnList, classes.OwnTuple, classes.ListOverIter, classes.OwnDeque)
        )
        made = self.share(kind(self._values(level)))
        return self._fill(made, level) if self.below(3) == 2 else made

    def _own_dict(self, level: int) -> Any:
        made = self.share(self.pick((classes.OwnDict, classes.OwnOrdered))())
        for _ in range(self._count()):
            made[self.key()] = self.value(level)
        return self._fill(made, level) if self.below(3) == 2 else made

    def _error(self, level: int) -> Any:
        kind = self.pick((ValueError, classes.Failure, KeyError, OSError, StopIteration))
        values = self._values(level)[:3]
        try:
            made = self.share(kind(*values))
        except ValueError:  # OSError(EAGAIN, text, number of characters)
            made = self.share(kind(values))
        if self.below(3) == 2:
            made.extra = self.value(level)
        return made

    def _named(self, level: int) -> Any:
        if self.below(2):
            return self.share(classes.Point(self.value(level), self.value(level)))
        return self.share(classes.Triple(self.value(level), self.value(level), self.value(level)))

    def _collection(self, level: int) -> Any:
        kind = self.below(4)
        made: Any
        if kind == 0:
            made = collections.OrderedDict()
        elif kind == 1:
            made = collections.defaultdict(list)
        elif kind == 2:
            return self.share(collections.Counter(self.key() for _ in range(self._count())))
        else:
            return self.share(collections.deque(self._values(level), self.pick((None, 3, 2000))))
        self.share(made)
        for _ in range(self._count()):
            made[self.key()] = self.value(level)
        if kind == 0 and made and self.below(3) == 2:
            made.move_to_end(next(iter(made)))
        return made

    def _state(self, level: int) -> Any:
        made = self.share(classes.State())
        made.state = self.value(level)
        return made

    def _newargs(self, level: int) -> Any:
        made = self.share(classes.NewArgs())
        made.args = tuple(self._values(level)) if self.below(8) < 7 else self.value(level)
        made.kwargs = dict.fromkeys(self._names(self.below(3)), self.value(level))
        return made

    def _reduces(self, level: int) -> Any:
        made = self.share(classes.Reduces())
        function = self.pick((classes.make, classes.Made, classes.Plain, classes.Slots))
        parts: list[Any] = [function, tuple(self._values(level))]
        if function is classes.Plain or function is classes.Slots:
            parts[1] = ()
        length = 2 + self.below(5)
        if length > 2:
            parts.append(self.pick((None, {"a": self.value(level)}, self.value(level))))
        if length > 3:
            parts.append(self.pick((None, self._values(level))))
        if length > 4:
            pairs = [(self.key(), self.value(level)) for _ in range(self._count())]
            parts.append(self.pick((None, pairs)))
        if length > 5:
            parts.append(self.pick((None, classes.set_state)))
        wrong = self.below(24)
        if wrong > 17:
            parts[wrong % len(parts)] = self.value(level)
        made.parts = tuple(parts) if wrong != 17 else self.value(level)
        return made

    def _mutates(self, level: int) -> Any:
        self.changes = True
        holders = [one for one in self.shared if type(one) in (list, dict)]
        return classes.Mutates(self.pick(holders) if holders else None, self.below(3))

    def _partial(self, level: int) -> Any:
        return self.share(functools.partial(classes.make, *self._values(level)))

    def _node(self, level: int) -> Any:
        made = self.share(self.pick((ast.Name, classes.OwnNode))("x", ast.Load()))
        made.lineno = self.below(256)
        made.annotation = self.value(level)
        return made

    def _long(self, level: int) -> Any:
        """As many items as make batches, or as memo entries make longer opcodes."""
        count = self.pick((999, 1000, 1001, 2001, 255, 256, 257))
        kind = self.below(6)
        leaf = self.value(level)
        if kind == 0:
            return self.share([leaf] * count)
        if kind == 1:
            return self.share(dict.fromkeys(range(count), leaf))
        if kind == 2:
            return self.share(set(range(count)))
        if kind == 3:
            return self.share([[i] for i in range(count)])
        if kind == 4:
            return self.share(tuple([str(i) for i in range(count)]))
        return self.share(classes.OwnList([leaf] * count))

    def _counted(self, level: int) -> Any:
        """Instances of one class with the same attributes."""
        names = self._names(self._count())
        made = []
        for _ in range(self.below(6) + 1):
            one = self.share(classes.Plain())
            for name in names:
                setattr(one, name, self.value(level))
            made.append(one)
        return made

    def _views(self, level: int) -> Any:
        """A chain of one kind that is deep."""
        made = self.value(level)
        kind = self.below(4)
        for _ in range(self.pick((3, 30, 30, 120))):
            if kind == 0:
                made = [made]
            elif kind == 1:
                made = (made,)
            elif kind == 2:
                made = {"k": made}
            else:
                outer = classes.Plain()
                outer.next = made  # type: ignore[attr-defined]
                made = outer
        return made


def mutate(choices: bytes, other: bytes, rng: random.Random) -> bytes:
    """Other choices: some changed, put in, taken out, or taken from *other*."""
    made = bytearray(choices)
    for _ in range(rng.choice((1, 1, 2, 2, 3, 5))):
        at = rng.randrange(len(made) + 1)
        kind = rng.randrange(7)
        if kind == 0 and at < len(made):
            made[at] = rng.randrange(256)
        elif kind == 1:
            made[at:at] = rng.randbytes(rng.choice((1, 2, 3, 8)))
        elif kind == 2:
            del made[at : at + rng.choice((1, 2, 3, 8))]
        elif kind == 3:
            cut = rng.randrange(len(other) + 1)
            made[at : at + rng.choice((0, 4))] = other[cut : cut + rng.choice((4, 16, 64))]
        elif kind == 4:
            made[at:at] = made[at : at + rng.choice((2, 6, 20))]
        elif kind == 5 and at < len(made):
            made[at] = (made[at] + rng.choice((-1, 1))) % 256
        elif kind == 6:
            made += rng.randbytes(rng.choice((4, 16, 40)))
    return bytes(made[:400])
