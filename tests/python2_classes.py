"""The classes that `data/python2_*.pickle` refer to, as Python 3 has them."""

from __future__ import annotations

from typing import Any


class Old:
    pass


class OldInit:
    def __init__(self, a: Any, b: Any) -> None:
        self.args = (a, b)


class New:
    pass


class Slots:
    __slots__ = ("a", "b")

    def __setstate__(self, state: Any) -> None:
        for name, value in state[1].items():
            setattr(self, name if isinstance(name, str) else name.decode(), value)


class StrChild(str):
    pass
