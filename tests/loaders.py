"""Classes that the hand-written streams of `streams.py` find by name."""

from __future__ import annotations

import abc
from typing import Any


def a_function() -> None:
    pass


class OnlyAppend:
    def __init__(self) -> None:
        self.items: list[Any] = []

    def append(self, item: Any) -> None:
        self.items.append(item)


class FailingExtend(OnlyAppend):
    def extend(self, items: Any) -> None:
        self.items.append(("extend", list(items)))
        raise LookupError("extend fails")


class ExtendNone(OnlyAppend):
    extend = None


class OwnSetItem(dict):
    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(("own", key), value)


class OwnAdd(set):
    def add(self, item: Any) -> None:
        super().add(("own add", item))

    def update(self, items: Any) -> None:
        super().add("own update")


class OnlyAdd:
    def __init__(self) -> None:
        self.items: list[Any] = []

    def add(self, item: Any) -> None:
        self.items.append(item)


class OwnNew:
    def __new__(cls, *args: Any) -> Any:
        self = super().__new__(cls)
        self.made = ("by __new__", args)
        return self


class FailingNew:
    def __new__(cls) -> Any:
        raise LookupError("__new__ fails")


class NewOfOther:
    def __new__(cls) -> Any:
        return ["something else"]


class Abstract(abc.ABC):
    @abc.abstractmethod
    def method(self) -> None: ...


class WithProperty:
    @property
    def value(self) -> Any:
        return "computed"


class OwnSetattr:
    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, "set_" + name, value)


class OwnGetattribute:
    def __getattribute__(self, name: str) -> Any:
        if name == "__dict__":
            inner = object.__getattribute__(self, "__dict__")
            inner["asked for __dict__"] = True
            return inner
        return object.__getattribute__(self, name)


class OwnGetattr:
    def __getattr__(self, name: str) -> Any:
        if name == "__setstate__":
            return lambda state: self.__dict__.update(through=state)
        raise AttributeError(name)


class FailingDict:
    @property
    def __dict__(self) -> Any:
        raise LookupError("no dict today")


class Field:
    def __get__(self, obj: Any, cls: Any = None) -> Any:
        return "from the descriptor"

    def __set__(self, obj: Any, value: Any) -> None:
        raise AssertionError("BUILD stores into __dict__")


class WithDescriptor:
    field = Field()


class SetstateNone:
    __setstate__ = None


class SetstateFails:
    def __setstate__(self, state: Any) -> None:
        self.touched = True
        raise LookupError("__setstate__ fails")


class SetstateProperty:
    @property
    def __setstate__(self) -> Any:
        raise LookupError("looking it up fails")
