"""Classes of the objects that the fuzzers dump and load, found by name. They have no side effects."""

from __future__ import annotations

import ast
import collections
import dataclasses
import enum
import typing
from collections.abc import Iterator
from typing import Any


class Plain:
    pass


class Child(Plain):
    kind = "of the class"


class Slots:
    __slots__ = ("a", "b", "c")


class SlotsAndDict(Slots):
    __slots__ = ("__dict__",)


class Property:
    """A descriptor of the class has the name of an attribute."""

    @property
    def a(self) -> Any:
        return "computed"


class Getattr:
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return "answered"


@dataclasses.dataclass
class Data:
    a: Any = None
    b: Any = 1


@dataclasses.dataclass(frozen=True, slots=True)
class SlotData:
    a: Any = None
    b: Any = 1


class OwnList(list):
    pass


class OwnDict(dict):
    pass


class OwnSet(set):
    pass


class OwnFrozen(frozenset):
    pass


class OwnTuple(tuple):
    pass


class OwnStr(str):
    pass


class OwnInt(int):
    pass


class OwnBytes(bytes):
    pass


class OwnOrdered(collections.OrderedDict):
    pass


class OwnDeque(collections.deque):
    pass


class OwnNode(ast.Name):
    pass


class ListOverIter(list):
    def __iter__(self) -> Iterator[Any]:
        yield from ("one", "two")


class Failure(Exception):
    pass


Triple = collections.namedtuple("Triple", "a b c")


class Point(typing.NamedTuple):
    a: Any
    b: Any = 0


class Colour(enum.Enum):
    RED = 1
    BLUE = (0, 0, 255)


class Mode(enum.IntFlag):
    READ = 4
    WRITE = 2


class Outer:
    class Inner:
        pass

    def method(self) -> None:
        pass

    @classmethod
    def class_method(cls) -> None:
        pass


class State:
    """`__getstate__` gives what it was given."""

    def __init__(self, state: Any = None) -> None:
        self.state = state

    def __getstate__(self) -> Any:
        return self.state

    def __setstate__(self, state: Any) -> None:
        self.state = state


class NewArgs:
    args: Any = ()
    kwargs: Any = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        self = super().__new__(cls)
        self.args, self.kwargs = args, kwargs
        return self

    def __getnewargs_ex__(self) -> Any:
        return self.args, self.kwargs


class Made:
    """Takes what a reduce value may hold."""

    def __init__(self, *args: Any) -> None:
        self.args = args
        self.items: list[Any] = []

    def append(self, item: Any) -> None:
        self.items.append(item)

    def extend(self, items: Any) -> None:
        self.items.extend(items)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items.append((key, value))


def make(*args: Any) -> Made:
    return Made(*args)


def set_state(obj: Any, state: Any) -> None:
    obj.given = state


class Reduces:
    """Reduces to `parts`; the items of the lists at 3 and 4 are given one by one."""

    def __init__(self, parts: Any = ()) -> None:
        self.parts = parts

    def __reduce_ex__(self, protocol: int) -> Any:
        if not isinstance(self.parts, tuple):
            return self.parts
        parts = list(self.parts)
        for i in (3, 4):
            if i < len(parts) and isinstance(parts[i], list):
                parts[i] = iter(parts[i])
        return tuple(parts)


class Mutates:
    """Changes the container that holds it while it is saved."""

    def __init__(self, holder: Any = None, how: int = 0) -> None:
        self.holder, self.how = holder, how

    def __reduce_ex__(self, protocol: int) -> Any:
        holder = self.holder
        if isinstance(holder, list):
            if self.how == 0:
                holder.append("more")
            elif self.how == 1:
                holder.clear()
            elif holder:
                holder[-1] = ["other"]
        elif isinstance(holder, dict):
            if self.how == 0:
                holder["more"] = 1
            elif self.how == 1:
                holder.clear()
            else:
                for key in holder:
                    holder[key] = ["other"]
        self.holder = None
        return make, ()


class Raises:
    def __reduce_ex__(self, protocol: int) -> Any:
        raise LookupError("not to be pickled")
